//! Tokens of SQL text, cut exactly as MySQL's and MariaDB's own lexers cut them.
//!
//! Works on bytes in the connection's character set, allocates nothing and decodes nothing: a token is a kind
//! and a span. Comments are skipped, except that `/*! … */` is code and `/*+ … */` is a [`TokenKind::Hint`].
//! Adjacent string literals and character set introducers are part of their literal's token.
//! <https://dev.mysql.com/doc/refman/9.0/en/language-structure.html>

use super::options::{LexOptions, SqlMode};

mod scan;
mod trivia;

use trivia::is_trivia_start;

/// A range of bytes of the text; texts are shorter than 4 GiB (`limits::COMMAND_BYTES_MAX`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The range from `start` to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: offset(start), end: offset(end) }
    }

    /// The bytes of `text` that the span covers; empty if it does not lie inside.
    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.range()).unwrap_or_default()
    }

    /// As a range of indexes.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Number of bytes.
    pub fn byte_count(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

/// Saturates: texts that long are refused before they are looked at.
pub(super) fn offset(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `&`
    Ampersand,
    /// `&&`
    AndAnd,
    /// `->`
    Arrow,
    /// `:=`
    Assign,
    /// `@` that begins no variable, as in `'u'@'h'`.
    At,
    /// `!`
    Bang,
    /// `b'01'` or `0b01`
    Bit,
    /// `^`
    Caret,
    /// String, hexadecimal or bit literal with a `_charset` introducer.
    CharsetString,
    /// `:`
    Colon,
    /// `,`
    Comma,
    /// `1.5`, `.5`, `1.`
    Decimal,
    /// `.`
    Dot,
    /// End of the text, or of its code when only blanks and comments follow.
    End,
    /// `=`
    Eq,
    /// `1e5`
    Float,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `x'1f'` or `0x1f`
    Hex,
    /// `/*+ … */`
    Hint,
    /// Digits.
    Integer,
    /// `{`
    LBrace,
    /// `[`, which only stored programs of other dialects use.
    LBracket,
    /// `->>`
    LongArrow,
    /// `(`
    LParen,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `-`
    Minus,
    /// `<>` or `!=`
    NotEq,
    /// `N'…'`
    NString,
    /// `\N`
    Null,
    /// `<=>`
    NullSafeEq,
    /// `%`
    Percent,
    /// `|`
    Pipe,
    /// `||`
    PipePipe,
    /// `?`
    Placeholder,
    /// `+`
    Plus,
    /// `` `name` ``, or `"name"` under `ANSI_QUOTES`.
    QuotedIdentifier,
    /// `}`
    RBrace,
    /// `]`
    RBracket,
    /// `)`
    RParen,
    /// `;`
    Semicolon,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `/`
    Slash,
    /// `*`
    Star,
    /// Quoted string, with the strings that follow it directly.
    String,
    /// `@@name`, `@@scope.name`
    SystemVariable,
    /// `~`
    Tilde,
    /// `@name`, `@'name'`
    UserVariable,
    /// Unquoted identifier or keyword.
    Word,
}

impl TokenKind {
    /// Is it a literal value (not a placeholder, variable or keyword)?
    pub fn is_literal(self) -> bool {
        matches!(
            self,
            Self::Bit
                | Self::CharsetString
                | Self::Decimal
                | Self::Float
                | Self::Hex
                | Self::Integer
                | Self::NString
                | Self::String
        )
    }

    /// May it be an identifier?
    pub fn is_name(self) -> bool {
        matches!(self, Self::QuotedIdentifier | Self::Word)
    }
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub span: Span,
}

impl Token {
    /// Is it the unquoted word `word` (ASCII, any case)?
    pub fn is_word(self, text: &[u8], word: &str) -> bool {
        self.kind == TokenKind::Word && self.span.of(text).eq_ignore_ascii_case(word.as_bytes())
    }
}

/// Text that cannot be cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexError {
    /// Where the broken token begins.
    pub offset: u32,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads tokens from a text. Cheap to copy, which is how callers look ahead.
#[derive(Clone, Copy, Debug)]
pub struct Tokenizer<'a> {
    text: &'a [u8],
    position: usize,
    options: &'a LexOptions,
    in_versioned_comment: bool,
    /// Names that follow `.` may begin with digits.
    after_dot: bool,
    /// `.5` behind a name is a qualifier's dot, not a number.
    name_end: usize,
    saw_versioned_comment: bool,
    directive: Option<Span>,
}

impl<'a> Tokenizer<'a> {
    /// Starts at byte `from` of `text`.
    pub fn new(text: &'a [u8], from: usize, options: &'a LexOptions) -> Self {
        Self {
            text,
            position: from.min(text.len()),
            options,
            in_versioned_comment: false,
            after_dot: false,
            name_end: usize::MAX,
            saw_versioned_comment: false,
            directive: None,
        }
    }

    /// The whole text that is being read.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Offset behind the last token.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Content of the first `/*vt+ … */` comment passed so far, without the delimiters.
    pub fn directive(&self) -> Option<Span> {
        self.directive
    }

    /// Was there a `/*! … */` comment so far?
    pub fn saw_versioned_comment(&self) -> bool {
        self.saw_versioned_comment
    }

    /// The next token; [`TokenKind::End`] again and again at the end.
    #[inline]
    pub fn next_token(&mut self) -> Result<Token, LexError> {
        if self.byte(self.position) == b' ' {
            self.position += 1;
        }
        if is_trivia_start(self.byte(self.position)) {
            self.skip_trivia()?;
        }
        let start = self.position;
        let after_dot = std::mem::replace(&mut self.after_dot, false);
        let kind = self.scan(start, after_dot)?;
        debug_assert!(self.position <= self.text.len());
        Ok(Token { kind, span: Span::new(start, self.position) })
    }

    /// The token after this one, without reading it.
    pub fn peek(&self) -> Result<Token, LexError> {
        let mut ahead = *self;
        ahead.next_token()
    }

    #[inline]
    fn byte(&self, index: usize) -> u8 {
        // NUL stands for the end: NUL in text is refused where it matters.
        self.text.get(index).copied().unwrap_or(0)
    }

    fn fail<T>(&self, start: usize, what: &'static str) -> Result<T, LexError> {
        Err(LexError { offset: offset(start), what })
    }

    fn has(&self, mode: SqlMode) -> bool {
        self.options.mode.contains(mode)
    }
}

#[cfg(test)]
mod tests;
