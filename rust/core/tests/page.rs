//! Pages as properties: any page and any splits, the widgets that an HTML tokenizer finds; and what
//! none may cost.

use proptest::prelude::*;
use serde_json::{Value, json};
use tailrace_core::{MAX_PAGE_BYTES, PageScanner, Placement, ScanOptions, scan_page};

use crate::checks::page as checked;
use crate::fragments::{page, sizes};

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_page_has_the_oracles_widgets_however_it_is_cut(
        page in page(),
        options in any::<[u8; 2]>(),
        sizes in sizes(),
    ) {
        checked::check(&[&options[..], &[u8::try_from(sizes.len())?], &sizes, &page].concat());
    }
}

/// A JSON document that may hold the keys looked for, anywhere, and strings that look like code.
fn document() -> impl Strategy<Value = Value> {
    let text = proptest::sample::select(vec![
        "a",
        "12",
        "n\u{e9}",
        "\"_wpnonce\":\"x\"",
        "it's",
        "// c",
        "/* c",
        "`",
        "\\",
        "a\nb",
        "post_id=3",
        "{",
        "/\u{2028}",
        "<22",
        "",
    ]);
    let leaf = prop_oneof![
        3 => text.prop_map(Value::from),
        2 => (0_u32..99).prop_map(Value::from),
        1 => prop_oneof![Just(Value::Null), Just(Value::Bool(true)), Just(Value::from(-1.5))],
    ];
    let key = proptest::sample::select(vec![
        "_wpnonce",
        "wpaicg_nonce",
        "post_id",
        "a",
        "ajax_url",
        "wpaicgParams",
        "x'\"y",
    ]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map(key.clone(), inner, 0..5).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

/// The strings and whole numbers of a key anywhere in a document, in order, as text.
fn values(document: &Value, key: &str, found: &mut Vec<String>) {
    match document {
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == key => found.push(text.trim().to_owned()),
                    Value::Number(number) if name == key && number.is_u64() => {
                        found.push(number.to_string());
                    }
                    _ => values(value, key, found),
                }
            }
        }
        _ => {}
    }
}

/// The first valid value, by the keys' order of trust.
fn first(document: &Value, keys: &[&str], valid: fn(&str) -> bool) -> Option<String> {
    keys.iter().find_map(|key| {
        let mut found = Vec::new();
        values(document, key, &mut found);
        found.into_iter().find(|value| valid(value))
    })
}

fn is_post_id(value: &str) -> bool {
    let digits = value.strip_prefix('<').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn expected_tokens(document: &Value) -> Option<(String, String)> {
    let is_nonce =
        |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    let nonce = first(document, &["_wpnonce", "wpaicg_nonce"], is_nonce)?;
    let post_id = first(document, &["post_id"], is_post_id)?;
    Some((nonce, post_id.trim_start_matches('<').to_owned()))
}

/// As a page writes JSON: in a script no `<`, in an attribute references for quotes and `&`.
fn in_script(document: &Value) -> String {
    format!("<script>var x = {};</script>", document.to_string().replace('<', "\\u003c"))
}

fn in_attribute(document: &Value) -> String {
    format!(
        "<i data-x='{}'>",
        document.to_string().replace('&', "&amp;").replace('\'', "&#039;").replace('"', "&quot;")
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_of_any_json_are_found_as_a_plain_walk_finds_them(document in document()) {
        // An attribute holds JSON for us when it begins with a bracket: so the document is put into
        // an array.
        for html in [in_script(&document), in_attribute(&json!([document]))] {
            let page = scan_page(html.as_bytes());
            let found = page.tokens().ok().map(|tokens| (tokens.nonce.clone(), tokens.post_id.clone()));
            prop_assert_eq!(found, expected_tokens(&document), "{}", html);
        }
    }

    #[test]
    fn any_aipkit_config_is_read_as_serde_reads_it(
        nonce in "[!-~]{0,12}", post_id: u32, bot_id: u32, name: String, ajax_url: String, streams: Option<bool>, more in document(),
    ) {
        let mut config = json!({
            "botId": bot_id, "nonce": nonce, "postId": post_id, "headerName": name, "ajaxUrl": ajax_url, "more": more,
        });
        if let Some(streams) = streams {
            config["streamEnabled"] = streams.into();
        }
        let html = in_attribute(&config).replace("<i data-x", "<div class=aipkit_popup_wrapper_3 data-config");
        let page = scan_page(html.as_bytes());
        let [widget] = page.widgets() else { panic!("not one widget: {html}") };
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        prop_assert_eq!(&widget.nonce, &nonce);
        prop_assert_eq!(&widget.post_id, &post_id.to_string());
        prop_assert_eq!(&widget.bot_id, &bot_id.to_string());
        prop_assert_eq!(&widget.name, &filled(&name));
        prop_assert_eq!(&widget.ajax_url, &filled(&ajax_url));
        prop_assert_eq!(widget.streams, streams);
        prop_assert_eq!(widget.tokens().is_some(), !nonce.is_empty());
    }

    #[test]
    fn any_settings_of_ai_engine_are_read_as_serde_reads_them(
        nonce in "[!-~]{0,12}", context_id: u32, ids: (Option<String>, Option<String>), name: String, rest_url: String,
        window: Option<bool>, max_length: u64, more in document(),
    ) {
        let (bot_id, custom_id) = ids;
        let system = json!({
            "botId": bot_id, "customId": custom_id, "restNonce": nonce, "contextId": context_id, "restUrl": rest_url, "more": more,
        });
        let params = json!({ "aiName": name, "window": window, "textInputMaxLength": max_length });
        let html = in_attribute(&params).replace("<i data-x", "<div class=mwai-chatbot-container data-params");
        let system = in_attribute(&system).replace("<i data-x", " data-system");
        let page = scan_page((html.trim_end_matches(['>', '\n']).to_owned() + &system).as_bytes());
        let [widget] = page.widgets() else { panic!("not one widget: {html}") };
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let bot_id = bot_id.and_then(|id| filled(&id));
        prop_assert_eq!(&widget.nonce, &nonce);
        prop_assert_eq!(&widget.post_id, &context_id.to_string());
        prop_assert_eq!(&widget.bot_id, bot_id.as_deref().unwrap_or_default());
        prop_assert_eq!(&widget.name, &filled(filled(&name).unwrap_or_default().trim_end_matches([':', ' '])));
        prop_assert_eq!(&widget.custom_id, &custom_id);
        prop_assert_eq!(&widget.rest_url, &filled(&rest_url));
        prop_assert_eq!(widget.max_length, Some(max_length));
        prop_assert_eq!(widget.placement, if window == Some(true) { Placement::Popup } else { Placement::Inline });
        let has_id = bot_id.is_some() || custom_id.is_some_and(|id| !id.is_empty());
        prop_assert_eq!(widget.is_complete(), widget.rest_url.is_some() && has_id);
        prop_assert!(widget.tokens().is_none());
    }
}

/// Each would take hours if a byte cost more the more of them there are; all end without tokens.
#[test]
fn pages_made_to_be_slow_are_read_like_any_other() {
    for unit in [
        "<",
        "</",
        "<!",
        "<!--",
        "<a ",
        "<a b='",
        "<a b",
        "a=b ",
        "<script>",
        "<script><!--<script ",
        "<title>&",
        "<template>",
        "<i x='{' ",
        "<i x={ ",
        "<div class=wpaicg-chatbox>",
        "<!-- --!",
        "</script",
        "-",
        "<textarea></",
        "\0",
        "&#38;",
        "<svg>",
        "<svg><g></x>",
        "<div><svg></x></p>",
        "<p><b></p><svg></b>",
        "<svg><desc><i><table>",
        "<svg><![CDATA[",
    ] {
        let page = unit.repeat(MAX_PAGE_BYTES / 4 / unit.len());
        assert!(scan_page(page.as_bytes()).tokens().is_err(), "{unit}");
    }
    for unit in [
        "post_id",
        "post_id=/[",
        "post_id='",
        "'\\",
        "\"'",
        "/*",
        "//",
        "`",
        "post_id:{",
        "wpaicgParams={",
        "=/",
        "++/",
        "\\'",
        ",post_id:/*",
        "post_id=\"\\",
        "{",
        ",_wpnonce:`",
        "/[/",
        "<!--x",
    ] {
        let script = unit.repeat(MAX_PAGE_BYTES / 4 / unit.len());
        let page = format!("<script>{script}</script><i data='{{{script}'>");
        assert!(scan_page(page.as_bytes()).tokens().is_err(), "{unit}");
    }
}

#[test]
fn bytes_that_are_no_utf8_are_replaced() {
    let page = scan_page(
        b"<title>a\xFFb</title><i data-nonce=a data-post-id='\xE2\x82'><i data-post-id=1>",
    );
    assert_eq!(page.title(), Some("a\u{FFFD}b"));
    assert_eq!(page.tokens().unwrap().post_id, "1");
}

#[test]
fn a_widget_is_told_wherever_its_name_stands_in_a_class() {
    for name in ["wpaicg-chat-shortcode", "aipkit_chat_container", "mwai-chatbot-container"] {
        for (before, after) in (0..20).flat_map(|before| (0..20).map(move |after| (before, after)))
        {
            let class = format!("{} {name} {}", "x".repeat(before), "y".repeat(after));
            let page =
                scan_page(format!("<p><div class=\"{class}\" data-config=x></div>").as_bytes());
            assert_eq!(page.widgets().len(), 1, "{class}");
        }
    }
}

#[test]
fn a_widget_is_told_by_bot_and_name() {
    let page = scan_page(
        b"<div class=wpaicg-chatbox data-bot-id=1 data-ai-name=Ada>\
          <div class=wpaicg-chatbox data-bot-id=2 data-ai-name=Ada data-nonce=n data-post-id=1>\
          <div class=wpaicg-chatbox data-nonce=n data-post-id=1>",
    );
    let bot_id = |bot_id, name| page.widget(bot_id, name, None).map(|widget| &*widget.bot_id);
    assert_eq!(bot_id(Some("1"), None), Ok("1"));
    assert_eq!(bot_id(None, Some("Ada")), Ok("2"), "the complete one");
    assert_eq!(bot_id(None, None), Ok("2"));
    let error = page.widget(Some("3"), Some("Ada"), None).unwrap_err();
    let present = "ai-power bot 1 \"Ada\", ai-power bot 2 \"Ada\", ai-power bot without id";
    assert_eq!(
        error.to_string(),
        format!("the page holds no chat widget of bot 3 named \"Ada\"; it holds {present}")
    );
    let error = scan_page(b"").widget(None, None, None).unwrap_err();
    assert_eq!(error.to_string(), "the page holds no chat widget, nor any other");
}

#[test]
fn debug_forms_show_no_nonce() {
    let html = b"<i data-nonce=secret></i><div class=wpaicg-chatbox data-nonce=secret data-post-id=1><script>'secret'";
    let mut scanner = PageScanner::new(ScanOptions { everything: true, ..ScanOptions::default() });
    assert!(!scanner.feed(html));
    assert!(!format!("{scanner:?}").contains("secret"));
    let page = scanner.close();
    assert_eq!(page.tokens().unwrap().nonce, "secret");
    assert!(!format!("{page:?} {:?} {:?}", page.tokens(), page.widgets()).contains("secret"));
}
