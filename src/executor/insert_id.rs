//! INSERT at one place into a table with AUTO_INCREMENT: whether `LAST_INSERT_ID()` becomes what the reply tells.
//!
//! The reply tells also the number that a row brought along, and that of a row which ON DUPLICATE KEY UPDATE has changed;
//! the function does not. Mostly the text tells them apart; otherwise the server is asked.
//! <https://dev.mysql.com/doc/refman/9.0/en/information-functions.html#function_last-insert-id>

use super::Executor;
use super::arguments::{Arguments, Placeholders};
use super::job::Job;
use super::session_values::SessionValues;
use crate::engine::{InsertSource, RowIds, Run, row_ids};
use crate::error::Result;
use crate::plan::primitive::{Insert, Route, ToldId};
use crate::schema::Generation;
use crate::sql::{LexFlags, SqlMode};
use crate::topology::KeyspaceName;

impl Executor {
    /// An INSERT at one place.
    pub(super) async fn route_insert(&self, job: &mut Job<'_>, route: &Route, told: &ToldId) -> Result<()> {
        let ids = told.position.and_then(|at| self.ids_of(job, route.keyspace.as_ref()?, at));
        let before = job.session.last_insert_id;
        match ids {
            Some(RowIds { given: true, asking: false, unknown: false }) => {
                let outcome = Box::pin(self.route(job, route)).await;
                job.session.last_insert_id = before;
                outcome
            }
            Some(RowIds { asking: true, given, unknown: false })
                if !(told.is_upsert || given && told.is_ignore) =>
            {
                Box::pin(self.route(job, route)).await
            }
            _ => {
                job.session.asks_insert_id = true;
                let outcome = Box::pin(self.route(job, route)).await;
                job.session.asks_insert_id = false;
                outcome
            }
        }
    }

    /// Do all rows bring the number along that their shard's AUTO_INCREMENT would have given?
    pub(super) fn are_ids_given(&self, job: &Job<'_>, insert: &Insert, source: &InsertSource<'_>) -> bool {
        let relation = job.snapshot.schemas.relation(&insert.keyspace, &insert.table);
        let counted = relation.and_then(|relation| {
            relation.columns.iter().find(|column| column.generation == Generation::AutoIncrement)
        });
        let position = counted.and_then(|counted| {
            insert.columns.iter().position(|name| counted.name.as_str().eq_ignore_ascii_case(name))
        });
        let ids = position.and_then(|at| self.ids_in(job, at, source, &insert.keyspace));
        ids == Some(RowIds { given: true, ..RowIds::default() })
    }

    fn ids_of(&self, job: &Job<'_>, keyspace: &KeyspaceName, position: u32) -> Option<RowIds> {
        let options = job.session.settings.lex_options();
        let source = InsertSource {
            lexed: job.lexed,
            options: &options,
            keyspace: job.snapshot.topology.keyspace(keyspace)?,
            zero_is_a_value: options.mode.contains(SqlMode::NO_AUTO_VALUE_ON_ZERO),
        };
        self.ids_in(job, position as usize, &source, keyspace)
    }

    /// `None`: the text does not tell.
    fn ids_in(
        &self,
        job: &Job<'_>,
        position: usize,
        source: &InsertSource<'_>,
        keyspace: &KeyspaceName,
    ) -> Option<RowIds> {
        if job.lexed.flags.contains(LexFlags::HAS_ASSIGNMENT) {
            return None;
        }
        let (arguments, session) = (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
        let run = Run { keyspace, parts: &[], text: job.text, args: &arguments, session: &session };
        row_ids(position, &run, source).ok()
    }
}
