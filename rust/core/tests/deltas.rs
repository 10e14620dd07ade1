//! The delta decoder against the vectors in `tests/vectors/deltas/` and against plain readers.

use proptest::prelude::*;
use tailrace_core::json::Reader;
use tailrace_core::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End, ErrorKind, ReplyError};

use crate::checks::plain::Plain;
use crate::checks::tree;
use crate::cuts::cut;
use crate::expect::{Records, run, run_and_check};
use crate::vectors;

#[test]
fn every_vector_however_it_is_cut() {
    for (name, case) in vectors::cases("deltas") {
        run_and_check(&name, &case, &vectors::bytes(&case["input"]));
    }
}

#[test]
fn the_last_data_of_a_body_is_its_answer_and_what_follows_still_counts() {
    let strings = [r#""""#, r#""plain""#, r#""a\u2019\/b\n""#, r#""\ud83c""#, "null", "[]"];
    for first in strings {
        for last in strings {
            let body = format!(r#"{{"data":{first},"status":"success","data":{last}}}"#);
            let (deltas, decoder) = ai_power(&body);
            let answer = Reader::new(last)
                .string()
                .map(|text| text.decode().into_owned())
                .unwrap_or_default();
            assert_eq!(deltas.concat(), answer, "{body}");
            assert_eq!(
                decoder.end(),
                if answer.is_empty() { End::Failed } else { End::Done },
                "{body}"
            );
        }
    }
    for (behind, end) in [
        (r#","status":"error","msg":"no"}"#, End::Failed),
        (r#","error":{"message":"no"}}"#, End::Failed),
        (r#","data":"\x"}"#, End::Failed),
        (r#","data":"\u12"#, End::Truncated),
        ("", End::Truncated),
    ] {
        let (deltas, decoder) = ai_power(&format!(r#"{{"status":"success","data":"a\nb"{behind}"#));
        assert_eq!((deltas.concat().as_str(), decoder.end()), ("", end), "{behind}");
    }
}

fn ai_power(body: &str) -> (Vec<String>, DeltaDecoder) {
    run(DeltaDecoder::new(Dialect::AiPower, DeltaOptions::default()), [body.as_bytes()], true)
}

/// JSON as it is written: objects keep duplicate keys, strings are UTF-16 with lone surrogates.
#[derive(Debug, Clone)]
enum Tree {
    Plain(&'static str),
    Text(Vec<u16>),
    List(Vec<Tree>),
    Object(Vec<(&'static str, Tree)>),
}

impl Tree {
    /// Writes it down.
    fn write(&self, json: &mut String) {
        match self {
            Self::Plain(plain) => json.push_str(plain),
            Self::Text(units) => {
                json.push('"');
                json.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
                json.push('"');
            }
            Self::List(elements) => {
                json.push('[');
                for (index, element) in elements.iter().enumerate() {
                    json.push_str(if index > 0 { ", " } else { "" });
                    element.write(json);
                }
                json.push(']');
            }
            Self::Object(members) => {
                json.push_str("{ ");
                for (index, (key, value)) in members.iter().enumerate() {
                    json.push_str(if index > 0 { "," } else { "" });
                    json.push_str(&serde_json::to_string(key).unwrap());
                    json.push_str(" :");
                    value.write(json);
                }
                json.push('}');
            }
        }
    }

    fn json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json);
        json
    }
}

fn any_leaf() -> impl Strategy<Value = Tree> {
    let unit = prop_oneof![0x20_u16..0x7f, Just(0xd83c), Just(0xdf89), any::<u16>()];
    prop_oneof![
        prop::sample::select(vec![
            "null", "true", "false", "0", "-0", "0.0", "0e3", "1", "-1", "1.5", "12", "{}", "[]",
            "\"\""
        ])
        .prop_map(Tree::Plain),
        prop::collection::vec(unit, 0..5).prop_map(Tree::Text),
    ]
}

/// An object whose keys are drawn from a few, so that some come twice, with a value for each.
fn any_object(
    members: Vec<(&'static str, BoxedStrategy<Tree>)>,
    at_most: usize,
) -> BoxedStrategy<Tree> {
    let member = prop::sample::select(members)
        .prop_flat_map(|(key, value)| value.prop_map(move |value| (key, value)));
    prop::collection::vec(member, 0..=at_most).prop_map(Tree::Object).boxed()
}

fn any_chunk() -> impl Strategy<Value = Tree> {
    let leaf = || any_leaf().boxed();
    let delta = any_object(vec![("content", leaf()), ("content", leaf()), ("role", leaf())], 3);
    let choice = any_object(
        vec![
            (
                "index",
                prop::sample::select(vec!["0", "0.0", "-0", "null", "1", "0e1"])
                    .prop_map(Tree::Plain)
                    .boxed(),
            ),
            ("delta", delta.clone()),
            ("delta", delta),
            ("delta", leaf()),
            ("text", leaf()),
            ("finish_reason", leaf()),
            ("message", leaf()),
        ],
        5,
    );
    let choices = prop::collection::vec(prop_oneof![4 => choice, 1 => leaf()], 0..3)
        .prop_map(Tree::List)
        .boxed();
    let error = any_object(vec![("message", leaf()), ("code", leaf())], 2);
    any_object(
        vec![
            ("choices", choices.clone()),
            ("choices", choices.clone()),
            ("choices", choices),
            ("choices", leaf()),
            ("error", Just(Tree::Plain("null")).boxed()),
            ("error", prop_oneof![error, leaf()].boxed()),
            ("id", leaf()),
            ("other", leaf()),
        ],
        5,
    )
}

/// Parts of replies, put together in any order.
fn any_reply() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"[..],
        b"data: {\"choices\":[{\"delta\":{\"content\":\"b\\ud83c\"}}]}\n\n",
        b"data: {\"choices\":[{\"delta\":{\"content\":\"\\udf89\",\"reasoning\":\"\\ud83c\"}}]}\n\n",
        b"data: {\"choices\":[{\"message\":{\"content\":\"ab\"}}]}\n\n",
        b"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{\\ud83c\"}}]}}]}\n\n",
        b"data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"a\"}\n\n",
        b"data: {\"type\":\"response.output_text.delta\",\"output_index\":1,\"delta\":\"\\ud83c\"}\n\n",
        b"data: {\"type\":\"response.output_text.done\",\"output_index\":0,\"text\":\"aab\"}\n\n",
        b"data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}}\n\n",
        b"data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"a\":1}}}\n\n",
        b"data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n",
        b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"partialArgs\":[{\"jsonPath\":\"$.a\",\"stringValue\":\"x\"}],\"willContinue\":true}}]}}]}\n\n",
        b"data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"content\":\"\xc3\xa9\"},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        b"event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"say \"x\" \"}}]}\n\n",
        b"event: thread.message.delta\ndata: {\"delta\":{\"content\":[{\"text\":{\"value\":\"v\"}}]}}\n\n",
        b"event: thread_id\ndata: t1\n\n",
        b"event: assistant_error\ndata: {\"msg\":\"m\"}\n\n",
        b"event: done\ndata: \n\n",
        b"data: {\"delta\":\"d\\u00e9\"}\n\n",
        b"event: message_start\ndata: {\"message_id\":\"m1\"}\n\n",
        b"event: openai_response_id\ndata: {\"id\":\"r1\"}\n\n",
        b"event: error\nid: err-1\ndata: {\"error\":\"e\",\"quota_notice\":{\"a\":1}}\n\n",
        b"event: error\ndata: words",
        b"event: done\ndata: {\"finished\":true}",
        b"data: {\"msg\":\"no &amp; no\",\"modflag\":true}\n\n",
        b"data: {\"error\":{\"message\":\"e\",\"code\":5}}\n\n",
        b"data: [DONE]\n\n",
        b"data: [DONE]",
        b"data: [LIMITED]\n\n",
        b"data: {\"choices\":[{\"delta\":{\"content\":\"l\"}}]}\n",
        b" data: {\"delta\":\"d\"}\n\n",
        b"<p>data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n",
        b"event: x\ndata: {\"a\":1}\nevent: y\n",
        b"error: {\"code\":1,\"message\":\"e\"}\n",
        b"data: error: e\n\n",
        b"event: error\n\n",
        b"event: warning\ndata: {\"error\":\"w\"}\n\n",
        b"{\"error\":\"e\"}\n",
        b"data: {\"detail\":\"e\"}\n\n",
        b"<b>Fatal error</b>: e\n",
        b"other: {\n",
        b"data: bad\n\n",
        b": ping\n\n",
        b"{\"status\":\"success\",\"data\":\"answer\"}",
        b"{\"status\":\"error\",\"msg\":\"m\"}",
        b"{\"success\":true,\"data\":{\"reply\":\"answer\",\"message_id\":\"m1\"}}",
        b"{\"success\":false,\"data\":{\"message\":\"m\",\"code\":\"c\"}}",
        b"{\"choices\":[{\"message\":{\"content\":\"answer\"}}]}",
        b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":2}}}\n\n",
        b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\"}}\n\n",
        b"data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"t\"}}\n\n",
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n",
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n",
        b"data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"t\"}}\n\n",
        b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"s\"},\"usage\":{\"output_tokens\":3}}\n\n",
        b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n",
        b"data: {\"type\":\"response.refusal.delta\",\"delta\":\"no\"}\n\n",
        b"data: {\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\"}}\n\n",
        b"data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[{}]}}\n\n",
        b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n",
        b"[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a]\"},{\"functionCall\":{\"name\":\"f\"}}]}}]},",
        b"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"t\",\"thought\":true}]},\"finishReason\":\"STOP\"}]}",
        b"{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}",
        b"{\"message\":{\"content\":\"a\"},\"done\":false}\n",
        b"{\"message\":{\"thinking\":\"t\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]}}\n",
        b"{\"response\":\"b\",\"done\":true,\"done_reason\":\"stop\",\"eval_count\":3}\n",
        b"{\"content\":[{\"type\":\"text\",\"text\":\"a\"}],\"output\":[{\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}]}",
        b"data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"reasoning\":\"r\",\"tool_calls\":[{\"id\":\"c\"}]}}]}\n\n",
        b"[",
        b",",
        b"]",
        b"<!DOCTYPE html><title>Just a moment...</title>",
        b"<br />\n<b>Notice</b>: x\n",
        b"0",
        b"-1",
        b"\xef\xbb\xbf",
        b"\n",
        b"\r",
        b" ",
        b"dat",
        b"{",
        b"tail",
        b"ta",
        b"\xf0\x9f\x8e\x89",
        b"\xf0\x9f",
        b"\xff",
    ]);
    let any_part = prop_oneof![8 => part.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 1..4)];
    prop::collection::vec(any_part, 0..12).prop_map(|parts| parts.concat())
}

fn any_options() -> impl Strategy<Value = DeltaOptions> {
    let content_type = prop::sample::select(vec![None, Some("text/html"), Some("text/plain")]);
    (
        content_type,
        prop::sample::select(vec![200_u16, 200, 200, 400]),
        any::<bool>(),
        20_usize..300,
        20_usize..300,
    )
        .prop_map(|(content_type, status, tail, max_event_bytes, max_body_bytes)| {
            DeltaOptions {
                content_type: content_type.map(str::to_owned),
                status,
                failure_tail: tail.then(|| "tail".to_owned()),
                max_event_bytes,
                max_body_bytes,
            }
        })
}

/// All that must not depend on the cuts; of a `text` reply the number of deltas does.
fn outcome(
    deltas: &[String],
    decoder: &DeltaDecoder,
) -> (String, End, Option<ReplyError>, bool, u64, String) {
    let told = format!(
        "{:?} {:?} {:?} {:?}",
        decoder.finish_reason(),
        decoder.usage(),
        decoder.ids(),
        decoder.framing()
    );
    (
        deltas.concat(),
        decoder.end(),
        decoder.error().cloned(),
        decoder.done(),
        decoder.bad_events(),
        told,
    )
}

/// Feeds and closes a decoder; of which reads everything is wanted, and of which the text, is told
/// by their numbers.
fn run_with(
    mut decoder: DeltaDecoder,
    reads: &[&[u8]],
    complete: bool,
    wanted: impl Fn(usize) -> bool,
) -> (Records, DeltaDecoder) {
    let mut records = Records::default();
    for (number, read) in reads.iter().enumerate() {
        if wanted(number) {
            decoder.feed(read, &mut records);
        } else {
            let mut deltas: Vec<String> = Vec::new();
            decoder.feed(read, &mut deltas);
            for delta in deltas {
                records.text(&delta);
            }
        }
    }
    decoder.close(complete, &mut records);
    (records, decoder)
}

proptest! {
    #[test]
    fn a_chunk_gives_what_a_plain_reader_takes(chunk in any_chunk()) {
        let json = chunk.json();
        // None where a character stands in it that the tree means something else by.
        let Some(tree) = tree::Tree::of(&json) else { return Ok(()) };
        let plain = Plain::read(&tree);
        let stream = format!("data: {json}\n\ndata: [DONE]\n\n");
        let (deltas, decoder) = run(DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default()), [stream.as_bytes()], true);
        prop_assert_eq!(decoder.bad_events(), 0);
        if plain.has_error {
            prop_assert_eq!(decoder.error().map(|error| error.kind), Some(ErrorKind::Upstream));
            prop_assert_eq!(deltas.len(), 0);
        } else {
            let has_come = !deltas.is_empty() || decoder.finish_reason().is_some();
            prop_assert_eq!(decoder.end(), if has_come { End::Done } else { End::Failed });
            prop_assert_eq!(deltas.concat(), tree::whole(&plain.event.text));
            prop_assert_eq!(decoder.finish_reason(), plain.finish_reason.as_deref());
        }
    }

    #[test]
    fn cuts_change_nothing(
        reply in any_reply(),
        options in any_options(),
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
        complete in any::<bool>(),
        offsets in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let (deltas, whole) = run(DeltaDecoder::new(dialect, options.clone()), [&reply[..]], complete);
        for chunks in [cut(&reply, &offsets), reply.chunks(1).collect()] {
            let (cut_deltas, cut) = run(DeltaDecoder::new(dialect, options.clone()), chunks, complete);
            prop_assert_eq!(outcome(&cut_deltas, &cut), outcome(&deltas, &whole));
            if dialect != Dialect::Text {
                prop_assert_eq!(&cut_deltas, &deltas);
                prop_assert_eq!(cut.events(), whole.events());
            }
        }
    }

    #[test]
    fn whoever_wants_more_gets_the_same_text(
        reply in any_reply(),
        options in any_options(),
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
        complete in any::<bool>(),
        offsets in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let new = || DeltaDecoder::new(dialect, options.clone());
        let (deltas, whole) = run(new(), [&reply[..]], complete);
        let (records, ended) = run_with(new(), &[&reply[..]], complete, |_| true);
        prop_assert_eq!(outcome(&records.texts(), &ended), outcome(&deltas, &whole));
        let reads = cut(&reply, &offsets);
        for reads in [&reads, &reply.chunks(1).collect()] {
            let (of_cut, ended) = run_with(new(), reads, complete, |_| true);
            prop_assert_eq!(outcome(&of_cut.texts(), &ended), outcome(&deltas, &whole));
            if dialect != Dialect::Text {
                prop_assert_eq!(&of_cut, &records);
            }
            // Sinks that take turns: what is remembered for the one is nothing for the other.
            let (turns, ended) = run_with(new(), reads, complete, |read| read % 3 == 0);
            let reference = DeltaDecoder::without_repeats(dialect, options.clone());
            let (expected, _) = run_with(reference, reads, complete, |read| read % 3 == 0);
            prop_assert_eq!(&turns, &expected);
            prop_assert_eq!(outcome(&turns.texts(), &ended), outcome(&deltas, &whole));
        }
    }

    #[test]
    fn text_is_all_but_the_failure_tail(
        parts in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![&b"abab"[..], b"ab", b"a", b"b", b"c", b"\xc3", b"\xa9", b"\xff", b"\xf0\x9f"])
                    .prop_map(<[u8]>::to_vec),
                any::<char>().prop_map(|character| character.to_string().into_bytes()),
            ],
            1..20,
        ),
        tail in prop::sample::select(vec!["ab", "aba", "ababc", "aab", "a", "\u{e9}b"]),
    ) {
        let options = DeltaOptions { failure_tail: Some(tail.to_owned()), ..DeltaOptions::default() };
        let reply = parts.concat();
        let plain = String::from_utf8_lossy(&reply);
        let (deltas, decoder) = run(DeltaDecoder::new(Dialect::Text, options), parts.iter().map(Vec::as_slice), true);
        prop_assert_eq!(deltas.concat(), plain.strip_suffix(tail).unwrap_or(&plain));
        prop_assert_eq!(decoder.end(), if plain.ends_with(tail) { End::Failed } else { End::Done });
    }

    #[test]
    fn no_more_is_held_back_than_a_beginning_of_the_tail(text in "[abc]{1,12}", tail in "[ab]{1,5}") {
        let options = DeltaOptions { failure_tail: Some(tail.clone()), ..DeltaOptions::default() };
        let mut decoder = DeltaDecoder::new(Dialect::Text, options);
        let mut delivered = String::new();
        decoder.feed(text.as_bytes(), &mut delivered);
        let held = (0..=tail.len()).rev().find(|&length| text.ends_with(&tail[..length])).unwrap();
        prop_assert_eq!(delivered.len(), text.len() - held);
    }
}
