//! `caching_sha2_password`: SHA-256 of the password, mixed with the salt; the whole password where the server does
//! not know that hash.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html>
//! ```text
//! client: scramble ─► server: FAST_AUTH_OK, OK                                  (digest known)
//!                     server: FULL_AUTH ─► client: password (secure connection)
//!                                          client: REQUEST_PUBLIC_KEY ─► server: PEM ─► client: encrypted password
//! ```

use sha2::{Digest, Sha256};

use super::sha256_crypt::{ENCODED_BYTES, sha256_crypt};
use super::{equal_in_constant_time, from_hex};
use crate::wire::connect::Salt;

/// Name of the plugin.
pub const NAME: &str = "caching_sha2_password";

/// From the client, alone in a packet: send the public key.
pub const REQUEST_PUBLIC_KEY: u8 = 0x02;
/// From the server, in an AuthMoreData packet: the scramble was right; an OK packet follows.
pub const FAST_AUTH_OK: u8 = 0x03;
/// From the server, in an AuthMoreData packet: send the whole password.
pub const FULL_AUTH: u8 = 0x04;

/// SHA256(SHA256(password)): what the fast way needs.
pub type StoredDigest = [u8; 32];

/// The digest of a password.
pub fn stored_digest(password: &[u8]) -> StoredDigest {
    sha256(&[&sha256(&[password])])
}

/// Reads a digest as Vitess's static-auth files have it: 64 hexadecimal digits, with or without `*` before them.
pub fn parse_stored_digest(text: &[u8]) -> Option<StoredDigest> {
    from_hex(text.strip_prefix(b"*").unwrap_or(text))
}

/// The client's answer to a salt; empty for an empty password.
pub fn scramble(password: &[u8], salt: &Salt) -> Vec<u8> {
    if password.is_empty() {
        return vec![];
    }
    let stage1 = sha256(&[password]);
    let mask = sha256(&[&sha256(&[&stage1]), salt]);
    stage1.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// Whether a client's scramble proves that it knows the password.
pub fn verify(response: &[u8], salt: &Salt, stored: &StoredDigest) -> bool {
    let Ok(response) = <[u8; 32]>::try_from(response) else { return false };
    let mut stage1 = sha256(&[stored, salt]);
    for (byte, answer) in stage1.iter_mut().zip(response) {
        *byte ^= answer;
    }
    equal_in_constant_time(&sha256(&[&stage1]), stored)
}

/// Whether a whole password is the one of a digest.
pub fn verify_password(password: &[u8], stored: &StoredDigest) -> bool {
    equal_in_constant_time(&stored_digest(password), stored)
}

/// What MySQL keeps in `mysql.user.authentication_string`: `$A$005$`, a salt of 20 bytes, 43 characters of digest. It
/// verifies only whole passwords, and slowly (thousands of hashes) on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCrypt {
    rounds: u32,
    salt: [u8; CRYPT_SALT_BYTES],
    digest: [u8; ENCODED_BYTES],
}

const CRYPT_SALT_BYTES: usize = 20;
/// MySQL writes rounds in thousands, as three hexadecimal digits, and allows this many.
const CRYPT_ROUNDS_MAX: u32 = 0xFFF * 1_000;

impl StoredCrypt {
    /// Reads MySQL's form.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_prefix(b"$A$")?;
        let (thousands, text) = text.split_first_chunk::<3>()?;
        let thousands = u32::from_str_radix(std::str::from_utf8(thousands).ok()?, 16).ok()?;
        let rounds = thousands * 1_000;
        let (salt, digest) = text.strip_prefix(b"$")?.split_first_chunk()?;
        let digest = digest.try_into().ok()?;
        let is_sane = (1..=CRYPT_ROUNDS_MAX).contains(&rounds);
        is_sane.then_some(Self { rounds, salt: *salt, digest })
    }

    /// Whether a whole password is the right one. Takes milliseconds of CPU, and for long passwords more: limit their
    /// length before.
    pub fn verify(&self, password: &[u8]) -> bool {
        password.len() <= PASSWORD_BYTES_MAX
            && equal_in_constant_time(&sha256_crypt(password, &self.salt, self.rounds), &self.digest)
    }
}

impl std::fmt::Debug for StoredCrypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredCrypt({} rounds)", self.rounds)
    }
}

/// Longest password that MySQL accepts for this plugin.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// A password and a NUL, XORed with the salt: what is encrypted with the server's public key.
pub fn mask_password(password: &[u8], salt: &Salt) -> Vec<u8> {
    password.iter().chain(b"\0").zip(salt.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// The password from what [`mask_password`] made; `None` if it does not end with a NUL.
pub fn unmask_password(masked: &[u8], salt: &Salt) -> Option<Vec<u8>> {
    let mut password: Vec<u8> =
        masked.iter().zip(salt.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    (password.pop() == Some(0)).then_some(password)
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = *b"abcdefghij0123456789";

    #[test]
    fn only_the_right_scramble_is_accepted() {
        let stored = stored_digest(b"secret");
        assert!(verify(&scramble(b"secret", &SALT), &SALT, &stored));
        assert!(!verify(&scramble(b"Secret", &SALT), &SALT, &stored));
        assert!(!verify(&scramble(b"secret", b"another salt, 20 by."), &SALT, &stored));
        assert!(!verify(&[], &SALT, &stored));
        assert!(scramble(b"", &SALT).is_empty());
        assert!(verify_password(b"secret", &stored));
        assert!(!verify_password(b"secreT", &stored));
    }

    #[test]
    fn digests_are_vitesss() {
        let text = b"*3881219d087dd9c634373fd33dfa33a2cb6bfc6c520b64b8bb60ef2ceb534ae7";
        assert_eq!(parse_stored_digest(text), Some(stored_digest(b"secret")));
        assert_eq!(parse_stored_digest(&text[1..]), Some(stored_digest(b"secret")));
        assert_eq!(parse_stored_digest(&text[..60]), None);
    }

    fn check_crypt(password: &str, authentication_string: &[u8]) {
        let stored = StoredCrypt::parse(authentication_string).unwrap();
        assert!(stored.verify(password.as_bytes()));
        assert!(!stored.verify(b""));
        assert!(!stored.verify(format!("{password}x").as_bytes()));
    }

    #[test]
    fn passwords_that_mysql_stored() {
        check_crypt(
            "secret",
            b"$A$00A$BwRlw\x0E Add\x049.G\x22JE[\x19\x12pFxnA2JMZxEGP25.I4akUBPzPidd4wFQyq1/qwVQ5q8",
        );
        check_crypt(
            "a much longer pass phrase, of more than thirty-two bytes",
            b"$A$00A$M%UY4,\x0B\x05)P%IS)~|4bDmG6qMeKpVFWJKU8mnCeC9Sp9Ss1tFH/CFucxajQsUrr1",
        );
        check_crypt(
            "pässwörd",
            b"$A$00A$\x7F\x131\x06OI(F\x17\x08F1L00Q9\x01\x1F\x01Wy40iDP.1/IpwjWjWqisuGzi7mgUlNfs9R0TXiHTWZ6",
        );
    }

    #[test]
    fn other_authentication_strings_are_refused() {
        let good = [b"$A$005$", &[b'.'; 63][..]].concat();
        assert!(StoredCrypt::parse(&good).is_some());
        for text in
            [&good[..69], &[&good[..], b"."].concat(), b"", b"$A$005$", b"*6C8989366EAF75BB670AD8EA7A7FC117"]
        {
            assert_eq!(StoredCrypt::parse(text), None);
        }
        assert_eq!(StoredCrypt::parse(&[b"$A$000$", &[b'.'; 63][..]].concat()), None);
        assert_eq!(StoredCrypt::parse(&[b"$A$00x$", &[b'.'; 63][..]].concat()), None);
        assert!(!StoredCrypt::parse(&good).unwrap().verify(&[b'x'; PASSWORD_BYTES_MAX + 1]));
    }

    #[test]
    fn masks_come_off() {
        for password in [&b""[..], b"secret", &[b'x'; 100]] {
            let masked = mask_password(password, &SALT);
            assert_eq!(masked.len(), password.len() + 1);
            assert_eq!(unmask_password(&masked, &SALT).as_deref(), Some(password));
        }
        assert_eq!(unmask_password(b"", &SALT), None);
        assert_eq!(unmask_password(b"no NUL", &SALT), None);
    }
}
