//! `foreignKeyMode: managed`: which statements the router follows by itself, because foreign keys of their tables reach
//! over shards, and what it says when one is violated.
//!
//! Meanwhile the servers do not check foreign keys: on its own shard a row's parent may be missing.
//! <https://dev.mysql.com/doc/refman/9.0/en/create-table-foreign-keys.html>

use std::sync::Arc;

use super::Executor;
use super::exact_text;
use super::job::Job;
use crate::backend::SessionSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::FOREIGN_KEY_LEVELS_MAX;
use crate::plan::primitive::{Change, Insert, InsertLookup, InsertRows, InsertVindex, Primitive, ReadFirst};
use crate::plan::{ForeignKeys, Link, Plan};
use crate::schema::{Column, Schemas};
use crate::sql::ident::quoted;
use crate::sql::{Ddl, DdlObject, DdlVerb, StatementKind};
use crate::value::Value;
use crate::vschema::Table;

/// A statement that the router follows.
pub(super) enum Managed {
    /// An UPDATE or DELETE.
    Change(Box<ReadFirst>),
    /// An INSERT or REPLACE.
    Insert,
}

/// How the rows of an INSERT or REPLACE are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All at once.
    Together,
    /// INSERT IGNORE.
    Ignore,
    /// REPLACE INTO a table that others refer to.
    Replace,
    /// ON DUPLICATE KEY UPDATE.
    Upsert,
}

/// What new rows of a table refer to.
pub(super) struct NewRowLinks {
    /// The keys of the table.
    pub(super) links: Vec<Link>,
    /// The keys that refer to the table, where rows may be replaced.
    pub(super) incoming: Vec<Link>,
    pub(super) way: Way,
}

impl Executor {
    /// Runs a statement whose foreign keys reach over shards, if it is one.
    pub(super) async fn keep_foreign_keys(&self, job: &mut Job<'_>, plan: &Plan) -> Result<Option<()>> {
        let Some(managed) = self.managed_by_router(job, plan)? else { return Ok(None) };
        let before = job.session.settings_override.replace(without_checks(job));
        exact_text::begin(job.session);
        let outcome = match (managed, &plan.root) {
            (Managed::Change(change), _) => self.managed(job, &change).await,
            (Managed::Insert, Primitive::Insert(insert)) => match self.with_foreign_keys(job, insert) {
                Ok((insert, followed)) => self.insert_below(job, &insert, Some(&followed)).await,
                Err(error) => Err(error),
            },
            (Managed::Insert, _) => Err(not_placed_by_rows()),
        };
        job.session.settings_override = before;
        outcome.map(Some)
    }

    /// Before a table gets foreign keys that reach over shards: all of its rows must have parents, on whatever shards. The
    /// servers do not look then.
    pub(super) async fn check_added_keys(&self, job: &mut Job<'_>, ddl: Ddl) -> Result<()> {
        let is_alter = ddl.verb == DdlVerb::Alter && ddl.object == DdlObject::Table;
        if !is_alter || !job.snapshot.vschema.manages_foreign_keys() || !checks_foreign_keys(job) {
            return Ok(());
        }
        let options = job.session.settings.lex_options();
        let added = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            crate::plan::added_foreign_keys(ctx, job.text, job.lexed)
        });
        // Whatever is wrong is said when the statement runs.
        let Ok(Some((table, added))) = added else { return Ok(()) };
        let snapshot = job.snapshot.clone();
        let keys = ForeignKeys::new(&snapshot.vschema, &snapshot.schemas);
        let links: Option<Vec<Link>> = added.iter().map(|key| keys.to_be(&table, key)).collect();
        let Some(links) = links.filter(|links| links.iter().any(|link| !link.is_local)) else {
            return Ok(());
        };
        if !keys.is_managed(&table) {
            return Ok(());
        }
        for link in &links {
            if !self.held_rows(job, orphans(link).as_bytes()).await?.rows.is_empty() {
                return Err(parent_is_missing(job, link));
            }
        }
        job.session.settings_override = Some(without_checks(job));
        Ok(())
    }

    fn managed_by_router(&self, job: &Job<'_>, plan: &Plan) -> Result<Option<Managed>> {
        let snapshot = &job.snapshot;
        let keys = ForeignKeys::new(&snapshot.vschema, &snapshot.schemas);
        let find = |(keyspace, name): &(Option<_>, Box<str>)| {
            let keyspace: &crate::topology::KeyspaceName = keyspace.as_ref()?;
            snapshot.vschema.keyspace(keyspace)?.table(name)
        };
        let tables: Vec<&Arc<Table>> =
            plan.tables.iter().filter_map(find).filter(|table| keys.is_managed(table)).collect();
        if tables.is_empty() || !checks_foreign_keys(job) {
            return Ok(None);
        }
        if tables.iter().any(|table| snapshot.schemas.schema(&table.keyspace).is_none()) {
            return Err(Error::new(ErrorKind::Other, "VT09015: schema tracking required for foreign keys"));
        }
        let has_links =
            |table: &Arc<Table>| keys.outgoing(table).iter().chain(&keys.incoming(table)).any(|_| true);
        if !tables.iter().any(|table| has_links(table)) {
            return Ok(None);
        }
        let managed = match job.lexed.kind {
            StatementKind::Delete | StatementKind::Update => self.managed_change_of(job, &keys)?,
            _ => {
                // The statement may read other tables with foreign keys, and write none.
                let written = match &plan.root {
                    Primitive::Insert(insert) => Some(insert),
                    _ => None,
                };
                let is_written = |table: &Arc<Table>| {
                    written.is_none_or(|insert| {
                        table.keyspace == insert.keyspace && *table.name == *insert.table
                    })
                };
                let updated = written.and_then(|insert| insert.updated.as_deref());
                tables
                    .iter()
                    .any(|table| is_written(table) && self.follows_new_rows(job, &keys, table, updated))
                    .then_some(Managed::Insert)
            }
        };
        if managed.is_some() && mentions(job.text, b"foreign_key_checks") {
            return Err(Error::unsupported("foreign_key_checks within a statement over several shards"));
        }
        Ok(managed)
    }

    fn managed_change_of(&self, job: &Job<'_>, keys: &ForeignKeys<'_>) -> Result<Option<Managed>> {
        let options = job.session.settings.lex_options();
        let first = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            crate::plan::build_read_first(ctx, job.text, job.lexed)
        })?;
        let is_followed = first.targets.iter().any(|target| {
            let table = &target.table.0;
            keys.is_managed(table)
                && match &target.change {
                    Change::Delete { .. } => keys.follows_delete(table),
                    Change::Update(update) => {
                        let columns: Vec<&str> = update.assignments.iter().map(|a| &*a.column).collect();
                        keys.follows_update(table, &columns)
                    }
                }
        });
        Ok(is_followed.then(|| Managed::Change(Box::new(first))))
    }

    /// REPLACE deletes rows, and ON DUPLICATE KEY UPDATE changes them.
    fn follows_new_rows(
        &self,
        job: &Job<'_>,
        keys: &ForeignKeys<'_>,
        table: &Arc<Table>,
        updated: Option<&[Box<str>]>,
    ) -> bool {
        keys.follows_insert(table)
            || job.lexed.kind == StatementKind::Replace && keys.follows_delete(table)
            || updated.is_some_and(|updated| {
                let columns: Vec<&str> = updated.iter().map(|column| &**column).collect();
                keys.follows_update(table, &columns)
            })
    }

    /// The plan of a file's rows with what they refer to, if the router keeps foreign keys of their table.
    pub(super) fn followed_file(
        &self,
        job: &Job<'_>,
        insert: &Insert,
    ) -> Result<Option<(Insert, NewRowLinks)>> {
        let snapshot = &job.snapshot;
        let keys = ForeignKeys::new(&snapshot.vschema, &snapshot.schemas);
        let table = snapshot.vschema.keyspace(&insert.keyspace).and_then(|known| known.table(&insert.table));
        let is_followed = |table: &&Arc<Table>| {
            keys.follows_insert(table) || insert.replaces.is_some() && keys.follows_delete(table)
        };
        let table = table.filter(|table| keys.is_managed(table) && checks_foreign_keys(job));
        if table.filter(is_followed).is_none() {
            return Ok(None);
        }
        // With LOCAL, what does not fit is left out.
        let leaves_out = Insert { is_ignore: insert.replaces.is_none(), ..insert.clone() };
        let (with_keys, links) = self.with_foreign_keys(job, &leaves_out)?;
        Ok(Some((Insert { is_ignore: false, ..with_keys }, links)))
    }

    /// The plan of an INSERT with the values of its foreign keys told row by row, and these keys: the first of its lookups
    /// that are no vindexes.
    fn with_foreign_keys(&self, job: &Job<'_>, insert: &Insert) -> Result<(Insert, NewRowLinks)> {
        let snapshot = &job.snapshot;
        let keys = ForeignKeys::new(&snapshot.vschema, &snapshot.schemas);
        let table = snapshot.vschema.keyspace(&insert.keyspace).and_then(|known| known.table(&insert.table));
        let table = table.ok_or_else(|| Error::bug("a table that is gone from its own snapshot"))?;
        let way = match (insert.is_ignore, insert.updated.is_some(), insert.replaces.is_some()) {
            (true, true, _) => {
                return Err(Error::unsupported(
                    "INSERT IGNORE … ON DUPLICATE KEY UPDATE with foreign keys that reach over shards",
                ));
            }
            (true, ..) => Way::Ignore,
            (_, true, _) => Way::Upsert,
            (.., true) if !keys.incoming(table).is_empty() => Way::Replace,
            _ => Way::Together,
        };
        if matches!(way, Way::Ignore | Way::Replace) && table.has_owned_lookups() {
            let what = if way == Way::Ignore { "INSERT IGNORE" } else { "REPLACE" };
            return Err(Error::unsupported(format!(
                "{what} INTO a table with lookup vindexes and foreign keys that reach over shards"
            )));
        }
        let links = keys.outgoing(table);
        let primary = insert.vindexes.first().ok_or_else(not_placed_by_rows)?;
        let mut with_keys = insert.clone();
        let at = with_keys.lookups.len() - insert.keys_over_shards().len();
        let incoming = if way == Way::Replace { keys.incoming(table) } else { Vec::new() };
        // What rows refer to, then what rows of the same statement may refer to, then what others refer to.
        let own = links.iter().filter(|link| link.is_of_one_table());
        let referred = own.chain(&incoming).map(|link| &link.key.parent_columns);
        let told = links.iter().map(|link| &link.key.columns).chain(referred);
        let told: Vec<_> = told.collect();
        for columns in told.into_iter().rev() {
            if keys.is_any_generated(table, |name| columns.iter().any(|column| *column == *name)) {
                return Err(Error::unsupported("a foreign key of a generated column, over several shards"));
            }
            let columns: Vec<Box<str>> = columns.iter().map(|column| column.as_str().into()).collect();
            let position = |name: &str| {
                let at = insert.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
                at.and_then(|at| u32::try_from(at).ok())
            };
            let positions: Vec<Option<u32>> = columns.iter().map(|name| position(name)).collect();
            if let InsertRows::Set { opaque, .. } = &insert.rows
                && positions.iter().flatten().any(|at| opaque.contains(at))
            {
                let text =
                    "an expression in SET for a foreign key that reaches over shards (VALUES can do it)";
                return Err(Error::unsupported(text));
            }
            let vindex = InsertVindex { vindex: primary.vindex.clone(), columns, positions };
            with_keys.lookups.insert(at, InsertLookup { vindex, is_owned: false });
        }
        Ok((with_keys, NewRowLinks { links, incoming, way }))
    }

    /// Is a value that a statement has for a key surely stored as it is?
    pub(super) fn reads_as_stored(&self, job: &Job<'_>, link: &Link, values: &[Value]) -> bool {
        let column = |name: &str| column_of(&job.snapshot.schemas, &link.child, name);
        link.key
            .columns
            .iter()
            .zip(values)
            .all(|(name, value)| column(name.as_str()).is_some_and(|column| is_stored_as_is(column, value)))
    }
}

fn column_of<'s>(schemas: &'s Schemas, table: &Table, name: &str) -> Option<&'s Column> {
    schemas.relation(&table.keyspace, &table.name)?.column(name)
}

fn is_stored_as_is(column: &Column, value: &Value) -> bool {
    let data_type = column.sql_type.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let is_digits = |text: &[u8]| {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    match (data_type, value) {
        ("tinyint" | "smallint" | "mediumint" | "int" | "bigint", Value::Int(_) | Value::UInt(_)) => true,
        ("tinyint" | "smallint" | "mediumint" | "int" | "bigint", Value::Text(text)) => is_digits(text),
        ("decimal", Value::Int(_) | Value::UInt(_)) => true,
        ("char" | "varchar", Value::Text(_) | Value::Int(_) | Value::UInt(_)) => true,
        ("varbinary", Value::Bytes(_) | Value::Text(_)) => true,
        _ => false,
    }
}

/// New rows of reference tables and pinned tables.
fn not_placed_by_rows() -> Error {
    Error::unsupported(
        "INSERT into a table that all shards have, or one, with foreign keys that reach over shards",
    )
}

/// A value for a key that is another one when it is stored.
pub(super) fn not_stored_as_written(link: &Link) -> Error {
    Error::unsupported(format!(
        "a value for the foreign key {} that is not stored as it is written",
        link.key.name
    ))
}

/// The query for a row without parent.
fn orphans(link: &Link) -> String {
    let pairs = || link.key.columns.iter().zip(&link.key.parent_columns);
    let equal = pairs().map(|(a, b)| format!("c.{} = p.{}", quoted(a.as_str()), quoted(b.as_str())));
    let whole = pairs().map(|(a, _)| format!("c.{} is not null", quoted(a.as_str())));
    let alone = pairs().take(1).map(|(_, b)| format!("p.{} is null", quoted(b.as_str())));
    format!(
        "select 1 from {}.{} as c left join {}.{} as p on {} where {} limit 1",
        quoted(&link.child.keyspace),
        quoted(&link.child.name),
        quoted(&link.parent.keyspace),
        quoted(&link.parent.name),
        equal.collect::<Vec<_>>().join(" and "),
        whole.chain(alone).collect::<Vec<_>>().join(" and "),
    )
}

/// Does the session want foreign keys to be checked?
fn checks_foreign_keys(job: &Job<'_>) -> bool {
    let value = job.session.statement_settings().variable("foreign_key_checks");
    !value.is_some_and(|value| matches!(value.trim_matches('\'').to_ascii_lowercase().as_str(), "0" | "off"))
}

/// Under locks, parents and children could not be seen.
pub(super) fn refuse_lock(job: &Job<'_>, table: &Arc<Table>) -> Result<()> {
    let keys = ForeignKeys::new(&job.snapshot.vschema, &job.snapshot.schemas);
    if !keys.is_managed(table) || !checks_foreign_keys(job) {
        return Ok(());
    }
    match keys.outgoing(table).iter().chain(&keys.incoming(table)).any(|link| !link.is_local) {
        true => Err(Error::unsupported(format!(
            "LOCK TABLES {} WRITE, which has foreign keys that reach over shards (SET foreign_key_checks = 0 allows it)",
            table.name
        ))),
        false => Ok(()),
    }
}

/// The session's settings, with servers that do not check foreign keys.
pub(super) fn without_checks(job: &Job<'_>) -> Arc<SessionSettings> {
    Arc::clone(job.session.settings.with_variable("foreign_key_checks", Some("0")).backend())
}

/// Does a word stand anywhere in the text?
fn mentions(text: &[u8], name: &[u8]) -> bool {
    text.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name))
}

/// The parent of a new row is missing.
pub(super) fn parent_is_missing(job: &Job<'_>, link: &Link) -> Error {
    violated(job, link, ErrorKind::NoReferencedRow, "Cannot add or update a child row")
}

/// A row refers to what was deleted or changed.
pub(super) fn child_is_there(job: &Job<'_>, link: &Link) -> Error {
    violated(job, link, ErrorKind::RowIsReferenced, "Cannot delete or update a parent row")
}

fn violated(job: &Job<'_>, link: &Link, kind: ErrorKind, what: &str) -> Error {
    let text = format!("{what}: a foreign key constraint fails ({})", constraint(job, link));
    Error::new(kind, text)
}

/// The keys lead further than servers follow them; this is the first that is not followed.
pub(super) fn depth_exceeded(job: &Job<'_>, link: &Link) -> Error {
    let (kind, text) = match link.key.is_mariadb {
        true => (ErrorKind::EngineError, format!("Got error 193 '{}' from InnoDB", constraint(job, link))),
        false => (
            ErrorKind::CascadeTooDeep,
            format!("Foreign key cascade delete/update exceeds max depth of {FOREIGN_KEY_LEVELS_MAX}."),
        ),
    };
    Error::new(kind, text)
}

/// The key in servers' words.
fn constraint(job: &Job<'_>, link: &Link) -> String {
    let keyspace = job.snapshot.topology.keyspace(&link.child.keyspace);
    let database = keyspace.map_or("", |keyspace| keyspace.db_name());
    format!("{}.{}, {}", quoted(database), quoted(&link.child.name), link.key.words)
}
