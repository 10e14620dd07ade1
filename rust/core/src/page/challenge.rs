//! A page in, whether it is a challenge out: a page meant for a browser, put in front of the one
//! that was requested.
//!
//! Signs are a `<title>`, a form's `id` or `action`, the target of a refresh, and what an inline
//! script sets or uses: facts of the products named beside them. Only the title depends on the
//! page's language. A script's path is never a sign: sites load such scripts on pages that answer.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::entity::decode_text;

use super::attributes::{Tag, normalized_text};
use super::script::{Mention, for_each_mention, holds};
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
const FORM_IDS: [&str; 3] = [
    "challenge-form",   // Cloudflare
    "lsrecaptcha-form", // LiteSpeed
    "wsidchk-form",     // Imunify360
];

/// Parts of a form's action, and of the address that a refresh leads to.
const TARGETS: [&str; 5] = [
    "__cf_chl_",               // Cloudflare
    "/cdn-cgi/l/chk_",         // Cloudflare
    "/.well-known/sgcaptcha/", // SiteGround
    "/.well-known/captcha/",   // SiteGround
    "/.lsrecap/recaptcha",     // LiteSpeed
];

/// Variables that an inline script sets.
const SET_BY_SCRIPTS: [&str; 3] = [
    "_cf_chl_opt",          // Cloudflare
    "gokuProps",            // AWS WAF
    "sucuri_cloudproxy_js", // Sucuri
];

/// Objects that an inline script uses.
const USED_BY_SCRIPTS: [&str; 1] = [
    "slowAES", // hosts that test for JavaScript: aes.js, testcookie
];

/// Beginnings of strings that an inline script holds: cookies that it sets.
const COOKIES_OF_SCRIPTS: [&str; 2] = [
    "__test=",       // hosts that test for JavaScript
    "humans_21909=", // hosts that test for JavaScript
];

static WORDS_OF_SCRIPTS: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
    let names = SET_BY_SCRIPTS.iter().chain(&USED_BY_SCRIPTS).chain(&COOKIES_OF_SCRIPTS);
    names.map(|name| Finder::new(*name)).collect()
});

/// Whole ids of scripts that hold data.
const SCRIPT_IDS: [&str; 1] = [
    "anubis_challenge", // Anubis
];

/// Bytes of a title kept, as they stand in the page.
const MAX_TITLE_BYTES: usize = 1024;

/// Inline scripts looked at, from the first one on: a challenge has few, any other page has many.
const MAX_SCRIPTS: usize = 8;

/// Whether a sign of the page is a known challenge's. The title and a script count once their end
/// tags were seen.
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
    /// Whether a sign other than the title was seen.
    seen: bool,
    /// Inline scripts looked at so far.
    scripts: usize,
}

impl Signs {
    pub(super) fn start_tag(&mut self, tag: &Tag<'_>) {
        if tag.is("title") && self.title.is_none() {
            self.title_open = true;
            self.title = Some(Vec::new());
        } else if tag.is("form") {
            self.seen |= is_challenge_form(tag);
        } else if tag.is("meta") {
            self.seen |= is_challenge_refresh(tag);
        } else if tag.is("script") {
            self.seen |= may_have_id(tag) && has_id(tag, &SCRIPT_IDS);
        }
    }

    /// Takes the whole text of an inline script.
    pub(super) fn script(&mut self, script: &[u8]) {
        if self.scripts < MAX_SCRIPTS && !self.seen && !script.is_empty() {
            self.scripts += 1;
            self.seen = holds(script, &WORDS_OF_SCRIPTS)
                && is_challenge_script(&String::from_utf8_lossy(script));
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
        self.seen || self.title().is_some_and(|title| is_challenge_title(&title))
    }
}

fn is_challenge_title(title: &str) -> bool {
    let title = title.to_lowercase();
    let title = title.trim_end_matches(['.', '…']);
    TITLES.contains(&title) || TITLE_ENDS.iter().any(|end| title.ends_with(end))
}

fn is_challenge_form(tag: &Tag<'_>) -> bool {
    has_id(tag, &FORM_IDS) || tag.attribute("action").is_some_and(|action| leads_away(&action))
}

fn has_id(tag: &Tag<'_>, ids: &[&str]) -> bool {
    tag.attribute("id").is_some_and(|id| ids.contains(&&*id))
}

/// Whether a script's id can be one of those that are looked for.
fn may_have_id(tag: &Tag<'_>) -> bool {
    static IDS: LazyLock<[Finder<'static>; 1]> = LazyLock::new(|| SCRIPT_IDS.map(Finder::new));
    holds(tag.raw_attributes(), &*IDS)
}

fn leads_away(target: &str) -> bool {
    TARGETS.iter().any(|part| target.contains(part))
}

fn is_challenge_refresh(tag: &Tag<'_>) -> bool {
    let is_refresh = |pragma: &str| pragma.trim().eq_ignore_ascii_case("refresh");
    tag.attribute("http-equiv").is_some_and(|pragma| is_refresh(&pragma))
        && tag.attribute("content").is_some_and(|content| leads_away(&content))
}

fn is_challenge_script(script: &str) -> bool {
    let mut found = false;
    for_each_mention(script, |mention| {
        found |= match mention {
            Mention::Set(name) => SET_BY_SCRIPTS.contains(&name) || USED_BY_SCRIPTS.contains(&name),
            Mention::Used(name) => USED_BY_SCRIPTS.contains(&name),
            Mention::Text(text) => COOKIES_OF_SCRIPTS.iter().any(|start| text.starts_with(start)),
        };
    });
    found
}

/// Reads a page for its signs alone.
#[derive(Default)]
struct Judge {
    signs: Signs,
    templates: Templates,
    /// The text of the script that is open.
    script: Option<Vec<u8>>,
}

impl Sink for Judge {
    fn start_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        if self.templates.start_tag(tag) {
            self.signs.start_tag(tag);
            self.script = tag.is("script").then(Vec::new);
        }
        ControlFlow::Continue(())
    }

    fn end_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        self.templates.end_tag(tag);
        self.signs.end_tag(tag);
        if let Some(script) = self.script.take() {
            self.signs.script(&script);
        }
        ControlFlow::Continue(())
    }

    fn text(&mut self, piece: &[u8]) {
        self.signs.text(piece);
        if let Some(script) = &mut self.script {
            script.extend_from_slice(piece);
        }
    }
}
