//! The chunk decoder against readers of the whole tree that `serde_json` and `jiter` build (see
//! `json` for what is put aside), as an event of several lines and as a body. The input is a
//! chunk's text, or chooses what one is made of. Where a number, or a list with a number, is the
//! content, what is delivered is not compared: it is as it was written, which a tree does not tell.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value};
use tailrace_core::json::Reader;
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End, ErrorKind};

use super::json::{by_jiter, by_serde, depth, strict, without_lone_surrogates};

pub fn check(data: &[u8]) {
    match data {
        // No text begins so.
        [0x80..=0xFF, choices @ ..] => {
            let mut text = String::new();
            if write_object(&mut Unstructured::new(choices), CHUNK, &mut text).is_ok() {
                is_read_alike(&text);
            }
        }
        text => is_read_alike(&String::from_utf8_lossy(text).replace('\r', " ")),
    }
}

fn is_read_alike(text: &str) {
    if depth(text) > 120 || text.trim_ascii() == "[DONE]" {
        return;
    }
    let paired = without_lone_surrogates(&strict(text));
    let is_json = by_jiter(&paired).is_some();
    if !is_json {
        return is_bad(text);
    }
    for tree in [by_serde(&paired), by_jiter(&paired)].into_iter().flatten() {
        match tree.as_object() {
            Some(chunk) => {
                is_read_as(text, &Plain::read(chunk));
                is_answered_as(text, &Plain::read(chunk));
            }
            None => keeps_alive(text),
        }
    }
}

const CHUNK: &[&str] = &[
    "choices",
    "choices",
    "usage",
    "error",
    "id",
    "model",
    "thread_id",
    "message_id",
    "x",
    "\\u0069d",
];
const CHOICE: &[&str] =
    &["delta", "delta", "index", "message", "text", "finish_reason", "x", "d\\u0065lta"];
const CONTENT: &[&str] =
    &["content", "content", "role", "\\u0063ontent", "refusal", "tool_calls", "function_call"];
const COUNTS: &[&str] = &["prompt_tokens", "completion_tokens", "total_tokens", "total_tokens"];
const ERROR: &[&str] = &["message", "code"];

#[rustfmt::skip]
const LEAVES: [&str; 26] = [
    "null", "true", "false", "0", "-0", "0.0", "0e5", "1", "7", "-1", "1.5", "18446744073709551615", "18446744073709551616",
    "\"\"", "\"a\"", "\"stop\"", "\"\\u0061\\n\"", "\"\\ud83c\\udf89\"", "\"\\udf89\\ud83c!\"", "\"é\u{2028}\"", "{}", "[]", "[ ]",
    "{\"content\":\"b\"}", "{\"name\":\"f\"}", "[0,{\"function\":{\"name\":\"f\"}}]",
];

/// Writes an object with keys of these, some of them twice.
fn write_object(choices: &mut Unstructured<'_>, keys: &[&str], json: &mut String) -> Result<()> {
    json.push('{');
    for number in 0..choices.int_in_range(0..=5)? {
        let key = *choices.choose(keys)?;
        json.push_str(if number > 0 { ",\"" } else { "\"" });
        json.push_str(key);
        json.push_str(choices.choose(&["\":", "\" : "])?);
        write_value(choices, key, json)?;
    }
    json.push('}');
    Ok(())
}

/// Writes what usually stands behind a key, or anything else.
fn write_value(choices: &mut Unstructured<'_>, key: &str, json: &mut String) -> Result<()> {
    let inner = match key {
        "choices" | "delta" | "d\\u0065lta" | "message" | "usage" | "error"
            if choices.ratio(7, 8)? =>
        {
            key
        }
        _ => {
            json.push_str(choices.choose(&LEAVES)?);
            return Ok(());
        }
    };
    match inner {
        "choices" => {
            json.push('[');
            for number in 0..choices.int_in_range(0..=2)? {
                json.push_str(if number > 0 { ", " } else { "" });
                write_object(choices, CHOICE, json)?;
            }
            json.push(']');
            Ok(())
        }
        "usage" => write_object(choices, COUNTS, json),
        "error" => write_object(choices, ERROR, json),
        _ => write_object(choices, CONTENT, json),
    }
}

/// What a plain reader takes from a chunk.
#[derive(Debug)]
pub struct Plain<'a> {
    pub has_error: bool,
    pub has_choices: bool,
    /// What a stream's chunk tells; an error where a tree does not tell that.
    pub content: Result<String, ()>,
    /// What a body tells.
    pub answer: Result<String, ()>,
    /// A body's message holds what answers without words: a refusal, or a call of a tool.
    pub is_wordless: bool,
    pub finish_reason: Option<&'a str>,
    pub usage: Option<[u64; 3]>,
    pub ids: [Option<&'a str>; 5],
}

impl<'a> Plain<'a> {
    pub fn read(chunk: &'a Map<String, Value>) -> Self {
        let choices = chunk.get("choices").unwrap_or(&Value::Null);
        let all = choices.as_array().map_or(&[][..], Vec::as_slice);
        let choice = all.iter().filter_map(Value::as_object).find(|choice| is_first(choice));
        let text = |value: Option<&'a Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty())
        };
        let in_message =
            |key| choice.map_or(Ok(String::new()), |choice| message_text(choice.get(key)));
        let own_text = choice.map_or(Ok(String::new()), |choice| said(choice.get("text")));
        let delta = choice.and_then(|choice| choice.get("delta")).filter(|delta| !delta.is_null());
        let content = if delta.is_some() { in_message("delta") } else { own_text };
        let finishes = choice.is_some_and(|choice| text(choice.get("finish_reason")).is_some());
        let first_filled = |first: Result<String, ()>, second: Result<String, ()>| match first {
            Ok(text) if text.is_empty() => second,
            first => first,
        };
        let is_whole = delta.is_none() || finishes;
        let answer = first_filled(in_message("message"), content.clone());
        let content = if is_whole { first_filled(content, in_message("message")) } else { content };
        Self {
            has_error: chunk.get("error").is_some_and(is_truthy),
            has_choices: !choices.is_null(),
            content,
            answer,
            is_wordless: choice
                .and_then(|choice| {
                    choice
                        .get("message")
                        .filter(|message| message.is_object())
                        .or(choice.get("delta"))
                })
                .is_some_and(answers_without_words),
            finish_reason: text(choice.and_then(|choice| choice.get("finish_reason"))),
            usage: chunk.get("usage").filter(|usage| usage.is_object()).map(counts),
            ids: tailrace_core::Ids::NAMES.map(|name| text(chunk.get(name))),
        }
    }
}

/// The text of a delta or a message.
fn message_text(message: Option<&Value>) -> Result<String, ()> {
    match message {
        Some(Value::Object(message)) => said(message.get("content")),
        other => said(other),
    }
}

/// The text that a value is; an error where a number is part of it.
fn said(value: Option<&Value>) -> Result<String, ()> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Bool(value)) => Ok(value.to_string()),
        Some(Value::Array(elements)) => {
            elements.iter().map(|element| said(Some(element))).collect()
        }
        Some(Value::Object(members)) if members.is_empty() => Ok(String::new()),
        // What is made of these objects is compared elsewhere.
        Some(Value::Number(_) | Value::Object(_)) => Err(()),
    }
}

/// The counts, whose total is the sum where it is not told.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number that is whole and not negative"
)]
fn counts(usage: &Value) -> [u64; 3] {
    let count = |key| {
        let count = usage.get(key)?;
        let whole = count.as_f64().filter(|count| count.fract() == 0.0 && *count >= 0.0);
        count.as_u64().or_else(|| whole.map(|count| count as u64)).filter(|count| *count < u64::MAX)
    };
    let [prompt, completion] =
        ["prompt_tokens", "completion_tokens"].map(|key| count(key).unwrap_or(0));
    let total = count("total_tokens").filter(|total| *total > 0);
    [prompt, completion, total.unwrap_or(prompt.saturating_add(completion))]
}

fn answers_without_words(message: &Value) -> bool {
    let refuses = match message.get("refusal") {
        None | Some(Value::Null | Value::Bool(_)) => false,
        Some(Value::Number(_)) => true,
        Some(refusal) => is_truthy(refusal),
    };
    let calls = match message.get("tool_calls") {
        Some(Value::Array(calls)) => calls.iter().any(Value::is_object),
        calls => calls.is_some_and(Value::is_object),
    };
    refuses || calls || message.get("function_call").is_some_and(Value::is_object)
}

fn is_first(choice: &Map<String, Value>) -> bool {
    match choice.get("index") {
        None | Some(Value::Null) => true,
        Some(Value::String(index)) => index.parse() == Ok(0.0),
        Some(index) => index.as_f64() == Some(0.0),
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// An event with this data: a chunk's JSON may stand in several lines.
fn event(text: &str) -> String {
    format!("data: {}\n\n", text.replace('\n', "\ndata: "))
}

fn decode(input: &str) -> (Vec<String>, DeltaDecoder) {
    let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    let mut deltas = Vec::new();
    decoder.feed(input.as_bytes(), &mut deltas);
    (deltas, decoder)
}

/// Neither is there a delta, nor is the event bad; a list may hold an error.
fn keeps_alive(text: &str) {
    let (deltas, decoder) = decode(&event(text));
    assert_eq!((deltas.len(), decoder.bad_events()), (0, 0), "{text:?}");
    assert!(decoder.end() == End::Open || text.contains('{'), "{text:?}");
}

/// What is no JSON is bad, unless it is an error's text, or some of its lines are events, or an
/// object stands in front of what a program printed.
fn is_bad(text: &str) {
    let (deltas, decoder) = decode(&event(text));
    let object = Reader::new(text).raw().is_ok_and(|value| value.starts_with('{'));
    if text.contains('\n') || decoder.end() == End::Failed || object {
        return;
    }
    let is_there = !text.trim().is_empty();
    assert_eq!((deltas.len(), decoder.bad_events()), (0, is_there.into()), "{text:?}");
    assert_eq!(decoder.end(), End::Open, "{text:?}");
}

fn tells(decoder: &DeltaDecoder, plain: &Plain<'_>, text: &str) {
    let usage = decoder
        .usage()
        .map(|usage| [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]);
    assert_eq!(usage, plain.usage, "{text:?}");
    let ids = tailrace_core::Ids::NAMES.map(|name| decoder.ids().get(name));
    assert_eq!(ids, plain.ids, "{text:?}");
}

fn is_read_as(text: &str, plain: &Plain<'_>) {
    let (deltas, decoder) = decode(&event(text));
    assert_eq!((decoder.events(), decoder.bad_events()), (1, 0), "{text:?}");
    tells(&decoder, plain, text);
    if plain.has_error {
        assert_eq!(decoder.error().map(|error| error.kind), Some(ErrorKind::Upstream), "{text:?}");
        assert_eq!((deltas.len(), decoder.end()), (0, End::Failed), "{text:?}");
    } else if decoder.end() == End::Failed {
        // An error in another dress, of which the plain reader knows nothing.
        assert!(!plain.has_choices || text.contains("error"), "{text:?}");
    } else {
        assert_eq!(decoder.end(), End::Open, "{text:?}");
        if let Ok(content) = &plain.content {
            // Half a character waits for the other, unless a whole message ends with it.
            let without_half = |text: &str| text.trim_end_matches('\u{fffd}').to_owned();
            assert_eq!(without_half(&deltas.concat()), without_half(content), "{text:?}");
        }
        assert_eq!(decoder.finish_reason(), plain.finish_reason, "{text:?}");
    }
}

/// The same text as a body: framed as JSON when it begins with a brace.
fn is_answered_as(text: &str, plain: &Plain<'_>) {
    let (mut deltas, mut decoder) = decode(text);
    decoder.close(true, &mut deltas);
    tells(&decoder, plain, text);
    let kind = decoder.error().map(|error| error.kind);
    if plain.has_error {
        assert_eq!(kind, Some(ErrorKind::Upstream), "{text:?}");
    } else if !plain.has_choices {
        assert!(matches!(kind, Some(ErrorKind::Upstream | ErrorKind::NotAStream)), "{text:?}");
    } else {
        let Ok(answer) = &plain.answer else { return };
        // Some finish reasons tell a failure, too.
        let may_fail = text.contains("error") || plain.finish_reason.is_some();
        if kind == Some(ErrorKind::Upstream) && may_fail {
            return;
        }
        assert_eq!(&deltas.concat(), answer, "{text:?}");
        if answer.is_empty() && !plain.is_wordless {
            assert_eq!(kind, Some(ErrorKind::Empty), "{text:?}");
        } else {
            assert_eq!(decoder.end(), End::Done, "{text:?}");
        }
        return;
    }
    assert_eq!((decoder.end(), deltas.len()), (End::Failed, 0), "{text:?}");
}
