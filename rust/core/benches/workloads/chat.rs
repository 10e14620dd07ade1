//! Replies of chat services, each with the text it must give.

use std::fmt::Write as _;

use super::random::Random;

/// What follows the content of an event, and what stands before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// The same in every event of a reply, as most services have it.
    Same,
    /// With another id in every event.
    Changing,
    /// With a field of random length at the event's end, which hides the content's length from who
    /// counts bytes.
    Obfuscated,
}

/// How a string is written in JSON.
#[derive(Clone, Copy)]
pub enum Spelling {
    /// ASCII without escapes.
    Plain,
    /// As it stands, with only the escapes that must be.
    Raw,
    /// All of it beyond ASCII as `\uXXXX`, and `/` as `\/`: PHP's `json_encode`.
    Php,
}

/// A reply's bytes, and its text.
pub type Reply = (String, String);

const ASCII: &[&str] = &[
    " the", " mill", " race", "s", " a", " water", " wheel", "ing", " and", " of", ",", ".",
    " stone", " turn", " grain", " pond", " is", " to", "ed", " weir", " sluic", "e", " flow",
    " down", " by", " river",
];
const WORDS: &[&str] = &[
    " 水车",
    "磨坊",
    " moulin",
    " à",
    " eau",
    " 😀",
    " 👩‍👩‍👧",
    "\u{2028}",
    "\n",
    " \"wheel\"",
    " größe",
    " плотина",
    " 川",
    "の",
    "水",
    " café",
    " naïve",
    "\\",
    " €5",
    " mill",
];

/// W1: `events` short pieces of ASCII, with a role chunk, a finish chunk and a usage chunk around
/// them.
pub fn short(events: usize, ids: Ids) -> Reply {
    chat(ids, Spelling::Raw, &pieces(events, ASCII, 1))
}

/// W2: as W1, with other scripts, emoji and escapes; every second piece as it stands, every other
/// one escaped.
pub fn unicode(events: usize) -> Reply {
    chat(Ids::Same, Spelling::Php, &pieces(events, WORDS, 1))
}

/// A reply of a model that thinks and calls a tool: reasoning in `events` short pieces, then as many
/// of a call's arguments; all of them are the text.
pub fn thoughts(events: usize) -> Reply {
    let texts = pieces(2 * events, ASCII, 1);
    let (thoughts, arguments) = texts.split_at(events);
    let named = |stream: String, named: &str| stream.replace(END, named);
    let stream = named(beside(thoughts, REASONING), "") + &beside(arguments, ARGUMENTS);
    (stream, texts.concat())
}

/// A reply of one kind alone that is no text, each event of which is like this, in short pieces.
pub fn of_one_kind(events: usize, delta: &str) -> Reply {
    let texts = pieces(events, ASCII, 1);
    (beside(&texts, delta), texts.concat())
}

/// What stands beside the text in deltas, around a piece that is `@`: reasoning, the same told twice,
/// and arguments.
pub const REASONING: &str = r#"{"content":null,"reasoning_content":"@"}"#;
pub const DETAILS: &str = concat!(
    r#"{"role":"assistant","content":"","reasoning":"@","reasoning_details":"#,
    r#"[{"type":"reasoning.text","text":"@","format":"unknown","index":0}]}"#
);
pub const ARGUMENTS: &str = r#"{"tool_calls":[{"index":0,"function":{"arguments":"@"}}]}"#;

const END: &str = "data: [DONE]\n\n";

/// A stream of such deltas, behind the beginning of a call where they are its arguments.
fn beside(texts: &[String], delta: &str) -> String {
    let mut random = Random(40);
    let mut stream = String::new();
    let is_call = delta == ARGUMENTS;
    let call =
        r#"{"tool_calls":[{"index":0,"id":"c1","function":{"name":"tide","arguments":""}}]}"#;
    if is_call {
        chunk(&mut stream, Ids::Same, &mut random, call, "null");
    }
    for text in texts {
        chunk(&mut stream, Ids::Same, &mut random, &delta.replace('@', text), "null");
    }
    if is_call {
        chunk(&mut stream, Ids::Same, &mut random, "{}", "\"tool_calls\"");
    }
    stream + END
}

/// A reply of Anthropic's messages: one block, begun so, of short pieces.
pub fn anthropic(events: usize, block: &str, delta: &str) -> Reply {
    let texts = pieces(events, ASCII, 1);
    let mut stream = String::new();
    let mut event = |name: &str, rest: &str| {
        let _ = write!(stream, "event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
    };
    event("content_block_start", &format!(r#","index":0,"content_block":{block}"#));
    for text in &texts {
        let delta = delta.replace('@', text);
        event("content_block_delta", &format!(r#","index":0,"delta":{delta}"#));
    }
    event("content_block_stop", r#","index":0"#);
    event("message_delta", r#","delta":{"stop_reason":"end_turn"}"#);
    event("message_stop", "");
    (stream, texts.concat())
}

/// A reply of OpenAI's Responses: deltas of one kind in short pieces.
pub fn responses(events: usize, kind: &str, place: &str) -> Reply {
    let texts = pieces(events, ASCII, 1);
    let mut stream = String::new();
    for (number, text) in texts.iter().enumerate() {
        let _ = write!(
            stream,
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number},\
             \"item_id\":\"i_B1D5C2A9E7F03846\",\"output_index\":0,{place}\"delta\":\"{text}\",\
             \"obfuscation\":\"q7XvT2bLm9ZsKd4\"}}\n\n"
        );
    }
    let end = r#"{"type":"response.completed","response":{"status":"completed"}}"#;
    let _ = write!(stream, "event: response.completed\ndata: {end}\n\n");
    (stream, texts.concat())
}

/// W3: the least an event can be.
pub fn tiny(events: usize) -> Reply {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n".repeat(events);
    (stream + "data: [DONE]\n\n", "x".repeat(events))
}

/// W4: 2 KB of content an event, with escapes or without.
pub fn long(events: usize, escapes: bool) -> Reply {
    let words = if escapes {
        [ASCII, ASCII, &["\n", " \"", "\" ", "\t", "’"]].concat()
    } else {
        ASCII.to_vec()
    };
    chat(Ids::Same, Spelling::Raw, &pieces(events, &words, 2000))
}

/// One event of `size` bytes.
pub fn large(size: usize) -> Reply {
    chat(Ids::Same, Spelling::Plain, &[words(size)])
}

/// W5: one JSON body with 8 KB of answer.
pub fn body(spelling: Spelling) -> Reply {
    let vocabulary = match spelling {
        Spelling::Plain => ASCII.to_vec(),
        _ => [ASCII, &["’s", "<b>", "</b>", "\n\n", " – "]].concat(),
    };
    let text = pieces(1, &vocabulary, 8000).concat();
    let body = format!(
        r#"{{"status":"success","msg":"Something went wrong","data":"{}","log":2}}"#,
        spelled(&text, spelling)
    );
    (body, text)
}

/// An Assistants bot of the plugin AI Power: named events, as
/// `captures/ai-power/1.9.18/assistant_stream_ok` has them.
pub fn assistant(events: usize) -> Reply {
    let texts = pieces(events, ASCII, 1);
    let mut stream = "event: thread_id\ndata: thread_mock1\n\n".to_owned();
    for text in &texts {
        let value = spelled(text, Spelling::Raw);
        let _ = write!(
            stream,
            "event: thread.message.delta\ndata: {{\"id\":\"msg_a1\",\"object\":\"thread.message.delta\",\"delta\":\
             {{\"content\":[{{\"index\":0,\"type\":\"text\",\"text\":{{\"value\":\"{value}\"}}}}]}}}}\n\n"
        );
    }
    (stream + "event: done\ndata: [DONE]\n\n", texts.concat())
}

/// A stream of the plugin AI Engine, whose end has the answer once more, as JSON within a string: as
/// `captures/ai-engine/3.6.2/ev-ok-stream` has them.
pub fn ai_engine(events: usize) -> Reply {
    let texts = pieces(events, ASCII, 1);
    let start = r#"{"type":"live","data":"Generating response...","timestamp":1795985996.516919,"#;
    let mut stream =
        format!("data: {start}\"subtype\":\"status\",\"visibility\":\"collapsed\"}}\n\n");
    for text in &texts {
        let value = spelled(text, Spelling::Php);
        let _ = write!(stream, "data: {{\"type\":\"live\",\"data\":\"{value}\"}}\n\n");
    }
    let answer = texts.concat();
    let end = format!(
        "{{\"success\":true,\"reply\":\"{}\",\"images\":null,\"usage\":{{\"prompt_tokens\":10,\
         \"completion_tokens\":2000,\"total_tokens\":2010,\"price\":null,\"queries\":1}}}}",
        spelled(&answer, Spelling::Php)
    );
    let end = spelled(&end, Spelling::Php);
    let _ = write!(stream, "data: {{\"type\":\"end\",\"data\":\"{end}\"}}\n\n");
    (stream, answer)
}

/// A reply whose body is the answer, in many scripts.
pub fn text(size: usize) -> Reply {
    let text = pieces(1, WORDS, size).concat();
    (text.clone(), text)
}

/// ASCII of this many bytes.
pub fn words(size: usize) -> String {
    let mut text = pieces(1, ASCII, size).concat();
    text.truncate(size);
    text
}

/// What an event decoder gives of the same stream: the data, joined.
pub fn as_events((stream, _): Reply) -> Reply {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    (stream, data)
}

/// So many pieces of text, each of words up to at least a size.
fn pieces(count: usize, vocabulary: &[&str], size: usize) -> Vec<String> {
    let mut random = Random(4);
    let piece = |_| {
        let mut piece = String::new();
        while piece.len() < size {
            piece.push_str(random.pick(vocabulary));
        }
        piece
    };
    (0..count).map(piece).collect()
}

fn chat(ids: Ids, spelling: Spelling, texts: &[String]) -> Reply {
    let mut random = Random(40);
    let mut stream = String::new();
    chunk(
        &mut stream,
        ids,
        &mut random,
        r#"{"role":"assistant","content":"","refusal":null}"#,
        "null",
    );
    for (number, text) in texts.iter().enumerate() {
        let spelling = if number % 2 == 0 { Spelling::Raw } else { spelling };
        let delta = format!(r#"{{"content":"{}"}}"#, spelled(text, spelling));
        chunk(&mut stream, ids, &mut random, &delta, "null");
    }
    chunk(&mut stream, ids, &mut random, "{}", "\"stop\"");
    stream.push_str(concat!(
        r#"data: {"id":"chatcmpl-D1","object":"chat.completion.chunk","created":1763600000,"#,
        r#""model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":2000,"#,
        r#""total_tokens":2019,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0}}}"#,
        "\n\ndata: [DONE]\n\n"
    ));
    (stream, texts.concat())
}

fn chunk(stream: &mut String, ids: Ids, random: &mut Random, delta: &str, finish_reason: &str) {
    let id = if ids == Ids::Changing { random.below(usize::MAX) } else { 0xB1D5_C2A9_E7F0_3846 };
    let _ = write!(
        stream,
        "data: {{\"id\":\"chatcmpl-D{id:020}\",\"object\":\"chat.completion.chunk\",\"created\":1763600000,\
         \"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_560af6e559\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish_reason}}}],\"usage\":null"
    );
    if ids == Ids::Obfuscated {
        let _ = write!(stream, ",\"obfuscation\":\"{}\"", &"q7XvT2bLm9ZsKd4"[..random.below(15)]);
    }
    stream.push_str("}\n\n");
}

fn spelled(text: &str, spelling: Spelling) -> String {
    let php = matches!(spelling, Spelling::Php);
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '/' if php => out.push_str("\\/"),
            _ if php && !character.is_ascii() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(character),
        }
    }
    out
}
