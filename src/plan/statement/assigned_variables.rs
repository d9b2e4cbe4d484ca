//! User variables that an UPDATE or DELETE over shards assigns: one server evaluates them, where it is certain what they
//! become. <https://dev.mysql.com/doc/refman/9.0/en/user-variables.html> promises no order for those of a SELECT; an
//! UPDATE takes its rows one after the other.

use std::ops::Range;

use super::change_text::ChangeText;
use crate::error::{Error, Result};
use crate::plan::semantics::session;
use crate::plan::source::Source;
use crate::sql::{LexFlags, TokenKind};

/// When a statement's variables are assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    /// It assigns none, or the same value for each row.
    Any,
    /// When SET is evaluated, row by row in the order of the rows.
    Rows,
}

/// Words that end an expression.
const ENDS: [&str; 4] = ["where", "order", "limit", "returning"];

/// Where the statement assigns variables.
///
/// # Errors
/// `VT12001` where it depends on more than the order of the rows what they become.
pub(super) fn sequence(source: &Source<'_>, text: &ChangeText) -> Result<Sequence> {
    if !source.lexed().flags.contains(LexFlags::HAS_USER_VARIABLE) || !session::assigns(source) {
        return Ok(Sequence::Any);
    }
    let uncertain: Vec<usize> = uncertain(source);
    let of_variable = |index: &usize| source.tokens()[*index].kind == TokenKind::UserVariable;
    let is_in =
        |range: &Range<usize>, index: usize| range.contains(&(source.tokens()[index].span.start as usize));
    if (0..source.tokens().len()).filter(of_variable).any(|index| is_in(&text.order, index)) {
        return Err(refusal("in a statement that is ordered by one"));
    }
    if uncertain.is_empty() {
        return Ok(Sequence::Any);
    }
    if !uncertain.iter().all(|index| text.values.iter().any(|range| is_in(range, *index))) {
        return Err(refusal("that decides which rows are concerned"));
    }
    if text.order.is_empty() && !text.rest.is_empty() {
        return Err(refusal("without ORDER BY"));
    }
    let is_dot = |index: usize| source.tokens().get(index).is_some_and(|token| token.kind == TokenKind::Dot);
    if (0..source.tokens().len()).any(|index| is_dot(index) && is_dot(index + 2)) {
        return Err(refusal("beside names of three parts"));
    }
    Ok(Sequence::Rows)
}

fn refusal(what: &str) -> Error {
    Error::unsupported(format!("{} {what}", session::ASSIGNS))
}

/// Does this part of the text name user variables?
pub(super) fn are_named(source: &Source<'_>, range: &Range<usize>) -> bool {
    let is_named = |token: &crate::sql::Token| {
        token.kind == TokenKind::UserVariable && range.contains(&(token.span.start as usize))
    };
    source.tokens().iter().any(is_named)
}

/// Tokens that name a variable which the statement assigns, and whose values may differ from row to row.
fn uncertain(source: &Source<'_>) -> Vec<usize> {
    let variables: Vec<(usize, String)> = (0..source.tokens().len())
        .filter(|index| source.tokens()[*index].kind == TokenKind::UserVariable)
        .map(|index| (index, name(source, index)))
        .collect();
    let assigned =
        |name: &str| variables.iter().any(|(index, other)| other == name && is_target(source, *index));
    let is_alone = |name: &str| variables.iter().filter(|(_, other)| other == name).count() == 1;
    variables
        .iter()
        .filter(|(index, name)| assigned(name) && !(is_alone(name) && is_constant(source, *index)))
        .map(|(index, _)| *index)
        .collect()
}

fn name(source: &Source<'_>, index: usize) -> String {
    source.token_text(index).trim_start_matches('@').trim_matches(['`', '\'', '"']).to_lowercase()
}

fn is_target(source: &Source<'_>, index: usize) -> bool {
    source.tokens().get(index + 1).is_some_and(|token| token.kind == TokenKind::Assign)
}

/// `@a := 1` as an expression of its own.
fn is_constant(source: &Source<'_>, index: usize) -> bool {
    let kind = |index: usize| source.tokens().get(index).map(|token| token.kind);
    let begins = index.checked_sub(1).and_then(kind);
    let is_end = |index: usize| match kind(index) {
        None | Some(TokenKind::RParen | TokenKind::Comma) => true,
        Some(_) => ENDS.iter().any(|word| source.is_keyword(index, word)),
    };
    let is_literal = source.tokens().get(index + 2).is_some_and(|token| {
        token.kind != TokenKind::UserVariable && source.arg_at(&token.span.range()).is_some()
    });
    matches!(begins, Some(TokenKind::LParen | TokenKind::Eq | TokenKind::Comma))
        && is_target(source, index)
        && is_literal
        && is_end(index + 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexOptions, Lexed};

    #[test]
    fn values_are_certain_where_the_order_of_rows_is() {
        let check = |text: &str, expected: Option<Sequence>| {
            let options = LexOptions::default();
            let mut lexed = Lexed::new();
            crate::sql::lex(text.as_bytes(), 0, &options, &mut lexed).unwrap();
            let source = Source::new(text.as_bytes(), &lexed, &options).unwrap();
            let parts = match text.starts_with("update") {
                true => ChangeText::of_update(&source),
                false => ChangeText::of_delete(&source, false),
            };
            assert_eq!(sequence(&source, &parts.unwrap()).ok(), expected, "{text}");
        };
        check("update t set a = 1 where b = @x", Some(Sequence::Any));
        check("update t set a = @v := 42", Some(Sequence::Any));
        check("update t set a = (@v := 'x'), b = 2 where c = 3", Some(Sequence::Any));
        check("delete from t where a = (@v := 42)", Some(Sequence::Any));
        check("delete from t where a = (@v := 42) and b = @v", None);
        check("delete from t where a = (@v := b)", None);
        check("update t set a = @v := 42, b = @v", Some(Sequence::Rows));
        check("update t set a = (@n := @n + 1)", Some(Sequence::Rows));
        check("update t set a = (@n := @n + 1) order by b", Some(Sequence::Rows));
        check("update t set a = (@n := @n + 1) where b > @m order by b limit 5", Some(Sequence::Rows));
        check("update t set a = (@n := @n + 1) where b = 1", None);
        check("update t set a = (@n := @n + 1) where b > @n order by b", None);
        check("update t set a = (@n := @n + 1) order by @n", None);
        check("update t set a = (@old := a) order by a", Some(Sequence::Rows));
        check("update t set a = (@old := ks.t.a) order by a", None);
    }
}
