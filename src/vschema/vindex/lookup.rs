//! The lookup family: places kept in a table. What is pure about them is here: how values and places are written in
//! that table. Asking and keeping the table is the business of whoever can send SQL; without it a lookup maps to all
//! shards.

use super::hash::Hash;
use super::params::Params;
use super::unicode_loose_md5::UnicodeLooseMd5;
use super::{Mapping, Vindex, VindexError, VindexTraits};
use crate::topology::KeyspaceId;
use crate::value::{Value, ValueRef};

/// What a lookup vindex says about its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupSpec {
    /// The table with the places, `[keyspace.]table`.
    pub table: String,
    /// Its columns that hold the values; the first is looked up, the others tell rows apart.
    pub from: Vec<String>,
    /// Its column that holds the place.
    pub to: String,
    /// Rows with a NULL value are left out of the table.
    pub ignore_nulls: bool,
    /// Values of any type are looked up by one statement.
    pub batch_lookup: bool,
    /// The lock of lookups inside a writing transaction.
    pub read_lock: ReadLock,
    /// Reads and writes of the table are outside the transaction.
    pub autocommit: bool,
    /// Like `autocommit`, on every shard by itself.
    pub multi_shard_autocommit: bool,
    /// What is found is taken as true.
    pub no_verify: bool,
    /// The table is being filled: it is written but not read.
    pub write_only: bool,
    /// Written in an order that leaves at most orphans in the table.
    pub is_consistent: bool,
    /// Places are kept as numbers, turned back by the `hash` vindex.
    pub is_hashed: bool,
    /// Values are kept as numbers made of their `unicode_loose_md5`.
    pub is_unicode_hashed: bool,
}

/// The lock of lookups inside a writing transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadLock {
    /// `FOR UPDATE`.
    #[default]
    Exclusive,
    /// None.
    None,
    /// `LOCK IN SHARE MODE`.
    Shared,
}

/// Names and properties: type, unique, consistent, hashed, unicode.
const TYPES: [(&str, bool, bool, bool, bool); 8] = [
    ("consistent_lookup", false, true, false, false),
    ("consistent_lookup_unique", true, true, false, false),
    ("lookup", false, false, false, false),
    ("lookup_hash", false, false, true, false),
    ("lookup_hash_unique", true, false, true, false),
    ("lookup_unicodeloosemd5_hash", false, false, true, true),
    ("lookup_unicodeloosemd5_hash_unique", true, false, true, true),
    ("lookup_unique", true, false, false, false),
];

#[derive(Debug)]
pub(super) struct Lookup {
    is_unique: bool,
}

impl Lookup {
    /// `None` if the type is none of the family.
    pub(super) fn create(
        vindex_type: &str,
        params: &Params<'_>,
    ) -> Option<Result<(Self, LookupSpec), String>> {
        let found = TYPES.iter().find(|(name, ..)| *name == vindex_type)?;
        let (_, is_unique, is_consistent, is_hashed, is_unicode_hashed) = *found;
        let spec = LookupSpec::create(params, is_consistent, is_hashed, is_unicode_hashed);
        Some(spec.map(|spec| (Self { is_unique }, spec)))
    }
}

impl LookupSpec {
    /// The keyspace of the table, if one is named, and the table's name.
    pub fn table_name(&self) -> (Option<&str>, &str) {
        match self.table.split_once('.') {
            Some((keyspace, name)) => (Some(keyspace), name),
            None => (None, &self.table),
        }
    }

    /// What the table holds for a place; `None` if it cannot hold it (places of eight bytes only, as numbers).
    pub fn stored_place(&self, id: &KeyspaceId) -> Option<Value> {
        if self.is_hashed { Hash.reverse(id) } else { Some(Value::bytes(id.as_bytes())) }
    }

    /// The place that the table holds as `stored`, in text form.
    pub fn place_of(&self, stored: &[u8]) -> Option<KeyspaceId> {
        if !self.is_hashed {
            return Some(KeyspaceId::from_bytes(stored));
        }
        Hash.hash(ValueRef::Text(stored)).ok().flatten()
    }

    /// What the table holds for a value of the owner's column.
    ///
    /// # Errors
    /// Text that is no UTF-8 where its collation weights are wanted.
    pub fn stored_value(&self, value: Value) -> Result<Value, VindexError> {
        if !self.is_unicode_hashed || value == Value::Null {
            return Ok(value);
        }
        let id = UnicodeLooseMd5.hash(value.as_ref())?;
        Ok(id.map_or(Value::Null, |id| Value::UInt(id.leading_u64())))
    }

    fn create(
        params: &Params<'_>,
        is_consistent: bool,
        is_hashed: bool,
        is_unicode: bool,
    ) -> Result<Self, String> {
        let from: Vec<_> = params.required("from")?.split(',').map(|name| name.trim().to_owned()).collect();
        if from.iter().any(String::is_empty) {
            return Err("param from has an empty column name".to_owned());
        }
        let read_lock = match params.get("read_lock") {
            None | Some("exclusive") => ReadLock::Exclusive,
            Some("shared") => ReadLock::Shared,
            Some("none") => ReadLock::None,
            Some(other) => {
                return Err(format!("invalid value for read_lock: {other}; use exclusive, shared or none"));
            }
        };
        let plain = |name| if is_consistent { Ok(false) } else { params.flag(name) };
        let multi_shard_autocommit = plain("multi_shard_autocommit")?;
        Ok(Self {
            table: params.required("table")?.to_owned(),
            from,
            to: params.required("to")?.to_owned(),
            ignore_nulls: params.flag("ignore_nulls")?,
            batch_lookup: params.flag("batch_lookup")?,
            read_lock,
            autocommit: plain("autocommit")? || multi_shard_autocommit,
            multi_shard_autocommit,
            no_verify: if is_hashed { false } else { plain("no_verify")? },
            write_only: params.flag("write_only")?,
            is_consistent,
            is_hashed,
            is_unicode_hashed: is_unicode,
        })
    }
}

impl Vindex for Lookup {
    fn traits(&self) -> VindexTraits {
        VindexTraits {
            is_unique: self.is_unique,
            is_hashing: false,
            is_lookup: true,
            ..VindexTraits::functional(if self.is_unique { 10 } else { 20 })
        }
    }

    fn hash(&self, _value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Err(VindexError::NotHashing)
    }

    fn map(&self, _values: &[ValueRef<'_>]) -> Result<Mapping, VindexError> {
        Ok(Mapping::AllShards)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn params(extra: &[(&str, &str)]) -> BTreeMap<String, String> {
        let all = [("table", "lk.name_idx"), ("from", "name, user_id"), ("to", "keyspace_id")];
        all.iter().chain(extra).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn spec(vindex_type: &str, extra: &[(&str, &str)]) -> Result<LookupSpec, String> {
        Lookup::create(vindex_type, &Params::new(&params(extra))).unwrap().map(|(_, spec)| spec)
    }

    #[test]
    fn every_type_is_known() {
        for (name, is_unique, ..) in TYPES {
            let given = params(&[]);
            let (lookup, spec) = Lookup::create(name, &Params::new(&given)).unwrap().unwrap();
            let traits = lookup.traits();
            assert_eq!(
                (traits.is_unique, traits.cost, traits.is_lookup),
                (is_unique, if is_unique { 10 } else { 20 }, true)
            );
            assert_eq!(spec.from, ["name", "user_id"]);
            assert_eq!(lookup.map(&[ValueRef::Int(1)]), Ok(Mapping::AllShards));
        }
        assert!(Lookup::create("hash", &Params::new(&BTreeMap::new())).is_none());
    }

    #[test]
    fn places_and_values_are_written_as_vitess_writes_them() {
        let plain = spec("lookup", &[]).unwrap();
        let id = KeyspaceId::from_bytes(&[0x16, 0x6b, 0x40, 0xb4, 0x4a, 0xba, 0x4b, 0xd6]);
        assert_eq!(plain.stored_place(&id), Some(Value::bytes(id.as_bytes())));
        assert_eq!(plain.place_of(id.as_bytes()), Some(id.clone()));
        assert_eq!(plain.stored_value(Value::text("Test")), Ok(Value::text("Test")));
        assert_eq!(plain.table_name(), (Some("lk"), "name_idx"));
        let hashed = spec("lookup_hash", &[("table", "t")]).unwrap();
        assert_eq!(hashed.stored_place(&id), Some(Value::UInt(1)));
        assert_eq!(hashed.place_of(b"1"), Some(id));
        assert_eq!(hashed.place_of(b"x"), None);
        assert_eq!(hashed.stored_place(&KeyspaceId::from_bytes(&[1])), None);
        assert_eq!(hashed.table_name(), (None, "t"));
        let unicode = spec("lookup_unicodeloosemd5_hash", &[]).unwrap();
        assert_eq!(unicode.stored_value(Value::text("TEST")), Ok(Value::UInt(0x0b5e_dbb4_01fd_7524)));
        assert_eq!(unicode.stored_value(Value::Null), Ok(Value::Null));
    }

    #[test]
    fn params_are_checked() {
        let check =
            |extra: &[(&str, &str)], expected: &str| assert_eq!(spec("lookup", extra).unwrap_err(), expected);
        check(&[("table", "")], "missing param table");
        check(&[("from", "a,,b")], "param from has an empty column name");
        check(&[("autocommit", "yes")], "autocommit value must be 'true' or 'false': 'yes'");
        check(&[("read_lock", "x")], "invalid value for read_lock: x; use exclusive, shared or none");
        assert!(spec("lookup", &[("multi_shard_autocommit", "true")]).unwrap().autocommit);
        assert_eq!(spec("lookup", &[("read_lock", "none")]).unwrap().read_lock, ReadLock::None);
    }

    #[test]
    fn consistent_lookups_know_fewer_params() {
        let given = params(&[("autocommit", "true"), ("write_only", "true")]);
        let params = Params::new(&given);
        let (_, spec) = Lookup::create("consistent_lookup", &params).unwrap().unwrap();
        assert!(spec.write_only && !spec.autocommit);
        assert_eq!(params.unknown(), ["autocommit"]);
    }
}
