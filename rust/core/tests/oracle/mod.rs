//! html5ever's tokenizer as an oracle, and pages to hold it against: assembled from valid and broken fragments.

use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{RawKind, State};
use html5ever::tokenizer::{BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use proptest::prelude::*;

/// What both tokenizers are asked for. Text is that of raw elements only, pieces joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Start(String, Vec<(String, String)>),
    End(String),
    Text(String),
}

/// html5ever's tokens, with the switches that its tree builder would make for HTML content with scripting on.
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
                let pair =
                    |attribute: &html5ever::Attribute| (attribute.name.local.to_string(), attribute.value.to_string());
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
        "style" | "noscript" | "iframe" | "noembed" | "noframes" | "xmp" => TokenSinkResult::RawData(RawKind::Rawtext),
        "plaintext" => TokenSinkResult::Plaintext,
        _ => TokenSinkResult::Continue,
    }
}

pub fn oracle(page: &[u8]) -> Vec<Seen> {
    let options = TokenizerOpts { initial_state: Some(State::Data), discard_bom: false, ..TokenizerOpts::default() };
    let tokenizer = Tokenizer::new(Oracle::default(), options);
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(&String::from_utf8_lossy(page)));
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.seen.into_inner()
}

#[rustfmt::skip]
const FRAGMENTS: &[&str] = &[
    "<", ">", "/", "!", "-", "--", "=", "\"", "'", " ", "\n", "\r\n", "\t", "\u{c}", "\0", "a", "Z", "é", "&amp;", "&#x41",
    "&notit;", "&copy=1", "&", "<<", "</", "</ ", "<!", "<!-", "<!--", "-->", "--!>", "<!-->", "<!--->", "<?php", "?>",
    "<!DOCTYPE html>", "<!doctype html PUBLIC \"a>b\">", "<![CDATA[", "]]>", "<div", "<DIV class=x>", "</div>", "</DIV x=y>",
    "<p a=1 A=2 b='x>y' c=\"<z>\" d>", "<a href=x/y/>", "<br/>", "<i =x =>", "<b a = 'x' b= c =d>", "<u a'b\"c<=\">\">",
    "<script>", "<SCRIPT type=x>", "</script>", "</SCRIPT >", "</script/", "</scrip", "<script", "</scriptx>", "<style>",
    "</style>", "<title>", "</title>", "</titl", "<textarea>", "</textarea\n>", "<noscript>", "</noscript>", "<iframe>",
    "</iframe>", "<xmp>", "</xmp>", "<noembed>", "</noembed>", "<noframes>", "</noframes>", "<template>", "</template>",
    "<div data-nonce=\"abc\" data-post-id=\"<22\">", "text", "<svg><path d='M0 0'/></svg>", "<plaintext>", "scRipt",
    "<div class=wpaicg-chat-shortcode data-nonce=n1 data-post-id=1 data-bot-id=3>", "<DIV CLASS='x wpaicg-chatbox\ty'",
    " data-nonce='&#97;b' ", " DATA-POST-ID = \"<7\"", " class=wpaicg-chat-shortcode", " data-bot-id=0>", "wpaicg-chatbox",
    "<a b = \"c>d\" e ='f'>", "<a = \"x>y\">", "<a/b=\"c>d\"/e='>'>", "<a=\"x>y\" b>", "<a b=\"c\"d=\"e\"='>'>", "<a b=\"c\" =\"d>e\">", "?", "#",
    "<a b=\"c&d'e#f\" class='g&amp;h'>", "<i class=\"wpaicg&#45;chatbox\" id=x>", "<i class='a-long-class and-another-one and-a-third wpaicg-chatbox'>",
    "<ul class=\"wpaicg-chatbox\">", "<i CLASS=cg>", "<i data-x=\" {'_wpnonce':'n','post_id':5}\">", "<input type=hidden name=_wpnonce value=m>",
    "<div id='aipkit_chat_container_9' data-config='{&quot;nonce&quot;:&quot;n&quot;,&quot;postId&quot;:7}'>", "<b class=aipkit_popup_wrapper data-config>",
    "<script>var post_id = 6;</script>", "<!--x>y--!>", "<!---!>", "<a b=c/d='e>f'>", "<p a=' x ' b=\" \n\">", "/d='", "<script><!--", "<script><!-- <script", "</script>", "</script>", "--><",
];

pub fn page() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        12 => proptest::sample::select(FRAGMENTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
    ];
    proptest::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

/// Sizes of reads: shorter than most tags, and longer.
pub fn sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1_usize..9, 9_usize..200], 1..6)
}

/// The page in pieces of these sizes, over and over.
pub fn pieces<'a>(mut page: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for &size in sizes.iter().cycle() {
        let (chunk, rest) = page.split_at(size.min(page.len()));
        chunks.push(chunk);
        page = rest;
        if page.is_empty() {
            break;
        }
    }
    chunks
}
