//! The statement's text over gathered tables: names that change, and common table expressions that are written once
//! more for each further use.

use std::ops::Range;

use super::{Level, Text, Walk};
use crate::error::{Error, Result};
use crate::plan::layout::Layout;
use crate::plan::primitive::Piece;
use crate::plan::source::quote;
use crate::sql::TokenKind;
use crate::sql::ast::{Cte, Ident, Select, SelectItem, TableAlias};

/// Copies of common table expressions: each has its own tables.
const COPIES_MAX: usize = 32;

impl Walk<'_> {
    /// A column without alias is named after its text: when that has changed, the name must be given.
    pub(super) fn keep_names(&mut self, select: &Select, text: usize) -> Result<()> {
        let is_unnamed = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_));
        if self.texts[text].touched.is_empty() || !select.projection.iter().any(is_unnamed) {
            return Ok(());
        }
        let token = self.source.token_at(select.select_token.0.span.start);
        let layout = token.and_then(|token| Layout::of_select(self.source, token));
        let layout = layout.filter(|layout| layout.items.len() == select.projection.len());
        let layout = layout.ok_or_else(|| Error::unsupported("this form of select list"))?;
        for (item, range) in select.projection.iter().zip(layout.items) {
            let Text { edits, touched } = &mut self.texts[text];
            let is_touched = touched.iter().any(|edit| range.start <= edit.start && edit.end <= range.end);
            if is_unnamed(item) && is_touched && !self.named.contains(&range.end) {
                edits.insert(range.end, &format!(" as {}", quote(&self.source.slice(range.clone()))));
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a place in the text")]
    pub(super) fn replace_table(
        &mut self,
        index: usize,
        range: Range<usize>,
        visible: &str,
        last: &Ident,
        has_partitions: bool,
        has_hints: bool,
        has_alias: bool,
        text: usize,
    ) -> Result<()> {
        self.texts[text].edits.forget(&range);
        let input = u32::try_from(index).map_err(|_| Error::unsupported("that many tables"))?;
        let mut pieces = vec![Piece::Gathered(input)];
        if !has_alias {
            pieces.push(Piece::text(&format!(" as {visible}")));
        }
        self.texts[text].edits.replace(range.clone(), pieces);
        if has_partitions {
            let at = self.source.tokens().partition_point(|token| (token.span.start as usize) < range.end);
            if let Some(end) = self.behind_parentheses(at + 1) {
                let start = self.source.tokens()[at].span.range().start;
                self.texts[text].edits.remove(start..end);
            }
        }
        if has_hints {
            // A gathered table does not have all keys.
            let end = self.source.ident_range(last)?.end;
            let mut at = self.source.tokens().partition_point(|token| (token.span.start as usize) < end);
            while ["use", "ignore", "force"].iter().any(|word| self.source.is_keyword(at, word)) {
                let start = self.source.tokens()[at].span.range().start;
                while self.source.tokens().get(at).is_some_and(|token| token.kind != TokenKind::LParen) {
                    at += 1;
                }
                let Some(end) = self.behind_parentheses(at) else { break };
                self.texts[text].edits.remove(start..end);
                at = self.source.tokens().partition_point(|token| (token.span.start as usize) < end);
            }
        }
        self.texts[text].touched.push(range);
        Ok(())
    }

    /// Where the parenthesis ends that token `open` begins.
    pub(super) fn behind_parentheses(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for token in self.source.tokens().get(open..)? {
            match token.kind {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return (token.kind == TokenKind::RParen).then(|| token.span.range().end);
            }
        }
        None
    }

    /// Is it a common table expression? Its first use defines it; each further one gets a copy.
    pub(super) fn common_table(
        &mut self,
        name: &Ident,
        alias: Option<&TableAlias>,
        level: Option<&Level<'_>>,
        text: usize,
    ) -> Result<bool> {
        let mut next = level;
        while let Some(level) = next {
            let visible = &level.with.cte_tables[..level.visible];
            if let Some(index) = visible.iter().rposition(|cte| cte.alias.name.value == name.value) {
                let cte = &level.with.cte_tables[index];
                let used = (level.text, cte.alias.name.span.start);
                if !self.uses.contains(&used) {
                    self.uses.push(used);
                    self.define(level, cte, index, None, level.text)?;
                    return Ok(true);
                }
                self.copies += 1;
                let copy = format!("{}_{}", name.value, self.copies + 1);
                self.define_copy(level, cte, index, &copy)?;
                self.rename(name, alias, &copy, text)?;
                return Ok(true);
            }
            let own = level.with.cte_tables.get(level.visible);
            if own.is_some_and(|cte| level.with.recursive && cte.alias.name.value == name.value) {
                if let Some(own) = &level.own_name {
                    self.rename(name, alias, own, text)?;
                }
                return Ok(true);
            }
            next = level.outer;
        }
        Ok(false)
    }

    fn rename(&mut self, name: &Ident, alias: Option<&TableAlias>, to: &str, text: usize) -> Result<()> {
        let range = self.source.ident_range(name)?;
        let mut with = quote(to);
        if alias.is_none() {
            with.push_str(&format!(" as {}", quote(&name.value)));
        }
        self.texts[text].edits.replace(range.clone(), vec![Piece::text(&with)]);
        self.texts[text].touched.push(range);
        Ok(())
    }

    /// Walks the body of a common table expression, which sees those before it.
    pub(super) fn define(
        &mut self,
        level: &Level<'_>,
        cte: &Cte,
        index: usize,
        own_name: Option<String>,
        text: usize,
    ) -> Result<()> {
        let inner =
            Level { with: level.with, visible: index, own_name, text: level.text, outer: level.outer };
        // It does not see the query that uses it.
        let frames = std::mem::take(&mut self.frames);
        let outcome = self.query(&cte.query, Some(&inner), text);
        self.frames = frames;
        outcome
    }

    /// Writes the expression once more, behind itself, under another name and over tables of its own.
    fn define_copy(&mut self, level: &Level<'_>, cte: &Cte, index: usize, name: &str) -> Result<()> {
        if self.copies > COPIES_MAX {
            return Err(Error::unsupported("that many uses of common table expressions"));
        }
        let text = self.texts.len();
        self.texts.push(Text { edits: self.base.clone(), touched: Vec::new() });
        self.define(level, cte, index, Some(name.to_owned()), text)?;
        let behind_name = self.source.ident_range(&cte.alias.name)?.end;
        let close = self.source.token_at(cte.closing_paren_token.0.span.start);
        let close =
            close.ok_or_else(|| Error::bug("no place known for the end of a common table expression"))?;
        let end = self.source.tokens()[close].span.range().end;
        let mut pieces = vec![Piece::text(&format!(", {}", quote(name)))];
        pieces.extend(self.source.pieces(behind_name..end, &self.texts[text].edits).pieces);
        self.repeats_arguments |= pieces.iter().any(|piece| matches!(piece, Piece::Arg(_) | Piece::List(_)));
        self.texts[level.text].edits.insert_pieces(end, pieces);
        Ok(())
    }
}
