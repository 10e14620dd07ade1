//! HTML that stands in a reply in, what the decoders ask of it out: is it a challenge, and what
//! does its text say?
//!
//! With the feature `sites` the standard's rules answer. Without it nothing of HTML is known: a
//! challenge is a page like any other, and text stays as it is written.

#[cfg(feature = "sites")]
pub(crate) use crate::{entity::decode_text, page::challenge::is_challenge};

#[cfg(not(feature = "sites"))]
pub(crate) use unknown::{decode_text, is_challenge};

#[cfg(not(feature = "sites"))]
mod unknown {
    use alloc::borrow::Cow;

    pub(crate) fn decode_text(text: &str) -> Cow<'_, str> {
        Cow::Borrowed(text)
    }

    pub(crate) fn is_challenge(_: &[u8]) -> bool {
        false
    }
}
