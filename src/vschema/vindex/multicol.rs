//! `multicol`: a place made of the first bytes of each column's hash.
//!
//! Rows with equal first columns stay together, and a condition on the first columns alone reaches a range.

use smallvec::SmallVec;

use super::params::Params;
use super::{Mapping, ReadFile, Vindex, VindexError, VindexTraits, create};
use crate::topology::{KeyRange, KeyspaceId};
use crate::value::ValueRef;

/// Bytes of an id, and thus also the most columns.
const ID_BYTES: usize = 8;

#[derive(Debug)]
pub(super) struct Multicol {
    columns: SmallVec<[Column; ID_BYTES]>,
    cost: u32,
}

#[derive(Debug)]
struct Column {
    vindex: Box<dyn Vindex>,
    /// Bytes of the hash that are kept.
    byte_count: usize,
    /// Where they begin in the id.
    start: usize,
}

impl Multicol {
    pub(super) fn create(
        name: &str,
        params: &mut Params<'_>,
        read_file: ReadFile<'_>,
    ) -> Result<Self, String> {
        let count = params.required("column_count")?;
        let count = count.parse().ok().filter(|count| (1..=ID_BYTES).contains(count)).ok_or_else(|| {
            format!("number of columns should be between 1 and {ID_BYTES} in the parameter 'column_count', not {count}")
        })?;
        let byte_counts = share_bytes(params.get("column_bytes").unwrap_or_default(), count)?;
        let kinds = params.get("column_vindex").unwrap_or_default();
        let mut kinds = kinds.split(',').map(str::trim);
        let mut own = params.all().clone();
        own.retain(|name, _| !["column_count", "column_bytes", "column_vindex"].contains(&name.as_str()));
        let (mut columns, mut start, mut cost) = (SmallVec::new(), 0, 0);
        for byte_count in byte_counts {
            let kind = kinds.next().filter(|kind| !kind.is_empty()).unwrap_or("hash");
            let vindex = create::create(kind, name, &own, read_file)?.vindex;
            let traits = vindex.traits();
            if !traits.is_hashing || !traits.is_unique || traits.is_lookup {
                return Err(format!(
                    "multicol vindex supports vindexes that exports hashing function, are unique and are non-lookup vindex, passed vindex '{kind}' is invalid"
                ));
            }
            cost += traits.cost;
            columns.push(Column { vindex, byte_count, start });
            start += byte_count;
        }
        if kinds.next().is_some() {
            return Err(format!(
                "number of vindex function provided are more than column count in the parameter 'column_vindex', not {count}"
            ));
        }
        // The rest belongs to the columns' vindexes, which know of each other's params nothing.
        params.accept_all();
        Ok(Self { columns, cost })
    }
}

/// How many bytes each column gives to the id: those named in `text`, and a fair share for the others.
fn share_bytes(text: &str, count: usize) -> Result<SmallVec<[usize; ID_BYTES]>, String> {
    let mut given: SmallVec<[Option<usize>; ID_BYTES]> = SmallVec::new();
    if !text.is_empty() {
        for part in text.split(',').map(str::trim) {
            let bytes = match part {
                "" => None,
                part => Some(part.parse().ok().filter(|bytes| (1..=ID_BYTES).contains(bytes)).ok_or_else(|| {
                    format!("column bytes should be between 1 and {ID_BYTES} in the parameter 'column_bytes', not {part}")
                })?),
            };
            given.push(bytes);
        }
    }
    if given.len() > count {
        return Err(
            "number of column bytes provided are more than column count in the parameter 'column_bytes'"
                .to_owned(),
        );
    }
    given.resize(count, None);
    let mut pending = given.iter().filter(|bytes| bytes.is_none()).count();
    let taken: usize = given.iter().flatten().sum();
    let mut remaining = ID_BYTES.checked_sub(taken).filter(|remaining| *remaining >= pending).ok_or_else(|| {
        format!("column bytes count exceeds the keyspace id length (total bytes count cannot exceed {ID_BYTES} bytes) in the parameter 'column_bytes'")
    })?;
    let share = given.into_iter().map(|bytes| {
        bytes.unwrap_or_else(|| {
            let share = remaining.div_ceil(pending);
            remaining -= share;
            pending -= 1;
            share
        })
    });
    Ok(share.collect())
}

impl Vindex for Multicol {
    fn traits(&self) -> VindexTraits {
        VindexTraits {
            column_count: self.columns.len(),
            is_partial: true,
            is_hashing: false,
            ..VindexTraits::functional(self.cost)
        }
    }

    fn hash(&self, _value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Err(VindexError::NotHashing)
    }

    fn map(&self, values: &[ValueRef<'_>]) -> Result<Mapping, VindexError> {
        if values.len() > self.columns.len() {
            return Err(VindexError::ColumnCount { expected: self.columns.len(), given: values.len() });
        }
        let mut id: SmallVec<[u8; ID_BYTES]> = SmallVec::new();
        for (column, value) in self.columns.iter().zip(values) {
            let Some(hash) = column.vindex.hash(*value)? else {
                return Ok(Mapping::None);
            };
            // An earlier column's hash may have been shorter than its share.
            id.resize(column.start, 0);
            let hash = hash.as_bytes();
            id.extend_from_slice(&hash[..hash.len().min(column.byte_count)]);
        }
        if values.len() == self.columns.len() {
            Ok(Mapping::KeyspaceId(KeyspaceId::from_bytes(&id)))
        } else if id.is_empty() {
            Ok(Mapping::AllShards)
        } else {
            Ok(Mapping::KeyRange(KeyRange::with_prefix(&id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check, try_vindex, vindex};
    use super::*;

    const ONE: ValueRef<'_> = ValueRef::Int(1);

    #[test]
    fn known_answers() {
        let multi = vindex("multicol", &[("column_count", "3")]);
        assert_eq!(multi.traits().cost, 3);
        check(&*multi, &[ONE, ONE, ONE], "166b40166b40166b");
        check(&*multi, &[ValueRef::Int(255), ONE, ONE], "254e88166b40166b");
        check(&*multi, &[ValueRef::Int(256), ONE, ONE], "dd7c0b166b40166b");
        check(&*multi, &[ONE], "166b40-166b41");
        check(&*multi, &[ONE, ONE], "166b40166b40-166b40166b41");
        check(&*multi, &[], "all");
        check(&*multi, &[ValueRef::Null, ONE, ONE], "none");
        check(&*multi, &[ONE, ONE, ONE, ONE], "vindex takes 3 columns, not 4");
    }

    #[test]
    fn columns_have_their_own_vindexes() {
        let params = [("column_count", "2"), ("column_bytes", "1"), ("column_vindex", "binary,xxhash")];
        let multi = vindex("multicol", &params);
        assert_eq!(multi.traits().cost, 1);
        check(&*multi, &[ValueRef::Text(b"ab"), ONE], "61d46405367612b4");
        let multi = vindex("multicol", &[("column_count", "2"), ("column_vindex", "binary,hash")]);
        check(&*multi, &[ValueRef::Text(b"a"), ONE], "61000000166b40b4");
        check(&*multi, &[ValueRef::Null, ONE], "00000000166b40b4");
        let map = [
            ("column_count", "2"),
            ("column_vindex", "numeric_static_map"),
            ("json", r#"{"1":18446744073709551615}"#),
        ];
        check(&*vindex("multicol", &map), &[ONE, ONE], "ffffffff166b40b4");
    }

    #[test]
    fn bytes_are_shared() {
        let check =
            |text: &str, count, expected: &[usize]| assert_eq!(&*share_bytes(text, count).unwrap(), expected);
        check("", 1, &[8]);
        check("", 2, &[4, 4]);
        check("", 3, &[3, 3, 2]);
        check("", 8, &[1; 8]);
        check("1,,2", 3, &[1, 5, 2]);
        check("1", 2, &[1, 7]);
        check("1,2", 4, &[1, 2, 3, 2]);
        check("1,1", 2, &[1, 1]);
    }

    #[test]
    fn wrong_params() {
        let check = |params: &[(&str, &str)], expected: &str| {
            let error = try_vindex("multicol", params).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check(&[], "missing param column_count");
        check(&[("column_count", "0")], "number of columns should be between 1 and 8");
        check(&[("column_count", "9")], "number of columns should be between 1 and 8");
        check(&[("column_count", "2"), ("column_bytes", "0")], "column bytes should be between 1 and 8");
        check(
            &[("column_count", "2"), ("column_bytes", "8")],
            "column bytes count exceeds the keyspace id length",
        );
        check(
            &[("column_count", "2"), ("column_bytes", "5,5")],
            "column bytes count exceeds the keyspace id length",
        );
        check(
            &[("column_count", "1"), ("column_bytes", "1,1")],
            "number of column bytes provided are more than",
        );
        check(
            &[("column_count", "1"), ("column_vindex", "hash,hash")],
            "number of vindex function provided are more than",
        );
        check(
            &[("column_count", "2"), ("column_vindex", "null")],
            "multicol vindex supports vindexes that exports",
        );
        check(&[("column_count", "2"), ("column_vindex", "what")], "vindexType \"what\" not found");
    }
}
