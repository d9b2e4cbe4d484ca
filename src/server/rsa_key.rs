//! The key pair with which `caching_sha2_password` sends a whole password over an unencrypted connection.
//!
//! Made once, when the first client needs it or when the server starts, whichever the owner chooses; slow work runs
//! on a blocking thread. See "caching_sha2_password information" in the protocol documentation.

use std::sync::Arc;

use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::rand_core::OsRng;
use tokio::sync::{OnceCell, Semaphore};

use crate::wire::auth::rsa::decrypt_password;
use crate::wire::connect::Salt;

/// Bits of a key made here, as MySQL makes them.
const KEY_BITS: usize = 2048;

/// Decryptions at once: each takes milliseconds of CPU, and strangers can ask for them.
const DECRYPTIONS_MAX: usize = 2;

/// A key pair, made when it is first needed.
#[derive(Debug)]
pub struct RsaKey {
    pair: OnceCell<Option<Arc<Pair>>>,
    permits: Semaphore,
}

#[derive(Debug)]
struct Pair {
    private: RsaPrivateKey,
    public_pem: String,
}

impl RsaKey {
    /// A key that is made on first use.
    pub fn lazy() -> Self {
        Self { pair: OnceCell::new(), permits: Semaphore::new(DECRYPTIONS_MAX) }
    }

    /// A key in PKCS #8 PEM.
    ///
    /// # Errors
    /// When the text is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let private = RsaPrivateKey::from_pkcs8_pem(pem).map_err(|error| error.to_string())?;
        let pair = Pair::new(private).ok_or("the public key cannot be written as PEM")?;
        let pair = OnceCell::new_with(Some(Some(Arc::new(pair))));
        Ok(Self { pair, permits: Semaphore::new(DECRYPTIONS_MAX) })
    }

    /// The public key in PEM; `None` when no key could be made.
    pub async fn public_pem(&self) -> Option<String> {
        Some(self.pair().await?.public_pem.clone())
    }

    /// The password that a client encrypted for this key, mixed with the salt; `None` when it did not.
    pub async fn decrypt(&self, ciphertext: Vec<u8>, salt: Salt) -> Option<Vec<u8>> {
        let pair = self.pair().await?;
        let _permit = self.permits.acquire().await.ok()?;
        tokio::task::spawn_blocking(move || decrypt_password(&mut OsRng, &pair.private, &ciphertext, &salt))
            .await
            .ok()?
    }

    async fn pair(&self) -> Option<Arc<Pair>> {
        let make = || async {
            let made = tokio::task::spawn_blocking(Pair::generate).await.ok().flatten();
            if made.is_none() {
                tracing::error!("no RSA key could be made: passwords need TLS or the unix socket");
            }
            made.map(Arc::new)
        };
        self.pair.get_or_init(make).await.clone()
    }
}

impl Pair {
    fn generate() -> Option<Self> {
        Self::new(RsaPrivateKey::new(&mut OsRng, KEY_BITS).ok()?)
    }

    fn new(private: RsaPrivateKey) -> Option<Self> {
        let public_pem = private.to_public_key().to_public_key_pem(LineEnding::LF).ok()?;
        Some(Self { private, public_pem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::auth::rsa::encrypt_password;

    #[tokio::test]
    async fn decrypts_what_its_public_key_encrypted() {
        let key = RsaKey::lazy();
        let pem = key.public_pem().await.unwrap();
        let salt = [7; 20];
        let encrypted = encrypt_password(&mut OsRng, pem.as_bytes(), b"secret", &salt).unwrap();
        assert_eq!(key.decrypt(encrypted.clone(), salt).await.as_deref(), Some(&b"secret"[..]));
        assert_eq!(key.decrypt(encrypted[1..].to_vec(), salt).await, None);
        assert_eq!(key.decrypt(Vec::new(), salt).await, None);
    }

    #[test]
    fn refuses_text_that_is_no_key() {
        assert!(RsaKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }
}
