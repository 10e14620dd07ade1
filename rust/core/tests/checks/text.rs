//! A `text` reply against the plain expression: all of it but the failure tail, and no more held
//! back than may be one.

use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End, ErrorKind};

use super::cutting::{reads, sizes};

pub fn check(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let (tail, data) = data.split_at(usize::from(kind % 16).min(data.len()));
    let tail = String::from_utf8_lossy(tail).into_owned();
    let (sizes, reply) = sizes(data);
    let complete = kind < 128;
    let plain = String::from_utf8_lossy(reply);
    let failed = complete && !tail.is_empty() && plain.ends_with(&tail);
    let expected = if failed { &plain[..plain.len() - tail.len()] } else { &plain };
    let end = match () {
        () if failed => (End::Failed, Some(ErrorKind::Upstream)),
        () if !complete => (End::Truncated, Some(ErrorKind::Truncated)),
        () if plain.is_empty() => (End::Failed, Some(ErrorKind::Empty)),
        () => (End::Done, None),
    };
    for cut in [vec![reply], reads(reply, sizes)] {
        let options = DeltaOptions { failure_tail: Some(tail.clone()), ..DeltaOptions::default() };
        let mut decoder = DeltaDecoder::new(Dialect::Text, options);
        let mut text = String::new();
        for read in &cut {
            decoder.feed(read, &mut text);
        }
        assert_eq!(text, without_held(reply, &tail), "before the end, tail {tail:?}: {cut:?}");
        decoder.close(complete, &mut text);
        assert_eq!(text, expected, "tail {tail:?}: {cut:?}");
        assert_eq!(
            (decoder.end(), decoder.error().map(|error| error.kind)),
            end,
            "tail {tail:?}: {cut:?}"
        );
    }
}

/// The text so far, without an unfinished character and without the longest end that the tail
/// begins with.
fn without_held(reply: &[u8], tail: &str) -> String {
    let unfinished = reply.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    let is_unfinished =
        std::str::from_utf8(unfinished).is_err_and(|error| error.error_len().is_none());
    let finished = &reply[..reply.len() - if is_unfinished { unfinished.len() } else { 0 }];
    let mut text = String::from_utf8_lossy(finished).into_owned();
    let held = (0..=tail.len())
        .rev()
        .find(|&length| text.as_bytes().ends_with(&tail.as_bytes()[..length]));
    text.truncate(text.len() - held.unwrap_or(0));
    text
}
