//! The states of the WHATWG tokenizer (HTML 13.2.5), and which follows which, as far as the tags
//! and the raw text of a page depend on them.

use super::super::attributes::is_space;

/// A state of the standard's tokenizer, or several that tell tags no differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Data,
    TagOpen,
    EndTagOpen,
    TagName,
    /// Also the standard's self-closing and after-quoted-value states, which tell tags no
    /// differently.
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Quoted(u8),
    Unquoted,
    MarkupDeclaration,
    MarkupDash,
    /// Also a DOCTYPE, which every `>` ends as well.
    BogusComment,
    CommentStart,
    CommentStartDash,
    Comment,
    CommentEndDash,
    CommentEnd,
    CommentEndBang,
    /// So many bytes of `[CDATA[` have been read after `<!`.
    CdataOpen(usize),
    Cdata,
    CdataBracket,
    CdataEnd,
    Plaintext,
    /// Raw text, RCDATA or script data.
    Text,
    TextLess,
    TextEndOpen,
    /// So many bytes of the raw element's name have been read after `</`.
    TextEndName(usize),
    EscapeStart,
    EscapeStartDash,
    Escaped,
    EscapedDash,
    EscapedDashDash,
    /// How much of `script` has been read after `<`; `None` when it is another name.
    DoubleEscapeStart(Option<usize>),
    DoubleEscaped,
    DoubleEscapedDash,
    DoubleEscapedDashDash,
    DoubleEscapedLess,
    DoubleEscapeEnd(Option<usize>),
}

/// What a page is in the middle of.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Data,
    /// What a `<` in data begins is not known yet.
    TagStart,
    Tag,
    /// What `<!` begins is not known yet.
    Declaration,
    Comment,
    Cdata,
    Text,
    /// What may be the end tag of a raw element.
    TextEnd,
    /// A script's escaped text, or plain text to the page's end.
    Script,
}

impl State {
    #[inline]
    pub(super) fn part(self) -> Part {
        match self {
            Self::Data => Part::Data,
            Self::TagOpen | Self::EndTagOpen => Part::TagStart,
            Self::TagName
            | Self::BeforeName
            | Self::Name
            | Self::AfterName
            | Self::BeforeValue
            | Self::Quoted(_)
            | Self::Unquoted => Part::Tag,
            Self::MarkupDeclaration => Part::Declaration,
            Self::MarkupDash
            | Self::BogusComment
            | Self::CommentStart
            | Self::CommentStartDash
            | Self::Comment
            | Self::CommentEndDash
            | Self::CommentEnd
            | Self::CommentEndBang => Part::Comment,
            Self::CdataOpen(_) | Self::Cdata | Self::CdataBracket | Self::CdataEnd => Part::Cdata,
            Self::Text => Part::Text,
            Self::TextLess | Self::TextEndOpen | Self::TextEndName(_) => Part::TextEnd,
            _ => Part::Script,
        }
    }
}

/// 13.2.5.8 and 13.2.5.32 to 13.2.5.40, as far as the end of a tag depends on them; `None` is that
/// end.
pub(super) fn tag_state(state: State, byte: u8) -> Option<State> {
    Some(match (state, byte) {
        (State::Quoted(quote), byte) if byte == quote => State::BeforeName,
        (State::Quoted(_), _) => state,
        (_, b'>') => return None,
        (State::Name | State::AfterName, b'=') => State::BeforeValue,
        (State::BeforeValue, b'"' | b'\'') => State::Quoted(byte),
        (State::Unquoted, b'/') => State::Unquoted,
        (State::BeforeValue, byte) if !is_space(byte) => State::Unquoted,
        (_, b'/') => State::BeforeName,
        (State::TagName | State::Unquoted, byte) if is_space(byte) => State::BeforeName,
        (State::Name, byte) if is_space(byte) => State::AfterName,
        (State::BeforeName | State::AfterName, byte) if !is_space(byte) => State::Name,
        _ => state,
    })
}

/// 13.2.5.41 to 13.2.5.52. The states after a comment's `<` decide nothing that these do not.
pub(super) fn comment_state(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::MarkupDeclaration, b'-') => State::MarkupDash,
        (State::MarkupDash, b'-') => State::CommentStart,
        (State::MarkupDeclaration | State::MarkupDash | State::BogusComment, byte)
            if byte != b'>' =>
        {
            State::BogusComment
        }
        (State::CommentStart, b'-') => State::CommentStartDash,
        (State::CommentStartDash | State::CommentEndDash | State::CommentEnd, b'-') => {
            State::CommentEnd
        }
        (State::Comment | State::CommentEndBang, b'-') => State::CommentEndDash,
        (State::CommentEnd, b'!') => State::CommentEndBang,
        (State::Comment | State::CommentEndDash, _) => State::Comment,
        (_, b'>') => State::Data,
        _ => State::Comment,
    }
}

/// 13.2.5.42, as far as it begins a CDATA section, and 13.2.5.69 to 13.2.5.71.
pub(super) fn cdata_state(state: State, byte: u8) -> State {
    const OPEN: &[u8] = b"[CDATA[";
    match (state, byte) {
        (State::CdataOpen(read), byte) if OPEN.get(read) == Some(&byte) => {
            if read + 1 == OPEN.len() { State::Cdata } else { State::CdataOpen(read + 1) }
        }
        (State::CdataOpen(_), byte) => comment_state(State::BogusComment, byte),
        (State::Cdata, b']') => State::CdataBracket,
        (State::CdataBracket | State::CdataEnd, b']') => State::CdataEnd,
        (State::CdataEnd, b'>') => State::Data,
        _ => State::Cdata,
    }
}

/// 13.2.5.18 to 13.2.5.31, without the end tags, which [`Tokenizer::text`](super::Tokenizer::text) tells. False: the byte
/// is looked at again.
pub(super) fn script_state(state: State, byte: u8) -> (State, bool) {
    let next = match (state, byte) {
        (State::EscapeStart, b'-') => State::EscapeStartDash,
        (State::EscapeStart | State::EscapeStartDash, byte) if byte != b'-' => {
            return (State::Text, false);
        }
        (State::EscapeStartDash | State::EscapedDash | State::EscapedDashDash, b'-') => {
            State::EscapedDashDash
        }
        (State::Escaped, b'-') => State::EscapedDash,
        (State::Escaped | State::EscapedDash | State::EscapedDashDash, b'<') => State::TextLess,
        (State::EscapedDashDash | State::DoubleEscapedDashDash, b'>') => State::Text,
        (State::DoubleEscapeStart(read), byte) if ends_name(byte) => after_script_name(read, true),
        (State::DoubleEscapeStart(read), byte) if byte.is_ascii_alphabetic() => {
            State::DoubleEscapeStart(read_script_name(read, byte))
        }
        (State::DoubleEscapeStart(_), _) => return (State::Escaped, false),
        (State::DoubleEscapedDash | State::DoubleEscapedDashDash, b'-') => {
            State::DoubleEscapedDashDash
        }
        (State::DoubleEscaped, b'-') => State::DoubleEscapedDash,
        (State::DoubleEscaped | State::DoubleEscapedDash | State::DoubleEscapedDashDash, b'<') => {
            State::DoubleEscapedLess
        }
        (State::DoubleEscapedLess, b'/') => State::DoubleEscapeEnd(Some(0)),
        (State::DoubleEscapeEnd(read), byte) if ends_name(byte) => after_script_name(read, false),
        (State::DoubleEscapeEnd(read), byte) if byte.is_ascii_alphabetic() => {
            State::DoubleEscapeEnd(read_script_name(read, byte))
        }
        (State::DoubleEscapedLess | State::DoubleEscapeEnd(_), _) => {
            return (State::DoubleEscaped, false);
        }
        (State::DoubleEscaped | State::DoubleEscapedDash | State::DoubleEscapedDashDash, _) => {
            State::DoubleEscaped
        }
        _ => State::Escaped,
    };
    (next, true)
}

const SCRIPT: &[u8] = b"script";

/// How much of the name `script` has been read, given one more letter.
pub(super) fn read_script_name(read: Option<usize>, byte: u8) -> Option<usize> {
    let read = read?;
    SCRIPT.get(read).filter(|next| byte.eq_ignore_ascii_case(next)).map(|_| read + 1)
}

/// A tag's name in escaped text has ended: `<script` enters doubly escaped text, `</script` leaves
/// it.
fn after_script_name(read: Option<usize>, entering: bool) -> State {
    let is_script = read == Some(SCRIPT.len());
    if is_script == entering { State::DoubleEscaped } else { State::Escaped }
}

pub(super) fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}
