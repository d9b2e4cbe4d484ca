//! What a client's TLS session is made with: a certificate from files, or one made at start.
//!
//! A self-signed certificate protects against listeners, not against an active attacker, exactly as the one that
//! MySQL makes for itself.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// TLS 1.2 and 1.3 with a certificate chain and key in PEM files.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn from_files(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{}: {error}", certificate.display()));
    let chain = chain?;
    if chain.is_empty() {
        return Err(format!("{}: no certificate in this file", certificate.display()));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    build(chain, key_der).map_err(|error| format!("{}: {error}", key.display()))
}

/// The same with a fresh certificate that nobody else has signed.
///
/// # Errors
/// When no key can be made, which means that the system has no randomness.
pub fn self_signed() -> Result<Arc<ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .map_err(|error| format!("no self-signed certificate: {error}"))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    build(vec![made.cert.der().clone()], key).map_err(|error| error.to_string())
}

fn build(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_its_own_certificate() {
        assert!(self_signed().is_ok());
    }

    #[test]
    fn reads_pem_files_and_names_a_bad_one() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert!(from_files(&certificate, &key).is_ok());
        assert!(from_files(&certificate, &certificate).unwrap_err().contains("cert.pem"));
        assert!(from_files(&key, &key).unwrap_err().contains("key.pem"));
        assert!(from_files(&dir.path().join("none.pem"), &key).unwrap_err().contains("none.pem"));
    }
}
