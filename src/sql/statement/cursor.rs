//! A reader of tokens with the few questions that small grammars ask.

use crate::error::Result;
use crate::sql::error::syntax_error;
use crate::sql::ident::name_of;
use crate::sql::options::LexOptions;
use crate::sql::token::{Span, Token, TokenKind, Tokenizer};

/// Reads a statement from left to right.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    tokens: Tokenizer<'a>,
    text: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], options: &'a LexOptions) -> Self {
        Self { tokens: Tokenizer::new(text, 0, options), text }
    }

    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The next token; [`TokenKind::End`] also where a `;` or a broken token ends what can be read.
    pub(super) fn peek(&self) -> Token {
        match self.tokens.peek() {
            Ok(token) if token.kind != TokenKind::Semicolon => token,
            Ok(token) => Token { kind: TokenKind::End, span: token.span },
            Err(error) => {
                let at = error.offset as usize;
                Token { kind: TokenKind::End, span: Span::new(at, at) }
            }
        }
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek();
        if token.kind != TokenKind::End {
            // Peeking succeeded, so reading does.
            let _ = self.tokens.next_token();
        }
        token
    }

    /// Reads the word if it comes next.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.peek().is_word(self.text, word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn accept_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.accept(word))
    }

    pub(super) fn accept_kind(&mut self, kind: TokenKind) -> Option<Token> {
        (self.peek().kind == kind).then(|| self.next())
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<()> {
        if self.accept(word) { Ok(()) } else { Err(self.syntax_error()) }
    }

    /// An identifier, without its quotes.
    pub(super) fn name(&mut self) -> Result<(String, Span)> {
        let token = self.peek();
        if !token.kind.is_name() {
            return Err(self.syntax_error());
        }
        self.next();
        Ok((name_of(token.span.of(self.text)).into_owned(), token.span))
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek().kind == TokenKind::End
    }

    /// Fails unless everything was read.
    pub(super) fn finish(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.syntax_error()) }
    }

    /// An expression's source: everything up to a comma outside of parentheses, or to the end.
    pub(super) fn expression(&mut self) -> Result<Span> {
        let start = self.peek().span.start;
        let mut end = start;
        let mut depth = 0usize;
        loop {
            let token = self.peek();
            match token.kind {
                TokenKind::End => break,
                TokenKind::Comma if depth == 0 => break,
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth = depth.checked_sub(1).ok_or_else(|| self.syntax_error())?,
                _ => {}
            }
            end = token.span.end;
            self.next();
        }
        if end == start { Err(self.syntax_error()) } else { Ok(Span { start, end }) }
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> Span {
        let start = self.peek().span.start;
        let mut end = start;
        while !self.at_end() {
            end = self.next().span.end;
        }
        Span { start, end }
    }

    /// MySQL's error 1064 at the next token.
    pub(super) fn syntax_error(&self) -> crate::error::Error {
        syntax_error(self.text, self.peek().span.start as usize)
    }
}
