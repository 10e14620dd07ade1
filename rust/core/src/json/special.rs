//! Bytes of a JSON string in, a bit for each that ends or interrupts it out: a quote, a backslash, a
//! control character.

use crate::simd::{BLOCK, LANES, Lanes, bitmask, block_bitmask, equal, splat};

/// The first byte that is no control character.
pub(super) const CONTROL_END: u8 = 0x20;

/// Whether a byte ends or interrupts a string.
pub(super) fn is_special(byte: u8) -> bool {
    byte < CONTROL_END || byte == b'"' || byte == b'\\'
}

/// A bit for each special byte of a vector; the first byte's is the lowest.
#[inline]
pub(super) fn special_bytes(bytes: &[u8; LANES]) -> u32 {
    bitmask(bytes, are_special)
}

/// A bit for each special byte of a block.
#[inline]
pub(super) fn special_bytes_of_block(block: &[u8; BLOCK]) -> u64 {
    block_bitmask(block, are_special)
}

#[inline]
fn are_special(lanes: Lanes) -> Lanes {
    // Only control characters have none of the upper three bits.
    equal(lanes, b'"') | equal(lanes, b'\\') | equal(lanes & splat(!(CONTROL_END - 1)), 0)
}
