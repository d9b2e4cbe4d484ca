//! `VEXPLAIN [PLAN | QUERIES | ALL | TRACE | KEYS] statement`: what the router makes of a statement.
//!
//! As in Vitess, QUERIES, ALL and TRACE run it; PLAN and KEYS do not. PLAN and TRACE answer with JSON; without a word
//! there is the plan as a tree for human readers.

use std::sync::PoisonError;

use super::Executor;
use super::job::Job;
use super::table::{ColumnKind, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Figures;
use crate::session::query_log::{LoggedQuery, QueryLog};
use crate::sql::{Directives, Lexed, lex};
use crate::topology::KeyspaceName;
use crate::wire::CapturedResult;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    All,
    /// No word.
    Tree,
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
            Mode::Tree => lines("Plan", &self.described(job, statement)?),
            Mode::Plan => one_cell("JSON", &self.described_json(job, statement, None)?),
            Mode::Keys => {
                let options = job.session.settings.lex_options();
                lines("ColumnUsage", &crate::plan::column_usage(statement.as_bytes(), &options)?)
            }
            Mode::All | Mode::Queries | Mode::Trace => {
                let (log, results) = self.run_logged(job, statement).await?;
                let queries = log.take();
                match mode {
                    Mode::All => self.with_explains(job, &queries).await,
                    Mode::Trace => {
                        let figures = figures(&log, &queries, &results);
                        one_cell("Trace", &self.described_json(job, statement, Some(&figures))?)
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

    fn described_json(&self, job: &Job<'_>, statement: &str, figures: Option<&Figures>) -> Result<String> {
        let plan = self.plan_of_text(job, statement.as_bytes())?;
        let topology = &job.snapshot.topology;
        let is_sharded =
            |name: &KeyspaceName| topology.keyspace(name).is_some_and(|keyspace| keyspace.is_sharded());
        let json = crate::plan::describe_json(&plan, statement, &is_sharded, figures);
        serde_json::to_string_pretty(&json).map_err(|error| Error::bug(format!("a plan as JSON: {error}")))
    }

    /// Runs the statement, keeps its result from the client and notes what was sent where.
    async fn run_logged(
        &self,
        job: &mut Job<'_>,
        statement: &str,
    ) -> Result<(QueryLog, Vec<CapturedResult>)> {
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
            None => Ok((log, results)),
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
        _ => return (Mode::Tree, rest),
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

fn one_cell(column: &str, text: &str) -> Table {
    let mut table = Table::of_text([column]);
    table.push([text]);
    table
}

/// How the statement's run went.
fn figures(log: &QueryLog, queries: &[LoggedQuery], results: &[CapturedResult]) -> Figures {
    let mut shards: Vec<_> =
        queries.iter().map(|query| (&query.target.keyspace, &query.target.shard)).collect();
    shards.sort();
    shards.dedup();
    let rows: u64 = results.iter().map(|result| result.rows.len() as u64 + result.affected_rows).sum();
    let row_counts = log.row_counts().lock().unwrap_or_else(PoisonError::into_inner).clone();
    Figures { row_counts, rows, queries: queries.len(), shards: shards.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_a_word_of_its_own() {
        let check = |text: &str, mode, rest: &str| assert_eq!(mode_of(text), (mode, rest), "{text}");
        check("vexplain select 1", Mode::Tree, "select 1");
        check(" VEXPLAIN PLAN\tselect 1", Mode::Plan, "select 1");
        check("vexplain queries select 1", Mode::Queries, "select 1");
        check("vexplain Keys update t set a = 1", Mode::Keys, "update t set a = 1");
        check("vexplain", Mode::Tree, "");
    }
}
