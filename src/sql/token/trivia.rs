//! Blanks and comments between tokens.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/comments.html>

use super::{LexError, Span, Tokenizer};

/// Might `byte` begin something to be skipped? (The end may be that of a comment, which is looked at too.)
#[inline]
pub(super) fn is_trivia_start(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | b'-' | b'#' | b'/' | b'*' | 0)
}

impl Tokenizer<'_> {
    /// Moves to the next byte of code, or to the end.
    pub(super) fn skip_trivia(&mut self) -> Result<(), LexError> {
        loop {
            match self.byte(self.position) {
                b' ' | b'\t'..=b'\r' => self.position += 1,
                b'-' if self.byte(self.position + 1) == b'-' && self.is_dash_comment() => self.skip_line(),
                b'#' => self.skip_line(),
                b'/' if self.byte(self.position + 1) == b'*' => {
                    if self.byte(self.position + 2) == b'+' {
                        return Ok(());
                    }
                    self.skip_block_comment()?;
                }
                b'*' if self.in_versioned_comment && self.byte(self.position + 1) == b'/' => {
                    self.position += 2;
                    self.in_versioned_comment = false;
                }
                0 if self.position == self.text.len() && self.in_versioned_comment => {
                    return self.fail(self.position, "unclosed comment");
                }
                _ => return Ok(()),
            }
        }
    }

    /// `--` begins a comment only before a blank, a control character or the end.
    fn is_dash_comment(&self) -> bool {
        self.text.get(self.position + 2).is_none_or(|byte| *byte == b' ' || byte.is_ascii_control())
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.position..];
        self.position += rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |index| index + 1);
    }

    #[cold]
    fn skip_block_comment(&mut self) -> Result<(), LexError> {
        let start = self.position;
        let is_mariadb = self.byte(start + 2) == b'M' && self.byte(start + 3) == b'!';
        if !is_mariadb && self.byte(start + 2) != b'!' {
            let end = self.comment_end(start + 2).ok_or_else(|| unclosed(start))?;
            self.note_directive(start + 2, end);
            self.position = end + 2;
            return Ok(());
        }
        self.saw_versioned_comment = true;
        let digits = start + if is_mariadb { 4 } else { 3 };
        let (version, code) = self.comment_version(digits);
        if self.options.comment_version.includes(version, is_mariadb) && !self.in_versioned_comment {
            self.in_versioned_comment = true;
            self.position = code;
            return Ok(());
        }
        self.position = self.nested_comment_end(code).ok_or_else(|| unclosed(start))?;
        Ok(())
    }

    /// The five or six digits at `index`, and where the code behind them begins.
    fn comment_version(&self, index: usize) -> (Option<u32>, usize) {
        let count = (0..6).take_while(|step| self.byte(index + step).is_ascii_digit()).count();
        if count < 5 {
            return (None, index);
        }
        let number =
            self.text[index..index + count].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        (Some(number), index + count)
    }

    /// Offset of the `*/` at or behind `from`.
    fn comment_end(&self, from: usize) -> Option<usize> {
        let rest = self.text.get(from..)?;
        rest.windows(2).position(|pair| pair == b"*/").map(|index| from + index)
    }

    /// A left-out versioned comment may hold ordinary comments; the offset behind its own `*/`.
    fn nested_comment_end(&self, from: usize) -> Option<usize> {
        let mut index = from;
        loop {
            let pair = self.text.get(index..index + 2)?;
            if pair == b"*/" {
                return Some(index + 2);
            }
            index = if pair == b"/*" { self.comment_end(index + 2)? + 2 } else { index + 1 };
        }
    }

    fn note_directive(&mut self, start: usize, end: usize) {
        let content = &self.text[start..end];
        if self.directive.is_none() && content.len() >= 3 && content[..3].eq_ignore_ascii_case(b"vt+") {
            self.directive = Some(Span::new(start + 3, end));
        }
    }
}

fn unclosed(start: usize) -> LexError {
    LexError { offset: super::offset(start), what: "unclosed comment" }
}
