//! What a fleet is told once, for all of its streams.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use http::{HeaderValue, Uri};

use crate::kernel;
use crate::rows::Keep;
use crate::tls::Trust;

/// Bytes of a reply's head at most, and of one read.
pub(crate) const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Fields of a reply's head at most.
pub(crate) const MAX_FIELDS: usize = 256;

/// The settings of a fleet.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that read and decode; at least one.
    pub threads: usize,
    /// What is kept of the replies besides counts.
    pub keep: Keep,
    /// Rows that wait to be taken at most, but for those of the read that passes it.
    pub max_rows: usize,
    /// Where the time of a read is taken; `None` for the best that the system knows.
    pub stamps: Option<Stamps>,
    /// How long a busy thread may rest before it reads again; `None` for what suits its stamps.
    pub coalesce: Option<Duration>,
    /// The clocks of a stream.
    pub timeouts: Timeouts,
    /// Decoded bytes of one reply at most; `None` for no limit.
    pub max_reply_bytes: Option<u64>,
    /// The proxy of all streams.
    pub proxy: Option<Proxy>,
    /// Whom to trust over TLS; `None` for nobody until [`Fleet::trust`](crate::Fleet::trust) says.
    pub trust: Option<Trust>,
}

/// How long a thread may rest where the kernel takes the times: no rest makes those later, but what
/// comes of one stream meanwhile has one time.
const COALESCE: Duration = Duration::from_millis(1);

/// How long it may rest where it takes the times itself.
const COALESCE_BEFORE_STAMP: Duration = Duration::from_micros(100);

impl Settings {
    /// How long a busy thread may rest before it reads again, whose times are these.
    pub(crate) fn coalesce(&self, stamps: Stamps) -> Duration {
        self.coalesce.unwrap_or(match stamps {
            Stamps::Kernel => COALESCE,
            Stamps::Read => COALESCE_BEFORE_STAMP,
        })
    }
}

/// Where the time of a read is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stamps {
    /// Behind the read, in the thread.
    Read,
    /// In the kernel, when the packet came in. Linux alone has them.
    Kernel,
}

impl Stamps {
    /// Has the times be taken that are asked for, or the best there are, as long as what is
    /// returned with them is held.
    ///
    /// # Errors
    /// `Unsupported` where the kernel is asked for times and knows none; else the system's.
    pub(crate) fn begin(asked: Option<Self>) -> io::Result<(Self, Option<OwnedFd>)> {
        Self::begin_with(asked, kernel::turned_on)
    }

    /// The kernel is asked at most once: it has to make a socket for it.
    fn begin_with<T>(
        asked: Option<Self>,
        turn_on: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(Self, Option<T>)> {
        if asked == Some(Self::Read) {
            return Ok((Self::Read, None));
        }
        match turn_on() {
            Ok(held) => Ok((Self::Kernel, Some(held))),
            Err(_) if asked.is_none() => Ok((Self::Read, None)),
            Err(error) => Err(error),
        }
    }
}

/// The clocks of a stream; `None` turns one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timeouts {
    /// For the name, TCP, the way through a proxy and TLS.
    pub connect: Option<Duration>,
    /// From the request's last byte to the end of the reply's head.
    pub first_byte: Option<Duration>,
    /// Without progress within a reply.
    pub idle: Option<Duration>,
    /// For all of it.
    pub total: Option<Duration>,
}

/// A proxy that speaks HTTP.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its address: scheme `http` or `https`, host and port.
    pub uri: Uri,
    /// The header by which it knows its user, marked as sensitive.
    pub authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy at `url`, which knows its user by the header `authorization`; `None` where one of
    /// the two cannot be sent.
    pub fn new(url: &str, authorization: Option<&[u8]>) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authorization = match authorization {
            None => None,
            Some(value) => {
                let mut value = HeaderValue::from_bytes(value).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        uri.host().is_some().then_some(Self { uri, authorization })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_times_are_those_that_the_kernel_takes_when_asked() {
        let unknown = || Err::<(), _>(io::ErrorKind::Unsupported.into());
        assert_eq!(Stamps::begin_with(None, || Ok(())).unwrap(), (Stamps::Kernel, Some(())));
        assert_eq!(Stamps::begin_with(None, unknown).unwrap(), (Stamps::Read, None));
        let refused = Stamps::begin_with(Some(Stamps::Kernel), unknown).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        let full = || Err::<(), _>(io::Error::from_raw_os_error(24));
        let refused = Stamps::begin_with(Some(Stamps::Kernel), full).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(24));
    }

    #[test]
    fn who_takes_the_times_itself_does_not_ask_the_kernel() {
        let unasked = || -> io::Result<()> { unreachable!() };
        assert_eq!(Stamps::begin_with(Some(Stamps::Read), unasked).unwrap(), (Stamps::Read, None));
    }
}
