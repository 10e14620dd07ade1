//! Bytes in, a bit for each of them out: 16 compared at once, or 64, in safe code.

use wide::CmpEq as _;
pub(crate) use wide::i8x16 as Lanes;

/// Bytes of a vector, which are compared at once.
pub(crate) const LANES: usize = 16;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// A bit for each byte of a vector, which `test` finds; the first byte's is the lowest.
#[inline]
pub(crate) fn bitmask(bytes: &[u8; LANES], test: impl FnOnce(Lanes) -> Lanes) -> u32 {
    test(Lanes::from(bytes.map(u8::cast_signed))).move_mask().cast_unsigned()
}

/// A bit for each byte of a block, as [`bitmask`] has one of a vector.
#[inline]
pub(crate) fn block_bitmask(block: &[u8; BLOCK], test: impl Fn(Lanes) -> Lanes) -> u64 {
    let (vectors, _) = block.as_chunks();
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| u64::from(bitmask(&vectors[index], &test)));
    (a | b << LANES) | (c | d << LANES) << (2 * LANES)
}

/// Whether each byte is this one.
#[inline]
pub(crate) fn equal(lanes: Lanes, byte: u8) -> Lanes {
    lanes.cmp_eq(splat(byte))
}

/// A vector of this byte alone.
#[inline]
pub(crate) fn splat(byte: u8) -> Lanes {
    Lanes::splat(byte.cast_signed())
}
