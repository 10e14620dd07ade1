//! Every captured reply in `tests/vectors/captures/`, replayed through the delta decoder.

use std::fs;

use memchr::memmem;
use serde_json::Value;

use crate::{expect, vectors};

fn body(case: &Value) -> Vec<u8> {
    let file =
        fs::read(vectors::folder().join("captures").join(case["file"].as_str().unwrap())).unwrap();
    if case["http"] == true {
        let end_of_head = memmem::find(&file, b"\r\n\r\n").unwrap();
        return dechunk(&file[end_of_head + 4..]);
    }
    if case["chunked"] == true { dechunk(&file) } else { file }
}

/// Takes HTTP/1.1's chunked transfer coding off (RFC 9112, section 7.1).
fn dechunk(mut coded: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = memmem::find(coded, b"\r\n").unwrap();
        let size =
            usize::from_str_radix(str::from_utf8(&coded[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            return body;
        }
        let start = end + 2;
        body.extend_from_slice(&coded[start..start + size]);
        coded = &coded[start + size + 2..];
    }
}

#[test]
fn every_captured_reply_however_it_is_cut() {
    for (name, case) in vectors::cases("replies") {
        expect::run_and_check(&name, &case, &body(&case));
    }
}

#[test]
fn a_captured_stream_cut_anywhere_gives_the_beginning_of_its_text() {
    for (name, case) in vectors::cases("replies") {
        let body = body(&case);
        let whole = expect::run(expect::decoder(&case), [&body[..]], true).0.concat();
        for end in (0..body.len()).step_by(1 + body.len() / 400) {
            let (deltas, decoder) = expect::run(expect::decoder(&case), [&body[..end]], false);
            let text = deltas.concat();
            // A character cut in two shows as one U+FFFD.
            let text = text.trim_end_matches('\u{fffd}');
            // When the transport breaks nothing is known of the end, so a failure tail shows as
            // text.
            let tail = case["failure_tail"].as_str().unwrap_or("");
            assert!(
                whole.starts_with(text) || format!("{whole}{tail}").starts_with(text),
                "{name} cut at {end}: {text:?}"
            );
            let expected_end = &case["end"];
            let end_name = decoder.end().as_str();
            assert!(
                // Behind its finish reason, an answer is whole.
                matches!(end_name, "truncated" | "stopped") || expected_end == end_name,
                "{name} cut at {end}: {end_name}"
            );
        }
    }
}
