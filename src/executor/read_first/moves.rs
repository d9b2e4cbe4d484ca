//! Rows whose sharding key changes: each is updated where it is, read back as its server now has it, and if it belongs to
//! another shard, deleted here and inserted there.
//!
//! One row after the other, in the order of the statement: whether a unique key is free depends on it, as on one server.

use super::lookups::LookupChanges;
use super::rows::ReadRows;
use super::statements::{Chosen, Statements};
use super::target::{KeyedTarget, Where};
use super::{check_count, choose, matched_of, nothing_matched, shard_target};
use crate::engine::{WriteOutcome, sum, write_condition};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::job::Job;
use crate::limits::MOVED_ROWS_MAX;
use crate::plan::primitive::{ReadFirst, Update};
use crate::session::Session;
use crate::sql::SqlMode;
use crate::sql::ident::quoted;
use crate::value::Value;

impl Executor {
    /// Updates the rows, and moves those that then belong to other shards.
    pub(super) async fn update_and_move(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        target: &KeyedTarget<'_>,
        update: &Update,
        rows: &ReadRows,
    ) -> Result<WriteOutcome> {
        self.check_movable(job, target, update).await?;
        let chosen = choose(plan, target, rows)?;
        if chosen.len() > MOVED_ROWS_MAX {
            let text = format!("a statement may change the sharding key of at most {MOVED_ROWS_MAX} rows");
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let statements = Statements::new(self, job, plan, target)?;
        let moved = Moved::new(job, target, update)?;
        let needs = job.needs();
        let mut outcomes = Vec::with_capacity(chosen.len());
        let mut changes = LookupChanges::default();
        for row in &chosen {
            let Where::Shard(here) = row.place else {
                return Err(Error::bug("a row on all shards that moves"));
            };
            let source = shard_target(target.keyspace, here);
            let work = [(source.clone(), vec![statements.of_one_row(row)?])];
            let outcome = sum(self.step(job.session, &needs, &work).await?.into_iter().flatten().collect());
            check_count(matched_of(&outcome.info), 1, false)?;
            outcomes.push(outcome);
            let found = moved.found_again(row)?;
            let back = self.read_at(job, &source, &moved.select(&found)).await?;
            check_count(back.len() as u64, 1, false)?;
            let values = back.values(0)?;
            changes.had(target, &row.part)?;
            changes.has(target, &moved.part(&values)?)?;
            let there = moved.shard(&values)?;
            if there != here {
                let away = vec![moved.delete(&found)];
                let work =
                    [(source, away), (shard_target(target.keyspace, there), vec![moved.insert(&values)?])];
                // What servers warn of has been said by the update.
                let diagnostics = std::mem::take(&mut job.session.diagnostics);
                let outcome = self.step(job.session, &needs, &work).await;
                job.session.diagnostics = diagnostics;
                outcome?;
            }
        }
        self.follow(job, target, changes).await?;
        let mut outcome = sum(outcomes);
        if outcome.info.is_empty() {
            outcome.info = nothing_matched();
        }
        Ok(outcome)
    }

    /// What cannot be moved so that nobody notices is refused.
    async fn check_movable(&self, job: &Job<'_>, target: &KeyedTarget<'_>, update: &Update) -> Result<()> {
        let refuse = |what: &str| Err(Error::unsupported(format!("changing the sharding key {what}")));
        if !target.is_unique {
            return refuse("of a table without a primary key");
        }
        if update.modifiers.contains("ignore") {
            return refuse("with IGNORE");
        }
        if !reads_exactly(job.session) {
            return refuse("over a connection whose character set is not utf8mb4");
        }
        if self.is_referenced(job, &target.plan.table.0).await? {
            return refuse("of a table that foreign keys refer to");
        }
        Ok(())
    }
}

/// Does text come from servers without loss?
fn reads_exactly(session: &Session) -> bool {
    let settings = session.settings.backend();
    let variables = ["character_set_client", "character_set_connection", "character_set_results"];
    settings.names().is_none_or(|names| &*names.charset == "utf8mb4")
        && variables.iter().all(|name| settings.variable(name).is_none())
}

/// How rows of a table are copied from shard to shard.
struct Moved<'a> {
    target: &'a KeyedTarget<'a>,
    update: &'a Update,
    /// Columns that are copied: those that the server does not compute.
    columns: Vec<&'a str>,
    /// As select items.
    items: Vec<String>,
    /// Where the columns of the primary vindex are among them.
    vindex: Vec<usize>,
    /// The column that would be numbered anew if it were 0.
    auto_increment: Option<usize>,
    plain: bool,
}

impl<'a> Moved<'a> {
    fn new(job: &Job<'_>, target: &'a KeyedTarget<'a>, update: &'a Update) -> Result<Self> {
        let copied: Vec<_> = target.shape.columns.iter().filter(|column| !column.is_generated).collect();
        let items = copied.iter().map(|column| match &*column.data_type {
            // Its text has fewer digits than it.
            "float" => format!("({})+0e0", quoted(&column.name)),
            _ => quoted(&column.name),
        });
        let vindex = target.plan.table.0.primary_vindex();
        let vindex = vindex.ok_or_else(|| Error::bug("a sharded table without vindex"))?;
        let position = |name: &str| copied.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        let positions: Option<Vec<usize>> = vindex.columns.iter().map(|name| position(name)).collect();
        Ok(Self {
            target,
            update,
            columns: copied.iter().map(|column| &*column.name).collect(),
            items: items.collect(),
            vindex: positions
                .ok_or_else(|| Error::unsupported("a sharding key that is a generated column"))?,
            auto_increment: copied.iter().position(|column| column.is_auto_increment),
            plain: job.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES),
        })
    }

    /// The condition that finds the row after its update.
    fn found_again(&self, row: &Chosen) -> Result<Vec<u8>> {
        let mut key: Vec<Value> = Vec::with_capacity(row.key.len());
        for (column, old) in self.target.key.iter().zip(&row.key) {
            let assigned = self.update.assignments.iter().rfind(|a| a.column.eq_ignore_ascii_case(column));
            let Some(assigned) = assigned else {
                key.push(old.clone());
                continue;
            };
            let value = assigned.before.and_then(|at| row.read.get(usize::try_from(at).ok()?));
            let value = value.ok_or_else(|| {
                Error::unsupported(format!("this new value of {column} together with the sharding key"))
            })?;
            key.push(value.clone());
        }
        let columns: Vec<String> = self.target.key.iter().map(|column| quoted(column)).collect();
        let mut condition = Vec::new();
        write_condition(&columns, &[&key], false, self.plain, &mut condition)?;
        Ok(condition)
    }

    fn select(&self, condition: &[u8]) -> Vec<u8> {
        let table = quoted(&self.target.plan.table.0.name);
        let head = format!("select {} from {table} where ", self.items.join(", "));
        [head.as_bytes(), condition].concat()
    }

    fn delete(&self, condition: &[u8]) -> Vec<u8> {
        let head = format!("delete from {} where ", quoted(&self.target.plan.table.0.name));
        [head.as_bytes(), condition].concat()
    }

    fn insert(&self, values: &[Value]) -> Result<Vec<u8>> {
        let is_zero = |at: usize| values.get(at).is_some_and(|value| value.as_ref().to_int64() == Some(0));
        if self.auto_increment.is_some_and(is_zero) {
            return Err(Error::unsupported(
                "changing the sharding key of a row whose AUTO_INCREMENT value is 0",
            ));
        }
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        let table = quoted(&self.target.plan.table.0.name);
        let mut text = format!("insert into {table} ({}) values (", columns.join(", ")).into_bytes();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                text.extend_from_slice(b", ");
            }
            value.as_ref().render_literal(&mut text, self.plain);
        }
        text.push(b')');
        Ok(text)
    }

    /// The columns that are read of the target's rows.
    fn part(&self, values: &[Value]) -> Result<Vec<Value>> {
        let value = |name: &str| {
            let at = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            at.and_then(|at| values.get(at).cloned())
        };
        let part: Option<Vec<Value>> = self.target.columns().map(value).collect();
        part.ok_or_else(|| Error::unsupported("moving rows whose vindex columns are generated columns"))
    }

    /// The shard that a row belongs to.
    fn shard(&self, values: &[Value]) -> Result<usize> {
        let key: Vec<Value> = self.vindex.iter().map(|at| values[*at].clone()).collect();
        self.target.shard_of(&key)?.ok_or_else(|| {
            let columns: Vec<&str> = self.vindex.iter().map(|at| self.columns[*at]).collect();
            let columns = columns.join(", ");
            Error::new(
                ErrorKind::NoShard,
                format!("could not map the new value of {columns} to a keyspace id"),
            )
        })
    }
}
