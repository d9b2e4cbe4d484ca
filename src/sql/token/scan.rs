//! Scanning one token; the rules are those of MySQL's `sql_lex.cc`, seen from outside.

use super::{LexError, SqlMode, TokenKind, Tokenizer};
use crate::sql::charset::is_charset_name;
use crate::sql::options::Multibyte;

impl Tokenizer<'_> {
    /// Scans the token at `start`, which is no blank and no comment.
    #[inline]
    pub(super) fn scan(&mut self, start: usize, after_dot: bool) -> Result<TokenKind, LexError> {
        let byte = self.byte(start);
        let begins_word = match byte {
            // Letters that begin nothing but words.
            b'a'
            | b'c'..=b'm'
            | b'o'..=b'w'
            | b'y'..=b'z'
            | b'A'
            | b'C'..=b'M'
            | b'O'..=b'W'
            | b'Y'..=b'Z' => true,
            _ => after_dot && is_identifier_byte(byte),
        };
        if begins_word { Ok(self.scan_word(start)) } else { self.scan_other(start, byte) }
    }

    fn scan_other(&mut self, start: usize, byte: u8) -> Result<TokenKind, LexError> {
        match byte {
            b'0'..=b'9' => Ok(self.scan_number_or_name(start)),
            b'n' | b'N' if self.byte(start + 1) == b'\'' => {
                self.scan_string(start, start + 1)?;
                Ok(TokenKind::NString)
            }
            b'x' | b'X' if self.byte(start + 1) == b'\'' => {
                self.scan_digits_literal(start, |byte| byte.is_ascii_hexdigit(), 2)?;
                Ok(TokenKind::Hex)
            }
            b'b' | b'B' if self.byte(start + 1) == b'\'' => {
                self.scan_digits_literal(start, |byte| matches!(byte, b'0' | b'1'), 1)?;
                Ok(TokenKind::Bit)
            }
            b'_' => self.scan_underscore(start),
            b'n' | b'N' | b'x' | b'X' | b'b' | b'B' | b'$' | 0x80..=0xFF => Ok(self.scan_word(start)),
            b'\'' => {
                self.scan_string(start, start)?;
                Ok(TokenKind::String)
            }
            b'"' if !self.has(SqlMode::ANSI_QUOTES) => {
                self.scan_string(start, start)?;
                Ok(TokenKind::String)
            }
            b'`' | b'"' => {
                self.position = self.quoted_name_end(start)?;
                self.name_end = self.position;
                Ok(TokenKind::QuotedIdentifier)
            }
            b'.' => Ok(self.scan_dot(start)),
            b'@' => self.scan_variable(start),
            b'/' if self.byte(start + 1) == b'*' => self.scan_hint(start),
            0 if start == self.text.len() => Ok(TokenKind::End),
            _ => self.scan_operator(start, byte),
        }
    }

    #[inline]
    fn scan_word(&mut self, start: usize) -> TokenKind {
        self.position = self.word_end(start);
        self.name_end = self.position;
        TokenKind::Word
    }

    #[inline]
    fn word_end(&self, start: usize) -> usize {
        if self.options.multibyte == Multibyte::Safe {
            let rest = self.text.get(start..).unwrap_or_default();
            let count = rest.iter().position(|byte| !is_identifier_byte(*byte)).unwrap_or(rest.len());
            return start.min(self.text.len()) + count;
        }
        self.multibyte_word_end(start)
    }

    fn multibyte_word_end(&self, start: usize) -> usize {
        let mut index = start;
        while let Some(&byte) = self.text.get(index) {
            if !is_identifier_byte(byte) {
                break;
            }
            let is_pair = byte >= 0x80 && self.options.multibyte.is_pair(byte, self.byte(index + 1));
            index += 1 + usize::from(is_pair);
        }
        index.min(self.text.len())
    }

    /// Digits, then perhaps a fraction, an exponent, or letters that make it a name (`1a`).
    fn scan_number_or_name(&mut self, start: usize) -> TokenKind {
        if self.byte(start) == b'0' {
            let (is_digit, kind): (fn(u8) -> bool, _) = match self.byte(start + 1) {
                b'x' => (|byte| byte.is_ascii_hexdigit(), TokenKind::Hex),
                b'b' => (|byte| matches!(byte, b'0' | b'1'), TokenKind::Bit),
                _ => (|_| false, TokenKind::Integer),
            };
            let end = self.run_end(start + 2, is_digit);
            if kind != TokenKind::Integer && end > start + 2 && !is_identifier_byte(self.byte(end)) {
                self.position = end;
                return kind;
            }
        }
        let digits_end = self.run_end(start, |byte| byte.is_ascii_digit());
        let next = self.byte(digits_end);
        if matches!(next, b'e' | b'E')
            && let Some(end) = self.exponent_end(digits_end)
        {
            self.position = end;
            return TokenKind::Float;
        }
        if is_identifier_byte(next) {
            return self.scan_word(start);
        }
        self.position = digits_end;
        if next == b'.' { self.scan_fraction(digits_end) } else { TokenKind::Integer }
    }

    /// The part of a number from its point on.
    fn scan_fraction(&mut self, point: usize) -> TokenKind {
        self.position = self.run_end(point + 1, |byte| byte.is_ascii_digit());
        if matches!(self.byte(self.position), b'e' | b'E')
            && let Some(end) = self.exponent_end(self.position)
        {
            self.position = end;
            return TokenKind::Float;
        }
        TokenKind::Decimal
    }

    /// The end of an exponent whose `e` is at `index`; `None` if no digits follow.
    fn exponent_end(&self, index: usize) -> Option<usize> {
        let digits = index + 1 + usize::from(matches!(self.byte(index + 1), b'+' | b'-'));
        let end = self.run_end(digits, |byte| byte.is_ascii_digit());
        (end > digits).then_some(end)
    }

    fn run_end(&self, from: usize, accepts: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        from.min(self.text.len()) + rest.iter().take_while(|byte| accepts(**byte)).count()
    }

    /// A point directly behind a name qualifies; otherwise it may begin a number.
    fn scan_dot(&mut self, start: usize) -> TokenKind {
        self.position = start + 1;
        if self.name_end != start && self.byte(start + 1).is_ascii_digit() {
            return self.scan_fraction(start);
        }
        self.after_dot = true;
        TokenKind::Dot
    }

    /// A word with `_`, which before a literal may name its character set.
    fn scan_underscore(&mut self, start: usize) -> Result<TokenKind, LexError> {
        self.scan_word(start);
        if !is_charset_name(&self.text[start + 1..self.position]) {
            return Ok(TokenKind::Word);
        }
        let mut ahead = *self;
        ahead.name_end = usize::MAX;
        ahead.skip_trivia()?;
        let at = ahead.position;
        let is_literal_start = match self.byte(at) {
            b'\'' => true,
            b'"' => !self.has(SqlMode::ANSI_QUOTES),
            b'x' | b'X' | b'b' | b'B' => self.byte(at + 1) == b'\'',
            b'0' => matches!(self.byte(at + 1), b'x' | b'b'),
            _ => false,
        };
        if !is_literal_start {
            return Ok(TokenKind::Word);
        }
        let kind = ahead.scan(at, false)?;
        if !matches!(kind, TokenKind::String | TokenKind::Hex | TokenKind::Bit) {
            return Ok(TokenKind::Word);
        }
        *self = ahead;
        Ok(TokenKind::CharsetString)
    }

    /// A string whose quote is at `quote`, and the strings that follow it with only blanks between.
    #[inline]
    fn scan_string(&mut self, start: usize, quote: usize) -> Result<(), LexError> {
        self.position = self.quoted_end(quote).ok_or(unterminated(start))?;
        loop {
            // Most strings are followed by `)`, `,` or the end: look before copying the tokenizer.
            match self.byte(self.position) {
                b' ' | b'\t'..=b'\r' | b'/' | b'#' | b'-' | b'*' | b'\'' | b'"' => {}
                _ => return Ok(()),
            }
            let mut ahead = *self;
            ahead.skip_trivia()?;
            let next = self.byte(ahead.position);
            if next != b'\'' && (next != b'"' || self.has(SqlMode::ANSI_QUOTES)) {
                return Ok(());
            }
            ahead.position = ahead.quoted_end(ahead.position).ok_or(unterminated(ahead.position))?;
            *self = ahead;
        }
    }

    /// The end of a string whose quote is at `open`: quotes are doubled or escaped inside.
    fn quoted_end(&self, open: usize) -> Option<usize> {
        let quote = self.byte(open);
        let has_escapes = !self.has(SqlMode::NO_BACKSLASH_ESCAPES);
        let multibyte = self.options.multibyte;
        let mut index = open + 1;
        loop {
            let byte = *self.text.get(index)?;
            if byte == quote {
                if self.text.get(index + 1) != Some(&quote) {
                    return Some(index + 1);
                }
                index += 2;
            } else if (byte == b'\\' && has_escapes)
                || (byte >= 0x80 && multibyte.is_pair(byte, self.byte(index + 1)))
            {
                index += 2;
            } else {
                index += 1;
            }
        }
    }

    /// The end of a quoted name, in which only the quote itself is special.
    fn quoted_name_end(&self, open: usize) -> Result<usize, LexError> {
        let quote = self.byte(open);
        let mut index = open + 1;
        while let Some(&byte) = self.text.get(index) {
            if byte == quote {
                if self.text.get(index + 1) != Some(&quote) {
                    return Ok(index + 1);
                }
                index += 1;
            } else if byte == 0 {
                return self.fail(open, "NUL byte in a quoted name");
            } else if byte >= 0x80 && self.options.multibyte.is_pair(byte, self.byte(index + 1)) {
                index += 1;
            }
            index += 1;
        }
        Err(unterminated(open))
    }

    /// `x'…'` or `b'…'` with `multiple` digits to a group.
    fn scan_digits_literal(
        &mut self,
        start: usize,
        is_digit: impl Fn(u8) -> bool,
        multiple: usize,
    ) -> Result<(), LexError> {
        let end = self.run_end(start + 2, is_digit);
        if self.byte(end) != b'\'' || !(end - start - 2).is_multiple_of(multiple) {
            return self.fail(start, "malformed hexadecimal or bit literal");
        }
        self.position = end + 1;
        Ok(())
    }

    /// `@name`, `@'name'`, `@@scope.name`, or a lone `@`.
    fn scan_variable(&mut self, start: usize) -> Result<TokenKind, LexError> {
        if self.byte(start + 1) == b'@' {
            let mut end = self.variable_name_end(start + 2)?;
            while end > start + 2 && self.byte(end) == b'.' {
                let next = self.variable_name_end(end + 1)?;
                if next == end + 1 {
                    break;
                }
                end = next;
            }
            if end == start + 2 {
                return self.fail(start, "a system variable has no name");
            }
            self.position = end;
            return Ok(TokenKind::SystemVariable);
        }
        let first = self.byte(start + 1);
        if matches!(first, b'\'' | b'"' | b'`') {
            let end = if first == b'`' || (first == b'"' && self.has(SqlMode::ANSI_QUOTES)) {
                self.quoted_name_end(start + 1)?
            } else {
                self.quoted_end(start + 1).ok_or(unterminated(start + 1))?
            };
            self.position = end;
            return Ok(TokenKind::UserVariable);
        }
        let end = self.user_variable_end(start + 1);
        self.position = end;
        Ok(if end == start + 1 { TokenKind::At } else { TokenKind::UserVariable })
    }

    fn variable_name_end(&self, start: usize) -> Result<usize, LexError> {
        if self.byte(start) == b'`' { self.quoted_name_end(start) } else { Ok(self.word_end(start)) }
    }

    /// Names of user variables may hold points.
    fn user_variable_end(&self, start: usize) -> usize {
        let mut end = self.word_end(start);
        while self.byte(end) == b'.' {
            end = self.word_end(end + 1);
        }
        end
    }

    fn scan_hint(&mut self, start: usize) -> Result<TokenKind, LexError> {
        let rest = self.text.get(start + 3..).unwrap_or_default();
        match rest.windows(2).position(|pair| pair == b"*/") {
            Some(index) => {
                self.position = start + 3 + index + 2;
                Ok(TokenKind::Hint)
            }
            None => self.fail(start, "unclosed comment"),
        }
    }

    #[inline]
    fn scan_operator(&mut self, start: usize, byte: u8) -> Result<TokenKind, LexError> {
        use TokenKind as Kind;
        let next = self.byte(start + 1);
        let (kind, count) = match (byte, next) {
            (b'(', _) => (Kind::LParen, 1),
            (b')', _) => (Kind::RParen, 1),
            (b',', _) => (Kind::Comma, 1),
            (b'=', _) => (Kind::Eq, 1),
            (b'*', _) => (Kind::Star, 1),
            (b';', _) => (Kind::Semicolon, 1),
            (b'?', _) => (Kind::Placeholder, 1),
            (b'+', _) => (Kind::Plus, 1),
            (b'-', b'>') if self.byte(start + 2) == b'>' => (Kind::LongArrow, 3),
            (b'-', b'>') => (Kind::Arrow, 2),
            (b'-', _) => (Kind::Minus, 1),
            (b'/', _) => (Kind::Slash, 1),
            (b'%', _) => (Kind::Percent, 1),
            (b'<', b'=') if self.byte(start + 2) == b'>' => (Kind::NullSafeEq, 3),
            (b'<', b'=') => (Kind::LtEq, 2),
            (b'<', b'>') => (Kind::NotEq, 2),
            (b'<', b'<') => (Kind::ShiftLeft, 2),
            (b'<', _) => (Kind::Lt, 1),
            (b'>', b'=') => (Kind::GtEq, 2),
            (b'>', b'>') => (Kind::ShiftRight, 2),
            (b'>', _) => (Kind::Gt, 1),
            (b'!', b'=') => (Kind::NotEq, 2),
            (b'!', _) => (Kind::Bang, 1),
            (b'&', b'&') => (Kind::AndAnd, 2),
            (b'&', _) => (Kind::Ampersand, 1),
            (b'|', b'|') => (Kind::PipePipe, 2),
            (b'|', _) => (Kind::Pipe, 1),
            (b'^', _) => (Kind::Caret, 1),
            (b'~', _) => (Kind::Tilde, 1),
            (b':', b'=') => (Kind::Assign, 2),
            (b':', _) => (Kind::Colon, 1),
            (b'{', _) => (Kind::LBrace, 1),
            (b'}', _) => (Kind::RBrace, 1),
            (b'[', _) => (Kind::LBracket, 1),
            (b']', _) => (Kind::RBracket, 1),
            (b'\\', b'N') => (Kind::Null, 2),
            _ => return self.fail(start, "unexpected character"),
        };
        self.position = start + count;
        Ok(kind)
    }
}

#[inline]
fn is_identifier_byte(byte: u8) -> bool {
    IDENTIFIER_BYTES[usize::from(byte)]
}

/// One look instead of five comparisons: most bytes of a statement are asked about.
const IDENTIFIER_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..=0xFF);
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

fn unterminated(start: usize) -> LexError {
    LexError { offset: super::offset(start), what: "unterminated quote" }
}
