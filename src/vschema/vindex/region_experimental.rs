//! `region_experimental`: a region's number in front of the hash of an id, to keep regions apart.

use super::hash::Hash;
use super::params::Params;
use super::{Mapping, Vindex, VindexError, VindexTraits};
use crate::topology::{KeyRange, KeyspaceId};
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct RegionExperimental {
    bytes: RegionBytes,
}

/// One or two bytes of a region's number.
#[derive(Clone, Copy, Debug)]
pub(super) enum RegionBytes {
    One,
    Two,
}

impl RegionBytes {
    pub(super) fn create(params: &Params<'_>) -> Result<Self, String> {
        match params.get("region_bytes") {
            Some("1") => Ok(Self::One),
            Some("2") => Ok(Self::Two),
            None => Err("missing param region_bytes".to_owned()),
            Some(other) => Err(format!("region_bytes must be 1 or 2: {other}")),
        }
    }

    /// The id's beginning: the low bytes of the number, as many as asked for.
    pub(super) fn prefix(self, region: u64) -> KeyspaceId {
        let bytes = region.to_be_bytes();
        KeyspaceId::from_bytes(match self {
            Self::One => &bytes[7..],
            Self::Two => &bytes[6..],
        })
    }
}

impl RegionExperimental {
    pub(super) fn create(params: &Params<'_>) -> Result<Self, String> {
        Ok(Self { bytes: RegionBytes::create(params)? })
    }
}

impl Vindex for RegionExperimental {
    fn traits(&self) -> VindexTraits {
        VindexTraits { column_count: 2, is_partial: true, is_hashing: false, ..VindexTraits::functional(1) }
    }

    fn hash(&self, _value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Err(VindexError::NotHashing)
    }

    fn map(&self, values: &[ValueRef<'_>]) -> Result<Mapping, VindexError> {
        let (region, id) = match values {
            [region] => (region, None),
            [region, id] => (region, Some(id)),
            // Vitess answers more columns this way, and none cannot be asked for.
            _ => return Ok(Mapping::None),
        };
        let Ok(region) = region.to_uint64() else {
            return Ok(Mapping::None);
        };
        let mut place = self.bytes.prefix(region);
        let Some(id) = id else {
            return Ok(Mapping::KeyRange(KeyRange::with_prefix(place.as_bytes())));
        };
        let Ok(id) = id.to_uint64() else {
            return Ok(Mapping::None);
        };
        place.extend_from_slice(Hash::keyspace_id(id).as_bytes());
        Ok(Mapping::KeyspaceId(place))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check, try_vindex, vindex};
    use super::*;

    const ONE: ValueRef<'_> = ValueRef::Int(1);

    #[test]
    fn known_answers() {
        let region = vindex("region_experimental", &[("region_bytes", "1")]);
        check(&*region, &[ONE, ONE], "01166b40b44aba4bd6");
        check(&*region, &[ValueRef::Int(255), ONE], "ff166b40b44aba4bd6");
        check(&*region, &[ValueRef::Int(256), ONE], "00166b40b44aba4bd6");
        check(&*region, &[ONE], "01-02");
        check(&*region, &[ValueRef::Int(255)], "ff-");
        check(&*region, &[ONE, ONE, ONE], "none");
        check(&*region, &[ValueRef::Text(b"a"), ONE], "none");
        check(&*region, &[ONE, ValueRef::Null], "none");
        let region = vindex("region_experimental", &[("region_bytes", "2")]);
        check(&*region, &[ONE, ONE], "0001166b40b44aba4bd6");
        check(&*region, &[ValueRef::Int(255), ONE], "00ff166b40b44aba4bd6");
        check(&*region, &[ValueRef::Int(256), ONE], "0100166b40b44aba4bd6");
        check(&*region, &[ValueRef::Int(65_536), ONE], "0000166b40b44aba4bd6");
        check(&*region, &[ONE], "0001-0002");
    }

    #[test]
    fn wrong_params() {
        let error = |params: &[(&str, &str)]| try_vindex("region_experimental", params).unwrap_err();
        assert_eq!(error(&[]), "missing param region_bytes");
        assert_eq!(error(&[("region_bytes", "3")]), "region_bytes must be 1 or 2: 3");
    }
}
