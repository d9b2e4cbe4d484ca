//! Where in a keyspace a statement goes, before the topology says which shards that are.

use std::fmt;

use super::{KeyRange, KeyspaceId, ShardName};

/// An abstract place in one keyspace. [`super::Keyspace::resolve`] turns it into shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Every serving shard.
    AllShards,
    /// One serving shard, whichever.
    AnyShard,
    /// The shards whose ranges make up exactly this one; refused if bounds differ.
    ExactKeyRange(KeyRange),
    /// Every serving shard that overlaps the range.
    KeyRange(KeyRange),
    /// The shard that holds the id.
    KeyspaceId(KeyspaceId),
    /// The shards that hold the ids, each shard once.
    KeyspaceIds(Vec<KeyspaceId>),
    /// No shard: nothing can match.
    None,
    /// The named shard, serving or not.
    Shard(ShardName),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllShards => f.write_str("AllShards"),
            Self::AnyShard => f.write_str("AnyShard"),
            Self::ExactKeyRange(range) => write!(f, "ExactKeyRange({range})"),
            Self::KeyRange(range) => write!(f, "KeyRange({range})"),
            Self::KeyspaceId(id) => write!(f, "KeyspaceId({id})"),
            Self::KeyspaceIds(ids) => {
                f.write_str("KeyspaceIds(")?;
                for (index, id) in ids.iter().enumerate() {
                    write!(f, "{}{id}", if index == 0 { "" } else { "," })?;
                }
                f.write_str(")")
            }
            Self::None => f.write_str("None"),
            Self::Shard(name) => write!(f, "Shard({name})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_a_plan() {
        let ids = vec![KeyspaceId::from_u64(1), KeyspaceId::from_bytes(&[0x80])];
        assert_eq!(Destination::KeyspaceIds(ids).to_string(), "KeyspaceIds(0000000000000001,80)");
        assert_eq!(Destination::Shard("-80".into()).to_string(), "Shard(-80)");
    }
}
