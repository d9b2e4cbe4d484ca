//! The parts of an UPDATE or DELETE, found by tokens, so that they can be put together anew.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/update.html>, <https://dev.mysql.com/doc/refman/9.0/en/delete.html>

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::primitive::{Piece, Template};
use crate::plan::semantics::session;
use crate::plan::source::{Edits, Source};
use crate::sql::TokenKind;

/// Where the clauses of an UPDATE or DELETE stand, as byte ranges of its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChangeText {
    /// `WITH …`, empty without it.
    pub(super) with: Range<usize>,
    /// IGNORE and its like, with a blank behind.
    pub(super) modifiers: String,
    /// From the first table to the end. Of an UPDATE: the tables only.
    pub(super) tables: Range<usize>,
    /// Expressions of SET, without their columns; empty for DELETE.
    pub(super) values: Vec<Range<usize>>,
    /// WHERE and what follows; of a DELETE it is a part of `tables`.
    pub(super) rest: Range<usize>,
    /// `ORDER BY …`, empty without it.
    pub(super) order: Range<usize>,
}

impl ChangeText {
    /// Reads an UPDATE.
    pub(super) fn of_update(source: &Source<'_>) -> Result<Self> {
        let mut text = Self::default();
        let first = text.head(source, "update")?;
        let set = find(source, first, &["set"]).ok_or_else(unknown_form)?;
        let rest = rest_at(source, set + 1);
        text.tables = bytes(source, first..set);
        text.rest = bytes(source, rest..source.tokens().len());
        text.order = order_of(source, rest);
        text.values = values(source, set + 1..rest)?;
        Ok(text)
    }

    /// Reads a DELETE. `names_targets`: it has a list of targets beside its tables.
    pub(super) fn of_delete(source: &Source<'_>, names_targets: bool) -> Result<Self> {
        let mut text = Self::default();
        let first = text.head(source, "delete")?;
        let word = match (source.is_keyword(first, "from"), names_targets) {
            (true, true) => "using",
            _ => "from",
        };
        let from = find(source, first, &[word]).ok_or_else(unknown_form)? + 1;
        let rest = rest_at(source, from);
        text.tables = bytes(source, from..source.tokens().len());
        text.rest = bytes(source, rest..source.tokens().len());
        text.order = order_of(source, rest);
        Ok(text)
    }

    /// Reads up to the modifiers; gives the token behind them.
    fn head(&mut self, source: &Source<'_>, verb: &str) -> Result<usize> {
        let verb = find(source, 0, &[verb]).ok_or_else(unknown_form)?;
        self.with = bytes(source, 0..verb);
        let mut index = verb + 1;
        loop {
            let is_modifier =
                ["low_priority", "quick", "ignore"].iter().any(|word| source.is_keyword(index, word));
            if is_modifier {
                self.modifiers.push_str(&source.token_text(index).to_ascii_lowercase());
                self.modifiers.push(' ');
            } else if source.tokens().get(index).is_none_or(|token| token.kind != TokenKind::Hint) {
                return Ok(index);
            }
            index += 1;
        }
    }

    /// A part of the text in the client's own words: only arguments are cut out.
    pub(super) fn own_words(source: &Source<'_>, range: &Range<usize>) -> Template {
        let mut edits = Edits::default();
        if session::assigns(source) {
            // Their values change from row to row: they are no arguments.
            let variables = source.tokens().iter().filter(|token| token.kind == TokenKind::UserVariable);
            for token in variables {
                let range = token.span.range();
                edits.replace(range.clone(), vec![Piece::text(&source.slice(range))]);
            }
        }
        source.pieces(range.clone(), &edits)
    }
}

fn unknown_form() -> Error {
    Error::unsupported("this form of UPDATE or DELETE over several shards")
}

/// The first of these words outside of parentheses.
fn find(source: &Source<'_>, from: usize, words: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in source.tokens().iter().enumerate().skip(from) {
        match token.kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 && words.iter().any(|word| source.is_keyword(index, word)) => {
                return Some(index);
            }
            _ => {}
        }
    }
    None
}

/// The token that WHERE, or what may follow it, begins with.
fn rest_at(source: &Source<'_>, from: usize) -> usize {
    let mut start = from;
    while let Some(index) = find(source, start, &["where", "order", "limit", "returning"]) {
        let is_hint = index.checked_sub(1).is_some_and(|before| source.is_keyword(before, "for"));
        if !is_hint {
            return index;
        }
        start = index + 1;
    }
    source.tokens().len()
}

fn order_of(source: &Source<'_>, rest: usize) -> Range<usize> {
    let Some(order) = find(source, rest, &["order"]) else { return 0..0 };
    let end = find(source, order, &["limit", "returning"]).unwrap_or(source.tokens().len());
    bytes(source, order..end)
}

/// The expressions of `a = 1, b = 2`.
fn values(source: &Source<'_>, tokens: Range<usize>) -> Result<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let (mut depth, mut start) = (0_usize, None);
    for index in tokens.clone() {
        match source.tokens()[index].kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            TokenKind::Eq | TokenKind::Assign if depth == 0 && start.is_none() => start = Some(index + 1),
            TokenKind::Comma if depth == 0 => {
                found.push(bytes(source, start.take().ok_or_else(unknown_form)?..index));
            }
            _ => {}
        }
    }
    found.push(bytes(source, start.ok_or_else(unknown_form)?..tokens.end));
    Ok(found)
}

fn bytes(source: &Source<'_>, tokens: Range<usize>) -> Range<usize> {
    let all = source.tokens();
    match (all.get(tokens.start), tokens.end.checked_sub(1).and_then(|last| all.get(last))) {
        (Some(first), Some(last)) if !tokens.is_empty() => first.span.range().start..last.span.range().end,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexOptions, Lexed};

    fn read(text: &str, read: impl Fn(&Source<'_>) -> Result<ChangeText>) -> Vec<String> {
        let options = LexOptions::default();
        let mut lexed = Lexed::new();
        crate::sql::lex(text.as_bytes(), 0, &options, &mut lexed).unwrap();
        let source = Source::new(text.as_bytes(), &lexed, &options).unwrap();
        let found = read(&source).unwrap();
        let slice = |range: &Range<usize>| source.slice(range.clone()).into_owned();
        let parts = [&found.with, &found.tables, &found.rest, &found.order];
        let mut all: Vec<String> = parts.into_iter().map(slice).collect();
        all.push(found.modifiers.clone());
        all.extend(found.values.iter().map(slice));
        all
    }

    #[test]
    fn an_update_has_tables_values_and_a_rest() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(read(text, ChangeText::of_update), expected, "{text}");
        };
        check("update t set a = 1", &["", "t", "", "", "", "1"]);
        check(
            "update ignore ks.t as x set x.a = (select 1 where 2), b = if(a = 1, 2, 3) where c = 1 order by d desc limit 5",
            &[
                "",
                "ks.t as x",
                "where c = 1 order by d desc limit 5",
                "order by d desc",
                "ignore ",
                "(select 1 where 2)",
                "if(a = 1, 2, 3)",
            ],
        );
        check(
            "with q as (select 1) update t join q using (a) set t.a = a = 1",
            &["with q as (select 1)", "t join q using (a)", "", "", "", "a = 1"],
        );
    }

    #[test]
    fn a_delete_names_its_targets_or_not() {
        let check = |text: &str, names_targets: bool, expected: &[&str]| {
            let found = read(text, |source| ChangeText::of_delete(source, names_targets));
            assert_eq!(found, expected, "{text}");
        };
        check(
            "delete from t where a = 1 limit 2",
            false,
            &["", "t where a = 1 limit 2", "where a = 1 limit 2", "", ""],
        );
        check("delete quick a from a join b using (c)", true, &["", "a join b using (c)", "", "", "quick "]);
        check("delete from a, b using a join b using (c)", true, &["", "a join b using (c)", "", "", ""]);
    }
}
