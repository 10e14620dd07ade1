//! Whom to trust, as TLS wants it told.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Whom to trust over TLS, and from which version on.
#[derive(Clone)]
pub struct Trust(pub(crate) Arc<ClientConfig>);

/// What makes no trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTrust {
    /// No version of TLS is left.
    Versions,
}

impl Trust {
    /// Trusts the authorities whose certificates these are, in DER; what is none is passed over.
    /// Without any nobody is trusted. `versions`: whether TLS 1.2 and 1.3 may be spoken.
    ///
    /// # Errors
    /// Where no version is left.
    pub fn new(
        roots: impl IntoIterator<Item = Vec<u8>>,
        versions: (bool, bool),
    ) -> Result<Self, BadTrust> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.into_iter().map(CertificateDer::from));
        let (is_12, is_13) = versions;
        let versions: Vec<&'static SupportedProtocolVersion> =
            [is_13.then_some(&rustls::version::TLS13), is_12.then_some(&rustls::version::TLS12)]
                .into_iter()
                .flatten()
                .collect();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&versions)
            .map_err(|_| BadTrust::Versions)?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").finish_non_exhaustive()
    }
}

#[cfg(feature = "aws-lc-rs")]
fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(not(feature = "aws-lc-rs"))]
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_must_be_left() {
        assert!(Trust::new([], (true, true)).is_ok());
        assert_eq!(Trust::new([], (false, false)).unwrap_err(), BadTrust::Versions);
    }

    #[test]
    fn what_is_no_certificate_is_passed_over() {
        assert!(Trust::new([b"none".to_vec()], (false, true)).is_ok());
    }
}
