//! `numeric_static_map`: a table of numbers in the VSchema or in a file, for numbers that must live together.

use std::collections::{BTreeMap, HashMap};

use super::params::Params;
use super::{ReadFile, Vindex, VindexError, VindexTraits, create};
use crate::topology::KeyspaceId;
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct NumericStaticMap {
    places: HashMap<u64, u64>,
    /// For numbers that are not in the table; without it they are their own place.
    fallback: Option<Box<dyn Vindex>>,
}

impl NumericStaticMap {
    pub(super) fn create(name: &str, params: &Params<'_>, read_file: ReadFile<'_>) -> Result<Self, String> {
        let json = match (params.get("json"), params.get("json_path")) {
            (Some(_), Some(_)) => return Err("only one of json and json_path may be given".to_owned()),
            (None, None) => return Err("missing param json or json_path".to_owned()),
            (Some(json), None) => json.to_owned(),
            (None, Some(path)) => read_file(path)?,
        };
        let entries: HashMap<String, serde_json::Value> = serde_json::from_str(&json)
            .map_err(|error| format!("the map must be a JSON object of numbers: {error}"))?;
        let number = |key: &str, value: &serde_json::Value| Some((key.parse().ok()?, value.as_u64()?));
        let places = entries.iter().map(|(key, value)| {
            number(key, value)
                .ok_or_else(|| format!("the map has an entry {key:?}: {value} that is no pair of numbers"))
        });
        let places = places.collect::<Result<_, _>>()?;
        let fallback = params.get("fallback_type").filter(|kind| !kind.is_empty());
        let fallback = fallback.map(|kind| {
            let created = create::create(kind, &format!("{name}_hash"), &BTreeMap::new(), read_file)?;
            let traits = created.vindex.traits();
            let functional = !traits.is_lookup && traits.column_count == 1;
            functional
                .then_some(created.vindex)
                .ok_or_else(|| format!("fallback_type {kind} must be a function of one column"))
        });
        Ok(Self { places, fallback: fallback.transpose()? })
    }
}

impl Vindex for NumericStaticMap {
    fn traits(&self) -> VindexTraits {
        VindexTraits::functional(1)
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        let Ok(number) = value.to_uint64() else {
            return Ok(None);
        };
        match (self.places.get(&number), &self.fallback) {
            (Some(place), _) => Ok(Some(KeyspaceId::from_u64(*place))),
            (None, Some(fallback)) => fallback.hash(value),
            (None, None) => Ok(Some(KeyspaceId::from_u64(number))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check, try_vindex, vindex};
    use super::*;

    #[test]
    fn known_answers() {
        let map = vindex("numeric_static_map", &[("json", r#"{"1":1,"3":2}"#)]);
        check(&*map, &[ValueRef::Int(3)], "0000000000000002");
        check(&*map, &[ValueRef::Int(2)], "0000000000000002");
        check(&*map, &[ValueRef::Int(1)], "0000000000000001");
        check(&*map, &[ValueRef::Decimal(b"1.1")], "none");
        check(&*map, &[ValueRef::Null], "none");
    }

    #[test]
    fn known_answers_with_a_fallback() {
        let params = [("json", r#"{"1":2,"10":18446744073709551615}"#), ("fallback_type", "xxhash")];
        let map = vindex("numeric_static_map", &params);
        check(&*map, &[ValueRef::Int(1)], "0000000000000002");
        check(&*map, &[ValueRef::Int(2)], "8b59801662b52160");
        check(&*map, &[ValueRef::Int(10)], "ffffffffffffffff");
        check(&*map, &[ValueRef::Text(b"test1")], "none");
    }

    #[test]
    fn files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.json");
        std::fs::write(&path, r#"{"5": 6}"#).unwrap();
        let map = vindex("numeric_static_map", &[("json_path", path.to_str().unwrap())]);
        check(&*map, &[ValueRef::Int(5)], "0000000000000006");
        assert!(try_vindex("numeric_static_map", &[("json_path", "/nowhere")]).is_err());
    }

    #[test]
    fn wrong_params() {
        let check = |params: &[(&str, &str)], expected: &str| {
            assert_eq!(try_vindex("numeric_static_map", params).unwrap_err(), expected);
        };
        check(&[], "missing param json or json_path");
        check(&[("json", "{}"), ("json_path", "x")], "only one of json and json_path may be given");
        check(&[("json", r#"{"a":1}"#)], "the map has an entry \"a\": 1 that is no pair of numbers");
        check(&[("json", "{}"), ("fallback_type", "what")], "vindexType \"what\" not found");
        check(&[("json", "{}"), ("fallback_type", "lookup")], "missing param from");
        check(&[("json", "{}"), ("fallback_type", "numeric_static_map")], "missing param json or json_path");
    }
}
