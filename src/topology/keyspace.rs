//! Keyspaces and their shards, and the question of which shard holds a keyspace id.
//!
//! Built and checked by [`super::TopologyFile::build`]: the serving shards of a keyspace cover the whole key
//! space, without gap or overlap, in order. Shards that do not serve (the source of a split, say) are known by
//! name only.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{CellName, Destination, KeyRange, KeyspaceId, KeyspaceName, ShardName, Tablet, TabletAlias};
use crate::error::{Error, ErrorKind};

/// Everything that is known about where data is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub(super) cells: Vec<CellName>,
    /// By name.
    pub(super) keyspaces: Vec<Keyspace>,
}

impl Topology {
    /// The cells, sorted.
    pub fn cells(&self) -> &[CellName] {
        &self.cells
    }

    /// The keyspaces, sorted by name.
    pub fn keyspaces(&self) -> &[Keyspace] {
        &self.keyspaces
    }

    /// The keyspace of that name; names are case-sensitive.
    pub fn keyspace(&self, name: &str) -> Option<&Keyspace> {
        let found = self.keyspaces.binary_search_by(|keyspace| keyspace.name.as_str().cmp(name));
        found.ok().map(|index| &self.keyspaces[index])
    }

    /// Every tablet, by keyspace and shard.
    pub fn tablets(&self) -> impl Iterator<Item = &Arc<Tablet>> {
        self.keyspaces.iter().flat_map(|keyspace| &keyspace.shards).flat_map(|shard| &shard.tablets)
    }

    /// The tablet of that name.
    pub fn tablet(&self, alias: &TabletAlias) -> Option<&Arc<Tablet>> {
        self.tablets().find(|tablet| tablet.alias == *alias)
    }
}

/// A logical database and its shards.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyspace {
    name: KeyspaceName,
    db_name: Arc<str>,
    /// Serving shards by range, then the others by range and name.
    shards: Vec<Shard>,
    serving_count: usize,
    /// Leading numbers of the serving shards' starts; only if they tell all about them.
    starts: Option<Box<[u64]>>,
}

/// One part of a keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub(super) keyspace: KeyspaceName,
    pub(super) name: ShardName,
    pub(super) key_range: KeyRange,
    pub(super) serving: bool,
    pub(super) tablets: Vec<Arc<Tablet>>,
}

impl Keyspace {
    /// The shards must have been checked for gaps and overlaps.
    pub(super) fn new(name: KeyspaceName, db_name: &str, mut shards: Vec<Shard>) -> Self {
        shards.sort_by(|a, b| {
            let key = |shard: &Shard| (!shard.serving, shard.key_range.start().clone());
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        let serving_count = shards.iter().filter(|shard| shard.serving).count();
        let starts = || shards[..serving_count].iter().map(|shard| shard.key_range.start());
        let short = starts().all(|start| start.significant().len() <= size_of::<u64>());
        let starts = short.then(|| starts().map(KeyspaceId::leading_u64).collect());
        Self { name, db_name: db_name.into(), shards, serving_count, starts }
    }

    /// Its name, as clients know it.
    pub fn name(&self) -> &KeyspaceName {
        &self.name
    }

    /// The database's name on its servers.
    pub fn db_name(&self) -> &str {
        &self.db_name
    }

    /// Whether rows are spread by keyspace id: no single shard serves the whole key space.
    pub fn is_sharded(&self) -> bool {
        self.shards().first().is_some_and(|shard| !shard.key_range.is_all())
    }

    /// The serving shards, in the order of their key ranges.
    pub fn shards(&self) -> &[Shard] {
        &self.shards[..self.serving_count]
    }

    /// Every shard: the serving ones first.
    pub fn all_shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard of that name, serving or not.
    pub fn shard(&self, name: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.name == name)
    }

    /// The serving shard that holds `id`; `None` only when no shard serves.
    pub fn shard_for(&self, id: &KeyspaceId) -> Option<&Shard> {
        self.index_for(id).map(|index| &self.shards[index])
    }

    /// The serving shards that overlap `range`, in order.
    pub fn shards_for_range(&self, range: &KeyRange) -> &[Shard] {
        if range.is_empty() {
            return &[];
        }
        let Some(first) = self.index_for(range.start()) else {
            return &[];
        };
        let rest = &self.shards()[first..];
        let count = range.end().map_or(rest.len(), |end| rest.partition_point(|s| s.key_range.start() < end));
        &rest[..count]
    }

    fn index_for(&self, id: &KeyspaceId) -> Option<usize> {
        let behind = match &self.starts {
            Some(starts) => {
                let number = id.leading_u64();
                starts.partition_point(|start| *start <= number)
            }
            None => self.shards().partition_point(|shard| shard.key_range.start() <= id),
        };
        behind.checked_sub(1)
    }

    /// The shards that a destination stands for, each once and in order. [`Destination::AnyShard`] gives the
    /// first serving one: callers that want to spread load choose from [`Self::shards`] themselves.
    pub fn resolve(&self, destination: &Destination) -> Result<SmallVec<[&Shard; 4]>, Error> {
        let no_shard = |what: String| Error::new(ErrorKind::NoShard, what);
        let one = |shard: Option<_>, what: &dyn fmt::Display| {
            shard.map(|shard| SmallVec::from_slice(&[shard])).ok_or_else(|| {
                no_shard(format!("{what} didn't match any serving shard of keyspace {}", self.name))
            })
        };
        match destination {
            Destination::AllShards => Ok(self.shards().iter().collect()),
            Destination::AnyShard => one(self.shards().first(), destination),
            Destination::ExactKeyRange(range) => {
                let shards = self.shards_for_range(range);
                let exact = shards.first().is_some_and(|shard| shard.key_range.start() == range.start())
                    && shards.last().is_some_and(|shard| shard.key_range.end() == range.end());
                let inexact = || no_shard(format!("keyrange {range} does not exactly match shards"));
                exact.then(|| shards.iter().collect()).ok_or_else(inexact)
            }
            Destination::KeyRange(range) => Ok(self.shards_for_range(range).iter().collect()),
            Destination::KeyspaceId(id) => one(self.shard_for(id), destination),
            Destination::KeyspaceIds(ids) => {
                let mut indexes: SmallVec<[usize; 8]> =
                    ids.iter().filter_map(|id| self.index_for(id)).collect();
                if indexes.len() < ids.len() {
                    return one(None, destination);
                }
                indexes.sort_unstable();
                indexes.dedup();
                Ok(indexes.into_iter().map(|index| &self.shards[index]).collect())
            }
            Destination::None => Ok(SmallVec::new()),
            Destination::Shard(name) => one(self.shard(name), destination),
        }
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace")
            .field("name", &self.name)
            .field("db_name", &self.db_name)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// The keyspace that it is a part of.
    pub fn keyspace(&self) -> &KeyspaceName {
        &self.keyspace
    }

    /// Its name.
    pub fn name(&self) -> &ShardName {
        &self.name
    }

    /// The keyspace ids that it holds.
    pub fn key_range(&self) -> &KeyRange {
        &self.key_range
    }

    /// Whether statements are routed to it without naming it.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// Its servers, in the order of the topology file.
    pub fn tablets(&self) -> &[Arc<Tablet>] {
        &self.tablets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keyspace(names: &[&str], idle: &[&str]) -> Keyspace {
        let shard = |name: &&str, serving| Shard {
            keyspace: "ks".into(),
            name: (*name).into(),
            key_range: ShardName::from(*name).key_range().unwrap(),
            serving,
            tablets: Vec::new(),
        };
        let idle = idle.iter().map(|name| shard(name, false));
        Keyspace::new("ks".into(), "vt_ks", names.iter().map(|name| shard(name, true)).chain(idle).collect())
    }

    fn names<'a>(shards: impl IntoIterator<Item = &'a Shard>) -> String {
        let names: Vec<_> = shards.into_iter().map(|shard| shard.name().as_str()).collect();
        names.join(" ")
    }

    #[test]
    fn serving_shards_come_in_the_order_of_their_ranges() {
        let ks = keyspace(&["c0-", "-80", "80-c0"], &["-", "80-"]);
        assert_eq!(names(ks.shards()), "-80 80-c0 c0-");
        assert_eq!(names(ks.all_shards()), "-80 80-c0 c0- - 80-");
        assert!(ks.is_sharded() && !ks.shard("-").unwrap().is_serving());
        assert!(!keyspace(&["0"], &[]).is_sharded());
        assert!(!keyspace(&["-"], &["-80", "80-"]).is_sharded());
    }

    #[test]
    fn ids_find_their_shards() {
        let ks = keyspace(&["-80", "80-c0", "c0-"], &["-"]);
        let of = |id: &str| ks.shard_for(&KeyspaceId::parse(id).unwrap()).unwrap().name().as_str();
        assert_eq!([of(""), of("00"), of("7fffffffffffffffff"), of("80")], ["-80", "-80", "-80", "80-c0"]);
        assert_eq!([of("8000"), of("bfff"), of("c0"), of("ffff")], ["80-c0", "80-c0", "c0-", "c0-"]);
        assert!(keyspace(&[], &["-"]).shard_for(&KeyspaceId::minimum()).is_none());
    }

    #[test]
    fn ids_find_shards_with_long_bounds() {
        let ks = keyspace(&["-010203040506070809", "010203040506070809-"], &[]);
        let of = |id: &str| ks.shard_for(&KeyspaceId::parse(id).unwrap()).unwrap().name().as_str();
        assert_eq!(of("010203040506070808ff"), "-010203040506070809");
        assert_eq!(of("010203040506070809"), "010203040506070809-");
    }

    #[test]
    fn destinations_resolve() {
        let ks = keyspace(&["-40", "40-80", "80-c0", "c0-"], &["-"]);
        let check = |destination: Destination, expected: &str| {
            let found = ks.resolve(&destination);
            let found =
                found.map_or_else(|error| String::from_utf8(error.message().to_vec()).unwrap(), names);
            assert_eq!(found, expected, "{destination}");
        };
        let range = |text| KeyRange::parse(text).unwrap();
        let id = |text| KeyspaceId::parse(text).unwrap();
        check(Destination::AllShards, "-40 40-80 80-c0 c0-");
        check(Destination::AnyShard, "-40");
        check(Destination::None, "");
        check(Destination::Shard("-".into()), "-");
        check(
            Destination::Shard("80-".into()),
            "VT05007: Shard(80-) didn't match any serving shard of keyspace ks",
        );
        check(Destination::KeyRange(range("30-81")), "-40 40-80 80-c0");
        check(Destination::KeyRange(range("40-80")), "40-80");
        check(Destination::KeyRange(range("f0-")), "c0-");
        check(Destination::ExactKeyRange(range("40-c0")), "40-80 80-c0");
        check(
            Destination::ExactKeyRange(range("40-c1")),
            "VT05007: keyrange 40-c1 does not exactly match shards",
        );
        check(Destination::KeyspaceId(id("c0")), "c0-");
        check(Destination::KeyspaceIds(vec![id("c0"), id("10"), id("c1")]), "-40 c0-");
        check(Destination::KeyspaceIds(vec![]), "");
    }

    proptest! {
        #[test]
        fn lookups_agree_with_the_definition(bounds in prop::collection::btree_set(1_u8.., 0..6), id: Vec<u8>, from: u8, to: u8) {
            let mut starts: Vec<String> = bounds.iter().map(|bound| format!("{bound:02x}")).collect();
            starts.insert(0, String::new());
            let ends = starts.iter().skip(1).map(String::as_str).chain([""]);
            let shards: Vec<String> = starts.iter().zip(ends).map(|(start, end)| format!("{start}-{end}")).collect();
            let ks = keyspace(&shards.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
            let id = KeyspaceId::from_bytes(&id);
            prop_assert!(ks.shard_for(&id).unwrap().key_range().contains(&id));
            let range = KeyRange::new(KeyspaceId::from_bytes(&[from]), Some(KeyspaceId::from_bytes(&[to])));
            let found = names(ks.shards_for_range(&range));
            prop_assert_eq!(found, names(ks.shards().iter().filter(|shard| shard.key_range().intersects(&range))));
        }
    }
}
