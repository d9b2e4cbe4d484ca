//! What a statement asks about the session and the router answers: `LAST_INSERT_ID()`, `DATABASE()`,
//! `@@autocommit`, `@x`. Servers could not know: each sees one connection of a pool.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::primitive::{Piece, SessionValue};
use crate::plan::source::{Edits, Source};
use crate::sql::TokenKind;

/// System variables whose value only the router knows (Vitess has the same and more).
pub const ROUTER_VARIABLES: [&str; 20] = [
    "autocommit",
    "client_found_rows",
    "ddl_strategy",
    "enable_system_settings",
    "identity",
    "last_insert_id",
    "migration_context",
    "query_timeout",
    "read_after_write_gtid",
    "read_after_write_timeout",
    "session_enable_system_settings",
    "session_track_gtids",
    "session_uuid",
    "skip_query_plan_cache",
    "socket",
    "transaction_mode",
    "transaction_timeout",
    "version",
    "version_comment",
    "workload",
];

/// Replaces each of them in the text. Where `keep_database` holds, `DATABASE()` is the server's own.
pub(crate) fn replace(
    source: &Source<'_>,
    keep_database: &dyn Fn(&Range<usize>) -> bool,
    edits: &mut Edits,
) -> Result<()> {
    for (index, token) in source.tokens().iter().enumerate() {
        let text = source.token_text(index);
        let range = token.span.range();
        match token.kind {
            TokenKind::Word => {
                let Some((value, end)) = function_at(source, index) else { continue };
                if value == SessionValue::Database && keep_database(&range) {
                    continue;
                }
                edits.replace(range.start..end, vec![Piece::Session(value)]);
            }
            TokenKind::SystemVariable => {
                let name = text.trim_start_matches('@').replace('`', "").to_ascii_lowercase();
                let name =
                    ["session.", "local."].iter().find_map(|scope| name.strip_prefix(scope)).unwrap_or(&name);
                if ROUTER_VARIABLES.contains(&name) {
                    edits.replace(range, vec![Piece::Session(SessionValue::SystemVariable(name.into()))]);
                }
            }
            TokenKind::UserVariable => {
                let next = source.tokens().get(index + 1).map(|token| token.kind);
                if next == Some(TokenKind::Assign) {
                    return Err(Error::unsupported("assignment to a user variable inside a statement"));
                }
                if is_into_target(source, index) {
                    return Err(Error::unsupported("SELECT … INTO a user variable"));
                }
                let name = text.trim_start_matches('@').trim_matches(['`', '\'', '"']).to_ascii_lowercase();
                edits.replace(range, vec![Piece::Session(SessionValue::UserVariable(name.into()))]);
            }
            _ => {}
        }
    }
    Ok(())
}

fn function_at(source: &Source<'_>, index: usize) -> Option<(SessionValue, usize)> {
    let name = source.token_text(index).to_ascii_lowercase();
    let value = match name.as_str() {
        "connection_id" => SessionValue::ConnectionId,
        "current_user" => SessionValue::CurrentUser,
        "database" | "schema" => SessionValue::Database,
        "found_rows" => SessionValue::FoundRows,
        "last_insert_id" => SessionValue::LastInsertId,
        "row_count" => SessionValue::RowCount,
        "session_user" | "system_user" | "user" => SessionValue::User,
        "version" => SessionValue::Version,
        _ => return None,
    };
    if !source.is_keyword(index, &name) {
        return None;
    }
    let kind = |offset: usize| source.tokens().get(index + offset).map(|token| token.kind);
    if kind(1) == Some(TokenKind::LParen) && kind(2) == Some(TokenKind::RParen) {
        return Some((value, source.tokens()[index + 2].span.range().end));
    }
    // CURRENT_USER is reserved and needs no parentheses.
    let is_bare = name == "current_user" && kind(1) != Some(TokenKind::LParen);
    is_bare.then(|| (value, source.tokens()[index].span.range().end))
}

/// `… into @a, @b`
fn is_into_target(source: &Source<'_>, index: usize) -> bool {
    let before = source.tokens()[..index]
        .iter()
        .rposition(|token| !matches!(token.kind, TokenKind::Comma | TokenKind::UserVariable));
    before.is_some_and(|before| source.is_keyword(before, "into"))
}
