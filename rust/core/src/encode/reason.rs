//! A service's word for why its model stopped in, the wires' words for it out.

use std::fmt;

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// It had said everything, or what it said is not known to be anything else.
    Stop,
    /// The answer was cut: it, or the context, had as many tokens as may be.
    Length,
    /// It asks for calls of tools.
    ToolCalls,
    /// A filter kept back what was to come.
    ContentFilter,
}

impl FinishReason {
    /// What a word means, whichever service's it is and however its letters are written.
    pub fn of(word: &str) -> Self {
        let is_one_of = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
        if is_one_of(&CUT) {
            Self::Length
        } else if is_one_of(&CALLS) {
            Self::ToolCalls
        } else if is_one_of(&FILTERED) {
            Self::ContentFilter
        } else {
            Self::Stop
        }
    }

    /// The reason that an answer ends for, which has calls of tools or has none: calls are one,
    /// unless it was cut or filtered, and no other answer ends for them.
    ///
    /// ```
    /// use tailrace_core::FinishReason;
    ///
    /// assert_eq!(FinishReason::of("STOP").with_calls(true).as_str(), "tool_calls");
    /// assert_eq!(FinishReason::of("tool_use").with_calls(false).as_str(), "stop");
    /// assert_eq!(FinishReason::of("MAX_TOKENS").with_calls(true).as_str(), "length");
    /// ```
    #[must_use]
    pub fn with_calls(self, has_calls: bool) -> Self {
        match self {
            Self::Stop | Self::ToolCalls if has_calls => Self::ToolCalls,
            Self::Stop | Self::ToolCalls => Self::Stop,
            Self::Length | Self::ContentFilter => self,
        }
    }

    /// Whether the answer ends before its time.
    pub fn is_cut(self) -> bool {
        matches!(self, Self::Length | Self::ContentFilter)
    }

    /// The word of OpenAI's chat completions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const CUT: [&str; 5] =
    ["length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"];

const CALLS: [&str; 3] = ["tool_calls", "tool_use", "function_call"];

const FILTERED: [&str; 12] = [
    "content_filter",
    "content-filter",
    "refusal",
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
    "image_safety",
    "image_prohibited_content",
    "image_recitation",
    "language",
];
