//! The tokens of one statement and a position in them.

use std::borrow::Cow;

use sqlparser::ast::{Ident, Value, ValueWithSpan};
use sqlparser::tokenizer::{Location, Span as AstSpan};

use super::{ParseFailure, SelectList};
use crate::limits;
use crate::sql::ident::name_of;
use crate::sql::lex::{ArgKind, Lexed};
use crate::sql::literal;
use crate::sql::options::{LexOptions, SqlMode};
use crate::sql::reserved::is_structural;
use crate::sql::token::{Span, Token, TokenKind, Tokenizer, offset};

/// What parsing gives.
pub(super) type Parse<T> = Result<T, ParseFailure>;

/// Longest word that grammar knows.
const WORD_BYTES_MAX: usize = 24;

/// One token, with what the parser asks about it again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParseToken {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
    /// Number of the argument that it is (`:v1` is 1); of a list, it stands for all items.
    arg: u32,
    is_list: bool,
    /// Of an opening parenthesis: index of the closing one.
    close: u32,
    upper: [u8; WORD_BYTES_MAX],
    upper_count: u8,
}

impl ParseToken {
    fn new(token: Token, text: &[u8]) -> Self {
        let mut upper = [0; WORD_BYTES_MAX];
        let mut upper_count = 0;
        let source = token.span.of(text);
        if token.kind == TokenKind::Word && source.len() <= WORD_BYTES_MAX && source.is_ascii() {
            upper[..source.len()].copy_from_slice(source);
            upper.make_ascii_uppercase();
            upper_count = u8::try_from(source.len()).unwrap_or(0);
        }
        Self { kind: token.kind, span: token.span, arg: 0, is_list: false, close: 0, upper, upper_count }
    }

    /// The unquoted word in upper case; empty for all other tokens.
    pub(super) fn word(&self) -> &str {
        std::str::from_utf8(&self.upper[..usize::from(self.upper_count)]).unwrap_or_default()
    }

    /// Is it an argument of the statement?
    pub(super) fn is_arg(&self) -> bool {
        self.arg > 0
    }

    /// Is it all items of an `IN` list?
    pub(super) fn is_list(&self) -> bool {
        self.is_list
    }
}

/// Where the parser is.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) options: &'a LexOptions,
    tokens: Vec<ParseToken>,
    index: usize,
    depth: usize,
    /// Depth of the tree that the current level has built so far.
    tree_depth: usize,
    select_lists: Vec<SelectList>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], lexed: &Lexed, options: &'a LexOptions) -> Parse<Self> {
        let tokens = read_tokens(text, lexed, options)?;
        Ok(Self { text, options, tokens, index: 0, depth: 0, tree_depth: 0, select_lists: Vec::new() })
    }

    pub(super) fn into_select_lists(self) -> Vec<SelectList> {
        self.select_lists
    }

    pub(super) fn note_select_list(&mut self, list: SelectList) {
        self.select_lists.push(list);
    }

    /// Index of the next token: for going back, and for spans.
    pub(super) fn mark(&self) -> usize {
        self.index
    }

    /// Goes back (or forward) to a mark.
    pub(super) fn rewind(&mut self, mark: usize) {
        self.index = mark;
    }

    /// From the token at `mark` to the last one that was taken.
    pub(super) fn span_from(&self, mark: usize) -> Span {
        let last = self.index.saturating_sub(1).max(mark);
        Span { start: self.tokens[mark].span.start, end: self.tokens[last].span.end }
    }

    /// The next token.
    pub(super) fn peek(&self) -> &ParseToken {
        self.peek_at(0)
    }

    /// The token `ahead` of the next one.
    pub(super) fn peek_at(&self, ahead: usize) -> &ParseToken {
        // The last token is always the end.
        &self.tokens[(self.index + ahead).min(self.tokens.len() - 1)]
    }

    /// How far ahead of the next token the parenthesis that opens `ahead` is closed.
    pub(super) fn close_of(&self, ahead: usize) -> usize {
        (self.peek_at(ahead).close as usize).saturating_sub(self.index)
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> ParseToken {
        let token = *self.peek();
        self.index = (self.index + 1).min(self.tokens.len() - 1);
        token
    }

    /// Is the next token this word?
    pub(super) fn at(&self, word: &str) -> bool {
        self.peek().word() == word
    }

    /// Are the next tokens these words?
    pub(super) fn at_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.peek_at(ahead).word() == *word)
    }

    /// Is the next token one of these words?
    pub(super) fn at_any(&self, words: &[&str]) -> bool {
        words.contains(&self.peek().word())
    }

    /// Takes the word if it is next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let is_next = self.at(word);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Takes all the words if they are next.
    pub(super) fn take_words(&mut self, words: &[&str]) -> bool {
        let are_next = self.at_words(words);
        if are_next {
            self.index += words.len();
        }
        are_next
    }

    /// Is the next token of this kind?
    pub(super) fn at_kind(&self, kind: TokenKind) -> bool {
        self.peek().kind == kind
    }

    /// Takes the token if it is of this kind.
    pub(super) fn take_kind(&mut self, kind: TokenKind) -> bool {
        let is_next = self.at_kind(kind);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Takes the word or fails.
    pub(super) fn expect(&mut self, word: &str) -> Parse<ParseToken> {
        if self.at(word) { Ok(self.next()) } else { self.fail(word) }
    }

    /// Takes a token of this kind or fails.
    pub(super) fn expect_kind(&mut self, kind: TokenKind) -> Parse<ParseToken> {
        if self.at_kind(kind) { Ok(self.next()) } else { self.fail(&format!("{kind:?}")) }
    }

    /// Fails unless all was read.
    pub(super) fn expect_end(&self) -> Parse<()> {
        if self.at_kind(TokenKind::End) { Ok(()) } else { self.fail("the end of the statement") }
    }

    /// Not understood here.
    pub(super) fn fail<T>(&self, expected: &str) -> Parse<T> {
        Err(ParseFailure { offset: self.peek().span.start, message: format!("expected {expected}") })
    }

    /// Runs `parse` one level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= limits::SQL_DEPTH_MAX {
            return self.fail("less nesting");
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.tree_depth, 0);
        let result = parse(self)?;
        self.depth -= 1;
        self.tree_depth = outer.max(self.tree_depth + 1);
        self.deepen(0)?;
        Ok(result)
    }

    /// The tree of this level became deeper: what was read so far is now part of a larger node.
    pub(super) fn deepen(&mut self, levels: usize) -> Parse<()> {
        self.tree_depth += levels;
        if self.tree_depth > limits::SQL_TREE_DEPTH_MAX { self.fail("a simpler statement") } else { Ok(()) }
    }

    /// One or more, with commas between.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take_kind(TokenKind::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `( … )`.
    pub(super) fn parenthesized<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        self.expect_kind(TokenKind::LParen)?;
        let result = inner(self)?;
        self.expect_kind(TokenKind::RParen)?;
        Ok(result)
    }

    /// The source text of a token as UTF-8.
    pub(super) fn source(&self, span: Span) -> Parse<&'a str> {
        std::str::from_utf8(span.of(self.text))
            .map_err(|_| ParseFailure { offset: span.start, message: "expected UTF-8".to_owned() })
    }

    /// Can the token be a name where a keyword could follow instead (an alias without `AS`)?
    pub(super) fn is_free_name(&self, token: &ParseToken) -> bool {
        match token.kind {
            TokenKind::QuotedIdentifier => true,
            TokenKind::Word => !is_structural(token.word()),
            _ => false,
        }
    }

    /// A name; keywords are taken as names too, since the caller knows that only a name can stand here.
    pub(super) fn name(&mut self) -> Parse<Ident> {
        if !self.peek().kind.is_name() {
            return self.fail("a name");
        }
        let token = self.next();
        self.ident(&token)
    }

    /// A name that is no structural keyword.
    pub(super) fn free_name(&mut self) -> Parse<Ident> {
        if self.is_free_name(self.peek()) { self.name() } else { self.fail("a name") }
    }

    /// The identifier that a name token is.
    pub(super) fn ident(&self, token: &ParseToken) -> Parse<Ident> {
        let source = self.source(token.span)?;
        let quote_style = (token.kind == TokenKind::QuotedIdentifier).then_some('`');
        let value = match name_of(source.as_bytes()) {
            Cow::Owned(name) => name,
            Cow::Borrowed(name) => name.to_owned(),
        };
        Ok(Ident { value, quote_style, span: ast_span(token.span) })
    }

    /// An identifier whose text is written as it is: a variable, a unit.
    pub(super) fn raw_ident(&self, span: Span) -> Parse<Ident> {
        Ok(Ident { value: self.source(span)?.to_owned(), quote_style: None, span: ast_span(span) })
    }

    /// The value that a literal, placeholder or variable argument is; `None` for other tokens.
    pub(super) fn value_of(&self, token: &ParseToken) -> Parse<Option<ValueWithSpan>> {
        let span = ast_span(token.span);
        if token.is_arg() {
            let letter = if token.is_list { 'l' } else { 'v' };
            return Ok(Some(ValueWithSpan {
                value: Value::Placeholder(format!(":{letter}{}", token.arg)),
                span,
            }));
        }
        let source = token.span.of(self.text);
        let value = match token.kind {
            TokenKind::Integer | TokenKind::Decimal | TokenKind::Float => {
                Value::Number(self.source(token.span)?.to_owned(), false)
            }
            TokenKind::String => Value::SingleQuotedString(self.string(source, token)?),
            TokenKind::NString => Value::NationalStringLiteral(self.string(&source[1..], token)?),
            TokenKind::Hex => Value::HexStringLiteral(even_digits(self.digits(token)?)),
            TokenKind::Bit => Value::SingleQuotedByteStringLiteral(self.digits(token)?.to_owned()),
            TokenKind::Null => Value::Null,
            _ => return Ok(None),
        };
        Ok(Some(ValueWithSpan { value, span }))
    }

    /// A literal or placeholder, or failure.
    pub(super) fn value(&mut self) -> Parse<ValueWithSpan> {
        let token = *self.peek();
        match self.value_of(&token)? {
            Some(value) => {
                self.next();
                Ok(value)
            }
            None => self.fail("a literal"),
        }
    }

    /// The characters of a string literal.
    pub(super) fn string(&self, source: &[u8], token: &ParseToken) -> Parse<String> {
        let failure = |message: &str| ParseFailure { offset: token.span.start, message: message.to_owned() };
        let mut scratch = Vec::new();
        let bytes =
            literal::string(source, self.options, &mut scratch).map_err(|_| failure("expected a string"))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| failure("expected UTF-8"))
    }

    pub(super) fn has_mode(&self, mode: SqlMode) -> bool {
        self.options.mode.contains(mode)
    }

    fn digits(&self, token: &ParseToken) -> Parse<&'a str> {
        let source = self.source(token.span)?;
        Ok(source[2..].trim_end_matches('\''))
    }
}

/// `x'1f'` and `0x1f` mean the same; only the second may have an odd number of digits.
fn even_digits(digits: &str) -> String {
    if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") }
}

/// A span as the AST has it.
pub(super) fn ast_span(span: Span) -> AstSpan {
    let location = |offset: u32| Location { line: 1, column: u64::from(offset) + 1 };
    AstSpan { start: location(span.start), end: location(span.end) }
}

/// All tokens up to the end of the statement, arguments marked, list arguments joined into one token.
fn read_tokens(text: &[u8], lexed: &Lexed, options: &LexOptions) -> Parse<Vec<ParseToken>> {
    let failure = |offset, message: &str| ParseFailure { offset, message: message.to_owned() };
    let mut tokenizer = Tokenizer::new(text, lexed.span.start as usize, options);
    let mut tokens: Vec<ParseToken> = Vec::new();
    let mut open = Vec::new();
    let mut arg_index = 0;
    loop {
        let token = tokenizer.next_token().map_err(|error| failure(error.offset, error.what))?;
        if token.kind == TokenKind::End || token.span.start >= lexed.span.end {
            let end =
                Token { kind: TokenKind::End, span: Span { start: lexed.span.end, end: lexed.span.end } };
            if let Some(&index) = open.last() {
                let unclosed: &ParseToken = &tokens[index];
                return Err(failure(unclosed.span.start, "expected a closing parenthesis"));
            }
            tokens.push(ParseToken::new(end, text));
            return Ok(tokens);
        }
        if tokens.len() >= limits::SQL_TOKENS_MAX {
            return Err(failure(token.span.start, "expected a shorter statement"));
        }
        let is_hint_place = tokens
            .last()
            .is_some_and(|last| matches!(last.word(), "SELECT" | "INSERT" | "REPLACE" | "UPDATE" | "DELETE"));
        if token.kind == TokenKind::Hint && !is_hint_place {
            continue;
        }
        let mut parsed = ParseToken::new(token, text);
        match lexed.args.get(arg_index) {
            Some(arg) if matches!(arg.kind, ArgKind::List { .. }) && arg.span.start <= token.span.start => {
                while tokenizer.position() < arg.span.end as usize {
                    tokenizer.next_token().map_err(|error| failure(error.offset, error.what))?;
                }
                arg_index += 1;
                parsed.kind = TokenKind::Placeholder;
                parsed.span = arg.span;
                parsed.arg = offset(arg_index);
                parsed.is_list = true;
            }
            Some(arg) if arg.span == token.span => {
                arg_index += 1;
                parsed.arg = offset(arg_index);
            }
            _ => {}
        }
        match parsed.kind {
            TokenKind::LParen => open.push(tokens.len()),
            TokenKind::RParen => match open.pop() {
                Some(index) => tokens[index].close = offset(tokens.len()),
                None => return Err(failure(token.span.start, "expected an opening parenthesis before")),
            },
            _ => {}
        }
        tokens.push(parsed);
    }
}
