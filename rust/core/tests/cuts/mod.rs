//! Cuts an input into reads at any offsets.

use proptest::sample::Index;

/// The pieces of `bytes` between the offsets.
pub fn cut<'a>(bytes: &'a [u8], offsets: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = offsets.iter().map(|offset| offset.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}
