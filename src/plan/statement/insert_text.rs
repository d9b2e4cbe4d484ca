//! The parts of an INSERT or REPLACE around its rows, read by tokens.
//!
//! Rows are passed over without being kept, so that a statement of many megabytes costs no memory here.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::PlanContext;
use crate::plan::source::Source;
use crate::sql::{Lexed, Token, TokenKind, Tokenizer, syntax_error};

/// What an INSERT is made of.
pub(super) struct InsertText<'a> {
    /// Tokens of the head (up to and with VALUES, SET or SELECT), and of what follows the rows.
    pub(super) source: Source<'a>,
    /// Number of tokens of the head.
    pub(super) head_count: usize,
    pub(super) is_ignore: bool,
    /// Tokens of the table's name: `[keyspace .] table`.
    pub(super) table: Range<usize>,
    /// The columns between parentheses, without qualifiers.
    pub(super) columns: Option<Vec<Box<str>>>,
    /// The closing parenthesis of the column list.
    pub(super) columns_end: Option<usize>,
    pub(super) form: Form,
    /// `VALUES ()`: a row of defaults.
    pub(super) has_empty_row: bool,
}

/// Where the rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Select,
    Set,
    Values,
}

impl<'a> InsertText<'a> {
    /// Does the statement end with RETURNING?
    pub(super) fn returns(&self) -> bool {
        (self.head_count..self.source.tokens().len()).any(|index| self.source.is_keyword(index, "returning"))
    }

    pub(super) fn read(ctx: &PlanContext<'_>, text: &'a [u8], lexed: &'a Lexed) -> Result<Self> {
        let code = text.get(..lexed.span.end as usize).unwrap_or(text);
        let mut tokenizer = Tokenizer::new(code, lexed.span.start as usize, ctx.options);
        let mut next = || tokenizer.next_token().map_err(|error| syntax_error(text, error.offset as usize));
        let mut tokens: Vec<Token> = Vec::new();
        let mut depth = 0_usize;
        // The head ends with the word that says where rows come from.
        let form = loop {
            let token = next()?;
            if token.kind == TokenKind::End {
                return Err(syntax_error(text, code.len()));
            }
            tokens.push(token);
            let is = |word: &str| token.is_word(code, word);
            match token.kind {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth = depth.saturating_sub(1),
                _ if is("select") || is("with") || is("table") && tokens.len() > 2 => break Form::Select,
                _ if depth == 0 && (is("values") || is("value")) => break Form::Values,
                _ if depth == 0 && is("set") => break Form::Set,
                _ => {}
            }
        };
        let head_count = tokens.len();
        let mut in_rows = form == Form::Values;
        let mut first = Vec::with_capacity(2);
        let mut depth = 0_usize;
        loop {
            let token = next()?;
            match token.kind {
                TokenKind::End | TokenKind::Semicolon => break,
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth = depth.saturating_sub(1),
                TokenKind::Comma => {}
                _ if depth == 0 && !token.is_word(code, "row") => in_rows = false,
                _ => {}
            }
            if !in_rows {
                tokens.push(token);
            } else if first.len() < 2 {
                first.push(token.kind);
            }
        }
        let source = Source::with_tokens(text, lexed, tokens);
        let insert = Self::head(source, head_count, form)?;
        Ok(Self { has_empty_row: first == [TokenKind::LParen, TokenKind::RParen], ..insert })
    }

    fn head(source: Source<'a>, head_count: usize, form: Form) -> Result<Self> {
        let words = ["insert", "replace", "low_priority", "delayed", "high_priority", "ignore", "into"];
        let mut index = 0;
        let mut is_ignore = false;
        while words.iter().any(|word| source.is_keyword(index, word))
            || is_kind(&source, index, TokenKind::Hint)
        {
            is_ignore |= source.is_keyword(index, "ignore");
            index += 1;
        }
        let start = index;
        index += if is_kind(&source, index + 1, TokenKind::Dot) { 3 } else { 1 };
        let table = start..index;
        if index > head_count || !source.tokens()[index - 1].kind.is_name() {
            return Err(Error::unsupported("this form of INSERT"));
        }
        if source.is_keyword(index, "partition") {
            return Err(Error::unsupported("INSERT … PARTITION"));
        }
        let mut columns = None;
        let mut columns_end = None;
        if is_kind(&source, index, TokenKind::LParen) && index < head_count && !in_query(&source, index + 1) {
            let mut names: Vec<Box<str>> = Vec::new();
            let mut last: Option<Box<str>> = None;
            index += 1;
            while index < head_count && !is_kind(&source, index, TokenKind::RParen) {
                match source.tokens()[index].kind {
                    TokenKind::Comma => names.extend(last.take()),
                    kind if kind.is_name() => last = Some(source.name(index).into()),
                    _ => {}
                }
                index += 1;
            }
            names.extend(last);
            columns = Some(names);
            columns_end = Some(index);
            index += 1;
        }
        if form != Form::Select && index + 1 != head_count {
            return Err(Error::unsupported("this form of INSERT"));
        }
        Ok(Self { source, head_count, is_ignore, table, columns, columns_end, form, has_empty_row: false })
    }

    /// The parts of the table's name.
    pub(super) fn table_name(&self) -> (Option<String>, String) {
        let name = |index: usize| self.source.name(index);
        let qualifier = (self.table.len() == 3).then(|| name(self.table.start));
        (qualifier, name(self.table.end - 1))
    }

    /// The token that ON DUPLICATE KEY UPDATE begins with.
    fn updates(&self) -> Option<usize> {
        let from = if self.form == Form::Values { self.head_count } else { 0 };
        (from..self.source.tokens().len()).find(|index| {
            let words = ["on", "duplicate", "key", "update"];
            (0..).zip(words).all(|(offset, word): (usize, _)| self.source.is_keyword(index + offset, word))
        })
    }

    /// Where ON DUPLICATE KEY UPDATE begins in the text.
    pub(super) fn updates_start(&self) -> Option<usize> {
        self.updates().map(|index| self.source.tokens()[index].span.range().start)
    }

    /// Where the query of INSERT … SELECT begins in the text, with its parentheses.
    pub(super) fn query_start(&self) -> usize {
        let tokens = self.source.tokens();
        let before = self.columns_end.map_or(self.table.end, |end| end + 1);
        let mut index = self.head_count - 1;
        while index > before && tokens[index - 1].kind == TokenKind::LParen {
            index -= 1;
        }
        tokens[index].span.range().start
    }

    /// The columns that ON DUPLICATE KEY UPDATE assigns to; `None` without that clause.
    pub(super) fn updated_columns(&self) -> Option<Vec<Box<str>>> {
        let tokens = self.source.tokens();
        let start = self.updates()?;
        let mut names = Vec::new();
        let (mut depth, mut is_target, mut last) = (0_usize, true, None);
        for (index, token) in tokens.iter().enumerate().skip(start + 4) {
            match token.kind {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth = depth.saturating_sub(1),
                TokenKind::Comma if depth == 0 => is_target = true,
                TokenKind::Eq | TokenKind::Assign if is_target => {
                    names.extend(last.take());
                    is_target = false;
                }
                kind if is_target && kind.is_name() => {
                    last = Some(self.source.name(index).into());
                }
                _ => {}
            }
        }
        Some(names)
    }

    /// The columns that ON DUPLICATE KEY UPDATE assigns to, without those that get their own value (`a = a`,
    /// `a = LAST_INSERT_ID(a)`).
    pub(super) fn changed_by_update(&self) -> Vec<Box<str>> {
        self.update_assignments().filter_map(|tokens| self.changed_by(&tokens.collect::<Vec<_>>())).collect()
    }

    /// The tokens of each value that ON DUPLICATE KEY UPDATE assigns.
    pub(super) fn update_values(&self) -> Vec<Range<usize>> {
        let is_assign =
            |index: &usize| matches!(self.source.tokens()[*index].kind, TokenKind::Eq | TokenKind::Assign);
        self.update_assignments()
            .filter_map(|tokens| Some(tokens.clone().find(is_assign)? + 1..tokens.end))
            .collect()
    }

    /// The tokens of each assignment of ON DUPLICATE KEY UPDATE.
    fn update_assignments(&self) -> impl Iterator<Item = Range<usize>> {
        let tokens = self.source.tokens();
        let mut found = Vec::new();
        let first = self.updates().map_or(tokens.len() + 1, |index| index + 4);
        let (mut start, mut depth) = (first, 0_usize);
        for index in first..=tokens.len() {
            match tokens.get(index).map(|token| token.kind) {
                Some(TokenKind::LParen) => depth += 1,
                Some(TokenKind::RParen) => depth = depth.saturating_sub(1),
                Some(TokenKind::Comma) if depth > 0 => {}
                None | Some(TokenKind::Comma) => {
                    found.push(start..index);
                    start = index + 1;
                }
                Some(_) => {}
            }
        }
        found.into_iter()
    }

    /// The column that one assignment changes.
    fn changed_by(&self, tokens: &[usize]) -> Option<Box<str>> {
        let is_assign =
            |index: &usize| matches!(self.source.tokens()[*index].kind, TokenKind::Eq | TokenKind::Assign);
        let (target, value) = tokens.split_at(tokens.iter().position(is_assign)?);
        let name = |index: usize| self.source.name(index);
        let column = name(*target.last()?);
        let is_same =
            |last: Option<&usize>| last.is_some_and(|last| name(*last).eq_ignore_ascii_case(&column));
        let table = name(self.table.end - 1);
        let is_own = match value.get(1..)? {
            [own] => is_same(Some(own)),
            [of, dot, own] => {
                self.source.tokens()[*dot].kind == TokenKind::Dot && name(*of) == table && is_same(Some(own))
            }
            [function, _, own, _] => {
                self.source.is_keyword(*function, "last_insert_id") && is_same(Some(own))
            }
            _ => false,
        };
        (!is_own).then(|| column.into())
    }

    /// Of `SET a = 1, b = 2`: each column with the tokens of its value.
    pub(super) fn assignments(&self) -> Vec<(Box<str>, Range<usize>)> {
        let tokens = self.source.tokens();
        let mut found: Vec<(Box<str>, Range<usize>)> = Vec::new();
        let (mut depth, mut last): (usize, Option<Box<str>>) = (0, None);
        let mut value: Option<(Box<str>, usize)> = None;
        for index in self.head_count..=tokens.len() {
            let kind = tokens.get(index).map(|token| token.kind);
            let is_end =
                kind.is_none() || self.source.is_keyword(index, "on") || self.source.is_keyword(index, "as");
            match kind {
                Some(TokenKind::LParen) => depth += 1,
                Some(TokenKind::RParen) => depth = depth.saturating_sub(1),
                Some(TokenKind::Eq | TokenKind::Assign) if depth == 0 && value.is_none() => {
                    value = last.take().map(|name| (name, index + 1));
                }
                Some(kind) if value.is_none() && kind.is_name() => {
                    last = Some(self.source.name(index).into());
                }
                _ => {}
            }
            let is_comma = kind == Some(TokenKind::Comma);
            if depth == 0 && (is_comma || is_end) {
                found.extend(value.take().map(|(name, start)| (name, start..index)));
                if is_end {
                    break;
                }
            }
        }
        found
    }
}

/// Does a query begin here, perhaps behind further parentheses?
fn in_query(source: &Source<'_>, mut index: usize) -> bool {
    while is_kind(source, index, TokenKind::LParen) {
        index += 1;
    }
    let is_table =
        source.is_keyword(index, "table") && source.tokens().get(index + 1).is_some_and(|t| t.kind.is_name());
    is_table || ["select", "with", "values"].iter().any(|word| source.is_keyword(index, word))
}

fn is_kind(source: &Source<'_>, index: usize, kind: TokenKind) -> bool {
    source.tokens().get(index).is_some_and(|token| token.kind == kind)
}
