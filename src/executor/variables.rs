//! User variables that a server itself has to read or assign: `SELECT @n := @n + 1`, `CALL p(@out)`.
//!
//! The router keeps every session's variables. Such a statement gets those it names in the same write, and what
//! they have become is read back behind it. What stays on the pooled connection is never looked at.

use super::exchange::Lease;
use super::job::Job;
use super::set::typed;
use crate::backend::RowStream;
use crate::error::Result;
use crate::sql::ident::quoted;
use crate::sql::statement::user_variables;
use crate::sql::{LexFlags, SqlMode, StatementKind};
use crate::value::Value;
use crate::wire::row::text_fields;
use crate::wire::{Command, Malformed};

/// Do variables go to the server by their names?
pub(super) fn are_named(job: &Job<'_>) -> bool {
    job.lexed.flags.contains(LexFlags::HAS_USER_VARIABLE)
        && (job.lexed.flags.contains(LexFlags::HAS_ASSIGNMENT)
            || job.session.target.explicit().is_some()
            || goes_untouched(job.lexed.kind))
}

/// Kinds of statements whose text nobody looks into.
fn goes_untouched(kind: StatementKind) -> bool {
    !(kind.is_dml() || kind.is_query() || matches!(kind, StatementKind::Do | StatementKind::Explain))
}

/// The assignment of all variables that the statement names, to be sent before it.
pub(super) fn assignment(job: &Job<'_>) -> Vec<u8> {
    let options = job.session.settings.lex_options();
    let no_backslash_escapes = options.mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
    let mut set = Vec::from(&b"SET "[..]);
    for (index, name) in user_variables(job.text, &options).iter().enumerate() {
        if index > 0 {
            set.extend_from_slice(b", ");
        }
        set.extend_from_slice(format!("@{} = ", quoted(name)).as_bytes());
        match job.session.user_variables.get(name.as_str()) {
            // One that LOAD DATA makes is a string of characters; NULL alone would be one of bytes.
            None if job.lexed.kind == StatementKind::Load => set.extend_from_slice(b"CAST(NULL AS CHAR)"),
            value => value.unwrap_or(&Value::Null).as_ref().render_literal(&mut set, no_backslash_escapes),
        }
    }
    set
}

/// Takes over what the statement made of them.
pub(super) async fn take_back(job: &mut Job<'_>, lease: &mut Lease) -> Result<()> {
    let names = user_variables(job.text, &job.session.settings.lex_options());
    let list: Vec<String> = names.iter().map(|name| format!("@{}", quoted(name))).collect();
    let connection = lease.connection(&mut job.session.transaction);
    connection.queue(&Command::Query(format!("SELECT {} LIMIT 1", list.join(", ")).as_bytes()));
    connection.flush().await?;
    let mut values = Vec::with_capacity(names.len());
    let mut rows = RowStream::open(&mut **connection, false).await?;
    let columns = rows.columns().to_vec();
    while let Some(row) = rows.next_row().await? {
        for (field, column) in text_fields(row).zip(&columns) {
            let field = field.map_err(Malformed::into_backend_error)?;
            values.push(field.map_or(Value::Null, |text| typed(text, column)));
        }
    }
    drop(rows);
    for (name, value) in names.iter().zip(values) {
        job.session.set_user_variable(name, value)?;
    }
    Ok(())
}
