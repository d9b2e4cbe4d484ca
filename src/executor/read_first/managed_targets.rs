//! The tables of an UPDATE or DELETE with foreign keys over shards: in which order their rows are changed, and what becomes
//! of a row whose change a key refuses, under IGNORE.
//!
//! Servers take the rows of several tables in the order of their join, which only they know; so only what does not depend on
//! it is done here. <https://dev.mysql.com/doc/refman/9.0/en/delete.html>

use std::sync::Arc;

use super::Job;
use super::cascade::Chain;
use super::each::{is_mariadb, unchanged};
use super::managed::{Concerned, Given, nothing};
use super::rows::ReadRows;
use super::statements::Chosen;
use super::target::KeyedTarget;
use super::{choose, shard_target};
use crate::engine::{WriteOutcome, sum};
use crate::error::{ERRNO_DUPLICATE_ENTRY, Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::table_shape::TableShape;
use crate::limits::KEYS_PER_STATEMENT_MAX;
use crate::plan::ForeignKeys;
use crate::plan::primitive::{Change, ReadFirst, Target};
use crate::session::diagnostics::{Diagnostic, Level};
use crate::topology::Snapshot;
use crate::vschema::Table;

/// One of the tables of a change, with its foreign keys.
pub(super) struct FollowedTarget<'a> {
    pub(super) target: KeyedTarget<'a>,
    pub(super) concerned: Concerned,
    /// Its rows must be changed one after the other.
    pub(super) in_order: bool,
    is_followed: bool,
}

impl<'a> FollowedTarget<'a> {
    pub(super) fn new(
        keys: &ForeignKeys<'_>,
        plan: &'a Target,
        shape: Arc<TableShape>,
        snapshot: &'a Snapshot,
        offset: usize,
    ) -> Result<Self> {
        let table = &plan.table.0;
        if !keys.is_managed(table) {
            return Err(Error::unsupported(
                "changes of several tables, of which some have foreign keys that reach over shards and others are in \
                 another keyspace",
            ));
        }
        let concerned = Concerned::by(keys, plan)?;
        let mut target = KeyedTarget::new(plan, shape, snapshot, offset)?;
        target.also_read(&concerned.columns());
        let in_order = match &plan.change {
            Change::Delete { .. } => keys.deletes_in_order(table),
            Change::Update(update) => {
                let is_key = |column: &str| target.key.iter().any(|key| key.eq_ignore_ascii_case(column));
                let changes_key = target.is_unique && update.assignments.iter().any(|a| is_key(&a.column));
                update.moves || changes_key || !concerned.incoming.is_empty()
            }
        };
        let links = [&concerned.incoming, &concerned.outgoing, &concerned.carried];
        let is_followed = links.iter().any(|links| !links.is_empty());
        Ok(Self { target, concerned, in_order, is_followed })
    }

    fn is_delete(&self) -> bool {
        matches!(self.target.plan.change, Change::Delete { .. })
    }

    fn ignores(&self) -> bool {
        match &self.target.plan.change {
            Change::Delete { modifiers } => modifiers.contains("ignore"),
            Change::Update(update) => update.ignores(),
        }
    }

    fn table(&self) -> &Arc<Table> {
        &self.target.plan.table.0
    }

    /// The tables whose rows decide what becomes of its own, or change along with them.
    fn reaches(&self, keys: &ForeignKeys<'_>) -> Vec<Arc<Table>> {
        let parents = self.concerned.outgoing.iter().chain(&self.concerned.carried).map(|link| &link.parent);
        let mut found: Vec<Arc<Table>> = parents.cloned().collect();
        let children = self.concerned.incoming.iter().map(|link| link.child.clone()).collect();
        found.extend(below(keys, children));
        found.push(self.table().clone());
        found
    }
}

/// These tables and all that refer to them, directly or not.
fn below(keys: &ForeignKeys<'_>, tables: Vec<Arc<Table>>) -> Vec<Arc<Table>> {
    let mut found: Vec<Arc<Table>> = Vec::new();
    let mut waiting = tables;
    while let Some(table) = waiting.pop() {
        if !found.iter().any(|known| known.name == table.name) {
            waiting.extend(keys.incoming(&table).into_iter().map(|link| link.child));
            found.push(table);
        }
    }
    found
}

/// The order in which tables are changed: children are deleted before their parents, as a statement needs it that deletes
/// both.
pub(super) fn order_of(keys: &ForeignKeys<'_>, steps: &[FollowedTarget<'_>]) -> Result<Vec<usize>> {
    let refused = || {
        Error::unsupported(
            "changes of several tables that depend on each other by foreign keys that reach over shards",
        )
    };
    let has = |tables: &[Arc<Table>], index: usize| {
        tables.iter().any(|table| table.name == steps[index].table().name)
    };
    let is_twice = |(index, step): (usize, &FollowedTarget<'_>)| {
        steps[..index].iter().any(|other| other.table().name == step.table().name)
    };
    if steps.iter().enumerate().any(is_twice) {
        return Err(refused());
    }
    if steps.iter().all(FollowedTarget::is_delete) {
        let reached: Vec<Vec<Arc<Table>>> =
            steps.iter().map(|step| below(keys, vec![step.table().clone()])).collect();
        let mut order: Vec<usize> = Vec::with_capacity(steps.len());
        while order.len() < steps.len() {
            let is_free = |index: &usize| {
                let mut others = (0..steps.len()).filter(|other| other != index && !order.contains(other));
                !order.contains(index) && !others.any(|other| has(&reached[*index], other))
            };
            let next = (0..steps.len()).find(is_free).ok_or_else(refused)?;
            order.push(next);
        }
        return Ok(order);
    }
    // What no key is concerned with comes first: rows that follow have then nothing to do with it.
    let (followed, mut order): (Vec<usize>, Vec<usize>) =
        (0..steps.len()).partition(|index| steps[*index].is_followed);
    let reached: Vec<Vec<Arc<Table>>> = followed.iter().map(|index| steps[*index].reaches(keys)).collect();
    for (at, tables) in reached.iter().enumerate() {
        let meets = |other: &Vec<Arc<Table>>| {
            other.iter().any(|table| tables.iter().any(|known| known.name == table.name))
        };
        if reached[..at].iter().any(meets) {
            return Err(refused());
        }
    }
    order.extend(followed);
    Ok(order)
}

impl Executor {
    /// One table's rows.
    pub(super) async fn change_followed(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        step: &FollowedTarget<'_>,
        rows: &ReadRows,
        chain: &Chain,
    ) -> Result<WriteOutcome> {
        let target = &step.target;
        if let Change::Update(update) = &target.plan.change
            && !step.is_followed
            && (update.moves || update.ignores() && !target.lookups.is_empty())
        {
            return self.update_and_move(job, plan, target, update, rows).await;
        }
        let chosen = choose(plan, target, rows)?;
        if chosen.is_empty() {
            return Ok(nothing(plan));
        }
        chain.check_depth(job)?;
        if let Change::Update(update) = &target.plan.change {
            self.lock_parents(job, target, update, &step.concerned, &chosen).await?;
        }
        if !step.ignores() || !step.is_followed {
            return self.change_and_follow(job, plan, step, &chosen, chain).await;
        }
        if plan.limit.is_some() {
            // Rows that are refused do not count there: others come in their places.
            return Err(Error::unsupported("IGNORE and LIMIT with foreign keys that reach over shards"));
        }
        let mut outcomes = Vec::with_capacity(chosen.len());
        for row in &chosen {
            outcomes.push(self.change_or_ignore(job, plan, step, row, chain).await?);
        }
        Ok(sum(outcomes))
    }

    /// Changes rows and has others follow.
    async fn change_and_follow(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        step: &FollowedTarget<'_>,
        chosen: &[Chosen],
        chain: &Chain,
    ) -> Result<WriteOutcome> {
        let FollowedTarget { target, concerned, in_order, .. } = step;
        match &target.plan.change {
            Change::Delete { .. } => {
                let size = if *in_order { 1 } else { KEYS_PER_STATEMENT_MAX };
                let mut outcomes = Vec::new();
                for rows in chosen.chunks(size) {
                    self.rows_may_go(job, &concerned.incoming, target, rows).await?;
                    // What was done for the rows before may have deleted this one.
                    let outcome = self.change_chosen(job, plan, target, rows, *in_order).await?;
                    let is_gone = *in_order && outcome.affected_rows == 0;
                    outcomes.push(outcome);
                    if is_gone {
                        continue;
                    }
                    self.rows_are_gone(job, &concerned.incoming, target, rows, chain).await?;
                }
                Ok(sum(outcomes))
            }
            Change::Update(update) if *in_order || step.ignores() && step.is_followed => {
                let given = Given { plan, target, update, concerned, chain };
                self.update_in_order(job, &given, chosen).await
            }
            Change::Update(update) => {
                let outcome = self.change_chosen(job, plan, target, chosen, false).await?;
                self.parents_are_there(job, target, update, &concerned.outgoing, chosen).await?;
                Ok(outcome)
            }
        }
    }

    /// A row under IGNORE: what a key or a duplicate refuses stays as it was, on all shards, with a warning.
    async fn change_or_ignore(
        &self,
        job: &mut Job<'_>,
        plan: &ReadFirst,
        step: &FollowedTarget<'_>,
        row: &Chosen,
        chain: &Chain,
    ) -> Result<WriteOutcome> {
        let said = job.session.diagnostics.clone();
        let compound = self.begin_compound(job.session).await?;
        let outcome = self.change_and_follow(job, plan, step, std::slice::from_ref(row), chain).await;
        let error = match self.end_compound(job.session, compound, outcome).await {
            Err(error) if is_ignored(&error) => error,
            outcome => return outcome,
        };
        job.session.diagnostics = said;
        // MariaDB says nothing of rows that it does not update.
        let source = shard_target(step.target.keyspace, row.shard().unwrap_or_default());
        let is_silent = !step.is_delete() && is_mariadb(job.session, &source);
        if !is_silent {
            let (code, message) = (error.errno(), error.message().to_vec());
            job.session.diagnostics.push(Diagnostic { level: Level::Warning, code, message });
        }
        let warnings = u32::from(!is_silent);
        if step.is_delete() {
            return Ok(WriteOutcome { warnings, ..WriteOutcome::default() });
        }
        let info = b"Rows matched: 1  Changed: 0  Warnings: 0".to_vec();
        let outcome = WriteOutcome { info, ..WriteOutcome::default() };
        Ok(unchanged(&outcome, job.flavor().found_rows, warnings))
    }
}

/// Errors that IGNORE makes warnings.
fn is_ignored(error: &Error) -> bool {
    let of_keys = [ErrorKind::NoReferencedRow, ErrorKind::RowIsReferenced];
    let is_of_key = of_keys.iter().any(|kind| kind.errno() == error.errno());
    is_of_key || error.kind().is_none() && error.errno() == ERRNO_DUPLICATE_ENTRY
}
