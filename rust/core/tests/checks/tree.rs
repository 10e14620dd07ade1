//! A JSON text as a tree that tells all of it, which the trees of the usual libraries do not:
//! members in their order, twice where they stand twice, numbers as they are written, and halves of
//! characters.
//!
//! `jiter` builds it. It is asked with numbers that tell which one stands in their place, and with
//! a character of a private plane for each half of a character.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use jiter::JsonValue;

use super::json::{strict, with_lone_surrogates};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    /// With [a character](HALVES) for each half of one: see [`whole`].
    Text(String),
    List(Vec<Tree>),
    Object(Members),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members(Vec<(String, Tree)>);

/// What stands for halves of characters.
const HALVES: RangeInclusive<char> = '\u{10F000}'..='\u{10F7FF}';

impl Tree {
    /// The tree of a text that is JSON; `None` where a character in it would be taken for a half of
    /// one, or a container for too many.
    pub fn of(json: &str) -> Option<Self> {
        let escapes = json.to_ascii_lowercase();
        let is_private = |character| HALVES.contains(&character);
        if json.contains(is_private) || escapes.contains("\\udbfc") || escapes.contains("\\udbfd") {
            return None;
        }
        let (json, numbers) = with_places_of_numbers(json);
        let json = with_lone_surrogates(&strict(&json), |unit| {
            char::from_u32(u32::from(*HALVES.start()) + (unit - 0xD800)).unwrap().to_string()
        });
        let value = JsonValue::parse(json.as_bytes(), false).ok()?;
        Some(Self::of_value(&value, &numbers))
    }

    fn of_value(value: &JsonValue<'_>, numbers: &[&str]) -> Self {
        let inner = |value| Self::of_value(value, numbers);
        match value {
            JsonValue::Null => Self::Null,
            JsonValue::Bool(value) => Self::Bool(*value),
            JsonValue::Int(place) => Self::Number(numbers[usize::try_from(*place).unwrap()].into()),
            JsonValue::BigInt(_) | JsonValue::Float(_) => unreachable!("it is a place"),
            JsonValue::Str(text) => Self::Text(text.to_string()),
            JsonValue::Array(elements) => Self::List(elements.iter().map(inner).collect()),
            JsonValue::Object(members) => Self::Object(Members(
                members.iter().map(|(key, value)| (key.to_string(), inner(value))).collect(),
            )),
        }
    }

    /// The text that it is; none where that is empty.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub fn members(&self) -> Option<&Members> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            _ => &[],
        }
    }

    /// The value of the last member of this name; null where it has none, or is no object.
    pub fn last(&self, name: &str) -> &Self {
        self.members().map_or(&Self::Null, |members| members.last(&[name]))
    }
}

impl Members {
    /// The values of the members of these names.
    pub fn all<'t>(&'t self, names: &'t [&str]) -> impl DoubleEndedIterator<Item = &'t Tree> {
        let is_one = |(name, _): &&(String, Tree)| names.contains(&name.as_str());
        self.0.iter().filter(is_one).map(|(_, value)| value)
    }

    /// The value of the last member with one of these names; null where there is none.
    pub fn last<'t>(&'t self, names: &[&str]) -> &'t Tree {
        let is_one = |(name, _): &&(String, Tree)| names.contains(&name.as_str());
        self.0.iter().rev().find(is_one).map_or(&Tree::Null, |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A text of a tree with its halves joined; one that is alone is U+FFFD.
pub fn whole(text: &str) -> String {
    let mut units = Vec::new();
    for character in text.chars() {
        if HALVES.contains(&character) {
            let half = u32::from(character) - u32::from(*HALVES.start()) + 0xD800;
            units.push(u16::try_from(half).unwrap());
        } else {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    String::from_utf16_lossy(&units)
}

/// Whether a text of a tree has half a character.
pub fn has_half(text: &str) -> bool {
    text.contains(|character| HALVES.contains(&character))
}

/// The text with the place of each number in a list of them, and the list.
fn with_places_of_numbers(json: &str) -> (String, Vec<&str>) {
    let (mut placed, mut numbers) = (String::new(), Vec::new());
    let (mut in_string, mut rest) = (false, json);
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        match character {
            '"' => in_string = !in_string,
            '\\' if in_string => length += rest[1..].chars().next().map_or(0, char::len_utf8),
            '-' | '0'..='9' | 'N' | 'I' if !in_string => {
                let is_behind = |c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c);
                let (number, behind) = rest.split_at(rest.find(is_behind).unwrap_or(rest.len()));
                let _ = write!(placed, "{}", numbers.len());
                numbers.push(number);
                rest = behind;
                continue;
            }
            _ => {}
        }
        placed.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    (placed, numbers)
}
