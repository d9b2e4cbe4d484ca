//! A place that a statement goes to, fully resolved but for the choice of a server.

use std::fmt;

use crate::topology::{KeyspaceName, ShardName, TabletAlias, TabletType, TabletTypeNames};

/// One shard, and the kind of tablet that should answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Which keyspace.
    pub keyspace: KeyspaceName,
    /// Which shard of it.
    pub shard: ShardName,
    /// Which role.
    pub tablet_type: TabletType,
    /// One certain tablet, as in `USE ks:-80@replica|zone1-101`.
    pub alias: Option<TabletAlias>,
}

impl Target {
    /// Any tablet of that type in the shard.
    pub fn new(keyspace: KeyspaceName, shard: ShardName, tablet_type: TabletType) -> Self {
        Self { keyspace, shard, tablet_type, alias: None }
    }

    /// The primary of a shard.
    pub fn primary(keyspace: KeyspaceName, shard: ShardName) -> Self {
        Self::new(keyspace, shard, TabletType::Primary)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tablet_type = self.tablet_type.shown(TabletTypeNames::Primary);
        write!(f, "keyspace:\"{}\" shard:\"{}\" tablet_type:{tablet_type}", self.keyspace, self.shard)?;
        match &self.alias {
            Some(alias) => write!(f, " tablet_alias:\"{alias}\""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_print_as_in_vitess() {
        let mut target = Target::primary("customer".into(), "-80".into());
        assert_eq!(target.to_string(), "keyspace:\"customer\" shard:\"-80\" tablet_type:PRIMARY");
        target.alias = Some(TabletAlias::parse("zone1-101").unwrap());
        assert!(target.to_string().ends_with(" tablet_alias:\"zone1-0000000101\""));
    }
}
