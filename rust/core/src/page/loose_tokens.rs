//! A page's tokens outside of complete widgets in, the tokens to trust out.
//!
//! Older themes and forks keep the tokens elsewhere. In order of trust: one element with both, then
//! for nonce and post id each by itself the first of: elements, hidden inputs, `_wpnonce` and
//! `post_id` as JSON keys, then `wpaicg_nonce` and a variable `post_id`. An invalid value gives way
//! to a valid one wherever that stands, and is reported only when there is none.

use std::collections::HashSet;

use super::PageProblem;
use super::attributes::{Tag, is_space};
use super::script::{Key, for_each_value};
use super::widget::{PageTokens, RawTokens, valid_nonce, valid_post_id};

/// The tokens found so far, by source.
#[derive(Default)]
pub(super) struct LooseTokens {
    pair: Option<PageTokens>,
    nonce: Token,
    post_id: Token,
}

/// One of the two tokens: the first valid one of each source, and whether an invalid one was seen
/// anywhere.
#[derive(Default)]
struct Token {
    valid: [Option<String>; SOURCES],
    invalid: bool,
}

const SOURCES: usize = 4;

/// Where a token can stand, in order of trust.
#[derive(Clone, Copy)]
enum Source {
    Element,
    HiddenInput,
    Key,
    Variable,
}

enum Found<'a> {
    Valid(&'a String),
    Invalid,
    Missing,
}

impl Token {
    fn add(&mut self, source: Source, value: &str, validate: fn(&str) -> Option<String>) {
        if value.trim().is_empty() {
            return;
        }
        match validate(value) {
            Some(valid) => {
                self.valid[source as usize].get_or_insert(valid);
            }
            None => self.invalid = true,
        }
    }

    fn found(&self) -> Found<'_> {
        match self.valid.iter().flatten().next() {
            Some(value) => Found::Valid(value),
            None if self.invalid => Found::Invalid,
            None => Found::Missing,
        }
    }
}

impl LooseTokens {
    /// Takes the tokens of one element, valid or not; empty ones are no tokens.
    pub(super) fn element(&mut self, RawTokens { nonce, post_id }: &RawTokens) {
        if let (None, Some(nonce), Some(post_id)) =
            (&self.pair, valid_nonce(nonce), valid_post_id(post_id))
        {
            self.pair = Some(PageTokens::new(nonce, post_id));
        }
        self.nonce.add(Source::Element, nonce, valid_nonce);
        self.post_id.add(Source::Element, post_id, valid_post_id);
    }

    /// Takes an `<input type=hidden>` by its name.
    pub(super) fn input(&mut self, tag: &Tag<'_>) {
        let hidden = |kind: &str| kind.trim().eq_ignore_ascii_case("hidden");
        if !tag.is("input") || !tag.attribute("type").is_some_and(|kind| hidden(&kind)) {
            return;
        }
        let value = tag.attribute("value").unwrap_or_default();
        match tag.attribute("name").as_deref() {
            Some("_wpnonce") => self.nonce.add(Source::HiddenInput, &value, valid_nonce),
            Some("post_id") => self.post_id.add(Source::HiddenInput, &value, valid_post_id),
            _ => {}
        }
    }

    /// Takes the attributes whose values hold JSON. Of several attributes with one name only the
    /// first is one.
    pub(super) fn json_attributes(&mut self, tag: &Tag<'_>) {
        if !tag.attributes().any(|attribute| may_hold_json(attribute.raw_value())) {
            return;
        }
        let mut names = HashSet::new();
        for attribute in tag.attributes().filter(|attribute| names.insert(attribute.name())) {
            if may_hold_json(attribute.raw_value()) {
                let value = attribute.value();
                if value.trim_start().starts_with(['{', '[']) {
                    self.script(&value);
                }
            }
        }
    }

    /// Takes a script, or JSON; returns the endpoint that its `wpaicgParams` names.
    pub(super) fn script(&mut self, script: &str) -> Option<String> {
        let mut endpoint = None;
        for_each_value(script, |key, value| match key {
            Key::WpNonce => self.nonce.add(Source::Key, &value, valid_nonce),
            Key::WpaicgNonce => self.nonce.add(Source::Variable, &value, valid_nonce),
            Key::PostId => self.post_id.add(Source::Key, &value, valid_post_id),
            Key::PostIdVariable => self.post_id.add(Source::Variable, &value, valid_post_id),
            Key::AjaxUrl if endpoint.is_none() && !value.trim().is_empty() => {
                endpoint = Some(value.trim().to_owned());
            }
            Key::AjaxUrl => {}
        });
        endpoint
    }

    /// The tokens to trust, or why there are none.
    pub(super) fn tokens(&self) -> Result<PageTokens, PageProblem> {
        if let Some(pair) = &self.pair {
            return Ok(pair.clone());
        }
        match (self.nonce.found(), self.post_id.found()) {
            (Found::Valid(nonce), Found::Valid(post_id)) => {
                Ok(PageTokens::new(nonce.clone(), post_id.clone()))
            }
            (Found::Missing, Found::Missing) => Err(PageProblem::MissingBoth),
            (Found::Invalid, _) => Err(PageProblem::InvalidNonce),
            (Found::Missing, _) => Err(PageProblem::MissingNonce),
            (Found::Valid(_), Found::Invalid) => Err(PageProblem::InvalidPostId),
            (Found::Valid(_), Found::Missing) => Err(PageProblem::MissingPostId),
        }
    }
}

/// Whether a value, decoded, can begin as JSON: with a bracket, or with a reference to one.
pub(super) fn may_hold_json(raw: &[u8]) -> bool {
    raw.iter().find(|&&byte| !is_space(byte)).is_some_and(|byte| matches!(byte, b'{' | b'[' | b'&'))
}
