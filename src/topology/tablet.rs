//! Tablets: the single servers of a shard, their names, roles and addresses.
//!
//! A tablet here is a MySQL or MariaDB server itself; nothing stands beside it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{CellName, KeyspaceName, ShardName};

/// A server's name: its cell and a number, printed as `zone1-0000000100`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TabletAlias {
    /// The cell that the server stands in.
    pub cell: CellName,
    /// Unique in the cell.
    pub uid: u32,
}

/// Text that is no tablet alias.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid tablet alias: '{0}', expecting format: '<cell>-<number up to 4294967295>'")]
pub struct InvalidTabletAlias(pub String);

impl TabletAlias {
    /// Reads `cell-uid`; the cell may contain `-` itself.
    pub fn parse(text: &str) -> Result<Self, InvalidTabletAlias> {
        let invalid = || InvalidTabletAlias(text.to_owned());
        let (cell, uid) = text.rsplit_once('-').ok_or_else(invalid)?;
        let digits = uid.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || !is_plain_name(cell) {
            return Err(invalid());
        }
        Ok(Self { cell: cell.into(), uid: uid.parse().map_err(|_| invalid())? })
    }
}

/// Names that can be part of aliases and target strings without being mistaken for their punctuation.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || "/:@|[]`'\"\\".contains(c))
}

impl FromStr for TabletAlias {
    type Err = InvalidTabletAlias;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for TabletAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{:010}", self.cell, self.uid))
    }
}

/// What a tablet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TabletType {
    /// A word that names no type; nothing can be routed to it.
    Unknown = 0,
    /// Takes writes.
    Primary = 1,
    /// Follows the primary, may become one, serves reads.
    Replica = 2,
    /// Follows the primary for batch work, never becomes one.
    Rdonly = 3,
    /// Follows the primary, serves nothing.
    Spare = 4,
    /// For experiments.
    Experimental = 5,
    /// Taking a backup.
    Backup = 6,
    /// Restoring a backup.
    Restore = 7,
    /// Taken out by an operator.
    Drained = 8,
}

/// Which word is shown for the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TabletTypeNames {
    /// `MASTER`, the word that scripts written for `show vitess_tablets` before Vitess 12 know.
    #[default]
    Classic,
    /// `PRIMARY`, with the column `PrimaryTermStartTime`.
    Primary,
}

impl TabletType {
    /// Every type, in the order of Vitess's numbers.
    pub const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Primary,
        Self::Replica,
        Self::Rdonly,
        Self::Spare,
        Self::Experimental,
        Self::Backup,
        Self::Restore,
        Self::Drained,
    ];

    /// Reads a type's name in any case; `master` and `batch` are old names of primary and rdonly.
    pub fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("master") {
            return Some(Self::Primary);
        }
        if name.eq_ignore_ascii_case("batch") {
            return Some(Self::Rdonly);
        }
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }

    /// The lower-case name, as in target strings and routing rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Rdonly => "rdonly",
            Self::Spare => "spare",
            Self::Experimental => "experimental",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Drained => "drained",
        }
    }

    /// The upper-case name, as in `show vitess_tablets`.
    pub const fn shown(self, names: TabletTypeNames) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Primary => match names {
                TabletTypeNames::Classic => "MASTER",
                TabletTypeNames::Primary => "PRIMARY",
            },
            Self::Replica => "REPLICA",
            Self::Rdonly => "RDONLY",
            Self::Spare => "SPARE",
            Self::Experimental => "EXPERIMENTAL",
            Self::Backup => "BACKUP",
            Self::Restore => "RESTORE",
            Self::Drained => "DRAINED",
        }
    }

    /// Whether statements may be routed to tablets of this type.
    pub const fn is_serving(self) -> bool {
        matches!(self, Self::Primary | Self::Replica | Self::Rdonly)
    }
}

impl fmt::Display for TabletType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TabletAddress {
    /// Host name or address, and port.
    Tcp {
        /// Name or IP address.
        hostname: String,
        /// MySQL's port.
        port: u16,
    },
    /// A Unix socket on this machine.
    Unix(PathBuf),
}

impl fmt::Display for TabletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { hostname, port } if hostname.contains(':') => write!(f, "[{hostname}]:{port}"),
            Self::Tcp { hostname, port } => write!(f, "{hostname}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One server as the topology knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tablet {
    /// Its name, unique in the topology.
    pub alias: TabletAlias,
    /// The keyspace that it serves.
    pub keyspace: KeyspaceName,
    /// The shard that it serves.
    pub shard: ShardName,
    /// Its role as recorded; the gateway learns the real one from the server.
    pub tablet_type: TabletType,
    /// Where it listens.
    pub address: TabletAddress,
    /// The host name shown to people; the socket's path for a server without one.
    pub hostname: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn aliases() {
        let alias = TabletAlias::parse("eu-west-0000000100").unwrap();
        assert_eq!((alias.cell.as_str(), alias.uid), ("eu-west", 100));
        assert_eq!(alias.to_string(), "eu-west-0000000100");
        assert_eq!(TabletAlias::parse("zone1-2289928654").unwrap().to_string(), "zone1-2289928654");
        for bad in ["", "zone1", "zone1-", "-1", "zone1-x", "zone1-+1", "zone1-4294967296", "a:b-1"] {
            assert_eq!(TabletAlias::parse(bad), Err(InvalidTabletAlias(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn types() {
        assert_eq!(TabletType::parse("MASTER"), Some(TabletType::Primary));
        assert_eq!(TabletType::parse("Batch"), Some(TabletType::Rdonly));
        assert_eq!(TabletType::parse("slave"), None);
        assert_eq!(TabletType::Primary.shown(TabletTypeNames::Classic), "MASTER");
        assert_eq!(TabletType::Primary.shown(TabletTypeNames::Primary), "PRIMARY");
        for kind in TabletType::ALL {
            assert_eq!(TabletType::parse(kind.shown(TabletTypeNames::Primary)), Some(kind));
        }
    }

    #[test]
    fn addresses_print_as_people_write_them() {
        let tcp =
            |hostname: &str| TabletAddress::Tcp { hostname: hostname.to_owned(), port: 3306 }.to_string();
        assert_eq!(tcp("db1"), "db1:3306");
        assert_eq!(tcp("::1"), "[::1]:3306");
    }

    proptest! {
        #[test]
        fn an_alias_survives_printing(cell in "[a-z][a-z0-9_-]{0,8}", uid: u32) {
            let alias = TabletAlias { cell: cell.as_str().into(), uid };
            prop_assert_eq!(TabletAlias::parse(&alias.to_string()), Ok(alias));
        }
    }
}
