//! From a type's name and its parameters to a vindex.

use std::collections::BTreeMap;

use super::Vindex;
use super::binary::Binary;
use super::binary_md5::BinaryMd5;
use super::cfc::Cfc;
use super::hash::Hash;
use super::lookup::{Lookup, LookupSpec};
use super::multicol::Multicol;
use super::null::Null;
use super::numeric::Numeric;
use super::numeric_static_map::NumericStaticMap;
use super::params::Params;
use super::region_experimental::RegionExperimental;
use super::region_json::RegionJson;
use super::reverse_bits::ReverseBits;
use super::unicode_loose_md5::UnicodeLooseMd5;
use super::unicode_loose_xxhash::UnicodeLooseXxHash;
use super::xxhash::XxHash;

/// Reads the files that parameters name; the VSchema itself does no I/O.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// For places where vindexes may name no files.
pub fn no_files(path: &str) -> Result<String, String> {
    Err(format!("file {path} cannot be read here"))
}

/// A vindex and what was learned on the way.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) vindex: Box<dyn Vindex>,
    pub(super) lookup: Option<LookupSpec>,
    /// Parameters that the type does not know, sorted.
    pub(super) unknown_params: Vec<String>,
}

/// Makes a vindex. Unknown parameters are no error, as in Vitess.
pub(super) fn create(
    vindex_type: &str,
    name: &str,
    given: &BTreeMap<String, String>,
    read_file: ReadFile<'_>,
) -> Result<Created, String> {
    let mut params = Params::new(given);
    let mut lookup = None;
    let vindex: Box<dyn Vindex> = match vindex_type {
        "binary" => Box::new(Binary),
        "binary_md5" => Box::new(BinaryMd5),
        "cfc" => Box::new(Cfc::create(name, &params)?),
        "hash" => Box::new(Hash),
        "multicol" => Box::new(Multicol::create(name, &mut params, read_file)?),
        "null" => Box::new(Null),
        "numeric" => Box::new(Numeric),
        "numeric_static_map" => Box::new(NumericStaticMap::create(name, &params, read_file)?),
        "region_experimental" => Box::new(RegionExperimental::create(&params)?),
        "region_json" => Box::new(RegionJson::create(&params, read_file)?),
        "reverse_bits" => Box::new(ReverseBits),
        "unicode_loose_md5" => Box::new(UnicodeLooseMd5),
        "unicode_loose_xxhash" => Box::new(UnicodeLooseXxHash),
        "xxhash" => Box::new(XxHash),
        other => {
            let created = Lookup::create(other, &params);
            let (vindex, spec) = created.ok_or_else(|| format!("vindexType {other:?} not found"))??;
            lookup = Some(spec);
            Box::new(vindex)
        }
    };
    let unknown_params = params.unknown();
    Ok(Created { vindex, lookup, unknown_params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_params_are_told() {
        let given = [("b".to_owned(), String::new()), ("a".to_owned(), String::new())].into();
        let created = create("hash", "v", &given, &no_files).unwrap();
        assert_eq!(created.unknown_params, ["a", "b"]);
        let given = [("column_count".to_owned(), "1".to_owned()), ("a".to_owned(), String::new())].into();
        let created = create("multicol", "v", &given, &no_files).unwrap();
        assert!(created.unknown_params.is_empty());
    }

    #[test]
    fn unknown_types_and_unreadable_files() {
        let check = |kind: &str, params: &[(&str, &str)], expected: &str| {
            let given = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(create(kind, "v", &given, &no_files).unwrap_err(), expected);
        };
        check("hsah", &[], "vindexType \"hsah\" not found");
        check("numeric_static_map", &[("json_path", "m.json")], "file m.json cannot be read here");
    }
}
