//! Why a stream has no whole reply: facts, told apart by what the libraries' errors hold. The words
//! for them are not made here.

use std::error::Error;
use std::{fmt, io};

use rustls::{AlertDescription, CertificateError};

use crate::tls::is_an_authoritys;

/// A clock of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Name, TCP, proxy and TLS.
    Connect,
    /// From the request's last byte to the end of the reply's head.
    FirstByte,
    /// Without progress within a reply.
    Idle,
    /// All of it.
    Total,
}

impl Phase {
    /// The clock's name, e.g. `first byte`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstByte => "first byte",
            Self::Idle => "idle",
            Self::Total => "total",
        }
    }
}

/// Why a stream has no whole reply. `proxy` says that it happened between this side and the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A clock ran out.
    Timeout(Phase),
    /// The host's name was not found.
    Name {
        /// Whether it is the proxy's.
        proxy: bool,
    },
    /// The host could not be reached.
    Unreachable {
        /// Whether it is the proxy.
        proxy: bool,
        /// The system's number for the reason, where it gave one.
        errno: Option<i32>,
    },
    /// TLS failed.
    Tls {
        /// Whether it failed with the proxy.
        proxy: bool,
        /// The reason, in a few words.
        reason: String,
        /// Whether nobody who is trusted has issued the certificate.
        is_distrusted: bool,
    },
    /// The proxy refused to connect, with this status.
    Refused(u16),
    /// The proxy did not answer when it was asked to connect.
    NoTunnel {
        /// Whether it broke off, and did not answer with what is no HTTP.
        is_broken: bool,
    },
    /// What answered is no HTTP.
    NoHttp,
    /// The reply's head is larger than the limit.
    Head,
    /// Too many heads came that are no reply's.
    InterimHeads,
    /// The connection broke before a reply came.
    BrokenBefore,
    /// The reply broke off.
    Broken,
    /// The status, or a header, says that no answer follows: the head tells which.
    NoAnswer,
    /// The body is in a coding that cannot be undone: its name.
    UnknownCoding(String),
    /// The body is in several codings at once.
    Codings,
    /// The body is not in the coding that the head names.
    OtherCoding,
    /// The body's coding makes no sense somewhere in it.
    BadCoding,
    /// The body's coding has not come to its end where the body does.
    CutCoding,
    /// The reply is larger than the limit.
    TooLarge,
    /// Our own fault.
    Panicked,
}

impl Fault {
    /// The fault's name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Name { .. } => "name",
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::Refused(_) => "refused",
            Self::NoTunnel { is_broken: true } => "tunnel_broken",
            Self::NoTunnel { is_broken: false } => "tunnel_no_http",
            Self::NoHttp => "no_http",
            Self::Head => "head",
            Self::InterimHeads => "interim_heads",
            Self::BrokenBefore => "broken_before",
            Self::Broken => "broken",
            Self::NoAnswer => "no_answer",
            Self::UnknownCoding(_) => "unknown_coding",
            Self::Codings => "codings",
            Self::OtherCoding => "other_coding",
            Self::BadCoding => "bad_coding",
            Self::CutCoding => "cut_coding",
            Self::TooLarge => "too_large",
            Self::Panicked => "panicked",
        }
    }

    /// The fault of a request for which no head came.
    pub(crate) fn of_request(error: &hyper_util::client::legacy::Error) -> Self {
        if let Some(connecting) = find::<ConnectFault>(error) {
            return connecting.0.clone();
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::of_tls(tls, false);
        }
        if error.is_connect() {
            return Self::of_connecting(error, false);
        }
        find::<hyper::Error>(error).map_or(Self::BrokenBefore, Self::of_head)
    }

    /// The fault of a head that was not understood, or did not come.
    pub(crate) fn of_head(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::Head
        } else if error.is_parse() {
            Self::NoHttp
        } else {
            Self::BrokenBefore
        }
    }

    /// The fault of a connection that was not made.
    pub(crate) fn of_connecting(error: &(dyn Error + 'static), proxy: bool) -> Self {
        if find::<NameNotFound>(error).is_some() {
            return Self::Name { proxy };
        }
        let errors = chain(error).filter_map(|link| link.downcast_ref::<io::Error>());
        Self::Unreachable { proxy, errno: errors.filter_map(number_of).last() }
    }

    /// The fault of a handshake of TLS, or of a connection that broke in it.
    pub(crate) fn of_handshake(error: &io::Error, proxy: bool) -> Self {
        match find::<rustls::Error>(error) {
            Some(tls) => Self::of_tls(tls, proxy),
            None => Self::of_connecting(error, proxy),
        }
    }

    fn of_tls(error: &rustls::Error, proxy: bool) -> Self {
        let (reason, is_distrusted) = reason_of(error);
        Self::Tls { proxy, reason, is_distrusted }
    }
}

/// The system's number of an error; of an address that was given up for another, the same as if
/// the system had done so.
fn number_of(error: &io::Error) -> Option<i32> {
    let is_late = error.kind() == io::ErrorKind::TimedOut;
    error.raw_os_error().or(is_late.then_some(nix::errno::Errno::ETIMEDOUT as i32))
}

/// The reason for which TLS failed, in a few words without a name, and whether it is that the
/// certificate's issuer is not trusted.
fn reason_of(error: &rustls::Error) -> (String, bool) {
    let reason = match error {
        error if is_an_authoritys(error) => return distrusted(),
        rustls::Error::InvalidCertificate(certificate) => {
            return reason_of_certificate(certificate);
        }
        rustls::Error::AlertReceived(alert) => {
            return (format!("the other side's alert {}", words_of(*alert)), false);
        }
        rustls::Error::InvalidMessage(_) => "what answered is no TLS",
        rustls::Error::PeerIncompatible(_) => "no version or cipher in common",
        rustls::Error::NoCertificatesPresented => "no certificate came",
        _ => "handshake failed",
    };
    (reason.to_owned(), false)
}

fn reason_of_certificate(error: &CertificateError) -> (String, bool) {
    let reason = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not yet valid"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate is not valid for the host's name"
        }
        CertificateError::UnknownIssuer => return distrusted(),
        CertificateError::Revoked => "certificate is revoked",
        CertificateError::BadEncoding => "certificate makes no sense",
        CertificateError::BadSignature => "certificate has a bad signature",
        _ => "certificate is not valid",
    };
    (reason.to_owned(), false)
}

fn distrusted() -> (String, bool) {
    ("the certificate's issuer is not trusted".to_owned(), true)
}

/// An alert's name in words: `HandshakeFailure` is `handshake failure`.
fn words_of(alert: AlertDescription) -> String {
    let mut words = String::new();
    for character in format!("{alert:?}").chars() {
        if character.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(character.to_ascii_lowercase());
    }
    words
}

/// The host's name was not found.
#[derive(Debug)]
pub(crate) struct NameNotFound;

impl fmt::Display for NameNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host's name was not found")
    }
}

impl Error for NameNotFound {}

/// A fault on the way to a connection, as the connector hands it to the pool.
#[derive(Debug)]
pub(crate) struct ConnectFault(pub(crate) Fault);

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Error for ConnectFault {}

/// Links of a chain that are looked at: more than any library makes.
const LINKS: usize = 16;

/// The first error of this type among an error and its causes.
fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    chain(error).find_map(|link| link.downcast_ref::<E>())
}

/// An error and its causes. What an `io::Error` was made of is none of its sources.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let next = |link: &&'e (dyn Error + 'static)| {
        let link: &'e (dyn Error + 'static) = *link;
        match link.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => link.source(),
        }
    };
    std::iter::successors(Some(error), next).take(LINKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_within_an_io_error_is_found() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::new(io::ErrorKind::InvalidData, tls);
        let reason = "the certificate's issuer is not trusted".to_owned();
        let fault = Fault::Tls { proxy: true, reason, is_distrusted: true };
        assert_eq!(Fault::of_handshake(&error, true), fault);
    }

    #[test]
    fn the_systems_number_is_told() {
        let error = io::Error::other(io::Error::from_raw_os_error(111));
        let fault = Fault::Unreachable { proxy: false, errno: Some(111) };
        assert_eq!(Fault::of_connecting(&error, false), fault);
        assert_eq!(Fault::of_handshake(&error, false), fault);
    }

    #[test]
    fn a_name_that_is_not_found() {
        let error = io::Error::other(NameNotFound);
        assert_eq!(Fault::of_connecting(&error, true), Fault::Name { proxy: true });
    }

    #[test]
    fn alerts_have_words() {
        assert_eq!(words_of(AlertDescription::HandshakeFailure), "handshake failure");
        assert_eq!(words_of(AlertDescription::UnknownCA), "unknown c a");
    }
}
