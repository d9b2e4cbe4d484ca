//! `SHOW VARIABLES`: a server's answer, in which the variables that the router holds itself have the session's values.
//!
//! Statements that cannot show one of those pass through to the server.

use super::filter;
use super::like::like;
use crate::backend::RowStream;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::exchange::settle;
use crate::executor::job::Job;
use crate::executor::pass::encode_row;
use crate::executor::table::{Cell, ColumnKind, Table};
use crate::gateway::Target;
use crate::server::ResultEnd;
use crate::session::RouterVariables;
use crate::sql::literal;
use crate::sql::statement::{Filter, Show};
use crate::wire::row::text_fields;
use crate::wire::{ColumnDefinition, Command, Malformed};

/// Columns of the result.
const COLUMNS: [&str; 2] = ["Variable_name", "Value"];

impl Executor {
    /// Runs a `SHOW VARIABLES` that may show what the router holds; false when there is nothing to do about it.
    pub(super) async fn show_variables(
        &self,
        job: &mut Job<'_>,
        show: &Show,
        target: &Target,
    ) -> Result<bool> {
        if show.global {
            return Ok(false);
        }
        let own = own_rows(job, show);
        if own.is_empty() {
            return Ok(false);
        }
        let (columns, mut rows) = self.rows_of(job, target).await?;
        if columns.len() != COLUMNS.len() {
            return Err(Error::bug("SHOW VARIABLES has two columns"));
        }
        for own in own {
            let place = rows.binary_search_by(|row| row[0].cmp(&own[0]));
            match place {
                Ok(index) => rows[index] = own,
                Err(index) => rows.insert(index, own),
            }
        }
        let status = job.status();
        let is_binary = job.execution.is_some();
        let sent = async {
            job.client.begin_result(&columns, status).await?;
            for row in &rows {
                job.client.row(|out| encode_row(out, row, &[ColumnKind::Text; 2], is_binary)).await?;
            }
            job.client.end_result(ResultEnd { status, warnings: 0 });
            std::io::Result::Ok(())
        };
        sent.await.map_err(|error| Error::new(ErrorKind::ClientLost, error.to_string()))?;
        job.session.row_count = -1;
        job.session.found_rows = rows.len() as u64;
        Ok(true)
    }

    /// The server's answer, read whole: some hundred rows, sorted by name.
    async fn rows_of(
        &self,
        job: &mut Job<'_>,
        target: &Target,
    ) -> Result<(Vec<ColumnDefinition>, Vec<Vec<Cell>>)> {
        let mut connection = self.gateway().acquire(target, &job.needs()).await?;
        connection.sync_settings(job.session.settings.backend());
        settle(&mut connection).await?;
        connection.queue(&Command::Query(job.text));
        connection.flush().await?;
        let mut stream = RowStream::open(&mut *connection, false).await?;
        let columns = stream.columns().to_vec();
        let mut rows = Vec::new();
        while let Some(row) = stream.next_row().await? {
            let cells: Result<Vec<Cell>, Malformed> =
                text_fields(row).map(|field| field.map(|field| field.map(<[u8]>::to_vec))).collect();
            rows.push(cells.map_err(Malformed::into_backend_error)?);
        }
        Ok((columns, rows))
    }
}

/// The router's own variables that the statement asks for.
fn own_rows(job: &Job<'_>, show: &Show) -> Vec<Vec<Cell>> {
    let options = job.session.settings.lex_options();
    let variables = job.session.router_variables();
    match &show.filter {
        None => rows(&variables, |_| true),
        Some(Filter::Like(span)) => {
            let mut scratch = Vec::new();
            let Ok(pattern) = literal::string(span.of(job.text), &options, &mut scratch) else {
                return Vec::new();
            };
            let pattern = String::from_utf8_lossy(pattern).into_owned();
            rows(&variables, |name| like(&pattern, name))
        }
        Some(Filter::Where(span)) => {
            let Ok(condition) = crate::sql::parse::parse_expression(span.of(job.text), &options) else {
                return Vec::new();
            };
            let mut table = Table::of_text(COLUMNS);
            table.rows = rows(&variables, |_| true);
            // What the small evaluator does not understand is the server's business alone.
            filter::keep_where(&mut table, &condition).map_or_else(|_| Vec::new(), |()| table.rows)
        }
    }
}

fn rows(variables: &RouterVariables, is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<Cell>> {
    let cell = |text: &str| Some(text.as_bytes().to_vec());
    let wanted = variables.shown().into_iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, value)| vec![cell(name), cell(&value)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::settings::Settings;
    use crate::session::{Identity, Session};

    #[test]
    fn only_what_is_asked_for() {
        let identity = Identity { connection_id: 1, user: "u".into(), host: "h".into() };
        let session = Session::new(identity, Settings::new(None, 0));
        let of = |pattern: &str| rows(&session.router_variables(), |name| like(pattern, name)).len();
        assert_eq!((of("transaction_mode"), of("%"), of("tx%"), of("auto%")), (1, 5, 0, 1));
    }
}
