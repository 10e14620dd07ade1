//! The chunk decoder against a plain reader of the whole tree (`plain`), as an event of several
//! lines and as a body. The input is a chunk's text, or chooses what one is made of.

use arbitrary::{Result, Unstructured};
use serde::de::IgnoredAny;
use tailrace_core::json::Reader;
use tailrace_core::{
    DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End, ErrorKind, Ids, ToolCall,
};

use super::json::{depth, strict};
use super::plain::{Call, Plain, Told};
use super::tree::{Tree, has_half, whole};

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
    // A blank line at the end is an event of its own behind a line that is one.
    let text = text.trim_ascii();
    if depth(text) > 120 || text == "[DONE]" {
        return;
    }
    if serde_json::from_str::<IgnoredAny>(&strict(text)).is_err() {
        return is_bad(text);
    }
    match Tree::of(text) {
        Some(chunk @ Tree::Object(_)) => {
            let plain = Plain::read(&chunk);
            is_read_as(text, &plain);
            is_answered_as(text, &plain);
        }
        Some(_) => keeps_alive(text),
        None => {}
    }
}

const CHUNK: &[&str] = &[
    "choices",
    "choices",
    "choices",
    "usage",
    "x_groq",
    "error",
    "id",
    "model",
    "thread_id",
    "message_id",
    "type",
    "x",
    "\\u0069d",
];
const CHOICE: &[&str] = &[
    "delta",
    "delta",
    "index",
    "message",
    "text",
    "finish_reason",
    "usage",
    "error",
    "x",
    "d\\u0065lta",
];
const MESSAGE: &[&str] = &[
    "content",
    "content",
    "role",
    "\\u0063ontent",
    "refusal",
    "reasoning_content",
    "thinking",
    "audio",
    "images",
    "context",
    "tool_calls",
    "function_call",
];
const PART: &[&str] = &[
    "type",
    "type",
    "text",
    "value",
    "content",
    "thinking",
    "reasoning",
    "summary",
    "refusal",
    "thought",
    "x",
];
const COUNTS: &[&str] = &[
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "prompt_cache_hit_tokens",
    "cache_read_input_tokens",
    "prompt_tokens_details",
    "output_tokens_details",
];
const CALL: &[&str] = &["index", "id", "function", "custom", "extra_content"];
const FUNCTION: &[&str] = &["name", "arguments", "input", "index"];

/// The keys of the objects behind a key; whether they stand in a list there.
fn inside(key: &str) -> Option<(&'static [&'static str], bool)> {
    Some(match key {
        "choices" => (CHOICE, true),
        "delta" | "d\\u0065lta" | "message" => (MESSAGE, false),
        "usage" | "prompt_tokens_details" | "output_tokens_details" => (COUNTS, false),
        "x_groq" => (&["usage", "error"], false),
        "error" => (&["message", "code"], false),
        "audio" => (&["transcript", "data"], false),
        "context" => (&["citations", "x"], false),
        "content" | "\\u0063ontent" | "text" | "refusal" | "reasoning_content" | "thinking"
        | "summary" => (PART, true),
        "tool_calls" => (CALL, true),
        "function" | "custom" | "function_call" => (FUNCTION, false),
        "extra_content" => (&["google"], false),
        "google" => (&["thought_signature"], false),
        _ => return None,
    })
}

#[rustfmt::skip]
const LEAVES: [&str; 36] = [
    "null", "true", "false", "0", "-0", "0.0", "0e5", "1", "7", "-1", "1.5", "18446744073709551615",
    "18446744073709551616", "1e999", "NaN", "\"\"", "\"a\"", "\"stop\"", "\"error\"", "\"7\"",
    "\" 8.0 \"", "\"0\"", "\"\\u0061\\n\"", "\"\\ud83c\\udf89\"", "\"\\udf89!\\ud83c\"",
    "\"\\udf89\"", "\"é\u{2028}\"", "{}", "[]", "[ ]", "[1, \"b\"]", "\"text\"", "\"thinking\"",
    "\"image_url\"", "{\"content\":\"b\"}", "{\"name\":\"f\"}",
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
    // Of texts the usual ones are no lists of parts.
    let usual = if matches!(inside(key), Some((PART, _))) { 2 } else { 7 };
    match inside(key) {
        Some((keys, is_list)) if choices.ratio(usual, 8)? => {
            if is_list && choices.ratio(7, 8)? {
                return write_list(choices, keys, json);
            }
            write_object(choices, keys, json)
        }
        _ => {
            json.push_str(choices.choose(&LEAVES)?);
            Ok(())
        }
    }
}

fn write_list(choices: &mut Unstructured<'_>, keys: &[&str], json: &mut String) -> Result<()> {
    json.push('[');
    for number in 0..choices.int_in_range(0..=2)? {
        json.push_str(if number > 0 { ", " } else { "" });
        if choices.ratio(7, 8)? {
            write_object(choices, keys, json)?;
        } else {
            json.push_str(choices.choose(&LEAVES)?);
        }
    }
    json.push(']');
    Ok(())
}

/// All that a decoder delivers; texts of a kind are joined.
#[derive(Debug, Default)]
struct Taken {
    text: String,
    reasoning: String,
    refusal: String,
    calls: Vec<Piece>,
}

/// A piece of a call: its number, id, name, arguments and signature.
type Piece = (Option<u64>, Option<String>, Option<String>, String, Option<String>);

impl DeltaSink for Taken {
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
        let ToolCall { index, id, name, arguments, signature } = piece;
        let [id, name, signature] = [id, name, signature].map(|text| text.map(str::to_owned));
        self.calls.push((index, id, name, arguments.to_owned(), signature));
    }
}

impl Taken {
    fn is_empty(&self) -> bool {
        let Self { text, reasoning, refusal, calls } = self;
        [text, reasoning, refusal].into_iter().all(String::is_empty) && calls.is_empty()
    }

    fn is(&self, told: &Told, json: &str) {
        assert_eq!(self.text, whole(&told.text), "{json:?}");
        assert_eq!(self.reasoning, whole(&told.reasoning), "{json:?}");
        assert_eq!(self.refusal, whole(&told.refusal), "{json:?}");
        let (pieces, halves) = self.calls.split_at(told.calls.len().min(self.calls.len()));
        assert_eq!(pieces.len(), told.calls.len(), "{json:?}");
        // What pieces of arguments end with waits for the end.
        assert!(halves.iter().all(|(_, _, _, half, _)| half == "\u{fffd}"), "{json:?}");
        let is_cut = |call: &Call| matches!(&call.arguments, Tree::Text(text) if has_half(text));
        let is_cut = told.calls.iter().any(is_cut);
        for ((index, id, name, arguments, signature), call) in pieces.iter().zip(&told.calls) {
            assert_eq!((id, name, signature), (&call.id, &call.name, &call.signature), "{json:?}");
            assert_eq!(index.is_some(), call.is_numbered, "{json:?}");
            match &call.arguments {
                Tree::Null => assert_eq!(arguments, "", "{json:?}"),
                Tree::Text(text) => assert!(is_cut || arguments == text, "{json:?}"),
                // As they are written.
                tree => assert_eq!(Tree::of(arguments).as_ref(), Some(tree), "{json:?}"),
            }
        }
    }
}

/// An event with this data: a chunk's JSON may stand in several lines.
fn event(text: &str) -> String {
    format!("data: {}\n\n", text.replace('\n', "\ndata: "))
}

fn decode<S: DeltaSink + Default>(input: &str) -> (S, DeltaDecoder) {
    let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    let mut sink = S::default();
    decoder.feed(input.as_bytes(), &mut sink);
    (sink, decoder)
}

/// Neither is there a delta, nor is the event bad; a list may hold an error, and a line of a text
/// may be an event.
fn keeps_alive(text: &str) {
    let (taken, decoder) = decode::<Taken>(&event(text));
    let begins_event = |line: &str| line.trim() == "[DONE]" || line.trim_start().starts_with('{');
    if text.contains('\n') && text.lines().any(begins_event) {
        return;
    }
    assert!(taken.is_empty() && decoder.bad_events() == 0, "{text:?}");
    assert!(decoder.end() == End::Open || text.contains('{'), "{text:?}");
}

/// What is no JSON is bad, unless it is an error's text, or some of its lines are events, or an
/// object stands in front of what a program printed.
fn is_bad(text: &str) {
    let (taken, decoder) = decode::<Taken>(&event(text));
    let object = Reader::new(text).raw().is_ok_and(|value| value.starts_with('{'));
    if text.contains('\n') || decoder.end() == End::Failed || object {
        return;
    }
    let is_there = !text.trim().is_empty();
    assert!(taken.is_empty() && decoder.bad_events() == u64::from(is_there), "{text:?}");
    assert_eq!(decoder.end(), End::Open, "{text:?}");
}

fn tells(decoder: &DeltaDecoder, plain: &Plain, text: &str) {
    assert_eq!(decoder.usage(), plain.usage.as_ref(), "{text:?}");
    let ids = Ids::NAMES.map(|name| decoder.ids().get(name).map(str::to_owned));
    assert_eq!(ids, plain.ids, "{text:?}");
}

fn is_read_as(text: &str, plain: &Plain) {
    let input = event(text);
    let (mut taken, mut decoder) = decode::<Taken>(&input);
    assert_eq!((decoder.events(), decoder.bad_events()), (1, 0), "{text:?}");
    tells(&decoder, plain, text);
    let finish_reason = plain.finish_reason.as_deref().filter(|_| !plain.has_error);
    assert_eq!(decoder.finish_reason(), finish_reason, "{text:?}");
    // Of what is no chunk it is another rule whether it tells an error.
    let may_fail = plain.is_foreign() && decoder.end() == End::Failed;
    if plain.has_error || plain.fails_in_choice || may_fail {
        assert_eq!(decoder.error().map(|error| error.kind), Some(ErrorKind::Upstream), "{text:?}");
        assert!(taken.is_empty() && decoder.end() == End::Failed, "{text:?}");
        return;
    }
    assert_eq!(decoder.end(), End::Open, "{text:?}");
    // Half a character waits for the other until then.
    decoder.close(true, &mut taken);
    taken.is(&plain.event, text);
    let (mut only_text, mut decoder) = decode::<String>(&input);
    decoder.close(true, &mut only_text);
    assert_eq!(only_text, taken.text, "{text:?}");
}

/// The same text as a body: framed as JSON when it begins with a brace.
fn is_answered_as(text: &str, plain: &Plain) {
    let (mut taken, mut decoder) = decode::<Taken>(text);
    decoder.close(true, &mut taken);
    let kind = decoder.error().map(|error| error.kind);
    if !(plain.has_choices || plain.has_error) {
        // It may tell an error, by another rule; and a line of it may be an event.
        let is_error = matches!(kind, Some(ErrorKind::Upstream | ErrorKind::NotAStream));
        assert!(is_error && taken.is_empty() || text.contains("\ndata:"), "{text:?}");
        return;
    }
    tells(&decoder, plain, text);
    if plain.has_error || plain.fails_in_choice {
        assert_eq!((kind, decoder.end()), (Some(ErrorKind::Upstream), End::Failed), "{text:?}");
        assert!(taken.is_empty(), "{text:?}");
        return;
    }
    taken.is(&plain.body, text);
    assert_eq!(decoder.finish_reason(), plain.finish_reason.as_deref(), "{text:?}");
    let expected = match plain.body.answers() {
        _ if plain.tells_failure() => Some(ErrorKind::Upstream),
        true => None,
        false => Some(ErrorKind::Empty),
    };
    assert_eq!(kind, expected, "{text:?}");
    let end = if expected.is_none() { End::Done } else { End::Failed };
    assert_eq!(decoder.end(), end, "{text:?}");
}
