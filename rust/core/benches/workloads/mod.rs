//! What is measured: one row is some bytes, the reads they come in, and the text that must come of
//! them.
//!
//! The wall clock (`time.rs`) and the instruction counter (`instructions.rs`) run the same rows.
//! All bytes come from generators with fixed seeds, so that a row costs the same wherever it runs.

mod chat;
mod pages;
mod random;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use chat::{Ids, Spelling};
use futures_core::Stream;
use tailrace_core::adapters::{Chunks, DeltaStream, EventStream};
use tailrace_core::{
    ChatWidget, ChunkEncoder, ChunkFields, CompletionEncoder, Delta, DeltaDecoder, DeltaOptions,
    Dialect, Ending, EventDecoder, MAX_EVENT_BYTES, MessageEncoder, MessageFields, PageScanner,
    ResponseEncoder, ResponseFields, ScanOptions,
};

/// One measurement.
pub struct Row {
    work: Work,
    bytes: Vec<u8>,
    /// Where each read ends.
    ends: Vec<usize>,
    expected: String,
}

enum Work {
    /// Server-sent events; their data, joined, is the text.
    Events,
    /// The same by a stream of events that are kept.
    EventStream,
    /// Deltas of a dialect.
    Deltas(Dialect),
    /// Deltas of every kind, by a stream of those that are kept.
    DeltaStream(Dialect),
    /// Widgets of a page, each as nonce, post id and bot id.
    Page(ScanOptions),
    /// A signature.
    Sign,
    /// The events of a wire for deltas of text, each of which is a read; read back, they give the
    /// text.
    Encode(Wire),
}

/// A wire that answers are encoded for.
#[derive(Clone, Copy)]
enum Wire {
    Chunks,
    /// The same, by the method that takes a delta of any kind.
    AnyChunks,
    Completions,
    Response,
    Message,
}

/// How the bytes are cut into reads.
#[derive(Clone, Copy)]
enum Reads {
    Whole,
    Event,
    Of(usize),
}

/// A row that has been run, and what came of it.
pub struct Done {
    row: Row,
    text: Vec<u8>,
}

/// Makes a row.
pub type Make = fn() -> Row;

const EVENTS: usize = 2000;
const SMALL: usize = 64 * 1024;
const PAGE: usize = 300 * 1024;

/// All rows by name. A row `NAME_x4` has the input of `NAME` four times over: what it costs beyond
/// four times as much, grows with the input's size.
#[rustfmt::skip]
pub const ROWS: &[(&str, Make)] = &[
    ("sse_w1_event", || Row::new(Work::Events, chat::as_events(chat::short(EVENTS, Ids::Same)), Reads::Event)),
    ("sse_w1_1400", || Row::new(Work::Events, chat::as_events(chat::short(EVENTS, Ids::Same)), Reads::Of(1400))),
    ("sse_w1_64k", || Row::new(Work::Events, chat::as_events(chat::short(EVENTS, Ids::Same)), Reads::Of(65536))),
    ("sse_stream_w1_1400", || Row::new(Work::EventStream, chat::as_events(chat::short(EVENTS, Ids::Same)), Reads::Of(1400))),
    ("sse_stream_w1_64k", || Row::new(Work::EventStream, chat::as_events(chat::short(EVENTS, Ids::Same)), Reads::Of(65536))),
    ("openai_w1_event", || Row::new(OPENAI, chat::short(EVENTS, Ids::Same), Reads::Event)),
    ("openai_w1_64", || Row::new(OPENAI, chat::short(EVENTS, Ids::Same), Reads::Of(64))),
    ("openai_w1_1400", || Row::new(OPENAI, chat::short(EVENTS, Ids::Same), Reads::Of(1400))),
    ("openai_w1_64k", || Row::new(OPENAI, chat::short(EVENTS, Ids::Same), Reads::Of(65536))),
    ("openai_w1o_1400", || Row::new(OPENAI, chat::short(EVENTS, Ids::Obfuscated), Reads::Of(1400))),
    ("openai_w1i_1400", || Row::new(OPENAI, chat::short(EVENTS, Ids::Changing), Reads::Of(1400))),
    ("openai_w2_1400", || Row::new(OPENAI, chat::unicode(EVENTS), Reads::Of(1400))),
    ("openai_w3_1400", || Row::new(OPENAI, chat::tiny(EVENTS), Reads::Of(1400))),
    ("openai_w4_1400", || Row::new(OPENAI, chat::long(EVENTS / 10, true), Reads::Of(1400))),
    ("openai_w4p_1400", || Row::new(OPENAI, chat::long(EVENTS / 10, false), Reads::Of(1400))),
    ("openai_large_64", || Row::new(OPENAI, chat::large(MAX_EVENT_BYTES / 4 - SMALL), Reads::Of(64))),
    ("openai_large_64_x4", || Row::new(OPENAI, chat::large(MAX_EVENT_BYTES - 4 * SMALL), Reads::Of(64))),
    ("openai_stream_w1_1400", || Row::new(OPENAI_STREAM, chat::short(EVENTS, Ids::Same), Reads::Of(1400))),
    ("openai_stream_w2_1400", || Row::new(OPENAI_STREAM, chat::unicode(EVENTS), Reads::Of(1400))),
    ("openai_stream_thoughts_1400", || Row::new(OPENAI_STREAM, chat::thoughts(EVENTS / 2), Reads::Of(1400))),
    ("openai_stream_reasoning_1400", || Row::new(OPENAI_STREAM, chat::of_one_kind(EVENTS, chat::REASONING), Reads::Of(1400))),
    ("openai_stream_details_1400", || Row::new(OPENAI_STREAM, chat::of_one_kind(EVENTS, chat::DETAILS), Reads::Of(1400))),
    ("openai_stream_arguments_1400", || Row::new(OPENAI_STREAM, chat::of_one_kind(EVENTS, chat::ARGUMENTS), Reads::Of(1400))),
    ("openai_thoughts_1400", || Row::new(OPENAI, (chat::thoughts(EVENTS / 2).0, String::new()), Reads::Of(1400))),
    ("responses_stream_w1_1400", || Row::new(RESPONSES_STREAM, chat::responses(EVENTS, "response.output_text.delta", r#""content_index":0,"#), Reads::Of(1400))),
    ("responses_stream_summary_1400", || Row::new(RESPONSES_STREAM, chat::responses(EVENTS, "response.reasoning_summary_text.delta", r#""summary_index":0,"#), Reads::Of(1400))),
    ("responses_stream_arguments_1400", || Row::new(RESPONSES_STREAM, chat::responses(EVENTS, "response.function_call_arguments.delta", ""), Reads::Of(1400))),
    ("anthropic_stream_w1_1400", || Row::new(ANTHROPIC_STREAM, chat::anthropic(EVENTS, r#"{"type":"text","text":""}"#, r#"{"type":"text_delta","text":"@"}"#), Reads::Of(1400))),
    ("anthropic_stream_thinking_1400", || Row::new(ANTHROPIC_STREAM, chat::anthropic(EVENTS, r#"{"type":"thinking","thinking":""}"#, r#"{"type":"thinking_delta","thinking":"@"}"#), Reads::Of(1400))),
    ("anthropic_stream_arguments_1400", || Row::new(ANTHROPIC_STREAM, chat::anthropic(EVENTS, r#"{"type":"tool_use","id":"c1","name":"tide","input":{}}"#, r#"{"type":"input_json_delta","partial_json":"@"}"#), Reads::Of(1400))),
    ("ai_power_w1_1400", || Row::new(AI_POWER, chat::short(EVENTS, Ids::Same), Reads::Of(1400))),
    ("ai_power_assistant_1400", || Row::new(AI_POWER, chat::assistant(EVENTS), Reads::Of(1400))),
    ("ai_power_w5", || Row::new(AI_POWER, chat::body(Spelling::Php), Reads::Of(1400))),
    ("ai_power_w5p", || Row::new(AI_POWER, chat::body(Spelling::Plain), Reads::Of(1400))),
    ("ai_engine_1400", || Row::new(Work::Deltas(Dialect::AiEngine), chat::ai_engine(EVENTS), Reads::Of(1400))),
    ("encode_chunks", || encode(Wire::Chunks, EVENTS)),
    ("encode_chunks_of_any_kind", || encode(Wire::AnyChunks, EVENTS)),
    ("encode_completions", || encode(Wire::Completions, EVENTS)),
    ("encode_response", || encode(Wire::Response, EVENTS)),
    ("encode_response_x4", || encode(Wire::Response, 4 * EVENTS)),
    ("encode_message", || encode(Wire::Message, EVENTS)),
    ("text_1400", || Row::new(Work::Deltas(Dialect::Text), chat::text(SMALL), Reads::Of(1400))),
    ("page_bot_whole", || Row::new(bot(), pages::wordpress(PAGE), Reads::Whole)),
    ("page_bot_16k", || Row::new(bot(), pages::wordpress(PAGE), Reads::Of(16384))),
    ("page_everything", || Row::new(everything(), pages::wordpress(PAGE), Reads::Whole)),
    ("page_captured_bot", || Row::new(bot(), pages::captured(PAGE), Reads::Whole)),
    ("page_captured_everything", || Row::new(everything(), pages::captured(PAGE), Reads::Whole)),
    ("page_bytewise", || Row::new(everything(), pages::wordpress(SMALL), Reads::Of(1))),
    ("page_bytewise_x4", || Row::new(everything(), pages::wordpress(4 * SMALL), Reads::Of(1))),
    ("page_64", || Row::new(everything(), pages::wordpress(SMALL), Reads::Of(64))),
    ("page_64_x4", || Row::new(everything(), pages::wordpress(4 * SMALL), Reads::Of(64))),
    ("page_less_than", || hostile("", "<", 1, Reads::Whole)),
    ("page_less_than_x4", || hostile("", "<", 4, Reads::Whole)),
    ("page_open_tags", || hostile("", "<a b ", 1, Reads::Whole)),
    ("page_open_tags_x4", || hostile("", "<a b ", 4, Reads::Whole)),
    ("page_open_quotes", || hostile("", "<a b='", 1, Reads::Whole)),
    ("page_open_quotes_x4", || hostile("", "<a b='", 4, Reads::Whole)),
    ("page_attributes_64", || hostile("<a ", "b=c ", 1, Reads::Of(64))),
    ("page_attributes_64_x4", || hostile("<a ", "b=c ", 4, Reads::Of(64))),
    ("page_long_attribute", || hostile("<a b='", "x", 1, Reads::Of(1400))),
    ("page_long_attribute_x4", || hostile("<a b='", "x", 4, Reads::Of(1400))),
    ("page_open_comment", || hostile("<!--", "x", 1, Reads::Of(1400))),
    ("page_open_comment_x4", || hostile("<!--", "x", 4, Reads::Of(1400))),
    ("page_comment_flood", || hostile("", "<!--", 1, Reads::Of(64))),
    ("page_comment_flood_x4", || hostile("", "<!--", 4, Reads::Of(64))),
    ("page_end_tag_flood", || hostile("<script>", "</scrip", 1, Reads::Of(64))),
    ("page_end_tag_flood_x4", || hostile("<script>", "</scrip", 4, Reads::Of(64))),
    ("page_escape_flood", || hostile("<script>", "<!--<script ", 1, Reads::Of(64))),
    ("page_escape_flood_x4", || hostile("<script>", "<!--<script ", 4, Reads::Of(64))),
    ("sign_100", || sign(100, "6a7b21ce7cefbedbc5c660162dfa57547e792e8a925dbf9be82dd8f987ff8af8")),
    ("sign_1k", || sign(1_000, "893206b24b362f7cdabe59e4501d463722761f074995702481e6ba595fe48710")),
    ("sign_100k", || sign(100_000, "27829c759ca55aa44f2bad974d2a153919e4404b5e149b1581caf77b06a7fd0e")),
    ("sign_1m", || sign(1_000_000, "39251df75f1923c10ddd88bb8524052c5c7e1b6c169bbc81b72187bb1877d9c5")),
];

const OPENAI: Work = Work::Deltas(Dialect::OpenAi);
const OPENAI_STREAM: Work = Work::DeltaStream(Dialect::OpenAi);
const RESPONSES_STREAM: Work = Work::DeltaStream(Dialect::OpenAiResponses);
const ANTHROPIC_STREAM: Work = Work::DeltaStream(Dialect::Anthropic);
const AI_POWER: Work = Work::Deltas(Dialect::AiPower);

fn bot() -> Work {
    Work::Page(ScanOptions { bot_id: Some(pages::BOT_ID.to_owned()), ..ScanOptions::default() })
}

fn everything() -> Work {
    Work::Page(ScanOptions { everything: true, ..ScanOptions::default() })
}

/// A page that is `head` and then one fragment over and over, and holds nothing.
fn hostile(head: &str, fragment: &str, times: usize, reads: Reads) -> Row {
    let page = head.to_owned() + &fragment.repeat(times * SMALL / fragment.len());
    Row::new(everything(), (page, String::new()), reads)
}

/// The signatures were computed by Python's hashlib.
fn sign(length: usize, expected: &str) -> Row {
    Row::new(Work::Sign, (chat::words(length), expected.to_owned()), Reads::Whole)
}

/// Deltas of 4 characters.
fn encode(wire: Wire, deltas: usize) -> Row {
    let words = chat::words(4 * deltas);
    Row::new(Work::Encode(wire), (words.clone(), words), Reads::Of(4))
}

impl Row {
    fn new(work: Work, (bytes, expected): (String, String), reads: Reads) -> Self {
        let ends = match reads {
            Reads::Whole => vec![bytes.len()],
            Reads::Event => bytes.match_indices("\n\n").map(|(at, end)| at + end.len()).collect(),
            Reads::Of(size) => {
                (0..bytes.len()).skip(size).step_by(size).chain([bytes.len()]).collect()
            }
        };
        Self { work, bytes: bytes.into_bytes(), ends, expected }
    }

    /// Bytes of its input.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Does the row's work once.
    pub fn run(&self) -> Vec<u8> {
        let text = match &self.work {
            Work::Encode(wire) => return self.encode(*wire),
            Work::Events => self.events(),
            Work::EventStream => self.event_stream(),
            Work::Deltas(dialect) => self.deltas(*dialect),
            Work::DeltaStream(dialect) => self.delta_stream(*dialect),
            Work::Page(options) => self.page(options),
            Work::Sign => tailrace_core::sign_request(
                TIMESTAMP,
                &String::from_utf8_lossy(&self.bytes),
                SECRET,
            ),
        };
        text.into_bytes()
    }

    /// The same, for a caller that checks the text later.
    pub fn done(self) -> Done {
        let text = self.run();
        Done { row: self, text }
    }

    fn reads(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    fn events(&self) -> String {
        let mut text = String::with_capacity(self.expected.len());
        let mut decoder = EventDecoder::new(MAX_EVENT_BYTES);
        for read in self.reads() {
            let result = decoder.feed(read, |event| {
                text.push_str(event.data);
                ControlFlow::Continue(())
            });
            assert_eq!(result, Ok(()));
        }
        text
    }

    fn deltas(&self, dialect: Dialect) -> String {
        let mut text = String::with_capacity(self.expected.len());
        let mut decoder = DeltaDecoder::new(dialect, DeltaOptions::default());
        self.reads().for_each(|read| decoder.feed(read, &mut text));
        decoder.close(true, &mut text);
        text
    }

    fn event_stream(&self) -> String {
        let mut text = String::with_capacity(self.expected.len());
        let events = EventStream::new(Chunks::new(AsStream(self.reads())));
        each(events, |event| text.push_str(&event.data));
        text
    }

    fn delta_stream(&self, dialect: Dialect) -> String {
        let mut text = String::with_capacity(self.expected.len());
        let decoder = DeltaDecoder::new(dialect, DeltaOptions::default());
        let deltas = DeltaStream::new(Chunks::new(AsStream(self.reads())), decoder);
        each(deltas, |delta| match delta.as_delta() {
            Delta::Text(piece) | Delta::Reasoning(piece) => text.push_str(piece),
            Delta::ToolCall(call) => text.push_str(call.arguments),
            _ => {}
        });
        text
    }

    fn encode(&self, wire: Wire) -> Vec<u8> {
        let mut events = Vec::new();
        // All of them are ASCII.
        let texts = self.reads().filter_map(|read| std::str::from_utf8(read).ok());
        let fields = ChunkFields::new("chatcmpl-mill", 1_763_600_000, "mill/stone");
        match wire {
            Wire::Chunks => {
                let encoder = ChunkEncoder::new(&fields);
                texts.for_each(|text| encoder.delta(text, &mut events));
                encoder.finish(Some("stop"), &mut events);
            }
            Wire::AnyChunks => {
                let mut encoder = ChunkEncoder::new(&fields);
                texts.for_each(|text| encoder.event(Delta::Text(text), &mut events));
                encoder.finish(Some("stop"), &mut events);
            }
            Wire::Completions => {
                let encoder = CompletionEncoder::new(&fields);
                texts.for_each(|text| encoder.delta(text, &mut events));
                encoder.finish(Some("stop"), &mut events);
            }
            Wire::Response => {
                let fields = ResponseFields::new("resp_mill", 1_763_600_000, "mill/stone");
                if let Ok(mut encoder) = ResponseEncoder::new(&fields) {
                    encoder.start(&mut events);
                    texts.for_each(|text| encoder.event(Delta::Text(text), &mut events));
                    encoder.finish(&Ending::default(), &mut events);
                }
            }
            Wire::Message => {
                let mut encoder =
                    MessageEncoder::new(&MessageFields::new("msg_mill", "mill/stone"));
                encoder.start(0, &mut events);
                texts.for_each(|text| encoder.event(Delta::Text(text), &mut events));
                encoder.finish(&Ending::default(), &mut events);
            }
        }
        events
    }

    fn page(&self, options: &ScanOptions) -> String {
        let mut scanner = PageScanner::new(options.clone());
        let _ = self.reads().any(|read| scanner.feed(read));
        let page = scanner.close();
        let tokens = |widget: &ChatWidget| {
            [&*widget.nonce, &*widget.post_id, &*widget.bot_id].join(" ") + "\n"
        };
        page.widgets().iter().map(tokens).collect()
    }
}

/// Reads as a client's stream of chunks.
struct AsStream<I>(I);

impl<'r, I: Iterator<Item = &'r [u8]> + Unpin> Stream for AsStream<I> {
    type Item = Result<&'r [u8], Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// Takes the items of a stream that never waits; an error is none, and shows in the text.
fn each<T, E>(stream: impl Stream<Item = Result<T, E>>, mut take: impl FnMut(T)) {
    let (mut stream, mut cx) = (pin!(stream), Context::from_waker(Waker::noop()));
    while let Poll::Ready(Some(Ok(item))) = stream.as_mut().poll_next(&mut cx) {
        take(item);
    }
}

impl Done {
    /// Panics when something else came than what had to come.
    pub fn check(self) {
        let Self { row, text } = self;
        let told = match row.work {
            Work::Encode(wire) => {
                let mut told = String::new();
                let mut decoder = DeltaDecoder::new(wire.dialect(), DeltaOptions::default());
                decoder.feed(&text, &mut told);
                decoder.close(true, &mut told);
                told.into_bytes()
            }
            _ => text,
        };
        let is_right = told == row.expected.as_bytes();
        assert!(is_right, "{} bytes gave a text of {}", row.size(), told.len());
    }
}

impl Wire {
    fn dialect(self) -> Dialect {
        match self {
            Self::Chunks | Self::AnyChunks | Self::Completions => Dialect::OpenAi,
            Self::Response => Dialect::OpenAiResponses,
            Self::Message => Dialect::Anthropic,
        }
    }
}

const TIMESTAMP: i64 = 1_763_600_000_000;
const SECRET: &str = "mill-pond";
