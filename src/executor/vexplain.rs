//! `VEXPLAIN [PLAN | QUERIES | ALL | TRACE | KEYS] statement`: what the router makes of a statement.
//!
//! As in Vitess, QUERIES, ALL and TRACE run it; PLAN, which is the default here, and KEYS do not.

use super::Executor;
use super::job::Job;
use super::table::{ColumnKind, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::session::query_log::{LoggedQuery, QueryLog};
use crate::sql::{Directives, Lexed, lex};
use crate::wire::CapturedResult;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    All,
    Keys,
    Plan,
    Queries,
    Trace,
}

impl Executor {
    /// Runs a `VEXPLAIN`.
    pub(super) async fn vexplain(&self, job: &mut Job<'_>) -> Result<()> {
        let text = String::from_utf8_lossy(job.text).into_owned();
        let (mode, statement) = mode_of(&text);
        let table = match mode {
            Mode::Plan => lines("Plan", &self.described(job, statement)?),
            Mode::Keys => {
                let options = job.session.settings.lex_options();
                lines("ColumnUsage", &crate::plan::column_usage(statement.as_bytes(), &options)?)
            }
            Mode::All | Mode::Queries | Mode::Trace => {
                let (queries, results) = self.run_logged(job, statement).await?;
                match mode {
                    Mode::All => self.with_explains(job, &queries).await,
                    Mode::Trace => {
                        lines("Trace", &trace(&self.described(job, statement)?, &queries, &results))
                    }
                    _ => table_of(&queries, None),
                }
            }
        };
        self.send_table(job, table).await
    }

    fn described(&self, job: &Job<'_>, statement: &str) -> Result<String> {
        let plan = self.plan_of_text(job, statement.as_bytes())?;
        Ok(crate::plan::describe(&plan, statement))
    }

    /// Runs the statement, keeps its result from the client and notes what was sent where.
    async fn run_logged(
        &self,
        job: &mut Job<'_>,
        statement: &str,
    ) -> Result<(Vec<LoggedQuery>, Vec<CapturedResult>)> {
        let mut lexed = Lexed::new();
        lex(statement.as_bytes(), 0, &job.session.settings.lex_options(), &mut lexed)?;
        let directives = lexed.directive.map(|span| Directives::parse(span.of(statement.as_bytes())));
        if lexed.kind.is_dml() && !directives.is_some_and(|directives| directives.execute_dml_queries) {
            let text = "vexplain queries/all will actually run queries. \
                        `/*vt+ EXECUTE_DML_QUERIES */` must be set to run DML queries in vtexplain";
            return Err(Error::new(ErrorKind::VexplainRuns, text));
        }
        if !lexed.kind.is_dml() && !lexed.kind.is_query() {
            return Err(Error::unsupported("VEXPLAIN of this statement"));
        }
        let log = QueryLog::default();
        job.session.query_log = Some(log.clone());
        let results = self.captured(job, statement.as_bytes(), None).await;
        job.session.query_log = None;
        let results = results?;
        match results.iter().find_map(|result| result.error.clone()) {
            Some(error) => Err(error),
            None => Ok((log.take(), results)),
        }
    }

    /// The queries with what the servers say about each.
    async fn with_explains(&self, job: &Job<'_>, queries: &[LoggedQuery]) -> Table {
        let mut explains = Vec::with_capacity(queries.len());
        for query in queries {
            let sql = format!("EXPLAIN FORMAT=JSON {}", String::from_utf8_lossy(&query.text));
            let answer = async {
                let mut connection = self.gateway().acquire(&query.target, &job.needs()).await?;
                connection.sync_settings(job.session.settings.backend());
                super::exchange::settle(&mut connection).await?;
                connection.query_all(&sql).await
            };
            explains.push(match answer.await {
                Ok(result) => {
                    let first = result.rows.into_iter().next().and_then(|row| row.into_iter().next());
                    first.flatten().unwrap_or_default()
                }
                Err(error) => error.message().to_vec(),
            });
        }
        table_of(queries, Some(&explains))
    }
}

/// The mode, and the statement behind it.
fn mode_of(text: &str) -> (Mode, &str) {
    let rest = text.trim_start().get("vexplain".len()..).unwrap_or_default().trim_start();
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let mode = match rest[..end].to_ascii_lowercase().as_str() {
        "all" => Mode::All,
        "keys" => Mode::Keys,
        "plan" => Mode::Plan,
        "queries" => Mode::Queries,
        "trace" => Mode::Trace,
        _ => return (Mode::Plan, rest),
    };
    (mode, rest[end..].trim_start())
}

fn lines(column: &str, text: &str) -> Table {
    let mut table = Table::of_text([column]);
    text.lines().for_each(|line| table.push([line]));
    table
}

fn table_of(queries: &[LoggedQuery], explains: Option<&[Vec<u8>]>) -> Table {
    let names = ["#", "keyspace", "shard", "query", "mysql_explain_json"];
    let mut table = Table::of_text(names.into_iter().take(if explains.is_some() { 5 } else { 4 }));
    table.kinds[0] = ColumnKind::Integer;
    for (index, query) in queries.iter().enumerate() {
        let mut cells = vec![
            index.to_string().into_bytes(),
            query.target.keyspace.to_string().into_bytes(),
            query.target.shard.to_string().into_bytes(),
            query.text.clone(),
        ];
        cells.extend(explains.and_then(|explains| explains.get(index)).cloned());
        table.push(cells);
    }
    table
}

/// The plan, and how its run went.
fn trace(plan: &str, queries: &[LoggedQuery], results: &[CapturedResult]) -> String {
    let mut shards: Vec<String> =
        queries.iter().map(|query| format!("{}/{}", query.target.keyspace, query.target.shard)).collect();
    shards.sort();
    shards.dedup();
    let rows: usize = results.iter().map(|result| result.rows.len()).sum();
    let affected: u64 = results.iter().map(|result| result.affected_rows).sum();
    format!(
        "{}\nqueries: {}\nshards queried: {} ({})\nrows: {rows}\naffected rows: {affected}",
        plan.trim_end(),
        queries.len(),
        shards.len(),
        shards.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_a_word_of_its_own() {
        let check = |text: &str, mode, rest: &str| assert_eq!(mode_of(text), (mode, rest), "{text}");
        check("vexplain select 1", Mode::Plan, "select 1");
        check(" VEXPLAIN PLAN\tselect 1", Mode::Plan, "select 1");
        check("vexplain queries select 1", Mode::Queries, "select 1");
        check("vexplain Keys update t set a = 1", Mode::Keys, "update t set a = 1");
        check("vexplain", Mode::Plan, "");
    }
}
