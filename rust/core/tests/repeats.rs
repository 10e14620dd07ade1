//! A decoder that remembers the layout of a stream's events against the reference, which reads each
//! event in full.

use proptest::prelude::*;
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End, Framing, Ids, ReplyError, Usage};

use crate::cuts::cut;

const DIALECTS: [Dialect; 3] = [Dialect::OpenAi, Dialect::AiPower, Dialect::AiPkit];

/// Events whose content is `@`, as services write them.
const EVENTS: [&str; 6] = [
    r#"data: {"id":"c1","object":"chat.completion.chunk","created":1763640000,"model":"m","choices":[{"index":0,"delta":{"content":"@"},"logprobs":null,"finish_reason":null}],"usage":null,"pad":"x7Q"}"#,
    r#"data: {"pad":"","id":"c1","choices":[{"delta":{"role":"assistant","content":"@"}}]}"#,
    r#"data:{"choices":[{"text":"@","finish_reason":""}],"model":"m"}"#,
    r#"data: { "error" : null , "choices" : [ { "index" : 0 , "delta" : { "content" : "@" } } ] , "pad" : "\u00e9" } "#,
    r#"data: {"delta":"@"}"#,
    r#"data: {"id":"r1","delta":"@","error":false,"pad":"x"}"#,
];

/// Events of the APIs that each have a form of their own.
const API_EVENTS: [(Dialect, &str); 8] = [
    (
        Dialect::Anthropic,
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@"},"pad":"x7Q"}"#,
    ),
    (
        Dialect::Anthropic,
        r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@"} }"#,
    ),
    (
        Dialect::OpenAiResponses,
        r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":7,"item_id":"m","output_index":0,"delta":"@","logprobs":[],"pad":"x7Q"}"#,
    ),
    (
        Dialect::Gemini,
        r#"data: {"candidates":[{"content":{"parts":[{"text":"@"}],"role":"model"},"index":0}],"modelVersion":"m","responseId":"c1","pad":"x7Q"}"#,
    ),
    (
        Dialect::Ollama,
        r#"{"model":"m","created_at":"x7Q","message":{"role":"assistant","content":"@"},"done":false}"#,
    ),
    (Dialect::Ollama, r#"{"model":"m","pad":"x7Q","response":"@","done":false}"#),
    (Dialect::AiEngine, r#"data: {"type":"live","data":"@"}"#),
    (Dialect::AiEngine, r#"data: {"type":"live","data":"@","subtype":"content","pad":"x7Q"}"#),
];

/// What may change in them.
#[rustfmt::skip]
const API_CHANGES: &[(&str, &[u8])] = &[
    ("\"text_delta\"", b"\"thinking_delta\""), ("\"text_delta\"", b"\"text\""), ("\"text\"", b"\"thinking\""), ("\"type\":\"content_block_delta\",", b""),
    ("\"type\":\"content_block_delta\"", b"\"type\":\"ping\""), ("event: content_block_delta", b"event: ping"), ("event: content_block_delta", b"event"),
    ("\"type\":\"content_block_delta\"", b"\"type\":\"message_stop\""), ("\"pad\"", b"\"content_block\""), ("\"pad\"", b"\"delta\""), ("\"pad\"", b"\"type\""),
    ("\"type\":\"response.output_text.delta\"", b"\"type\":\"response.refusal.delta\""), ("\"type\":\"response.output_text.delta\",", b""),
    ("event: response.output_text.delta", b"event: error"), ("\"pad\"", b"\"response\""), ("\"pad\"", b"\"item\""), ("\"logprobs\":[]", b"\"error\":{\"message\":\"m\"}"),
    ("\"text\":\"@\"", b"\"text\":\"@\",\"thought\":true"), ("\"text\":\"@\"", b"\"text\":\"@\",\"functionCall\":{}"), ("{\"text\"", b"{},{\"text\""),
    ("\"index\":0}", b"\"finishReason\":\"STOP\"}"), ("\"pad\":\"x7Q\"", b"\"usageMetadata\":{}"), ("\"pad\":\"x7Q\"", b"\"promptFeedback\":{\"blockReason\":\"b\"}"),
    ("\"live\"", b"\"end\""), ("\"live\"", b"\"error\""), ("\"live\"", b"\"later\""), ("\"content\"", b"\"thinking\""),
    ("\"content\"", b"\"status\""), ("\"pad\"", b"\"subtype\""), ("\"pad\"", b"\"data\""), ("\"pad\"", b"\"error\""),
    ("\"done\":false", b"\"done\":true"), ("\"done\":false", b"\"done\":false,\"thinking\":\"t\""), ("\"content\":\"@\"", b"\"content\":\"@\",\"thinking\":\"t\""),
    ("\"content\":\"@\"", b"\"content\":\"@\",\"tool_calls\":[{}]"), ("\"pad\"", b"\"message\""), ("\"created_at\"", b"\"thinking\""), ("\"created_at\"", b"\"response\""),
    ("\"created_at\"", b"\"done_reason\""), ("\"output_index\":0", b"\"output_index\":1"), ("\"output_index\":0,", b""),
    ("\"type\":\"response.output_text.delta\"", b"\"type\":\"response.output_text.done\",\"text\":\"ab c!\""), ("\"pad\"", b"\"content_index\""),
    ("\"created_at\":\"x7Q\"", b"\"prompt_eval_count\":\"7\""),
    ("number\":7", b"number\":8"), ("number\":7", b"number\":07"), ("number\":7", b"number\":0"), ("number\":7", b"number\":1234567890123456789012345"), ("number\":7", b"number\":"),
    ("number\":7", b"number\":-7"), ("number\":7", b"number\":7.5"), ("number\":7", b"number\":7e1"), ("number\":7", b"number\":\"7\""), ("number\":7", b"number\": 7"), ("\"m\"", b"\"\""), ("\"pad\"", b"\"thinking\""), ("\"pad\":\"x7Q\"", b"\"message\":{}"), ("\"pad\":\"x7Q\"", b"\"pad\":[\"}\",\"]\"]"),
];

/// What may change from one event to the next: a part of it, and what stands there then.
#[rustfmt::skip]
const CHANGES: &[(&str, &[u8])] = &[
    // The content, its type, and what only looks like its end.
    ("@", b""), ("@", b"\\n\\\"\\u00e9\\ud83c\\udf89"), ("@", b"\\ud83c"), ("@", b"\\udf89\\ud83c"), ("@", b"a\\\\ud83c"), ("@", b"\\q"),
    ("@", b"\\u12g4"), ("@", b"\\"), ("@", b"\0"), ("@", b"\t"), ("@", b"\n"), ("@", b"\r"), ("@", b"\r\n"),
    ("@", b"\xc3\xa9"), ("@", b"\xff"), ("@", b"\xe2\x80"), ("@", b"\xe2\x80\xa8"), ("@", b"\x7f"),
    ("@", b"@\\\"},\\\"logprobs\\\":null,\\\"finish_reason\\\":null}],\\\"usage\\\":null,\\\"pad\\\":\\\"x7Q\\\"}"),
    ("@", b"a\"},\"delta\":{\"content\":\"b"), ("@", b"a\",\"content\":\"b"), ("@", b"a\"}}],\"choices\":[{\"delta\":{\"content\":\"b"),
    ("@", b"a\"},\"finish_reason\":\"stop\",\"x\":{\"y\":\""), ("@", b"a\",\"error\":\"b"), ("@", b"a\"}\n\ndata: {\"pad\":\"b"),
    ("@", b"sixteen bytes and then as many again, and so on, until blocks of sixty-four are looked at: \xc3\xa9"),
    ("@", b"sixteen bytes and then as many again, and so on, until blocks of sixty-four are looked at: \\n\x01"),
    ("\"@\"", b"null"), ("\"@\"", b"5"), ("\"@\"", b"[\"@\"]"), ("\"@\"", b"{\"content\":\"@\"}"), ("\"@\"", b"NaN"),
    ("\"content\":", b"\"Content\":"), ("\"content\":", b"\"c\\u006fntent\":"), ("\"content\"", b"\"role\""),
    // Strings that nobody reads, and that someone does after all.
    ("\"x7Q\"", b"\"y\""), ("\"x7Q\"", b"\"\\\"\\u00e9\\\\\""), ("\"x7Q\"", b"\"\\q\""), ("\"x7Q\"", b"\"\x01\""), ("\"x7Q\"", b"\"\xff\""),
    ("\"x7Q\"", b"\"\""), ("\"x7Q\"", b"7"), ("\"x7Q\"", b"[]"), ("\"x7Q\"", b"\"x\",\"error\":\"e\""), ("\"x7Q\"", b"\"x"),
    ("\"pad\"", b"\"error\""), ("\"pad\"", b"\"err\\u006fr\""), ("\"pad\"", b"\"usage\""), ("\"pad\"", b"\"msg\""), ("\"pad\"", b"\"thread_id\""),
    ("\"c1\"", b"\"c2\""), ("\"c1\"", b"\"\""), ("\"c1\"", b"null"), ("\"id\":\"c1\",", b""), ("\"m\"", b"\"n\""),
    (r#""pad":"x7Q""#, br#""error":"""#), (r#""pad":"x7Q""#, br#""error":"e""#), (r#""pad":"x7Q""#, br#""thread_id":"""#), (r#""pad":"x7Q""#, br#""thread_id":"t""#),
    (r#""pad":"x"}"#, br#""quota_notice":""}"#), (r#""pad":"x"}"#, br#""error":""}"#), (r#""pad":"x"}"#, br#""error":"e"}"#),
    // Values that are read.
    ("\"finish_reason\":null", b"\"finish_reason\":\"stop\""), ("\"finish_reason\":\"\"", b"\"finish_reason\":\"length\""),
    ("\"usage\":null", b"\"usage\":{\"total_tokens\":7}"), ("\"usage\":null", b"\"usage\":{\"total_tokens\":8}"),
    ("\"finish_reason\":null", b"\"finish_reason\":\"length\""), ("\"index\":0", b"\"index\":1"), ("\"index\":0", b"\"index\":-0.0"),
    ("\"error\":false", b"\"error\":true"), ("\"error\":false", b"\"quota_notice\":{\"a\":1},\"error\":\"e\""), ("null ,", b"\"e\" ,"),
    // Shape: keys, white space, depth, ends.
    ("\"choices\":[", b"\"choices\": ["), ("\"choices\":[", b"\"choices\":[null,"), ("\"choices\":[", b"\"choices\":[{\"index\":0},"),
    ("}", b"} "), ("}", b"},"), ("}", b""), ("{", b"{\"deep\":[[[]]],"), ("1763640000", b"1763640001"), ("1763640000", b"0123"),
    // Lines and fields.
    ("\"choices\"", b"\ndata:\"choices\""), ("\"choices\"", b"\n\"choices\""),
    ("data:", b"data:  "), ("data:", b"event: message\ndata:"), ("data:", b"id: 1\nretry: 5\n: note\ndata:"), ("data:", b"data\ndata:"),
];

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    deltas: Vec<String>,
    events: u64,
    bad_events: u64,
    end: End,
    done: bool,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    ids: Ids,
    error: Option<ReplyError>,
    framing: Framing,
}

/// All that a decoder tells of a reply, and how many of its events needed no full reading.
fn read<'a>(
    mut decoder: DeltaDecoder,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Outcome, u64) {
    let mut deltas = Vec::new();
    for read in reads {
        decoder.feed(read, &mut deltas);
    }
    let repeated = decoder.repeated_events();
    decoder.close(true, &mut deltas);
    let outcome = Outcome {
        deltas,
        events: decoder.events(),
        bad_events: decoder.bad_events(),
        end: decoder.end(),
        done: decoder.done(),
        finish_reason: decoder.finish_reason().map(str::to_owned),
        usage: decoder.usage().copied(),
        ids: decoder.ids().clone(),
        error: decoder.error().cloned(),
        framing: decoder.framing(),
    };
    (outcome, repeated)
}

fn limited(max_event_bytes: usize) -> DeltaOptions {
    DeltaOptions { max_event_bytes, ..DeltaOptions::default() }
}

fn remembering(dialect: Dialect) -> DeltaDecoder {
    DeltaDecoder::new(dialect, DeltaOptions::default())
}

fn reference<'a>(dialect: Dialect, reads: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (outcome, repeated) =
        read(DeltaDecoder::without_repeats(dialect, DeltaOptions::default()), reads);
    assert_eq!(repeated, 0);
    outcome
}

/// The first `from` in the event replaced.
fn change(event: &[u8], from: &str, to: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::find(event, from.as_bytes())?;
    Some([&event[..at], to, &event[at + from.len()..]].concat())
}

fn say(event: &str, content: &str) -> Vec<u8> {
    format!("{}\n\n", event.replace('@', content)).into_bytes()
}

#[test]
fn whatever_changes_in_an_api_of_its_own() {
    for (dialect, event) in API_EVENTS {
        for change in CHANGES.iter().chain(API_CHANGES) {
            is_read_as_by_the_reference(dialect, event, *change, 29);
        }
    }
}

/// Reads a stream in which `event` changes, whole, byte by byte and cut in two at every `step`th
/// offset.
fn is_read_as_by_the_reference(
    dialect: Dialect,
    event: &str,
    (from, to): (&str, &[u8]),
    step: usize,
) {
    let Some(mut changed) = change(event.as_bytes(), from, to) else { return };
    changed.extend(b"\n\n");
    // Learnt, repeated, changed, as before; then changed long enough to be learnt itself.
    let usual = [("a", ":9,"), ("b c", ":10,"), ("d", ":11,")];
    let usual = usual.map(|(content, number)| say(&event.replace(":7,", number), content)).concat();
    let end = b"data: [DONE]\n\n".to_vec();
    let stream =
        [usual.clone(), changed.clone(), say(event, "e"), changed.repeat(4), usual, end].concat();
    let expected = reference(dialect, [&stream[..]]);
    let told = || format!("{dialect:?} {event} {:?}", String::from_utf8_lossy(to));
    assert_eq!(read(remembering(dialect), [&stream[..]]).0, expected, "{}", told());
    assert_eq!(read(remembering(dialect), stream.chunks(1)).0, expected, "{}", told());
    for at in (0..stream.len()).step_by(step) {
        let (outcome, _) = read(remembering(dialect), [&stream[..at], &stream[at..]]);
        assert_eq!(outcome, expected, "{} cut at {at}", told());
    }
}

/// What `make test-fast` leaves out.
mod heavy {
    use super::*;

    #[test]
    fn whatever_changes_wherever_it_is_cut() {
        for event in EVENTS {
            for dialect in DIALECTS {
                for change in CHANGES {
                    is_read_as_by_the_reference(dialect, event, *change, 7);
                }
            }
        }
    }

    /// What one change makes of an event is learnt, and then changes by another.
    #[test]
    fn whatever_changes_into_whatever_else() {
        for event in EVENTS {
            let changed: Vec<Vec<u8>> = CHANGES
                .iter()
                .filter_map(|(from, to)| change(event.as_bytes(), from, to))
                .collect();
            let dialects = if event.contains("choices") { &DIALECTS[..2] } else { &DIALECTS[2..] };
            for learnt in &changed {
                let learnt = [learnt, &b"\n\n"[..]].concat();
                for next in &changed {
                    let next = [next, &b"\n\n"[..]].concat();
                    for (again, back) in [(1, 1), (3, 0), (3, 2)] {
                        let stream =
                            [learnt.repeat(3), next.repeat(again), learnt.repeat(back)].concat();
                        for &dialect in dialects {
                            let (outcome, _) = read(remembering(dialect), [&stream[..]]);
                            let told =
                                || format!("{dialect:?} {:?}", String::from_utf8_lossy(&stream));
                            assert_eq!(outcome, reference(dialect, [&stream[..]]), "{}", told());
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn events_that_repeat_are_not_read_in_full() {
    for (event, dialect) in
        [(EVENTS[0], Dialect::OpenAi), (EVENTS[0], Dialect::AiPower), (EVENTS[4], Dialect::AiPkit)]
    {
        let stream = say(event, "a\\n").repeat(100);
        for ends in ["\n\n", "\r\n\r\n", "\r\r"] {
            let stream = String::from_utf8(stream.clone()).unwrap().replace("\n\n", ends);
            for size in [1, 7, 100, 1400, stream.len()] {
                let (outcome, repeated) =
                    read(remembering(dialect), stream.as_bytes().chunks(size));
                assert_eq!(outcome.deltas, vec!["a\n"; 100]);
                assert_eq!(repeated, 99, "{dialect:?}, reads of {size}, lines ended by {ends:?}");
            }
        }
    }
}

#[test]
fn events_of_an_api_of_its_own_that_repeat_are_not_read_in_full() {
    for (dialect, event) in API_EVENTS {
        let events = (0..100).map(|number| {
            let event = event.replace("x7Q", &format!("x{number}"));
            say(&event.replace(":7,", &format!(":{number},")), "a\\n")
        });
        let stream = events.collect::<Vec<_>>().concat();
        for size in [1, 7, 100, 1400, stream.len()] {
            let (outcome, repeated) = read(remembering(dialect), stream.chunks(size));
            assert_eq!(outcome.deltas, vec!["a\n"; 100], "{dialect:?}");
            assert!(repeated > 95, "{dialect:?}: {repeated}, reads of {size}");
        }
    }
}

#[test]
fn strings_that_nobody_reads_may_differ_in_each_event() {
    let events = (0..200).map(|number| {
        let event = EVENTS[0]
            .replace("c1", &format!("c{number}"))
            .replace("x7Q", &"\\\"".repeat(number % 17));
        say(&event, "a")
    });
    let stream = events.collect::<Vec<_>>().concat();
    let (outcome, repeated) = read(remembering(Dialect::OpenAi), [&stream[..]]);
    assert_eq!(outcome, reference(Dialect::OpenAi, [&stream[..]]));
    assert_eq!(outcome.ids.get("id"), Some("c0"));
    assert!(repeated > 190, "{repeated}");
}

/// Two layouts that take turns cost no more than reading each in full: one of them is remembered.
#[test]
fn two_layouts_that_take_turns() {
    let stream = [say(EVENTS[0], "a"), say(EVENTS[1], "b")].concat().repeat(100);
    let (outcome, repeated) = read(remembering(Dialect::OpenAi), [&stream[..]]);
    assert_eq!(outcome.deltas.concat(), "ab".repeat(100));
    assert!((90..=100).contains(&repeated), "{repeated}");
}

#[test]
fn an_error_text_that_comes_word_by_word_ends_all_repeating() {
    let explicit = br#"data: {"choices":[{"delta":{"content":"no "}}]}"#;
    let explicit = [b"event: message\n", &explicit[..], b"\n\n"].concat();
    let usual = say(EVENTS[1], "a").repeat(3);
    let stream = [&usual[..], &explicit, &usual, &explicit, &usual].concat();
    let (outcome, repeated) = read(remembering(Dialect::AiPower), [&stream[..]]);
    assert_eq!(outcome, reference(Dialect::AiPower, [&stream[..]]));
    assert_eq!(outcome.deltas, ["a", "a", "a"]);
    assert_eq!(repeated, 2);
    assert_eq!(outcome.error.unwrap().message, "no");
}

#[test]
fn the_limit_holds_for_events_that_repeat() {
    for content in 0..6 {
        let long = say(EVENTS[0], &"x".repeat(content));
        let stream = [say(EVENTS[0], "a").repeat(3), long.clone(), say(EVENTS[0], "a")].concat();
        let max = EVENTS[0].len() + 2;
        let (expected, _) =
            read(DeltaDecoder::without_repeats(Dialect::OpenAi, limited(max)), [&stream[..]]);
        assert_eq!(expected.end == End::Failed, long.len() - 2 > max);
        for at in 0..stream.len() {
            let reads = [&stream[..at], &stream[at..]];
            assert_eq!(
                read(DeltaDecoder::new(Dialect::OpenAi, limited(max)), reads).0,
                expected,
                "cut at {at}"
            );
        }
    }
}

#[test]
fn a_stream_that_ends_within_an_event_that_may_repeat() {
    for event in EVENTS {
        let (usual, last) = (say(event, "a").repeat(3), say(event, "longer"));
        for at in 0..last.len() {
            let stream = [&usual, &last[..at]].concat();
            for (dialect, max) in
                DIALECTS.map(|dialect| [(dialect, usize::MAX), (dialect, event.len() + 2)]).concat()
            {
                let (expected, _) =
                    read(DeltaDecoder::without_repeats(dialect, limited(max)), [&stream[..]]);
                for reads in [
                    vec![&stream[..]],
                    vec![&stream[..usual.len() + at / 2], &stream[usual.len() + at / 2..]],
                ] {
                    let (outcome, _) = read(DeltaDecoder::new(dialect, limited(max)), reads);
                    assert_eq!(
                        outcome, expected,
                        "{dialect:?} {event} at {at}, of at most {max} bytes"
                    );
                }
            }
        }
    }
}

/// A beginning that is too long to be held as it came leaves nothing behind that is taken for the
/// next one's.
#[test]
fn how_far_a_beginning_goes_is_told_of_that_beginning_alone() {
    let padded =
        |pad: &str| say(&EVENTS[1].replace(r#""pad":"""#, &format!(r#""pad":"{pad}""#)), "a");
    let long = padded(&"x".repeat(5_000));
    let content = memchr::memmem::find(&long, b"\"content\"").unwrap();
    let usual = ["a", "bc", "d", "ef"].map(padded).concat();
    let stray = b"da\"content\":\"z\"}}]}\n\n";
    let stream = [&usual, &long, &stray[..], &usual].concat();
    let cuts = [usual.len() + content, usual.len() + long.len() + 2];
    let reads = [&stream[..cuts[0]], &stream[cuts[0]..cuts[1]], &stream[cuts[1]..]];
    let (outcome, repeated) = read(remembering(Dialect::OpenAi), reads);
    assert!(repeated > 4, "{repeated}");
    assert_eq!(outcome, reference(Dialect::OpenAi, [&stream[..]]));
}

/// What contents are put together of: plain text, characters of each size, escapes of each kind,
/// halves of characters, and what cannot stand in a string.
const PIECES: [&[u8]; 26] = [
    b"a",
    b" the mill",
    b"as long as a vector",
    b"/",
    b"\x7f",
    "é".as_bytes(),
    "水".as_bytes(),
    "😀".as_bytes(),
    b"\\n",
    b"\\\"",
    b"\\\\",
    b"\\/",
    b"\\u0000",
    b"\\u007F",
    b"\\u0080",
    b"\\u07ff",
    b"\\u0800",
    b"\\ud7ff\\ue000\\uffff",
    b"\\u6c34",
    b"\\ud83d\\ude00",
    b"\\ud83d",
    b"\\ude00",
    b"\\u12g4",
    b"\xe6\xb0",
    b"\xff",
    b"\x1f",
];

/// Contents of which most are texts.
fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::sample::select(&PIECES[..20]);
    let any = prop::sample::select(&PIECES[..]);
    let pieces = prop_oneof![
        3 => prop::collection::vec(text.clone(), 0..8),
        1 => prop::collection::vec(text, 0..40),
        1 => prop::collection::vec(any, 0..12),
    ];
    pieces.prop_map(|pieces| pieces.concat())
}

/// What another reader makes of the inside of a string.
fn by_serde(content: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", content, b"\""].concat()).ok()
}

/// A stream whose events are each like one before, with a change or two or none.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let content = prop::sample::select(vec![
        "a",
        "b c",
        "é",
        "\\n",
        "\\ud83c\\udf89",
        "\u{2028}",
        "",
        "longer than eight bytes",
    ]);
    let any_change = prop_oneof![
        4 => Just(None),
        2 => prop::sample::select(CHANGES.to_vec()).prop_map(|(from, to)| Some((from.to_owned(), to.to_vec()))),
        1 => (prop::sample::select(vec!["\"", ":", ",", "}", "c", "d", "e", "]", "0", "l"]), prop::collection::vec(any::<u8>(), 0..3))
            .prop_map(|(from, to)| Some((from.to_owned(), to))),
    ];
    let ends =
        prop::sample::select(vec!["\n\n", "\n\n", "\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\n"]);
    let event = (prop::sample::select(EVENTS.to_vec()), 1..6_usize, content, any_change, ends);
    prop::collection::vec(event, 1..8).prop_map(|events| {
        let mut stream = Vec::new();
        for (event, times, content, changed, ends) in events {
            let mut block = event.as_bytes().to_vec();
            if let Some((from, to)) = changed {
                block = change(&block, &from, &to).unwrap_or(block);
            }
            block = change(&block, "@", content.as_bytes()).unwrap_or(block);
            block.extend(ends.as_bytes());
            stream.extend(block.repeat(times));
        }
        stream
    })
}

proptest! {
    #[test]
    fn remembering_changes_nothing(
        stream in any_stream(),
        dialect in prop::sample::select(DIALECTS.to_vec()),
        max in prop_oneof![Just(usize::MAX), 40..300_usize],
        offsets in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let (expected, _) = read(DeltaDecoder::without_repeats(dialect, limited(max)), [&stream[..]]);
        for reads in [vec![&stream[..]], cut(&stream, &offsets), stream.chunks(1).collect()] {
            let (outcome, _) = read(DeltaDecoder::new(dialect, limited(max)), reads);
            prop_assert_eq!(&outcome, &expected);
        }
    }

    #[test]
    fn a_content_of_any_length_is_read_as_in_full(
        contents in prop::collection::vec(any_content(), 1..4),
        event in prop::sample::select(&EVENTS[..5]),
        offsets in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let dialect = if event.contains("choices") { Dialect::OpenAi } else { Dialect::AiPkit };
        let mut stream = say(event, "a").repeat(3);
        for content in &contents {
            stream.extend(change(&say(event, "@"), "@", content).unwrap_or_default());
        }
        let expected = reference(dialect, [&stream[..]]);
        for reads in [vec![&stream[..]], cut(&stream, &offsets), stream.chunks(1).collect()] {
            prop_assert_eq!(&read(remembering(dialect), reads).0, &expected);
        }
        let texts: Option<Vec<String>> = contents.iter().map(|content| by_serde(content)).collect();
        if let Some(texts) = texts {
            prop_assert_eq!(expected.deltas.concat(), "aaa".to_owned() + &texts.concat());
        }
    }
}
