//! Streams without end: what is held stays the same however much comes, or a limit ends it with its
//! own error.
//!
//! Every read is the same buffer. `SCALE_MIB` says how much is read of each stream, in MiB; `make
//! scale` reads 10 GiB.

use std::env;
use std::ops::ControlFlow;

use tailrace_core::{
    DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End, ErrorKind, EventDecoder, MAX_BODY_BYTES,
    MAX_EVENT_BYTES, MAX_PAGE_BYTES, PageProblem, PageScanner, ScanOptions,
};

use crate::counting::held;

const READ: usize = 64 * 1024;

/// What a stream may hold that is not a buffer with a limit: the last event, an error, what is
/// remembered of it.
const SMALL: usize = 16 * 1024;

/// Bytes of each stream.
fn length() -> usize {
    env::var("SCALE_MIB").map_or(12, |text| text.parse().unwrap()) * 1024 * 1024
}

/// A read of whole units.
fn read_of(unit: &str) -> Vec<u8> {
    unit.repeat(READ / unit.len()).into_bytes()
}

/// Feeds `read` until `length` bytes have been; the most bytes held meanwhile, beyond those held
/// before.
fn most_held(read: &[u8], mut feed: impl FnMut(&[u8])) -> usize {
    let ((), _, most) = held(|| (0..length() / read.len()).for_each(|_| feed(read)));
    println!("{most:>10} bytes held at most: {:?}", String::from_utf8_lossy(&read[..60]));
    most
}

/// Counts and drops.
#[derive(Default)]
struct Counted {
    bytes: usize,
}

impl DeltaSink for Counted {
    fn text(&mut self, delta: &str) {
        self.bytes += delta.len();
    }

    fn wants_everything(&self) -> bool {
        false
    }
}

#[test]
fn what_an_event_decoder_does_not_keep_costs_nothing() {
    for (start, unit, events_in_a_unit) in [
        (":", " a comment that does not end", 0),
        ("unknown: ", "a field that does not end", 0),
        ("", ": ping\n\n", 0),
        ("", "id: 7\nevent: x\nretry: 5\n\n", 0),
        ("", "\n", 0),
        ("", "\r", 0),
        ("", "data: a short event\n\n", 1),
        ("", "id: 12345\r\ndata: two\r\ndata: lines\r\n\r\n", 1),
    ] {
        let mut decoder = EventDecoder::new(MAX_EVENT_BYTES);
        let read = read_of(unit);
        let (mut events, mut reads) = (0, 0);
        decoder.feed(start.as_bytes(), |_| ControlFlow::Continue(())).unwrap();
        let most = most_held(&read, |read| {
            reads += 1;
            decoder
                .feed(read, |_| {
                    events += 1;
                    ControlFlow::Continue(())
                })
                .unwrap();
        });
        assert!(most <= SMALL, "{most} bytes for {unit:?}");
        assert_eq!(events, reads * events_in_a_unit * (READ / unit.len()), "{unit:?}");
    }
}

#[test]
fn an_event_without_end_fails_at_its_limit_and_lets_go() {
    for (start, unit) in
        [("data: ", "a line that does not end "), ("", "data: one more line\n"), ("event: ", "x")]
    {
        let read = read_of(unit);
        let (mut taken, mut refused, mut most) = (0, 0, 0);
        let (_decoder, still, _) = held(|| {
            let mut decoder = EventDecoder::new(MAX_EVENT_BYTES);
            decoder.feed(start.as_bytes(), |_| ControlFlow::Continue(())).unwrap();
            most =
                most_held(&read, |read| match decoder.feed(read, |_| ControlFlow::Continue(())) {
                    Ok(()) if refused == 0 => taken += read.len(),
                    Ok(()) => unreachable!("it has failed, and goes on"),
                    Err(_) => refused += 1,
                });
            decoder
        });
        // A buffer that grows is copied: for a moment there is the half of it, too.
        assert!(most <= 2 * MAX_EVENT_BYTES, "{most} bytes for {unit:?}");
        assert!(still <= SMALL, "{still} bytes are still held for {unit:?}");
        assert!(
            refused > 0 && taken < MAX_EVENT_BYTES + MAX_EVENT_BYTES / 8,
            "{taken} bytes of {unit:?}"
        );
    }
}

const CHUNK: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\
                     \"delta\":{\"content\":\" mill\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";

#[test]
fn an_answer_without_end_is_delivered_and_not_kept() {
    let turns = format!(
        "{CHUNK}{}{}",
        CHUNK.replace("c1", "c22"),
        CHUNK.replace(" mill", "\\n\\u00e9\\ud83c\\udf89")
    );
    let error = DeltaOptions { status: 500, ..DeltaOptions::default() };
    let tail = DeltaOptions {
        failure_tail: Some("Internal server error".to_owned()),
        ..DeltaOptions::default()
    };
    let html =
        DeltaOptions { content_type: Some("text/html".to_owned()), ..DeltaOptions::default() };
    for (dialect, options, unit, is_answer) in [
        (Dialect::OpenAi, DeltaOptions::default(), CHUNK, true),
        (Dialect::OpenAi, DeltaOptions::default(), &turns, true),
        (Dialect::OpenAi, DeltaOptions::default(), ": ping\n\n", false),
        (Dialect::OpenAi, DeltaOptions::default(), "data: not JSON\n\n", false),
        (Dialect::AiPower, DeltaOptions::default(), CHUNK, true),
        (Dialect::AiPkit, DeltaOptions::default(), "data: {\"delta\":\"wheel\"}\n\n", true),
        (
            Dialect::AiEngine,
            DeltaOptions::default(),
            "data: {\"type\":\"live\",\"data\":\"wheel\"}\n\n",
            true,
        ),
        (
            Dialect::Ollama,
            DeltaOptions::default(),
            "{\"model\":\"m\",\"message\":{\"content\":\"wheel\"}}\n",
            true,
        ),
        (Dialect::Text, DeltaOptions::default(), "an answer \u{1f389}", true),
        (Dialect::Text, tail, "Internal server Internal server error", true),
        (Dialect::OpenAi, error, "an error page ", false),
    ] {
        let read = read_of(unit);
        let mut decoder = DeltaDecoder::new(dialect, options);
        let (mut sink, mut reads) = (Counted::default(), 0);
        let most = most_held(&read, |read| {
            decoder.feed(read, &mut sink);
            reads += 1;
        });
        assert_eq!(decoder.end(), End::Open, "{unit:?}");
        // The body of an error is kept as far as 64 KiB.
        assert!(most <= SMALL + if is_answer { 0 } else { 4 * READ }, "{most} bytes for {unit:?}");
        assert!(
            !is_answer || sink.bytes >= reads * (read.len() / unit.len()) * 5 - unit.len(),
            "{unit:?}"
        );
    }
    let mut page = DeltaDecoder::new(Dialect::Text, html);
    assert!(
        most_held(&read_of("<p>no answer"), |read| page.feed(read, &mut Counted::default()))
            <= SMALL
    );
    assert_eq!(page.error().map(|error| error.kind), Some(ErrorKind::Limit));
}

#[test]
fn what_cannot_be_delivered_before_its_end_fails_at_its_limit() {
    let words = CHUNK.replace("\"id\":\"c1\",", "").replace("data", "event: message\ndata");
    for (dialect, start, unit, limit, is_error) in [
        (Dialect::OpenAi, "", "PHP Notice: x\n", SMALL, true),
        (Dialect::OpenAi, "", "<p>", SMALL, true),
        (Dialect::OpenAi, "", "\n", SMALL, true),
        (Dialect::OpenAi, "{\"data\":\"", "a body that does not end ", 2 * MAX_BODY_BYTES, true),
        (Dialect::OpenAi, "data: ", "[[[[", 2 * MAX_EVENT_BYTES, true),
        (Dialect::AiPower, "data: {\"a\":\"", "\\u00e9", 2 * MAX_EVENT_BYTES, true),
        (Dialect::Ollama, "{\"a\":\"", "a line without end", 2 * MAX_EVENT_BYTES, true),
        (
            Dialect::AiEngine,
            "data: {\"type\":\"end\",\"data\":\"",
            "\\\\u00e9",
            2 * MAX_EVENT_BYTES,
            true,
        ),
        (Dialect::Gemini, "[{\"a\":[", "\"]\",", 2 * MAX_EVENT_BYTES, true),
        // Words of an error are kept as far as 64 KiB.
        (Dialect::AiPower, "", &words, 4 * READ, false),
    ] {
        let read = read_of(unit);
        let (mut sink, mut most) = (Counted::default(), 0);
        let (mut decoder, still, _) = held(|| {
            let mut decoder = DeltaDecoder::new(dialect, DeltaOptions::default());
            decoder.feed(start.as_bytes(), &mut sink);
            most = most_held(&read, |read| decoder.feed(read, &mut sink));
            decoder
        });
        assert!(most <= limit, "{most} bytes for {unit:?}");
        assert_eq!(sink.bytes, 0, "{unit:?}");
        if is_error {
            assert!(still <= SMALL, "{still} bytes are still held for {unit:?}");
            decoder.close(true, &mut sink);
            assert_eq!(decoder.error().map(|error| error.kind), Some(ErrorKind::Limit), "{unit:?}");
        }
    }
}

#[test]
fn a_page_without_end_is_read_as_far_as_its_limit() {
    for (start, unit) in [
        ("", "<"),
        ("", "text "),
        ("", "<p class=x>"),
        ("<!--", " a comment that does not end "),
        ("<div a='", "an attribute that does not end "),
        ("<script>", "a script that does not end; "),
        ("<title>", "a title that does not end "),
        ("", "<div class=wpaicg-chatbox>"),
    ] {
        let read = read_of(unit);
        let mut scanner = PageScanner::new(ScanOptions::default());
        assert!(!scanner.feed(start.as_bytes()));
        let mut reads = 0;
        let most = most_held(&read, |read| reads += usize::from(!scanner.feed(read)));
        assert!(most <= 3 * MAX_PAGE_BYTES, "{most} bytes for {unit:?}");
        assert!(reads * read.len() <= MAX_PAGE_BYTES, "{reads} reads of {unit:?}");
        let page = scanner.close();
        let problem = page.tokens().err();
        assert!(
            matches!(problem, Some(PageProblem::Limit(_) | PageProblem::TooManyWidgets)),
            "{unit:?}"
        );
    }
}
