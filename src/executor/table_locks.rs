//! `LOCK TABLES` where tables are on several shards: every shard locks its part, on connections that the session keeps.
//!
//! Servers are asked one after the other, in the order of keyspaces and shards, and everything that was locked before is
//! released first: so no two sessions of any router wait for each other. Each server waits as long as it does for a client
//! (`lock_wait_timeout`). <https://dev.mysql.com/doc/refman/9.0/en/lock-tables.html>

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Executor;
use super::job::Job;
use super::write::change;
use super::{foreign_keys, place};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::plan::{FoundTable, Plan};
use crate::session::Session;
use crate::session::transaction::Pin;
use crate::sql::ident::quoted;
use crate::sql::statement::{LockTables, LockedTable, parse_lock_tables};
use crate::topology::{Keyspace, KeyspaceName, Shard, TabletType};
use crate::vschema::Table;

/// What one keyspace's servers lock.
#[derive(Default)]
struct Part {
    /// With alias and lock, as the statement has them.
    asked: Vec<String>,
    /// Tables of lookup vindexes, and whether they are written; the statement need not name them.
    lookups: Vec<(Arc<Table>, bool)>,
    /// Tables that the statement locks by their own names, and whether it writes them.
    by_name: Vec<(Arc<Table>, bool)>,
}

impl Executor {
    /// Locks tables on all of their shards and replies. `false`: one server has them all, and nothing was done.
    pub(super) async fn lock_tables_on_shards(&self, job: &mut Job<'_>) -> Result<bool> {
        if place::explicit(job.session, &job.snapshot)?.is_some() {
            return Ok(false);
        }
        let options = job.session.settings.lex_options();
        let certain = place::certain(job.session, &job.snapshot)?;
        // Wrong text is the server's business.
        let lock = match parse_lock_tables(job.text, &options) {
            Err(_) if certain.is_some() => return Ok(false),
            Err(error) => return Err(Box::pin(self.server_error(job, error)).await),
            Ok(lock) => lock,
        };
        let found = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            let find = |table: &LockedTable| match ctx.find_table(table.qualifier.as_deref(), &table.name)? {
                FoundTable::Table(found) => Ok(found),
                _ => Err(Error::unsupported("LOCK TABLES of system tables without a shard as target")),
            };
            lock.tables.iter().map(find).collect::<Result<Vec<_>>>()
        });
        let tables = match found {
            Err(_) if certain.is_some() => return Ok(false),
            Err(error) => return Err(Box::pin(self.server_error(job, error)).await),
            Ok(tables) => tables,
        };
        if certain.is_some_and(|certain| tables.iter().all(|table| table.keyspace == certain.keyspace)) {
            return Ok(false);
        }
        if job.session.target.tablet_type != TabletType::Primary {
            return Err(Error::unsupported("LOCK TABLES over several shards of a target that is no primary"));
        }
        let parts = self.parts_to_lock(job, &lock, &tables)?;
        self.unlock_tables(job.session).await?;
        if let Err(error) = self.lock_parts(job, &parts, &lock.wait).await {
            // What the others have locked is of no use.
            self.unlock_tables(job.session).await?;
            return Err(error);
        }
        job.send_ok();
        Ok(true)
    }

    fn parts_to_lock(
        &self,
        job: &Job<'_>,
        lock: &LockTables,
        tables: &[Arc<Table>],
    ) -> Result<BTreeMap<KeyspaceName, Part>> {
        let mut parts: BTreeMap<KeyspaceName, Part> = BTreeMap::new();
        for (asked, table) in lock.tables.iter().zip(tables) {
            if asked.is_write {
                foreign_keys::refuse_lock(job, table)?;
            }
            for used in &table.column_vindexes {
                // Tables that are asked outside of the transaction are not this connection's.
                let Some(spec) = used.vindex.lookup().filter(|spec| !spec.autocommit) else { continue };
                let lookup = super::truncate::lookup_table(job, table, spec)?;
                let part = parts.entry(lookup.keyspace.clone()).or_default();
                let is_write = asked.is_write && used.is_owned;
                match part.lookups.iter_mut().find(|(known, _)| known.name == lookup.name) {
                    Some((_, known)) => *known |= is_write,
                    None => part.lookups.push((lookup, is_write)),
                }
            }
            let part = parts.entry(table.keyspace.clone()).or_default();
            match &asked.alias {
                Some(alias) => {
                    part.asked.push(format!("{} AS {} {}", quoted(&table.name), quoted(alias), asked.lock));
                }
                None => {
                    part.asked.push(format!("{} {}", quoted(&table.name), asked.lock));
                    part.by_name.push((table.clone(), asked.is_write));
                }
            }
        }
        for part in parts.values_mut() {
            for (lookup, is_write) in &part.lookups {
                let known = part.by_name.iter().find(|(known, _)| known.name == lookup.name);
                match known {
                    None => {
                        let lock = if *is_write { "WRITE" } else { "READ" };
                        part.asked.push(format!("{} {lock}", quoted(&lookup.name)));
                    }
                    Some((_, false)) if *is_write => {
                        return Err(Error::unsupported(format!(
                            "LOCK TABLES of {} for reading, together with a table that keeps its rows",
                            lookup.name
                        )));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(parts)
    }

    async fn lock_parts(
        &self,
        job: &mut Job<'_>,
        parts: &BTreeMap<KeyspaceName, Part>,
        wait: &str,
    ) -> Result<()> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        for (name, part) in parts {
            let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"));
            let keyspace = snapshot.topology.keyspace(name).ok_or_else(unknown)?;
            let text = format!("LOCK TABLES {} {wait}", part.asked.join(", "));
            for shard in keyspace.shards() {
                let target = Target::primary(name.clone(), shard.name().clone());
                if let Some(log) = &job.session.query_log {
                    log.push(&target, text.as_bytes());
                }
                job.session.transaction.pin_next = Some(Pin::TableLock);
                let mut lease = self.lease(job.session, &target, &needs).await?;
                let connection = lease.connection(&mut job.session.transaction);
                let outcome = change(connection, text.as_bytes(), false).await;
                drop(lease);
                self.drop_lost_shards(job.session);
                job.session.diagnostics = outcome?.1;
            }
        }
        Ok(())
    }
}

/// Has the session locked tables on every shard of the keyspace?
pub(super) fn are_locked(session: &Session, keyspace: &Keyspace) -> bool {
    let is_locked = |shard: &Shard| {
        session.transaction.pins().any(|(target, pin)| {
            pin == Pin::TableLock && target.keyspace == *keyspace.name() && target.shard == *shard.name()
        })
    };
    keyspace.shards().iter().all(is_locked)
}

/// Under locks, a table of a keyspace where the session has locked nothing is not locked; servers tell the others.
pub(super) fn check_locked(session: &Session, plan: &Plan) -> Result<()> {
    let mut locked = session.transaction.pins().filter(|(_, pin)| *pin == Pin::TableLock).peekable();
    if locked.peek().is_none() {
        return Ok(());
    }
    let keyspaces: Vec<&KeyspaceName> = locked.map(|(target, _)| &target.keyspace).collect();
    let is_locked = |keyspace: &KeyspaceName| keyspaces.contains(&keyspace);
    let mut tables = plan.tables.iter().filter_map(|(keyspace, name)| Some((keyspace.as_ref()?, name)));
    match tables.find(|(keyspace, _)| !is_locked(keyspace)) {
        Some((_, name)) => {
            Err(Error::new(ErrorKind::NotLocked, format!("Table '{name}' was not locked with LOCK TABLES")))
        }
        None => Ok(()),
    }
}
