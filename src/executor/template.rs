//! Putting the text of a plan's template together: arguments, session values, limits.

use super::Executor;
use super::arguments::Arguments;
use super::job::Job;
use crate::error::{Error, Result};
use crate::plan::primitive::{Piece, Query, RouteValue, SessionValue, Template};
use crate::session::Session;
use crate::sql::{Arg, ArgKind, SqlMode};
use crate::topology::Snapshot;
use crate::value::Value;

/// What becomes of the `?` of a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholders {
    /// Their values are put in: the text is sent as a plain query.
    Inline,
    /// They stay: the text is prepared, and the values follow in the execution.
    Keep,
}

/// Renders templates for one statement.
pub(super) struct Renderer<'a> {
    pub(super) arguments: &'a Arguments<'a>,
    pub(super) session: &'a Session,
    pub(super) snapshot: &'a Snapshot,
    pub(super) version: &'a str,
    pub(super) placeholders: Placeholders,
    /// The value for [`Piece::Sequence`].
    pub(super) sequence: Option<u64>,
}

impl<'a> Renderer<'a> {
    /// A renderer for the job's statement.
    pub(super) fn new(
        executor: &'a Executor,
        job: &'a Job<'_>,
        arguments: &'a Arguments<'a>,
        placeholders: Placeholders,
    ) -> Self {
        let version = &executor.options().version;
        Self {
            arguments,
            session: job.session,
            snapshot: &job.snapshot,
            version,
            placeholders,
            sequence: None,
        }
    }

    /// The text of a query.
    pub(super) fn query(&self, query: &Query) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.arguments.text.len() + 64);
        match query {
            Query::Template(template) => self.template(template, &mut out)?,
            Query::Original => self.original(&mut out)?,
        }
        Ok(out)
    }

    /// The client's own text; with parameters inlined, if that is wanted.
    fn original(&self, out: &mut Vec<u8>) -> Result<()> {
        let text = self.arguments.text;
        let mut copied = 0;
        for arg in &self.arguments.lexed.args {
            if self.placeholders == Placeholders::Inline && matches!(arg.kind, ArgKind::Placeholder(_)) {
                out.extend_from_slice(text.get(copied..arg.span.range().start).unwrap_or_default());
                self.arg(arg, out)?;
                copied = arg.span.range().end;
            }
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        Ok(())
    }

    /// Appends a template's text.
    pub(super) fn template(&self, template: &Template, out: &mut Vec<u8>) -> Result<()> {
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Arg(index) => self.arg(self.arguments.arg(*index)?, out)?,
                Piece::List(index) | Piece::ListForShard(index) => {
                    out.extend_from_slice(self.arguments.arg(*index)?.span.of(self.arguments.text));
                }
                Piece::RowsNeeded { count, offset } => {
                    let rows = self.row_count(count)?.saturating_add(self.row_count(offset)?);
                    out.extend_from_slice(rows.to_string().as_bytes());
                }
                Piece::DatabaseName(value) => self.database_name(value, out)?,
                Piece::Sequence => {
                    let value =
                        self.sequence.ok_or_else(|| Error::bug("no sequence value for a template"))?;
                    out.extend_from_slice(value.to_string().as_bytes());
                }
                Piece::Session(value) => self.literal(&self.session_value(value), out),
            }
        }
        Ok(())
    }

    /// The number behind LIMIT or OFFSET.
    pub(super) fn row_count(&self, value: &RouteValue) -> Result<u64> {
        let value = self.arguments.route_value(value)?;
        value.as_ref().to_uint64().map_err(|error| {
            Error::new(
                crate::error::ErrorKind::WrongArguments,
                format!("Undeclared variable or wrong LIMIT: {error}"),
            )
        })
    }

    fn arg(&self, arg: &Arg, out: &mut Vec<u8>) -> Result<()> {
        match arg.kind {
            ArgKind::Placeholder(number) if self.placeholders == Placeholders::Inline => {
                self.literal(&self.arguments.parameter(number)?, out);
            }
            ArgKind::UserVariable => self.literal(&self.arguments.value(arg)?, out),
            _ => out.extend_from_slice(arg.span.of(self.arguments.text)),
        }
        Ok(())
    }

    fn literal(&self, value: &Value, out: &mut Vec<u8>) {
        let mode = self.arguments.options.mode;
        value.as_ref().render_literal(out, mode.contains(SqlMode::NO_BACKSLASH_ESCAPES));
    }

    fn database_name(&self, value: &RouteValue, out: &mut Vec<u8>) -> Result<()> {
        let value = self.arguments.route_value(value)?;
        let text = String::from_utf8_lossy(&value.as_ref().to_bytes()).into_owned();
        let value = match self.snapshot.topology.keyspace(&text) {
            Some(keyspace) => Value::text(keyspace.db_name()),
            None => value,
        };
        self.literal(&value, out);
        Ok(())
    }

    fn session_value(&self, value: &SessionValue) -> Value {
        let session = self.session;
        match value {
            SessionValue::ConnectionId => Value::UInt(session.identity.connection_id.into()),
            SessionValue::CurrentUser => Value::text(format!("{}@%", session.identity.user)),
            SessionValue::Database => session.target.text.as_deref().map_or(Value::Null, Value::text),
            SessionValue::FoundRows => Value::UInt(session.found_rows),
            SessionValue::LastInsertId => Value::UInt(session.last_insert_id),
            SessionValue::RowCount => Value::Int(session.row_count),
            SessionValue::SystemVariable(name) => match session.router_variable(name) {
                Some(number) => number.parse().map_or_else(|_| Value::text(number), Value::Int),
                None if &**name == "version" => Value::text(self.version),
                None if &**name == "version_comment" => Value::text(super::session_query::VERSION_COMMENT),
                None => Value::Null,
            },
            SessionValue::User => Value::text(format!("{}@{}", session.identity.user, session.identity.host)),
            SessionValue::UserVariable(name) => session.user_variables.get(name).cloned().unwrap_or_default(),
            SessionValue::Version => Value::text(self.version),
        }
    }
}
