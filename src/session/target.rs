//! The place that a session's statements go to: what `USE`, COM_INIT_DB and the connect-time database chose.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::topology::{
    Destination, KeyspaceName, Snapshot, TabletAlias, TabletType, TargetDestination, TargetString,
};

/// Databases that every server has; they are no keyspaces.
pub const SYSTEM_DATABASES: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A session's target with everything decided that a target string may leave open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTarget {
    /// The keyspace of unqualified names, if one is chosen.
    pub keyspace: Option<KeyspaceName>,
    /// A system database chosen instead of a keyspace (`use information_schema`).
    pub system_database: Option<Arc<str>>,
    /// A part of the keyspace that every statement goes to, whatever it says.
    pub destination: TargetDestination,
    /// The kind of tablet that answers.
    pub tablet_type: TabletType,
    /// One certain tablet.
    pub alias: Option<TabletAlias>,
    /// What `DATABASE()` answers: the target as the client wrote it.
    pub text: Option<Arc<str>>,
}

impl Default for SessionTarget {
    fn default() -> Self {
        Self {
            keyspace: None,
            system_database: None,
            destination: TargetDestination::Any,
            tablet_type: TabletType::Primary,
            alias: None,
            text: None,
        }
    }
}

impl SessionTarget {
    /// Reads a target string and checks that what it names exists.
    /// What the text leaves out stays as in `current`.
    pub fn parse(text: &str, snapshot: &Snapshot, current: &Self, in_transaction: bool) -> Result<Self> {
        if let Some(name) = SYSTEM_DATABASES.iter().find(|name| name.eq_ignore_ascii_case(text)) {
            let name: Arc<str> = Arc::from(*name);
            let tablet_type = current.tablet_type;
            let system_database = Some(name.clone());
            return Ok(Self { system_database, text: Some(name), tablet_type, ..Self::default() });
        }
        let parsed = TargetString::parse(text)?;
        // As in Vitess, a target without type means the primary, whatever was chosen before.
        let tablet_type = parsed.tablet_type.unwrap_or(TabletType::Primary);
        if in_transaction && tablet_type != TabletType::Primary {
            return Err(Error::new(
                ErrorKind::ActiveTransaction,
                "Can't execute the given command because you have active locked tables or an active transaction",
            ));
        }
        if let Some(name) = &parsed.keyspace {
            check_exists(name, &parsed.destination, parsed.alias.as_ref(), snapshot)?;
        }
        Ok(Self {
            keyspace: parsed.keyspace,
            system_database: None,
            destination: parsed.destination,
            tablet_type,
            alias: parsed.alias,
            text: (!text.is_empty()).then(|| text.into()),
        })
    }

    /// The destination that overrides routing by content.
    pub fn explicit(&self) -> Option<Destination> {
        self.destination.to_destination()
    }

    /// A number that differs for targets whose plans may differ.
    pub fn plan_hash(&self) -> u64 {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        self.keyspace.hash(&mut hasher);
        self.system_database.hash(&mut hasher);
        (self.tablet_type as u8).hash(&mut hasher);
        self.text.as_deref().filter(|_| self.destination != TargetDestination::Any).hash(&mut hasher);
        hasher.finish()
    }
}

/// Keyspaces may be named by their own name only; the servers' database names are the router's business.
fn check_exists(
    name: &KeyspaceName,
    destination: &TargetDestination,
    alias: Option<&TabletAlias>,
    snapshot: &Snapshot,
) -> Result<()> {
    let unknown = |what: String| Error::new(ErrorKind::UnknownDatabase, what);
    let keyspace =
        snapshot.topology.keyspace(name).ok_or_else(|| unknown(format!("Unknown database '{name}'")))?;
    match destination {
        TargetDestination::Any => {}
        TargetDestination::Shard(shard) => {
            let shard = keyspace
                .shard(shard)
                .ok_or_else(|| unknown(format!("Unknown database '{name}:{shard}' (no such shard)")))?;
            let known = |alias: &TabletAlias| shard.tablets().iter().any(|tablet| tablet.alias == *alias);
            if let Some(alias) = alias.filter(|alias| !known(alias)) {
                return Err(unknown(format!("Unknown tablet '{alias}' in '{name}:{}'", shard.name())));
            }
        }
        TargetDestination::KeyRange(_) | TargetDestination::KeyspaceId(_) => {
            if let Some(destination) = destination.to_destination() {
                keyspace.resolve(&destination)?;
            }
        }
    }
    Ok(())
}
