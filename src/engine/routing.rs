//! Routing values to shards, when a statement runs.

use smallvec::{SmallVec, smallvec};

use super::arguments::{Arguments, value_of};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Candidates, Keys, Lookup, RouteList, RouteValue, Routing};
use crate::topology::{Keyspace, KeyspaceId, Shard};
use crate::value::{Value, ValueRef};
use crate::vschema::vindex::{Mapping, VindexDefinition};

/// Combinations of values that are mapped one by one; more go to all shards.
const COMBINATIONS_MAX: usize = 10_000;

/// Where a statement goes.
#[derive(Clone, Debug)]
pub enum Shards<'t> {
    /// Any one shard; the caller chooses.
    Any,
    /// These, each once, in the order of their ranges; at least one.
    These(SmallVec<[ShardPart<'t>; 2]>),
}

/// A shard that a statement goes to.
#[derive(Clone, Debug)]
pub struct ShardPart<'t> {
    /// The shard.
    pub shard: &'t Shard,
    /// Where one list argument decides the shards: the indexes of the items that belong here.
    pub items: Option<Vec<u32>>,
}

/// The shards that `routing` gives with these arguments. Nothing to be found anywhere is [`Shards::Any`]: a shard
/// says so best, with the right columns.
///
/// # Errors
/// `VT12001` when tables that have to be on one shard are not; a value that its vindex cannot take.
pub fn resolve<'t>(routing: &Routing, keyspace: &'t Keyspace, args: &dyn Arguments) -> Result<Shards<'t>> {
    resolve_with(routing, keyspace, args, &[])
}

/// What a lookup's table said: the places of the rows with its values.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPlaces<'p> {
    /// The lookup.
    pub lookup: &'p Lookup,
    /// The places, in no order.
    pub places: Vec<KeyspaceId>,
}

/// The values that the table of `lookup` is to be asked for. NULL equals nothing, so it is left out.
///
/// # Errors
/// An argument that has no value.
pub fn values_to_find(lookup: &Lookup, args: &dyn Arguments) -> Result<Vec<Value>> {
    let mut values = match &lookup.keys {
        Keys::Columns(columns) => columns.first().map_or(Ok(Vec::new()), |first| candidates(first, args))?,
        Keys::Tuples(rows) => rows
            .iter()
            .filter_map(|row| row.first())
            .map(|value| value_of(value, args))
            .collect::<Result<_>>()?,
        Keys::Prefix(_) | Keys::Range(..) => Vec::new(),
    };
    values.retain(|value| *value != Value::Null);
    Ok(values)
}

/// Like [`resolve`], with what tables said; lookups that are not in `known` lead to all shards.
pub fn resolve_with<'t>(
    routing: &Routing,
    keyspace: &'t Keyspace,
    args: &dyn Arguments,
    known: &[FoundPlaces<'_>],
) -> Result<Shards<'t>> {
    let mut found = match routing {
        Routing::AnyShard | Routing::None | Routing::SystemSchema(_) => return Ok(Shards::Any),
        Routing::EqualUnique(lookup) => {
            if let Some(part) = one_place(lookup, keyspace, args)? {
                return Ok(Shards::These(smallvec![part]));
            }
            places(lookup, keyspace, args, known)?
        }
        Routing::In(lookup) => places(lookup, keyspace, args, known)?,
        Routing::Intersect(lookups) => intersection(lookups, keyspace, args, known)?,
        Routing::Pinned(id) => {
            let shard = keyspace.shard_for(id).ok_or_else(|| no_shard(keyspace))?;
            vec![ShardPart { shard, items: None }]
        }
        Routing::SameShard(groups) => same_shard(groups, keyspace, args, known)?,
        Routing::Scatter | Routing::Unsharded => all(keyspace),
        Routing::Union(groups) => union(groups, keyspace, args, known)?,
    };
    if found.is_empty() {
        if keyspace.shards().is_empty() {
            return Err(no_shard(keyspace));
        }
        return Ok(Shards::Any);
    }
    let is_narrow = matches!(routing, Routing::In(_) | Routing::EqualUnique(_));
    if !is_narrow {
        found.iter_mut().for_each(|part| part.items = None);
    }
    Ok(Shards::These(found.into()))
}

fn no_shard(keyspace: &Keyspace) -> Error {
    Error::new(ErrorKind::NoShard, format!("keyspace {} has no serving shard", keyspace.name()))
}

fn all(keyspace: &Keyspace) -> Vec<ShardPart<'_>> {
    keyspace.shards().iter().map(|shard| ShardPart { shard, items: None }).collect()
}

/// The fast path: one value, one column.
fn one_place<'t>(
    lookup: &Lookup,
    keyspace: &'t Keyspace,
    args: &dyn Arguments,
) -> Result<Option<ShardPart<'t>>> {
    if lookup.asks_table() {
        return Ok(None);
    }
    let Keys::Columns(columns) = &lookup.keys else { return Ok(None) };
    let [Candidates::One(value)] = columns.as_slice() else { return Ok(None) };
    let value = value_of(value, args)?;
    if lookup.is_text && !is_string(&value) {
        return Ok(None);
    }
    let Some(value) = comparable(&lookup.vindex.0, value)? else { return Ok(None) };
    match lookup.vindex.0.map(&[value.as_ref()])? {
        Mapping::KeyspaceId(id) => {
            let shard = keyspace.shard_for(&id).ok_or_else(|| no_shard(keyspace))?;
            Ok(Some(ShardPart { shard, items: None }))
        }
        Mapping::AllShards | Mapping::KeyRange(_) | Mapping::None => Ok(None),
    }
}

fn same_shard<'t>(
    groups: &[Vec<Lookup>],
    keyspace: &'t Keyspace,
    args: &dyn Arguments,
    known: &[FoundPlaces<'_>],
) -> Result<Vec<ShardPart<'t>>> {
    let mut one: Option<ShardPart<'t>> = None;
    for group in groups {
        for part in intersection(group, keyspace, args, known)? {
            match &one {
                Some(known) if !std::ptr::eq(known.shard, part.shard) => {
                    return Err(Error::unsupported("a join or sub-query across shards"));
                }
                _ => one = Some(part),
            }
        }
    }
    Ok(one.into_iter().collect())
}

fn union<'t>(
    groups: &[Vec<Lookup>],
    keyspace: &'t Keyspace,
    args: &dyn Arguments,
    known: &[FoundPlaces<'_>],
) -> Result<Vec<ShardPart<'t>>> {
    let mut found = vec![false; keyspace.shards().len()];
    for group in groups {
        for part in intersection(group, keyspace, args, known)? {
            let index = keyspace.shards().iter().position(|known| std::ptr::eq(known, part.shard));
            index.into_iter().for_each(|index| found[index] = true);
        }
    }
    let each = keyspace.shards().iter().zip(found).filter(|(_, is_found)| *is_found);
    Ok(each.map(|(shard, _)| ShardPart { shard, items: None }).collect())
}

fn intersection<'t>(
    lookups: &[Lookup],
    keyspace: &'t Keyspace,
    args: &dyn Arguments,
    known: &[FoundPlaces<'_>],
) -> Result<Vec<ShardPart<'t>>> {
    let mut found: Option<Vec<ShardPart<'t>>> = None;
    for lookup in lookups {
        let these = places(lookup, keyspace, args, known)?;
        found = Some(match found {
            Some(mut known) => {
                known.retain(|part| these.iter().any(|other| std::ptr::eq(part.shard, other.shard)));
                known
            }
            None => these,
        });
    }
    Ok(found.unwrap_or_else(|| all(keyspace)))
}

/// All shards that one lookup gives, in order.
fn places<'t>(
    lookup: &Lookup,
    keyspace: &'t Keyspace,
    args: &dyn Arguments,
    known: &[FoundPlaces<'_>],
) -> Result<Vec<ShardPart<'t>>> {
    let mut found = Found { keyspace, items: vec![None; keyspace.shards().len()] };
    if let Some(answer) = known.iter().find(|answer| answer.lookup == lookup) {
        for id in &answer.places {
            found.add_shards(
                std::slice::from_ref(keyspace.shard_for(id).ok_or_else(|| no_shard(keyspace))?),
                0,
            );
        }
        return Ok(found.parts(false));
    }
    if lookup.asks_table() {
        return Ok(all(keyspace));
    }
    match &lookup.keys {
        Keys::Prefix(_) | Keys::Range(..) => found.add_shards(range(lookup, keyspace, args)?, 0),
        Keys::Tuples(rows) => {
            for (item, row) in (0_u32..).zip(rows) {
                let row: Vec<Value> = row.iter().map(|value| value_of(value, args)).collect::<Result<_>>()?;
                found.add(lookup, row, item)?;
            }
        }
        Keys::Columns(columns) => {
            if let [Candidates::Many(RouteList::Arg(list))] = columns.as_slice() {
                for item in 0..args.list_count(*list)? {
                    found.add(lookup, vec![args.list_value(*list, item)?], item)?;
                }
                return Ok(found.parts(true));
            }
            let columns: Vec<Vec<Value>> =
                columns.iter().map(|column| candidates(column, args)).collect::<Result<_>>()?;
            let count = columns.iter().map(Vec::len).try_fold(1_usize, usize::checked_mul);
            if count.is_none_or(|count| count > COMBINATIONS_MAX) {
                return Ok(all(keyspace));
            }
            combinations(&columns, &mut Vec::new(), &mut |row| found.add(lookup, row, 0))?;
        }
    }
    Ok(found.parts(false))
}

/// The shards of a range of values. Where it is not certain how a server compares a bound with the column, all.
fn range<'t>(lookup: &Lookup, keyspace: &'t Keyspace, args: &dyn Arguments) -> Result<&'t [Shard]> {
    let vindex = &lookup.vindex.0;
    let mapping = match &lookup.keys {
        Keys::Prefix(pattern) => match value_of(pattern, args)? {
            // Whether it escapes anything is a matter of the session's SQL mode.
            Value::Text(pattern) if !pattern.contains(&b'\\') => {
                vindex.map_prefix(Value::Text(pattern).as_ref())
            }
            _ => Mapping::AllShards,
        },
        Keys::Range(low, high) => {
            let bound =
                |bound: &Option<RouteValue>| bound.as_ref().map(|bound| value_of(bound, args)).transpose();
            let (low, high) = (bound(low)?, bound(high)?);
            let is_numeric = is_numeric(vindex);
            let is_certain = |bound: &Option<Value>| match bound {
                None => true,
                Some(Value::Int(_) | Value::UInt(_)) => is_numeric,
                Some(Value::Text(_) | Value::Bytes(_)) => !is_numeric,
                Some(_) => false,
            };
            match is_certain(&low) && is_certain(&high) {
                true => vindex.map_range(low.as_ref().map(Value::as_ref), high.as_ref().map(Value::as_ref)),
                false => Mapping::AllShards,
            }
        }
        Keys::Columns(_) | Keys::Tuples(_) => Mapping::AllShards,
    };
    Ok(match mapping {
        Mapping::KeyRange(range) => keyspace.shards_for_range(&range),
        Mapping::None => &[],
        Mapping::AllShards | Mapping::KeyspaceId(_) => keyspace.shards(),
    })
}

fn candidates(column: &Candidates, args: &dyn Arguments) -> Result<Vec<Value>> {
    match column {
        Candidates::One(value) => Ok(vec![value_of(value, args)?]),
        Candidates::Many(RouteList::Values(values)) => {
            values.iter().map(|value: &RouteValue| value_of(value, args)).collect()
        }
        Candidates::Many(RouteList::Arg(list)) => {
            (0..args.list_count(*list)?).map(|item| args.list_value(*list, item)).collect()
        }
    }
}

fn combinations(
    columns: &[Vec<Value>],
    row: &mut Vec<Value>,
    visit: &mut dyn FnMut(Vec<Value>) -> Result<()>,
) -> Result<()> {
    let Some((first, rest)) = columns.split_first() else { return visit(row.clone()) };
    for value in first {
        row.push(value.clone());
        combinations(rest, row, visit)?;
        row.pop();
    }
    Ok(())
}

/// Shards that were found, by their index, each with the items that led to it.
struct Found<'t> {
    keyspace: &'t Keyspace,
    items: Vec<Option<Vec<u32>>>,
}

impl<'t> Found<'t> {
    fn add(&mut self, lookup: &Lookup, row: Vec<Value>, item: u32) -> Result<()> {
        let vindex = &lookup.vindex.0;
        if lookup.is_text && row.iter().any(|value| !is_string(value) && *value != Value::Null) {
            self.add_shards(self.keyspace.shards(), item);
            return Ok(());
        }
        let mut values = Vec::with_capacity(row.len());
        for value in row {
            match comparable(vindex, value)? {
                Some(value) => values.push(value),
                None => return Ok(()),
            }
        }
        let refs: SmallVec<[ValueRef<'_>; 4]> = values.iter().map(Value::as_ref).collect();
        let shards: &[Shard] = match vindex.map(&refs)? {
            Mapping::AllShards => self.keyspace.shards(),
            Mapping::KeyRange(range) => self.keyspace.shards_for_range(&range),
            Mapping::KeyspaceId(id) => {
                std::slice::from_ref(self.keyspace.shard_for(&id).ok_or_else(|| no_shard(self.keyspace))?)
            }
            Mapping::None => &[],
        };
        self.add_shards(shards, item);
        Ok(())
    }

    fn add_shards(&mut self, shards: &[Shard], item: u32) {
        for shard in shards {
            let index = self.keyspace.shards().iter().position(|known| std::ptr::eq(known, shard));
            if let Some(index) = index {
                self.items[index].get_or_insert_default().push(item);
            }
        }
    }

    fn parts(self, with_items: bool) -> Vec<ShardPart<'t>> {
        let each = self.keyspace.shards().iter().zip(self.items);
        each.filter_map(|(shard, items)| {
            items.map(|items| ShardPart { shard, items: with_items.then_some(items) })
        })
        .collect()
    }
}

/// Are strings compared with it as strings? With numbers and dates they are not: `'01'` and `'1x'` equal 1.
fn is_string(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::Bytes(_))
}

/// The value as the server would compare it with the column, so that it maps to where equal values are; `None`
/// if it equals no value that has a place.
///
/// A vindex over numbers has a column of integers: other numbers are equal to one if they are integral, and
/// strings are compared by the number that they begin with.
/// <https://dev.mysql.com/doc/refman/9.0/en/type-conversion.html>
pub(super) fn comparable(vindex: &VindexDefinition, value: Value) -> Result<Option<Value>> {
    let is_numeric = is_numeric(vindex);
    Ok(match value {
        Value::Null => None,
        Value::Int(_) | Value::UInt(_) => Some(value),
        Value::Decimal(text) => match integral_decimal(&text) {
            Some(number) => Some(number),
            None => (!is_numeric).then_some(Value::Decimal(text)),
        },
        Value::Double(number) => match integral(number) {
            Some(number) => Some(number),
            None => (!is_numeric).then_some(value),
        },
        Value::Float(number) => match integral(f64::from(number)) {
            Some(number) => Some(number),
            None => (!is_numeric).then_some(value),
        },
        // MySQL takes x'02' for the number 2, MariaDB for a string that begins with no number.
        Value::Bytes(_) if is_numeric => {
            return Err(Error::unsupported("a binary string for a vindex of numbers"));
        }
        Value::Text(text) if is_numeric => {
            if text.iter().all(u8::is_ascii_digit) && !text.is_empty() {
                Some(Value::Text(text))
            } else {
                integral(leading_number(&text))
            }
        }
        Value::Temporal(..) if is_numeric => {
            return Err(Error::unsupported("a date or time for a vindex of numbers"));
        }
        Value::Bit(bits) if is_numeric => {
            let number = bits
                .iter()
                .skip_while(|byte| **byte == 0)
                .try_fold(0_u64, |sum, byte| sum.checked_mul(256).map(|sum| sum + u64::from(*byte)));
            number.map(Value::UInt)
        }
        other => Some(other),
    })
}

/// Are its values numbers?
fn is_numeric(vindex: &VindexDefinition) -> bool {
    ["hash", "numeric", "numeric_static_map", "reverse_bits"].contains(&vindex.vindex_type())
}

fn integral_decimal(text: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let whole = if whole.is_empty() || whole == "-" { "0" } else { whole };
    whole.parse().map(Value::Int).or_else(|_| whole.parse().map(Value::UInt)).ok()
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked before")]
fn integral(number: f64) -> Option<Value> {
    const INT_BOUND: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() != 0.0 || !number.is_finite() {
        return None;
    }
    if (-INT_BOUND..INT_BOUND).contains(&number) {
        return Some(Value::Int(number as i64));
    }
    (number > 0.0 && number < 2.0 * INT_BOUND)
        .then(|| Value::Decimal(format!("{number:.0}").into_bytes().into()))
}

/// The number that a string begins with, as in a comparison with a number; 0 without one.
fn leading_number(text: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let mut end = 0;
    let mut best = 0.0;
    let (mut seen_point, mut seen_exponent) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        let before = index.checked_sub(1).map(|at| text.as_bytes()[at]);
        let is_ok = match byte {
            b'0'..=b'9' => true,
            b'+' | b'-' => index == 0 || matches!(before, Some(b'e' | b'E')),
            b'.' => !std::mem::replace(&mut seen_point, true) && !seen_exponent,
            b'e' | b'E' => index > 0 && !std::mem::replace(&mut seen_exponent, true),
            _ => false,
        };
        if !is_ok {
            break;
        }
        end = index + 1;
        if let Ok(number) = text[..end].parse::<f64>() {
            best = number;
        }
    }
    debug_assert!(end <= text.len());
    best
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::fake_shards::{FakeArguments, topology};
    use super::*;
    use crate::plan::primitive::VindexRef;
    use crate::vschema::vindex::no_files;

    fn vindex(kind: &str) -> VindexRef {
        VindexRef(Arc::new(VindexDefinition::new(kind, kind, &BTreeMap::new(), "", &no_files).unwrap()))
    }

    fn equal(number: i64) -> Lookup {
        let value = RouteValue::Literal(Value::Int(number));
        Lookup { vindex: vindex("hash"), keys: Keys::Columns(vec![Candidates::One(value)]), is_text: false }
    }

    /// Names of the shards, with the list items of each; `any` for any one.
    fn names(routing: &Routing, args: &FakeArguments) -> Result<String> {
        let topology = topology(&["-40", "40-80", "80-"]);
        Ok(match resolve(routing, topology.keyspace("ks").unwrap(), args)? {
            Shards::Any => "any".to_owned(),
            Shards::These(parts) => {
                let each = parts.iter().map(|part| match &part.items {
                    Some(items) => format!("{}{items:?}", part.shard.name()),
                    None => part.shard.name().to_string(),
                });
                each.collect::<Vec<_>>().join(" ")
            }
        })
    }

    #[test]
    fn values_find_their_shards() {
        // By the published vectors of `hash`: 1 is at 16…, 2 at 06…, 3 at 4e…, 4 at d2….
        let args = FakeArguments {
            lists: [(0, [1, 4, 3].map(Value::Int).into_iter().chain([Value::Null]).collect())].into(),
            ..FakeArguments::default()
        };
        let check = |routing: Routing, expected: &str| assert_eq!(names(&routing, &args).unwrap(), expected);
        let list = Keys::Columns(vec![Candidates::Many(RouteList::Arg(0))]);
        check(Routing::EqualUnique(equal(4)), "80-");
        check(
            Routing::In(Lookup { vindex: vindex("hash"), keys: list, is_text: false }),
            "-40[0] 40-80[2] 80-[1]",
        );
        check(Routing::Intersect(vec![equal(1), equal(2)]), "-40");
        check(Routing::Intersect(vec![equal(1), equal(4)]), "any");
        check(Routing::SameShard(vec![vec![equal(1)], vec![equal(2)]]), "-40");
        check(Routing::Union(vec![vec![equal(4)], vec![equal(1)]]), "-40 80-");
        check(Routing::Scatter, "-40 40-80 80-");
        check(Routing::None, "any");
        let apart = Routing::SameShard(vec![vec![equal(1)], vec![equal(4)]]);
        assert_eq!(names(&apart, &args).unwrap_err().kind(), Some(ErrorKind::Unsupported));
    }

    #[test]
    fn strings_may_equal_numbers_on_all_shards() {
        let check = |value: Value, is_text: bool, expected: &str| {
            let keys = Keys::Columns(vec![Candidates::One(RouteValue::Literal(value))]);
            let routing = Routing::EqualUnique(Lookup { vindex: vindex("xxhash"), keys, is_text });
            assert_eq!(names(&routing, &FakeArguments::default()).unwrap(), expected);
        };
        check(Value::Int(12), true, "-40 40-80 80-");
        check(Value::Double(0.5), true, "-40 40-80 80-");
        check(Value::Null, true, "any");
        check(Value::text("1"), true, "80-");
    }

    #[test]
    fn values_are_taken_as_a_column_of_integers_compares_them() {
        let check = |value: Value, expected: Option<Value>| {
            assert_eq!(comparable(&vindex("hash").0, value.clone()).unwrap(), expected, "{value:?}");
        };
        check(Value::Null, None);
        check(Value::Decimal(b"3.00".as_slice().into()), Some(Value::Int(3)));
        check(Value::Decimal(b"3.5".as_slice().into()), None);
        check(Value::Double(4e0), Some(Value::Int(4)));
        check(Value::Double(0.5), None);
        check(Value::text("12abc"), Some(Value::Int(12)));
        check(Value::text(" 1e2"), Some(Value::Int(100)));
        check(Value::text("abc"), Some(Value::Int(0)));
        check(Value::Bit([1, 0].as_slice().into()), Some(Value::UInt(256)));
    }
}
