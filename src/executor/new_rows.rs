//! Rows that a statement adds to a table with foreign keys over shards: what they refer to, and whether it was there when
//! they came.
//!
//! Parents are locked before their children are written: so sessions that add children and others that delete parents wait
//! for each other in one order, as on one server. Servers look at one row after the other: a row of the same table that comes
//! later is no parent yet.

use std::collections::{HashMap, HashSet};

use super::Executor;
use super::foreign_keys::{NewRowLinks, Way, not_stored_as_written, parent_is_missing};
use super::inner::Inner;
use super::job::Job;
use super::read_first::name_of;
use super::scatter::SequenceAccess;
use crate::engine::{InsertBatch, WriteOutcome};
use crate::error::Result;
use crate::plan::Link;
use crate::plan::primitive::{Insert, InsertLookup};
use crate::value::Value;

/// What new rows refer to.
pub(super) struct NewRows<'a> {
    followed: &'a NewRowLinks,
    /// By the key's index: values without a parent when their rows came.
    missing: Vec<Vec<Vec<Value>>>,
    /// Of keys within one table.
    orders: Vec<Order<'a>>,
}

/// Whether parents among the new rows come before their children.
struct Order<'a> {
    link: &'a Link,
    index: usize,
    known: HashSet<Vec<u8>>,
    wanted: HashSet<Vec<u8>>,
    is_wrong: bool,
}

/// The values of rows by which keys find parents, by row.
type ByRow = HashMap<usize, Vec<Value>>;

/// What the rows of a batch refer to, and what others may find in them.
pub(super) struct Told {
    /// By the key's index.
    pub(super) wanted: Vec<ByRow>,
    /// Of keys within one table: the key's index, and what may be referred to.
    offered: Vec<(usize, ByRow)>,
    /// What keys refer to that refer to the table, by the key's index, where rows may be replaced.
    pub(super) referred: Vec<ByRow>,
}

impl<'a> NewRows<'a> {
    /// No rows yet.
    pub(super) fn new(followed: &'a NewRowLinks) -> Self {
        let links = &followed.links;
        let own = links.iter().enumerate().filter(|(_, link)| link.is_of_one_table());
        let order = |(index, link)| Order {
            link,
            index,
            known: HashSet::new(),
            wanted: HashSet::new(),
            is_wrong: false,
        };
        Self { followed, missing: vec![Vec::new(); links.len()], orders: own.map(order).collect() }
    }

    /// How its rows are added.
    pub(super) fn way(&self) -> Way {
        self.followed.way
    }

    /// The keys of the rows.
    pub(super) fn links(&self) -> &'a [Link] {
        &self.followed.links
    }

    /// The keys that refer to the table, where rows may be replaced.
    pub(super) fn incoming(&self) -> &'a [Link] {
        &self.followed.incoming
    }

    /// May one row be the parent of another?
    pub(super) fn refer_to_themselves(&self) -> bool {
        !self.orders.is_empty()
    }

    /// How many of the statement's lookups are the table's own; those of foreign keys stand behind.
    pub(super) fn own_lookups(&self, insert: &Insert) -> usize {
        let end = insert.lookups.len() - insert.keys_over_shards().len();
        end.saturating_sub(self.links().len() + self.orders.len() + self.incoming().len())
    }

    /// What rows that have their places refer to.
    pub(super) fn told(&self, insert: &Insert, batch: &InsertBatch<'_>) -> Result<Told> {
        let end = insert.lookups.len() - insert.keys_over_shards().len();
        let told = insert.lookups[..end].get(self.own_lookups(insert)..).unwrap_or_default();
        let (referring, told) = told.split_at(self.links().len().min(told.len()));
        let (own, referred) = told.split_at(self.orders.len().min(told.len()));
        let by_row = |lookup: &InsertLookup| -> Result<ByRow> {
            Ok(batch.entries(lookup)?.into_iter().map(|(row, entry)| (row, entry.values)).collect())
        };
        let wanted: Result<Vec<ByRow>> = referring.iter().map(&by_row).collect();
        let mut offered = Vec::new();
        for (order, lookup) in self.orders.iter().zip(own) {
            offered.push((order.index, by_row(lookup)?));
        }
        let referred: Result<Vec<ByRow>> = referred.iter().map(&by_row).collect();
        Ok(Told { wanted: wanted?, offered, referred: referred? })
    }
}

impl Told {
    /// Does a row refer to itself by this key?
    pub(super) fn is_own_parent(&self, link: usize, row: usize) -> bool {
        let offered = self.offered.iter().find(|(index, _)| *index == link);
        let offered = offered.and_then(|(_, by_row)| by_row.get(&row));
        offered.is_some() && offered == self.wanted.get(link).and_then(|by_row| by_row.get(&row))
    }
}

impl Order<'_> {
    fn add(&mut self, count: usize, wanted: &ByRow, offered: Option<&ByRow>) {
        for row in 0..count {
            if let Some(offered) = offered.and_then(|offered| offered.get(&row)) {
                let name = name_of(offered);
                self.is_wrong |= self.wanted.contains(&name);
                self.known.insert(name);
            }
            let wanted = wanted.get(&row).filter(|values| !values.contains(&Value::Null));
            let wanted = wanted.map(|values| name_of(values)).filter(|name| !self.known.contains(name));
            self.wanted.extend(wanted);
        }
    }
}

impl Executor {
    /// Adds some rows of a statement that has begun.
    pub(super) async fn add_rows(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
        new: &mut NewRows<'_>,
    ) -> Result<WriteOutcome> {
        if new.way() == Way::Upsert {
            return Box::pin(self.upsert_rows(job, insert, batch, Some(new))).await;
        }
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        inner.fill_in(insert, batch).await?;
        let mut sequences = SequenceAccess { executor: self, snapshot: &snapshot };
        batch.number(&mut sequences).await?;
        let places = inner.told_places(insert, batch).await?;
        batch.place(&places)?;
        if matches!(new.way(), Way::Ignore | Way::Replace) {
            let end = new.own_lookups(insert);
            for lookup in insert.lookups[..end].iter().filter(|lookup| !lookup.is_owned) {
                inner.check_unowned(insert, lookup, batch).await?;
            }
        }
        let told = new.told(insert, batch)?;
        match new.way() {
            Way::Ignore => return Box::pin(self.add_or_ignore(job, insert, batch, (new, &told))).await,
            Way::Replace => return Box::pin(self.replace_followed(job, insert, batch, (new, &told))).await,
            Way::Together | Way::Upsert => {}
        }
        for order in &mut new.orders {
            let offered = told.offered.iter().find(|(index, _)| *index == order.index);
            let Some(wanted) = told.wanted.get(order.index) else { continue };
            order.add(batch.row_count(), wanted, offered.map(|(_, by_row)| by_row));
        }
        let links = new.links();
        for ((link, wanted), missing) in links.iter().zip(&told.wanted).zip(&mut new.missing) {
            // In the order of the rows: it decides whose locks come first.
            let in_order = (0..batch.row_count()).filter_map(|row| wanted.get(&row).cloned());
            let values: Vec<Vec<Value>> = in_order.collect();
            missing.extend(self.missing_parents(job, link, &values).await?);
        }
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        match insert.keys_over_shards() {
            [] => inner.insert_rows(insert, batch).await,
            _ => inner.replace_rows(insert, batch).await,
        }
    }

    /// Those parents that were missing when their rows came must have come along.
    pub(super) async fn check_new_rows(&self, job: &mut Job<'_>, new: &NewRows<'_>) -> Result<()> {
        if let Some(order) = new.orders.iter().find(|order| order.is_wrong) {
            return Err(parent_is_missing(job, order.link));
        }
        for (link, missing) in new.links().iter().zip(&new.missing) {
            self.check_parents(job, link, missing, false).await?;
        }
        Ok(())
    }

    /// The key by which a row finds no parent; parents that are there are locked.
    pub(super) async fn lacks_parent<'l>(
        &self,
        job: &mut Job<'_>,
        links: &'l [Link],
        told: &Told,
        row: usize,
    ) -> Result<Option<&'l Link>> {
        for (index, (link, wanted)) in links.iter().zip(&told.wanted).enumerate() {
            let Some(values) = wanted.get(&row).filter(|_| !told.is_own_parent(index, row)) else { continue };
            if self.missing_parents(job, link, std::slice::from_ref(values)).await?.is_empty() {
                continue;
            }
            return match self.reads_as_stored(job, link, values) {
                true => Ok(Some(link)),
                false => Err(not_stored_as_written(link)),
            };
        }
        Ok(None)
    }
}
