//! SHA-crypt with SHA-256, as MySQL stores passwords of `caching_sha2_password`.
//!
//! The algorithm is Ulrich Drepper's (<https://www.akkadia.org/drepper/SHA-crypt.txt>); MySQL uses salts of 20 bytes,
//! which crypt(3) would cut to 16.

use sha2::{Digest, Sha256};

/// Characters of an encoded digest.
pub(super) const ENCODED_BYTES: usize = 43;

/// The encoded digest of a password.
pub(super) fn sha256_crypt(password: &[u8], salt: &[u8], rounds: u32) -> [u8; ENCODED_BYTES] {
    encode(&digest(password, salt, rounds))
}

fn digest(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let initial = initial(password, salt);
    // One digest of the password repeated per byte of the password, spread to the password's length.
    let mut repeated = Sha256::new();
    for _ in password {
        repeated.update(password);
    }
    let password_bytes = spread(&repeated.finalize().into(), password.len());
    // The same with the salt, repeated as the first digest's first byte says.
    let mut repeated = Sha256::new();
    for _ in 0..16 + usize::from(initial[0]) {
        repeated.update(salt);
    }
    let salt_bytes = spread(&repeated.finalize().into(), salt.len());

    let mut current = initial;
    for round in 0..rounds {
        let mut next = Sha256::new();
        let is_odd = round % 2 == 1;
        next.update(if is_odd { &password_bytes[..] } else { &current[..] });
        if round % 3 != 0 {
            next.update(&salt_bytes);
        }
        if round % 7 != 0 {
            next.update(&password_bytes);
        }
        next.update(if is_odd { &current[..] } else { &password_bytes[..] });
        current = next.finalize().into();
    }
    current
}

fn initial(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let alternate: [u8; 32] =
        Sha256::new().chain_update(password).chain_update(salt).chain_update(password).finalize().into();
    let mut digest = Sha256::new();
    digest.update(password);
    digest.update(salt);
    digest.update(spread(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        digest.update(if bits & 1 == 1 { &alternate[..] } else { password });
        bits >>= 1;
    }
    digest.finalize().into()
}

/// Repeats a digest up to a length.
fn spread(digest: &[u8; 32], count: usize) -> Vec<u8> {
    digest.iter().copied().cycle().take(count).collect()
}

/// The algorithm's own base 64: its order of bytes, lowest bits first.
fn encode(digest: &[u8; 32]) -> [u8; ENCODED_BYTES] {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [0; ENCODED_BYTES];
    let (mut a, mut b, mut c) = (0, 10, 20);
    for group in out[..40].chunks_exact_mut(4) {
        put(group, u32::from_be_bytes([0, digest[a], digest[b], digest[c]]), ALPHABET);
        (a, b, c) = (c + 1, a + 1, b + 1);
    }
    put(&mut out[40..], u32::from_be_bytes([0, 0, digest[31], digest[30]]), ALPHABET);
    out
}

fn put(out: &mut [u8], mut bits: u32, alphabet: &[u8; 64]) {
    for character in out {
        *character = alphabet[(bits & 63) as usize];
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &[u8], salt: &[u8], rounds: u32, expected: &str) {
        let encoded = sha256_crypt(password, salt, rounds);
        assert_eq!(std::str::from_utf8(&encoded), Ok(expected));
    }

    #[test]
    fn agrees_with_crypt() {
        // From crypt(3) of glibc.
        check(b"Hello world!", b"saltstring", 5_000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
        check(b"Hello world!", b"saltstringsaltst", 10_000, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA");
        check(
            b"This is just a test",
            b"toolongsaltstrin",
            5_000,
            "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5",
        );
        check(&[b'p'; 70], b"abcdefghijklmnop", 5_000, "dDNCG8FhOolyPVmvDHnxrKkUnQuOgqvyR0j5aqvDocC");
        check(b"", b"abcdefghijklmnop", 5_000, "p99E2fxZB/BTl9j.a2VRY5z71zEP761isnVBuiGlzV3");
    }
}
