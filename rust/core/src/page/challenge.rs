//! A page in, whether it is a challenge out: a page meant for a browser, put in front of the one
//! that was requested.
//!
//! Signs are a `<title>` or a form's `id` or `action`, facts of the products named beside them. A
//! script's path is never a sign: sites load such scripts on pages that answer.

use std::ops::ControlFlow;

use crate::entity::decode_text;

use super::attributes::{Tag, normalized_text};
use super::tokenizer::{Sink, Templates, Tokenizer};

/// Whole titles, in lower case, without the dots that end some of them.
const TITLES: [&str; 16] = [
    "just a moment",                           // Cloudflare
    "attention required! | cloudflare",        // Cloudflare
    "please wait... | cloudflare",             // Cloudflare
    "ddos-guard",                              // DDoS-Guard
    "you are being redirected",                // Sucuri
    "sucuri website firewall - access denied", // Sucuri
    "access denied - sucuri website firewall", // Sucuri
    "pardon our interruption",                 // Imperva
    "vercel security checkpoint",              // Vercel
    "robot challenge screen",                  // SiteGround
    "human verification",                      // AWS WAF
    "access to this page has been denied",     // HUMAN
    "client challenge",                        // Fastly
    "one moment, please",                      // Imunify360
    "bot verification",                        // LiteSpeed
    "making sure you're not a bot!",           // Anubis
];

/// Ends of titles, in lower case, behind a host name of the site's own.
const TITLE_ENDS: [&str; 1] = ["used cloudflare to restrict access"];

/// Whole form ids.
const FORM_IDS: [&str; 2] = [
    "challenge-form",   // Cloudflare
    "lsrecaptcha-form", // LiteSpeed
];

/// Parts of a form's action.
const FORM_ACTIONS: [&str; 4] = [
    "__cf_chl_",               // Cloudflare
    "/cdn-cgi/l/chk_",         // Cloudflare
    "/.well-known/sgcaptcha/", // SiteGround
    "/.lsrecap/recaptcha",     // LiteSpeed
];

/// Bytes of a title kept, as they stand in the page.
const MAX_TITLE_BYTES: usize = 1024;

/// Whether the page's title or one of its forms is a known challenge's. The title counts once its
/// end tag was seen.
pub fn is_challenge(html: &[u8]) -> bool {
    let mut judge = Judge::default();
    let _ = Tokenizer::new().feed(html, &mut judge);
    judge.signs.challenge()
}

/// The signs of a page, gathered tag by tag while it is read for something else.
#[derive(Default)]
pub(super) struct Signs {
    title: Option<Vec<u8>>,
    title_open: bool,
    form: bool,
}

impl Signs {
    pub(super) fn start_tag(&mut self, tag: &Tag<'_>) {
        if tag.is("title") && self.title.is_none() {
            self.title_open = true;
            self.title = Some(Vec::new());
        } else if tag.is("form") {
            self.form |= is_challenge_form(tag);
        }
    }

    /// Takes a piece of the text of whatever raw element is open.
    pub(super) fn text(&mut self, piece: &[u8]) {
        if let (true, Some(title)) = (self.title_open, &mut self.title) {
            let room = MAX_TITLE_BYTES.saturating_sub(title.len());
            title.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
    }

    pub(super) fn end_tag(&mut self, tag: &Tag<'_>) {
        if tag.is("title") {
            self.title_open = false;
        }
    }

    /// The text of the page's first title, references decoded, runs of white space as one space.
    pub(super) fn title(&self) -> Option<String> {
        let title = self.title.as_ref().filter(|_| !self.title_open)?;
        let text =
            decode_text(&normalized_text(title)).split_whitespace().collect::<Vec<_>>().join(" ");
        Some(text).filter(|text| !text.is_empty())
    }

    pub(super) fn challenge(&self) -> bool {
        self.form || self.title().is_some_and(|title| is_challenge_title(&title))
    }
}

fn is_challenge_title(title: &str) -> bool {
    let title = title.to_lowercase();
    let title = title.trim_end_matches(['.', '…']);
    TITLES.contains(&title) || TITLE_ENDS.iter().any(|end| title.ends_with(end))
}

fn is_challenge_form(tag: &Tag<'_>) -> bool {
    tag.attribute("id").is_some_and(|id| FORM_IDS.contains(&&*id))
        || tag
            .attribute("action")
            .is_some_and(|action| FORM_ACTIONS.iter().any(|part| action.contains(part)))
}

/// Reads a page for its signs alone.
#[derive(Default)]
struct Judge {
    signs: Signs,
    templates: Templates,
}

impl Sink for Judge {
    fn start_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        if self.templates.start_tag(tag) {
            self.signs.start_tag(tag);
        }
        ControlFlow::Continue(())
    }

    fn end_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        self.templates.end_tag(tag);
        self.signs.end_tag(tag);
        ControlFlow::Continue(())
    }

    fn text(&mut self, piece: &[u8]) {
        self.signs.text(piece);
    }
}
