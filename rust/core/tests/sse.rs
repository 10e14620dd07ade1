//! The event decoder against the vectors in `tests/vectors/sse/`, and against any list of events.

use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::Value;
use tailrace_core::{Event, EventDecoder, Limit, LimitExceeded, MAX_EVENT_BYTES};

use crate::cuts::cut;
use crate::vectors;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: String,
    name: Option<String>,
    data: String,
    id: String,
    retry: Option<u64>,
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        Self {
            kind: event.kind().to_owned(),
            name: event.name.map(str::to_owned),
            data: event.data.to_owned(),
            id: event.id.to_owned(),
            retry: event.retry,
        }
    }
}

impl From<&Value> for Seen {
    fn from(expected: &Value) -> Self {
        let text = |key: &str| expected[key].as_str().map(str::to_owned);
        Self {
            kind: text("event").unwrap(),
            name: text("name"),
            data: text("data").unwrap(),
            id: text("id").unwrap(),
            retry: expected["retry"].as_u64(),
        }
    }
}

fn decode<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    max_event_bytes: usize,
) -> (Vec<Seen>, Result<(), LimitExceeded>, EventDecoder) {
    let mut decoder = EventDecoder::new(max_event_bytes);
    let mut events = Vec::new();
    let mut result = Ok(());
    for chunk in chunks {
        result = decoder.feed(chunk, |event| {
            events.push(Seen::from(event));
            ControlFlow::Continue(())
        });
    }
    assert_eq!(decoder.close(), result);
    (events, result, decoder)
}

#[test]
fn every_vector_however_it_is_cut() {
    for (name, case) in vectors::cases("sse") {
        let input = vectors::bytes(&case["input"]);
        let max = vectors::number(&case["max_event_bytes"]).unwrap_or(MAX_EVENT_BYTES);
        let expected: Vec<Seen> =
            case["events"].as_array().unwrap().iter().map(Seen::from).collect();
        let limit = LimitExceeded { limit: Limit::Event, bytes: max };
        let expected_result = if case["limit"] == true { Err(limit) } else { Ok(()) };
        for chunks in vectors::splits(&input, 1) {
            let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.len()).collect();
            let (events, result, decoder) = decode(chunks, max);
            assert_eq!(events, expected, "{name} cut as {sizes:?}");
            assert_eq!(result, expected_result, "{name} cut as {sizes:?}");
            assert_eq!(decoder.last_event_id(), case["last_event_id"], "{name} cut as {sizes:?}");
            assert_eq!(decoder.retry(), case["retry"].as_u64(), "{name} cut as {sizes:?}");
        }
    }
}

#[test]
fn events_of_one_number_have_one_id() {
    let mut numbered = Vec::new();
    let stream =
        b"data\n\nid: a\ndata\n\ndata\n\nid: b\n\nid: c\n\ndata\n\nid: \0\ndata\n\nid\ndata\n\n";
    EventDecoder::new(20)
        .feed(stream, |event| {
            numbered.push((event.id_number, event.id.to_owned()));
            ControlFlow::Continue(())
        })
        .unwrap();
    let expected = [(0, ""), (1, "a"), (1, "a"), (3, "c"), (3, "c"), (4, "")];
    assert_eq!(numbered, expected.map(|(number, id)| (number, id.to_owned())));
}

#[test]
fn a_failed_decoder_stays_failed() {
    let mut decoder = EventDecoder::new(10);
    let error = decoder.feed(b"data: 12345", |_| panic!("no event is finished")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an event of the reply is larger than max_event_bytes (10 bytes)"
    );
    assert_eq!(decoder.feed(b"\n\ndata: 1\n\n", |_| panic!("no event after a limit")), Err(error));
    assert_eq!(decoder.close(), Err(error));
    assert_eq!(decoder.feed(b"", |_| panic!("no event after a limit")), Err(error));
}

#[test]
fn a_sink_that_breaks_ends_the_stream() {
    let mut decoder = EventDecoder::new(20);
    let mut seen = 0;
    for _ in 0..2 {
        decoder
            .feed(b"data: 1\n\ndata: 2\n\ndata: a line longer than the limit", |_| {
                seen += 1;
                ControlFlow::Break(())
            })
            .unwrap();
    }
    assert_eq!(seen, 1);
    assert_eq!(decoder.close(), Ok(()));
}

#[test]
fn nothing_comes_after_the_close() {
    let mut decoder = EventDecoder::new(20);
    decoder.feed(b"data: 1\n", |_| panic!("no event is finished")).unwrap();
    decoder.close().unwrap();
    decoder.feed(b"\ndata: 2\n\n", |_| panic!("the stream has ended")).unwrap();
}

/// A block as a server would mean it.
#[derive(Debug, Clone)]
struct Sent {
    name: Option<String>,
    data: Vec<String>,
    id: Option<String>,
    retry: Option<u32>,
    comment: Option<String>,
}

fn any_block() -> impl Strategy<Value = Sent> {
    let text = || "[^\r\n]{0,12}";
    (
        prop::option::of(text()),
        prop::collection::vec(text(), 0..4),
        prop::option::of("[^\r\n\0]{0,8}"),
        prop::option::of(any::<u32>()),
        prop::option::of(text()),
    )
        .prop_map(|(name, data, id, retry, comment)| Sent { name, data, id, retry, comment })
}

/// Writes blocks down with the line ends given, taken in turn; none of them is a lone CR before a
/// LF.
fn render(blocks: &[Sent], ends: &[&str], spaced: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    let colon = |value: &str| if spaced || value.starts_with(' ') { ": " } else { ":" };
    for block in blocks {
        if let Some(comment) = &block.comment {
            lines.push(format!(":{comment}"));
        }
        if let Some(name) = &block.name {
            lines.push(format!("event{}{name}", colon(name)));
        }
        for (index, value) in block.data.iter().enumerate() {
            lines.push(format!("data{}{value}", colon(value)));
            if index == 0 {
                lines.extend(block.id.iter().map(|id| format!("id{}{id}", colon(id))));
                lines.push("x-unknown: field".to_owned());
            }
        }
        lines.extend(block.retry.iter().map(|retry| format!("retry:{retry}")));
        lines.push(String::new());
    }
    let mut stream = String::new();
    for (line, end) in lines.iter().zip(ends.iter().cycle()) {
        // A CR followed by a LF would be one end where two are meant.
        let end =
            if line.is_empty() && stream.ends_with('\r') && *end == "\n" { "\r\n" } else { end };
        stream.push_str(line);
        stream.push_str(end);
    }
    stream.into_bytes()
}

fn expected(blocks: &[Sent]) -> Vec<Seen> {
    let mut last_id = String::new();
    let mut events = Vec::new();
    for block in blocks.iter().filter(|block| !block.data.is_empty()) {
        if let Some(id) = &block.id {
            last_id.clone_from(id);
        }
        let name = block.name.clone();
        events.push(Seen {
            kind: name
                .clone()
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "message".to_owned()),
            name,
            data: block.data.join("\n"),
            id: last_id.clone(),
            retry: block.retry.map(u64::from),
        });
    }
    events
}

proptest! {
    #[test]
    fn any_events_any_line_ends_any_cuts(
        blocks in prop::collection::vec(any_block(), 0..6),
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n"]), 1..8),
        spaced in any::<bool>(),
        mark in any::<bool>(),
        offsets in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut stream = if mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
        stream.extend(render(&blocks, &ends, spaced));
        let (events, result, _) = decode(cut(&stream, &offsets), MAX_EVENT_BYTES);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(events, expected(&blocks));
    }

    #[test]
    fn cuts_change_nothing_of_any_bytes(
        stream in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![
                    &b"data"[..], b"data:", b"data: ", b"event:", b"id:", b"retry: 5", b":", b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"x",
                    b"\0", b"\xff", b"\xf0\x9f", b"\x8e\x89", b"\xef\xbb\xbf",
                ])
                .prop_map(<[u8]>::to_vec),
                prop::collection::vec(any::<u8>(), 1..4),
            ],
            0..40,
        )
        .prop_map(|parts| parts.concat()),
        offsets in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        max in 0_usize..40,
    ) {
        let (events, result, decoder) = decode([&stream[..]], max);
        let (cut_events, cut_result, cut_decoder) = decode(cut(&stream, &offsets), max);
        prop_assert_eq!(events, cut_events);
        prop_assert_eq!(result, cut_result);
        prop_assert_eq!(decoder.last_event_id(), cut_decoder.last_event_id());
        prop_assert_eq!(decoder.retry(), cut_decoder.retry());
    }
}
