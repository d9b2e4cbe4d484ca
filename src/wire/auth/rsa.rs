//! RSA encryption of a password, for `caching_sha2_password` over connections that others can read.
//!
//! OAEP with SHA-1, as OpenSSL's default that MySQL uses. Keys travel as PEM (`BEGIN PUBLIC KEY`).

use rsa::pkcs8::DecodePublicKey as _;
use rsa::rand_core::CryptoRngCore;
use rsa::traits::PublicKeyParts as _;
use rsa::{Oaep, RsaPrivateKey, RsaPublicKey};
use rsa_sha1::Sha1;

use super::caching_sha2_password::{mask_password, unmask_password};
use crate::wire::connect::Salt;
use crate::wire::reader::Malformed;

/// The client's side: the password, encrypted for whoever has the private key. Fails when the server's key is none,
/// or too short for the password.
pub fn encrypt_password(
    rng: &mut impl CryptoRngCore,
    public_key_pem: &[u8],
    password: &[u8],
    salt: &Salt,
) -> Result<Vec<u8>, Malformed> {
    let pem = std::str::from_utf8(public_key_pem).map_err(|_| BAD_KEY)?;
    // The crate refuses keys of more than 4,096 bits.
    let key = RsaPublicKey::from_public_key_pem(pem.trim_end_matches('\0')).map_err(|_| BAD_KEY)?;
    key.encrypt(rng, Oaep::new::<Sha1>(), &mask_password(password, salt)).map_err(|_| BAD_KEY)
}

/// The server's side: the password in what [`encrypt_password`] made. Blinded, so that the time taken says nothing of
/// the key. Takes milliseconds of CPU.
pub fn decrypt_password(
    rng: &mut impl CryptoRngCore,
    key: &RsaPrivateKey,
    encrypted: &[u8],
    salt: &Salt,
) -> Option<Vec<u8>> {
    if encrypted.len() != key.size() {
        return None;
    }
    let masked = key.decrypt_blinded(rng, Oaep::new::<Sha1>(), encrypted).ok()?;
    unmask_password(&masked, salt)
}

const BAD_KEY: Malformed = Malformed::new("public key of the server");

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
    use rsa::rand_core::OsRng;

    const SALT: Salt = *b"abcdefghij0123456789";

    #[test]
    fn round_trip() {
        let private = RsaPrivateKey::new(&mut OsRng, 1024).unwrap();
        let pem = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let encrypted = encrypt_password(&mut OsRng, pem.as_bytes(), b"secret", &SALT).unwrap();
        assert_eq!(
            decrypt_password(&mut OsRng, &private, &encrypted, &SALT).as_deref(),
            Some(&b"secret"[..])
        );
        assert_eq!(decrypt_password(&mut OsRng, &private, &encrypted[1..], &SALT), None);
        assert_eq!(decrypt_password(&mut OsRng, &private, &[7; 128], &SALT), None);
        assert!(encrypt_password(&mut OsRng, pem.as_bytes(), &[b'x'; 100], &SALT).is_err());
        assert!(encrypt_password(&mut OsRng, b"no key", b"secret", &SALT).is_err());
    }
}
