//! The delta decoder of every dialect, with any limits: whole against cut, and text alone against
//! everything.

use tailrace_core::{
    DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End, MAX_BODY_BYTES, MAX_EVENT_BYTES,
    ReplyError, ToolCall,
};

use super::cutting::{reads, sizes};

pub fn check(data: &[u8]) {
    let [kind, max_event, max_body, data @ ..] = data else { return };
    let dialect = DIALECTS[usize::from(kind & 3 | kind >> 4 & 4)];
    let options = DeltaOptions {
        content_type: (kind & 4 != 0).then(|| "text/html".to_owned()),
        status: if kind & 8 == 0 { 200 } else { 404 },
        failure_tail: (kind & 16 != 0).then(|| "aab".to_owned()),
        max_event_bytes: if *max_event < 200 { usize::from(*max_event) } else { MAX_EVENT_BYTES },
        max_body_bytes: if *max_body < 200 { usize::from(*max_body) } else { MAX_BODY_BYTES },
    };
    let (sizes, reply) = sizes(data);
    let complete = kind & 32 == 0;
    let cut = reads(reply, sizes);
    // Of the dialect, or of whichever the reply tells.
    let dialect = Some(dialect).filter(|_| kind & 128 == 0);
    let told = || format!("{dialect:?} {options:?} complete: {complete}: {cut:?}");
    let whole = decode(dialect, &options, &[reply], complete, Texts(Vec::new()));
    assert_eq!(decode(dialect, &options, &cut, complete, Texts(Vec::new())), whole, "{}", told());
    let of_everything = decode(dialect, &options, &[reply], complete, Everything::default());
    assert_eq!(
        decode(dialect, &options, &cut, complete, Everything::default()),
        of_everything,
        "{}",
        told()
    );
    assert_eq!(Outcome { rest: Vec::new(), ..of_everything }, whole, "{}", told());
}

const DIALECTS: [Dialect; 8] = [
    Dialect::OpenAi,
    Dialect::AiPower,
    Dialect::AiPkit,
    Dialect::Text,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Ollama,
    Dialect::OpenAiResponses,
];

/// What a sink was given.
trait Taken: DeltaSink {
    /// The texts, and what else there was, each with how many texts came before it.
    fn taken(&self) -> (&[String], &[(usize, String)]);
}

struct Texts(Vec<String>);

impl DeltaSink for Texts {
    fn text(&mut self, delta: &str) {
        assert!(!delta.is_empty());
        self.0.push(delta.to_owned());
    }
}

impl Taken for Texts {
    fn taken(&self) -> (&[String], &[(usize, String)]) {
        (&self.0, &[])
    }
}

#[derive(Default)]
struct Everything {
    texts: Vec<String>,
    rest: Vec<(usize, String)>,
}

impl Everything {
    fn push(&mut self, kind: &str, delta: &str) {
        assert!(!delta.is_empty());
        self.rest.push((self.texts.len(), format!("{kind} {delta}")));
    }
}

impl DeltaSink for Everything {
    fn text(&mut self, delta: &str) {
        assert!(!delta.is_empty());
        self.texts.push(delta.to_owned());
    }

    fn wants_everything(&self) -> bool {
        true
    }

    fn reasoning(&mut self, delta: &str) {
        self.push("reasoning", delta);
    }

    fn refusal(&mut self, delta: &str) {
        self.push("refusal", delta);
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.push("tool call", &format!("{piece:?}"));
    }
}

impl Taken for Everything {
    fn taken(&self) -> (&[String], &[(usize, String)]) {
        (&self.texts, &self.rest)
    }
}

/// All that must not depend on the cuts; of a `text` reply the number of deltas does.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    deltas: Vec<String>,
    rest: Vec<(usize, String)>,
    events: u64,
    bad_events: u64,
    end: End,
    done: bool,
    error: Option<ReplyError>,
    /// Finish reason, usage, ids and framing.
    told: String,
}

fn decode(
    dialect: Option<Dialect>,
    options: &DeltaOptions,
    reads: &[&[u8]],
    complete: bool,
    mut sink: impl Taken,
) -> Outcome {
    let mut decoder = match dialect {
        Some(dialect) => DeltaDecoder::new(dialect, options.clone()),
        None => DeltaDecoder::detecting(options.clone()),
    };
    for read in reads {
        let counts = |sink: &dyn Taken| (sink.taken().0.len(), sink.taken().1.len());
        let (count, was_open) = (counts(&sink), decoder.end() == End::Open);
        decoder.feed(read, &mut sink);
        assert!(was_open || count == counts(&sink), "a delta after the end: {reads:?}");
    }
    decoder.close(complete, &mut sink);
    let (deltas, rest) = sink.taken();
    assert_ne!(decoder.end(), End::Open);
    assert_eq!(decoder.error().is_some(), matches!(decoder.end(), End::Truncated | End::Failed));
    assert!(decoder.error().is_none_or(|error| !error.message.trim().is_empty()));
    let is_text = dialect == Some(Dialect::Text);
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
        deltas: if is_text { vec![deltas.concat()] } else { deltas.to_vec() },
        rest: rest.to_vec(),
    }
}
