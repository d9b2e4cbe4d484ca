//! `MATCH … AGAINST` over gathered tables: neither engine has full-text indexes on InnoDB's temporary tables. Where a
//! search is a condition that filters a table's rows at its shards, nothing is left of it.

use std::ops::Range;

use super::Walk;
use crate::error::{Error, Result};
use crate::plan::primitive::Piece;
use crate::plan::semantics::{from::idents, relevance};
use crate::sql::TokenKind;
use crate::sql::ast::{Expr, Ident, ObjectName};

/// A search, until the FROM clause around it is known.
pub(super) struct Search {
    columns: Vec<Ident>,
    range: Range<usize>,
    text: usize,
}

impl Walk<'_> {
    pub(super) fn note_search(&mut self, columns: &[ObjectName], text: usize) -> Result<()> {
        let range = self.search_range(columns).ok_or_else(refusal)?;
        let first = columns.first().ok_or_else(refusal)?;
        let columns = idents(first)?.into_iter().cloned().collect();
        self.searches.push(Search { columns, range, text });
        Ok(())
    }

    /// Notes that a condition, if it is a search, is a filter of a reference.
    pub(super) fn note_filter(&mut self, condition: &Expr, reference: usize, filter: usize) {
        if let Expr::MatchAgainst { columns, .. } = condition
            && let Some(range) = self.search_range(columns)
        {
            self.filtered.push((range.start, reference, filter));
        }
    }

    /// Puts the searches of a query, from number `first` on, into its text.
    pub(super) fn place_searches(&mut self, first: usize) -> Result<()> {
        for search in self.searches.split_off(first) {
            let only = self.frames.last().and_then(|frame| match frame.sources.as_slice() {
                [(_, reference)] if search.columns.len() == 1 => *reference,
                _ => None,
            });
            let named = || self.frames.iter().rev().find_map(|frame| frame.column(&search.columns)).flatten();
            let reference = only.or_else(|| named().map(|(reference, _)| reference)).ok_or_else(refusal)?;
            let is_it = |filtered: &&(usize, usize, usize)| {
                filtered.0 == search.range.start && filtered.1 == reference
            };
            let filter = self.filtered.iter().find(is_it).map(|(_, _, filter)| *filter);
            let edits = &self.texts[search.text].edits;
            let text = self.source.pieces(search.range.clone(), edits).pieces;
            // A copy of a common table expression repeats them.
            self.repeats_arguments |=
                search.text > 0 && text.iter().any(|piece| matches!(piece, Piece::Arg(_)));
            let number = |index: usize| u32::try_from(index).map_err(|_| refusal());
            let piece =
                Piece::Search { input: number(reference)?, filter: filter.map(number).transpose()?, text };
            self.texts[search.text].edits.forget(&search.range);
            self.texts[search.text].edits.replace(search.range.clone(), vec![piece]);
            self.texts[search.text].touched.push(search.range);
        }
        Ok(())
    }

    /// The bytes from MATCH to the last parenthesis.
    fn search_range(&self, columns: &[ObjectName]) -> Option<Range<usize>> {
        let name = columns.first()?.0.first()?.as_ident()?;
        let name = self.source.token_at(name.span.start)?;
        let start = (0..name).rev().find(|index| self.source.is_keyword(*index, "match"))?;
        let tokens = self.source.tokens();
        let against = (name..tokens.len()).find(|index| self.source.is_keyword(*index, "against"))?;
        let is_open = tokens.get(against + 1).is_some_and(|token| token.kind == TokenKind::LParen);
        let end = is_open.then(|| self.behind_parentheses(against + 1)).flatten()?;
        Some(tokens[start].span.range().start..end)
    }
}

fn refusal() -> Error {
    Error::unsupported(relevance::COUNTS)
}
