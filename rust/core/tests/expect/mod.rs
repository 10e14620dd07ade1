//! Runs a decoder as a case asks for, and checks what the case expects.

use serde_json::{Value, json};
use tailrace_core::{
    Collected, CollectedCall, Delta, DeltaDecoder, DeltaOptions, DeltaSink, End, Logprobs, Seal,
    ThinkingBlock, ToolCall,
};

use crate::vectors;

/// A decoder as the case asks for.
pub fn decoder(case: &Value) -> DeltaDecoder {
    let defaults = DeltaOptions::default();
    let text = |key: &str| case[key].as_str().map(str::to_owned);
    let options = DeltaOptions {
        content_type: text("content_type"),
        status: case["status"].as_u64().map_or(200, |status| u16::try_from(status).unwrap()),
        failure_tail: text("failure_tail"),
        max_event_bytes: vectors::number(&case["max_event_bytes"])
            .unwrap_or(defaults.max_event_bytes),
        max_body_bytes: vectors::number(&case["max_body_bytes"]).unwrap_or(defaults.max_body_bytes),
    };
    DeltaDecoder::new(case["dialect"].as_str().unwrap().parse().unwrap(), options)
}

/// Feeds and closes it; the state after that is sound.
pub fn run<'a>(
    mut decoder: DeltaDecoder,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    complete: bool,
) -> (Vec<String>, DeltaDecoder) {
    let mut deltas: Vec<String> = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, &mut deltas);
    }
    decoder.close(complete, &mut deltas);
    assert!(deltas.iter().all(|delta| !delta.is_empty()));
    assert_eq!(decoder.error().is_some(), matches!(decoder.end(), End::Truncated | End::Failed));
    assert_ne!(decoder.end(), End::Open);
    (deltas, decoder)
}

/// Takes everything that a reply adds, as the vectors write it down.
#[derive(Debug, Default, PartialEq)]
pub struct Records(Vec<Value>);

impl Records {
    /// The text among it.
    pub fn texts(&self) -> Vec<String> {
        let texts = self.0.iter().filter(|record| record["kind"] == "text");
        let texts = texts.map(|record| record["text"].as_str().unwrap().to_owned());
        texts.filter(|text| !text.is_empty()).collect()
    }

    /// Neighbours of one kind joined, and pieces of one tool call that have the same index and id;
    /// all without log probabilities.
    pub fn joined(&self) -> Vec<Value> {
        let mut joined: Vec<Value> = Vec::new();
        for record in &self.0 {
            let text = record["text"].as_str().unwrap();
            let same = |last: &&mut Value| {
                ["kind", "index", "id"].iter().all(|key| last[key] == record[key])
            };
            if let Some(last) = joined.last_mut().filter(same) {
                last["text"] = json!(format!("{}{text}", last["text"].as_str().unwrap()));
            } else if record["kind"] == "tool_call" {
                let [index, id, name] = ["index", "id", "name"].map(|key| &record[key]);
                joined.push(json!({"kind": "tool_call", "text": text, "index": index, "id": id, "name": name}));
            } else {
                joined.push(json!({"kind": record["kind"], "text": text}));
            }
        }
        joined
    }

    fn push(&mut self, kind: &str, text: &str) {
        assert!(!text.is_empty(), "{kind}");
        self.0.push(json!({"kind": kind, "text": text}));
    }
}

impl DeltaSink for Records {
    fn text(&mut self, delta: &str) {
        self.push("text", delta);
    }

    fn reasoning(&mut self, delta: &str) {
        self.push("reasoning", delta);
    }

    fn refusal(&mut self, delta: &str) {
        self.push("refusal", delta);
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        let ToolCall { index, id, name, arguments, signature } = piece;
        let record = json!({
            "kind": "tool_call", "text": arguments, "index": index, "id": id, "name": name,
            "signature": signature,
        });
        let is_there = |(_, value): &(&String, &Value)| !value.is_null();
        let there = record.as_object().unwrap().iter().filter(is_there);
        self.0.push(there.map(|(key, value)| (key.clone(), value.clone())).collect());
    }

    fn seal(&mut self, seal: Seal<'_>) {
        let mut record = json!({"kind": "reasoning", "text": ""});
        match seal {
            Seal::Text(signature) => {
                record = json!({"kind": "text", "text": "", "signature": signature});
            }
            Seal::Signature(signature) => record["signature"] = json!(signature),
            Seal::Redacted(data) => record["data"] = json!(data),
            Seal::Encrypted { id, data } => {
                (record["id"], record["data"]) = (json!(id), json!(data));
            }
            other => panic!("{other:?} is new"),
        }
        self.0.push(record);
    }

    fn with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs) {
        match delta {
            Delta::Text("") => self.0.push(json!({"kind": "text", "text": ""})),
            Delta::Text(text) => self.text(text),
            Delta::Reasoning(text) => self.reasoning(text),
            Delta::Refusal(text) => self.refusal(text),
            Delta::ToolCall(piece) => self.tool_call(piece),
            other => panic!("{other:?} is new"),
        }
        let record = self.0.last_mut().unwrap();
        record["logprobs"] = serde_json::from_str(&logprobs.to_string()).unwrap();
    }
}

/// Runs a case however its input is cut, and checks what it says; every fourth time with a sink
/// that wants everything, and every other time with a decoder that collects.
pub fn run_and_check(name: &str, case: &Value, input: &[u8]) {
    let complete = case["complete"].as_bool().unwrap_or(true);
    for (number, chunks) in vectors::splits(input, 1 + input.len() / 400).into_iter().enumerate() {
        let first = chunks.first().map_or(0, |chunk| chunk.len());
        let name = format!("{name} in {} chunks, the first of {first} bytes", chunks.len());
        let decoder = || {
            let mut decoder = decoder(case);
            if number % 2 == 0 {
                decoder.collect();
            }
            decoder
        };
        let (deltas, ended) = run(decoder(), chunks.iter().copied(), complete);
        check(&name, case, &deltas, &ended);
        if number == 1 || number % 4 == 0 {
            let (records, ended) = run_records(decoder(), &chunks, complete);
            assert_eq!(records.texts(), deltas, "{name}: the text among the records");
            check(&name, case, &records.texts(), &ended);
            if let Some(expected) = case["records"].as_array() {
                assert_eq!(&records.0, expected, "{name}: records");
            }
        }
    }
}

/// Feeds and closes it with a sink that wants everything.
fn run_records(
    mut decoder: DeltaDecoder,
    chunks: &[&[u8]],
    complete: bool,
) -> (Records, DeltaDecoder) {
    let mut records = Records::default();
    for chunk in chunks {
        decoder.feed(chunk, &mut records);
    }
    decoder.close(complete, &mut records);
    (records, decoder)
}

/// Checks what a case says of the end; what it does not say is nothing special.
fn check(name: &str, case: &Value, deltas: &[String], decoder: &DeltaDecoder) {
    let plain = |value: &Value| {
        if value.is_null() { None } else { Some(String::from_utf8(vectors::bytes(value)).unwrap()) }
    };
    assert_eq!(Some(deltas.concat()), plain(&case["text"]), "{name}: text");
    if let Some(expected) = case["deltas"].as_array() {
        assert_eq!(deltas, expected, "{name}: deltas");
    }
    assert_eq!(decoder.end().as_str(), case["end"], "{name}: end, {:?}", decoder.error());
    if let Some(done) = case["done"].as_bool() {
        assert_eq!(decoder.done(), done, "{name}: done");
    }
    assert_eq!(decoder.finish_reason(), case["finish_reason"].as_str(), "{name}: finish_reason");
    let usage = decoder.usage().map_or(Value::Null, |usage| {
        let mut counts = json!({"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": usage.total_tokens});
        for (name, count) in
            [("cached_tokens", usage.cached_tokens), ("reasoning_tokens", usage.reasoning_tokens)]
        {
            if let Some(count) = count {
                counts[name] = json!(count);
            }
        }
        counts
    });
    assert_eq!(usage, case["usage"], "{name}: usage");
    let ids: Value =
        decoder.ids().iter().map(|(name, id)| (name.to_owned(), Value::from(id))).collect();
    assert_eq!(ids, case.get("ids").cloned().unwrap_or_else(|| json!({})), "{name}: ids");
    let expected = &case["error"];
    assert_eq!(
        decoder.error().map(|error| error.kind.as_str()),
        expected["kind"].as_str(),
        "{name}: kind"
    );
    if let Some(error) = decoder.error() {
        if let Some(message) = plain(&expected["message"]) {
            assert_eq!(error.message, shown(&message), "{name}: message");
        }
        if let Some(part) = expected["message_contains"].as_str() {
            assert!(error.message.contains(part), "{name}: message {:?}", error.message);
        }
        assert!(!error.message.is_empty(), "{name}: message");
        assert_eq!(error.code.as_deref(), expected["code"].as_str(), "{name}: code");
        if let Some(raw) = plain(&expected["raw"]) {
            assert_eq!(error.raw, raw, "{name}: raw");
        }
        assert_eq!(
            u64::from(error.status),
            case["status"].as_u64().unwrap_or(200),
            "{name}: status"
        );
    }
    if let Some(events) = case["events"].as_u64() {
        assert_eq!(decoder.events(), events, "{name}: events");
    }
    assert_eq!(
        decoder.bad_events(),
        case["bad_events"].as_u64().unwrap_or(0),
        "{name}: bad_events"
    );
    if let Some(framing) = case["framing"].as_str() {
        assert_eq!(decoder.framing().as_str(), framing, "{name}: framing");
    }
    if decoder.collected().is_some() {
        let passed_over: Value = decoder
            .passed_over()
            .map(|(kind, count)| (kind.to_owned(), Value::from(count)))
            .collect();
        let expected = case.get("passed_over").cloned().unwrap_or_else(|| json!({}));
        assert_eq!(passed_over, expected, "{name}: passed_over");
    }
    if let (Some(collected), Some(expected)) = (decoder.collected(), case.get("collected")) {
        assert_eq!(&told(collected), expected, "{name}: collected");
    }
}

/// What was collected, without what is empty.
fn told(collected: &Collected) -> Value {
    let mut told = json!({});
    for (kind, text) in [("reasoning", collected.reasoning()), ("refusal", collected.refusal())] {
        if !text.is_empty() {
            told[kind] = json!(text);
        }
    }
    let blocks: Vec<Value> = collected
        .thinking_blocks()
        .map(|block| match block {
            ThinkingBlock::Signed { thinking, signature } => {
                json!({"thinking": thinking, "signature": signature})
            }
            ThinkingBlock::Redacted { data } => json!({"data": data}),
            ThinkingBlock::Encrypted { id, thinking, data } => {
                json!({"id": id, "thinking": thinking, "data": data})
            }
            other => panic!("{other:?} is new"),
        })
        .collect();
    if !blocks.is_empty() {
        told["thinking_blocks"] = json!(blocks);
    }
    if let Some(signature) = collected.signature() {
        told["signature"] = json!(signature);
    }
    let call_of = |call: &CollectedCall| {
        let CollectedCall { index, id, name, arguments, signature, .. } = call;
        let mut told = json!({"index": index, "id": id, "name": name, "arguments": arguments});
        if let Some(signature) = signature {
            told["signature"] = json!(signature);
        }
        told
    };
    let calls: Vec<Value> = collected.tool_calls().iter().map(call_of).collect();
    if !calls.is_empty() {
        told["tool_calls"] = json!(calls);
    }
    told
}

/// A message as an error shows it: one line of at most 300 characters.
fn shown(message: &str) -> String {
    let line = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match line.chars().count() {
        0..=300 => line.trim().to_owned(),
        _ => line.chars().take(299).chain(['…']).collect(),
    }
}
