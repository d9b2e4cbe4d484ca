//! `SET`: assignments of variables, `NAMES`, `CHARACTER SET`, `TRANSACTION`.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/set-variable.html>. Values stay source text: servers evaluate them.

use super::cursor::Cursor;
use crate::error::Result;
use crate::sql::ident::name_of;
use crate::sql::options::LexOptions;
use crate::sql::token::{Span, TokenKind};

/// Which of a system variable's values is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Global,
    /// No scope was written: the session's value, or for transaction characteristics the next transaction's.
    Implicit,
    /// `PERSIST` and `PERSIST_ONLY`.
    Persist,
    Session,
}

/// One item of a `SET` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// `CHARACTER SET x`; `None` is `DEFAULT`.
    CharacterSet(Option<String>),
    /// `NAMES x [COLLATE y]`; `None` is `DEFAULT`.
    Names(Option<(String, Option<String>)>),
    /// `[scope] TRANSACTION …`.
    Transaction { scope: Scope, characteristics: TransactionCharacteristics },
    /// `@name = value`.
    User { name: String, value: Span },
    /// `[scope] name = value`; the name in lower case.
    Variable { scope: Scope, name: String, value: Span },
}

/// What `SET TRANSACTION` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCharacteristics {
    /// `REPEATABLE-READ` and so on, as the system variable spells it.
    pub isolation: Option<&'static str>,
    /// `READ ONLY` is true, `READ WRITE` false.
    pub read_only: Option<bool>,
}

/// Reads a whole `SET` statement. Spans are in `text`.
pub fn parse_set(text: &[u8], options: &LexOptions) -> Result<Vec<Assignment>> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("set")?;
    let mut assignments = Vec::new();
    loop {
        assignments.push(item(&mut cursor)?);
        if cursor.accept_kind(TokenKind::Comma).is_none() {
            break;
        }
    }
    cursor.finish()?;
    Ok(assignments)
}

fn item(cursor: &mut Cursor<'_>) -> Result<Assignment> {
    if let Some(token) = cursor.accept_kind(TokenKind::UserVariable) {
        let name = name_of(&token.span.of(cursor.text())[1..]).to_lowercase();
        return Ok(Assignment::User { name, value: value(cursor)? });
    }
    if let Some(token) = cursor.accept_kind(TokenKind::SystemVariable) {
        let (scope, name) = system_variable(&String::from_utf8_lossy(token.span.of(cursor.text())));
        return Ok(Assignment::Variable { scope, name, value: value(cursor)? });
    }
    if let Some(names) = names(cursor)? {
        return Ok(names);
    }
    let scope = scope(cursor);
    if cursor.accept("transaction") {
        return Ok(Assignment::Transaction { scope, characteristics: characteristics(cursor)? });
    }
    let (mut name, _) = cursor.name()?;
    // Structured variables, such as `hot_cache.key_buffer_size`.
    while cursor.accept_kind(TokenKind::Dot).is_some() {
        name = format!("{name}.{}", cursor.name()?.0);
    }
    Ok(Assignment::Variable { scope, name: name.to_lowercase(), value: value(cursor)? })
}

/// `NAMES …`, `CHARACTER SET …`, `CHARSET …`; nothing is read when a variable of that name is assigned.
fn names(cursor: &mut Cursor<'_>) -> Result<Option<Assignment>> {
    let mut ahead = *cursor;
    let is_names = ahead.accept("names");
    let is_charset = !is_names
        && (ahead.accept("charset") || (ahead.accept_any(&["character", "char"]) && ahead.accept("set")));
    if !(is_names || is_charset) || matches!(ahead.peek().kind, TokenKind::Eq | TokenKind::Assign) {
        return Ok(None);
    }
    *cursor = ahead;
    if cursor.accept("default") {
        return Ok(Some(if is_names { Assignment::Names(None) } else { Assignment::CharacterSet(None) }));
    }
    let charset = name_or_string(cursor)?;
    if is_charset {
        return Ok(Some(Assignment::CharacterSet(Some(charset))));
    }
    let collation = if cursor.accept("collate") { Some(name_or_string(cursor)?) } else { None };
    Ok(Some(Assignment::Names(Some((charset, collation)))))
}

fn name_or_string(cursor: &mut Cursor<'_>) -> Result<String> {
    match cursor.accept_kind(TokenKind::String) {
        Some(token) => {
            let quoted = token.span.of(cursor.text());
            let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
            Ok(String::from_utf8_lossy(inner).to_lowercase())
        }
        None => Ok(cursor.name()?.0.to_lowercase()),
    }
}

fn scope(cursor: &mut Cursor<'_>) -> Scope {
    // A variable may be called like a scope: `SET session = 1` is not valid, but `SET local.x` is no scope.
    match () {
        () if cursor.accept("global") => Scope::Global,
        () if cursor.accept_any(&["session", "local"]) => Scope::Session,
        () if cursor.accept_any(&["persist", "persist_only"]) => Scope::Persist,
        () => Scope::Implicit,
    }
}

/// Splits `@@session.sql_mode`.
fn system_variable(text: &str) -> (Scope, String) {
    let name = text.trim_start_matches('@').replace('`', "").to_lowercase();
    let (scope, rest) = name.split_once('.').unwrap_or(("", &name));
    match scope.trim() {
        "global" => (Scope::Global, rest.trim().to_owned()),
        "session" | "local" => (Scope::Session, rest.trim().to_owned()),
        "persist" | "persist_only" => (Scope::Persist, rest.trim().to_owned()),
        "" => (Scope::Implicit, rest.trim().to_owned()),
        _ => (Scope::Implicit, name),
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<Span> {
    if cursor.accept_kind(TokenKind::Eq).is_none() && cursor.accept_kind(TokenKind::Assign).is_none() {
        return Err(cursor.syntax_error());
    }
    cursor.expression()
}

/// `ISOLATION LEVEL …` and `READ ONLY | WRITE`, in any order, once each.
fn characteristics(cursor: &mut Cursor<'_>) -> Result<TransactionCharacteristics> {
    let mut found = TransactionCharacteristics::default();
    loop {
        if found.isolation.is_none() && cursor.accept("isolation") {
            cursor.expect("level")?;
            found.isolation = Some(isolation(cursor)?);
        } else if found.read_only.is_none() && cursor.accept("read") {
            found.read_only = Some(cursor.accept("only"));
            if found.read_only == Some(false) {
                cursor.expect("write")?;
            }
        } else {
            return Err(cursor.syntax_error());
        }
        if cursor.accept_kind(TokenKind::Comma).is_none() {
            return Ok(found);
        }
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Result<&'static str> {
    if cursor.accept("serializable") {
        return Ok("SERIALIZABLE");
    }
    if cursor.accept("repeatable") {
        cursor.expect("read")?;
        return Ok("REPEATABLE-READ");
    }
    cursor.expect("read")?;
    if cursor.accept("committed") {
        return Ok("READ-COMMITTED");
    }
    cursor.expect("uncommitted")?;
    Ok("READ-UNCOMMITTED")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(text: &str, assignment: &Assignment) -> String {
        let source = |span: &Span| String::from_utf8_lossy(span.of(text.as_bytes())).into_owned();
        match assignment {
            Assignment::Variable { scope, name, value } => format!("{scope:?} {name}={}", source(value)),
            Assignment::User { name, value } => format!("@{name}={}", source(value)),
            other => format!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = parse_set(text.as_bytes(), &LexOptions::default()).unwrap();
        let found: Vec<_> = found.iter().map(|assignment| describe(text, assignment)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn variables_and_scopes() {
        check("set autocommit=0", &["Implicit autocommit=0"]);
        check("SET SESSION sql_mode = 'ANSI', @@global.x := 5", &["Session sql_mode='ANSI'", "Global x=5"]);
        check(
            "set @@sql_mode = concat(@@sql_mode, ',ANSI'), @A = 1+2 ;",
            &["Implicit sql_mode=concat(@@sql_mode, ',ANSI')", "@a=1+2"],
        );
        check("set `local`.x = 1", &["Implicit local.x=1"]);
        check("set @`a b` = (select 1, 2)", &["@a b=(select 1, 2)"]);
    }

    #[test]
    fn names_and_character_sets() {
        check("set names utf8mb4", &["Names(Some((\"utf8mb4\", None)))"]);
        check("SET NAMES 'latin1' COLLATE latin1_bin", &["Names(Some((\"latin1\", Some(\"latin1_bin\"))))"]);
        check("set names default", &["Names(None)"]);
        check("set character set utf8", &["CharacterSet(Some(\"utf8\"))"]);
        check("set charset default, autocommit = 1", &["CharacterSet(None)", "Implicit autocommit=1"]);
    }

    #[test]
    fn transactions() {
        let of = |text: &str| parse_set(text.as_bytes(), &LexOptions::default()).unwrap().remove(0);
        let level = |isolation, read_only| TransactionCharacteristics { isolation, read_only };
        assert_eq!(
            of("set transaction read only"),
            Assignment::Transaction { scope: Scope::Implicit, characteristics: level(None, Some(true)) }
        );
        assert_eq!(
            of("set session transaction isolation level read committed, read write"),
            Assignment::Transaction {
                scope: Scope::Session,
                characteristics: level(Some("READ-COMMITTED"), Some(false)),
            }
        );
    }

    #[test]
    fn what_is_no_assignment_is_a_syntax_error() {
        for text in [
            "set",
            "set x",
            "set x =",
            "set x = 1,",
            "set x = 1)",
            "set transaction",
            "set names",
            "set @ = 1",
        ] {
            let error = parse_set(text.as_bytes(), &LexOptions::default()).unwrap_err();
            assert_eq!(error.errno(), 1064, "{text}");
        }
    }
}
