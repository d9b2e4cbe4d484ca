//! `reverse_bits`: the number with its 64 bits in the opposite order, so that neighbours lie far apart.

use super::{Vindex, VindexError, VindexTraits};
use crate::topology::KeyspaceId;
use crate::value::{Value, ValueRef};

#[derive(Debug)]
pub(super) struct ReverseBits;

impl Vindex for ReverseBits {
    fn traits(&self) -> VindexTraits {
        VindexTraits::functional(1)
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Ok(value.to_uint64().ok().map(|number| KeyspaceId::from_u64(number.reverse_bits())))
    }

    fn reverse(&self, id: &KeyspaceId) -> Option<Value> {
        let bytes: [u8; 8] = id.as_bytes().try_into().ok()?;
        Some(Value::UInt(u64::from_be_bytes(bytes).reverse_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        check(&ReverseBits, &[ValueRef::Int(1)], "8000000000000000");
        check(&ReverseBits, &[ValueRef::Int(2)], "4000000000000000");
        check(&ReverseBits, &[ValueRef::Int(3)], "c000000000000000");
        check(&ReverseBits, &[ValueRef::Int(4)], "2000000000000000");
        check(&ReverseBits, &[ValueRef::Int(5)], "a000000000000000");
        check(&ReverseBits, &[ValueRef::Int(6)], "6000000000000000");
        check(&ReverseBits, &[ValueRef::Null], "none");
        check(&ReverseBits, &[ValueRef::Int(-1)], "none");
        assert_eq!(ReverseBits.reverse(&KeyspaceId::from_u64(3 << 62)), Some(Value::UInt(3)));
    }
}
