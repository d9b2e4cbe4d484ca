//! `unicode_loose_xxhash`: XXH64 of the text's primary collation weights: case and accents do not count.

use xxhash_rust::xxh64::Xxh64;

use super::{Vindex, VindexError, VindexTraits, unicode, with_bytes};
use crate::topology::KeyspaceId;
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct UnicodeLooseXxHash;

impl Vindex for UnicodeLooseXxHash {
    fn traits(&self) -> VindexTraits {
        VindexTraits::functional(1)
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        let mut hash = Xxh64::new(0);
        with_bytes(value, |text| unicode::weights(text, |weights| hash.update(weights)))?;
        Ok(Some(KeyspaceId::from_bytes(&hash.digest().to_le_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        let check = |text: &str, expected: &str| {
            check(&UnicodeLooseXxHash, &[ValueRef::Text(text.as_bytes())], expected)
        };
        for text in ["Test", "TEst", "T\u{e9}st", "Te\u{301}st", "Test "] {
            check(text, "42d21361087a4c07");
        }
        check("B\u{e9}st", "926975b9ce2ec316");
        check(" Test", "4fcb8be34ec05775");
        check("Test\t", "20af87fc36e3fd51");
        check("T\u{e9}stLooong", "d3ea873942b484a7");
        check("T", "f81c3be2d501fe18");
        check("", "99e9d85137db46ef");
    }

    #[test]
    fn long_texts_are_hashed_in_portions() {
        let long = "abc".repeat(1_000);
        let (upper, lower) = (long.to_uppercase(), long);
        let hash = |text: &str| UnicodeLooseXxHash.hash(ValueRef::Text(text.as_bytes())).unwrap();
        assert_eq!(hash(&upper), hash(&lower));
        assert_ne!(hash(&upper), hash(&lower[1..]));
        check(&UnicodeLooseXxHash, &[ValueRef::Null], "99e9d85137db46ef");
    }
}
