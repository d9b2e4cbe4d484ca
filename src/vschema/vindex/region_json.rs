//! `region_json`: like `region_experimental`, with the regions' numbers by name in a file.

use std::collections::HashMap;

use super::hash::Hash;
use super::params::Params;
use super::region_experimental::RegionBytes;
use super::{Mapping, ReadFile, Vindex, VindexError, VindexTraits, with_bytes};
use crate::topology::KeyspaceId;
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct RegionJson {
    regions: HashMap<Vec<u8>, u64>,
    bytes: RegionBytes,
}

impl RegionJson {
    pub(super) fn create(params: &Params<'_>, read_file: ReadFile<'_>) -> Result<Self, String> {
        let path = params.required("region_map")?;
        let text = read_file(path)?;
        let regions: HashMap<String, u64> =
            serde_json::from_str(&text).map_err(|error| format!("region_map {path}: {error}"))?;
        let regions = regions.into_iter().map(|(name, region)| (name.into_bytes(), region)).collect();
        Ok(Self { regions, bytes: RegionBytes::create(params)? })
    }
}

impl Vindex for RegionJson {
    fn traits(&self) -> VindexTraits {
        VindexTraits { column_count: 2, is_hashing: false, ..VindexTraits::functional(1) }
    }

    fn hash(&self, _value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Err(VindexError::NotHashing)
    }

    /// The id comes first here, then the region's name.
    fn map(&self, values: &[ValueRef<'_>]) -> Result<Mapping, VindexError> {
        let [id, name] = values else {
            return Err(VindexError::ColumnCount { expected: 2, given: values.len() });
        };
        let region = with_bytes(*name, |name| self.regions.get(name).copied());
        let (Ok(id), Some(region)) = (id.to_uint64(), region) else {
            return Ok(Mapping::None);
        };
        let mut place = self.bytes.prefix(region);
        place.extend_from_slice(Hash::keyspace_id(id).as_bytes());
        Ok(Mapping::KeyspaceId(place))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check, try_vindex, vindex};
    use super::*;

    #[test]
    fn regions_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("regions.json");
        std::fs::write(&path, r#"{"US": 1, "JP": 64}"#).unwrap();
        let params = [("region_map", path.to_str().unwrap()), ("region_bytes", "1")];
        let region = vindex("region_json", &params);
        let one = ValueRef::Int(1);
        check(&*region, &[one, ValueRef::Text(b"US")], "01166b40b44aba4bd6");
        check(&*region, &[one, ValueRef::Text(b"JP")], "40166b40b44aba4bd6");
        check(&*region, &[one, ValueRef::Text(b"DE")], "none");
        check(&*region, &[ValueRef::Null, ValueRef::Text(b"US")], "none");
        check(&*region, &[one], "vindex takes 2 columns, not 1");
        assert!(!region.traits().is_partial);
    }

    #[test]
    fn wrong_params() {
        let error = |params: &[(&str, &str)]| try_vindex("region_json", params).unwrap_err();
        assert_eq!(error(&[]), "missing param region_map");
        assert!(error(&[("region_map", "/nowhere")]).contains("No such file"));
    }
}
