//! The place of a row in its keyspace's key space: a string of bytes.
//!
//! Trailing zero bytes do not count: `80` and `8000` are one place, as the key space is read as the digits
//! behind a point. Printed and kept as given nevertheless, for that is what lookup tables store.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

/// A keyspace id; up to 16 bytes need no allocation.
#[derive(Clone, Default)]
pub struct KeyspaceId(SmallVec<[u8; 16]>);

/// Text that is no keyspace id: pairs of hexadecimal digits are expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected valid hex in keyspace id {0}")]
pub struct InvalidKeyspaceId(pub String);

impl KeyspaceId {
    /// The smallest id, which is empty.
    pub const fn minimum() -> Self {
        Self(SmallVec::new_const())
    }

    /// An id of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }

    /// The eight bytes of `number`, most significant first.
    pub fn from_u64(number: u64) -> Self {
        Self::from_bytes(&number.to_be_bytes())
    }

    /// Reads hexadecimal digits, either case; an empty text is the smallest id.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyspaceId> {
        let invalid = || InvalidKeyspaceId(text.to_owned());
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) {
            return Err(invalid());
        }
        let mut bytes = SmallVec::with_capacity(digits.len() / 2);
        for pair in digits.chunks_exact(2) {
            bytes
                .push(hex_digit(pair[0]).ok_or_else(invalid)? << 4 | hex_digit(pair[1]).ok_or_else(invalid)?);
        }
        Ok(Self(bytes))
    }

    /// The bytes as given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends bytes to the id.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Whether it is the start of the key space.
    pub fn is_minimum(&self) -> bool {
        self.significant().is_empty()
    }

    /// The first eight significant bytes as a number; missing ones are zero. The order of these numbers agrees
    /// with the order of ids.
    pub fn leading_u64(&self) -> u64 {
        let mut first = [0; 8];
        let count = self.0.len().min(8);
        first[..count].copy_from_slice(&self.0[..count]);
        u64::from_be_bytes(first)
    }

    /// The bytes that count: all but trailing zeros.
    pub fn significant(&self) -> &[u8] {
        let bytes = self.as_bytes();
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        &bytes[..end]
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl PartialEq for KeyspaceId {
    fn eq(&self, other: &Self) -> bool {
        self.significant() == other.significant()
    }
}

impl Eq for KeyspaceId {}

impl PartialOrd for KeyspaceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyspaceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.significant().cmp(other.significant())
    }
}

impl Hash for KeyspaceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.significant().hash(state);
    }
}

impl fmt::Display for KeyspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyspaceId({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> KeyspaceId {
        KeyspaceId::parse(text).unwrap()
    }

    #[test]
    fn trailing_zeros_do_not_count() {
        assert_eq!(id("80"), id("8000"));
        assert_eq!(id("8000").to_string(), "8000");
        assert!(id("00").is_minimum());
        assert!(id("7fff") < id("80"));
        assert!(id("80") < id("8001"));
    }

    #[test]
    fn text_must_be_pairs_of_digits() {
        assert_eq!(id("dEad").to_string(), "dead");
        assert_eq!(KeyspaceId::parse("8").unwrap_err().to_string(), "expected valid hex in keyspace id 8");
        assert!(KeyspaceId::parse("8g").is_err());
        assert!(KeyspaceId::parse("ü").is_err());
    }

    proptest! {
        #[test]
        fn leading_number_agrees_with_the_order(a: Vec<u8>, b: Vec<u8>) {
            let (a, b) = (KeyspaceId::from_bytes(&a), KeyspaceId::from_bytes(&b));
            if a < b {
                prop_assert!(a.leading_u64() <= b.leading_u64());
            }
            prop_assert_eq!(KeyspaceId::parse(&a.to_string()).unwrap(), a);
        }
    }
}
