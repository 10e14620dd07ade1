//! Pages of a WordPress site with one chat widget, whose tag stands at four fifths of the page.

use std::fmt::Write as _;

use super::chat::{Reply, words};
use super::random::Random;

/// The bot on both pages.
pub const BOT_ID: &str = "4";

const CAPTURED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../tests/vectors/captures/ai-power/1.9.18/page_stream.body"
);
const WIDGET: &str = "<div class=\"wpaicg-chat-shortcode\"";
const EXPECTED: &str = "3ec95cd9f5 13 4\n";

/// A page of `size` bytes, as a block theme with some plugins makes it: styles and scripts, a menu,
/// many posts. It has a tag every 75 bytes or so.
pub fn wordpress(size: usize) -> Reply {
    let mut random = Random(7);
    let mut page =
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta charset=\"UTF-8\" />\n<title>Mill &amp; Race – \
                    Journal</title>\n<link rel='dns-prefetch' href='//fonts.example' />\n"
            .to_owned();
    while page.len() < size / 8 {
        asset(&mut page, &mut random);
    }
    page.push_str(
        "</head>\n<body class=\"home blog wp-embed-responsive\">\n<nav class=\"menu\"><ul>\n",
    );
    for item in 0..30 {
        let _ = writeln!(
            page,
            "<li id=\"menu-item-{item}\" class=\"menu-item\"><a href=\"/topic/{item}/\">Topic</a></li>"
        );
    }
    page.push_str("</ul></nav>\n<main>\n");
    fill(&mut page, size * 4 / 5, |page| post(page, &mut random));
    let (nonce, post_id, bot_id) = ("3ec95cd9f5", "13", BOT_ID);
    let _ = write!(
        page,
        "{WIDGET}\n     data-user-bg-color=\"#ccf5e1\"\n     data-nonce=\"{nonce}\"\n     data-post-id=\"{post_id}\"\n     \
         data-url=\"https://mill.example\"\n     data-bot-id=\"{bot_id}\"\n     data-openai_stream_nav=\"1\"\n     \
         data-memory-limit = \"100\"\n>\n<input type=\"text\" placeholder=\"Ask\"></div>\n"
    );
    fill(&mut page, size - 500, |page| post(page, &mut random));
    page.push_str(
        "</main><script>var wpaicgParams = {\"ajax_url\":\"https://mill.example/wp-admin/admin-ajax.php\"};</script>",
    );
    finish(page, size)
}

/// The page `captures/ai-power/1.9.18/page_stream`, of which the part in front of the widget is
/// there several times.
pub fn captured(size: usize) -> Reply {
    let page = std::fs::read_to_string(CAPTURED).unwrap_or_default();
    let (before, after) = page.split_once(WIDGET).unwrap_or_default();
    let (head, body) = before.split_once("<body").unwrap_or_default();
    let body = format!("<div{body}");
    let mut page = head.to_owned() + "<body>";
    fill(&mut page, size * 4 / 5, |page| page.push_str(&body));
    page.push_str(WIDGET);
    page.push_str(
        after.trim_end().trim_end_matches("</html>").trim_end().trim_end_matches("</body>"),
    );
    fill(&mut page, size - 500, |page| page.push_str(&body));
    finish(page, size)
}

/// A style, a script or a link to one.
fn asset(page: &mut String, random: &mut Random) {
    let (handle, version) =
        (random.pick(&["theme", "blocks", "forms", "shop", "seo", "cache"]), random.below(100));
    let _ = match random.below(4) {
        0 => writeln!(
            page,
            "<style id='{handle}-inline-css'>\n.{handle}-{version} > a{{color:#0d{version};margin:0 auto}}\n\
             .{handle} ul li:hover{{background:url(/wp-content/{handle}.svg);padding:{version}px}}\n</style>"
        ),
        1 => writeln!(
            page,
            "<script id=\"{handle}-js-extra\">\nvar {handle} = {{\"url\":\"https:\\/\\/mill.example\\/\",\"version\":\
             \"{version}\",\"strings\":{{\"more\":\"Read more\",\"less\":\"Less\"}}}};\n\
             if (window.{handle} && {version} < 50) {{ document.body.className += ' has-{handle}'; }}\n</script>"
        ),
        2 => writeln!(
            page,
            "<link rel='stylesheet' id='{handle}-css' href='https://mill.example/wp-content/plugins/{handle}/style.css\
             ?ver=6.{version}' media='all' />"
        ),
        _ => writeln!(
            page,
            "<script src=\"https://mill.example/wp-content/plugins/{handle}/app.js?ver=6.{version}\" \
             id=\"{handle}-js\"></script>"
        ),
    };
}

fn post(page: &mut String, random: &mut Random) {
    let number = random.below(10_000);
    let _ = writeln!(
        page,
        "<!-- post {number} -->\n<article id=\"post-{number}\" class=\"post-{number} post type-post hentry\">\n<h2 \
         class=\"entry-title\"><a href=\"https://mill.example/{number}/\" rel=\"bookmark\">{}</a></h2>\n<figure \
         class=\"wp-block-image\"><img loading=\"lazy\" width=\"640\" height=\"427\" src=\"/up/{number}.jpg\" \
         alt=\"\" srcset=\"/up/{number}-300.jpg 300w, /up/{number}.jpg 640w\" sizes=\"(max-width: 640px) 100vw\"/>\
         </figure>",
        words(20 + random.below(30))
    );
    for _ in 0..2 + random.below(4) {
        let (first, second, third) = (100 + random.below(400), random.below(60), random.below(600));
        let _ = writeln!(
            page,
            "<p>{} <a href=\"/topic/{first}/\">{}</a>, <strong>{}</strong><br />\n{} &#8211; {}</p>",
            words(first),
            words(second),
            words(12),
            words(third),
            words(second)
        );
    }
    page.push_str("<ul>\n<li>Grain</li>\n<li>Water &amp; stone</li>\n</ul>\n</article>\n");
}

/// Adds parts as long as the page stays below a size, and then text up to that size.
fn fill(page: &mut String, size: usize, mut add: impl FnMut(&mut String)) {
    loop {
        let before = page.len();
        add(page);
        if page.len() > size {
            page.truncate(before);
            break;
        }
    }
    page.push_str(&words(size.saturating_sub(page.len())));
}

fn finish(mut page: String, size: usize) -> Reply {
    const END: &str = "</body></html>";
    page.push_str(&words(size.saturating_sub(page.len() + END.len())));
    page.push_str(END);
    (page, EXPECTED.to_owned())
}
