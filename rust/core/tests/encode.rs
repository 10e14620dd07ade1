//! Events against the vectors, `serde_json`, readers of lines, and our own decoder.

use proptest::prelude::*;
use serde_json::Value;
use tailrace_core::{
    ChunkEncoder, ChunkFields, ChunkUsage, CompletionEncoder, Delta, DeltaDecoder, DeltaOptions,
    DeltaSink, Dialect, EncoderState, End, Ending, ErrorKind, FinishReason, Logprobs,
    MessageEncoder, MessageFields, ResponseEncoder, ResponseFields, ToolCall, Usage,
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

const FILES: [&str; 5] = [
    include_str!("../../../tests/vectors/encode/logprobs.json"),
    include_str!("../../../tests/vectors/encode/events.json"),
    include_str!("../../../tests/vectors/encode/completions.json"),
    include_str!("../../../tests/vectors/encode/responses.json"),
    include_str!("../../../tests/vectors/encode/messages.json"),
];

#[test]
fn events() {
    for case in FILES.into_iter().flat_map(cases) {
        let mut encoder = Encoder::of(&case);
        for pair in case["events"].as_array().unwrap() {
            let mut out = Vec::new();
            encoder.encode(pair[0].as_array().unwrap(), &mut out);
            let told = String::from_utf8(out).unwrap();
            assert_eq!(told, pair[1].as_str().unwrap(), "{}", case["name"]);
        }
        if let Some(state) = case["state"].as_str() {
            assert_eq!(encoder.state().as_str(), state, "{}", case["name"]);
        }
    }
}

/// The encoder of a case, whichever its wire.
enum Encoder {
    Chunk(ChunkEncoder),
    Completion(CompletionEncoder),
    Response(Box<ResponseEncoder>),
    Message(MessageEncoder),
}

impl Encoder {
    fn of(case: &Value) -> Self {
        let given = &case["fields"];
        let text = |key: &str| given[key].as_str().unwrap();
        let limit = |limit: &mut usize| {
            if let Some(bytes) = given["max_kept_bytes"].as_u64() {
                *limit = usize::try_from(bytes).unwrap();
            }
        };
        match case["wire"].as_str() {
            Some("response") => {
                let created_at = given["created_at"].as_i64().unwrap();
                let mut fields = ResponseFields::new(text("id"), created_at, text("model"));
                fields.request = text("request");
                limit(&mut fields.max_kept_bytes);
                return Self::Response(Box::new(ResponseEncoder::new(&fields).unwrap()));
            }
            Some("message") => {
                let mut fields = MessageFields::new(text("id"), text("model"));
                limit(&mut fields.max_kept_bytes);
                return Self::Message(MessageEncoder::new(&fields));
            }
            _ => {}
        }
        let created = given["created"].as_i64().unwrap();
        let mut fields = ChunkFields::new(text("id"), created, text("model"));
        fields.system_fingerprint = given["system_fingerprint"].as_str();
        fields.include_usage = given["include_usage"].as_bool().unwrap();
        match case["wire"].as_str() {
            Some("completion") => Self::Completion(CompletionEncoder::new(&fields)),
            _ => Self::Chunk(ChunkEncoder::new(&fields)),
        }
    }

    fn encode(&mut self, call: &[Value], out: &mut Vec<u8>) {
        let text = |index: usize| call.get(index).and_then(Value::as_str);
        match (text(0).unwrap(), &mut *self) {
            ("role", Self::Chunk(encoder)) => encoder.role(out),
            ("delta", Self::Chunk(encoder)) => encoder.delta(text(1).unwrap(), out),
            ("delta", Self::Completion(encoder)) => encoder.delta(text(1).unwrap(), out),
            ("start", Self::Response(encoder)) => encoder.start(out),
            ("start", Self::Message(encoder)) => encoder.start(call[1].as_u64().unwrap(), out),
            ("events", _) => {
                for (delta, logprobs) in deltas_of(&call[1]) {
                    self.event(delta, logprobs.as_ref(), out);
                }
            }
            ("finish", Self::Chunk(encoder)) => encoder.finish(text(1), out),
            ("finish", Self::Completion(encoder)) => encoder.finish(text(1), out),
            ("finish", Self::Response(encoder)) => encoder.finish(&ending_of(&call[1..]), out),
            ("finish", Self::Message(encoder)) => encoder.finish(&ending_of(&call[1..]), out),
            ("whole", Self::Response(encoder)) => {
                let mut whole = encoder.whole();
                for (delta, logprobs) in deltas_of(&call[1]) {
                    match logprobs {
                        None => whole.add(delta),
                        Some(logprobs) => whole.add_with_logprobs(delta, &logprobs),
                    }
                }
                whole.write(&ending_of(&call[2..]), out);
            }
            ("whole", Self::Message(encoder)) => {
                let mut whole = encoder.whole();
                for (delta, _) in deltas_of(&call[1]) {
                    whole.add(delta);
                }
                whole.write(&ending_of(&call[2..]), out);
            }
            ("usage", Self::Chunk(encoder)) => encoder.usage(&chunk_usage(call), out),
            ("usage", Self::Completion(encoder)) => encoder.usage(&chunk_usage(call), out),
            ("done", Self::Chunk(_)) => out.extend_from_slice(ChunkEncoder::DONE),
            ("done", Self::Completion(_)) => out.extend_from_slice(CompletionEncoder::DONE),
            ("keep_alive", Self::Chunk(_)) => out.extend_from_slice(ChunkEncoder::KEEP_ALIVE),
            ("keep_alive", Self::Completion(_)) => {
                out.extend_from_slice(CompletionEncoder::KEEP_ALIVE);
            }
            ("keep_alive", Self::Response(_)) => out.extend_from_slice(ResponseEncoder::KEEP_ALIVE),
            ("keep_alive", Self::Message(_)) => out.extend_from_slice(MessageEncoder::KEEP_ALIVE),
            ("error", _) => {
                let (message, kind) = (text(1).unwrap(), text(2).unwrap());
                match self {
                    Self::Chunk(_) => ChunkEncoder::error(message, kind, text(3), text(4), out),
                    Self::Completion(_) => {
                        CompletionEncoder::error(message, kind, text(3), text(4), out);
                    }
                    Self::Response(encoder) => {
                        encoder.error(message, kind, text(3), text(4), out);
                    }
                    Self::Message(encoder) => encoder.error(message, kind, text(3), text(4), out),
                }
            }
            (other, _) => panic!("there is no event {other:?}"),
        }
    }

    fn event(&mut self, delta: Delta<'_>, logprobs: Option<&Logprobs>, out: &mut Vec<u8>) {
        match (self, logprobs) {
            (Self::Chunk(encoder), None) => encoder.event(delta, out),
            (Self::Chunk(encoder), Some(told)) => encoder.event_with_logprobs(delta, told, out),
            (Self::Completion(encoder), None) => encoder.event(delta, out),
            (Self::Completion(encoder), Some(told)) => {
                encoder.event_with_logprobs(delta, told, out);
            }
            (Self::Response(encoder), None) => encoder.event(delta, out),
            (Self::Response(encoder), Some(told)) => encoder.event_with_logprobs(delta, told, out),
            (Self::Message(encoder), _) => encoder.event(delta, out),
        }
    }

    fn state(&self) -> EncoderState {
        match self {
            Self::Response(encoder) => encoder.state(),
            Self::Message(encoder) => encoder.state(),
            _ => panic!("this encoder has no state"),
        }
    }
}

fn chunk_usage(call: &[Value]) -> ChunkUsage {
    let count = |index: usize| call[index].as_u64().unwrap();
    let mut usage = ChunkUsage::new(count(1), count(2));
    usage.estimated = call[3].as_bool().unwrap();
    if let Some(more) = call.get(4) {
        usage.total = more["total"].as_u64();
        usage.cached = more["cached"].as_u64();
        usage.reasoning = more["reasoning"].as_u64();
    }
    usage
}

fn deltas_of(list: &Value) -> impl Iterator<Item = (Delta<'_>, Option<Logprobs>)> {
    list.as_array().unwrap().iter().map(|delta| {
        let text = delta["text"].as_str().unwrap_or_default();
        let logprobs = delta["logprobs"].as_str().map(|json| Logprobs::read(json).unwrap());
        let delta = match delta["kind"].as_str().unwrap() {
            "text" => Delta::Text(text),
            "reasoning" => Delta::Reasoning(text),
            "refusal" => Delta::Refusal(text),
            "tool_call" => Delta::ToolCall(ToolCall {
                index: delta["index"].as_u64(),
                id: delta["id"].as_str(),
                name: delta["name"].as_str(),
                arguments: text,
                signature: delta["signature"].as_str(),
            }),
            other => panic!("there is no kind {other:?}"),
        };
        (delta, logprobs)
    })
}

/// The ending that a reason, counts and what else there is say.
fn ending_of(given: &[Value]) -> Ending<'_> {
    let mut ending = Ending::default();
    ending.finish_reason = given[0].as_str();
    ending.usage = given[1].is_object().then(|| {
        let mut usage = Usage::default();
        usage.prompt_tokens = given[1]["prompt_tokens"].as_u64().unwrap();
        usage.completion_tokens = given[1]["completion_tokens"].as_u64().unwrap();
        usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
        usage.cached_tokens = given[1]["cached_tokens"].as_u64();
        usage.reasoning_tokens = given[1]["reasoning_tokens"].as_u64();
        usage
    });
    if let Some(more) = given.get(2) {
        ending.stop_sequence = more["stop_sequence"].as_str();
        ending.estimated = more["estimated"] == true;
    }
    ending
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
        let mut out = Vec::new();
        encoder.delta(&text, &mut out);
        let read: Value = serde_json::from_str(json_of(&out)).unwrap();
        prop_assert_eq!(&read["choices"][0]["delta"]["content"], &text);
        prop_assert_eq!(&read["id"], &id);
        prop_assert_eq!(&read["model"], &model);
        prop_assert_eq!(read["created"].as_i64(), Some(created));
        prop_assert_eq!(read["system_fingerprint"].as_str(), fingerprint.as_deref());
        prop_assert_eq!(read.get("usage").is_some_and(Value::is_null), include_usage);
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
        encoder.finish(Some("stop"), &mut out);
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

// -- round trips ----------------------------------------------------------------------------------

/// What an answer holds, however it is cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Answer {
    text: String,
    reasoning: String,
    refusal: String,
    calls: Vec<Call>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Call {
    index: Option<u64>,
    id: Option<String>,
    name: String,
    arguments: String,
}

impl DeltaSink for Answer {
    fn text(&mut self, delta: &str) {
        self.text.push_str(delta);
    }

    fn reasoning(&mut self, delta: &str) {
        self.reasoning.push_str(delta);
    }

    fn refusal(&mut self, delta: &str) {
        self.refusal.push_str(delta);
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        if !self.calls.iter().any(|call| call.index == piece.index) {
            self.calls.push(Call { index: piece.index, ..Call::default() });
        }
        let mut calls = self.calls.iter_mut();
        let call = calls.find(|call| call.index == piece.index).unwrap();
        call.id = call.id.take().or(piece.id.map(str::to_owned));
        call.name.push_str(piece.name.unwrap_or_default());
        call.arguments.push_str(piece.arguments);
    }
}

impl Answer {
    fn of<'a>(deltas: impl IntoIterator<Item = Delta<'a>>) -> Self {
        let mut answer = Self::default();
        for delta in deltas {
            match delta {
                Delta::Text(text) => answer.text(text),
                Delta::Reasoning(text) => answer.reasoning(text),
                Delta::Refusal(text) => answer.refusal(text),
                Delta::ToolCall(piece) => answer.tool_call(piece),
                other => panic!("{other:?} is new"),
            }
        }
        answer
    }

    /// The calls in an order of their own, with ids where they had none, and no numbers: those are
    /// the wire's.
    fn settled(mut self, made_up: &str) -> Self {
        for (number, call) in self.calls.iter_mut().enumerate() {
            call.id.get_or_insert_with(|| format!("{made_up}{number}"));
            call.index = None;
        }
        self.calls.sort_by(|one, other| one.id.cmp(&other.id));
        self
    }

    /// The same, with arguments that are JSON where calls have none.
    fn with_arguments(mut self) -> Self {
        let without = self.calls.iter_mut().filter(|call| call.arguments.trim_ascii().is_empty());
        without.for_each(|call| call.arguments.push_str("{}"));
        self
    }

    /// The same, with the arguments of calls as `serde_json` writes them: a whole message has them
    /// as JSON.
    fn rewritten(mut self) -> Self {
        for call in &mut self.calls {
            if let Ok(value) = serde_json::from_str::<Value>(&call.arguments) {
                call.arguments = value.to_string();
            }
        }
        self
    }

    /// The same where a refusal is text; `deltas` tell the order.
    fn refused_in_text(mut self, deltas: &[Owned]) -> Self {
        let texts = deltas.iter().filter(|delta| matches!(delta.kind, "text" | "refusal"));
        self.text = texts.map(|delta| &*delta.text).collect();
        self.refusal.clear();
        self
    }
}

/// A delta that owns what it holds.
#[derive(Debug, Clone, Default)]
struct Owned {
    kind: &'static str,
    text: String,
    index: u64,
    id: Option<String>,
    name: Option<String>,
}

impl Owned {
    fn lent(&self) -> Delta<'_> {
        match self.kind {
            "text" => Delta::Text(&self.text),
            "reasoning" => Delta::Reasoning(&self.text),
            "refusal" => Delta::Refusal(&self.text),
            _ => Delta::ToolCall(ToolCall {
                index: Some(self.index),
                id: self.id.as_deref(),
                name: self.name.as_deref(),
                arguments: &self.text,
                signature: None,
            }),
        }
    }
}

/// The pieces of one call, with its arguments cut into some.
fn call() -> impl Strategy<Value = Vec<Owned>> {
    let argument = prop::option::of(hostile());
    (prop::bool::ANY, hostile(), argument, prop::collection::vec(0..40_usize, 0..4)).prop_map(
        |(has_id, name, argument, cuts)| {
            let arguments = argument
                .map_or_else(String::new, |text| serde_json::json!({ "k": text }).to_string());
            let mut pieces = vec![Owned {
                kind: "tool_call",
                id: has_id.then(|| "given".to_owned()),
                name: Some(format!("n{name}")),
                ..Owned::default()
            }];
            let mut rest = arguments.as_str();
            for cut in cuts {
                let at = (0..=cut.min(rest.len())).rfind(|&at| rest.is_char_boundary(at)).unwrap();
                let (piece, behind) = rest.split_at(at);
                rest = behind;
                pieces.push(Owned {
                    kind: "tool_call",
                    text: piece.to_owned(),
                    ..Owned::default()
                });
            }
            pieces.push(Owned { kind: "tool_call", text: rest.to_owned(), ..Owned::default() });
            pieces
        },
    )
}

fn spoken() -> impl Strategy<Value = Vec<Owned>> {
    let kind = prop::sample::select(vec!["text", "reasoning", "refusal"]);
    let delta = (kind, hostile()).prop_map(|(kind, text)| Owned { kind, text, ..Owned::default() });
    prop::collection::vec(delta, 0..5)
}

/// Deltas of all kinds, the pieces of calls mixed with one another and with what is spoken.
fn deltas() -> impl Strategy<Value = Vec<Owned>> {
    let order = prop::collection::vec(0..4_usize, 0..24);
    (prop::collection::vec(call(), 0..4), spoken(), order).prop_map(|(calls, spoken, order)| {
        let mut threads = vec![spoken];
        for (pieces, number) in calls.into_iter().zip(0..) {
            let numbered = pieces.into_iter().map(|mut piece| {
                piece.index = 3 * number + 1;
                piece.id = piece.id.map(|id| format!("{id}_{number}"));
                piece
            });
            threads.push(numbered.collect());
        }
        let mut mixed = Vec::new();
        for thread in order.into_iter().chain(0..threads.len()) {
            let thread = thread % threads.len();
            if !threads[thread].is_empty() {
                mixed.push(threads[thread].remove(0));
            }
        }
        mixed.extend(threads.into_iter().flatten());
        mixed
    })
}

fn decoded(dialect: Dialect, bytes: &[u8]) -> (Answer, DeltaDecoder) {
    let mut decoder = DeltaDecoder::new(dialect, DeltaOptions::default());
    let mut answer = Answer::default();
    decoder.feed(bytes, &mut answer);
    decoder.close(true, &mut answer);
    (answer, decoder)
}

const REASONS: [Option<&str>; 8] = [
    None,
    Some("stop"),
    Some("length"),
    Some("tool_calls"),
    Some("content_filter"),
    Some("end_turn"),
    Some("MAX_TOKENS"),
    Some("SAFETY"),
];

fn usages() -> impl Strategy<Value = Usage> {
    let count = || 1..1_000_000_u64;
    (count(), count(), prop::option::of(0..1_u64), prop::option::of(count())).prop_map(
        |(prompt, completion, cached, reasoning)| {
            let mut usage = Usage::default();
            usage.prompt_tokens = prompt;
            usage.completion_tokens = completion;
            usage.total_tokens = prompt + completion;
            usage.cached_tokens = cached.map(|_| prompt / 2);
            usage.reasoning_tokens = reasoning;
            usage
        },
    )
}

/// Whether a decoder takes the whole of it for an answer.
fn answers(answer: &Answer) -> bool {
    !(answer.text.is_empty() && answer.refusal.is_empty() && answer.calls.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn chunks_of_every_kind_are_read_back(deltas in deltas(), usage in usages()) {
        let mut encoder = ChunkEncoder::new(&ChunkFields::new("chatcmpl-9", 0, "m"));
        let mut out = ChunkEncoder::KEEP_ALIVE.to_vec();
        encoder.role(&mut out);
        for delta in &deltas {
            encoder.event(delta.lent(), &mut out);
        }
        encoder.finish(None, &mut out);
        encoder.usage(&ChunkUsage::from(&usage), &mut out);
        out.extend_from_slice(ChunkEncoder::DONE);
        let (answer, decoder) = decoded(Dialect::OpenAi, &out);
        let numbers: Vec<_> = answer.calls.iter().map(|call| call.index.unwrap()).collect();
        prop_assert_eq!(numbers, (0..answer.calls.len() as u64).collect::<Vec<_>>());
        let reason = FinishReason::Stop.with_calls(!answer.calls.is_empty());
        let expected = Answer::of(deltas.iter().map(Owned::lent)).with_arguments();
        prop_assert_eq!(answer.settled(""), expected.settled("call_9_"));
        prop_assert_eq!((decoder.end(), decoder.bad_events()), (End::Done, 0));
        prop_assert_eq!(decoder.finish_reason(), Some(reason.as_str()));
        prop_assert_eq!(decoder.usage(), Some(&usage));
    }

    #[test]
    fn responses_are_read_back(
        deltas in deltas(), usage in usages(), reason in prop::sample::select(&REASONS[..]),
    ) {
        let fields = ResponseFields::new("resp_9", 0, "m");
        let mut encoder = ResponseEncoder::new(&fields).unwrap();
        let mut ending = Ending::default();
        ending.finish_reason = reason;
        ending.usage = Some(usage);
        let mut whole = encoder.whole();
        for delta in &deltas {
            whole.add(delta.lent());
        }
        let mut body = Vec::new();
        whole.write(&ending, &mut body);
        let mut out = ResponseEncoder::KEEP_ALIVE.to_vec();
        encoder.start(&mut out);
        for delta in &deltas {
            encoder.event(delta.lent(), &mut out);
        }
        encoder.finish(&ending, &mut out);
        prop_assert_eq!((encoder.state(), encoder.failure()), (EncoderState::Done, None));
        check_order(std::str::from_utf8(&out).unwrap());

        let expected = Answer::of(deltas.iter().map(Owned::lent)).settled("call_9_");
        let is_cut = reason.map_or(FinishReason::Stop, FinishReason::of).is_cut();
        let expected = if is_cut { expected } else { expected.with_arguments() };
        let finish = match reason.map_or(FinishReason::Stop, FinishReason::of) {
            FinishReason::Length => "max_output_tokens",
            FinishReason::ContentFilter => "content_filter",
            _ => "completed",
        };
        let mut told = usage;
        told.cached_tokens.get_or_insert(0);
        told.reasoning_tokens.get_or_insert(0);
        for bytes in [&out, &body] {
            let (answer, decoder) = decoded(Dialect::OpenAiResponses, bytes);
            prop_assert_eq!(answer.settled(""), expected.clone());
            prop_assert_eq!(decoder.finish_reason(), Some(finish));
            prop_assert_eq!(decoder.usage(), Some(&told));
            prop_assert_eq!(decoder.bad_events(), 0);
            let is_empty = bytes == &body && !answers(&expected);
            prop_assert_eq!(decoder.end(), if is_empty { End::Failed } else { End::Done });
        }
    }

    #[test]
    fn messages_are_read_back(
        deltas in deltas(), usage in usages(), reason in prop::sample::select(&REASONS[..]),
    ) {
        let mut encoder = MessageEncoder::new(&MessageFields::new("msg_9", "m"));
        let mut ending = Ending::default();
        ending.finish_reason = reason;
        ending.usage = Some(usage);
        let mut whole = encoder.whole();
        for delta in &deltas {
            whole.add(delta.lent());
        }
        let mut body = Vec::new();
        whole.write(&ending, &mut body);
        let mut out = MessageEncoder::KEEP_ALIVE.to_vec();
        encoder.start(1, &mut out);
        for delta in &deltas {
            encoder.event(delta.lent(), &mut out);
        }
        encoder.finish(&ending, &mut out);
        prop_assert_eq!((encoder.state(), encoder.failure()), (EncoderState::Done, None));
        check_order(std::str::from_utf8(&out).unwrap());

        let expected = Answer::of(deltas.iter().map(Owned::lent));
        let finish = match reason.map_or(FinishReason::Stop, FinishReason::of) {
            FinishReason::Length => "max_tokens",
            FinishReason::ContentFilter => "refusal",
            FinishReason::Stop if !expected.refusal.is_empty() => "refusal",
            _ if expected.calls.is_empty() => "end_turn",
            _ => "tool_use",
        };
        let expected = expected.refused_in_text(&deltas).settled("toolu_9_");
        for bytes in [&out, &body] {
            let (answer, decoder) = decoded(Dialect::Anthropic, bytes);
            let answer = if bytes == &body { answer.rewritten() } else { answer };
            prop_assert_eq!(answer.settled(""), expected.clone());
            prop_assert_eq!(decoder.finish_reason(), Some(finish));
            prop_assert_eq!(decoder.usage(), Some(&usage));
            prop_assert_eq!(decoder.bad_events(), 0);
            let is_empty = bytes == &body && !answers(&expected);
            prop_assert_eq!(decoder.end(), if is_empty { End::Failed } else { End::Done });
        }
    }

    #[test]
    fn a_request_is_repeated_on_one_line(text in hostile(), key in hostile()) {
        let request = serde_json::json!({ "instructions": text, "metadata": { &key: [1.5, true, null] } });
        let request = serde_json::to_string_pretty(&request).unwrap();
        let mut fields = ResponseFields::new("resp_9", 0, "m");
        fields.request = &request;
        let mut body = Vec::new();
        ResponseEncoder::new(&fields).unwrap().whole().write(&Ending::default(), &mut body);
        let body = String::from_utf8(body).unwrap();
        let is_escaped = |c: char| c.is_control() || matches!(c, '<' | '\u{2028}' | '\u{2029}');
        prop_assert!(!body.contains(is_escaped));
        let read: Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(&read["instructions"], &text);
        prop_assert_eq!(&read["metadata"][&key], &serde_json::json!([1.5, true, null]));
    }

    #[test]
    fn what_is_kept_has_a_limit(deltas in deltas(), limit in 1..2000_usize) {
        let mut fields = ResponseFields::new("resp_9", 0, "m");
        fields.max_kept_bytes = limit;
        let mut encoder = ResponseEncoder::new(&fields).unwrap();
        let mut out = Vec::new();
        encoder.start(&mut out);
        for delta in &deltas {
            encoder.event(delta.lent(), &mut out);
        }
        encoder.finish(&Ending::default(), &mut out);
        let is_failed = encoder.state() == EncoderState::Failed;
        prop_assert_eq!(encoder.failure().map(|error| error.kind), is_failed.then_some(ErrorKind::Limit));
        let (_, decoder) = decoded(Dialect::OpenAiResponses, &out);
        prop_assert_eq!(decoder.end(), if is_failed { End::Failed } else { End::Done });
    }
}

/// Holds a stream against what its clients take for granted: events are numbered, items and blocks
/// begin and end one after the other, each line is one.
fn check_order(events: &str) {
    let (mut open, mut begun, mut number) = (None, 0, 0);
    for event in events.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
        let lines: Vec<_> = event.split('\n').collect();
        let data: Value = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(lines.len(), 2);
        assert!(!event.contains(['<', '\r', '\u{85}', '\u{2028}']));
        assert_eq!(lines[0].strip_prefix("event: "), data["type"].as_str());
        if let Some(told) = data["sequence_number"].as_u64() {
            assert_eq!(told, number);
            number += 1;
        }
        let index = data["output_index"].as_u64().or(data["index"].as_u64());
        match data["type"].as_str().unwrap() {
            "response.output_item.added" | "content_block_start" => {
                assert_eq!((open, index), (None, Some(begun)));
                (open, begun) = (index, begun + 1);
            }
            "response.output_item.done" | "content_block_stop" => {
                assert_eq!(index, open.take());
            }
            _ => assert!(index.is_none() || index == open, "{event}"),
        }
    }
    assert_eq!(open, None);
}

#[test]
fn a_call_that_goes_on_behind_its_end_is_an_error() {
    let piece = |index, name, arguments| {
        Delta::ToolCall(ToolCall { index: Some(index), name, arguments, ..ToolCall::default() })
    };
    let deltas =
        |last| [piece(0, Some("tide"), "{}"), piece(1, Some("moon"), "{}"), piece(0, None, last)];
    for (last, state) in [(" \n", EncoderState::Done), ("{}", EncoderState::Failed)] {
        let mut encoder = MessageEncoder::new(&MessageFields::new("msg_1", "m"));
        let mut out = Vec::new();
        for delta in deltas(last) {
            encoder.event(delta, &mut out);
        }
        encoder.finish(&Ending::default(), &mut out);
        assert_eq!(encoder.state(), state);
        let kind = encoder.failure().map(|error| error.kind);
        assert_eq!(kind, (state == EncoderState::Failed).then_some(ErrorKind::Upstream));
    }
}

#[test]
fn a_request_that_is_no_object_is_refused() {
    for request in ["", "[]", "{", r#"{"tools":NaN}"#, "{} {}"] {
        let mut fields = ResponseFields::new("resp_9", 0, "m");
        fields.request = request;
        assert!(ResponseEncoder::new(&fields).is_err(), "{request}");
    }
}

#[test]
fn words_for_an_end() {
    for (word, meaning) in [
        ("stop", FinishReason::Stop),
        ("end_turn", FinishReason::Stop),
        ("anything", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("MAX_TOKENS", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("SAFETY", FinishReason::ContentFilter),
        ("LANGUAGE", FinishReason::ContentFilter),
        ("IMAGE_PROHIBITED_CONTENT", FinishReason::ContentFilter),
        ("IMAGE_RECITATION", FinishReason::ContentFilter),
        ("refusal", FinishReason::ContentFilter),
    ] {
        assert_eq!(FinishReason::of(word), meaning, "{word}");
        assert_eq!(FinishReason::of(meaning.as_str()), meaning);
        let own = matches!(meaning, FinishReason::Length | FinishReason::ContentFilter);
        let with_calls = if own { meaning } else { FinishReason::ToolCalls };
        assert_eq!(FinishReason::of(word).with_calls(true), with_calls, "{word}");
        let without = if own { meaning } else { FinishReason::Stop };
        assert_eq!(FinishReason::of(word).with_calls(false), without, "{word}");
    }
}

#[test]
fn a_message_ends_for_calls_where_there_are_some() {
    let call = ToolCall {
        index: Some(0),
        id: Some("c"),
        name: Some("tide"),
        arguments: "{}",
        ..ToolCall::default()
    };
    for (word, without, with) in [
        ("tool_use", "end_turn", "tool_use"),
        ("end_turn", "end_turn", "tool_use"),
        ("tool_calls", "end_turn", "tool_use"),
        ("pause_turn", "pause_turn", "pause_turn"),
        ("max_tokens", "max_tokens", "max_tokens"),
    ] {
        for (delta, told) in [(Delta::Text("x"), without), (Delta::ToolCall(call), with)] {
            let mut encoder = MessageEncoder::new(&MessageFields::new("msg_1", "mill"));
            let mut out = Vec::new();
            encoder.event(delta, &mut out);
            let mut ending = Ending::default();
            ending.finish_reason = Some(word);
            encoder.finish(&ending, &mut out);
            let events = String::from_utf8(out).expect("events are text");
            assert!(events.contains(&format!(r#""stop_reason":"{told}""#)), "{word}: {events}");
        }
    }
}
