//! Where the definition of a stored program ends: a `;` inside of `BEGIN … END` and its relatives is part of it.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/sql-compound-statements.html>

use super::token::TokenKind;

/// Counts open blocks, word by word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockDepth {
    depth: u32,
    last: Last,
}

/// What the previous word was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    /// `END`, which `IF`, `LOOP`, … may follow without opening anything.
    End,
    #[default]
    Other,
    /// A word that a statement follows.
    Starter,
}

impl BlockDepth {
    /// Does a `;` here end the definition?
    pub(super) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    /// Takes the next word; `previous` is the token before it.
    pub(super) fn word(&mut self, word: &[u8], previous: TokenKind) {
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        let is_closing = self.last == Last::End && previous == TokenKind::Word;
        let is_first = matches!(previous, TokenKind::Semicolon | TokenKind::Colon)
            || (previous == TokenKind::RParen && self.depth == 0)
            || (self.last == Last::Starter && previous == TokenKind::Word);
        self.last = Last::Other;
        if is("END") {
            self.depth = self.depth.saturating_sub(1);
            self.last = Last::End;
        } else if is("BEGIN") {
            self.depth += 1;
            self.last = Last::Starter;
        } else if is("CASE") || is("LOOP") {
            self.depth += u32::from(!is_closing);
            self.last = if is("LOOP") { Last::Starter } else { Last::Other };
        } else if is("IF") || is("WHILE") || is("REPEAT") || is("FOR") {
            self.depth += u32::from(is_first && !is_closing);
            self.last = if is("REPEAT") { Last::Starter } else { Last::Other };
        } else if is("THEN") || is("ELSE") || is("DO") || is("ROW") {
            self.last = Last::Starter;
        }
    }
}
