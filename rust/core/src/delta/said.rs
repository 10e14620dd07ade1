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
