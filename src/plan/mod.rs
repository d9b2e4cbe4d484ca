//! Planning: from a statement and a VSchema to a plan, which is a plain value.
//!
//! The client's text is analysed ([`semantics`]), given a place, and, if several shards may have to answer, split
//! into a query for each shard and primitives that combine their rows ([`operator`], [`rewrite`],
//! [`primitive`]). A plan knows no topology: the same plan serves before and after a resharding. Whatever cannot
//! be planned is refused as `VT12001: unsupported: …`.

mod column_usage;
mod describe;
mod describe_json;
mod foreign_keys;
mod layout;
mod operator;
pub mod primitive;
mod rewrite;
mod semantics;
mod source;
mod statement;

use std::sync::Arc;

pub use column_usage::column_usage;
pub use describe::describe;
pub use describe_json::{Figures, describe_json};
pub use foreign_keys::{ForeignKeys, Link};
pub use semantics::session::ROUTER_VARIABLES;
pub use source::Placeholder;

use crate::error::{Error, ErrorKind, Result};
use crate::schema::{ForeignKey, Relation, Schemas};
use crate::sql::{LexOptions, Lexed, StatementKind};
use crate::topology::{KeyspaceName, TabletType};
use crate::vschema::{Table, VSchema};
use primitive::Primitive;

/// How a statement is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the statement is.
    pub kind: StatementKind,
    /// What is done.
    pub root: Primitive,
    /// The tables that it names: keyspace and name; without system tables.
    pub tables: Vec<(Option<KeyspaceName>, Box<str>)>,
    /// Of an INSERT at one place: when its reply's insert id does not become `LAST_INSERT_ID()`; `None`: it does.
    pub told_id: Option<primitive::ToldId>,
    /// Arguments that are compared with YEAR columns: two digits mean another year as a literal than as a parameter.
    pub year_arguments: Vec<u32>,
}

/// What a plan depends on beside the statement. All of it belongs into the plan cache's key.
#[derive(Clone, Debug)]
pub struct PlanContext<'a> {
    /// How tables are spread.
    pub vschema: &'a VSchema,
    /// What the servers say about their tables: keys, whole types, views. It may be some seconds old.
    pub schemas: &'a Schemas,
    /// The session's keyspace, without shard or tablet type.
    pub keyspace: Option<&'a KeyspaceName>,
    /// The session's tablet type, for routing rules.
    pub tablet_type: TabletType,
    /// Database names and the keyspaces that they belong to, for qualifiers such as `vt_customer.t`.
    pub databases: &'a [(Box<str>, KeyspaceName)],
    /// How the text is cut into tokens.
    pub options: &'a LexOptions,
}

/// A table that a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum FoundTable {
    /// A table that every server has, such as `information_schema.tables`.
    System,
    /// A table of a keyspace.
    Table(Arc<Table>),
}

/// Plans the statement of `text` that `lexed` describes.
///
/// # Errors
/// `VT12001` for what is not supported; MySQL's errors for unknown names and for text that is no SQL.
pub fn build(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Plan> {
    statement::build(ctx, text, lexed)
}

/// Plans a query anew whose cheaper plan turned out to be impossible when it ran: its tables' rows are gathered.
///
/// # Errors
/// As for [`build`].
pub fn build_gathered(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Plan> {
    statement::gathered(ctx, text, lexed)
}

/// Plans a LOAD DATA statement.
///
/// # Errors
/// As for [`build`].
pub fn build_load(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<primitive::Load> {
    statement::load(ctx, text, lexed)
}

/// The fields of a file whose values an INSERT of its rows looks at.
pub fn fields_looked_at(insert: &primitive::Insert, table: &Table) -> Vec<primitive::LookedAt> {
    statement::looked_at(insert, table)
}

/// Plans an UPDATE or DELETE whose rows the router has to see: they are read first, and where that is possible the values
/// that they get are read along.
///
/// # Errors
/// As for [`build`].
pub fn build_read_first(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<primitive::ReadFirst> {
    statement::read_first(ctx, text, lexed)
}

/// The table that an ALTER TABLE gives foreign keys, and these; `None` if it gives it none, or in a form that is not
/// understood.
///
/// # Errors
/// An unknown table.
pub fn added_foreign_keys(
    ctx: &PlanContext<'_>,
    text: &[u8],
    lexed: &Lexed,
) -> Result<Option<(Arc<Table>, Vec<ForeignKey>)>> {
    statement::added_foreign_keys(ctx, text, lexed)
}

/// The text of a query with the views of sharded keyspaces replaced by their definitions; `None` if it names none.
///
/// # Errors
/// `VT12001` for views that cannot be replaced.
pub fn expand_views(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Option<Vec<u8>>> {
    statement::expand_views(ctx, text, lexed)
}

/// Is it a schema that belongs to the server and not to a keyspace?
pub fn is_system_schema(name: &str) -> bool {
    ["information_schema", "mysql", "performance_schema", "sys"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

impl PlanContext<'_> {
    /// The table of that name. `qualifier` may be a keyspace or its database.
    pub(crate) fn find_table(&self, qualifier: Option<&str>, name: &str) -> Result<FoundTable> {
        let keyspace = match qualifier {
            Some(qualifier) if is_system_schema(qualifier) => return Ok(FoundTable::System),
            Some(qualifier) => Some(self.keyspace_of(qualifier).unwrap_or(qualifier)),
            None => self.keyspace.map(KeyspaceName::as_str),
        };
        if keyspace.is_some_and(is_system_schema) {
            return Ok(FoundTable::System);
        }
        match self.vschema.find_table(keyspace, name, self.tablet_type) {
            Ok(found) => Ok(FoundTable::Table(found.table)),
            Err(error) if error.kind() == Some(ErrorKind::UnknownTable) => {
                // Queries look for views first.
                let is_view = self.find_view(qualifier, name).is_some();
                Err(if is_view { Error::unsupported(format!("this use of the view {name}")) } else { error })
            }
            Err(error) => Err(error),
        }
    }

    /// The view of that name, with its keyspace, if the name means no table of the VSchema. Views of unsharded
    /// keyspaces are found both here and, with their columns, as tables.
    pub fn find_view(&self, qualifier: Option<&str>, name: &str) -> Option<(&KeyspaceName, &Arc<Relation>)> {
        let keyspace = match qualifier {
            Some(qualifier) => self.keyspace_of(qualifier)?,
            None => match self.keyspace {
                Some(keyspace) => keyspace,
                None => return self.find_global_view(name),
            },
        };
        let keyspace = self.vschema.routed_keyspace(keyspace, self.tablet_type);
        let keyspace = self.vschema.keyspace(keyspace)?;
        if keyspace.table(name).is_some() {
            return None;
        }
        Some((keyspace.name(), self.schemas.view(keyspace.name(), name)?))
    }

    fn find_global_view(&self, name: &str) -> Option<(&KeyspaceName, &Arc<Relation>)> {
        let is_listed = self.vschema.find_table(None, name, self.tablet_type).is_ok();
        let found = self.schemas.global_view(self.vschema, name).filter(|_| !is_listed)?;
        let keyspace = self.vschema.keyspace(&found.keyspace)?.name();
        Some((keyspace, self.schemas.view(keyspace, name)?))
    }

    /// The keyspace that a keyspace's or a database's name means.
    pub(crate) fn keyspace_of(&self, name: &str) -> Option<&str> {
        if let Some(keyspace) = self.vschema.keyspace(name) {
            return Some(keyspace.name());
        }
        let database = self.databases.iter().find(|(database, _)| **database == *name);
        database.map(|(_, keyspace)| keyspace.as_str())
    }

    /// The keyspace of statements that name none: the session's, or the only one.
    pub(crate) fn default_keyspace(&self) -> Result<&KeyspaceName> {
        let only = || self.vschema.only_keyspace().map(|keyspace| keyspace.name());
        self.keyspace.or_else(only).ok_or_else(|| Error::new(ErrorKind::NoKeyspace, "No database selected"))
    }

    /// Is the keyspace sharded? Keyspaces that the VSchema does not have are not.
    pub(crate) fn is_sharded(&self, keyspace: &str) -> bool {
        self.vschema.keyspace(keyspace).is_some_and(|keyspace| keyspace.is_sharded())
    }
}
