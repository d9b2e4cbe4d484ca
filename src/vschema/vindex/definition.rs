//! A vindex of a keyspace: its name and parameters, and the function that they make.

use std::collections::BTreeMap;
use std::fmt;

use super::create::create;
use super::{LookupSpec, Mapping, ReadFile, Vindex, VindexError, VindexTraits};
use crate::topology::KeyspaceId;
use crate::value::{Value, ValueRef};

/// A named vindex, ready to map. Shared by the tables that use it.
#[derive(Debug)]
pub struct VindexDefinition {
    name: String,
    vindex_type: String,
    params: BTreeMap<String, String>,
    owner: Option<String>,
    traits: VindexTraits,
    lookup: Option<LookupSpec>,
    unknown_params: Vec<String>,
    vindex: Box<dyn Vindex>,
}

impl VindexDefinition {
    /// Makes the vindex.
    ///
    /// # Errors
    /// An unknown type, or parameters that do not fit it.
    pub fn new(
        name: &str,
        vindex_type: &str,
        params: &BTreeMap<String, String>,
        owner: &str,
        read_file: ReadFile<'_>,
    ) -> Result<Self, String> {
        let created = create(vindex_type, name, params, read_file)?;
        Ok(Self {
            name: name.to_owned(),
            vindex_type: vindex_type.to_owned(),
            params: params.clone(),
            owner: (!owner.is_empty()).then(|| owner.to_owned()),
            traits: created.vindex.traits(),
            lookup: created.lookup,
            unknown_params: created.unknown_params,
            vindex: created.vindex,
        })
    }

    /// Its name in the VSchema.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its function.
    pub fn vindex_type(&self) -> &str {
        &self.vindex_type
    }

    /// Its parameters as given.
    pub fn params(&self) -> &BTreeMap<String, String> {
        &self.params
    }

    /// The table whose rows a lookup vindex follows.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Parameters that its type does not know.
    pub fn unknown_params(&self) -> &[String] {
        &self.unknown_params
    }

    /// What the planner may do with it.
    pub fn traits(&self) -> VindexTraits {
        self.traits
    }

    /// How dear a mapping is.
    pub fn cost(&self) -> u32 {
        self.traits.cost
    }

    /// Whether all rows with one value are at one place.
    pub fn is_unique(&self) -> bool {
        self.traits.is_unique
    }

    /// Columns that make up a value.
    pub fn column_count(&self) -> usize {
        self.traits.column_count
    }

    /// Whether the places are kept in a table.
    pub fn is_lookup(&self) -> bool {
        self.traits.is_lookup
    }

    /// What a lookup vindex says about its table.
    pub fn lookup(&self) -> Option<&LookupSpec> {
        self.lookup.as_ref()
    }

    /// The place of a row, by the values of its columns.
    pub fn map(&self, values: &[ValueRef<'_>]) -> Result<Mapping, VindexError> {
        self.vindex.map(values)
    }

    /// The places of rows `BETWEEN low AND high`, where `None` is no bound; all shards unless the vindex is
    /// sequential. The order is that of numbers (`numeric`) or bytes (`binary`), so the column's type and collation
    /// must have the same.
    pub fn map_range(&self, low: Option<ValueRef<'_>>, high: Option<ValueRef<'_>>) -> Mapping {
        self.vindex.map_range(low, high)
    }

    /// The places of rows that match a LIKE pattern whose escape character is `\`.
    pub fn map_prefix(&self, pattern: ValueRef<'_>) -> Mapping {
        self.vindex.map_prefix(pattern)
    }

    /// The value that maps to an id, for functions that can be turned round.
    pub fn reverse(&self, id: &KeyspaceId) -> Option<Value> {
        self.vindex.reverse(id)
    }

    /// Whether a row with these values may be at `id`. Lookup vindexes cannot tell from here.
    pub fn verify(&self, values: &[ValueRef<'_>], id: &KeyspaceId) -> Result<bool, VindexError> {
        Ok(match self.map(values)? {
            Mapping::AllShards => true,
            Mapping::KeyRange(range) => range.contains(id),
            Mapping::KeyspaceId(place) => place == *id,
            Mapping::None => false,
        })
    }
}

impl PartialEq for VindexDefinition {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.vindex_type, &self.params, &self.owner)
            == (&other.name, &other.vindex_type, &other.params, &other.owner)
    }
}

impl Eq for VindexDefinition {}

impl fmt::Display for VindexDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::no_files;
    use super::*;

    #[test]
    fn rows_are_verified() {
        let hash = VindexDefinition::new("h", "hash", &BTreeMap::new(), "", &no_files).unwrap();
        let Ok(Mapping::KeyspaceId(id)) = hash.map(&[ValueRef::Int(1)]) else {
            panic!("one place is expected");
        };
        assert_eq!(hash.verify(&[ValueRef::Int(1)], &id), Ok(true));
        assert_eq!(hash.verify(&[ValueRef::Int(2)], &id), Ok(false));
        assert_eq!(hash.verify(&[ValueRef::Null], &id), Ok(false));
        assert_eq!(hash.reverse(&id), Some(Value::UInt(1)));
        assert_eq!(hash.owner(), None);
    }
}
