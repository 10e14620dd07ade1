//! Events against the vectors, `serde_json`, readers of lines, and our own decoder.

use proptest::prelude::*;
use serde_json::Value;
use tailrace_core::{
    ChunkEncoder, ChunkFields, ChunkUsage, DeltaDecoder, DeltaOptions, Dialect, End,
};

fn cases(file: &str) -> Vec<Value> {
    let mut document: Value = serde_json::from_str(file).unwrap();
    let cases = document["cases"].as_array_mut().unwrap();
    assert!(!cases.is_empty());
    std::mem::take(cases)
}

fn plain_encoder() -> ChunkEncoder {
    ChunkEncoder::new(&ChunkFields::new("chatcmpl-1", 0, "m"))
}

fn event(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    plain_encoder().delta(text, &mut out);
    out
}

#[test]
fn texts() {
    for case in cases(include_str!("../../../tests/vectors/encode/text.json")) {
        let told = String::from_utf8(event(case["text"].as_str().unwrap())).unwrap();
        let content = format!("\"content\":{}}}", case["json"].as_str().unwrap());
        assert!(told.contains(&content), "{}: {told}", case["name"]);
    }
}

#[test]
fn events() {
    for case in cases(include_str!("../../../tests/vectors/encode/events.json")) {
        let given = &case["fields"];
        let text = |key: &str| given[key].as_str().unwrap();
        let mut fields =
            ChunkFields::new(text("id"), given["created"].as_i64().unwrap(), text("model"));
        fields.system_fingerprint = given["system_fingerprint"].as_str();
        fields.include_usage = given["include_usage"].as_bool().unwrap();
        let encoder = ChunkEncoder::new(&fields);
        for pair in case["events"].as_array().unwrap() {
            let mut out = Vec::new();
            encode(&encoder, pair[0].as_array().unwrap(), &mut out);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                pair[1].as_str().unwrap(),
                "{}",
                case["name"]
            );
        }
    }
}

fn encode(encoder: &ChunkEncoder, call: &[Value], out: &mut Vec<u8>) {
    let text = |index: usize| call[index].as_str();
    match text(0).unwrap() {
        "role" => encoder.role(out),
        "delta" => encoder.delta(text(1).unwrap(), out),
        "finish" => encoder.finish(text(1).unwrap(), out),
        "usage" => {
            let count = |index: usize| call[index].as_u64().unwrap();
            let mut usage = ChunkUsage::new(count(1), count(2));
            usage.estimated = call[3].as_bool().unwrap();
            if let Some(more) = call.get(4) {
                usage.total = more["total"].as_u64();
                usage.cached = more["cached"].as_u64();
                usage.reasoning = more["reasoning"].as_u64();
            }
            encoder.usage(&usage, out);
        }
        "done" => out.extend_from_slice(ChunkEncoder::DONE),
        "error" => ChunkEncoder::error(text(1).unwrap(), text(2).unwrap(), text(3), text(4), out),
        other => panic!("there is no event {other:?}"),
    }
}

/// The JSON of the one event in `bytes`, which is one line and an empty one for whoever reads
/// lines.
fn json_of(bytes: &[u8]) -> &str {
    let text = std::str::from_utf8(bytes).unwrap();
    let line = text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
    assert!(!line.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')));
    assert!(!line.contains('<'));
    line
}

#[test]
fn every_character_beside_itself_and_another() {
    let all: Vec<char> = ('\0'..=char::MAX).collect();
    for some in all.chunks(5000) {
        let text: String = some.iter().flat_map(|&character| [character, character, 'x']).collect();
        let out = event(&text);
        let read: Value = serde_json::from_str(json_of(&out)).unwrap();
        assert_eq!(read["choices"][0]["delta"]["content"], text);
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<String>(),
        any::<char>().prop_map(String::from),
        prop::sample::select(vec![
            "\"",
            "\\",
            "\n\n",
            "\r",
            "data: [DONE]",
            "</script>",
            "<!--",
            "\u{85}",
            "\u{2028}",
            "\u{2029}",
            "\0",
            "\u{7f}",
            "\u{9f}",
            "\u{a0}",
            "\u{2027}",
            "\u{feff}",
            "\u{fffd}",
            "\u{10ffff}",
            "\\u0022",
            "\"}]}",
        ])
        .prop_map(String::from),
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_text_is_read_back_from_its_one_line(
        text in hostile(), id in hostile(), model in hostile(), fingerprint in prop::option::of(hostile()),
        created: i64, include_usage: bool,
    ) {
        let mut fields = ChunkFields::new(&id, created, &model);
        fields.system_fingerprint = fingerprint.as_deref();
        fields.include_usage = include_usage;
        let encoder = ChunkEncoder::new(&fields);
        for finishing in [false, true] {
            let mut out = Vec::new();
            if finishing { encoder.finish(&text, &mut out) } else { encoder.delta(&text, &mut out) }
            let read: Value = serde_json::from_str(json_of(&out)).unwrap();
            let choice = &read["choices"][0];
            prop_assert_eq!(if finishing { &choice["finish_reason"] } else { &choice["delta"]["content"] }, &text);
            prop_assert_eq!(&read["id"], &id);
            prop_assert_eq!(&read["model"], &model);
            prop_assert_eq!(read["created"].as_i64(), Some(created));
            prop_assert_eq!(read["system_fingerprint"].as_str(), fingerprint.as_deref());
            prop_assert_eq!(read.get("usage").is_some_and(Value::is_null), include_usage);
        }
    }

    #[test]
    fn any_usage_is_read_back(prompt: u64, completion: u64, estimated: bool,
                              total: Option<u64>, cached: Option<u64>, reasoning: Option<u64>) {
        let mut out = Vec::new();
        let mut usage = ChunkUsage::new(prompt, completion);
        (usage.total, usage.cached, usage.reasoning) = (total, cached, reasoning);
        usage.estimated = estimated;
        plain_encoder().usage(&usage, &mut out);
        let read: Value = serde_json::from_str(json_of(&out)).unwrap();
        prop_assert_eq!(read["usage"]["prompt_tokens"].as_u64(), Some(prompt));
        prop_assert_eq!(read["usage"]["completion_tokens"].as_u64(), Some(completion));
        let sum = prompt.saturating_add(completion);
        prop_assert_eq!(read["usage"]["total_tokens"].as_u64(), Some(total.unwrap_or(sum)));
        let details = &read["usage"]["prompt_tokens_details"];
        prop_assert_eq!(details["cached_tokens"].as_u64(), cached);
        let details = &read["usage"]["completion_tokens_details"];
        prop_assert_eq!(details["reasoning_tokens"].as_u64(), reasoning);
        prop_assert_eq!(&read["choices"], &Value::Array(vec![]));
        prop_assert_eq!(read["usage_estimated"].as_bool(), Some(estimated));
    }

    #[test]
    fn any_error_is_read_back(message in hostile(), kind in hostile(), param in prop::option::of(hostile()),
                              code in prop::option::of(hostile())) {
        let mut out = Vec::new();
        ChunkEncoder::error(&message, &kind, param.as_deref(), code.as_deref(), &mut out);
        let read: Value = serde_json::from_str(json_of(&out)).unwrap();
        let error = &read["error"];
        prop_assert_eq!(&error["message"], &message);
        prop_assert_eq!(&error["type"], &kind);
        prop_assert_eq!(error["param"].as_str(), param.as_deref());
        prop_assert_eq!(error["code"].as_str(), code.as_deref());
    }

    #[test]
    fn our_own_decoder_reads_a_stream_back(texts in prop::collection::vec(hostile(), 0..6)) {
        let encoder = plain_encoder();
        let mut out = Vec::new();
        encoder.role(&mut out);
        for text in &texts {
            encoder.delta(text, &mut out);
        }
        encoder.finish("stop", &mut out);
        encoder.usage(&ChunkUsage::new(1, 2), &mut out);
        out.extend_from_slice(ChunkEncoder::DONE);
        let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
        let mut read = String::new();
        decoder.feed(&out, &mut read);
        decoder.close(true, &mut read);
        prop_assert_eq!(read, texts.concat());
        prop_assert_eq!(decoder.end(), End::Done);
        prop_assert_eq!(decoder.bad_events(), 0);
    }
}
