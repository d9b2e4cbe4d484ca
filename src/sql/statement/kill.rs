//! `KILL [HARD|SOFT] [CONNECTION | QUERY] id`.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/kill.html>

use super::cursor::Cursor;
use crate::error::Result;
use crate::sql::options::LexOptions;
use crate::sql::token::TokenKind;

/// What to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Only the running statement, not the connection.
    pub query_only: bool,
    /// The connection's number.
    pub id: u64,
}

/// Reads a `KILL` statement.
pub fn parse_kill(text: &[u8], options: &LexOptions) -> Result<Kill> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("kill")?;
    cursor.accept_any(&["hard", "soft"]);
    let query_only = cursor.accept("query");
    if !query_only {
        cursor.accept("connection");
    }
    let before = cursor;
    let id = cursor
        .accept_kind(TokenKind::Integer)
        .and_then(|token| std::str::from_utf8(token.span.of(text)).ok()?.parse().ok())
        .ok_or_else(|| before.syntax_error())?;
    cursor.finish()?;
    Ok(Kill { query_only, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let of = |text: &str| parse_kill(text.as_bytes(), &LexOptions::default());
        assert_eq!(of("kill 5").unwrap(), Kill { query_only: false, id: 5 });
        assert_eq!(of("KILL HARD QUERY 7;").unwrap(), Kill { query_only: true, id: 7 });
        assert_eq!(of("kill connection 8").unwrap(), Kill { query_only: false, id: 8 });
        for text in ["kill", "kill x", "kill 5 6", "kill 99999999999999999999"] {
            assert_eq!(of(text).unwrap_err().errno(), 1064, "{text}");
        }
    }
}
