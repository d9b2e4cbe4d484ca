//! What foreign keys do to other rows: those that refer to rows that were deleted or have other values now follow, or
//! refuse it; and parents of new values must be there.
//!
//! Rows that follow are changed by statements of the router's own, planned like a client's and followed in turn.

use std::sync::Arc;

use super::Job;
use super::managed::{name_of, parent_of};
use super::statements::Chosen;
use super::target::KeyedTarget;
use crate::engine::write_condition;
use crate::error::Result;
use crate::executor::Executor;
use crate::executor::foreign_keys::{
    child_is_there, depth_exceeded, not_stored_as_written, parent_is_missing,
};
use crate::limits::{FOREIGN_KEY_LEVELS_MAX, KEYS_PER_STATEMENT_MAX};
use crate::plan::Link;
use crate::schema::Action;
use crate::sql::ident::quoted;
use crate::sql::{Lexed, SqlMode};
use crate::value::Value;
use crate::vschema::{ColumnName, Table};

/// The changes that lead to a change of rows, the client's own first.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Tables, and whether rows of them were updated, not deleted.
    changes: Vec<(Arc<Table>, bool)>,
    /// The key that was followed last.
    link: Option<Link>,
}

impl Chain {
    fn with(&self, link: &Link, is_update: bool) -> Self {
        let mut changes = self.changes.clone();
        changes.push((link.parent.clone(), is_update));
        Self { changes, link: Some(link.clone()) }
    }

    /// Servers follow keys only so far.
    pub(super) fn check_depth(&self, job: &Job<'_>) -> Result<()> {
        match &self.link {
            Some(link) if self.changes.len() >= FOREIGN_KEY_LEVELS_MAX => Err(depth_exceeded(job, link)),
            _ => Ok(()),
        }
    }

    /// Is the table being updated on the way here? Servers do not update it once more.
    fn updates(&self, table: &Table) -> bool {
        self.changes.iter().any(|(known, is_update)| *is_update && known.name == table.name)
    }
}

impl Executor {
    /// Rows of a table are to be deleted: one that others of the table hold on to, or that refers to itself, must stay.
    pub(super) async fn rows_may_go(
        &self,
        job: &mut Job<'_>,
        links: &[Link],
        target: &KeyedTarget<'_>,
        rows: &[Chosen],
    ) -> Result<()> {
        let holding = |link: &&Link| link.is_of_one_table() && !link.key.on_delete.changes_rows();
        for link in links.iter().filter(holding) {
            let parents: Result<Vec<_>> = rows.iter().map(|row| parent_of(link, target, &row.part)).collect();
            for parents in distinct(&parents?).chunks(KEYS_PER_STATEMENT_MAX) {
                self.refuse_children(job, link, parents).await?;
            }
        }
        Ok(())
    }

    /// Rows of a table were deleted.
    pub(super) async fn rows_are_gone(
        &self,
        job: &mut Job<'_>,
        links: &[Link],
        target: &KeyedTarget<'_>,
        rows: &[Chosen],
        chain: &Chain,
    ) -> Result<()> {
        for link in links {
            let mut parents = Vec::new();
            for row in rows {
                parents.push(parent_of(link, target, &row.part)?);
            }
            let chain = chain.with(link, false);
            for parents in distinct(&parents).chunks(KEYS_PER_STATEMENT_MAX) {
                let is_refused = match link.key.on_delete {
                    Action::Cascade => false,
                    Action::SetNull => chain.updates(&link.child),
                    Action::NoAction | Action::Restrict => true,
                };
                if is_refused {
                    self.refuse_children(job, link, parents).await?;
                    continue;
                }
                let head = match link.key.on_delete {
                    Action::Cascade => format!("delete from {} where ", name(&link.child)),
                    _ => {
                        let set: Vec<String> = link
                            .key
                            .columns
                            .iter()
                            .map(|c| format!("{} = null", quoted(c.as_str())))
                            .collect();
                        format!("update {} set {} where ", name(&link.child), set.join(", "))
                    }
                };
                let text = with_condition(job, head, &link.key.columns, parents, "")?;
                self.follow_text(job, &text, &chain).await?;
            }
        }
        Ok(())
    }

    /// A row has other values of the columns that a key refers to.
    pub(super) async fn parent_has_changed(
        &self,
        job: &mut Job<'_>,
        link: &Link,
        before: &[Value],
        after: &[Value],
        chain: &Chain,
    ) -> Result<()> {
        let parents = distinct(&[before.to_vec()]);
        if parents.is_empty() {
            return Ok(());
        }
        let chain = chain.with(link, true);
        if !link.key.on_update.changes_rows() || chain.updates(&link.child) {
            return self.refuse_children(job, link, &parents).await;
        }
        let plain = is_plain(job);
        let mut head = format!("update {} set ", name(&link.child)).into_bytes();
        for (index, (column, value)) in link.key.columns.iter().zip(after).enumerate() {
            head.extend_from_slice(if index == 0 { b"" } else { b", " });
            head.extend_from_slice(format!("{} = ", quoted(column.as_str())).as_bytes());
            match link.key.on_update {
                Action::Cascade => value.as_ref().render_literal(&mut head, plain),
                _ => head.extend_from_slice(b"null"),
            }
        }
        head.extend_from_slice(b" where ");
        let text = with_condition(job, head, &link.key.columns, &parents, "")?;
        self.follow_text(job, &text, &chain).await
    }

    /// Values that rows have now must be those of parents. `is_stored`: they are as the server keeps them, not as a
    /// statement has them.
    pub(in crate::executor) async fn check_parents(
        &self,
        job: &mut Job<'_>,
        link: &Link,
        values: &[Vec<Value>],
        is_stored: bool,
    ) -> Result<()> {
        let missing = self.missing_parents(job, link, values).await?;
        match missing.first() {
            None => Ok(()),
            Some(parent) if is_stored || self.reads_as_stored(job, link, parent) => {
                Err(parent_is_missing(job, link))
            }
            Some(_) => Err(not_stored_as_written(link)),
        }
    }

    /// The values without a parent; those that are found stay locked.
    pub(in crate::executor) async fn missing_parents(
        &self,
        job: &mut Job<'_>,
        link: &Link,
        values: &[Vec<Value>],
    ) -> Result<Vec<Vec<Value>>> {
        let columns = &link.key.parent_columns;
        let list: Vec<String> = columns.iter().map(|column| quoted(column.as_str())).collect();
        let head = format!("select {} from {} where ", list.join(", "), name(&link.parent));
        let mut lost = Vec::new();
        for parents in distinct(values).chunks(KEYS_PER_STATEMENT_MAX) {
            let text = with_condition(job, head.clone(), columns, parents, " lock in share mode")?;
            let rows = self.read_rows(job, &text).await?;
            let mut found = std::collections::HashSet::new();
            for index in 0..rows.len() {
                found.insert(name_of(&rows.values(index)?));
            }
            if let ([parent], 0) = (parents, rows.len()) {
                lost.push(parent.clone());
                continue;
            }
            for parent in parents.iter().filter(|parent| !found.contains(&name_of(parent))) {
                // Equal is what the server finds equal, whatever it looks like.
                let one = std::slice::from_ref(parent);
                let tail = " limit 1 lock in share mode";
                let text = with_condition(job, head.clone(), columns, one, tail)?;
                if self.read_rows(job, &text).await?.len() == 0 {
                    lost.push(parent.clone());
                }
            }
        }
        Ok(lost)
    }

    /// Is there a row whose parent would be lost?
    async fn refuse_children(&self, job: &mut Job<'_>, link: &Link, parents: &[Vec<Value>]) -> Result<()> {
        let head = format!("select 1 from {} where ", name(&link.child));
        let text = with_condition(job, head, &link.key.columns, parents, " limit 1 lock in share mode")?;
        match self.read_rows(job, &text).await?.len() {
            0 => Ok(()),
            _ => Err(child_is_there(job, link)),
        }
    }

    /// Runs a change that follows from another.
    async fn follow_text(&self, job: &mut Job<'_>, text: &[u8], chain: &Chain) -> Result<()> {
        let options = job.session.settings.lex_options();
        let mut lexed = Lexed::new();
        crate::sql::lex(text, 0, &options, &mut lexed)?;
        let plan = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            crate::plan::build_read_first(ctx, text, &lexed)
        })?;
        // What servers warn of on the way is not about the client's statement.
        let diagnostics = std::mem::take(&mut job.session.diagnostics);
        let mut inner = job.inner(text, &lexed);
        let outcome = Box::pin(self.managed_change(&mut inner, &plan, chain)).await;
        job.session.diagnostics = diagnostics;
        outcome.map(drop)
    }
}

fn name(table: &Table) -> String {
    format!("{}.{}", quoted(&table.keyspace), quoted(&table.name))
}

fn is_plain(job: &Job<'_>) -> bool {
    job.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES)
}

/// Each once, without those that have a NULL: they refer to nothing.
fn distinct(values: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let mut known = std::collections::HashSet::new();
    let whole = values.iter().filter(|values| !values.contains(&Value::Null));
    whole.filter(|values| known.insert(name_of(values))).cloned().collect()
}

fn with_condition(
    job: &Job<'_>,
    head: impl Into<Vec<u8>>,
    columns: &[ColumnName],
    values: &[Vec<Value>],
    tail: &str,
) -> Result<Vec<u8>> {
    let mut text = head.into();
    let columns: Vec<String> = columns.iter().map(|column| quoted(column.as_str())).collect();
    let rows: Vec<&[Value]> = values.iter().map(Vec::as_slice).collect();
    if let ([column], [[value]]) = (columns.as_slice(), rows.as_slice()) {
        text.extend_from_slice(format!("{column} = ").as_bytes());
        value.as_ref().render_literal(&mut text, is_plain(job));
    } else {
        text.push(b'(');
        write_condition(&columns, &rows, false, is_plain(job), &mut text)?;
        text.push(b')');
    }
    text.extend_from_slice(tail.as_bytes());
    Ok(text)
}
