//! Whom to trust, as TLS wants it told.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
};

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
        let provider = Arc::new(provider());
        let roots = roots.into_iter().map(CertificateDer::from).collect();
        let (is_12, is_13) = versions;
        let versions: Vec<&'static SupportedProtocolVersion> =
            [is_13.then_some(&rustls::version::TLS13), is_12.then_some(&rustls::version::TLS12)]
                .into_iter()
                .flatten()
                .collect();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|_| BadTrust::Versions)?;
        let builder = match Verifier::new(roots, provider) {
            Some(verifier) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            None => builder.with_root_certificates(RootCertStore::empty()),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").finish_non_exhaustive()
    }
}

/// Verifies as rustls does, and trusts besides the server whose own certificate is one of the
/// authorities': it has signed that itself, as `openssl req -x509` makes one, and as OpenSSL trusts.
#[derive(Debug)]
struct Verifier {
    roots: Vec<CertificateDer<'static>>,
    common: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    /// `None` without any authority.
    fn new(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Option<Self> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let common = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
        Some(Self { roots, common: common.build().ok()? })
    }
}

/// Whether a server was refused because its certificate is an authority's.
pub(crate) fn is_an_authoritys(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
        return false;
    };
    cause.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.common.verify_server_cert(own, others, name, ocsp, now);
        // Its dates come first, and are right then.
        if !verified.as_ref().is_err_and(is_an_authoritys) || !self.roots.contains(own) {
            return verified;
        }
        verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.common.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.common.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.common.supported_verify_schemes()
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
