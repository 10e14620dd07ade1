//! Names of elements as numbers, and the sets of them that the scanner looks for and that the tree
//! construction knows (HTML 13.2.4.2 and 13.2.6.4).

use super::attributes::is_space;

const ONES: u64 = 0x0101_0101_0101_0101;

/// How many bytes, of those that a name can begin with, stand before its end: 8 when none ends it.
#[inline]
fn length_in(bytes: [u8; 8]) -> usize {
    // Those that are no letters: what can end a name, and few others.
    let mut others = !u64::from_le_bytes(bytes) & (ONES * 0x40);
    while others != 0 {
        let length = (others.trailing_zeros() / 8) as usize;
        if ends_name(bytes[length]) {
            return length;
        }
        others &= others - 1;
    }
    8
}

const fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}

/// A name in lower case, or its first 15 bytes, in which no two names are the same that matter. The
/// byte that is left can hold a mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Name(u128);

impl Name {
    const LENGTH: usize = 15;
    const MARK: u128 = 1 << (8 * Self::LENGTH);
    const LOWER: u128 = u128::from_le_bytes([0x20; 16]);

    pub(super) const fn of(name: &str) -> Self {
        Self::read(name.as_bytes())
    }

    /// The name that a tag's bytes begin with.
    pub(super) fn at(bytes: &[u8]) -> Self {
        Self::read(bytes)
    }

    /// The name that a tag's bytes begin with, and how many of them it is.
    #[inline]
    pub(super) fn scan(bytes: &[u8]) -> (Self, usize) {
        let Some(start) = bytes.first_chunk() else { return Self::scan_bytewise(bytes) };
        let length = length_in(*start);
        if length == 8 {
            return Self::scan_long(bytes);
        }
        let lower = u64::from_le_bytes(*start) | (ONES * 0x20);
        (Self((lower & ((1 << (8 * length)) - 1)).into()), length)
    }

    /// Scans a name of which is known that its first 8 bytes do not end it.
    fn scan_long(bytes: &[u8]) -> (Self, usize) {
        let (Some(start), Some(second)) = (bytes.first_chunk(), bytes[8..].first_chunk()) else {
            return Self::scan_bytewise(bytes);
        };
        let lower = u128::from_le_bytes(*start) | Self::LOWER;
        let length = 8 + length_in(*second);
        if length == 16 {
            return (Self(lower & (Self::MARK - 1)), 16 + length_bytewise(&bytes[16..]));
        }
        (Self(lower & ((1 << (8 * length)) - 1)), length)
    }

    fn scan_bytewise(bytes: &[u8]) -> (Self, usize) {
        (Self::read(bytes), length_bytewise(bytes))
    }

    /// Reads a name byte by byte.
    const fn read(bytes: &[u8]) -> Self {
        let (mut name, mut at) = (0, 0);
        while at < bytes.len() && at < Self::LENGTH && !ends_name(bytes[at]) {
            name |= ((bytes[at] | 0x20) as u128) << (8 * at);
            at += 1;
        }
        Self(name)
    }

    /// The name with the mark.
    pub(super) fn marked(self) -> Self {
        Self(self.0 | Self::MARK)
    }

    /// The name without the mark, and whether it had that.
    pub(super) fn without_mark(self) -> (Self, bool) {
        (Self(self.0 & !Self::MARK), self.0 & Self::MARK != 0)
    }

    #[inline]
    pub(super) fn is(self, name: &str) -> bool {
        self == Self::of(name)
    }

    /// A place in a [`Table`], by all of the name's bytes.
    #[allow(clippy::cast_possible_truncation)] // its halves, and few bits
    const fn slot(self) -> usize {
        let folded = (self.0 as u64) ^ (self.0 >> 64) as u64;
        (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SLOT_BITS)) as usize
    }

    #[inline]
    pub(super) fn is_in_table(self, table: &Table) -> bool {
        let mut slot = self.slot();
        while table.0[slot] != Self(0) {
            if table.0[slot] == self {
                return true;
            }
            slot = (slot + 1) % SLOTS;
        }
        false
    }

    pub(super) fn is_in<const N: usize>(self, names: &Names<N>) -> bool {
        names.0.contains(&self)
    }
}

fn length_bytewise(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| ends_name(byte)).unwrap_or(bytes.len())
}

/// A set of names.
pub(super) struct Names<const N: usize>([Name; N]);

const fn names<const N: usize>(list: [&str; N]) -> Names<N> {
    let mut names = [Name(0); N];
    let mut at = 0;
    while at < N {
        names[at] = Name::of(list[at]);
        at += 1;
    }
    Names(names)
}

const SLOT_BITS: u32 = 8;
const SLOTS: usize = 1 << SLOT_BITS;

/// A set of names in which one is found at once.
pub(super) struct Table([Name; SLOTS]);

const fn table<const N: usize, const M: usize>(names: &Names<N>, more: [&str; M]) -> Table {
    let mut table = [Name(0); SLOTS];
    let mut at = 0;
    while at < N + more.len() {
        let name = if at < N { names.0[at] } else { Name::of(more[at - N]) };
        let mut slot = name.slot();
        while table[slot].0 != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = name;
        at += 1;
    }
    Table(table)
}

/// Start tags that are looked at wherever they stand: they switch the tokenizer, hide what is in
/// them, or say something of the page.
pub(super) static MATTERING: Table = table(&MATTERING_NAMES, []);

/// Start tags in foreign content of which the name does not tell all, or tells that it ends.
pub(super) static LOOKED_AT: Table = table(&BREAKOUT, ["font", "annotation-xml"]);

macro_rules! sets {
    ($($(#[$doc:meta])* $set:ident = $($name:literal)+;)+) => {
        $(
            $(#[$doc])*
            pub(super) const $set: Names<{ [$($name),+].len() }> = names([$($name),+]);
        )+
    };
}

sets! {
    MATTERING_NAMES = "form" "iframe" "input" "link" "meta" "noembed" "noframes" "noscript" "plaintext"
        "script" "style" "template" "textarea" "title" "xmp";

    /// Start tags that foreign content ends at (13.2.6.5).
    BREAKOUT = "b" "big" "blockquote" "body" "br" "center" "code" "dd" "div" "dl" "dt" "em" "embed"
        "h1" "h2" "h3" "h4" "h5" "h6" "head" "hr" "i" "img" "li" "listing" "menu" "meta" "nobr" "ol"
        "p" "pre" "ruby" "s" "small" "span" "strong" "strike" "sub" "sup" "table" "tt" "u" "ul"
        "var";
    MATHML_TEXT_POINTS = "mi" "mo" "mn" "ms" "mtext";
    SVG_HTML_POINTS = "foreignobject" "desc" "title";

    /// Start tags after which nothing is open, once a raw element's text has ended.
    NEVER_OPEN = "area" "base" "basefont" "bgsound" "br" "embed" "hr" "iframe" "image" "img" "input"
        "keygen" "link" "meta" "noembed" "noframes" "noscript" "param" "script" "source" "style"
        "textarea" "title" "track" "wbr" "xmp";
    /// Those of them before which formatting elements are opened anew.
    IN_TEXT = "area" "br" "embed" "image" "img" "input" "keygen" "wbr" "xmp";
    /// Start tags that are none inside of a body.
    MISPLACED = "body" "caption" "col" "colgroup" "frame" "frameset" "head" "html" "tbody" "td"
        "tfoot" "th" "thead" "tr";
    /// Start tags that end a paragraph.
    AFTER_P = "address" "article" "aside" "blockquote" "center" "details" "dialog" "dir" "div" "dl"
        "fieldset" "figcaption" "figure" "footer" "h1" "h2" "h3" "h4" "h5" "h6" "header" "hgroup"
        "hr" "listing" "main" "menu" "nav" "ol" "p" "pre" "search" "section" "summary" "table" "ul"
        "xmp";
    /// End tags that end whatever is open inside of their elements.
    BLOCKS = "address" "article" "aside" "blockquote" "button" "center" "details" "dialog" "dir"
        "div" "dl" "fieldset" "figcaption" "figure" "footer" "header" "hgroup" "listing" "main"
        "menu" "nav" "ol" "pre" "search" "section" "select" "summary" "ul";
    FORMATTING = "a" "b" "big" "code" "em" "font" "i" "nobr" "s" "small" "strike" "strong" "tt" "u";
    HEADINGS = "h1" "h2" "h3" "h4" "h5" "h6";
    OBJECTS = "applet" "marquee" "object";
    IMPLIED_END = "dd" "dt" "li" "option" "optgroup" "p" "rb" "rp" "rt" "rtc";
    THOROUGHLY_IMPLIED_END = "dd" "dt" "li" "option" "optgroup" "p" "rb" "rp" "rt" "rtc" "caption"
        "colgroup" "tbody" "td" "tfoot" "th" "thead" "tr";
    SPECIAL = "address" "applet" "article" "aside" "blockquote" "body" "button" "caption" "center"
        "colgroup" "dd" "details" "dir" "div" "dl" "dt" "fieldset" "figcaption" "figure" "footer"
        "form" "h1" "h2" "h3" "h4" "h5" "h6" "header" "hgroup" "html" "li" "listing" "main"
        "marquee" "menu" "nav" "object" "ol" "p" "pre" "section" "select" "summary" "table" "tbody"
        "td" "template" "tfoot" "th" "thead" "tr" "ul";
    SCOPE = "applet" "caption" "html" "marquee" "object" "select" "table" "td" "template" "th";
    TABLE_SCOPE = "html" "table" "template";
    TABLE_PARTS = "caption" "col" "colgroup" "tbody" "td" "tfoot" "th" "thead" "tr";
    TABLE_BODIES = "tbody" "tfoot" "thead";
    IN_TABLE_BODY = "html" "tbody" "template" "tfoot" "thead";
    IN_ROW = "html" "template" "tr";
    ROW = "tr";
    CELLS = "td" "th";
    LI = "li";
    TERMS = "dd" "dt";
    RUBY_PARTS = "rb" "rp" "rt" "rtc";
}
