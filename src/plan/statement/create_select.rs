//! `CREATE TABLE … SELECT` over several shards: each shard may run it by itself only if the new table is then plainly the
//! union of what the shards make.
//!
//! Read by tokens, like all DDL, and strictly: what is not known to be right is refused. Manual: "CREATE TABLE ... SELECT
//! Statement".

use crate::plan::source::Source;
use crate::plan::{FoundTable, PlanContext};
use crate::sql::TokenKind;
use crate::topology::KeyspaceName;
use crate::vschema::{Table, TableKind};
use std::sync::Arc;

/// Where the rows of a new table come from: the index of the token that begins the query. `None` if it is made empty.
pub(super) fn query_at(source: &Source<'_>) -> Option<usize> {
    let tokens = source.tokens();
    let table = (1..tokens.len()).find(|index| source.is_keyword(*index, "table"))?;
    let is_query = |index: &usize| {
        let follows = tokens.get(index + 1).map(|token| token.kind);
        source.is_keyword(*index, "select")
            || source.is_keyword(*index, "table")
            || source.is_keyword(*index, "values")
                && (follows == Some(TokenKind::LParen) || source.is_keyword(index + 1, "row"))
    };
    (table + 1..tokens.len()).find(is_query)
}

/// Does the query that begins at token `at` make on each shard just those rows of the new table that belong there?
pub(super) fn is_union_of_shards(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    keyspace: &KeyspaceName,
    new_table: &str,
    at: usize,
) -> bool {
    let (tokens, end) = (source.tokens(), source.tokens().len());
    let is_refused = |index: usize| REFUSED.iter().any(|word| source.is_keyword(index, word));
    if !source.is_keyword(at, "select") || (at + 1..end).any(is_refused) {
        return false;
    }
    if (1..at).any(|index| HEAD_REFUSED.iter().any(|word| source.is_keyword(index, word))) {
        return false;
    }
    // No calls of functions, no parentheses around anything but lists, no user variables.
    let is_call = |index: usize| {
        tokens[index].kind == TokenKind::LParen
            && !["in", "and", "or", "where"].iter().any(|word| source.is_keyword(index - 1, word))
    };
    if (at + 1..end).any(|index| is_call(index) || source.token_text(index).starts_with('@')) {
        return false;
    }
    if (0..at).rev().take(2).any(|index| tokens[index].kind == TokenKind::LParen) {
        return false;
    }
    let Some(from) = (at + 1..end).find(|index| source.is_keyword(*index, "from")) else { return false };
    let Some(old) = single_table(source, from + 1).and_then(|name| table_of(ctx, keyspace, &name)) else {
        return false;
    };
    if !matches!(old.kind, TableKind::Sharded) {
        return false;
    }
    let Some(new) = table_of(ctx, keyspace, new_table) else { return true };
    let has_columns = (1..at).any(|index| tokens[index].kind == TokenKind::LParen);
    match new.kind {
        TableKind::Unsharded => true,
        TableKind::Sharded => !has_columns && keeps_place(source, at + 1..from, &old, &new),
        _ => false,
    }
}

/// Words after which a shard's rows alone do not say what the whole would be.
const REFUSED: [&str; 22] = [
    "distinct",
    "distinctrow",
    "group",
    "having",
    "limit",
    "fetch",
    "offset",
    "union",
    "intersect",
    "except",
    "minus",
    "over",
    "window",
    "join",
    "straight_join",
    "select",
    "table",
    "values",
    "procedure",
    "into",
    "partition",
    "with",
];

/// Words before the query that count over all of its rows.
const HEAD_REFUSED: [&str; 5] = ["auto_increment", "ignore", "with", "sequence", "nextval"];

fn table_of(ctx: &PlanContext<'_>, keyspace: &KeyspaceName, name: &str) -> Option<Arc<Table>> {
    match ctx.find_table(Some(keyspace.as_str()), name) {
        Ok(FoundTable::Table(table)) if table.keyspace == *keyspace => Some(table),
        _ => None,
    }
}

/// The name of the only table of a FROM whose first name is at token `at`.
fn single_table(source: &Source<'_>, at: usize) -> Option<String> {
    let tokens = source.tokens();
    let is = |index: usize, kind: TokenKind| tokens.get(index).is_some_and(|token| token.kind == kind);
    let name = if is(at + 1, TokenKind::Dot) { at + 2 } else { at };
    tokens.get(name).filter(|token| token.kind.is_name())?;
    let ends = |index: usize| {
        index >= tokens.len()
            || is(index, TokenKind::End)
            || is(index, TokenKind::Semicolon)
            || source.is_keyword(index, "where")
            || source.is_keyword(index, "order")
    };
    let alias = if source.is_keyword(name + 1, "as") { name + 2 } else { name + 1 };
    (ends(name + 1) || ends(alias + 1) && tokens.get(alias).is_some_and(|token| token.kind.is_name()))
        .then(|| source.name(name))
}

/// Is the new table's only vindex that of the old one, over the same values?
fn keeps_place(source: &Source<'_>, select: std::ops::Range<usize>, old: &Table, new: &Table) -> bool {
    let ([key, ..], [new_key]) = (&old.column_vindexes[..], &new.column_vindexes[..]) else { return false };
    let ([column], [new_column]) = (&key.columns[..], &new_key.columns[..]) else { return false };
    if key.vindex.name() != new_key.vindex.name() || new.auto_increment.is_some() {
        return false;
    }
    let tokens = source.tokens();
    let items: Vec<usize> = select.collect();
    items.split(|index| tokens[*index].kind == TokenKind::Comma).any(|item| {
        let [first, .., last] = item else {
            let [only] = item else { return false };
            let is_star = source.token_text(*only) == "*";
            let is_key = tokens[*only].kind.is_name() && *column == *source.name(*only);
            return (is_star || is_key) && column == new_column;
        };
        let is_renamed = item.len() == 3 && source.is_keyword(item[1], "as");
        is_renamed && *column == *source.name(*first) && *new_column == *source.name(*last)
    })
}
