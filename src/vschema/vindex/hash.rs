//! `hash`: DES of the number under a key of zeros, which spreads numbers evenly and can be turned round.
//!
//! DES is written out here, after FIPS 46-3, because this is the commonest vindex and a key of zeros makes it
//! simple: all sixteen round keys are zero, so every round is the same, and encryption is its own inverse. The
//! `des` crate, which the tests compare it with, takes three times as long.

use super::{Vindex, VindexError, VindexTraits};
use crate::topology::KeyspaceId;
use crate::value::{Value, ValueRef};

#[derive(Debug)]
pub(super) struct Hash;

impl Hash {
    /// The id of a number.
    pub(super) fn keyspace_id(number: u64) -> KeyspaceId {
        KeyspaceId::from_u64(des_with_zero_key(number))
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
        Ok(number.map(Self::keyspace_id))
    }

    fn reverse(&self, id: &KeyspaceId) -> Option<Value> {
        let bytes: [u8; 8] = id.as_bytes().try_into().ok()?;
        Some(Value::UInt(des_with_zero_key(u64::from_be_bytes(bytes))))
    }
}

fn des_with_zero_key(block: u64) -> u64 {
    let (mut left, mut right) = initial_permutation(block);
    for _ in 0..8 {
        left ^= round(right);
        right ^= round(left);
    }
    final_permutation(right, left)
}

/// DES's function of half a block, without a key: bits are taken in overlapping groups of six, substituted and
/// spread.
fn round(half: u32) -> u32 {
    let mut spread = 0;
    for (index, table) in (0..).zip(&SUBSTITUTED_AND_SPREAD) {
        let group = half.rotate_left(5 + 4 * index) & 0x3F;
        spread ^= table[group as usize];
    }
    spread
}

/// Swaps the bits of `low` under the mask with those of `high` that lie `shift` further up.
const fn swap_bits(high: &mut u32, low: &mut u32, shift: u32, mask: u32) {
    let different = ((*high >> shift) ^ *low) & mask;
    *low ^= different;
    *high ^= different << shift;
}

fn initial_permutation(block: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = block.to_be_bytes();
    let (mut left, mut right) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    swap_bits(&mut left, &mut right, 4, 0x0F0F_0F0F);
    swap_bits(&mut left, &mut right, 16, 0x0000_FFFF);
    swap_bits(&mut right, &mut left, 2, 0x3333_3333);
    swap_bits(&mut right, &mut left, 8, 0x00FF_00FF);
    swap_bits(&mut left, &mut right, 1, 0x5555_5555);
    (left, right)
}

fn final_permutation(mut left: u32, mut right: u32) -> u64 {
    swap_bits(&mut left, &mut right, 1, 0x5555_5555);
    swap_bits(&mut right, &mut left, 8, 0x00FF_00FF);
    swap_bits(&mut right, &mut left, 2, 0x3333_3333);
    swap_bits(&mut left, &mut right, 16, 0x0000_FFFF);
    swap_bits(&mut left, &mut right, 4, 0x0F0F_0F0F);
    u64::from(left) << 32 | u64::from(right)
}

/// For each of the eight groups of six bits: its substitution by the S-box, spread by the permutation P.
const SUBSTITUTED_AND_SPREAD: [[u32; 64]; 8] = {
    let mut tables = [[0; 64]; 8];
    let mut index = 0;
    while index < 8 {
        let mut group = 0;
        while group < 64 {
            // The outer two bits choose the row, the inner four the column.
            let row = (group >> 4 & 2) | (group & 1);
            let substituted = (S_BOXES[index][row * 16 + (group >> 1 & 15)] as u32) << (28 - 4 * index);
            let mut bit = 0;
            while bit < 32 {
                if substituted >> (32 - P[bit]) & 1 == 1 {
                    tables[index][group] |= 1 << (31 - bit);
                }
                bit += 1;
            }
            group += 1;
        }
        index += 1;
    }
    tables
};

/// Bit `n` of the result is this bit of the argument, counted from 1 at the most significant end.
const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6,
    22, 11, 4, 25,
];

#[rustfmt::skip]
const S_BOXES: [[u8; 64]; 8] = [
    [14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7,
     0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
     4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0,
     15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13],
    [15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10,
     3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
     0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15,
     13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9],
    [10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8,
     13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
     13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7,
     1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12],
    [7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15,
     13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
     10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4,
     3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14],
    [2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9,
     14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
     4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14,
     11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3],
    [12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11,
     10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
     9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6,
     4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13],
    [4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1,
     13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
     1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2,
     6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12],
    [13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7,
     1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
     7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8,
     2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11],
];

#[cfg(test)]
mod tests {
    use des::Des;
    use des::cipher::{BlockCipherEncrypt, KeyInit};
    use proptest::prelude::*;

    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        check(&Hash, &[ValueRef::Int(1)], "166b40b44aba4bd6");
        check(&Hash, &[ValueRef::Int(2)], "06e7ea22ce92708f");
        check(&Hash, &[ValueRef::Int(3)], "4eb190c9a2fa169c");
        check(&Hash, &[ValueRef::Int(4)], "d2fd8867d50d2dfe");
        check(&Hash, &[ValueRef::Int(5)], "70bb023c810ca87a");
        check(&Hash, &[ValueRef::Int(6)], "f098480ac4c4be71");
        check(&Hash, &[ValueRef::Int(0)], "8ca64de9c1b123a7");
        check(&Hash, &[ValueRef::Int(-1)], "355550b2150e2451");
        check(&Hash, &[ValueRef::UInt(u64::MAX)], "355550b2150e2451");
        check(&Hash, &[ValueRef::Int(i64::MAX)], "f77d48aadda1f1bb");
        check(&Hash, &[ValueRef::Int(i64::MIN)], "95f8a5e5dd31d900");
        check(&Hash, &[ValueRef::Int(29_999)], "fcd63e56d3374d88");
        check(&Hash, &[ValueRef::Int(397)], "5584fa738baaf516");
        check(&Hash, &[ValueRef::Null], "none");
    }

    #[test]
    fn values_of_other_types() {
        check(&Hash, &[ValueRef::Text(b"1")], "166b40b44aba4bd6");
        check(&Hash, &[ValueRef::Text(b"01")], "166b40b44aba4bd6");
        check(&Hash, &[ValueRef::Text(b"-1")], "none");
        check(&Hash, &[ValueRef::Text(b"aa")], "none");
        check(&Hash, &[ValueRef::Decimal(b"1.1")], "none");
        check(&Hash, &[ValueRef::Int(1), ValueRef::Int(1)], "vindex takes 1 columns, not 2");
    }

    proptest! {
        #[test]
        fn it_is_des(number: u64) {
            let mut block = number.to_be_bytes().into();
            Des::new(&[0; 8].into()).encrypt_block(&mut block);
            prop_assert_eq!(des_with_zero_key(number), u64::from_be_bytes(block.into()));
        }

        #[test]
        fn it_can_be_turned_round(number: u64) {
            prop_assert_eq!(Hash.reverse(&Hash::keyspace_id(number)), Some(Value::UInt(number)));
        }
    }
}
