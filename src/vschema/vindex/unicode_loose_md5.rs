//! `unicode_loose_md5`: MD5 of the text's primary collation weights: case and accents do not count.

use md5::{Digest, Md5};

use super::{Vindex, VindexError, VindexTraits, unicode, with_bytes};
use crate::topology::KeyspaceId;
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct UnicodeLooseMd5;

impl Vindex for UnicodeLooseMd5 {
    fn traits(&self) -> VindexTraits {
        VindexTraits::functional(1)
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        let mut md5 = Md5::new();
        with_bytes(value, |text| unicode::weights(text, |weights| md5.update(weights)))?;
        Ok(Some(KeyspaceId::from_bytes(&md5.finalize())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        let check = |text: &str, expected: &str| {
            check(&UnicodeLooseMd5, &[ValueRef::Text(text.as_bytes())], expected)
        };
        for text in ["Test", "TEST", "T\u{e9}st", "Te\u{301}st", "Test "] {
            check(text, "0b5edbb401fd7524393690491d64f1f5");
        }
        check("B\u{e9}st", "c2b2332e4f73d00741026249706f2fb6");
        check(" Test", "a2e3515c7e8df1ffd2ccfc11c6b19dd1");
        check("Test\t", "82456dd87a9c7a02b1c2056b5abaa272");
        check("T\u{e9}stLooong", "9683e12b80430cd453f5dfdfba81c9a5");
        check("T", "ac0f9179f51db87fe8ecc0cf40cab97a");
    }

    #[test]
    fn other_values() {
        check(&UnicodeLooseMd5, &[ValueRef::Null], "d41d8cd98f00b204e9800998ecf8427e");
        let error = "cannot normalize string containing invalid UTF-8: \"\u{fffd}\"";
        check(&UnicodeLooseMd5, &[ValueRef::Bytes(&[0xff])], error);
    }
}
