//! Texts that were told in, how much of a whole text is new out. Nothing is kept of them but their
//! length and a fingerprint.

/// A text that was told, in however many pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Said {
    length: usize,
    fingerprint: Fingerprint,
}

impl Said {
    /// Goes on with the text.
    #[inline]
    pub(super) fn add(&mut self, text: &str) {
        self.length += text.len();
        self.fingerprint = self.fingerprint.with(text);
    }

    /// The text that is told at once.
    pub(super) fn of(text: &str) -> Self {
        let mut said = Self::default();
        said.add(text);
        said
    }

    /// The bytes told.
    pub(super) fn length(self) -> usize {
        self.length
    }

    /// What `whole` says behind what was told; `None` when it does not begin with that.
    pub(super) fn rest(self, whole: &str) -> Option<&str> {
        let (told, rest) = whole.split_at_checked(self.length)?;
        (Self::of(told) == self).then_some(rest)
    }
}

/// A text that was told, in however many pieces, and may be told again without the blanks at its
/// ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TrimmedSaid {
    /// All but the blanks at the beginning.
    all: Said,
    /// The same without those at the end.
    trimmed: Said,
}

impl TrimmedSaid {
    /// The blanks that PHP's `trim` takes off.
    const BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\0', '\x0b'];

    /// The text that is told at once.
    pub(super) fn of(text: &str) -> Self {
        let mut said = Self::default();
        said.add(text);
        said
    }

    /// Goes on with the text.
    pub(super) fn add(&mut self, text: &str) {
        let is_begun = self.all.length > 0;
        let text = if is_begun { text } else { text.trim_start_matches(Self::BLANKS) };
        let filled = text.trim_end_matches(Self::BLANKS);
        if !filled.is_empty() {
            self.all.add(filled);
            self.trimmed = self.all;
        }
        self.all.add(&text[filled.len()..]);
    }

    /// Whether nothing was told but blanks.
    pub(super) fn is_blank(self) -> bool {
        self.trimmed.length == 0
    }

    /// What `whole` says behind what was told; `None` when it does not begin with that.
    pub(super) fn rest(self, whole: &str) -> Option<&str> {
        let filled = if self.is_blank() { whole } else { whole.trim_start_matches(Self::BLANKS) };
        self.all.rest(filled).or_else(|| self.trimmed.rest(filled))
    }
}

/// A number that tells texts apart (FNV-1a).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// The fingerprint of this text alone.
    pub(crate) fn of(text: &str) -> Self {
        Self::default().with(text)
    }

    /// The fingerprint of the text so far and of `text` behind it.
    #[inline]
    fn with(self, text: &str) -> Self {
        let add = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(text.bytes().fold(self.0, add))
    }
}
