//! The event decoder against a reader of the whole stream, line by line as the specification tells
//! it, and cut.

use std::ops::ControlFlow;

use tailrace_core::{EventDecoder, Limit, LimitExceeded, MAX_EVENT_BYTES};

use super::cutting::{reads, sizes};

pub fn check(data: &[u8]) {
    let Some((&limit, data)) = data.split_first() else { return };
    let max_event_bytes = if limit < 128 { usize::from(limit) } else { MAX_EVENT_BYTES };
    let (sizes, stream) = sizes(data);
    let expected = read_plainly(stream, max_event_bytes);
    for cut in [vec![stream], reads(stream, sizes)] {
        assert_eq!(decode(&cut, max_event_bytes), expected, "at most {max_event_bytes}: {cut:?}");
    }
}

/// What a stream came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<Seen>,
    last_event_id: String,
    retry: Option<u64>,
    over: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    name: Option<String>,
    data: String,
    id: String,
    retry: Option<u64>,
}

fn decode(reads: &[&[u8]], max_event_bytes: usize) -> Outcome {
    let mut decoder = EventDecoder::new(max_event_bytes);
    let mut outcome = Outcome::default();
    for read in reads {
        let result = decoder.feed(read, |event| {
            let (name, data, id) =
                (event.name.map(str::to_owned), event.data.to_owned(), event.id.to_owned());
            outcome.events.push(Seen { name, data, id, retry: event.retry });
            ControlFlow::Continue(())
        });
        assert_eq!(result.is_err(), decoder.error().is_some());
        assert!(result.is_err() || !outcome.over, "it has failed and goes on");
        outcome.over = result.is_err();
    }
    decoder.last_event_id().clone_into(&mut outcome.last_event_id);
    outcome.retry = decoder.retry();
    let limit = LimitExceeded { limit: Limit::Event, bytes: max_event_bytes };
    assert_eq!(decoder.close(), if outcome.over { Err(limit) } else { Ok(()) });
    outcome
}

#[derive(Default)]
struct Block {
    size: usize,
    name: Option<String>,
    data: Option<Vec<u8>>,
    id: Option<String>,
    retry: Option<u64>,
}

fn read_plainly(stream: &[u8], max_event_bytes: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut block = Block::default();
    let mut rest = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = &rest[..end];
        rest = if rest[end..].starts_with(b"\r\n") { &rest[end + 2..] } else { &rest[end + 1..] };
        if line.is_empty() {
            outcome.dispatch(std::mem::take(&mut block));
            continue;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        if !is_known(field) {
            continue;
        }
        block.size += line.len();
        if block.size > max_event_bytes {
            outcome.over = true;
            return outcome;
        }
        outcome.field(&mut block, field, value.strip_prefix(b" ").unwrap_or(value));
    }
    // Of an unfinished line it must be known at least what it is, before it counts.
    let is_counted =
        rest.iter().position(|byte| *byte == b':').is_some_and(|colon| is_known(&rest[..colon]));
    outcome.over = is_counted && block.size + rest.len() > max_event_bytes;
    outcome
}

fn is_known(field: &[u8]) -> bool {
    matches!(field, b"data" | b"event" | b"id" | b"retry")
}

impl Outcome {
    fn field(&mut self, block: &mut Block, field: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        match field {
            b"event" => block.name = Some(text()),
            b"data" => match &mut block.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => block.data = Some(value.to_vec()),
            },
            b"id" if !value.contains(&0) => block.id = Some(text()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                block.retry = Some(text().parse().unwrap_or(u64::MAX));
                self.retry = block.retry;
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, block: Block) {
        if let Some(id) = block.id {
            self.last_event_id = id;
        }
        if let Some(data) = block.data {
            let (data, id) =
                (String::from_utf8_lossy(&data).into_owned(), self.last_event_id.clone());
            self.events.push(Seen { name: block.name, data, id, retry: block.retry });
        }
    }
}
