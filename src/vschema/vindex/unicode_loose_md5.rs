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
