//! `SELECT … INTO @a, @b`: the query runs without its INTO, wherever its rows are, and the router keeps the row.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/select-into.html>

use super::Executor;
use super::job::{Execution, Job};
use super::prepared::Preparation;
use super::set::typed;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::CAPTURED_REPLY_BYTES_MAX;
use crate::session::diagnostics::{Diagnostic, Level};
use crate::sql::splice::splice_all;
use crate::sql::statement::{IntoVariables, parse_into};
use crate::sql::{LexFlags, Lexed, lex};
use crate::value::Value;
use crate::wire::row::{decode_binary_row, text_fields};
use crate::wire::{CapturedResult, ColumnDefinition, Malformed, OkPacket, read_captured};

/// ER_SP_FETCH_NO_DATA, here only a warning.
const NO_DATA: u16 = 1329;

/// The variables that the job's row is for.
pub(super) fn of(job: &Job<'_>) -> Option<IntoVariables> {
    let is_candidate = job.lexed.kind.is_query() && job.lexed.flags.contains(LexFlags::HAS_INTO);
    is_candidate.then(|| parse_into(job.text, &job.session.settings.lex_options())).flatten()
}

impl Executor {
    /// Runs the query and assigns its only row.
    pub(super) async fn select_into(&self, job: &mut Job<'_>, into: &IntoVariables) -> Result<()> {
        let execution = job.execution;
        let mut results = self.captured(job, &without(job.text, into), execution).await?;
        let result = results.pop().unwrap_or_default();
        if let Some(error) = result.error {
            return Err(error);
        }
        if result.columns.len() != into.names.len() {
            return Err(Error::new(
                ErrorKind::SelectColumnCount,
                "The used SELECT statements have a different number of columns",
            ));
        }
        if let Some(row) = result.rows.first() {
            let values = values_of(row, &result.columns, job.execution.is_some())?;
            for (name, value) in into.names.iter().zip(values) {
                job.session.set_user_variable(name, value)?;
            }
        }
        if result.rows.len() > 1 {
            return Err(Error::new(ErrorKind::TooManyRows, "Result consisted of more than one row"));
        }
        let affected_rows = result.rows.len() as u64;
        let mut warnings = result.warnings;
        if affected_rows == 0 {
            warnings = warnings.saturating_add(1);
            let message = b"No data - zero rows fetched, selected, or processed".to_vec();
            job.session.diagnostics.push(Diagnostic { level: Level::Warning, code: NO_DATA, message });
        }
        job.session.row_count = i64::from(affected_rows != 0);
        job.send_ok_with(OkPacket { affected_rows, warnings, ..OkPacket::default() });
        Ok(())
    }

    /// Runs another text in the job's place and keeps the reply from the client. `execution`: with these parameters.
    pub(super) async fn captured<'j>(
        &self,
        job: &mut Job<'j>,
        text: &[u8],
        execution: Option<Execution<'j>>,
    ) -> Result<Vec<CapturedResult>> {
        let mut lexed = Lexed::new();
        lex(text, 0, &job.session.settings.lex_options(), &mut lexed)?;
        job.client.begin_capture(CAPTURED_REPLY_BYTES_MAX);
        let outcome = {
            let mut inner = Job {
                session: &mut *job.session,
                client: &mut *job.client,
                snapshot: job.snapshot.clone(),
                text,
                lexed: &lexed,
                execution,
                more_results: false,
            };
            Box::pin(self.dispatch(&mut inner)).await
        };
        let captured = job.client.end_capture().await;
        outcome?;
        if captured.has_overflowed {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "the result has more than {CAPTURED_REPLY_BYTES_MAX} bytes (CAPTURED_REPLY_BYTES_MAX)"
                ),
            ));
        }
        read_captured(&captured.bytes, job.client.deprecates_eof())
            .map_err(|malformed| Error::bug(format!("a reply of our own: {malformed}")))
    }

    /// Servers describe it as a statement without columns; which server is for the query to say.
    pub(super) fn place_to_prepare_into(&self, job: &Job<'_>, into: &IntoVariables) -> Result<Preparation> {
        let text = without(job.text, into);
        match self.place_of_text(job, &text)? {
            Preparation::AtServer(target, _) => {
                Ok(Preparation::AtServer(target, super::describe::with_database_names(job)))
            }
            Preparation::Gathered(_) => {
                Err(Error::bug("a text that is not the statement's own gathers no rows"))
            }
            Preparation::Router(_) => Ok(Preparation::Router(Vec::new())),
        }
    }
}

/// The text without its `INTO …`.
fn without(text: &[u8], into: &IntoVariables) -> Vec<u8> {
    splice_all(text, &[(into.span, b"")])
}

fn values_of(row: &[u8], columns: &[ColumnDefinition], is_binary: bool) -> Result<Vec<Value>> {
    if is_binary {
        let values = decode_binary_row(columns, row).map_err(Malformed::into_backend_error)?;
        return Ok(values.into_iter().map(plain).collect());
    }
    let fields = text_fields(row).zip(columns).map(|(field, column)| {
        let field = field.map_err(Malformed::into_backend_error)?;
        Ok(field.map_or(Value::Null, |text| typed(text, column)))
    });
    fields.collect()
}

/// Variables hold numbers and strings only.
fn plain(value: Value) -> Value {
    match value {
        Value::Temporal(_, text) => Value::Text(text),
        Value::Float(number) => Value::Double(number.into()),
        Value::Bit(bytes) if bytes.len() <= size_of::<u64>() => {
            Value::UInt(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        other => other,
    }
}
