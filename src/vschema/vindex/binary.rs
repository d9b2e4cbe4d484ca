//! `binary`: the value's own bytes.

use super::{Mapping, Vindex, VindexError, VindexTraits, with_bytes};
use crate::topology::{KeyRange, KeyspaceId};
use crate::value::{Value, ValueRef};

#[derive(Debug)]
pub(super) struct Binary;

impl Vindex for Binary {
    fn traits(&self) -> VindexTraits {
        VindexTraits { is_sequential: true, ..VindexTraits::functional(0) }
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Ok(Some(with_bytes(value, KeyspaceId::from_bytes)))
    }

    /// Only strings have the order of their bytes: `9` comes before `10`, but not as text. As with `numeric`,
    /// the shard that begins with `high` is included.
    fn map_range(&self, low: Option<ValueRef<'_>>, high: Option<ValueRef<'_>>) -> Mapping {
        let (Ok(low), Ok(high)) = (string(low), string(high)) else { return Mapping::AllShards };
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            return Mapping::None;
        }
        // There is no next id; the one with a byte 01 behind is near enough, as a wider range is harmless.
        let end = high.map(|high| {
            let mut end = KeyspaceId::from_bytes(high);
            end.extend_from_slice(&[1]);
            end
        });
        Mapping::KeyRange(KeyRange::new(KeyspaceId::from_bytes(low.unwrap_or_default()), end))
    }

    fn reverse(&self, id: &KeyspaceId) -> Option<Value> {
        Some(Value::bytes(id.as_bytes()))
    }
}

/// A bound's bytes; an error if it is no string.
fn string(value: Option<ValueRef<'_>>) -> Result<Option<&[u8]>, ()> {
    match value {
        Some(ValueRef::Text(bytes) | ValueRef::Bytes(bytes)) => Ok(Some(bytes)),
        Some(_) => Err(()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check::{check, mapped};
    use super::*;

    #[test]
    fn known_answers() {
        check(&Binary, &[ValueRef::Text(b"test1")], "7465737431");
        check(&Binary, &[ValueRef::Null], "");
        check(&Binary, &[ValueRef::Int(12)], "3132");
        check(&Binary, &[ValueRef::Bytes(&[0, 255])], "00ff");
        assert_eq!(Binary.reverse(&KeyspaceId::from_bytes(b"ab")), Some(Value::bytes(b"ab")));
    }

    #[test]
    fn ranges_are_for_strings() {
        let check = |low, high, expected: &str| {
            assert_eq!(mapped(Ok(Binary.map_range(Some(low), Some(high)))), expected);
        };
        assert_eq!(mapped(Ok(Binary.map_range(None, Some(ValueRef::Text(b"a"))))), "-6101");
        assert_eq!(mapped(Ok(Binary.map_range(Some(ValueRef::Text(b"a")), None))), "61-");
        check(ValueRef::Bytes(&[1]), ValueRef::Bytes(&[0x10]), "01-1001");
        check(ValueRef::Bytes(&[1]), ValueRef::Bytes(&[1]), "01-0101");
        check(ValueRef::Bytes(&[2]), ValueRef::Bytes(&[1]), "none");
        check(ValueRef::Int(9), ValueRef::Int(10), "all");
    }

    proptest! {
        #[test]
        fn a_range_holds_all_between(mut values: [Vec<u8>; 3]) {
            values.sort();
            let [low, middle, high] = &values;
            let Mapping::KeyRange(range) = Binary.map_range(Some(ValueRef::Bytes(low)), Some(ValueRef::Bytes(high))) else {
                return Err(TestCaseError::fail("a range is expected"));
            };
            prop_assert!(range.contains(&KeyspaceId::from_bytes(middle)));
        }
    }
}
