//! `START TRANSACTION`, savepoints, `USE`.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/commit.html>

use super::cursor::Cursor;
use crate::error::Result;
use crate::sql::options::LexOptions;
use crate::sql::token::TokenKind;

/// What `START TRANSACTION` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// `READ ONLY` is true, `READ WRITE` false, neither is the session's default.
    pub read_only: Option<bool>,
    /// `WITH CONSISTENT SNAPSHOT`.
    pub consistent_snapshot: bool,
}

/// Reads `BEGIN [WORK]` or `START TRANSACTION …`.
pub fn parse_start(text: &[u8], options: &LexOptions) -> Result<Start> {
    let mut cursor = Cursor::new(text, options);
    let mut start = Start::default();
    if cursor.accept("begin") {
        cursor.accept("work");
        cursor.finish()?;
        return Ok(start);
    }
    cursor.expect("start")?;
    cursor.expect("transaction")?;
    while !cursor.at_end() {
        if cursor.accept("with") {
            cursor.expect("consistent")?;
            cursor.expect("snapshot")?;
            start.consistent_snapshot = true;
        } else {
            cursor.expect("read")?;
            start.read_only = Some(cursor.accept("only"));
            if start.read_only == Some(false) {
                cursor.expect("write")?;
            }
        }
        if cursor.accept_kind(TokenKind::Comma).is_none() {
            break;
        }
    }
    cursor.finish()?;
    Ok(start)
}

/// What COMMIT and ROLLBACK say about what follows; `None` leaves it to `completion_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// `AND [NO] CHAIN`.
    pub chain: Option<bool>,
    /// `[NO] RELEASE`.
    pub release: Option<bool>,
}

/// Reads `COMMIT | ROLLBACK [WORK] [AND [NO] CHAIN] [[NO] RELEASE]`.
pub fn parse_end(text: &[u8], options: &LexOptions) -> Result<End> {
    let mut cursor = Cursor::new(text, options);
    if !cursor.accept_any(&["commit", "rollback"]) {
        return Err(cursor.syntax_error());
    }
    cursor.accept("work");
    let mut end = End::default();
    if cursor.accept("and") {
        let is_no = cursor.accept("no");
        cursor.expect("chain")?;
        end.chain = Some(!is_no);
    }
    if !cursor.at_end() {
        let is_no = cursor.accept("no");
        if !is_no && end.chain == Some(true) {
            return Err(cursor.syntax_error());
        }
        cursor.expect("release")?;
        end.release = Some(!is_no);
    }
    cursor.finish()?;
    Ok(end)
}

/// The name in `SAVEPOINT x`, `ROLLBACK [WORK] TO [SAVEPOINT] x`, `RELEASE SAVEPOINT x`.
pub fn parse_savepoint_name(text: &[u8], options: &LexOptions) -> Result<String> {
    let mut cursor = Cursor::new(text, options);
    if cursor.accept("rollback") {
        cursor.accept("work");
        cursor.expect("to")?;
        // A savepoint may itself be called `savepoint`.
        let mut ahead = cursor;
        if ahead.accept("savepoint") && !ahead.at_end() {
            cursor = ahead;
        }
    } else {
        cursor.accept("release");
        cursor.expect("savepoint")?;
    }
    let (name, _) = cursor.name()?;
    cursor.finish()?;
    Ok(name)
}

/// The target string of `USE`: everything after the word, so that `use customer:-80@replica` needs no quotes.
pub fn parse_use(text: &[u8], options: &LexOptions) -> Result<String> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("use")?;
    let mut ahead = cursor;
    if let Ok((name, _)) = ahead.name()
        && ahead.at_end()
    {
        return Ok(name);
    }
    let rest = text.get(cursor.peek().span.start as usize..).unwrap_or_default();
    let rest = String::from_utf8_lossy(rest);
    let target = rest.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    if target.is_empty() || target.contains(char::is_whitespace) {
        return Err(cursor.syntax_error());
    }
    Ok(target.trim_matches('`').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts() {
        let of = |text: &str| parse_start(text.as_bytes(), &LexOptions::default());
        assert_eq!(of("begin work").unwrap(), Start::default());
        assert_eq!(
            of("start transaction with consistent snapshot, read only").unwrap(),
            Start { read_only: Some(true), consistent_snapshot: true }
        );
        assert!(of("begin 5").is_err() && of("start transaction read").is_err());
    }

    #[test]
    fn ends() {
        let of = |text: &str| {
            let end = parse_end(text.as_bytes(), &LexOptions::default()).ok()?;
            Some((end.chain, end.release))
        };
        assert_eq!(of("commit"), Some((None, None)));
        assert_eq!(of("ROLLBACK WORK;"), Some((None, None)));
        assert_eq!(of("commit and chain"), Some((Some(true), None)));
        assert_eq!(of("commit work and no chain release"), Some((Some(false), Some(true))));
        assert_eq!(of("rollback and chain no release"), Some((Some(true), Some(false))));
        assert_eq!(of("rollback no release"), Some((None, Some(false))));
        for mistake in ["commit and chain release", "commit chain", "commit and", "rollback release now"] {
            assert_eq!(of(mistake), None, "{mistake}");
        }
    }

    #[test]
    fn savepoint_names() {
        let of = |text: &str| parse_savepoint_name(text.as_bytes(), &LexOptions::default()).unwrap();
        assert_eq!(of("savepoint `a b`"), "a b");
        assert_eq!(of("rollback work to savepoint x"), "x");
        assert_eq!(of("rollback to savepoint"), "savepoint");
        assert_eq!(of("release savepoint y;"), "y");
    }

    #[test]
    fn targets() {
        let of = |text: &str| parse_use(text.as_bytes(), &LexOptions::default());
        assert_eq!(of("use customer").unwrap(), "customer");
        assert_eq!(of("USE `customer`;").unwrap(), "customer");
        assert_eq!(of("use customer:-80@replica").unwrap(), "customer:-80@replica");
        assert_eq!(of("use `customer:-80@replica`").unwrap(), "customer:-80@replica");
        assert_eq!(of("use @replica").unwrap(), "@replica");
        assert!(of("use").is_err() && of("use a b").is_err());
    }
}
