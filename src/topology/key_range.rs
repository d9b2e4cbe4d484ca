//! A half-open interval of the key space, `[start, end)`, written `start-end` in hexadecimal.

use std::fmt;

use super::KeyspaceId;

/// Keyspace ids from `start` up to but not including `end`; no end means up to the last one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: KeyspaceId,
    end: Option<KeyspaceId>,
}

/// Why a text is no key range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyRange {
    /// A bound is not hexadecimal.
    #[error("key range {0}: bounds must be pairs of hexadecimal digits")]
    Digits(String),
    /// The start is not before the end.
    #[error("key range {0}: the start must be before the end")]
    Order(String),
    /// There is no `-`, or more than one.
    #[error("single keyrange expected in {0}")]
    Single(String),
}

impl KeyRange {
    /// From `start` up to but not including `end`. Bounds that are out of order contain nothing.
    pub fn new(start: KeyspaceId, end: Option<KeyspaceId>) -> Self {
        Self { start, end }
    }

    /// The whole key space, `-`.
    pub const fn all() -> Self {
        Self { start: KeyspaceId::minimum(), end: None }
    }

    /// All ids that begin with `prefix`: `[prefix, prefix + 1)`.
    pub fn with_prefix(prefix: &[u8]) -> Self {
        let end = prefix.iter().rposition(|&byte| byte != 0xff).map(|last| {
            let mut end = KeyspaceId::from_bytes(&prefix[..last]);
            end.extend_from_slice(&[prefix[last] + 1]);
            // The length of the prefix is kept (`12ff` ends at `1300`), as Vitess prints it.
            (last + 1..prefix.len()).for_each(|_| end.extend_from_slice(&[0]));
            end
        });
        Self { start: KeyspaceId::from_bytes(prefix), end }
    }

    /// Reads `start-end`; either may be missing.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyRange> {
        let (start, end) = text.split_once('-').ok_or_else(|| InvalidKeyRange::Single(text.to_owned()))?;
        if end.contains('-') {
            return Err(InvalidKeyRange::Single(text.to_owned()));
        }
        let bound = |digits| KeyspaceId::parse(digits).map_err(|_| InvalidKeyRange::Digits(text.to_owned()));
        let range = Self { start: bound(start)?, end: (!end.is_empty()).then(|| bound(end)).transpose()? };
        if range.is_empty() {
            return Err(InvalidKeyRange::Order(text.to_owned()));
        }
        Ok(range)
    }

    /// The first id of the range.
    pub fn start(&self) -> &KeyspaceId {
        &self.start
    }

    /// The first id behind the range; `None` when the range goes on to the last id.
    pub fn end(&self) -> Option<&KeyspaceId> {
        self.end.as_ref()
    }

    /// Whether it is the whole key space.
    pub fn is_all(&self) -> bool {
        self.start.is_minimum() && self.end.is_none()
    }

    /// Whether no id is in it.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| self.start >= *end)
    }

    /// Whether `id` is in it.
    pub fn contains(&self, id: &KeyspaceId) -> bool {
        self.start <= *id && self.end.as_ref().is_none_or(|end| id < end)
    }

    /// Whether the two have an id in common.
    pub fn intersects(&self, other: &Self) -> bool {
        !self.is_empty()
            && !other.is_empty()
            && self.end.as_ref().is_none_or(|end| other.start < *end)
            && other.end.as_ref().is_none_or(|end| self.start < *end)
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.start)?;
        self.end.as_ref().map_or(Ok(()), |end| write!(f, "{end}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> KeyRange {
        KeyRange::parse(text).unwrap()
    }

    #[test]
    fn bounds() {
        let id = |text| KeyspaceId::parse(text).unwrap();
        assert!(range("80-").contains(&id("80")));
        assert!(range("80-").contains(&id("ffff")));
        assert!(!range("-80").contains(&id("8000")));
        assert!(range("-80").contains(&id("7fffff")));
        assert!(range("-").contains(&id("")));
        assert!(range("-").is_all() && !range("-80").is_all());
    }

    #[test]
    fn intersections() {
        assert!(range("-80").intersects(&range("40-c0")));
        assert!(!range("-80").intersects(&range("80-")));
        assert!(range("-").intersects(&range("10-20")));
        let nothing = KeyRange::new(KeyspaceId::from_bytes(&[5]), Some(KeyspaceId::from_bytes(&[5])));
        assert!(nothing.is_empty() && !nothing.intersects(&range("-")));
    }

    #[test]
    fn prefixes() {
        let check = |prefix: &[u8], text| assert_eq!(KeyRange::with_prefix(prefix).to_string(), text);
        check(&[1], "01-02");
        check(&[0x12, 0xff], "12ff-1300");
        check(&[0xff, 0xff, 0xff], "ffffff-");
        check(&[], "-");
    }

    #[test]
    fn malformed() {
        let check = |text, error: &str| assert_eq!(KeyRange::parse(text).unwrap_err().to_string(), error);
        check("80", "single keyrange expected in 80");
        check("-80-", "single keyrange expected in -80-");
        check("8-", "key range 8-: bounds must be pairs of hexadecimal digits");
        check("80-40", "key range 80-40: the start must be before the end");
        check("-00", "key range -00: the start must be before the end");
    }

    proptest! {
        #[test]
        fn a_prefix_range_holds_what_begins_with_it(prefix in prop::collection::vec(any::<u8>(), 0..4), rest: Vec<u8>) {
            let id = KeyspaceId::from_bytes(&[prefix.clone(), rest].concat());
            prop_assert!(KeyRange::with_prefix(&prefix).contains(&id));
        }

        #[test]
        fn intersection_is_symmetric(a: [u8; 2], b: [u8; 2]) {
            let make = |x: [u8; 2]| KeyRange::new(KeyspaceId::from_bytes(&x[..1]), Some(KeyspaceId::from_bytes(&x[1..])));
            prop_assert_eq!(make(a).intersects(&make(b)), make(b).intersects(&make(a)));
            prop_assert_eq!(make(a).intersects(&make(b)), a[0].max(b[0]) < a[1].min(b[1]));
        }
    }
}
