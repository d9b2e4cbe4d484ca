//! Rows that a statement adds to a table with foreign keys over shards: what they refer to, and whether it was there when
//! they came.
//!
//! Servers look at one row after the other: a row of the same table that comes later is no parent yet.

use std::collections::{HashMap, HashSet};

use super::Executor;
use super::foreign_keys::parent_is_missing;
use super::job::Job;
use super::read_first::name_of;
use crate::engine::InsertBatch;
use crate::error::Result;
use crate::plan::Link;
use crate::plan::primitive::Insert;
use crate::value::Value;

/// What new rows refer to.
pub(super) struct NewRows<'a> {
    links: &'a [Link],
    /// By the key's index.
    parents: Vec<Vec<Vec<Value>>>,
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

impl<'a> NewRows<'a> {
    /// No rows yet.
    pub(super) fn new(links: &'a [Link]) -> Self {
        let own = links.iter().enumerate().filter(|(_, link)| link.is_of_one_table());
        let order = |(index, link)| Order {
            link,
            index,
            known: HashSet::new(),
            wanted: HashSet::new(),
            is_wrong: false,
        };
        Self { links, parents: vec![Vec::new(); links.len()], orders: own.map(order).collect() }
    }

    /// Adds rows that have been sent.
    pub(super) fn note(&mut self, insert: &Insert, batch: &InsertBatch<'_>) -> Result<()> {
        let end = insert.lookups.len() - insert.keys_over_shards().len();
        let count = self.links.len() + self.orders.len();
        let told = insert.lookups[..end].get(end - count..).unwrap_or_default();
        let (referring, referred) = told.split_at(self.links.len().min(told.len()));
        for (order, lookup) in self.orders.iter_mut().zip(referred) {
            let Some(children) = referring.get(order.index) else { continue };
            let wanted = batch.entries(children)?.into_iter().map(|(row, entry)| (row, entry.values));
            let offered = batch.entries(lookup)?.into_iter().map(|(row, entry)| (row, entry.values));
            order.add(batch.row_count(), &wanted.collect(), &offered.collect());
        }
        for (lookup, parents) in referring.iter().zip(&mut self.parents) {
            parents.extend(batch.entries(lookup)?.into_iter().map(|(_, entry)| entry.values));
        }
        Ok(())
    }
}

impl Order<'_> {
    fn add(
        &mut self,
        count: usize,
        wanted: &HashMap<usize, Vec<Value>>,
        offered: &HashMap<usize, Vec<Value>>,
    ) {
        for row in 0..count {
            if let Some(offered) = offered.get(&row) {
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
    /// The rows' parents must be there.
    pub(super) async fn check_new_rows(&self, job: &mut Job<'_>, new: &NewRows<'_>) -> Result<()> {
        if let Some(order) = new.orders.iter().find(|order| order.is_wrong) {
            return Err(parent_is_missing(job, order.link));
        }
        for (link, parents) in new.links.iter().zip(&new.parents) {
            self.check_parents(job, link, parents, false).await?;
        }
        Ok(())
    }
}
