//! Texts that come in pieces in, the same texts with whole characters out.
//!
//! A JSON string may hold half a character: a surrogate of UTF-16, written as an escape. Where one
//! delta ends with the first half and the next one begins with the second, they are one character.

use crate::json::Text;
use crate::prelude::*;
use crate::utf8::validate;

/// The first half of a character (a high surrogate) that the next delta may go on with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Half(Option<u16>);

/// What half a character is that nothing goes on with.
pub(super) const LONE: &str = "\u{fffd}";

impl Half {
    /// Whether there is one.
    pub(super) fn is_held(self) -> bool {
        self.0.is_some()
    }

    /// Lets go of it. Returns whether there was one.
    pub(super) fn take(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// The text, decoded, with the half that came before it and without the one that it ends with,
    /// which is held now. An empty text is none.
    #[inline]
    pub(super) fn join<'b>(&mut self, text: Text<'b>, scratch: &'b mut Vec<u8>) -> &'b str {
        let (whole, half) = text.split_half();
        if (half.is_none() && self.0.is_none()) || text.is_empty() {
            return text.decode_with(scratch);
        }
        self.join_halves(whole, half, scratch)
    }

    #[cold]
    fn join_halves<'b>(
        &mut self,
        whole: Text<'_>,
        half: Option<&str>,
        scratch: &'b mut Vec<u8>,
    ) -> &'b str {
        let mut written = self.0.map(|unit| format!("\\u{unit:04x}")).unwrap_or_default();
        written.push_str(whole.raw());
        self.0 = half.and_then(|escape| u16::from_str_radix(escape.get(2..)?, 16).ok());
        scratch.clear();
        Text::of_raw(&written).decode_into(scratch);
        validate(scratch).unwrap_or_default()
    }
}
