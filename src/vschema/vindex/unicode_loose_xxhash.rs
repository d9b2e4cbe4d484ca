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
