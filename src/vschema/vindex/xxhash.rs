//! `xxhash`: XXH64 of the value's bytes, least significant byte first.

use xxhash_rust::xxh64::xxh64;

use super::{Vindex, VindexError, VindexTraits, with_bytes};
use crate::topology::KeyspaceId;
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct XxHash;

/// The id of some bytes.
pub(super) fn keyspace_id(bytes: &[u8]) -> KeyspaceId {
    KeyspaceId::from_bytes(&xxh64(bytes, 0).to_le_bytes())
}

impl Vindex for XxHash {
    fn traits(&self) -> VindexTraits {
        VindexTraits::functional(1)
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Ok(Some(with_bytes(value, keyspace_id)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        check(&XxHash, &[ValueRef::Text(b"test1")], "d01ab7e4d6978f0b");
        check(&XxHash, &[ValueRef::Text(b"test2")], "87eb11714c0a0e89");
        check(&XxHash, &[ValueRef::Text(b"testaverylongvaluetomakesurethisworks")], "81d8c38e0d850e6a");
        check(&XxHash, &[ValueRef::Int(1)], "d46405367612b4b7");
        check(&XxHash, &[ValueRef::Text(b"1")], "d46405367612b4b7");
        check(&XxHash, &[ValueRef::Int(2)], "8b59801662b52160");
        check(&XxHash, &[ValueRef::Int(-1)], "d8e2a6a7c8c7623d");
        check(&XxHash, &[ValueRef::UInt(u64::MAX)], "477cfa8d6d8f1f8d");
        check(&XxHash, &[ValueRef::Int(i64::MAX)], "b37eb01f7bffafd8");
        check(&XxHash, &[ValueRef::Int(i64::MIN)], "102c27ddb26a609e");
        check(&XxHash, &[ValueRef::Null], "99e9d85137db46ef");
        check(&XxHash, &[ValueRef::Text(b"")], "99e9d85137db46ef");
    }
}
