//! What a decoder remembers of a stream against one that has seen nothing: a stream of events whose
//! layout changes anywhere, read by one decoder, and each of its events by a fresh one; and with
//! deltas of every kind, by a decoder that reads each event in full.

use arbitrary::{Result, Unstructured};
use tailrace_core::{
    DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End, ErrorKind, Ids, OwnedDelta, ReplyError,
    Usage,
};

use super::cutting::reads;

pub fn check(data: &[u8]) {
    let Ok(stream) = Stream::read(&mut Unstructured::new(data)) else { return };
    let Stream { dialect, is_text, sizes, blocks } = stream;
    if is_text {
        is_read_as_by_fresh_decoders(dialect, &blocks, &sizes);
    }
    is_read_as_in_full(dialect, &blocks, &sizes);
}

/// Events in a row.
struct Stream {
    dialect: Dialect,
    /// Whether its deltas are text alone, and its events mean the same whatever came before.
    is_text: bool,
    /// Of its reads; none where they are whole, and event by event.
    sizes: Vec<u8>,
    blocks: Vec<Vec<u8>>,
}

/// Dialects of streams of text alone.
const OF_TEXT: [Dialect; 3] = [Dialect::OpenAi, Dialect::AiPower, Dialect::AiPkit];

const DIALECTS: [Dialect; 8] = [
    Dialect::OpenAi,
    Dialect::AiPower,
    Dialect::AiPkit,
    Dialect::OpenAiResponses,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Ollama,
    Dialect::AiEngine,
];

/// Data of events to begin with.
pub const CHUNKS: [&str; 14] = [
    r#"{"id":"c1","object":"chat.completion.chunk","created":1795163059,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"obfuscation":"x7Q"}"#,
    r#"{"choices":[{"delta":{"content":"x"}}]}"#,
    r#"{"choices":[{"delta":{"content":"\ud83c\udf89\n\"é"},"finish_reason":"stop"}]}"#,
    r#"{"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes"}}]}"#,
    r#"{ "choices" : [ { "text" : "t" , "index" : 0 } ] }"#,
    r#"{"id":"","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    r#"{"choices":[{"delta":{"content":"a"},"delta":{"content":"b","content":"c"}}],"choices":[{"delta":{"content":"d"}}]}"#,
    r#"{"delta":"d","message_id":"m1","id":"r1"}"#,
    r#"{"delta":{"content":[{"index":0,"type":"text","text":{"value":"v"}}]}}"#,
    r#"{"error":null,"choices":[{"delta":{"content":null}}],"msg":"m"}"#,
    r#"{"id":"","pad":"y","msg":"","choices":[{"index":0,"delta":{"content":"a"}}]}"#,
    r#"{"error":"","id":"","pad":"x","choices":[{"delta":{"content":"a"}}],"object":"o"}"#,
    "[DONE]",
];

/// Data of events that add another kind of delta, or are of another dialect.
#[rustfmt::skip]
const KINDS: [(Dialect, &str); 19] = [
    (Dialect::OpenAi, r#"{"id":"c","choices":[{"index":0,"delta":{"content":null,"reasoning_content":"a"},"finish_reason":null}]}"#),
    (Dialect::OpenAi, r#"{"choices":[{"delta":{"reasoning":"x","reasoning_details":[{"type":"reasoning.text","text":"x"}]}}]}"#),
    (Dialect::OpenAi, r#"{"choices":[{"delta":{"refusal":"a"}}],"pad":"x"}"#),
    (Dialect::OpenAi, r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":""}}]}}]}"#),
    (Dialect::OpenAi, r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"a"}}]},"logprobs":null}]}"#),
    (Dialect::OpenAi, r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}}]}"#),
    (Dialect::OpenAi, r#"{"choices":[{"delta":{"function_call":{"name":"g","arguments":"a"}}}]}"#),
    (Dialect::AiPower, r#"{"choices":[{"delta":{"reasoning_content":"a","content":null}}]}"#),
    (Dialect::OpenAiResponses, r#"{"type":"response.output_text.delta","output_index":0,"delta":"a","pad":"x"}"#),
    (Dialect::OpenAiResponses, r#"{"type":"response.reasoning_text.delta","item_id":"i","output_index":0,"delta":"a"}"#),
    (Dialect::OpenAiResponses, r#"{"type":"response.function_call_arguments.delta","item_id":"i","output_index":1,"delta":"a"}"#),
    (Dialect::OpenAiResponses, r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"c","name":"f"}}"#),
    (Dialect::Anthropic, r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#),
    (Dialect::Anthropic, r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a"}}"#),
    (Dialect::Anthropic, r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"a"}}"#),
    (Dialect::Anthropic, r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f"}}"#),
    (Dialect::Gemini, r#"{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}"#),
    (Dialect::Ollama, r#"{"message":{"content":"","thinking":"a"},"done":false}"#),
    (Dialect::AiEngine, r#"{"type":"live","subtype":"thinking","data":"a"}"#),
];

/// What is put in between in a stream of such events, beside the pieces.
const WORDS: [&str; 12] = [
    "\"reasoning\":\"r\",",
    "\"reasoning_content\":\"\",",
    "\"refusal\":\"no\",",
    "\"arguments\":\"{}\"",
    "\"name\":\"f\",",
    "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-1}]},",
    "\"type\":\"content_block_stop\",",
    "\"type\":\"thinking_delta\",",
    "\"thought\":true,",
    "\"content\":\"\",",
    "\"function\":{",
    "\\\"",
];

/// What is put in between.
#[rustfmt::skip]
pub const PIECES: [&str; 36] = [
    "", "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "x", "0", "-", "é", "\u{2028}", "\\n", "\\u0041", "\\ud83c",
    "\\udf89", "null", "1.5", "\"content\":", "\"content\":\"y\",", "\"error\":\"e\",", "\"index\":1,",
    "\"id\":\"c2\",", "\"delta\":{", "{}", "\"finish_reason\":\"stop\"", "\"usage\":{\"total_tokens\":9},",
    "\"\\u0063ontent\":\"z\"", "\0", "\u{fffd}", "    ", "\u{1}",
    "\",\"id\":\"c3",
];

/// How an event is written around its data.
#[derive(Clone, Copy)]
pub struct Form {
    /// A line before it.
    pub head: &'static str,
    /// What stands before the data in its line.
    pub lead: &'static str,
    /// A line after it.
    pub tail: &'static str,
    /// What ends a line.
    pub end: &'static str,
}

/// As services write it.
pub const PLAIN: Form = Form { head: "", lead: "data: ", tail: "", end: "\n" };

/// Lines before an event's data, or behind it; most have none.
#[rustfmt::skip]
pub const LINES: [&str; 19] = [
    "", "", "", "", ":", "id: 7", "retry: 5", "event: message", "event:", "event: thread.message.delta", "event: status",
    "event: openai_response_id", "data:", "data: ", "data: ,", "unknown", "event: content_block_delta",
    "event: response.function_call_arguments.delta", "event: response.output_text.delta",
];

impl Stream {
    /// Events: each begins as the one before, as an earlier one, or anew, and is changed at a place
    /// or two, or not.
    fn read(choices: &mut Unstructured<'_>) -> Result<Self> {
        let kind = choices.int_in_range(0..=OF_TEXT.len() + DIALECTS.len() - 1)?;
        let is_text = kind < OF_TEXT.len();
        let dialect = *OF_TEXT.iter().chain(&DIALECTS).nth(kind).unwrap_or(&Dialect::OpenAi);
        let (data, pieces) = material(dialect, is_text);
        let sizes = if choices.ratio(1, 2)? {
            Vec::new()
        } else {
            choices.arbitrary::<[u8; 3]>()?.to_vec()
        };
        let mut form = PLAIN;
        let mut texts: Vec<Vec<u8>> = vec![choices.choose(&data)?.as_bytes().to_vec()];
        let mut blocks = Vec::new();
        while !choices.is_empty() && blocks.len() < 24 {
            let mut text = texts.last().cloned().unwrap_or_default();
            match choices.arbitrary::<u8>()? {
                0..=39 => {}
                40..=69 => text.clone_from(choices.choose(&texts)?),
                70..=84 => text = choices.choose(&data)?.as_bytes().to_vec(),
                85..=99 => {
                    (form.head, form.tail) = (*choices.choose(&LINES)?, *choices.choose(&LINES)?);
                }
                100..=104 => form.lead = choices.choose(&["data:", "data: ", "data:  "])?,
                105..=109 => form.end = choices.choose(&["\n", "\r\n", "\r"])?,
                110..=169 => change_string(choices, &pieces, &mut text)?,
                170..=219 => change(choices, &pieces, &mut text)?,
                _ => {
                    change(choices, &pieces, &mut text)?;
                    change(choices, &pieces, &mut text)?;
                }
            }
            blocks.push(form.block(&text));
            texts.push(text);
        }
        Ok(Self { dialect, is_text, sizes, blocks })
    }
}

/// The data that the events of a stream begin with, and what is put in between.
fn material(dialect: Dialect, is_text: bool) -> (Vec<&'static str>, Vec<&'static str>) {
    if is_text {
        return (CHUNKS.to_vec(), PIECES.to_vec());
    }
    let kinds = KINDS.into_iter().filter(|(of, _)| *of == dialect).map(|(_, data)| data);
    let chunks = CHUNKS.into_iter().filter(|_| OF_TEXT.contains(&dialect));
    (kinds.chain(chunks).collect(), PIECES.into_iter().chain(WORDS).collect())
}

fn change(choices: &mut Unstructured<'_>, pieces: &[&str], text: &mut Vec<u8>) -> Result<()> {
    let at = choices.int_in_range(0..=text.len())?;
    let dropped = choices.int_in_range(0..=8)?.min(text.len() - at);
    if choices.ratio(1, 4)? {
        let byte = choices.arbitrary()?;
        text.splice(at..at + dropped, [byte]);
    } else {
        let piece = choices.choose(pieces)?;
        text.splice(at..at + dropped, piece.bytes());
    }
    Ok(())
}

/// Puts something else between a quote and the next one.
fn change_string(
    choices: &mut Unstructured<'_>,
    pieces: &[&str],
    text: &mut Vec<u8>,
) -> Result<()> {
    let quotes = quotes(text);
    if quotes.is_empty() {
        return Ok(());
    }
    let quote = *choices.choose(&quotes)?;
    let piece = choices.choose(pieces)?;
    text.splice(
        quote + 1..quotes.into_iter().find(|&next| next > quote).unwrap_or(text.len()),
        piece.bytes(),
    );
    Ok(())
}

/// The offsets of the quotes.
pub fn quotes(text: &[u8]) -> Vec<usize> {
    text.iter().enumerate().filter_map(|(offset, &byte)| (byte == b'"').then_some(offset)).collect()
}

impl Form {
    /// One event with this data, whose line ends would make it several.
    pub fn block(self, data: &[u8]) -> Vec<u8> {
        let spaced = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
        let data = [self.lead.as_bytes(), &data.iter().map(spaced).collect::<Vec<u8>>()].concat();
        let lines = [self.head.as_bytes(), &data, self.tail.as_bytes()];
        let lines = lines.into_iter().filter(|line| !line.is_empty());
        let mut block =
            lines.flat_map(|line| [line, self.end.as_bytes()]).collect::<Vec<_>>().concat();
        block.extend_from_slice(self.end.as_bytes());
        block
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Outcome {
    deltas: Vec<String>,
    events: u64,
    bad_events: u64,
    end: End,
    done: bool,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    ids: [Option<String>; Ids::NAMES.len()],
    error: Option<ReplyError>,
    /// The error that `ai-power` is being told word by word: what comes after its first word is
    /// read otherwise.
    words: Option<ReplyError>,
}

/// Panics unless one decoder reads the stream, in reads of these sizes or else whole and event by
/// event, as fresh ones read its events.
pub fn is_read_as_by_fresh_decoders(dialect: Dialect, blocks: &[Vec<u8>], sizes: &[u8]) {
    let mut expected = Outcome::default();
    // A fresh decoder reads the same event the same way each time.
    let mut told: Vec<(&[u8], Outcome)> = Vec::new();
    let mut count = 0;
    while count < blocks.len() && expected.end == End::Open && expected.words.is_none() {
        let block = &blocks[count][..];
        if !told.iter().any(|(known, _)| *known == block) {
            told.push((block, decode(dialect, &[block])));
        }
        let same = told.iter().find(|(known, _)| *known == block);
        expected.add(same.map(|(_, outcome)| outcome.clone()).unwrap_or_default());
        count += 1;
    }
    // After an end more may come, and is ignored; after words not.
    let blocks = if expected.words.is_some() { &blocks[..count] } else { blocks };
    expected.words = expected.words.filter(|_| expected.bad_events == 0);
    let stream = blocks.concat();
    let by_event: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    // Half a character waits for the next event, and counts are put together.
    let reference = DeltaDecoder::without_repeats(dialect, DeltaOptions::default());
    let referred = decode_with(reference, &by_event);
    let has_half = stream.windows(6).any(|part| part == b"\\ud83c");
    let cuts = if sizes.is_empty() {
        vec![vec![&stream[..]], by_event]
    } else {
        vec![reads(&stream, sizes)]
    };
    for cut in cuts {
        let mut outcome = decode(dialect, &cut);
        assert_eq!(outcome, referred, "{dialect:?} {:?}", Shown(&cut));
        if !has_half {
            outcome.usage = expected.usage;
            assert_eq!(outcome, expected, "{dialect:?} {:?}", Shown(&cut));
        }
    }
}

/// Panics unless a decoder that reads each event in full says the same of a stream: to who wants
/// everything, and to who wants text alone and has all the rest collected.
fn is_read_as_in_full(dialect: Dialect, blocks: &[Vec<u8>], sizes: &[u8]) {
    let stream = blocks.concat();
    let by_event: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let in_full = || DeltaDecoder::without_repeats(dialect, DeltaOptions::default());
    let everything = all_of::<Vec<OwnedDelta>>(in_full(), false, &by_event);
    let collected = all_of::<Vec<String>>(in_full(), true, &by_event);
    let cut = reads(&stream, if sizes.is_empty() { &[255] } else { sizes });
    for reads in [by_event, cut] {
        let decoder = || DeltaDecoder::new(dialect, DeltaOptions::default());
        let told = all_of::<Vec<OwnedDelta>>(decoder(), false, &reads);
        assert_eq!(told, everything, "{dialect:?} {:?}", Shown(&reads));
        let told = all_of::<Vec<String>>(decoder(), true, &reads);
        assert_eq!(told, collected, "{dialect:?} {:?}", Shown(&reads));
    }
}

/// The deltas of a reply, and all that its decoder tells in the end.
fn all_of<S: DeltaSink + Default>(
    mut decoder: DeltaDecoder,
    collects: bool,
    reads: &[&[u8]],
) -> (S, String) {
    if collects {
        decoder.collect();
    }
    let mut deltas = S::default();
    for read in reads {
        decoder.feed(read, &mut deltas);
    }
    decoder.close(true, &mut deltas);
    let passed_over: Vec<_> = decoder.passed_over().collect();
    let counts = (decoder.events(), decoder.bad_events(), decoder.usage(), passed_over);
    let end = (decoder.end(), decoder.done(), decoder.error(), decoder.finish_reason());
    (deltas, format!("{counts:?} {end:?} {:?} {:?}", decoder.ids(), decoder.collected()))
}

/// Reads as text, for a message.
struct Shown<'a>(&'a [&'a [u8]]);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|read| String::from_utf8_lossy(read))).finish()
    }
}

fn decode(dialect: Dialect, reads: &[&[u8]]) -> Outcome {
    decode_with(DeltaDecoder::new(dialect, DeltaOptions::default()), reads)
}

fn decode_with(mut decoder: DeltaDecoder, reads: &[&[u8]]) -> Outcome {
    let mut deltas = Vec::new();
    // A comment settles the framing, whatever line comes first.
    decoder.feed(b":\n", &mut deltas);
    for read in reads {
        decoder.feed(read, &mut deltas);
    }
    let mut ended = decoder.clone();
    ended.close(true, &mut String::new());
    let words = ended
        .error()
        .filter(|error| decoder.error().is_none() && error.kind == ErrorKind::Upstream)
        // Beside them, what is no event may be taken for an error.
        .filter(|_| decoder.bad_events() == 0)
        .cloned();
    Outcome {
        deltas,
        words,
        events: decoder.events(),
        bad_events: decoder.bad_events(),
        end: decoder.end(),
        done: decoder.done(),
        finish_reason: decoder.finish_reason().map(str::to_owned),
        usage: decoder.usage().copied(),
        ids: Ids::NAMES.map(|name| decoder.ids().get(name).map(str::to_owned)),
        // Where nothing came before the end marker, it is shown what did instead.
        error: decoder.error().filter(|_| !decoder.done()).cloned(),
    }
}

impl Outcome {
    /// Adds what the next event told: the first of each id stays, of all else the last.
    fn add(&mut self, next: Self) {
        self.deltas.extend(next.deltas);
        self.events += next.events;
        self.bad_events += next.bad_events;
        let has_come = !self.deltas.is_empty() || self.finish_reason.is_some();
        self.end = if next.done && has_come { End::Done } else { next.end };
        self.done |= next.done;
        self.finish_reason = next.finish_reason.or(self.finish_reason.take());
        self.usage = next.usage.or(self.usage.take());
        for (id, next) in self.ids.iter_mut().zip(next.ids) {
            *id = id.take().or(next);
        }
        self.error = next.error;
        self.words = next.words;
    }
}
