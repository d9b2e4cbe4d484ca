//! The statements that change rows whose keys are known, for each shard, in bounded batches.

use super::target::{KeyedTarget, Where};
use super::{Job, read_positions};
use crate::engine::write_condition;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::executor::arguments::Placeholders;
use crate::limits::{KEY_BYTES_PER_STATEMENT_MAX, KEYS_PER_STATEMENT_MAX};
use crate::plan::primitive::{AssignedValue, Change, ReadFirst};
use crate::sql::SqlMode;
use crate::sql::ident::quoted;
use crate::value::Value;

/// A row that is to be changed.
pub(super) struct Chosen {
    pub(super) place: Where,
    /// All that was read of the table.
    pub(super) part: Vec<Value>,
    pub(super) key: Vec<Value>,
    /// Values that were read along, for SET.
    pub(super) read: Vec<Value>,
    /// How often it was read.
    pub(super) count: u64,
}

/// Puts statements together.
pub(super) struct Statements<'a> {
    plan: &'a ReadFirst,
    target: &'a KeyedTarget<'a>,
    /// Columns of the key as the condition names them.
    key: Vec<String>,
    /// The parts of SET that are the same for all rows; `None` is a value that was read.
    set: Vec<(String, Option<Vec<u8>>)>,
    order: Vec<u8>,
    plain: bool,
}

/// The statements of one shard, by its index.
type ShardWork = (usize, Vec<Vec<u8>>);

impl Chosen {
    /// Where it is; rows that are everywhere do not move.
    pub(super) fn shard(&self) -> Result<usize> {
        match self.place {
            Where::Shard(shard) => Ok(shard),
            Where::Everywhere => Err(Error::bug("a row on all shards that moves")),
        }
    }

    /// How many rows the statements for it find.
    pub(super) fn expected(&self, target: &KeyedTarget<'_>, plan: &ReadFirst) -> u64 {
        if target.is_unique || plan.is_joined { 1 } else { self.count }
    }
}

impl<'a> Statements<'a> {
    pub(super) fn new(
        executor: &Executor,
        job: &Job<'_>,
        plan: &'a ReadFirst,
        target: &'a KeyedTarget<'a>,
    ) -> Result<Self> {
        let plain = job.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
        let is_update = matches!(target.plan.change, Change::Update(_));
        let name = |column: &str| if is_update { target.column(column) } else { quoted(column) };
        let key = target.key.iter().map(|column| name(column)).collect();
        let mut set = Vec::new();
        let mut order = Vec::new();
        if let Change::Update(update) = &target.plan.change {
            for assigned in &update.assignments {
                let value = match &assigned.value {
                    AssignedValue::Expression(text) => {
                        Some(executor.render(job, text, Placeholders::Inline)?)
                    }
                    AssignedValue::Read(_) => None,
                };
                set.push((name(&assigned.column), value));
            }
            order = executor.render(job, &update.order, Placeholders::Inline)?;
        }
        Ok(Self { plan, target, key, set, order, plain })
    }

    /// Is it an UPDATE IGNORE?
    pub(super) fn ignores(&self) -> bool {
        matches!(&self.target.plan.change, Change::Update(update) if update.ignores())
    }

    /// The statement for a single row.
    pub(super) fn of_one_row(&self, row: &Chosen) -> Result<Vec<u8>> {
        self.text(&[row], false)
    }

    /// Do all shards get the same?
    pub(super) fn is_same_everywhere(&self) -> bool {
        self.target.place_is_everywhere()
    }

    /// What every shard has to do, in the order of the rows.
    pub(super) fn work(&self, rows: &[Chosen]) -> Result<Vec<ShardWork>> {
        let mut work = Vec::new();
        for shard in 0..self.target.keyspace.shards().len() {
            let here = rows.iter().filter(|row| match row.place {
                Where::Everywhere => true,
                Where::Shard(index) => index == shard,
            });
            let here: Vec<&Chosen> = here.collect();
            if !here.is_empty() {
                work.push((shard, self.texts(&here)?));
            }
        }
        Ok(work)
    }

    fn texts(&self, rows: &[&Chosen]) -> Result<Vec<Vec<u8>>> {
        let groups = self.groups(rows);
        if !self.target.is_unique {
            return self.texts_of_equal_rows(&groups);
        }
        let mut texts = Vec::new();
        for group in groups {
            let mut batch: Vec<&Chosen> = Vec::new();
            let mut bytes = 0;
            for row in group {
                let size: usize = row.key.iter().map(|value| value.as_ref().to_bytes().len() + 16).sum();
                let is_full =
                    batch.len() >= KEYS_PER_STATEMENT_MAX || bytes + size > KEY_BYTES_PER_STATEMENT_MAX;
                if is_full && !batch.is_empty() {
                    texts.push(self.text(&batch, false)?);
                    batch.clear();
                    bytes = 0;
                }
                bytes += size;
                batch.push(row);
            }
            texts.push(self.text(&batch, false)?);
        }
        Ok(texts)
    }

    /// Rows without a unique key. Those that are equal cannot be told apart: so many of them are changed as were read.
    fn texts_of_equal_rows(&self, groups: &[Vec<&Chosen>]) -> Result<Vec<Vec<u8>>> {
        let is_update = matches!(self.target.plan.change, Change::Update(_));
        if self.plan.is_joined && is_update {
            // A row may become equal to one that is still to be changed: all at once, or not at all.
            return match groups {
                [group] if group.len() <= KEYS_PER_STATEMENT_MAX => Ok(vec![self.text(group, false)?]),
                _ => Err(Error::unsupported(format!(
                    "this change of {}, which has no primary key, over several shards",
                    self.target.plan.table.0.name
                ))),
            };
        }
        let rows = groups.iter().flatten();
        rows.map(|row| self.text(&[*row], !self.plan.is_joined)).collect()
    }

    /// Rows with the same values for SET, in the order of their first mention.
    fn groups<'g>(&self, rows: &[&'g Chosen]) -> Vec<Vec<&'g Chosen>> {
        let positions: Vec<usize> = match &self.target.plan.change {
            Change::Update(update) => read_positions(update).collect(),
            Change::Delete { .. } => Vec::new(),
        };
        if positions.is_empty() {
            return vec![rows.to_vec()];
        }
        let mut groups: Vec<Vec<&'g Chosen>> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for row in rows {
            let mut name = Vec::new();
            for position in &positions {
                if let Some(value) = row.read.get(*position) {
                    value.as_ref().render_literal(&mut name, true);
                }
                name.push(0);
            }
            let index = *known.entry(name).or_insert(groups.len());
            match groups.get_mut(index) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        groups
    }

    /// One statement for these rows. `counted`: for as many as were read.
    fn text(&self, rows: &[&Chosen], counted: bool) -> Result<Vec<u8>> {
        let first = rows.first().ok_or_else(|| Error::bug("a change of no rows"))?;
        let mut text = self.head(first)?;
        text.extend_from_slice(b" where ");
        let keys: Vec<&[Value]> = rows.iter().map(|row| row.key.as_slice()).collect();
        write_condition(&self.key, &keys, !self.target.is_unique, self.plain, &mut text)?;
        if !self.order.is_empty() {
            text.push(b' ');
            text.extend_from_slice(&self.order);
        }
        if counted {
            text.extend_from_slice(format!(" limit {}", first.count).as_bytes());
        }
        Ok(text)
    }

    /// The statement up to WHERE.
    fn head(&self, row: &Chosen) -> Result<Vec<u8>> {
        let table = quoted(&self.target.plan.table.0.name);
        let update = match &self.target.plan.change {
            Change::Delete { modifiers } => return Ok(format!("delete {modifiers}from {table}").into_bytes()),
            Change::Update(update) => update,
        };
        let alias = quoted(&self.target.plan.alias);
        let mut text = format!("update {}{table} as {alias} set ", update.modifiers).into_bytes();
        for (index, ((column, value), assigned)) in self.set.iter().zip(&update.assignments).enumerate() {
            if index > 0 {
                text.extend_from_slice(b", ");
            }
            text.extend_from_slice(column.as_bytes());
            text.extend_from_slice(b" = ");
            match (value, &assigned.value) {
                (Some(value), _) => text.extend_from_slice(value),
                (None, AssignedValue::Read(position)) => {
                    let value = usize::try_from(*position).ok().and_then(|at| row.read.get(at));
                    let value = value.ok_or_else(|| Error::bug("a value of SET that was not read"))?;
                    value.as_ref().render_literal(&mut text, self.plain);
                }
                (None, AssignedValue::Expression(_)) => {
                    return Err(Error::bug("an expression that was not rendered"));
                }
            }
        }
        Ok(text)
    }
}
