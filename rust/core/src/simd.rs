//! Bytes in, a bit for each of them out: 64 compared at once, in safe code.

use wide::{CmpEq as _, i8x32};

/// Bytes compared at once.
pub(crate) const BLOCK: usize = 64;

/// A bit for each byte of a block, which `test` finds of its halves; the first byte's is the
/// lowest.
#[inline]
pub(crate) fn bitmask(block: &[u8; BLOCK], mut test: impl FnMut(i8x32) -> i8x32) -> u64 {
    let (halves, _) = block.as_chunks();
    let [low, high] = [&halves[0], &halves[1]].map(|half| bits(test(load(half))));
    low | high << HALF
}

/// Bytes of one vector.
const HALF: usize = BLOCK / 2;

#[inline]
fn load(bytes: &[u8; HALF]) -> i8x32 {
    i8x32::from(bytes.map(u8::cast_signed))
}

/// A bit for each byte of a vector of truth values.
#[inline]
fn bits(lanes: i8x32) -> u64 {
    u64::from(lanes.move_mask().cast_unsigned())
}

/// Whether each byte is this one.
#[inline]
pub(crate) fn equal(lanes: i8x32, byte: u8) -> i8x32 {
    lanes.cmp_eq(splat(byte))
}

/// A vector of this byte alone.
#[inline]
pub(crate) fn splat(byte: u8) -> i8x32 {
    i8x32::splat(byte.cast_signed())
}
