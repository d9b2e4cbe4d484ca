//! What a statement asks about the session and the router answers: `LAST_INSERT_ID()`, `DATABASE()`,
//! `@@autocommit`, `@x`. Servers could not know: each sees one connection of a pool.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::primitive::{Piece, SessionValue};
use crate::plan::source::{Edits, Source};
use crate::sql::{LexFlags, StatementKind, Token, TokenKind};

/// System variables whose value only the router knows (Vitess has the same and more).
pub const ROUTER_VARIABLES: [&str; 25] = [
    "allow_gather",
    "autocommit",
    "client_found_rows",
    "completion_type",
    "ddl_strategy",
    "enable_system_settings",
    "gather_notes",
    "identity",
    "interactive_timeout",
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
    "wait_timeout",
    "workload",
];

/// Does the statement assign to user variables? Then a server has to have them all: their values change from row to
/// row.
pub(crate) fn assigns(source: &Source<'_>) -> bool {
    let tokens = source.tokens();
    let is_assigned =
        |pair: &[Token]| pair[0].kind == TokenKind::UserVariable && pair[1].kind == TokenKind::Assign;
    source.lexed().flags.contains(LexFlags::HAS_ASSIGNMENT) && tokens.windows(2).any(is_assigned)
}

/// Why a statement with assignments needs one server.
pub(crate) const ASSIGNS: &str = "assignment to a user variable inside a statement over several shards";

/// Replaces each of them in the text. Where `keep_database` holds, `DATABASE()` is the server's own.
pub(crate) fn replace(
    source: &Source<'_>,
    keep_database: &dyn Fn(&Range<usize>) -> bool,
    edits: &mut Edits,
) -> Result<()> {
    if matches!(source.lexed().kind, StatementKind::Insert | StatementKind::Replace) && assigns(source) {
        return Err(Error::unsupported(ASSIGNS));
    }
    replace_anywhere(source, keep_database, edits)
}

/// As [`replace`], for a statement that goes to one server as it is.
pub(crate) fn replace_anywhere(
    source: &Source<'_>,
    keep_database: &dyn Fn(&Range<usize>) -> bool,
    edits: &mut Edits,
) -> Result<()> {
    let keeps_variables =
        matches!(source.lexed().kind, StatementKind::Call | StatementKind::Load) || assigns(source);
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
                if is_into_target(source, index) {
                    return Err(Error::unsupported("SELECT … INTO a user variable"));
                }
                let piece = match source.arg_at(&range) {
                    _ if keeps_variables => Piece::text(&text),
                    // Its name is not part of the fingerprint: another statement of this plan may have another.
                    Some(arg) => Piece::Arg(arg),
                    None => {
                        let name = text.trim_start_matches('@').trim_matches(['`', '\'', '"']);
                        Piece::Session(SessionValue::UserVariable(name.to_lowercase().into()))
                    }
                };
                edits.replace(range, vec![piece]);
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
