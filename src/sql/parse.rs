//! Statement text -> AST, for the kinds that are planned: queries and `INSERT`, `REPLACE`, `UPDATE`, `DELETE`.

use super::ast::Statement;
use super::error::syntax_error;
use super::lex::Lexed;
use super::normalize::normalized_text;
use super::options::LexOptions;
use crate::error::Error;

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

/// Parses the statement that `lexed` describes. Its arguments are the placeholders `:vN`, its lists `:lN`, where
/// `N - 1` is the index in [`Lexed::args`]. Spans in the AST: line 1, column = offset in `text` + 1.
pub fn parse(text: &[u8], lexed: &Lexed, _options: &LexOptions) -> Result<Statement, ParseFailure> {
    let normalized = normalized_text(text, lexed);
    let failure = |message: String| ParseFailure { offset: lexed.verb.start, message };
    let mut statements =
        sqlparser::parser::Parser::parse_sql(&sqlparser::dialect::MySqlDialect {}, &normalized)
            .map_err(|error| failure(error.to_string()))?;
    statements.pop().ok_or_else(|| failure("a statement".to_owned()))
}
