//! Authentication plugins: what client and server compute from a password and a salt.
//!
//! Pure arithmetic; randomness comes by argument. The exchanges themselves belong to `server` and `backend`.

pub mod caching_sha2_password;
pub mod clear_password;
pub mod native_password;
pub mod rsa;
mod sha256_crypt;

/// Compares without telling by the time taken where the difference is.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b)));
    a.len() == b.len() && difference == 0
}

/// Bytes from hexadecimal digits of either case.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
