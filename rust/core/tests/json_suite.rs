//! `JSONTestSuite`, by the verdicts of `tests/vectors/json/`: the reader alone, and as the chunk
//! decoder uses it.

use serde_json::Value;
use tailrace_core::json::{JsonError, Reader};
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};

use crate::vectors;

fn cases() -> impl Iterator<Item = (String, String, bool)> {
    vectors::cases("json").into_iter().map(|(name, case)| {
        let text = String::from_utf8_lossy(&vectors::bytes(&case["input"])).into_owned();
        (name, text, accepts(&case["expect"]))
    })
}

fn accepts(verdict: &Value) -> bool {
    match verdict.as_str() {
        Some("accept") => true,
        Some("reject") => false,
        _ => unreachable!("{verdict}"),
    }
}

#[test]
fn the_suite_is_whole() {
    let count = |start: &str| {
        cases().filter(|(name, ..)| name.starts_with(&format!("suite/{start}_"))).count()
    };
    assert_eq!([count("y"), count("n"), count("i")], [95, 188, 35]);
}

#[test]
fn the_reader_accepts_and_rejects_as_the_verdicts_say() {
    for (name, text, expected) in cases() {
        let read = |text| -> Result<(), JsonError> {
            let mut reader = Reader::new(text);
            reader.skip()?;
            reader.end()
        };
        assert_eq!(read(&text).is_ok(), expected, "{name}");
    }
}

#[test]
fn a_chunk_that_holds_the_text_is_good_or_bad_as_the_verdicts_say() {
    for (name, text, expected) in cases() {
        let chunk = format!(r#"{{"choices":[{{"delta":{{"content":"x"}}}}],"other":{text}}}"#);
        let lines: Vec<&str> = chunk.split(['\n', '\r']).collect();
        let stream = format!("data: {}\n\n", lines.join("\ndata: "));
        for reads in vectors::splits(stream.as_bytes(), 1 + stream.len() / 20) {
            let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
            let mut answer = String::new();
            for read in reads {
                decoder.feed(read, &mut answer);
            }
            assert_eq!((decoder.bad_events() == 0, answer == "x"), (expected, expected), "{name}");
        }
    }
}
