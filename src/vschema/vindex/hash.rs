//! `hash`: DES of the number under a key of zeros, which spreads numbers evenly and can be turned round.

use des::Des;
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use super::{Vindex, VindexError, VindexTraits};
use crate::topology::KeyspaceId;
use crate::value::{Value, ValueRef};

/// Holds the key schedule.
pub(super) struct Hash(Des);

impl Hash {
    pub(super) fn new() -> Self {
        Self(Des::new(&[0; 8].into()))
    }

    /// The id of a number.
    pub(super) fn encrypt(&self, number: u64) -> KeyspaceId {
        let mut block = number.to_be_bytes().into();
        self.0.encrypt_block(&mut block);
        KeyspaceId::from_bytes(&block)
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl Vindex for Hash {
    fn traits(&self) -> VindexTraits {
        VindexTraits::functional(1)
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        let number = match value {
            // Negative numbers count as the unsigned ones with the same bits; only here, not in other vindexes.
            ValueRef::Int(number) => Some(number.cast_unsigned()),
            other => other.to_uint64().ok(),
        };
        Ok(number.map(|number| self.encrypt(number)))
    }

    fn reverse(&self, id: &KeyspaceId) -> Option<Value> {
        let bytes: [u8; 8] = id.as_bytes().try_into().ok()?;
        let mut block = bytes.into();
        self.0.decrypt_block(&mut block);
        Some(Value::UInt(u64::from_be_bytes(block.into())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        let hash = Hash::new();
        check(&hash, &[ValueRef::Int(1)], "166b40b44aba4bd6");
        check(&hash, &[ValueRef::Int(2)], "06e7ea22ce92708f");
        check(&hash, &[ValueRef::Int(3)], "4eb190c9a2fa169c");
        check(&hash, &[ValueRef::Int(4)], "d2fd8867d50d2dfe");
        check(&hash, &[ValueRef::Int(5)], "70bb023c810ca87a");
        check(&hash, &[ValueRef::Int(6)], "f098480ac4c4be71");
        check(&hash, &[ValueRef::Int(0)], "8ca64de9c1b123a7");
        check(&hash, &[ValueRef::Int(-1)], "355550b2150e2451");
        check(&hash, &[ValueRef::UInt(u64::MAX)], "355550b2150e2451");
        check(&hash, &[ValueRef::Int(i64::MAX)], "f77d48aadda1f1bb");
        check(&hash, &[ValueRef::Int(i64::MIN)], "95f8a5e5dd31d900");
        check(&hash, &[ValueRef::Int(29_999)], "fcd63e56d3374d88");
        check(&hash, &[ValueRef::Int(397)], "5584fa738baaf516");
        check(&hash, &[ValueRef::Null], "none");
    }

    #[test]
    fn values_of_other_types() {
        let hash = Hash::new();
        check(&hash, &[ValueRef::Text(b"1")], "166b40b44aba4bd6");
        check(&hash, &[ValueRef::Text(b"01")], "166b40b44aba4bd6");
        check(&hash, &[ValueRef::Text(b"-1")], "none");
        check(&hash, &[ValueRef::Text(b"aa")], "none");
        check(&hash, &[ValueRef::Decimal(b"1.1")], "none");
        check(&hash, &[ValueRef::Int(1), ValueRef::Int(1)], "vindex takes 1 columns, not 2");
    }

    proptest! {
        #[test]
        fn it_can_be_turned_round(number: u64) {
            let hash = Hash::new();
            prop_assert_eq!(hash.reverse(&hash.encrypt(number)), Some(Value::UInt(number)));
        }
    }
}
