//! UPDATE and DELETE of rows that are read first: their keys over all shards, then each shard's changes by key.
//!
//! The rows are read with `FOR UPDATE` in the transaction of the statement, so that nobody changes them in between;
//! that each is found again under its key is checked. <https://dev.mysql.com/doc/refman/9.0/en/update.html>

mod cascade;
mod each;
mod lookups;
mod managed;
mod managed_targets;
mod moves;
mod rows;
mod statements;
mod target;

use std::collections::HashMap;

pub(super) use managed::name_of;

use rows::ReadRows;
use statements::{Chosen, Statements};
use target::KeyedTarget;

use super::Executor;
use super::arguments::Placeholders;
use super::exact_text;
use super::job::Job;
use super::place;
use super::planned::Placed;
use crate::engine::{self, WriteOutcome, sum, value_of};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::plan::primitive::{Change, Query, ReadFirst, Update};
use crate::sql::ident::quoted;
use crate::topology::Keyspace;
use crate::value::Value;

impl Executor {
    /// Runs the statement of the plan and replies.
    pub(super) async fn read_first(&self, job: &mut Job<'_>, plan: &ReadFirst) -> Result<()> {
        if let Some(route) = &plan.whole
            && !route.routing.asks_tables()
            && let Placed::One(target) = self.place(job, route, &[])?
            && self.keeps_shard(job, plan, &target)?
        {
            return self.at_one_shard(job, &target, &route.query).await;
        }
        if self.is_limited_to_nothing(job, plan)?
            && let Some(check) = &plan.check
        {
            // Servers have their own words for it.
            let target = place::any_shard(&job.snapshot, &check.keyspace, job.session)?;
            return self.at_one_shard(job, &target, &check.query).await;
        }
        self.look_for_mistakes(job, plan).await?;
        let snapshot = job.snapshot.clone();
        let mut targets: Vec<KeyedTarget<'_>> = Vec::with_capacity(plan.targets.len());
        for target in &plan.targets {
            let shape = self.table_shape(job, &target.table.0).await?;
            let offset = targets.last().map_or(0, |last| last.offset + last.width());
            targets.push(KeyedTarget::new(target, shape, &snapshot, offset)?);
        }
        let steps = self.begin_steps(job.session).await?;
        let outcome = self.read_and_change(job, plan, &targets).await;
        let outcome = self.end_compound(job.session, steps, outcome).await?;
        self.send_outcome(job, &outcome);
        Ok(())
    }

    fn is_limited_to_nothing(&self, job: &Job<'_>, plan: &ReadFirst) -> Result<bool> {
        let Some(limit) = &plan.limit else { return Ok(false) };
        let arguments = super::arguments::Arguments::new(job, Placeholders::Inline);
        Ok(matches!(value_of(limit, &arguments)?, Value::Int(0) | Value::UInt(0)))
    }

    /// Has the new sharding key the shard that the statement goes to anyway?
    fn keeps_shard(&self, job: &Job<'_>, plan: &ReadFirst, target: &Target) -> Result<bool> {
        let [only] = plan.targets.as_slice() else { return Ok(false) };
        let Change::Update(update) = &only.change else { return Ok(false) };
        let (Some(key), Some(vindex)) = (&update.new_key, only.table.0.primary_vindex()) else {
            return Ok(false);
        };
        let Some(keyspace) = job.snapshot.topology.keyspace(&target.keyspace) else { return Ok(false) };
        let arguments = super::arguments::Arguments::new(job, Placeholders::Inline);
        let values: Vec<Value> =
            key.iter().map(|value| value_of(value, &arguments)).collect::<Result<_>>()?;
        if vindex.vindex.is_lookup() {
            return Ok(false);
        }
        let index = engine::shard_of(&vindex.vindex, &values, keyspace)?;
        Ok(index.is_some_and(|index| *keyspace.shards()[index].name() == target.shard))
    }

    /// A server's own words about a statement that is wrong in itself, before anything is read.
    async fn look_for_mistakes(&self, job: &mut Job<'_>, plan: &ReadFirst) -> Result<()> {
        let Some(check) = &plan.check else { return Ok(()) };
        let target = place::any_shard(&job.snapshot, &check.keyspace, job.session)?;
        let text = match &check.query {
            Query::Original => job.text.to_vec(),
            Query::Template(template) => self.render(job, template, Placeholders::Keep)?,
        };
        match self.prepare_at(job, &target, &text).await {
            Err(error) if error.kind().is_none() => Err(error),
            _ => Ok(()),
        }
    }

    async fn read_and_change(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        targets: &[KeyedTarget<'_>],
    ) -> Result<WriteOutcome> {
        let before = exact_text::begin(job.session);
        let outcome = self.read_and_change_exactly(job, plan, targets).await;
        job.session.settings_override = before;
        outcome
    }

    async fn read_and_change_exactly(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        targets: &[KeyedTarget<'_>],
    ) -> Result<WriteOutcome> {
        let all: Vec<&KeyedTarget<'_>> = targets.iter().collect();
        let text = self.read_text(job, plan, &all, false)?;
        let rows = self.read_rows(job, &text).await?;
        let mut outcomes = Vec::new();
        for target in targets {
            let outcome = match &target.plan.change {
                Change::Update(update) if update.moves || update.ignores() && !target.lookups.is_empty() => {
                    self.update_and_move(job, plan, target, update, &rows).await?
                }
                _ => self.change_by_key(job, plan, target, &rows).await?,
            };
            outcomes.push(outcome);
        }
        Ok(sum(outcomes))
    }

    /// The query that finds the rows.
    fn read_text(
        &self,
        job: &Job<'_>,
        plan: &ReadFirst,
        targets: &[&KeyedTarget<'_>],
        in_order: bool,
    ) -> Result<Vec<u8>> {
        if let ([target], true) = (targets, plan.in_sequence) {
            return self.text_in_sequence(job, plan, target);
        }
        let mut text = self.render(job, &plan.with, Placeholders::Inline)?;
        text.extend_from_slice(if text.is_empty() { b"select " } else { b" select " });
        let lists: Vec<String> = targets.iter().map(|target| target.select_list()).collect();
        text.extend_from_slice(lists.join(", ").as_bytes());
        for (index, value) in plan.values.iter().enumerate() {
            text.extend_from_slice(b", ");
            text.extend_from_slice(&self.render(job, value, Placeholders::Inline)?);
            text.extend_from_slice(format!(" as `_value{index}`").as_bytes());
        }
        text.extend_from_slice(b" from ");
        text.extend_from_slice(&self.render(job, &plan.from, Placeholders::Inline)?);
        if let ([target], false) = (targets, plan.is_ordered)
            && (in_order
                || matches!(&target.plan.change, Change::Update(update) if update.moves || target.has_unique_lookup()))
        {
            // One server would change its rows in the order of the key; conflicts on the way depend on it.
            let key: Vec<String> = target.key.iter().map(|column| target.column(column)).collect();
            text.extend_from_slice(format!(" order by {}", key.join(", ")).as_bytes());
        }
        // Under LOCK TABLES nobody else changes rows, and tables that are only read must not be locked as if they were written.
        if !targets
            .iter()
            .all(|target| crate::executor::table_locks::are_locked(job.session, target.keyspace))
        {
            text.extend_from_slice(b" for update");
        }
        Ok(text)
    }

    /// The query that finds the rows and evaluates their values one after the other: a derived table with a limit is
    /// complete, and in order, before any of them is evaluated.
    fn text_in_sequence(&self, job: &Job<'_>, plan: &ReadFirst, target: &KeyedTarget<'_>) -> Result<Vec<u8>> {
        let mut text = format!("select {}", target.select_list()).into_bytes();
        for (index, value) in plan.values.iter().enumerate() {
            text.extend_from_slice(b", ");
            text.extend_from_slice(&self.render(job, value, Placeholders::Inline)?);
            text.extend_from_slice(format!(" as `_value{index}`").as_bytes());
        }
        let columns = target.shape.columns.iter().map(|column| target.column(&column.name));
        let columns = columns.collect::<Vec<_>>().join(", ");
        text.extend_from_slice(format!(" from (select {columns} from ").as_bytes());
        text.extend_from_slice(&self.render(job, &plan.from, Placeholders::Inline)?);
        if !plan.is_ordered {
            if !target.is_unique {
                return Err(Error::unsupported(
                    "assignment to a user variable by rows that have no order, over several shards",
                ));
            }
            // As one server reads a whole table.
            let key: Vec<String> = target.key.iter().map(|column| target.column(column)).collect();
            text.extend_from_slice(format!(" order by {}", key.join(", ")).as_bytes());
        }
        if plan.limit.is_none() {
            text.extend_from_slice(format!(" limit {}", u64::MAX).as_bytes());
        }
        text.extend_from_slice(format!(" for update) as {}", quoted(&target.plan.alias)).as_bytes());
        Ok(text)
    }

    /// One target's rows, each on its own shard.
    async fn change_by_key(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        target: &KeyedTarget<'_>,
        rows: &ReadRows,
    ) -> Result<WriteOutcome> {
        let chosen = choose(plan, target, rows)?;
        self.change_chosen(job, plan, target, &chosen, false).await
    }

    async fn change_chosen(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        target: &KeyedTarget<'_>,
        chosen: &[Chosen],
        may_be_gone: bool,
    ) -> Result<WriteOutcome> {
        let expected: u64 = chosen.iter().map(|row| row.expected(target, plan)).sum();
        let statements = Statements::new(self, job, plan, target)?;
        let work = statements.work(chosen)?;
        let targets = work.into_iter().map(|(shard, texts)| (shard_target(target.keyspace, shard), texts));
        let targets: Vec<_> = targets.collect();
        let needs = job.needs();
        let outcomes = self.step(job.session, &needs, &targets).await?;
        let is_same = statements.is_same_everywhere();
        let outcomes = outcomes.into_iter().take(if is_same { 1 } else { usize::MAX }).flatten();
        let mut outcome = sum(outcomes.collect());
        match &target.plan.change {
            Change::Delete { modifiers } => {
                let may_differ = modifiers.contains("ignore") || plan.targets.len() > 1 || plan.is_joined;
                let may_differ = may_differ || may_be_gone;
                check_count(outcome.affected_rows, expected, may_differ)?;
            }
            Change::Update(update) => {
                if outcome.info.is_empty() {
                    outcome.info = nothing_matched();
                }
                let may_differ = update.modifiers.contains("ignore") || !target.is_unique && plan.is_joined;
                check_count(matched_of(&outcome.info), expected, may_differ)?;
            }
        }
        self.follow_rows(job, target, chosen).await?;
        Ok(outcome)
    }
}

/// The target of one shard's changes.
fn shard_target(keyspace: &Keyspace, shard: usize) -> Target {
    Target::primary(keyspace.name().clone(), keyspace.shards()[shard].name().clone())
}

/// What servers say of an UPDATE that matched no row.
fn nothing_matched() -> Vec<u8> {
    b"Rows matched: 0  Changed: 0  Warnings: 0".to_vec()
}

/// Each row of the target once, in the order of their first mention.
fn choose(plan: &ReadFirst, target: &KeyedTarget<'_>, rows: &ReadRows) -> Result<Vec<Chosen>> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    let first_value = rows.width().saturating_sub(plan.values.len());
    for index in 0..rows.len() {
        let values = rows.values(index)?;
        let Some(part) = target.part(&values) else { continue };
        let mut name = Vec::new();
        part.iter().for_each(|value| {
            value.as_ref().render_literal(&mut name, true);
            name.push(0);
        });
        match known.get(&name) {
            Some(index) => chosen[*index].count += 1,
            None => {
                known.insert(name, chosen.len());
                let place = target.place(part)?;
                let range = target.offset..target.offset + target.key.len();
                let key = values[range].to_vec();
                let read = values[first_value..].to_vec();
                let part = part.to_vec();
                chosen.push(Chosen { place, part, key, read, count: 1 });
            }
        }
    }
    Ok(chosen)
}

/// The number of rows that an UPDATE's info says were matched.
fn matched_of(info: &[u8]) -> u64 {
    let digits =
        info.iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

/// Rows are locked since they were read: each must be there.
fn check_count(found: u64, expected: u64, may_differ: bool) -> Result<()> {
    if found == expected || may_differ {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "a change of rows whose keys do not read as they are stored ({expected} rows were read, {found} found again)"
        ),
    ))
}

/// Assigned columns whose values were read: the position of each in [`Chosen::read`].
fn read_positions(update: &Update) -> impl Iterator<Item = usize> {
    use crate::plan::primitive::AssignedValue;
    update.assignments.iter().filter_map(|assigned| match assigned.value {
        AssignedValue::Read(index) => usize::try_from(index).ok(),
        AssignedValue::Expression(_) => None,
    })
}
