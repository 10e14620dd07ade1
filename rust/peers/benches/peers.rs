//! What the core costs beside what others read chat streams with, as ratios of times: ours to
//! theirs, so that less than 1 is less time. `cargo bench --bench peers`, or `-- NAME` for some rows.
//!
//! In every round each contender has its turn; a ratio is one of medians. Time is the processor's,
//! of this thread: by the clock, who takes longer is interrupted more often. Each contender must
//! give the bytes of text, or of data, that are due.

#[path = "../../core/benches/workloads/chat.rs"]
#[allow(dead_code)]
mod chat;
#[path = "../../core/benches/workloads/random.rs"]
mod random;

use std::convert::Infallible;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use chat::Ids;
use eventsource_stream::Eventsource;
use futures_util::{Stream, stream};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use sonic_rs::JsonValueTrait;
use sse_stream::SseStream;
use tailrace_core::adapters::{Chunks, DeltaStream, EventStream};
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, EventDecoder};

/// One way from the reads of a reply to its text, or to the data of its events. Returns how many
/// bytes that was.
type Read = fn(&[Bytes]) -> usize;

/// Ours and theirs, by name; each of ours is compared with each of theirs.
struct Contest {
    ours: &'static [(&'static str, Read)],
    theirs: &'static [(&'static str, Read)],
}

const EVENTS: Contest = Contest {
    ours: &[("EventDecoder", decoder_events), ("EventStream", stream_events)],
    theirs: &[("sse-stream", sse_stream), ("eventsource-stream", eventsource_stream)],
};

const TEXT: Contest = Contest {
    ours: &[("DeltaDecoder", decoder_text), ("DeltaStream", stream_text)],
    theirs: &[
        ("eventsource-stream + serde_json", eventsource_stream_serde_json),
        ("a loop + sonic-rs (a struct)", sonic_struct),
        ("a loop + sonic-rs (a path)", sonic_path),
    ],
};

const COUNT: usize = 2000;

/// The size of a read that is one event, as a model's server sends them.
const ONE_EVENT: usize = 0;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_wanted =
        |name: &str| wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()));
    for (name, contest, (bytes, expected), size) in [
        ("events_one_by_one", &EVENTS, chat::as_events(chat::short(COUNT, Ids::Same)), ONE_EVENT),
        ("events_1400", &EVENTS, chat::as_events(chat::short(COUNT, Ids::Same)), 1400),
        ("events_64k", &EVENTS, chat::as_events(chat::short(COUNT, Ids::Same)), 65536),
        ("text_one_by_one", &TEXT, chat::short(COUNT, Ids::Same), ONE_EVENT),
        ("text_1400", &TEXT, chat::short(COUNT, Ids::Same), 1400),
        ("text_64k", &TEXT, chat::short(COUNT, Ids::Same), 65536),
        ("text_changing_ids_1400", &TEXT, chat::short(COUNT, Ids::Changing), 1400),
        ("text_obfuscated_1400", &TEXT, chat::short(COUNT, Ids::Obfuscated), 1400),
        ("text_unicode_1400", &TEXT, chat::unicode(COUNT), 1400),
    ] {
        if is_wanted(name) {
            compare(name, contest, &reads(&bytes, size), expected.len());
        }
    }
}

/// The reads of so many bytes, or of an event each.
fn reads(bytes: &str, size: usize) -> Vec<Bytes> {
    if size == ONE_EVENT {
        let events = bytes.split_inclusive("\n\n");
        return events.map(|event| Bytes::copy_from_slice(event.as_bytes())).collect();
    }
    bytes.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect()
}

fn compare(name: &str, contest: &Contest, reads: &[Bytes], expected: usize) {
    let contenders: Vec<_> = contest.ours.iter().chain(contest.theirs).collect();
    for (contender, read) in &contenders {
        assert_eq!(read(reads), expected, "{name}: {contender}");
    }
    let medians = medians(&contenders.iter().map(|(_, read)| *read).collect::<Vec<_>>(), reads);
    let (ours, theirs) = medians.split_at(contest.ours.len());
    for ((our, _), our_time) in contest.ours.iter().zip(ours) {
        for ((their, _), their_time) in contest.theirs.iter().zip(theirs) {
            let ratio = our_time.as_secs_f64() / their_time.as_secs_f64();
            println!("{name:<24}{our:<14} / {their:<34}{ratio:>6.2}");
        }
    }
}

/// The time that each takes, all of them in turn.
fn medians(contenders: &[Read], reads: &[Bytes]) -> Vec<Duration> {
    const ROUNDS: usize = 51;
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for (read, times) in contenders.iter().zip(&mut times) {
            let start = processor_time();
            for _ in 0..4 {
                black_box(read(black_box(reads)));
            }
            times.push(processor_time() - start);
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[ROUNDS / 2]
    };
    times.iter_mut().map(median).collect()
}

/// The processor time that this thread has had.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("it is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("it is less than a second"))
}

/// The reads as a client's stream of chunks.
fn chunks(reads: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin + '_ {
    stream::iter(reads.iter().cloned().map(Ok))
}

/// Takes all items of a stream that never waits.
fn drain<T, E: std::fmt::Debug>(stream: impl Stream<Item = Result<T, E>>, mut take: impl FnMut(T)) {
    let mut stream = pin!(stream);
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(item)) = Pin::as_mut(&mut stream).poll_next(&mut cx) {
        take(item.expect("the reply is sound"));
    }
}

fn decoder_events(reads: &[Bytes]) -> usize {
    let (mut decoder, mut size) = (EventDecoder::default(), 0);
    for read in reads {
        let fed = decoder.feed(read, |event| {
            size += event.data.len();
            ControlFlow::Continue(())
        });
        fed.expect("no event is too large");
    }
    size
}

fn stream_events(reads: &[Bytes]) -> usize {
    let mut size = 0;
    drain(EventStream::new(Chunks::new(chunks(reads))), |event| size += event.data.len());
    size
}

fn sse_stream(reads: &[Bytes]) -> usize {
    let mut size = 0;
    drain(SseStream::from_bytes_stream(chunks(reads)), |event| {
        size += event.data.map_or(0, |data| data.len());
    });
    size
}

fn eventsource_stream(reads: &[Bytes]) -> usize {
    let mut size = 0;
    drain(chunks(reads).eventsource(), |event| size += event.data.len());
    size
}

fn openai() -> DeltaDecoder {
    DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default())
}

fn decoder_text(reads: &[Bytes]) -> usize {
    let (mut decoder, mut text) = (openai(), String::new());
    for read in reads {
        decoder.feed(read, &mut text);
    }
    decoder.close(true, &mut text);
    black_box(text).len()
}

fn stream_text(reads: &[Bytes]) -> usize {
    let mut text = String::new();
    drain(DeltaStream::new(Chunks::new(chunks(reads)), openai()), |delta| {
        text.push_str(delta.text().unwrap_or_default());
    });
    black_box(text).len()
}

#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Content,
}

#[derive(Deserialize)]
struct Content {
    content: Option<String>,
}

impl Chunk {
    fn add_to(self, text: &mut String) {
        let content = self.choices.into_iter().next().and_then(|choice| choice.delta.content);
        text.push_str(&content.unwrap_or_default());
    }
}

fn eventsource_stream_serde_json(reads: &[Bytes]) -> usize {
    let mut text = String::new();
    drain(chunks(reads).eventsource(), |event| {
        if event.data != "[DONE]" {
            let chunk: Chunk = serde_json::from_str(&event.data).expect("it is JSON");
            chunk.add_to(&mut text);
        }
    });
    black_box(text).len()
}

fn sonic_struct(reads: &[Bytes]) -> usize {
    let mut text = String::new();
    each_data(reads, |data| {
        let chunk: Chunk = sonic_rs::from_slice(data).expect("it is JSON");
        chunk.add_to(&mut text);
    });
    black_box(text).len()
}

fn sonic_path(reads: &[Bytes]) -> usize {
    let mut text = String::new();
    let path = sonic_rs::pointer!["choices", 0, "delta", "content"];
    each_data(reads, |data| {
        if let Ok(content) = sonic_rs::get(data, &path) {
            text.push_str(content.as_str().unwrap_or_default());
        }
    });
    black_box(text).len()
}

/// The loop that one writes by hand: lines of data out of what has come, and the rest kept.
fn each_data(reads: &[Bytes], mut take: impl FnMut(&[u8])) {
    let mut buffer: Vec<u8> = Vec::new();
    for read in reads {
        buffer.extend_from_slice(read);
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &buffer[start..]) {
            let line = &buffer[start..start + length];
            start += length + 1;
            if let Some(data) = line.strip_prefix(b"data: ")
                && data != b"[DONE]"
            {
                take(data);
            }
        }
        buffer.drain(..start);
    }
}
