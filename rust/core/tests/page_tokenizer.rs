//! The tokenizer against html5ever's, which its tree builder switches: any page, any splits, the same tags, attributes and raw text.

use std::ops::ControlFlow;

use proptest::prelude::*;
use tailrace_core::entity::{decode_attribute, decode_text};
use tailrace_core::page::attributes::Tag;
use tailrace_core::page::challenge::is_challenge;
use tailrace_core::page::tokenizer::{Sink, Tokenizer};

use crate::checks::oracle::{Seen, oracle};
use crate::checks::tokens;
use crate::fragments::{foreign_page, page, sizes};

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_page_has_the_oracles_tokens_however_it_is_cut(
        page in page(),
        sizes in sizes(),
    ) {
        tokens::check(&[&[u8::try_from(sizes.len())?][..], &sizes, &page].concat());
    }

    #[test]
    fn foreign_content_is_told_as_the_oracles_tree_builder_does(
        page in foreign_page(),
        sizes in sizes(),
    ) {
        tokens::check(&[&[u8::try_from(sizes.len())?][..], &sizes, &page].concat());
    }

    #[test]
    fn references_are_decoded_as_the_oracle_does(
        parts in proptest::collection::vec(proptest::sample::select(REFERENCE_PARTS), 0..8),
    ) {
        let text = parts.concat();
        let in_text = oracle(format!("<title>{text}</title>").as_bytes());
        let expected = match &in_text[1] { Seen::Text(text) => &**text, _ => "" };
        prop_assert_eq!(&*decode_text(&text), expected);
        let in_attribute = oracle(format!("<a b=\"{text}\">").as_bytes());
        let Seen::Start(_, pairs) = &in_attribute[0] else { panic!("no tag") };
        prop_assert_eq!(&*decode_attribute(&text), &pairs[0].1);
    }
}

#[rustfmt::skip]
const REFERENCE_PARTS: &[&str] = &[
    "&", "&amp", "&amp;", "&lt", "&LT;", "&quot;", "&#", "&#x", "&#X", "0", "1", "9", "22", "80", "x", "=", ";", "A", "f", "&not",
    "in", "it;", "&notin;", "&times", "&copy", "&nGg;", "&Aacute", "&ThickSpace;", "&#128;", "&#x9f;", "&#xD800;", "&#x110000;",
    "&#0;", "&#99999999999;", "&#13;", "&#x81", "&#xFFFF;", "&CounterClockwiseContourIntegral;", "&hellip", "&zwj;", " ", "é",
];

#[test]
fn numeric_references_follow_the_standards_table() {
    let edges =
        [0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFDD0, 0xFFFE, 0x10_FFFF, 0x11_0000, 0xFFFF_FFFF_u32];
    for number in (0..0x180).chain(edges) {
        let reference = format!("&#{number};");
        let expected = oracle(format!("<a b=\"{reference}\">").as_bytes());
        let decoded = decode_attribute(&reference).into_owned();
        assert_eq!(expected, [Seen::Start("a".into(), vec![("b".into(), decoded)])]);
    }
}

struct Nobody;

impl Sink for Nobody {
    fn start_tag(&mut self, _: &Tag<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn end_tag(&mut self, _: &Tag<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn text(&mut self, _: &[u8]) {}
}

#[test]
fn only_an_unfinished_tag_is_buffered() {
    let mut tokenizer = Tokenizer::new();
    let mut feed = |data: &[u8]| {
        assert!(tokenizer.feed(data, &mut Nobody).is_continue());
        tokenizer.buffered()
    };
    assert_eq!(feed(b"text <!-- a comment is not kept"), 0);
    assert_eq!(feed(b" --><div a='"), 8);
    assert_eq!(feed(&[b'x'; 1000]), 1008);
    assert_eq!(feed(b"'><script>no end tag </scrip"), 7);
    assert_eq!(feed(b"s <"), 1);
    assert_eq!(feed(b"<<<<<<"), 1);
    assert_eq!(feed(b"/script>"), 0);
}

#[test]
fn challenge_pages_are_told_by_title_or_form() {
    for (page, expected) in [
        ("<title>Just a moment...</title>", true),
        ("<html><head><TITLE lang=en>\n Just a&#32;moment… </TITLE>", true),
        ("<title>Access denied | shop.example used Cloudflare to restrict access</title>", true),
        ("<form class=x id=challenge-form method=POST>", true),
        ("<form action=\"/?__cf_chl_f_tk=abc\">", true),
        ("<title>Just a moment", false),
        ("<title>How we wait just a moment...</title>", false),
        ("<!--<title>Just a moment...</title>--><p>text", false),
        ("<title>News</title><title>Just a moment...</title>", false),
        (
            "<template><title>Just a moment...</title><form id=challenge-form></form></template>",
            false,
        ),
        ("<textarea><form id=challenge-form></textarea>", false),
        (
            "<script src=\"/cdn-cgi/challenge-platform/scripts/jsd/main.js\"></script><title>News</title>",
            false,
        ),
        ("<div id=challenge-form>", false),
        ("", false),
    ] {
        assert_eq!(is_challenge(page.as_bytes()), expected, "{page}");
    }
}
