//! An input that says itself how it is cut into reads.

/// Takes the sizes of reads off `data`: the first byte tells how many of the next ones are sizes.
pub fn sizes(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return (&[], data) };
    rest.split_at(usize::from(count % 8).min(rest.len()))
}

/// `data` in reads of these sizes, over and over, of which some may be 0; byte by byte when none is
/// more.
pub fn reads<'a>(mut data: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let sizes = if sizes.iter().all(|&size| size == 0) { &[1] } else { sizes };
    let mut reads = Vec::new();
    for &size in sizes.iter().cycle() {
        let (read, rest) = data.split_at(usize::from(size).min(data.len()));
        reads.push(read);
        data = rest;
        if data.is_empty() {
            break;
        }
    }
    reads
}
