//! What a table name in a statement means.
//!
//! In Vitess's order: keyspace routing rules, table routing rules (with tablet type, then without), then the
//! tables themselves. An unqualified name means the session's keyspace, which the caller passes as qualifier,
//! or else the one table of that name in all keyspaces.

use std::ops::Deref;
use std::sync::Arc;

use super::schema::{Global, Mirror, Rule, VSchema};
use super::table::{Table, TableName};
use super::vindex::VindexDefinition;
use crate::error::{Error, ErrorKind};
use crate::topology::{KeyspaceName, ShardName, TabletType};

/// The table that a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedTable {
    /// The table, perhaps in another keyspace and under another name than written.
    pub table: Arc<Table>,
    /// Whether a routing rule chose it.
    pub is_routed: bool,
}

impl Deref for ResolvedTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl VSchema {
    /// The table that a name means. `qualifier` is the keyspace written before it, or else the session's.
    ///
    /// # Errors
    /// `UnknownDatabase`, `UnknownTable`, `AmbiguousTable`; `InvalidVSchema` when the table or its rule is
    /// known but invalid.
    pub fn find_table(
        &self,
        qualifier: Option<&str>,
        name: &str,
        tablet_type: TabletType,
    ) -> Result<ResolvedTable, Error> {
        let qualifier = qualifier.map(|keyspace| self.routed_keyspace(keyspace, tablet_type));
        let qualified = qualifier.map_or_else(|| name.to_owned(), |keyspace| format!("{keyspace}.{name}"));
        let rule = || {
            let with_type = self.routing_rules.get(&format!("{qualified}@{tablet_type}"));
            with_type.or_else(|| self.routing_rules.get(&qualified))
        };
        match (!self.routing_rules.is_empty()).then(rule).flatten() {
            Some(Rule::Table(target)) => {
                let table = self.table_of(&target.keyspace, &target.table)?;
                Ok(ResolvedTable { table, is_routed: true })
            }
            Some(Rule::Disabled) => {
                Err(Error::new(ErrorKind::Other, format!("table {qualified} has been disabled")))
            }
            Some(Rule::Invalid(error)) => Err(Error::new(ErrorKind::InvalidVSchema, error.clone())),
            None => {
                let table = match qualifier {
                    Some(keyspace) => self.table_of(keyspace, name),
                    None => self.global_table(name),
                };
                table.map(|table| ResolvedTable { table, is_routed: false })
            }
        }
    }

    /// The keyspace that a named one is routed to; mostly itself.
    pub fn routed_keyspace<'a>(&'a self, keyspace: &'a str, tablet_type: TabletType) -> &'a str {
        if self.keyspace_rules.is_empty() {
            return keyspace;
        }
        // The primary has no suffix.
        let with_type = (tablet_type != TabletType::Primary)
            .then(|| self.keyspace_rules.get(&format!("{keyspace}@{tablet_type}")))
            .flatten();
        with_type.or_else(|| self.keyspace_rules.get(keyspace)).map_or(keyspace, KeyspaceName::as_str)
    }

    /// The keyspace that statements for an explicit shard are routed to, if a rule says so.
    pub fn routed_shard(&self, keyspace: &KeyspaceName, shard: &ShardName) -> Option<&KeyspaceName> {
        self.shard_rules.get(&(keyspace.clone(), shard.clone()))
    }

    /// Where reads of a table are repeated, if a rule says so.
    pub fn mirror(&self, table: &Table, tablet_type: TabletType) -> Option<&Mirror> {
        if self.mirror_rules.is_empty() {
            return None;
        }
        let name = format!("{}.{}", table.keyspace, table.name);
        self.mirror_rules.get(&format!("{name}@{tablet_type}")).or_else(|| self.mirror_rules.get(&name))
    }

    /// The vindex of that name; unqualified, the only one in all keyspaces. `None` if there is none.
    ///
    /// # Errors
    /// `UnknownDatabase`; `AmbiguousTable` when several keyspaces have it.
    pub fn find_vindex(
        &self,
        qualifier: Option<&str>,
        name: &str,
    ) -> Result<Option<&Arc<VindexDefinition>>, Error> {
        if let Some(qualifier) = qualifier {
            let keyspace = self.keyspace(qualifier).ok_or_else(|| unknown_keyspace(qualifier))?;
            return Ok(keyspace.vindex(name));
        }
        let open = self.keyspaces().filter(|keyspace| !keyspace.require_explicit_routing);
        let mut found = open.filter_map(|keyspace| keyspace.vindex(name));
        match (found.next(), found.next()) {
            (_, Some(_)) => {
                Err(Error::new(ErrorKind::AmbiguousTable, format!("ambiguous vindex reference: {name}")))
            }
            (vindex, None) => Ok(vindex),
        }
    }

    /// The table of that name in a keyspace, without routing rules.
    pub(super) fn table_of(&self, keyspace: &str, name: &str) -> Result<Arc<Table>, Error> {
        let schema = self.keyspace(keyspace).ok_or_else(|| unknown_keyspace(keyspace))?;
        if let Some(table) = schema.tables.get(name) {
            return Ok(Arc::clone(table));
        }
        if let Some(error) = schema.broken.get(name) {
            let message = format!("keyspace {keyspace}, table {name}: {error}");
            return Err(Error::new(ErrorKind::InvalidVSchema, message));
        }
        if schema.is_sharded {
            let message = format!("Table '{keyspace}.{name}' doesn't exist");
            return Err(Error::new(ErrorKind::UnknownTable, message));
        }
        if let Some(table) = schema.unlisted.get(name) {
            return Ok(Arc::clone(table));
        }
        Ok(Arc::new(Table::unsharded(schema.name.clone(), name)))
    }

    fn global_table(&self, name: &str) -> Result<Arc<Table>, Error> {
        match self.global_tables.get(name) {
            Some(Global::In(keyspace)) => self.table_of(keyspace, name),
            Some(Global::Ambiguous(keyspaces)) => {
                let keyspaces: Vec<_> = keyspaces.iter().map(KeyspaceName::as_str).collect();
                let places = keyspaces.join(", ");
                let message = format!("ambiguous table reference: {name}; it is in keyspaces {places}");
                Err(Error::new(ErrorKind::AmbiguousTable, message))
            }
            None => match self.only_keyspace() {
                Some(keyspace) => self.table_of(&keyspace.name, name),
                None => Err(Error::new(ErrorKind::UnknownTable, format!("table {name} not found"))),
            },
        }
    }

    /// Whether an unqualified name means a listed table, so that no keyspace needs to be selected for it.
    pub fn is_global_table(&self, name: &TableName) -> bool {
        matches!(self.global_tables.get(name), Some(Global::In(_)))
    }
}

fn unknown_keyspace(name: &str) -> Error {
    Error::new(ErrorKind::UnknownDatabase, format!("VT05003: unknown database '{name}' in vschema"))
}

#[cfg(test)]
mod tests;
