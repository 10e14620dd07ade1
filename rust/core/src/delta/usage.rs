//! The token counts of an event in, what the reply has used out.

use crate::json::{JsonError, Reader};

use super::fields::read_count;

/// Tokens as the reply counted them; 0 where it gave no plain whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Tokens of both.
    pub total_tokens: u64,
    /// Tokens of the request that came from a cache; `None` where that was not told.
    pub cached_tokens: Option<u64>,
    /// Tokens of the answer that are reasoning; `None` where that was not told.
    pub reasoning_tokens: Option<u64>,
}

impl Usage {
    /// The usage of so many tokens; the total is their sum.
    fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens, ..Self::default() }
    }

    /// What is known after `later` counts. A count of 0, or one that is missing, does not take back
    /// one that came before.
    pub(super) fn updated(self, later: Self) -> Self {
        let prompt_tokens = kept(self.prompt_tokens, later.prompt_tokens);
        let completion_tokens = kept(self.completion_tokens, later.completion_tokens);
        let is_later =
            [prompt_tokens, completion_tokens] == [later.prompt_tokens, later.completion_tokens];
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: if is_later {
                kept(self.total_tokens, later.total_tokens)
            } else {
                later.total_tokens.max(prompt_tokens.saturating_add(completion_tokens))
            },
            cached_tokens: later_count(self.cached_tokens, later.cached_tokens),
            reasoning_tokens: later_count(self.reasoning_tokens, later.reasoning_tokens),
        }
    }
}

/// The usage that two places of an event tell.
pub(super) fn later_usage(before: Option<Usage>, later: Option<Usage>) -> Option<Usage> {
    match (before, later) {
        (Some(before), Some(later)) => Some(before.updated(later)),
        (before, later) => later.or(before),
    }
}

fn kept(before: u64, later: u64) -> u64 {
    if later == 0 { before } else { later }
}

/// Of two counts the later one, unless it is 0 and the other is not.
pub(super) fn later_count(before: Option<u64>, later: Option<u64>) -> Option<u64> {
    later.filter(|count| *count > 0).or(before).or(later)
}

/// The counts of one event, as far as it gives them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) prompt: Option<u64>,
    pub(super) completion: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) reasoning: Option<u64>,
}

impl Counts {
    /// Reads the counts by the names that OpenAI has for them, and those who took after it; `None`
    /// when the value is no object.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, JsonError> {
        let mut counts = Self::default();
        Ok(counts.read_object(reader)?.then_some(counts))
    }

    fn read_object(&mut self, reader: &mut Reader<'_>) -> Result<bool, JsonError> {
        let (mut aliased, mut details) = (Self::default(), [Self::default(); 2]);
        let is_object = reader.object_or_skip(|key, reader| {
            let count = match &*key.decode() {
                "prompt_tokens" => &mut self.prompt,
                "completion_tokens" => &mut self.completion,
                "total_tokens" => &mut self.total,
                "cached_tokens" => &mut self.cached,
                "reasoning_tokens" => &mut self.reasoning,
                "input_tokens" => &mut aliased.prompt,
                "output_tokens" => &mut aliased.completion,
                "prompt_cache_hit_tokens" | "cache_read_input_tokens" => &mut aliased.cached,
                "prompt_tokens_details" | "input_tokens_details" => {
                    return details[0].read_details(reader);
                }
                "completion_tokens_details" | "output_tokens_details" => {
                    return details[1].read_details(reader);
                }
                _ => return reader.skip(),
            };
            *count = read_count(reader)?;
            Ok(())
        })?;
        for others in [aliased, details[0], details[1]] {
            self.prompt = later_count(self.prompt, others.prompt);
            self.completion = later_count(self.completion, others.completion);
            self.cached = later_count(self.cached, others.cached);
            self.reasoning = later_count(self.reasoning, others.reasoning);
        }
        Ok(is_object)
    }

    /// Reads the counts that are parts of another.
    fn read_details(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        reader
            .object_or_skip(|key, reader| {
                match &*key.decode() {
                    "cached_tokens" => self.cached = read_count(reader)?,
                    "reasoning_tokens" => self.reasoning = read_count(reader)?,
                    _ => reader.skip()?,
                }
                Ok(())
            })
            .map(drop)
    }

    /// The usage of these counts; a total that is not told is the sum.
    pub(super) fn usage(self) -> Usage {
        let sums = Usage::of(self.prompt.unwrap_or(0), self.completion.unwrap_or(0));
        Usage {
            total_tokens: self.total.filter(|total| *total > 0).unwrap_or(sums.total_tokens),
            cached_tokens: self.cached,
            reasoning_tokens: self.reasoning,
            ..sums
        }
    }
}

/// Reads the usage by OpenAI's names: see [`Counts::read`].
pub(super) fn read_usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, JsonError> {
    Ok(Counts::read(reader)?.map(Counts::usage))
}
