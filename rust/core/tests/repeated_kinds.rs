//! Events that repeat a layout and add something else than text, or the same beside another kind,
//! against the reference, which reads each event in full: with sinks that want text alone, with
//! those that want everything, and where all is collected.

use std::iter::repeat_n;

use proptest::prelude::*;
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End, OwnedDelta};

use crate::cuts::cut;

/// Events whose content is `@`, and around it `$`, which nobody reads.
const EVENTS: [(Dialect, &str); 24] = [
    (
        Dialect::OpenAi,
        r#"data: {"id":"$","choices":[{"index":0,"delta":{"content":null,"reasoning_content":"@"},"finish_reason":null}],"usage":null}"#,
    ),
    (
        Dialect::OpenAi,
        r#"data: {"id":"$","choices":[{"index":0,"delta":{"content":"","reasoning":"@","reasoning_details":[{"type":"reasoning.text","text":"$","index":0}]}}]}"#,
    ),
    (Dialect::OpenAi, r#"data: {"choices":[{"delta":{"reasoning":"$","reasoning_content":"@"}}]}"#),
    (Dialect::OpenAi, r#"data: {"choices":[{"delta":{"refusal":"@"}}],"pad":"$"}"#),
    (
        Dialect::OpenAi,
        r#"data: {"id":"$","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"@"}}]},"logprobs":null,"finish_reason":null}]}"#,
    ),
    (
        Dialect::OpenAi,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"","function":{"name":null,"arguments":"@"}}]}}],"pad":"$"}"#,
    ),
    (
        Dialect::OpenAi,
        r#"data: {"choices":[{"delta":{"function_call":{"arguments":"@"}}}],"pad":"$"}"#,
    ),
    (Dialect::OpenAi, r#"data: {"choices":[{"delta":{"content":"@"}}],"pad":"$"}"#),
    (
        Dialect::AiPower,
        r#"data: {"id":"$","choices":[{"delta":{"reasoning_content":"@","content":null}}]}"#,
    ),
    (
        Dialect::Anthropic,
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"@"},"pad":"$"}"#,
    ),
    (
        Dialect::Anthropic,
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"@"},"pad":"$"}"#,
    ),
    (
        Dialect::Anthropic,
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"@\"}}",
    ),
    (
        Dialect::Anthropic,
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@"},"pad":"$"}"#,
    ),
    (
        Dialect::OpenAiResponses,
        r#"data: {"type":"response.reasoning_summary_text.delta","item_id":"$","output_index":0,"summary_index":0,"delta":"@"}"#,
    ),
    (
        Dialect::OpenAiResponses,
        r#"data: {"type":"response.reasoning_text.delta","item_id":"$","output_index":0,"content_index":0,"delta":"@"}"#,
    ),
    (
        Dialect::OpenAiResponses,
        r#"data: {"type":"response.refusal.delta","item_id":"$","delta":"@"}"#,
    ),
    (
        Dialect::OpenAiResponses,
        "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"item_id\":\"$\",\"output_index\":0,\"delta\":\"@\"}",
    ),
    (
        Dialect::OpenAiResponses,
        r#"data: {"type":"response.output_text.delta","output_index":0,"delta":"@","pad":"$"}"#,
    ),
    (
        Dialect::Gemini,
        r#"data: {"candidates":[{"content":{"parts":[{"text":"@","thought":true}]}}],"pad":"$"}"#,
    ),
    (Dialect::Ollama, r#"{"created_at":"$","message":{"content":"","thinking":"@"},"done":false}"#),
    (Dialect::Ollama, r#"{"created_at":"$","response":"","thinking":"@","done":false}"#),
    (Dialect::AiEngine, r#"data: {"type":"live","subtype":"thinking","data":"@","pad":"$"}"#),
    (Dialect::AiPkit, r#"data: {"delta":"@","type":"response.x","pad":"$"}"#),
    (
        Dialect::OpenAi,
        r#"data: {"choices":[{"delta":{"audio":{"transcript":"t"},"content":"@"}}],"pad":"$"}"#,
    ),
];

/// What may change in them: a part, and what stands there then.
#[rustfmt::skip]
const CHANGES: &[(&str, &str)] = &[
    ("@", ""), ("@", "\\ud83c"), ("@", "\\udf89"), ("@", "a\\ud83c\\udf89"), ("@", "{\\\"a\\\": "), ("@", "}"), ("@", "\\q"), ("@", "\0"), ("@", "é\u{2028}"),
    ("@", "sixteen bytes and then as many again, and so on, until blocks of sixty-four are looked at"),
    ("\"@\"", "null"), ("\"@\"", "7"), ("\"@\"", "[\"@\"]"), ("\"@\"", "{\"text\":\"@\"}"), ("\"@\"", "\"@\",\"content\":\"c\""), ("\"@\"", "\"@\",\"refusal\":\"r\""),
    ("\"@\"", "\"@\",\"signature\":\"s\""), ("\"@\"", "\"@\",\"thoughtSignature\":\"s\""), ("\"@\"", "\"@\",\"reasoning_details\":[\"@\"]"), ("\"@\"", "\"@\",\"audio\":{\"data\":\"d\"}"),
    ("\"@\"", "\"@\",\"name\":\"n\""), ("\"@\"", "\"@\",\"annotations\":[{}]"), ("\"@\"", "\"@\",\"tool_calls\":[{}]"), ("\"$\"", "\"\""), ("\"$\"", "null"), ("\"$\"", "\"\\\"\""), ("\"$\"", "\"\\q\""),
    ("\"text\":\"$\"", "\"text\":\"$\",\"summary\":\"$\""), ("\"reasoning\":\"$\"", "\"reasoning\":\"\""), ("\"reasoning\":\"$\"", "\"reasoning\":null"), ("\"pad\"", "\"error\""), ("\"pad\"", "\"index\""), ("\"pad\"", "\"type\""),
    ("\"pad\"", "\"delta\""), ("\"pad\"", "\"subtype\""), ("\"pad\"", "\"usage\""), ("\"pad\"", "\"citations\""), ("\"pad\"", "\"output_index\""), ("\"item_id\"", "\"summary_index\""), ("\"item_id\"", "\"content_index\""),
    ("\"index\":0", "\"index\":1"), ("\"index\":0,", ""), ("\"index\":0", "\"index\":\"0\""), ("_index\":0", "_index\":1"), ("\"index\":1", "\"index\":0"),
    ("_index\":0", "_index\":\"0\""), ("\"id\":\"\"", "\"id\":\"c2\""), ("\"name\":null", "\"name\":\"n\""), ("\"function\"", "\"id\":\"c3\",\"function\""), ("\"arguments\"", "\"name\":\"n\",\"arguments\""),
    ("_content\"", "_text\""), ("reasoning_summary_text", "reasoning_text"), ("reasoning_text", "reasoning"), ("thinking_delta", "signature_delta"), ("function_call_arguments", "custom_tool_call_input"),
    ("\"thought\":true", "\"thought\":false"), ("\"thinking\"", "\"content\""), ("\"done\":false", "\"done\":true"), ("\"finish_reason\":null", "\"finish_reason\":\"stop\""), ("\"usage\":null", "\"usage\":{\"total_tokens\":7}"),
    ("\"logprobs\":null", "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-1}]}"), ("null", "\"\""), ("null", "[]"), ("null", "{}"), ("\"choices\":[{", "\"choices\":[{\"index\":1},{"), ("}]}", "}],\"choices\":[]}"),
    ("\"thinking\"", "\"Thinking\""), ("\"delta\":{", "\"delta\":{\"content\":\"c\","), ("\"delta\":{", "\"delta\":{\"content\":\"\","), ("data:", "event: error\ndata:"), ("data:", "data: 1\ndata:"),
];

/// Events that come between others.
#[rustfmt::skip]
const BETWEEN: &[(Dialect, &[&str])] = &[
    (Dialect::OpenAi, &[
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"n","arguments":""}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c2","function":{"name":"m","arguments":"{"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"c3","function":{"name":"m"}},{"index":7,"id":"c4"}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\ud83c"}}]}}]}"#,
        r#"data: {"choices":[{"message":{"content":"all","reasoning":"hm"},"finish_reason":"stop"}]}"#,
        r#"data: {"choices":[],"usage":{"prompt_tokens":1}}"#, "data: [DONE]",
    ]),
    (Dialect::AiPower, &["event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"no\"}}]}"]),
    (Dialect::Anthropic, &[
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c1","name":"n","input":{}}}"#,
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c2","name":"n","input":{"a":1}}}"#,
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"c3","name":"web_search"}}"#,
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
        r#"data: {"type":"message_start","message":{"content":[{"type":"text","text":"all"}]}}"#,
        r#"data: {"type":"content_block_stop","index":0}"#, r#"data: {"type":"message_stop"}"#,
    ]),
    (Dialect::OpenAiResponses, &[
        r#"data: {"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c1","name":"n","arguments":""}}"#,
        r#"data: {"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c2","name":"n","arguments":"{}"}}"#,
        r#"data: {"type":"response.function_call_arguments.done","output_index":0,"arguments":"aaab c"}"#,
        r#"data: {"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"text":"aab c!"}"#,
        r#"data: {"type":"response.refusal.done","refusal":"aaa"}"#,
        r#"data: {"type":"response.output_text.delta","output_index":2,"delta":"\ud83c"}"#,
        r#"data: {"type":"response.output_text.delta","output_index":3,"delta":"\udf89"}"#,
        r#"data: {"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"aa"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"aab"}]}]}}"#,
    ]),
    (Dialect::Gemini, &[r#"data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"n","args":{}}}]}}]}"#, r#"data: {"candidates":[{"finishReason":"STOP"}]}"#]),
    (Dialect::Ollama, &[r#"{"message":{"content":"","tool_calls":[{"function":{"name":"n","arguments":{}}}]},"done":false}"#, r#"{"done":true}"#]),
    (Dialect::AiEngine, &[r#"data: {"type":"live","data":"b","subtype":"status"}"#, r#"data: {"type":"end","data":"{\"success\":true,\"reply\":\"aab\"}"}"#]),
    (Dialect::AiPkit, &["event: status\ndata: {\"stop_reason\":\"stop\"}"]),
];

/// What is wanted of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    Everything,
    Collected,
}

const WANTED: [Wanted; 3] = [Wanted::Text, Wanted::Everything, Wanted::Collected];

/// All that a decoder tells of a reply, and how many of its events needed no full reading.
fn read<'a>(
    mut decoder: DeltaDecoder,
    wanted: Wanted,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, u64) {
    let (mut texts, mut deltas) = (Vec::<String>::new(), Vec::<OwnedDelta>::new());
    if wanted == Wanted::Collected {
        decoder.collect();
    }
    for read in reads {
        match wanted {
            Wanted::Everything => decoder.feed(read, &mut deltas),
            _ => decoder.feed(read, &mut texts),
        }
    }
    let repeated = decoder.repeated_events();
    match wanted {
        Wanted::Everything => decoder.close(true, &mut deltas),
        _ => decoder.close(true, &mut texts),
    }
    let mut told: Vec<String> = deltas.iter().map(|delta| format!("{delta:?}")).collect();
    told.extend(texts);
    told.extend([
        format!("{:?} {:?} {}", decoder.end(), decoder.error(), decoder.done()),
        format!("{:?} {:?}", decoder.finish_reason(), decoder.usage()),
        format!("{:?} {:?}", decoder.ids(), decoder.passed_over().collect::<Vec<_>>()),
        format!("{} events, {} bad", decoder.events(), decoder.bad_events()),
        format!("{:?}", decoder.collected()),
    ]);
    (told, repeated)
}

fn remembering(dialect: Dialect) -> DeltaDecoder {
    DeltaDecoder::new(dialect, DeltaOptions::default())
}

fn reference(dialect: Dialect, wanted: Wanted, stream: &[u8]) -> Vec<String> {
    let decoder = DeltaDecoder::without_repeats(dialect, DeltaOptions::default());
    let (told, repeated) = read(decoder, wanted, [stream]);
    assert_eq!(repeated, 0);
    told
}

/// An event with this content, and with something else that nobody reads each time.
fn say(dialect: Dialect, event: &str, content: &str, number: usize) -> Vec<u8> {
    let end = if dialect == Dialect::Ollama { "\n" } else { "\n\n" };
    (event.replace('@', content).replace('$', &format!("p{number}")) + end).into_bytes()
}

/// Panics unless a stream is read as by the reference, whole, byte by byte and cut in two at every
/// `step`th offset.
fn is_read_as_by_the_reference(dialect: Dialect, stream: &[u8], step: usize) {
    for wanted in WANTED {
        let expected = reference(dialect, wanted, stream);
        let told = || format!("{dialect:?} {wanted:?} {}", String::from_utf8_lossy(stream));
        let read = |reads: &[&[u8]]| read(remembering(dialect), wanted, reads.iter().copied()).0;
        assert_eq!(read(&[stream]), expected, "{}", told());
        assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()), expected, "{}", told());
        for at in (0..stream.len()).step_by(step) {
            assert_eq!(read(&[&stream[..at], &stream[at..]]), expected, "{} cut at {at}", told());
        }
    }
}

#[test]
fn events_that_repeat_are_not_read_in_full() {
    for (dialect, event) in EVENTS {
        let stream: Vec<u8> =
            (0..100).flat_map(|number| say(dialect, event, "a\\n", number)).collect();
        for wanted in WANTED {
            let expected = reference(dialect, wanted, &stream);
            for size in [1, 7, 100, 1400, stream.len()] {
                let (told, repeated) = read(remembering(dialect), wanted, stream.chunks(size));
                assert_eq!(told, expected, "{event}");
                assert!(repeated > 95, "{event} {wanted:?}: {repeated}, reads of {size}");
            }
        }
    }
}

#[test]
fn what_one_event_adds_is_a_delta_of_its_own() {
    for (dialect, event) in EVENTS {
        let stream: Vec<u8> =
            (0..100).flat_map(|number| say(dialect, event, "a\\n", number)).collect();
        let mut deltas = Vec::<OwnedDelta>::new();
        remembering(dialect).feed(&stream, &mut deltas);
        let [first, .., last] = &deltas[..] else { panic!("{event} gave {deltas:?}") };
        assert_eq!(deltas, repeat_n(last.clone(), 100).collect::<Vec<_>>(), "{event}");
        assert!(format!("{first:?}").contains(r#""a\n""#), "{first:?}");
    }
}

#[test]
fn whatever_changes() {
    for (dialect, event) in EVENTS {
        for (from, to) in CHANGES.iter().filter(|(from, _)| event.contains(from)) {
            let changed = event.replacen(from, to, 1);
            let events =
                [event, event, event, &changed, event, &changed, &changed, &changed, event]
                    .into_iter()
                    .zip(["a", "a", "b c", "d", "", "{", "e", "}", "f"]);
            let stream: Vec<u8> = events
                .enumerate()
                .flat_map(|(number, (event, content))| say(dialect, event, content, number))
                .collect();
            is_read_as_by_the_reference(dialect, &stream, 211);
        }
    }
}

#[test]
fn whatever_comes_between() {
    for (dialect, between) in BETWEEN {
        for (_, event) in EVENTS.iter().filter(|(of, _)| of == dialect) {
            for other in *between {
                let events = [*event, event, event, other, event, event, other, other, event];
                let stream: Vec<u8> = events
                    .into_iter()
                    .enumerate()
                    .flat_map(|(number, event)| say(*dialect, event, "a", number))
                    .collect();
                is_read_as_by_the_reference(*dialect, &stream, 97);
            }
        }
    }
}

/// Numbers tell which call, or which part, an event adds to, also where they are written as strings,
/// or where most numbers tell nothing.
#[test]
fn where_something_is_added_matters() {
    let call = r#"data: {"type":"content_block_delta","index":"%","delta":{"type":"input_json_delta","partial_json":"@"}}"#;
    let summary = r#"data: {"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":%,"delta":"@"}"#;
    let whole = r#"data: {"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"text":"aaaa!"}"#;
    for (dialect, event) in [(Dialect::Anthropic, call), (Dialect::OpenAiResponses, summary)] {
        let numbers = [0, 0, 1, 2, 0, 1, 0, 2, 1, 1].map(|number| number.to_string());
        let events = numbers.iter().map(|number| event.replace('%', number));
        let mut stream: Vec<u8> = events.flat_map(|event| say(dialect, &event, "a", 0)).collect();
        stream.extend(say(dialect, whole, "", 0));
        is_read_as_by_the_reference(dialect, &stream, 97);
    }
}

/// A call whose arguments were whole is over where its name comes again, and others begin.
#[test]
fn arguments_that_repeat_may_be_whole() {
    let named = r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"n","arguments":"@"}}]}}]}"#;
    let (dialect, event) = EVENTS[4];
    for last in ["}", "]", ""] {
        let stream: Vec<u8> = [named, event, event, event, event, event, named, event, event]
            .into_iter()
            .zip(["", "{", "\\\"a\\\"", ":1", "1", last, "{", "1", "2"])
            .flat_map(|(event, content)| say(dialect, event, content, 0))
            .collect();
        is_read_as_by_the_reference(dialect, &stream, 97);
        let told = reference(dialect, Wanted::Everything, &stream);
        assert_eq!(told.iter().any(|delta| delta.contains("index: Some(1)")), !last.is_empty());
    }
}

/// The limit of what is collected may be passed by an event that repeats another: what comes after
/// it is neither delivered nor counted.
#[test]
fn the_limit_of_what_is_collected_holds() {
    for (dialect, event) in EVENTS {
        let stream: Vec<u8> =
            (0..9).flat_map(|number| say(dialect, event, "mill", number)).collect();
        let mut failed = 0;
        for max_body_bytes in (0..700).step_by(3) {
            let options = DeltaOptions { max_body_bytes, ..DeltaOptions::default() };
            let decoder = DeltaDecoder::without_repeats(dialect, options.clone());
            let (expected, _) = read(decoder, Wanted::Collected, [&stream[..]]);
            failed += usize::from(expected.iter().any(|told| told.contains("Failed")));
            for size in [1, 50, 200, stream.len()] {
                let decoder = DeltaDecoder::new(dialect, options.clone());
                let (told, _) = read(decoder, Wanted::Collected, stream.chunks(size));
                assert_eq!(told, expected, "{event}, at most {max_body_bytes}, reads of {size}");
            }
        }
        let is_text = reference(dialect, Wanted::Text, &stream).contains(&"mill".to_owned());
        assert!(is_text || failed > 5, "{event}");
    }
}

/// Half a character of one kind holds up no other kind.
#[test]
fn a_half_that_nothing_goes_on_with() {
    let [thoughts, answer] = [EVENTS[0].1, EVENTS[7].1];
    let say = |event, content| say(Dialect::OpenAi, event, content, 1);
    let stream = [
        say(thoughts, "a").repeat(3),
        say(thoughts, "\\ud83c"),
        say(answer, "b").repeat(50),
        say(thoughts, "\\udf89"),
    ];
    let stream = stream.concat();
    let (told, repeated) = read(remembering(Dialect::OpenAi), Wanted::Everything, [&stream[..]]);
    assert_eq!(told, reference(Dialect::OpenAi, Wanted::Everything, &stream));
    assert!(told.iter().any(|delta| delta.contains("🎉")), "{told:?}");
    assert!(repeated > 45, "{repeated}");
}

#[test]
fn a_reply_that_is_no_text_ends_as_it_says() {
    let (dialect, event) = EVENTS[4];
    let finish = br#"data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#;
    let events = say(dialect, event, "1", 0).repeat(20);
    let stream = [&events[..], finish, b"\n\ndata: [DONE]\n\n"].concat();
    for wanted in WANTED {
        let mut decoder = remembering(dialect);
        if wanted == Wanted::Collected {
            decoder.collect();
        }
        decoder.feed(&stream, &mut Vec::<OwnedDelta>::new());
        assert_eq!(decoder.end(), End::Done);
        assert_eq!(decoder.finish_reason(), Some("tool_calls"));
        let calls = decoder.collected().map(|collected| collected.tool_calls()[0].arguments.len());
        assert_eq!(calls, (wanted == Wanted::Collected).then_some(20));
    }
}

/// A stream of one dialect: events of all kinds, each some times, now and then changed, or with
/// others between.
fn any_stream() -> impl Strategy<Value = (Dialect, Vec<u8>)> {
    let content = prop::sample::select(vec![
        "a",
        "b c",
        "{",
        "é",
        "\\n",
        "\\ud83c",
        "\\udf89",
        "",
        "\\\"}",
        "longer than sixteen bytes",
    ]);
    let run = (
        any::<prop::sample::Index>(),
        prop::collection::vec(content, 1..6),
        prop_oneof![3 => Just(None), 1 => prop::sample::select(CHANGES).prop_map(Some)],
        prop_oneof![2 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
    );
    let dialect = prop::sample::select(BETWEEN);
    (dialect, prop::collection::vec(run, 1..8)).prop_map(|((dialect, between), runs)| {
        let of_dialect: Vec<&str> =
            EVENTS.iter().filter(|(of, _)| *of == dialect).map(|(_, event)| *event).collect();
        let mut stream = Vec::new();
        for (index, contents, changed, other) in runs {
            let mut event = (*index.get(&of_dialect)).to_owned();
            if let Some((from, to)) = changed {
                event = event.replacen(from, to, 1);
            }
            for (number, content) in contents.into_iter().enumerate() {
                stream.extend(say(dialect, &event, content, number));
            }
            if let Some(other) = other {
                stream.extend(say(dialect, other.get::<&str>(between), "", 0));
            }
        }
        (dialect, stream)
    })
}

proptest! {
    #[test]
    fn remembering_changes_nothing(
        (dialect, stream) in any_stream(),
        wanted in prop::sample::select(&WANTED[..]),
        offsets in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let expected = reference(dialect, wanted, &stream);
        for reads in [vec![&stream[..]], cut(&stream, &offsets), stream.chunks(1).collect()] {
            prop_assert_eq!(&read(remembering(dialect), wanted, reads).0, &expected);
        }
    }
}
