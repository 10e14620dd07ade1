//! html5ever's tokenizer as an oracle.

use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{RawKind, State};
use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// What both tokenizers are asked for. Text is that of raw elements only, pieces joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Start(String, Vec<(String, String)>),
    End(String),
    Text(String),
}

/// html5ever's tokens, with the switches that its tree builder would make for HTML content with
/// scripting on.
#[derive(Default)]
struct Oracle {
    seen: RefCell<Vec<Seen>>,
    raw: Cell<bool>,
}

impl TokenSink for Oracle {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut seen = self.seen.borrow_mut();
        let mut text = |piece: &str| match seen.last_mut() {
            Some(Seen::Text(text)) => text.push_str(piece),
            _ => seen.push(Seen::Text(piece.to_owned())),
        };
        match token {
            Token::CharacterTokens(piece) if self.raw.get() => text(&piece),
            Token::NullCharacterToken if self.raw.get() => text("\u{FFFD}"),
            Token::TagToken(tag) if tag.kind == TagKind::EndTag => {
                self.raw.set(false);
                seen.push(Seen::End(tag.name.to_string()));
            }
            Token::TagToken(tag) => {
                let pair = |attribute: &html5ever::Attribute| {
                    (attribute.name.local.to_string(), attribute.value.to_string())
                };
                seen.push(Seen::Start(tag.name.to_string(), tag.attrs.iter().map(pair).collect()));
                let result = switch(&tag.name);
                self.raw.set(!matches!(result, TokenSinkResult::Continue));
                return result;
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

fn switch(name: &str) -> TokenSinkResult<()> {
    match name {
        "script" => TokenSinkResult::RawData(RawKind::ScriptData),
        "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
        "style" | "noscript" | "iframe" | "noembed" | "noframes" | "xmp" => {
            TokenSinkResult::RawData(RawKind::Rawtext)
        }
        "plaintext" => TokenSinkResult::Plaintext,
        _ => TokenSinkResult::Continue,
    }
}

pub fn oracle(page: &[u8]) -> Vec<Seen> {
    let options = TokenizerOpts {
        initial_state: Some(State::Data),
        discard_bom: false,
        ..TokenizerOpts::default()
    };
    let tokenizer = Tokenizer::new(Oracle::default(), options);
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(&String::from_utf8_lossy(page)));
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.seen.into_inner()
}
