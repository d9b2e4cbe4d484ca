//! Where statements go that no plan routes: an explicit target, a keyspace with one shard, or any server.

use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::session::Session;
use crate::topology::{Destination, Keyspace, Snapshot};

/// The shard that the session has chosen (`USE ks:-80`); `None` when statements are routed by content.
pub(super) fn explicit(session: &Session, snapshot: &Snapshot) -> Result<Option<Target>> {
    let Some(destination) = session.target.explicit() else { return Ok(None) };
    let keyspace = keyspace_of(session, snapshot)?;
    let shards = keyspace.resolve(&destination)?;
    match shards.as_slice() {
        [shard] => Ok(Some(target(session, keyspace, shard.name().clone()))),
        _ => Err(Error::unsupported(format!(
            "a target of {} shards ({destination}) for this statement",
            shards.len()
        ))),
    }
}

/// The one shard where a statement that cannot be planned certainly belongs: the explicit target, or the only
/// shard of the session's unsharded keyspace.
pub(super) fn certain(session: &Session, snapshot: &Snapshot) -> Result<Option<Target>> {
    if let Some(target) = explicit(session, snapshot)? {
        return Ok(Some(target));
    }
    let Some(name) = session.keyspace() else { return Ok(None) };
    let Some(keyspace) = snapshot.topology.keyspace(name) else { return Ok(None) };
    let is_sharded = snapshot.vschema.keyspace(name).is_some_and(|schema| schema.is_sharded());
    match keyspace.shards() {
        [only] if !is_sharded => Ok(Some(target(session, keyspace, only.name().clone()))),
        _ => Ok(None),
    }
}

/// A keyspace for statements that any server can answer: the session's, or the first.
pub(super) fn any_keyspace(session: &Session, snapshot: &Snapshot) -> Result<String> {
    if let Some(keyspace) = session.keyspace() {
        return Ok(keyspace.to_owned());
    }
    let first = snapshot.topology.keyspaces().first();
    let empty = || Error::new(ErrorKind::NoKeyspace, "the topology has no keyspace");
    Ok(first.ok_or_else(empty)?.name().to_string())
}

/// Any one shard of a keyspace; one that the session's transaction holds already is preferred, so that reads see its
/// writes and no further connection is needed.
pub(super) fn any_shard(snapshot: &Snapshot, keyspace: &str, session: &Session) -> Result<Target> {
    let keyspace = find(snapshot, keyspace)?;
    let held = session.transaction.shards.iter().find(|shard| shard.target.keyspace == *keyspace.name());
    if let Some(held) = held.filter(|held| held.target.tablet_type == session.target.tablet_type) {
        return Ok(held.target.clone());
    }
    let shards = keyspace.resolve(&Destination::AnyShard)?;
    let shard = shards.first().ok_or_else(|| Error::bug("AnyShard gave no shard"))?;
    Ok(target(session, keyspace, shard.name().clone()))
}

/// The target for one shard of a keyspace, of the session's tablet type.
pub(super) fn target(session: &Session, keyspace: &Keyspace, shard: crate::topology::ShardName) -> Target {
    let mut target = Target::new(keyspace.name().clone(), shard, session.target.tablet_type);
    target.alias = session.target.alias.clone();
    target
}

/// The same by the keyspace's name.
pub(super) fn target_of(
    session: &Session,
    snapshot: &Snapshot,
    keyspace: &str,
    shard: &crate::topology::ShardName,
) -> Result<Target> {
    Ok(target(session, find(snapshot, keyspace)?, shard.clone()))
}

fn keyspace_of<'a>(session: &Session, snapshot: &'a Snapshot) -> Result<&'a Keyspace> {
    match session.keyspace() {
        Some(name) => find(snapshot, name),
        None => Err(Error::new(ErrorKind::NoKeyspace, "No database selected")),
    }
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Keyspace> {
    let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"));
    snapshot.topology.keyspace(name).ok_or_else(unknown)
}
