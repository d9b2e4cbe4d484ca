//! TRUNCATE of a table with lookup vindexes: its rows' own rows in lookup tables go too.
//!
//! The owner goes first: a lookup table may have too many rows, never too few.

use super::Executor;
use super::job::Job;
use crate::error::{Error, Result};
use crate::limits::CAPTURED_REPLY_BYTES_MAX;
use crate::sql::ident::{name_of, quoted};
use crate::sql::{TokenKind, Tokenizer};
use crate::vschema::Table;
use crate::vschema::vindex::LookupSpec;
use crate::wire::{OkPacket, read_captured};
use std::sync::Arc;

impl Executor {
    /// Runs the statement and replies. `false`: the table has no lookup tables of its own, and nothing was done.
    pub(super) async fn truncate_with_lookups(&self, job: &mut Job<'_>) -> Result<bool> {
        if job.session.target.explicit().is_some() {
            return Ok(false);
        }
        let Some(table) = truncated(job).filter(|table| table.has_owned_lookups()) else { return Ok(false) };
        let mut lookups = Vec::new();
        for used in table.column_vindexes.iter().filter(|used| used.is_owned) {
            let Some(spec) = used.vindex.lookup() else { continue };
            lookups.push(lookup_table(job, &table, spec)?);
        }
        job.client.begin_capture(CAPTURED_REPLY_BYTES_MAX);
        let outcome = Box::pin(self.planned(job)).await;
        let captured = job.client.end_capture().await;
        outcome?;
        let results = read_captured(&captured.bytes, job.client.deprecates_eof())
            .map_err(|malformed| Error::bug(format!("a reply of our own: {malformed}")))?;
        if let Some(error) = results.into_iter().find_map(|result| result.error) {
            return Err(error);
        }
        for lookup in lookups {
            let text = format!("truncate table {}.{}", quoted(&lookup.keyspace), quoted(&lookup.name));
            let results = Box::pin(self.captured(job, text.as_bytes(), None)).await?;
            if let Some(error) = results.into_iter().find_map(|result| result.error) {
                return Err(error);
            }
        }
        job.session.row_count = 0;
        job.send_ok_with(OkPacket::default());
        Ok(true)
    }
}

/// The table of a lookup vindex that another table uses.
pub(super) fn lookup_table(job: &Job<'_>, table: &Table, spec: &LookupSpec) -> Result<Arc<Table>> {
    let (keyspace, name) = spec.table_name();
    let vschema = &job.snapshot.vschema;
    let is_near = keyspace.is_none()
        && vschema.keyspace(&table.keyspace).is_some_and(|schema| schema.table(name).is_some());
    let keyspace = if is_near { Some(table.keyspace.as_str()) } else { keyspace };
    Ok(vschema.find_table(keyspace, name, job.session.target.tablet_type)?.table)
}

/// The table of `TRUNCATE [TABLE] [keyspace.]name`.
fn truncated(job: &Job<'_>) -> Option<Arc<Table>> {
    let options = job.session.settings.lex_options();
    let mut tokenizer = Tokenizer::new(job.text, job.lexed.verb.range().end, &options);
    let mut token = tokenizer.next_token().ok()?;
    if token.is_word(job.text, "table") {
        token = tokenizer.next_token().ok()?;
    }
    let mut name = name_of(token.span.of(job.text)).into_owned();
    let mut qualifier = None;
    if tokenizer.peek().ok()?.kind == TokenKind::Dot {
        tokenizer.next_token().ok()?;
        let last = tokenizer.next_token().ok()?;
        qualifier = Some(std::mem::replace(&mut name, name_of(last.span.of(job.text)).into_owned()));
    }
    let topology = &job.snapshot.topology;
    let keyspace = match &qualifier {
        Some(qualifier) => {
            let mut known = topology.keyspaces().iter();
            let of_database = known.find(|keyspace| keyspace.db_name() == qualifier.as_str());
            Some(of_database.map_or(qualifier.as_str(), |keyspace| keyspace.name().as_str()))
        }
        None => job.session.keyspace(),
    };
    let tablet_type = job.session.target.tablet_type;
    job.snapshot.vschema.find_table(keyspace, &name, tablet_type).ok().map(|found| found.table)
}
