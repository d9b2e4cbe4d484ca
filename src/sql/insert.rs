//! Where the rows of an `INSERT` or `REPLACE … VALUES` are, without an AST: for inserts of any size.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/insert.html>

use super::error::{lexical, syntax_error};
use super::lex::{ArgKind, Lexed, arg_kind};
use super::options::LexOptions;
use super::token::{Span, Token, TokenKind, Tokenizer};
use crate::error::Result;

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsertValue {
    /// Its source text.
    pub span: Span,
    /// What it is.
    pub kind: InsertValueKind,
}

/// What a value of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertValueKind {
    /// `DEFAULT`
    Default,
    /// Anything that only a server can evaluate.
    Expression,
    /// One literal (a negative number included), placeholder or user variable.
    Literal(ArgKind),
    /// `NULL`
    Null,
}

/// Reads the rows one after the other.
#[derive(Clone, Debug)]
pub struct InsertRows<'a> {
    tokens: Tokenizer<'a>,
    head: Span,
    table: Vec<Span>,
    columns: Option<Vec<Span>>,
    statement_end: u32,
    tail_start: u32,
    placeholder_count: u32,
    is_done: bool,
}

impl<'a> InsertRows<'a> {
    /// Finds the rows of the statement that `lexed` describes; `None` if it has no `VALUES` (`INSERT … SELECT`,
    /// `INSERT … SET`, other statements).
    pub fn new(text: &'a [u8], lexed: &Lexed, options: &'a LexOptions) -> Result<Option<Self>> {
        let mut tokens = Tokenizer::new(text, lexed.verb.end as usize, options);
        let mut rows = Self {
            tokens,
            head: Span { start: lexed.span.start, end: lexed.span.start },
            table: Vec::new(),
            columns: None,
            statement_end: lexed.span.end,
            tail_start: lexed.span.end,
            placeholder_count: 0,
            is_done: false,
        };
        let next = |tokens: &mut Tokenizer<'a>| tokens.next_token().map_err(|error| lexical(text, error));
        let mut token = next(&mut tokens)?;
        let options_of_insert = ["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE", "INTO"];
        while token.kind == TokenKind::Hint || options_of_insert.iter().any(|word| token.is_word(text, word))
        {
            token = next(&mut tokens)?;
        }
        while token.kind.is_name() {
            rows.table.push(token.span);
            token = next(&mut tokens)?;
            if token.kind != TokenKind::Dot {
                break;
            }
            token = next(&mut tokens)?;
        }
        if token.is_word(text, "PARTITION") {
            while !matches!(token.kind, TokenKind::RParen | TokenKind::End) {
                token = next(&mut tokens)?;
            }
            token = next(&mut tokens)?;
        }
        if token.kind == TokenKind::LParen {
            let Some(columns) = rows.column_list(&mut tokens)? else { return Ok(None) };
            rows.columns = Some(columns);
            token = next(&mut tokens)?;
        }
        if !token.is_word(text, "VALUES") && !token.is_word(text, "VALUE") {
            return Ok(None);
        }
        rows.head.end = token.span.end;
        rows.tokens = tokens;
        Ok(Some(rows))
    }

    /// The text before the rows, up to and with the word `VALUES`.
    pub fn head(&self) -> Span {
        self.head
    }

    /// The parts of the table's name, qualifier first.
    pub fn table(&self) -> &[Span] {
        &self.table
    }

    /// Names of the columns (their last parts); `None` if the statement has no list.
    pub fn columns(&self) -> Option<&[Span]> {
        self.columns.as_deref()
    }

    /// The text behind the rows (`ON DUPLICATE KEY UPDATE …`, `RETURNING …`), once all rows were read.
    pub fn tail(&self) -> Span {
        Span { start: self.tail_start, end: self.statement_end }
    }

    /// Reads the next row into `values` and returns its span with the parentheses; `None` behind the last.
    pub fn next_row(&mut self, values: &mut Vec<InsertValue>) -> Result<Option<Span>> {
        values.clear();
        if self.is_done {
            return Ok(None);
        }
        let mut open = self.token()?;
        let start = open.span.start;
        if open.is_word(self.tokens.text(), "ROW") {
            open = self.token()?;
        }
        if open.kind != TokenKind::LParen {
            return Err(self.unexpected(open));
        }
        let end = loop {
            let (value, end) = self.value()?;
            if let Some(value) = value {
                values.push(value);
            } else if end.kind != TokenKind::RParen || !values.is_empty() {
                // Only an empty row may lack a value.
                return Err(self.unexpected(end));
            }
            if end.kind == TokenKind::RParen {
                break end.span.end;
            }
        };
        self.tail_start = end;
        let mut ahead = self.tokens;
        let after = ahead.next_token().map_err(|error| lexical(self.tokens.text(), error))?;
        if after.kind == TokenKind::Comma {
            self.tokens = ahead;
        } else {
            self.is_done = true;
        }
        Ok(Some(Span { start, end }))
    }

    /// One value and the token that ended it; `None` for no value at all.
    fn value(&mut self) -> Result<(Option<InsertValue>, Token)> {
        let mut depth = 0_u32;
        let mut count = 0_u32;
        let mut sign = false;
        let mut kind = InsertValueKind::Expression;
        let mut span: Option<Span> = None;
        loop {
            let token = self.token()?;
            match token.kind {
                TokenKind::RParen | TokenKind::Comma if depth == 0 => {
                    let is_single = count == 1 || (count == 2 && sign);
                    let kind = if is_single { kind } else { InsertValueKind::Expression };
                    return Ok((span.map(|span| InsertValue { span, kind }), token));
                }
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth -= 1,
                TokenKind::End => return Err(self.unexpected(token)),
                _ => {}
            }
            count += 1;
            if count == 1 && token.kind == TokenKind::Minus {
                sign = true;
            } else if let Some(found) = self.single(token) {
                let is_number = matches!(
                    found,
                    InsertValueKind::Literal(ArgKind::Integer | ArgKind::Decimal | ArgKind::Float)
                );
                sign &= is_number;
                kind = found;
            }
            let start = span.map_or(token.span.start, |span| span.start);
            span = Some(Span { start, end: token.span.end });
        }
    }

    fn single(&mut self, token: Token) -> Option<InsertValueKind> {
        let text = self.tokens.text();
        Some(match token.kind {
            TokenKind::Placeholder => {
                let index = u16::try_from(self.placeholder_count).unwrap_or(u16::MAX);
                self.placeholder_count += 1;
                InsertValueKind::Literal(ArgKind::Placeholder(index))
            }
            TokenKind::UserVariable => InsertValueKind::Literal(ArgKind::UserVariable),
            TokenKind::Null => InsertValueKind::Null,
            TokenKind::Word if token.is_word(text, "NULL") => InsertValueKind::Null,
            TokenKind::Word if token.is_word(text, "DEFAULT") => InsertValueKind::Default,
            kind => InsertValueKind::Literal(arg_kind(kind)?),
        })
    }

    /// The names behind `(`; `None` if it is no list of columns but a query in parentheses.
    fn column_list(&self, tokens: &mut Tokenizer<'a>) -> Result<Option<Vec<Span>>> {
        let text = tokens.text();
        let mut columns = Vec::new();
        let mut name = None;
        loop {
            let token = tokens.next_token().map_err(|error| lexical(text, error))?;
            match token.kind {
                TokenKind::Word if name.is_none() && columns.is_empty() && is_query_word(token, text) => {
                    return Ok(None);
                }
                TokenKind::QuotedIdentifier | TokenKind::Word => name = Some(token.span),
                TokenKind::Dot => {}
                TokenKind::Comma => columns.extend(name.take()),
                TokenKind::RParen => {
                    columns.extend(name.take());
                    return Ok(Some(columns));
                }
                TokenKind::LParen => return Ok(None),
                _ => return Err(syntax_error(text, token.span.start as usize)),
            }
        }
    }

    fn token(&mut self) -> Result<Token> {
        let text = self.tokens.text();
        self.tokens.next_token().map_err(|error| lexical(text, error))
    }

    fn unexpected(&self, token: Token) -> crate::error::Error {
        syntax_error(self.tokens.text(), token.span.start as usize)
    }
}

fn is_query_word(token: Token, text: &[u8]) -> bool {
    ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| token.is_word(text, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lex;

    fn rows(text: &str) -> Option<(Vec<Vec<String>>, String, String)> {
        let options = LexOptions::default();
        let bytes = text.as_bytes();
        let mut lexed = Lexed::new();
        lex(bytes, 0, &options, &mut lexed).unwrap();
        let mut rows = InsertRows::new(bytes, &lexed, &options).unwrap()?;
        let source = |span: Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
        let mut found = Vec::new();
        let mut values = Vec::new();
        while rows.next_row(&mut values).unwrap().is_some() {
            found.push(
                values.iter().map(|value| format!("{} {:?}", source(value.span), value.kind)).collect(),
            );
        }
        let columns =
            rows.columns().map(|list| list.iter().map(|span| source(*span)).collect::<Vec<_>>().join(","));
        let table = rows.table().iter().map(|span| source(*span)).collect::<Vec<_>>().join(".");
        Some((
            found,
            format!("{table}({})", columns.unwrap_or_default()),
            source(rows.tail()).trim().to_owned(),
        ))
    }

    #[test]
    fn rows_and_values_are_found() {
        let text = "insert ignore into ks.t (a, `b`, t.c) values (1, 'x, (', -2.5), (NULL, default, f(1, 2)), \
                    (?, @u, (select 1)) on duplicate key update a = 1";
        let (rows, head, tail) = rows(text).unwrap();
        assert_eq!(head, "ks.t(a,`b`,c)");
        assert_eq!(tail, "on duplicate key update a = 1");
        assert_eq!(rows[0], ["1 Literal(Integer)", "'x, (' Literal(String)", "-2.5 Literal(Decimal)"]);
        assert_eq!(rows[1], ["NULL Null", "default Default", "f(1, 2) Expression"]);
        assert_eq!(
            rows[2],
            ["? Literal(Placeholder(0))", "@u Literal(UserVariable)", "(select 1) Expression"]
        );
    }

    #[test]
    fn other_forms() {
        assert_eq!(
            rows("replace t value (1), (-'a'), (1 + 2)").unwrap().0.concat(),
            ["1 Literal(Integer)", "-'a' Expression", "1 + 2 Expression"]
        );
        assert_eq!(rows("insert t () values ()").unwrap().0, [Vec::<String>::new()]);
        assert_eq!(rows("insert into t partition (p0, p1) values row(1)").unwrap().0.len(), 1);
        for text in [
            "insert into t select 1",
            "insert into t (select 1)",
            "insert into t set a = 1",
            "insert into t (a) table u",
        ] {
            assert!(rows(text).is_none(), "{text}");
        }
    }

    #[test]
    fn broken_rows_are_errors() {
        for text in [
            "insert into t values (1",
            "insert into t values (1,)",
            "insert into t values 1",
            "insert into t values (1),",
        ] {
            let options = LexOptions::default();
            let mut lexed = Lexed::new();
            lex(text.as_bytes(), 0, &options, &mut lexed).unwrap();
            let mut rows = InsertRows::new(text.as_bytes(), &lexed, &options).unwrap().unwrap();
            let mut values = Vec::new();
            let result = std::iter::from_fn(|| rows.next_row(&mut values).transpose()).find(Result::is_err);
            assert!(result.is_some(), "{text}");
        }
    }
}
