//! Encoders of the protocol's basic types; the counterpart of `reader`.
//!
//! Everything is appended to a `Vec<u8>` that the caller owns and reuses.

/// Appends a length-encoded integer.
pub fn put_lenenc_int(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    match value {
        0..=0xFA => out.push(bytes[0]),
        0xFB..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Appends bytes with their length-encoded length before them.
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc_int(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends bytes and a NUL. Bytes after a NUL inside `bytes` would be read as the next field, so they are
/// left out.
pub fn put_null_terminated(out: &mut Vec<u8>, bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    out.extend_from_slice(&bytes[..end]);
    out.push(0);
}

/// Bytes that [`put_lenenc_int`] takes.
pub const fn lenenc_int_bytes(value: u64) -> usize {
    match value {
        0..=0xFA => 1,
        0xFB..=0xFFFF => 3,
        0x1_0000..=0xFF_FFFF => 4,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenenc_int_takes_the_shortest_form() {
        for (value, expected) in [
            (0, vec![0]),
            (250, vec![250]),
            (251, vec![0xFC, 251, 0]),
            (0xFFFF, vec![0xFC, 0xFF, 0xFF]),
            (0x1_0000, vec![0xFD, 0, 0, 1]),
            (0x100_0000, vec![0xFE, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_lenenc_int(&mut out, value);
            assert_eq!(out, expected);
            assert_eq!(out.len(), lenenc_int_bytes(value));
        }
    }

    #[test]
    fn nul_cannot_smuggle_a_field() {
        let mut out = Vec::new();
        put_null_terminated(&mut out, b"user\0database");
        assert_eq!(out, b"user\0");
    }
}
