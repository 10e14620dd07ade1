//! The page scanner against the widgets that an HTML tokenizer finds, and against itself cut
//! otherwise.

use tailrace_core::{ChatWidget, MAX_PAGE_BYTES, Page, PageScanner, ScanOptions, WidgetKind};

use super::cutting::{reads, sizes};
use super::oracle::{Seen, oracle};

pub fn check(data: &[u8]) {
    let [kind, limit, data @ ..] = data else { return };
    let options = ScanOptions {
        bot_id: [None, Some("0"), Some("3"), Some("9")][usize::from(kind % 4)].map(str::to_owned),
        kind: (kind & 0x30 == 0x30).then_some(WidgetKind::AiEngine),
        everything: kind & 4 != 0,
        endpoint: kind & 8 != 0,
        max_page_bytes: if *limit < 200 { usize::from(*limit) * 4 } else { MAX_PAGE_BYTES },
    };
    let (sizes, page) = sizes(data);
    let shown = String::from_utf8_lossy(page);
    let whole = scan(&options, &[page]);
    assert_eq!(
        outcome(&scan(&options, &reads(page, sizes))),
        outcome(&whole),
        "{options:?} {sizes:?}: {shown:?}"
    );
    // An element can be a widget of both kinds, which the oracle does not know.
    let of_both = whole.1.widgets().iter().any(|widget| widget.kind != WidgetKind::AiPower);
    let is_known = !of_both && !may_hold_foreign_templates(&shown);
    if options.everything && page.len() <= options.max_page_bytes && is_known {
        let found: Vec<_> = whole.1.widgets().iter().map(fields).collect();
        assert_eq!(found, expected_widgets(page), "{shown:?}");
    }
}

/// Whether there may be templates of foreign content, whose insides are markup: the oracle's tags
/// do not tell them from HTML's.
fn may_hold_foreign_templates(page: &str) -> bool {
    let page = page.to_ascii_lowercase();
    page.contains("<template") && (page.contains("<svg") || page.contains("<math"))
}

fn scan(options: &ScanOptions, reads: &[&[u8]]) -> (bool, Page) {
    let mut scanner = PageScanner::new(options.clone());
    let stopped = reads.iter().fold(false, |_, read| scanner.feed(read));
    (stopped, scanner.close())
}

/// All that a page says; its debug form leaves out what is secret.
fn outcome((stopped, page): &(bool, Page)) -> (bool, String, Vec<[String; 4]>) {
    let nonce = page.tokens().map(|tokens| &tokens.nonce);
    (*stopped, format!("{page:?} {nonce:?}"), page.widgets().iter().map(fields).collect())
}

fn fields(widget: &ChatWidget) -> [String; 4] {
    let placement = if widget.kind == WidgetKind::AiPower {
        widget.placement.as_str()
    } else {
        widget.kind.as_str()
    };
    [placement.to_owned(), widget.nonce.clone(), widget.post_id.clone(), widget.bot_id.clone()]
}

/// 1.x widgets by the oracle's tags: placement, nonce, post id and bot id of what is in no
/// template.
fn expected_widgets(page: &[u8]) -> Vec<[String; 4]> {
    let (mut templates, mut widgets) = (0_usize, Vec::new());
    for seen in oracle(page) {
        match seen {
            Seen::Start(name, attributes) => {
                templates += usize::from(name == "template");
                if templates == 0 {
                    widgets.extend(expected_widget(&attributes));
                }
            }
            Seen::End(name) if name == "template" => templates = templates.saturating_sub(1),
            _ => {}
        }
    }
    widgets
}

fn expected_widget(attributes: &[(String, String)]) -> Option<[String; 4]> {
    let raw =
        |name: &str| attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    let value = |name: &str| raw(name).trim().to_owned();
    let placement = raw("class").split_ascii_whitespace().find_map(|class| match class {
        "wpaicg-chat-shortcode" => Some("inline"),
        "wpaicg-chatbox" => Some("popup"),
        _ => None,
    })?;
    let post_id = value("data-post-id");
    let post_id = post_id.strip_prefix('<').unwrap_or(&post_id).trim();
    let is_nonce = |nonce: &String| nonce.bytes().all(|byte| byte.is_ascii_graphic());
    let nonce = Some(value("data-nonce")).filter(is_nonce).unwrap_or_default();
    let is_post_id = post_id.bytes().all(|byte| byte.is_ascii_digit());
    let post_id = if is_post_id { post_id.to_owned() } else { String::new() };
    Some([placement.to_owned(), nonce, post_id, value("data-bot-id")])
}
