//! Rows whose sharding key changes: each is updated where it is, read back as its server now has it, and if it belongs to
//! another shard, deleted here and inserted there.
//!
//! Where it depends on their order whether a unique key is free, one row after the other, in the order of the statement, as on
//! one server; otherwise many at once.

use std::collections::{BTreeMap, HashMap};

use super::lookups::LookupChanges;
use super::rows::ReadRows;
use super::statements::{Chosen, Statements};
use super::target::KeyedTarget;
use super::{check_count, choose, matched_of, nothing_matched, shard_target};
use crate::engine::{WriteOutcome, sum, write_condition};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::exact_text;
use crate::executor::job::Job;
use crate::limits::{KEY_BYTES_PER_STATEMENT_MAX, KEYS_PER_STATEMENT_MAX, MOVED_ROWS_MAX};
use crate::plan::primitive::{ReadFirst, Update};
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
        if !target.is_unique {
            return Err(Error::unsupported("changing the sharding key of a table without a primary key"));
        }
        if update.moves {
            self.check_movable(job, target).await?;
        }
        let chosen = choose(plan, target, rows)?;
        if chosen.len() > MOVED_ROWS_MAX {
            let text = format!("a statement may change the sharding key of at most {MOVED_ROWS_MAX} rows");
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let statements = Statements::new(self, job, plan, target)?;
        let moved = Moved::new(job, target, update)?;
        if update.ignores() {
            return self.update_each(job, target, &statements, &moved, &chosen).await;
        }
        let rows_at_once = if moved.are_independent(&chosen) { KEYS_PER_STATEMENT_MAX } else { 1 };
        let mut outcomes = Vec::new();
        let mut changes = LookupChanges::default();
        for rows in chosen.chunks(rows_at_once) {
            outcomes.push(self.move_rows(job, target, (&statements, &moved), rows, &mut changes).await?);
        }
        self.follow(job, target, changes).await?;
        let mut outcome = sum(outcomes);
        if outcome.info.is_empty() {
            outcome.info = nothing_matched();
        }
        Ok(outcome)
    }

    /// Rows that do not get into each other's way, on all shards at once: updated where they are, read back, deleted here and
    /// inserted there.
    async fn move_rows(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        (statements, moved): (&Statements<'_>, &Moved<'_>),
        rows: &[Chosen],
        changes: &mut LookupChanges,
    ) -> Result<WriteOutcome> {
        let needs = job.needs();
        let at = |shard: usize| shard_target(target.keyspace, shard);
        let updates: Vec<_> =
            statements.work(rows)?.into_iter().map(|(shard, texts)| (at(shard), texts)).collect();
        let outcomes = self.step(job.session, &needs, &updates).await?;
        let outcome = sum(outcomes.into_iter().flatten().collect());
        check_count(matched_of(&outcome.info), rows.len() as u64, false)?;
        let mut work: BTreeMap<usize, Passage> = BTreeMap::new();
        for (here, rows) in by_shard(rows)? {
            let keys: Vec<Vec<Value>> = rows.iter().map(|row| moved.new_key(row)).collect::<Result<_>>()?;
            let back = self.read_at(job, &at(here), &moved.select(&keys)?).await?;
            check_count(back.len() as u64, rows.len() as u64, false)?;
            for row in &rows {
                changes.had(target, &row.part)?;
            }
            let all: Vec<Vec<Value>> =
                (0..back.len()).map(|index| back.values(index)).collect::<Result<_>>()?;
            let parts: Vec<Vec<Value>> =
                all.iter().map(|values| moved.part(values)).collect::<Result<_>>()?;
            let width = target.key.len();
            let key_of = |part: &[Value]| part.get(..width).unwrap_or_default().to_vec();
            changes.have(target, keys.iter().map(Vec::as_slice), &parts, key_of)?;
            for values in all {
                let there = moved.shard(&values)?;
                if there != here {
                    work.entry(here).or_default().leaving.push(moved.key_of(&values)?);
                    work.entry(there).or_default().coming.push(values);
                }
            }
        }
        let mut texts = Vec::with_capacity(work.len());
        for (shard, Passage { leaving, coming }) in work {
            let mut of_shard = Vec::new();
            if !leaving.is_empty() {
                of_shard.push(moved.delete(&leaving)?);
            }
            of_shard.extend(moved.inserts(&coming)?);
            texts.push((at(shard), of_shard));
        }
        // What servers warn of has been said by the update.
        let diagnostics = std::mem::take(&mut job.session.diagnostics);
        let moved = self.step(job.session, &needs, &texts).await;
        job.session.diagnostics = diagnostics;
        moved.map(|_| outcome)
    }

    /// What cannot be moved so that nobody notices is refused.
    async fn check_movable(&self, job: &Job<'_>, target: &KeyedTarget<'_>) -> Result<()> {
        let refuse = |what: &str| Err(Error::unsupported(format!("changing the sharding key {what}")));
        if !exact_text::is_exact(job.session) {
            return refuse("over a connection whose character set is not utf8mb4");
        }
        if self.is_referenced(job, &target.plan.table.0).await? {
            return refuse("of a table that foreign keys refer to");
        }
        Ok(())
    }
}

/// Rows that change their shard, as one shard sees it.
#[derive(Default)]
struct Passage {
    /// Keys.
    leaving: Vec<Vec<Value>>,
    /// Whole rows.
    coming: Vec<Vec<Value>>,
}

/// The rows of each shard, by its index.
fn by_shard(rows: &[Chosen]) -> Result<BTreeMap<usize, Vec<&Chosen>>> {
    let mut by_shard: BTreeMap<usize, Vec<&Chosen>> = BTreeMap::new();
    for row in rows {
        by_shard.entry(row.shard()?).or_default().push(row);
    }
    Ok(by_shard)
}

/// How rows of a table are copied from shard to shard.
pub(super) struct Moved<'a> {
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
    pub(super) fn new(job: &Job<'_>, target: &'a KeyedTarget<'a>, update: &'a Update) -> Result<Self> {
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

    /// The row's key after its update.
    pub(super) fn new_key(&self, row: &Chosen) -> Result<Vec<Value>> {
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
        Ok(key)
    }

    /// Is it the same in which order these rows change? So it is if no new key is another row's old or new one, and no other
    /// unique key changes. Only of integers is it certain what a server takes for equal.
    fn are_independent(&self, rows: &[Chosen]) -> bool {
        let is_key = |name: &str| self.target.key.iter().any(|known| known.eq_ignore_ascii_case(name));
        let changes_unique = self.update.assignments.iter().any(|assigned| {
            let mut unique = self.target.shape.unique.iter().flat_map(|key| &key.columns);
            !is_key(&assigned.column) && unique.any(|name| name.eq_ignore_ascii_case(&assigned.column))
        });
        let numbers = |key: &[Value]| -> Option<Vec<i128>> {
            key.iter()
                .map(|value| match value {
                    Value::Int(number) => Some(i128::from(*number)),
                    Value::UInt(number) => Some(i128::from(*number)),
                    _ => None,
                })
                .collect()
        };
        let mut owners: HashMap<Vec<i128>, usize> = HashMap::new();
        let mut is_free = |key: Option<Vec<i128>>, index: usize| {
            key.is_some_and(|key| *owners.entry(key).or_insert(index) == index)
        };
        !changes_unique
            && rows.iter().enumerate().all(|(index, row)| {
                let new = self.new_key(row).ok().and_then(|key| numbers(&key));
                is_free(numbers(&row.key), index) && is_free(new, index)
            })
    }

    /// The key of a row that was read back.
    pub(super) fn key_of(&self, values: &[Value]) -> Result<Vec<Value>> {
        let value = |name: &str| {
            let at = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            at.and_then(|at| values.get(at).cloned())
        };
        let key: Option<Vec<Value>> = self.target.key.iter().map(|name| value(name)).collect();
        key.ok_or_else(|| Error::unsupported("moving rows whose key is a generated column"))
    }

    fn condition(&self, keys: &[Vec<Value>]) -> Result<Vec<u8>> {
        let columns: Vec<String> = self.target.key.iter().map(|column| quoted(column)).collect();
        let keys: Vec<&[Value]> = keys.iter().map(Vec::as_slice).collect();
        let mut condition = Vec::new();
        write_condition(&columns, &keys, false, self.plain, &mut condition)?;
        Ok(condition)
    }

    pub(super) fn select(&self, keys: &[Vec<Value>]) -> Result<Vec<u8>> {
        let table = quoted(&self.target.plan.table.0.name);
        let head = format!("select {} from {table} where ", self.items.join(", "));
        Ok([head.as_bytes(), &self.condition(keys)?].concat())
    }

    pub(super) fn delete(&self, keys: &[Vec<Value>]) -> Result<Vec<u8>> {
        let head = format!("delete from {} where ", quoted(&self.target.plan.table.0.name));
        Ok([head.as_bytes(), &self.condition(keys)?].concat())
    }

    /// INSERTs of rows, each with as many as may go into one statement.
    pub(super) fn inserts(&self, rows: &[Vec<Value>]) -> Result<Vec<Vec<u8>>> {
        let is_zero =
            |at: usize, row: &[Value]| row.get(at).is_some_and(|value| value.as_ref().to_int64() == Some(0));
        if self.auto_increment.is_some_and(|at| rows.iter().any(|row| is_zero(at, row))) {
            return Err(Error::unsupported(
                "changing the sharding key of a row whose AUTO_INCREMENT value is 0",
            ));
        }
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        let table = quoted(&self.target.plan.table.0.name);
        let head = format!("insert into {table} ({}) values ", columns.join(", ")).into_bytes();
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for row in rows {
            let text = match texts.last_mut().filter(|text| text.len() < KEY_BYTES_PER_STATEMENT_MAX) {
                Some(text) => {
                    text.extend_from_slice(b", ");
                    text
                }
                None => {
                    texts.push(head.clone());
                    texts.last_mut().ok_or_else(|| Error::bug("a text that was just begun"))?
                }
            };
            for (index, value) in row.iter().enumerate() {
                text.extend_from_slice(if index == 0 { b"(" } else { b", " });
                value.as_ref().render_literal(text, self.plain);
            }
            text.push(b')');
        }
        Ok(texts)
    }

    /// The columns that are read of the target's rows.
    pub(super) fn part(&self, values: &[Value]) -> Result<Vec<Value>> {
        let value = |name: &str| {
            let at = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            at.and_then(|at| values.get(at).cloned())
        };
        let part: Option<Vec<Value>> = self.target.columns().map(value).collect();
        part.ok_or_else(|| Error::unsupported("moving rows whose vindex columns are generated columns"))
    }

    /// The shard that a row belongs to.
    pub(super) fn shard(&self, values: &[Value]) -> Result<usize> {
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
