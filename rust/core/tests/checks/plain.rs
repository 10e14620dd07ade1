//! What a chunk of OpenAI's chat completions tells, read from its whole tree, one rule after the
//! other: slow, and plain. `docs/dialects.md` tells the rules.

use tailrace_core::{Ids, Usage};

use super::tree::{Members, Tree, whole};

/// What a chunk tells.
#[derive(Debug)]
pub struct Plain {
    /// `choices` is there and not null.
    pub has_choices: bool,
    /// An error of the chunk's own.
    pub has_error: bool,
    /// An error in the choice.
    pub fails_in_choice: bool,
    pub finish_reason: Option<String>,
    pub usage: Option<Usage>,
    pub ids: [Option<String>; Ids::NAMES.len()],
    /// What it adds as an event.
    pub event: Told,
    /// What it says as a body.
    pub body: Told,
}

/// What is delivered: the texts of each kind joined, with their halves of characters.
#[derive(Debug, Default)]
pub struct Told {
    pub text: String,
    pub reasoning: String,
    pub refusal: String,
    pub calls: Vec<Call>,
    /// There is a refusal, whether or not it says anything.
    pub refuses: bool,
}

#[derive(Debug)]
pub struct Call {
    pub id: Option<String>,
    pub name: Option<String>,
    pub arguments: Tree,
    pub signature: Option<String>,
    /// It has a number: its own, or, as one of a list, its place.
    pub is_numbered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
}

impl Plain {
    pub fn read(chunk: &Tree) -> Self {
        let choices = chunk.last("choices");
        let is_choice = |choice: &&Tree| choice.members().is_some() && is_first(choice);
        let choice = choices.elements().iter().find(is_choice).unwrap_or(&Tree::Null);
        let beside = chunk.last("x_groq");
        let usage = later_usage(usage(chunk.last("usage")), usage(beside.last("usage")));
        Self {
            has_choices: *choices != Tree::Null,
            has_error: is_truthy(chunk.last("error")),
            fails_in_choice: is_truthy(choice.last("error")) || is_truthy(beside.last("error")),
            finish_reason: choice.last("finish_reason").text().map(whole),
            usage: later_usage(self::usage(choice.last("usage")), usage),
            ids: Ids::NAMES.map(|name| chunk.last(name).text().map(whole)),
            event: Told::of_event(choice),
            body: Told::of_body(choice),
        }
    }

    /// Whether nothing in it is a chunk's.
    pub fn is_foreign(&self) -> bool {
        !self.has_choices && self.usage.is_none() && !self.has_error
    }

    /// Whether the finish reason says that the answer failed.
    pub fn tells_failure(&self) -> bool {
        let reason = self.finish_reason.as_deref().unwrap_or_default();
        let failures = [
            "malformed_function_call",
            "unexpected_tool_call",
            "too_many_tool_calls",
            "missing_thought_signature",
            "malformed_response",
            "image_other",
            "no_image",
            "error",
            "timeout",
            "abort",
            "network_error",
            "insufficient_system_resource",
        ];
        failures.contains(&&*reason.to_ascii_lowercase())
            || reason.starts_with("function_call_filter")
            || reason == "OTHER"
    }
}

/// A choice is the first where its index is 0, however that is written, or where it has none.
fn is_first(choice: &Tree) -> bool {
    match choice.last("index") {
        Tree::Null => true,
        Tree::Number(index) | Tree::Text(index) => index.parse() == Ok(0.0),
        _ => false,
    }
}

impl Told {
    /// A delta's content, or else the choice's text, or else what the delta's audio says. Where
    /// there is no delta, or the model stops, a message may be all of the answer instead.
    fn of_event(choice: &Tree) -> Self {
        let [delta, message] = ["delta", "message"].map(|name| Message(choice.last(name)));
        let has_delta = *delta.0 != Tree::Null;
        let stops = choice.last("finish_reason").text().is_some();
        let content = if has_delta { delta.content() } else { choice.last("text") };
        let may_be_whole = !has_delta || stops;
        let spoken = if is_filled(content) {
            content
        } else if delta.transcript().text().is_some() || !may_be_whole {
            delta.transcript()
        } else {
            message.answer()
        };
        if has_delta && (delta.tells_more() || !stops) {
            return Self::of(spoken, &delta, false);
        }
        match message.0 {
            Tree::Object(_) => Self::of(spoken, &message, true),
            _ => Self::of(spoken, &delta, false),
        }
    }

    /// A message's content, or else what its audio says, or else what an event would.
    fn of_body(choice: &Tree) -> Self {
        let [delta, message] = ["delta", "message"].map(|name| Message(choice.last(name)));
        let own = if *delta.0 == Tree::Null { choice.last("text") } else { delta.content() };
        let answers = [message.answer(), own, delta.answer()];
        let spoken = answers.into_iter().find(|answer| is_filled(answer)).unwrap_or(&Tree::Null);
        let beside = if message.0.members().is_some() { &message } else { &delta };
        Self::of(spoken, beside, false)
    }

    /// What is spoken, and what stands `beside` it. Of a message behind its deltas, which is a
    /// whole one, a refusal counts only where none was told.
    fn of(spoken: &Tree, beside: &Message<'_>, is_whole: bool) -> Self {
        let mut told = Self::default();
        told.say(Kind::Reasoning, beside.reasoning());
        told.say(Kind::Text, spoken);
        if !is_whole || told.refusal.is_empty() {
            told.say(Kind::Refusal, beside.refusal());
        }
        told.refuses = is_filled(beside.refusal());
        told.calls = beside.calls();
        told
    }

    /// Whether it is an answer.
    pub fn answers(&self) -> bool {
        let Self { text, refusal, calls, refuses, .. } = self;
        *refuses || !text.is_empty() || !refusal.is_empty() || !calls.is_empty()
    }

    /// Tells a value that is a text of this kind, or has such in its parts.
    fn say(&mut self, kind: Kind, value: &Tree) {
        let told = match kind {
            Kind::Text => &mut self.text,
            Kind::Reasoning => &mut self.reasoning,
            Kind::Refusal => &mut self.refusal,
        };
        match value {
            Tree::Null => {}
            Tree::Text(text) | Tree::Number(text) => told.push_str(text),
            Tree::Bool(value) => told.push_str(&value.to_string()),
            Tree::List(elements) => elements.iter().for_each(|element| self.say(kind, element)),
            Tree::Object(part) => self.say_part(kind, part),
        }
    }

    fn say_part(&mut self, kind: Kind, part: &Members) {
        let [text, content, thinking, summary, refusal] = [
            &["text", "value"][..],
            &["content"],
            &["thinking", "reasoning"],
            &["summary"],
            &["refusal"],
        ]
        .map(|names| texts(part.last(names)));
        let name = match part.last(&["type"]) {
            Tree::Text(name) => Some(name.as_str()),
            _ => None,
        };
        let is_reasoning = name.is_some_and(is_reasoning);
        let is_text = |name: &str| name.contains("text") || name == "refusal" || is_reasoning;
        let has_text = [text, thinking, summary, refusal].into_iter().any(is_filled);
        if !has_text && !name.is_none_or(is_text) {
            return;
        }
        let is_reasoning = is_reasoning || *part.last(&["thought"]) == Tree::Bool(true);
        let kind = if is_reasoning { Kind::Reasoning } else { kind };
        self.say(Kind::Reasoning, thinking);
        if kind == Kind::Reasoning {
            self.say(kind, summary);
        }
        self.say(kind, text);
        if kind == Kind::Reasoning || name.is_none() {
            self.say(kind, content);
        }
        self.say(Kind::Refusal, refusal);
    }
}

fn is_reasoning(part: &str) -> bool {
    matches!(
        part,
        "thinking"
            | "thinking_delta"
            | "reasoning"
            | "reasoning_text"
            | "reasoning.text"
            | "reasoning.summary"
            | "summary_text"
            | "thought"
    )
}

/// A delta or a message: an object, or the content alone.
struct Message<'t>(&'t Tree);

impl<'t> Message<'t> {
    fn content(&self) -> &'t Tree {
        if self.0.members().is_some() { self.0.last("content") } else { self.0 }
    }

    /// What the audio says.
    fn transcript(&self) -> &'t Tree {
        let transcript = self.0.last("audio").last("transcript");
        if transcript.text().is_some() { transcript } else { &Tree::Null }
    }

    /// The content, or what the audio says where there is none.
    fn answer(&self) -> &'t Tree {
        if is_filled(self.content()) { self.content() } else { self.transcript() }
    }

    /// Of the names that reasoning has, the first one with a text.
    fn reasoning(&self) -> &'t Tree {
        let names = [
            "reasoning_content",
            "reasoning",
            "reasoning_text",
            "thinking",
            "thinking_content",
            "thinking_text",
            "thought",
            "reasoning_summary",
            "cot_summary",
            "thinking_blocks",
            "reasoning_details",
        ];
        let values = names.map(|name| texts(self.0.last(name)));
        values.into_iter().find(|value| is_filled(value)).unwrap_or(&Tree::Null)
    }

    fn refusal(&self) -> &'t Tree {
        texts(self.0.last("refusal"))
    }

    /// The calls of tools: a list of them or one alone, or else one in the older way.
    fn calls(&self) -> Vec<Call> {
        let calls = self.0.last("tool_calls");
        let one = std::slice::from_ref(calls);
        let calls = if calls.members().is_some() { one } else { calls.elements() };
        let calls: Vec<Call> =
            calls.iter().filter_map(Tree::members).map(Call::of_member).collect();
        if !calls.is_empty() {
            return calls;
        }
        let function = self.0.last("function_call");
        function.members().map(|_| Call::of(function)).into_iter().collect()
    }

    /// Whether it tells anything beside its text: also what no delta is made of.
    fn tells_more(&self) -> bool {
        let Some(members) = self.0.members() else { return false };
        let lists = [
            "images",
            "executed_tools",
            "annotations",
            "citations",
            "search_results",
            "references",
        ];
        let has_more = members.all(&lists).any(|list| !list.elements().is_empty())
            || members.all(&["context"]).any(|it| !it.last("citations").elements().is_empty())
            || self.0.last("audio").last("data").text().is_some();
        let [reasoning, refusal] = [self.reasoning(), self.refusal()].map(is_filled);
        has_more || reasoning || refusal || !self.calls().is_empty()
    }
}

impl Call {
    fn of_member(call: &Members) -> Self {
        let text = |value: &Tree| value.text().map(whole);
        let function = call.all(&["function", "custom"]).rfind(|it| it.members().is_some());
        let signature = call.last(&["extra_content"]).last("google").last("thought_signature");
        Self {
            id: text(call.last(&["id"])),
            signature: text(signature),
            is_numbered: true,
            ..Self::of(function.unwrap_or(&Tree::Null))
        }
    }

    fn of(function: &Tree) -> Self {
        let arguments = function.members().map(|members| members.last(&["arguments", "input"]));
        Self {
            id: None,
            name: function.last("name").text().map(whole),
            arguments: arguments.unwrap_or(&Tree::Null).clone(),
            signature: None,
            is_numbered: count(function.last("index")).is_some(),
        }
    }
}

/// A value that may be a text; a truth value is none.
fn texts(value: &Tree) -> &Tree {
    if matches!(value, Tree::Bool(_)) { &Tree::Null } else { value }
}

/// Whether a value that may be a text is one, or may have one in it.
fn is_filled(value: &Tree) -> bool {
    matches!(value, Tree::Bool(_) | Tree::Number(_)) || is_truthy(value)
}

/// Whether a value means something.
fn is_truthy(value: &Tree) -> bool {
    match value {
        Tree::Null => false,
        Tree::Bool(value) => *value,
        Tree::Number(number) => number.parse() != Ok(0.0),
        Tree::Text(text) => !text.is_empty(),
        Tree::List(elements) => !elements.is_empty(),
        Tree::Object(members) => !members.is_empty(),
    }
}

/// The counts, by the names that OpenAI has for them, and those who took after it.
fn usage(value: &Tree) -> Option<Usage> {
    let members = value.members()?;
    let part = |places: [&str; 2], name| {
        let mut places = members.all(&places).filter_map(Tree::members);
        let told = places.rfind(|place| place.has(name));
        count(told.map_or(&Tree::Null, |place| place.last(&[name])))
    };
    let told = |names: &[&str]| count(members.last(names));
    let of_prompt = ["prompt_tokens_details", "input_tokens_details"];
    let of_completion = ["completion_tokens_details", "output_tokens_details"];
    let prompt = later(told(&["prompt_tokens"]), told(&["input_tokens"])).unwrap_or(0);
    let completion = later(told(&["completion_tokens"]), told(&["output_tokens"])).unwrap_or(0);
    let cached = [
        told(&["cached_tokens"]),
        told(&["prompt_cache_hit_tokens", "cache_read_input_tokens"]),
        part(of_prompt, "cached_tokens"),
        part(of_completion, "cached_tokens"),
    ];
    let reasoning = [
        told(&["reasoning_tokens"]),
        part(of_prompt, "reasoning_tokens"),
        part(of_completion, "reasoning_tokens"),
    ];
    let total = told(&["total_tokens"]).filter(|total| *total > 0);
    let mut usage = Usage::default();
    usage.prompt_tokens = prompt;
    usage.completion_tokens = completion;
    usage.total_tokens = total.unwrap_or(prompt.saturating_add(completion));
    usage.cached_tokens = cached.into_iter().fold(None, later);
    usage.reasoning_tokens = reasoning.into_iter().fold(None, later);
    Some(usage)
}

/// A whole number of 64 bits without a sign, also where it is written as a float or as a text.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number that is whole, not negative and below 2^64"
)]
fn count(value: &Tree) -> Option<u64> {
    let (Tree::Number(number) | Tree::Text(number)) = value else { return None };
    let number = number.trim_ascii();
    let is_count =
        |count: &f64| count.fract() == 0.0 && (0.0..18_446_744_073_709_551_616.0).contains(count);
    let float = || number.parse().ok().filter(is_count).map(|count| count as u64);
    number.parse().ok().or_else(float)
}

/// Of two counts the later one, unless it is 0 and the other is not.
fn later(before: Option<u64>, later: Option<u64>) -> Option<u64> {
    if later > Some(0) { later } else { before.or(later) }
}

/// What is known of usage that two places tell: a total that only the earlier one told does not
/// fall behind the counts.
fn later_usage(before: Option<Usage>, then: Option<Usage>) -> Option<Usage> {
    let (Some(before), Some(then)) = (before, then) else { return then.or(before) };
    let count = |before, then| if then == 0 { before } else { then };
    let mut usage = then;
    usage.prompt_tokens = count(before.prompt_tokens, then.prompt_tokens);
    usage.completion_tokens = count(before.completion_tokens, then.completion_tokens);
    let is_told_anew = usage.prompt_tokens == then.prompt_tokens
        && usage.completion_tokens == then.completion_tokens;
    usage.total_tokens = if is_told_anew {
        count(before.total_tokens, then.total_tokens)
    } else {
        let sum = usage.prompt_tokens.saturating_add(usage.completion_tokens);
        then.total_tokens.max(sum)
    };
    usage.cached_tokens = later(before.cached_tokens, then.cached_tokens);
    usage.reasoning_tokens = later(before.reasoning_tokens, then.reasoning_tokens);
    Some(usage)
}
