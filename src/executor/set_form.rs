//! `INSERT … SET a = 1, …` as the INSERT with VALUES that it is another spelling of, where only that has a plan.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/insert.html>

use super::Executor;
use super::arguments::{Arguments, Placeholders};
use super::job::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{LexOptions, Lexed, Span, StatementKind, Token, TokenKind, Tokenizer, lex};

impl Executor {
    /// Runs the text that [`of_refused`] gave.
    pub(super) async fn run_values_form(&self, job: &mut Job<'_>, text: &[u8]) -> Result<()> {
        let mut lexed = Lexed::new();
        lex(text, 0, &job.session.settings.lex_options(), &mut lexed)?;
        let more_results = job.more_results;
        let mut inner = job.inner(text, &lexed);
        inner.more_results = more_results;
        Box::pin(self.planned(&mut inner)).await
    }
}

/// The other form of a statement with SET that was refused; `None` for other statements and other errors.
pub(super) fn of_refused(job: &Job<'_>, error: &Error) -> Option<Vec<u8>> {
    let is_insert = matches!(job.lexed.kind, StatementKind::Insert | StatementKind::Replace);
    if !is_insert || error.kind() != Some(ErrorKind::Unsupported) {
        return None;
    }
    let text = Arguments::new(job, Placeholders::Inline).inline().ok()?;
    values_form(&text, &job.session.settings.lex_options())
}

/// `INSERT INTO t (a, b) VALUES (1, 2) …` for `INSERT INTO t SET a = 1, b = 2 …`; `None` for other texts.
fn values_form(text: &[u8], options: &LexOptions) -> Option<Vec<u8>> {
    let mut tokenizer = Tokenizer::new(text, 0, options);
    let mut tokens: Vec<Token> = Vec::new();
    loop {
        let token = tokenizer.next_token().ok()?;
        if matches!(token.kind, TokenKind::End | TokenKind::Semicolon) {
            break;
        }
        tokens.push(token);
    }
    let is = |index: usize, word: &str| tokens.get(index).is_some_and(|token| token.is_word(text, word));
    let set = (1..tokens.len()).find(|index| is(*index, "set") || is_before_rows(&tokens[*index], text))?;
    // The word before is the table's name, which may be any word.
    if !is(set, "set") || !tokens[set - 1].kind.is_name() {
        return None;
    }
    let is_tail = |index: usize| {
        is(index, "as") || is(index, "on") && is(index + 1, "duplicate") || is(index, "returning")
    };
    let mut depth = 0_usize;
    let end = (set + 1..tokens.len()).find(|index| {
        match tokens[*index].kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && is_tail(*index)
    });
    let end = end.unwrap_or(tokens.len());
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for part in super::upsert::split_at_commas(&tokens[set + 1..end]) {
        let at = part.iter().position(|token| matches!(token.kind, TokenKind::Eq | TokenKind::Assign))?;
        let (name, value) = (part[..at].last()?, part.get(at + 1..)?);
        let value = Span { start: value.first()?.span.start, end: value.last()?.span.end };
        names.push(name.span.of(text));
        values.push(value.of(text));
    }
    let mut out = text[..tokens[set].span.range().start].to_vec();
    out.push(b'(');
    out.extend_from_slice(&names.join(&b", "[..]));
    out.extend_from_slice(b") values (");
    out.extend_from_slice(&values.join(&b", "[..]));
    out.push(b')');
    if let Some(tail) = tokens.get(end) {
        out.push(b' ');
        out.extend_from_slice(&text[tail.span.range().start..tokens.last()?.span.range().end]);
    }
    Some(out)
}

/// What stands where SET would stand.
fn is_before_rows(token: &Token, text: &[u8]) -> bool {
    token.kind == TokenKind::LParen
        || ["values", "value", "select", "with"].iter().any(|word| token.is_word(text, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_become_a_row() {
        let check = |text: &str, expected: Option<&str>| {
            let found = values_form(text.as_bytes(), &LexOptions::default());
            assert_eq!(found.map(|text| String::from_utf8(text).unwrap()).as_deref(), expected, "{text}");
        };
        check("insert into t set a = 1, t.b = f(2, 3)", Some("insert into t (a, b) values (1, f(2, 3))"));
        check(
            "replace k.t set `a` = default, b = -1 + (2)",
            Some("replace k.t (`a`, b) values (default, -1 + (2))"),
        );
        check(
            "insert ignore into t set a := 'x' on duplicate key update a = 2, b = values(b)",
            Some("insert ignore into t (a) values ('x') on duplicate key update a = 2, b = values(b)"),
        );
        check(
            "insert into t set a = 1 as new on duplicate key update a = new.a",
            Some("insert into t (a) values (1) as new on duplicate key update a = new.a"),
        );
        check("insert into t (a) values (1) on duplicate key update a = 2", None);
        check("insert into t values (1)", None);
        check("insert into t select 1", None);
        check("insert into t set a", None);
        check("insert into t set", None);
    }
}
