//! The delta decoder of every dialect, with any limits: whole against cut.

use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End, MAX_BODY_BYTES, MAX_EVENT_BYTES, ReplyError};

use super::cutting::{reads, sizes};

pub fn check(data: &[u8]) {
    let [kind, max_event, max_body, data @ ..] = data else { return };
    let dialect = DIALECTS[usize::from(kind % 4)];
    let options = DeltaOptions {
        content_type: (kind & 4 != 0).then(|| "text/html".to_owned()),
        status: if kind & 8 == 0 { 200 } else { 404 },
        failure_tail: (kind & 16 != 0).then(|| "aab".to_owned()),
        max_event_bytes: if *max_event < 200 { usize::from(*max_event) } else { MAX_EVENT_BYTES },
        max_body_bytes: if *max_body < 200 { usize::from(*max_body) } else { MAX_BODY_BYTES },
    };
    let (sizes, reply) = sizes(data);
    let complete = kind & 32 == 0;
    let whole = decode(dialect, &options, &[reply], complete);
    let cut = reads(reply, sizes);
    let outcome = decode(dialect, &options, &cut, complete);
    assert_eq!(outcome, whole, "{dialect:?} {options:?} complete: {complete}: {cut:?}");
}

const DIALECTS: [Dialect; 4] = [Dialect::OpenAi, Dialect::AiPower, Dialect::AiPkit, Dialect::Text];

/// All that must not depend on the cuts; of a `text` reply the number of deltas does.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    deltas: Vec<String>,
    events: u64,
    bad_events: u64,
    end: End,
    done: bool,
    error: Option<ReplyError>,
    /// Finish reason, usage, ids and framing.
    told: String,
}

fn decode(dialect: Dialect, options: &DeltaOptions, reads: &[&[u8]], complete: bool) -> Outcome {
    let mut decoder = DeltaDecoder::new(dialect, options.clone());
    let mut deltas = Vec::new();
    for read in reads {
        let (count, was_open) = (deltas.len(), decoder.end() == End::Open);
        decoder.feed(read, &mut deltas);
        assert!(was_open || count == deltas.len(), "a delta after the end: {reads:?}");
    }
    decoder.close(complete, &mut deltas);
    assert_ne!(decoder.end(), End::Open);
    assert!(deltas.iter().all(|delta| !delta.is_empty()));
    assert_eq!(decoder.error().is_some(), matches!(decoder.end(), End::Truncated | End::Failed));
    assert!(decoder.error().is_none_or(|error| !error.message.trim().is_empty()));
    let is_text = dialect == Dialect::Text;
    Outcome {
        events: if is_text { 0 } else { decoder.events() },
        bad_events: decoder.bad_events(),
        end: decoder.end(),
        done: decoder.done(),
        error: decoder.error().cloned(),
        told: format!(
            "{:?} {:?} {:?} {:?}",
            decoder.finish_reason(),
            decoder.usage(),
            decoder.ids(),
            decoder.framing()
        ),
        deltas: if is_text { vec![deltas.concat()] } else { deltas },
    }
}
