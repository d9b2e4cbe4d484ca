//! UPDATE and DELETE of rows whose foreign keys reach over shards: the rows are read, changed by their keys, and what
//! refers to them follows. The servers do not check foreign keys meanwhile.
//!
//! A row changes before its children do, as in InnoDB, so rings of keys come to an end.
//! <https://dev.mysql.com/doc/refman/9.0/en/create-table-foreign-keys.html>

use std::collections::HashMap;

use super::cascade::Chain;
use super::each::has_changed;
use super::lookups::LookupChanges;
use super::managed_targets::{FollowedTarget, order_of};
use super::moves::Moved;
use super::statements::{Chosen, Statements};
use super::target::{KeyedTarget, Where};
use super::{Job, check_count, matched_of, nothing_matched, shard_target};
use crate::engine::{WriteOutcome, sum, value_of, write_condition};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::arguments::{Arguments, Placeholders};
use crate::executor::exact_text;
use crate::limits::{KEYS_PER_STATEMENT_MAX, MOVED_ROWS_MAX};
use crate::plan::primitive::{AssignedValue, Change, ReadFirst, Target, Update};
use crate::plan::{ForeignKeys, Link};
use crate::sql::SqlMode;
use crate::sql::ident::quoted;
use crate::value::Value;
use crate::vschema::ColumnName;

/// The foreign keys that a change concerns.
pub(super) struct Concerned {
    /// Of the table itself.
    pub(super) outgoing: Vec<Link>,
    /// That refer to it.
    pub(super) incoming: Vec<Link>,
    /// Of the table itself, where rows move to other shards.
    pub(super) carried: Vec<Link>,
}

impl Executor {
    /// Runs a statement of the client and replies. Settings that leave foreign keys to the router are in force.
    pub(in crate::executor) async fn managed(&self, job: &mut Job<'_>, plan: &ReadFirst) -> Result<()> {
        self.look_for_mistakes(job, plan).await?;
        let steps = self.begin_steps(job.session).await?;
        let outcome = match self.is_limited_to_nothing(job, plan)? {
            true => Ok(nothing(plan)),
            false => self.managed_change(job, plan, &Chain::default()).await,
        };
        let outcome = self.end_compound(job.session, steps, outcome).await?;
        self.send_outcome(job, &outcome);
        Ok(())
    }

    /// Changes the rows and has others follow, within a statement that has begun.
    pub(super) async fn managed_change(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        chain: &Chain,
    ) -> Result<WriteOutcome> {
        let snapshot = job.snapshot.clone();
        let keys = ForeignKeys::new(&snapshot.vschema, &snapshot.schemas);
        let mut steps: Vec<FollowedTarget<'_>> = Vec::with_capacity(plan.targets.len());
        for target in &plan.targets {
            let shape = self.table_shape(job, &target.table.0).await?;
            let offset = steps.last().map_or(0, |last| last.target.offset + last.target.width());
            steps.push(FollowedTarget::new(&keys, target, shape, &snapshot, offset)?);
        }
        let order = order_of(&keys, &steps)?;
        let targets: Vec<&KeyedTarget<'_>> = steps.iter().map(|step| &step.target).collect();
        let in_order = steps.iter().any(|step| step.in_order);
        let text = self.read_text(job, plan, &targets, in_order && !plan.is_ordered)?;
        let mut rows = self.read_rows(job, &text).await?;
        let limit = self.limit_of_rows_that_go(job, plan, &steps)?;
        let mut outcomes = Vec::with_capacity(steps.len());
        let mut before = 0;
        loop {
            for index in &order {
                outcomes.push(self.change_followed(job, plan, &steps[*index], &rows, chain).await?);
            }
            let deleted: u64 = outcomes.iter().map(|outcome| outcome.affected_rows).sum();
            let wanted = limit.map_or(0, |limit| limit.saturating_sub(deleted));
            if deleted == before || wanted == 0 {
                return Ok(sum(outcomes));
            }
            before = deleted;
            // Rows that went with others do not count: servers go on to the next ones.
            rows = self.read_rows(job, &text).await?;
            rows.truncate(wanted);
        }
    }

    /// The limit of a DELETE that may take rows away before it comes to them.
    fn limit_of_rows_that_go(
        &self,
        job: &Job<'_>,
        plan: &ReadFirst,
        steps: &[FollowedTarget<'_>],
    ) -> Result<Option<u64>> {
        let ([FollowedTarget { in_order: true, target, .. }], Some(limit)) = (steps, &plan.limit) else {
            return Ok(None);
        };
        let Change::Delete { .. } = &target.plan.change else { return Ok(None) };
        Ok(match value_of(limit, &Arguments::new(job, Placeholders::Inline))? {
            Value::Int(limit) => u64::try_from(limit).ok(),
            Value::UInt(limit) => Some(limit),
            _ => None,
        })
    }

    /// Row by row: what one row had may be what the next one gets.
    pub(super) async fn update_in_order(
        &self,
        job: &mut Job<'_>,
        given: &Given<'_>,
        chosen: &[Chosen],
    ) -> Result<WriteOutcome> {
        let Given { plan, target, update, concerned, chain } = *given;
        if target.plan.table.0.primary_vindex().is_none() {
            let name = &target.plan.table.0.name;
            return Err(Error::unsupported(format!("changing what foreign keys refer to in {name}")));
        }
        if !target.is_unique || !exact_text::is_exact(job.session) {
            return Err(Error::unsupported(
                "changing what foreign keys refer to without a primary key, or in another character set than utf8mb4",
            ));
        }
        if chosen.len() > MOVED_ROWS_MAX {
            let text =
                format!("a statement may change what foreign keys refer to in at most {MOVED_ROWS_MAX} rows");
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let statements = Statements::new(self, job, plan, target)?;
        let moved = Moved::new(job, target, update)?;
        let mut outcomes = Vec::with_capacity(chosen.len());
        let mut changes = LookupChanges::default();
        for row in chosen {
            let (outcome, part) = self.update_row(job, target, (&statements, &moved), row).await?;
            outcomes.push(outcome);
            let (key, width) = (part.get(..target.key.len()).unwrap_or_default().to_vec(), target.key.len());
            let key_of = |part: &[Value]| part.get(..width).unwrap_or_default().to_vec();
            changes.had(target, &row.part)?;
            changes.have(target, std::iter::once(key.as_slice()), std::slice::from_ref(&part), key_of)?;
            for link in &concerned.outgoing {
                let (before, after) = (child_of(link, target, &row.part)?, child_of(link, target, &part)?);
                if before != after {
                    self.check_parents(job, link, &[after], true).await?;
                }
            }
            for link in &concerned.incoming {
                let (before, after) = (parent_of(link, target, &row.part)?, parent_of(link, target, &part)?);
                if before != after {
                    self.parent_has_changed(job, link, &before, &after, chain).await?;
                }
            }
        }
        self.follow(job, target, changes).await?;
        Ok(sum(outcomes))
    }

    /// Updates a row, and moves it if it then belongs elsewhere. Gives what it has afterwards of the columns that were read.
    async fn update_row(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        (statements, moved): (&Statements<'_>, &Moved<'_>),
        row: &Chosen,
    ) -> Result<(WriteOutcome, Vec<Value>)> {
        let (here, needs) = (row.shard()?, job.needs());
        let source = shard_target(target.keyspace, here);
        let work = [(source.clone(), vec![statements.of_one_row(row)?])];
        let outcome = sum(self.step(job.session, &needs, &work).await?.into_iter().flatten().collect());
        check_count(matched_of(&outcome.info), 1, false)?;
        if statements.ignores() && !has_changed(&outcome.info) {
            // Perhaps because of a duplicate: then it has not got its new key.
            return Ok((outcome, row.part.clone()));
        }
        let key = [moved.new_key(row)?];
        let back = self.read_at(job, &source, &moved.select(&key)?).await?;
        check_count(back.len() as u64, 1, false)?;
        let values = back.values(0)?;
        let (there, part) = (moved.shard(&values)?, moved.part(&values)?);
        if there != here {
            let coming = moved.inserts(std::slice::from_ref(&values))?;
            let work = [(source, vec![moved.delete(&key)?]), (shard_target(target.keyspace, there), coming)];
            // What servers warn of has been said by the update.
            let diagnostics = std::mem::take(&mut job.session.diagnostics);
            let done = self.step(job.session, &needs, &work).await;
            job.session.diagnostics = diagnostics;
            done?;
        }
        Ok((outcome, part))
    }

    /// Parents first, then children: a session that deletes the parent meanwhile must not wait for this one, which would
    /// wait for it. Whether parents are there is asked when rows have their values; this is only about the order.
    pub(super) async fn lock_parents(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        update: &Update,
        concerned: &Concerned,
        chosen: &[Chosen],
    ) -> Result<()> {
        // Who deletes a parent asks each shard for children by itself: a row that moves meanwhile would be on none.
        for link in &concerned.carried {
            let parents: Result<Vec<_>> =
                chosen.iter().map(|row| child_of(link, target, &row.part)).collect();
            self.missing_parents(job, link, &parents?).await?;
        }
        if concerned.outgoing.is_empty() {
            return Ok(());
        }
        let Ok(parts) = new_parts(target, update, chosen) else { return Ok(()) };
        for link in &concerned.outgoing {
            let mut parents = Vec::new();
            for (row, part) in chosen.iter().zip(&parts) {
                let after = child_of(link, target, part)?;
                if after != child_of(link, target, &row.part)? {
                    parents.push(after);
                }
            }
            self.missing_parents(job, link, &parents).await?;
        }
        Ok(())
    }

    /// The parents of rows that were updated where they are.
    pub(super) async fn parents_are_there(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        update: &Update,
        links: &[Link],
        chosen: &[Chosen],
    ) -> Result<()> {
        if links.is_empty() {
            return Ok(());
        }
        let is_exact = target.is_unique;
        let parts = match is_exact {
            true => self.parts_now(job, target, chosen).await?,
            false => new_parts(target, update, chosen)?,
        };
        for link in links {
            let mut parents = Vec::new();
            for (row, part) in chosen.iter().zip(&parts) {
                let after = child_of(link, target, part)?;
                if after != child_of(link, target, &row.part)? {
                    parents.push(after);
                }
            }
            self.check_parents(job, link, &parents, is_exact).await?;
        }
        Ok(())
    }

    /// What the rows have now, by their keys, which did not change.
    async fn parts_now(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        chosen: &[Chosen],
    ) -> Result<Vec<Vec<Value>>> {
        let plain = job.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
        let columns: Vec<String> = target.columns().map(quoted).collect();
        let key: Vec<String> = target.key.iter().map(|column| quoted(column)).collect();
        let table = quoted(&target.plan.table.0.name);
        let mut found: HashMap<Vec<u8>, Vec<Value>> = HashMap::new();
        for shard in 0..target.keyspace.shards().len() {
            let is_here = |row: &&Chosen| match row.place {
                Where::Everywhere => shard == 0,
                Where::Shard(index) => index == shard,
            };
            let here: Vec<&[Value]> = chosen.iter().filter(is_here).map(|row| row.key.as_slice()).collect();
            for keys in here.chunks(KEYS_PER_STATEMENT_MAX) {
                let mut text = format!("select {} from {table} where ", columns.join(", ")).into_bytes();
                write_condition(&key, keys, false, plain, &mut text)?;
                let rows = self.read_at(job, &shard_target(target.keyspace, shard), &text).await?;
                for index in 0..rows.len() {
                    let part = rows.values(index)?;
                    found.insert(name_of(&part[..target.key.len()]), part);
                }
            }
        }
        check_count(found.len() as u64, chosen.len() as u64, false)?;
        let lost = || Error::unsupported("rows whose keys do not read as they are stored");
        chosen.iter().map(|row| found.remove(&name_of(&row.key)).ok_or_else(lost)).collect()
    }
}

/// What an UPDATE in order works with.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) plan: &'a ReadFirst,
    pub(super) target: &'a KeyedTarget<'a>,
    pub(super) update: &'a Update,
    pub(super) concerned: &'a Concerned,
    pub(super) chain: &'a Chain,
}

impl Concerned {
    pub(super) fn by(keys: &ForeignKeys<'_>, target: &Target) -> Result<Self> {
        let table = &target.table.0;
        let (outgoing, incoming) = (keys.outgoing(table), keys.incoming(table));
        let found = match &target.change {
            Change::Delete { .. } => Self { outgoing: Vec::new(), incoming, carried: Vec::new() },
            Change::Update(update) => {
                let columns: Vec<&str> = update.assignments.iter().map(|a| &*a.column).collect();
                Self {
                    carried: if update.moves { outgoing.clone() } else { Vec::new() },
                    outgoing: outgoing
                        .into_iter()
                        .filter(|link| keys.touches_child(link, &columns))
                        .collect(),
                    incoming: incoming
                        .into_iter()
                        .filter(|link| keys.touches_parent(link, &columns))
                        .collect(),
                }
            }
        };
        Ok(found)
    }

    pub(super) fn columns(&self) -> Vec<&str> {
        let own = self.outgoing.iter().chain(&self.carried).flat_map(|link| &link.key.columns);
        let referred = self.incoming.iter().flat_map(|link| &link.key.parent_columns);
        own.chain(referred).map(|column| column.as_str()).collect()
    }
}

/// What a statement says that found no rows.
pub(super) fn nothing(plan: &ReadFirst) -> WriteOutcome {
    let is_update = plan.targets.iter().any(|target| matches!(target.change, Change::Update(_)));
    let info = if is_update { nothing_matched() } else { Vec::new() };
    WriteOutcome { info, ..WriteOutcome::default() }
}

/// A row's values of the columns of its own key.
fn child_of(link: &Link, target: &KeyedTarget<'_>, part: &[Value]) -> Result<Vec<Value>> {
    values_of(&link.key.columns, target, part)
}

/// A row's values of the columns that a key refers to.
pub(super) fn parent_of(link: &Link, target: &KeyedTarget<'_>, part: &[Value]) -> Result<Vec<Value>> {
    values_of(&link.key.parent_columns, target, part)
}

fn values_of(columns: &[ColumnName], target: &KeyedTarget<'_>, part: &[Value]) -> Result<Vec<Value>> {
    let value = |name: &ColumnName| target.value(part, name.as_str()).cloned();
    let values: Option<Vec<Value>> = columns.iter().map(value).collect();
    values.ok_or_else(|| Error::bug("a column of a foreign key that was not read"))
}

/// What rows without a key will have, by the values that were read for SET.
fn new_parts(target: &KeyedTarget<'_>, update: &Update, chosen: &[Chosen]) -> Result<Vec<Vec<Value>>> {
    let new_part = |row: &Chosen| {
        let mut part = row.part.clone();
        for assigned in &update.assignments {
            let Some(at) = target.columns().position(|column| column.eq_ignore_ascii_case(&assigned.column))
            else {
                continue;
            };
            let index = match assigned.value {
                AssignedValue::Read(index) => Some(index),
                AssignedValue::Expression(_) => assigned.before,
            };
            let value = index.and_then(|index| row.read.get(usize::try_from(index).ok()?));
            part[at] = value.cloned().ok_or_else(|| {
                let column = &assigned.column;
                Error::unsupported(format!("this new value of {column}, which is part of a foreign key"))
            })?;
        }
        Ok(part)
    };
    chosen.iter().map(new_part).collect()
}

/// Values as a key of maps.
pub(in crate::executor) fn name_of(values: &[Value]) -> Vec<u8> {
    let mut name = Vec::new();
    for value in values {
        value.as_ref().render_literal(&mut name, true);
        name.push(0);
    }
    name
}
