//! Encryption towards a server: how much is asked for, and the client configuration for it.
//!
//! Modes are those of MySQL's `--ssl-mode`. `Preferred` and `Required` encrypt without looking at the
//! certificate, as MySQL's own clients do; only `Verify` protects against somebody in between.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::error::{Error, ErrorKind, Result};

/// How much encryption a connection needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Never encrypt.
    #[default]
    Disabled,
    /// Encrypt if the server offers it.
    Preferred,
    /// Encrypt or fail; the certificate is not looked at.
    Required,
    /// Encrypt, and check certificate and name against the given authorities.
    Verify,
}

impl TlsMode {
    /// Parses a configuration value.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "disabled" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" => Self::Required,
            "verify" => Self::Verify,
            _ => return None,
        })
    }
}

/// A mode with what it needs to be carried out. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    mode: TlsMode,
    config: Option<Arc<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// No encryption.
    pub fn disabled() -> Self {
        Self { mode: TlsMode::Disabled, config: None, server_name: None }
    }

    /// Prepares a mode. `authorities` are PEM certificates, needed for [`TlsMode::Verify`] only;
    /// `server_name` replaces the address's host as the name that a certificate must have.
    pub fn new(mode: TlsMode, authorities: Option<&[u8]>, server_name: Option<&str>) -> Result<Self> {
        let verifier = match mode {
            TlsMode::Disabled => return Ok(Self::disabled()),
            TlsMode::Preferred | TlsMode::Required => None,
            TlsMode::Verify => Some(roots(authorities)?),
        };
        let server_name = server_name.map(parse_name).transpose()?;
        Ok(Self { mode, config: Some(Arc::new(client_config(verifier)?)), server_name })
    }

    /// The mode.
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// Configuration and name for a handshake with `host`; `None` when encryption is disabled.
    pub(super) fn for_host(&self, host: &str) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>> {
        let Some(config) = &self.config else { return Ok(None) };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => parse_name(host)?,
        };
        Ok(Some((config.clone(), name)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.mode)
    }
}

fn parse_name(host: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| Error::new(ErrorKind::Other, format!("`{host}` cannot be the name in a certificate")))
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore> {
    let problem = |text: String| Error::new(ErrorKind::Other, text);
    let pem = authorities
        .ok_or_else(|| problem("TLS mode `verify` needs a file of certificate authorities".into()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|e| problem(format!("cannot read certificate authorities: {e}")))?;
        roots.add(certificate).map_err(|e| problem(format!("unusable certificate authority: {e}")))?;
    }
    if roots.is_empty() {
        return Err(problem("the file of certificate authorities has none".into()));
    }
    Ok(roots)
}

fn client_config(roots: Option<RootCertStore>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Other, format!("no usable TLS version: {e}")))?;
    Ok(match roots {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
            .with_no_client_auth(),
    })
}

/// Accepts every certificate, for the modes that encrypt without authenticating the server. Signatures of
/// the handshake are checked all the same.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_needs_readable_authorities() {
        assert!(Tls::new(TlsMode::Verify, None, None).is_err());
        assert!(Tls::new(TlsMode::Verify, Some(b"no pem"), None).is_err());
        let authority = rcgen::generate_simple_self_signed(vec!["db.test".into()]).unwrap();
        let tls = Tls::new(TlsMode::Verify, Some(authority.cert.pem().as_bytes()), None).unwrap();
        assert!(tls.for_host("127.0.0.1").unwrap().is_some());
        assert!(tls.for_host("not a name").is_err());
    }

    #[test]
    fn disabled_asks_for_nothing() {
        let tls = Tls::new(TlsMode::Disabled, None, None).unwrap();
        assert!(tls.for_host("127.0.0.1").unwrap().is_none());
        assert_eq!(TlsMode::parse("VERIFY"), Some(TlsMode::Verify));
        assert_eq!(TlsMode::parse("maybe"), None);
    }
}
