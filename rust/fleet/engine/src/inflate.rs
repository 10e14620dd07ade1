//! A body's gzip undone, a piece at a time, so that a few bytes that unpack to many are no flood.

use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{DecodeV2, GzipDecoder};

use crate::fault::Fault;

/// Decoded bytes of one piece at most.
const PIECE: usize = 16 * 1024;

/// Bytes that tell whether another member begins, RFC 1952, 2.3: two magic ones, the only method
/// there is, and flags.
const HEAD: [u8; 3] = [0x1f, 0x8b, 0x08];
const RESERVED_FLAGS: u8 = 0xe0;

/// What the head says of a body's coding.
pub(crate) fn coding_of(content_encoding: &str) -> Result<Option<Inflater>, Fault> {
    let names = content_encoding.split(',').map(|name| {
        let name = name.trim().to_ascii_lowercase();
        name.strip_prefix("x-").map_or(name.clone(), str::to_owned)
    });
    // A name that is none counts as no coding, as in browsers: some servers write `utf-8`.
    let known = |name: &String| ["gzip", "deflate", "br", "zstd"].contains(&name.as_str());
    let mut names = names.filter(known).collect::<Vec<_>>();
    match names.pop() {
        None => Ok(None),
        Some(name) if name != "gzip" => Err(Fault::UnknownCoding(name)),
        Some(_) if names.is_empty() => Ok(Some(Inflater::default())),
        Some(_) => Err(Fault::Codings),
    }
}

/// Undoes gzip. Several members may stand one behind the other; bytes behind an end that begin no
/// other member are padding, which is ignored, as browsers do.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, any of which may hold"
)]
pub(crate) struct Inflater {
    member: Option<Box<GzipDecoder>>,
    /// The bytes behind an end, while they may still begin a member.
    head: Vec<u8>,
    has_begun: bool,
    is_padding: bool,
    /// Whether the piece before was full, so that more may be held.
    is_full: bool,
    /// Whether any byte was decoded.
    has_given: bool,
    /// What is told when all before it was.
    fault: Option<Fault>,
    piece: Box<[u8]>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            member: None,
            head: Vec::new(),
            has_begun: false,
            is_padding: false,
            is_full: false,
            has_given: false,
            fault: None,
            piece: vec![0; PIECE].into(),
        }
    }
}

impl Inflater {
    /// Whether the coding's own end was seen, or nothing at all.
    pub(crate) fn is_complete(&self) -> bool {
        self.member.is_none()
    }

    /// The next decoded bytes, taken off the beginning of `bytes`; `None` when it needs more.
    ///
    /// # Errors
    /// For bytes that are not in this coding.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<&[u8]>, Fault> {
        loop {
            if let Some(fault) = &self.fault {
                return Err(fault.clone());
            }
            if self.member.is_none() && !self.begin(bytes) {
                return Ok(None);
            }
            if bytes.is_empty() && !self.is_full {
                return Ok(None);
            }
            let length = self.step(bytes);
            if length > 0 {
                return Ok(Some(&self.piece[..length]));
            }
        }
    }

    /// Begins a member, if one is there.
    fn begin(&mut self, bytes: &mut &[u8]) -> bool {
        if bytes.is_empty() || self.is_padding {
            return false;
        }
        if !self.has_begun {
            self.has_begun = true;
            self.member = Some(Box::new(GzipDecoder::new()));
            return true;
        }
        while self.head.len() <= HEAD.len() {
            let Some((first, rest)) = bytes.split_first() else { return false };
            *bytes = rest;
            self.head.push(*first);
            if !may_begin(&self.head) {
                self.is_padding = true;
                return false;
            }
        }
        let head = std::mem::take(&mut self.head);
        self.member = Some(Box::new(GzipDecoder::new()));
        self.step(&mut &head[..]);
        true
    }

    /// Decodes into the piece; returns how many bytes. A head has none.
    fn step(&mut self, bytes: &mut &[u8]) -> usize {
        let Some(member) = &mut self.member else { return 0 };
        let mut output = WriteBuffer::new_initialized(&mut self.piece);
        let decoded = if bytes.is_empty() {
            member.flush(&mut output).map(|_| false)
        } else {
            let mut input = PartialBuffer::new(*bytes);
            let decoded = member.decode(&mut input, &mut output);
            *bytes = &bytes[input.written_len()..];
            decoded
        };
        let length = output.written_len();
        self.has_given |= length > 0;
        self.is_full = length == PIECE && matches!(decoded, Ok(false));
        match decoded {
            Ok(true) => self.member = None,
            Ok(false) => {}
            Err(_) if self.has_given => self.fault = Some(Fault::BadCoding),
            Err(_) => self.fault = Some(Fault::OtherCoding),
        }
        length
    }
}

fn may_begin(head: &[u8]) -> bool {
    head.iter().zip(HEAD).all(|(byte, magic)| *byte == magic)
        && head.get(HEAD.len()).is_none_or(|flags| flags & RESERVED_FLAGS == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(reads: &[&[u8]]) -> Result<(Vec<u8>, bool), Fault> {
        let (mut inflater, mut text) = (Inflater::default(), Vec::new());
        for mut bytes in reads.iter().copied() {
            while let Some(piece) = inflater.next(&mut bytes)? {
                text.extend_from_slice(piece);
            }
        }
        Ok((text, inflater.is_complete()))
    }

    #[test]
    fn reads_never_change_the_bytes() {
        let members = [packed(b"ebb "), packed(b""), packed(b"and flow")].concat();
        for padding in [&b""[..], b"\0\0\0", b"\x1f\x8b", b"\x1f\x8b\x08\xff"] {
            let body = [&members, padding].concat();
            for size in 1..=body.len() {
                let reads: Vec<_> = body.chunks(size).collect();
                assert_eq!(unpacked(&reads), Ok((b"ebb and flow".to_vec(), true)), "{size}");
            }
        }
    }

    #[test]
    fn what_is_cut_is_not_complete() {
        let body = packed(b"ebb and flow");
        for end in 1..body.len() {
            let (text, is_complete) = unpacked(&[&body[..end]]).unwrap();
            assert!(b"ebb and flow".starts_with(&text) && !is_complete, "{end}");
        }
        assert_eq!(unpacked(&[]), Ok((Vec::new(), true)));
    }

    #[test]
    fn a_bomb_comes_in_pieces() {
        let body = packed(&vec![0; 10 << 20]);
        let (mut inflater, mut bytes, mut length) = (Inflater::default(), &body[..], 0);
        while let Some(piece) = inflater.next(&mut bytes).unwrap() {
            assert!(piece.len() <= PIECE);
            length += piece.len();
        }
        assert_eq!((length, inflater.is_complete()), (10 << 20, true));
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(unpacked(&[b"data: {}\n\n"]), Err(Fault::OtherCoding));
        let mut body = packed(&(0..=255).cycle().take(40_000).collect::<Vec<u8>>());
        let length = body.len();
        body[length - 5] ^= 1;
        assert_eq!(unpacked(&[&body]), Err(Fault::BadCoding));
    }

    #[test]
    fn codings_by_name() {
        assert!(matches!(coding_of("x-gzip"), Ok(Some(_))));
        assert!(matches!(coding_of("identity, utf-8"), Ok(None)));
        assert_eq!(coding_of("br").unwrap_err(), Fault::UnknownCoding("br".into()));
        assert_eq!(coding_of("gzip, gzip").unwrap_err(), Fault::Codings);
    }
}
