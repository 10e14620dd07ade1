//! Bytes in, pieces of lines out. Only LF, CR and CRLF end a line, and one byte order mark at the
//! start is dropped (WHATWG HTML 9.2.5).
//!
//! Nothing is held: an unfinished line comes out in the pieces it arrived in, each byte looked at
//! once.

use memchr::memchr2;

/// The byte order mark in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Bytes of the mark, all of which have been seen, or none will be.
const PAST_MARK: u8 = 3;

/// Bytes that end a line and are an empty one, at most: CRLF twice.
pub(crate) const LONGEST_END: usize = 4;

/// The offset at which the first line ends.
pub(crate) fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr2(b'\n', b'\r', bytes)
}

/// A line, or a part of one. An unfinished piece is never empty.
pub(crate) struct Piece<'a> {
    /// The piece, without the line end.
    pub(crate) bytes: &'a [u8],
    /// Whether the line ends after `bytes`.
    pub(crate) ended: bool,
}

/// Splits one stream into pieces; remembers between two reads as much as its line ends ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineSplitter {
    /// Bytes of a byte order mark seen at the start; all of them also stands for "past the start".
    mark: u8,
    /// The last byte was a CR, so that a LF belongs to the same line end.
    after_return: bool,
}

impl LineSplitter {
    /// Takes the next piece off `input`; `None` when nothing is left of it.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        if !self.is_past_mark()
            && let Some(piece) = self.start(input)
        {
            return Some(piece);
        }
        self.end_line(input);
        // An empty line is found without a search.
        let end = match input.first()? {
            b'\n' | b'\r' => 0,
            _ => match line_end(input) {
                Some(end) => end,
                None => return Some(Piece { bytes: std::mem::take(input), ended: false }),
            },
        };
        let (bytes, rest) = input.split_at(end);
        self.after_return = rest[0] == b'\r';
        *input = &rest[1..];
        Some(Piece { bytes, ended: true })
    }

    /// Drops the LF of a CRLF whose CR was the last byte taken.
    pub(crate) fn end_line(&mut self, input: &mut &[u8]) {
        if self.after_return && !input.is_empty() {
            self.after_return = false;
            *input = input.strip_prefix(b"\n").unwrap_or(input);
        }
    }

    /// Whether a byte order mark would no longer be one.
    pub(crate) fn is_past_mark(&self) -> bool {
        self.mark == PAST_MARK
    }

    /// Drops the byte order mark; a beginning of one that turns out to be something else is given
    /// out after all.
    fn start(&mut self, input: &mut &[u8]) -> Option<Piece<'static>> {
        while let Some(&byte) = input.first() {
            if byte != BYTE_ORDER_MARK[usize::from(self.mark)] {
                let seen = usize::from(std::mem::replace(&mut self.mark, PAST_MARK));
                return (seen > 0)
                    .then_some(Piece { bytes: &BYTE_ORDER_MARK[..seen], ended: false });
            }
            *input = &input[1..];
            self.mark += 1;
            if self.is_past_mark() {
                break;
            }
        }
        None
    }
}
