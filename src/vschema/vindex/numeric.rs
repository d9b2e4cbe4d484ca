//! `numeric`: the number itself, as eight bytes.

use super::{Mapping, Vindex, VindexError, VindexTraits};
use crate::topology::{KeyRange, KeyspaceId};
use crate::value::{Value, ValueRef};

#[derive(Debug)]
pub(super) struct Numeric;

impl Vindex for Numeric {
    fn traits(&self) -> VindexTraits {
        VindexTraits { is_sequential: true, ..VindexTraits::functional(0) }
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Ok(value.to_uint64().ok().map(KeyspaceId::from_u64))
    }

    /// Vitess leaves out the shard that begins with `high`; rows there would be missed, so it is included here.
    fn map_range(&self, low: Option<ValueRef<'_>>, high: Option<ValueRef<'_>>) -> Mapping {
        // A bound that is no such number (negative, a fraction) may still have rows on its inner side.
        let bound = |value: Option<ValueRef<'_>>, none| value.map_or(Ok(none), |value| value.to_uint64());
        let (Ok(low), Ok(high)) = (bound(low, 0), bound(high, u64::MAX)) else {
            return Mapping::AllShards;
        };
        if low > high {
            return Mapping::None;
        }
        let end = high.checked_add(1).map(KeyspaceId::from_u64);
        Mapping::KeyRange(KeyRange::new(KeyspaceId::from_u64(low), end))
    }

    fn reverse(&self, id: &KeyspaceId) -> Option<Value> {
        let bytes: [u8; 8] = id.as_bytes().try_into().ok()?;
        Some(Value::UInt(u64::from_be_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check, mapped};
    use super::*;

    #[test]
    fn known_answers() {
        check(&Numeric, &[ValueRef::Int(1)], "0000000000000001");
        check(&Numeric, &[ValueRef::Text(b"255")], "00000000000000ff");
        check(&Numeric, &[ValueRef::UInt(u64::MAX)], "ffffffffffffffff");
        check(&Numeric, &[ValueRef::Decimal(b"1.1")], "none");
        check(&Numeric, &[ValueRef::Int(-1)], "none");
        check(&Numeric, &[ValueRef::Text(b"aa")], "none");
        check(&Numeric, &[ValueRef::Null], "none");
        check(&Numeric, &[], "vindex takes 1 columns, not 0");
    }

    #[test]
    fn ranges_include_both_bounds() {
        let check = |low, high, expected: &str| {
            assert_eq!(mapped(Ok(Numeric.map_range(Some(low), Some(high)))), expected)
        };
        assert_eq!(
            mapped(Ok(Numeric.map_range(None, Some(ValueRef::Int(7))))),
            "0000000000000000-0000000000000008"
        );
        assert_eq!(mapped(Ok(Numeric.map_range(Some(ValueRef::Int(7)), None))), "0000000000000007-");
        check(ValueRef::Int(1), ValueRef::Int(15), "0000000000000001-0000000000000010");
        check(ValueRef::Int(7), ValueRef::Int(7), "0000000000000007-0000000000000008");
        check(ValueRef::Int(2), ValueRef::UInt(u64::MAX), "0000000000000002-");
        check(ValueRef::Int(2), ValueRef::Int(1), "none");
        check(ValueRef::Int(-2), ValueRef::Int(1), "all");
        check(ValueRef::Null, ValueRef::Int(1), "all");
    }

    #[test]
    fn reversing() {
        assert_eq!(Numeric.reverse(&KeyspaceId::from_u64(5)), Some(Value::UInt(5)));
        assert_eq!(Numeric.reverse(&KeyspaceId::from_bytes(&[5])), None);
    }
}
