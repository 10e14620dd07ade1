//! The delta decoder of every dialect, with any limits: whole against cut, and text alone against
//! everything, and what is collected against the pieces of it.

use tailrace_core::{
    Collected, CollectedCall, Delta, DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End,
    ErrorKind, Logprobs, MAX_BODY_BYTES, MAX_EVENT_BYTES, ReplyError, ToolCall,
};

use super::cutting::{reads, sizes};

pub fn check(data: &[u8]) {
    let [kind, max_event, max_body, data @ ..] = data else { return };
    // The failure tail is of text alone: with any other dialect its bit says that it is a later one.
    let index = usize::from(kind & 3 | kind >> 4 & 4);
    let later = if kind & 16 != 0 && DIALECTS[index] != Dialect::Text { 8 } else { 0 };
    let dialect = DIALECTS[(index + later) % DIALECTS.len()];
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
    let decoder = || decoder_of(dialect, &options);
    let run = |reads: &[&[u8]]| decode(decoder(), dialect, reads, complete, Texts(Vec::new())).0;
    let whole = run(&[reply]);
    assert_eq!(run(&cut), whole, "{}", told());
    let run = |reads: &[&[u8]]| decode(decoder(), dialect, reads, complete, Everything::default());
    let (of_everything, pieces) = run(&[reply]);
    assert_eq!(run(&cut).0, of_everything, "{}", told());
    if let Some(dialect) = dialect {
        let in_full = DeltaDecoder::without_repeats(dialect, options.clone());
        let (in_full, _) =
            decode(in_full, Some(dialect), &[reply], complete, Everything::default());
        assert_eq!(of_everything, in_full, "{}", told());
    }
    let run = |reads: &[&[u8]]| {
        let mut decoder = decoder();
        decoder.collect();
        decode(decoder, dialect, reads, complete, Texts(Vec::new())).0
    };
    let collected = run(&[reply]);
    assert_eq!(run(&cut), collected, "{}", told());
    let is_limit = |outcome: &Outcome| {
        outcome.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Limit)
    };
    if is_limit(&whole) || !is_limit(&collected) {
        assert_eq!(collected.collected, Some(pieces.folded()), "{}", told());
        let text = Outcome { collected: None, passed_over: None, ..collected };
        assert_eq!(text, whole, "{}", told());
    }
    assert_eq!(Outcome { rest: Vec::new(), ..of_everything }, whole, "{}", told());
}

fn decoder_of(dialect: Option<Dialect>, options: &DeltaOptions) -> DeltaDecoder {
    match dialect {
        Some(dialect) => DeltaDecoder::new(dialect, options.clone()),
        None => DeltaDecoder::detecting(options.clone()),
    }
}

const DIALECTS: [Dialect; 9] = [
    Dialect::OpenAi,
    Dialect::AiPower,
    Dialect::AiPkit,
    Dialect::Text,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Ollama,
    Dialect::OpenAiResponses,
    Dialect::AiEngine,
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

    fn wants_everything(&self) -> bool {
        false
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
    reasoning: String,
    refusal: String,
    calls: Vec<Call>,
}

/// The index, id, name and arguments of a call.
type Call = (Option<u64>, Option<String>, String, String);

/// What is collected: reasoning, refusal, calls.
type Folded = (String, String, Vec<Call>);

impl Everything {
    fn push(&mut self, kind: &str, delta: &str) {
        assert!(!delta.is_empty());
        self.rest.push((self.texts.len(), format!("{kind} {delta}")));
    }

    /// All pieces, put together.
    fn folded(self) -> Folded {
        (self.reasoning, self.refusal, self.calls)
    }
}

fn folded(collected: &Collected) -> Folded {
    let call_of = |call: &CollectedCall| {
        let CollectedCall { index, id, name, arguments, .. } = call.clone();
        (index, id, name, arguments)
    };
    let calls = collected.tool_calls().iter().map(call_of).collect();
    (collected.reasoning().to_owned(), collected.refusal().to_owned(), calls)
}

impl DeltaSink for Everything {
    fn text(&mut self, delta: &str) {
        assert!(!delta.is_empty());
        self.texts.push(delta.to_owned());
    }

    fn reasoning(&mut self, delta: &str) {
        self.push("reasoning", delta);
        self.reasoning += delta;
    }

    fn refusal(&mut self, delta: &str) {
        self.push("refusal", delta);
        self.refusal += delta;
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.push("tool call", &format!("{piece:?}"));
        // A decoder remembers so many calls, and counts those anew that come later.
        let open = self.calls.len().saturating_sub(128);
        let known = self.calls[open..].iter().rposition(|call| call.0 == piece.index);
        let at = known.map_or(self.calls.len(), |at| open + at);
        if known.is_none() {
            self.calls.push((piece.index, None, String::new(), String::new()));
        }
        let (_, id, name, arguments) = &mut self.calls[at];
        *id = id.take().or(piece.id.map(str::to_owned));
        if name.is_empty() {
            *name += piece.name.unwrap_or_default();
        }
        *arguments += piece.arguments;
    }

    fn with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs) {
        assert_eq!(Logprobs::read(&logprobs.to_string()).as_ref(), Some(logprobs));
        self.push("logprobs", &logprobs.to_string());
        match delta {
            Delta::Text("") => {}
            Delta::Text(text) => self.text(text),
            Delta::Reasoning(text) => self.reasoning(text),
            Delta::Refusal(text) => self.refusal(text),
            Delta::ToolCall(piece) => self.tool_call(piece),
            other => panic!("{other:?} is new"),
        }
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
    collected: Option<Folded>,
    /// Counted where more than text is wanted.
    passed_over: Option<Vec<(&'static str, u64)>>,
}

fn decode<T: Taken>(
    mut decoder: DeltaDecoder,
    dialect: Option<Dialect>,
    reads: &[&[u8]],
    complete: bool,
    mut sink: T,
) -> (Outcome, T) {
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
    let outcome = Outcome {
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
        passed_over: decoder.collected().map(|_| decoder.passed_over().collect()),
        deltas: if is_text { vec![deltas.concat()] } else { deltas.to_vec() },
        rest: rest.to_vec(),
        collected: decoder.collected().map(folded),
    };
    (outcome, sink)
}
