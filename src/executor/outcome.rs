//! What a statement leaves behind in its session: counts, insert id, warnings, connections that must be kept.

use super::Executor;
use super::exchange::Lease;
use super::job::Job;
use super::query::is_before_execution;
use crate::backend::BackendConnection;
use crate::backend::pool::PooledConnection;
use crate::session::Session;
use crate::session::diagnostics::{Diagnostic, Level};
use crate::sql::LexFlags;
use crate::wire::ReplySummary;

impl Executor {
    /// Brings the session up to date after a statement at one server. `summary` is `None` after a server's error.
    pub(super) async fn after_statement(
        &self,
        job: &mut Job<'_>,
        lease: &mut Lease,
        is_write: bool,
        summary: Option<&ReplySummary>,
    ) {
        if let Lease::Held(index) = lease {
            job.session.transaction.shards[*index].has_written |= is_write;
        }
        let Some(summary) = summary else { return };
        note_counts(job.session, summary);
        if let Some(error) = &summary.error {
            job.client.count_forwarded_error(error);
            job.session.diagnostics.push_error(error);
            job.session.transaction.is_one_shot &= !is_before_execution(error);
            Box::pin(self.follow_rollback(job.session, error)).await;
            return;
        }
        let calculates_found_rows = job.lexed.flags.contains(LexFlags::HAS_SQL_CALC_FOUND_ROWS);
        // `LAST_INSERT_ID(expr)` assigns; in a query the reply does not tell.
        let assigns_insert_id = summary.has_result_set
            && job.lexed.flags.contains(LexFlags::HAS_ASSIGNMENT)
            && mentions_insert_id(job.text)
            || job.session.asks_insert_id && summary.last_insert_id != 0;
        let names_variables = super::variables::are_named(job);
        if summary.warnings == 0 && !calculates_found_rows && !assigns_insert_id && !names_variables {
            return;
        }
        // The client has its reply by now or gets it at the end of the command: it does not wait for these.
        let connection = lease.connection(&mut job.session.transaction);
        if connection.owed_count() > 0 || connection.is_broken() {
            return;
        }
        if summary.warnings > 0 {
            collect_warnings(connection, &mut job.session.diagnostics).await;
        }
        if calculates_found_rows
            && let Some(found_rows) = number(connection, "SELECT FOUND_ROWS() LIMIT 1").await
        {
            job.session.found_rows = found_rows;
        }
        if assigns_insert_id && let Some(id) = number(connection, "SELECT LAST_INSERT_ID() LIMIT 1").await {
            job.session.last_insert_id = id;
        }
        if names_variables && let Err(error) = super::variables::take_back(job, lease).await {
            tracing::warn!(%error, "what a statement assigned to user variables is lost");
        }
    }
}

/// The functions that ask about the statement before: `ROW_COUNT()`, `FOUND_ROWS()`, `LAST_INSERT_ID()`.
fn note_counts(session: &mut Session, summary: &ReplySummary) {
    if summary.has_result_set {
        session.row_count = -1;
        session.found_rows = summary.row_count;
    } else {
        session.row_count = i64::try_from(summary.affected_rows).unwrap_or(i64::MAX);
        if summary.last_insert_id != 0 {
            session.last_insert_id = summary.last_insert_id;
        }
    }
}

fn mentions_insert_id(text: &[u8]) -> bool {
    const NAME: &[u8] = b"last_insert_id";
    text.windows(NAME.len()).any(|window| window.eq_ignore_ascii_case(NAME))
}

/// The number that a query gives on the connection of the statement before.
async fn number(connection: &mut PooledConnection, query: &str) -> Option<u64> {
    let result = connection.query_all(query).await.ok()?;
    let text = result.rows.first()?.first()?.as_deref()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Fetches a statement's warnings while its connection still knows them. When that fails, the connection is closed
/// and only the details are lost.
pub(super) async fn collect_warnings(
    connection: &mut BackendConnection,
    diagnostics: &mut crate::session::diagnostics::Diagnostics,
) {
    let Ok(result) = connection.query_all("SHOW WARNINGS").await else { return };
    for row in result.rows {
        let [Some(level), Some(code), Some(message)] = row.as_slice() else { continue };
        let code = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok()).unwrap_or_default();
        diagnostics.push(Diagnostic { level: Level::parse(level), code, message: message.clone() });
    }
}
