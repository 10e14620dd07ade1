//! The cases of `tests/vectors/pages`: each whole, byte by byte, at splits, and with other bytes
//! after its end.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tailrace_core::{ChatWidget, Page, PageProblem, PageScanner, ScanOptions, WidgetKind};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/vectors");

/// Pages up to this size are split at every offset, larger ones at offsets drawn with a fixed seed.
const SMALL: usize = 2000;

struct Case {
    name: String,
    page: Vec<u8>,
    options: ScanOptions,
    expected: Value,
}

fn cases(file: &str) -> Vec<Case> {
    let text = fs::read_to_string(Path::new(VECTORS).join("pages").join(file)).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    cases.iter().map(case).collect()
}

fn case(value: &Value) -> Case {
    let page = match &value["file"] {
        Value::String(file) => fs::read(Path::new(VECTORS).join(file)).unwrap(),
        _ => value["html"].as_str().unwrap().as_bytes().to_vec(),
    };
    let keys = ["stopped", "widgets", "tokens", "problem", "challenge", "title", "ajax_url"];
    let mut expected: Value =
        keys.iter().map(|&key| (key.to_owned(), value[key].clone())).collect();
    expected["roots"] = value.get("roots").cloned().unwrap_or_else(|| json!([]));
    for widget in expected["widgets"].as_array_mut().unwrap() {
        let mut whole = json!({
            "kind": "ai-power", "placement": "inline", "name": null, "url": null, "ajax_url": null,
            "streams": null, "assistant": false, "memory_limit": null, "custom_id": null,
            "rest_url": null, "session_id": null, "start_sentence": null, "max_length": null,
            "mode": null,
        });
        whole.as_object_mut().unwrap().append(widget.as_object_mut().unwrap());
        *widget = whole;
    }
    Case {
        name: value["name"].as_str().unwrap().to_owned(),
        page,
        options: options(&value["options"]),
        expected,
    }
}

fn options(value: &Value) -> ScanOptions {
    let defaults = ScanOptions::default();
    ScanOptions {
        bot_id: value["bot_id"].as_str().map(str::to_owned),
        kind: WidgetKind::ALL.iter().copied().find(|kind| value["kind"] == kind.as_str()),
        everything: value["everything"].as_bool().unwrap_or_default(),
        endpoint: value["endpoint"].as_bool().unwrap_or_default(),
        max_page_bytes: value["max_page_bytes"]
            .as_u64()
            .map_or(defaults.max_page_bytes, |bytes| usize::try_from(bytes).unwrap()),
    }
}

/// Feeds all chunks, also those after the stop, and tells how many bytes it took to stop.
fn scan<'a>(
    options: &ScanOptions,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Option<usize>, Value) {
    let mut scanner = PageScanner::new(options.clone());
    let (mut fed, mut stop) = (0, None);
    for chunk in chunks {
        fed += chunk.len();
        let stopped = scanner.feed(chunk);
        assert!(stopped || stop.is_none(), "it went on after it had stopped");
        stop = stop.or_else(|| stopped.then_some(fed));
    }
    (stop, outcome(stop.is_some(), &scanner.close()))
}

fn outcome(stopped: bool, page: &Page) -> Value {
    json!({
        "stopped": stopped,
        "widgets": page.widgets().iter().map(widget).collect::<Vec<_>>(),
        "tokens": page.tokens().ok().map(|tokens| json!({"nonce": tokens.nonce, "post_id": tokens.post_id})),
        "problem": page.tokens().err().map(PageProblem::as_str),
        "challenge": page.challenge(),
        "title": page.title(),
        "ajax_url": page.ajax_url(),
        "roots": page.roots(),
    })
}

fn widget(widget: &ChatWidget) -> Value {
    json!({
        "kind": widget.kind.as_str(),
        "placement": widget.placement.as_str(),
        "nonce": widget.nonce,
        "post_id": widget.post_id,
        "bot_id": widget.bot_id,
        "name": widget.name,
        "url": widget.url,
        "ajax_url": widget.ajax_url,
        "streams": widget.streams,
        "assistant": widget.assistant,
        "memory_limit": widget.memory_limit,
        "custom_id": widget.custom_id,
        "rest_url": widget.rest_url,
        "session_id": widget.session_id,
        "start_sentence": widget.start_sentence,
        "max_length": widget.max_length,
        "mode": widget.mode,
    })
}

/// Offsets between 0 and `length`: all of them, or some drawn by a fixed linear congruence.
fn offsets(length: usize) -> Vec<usize> {
    if length <= SMALL {
        return (0..=length).collect();
    }
    let mut state = 0x5EED_u64;
    let mut draw = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % length
    };
    (0..40).map(|_| draw()).collect()
}

fn check(file: &str) {
    for Case { name, page, options, expected } in cases(file) {
        let case = format!("{file}: {name}");
        let (_, whole) = scan(&options, [&*page]);
        assert_eq!(whole, expected, "{case}");
        let (stop, bytewise) = scan(&options, page.chunks(1));
        assert_eq!(bytewise, expected, "{case}, byte by byte");
        for at in offsets(page.len()) {
            let (before, after) = page.split_at(at);
            assert_eq!(scan(&options, [before, after]).1, expected, "{case}, split at {at}");
        }
        if let Some(stop) = stop {
            let other = [
                &page[..stop],
                b" x='><div class=wpaicg-chatbox data-nonce=z data-post-id=9><title>z</title>",
            ];
            assert_eq!(scan(&options, [&*other.concat()]).1, expected, "{case}, with another end");
        }
    }
}

#[test]
fn captured_pages() {
    check("captured.json");
}

#[test]
fn what_is_markup() {
    check("markup.json");
}

#[test]
fn aipkit_widgets() {
    check("aipkit.json");
}

#[test]
fn widgets_of_ai_engine() {
    check("ai_engine.json");
}

#[test]
fn where_reading_stops() {
    check("stop.json");
}

#[test]
fn fallback_places() {
    check("fallback.json");
}

#[test]
fn challenges() {
    check("challenge.json");
}

#[test]
fn where_wordpress_may_lie() {
    check("roots.json");
}
