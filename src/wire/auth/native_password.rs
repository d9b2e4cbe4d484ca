//! `mysql_native_password`: SHA-1 of the password, mixed with the salt.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods_native_password_authentication.html>

use sha1::{Digest, Sha1};

use super::{equal_in_constant_time, from_hex};
use crate::wire::connect::Salt;

/// Name of the plugin.
pub const NAME: &str = "mysql_native_password";

/// SHA1(SHA1(password)): what a server keeps.
pub type Stored = [u8; 20];

/// What a server keeps of a password.
pub fn stored(password: &[u8]) -> Stored {
    sha1(&[&sha1(&[password])])
}

/// Reads MySQL's form of a stored password, `*` and 40 hexadecimal digits; the `*` may be missing.
pub fn parse_stored(text: &[u8]) -> Option<Stored> {
    from_hex(text.strip_prefix(b"*").unwrap_or(text))
}

/// The client's answer to a salt; empty for an empty password.
pub fn scramble(password: &[u8], salt: &Salt) -> Vec<u8> {
    if password.is_empty() {
        return vec![];
    }
    let stage1 = sha1(&[password]);
    let mask = sha1(&[salt, &sha1(&[&stage1])]);
    stage1.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// Whether a client's answer proves that it knows the password.
pub fn verify(response: &[u8], salt: &Salt, stored: &Stored) -> bool {
    let Ok(response) = <[u8; 20]>::try_from(response) else { return false };
    let mut stage1 = sha1(&[salt, stored]);
    for (byte, answer) in stage1.iter_mut().zip(response) {
        *byte ^= answer;
    }
    equal_in_constant_time(&sha1(&[&stage1]), stored)
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut digest = Sha1::new();
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
    fn stored_form_is_mysqls() {
        // select password('mypass')
        let expected = parse_stored(b"*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4");
        assert!(expected.is_some());
        assert_eq!(Some(stored(b"mypass")), expected);
        assert_eq!(parse_stored(b"6c8989366eaf75bb670ad8ea7a7fc1176a95cef4"), expected);
        assert_eq!(parse_stored(b"*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF"), None);
        assert_eq!(parse_stored(b"*6C8989366EAF75BB670AD8EA7A7FC1176A95CEFG"), None);
    }

    #[test]
    fn only_the_right_password_is_accepted() {
        let kept = stored(b"secret");
        assert!(verify(&scramble(b"secret", &SALT), &SALT, &kept));
        assert!(!verify(&scramble(b"Secret", &SALT), &SALT, &kept));
        assert!(!verify(&scramble(b"secret", b"another salt, 20 by."), &SALT, &kept));
        assert!(!verify(&[], &SALT, &kept));
        assert!(!verify(&[0; 21], &SALT, &kept));
        assert!(scramble(b"", &SALT).is_empty());
    }
}
