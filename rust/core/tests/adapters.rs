//! The streams and iterators in front of the decoders: whatever the bytes come from and however it
//! cuts them, their items are what the decoders give.

#[path = "adapters/loopback.rs"]
mod loopback;
#[path = "adapters/pieces.rs"]
mod pieces;

use std::future::Future;
use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_core::{FusedStream, Stream};
use http::HeaderMap;
use http_body::Frame;
use proptest::prelude::*;
use proptest::sample::Index;
use tailrace_core::adapters::{
    BodyData, Chunks, DeltaError, DeltaIterator, DeltaStream, EventError, EventIterator,
    EventStream, Reads,
};
use tailrace_core::{
    Delta, DeltaDecoder, DeltaOptions, Dialect, End, ErrorKind, EventDecoder, Limit, LimitExceeded,
    MAX_BODY_BYTES, MAX_EVENT_BYTES, OwnedDelta, OwnedEvent,
};

use crate::cuts::cut;
use crate::expect;
use crate::vectors;
use pieces::{Broken, Pieces, ReadPieces};

/// What a stream or an iterator gave, its errors as text, and whether it is over for good.
type Given<T> = (Vec<T>, Option<String>);

/// How often something was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls as often as it takes; what is not ready has been woken already.
fn all<T, E: std::fmt::Debug>(
    mut stream: impl FusedStream<Item = Result<T, E>> + Unpin,
) -> Given<T> {
    let (mut items, mut failure) = (Vec::new(), None);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        assert!(!stream.is_terminated(), "before it said so");
        let before = woken.0.load(Ordering::Relaxed);
        match Pin::new(&mut stream).poll_next(&mut cx) {
            Poll::Pending => assert!(woken.0.load(Ordering::Relaxed) > before, "it hangs"),
            Poll::Ready(Some(Ok(item))) => {
                assert_eq!(failure, None, "an item after an error");
                items.push(item);
            }
            Poll::Ready(Some(Err(error))) => {
                assert_eq!(failure, None, "an error after an error");
                failure = Some(format!("{error:?}"));
            }
            Poll::Ready(None) => break,
        }
    }
    assert!(stream.is_terminated());
    assert!(matches!(Pin::new(&mut stream).poll_next(&mut cx), Poll::Ready(None)));
    (items, failure)
}

fn each<T, E: std::fmt::Debug>(mut items: impl Iterator<Item = Result<T, E>>) -> Given<T> {
    let (mut given, mut failure) = (Vec::new(), None);
    for item in items.by_ref() {
        assert_eq!(failure, None, "an item after an error");
        match item {
            Ok(item) => given.push(item),
            Err(error) => failure = Some(format!("{error:?}")),
        }
    }
    assert!(items.next().is_none());
    (given, failure)
}

/// The reads that have bytes: an empty one is the end of a reader.
fn without_empty<'a>(reads: &[&'a [u8]]) -> Vec<&'a [u8]> {
    reads.iter().copied().filter(|read| !read.is_empty()).collect()
}

/// The events by every adapter, which must agree.
fn events(reads: &[&[u8]], max: usize, broken: bool) -> Given<OwnedEvent> {
    let decoder = || EventDecoder::new(max);
    let stream = |slow| Pieces::new(reads, broken, slow);
    let given = all(EventStream::with_decoder(Chunks::new(stream(false)), decoder()));
    let slow = all(EventStream::with_decoder(Chunks::new(stream(true)), decoder()));
    assert_eq!(slow, given, "a stream that is not always ready");
    let body = all(EventStream::with_decoder(BodyData::new(stream(true)), decoder()));
    assert_eq!(body, given, "a body");
    let read = || ReadPieces::new(&without_empty(reads), broken);
    let tokio = all(EventStream::with_decoder(Reads::new(read()), decoder()));
    assert_eq!(as_broken(tokio), given, "a reader of tokio's");
    for capacity in [3, 8192] {
        let reader = BufReader::with_capacity(capacity, read());
        let std = each(EventIterator::of_buffered(reader, decoder()));
        assert_eq!(as_broken(std), given, "a reader through a buffer of {capacity}");
    }
    given
}

/// The error of a reader, as that of a stream.
fn as_broken<T>((items, failure): Given<T>) -> Given<T> {
    let custom = format!("Read({:?})", io::Error::other(Broken));
    (items, failure.map(|failure| failure.replace(&custom, "Read(Broken)")))
}

fn direct_events(reads: &[&[u8]], max: usize) -> (Vec<OwnedEvent>, Option<LimitExceeded>) {
    let (mut decoder, mut events) = (EventDecoder::new(max), Vec::new());
    for read in reads {
        let _ = decoder.feed(read, |event| {
            events.push(OwnedEvent::from(event));
            ControlFlow::Continue(())
        });
    }
    (events, decoder.error())
}

/// The deltas by every adapter, which must agree with each other and with the decoder.
fn deltas(
    reads: &[&[u8]],
    decoder: &DeltaDecoder,
    broken: bool,
) -> (Given<OwnedDelta>, DeltaDecoder) {
    let stream = |slow| Pieces::new(reads, broken, slow);
    let mut chunks = DeltaStream::new(Chunks::new(stream(false)), decoder.clone());
    let given = compared(all(&mut chunks), decoder);
    let mut body = DeltaStream::new(BodyData::new(stream(true)), decoder.clone());
    assert_eq!(compared(all(&mut body), decoder), given, "a body");
    assert_eq!(told(body.decoder()), told(chunks.decoder()), "a body");
    let read = || ReadPieces::new(&without_empty(reads), broken);
    let mut tokio = DeltaStream::new(Reads::new(read()), decoder.clone());
    assert_eq!(compared(as_broken(all(&mut tokio)), decoder), given, "a reader of tokio's");
    assert_eq!(told(tokio.decoder()), told(chunks.decoder()), "a reader of tokio's");
    for capacity in [3, 8192] {
        let reader = BufReader::with_capacity(capacity, read());
        let mut std = DeltaIterator::of_buffered(reader, decoder.clone());
        assert_eq!(compared(as_broken(each(&mut std)), decoder), given, "a buffer of {capacity}");
        assert_eq!(told(std.decoder()), told(chunks.decoder()), "a buffer of {capacity}");
    }
    (given, chunks.into_decoder())
}

/// The deltas by the decoder itself, and the error that is due behind them.
fn direct_deltas(
    reads: &[&[u8]],
    mut decoder: DeltaDecoder,
    complete: bool,
) -> (Given<OwnedDelta>, DeltaDecoder) {
    let mut deltas = Vec::new();
    for read in reads {
        decoder.feed(read, &mut deltas);
    }
    // What comes behind the reply's end is not read, and so cannot break off.
    let is_broken = decoder.end() == End::Open && !complete;
    decoder.close(complete, &mut deltas);
    let of_reply = decoder.error().map(|error| format!("Reply({error:?})"));
    let failure = if is_broken { Some("Read(Broken)".to_owned()) } else { of_reply };
    ((deltas, failure), decoder)
}

/// As given; of a plain text, whose deltas are what the reads are, the whole of it.
fn compared((items, failure): Given<OwnedDelta>, decoder: &DeltaDecoder) -> Given<OwnedDelta> {
    if decoder.dialect() != Some(Dialect::Text) {
        return (items, failure);
    }
    (vec![Delta::Text(&joined(&items)).into()], failure)
}

/// All that a decoder knows of its reply, but for what depends on the reads.
fn told(decoder: &DeltaDecoder) -> String {
    let events = (decoder.dialect() != Some(Dialect::Text)).then(|| decoder.events());
    format!(
        "{:?}",
        (
            (decoder.end(), decoder.error(), decoder.done(), decoder.finish_reason()),
            (decoder.usage(), decoder.ids(), decoder.framing(), decoder.dialect()),
            (events, decoder.bad_events(), decoder.new_token()),
            decoder.passed_over().collect::<Vec<_>>(),
        )
    )
}

fn check_deltas(name: &str, reads: &[&[u8]], decoder: &DeltaDecoder, complete: bool) {
    let (direct, ended) = direct_deltas(reads, decoder.clone(), complete);
    let (given, by_stream) = deltas(reads, decoder, !complete);
    assert_eq!(given, compared(direct, decoder), "{name}");
    assert_eq!(told(&by_stream), told(&ended), "{name}");
}

fn crosses_threads<T: Send + 'static>() {}

#[test]
fn adapters_cross_threads() {
    crosses_threads::<EventStream<Chunks<Pieces>>>();
    crosses_threads::<DeltaStream<BodyData<Pieces>>>();
    crosses_threads::<DeltaStream<Reads<tokio::net::TcpStream>>>();
    crosses_threads::<EventIterator<BufReader<ReadPieces>>>();
    crosses_threads::<DeltaIterator<BufReader<std::net::TcpStream>>>();
    crosses_threads::<(EventError<Broken>, DeltaError<Broken>)>();
}

#[test]
fn every_vector_of_events_by_every_adapter() {
    for (name, case) in vectors::cases("sse") {
        let input = vectors::bytes(&case["input"]);
        let max = vectors::number(&case["max_event_bytes"]).unwrap_or(1 << 20);
        for reads in vectors::splits(&input, 1 + input.len() / 20) {
            let (expected, limit) = direct_events(&reads, max);
            let (given, failure) = events(&reads, max, false);
            assert_eq!(given, expected, "{name}");
            assert_eq!(failure, limit.map(|limit| format!("Limit({limit:?})")), "{name}");
        }
    }
}

#[test]
fn every_vector_of_deltas_by_every_adapter() {
    for (name, case) in vectors::cases("deltas") {
        let input = vectors::bytes(&case["input"]);
        let complete = case["complete"].as_bool().unwrap_or(true);
        if input.len() > 1 << 12 {
            continue;
        }
        for reads in vectors::splits(&input, 1 + input.len() / 4) {
            check_deltas(&name, &reads, &expect::decoder(&case), complete);
        }
    }
}

#[test]
fn an_empty_chunk_is_no_end() {
    let reads: [&[u8]; 5] = [b"", b"data: 1\n", b"", b"\ndata: 2\n\n", b""];
    let stream = EventStream::new(Chunks::new(Pieces::new(&reads, false, false)));
    let body = EventStream::new(BodyData::new(Pieces::new(&reads, false, true)));
    let data =
        |given: Given<OwnedEvent>| given.0.into_iter().map(|event| event.data).collect::<Vec<_>>();
    assert_eq!(
        (data(all(stream)), data(all(body))),
        (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()])
    );
}

#[test]
fn bytes_that_break_off_are_told_behind_what_they_gave() {
    let (items, failure) = events(&[b"data: 1\n\ndata: 2\n\ndata: 3\n"], 100, true);
    assert_eq!((items.len(), failure.as_deref()), (2, Some("Read(Broken)")));

    let mut stream = EventStream::new(Chunks::new(Pieces::new(&[], true, false)));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Err(error))) = Pin::new(&mut stream).poll_next(&mut cx) else {
        panic!("it broke off")
    };
    assert_eq!(error, EventError::Read(Broken));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "broken");
    assert_eq!(error.to_string(), "the bytes of the reply broke off");
}

#[test]
fn a_limit_is_told_behind_the_events_before_it() {
    let (items, failure) = events(&[b"data: 1\n\ndata: 123456789\n\ndata: 2\n\n"], 10, false);
    let limit = LimitExceeded { limit: Limit::Event, bytes: 10 };
    assert_eq!((items.len(), failure), (1, Some(format!("Limit({limit:?})"))));
    let error: EventError<Broken> = EventError::Limit(limit);
    assert!(error.to_string().contains("max_event_bytes"));
    assert!(std::error::Error::source(&error).is_none());
}

const TEXT: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"Ebb\"}}]}\n\n";
const STOP: &[u8] =
    b"data: {\"choices\":[{\"delta\":{\"content\":\" tide\"},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &[u8] =
    b"data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n";
const DONE: &[u8] = b"data: [DONE]\n\n";

fn openai() -> DeltaDecoder {
    DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default())
}

fn joined(deltas: &[OwnedDelta]) -> String {
    deltas.iter().filter_map(OwnedDelta::text).collect()
}

#[test]
fn a_reply_ends_a_stream_of_deltas_and_leaves_its_state() {
    // What comes behind the end, be it an error, is not read.
    let ((items, failure), decoder) = deltas(&[TEXT, STOP, USAGE, DONE], &openai(), true);
    assert_eq!((joined(&items).as_str(), failure), ("Ebb tide", None));
    assert_eq!((decoder.end(), decoder.finish_reason()), (End::Done, Some("stop")));
    assert_eq!(decoder.usage().unwrap().completion_tokens, 2);
    assert_eq!(decoder.ids().get("id"), Some("c1"));
}

#[test]
fn a_reply_that_is_cut_says_so_behind_its_deltas() {
    let ((items, failure), decoder) = deltas(&[TEXT], &openai(), false);
    assert_eq!(joined(&items), "Ebb");
    assert!(failure.unwrap().starts_with("Reply("));
    assert_eq!(decoder.error().unwrap().kind, ErrorKind::Truncated);

    // The transport's own error is told as that, and the decoder knows what it means.
    let ((items, failure), decoder) = deltas(&[TEXT], &openai(), true);
    assert_eq!((joined(&items).as_str(), failure.as_deref()), ("Ebb", Some("Read(Broken)")));
    assert_eq!(decoder.end(), End::Truncated);
    let ((_, failure), decoder) = deltas(&[TEXT, STOP], &openai(), true);
    assert_eq!((failure.as_deref(), decoder.end()), (Some("Read(Broken)"), End::Stopped));
}

#[test]
fn an_error_of_the_site_comes_as_the_reply_s() {
    let options = DeltaOptions { status: 429, ..DeltaOptions::default() };
    let decoder = DeltaDecoder::new(Dialect::OpenAi, options);
    let body = br#"{"error":{"message":"slow down","code":"rate"}}"#;
    let stream = DeltaStream::new(Chunks::new(Pieces::new(&[body], false, false)), decoder);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Err(error))) = Pin::new(&mut { stream }).poll_next(&mut cx) else {
        panic!("it failed")
    };
    assert_eq!(error.to_string(), "slow down");
    let DeltaError::Reply(error) = error else { panic!("{error:?} is the reply's") };
    assert_eq!((error.status, error.code.as_deref()), (429, Some("rate")));
}

#[test]
fn one_id_is_kept_once_however_many_events_have_it() {
    let id = "i".repeat(1000);
    let stream = format!("data: 0\n\nid: {id}\ndata: 1\n\ndata: 2\n\nid\ndata: 3\n\n");
    let (events, _) = events(&[stream.as_bytes()], 1 << 20, false);
    let ids: Vec<&str> = events.iter().map(OwnedEvent::id).collect();
    assert_eq!(ids, ["", &id, &id, ""]);
    let [_, first, second, _] = &events[..] else { panic!("four events") };
    assert!(std::sync::Arc::ptr_eq(first.id.as_ref().unwrap(), second.id.as_ref().unwrap()));
}

#[test]
fn a_read_that_a_signal_interrupts_is_taken_up_again() {
    let reader = || ReadPieces::new(&[b"data: 1\n", b"\n"], false).hindered(Interrupted);
    let (events, failure) = each(EventIterator::new(reader()));
    assert_eq!((events.len(), failure), (1, None));
    let (events, failure) = all(EventStream::new(Reads::new(reader())));
    assert_eq!((events.len(), failure), (1, None));
}

#[test]
fn a_reader_that_has_nothing_for_now_has_not_ended() {
    fn passed<T, E>(items: impl Iterator<Item = Result<T, E>>) -> (Vec<T>, usize) {
        let (mut given, mut failures) = (Vec::new(), 0);
        for item in items {
            item.map_or_else(|_| failures += 1, |item| given.push(item));
        }
        (given, failures)
    }
    let reader = |reads| ReadPieces::new(reads, false).hindered(WouldBlock);
    let (events, failures) = passed(EventIterator::new(reader(&[b"data: 1\n", b"\n"])));
    assert_eq!((events.len(), failures), (1, 2));

    let mut deltas = DeltaIterator::new(reader(&[TEXT, STOP, DONE]), openai());
    let Some(Err(DeltaError::Read(error))) = deltas.next() else { panic!("it waits") };
    assert_eq!((error.kind(), deltas.decoder().end()), (WouldBlock, End::Open));
    let (given, failures) = passed(&mut deltas);
    assert_eq!((joined(&given).as_str(), failures), ("Ebb tide", 2));
    assert_eq!(deltas.decoder().end(), End::Done);
}

/// A source that nothing comes from, and that must not be asked.
struct Unasked;

impl Stream for Unasked {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        panic!("it is asked")
    }
}

#[test]
fn a_decoder_that_has_ended_asks_for_no_bytes() {
    let mut decoder = openai();
    decoder.feed(DONE, &mut String::new());
    let (_, failure) = all(DeltaStream::new(Chunks::new(Unasked), decoder.clone()));
    assert_eq!(failure, decoder.error().map(|error| format!("Reply({error:?})")));
    decoder = openai();
    decoder.feed(&[STOP, DONE].concat(), &mut String::new());
    assert_eq!(all(DeltaStream::new(Chunks::new(Unasked), decoder)), (vec![], None));

    let mut decoder = EventDecoder::default();
    decoder.close().unwrap();
    let stream = EventStream::with_decoder(Chunks::new(Unasked), decoder);
    assert_eq!(all(stream), (vec![], None));
}

/// A stream of the same chunk without end.
struct Endless(&'static [u8]);

impl Stream for Endless {
    type Item = Result<&'static [u8], Broken>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Ok(self.0)))
    }
}

#[test]
fn bytes_without_end_that_nothing_comes_of_let_others_have_their_turn() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    for chunk in [&b": ping\n\n"[..], b""] {
        let mut events = EventStream::new(Chunks::new(Endless(chunk)));
        assert!(Pin::new(&mut events).poll_next(&mut cx).is_pending());
        let mut deltas = DeltaStream::new(Chunks::new(Endless(chunk)), openai());
        assert!(Pin::new(&mut deltas).poll_next(&mut cx).is_pending());
        assert!(pin!(deltas.drain()).poll(&mut cx).is_pending());
    }
    assert_eq!(woken.0.load(Ordering::Relaxed), 6);
}

#[test]
fn a_stream_that_waits_holds_no_chunk() {
    let chunk = Bytes::from(b"data: 1\n\ndata: 2\n\n".to_vec());
    let mut cx = Context::from_waker(Waker::noop());
    let pieces = || Pieces::of([chunk.clone()]);
    let mut by_chunks = EventStream::new(Chunks::new(pieces()));
    let mut by_body = EventStream::new(BodyData::new(pieces()));
    for number in ["1", "2"] {
        assert!(!chunk.is_unique());
        for event in
            [Pin::new(&mut by_chunks).poll_next(&mut cx), Pin::new(&mut by_body).poll_next(&mut cx)]
        {
            let Poll::Ready(Some(Ok(event))) = event else { panic!("{event:?}") };
            assert_eq!(event.data, number);
        }
    }
    assert!(chunk.is_unique());
}

#[test]
fn what_stands_behind_a_reply_is_read_when_it_is_asked_for() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-cost", "7".parse().unwrap());
    let frames = || {
        let data =
            [TEXT, STOP, DONE, b"\n\n", TEXT].map(|data| Frame::data(Bytes::from_static(data)));
        pieces::Frames::new(data.into_iter().chain([Frame::trailers(trailers.clone())]))
    };
    let mut cx = Context::from_waker(Waker::noop());

    let mut stream = DeltaStream::new(BodyData::new(frames()), openai());
    assert_eq!(joined(&all(&mut stream).0), "Ebb tide");
    assert!(stream.source().trailers().is_none());
    assert!(matches!(pin!(stream.drain()).poll(&mut cx), Poll::Ready(Ok(()))));
    assert_eq!(stream.source().trailers().unwrap()["x-cost"], "7");

    // What was not taken is read all the same, so that the decoder knows the reply.
    let mut stream = DeltaStream::new(BodyData::new(frames()), openai());
    assert!(matches!(pin!(stream.drain()).poll(&mut cx), Poll::Ready(Ok(()))));
    assert!(matches!(pin!(stream.drain()).poll(&mut cx), Poll::Ready(Ok(()))));
    assert_eq!((stream.decoder().end(), stream.source().trailers().is_some()), (End::Done, true));
}

#[test]
fn what_is_wrong_is_told_by_who_reads_to_the_end() {
    let drained = |reads: &[&[u8]], broken| {
        let mut stream = DeltaStream::new(Chunks::new(Pieces::new(reads, broken, true)), openai());
        let mut cx = Context::from_waker(Waker::noop());
        let mut told = Vec::new();
        while told.len() < 2 {
            if let Poll::Ready(result) = pin!(stream.drain()).poll(&mut cx) {
                told.push(result.map_err(|error| format!("{error:?}")));
            }
        }
        (told, stream.decoder().end())
    };
    let (told, end) = drained(&[TEXT], false);
    let [Err(cut), Ok(())] = &told[..] else { panic!("{told:?}") };
    assert!(cut.starts_with("Reply("), "{cut}");
    assert_eq!(end, End::Truncated);
    let broken = Err("Read(Broken)".to_owned());
    assert_eq!(drained(&[TEXT], true), (vec![broken.clone(), Ok(())], End::Truncated));
    assert_eq!(drained(&[TEXT, STOP, DONE], true), (vec![broken, Ok(())], End::Done));
}

#[test]
fn trailers_are_kept() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-cost", "7".parse().unwrap());
    let frames = [Frame::data(Bytes::from_static(DONE)), Frame::trailers(trailers)];
    let mut stream = EventStream::new(BodyData::new(pieces::Frames::new(frames)));
    assert_eq!(all(&mut stream).0.len(), 1);
    assert_eq!(stream.source().trailers().unwrap()["x-cost"], "7");
}

#[test]
fn trailers_of_several_frames_are_kept_together_and_have_a_limit() {
    let trailers = |from: u32| {
        let fields = (from..from + 700).map(|number| {
            let value = number.to_string().parse().unwrap();
            (http::HeaderName::from_static("x-cost"), value)
        });
        let mut trailers = HeaderMap::new();
        fields.for_each(|(name, value)| _ = trailers.append(name, value));
        Frame::trailers(trailers)
    };
    let frames = (0..40).map(|number| trailers(number * 700));
    let mut stream = EventStream::new(BodyData::new(pieces::Frames::new(frames)));
    assert_eq!(all(&mut stream), (vec![], None));
    let known: Vec<_> = stream.source().trailers().unwrap().get_all("x-cost").iter().collect();
    assert_eq!(
        (known.len(), known[0].as_bytes(), known[1023].as_bytes()),
        (1024, &b"0"[..], &b"1023"[..])
    );
}

proptest! {
    #[test]
    fn any_events_by_every_adapter_however_they_are_cut(
        stream in prop::collection::vec(
            prop::sample::select(vec![
                &b"data"[..], b"data: a", b"event:", b"id: 1", b"id", b"retry: 5", b":", b"\n", b"\r", b"\r\n", b"\n\n", b"x",
                b"\0", b"\xff", b"\xf0\x9f", b"\x8e\x89", b"\xef\xbb\xbf",
            ]),
            0..40,
        )
        .prop_map(|parts| parts.concat()),
        offsets in prop::collection::vec(any::<Index>(), 0..12),
        max in 0_usize..40,
        broken in any::<bool>(),
    ) {
        let reads = cut(&stream, &offsets);
        let (expected, limit) = direct_events(&[&stream], max);
        let (given, failure) = events(&reads, max, broken);
        prop_assert_eq!(given, expected);
        let limit = limit.map(|limit| format!("Limit({limit:?})"));
        prop_assert_eq!(failure, limit.or(broken.then(|| "Read(Broken)".to_owned())));
    }

    #[test]
    fn any_reply_by_every_adapter_however_it_is_cut(
        decoder in any_decoder(),
        stream in prop::collection::vec(
            prop::sample::select(vec![
                TEXT, STOP, USAGE, DONE, b"data: ", b"\n\n", b"{\"message\":{\"content\":\"a\"},\"done\":true}\n",
                b"data: {\"type\":\"live\",\"subtype\":\"content\",\"data\":\"a\"}\n\n",
                b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n",
                b"data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83c\",\"reasoning\":\"r\"},\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-1}]}}]}\n\n",
                b"event: error\ndata: {\"error\":{\"message\":\"e\"}}\n\n", b"\xf0\x9f", b"<p>", b": ping\n\n", b"\xef\xbb\xbf", b"\r",
                b"{\"error\":{\"message\":\"e\",\"code\":\"c\"}}", b"[", b",", b"]", b"[FAILED]",
                b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n",
                b"{\"choices\":[{\"message\":{\"content\":\"a\",\"refusal\":\"r\"},\"finish_reason\":\"stop\"}]}",
                b"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"n\",\"arguments\":\"{}\"}}]}}]}\n\n",
            ]),
            0..10,
        )
        .prop_map(|parts| parts.concat()),
        offsets in prop::collection::vec(any::<Index>(), 0..12),
        complete in any::<bool>(),
    ) {
        let (direct, ended) = direct_deltas(&[&stream], decoder.clone(), complete);
        let (given, by_stream) = deltas(&cut(&stream, &offsets), &decoder, !complete);
        prop_assert_eq!(given, compared(direct, &decoder));
        prop_assert_eq!(told(&by_stream), told(&ended));
    }
}

/// A decoder of any dialect, or of one that it is to find out, with any options.
fn any_decoder() -> impl Strategy<Value = DeltaDecoder> {
    let options = (
        prop::sample::select(vec![200, 200, 200, 429]),
        prop::sample::select(vec![MAX_EVENT_BYTES, MAX_EVENT_BYTES, 60]),
        prop::sample::select(vec![MAX_BODY_BYTES, MAX_BODY_BYTES, 60]),
        prop::option::of(prop::sample::select(vec!["text/html", "application/json"])),
        prop::option::of(Just("[FAILED]".to_owned())),
    )
        .prop_map(|(status, max_event_bytes, max_body_bytes, content_type, failure_tail)| {
            let content_type = content_type.map(str::to_owned);
            DeltaOptions { content_type, status, failure_tail, max_event_bytes, max_body_bytes }
        });
    let dialect = prop::option::of(prop::sample::select(Dialect::ALL));
    (dialect, options).prop_map(|(dialect, options)| match dialect {
        Some(dialect) => DeltaDecoder::new(dialect, options),
        None => DeltaDecoder::detecting(options),
    })
}
