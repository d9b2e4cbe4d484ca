//! Vindexes: functions from column values to keyspace ids, one file each.
//!
//! The algorithms are Vitess's, byte for byte, because rows written by it must be found where they are. A
//! vindex knows neither shards nor tables. A value that no row can have (text for a `numeric` vindex, say) maps
//! nowhere; that is not an error. On the hot path nothing here allocates.

mod binary;
mod binary_md5;
mod cfc;
mod create;
mod definition;
mod hash;
mod lookup;
mod multicol;
mod null;
mod numeric;
mod numeric_static_map;
mod params;
mod region_experimental;
mod region_json;
mod reverse_bits;
mod unicode;
mod unicode_loose_md5;
mod unicode_loose_xxhash;
mod xxhash;

use std::fmt;

pub use create::{ReadFile, no_files};
pub use definition::VindexDefinition;
pub use lookup::{LookupSpec, ReadLock};

use crate::error::{Error, ErrorKind};
use crate::topology::{Destination, KeyRange, KeyspaceId};
use crate::value::{Value, ValueRef};

/// Where the rows with a value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Anywhere.
    AllShards,
    /// At a place within the range.
    KeyRange(KeyRange),
    /// At one place.
    KeyspaceId(KeyspaceId),
    /// Nowhere: no row can have the value.
    None,
}

impl From<Mapping> for Destination {
    fn from(mapping: Mapping) -> Self {
        match mapping {
            Mapping::AllShards => Self::AllShards,
            Mapping::KeyRange(range) => Self::KeyRange(range),
            Mapping::KeyspaceId(id) => Self::KeyspaceId(id),
            Mapping::None => Self::None,
        }
    }
}

/// What the planner may do with a vindex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VindexTraits {
    /// How dear a mapping is; the planner takes the cheapest vindex that fits.
    pub cost: u32,
    /// Whether all rows with one value are at one place.
    pub is_unique: bool,
    /// Columns that make up a value.
    pub column_count: usize,
    /// Whether the first columns alone narrow the place down to a range.
    pub is_partial: bool,
    /// Whether [`Vindex::map_range`] narrows anything: ids have the order of the values.
    pub is_sequential: bool,
    /// Whether [`Vindex::map_prefix`] narrows anything.
    pub is_prefixable: bool,
    /// Whether it can be a part of a `multicol` vindex.
    pub is_hashing: bool,
    /// Whether the places are kept in a table.
    pub is_lookup: bool,
}

impl VindexTraits {
    /// A unique function of one column, without further talents.
    const fn functional(cost: u32) -> Self {
        Self {
            cost,
            is_unique: true,
            column_count: 1,
            is_partial: false,
            is_sequential: false,
            is_prefixable: false,
            is_hashing: true,
            is_lookup: false,
        }
    }
}

/// A function from values to places. Implementations are pure and cheap.
pub trait Vindex: fmt::Debug + Send + Sync {
    /// Its properties, which never change.
    fn traits(&self) -> VindexTraits;

    /// The place of one column's value; `None` if no row can have it. Vindexes of several columns do not have
    /// this.
    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError>;

    /// The place of a row, by the values of its columns; fewer than all if [`VindexTraits::is_partial`].
    fn map(&self, values: &[ValueRef<'_>]) -> Result<Mapping, VindexError> {
        match values {
            [value] => Ok(self.hash(*value)?.map_or(Mapping::None, Mapping::KeyspaceId)),
            _ => Err(VindexError::ColumnCount { expected: 1, given: values.len() }),
        }
    }

    /// The places of rows `BETWEEN low AND high`, both included; `None` is no bound.
    fn map_range(&self, _low: Option<ValueRef<'_>>, _high: Option<ValueRef<'_>>) -> Mapping {
        Mapping::AllShards
    }

    /// The places of rows that match a LIKE pattern with the usual escape character.
    fn map_prefix(&self, _pattern: ValueRef<'_>) -> Mapping {
        Mapping::AllShards
    }

    /// The value that maps to a keyspace id, for functions that can be turned round.
    fn reverse(&self, _id: &KeyspaceId) -> Option<Value> {
        None
    }
}

/// Why a value could not be mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VindexError {
    /// Too many or too few columns.
    #[error("vindex takes {expected} columns, not {given}")]
    ColumnCount {
        /// What the vindex takes.
        expected: usize,
        /// What it got.
        given: usize,
    },
    /// A value of `cfc` that ends before its last offset.
    #[error("insufficient size for cfc vindex {name}. need {needed}, got {given}")]
    InsufficientSize {
        /// The vindex.
        name: String,
        /// Bytes up to the last offset.
        needed: usize,
        /// Bytes of the value.
        given: usize,
    },
    /// A collation vindex's value that is no text.
    #[error("cannot normalize string containing invalid UTF-8: {0:?}")]
    InvalidUtf8(String),
    /// A vindex of several columns cannot hash one value.
    #[error("vindex cannot hash a single value")]
    NotHashing,
}

impl From<VindexError> for Error {
    fn from(error: VindexError) -> Self {
        Self::new(ErrorKind::CannotConvert, error.to_string())
    }
}

/// Calls `then` with the value's bytes as MySQL prints them, without allocating for integers and strings.
fn with_bytes<T>(value: ValueRef<'_>, then: impl FnOnce(&[u8]) -> T) -> T {
    match value {
        ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => then(bytes),
        ValueRef::UInt(number) => with_digits(number, false, then),
        ValueRef::Int(number) => with_digits(number.unsigned_abs(), number < 0, then),
        other => then(&other.to_bytes()),
    }
}

fn with_digits<T>(mut number: u64, is_negative: bool, then: impl FnOnce(&[u8]) -> T) -> T {
    // 20 digits hold 2^64, and a sign goes with at most 19.
    let mut digits = [b'-'; 21];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    then(&digits[start - usize::from(is_negative)..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_have_the_digits_that_mysql_prints(signed: i64, unsigned: u64) {
            with_bytes(ValueRef::Int(signed), |bytes| assert_eq!(bytes, signed.to_string().as_bytes()));
            with_bytes(ValueRef::UInt(unsigned), |bytes| assert_eq!(bytes, unsigned.to_string().as_bytes()));
        }
    }

    #[test]
    fn the_longest_integers_fit() {
        with_bytes(ValueRef::Int(i64::MIN), |bytes| assert_eq!(bytes, b"-9223372036854775808"));
        with_bytes(ValueRef::UInt(u64::MAX), |bytes| assert_eq!(bytes, b"18446744073709551615"));
        with_bytes(ValueRef::Null, |bytes| assert_eq!(bytes, b""));
    }
}

/// Examples in the tests of the vindexes: values in, keyspace ids in hexadecimal out.
#[cfg(test)]
mod check {
    use super::create::create;
    use super::*;

    pub(super) fn vindex(vindex_type: &str, params: &[(&str, &str)]) -> Box<dyn Vindex> {
        try_vindex(vindex_type, params).unwrap()
    }

    pub(super) fn try_vindex(vindex_type: &str, params: &[(&str, &str)]) -> Result<Box<dyn Vindex>, String> {
        let params = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let read = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
        create(vindex_type, "v", &params, &read).map(|created| created.vindex)
    }

    /// A mapping in short: the id, `start-end`, `all`, `none` or the error.
    pub(super) fn mapped(mapping: Result<Mapping, VindexError>) -> String {
        match mapping {
            Ok(Mapping::AllShards) => "all".to_owned(),
            Ok(Mapping::KeyRange(range)) => range.to_string(),
            Ok(Mapping::KeyspaceId(id)) => id.to_string(),
            Ok(Mapping::None) => "none".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[track_caller]
    pub(super) fn check(vindex: &dyn Vindex, values: &[ValueRef<'_>], expected: &str) {
        assert_eq!(mapped(vindex.map(values)), expected, "{values:?}");
    }
}
