//! A chunk of a page in, the places of the bytes that shape a tag out.
//!
//! A page's tags have what is looked for within a few bytes, and any search takes longer to begin
//! than to find that. So 64 bytes are compared at once, into a bit for each of them, and all
//! searches in that block are on the bits.

use std::ops::Range;

use crate::simd::{BLOCK, HALF, bitmask, bits, equal, load, splat};

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// `<`
    Less,
    /// `<`, `=`, `>` or `?`, whose codes differ in the last two bits
    End,
    /// `"`, `#`, `&` or `'`, whose codes differ in the first and the third of the last bits
    Quote,
}

/// A chunk, and the block of it that was compared last.
pub(super) struct Blocks<'data> {
    pub(super) data: &'data [u8],
    /// Where the block begins, a multiple of its size; at first one block in front of the chunk.
    base: usize,
    less: u64,
    end: u64,
    quote: u64,
}

impl<'data> Blocks<'data> {
    pub(super) fn new(data: &'data [u8]) -> Self {
        Self { data, base: 0_usize.wrapping_sub(BLOCK), less: 0, end: 0, quote: 0 }
    }

    /// Where the first such byte stands from a place on.
    #[inline]
    pub(super) fn next(&mut self, shape: Shape, from: usize) -> Option<usize> {
        let ahead = from.wrapping_sub(self.base);
        if ahead >= BLOCK {
            // The next block is compared while the place is still being computed.
            self.load(if ahead < 2 * BLOCK {
                self.base.wrapping_add(BLOCK)
            } else {
                from & !(BLOCK - 1)
            })?;
        }
        let mut places = self.places(shape) & (u64::MAX << (from % BLOCK));
        while places == 0 {
            self.load(self.base + BLOCK)?;
            places = self.places(shape);
        }
        Some(self.base + places.trailing_zeros() as usize)
    }

    #[inline]
    fn places(&self, shape: Shape) -> u64 {
        match shape {
            Shape::Less => self.less,
            Shape::End => self.end,
            Shape::Quote => self.quote,
        }
    }

    #[inline]
    fn load(&mut self, base: usize) -> Option<()> {
        let rest = self.data.get(base..).filter(|rest| !rest.is_empty())?;
        if let Some(block) = rest.first_chunk() {
            self.compequal(block);
        } else {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            self.compequal(&block);
        }
        self.base = base;
        Some(())
    }

    #[inline]
    fn compequal(&mut self, block: &[u8; BLOCK]) {
        self.less = bitmask(block, |bytes| equal(bytes, b'<'));
        self.end = bitmask(block, |bytes| equal(bytes | splat(0b11), b'?'));
        self.quote = bitmask(block, |bytes| equal(bytes | splat(0b101), b'\''));
    }
}

/// Whether `cg` or `pk` stands in a value that does not end with the chunk, or may: a long one is
/// not looked through. They do in the classes of widgets, and hardly in any other.
#[inline]
pub(super) fn may_hold_pair(data: &[u8], value: Range<usize>) -> bool {
    let (Some(firsts), Some(seconds)) =
        (data[value.start..].first_chunk(), data[value.start + 1..].first_chunk())
    else {
        return true;
    };
    if value.len() > HALF {
        return true;
    }
    let (firsts, seconds) = (load(firsts), load(seconds));
    let cg = equal(firsts, b'c') & equal(seconds, b'g');
    let pk = equal(firsts, b'p') & equal(seconds, b'k');
    bits(cg | pk) & ((1 << value.len()) - 1) != 0
}
