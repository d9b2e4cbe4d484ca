//! `LOCK TABLES t [[AS] a] READ [LOCAL] | [LOW_PRIORITY] WRITE, …`.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/lock-tables.html>; `CONCURRENT`, `WAIT` and `NOWAIT` are MariaDB's.

use super::cursor::Cursor;
use crate::error::Result;
use crate::sql::options::LexOptions;
use crate::sql::token::TokenKind;

/// A table that is to be locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedTable {
    /// The database in front of its name.
    pub qualifier: Option<String>,
    pub name: String,
    pub alias: Option<String>,
    /// Others may not read it either.
    pub is_write: bool,
    /// The lock's words, such as `READ LOCAL`.
    pub lock: &'static str,
}

/// A `LOCK TABLES` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTables {
    pub tables: Vec<LockedTable>,
    /// How long to wait, in MariaDB's words; empty if it does not say.
    pub wait: String,
}

/// Reads a `LOCK TABLES` statement.
///
/// # Errors
/// MySQL's error 1064 for text that is none.
pub fn parse_lock_tables(text: &[u8], options: &LexOptions) -> Result<LockTables> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("lock")?;
    if !cursor.accept_any(&["tables", "table"]) {
        return Err(cursor.syntax_error());
    }
    let mut tables = vec![table(&mut cursor)?];
    while cursor.accept_kind(TokenKind::Comma).is_some() {
        tables.push(table(&mut cursor)?);
    }
    let mut wait = String::new();
    if cursor.accept("nowait") {
        "NOWAIT".clone_into(&mut wait);
    } else if cursor.accept("wait") {
        let seconds = cursor.accept_kind(TokenKind::Integer).ok_or_else(|| cursor.syntax_error())?;
        wait = format!("WAIT {}", String::from_utf8_lossy(seconds.span.of(text)));
    }
    cursor.finish()?;
    Ok(LockTables { tables, wait })
}

fn table(cursor: &mut Cursor<'_>) -> Result<LockedTable> {
    let mut name = cursor.name()?.0;
    let mut qualifier = None;
    if cursor.accept_kind(TokenKind::Dot).is_some() {
        qualifier = Some(std::mem::replace(&mut name, cursor.name()?.0));
    }
    let locks = ["read", "write", "low_priority"];
    let text = cursor.text();
    let has_alias = cursor.accept("as") || !locks.iter().any(|word| cursor.peek().is_word(text, word));
    let alias = if has_alias { Some(cursor.name()?.0) } else { None };
    let (is_write, lock) = if cursor.accept("read") {
        (false, if cursor.accept("local") { "READ LOCAL" } else { "READ" })
    } else if cursor.accept("low_priority") {
        cursor.expect("write")?;
        (true, "LOW_PRIORITY WRITE")
    } else {
        cursor.expect("write")?;
        (true, if cursor.accept("concurrent") { "WRITE CONCURRENT" } else { "WRITE" })
    };
    Ok(LockedTable { qualifier, name, alias, is_write, lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_locks_and_perhaps_aliases() {
        let of = |text: &str| parse_lock_tables(text.as_bytes(), &LexOptions::default());
        let check = |text: &str, expected: &[(&str, &str, &str, &str)], wait: &str| {
            let lock = of(text).unwrap();
            let found: Vec<_> = lock
                .tables
                .iter()
                .map(|t| {
                    let text = |name: &Option<String>| name.clone().unwrap_or_default();
                    (text(&t.qualifier), t.name.clone(), text(&t.alias), t.lock.to_owned())
                })
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(q, n, a, l)| (String::from(*q), String::from(*n), String::from(*a), String::from(*l)))
                .collect();
            assert_eq!((found, lock.wait.as_str()), (expected, wait), "{text}");
            assert!(lock.tables.iter().all(|t| t.is_write == t.lock.contains("WRITE")), "{text}");
        };
        check("lock tables t read", &[("", "t", "", "READ")], "");
        check(
            "LOCK TABLE `a b` READ /*!32311 LOCAL */,k.t AS x write;",
            &[("", "a b", "", "READ LOCAL"), ("k", "t", "x", "WRITE")],
            "",
        );
        check("lock tables t x low_priority write wait 5", &[("", "t", "x", "LOW_PRIORITY WRITE")], "WAIT 5");
        check("lock tables t write concurrent nowait", &[("", "t", "", "WRITE CONCURRENT")], "NOWAIT");
        for text in ["lock tables", "lock tables t", "lock tables t wrote x", "lock tables t read, read"] {
            assert_eq!(of(text).unwrap_err().errno(), 1064, "{text}");
        }
    }
}
