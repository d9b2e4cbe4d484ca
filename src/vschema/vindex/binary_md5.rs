//! `binary_md5`: MD5 of the value's bytes.

use md5::{Digest, Md5};

use super::{Vindex, VindexError, VindexTraits, with_bytes};
use crate::topology::KeyspaceId;
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct BinaryMd5;

impl Vindex for BinaryMd5 {
    fn traits(&self) -> VindexTraits {
        VindexTraits::functional(1)
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Ok(Some(with_bytes(value, |bytes| KeyspaceId::from_bytes(&Md5::digest(bytes)))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        check(&BinaryMd5, &[ValueRef::Text(b"test1")], "5a105e8b9d40e1329780d62ea2265d8a");
        check(&BinaryMd5, &[ValueRef::Text(b"TEST")], "033bd94b1168d7e4f0d644c3c95e35bf");
        check(&BinaryMd5, &[ValueRef::Text(b"Test")], "0cbc6611f5540bd0809a388dc95a615b");
        check(&BinaryMd5, &[ValueRef::Text(b"heythere")], "d9e62c0ad204fe91658ecc758049e515");
        check(&BinaryMd5, &[ValueRef::Null], "d41d8cd98f00b204e9800998ecf8427e");
    }
}
