//! From a plan's routing to shards: values to keyspace ids by the vindexes, ids to shards by the topology.

use smallvec::SmallVec;

use super::arguments::Arguments;
use super::place;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Candidates, Keys, Lookup, Route, RouteList, Routing};
use crate::session::Session;
use crate::topology::{Destination, Keyspace, Shard, ShardName, Snapshot};
use crate::value::{Value, ValueRef};
use crate::vschema::vindex::{Mapping, VindexDefinition};

/// Shards that a statement concerns, in the order of their ranges.
pub(super) type Shards<'s> = SmallVec<[&'s Shard; 4]>;

/// The values of one row's vindex columns.
type Values = SmallVec<[Value; 2]>;

/// What resolution needs to know.
pub(super) struct Resolver<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) session: &'a Session,
    pub(super) arguments: &'a Arguments<'a>,
}

impl<'a> Resolver<'a> {
    /// The keyspace of a route. For system tables it may be named in the statement, as keyspace or as database.
    pub(super) fn route_keyspace(&self, route: &Route) -> Result<&'a Keyspace> {
        if let Routing::SystemSchema(Some(value)) = &route.routing {
            let value = self.arguments.route_value(value)?;
            let name = value.as_ref().to_bytes();
            let mut keyspaces = self.snapshot.topology.keyspaces().iter();
            let named = keyspaces.find(|keyspace| {
                keyspace.name().as_bytes() == &*name || keyspace.db_name().as_bytes() == &*name
            });
            if let Some(keyspace) = named {
                return Ok(keyspace);
            }
        }
        let name = match &route.keyspace {
            Some(name) => name.to_string(),
            None => place::any_keyspace(self.session, self.snapshot)?,
        };
        let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"));
        self.snapshot.topology.keyspace(&name).ok_or_else(unknown)
    }

    /// The shards of a routing. Where no row can match, one shard remains, to say so with the right columns.
    pub(super) fn shards(&self, keyspace: &'a Keyspace, routing: &Routing) -> Result<Shards<'a>> {
        let shards = match routing {
            Routing::AnyShard | Routing::None | Routing::SystemSchema(_) => Shards::new(),
            Routing::Unsharded => keyspace.resolve(&Destination::AnyShard)?,
            Routing::Scatter => keyspace.resolve(&Destination::AllShards)?,
            Routing::Pinned(id) => keyspace.resolve(&Destination::KeyspaceId(id.clone()))?,
            Routing::EqualUnique(lookup) | Routing::In(lookup) => self.lookup(keyspace, lookup)?,
            Routing::Intersect(lookups) => self.intersection(keyspace, lookups)?,
            Routing::SameShard(groups) => self.same_shard(keyspace, groups)?,
        };
        if shards.is_empty() { self.any_shard(keyspace) } else { Ok(shards) }
    }

    /// A shard for what any shard can answer: one that the transaction has touched already, if possible.
    fn any_shard(&self, keyspace: &'a Keyspace) -> Result<Shards<'a>> {
        let held = self.session.transaction.shards.iter().find(|held| {
            held.target.keyspace == *keyspace.name()
                && held.target.tablet_type == self.session.target.tablet_type
        });
        if let Some(shard) = held.and_then(|held| keyspace.shard(&held.target.shard)) {
            return Ok(Shards::from_slice(&[shard]));
        }
        keyspace.resolve(&Destination::AnyShard)
    }

    fn intersection(&self, keyspace: &'a Keyspace, lookups: &[Lookup]) -> Result<Shards<'a>> {
        let mut common: Option<Shards<'a>> = None;
        for lookup in lookups {
            let found = self.lookup(keyspace, lookup)?;
            common = Some(match common {
                None => found,
                Some(mut common) => {
                    common.retain(|shard| found.iter().any(|other| other.name() == shard.name()));
                    common
                }
            });
        }
        Ok(common.unwrap_or_default())
    }

    fn same_shard(&self, keyspace: &'a Keyspace, groups: &[Vec<Lookup>]) -> Result<Shards<'a>> {
        let mut shard: Option<&ShardName> = None;
        let mut found = Shards::new();
        for group in groups {
            let shards = self.intersection(keyspace, group)?;
            match shards.as_slice() {
                // The group's rows do not exist, wherever the statement runs.
                [] => {}
                [one] if shard.is_none_or(|shard| shard == one.name()) => {
                    shard = Some(one.name());
                    found = shards;
                }
                _ => return Err(Error::unsupported("a join of tables whose rows are on different shards")),
            }
        }
        Ok(found)
    }

    /// The shards of a lookup's values; empty when no row can have them.
    fn lookup(&self, keyspace: &'a Keyspace, lookup: &Lookup) -> Result<Shards<'a>> {
        let vindex = &lookup.vindex.0;
        let mut union = Union { keyspace, shards: Shards::new() };
        match &lookup.keys {
            Keys::Columns(columns) => {
                let mut values = Values::new();
                self.combinations(vindex, columns, &mut values, &mut union)?;
            }
            Keys::Tuples(rows) => {
                for row in rows {
                    let values: Result<Values> =
                        row.iter().map(|value| self.arguments.route_value(value)).collect();
                    union.add(vindex, &values?)?;
                }
            }
        }
        union.shards.sort_unstable_by(|a, b| a.key_range().start().cmp(b.key_range().start()));
        Ok(union.shards)
    }

    /// Maps every combination of the columns' candidates.
    fn combinations(
        &self,
        vindex: &VindexDefinition,
        columns: &[Candidates],
        values: &mut Values,
        union: &mut Union<'a>,
    ) -> Result<()> {
        let Some((first, rest)) = columns.split_first() else {
            return union.add(vindex, values);
        };
        let mut with = |value| {
            values.push(value);
            let outcome = self.combinations(vindex, rest, values, union);
            values.pop();
            outcome
        };
        match first {
            Candidates::One(value) => with(self.arguments.route_value(value)?),
            Candidates::Many(RouteList::Values(list)) => {
                list.iter().try_for_each(|value| with(self.arguments.route_value(value)?))
            }
            Candidates::Many(RouteList::Arg(index)) => {
                self.arguments.list(*index)?.into_iter().try_for_each(with)
            }
        }
    }
}

/// Shards that were found so far, each once.
struct Union<'a> {
    keyspace: &'a Keyspace,
    shards: Shards<'a>,
}

impl<'a> Union<'a> {
    fn add(&mut self, vindex: &VindexDefinition, values: &[Value]) -> Result<()> {
        let values: SmallVec<[ValueRef<'_>; 2]> = values.iter().map(Value::as_ref).collect();
        match map(vindex, &values)? {
            Mapping::None => {}
            Mapping::KeyspaceId(id) => self.push(self.keyspace.shard_for(&id)),
            Mapping::KeyRange(range) => {
                for shard in self.keyspace.shards_for_range(&range) {
                    self.push(Some(shard));
                }
            }
            Mapping::AllShards => {
                for shard in self.keyspace.shards() {
                    self.push(Some(shard));
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, shard: Option<&'a Shard>) {
        if let Some(shard) = shard
            && !self.shards.iter().any(|known| known.name() == shard.name())
        {
            self.shards.push(shard);
        }
    }
}

/// Where rows are whose columns compare as equal to the values.
///
/// NULL is equal to nothing. A value of another type than the column's may be equal to a row's value without mapping
/// to the same place (`id = 1.0`, `id = '1abc'`), so such values stand for all shards: the servers compare.
pub(super) fn map(vindex: &VindexDefinition, values: &[ValueRef<'_>]) -> Result<Mapping> {
    if values.iter().any(|value| value.is_null()) {
        return Ok(Mapping::None);
    }
    if values.iter().any(|value| is_ambiguous(vindex, *value)) {
        return Ok(Mapping::AllShards);
    }
    Ok(vindex.map(values)?)
}

/// Could a column be equal to the value although it has other bytes?
fn is_ambiguous(vindex: &VindexDefinition, value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Decimal(_) | ValueRef::Double(_) | ValueRef::Float(_) => true,
        ValueRef::Text(text) | ValueRef::Bytes(text) => is_numeric(vindex) && !is_canonical_integer(text),
        ValueRef::Bit(_) => is_numeric(vindex),
        ValueRef::Int(_) | ValueRef::UInt(_) | ValueRef::Null | ValueRef::Temporal(..) => false,
    }
}

/// Vindexes that map numbers, whatever text they come in.
fn is_numeric(vindex: &VindexDefinition) -> bool {
    matches!(vindex.vindex_type(), "hash" | "numeric" | "numeric_static_map" | "reverse_bits")
}

fn is_canonical_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        b"0" => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.len() < 20 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_certain() {
        for (text, expected) in [
            ("0", true),
            ("-0", false),
            ("15", true),
            ("-15", true),
            ("015", false),
            (" 15", false),
            ("15 ", false),
            ("1.0", false),
            ("1abc", false),
            ("", false),
            ("-", false),
            ("18446744073709551615", true),
        ] {
            assert_eq!(is_canonical_integer(text.as_bytes()), expected, "{text:?}");
        }
    }
}
