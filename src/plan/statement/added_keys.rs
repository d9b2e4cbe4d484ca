//! `ALTER TABLE … ADD FOREIGN KEY`: which keys a table gets, read by tokens.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/create-table-foreign-keys.html>

use crate::plan::source::Source;
use crate::schema::{Action, ForeignKey};
use crate::sql::ident::name_of;
use crate::sql::{Ddl, DdlObject, DdlVerb, StatementKind, TokenKind};
use crate::vschema::ColumnName;

/// The table that the statement alters, and the foreign keys that it adds. `None` if it adds none, or in a form that is not
/// understood.
pub(super) fn read(source: &Source<'_>) -> Option<(Option<String>, String, Vec<ForeignKey>)> {
    let StatementKind::Ddl(Ddl { verb: DdlVerb::Alter, object: DdlObject::Table, .. }) = source.lexed().kind
    else {
        return None;
    };
    let count = source.tokens().len();
    let mut at = (0..count).find(|index| source.is_keyword(*index, "table"))? + 1;
    if source.is_keyword(at, "if") {
        at += 2;
    }
    let (qualifier, table) = qualified(source, &mut at)?;
    let starts = (at..count)
        .filter(|index| source.is_keyword(*index, "foreign") && source.is_keyword(index + 1, "key"))
        .filter(|index| !source.is_keyword(index - 1, "drop"));
    let keys: Option<Vec<ForeignKey>> = starts.map(|index| key(source, index)).collect();
    keys.filter(|keys| !keys.is_empty()).map(|keys| (qualifier, table, keys))
}

/// The key whose FOREIGN is at this place.
fn key(source: &Source<'_>, start: usize) -> Option<ForeignKey> {
    let is_named = start >= 2 && source.is_keyword(start - 2, "constraint");
    let mut at = start + 2;
    while source.tokens().get(at)?.kind != TokenKind::LParen {
        at += 1;
    }
    let columns = columns(source, &mut at)?;
    if !source.is_keyword(at, "references") {
        return None;
    }
    at += 1;
    let (_, parent) = qualified(source, &mut at)?;
    let parent_columns = self::columns(source, &mut at)?;
    let mut key = ForeignKey {
        name: if is_named { name(source, start - 1) } else { String::new() }.into(),
        columns,
        parent: parent.as_str().into(),
        parent_columns,
        on_delete: Action::Restrict,
        on_update: Action::Restrict,
        is_mariadb: false,
        words: "".into(),
    };
    while source.is_keyword(at, "on") {
        let action = match () {
            () if source.is_keyword(at + 2, "cascade") => Action::Cascade,
            () if source.is_keyword(at + 3, "null") => Action::SetNull,
            () => Action::Restrict,
        };
        let is_delete = source.is_keyword(at + 1, "delete");
        *(if is_delete { &mut key.on_delete } else { &mut key.on_update }) = action;
        let is_word = |word: &str| source.is_keyword(at + 2, word);
        at += if is_word("cascade") || is_word("restrict") { 3 } else { 4 };
    }
    key.spell_out();
    Some(key)
}

fn name(source: &Source<'_>, index: usize) -> String {
    name_of(source.token_text(index).as_bytes()).into_owned()
}

/// A name with or without a qualifier.
fn qualified(source: &Source<'_>, at: &mut usize) -> Option<(Option<String>, String)> {
    let first = name(source, *at);
    if source.tokens().get(*at + 1)?.kind == TokenKind::Dot {
        *at += 3;
        return Some((Some(first), name(source, *at - 1)));
    }
    *at += 1;
    Some((None, first))
}

/// `(a, b)`.
fn columns(source: &Source<'_>, at: &mut usize) -> Option<Vec<ColumnName>> {
    let kind = |index: usize| source.tokens().get(index).map(|token| token.kind);
    if kind(*at)? != TokenKind::LParen {
        return None;
    }
    let mut found = Vec::new();
    loop {
        found.push(name(source, *at + 1).as_str().into());
        *at += 3;
        match kind(*at - 1)? {
            TokenKind::Comma => *at -= 1,
            TokenKind::RParen => return Some(found),
            _ => return None,
        }
    }
}
