//! Statement text -> AST, for the kinds that are planned: queries and `INSERT`, `REPLACE`, `UPDATE`, `DELETE`.
//!
//! A recursive-descent parser of MySQL's and MariaDB's grammar over our own tokens, with the parser crate's AST
//! as its result. It accepts somewhat more than a server does (the server still checks the text), and it keeps
//! operators, parentheses and names as they were written.

use super::ast::{Expr, SelectItem, SetExpr, Statement};
use super::error::syntax_error;
use super::kind::StatementKind;
use super::lex::Lexed;
use super::options::LexOptions;
use super::token::Span;
use crate::error::Error;

mod cursor;
mod expression;
mod function;
mod insert;
pub(super) mod operator;
mod primary;
mod query;
mod select;
mod table;
mod write;

use cursor::Cursor;
pub(crate) use query::lock_wait;

/// Text that the parser does not understand. That need not mean that a server does not: where one place is
/// certain, the text may still be sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseFailure {
    /// Where understanding ended: offset in the text.
    pub offset: u32,
    /// What was expected there.
    pub message: String,
}

impl ParseFailure {
    /// As MySQL's syntax error 1064.
    pub fn to_error(&self, text: &[u8]) -> Error {
        syntax_error(text, self.offset as usize)
    }
}

/// A parsed statement and where its select lists came from.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The statement.
    pub statement: Statement,
    /// Every `SELECT` of the statement that has a list, in the order of the text.
    pub select_lists: Vec<SelectList>,
}

/// The select list of one `SELECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectList {
    /// Offset of the word `SELECT`; the AST has it as the column (minus one) of `Select::select_token`.
    pub select_offset: u32,
    /// Source of each item without its alias, in the order of `Select::projection`.
    pub items: Vec<Span>,
}

impl Parsed {
    /// The list of the `SELECT` at `select_offset`.
    pub fn select_list(&self, select_offset: u32) -> Option<&SelectList> {
        self.select_lists.iter().find(|list| list.select_offset == select_offset)
    }
}

/// Parses the statement that `lexed` describes. Its arguments are the placeholders `:vN`, its lists `:lN`, where
/// `N - 1` is the index in [`Lexed::args`]. Spans in the AST: line 1, column = offset in `text` + 1.
pub fn parse(text: &[u8], lexed: &Lexed, options: &LexOptions) -> Result<Statement, ParseFailure> {
    parse_with_sources(text, lexed, options).map(|parsed| parsed.statement)
}

/// Like [`parse`], and tells where each select item came from (MySQL names columns by that text).
pub fn parse_with_sources(text: &[u8], lexed: &Lexed, options: &LexOptions) -> Result<Parsed, ParseFailure> {
    if !lexed.kind.takes_args() {
        let message = format!("statements of kind {:?} have no AST", lexed.kind);
        return Err(ParseFailure { offset: lexed.span.start, message });
    }
    let mut cursor = Cursor::new(text, lexed, options)?;
    let statement = match lexed.kind {
        StatementKind::Insert | StatementKind::Replace if cursor.at_any(&["INSERT", "REPLACE"]) => {
            Statement::Insert(cursor.insert()?)
        }
        StatementKind::Update if cursor.at("UPDATE") => Statement::Update(cursor.update()?),
        StatementKind::Delete if cursor.at("DELETE") => Statement::Delete(cursor.delete()?),
        _ => Statement::Query(Box::new(cursor.query()?)),
    };
    cursor.expect_end()?;
    let mut select_lists = cursor.into_select_lists();
    select_lists.sort_unstable_by_key(|list| list.select_offset);
    Ok(Parsed { statement, select_lists })
}

/// Parses a lone expression, such as the condition of a `SHOW … WHERE`. Its literals stay in the AST.
pub fn parse_expression(text: &[u8], options: &LexOptions) -> Result<Expr, Error> {
    // In a select list literals are no arguments.
    const SELECT: &[u8] = b"SELECT ";
    let query = [SELECT, text].concat();
    let mut lexed = Lexed::new();
    super::lex(&query, 0, options, &mut lexed).map_err(|_| syntax_error(text, 0))?;
    let statement = parse(&query, &lexed, options)
        .map_err(|failure| syntax_error(text, (failure.offset as usize).saturating_sub(SELECT.len())))?;
    let Statement::Query(query) = statement else { return Err(syntax_error(text, 0)) };
    match *query.body {
        SetExpr::Select(select) => match select.projection.into_iter().next() {
            Some(SelectItem::UnnamedExpr(expr)) if select.from.is_empty() => Ok(expr),
            _ => Err(syntax_error(text, 0)),
        },
        _ => Err(syntax_error(text, 0)),
    }
}

#[cfg(test)]
pub(in crate::sql) mod tests;
