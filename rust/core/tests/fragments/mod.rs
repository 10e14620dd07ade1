//! Pages assembled from valid and broken fragments, and sizes of their reads.

use proptest::prelude::*;

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
    "<div class='mwai-chatbot-container' data-params='{&quot;window&quot;:1}' data-system='{&quot;botId&quot;:&quot;3&quot;,&quot;restUrl&quot;:&quot;http:\\/\\/x\\/wp-json&quot;}'>", " class=mwai-chatbot-container",
    "<script>var post_id = 6;</script>", "<!--x>y--!>", "<!---!>", "<a b=c/d='e>f'>", "<p a=' x ' b=\" \n\">", "/d='", "<script><!--", "<script><!-- <script", "</script>", "</script>", "--><",
];

/// What foreign content begins and ends at, and what would hide all that follows if it were HTML's.
#[rustfmt::skip]
const FOREIGN: &[&str] = &[
    "<svg>", "</svg>", "<svg/>", "<SVG a=b/>", "<math>", "</math>", "<title>", "<title/>", "</title>", "<style/>", "<style>",
    "</style>", "<script/>", "<script>", "</script>", "<textarea/>", "<noscript/>", "<xmp>", "<iframe/>", "<plaintext/>",
    "<![CDATA[", "]]>", "]", "<![CDATA[<p>]]>", "<![cdata[", "<foreignObject>", "</foreignobject>", "<desc>", "</desc>", "<g>",
    "</g>", "<path d='M0'/>", "<path d=M0/>", "<path / >", "<feComponentTransfer>", "</feComponentTransfer>", "<feColorMatrix a=b/>", "<feFuncR\n>", "</feFuncR>", "<a>", "</a>", "<mi>", "</mi>", "<mo>", "<mtext>", "</mtext>",
    "<mglyph>", "<malignmark/>", "<annotation-xml>", "<annotation-xml encoding=text/html>", "</annotation-xml>",
    "<annotation-xml encoding='application/XHTML+xml'>", "<mrow>", "</mrow>", "<font>", "<font color=red>", "<font SIZE>", "</font>",
    "<p>", "</p>", "<br>", "</br>", "<div>", "</div>", "<span>", "</span>", "<b>", "</b>", "<i>", "</i>", "<img>", "<h1>", "</h2>",
    "<ul>", "<li>", "</li>", "</ul>", "<button>", "</button>", "<section>", "</section>", "<foo>", "</foo>", "<form>", "</form>",
    "<select>", "</select>", "<option>", "<optgroup>", "<input>", "<hr>", "<nobr>", "<object>", "</object>", "<ruby>", "<rt>",
    "<template>", "</template>", "<dl>", "<dd>", "<dt>", "</dl>", "<body>", "</body>", "<head>", "</head>", "<html>", "</html>", "<meta charset=x>", "text", "<u>", "</u>",
    "<div class=wpaicg-chat-shortcode data-nonce=n1 data-post-id=1 data-bot-id=3>", "<g class=wpaicg-chatbox>",
];

/// Tables, which end foreign content in ways of their own.
#[rustfmt::skip]
const TABLES: &[&str] = &[
    "<table>", "</table>", "<tbody>", "</tbody>", "<thead>", "<tr>", "</tr>", "<td>", "</td>", "<th>", "<caption>", "</caption>",
    "<colgroup>", "</colgroup>", "<col>",
];

/// A page of HTML and foreign content.
pub fn foreign_page() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        5 => proptest::sample::select(FOREIGN),
        1 => proptest::sample::select(TABLES),
    ];
    proptest::collection::vec(fragment, 0..30).prop_map(|fragments| fragments.concat().into_bytes())
}

pub fn page() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        12 => proptest::sample::select(FRAGMENTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
    ];
    proptest::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

/// Sizes of reads: shorter than most tags, and longer; none for byte by byte.
pub fn sizes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![1_u8..9, 9_u8..200], 0..6)
}
