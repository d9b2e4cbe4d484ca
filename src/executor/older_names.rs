//! Names of system variables that drivers of MySQL 8 ask for, as older MariaDB servers know them: the router's version
//! says MySQL unless it is configured otherwise, and `@@transaction_isolation` is what such drivers begin with.

use crate::backend::{Engine, ServerVersion};
use crate::sql::splice::splice_all;
use crate::sql::{LexOptions, Span, Token, TokenKind, Tokenizer};

/// New names and old ones; MariaDB has the new ones from 11.1 on.
const NAMES: [(&str, &str); 2] =
    [("transaction_isolation", "tx_isolation"), ("transaction_read_only", "tx_read_only")];

/// The name of a system variable as the server knows it.
pub(super) fn variable<'n>(name: &'n str, version: &ServerVersion) -> &'n str {
    if knows_new_names(version) {
        return name;
    }
    NAMES.iter().find(|(new, _)| *new == name).map_or(name, |(_, old)| *old)
}

/// The text with names that the server knows; `None` if it knows all.
pub(super) fn of(text: &[u8], options: &LexOptions, version: &ServerVersion) -> Option<Vec<u8>> {
    if knows_new_names(version) {
        return None;
    }
    let mut tokenizer = Tokenizer::new(text, 0, options);
    let tokens: Vec<Token> =
        std::iter::from_fn(|| tokenizer.next_token().ok().filter(|token| token.kind != TokenKind::End))
            .collect();
    let mut edits: Vec<(Span, Vec<u8>)> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.kind != TokenKind::SystemVariable {
            continue;
        }
        let source = String::from_utf8_lossy(token.span.of(text)).to_ascii_lowercase();
        let start = source.rfind(['@', '.']).map_or(0, |at| at + 1);
        let (scope, name) = source.split_at(start);
        if let Some((_, old)) = NAMES.iter().find(|(new, _)| *new == name) {
            let mut replacement = format!("{scope}{old}").into_bytes();
            if is_column(text, &tokens, index) {
                // It would be named as it is written.
                replacement.extend_from_slice(b" as `");
                replacement.extend_from_slice(token.span.of(text));
                replacement.push(b'`');
            }
            edits.push((token.span, replacement));
        }
    }
    if edits.is_empty() {
        return None;
    }
    let edits: Vec<(Span, &[u8])> = edits.iter().map(|(span, text)| (*span, text.as_slice())).collect();
    Some(splice_all(text, &edits))
}

/// Is the token a whole column of a select list, without an alias?
fn is_column(text: &[u8], tokens: &[Token], index: usize) -> bool {
    let is_word = |token: &Token, word| token.is_word(text, word);
    let before = index.checked_sub(1).and_then(|index| tokens.get(index));
    let begins = before.is_some_and(|token| token.kind == TokenKind::Comma || is_word(token, "select"));
    let behind = tokens.get(index + 1);
    let ends = behind.is_none_or(|token| {
        matches!(token.kind, TokenKind::Comma | TokenKind::Semicolon)
            || ["from", "limit"].iter().any(|word| is_word(token, word))
    });
    begins && ends
}

fn knows_new_names(version: &ServerVersion) -> bool {
    version.engine != Engine::MariaDb || version.is_at_least(11, 1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_mariadb_servers_need_older_names() {
        let check = |version: &str, text: &str, expected: Option<&str>| {
            let found =
                of(text.as_bytes(), &LexOptions::default(), &ServerVersion::parse(version.as_bytes()));
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text} at {version}");
        };
        let new = "select @@session.Transaction_Isolation as i, @@transaction_read_only, 'x', @@wait_timeout";
        let old = "select @@session.tx_isolation as i, @@tx_read_only as `@@transaction_read_only`, 'x', @@wait_timeout";
        check("5.5.5-10.11.6-MariaDB", new, Some(old));
        let older = ServerVersion::parse(b"5.5.5-10.11.6-MariaDB");
        assert_eq!(variable("transaction_isolation", &older), "tx_isolation");
        assert_eq!(variable("sql_mode", &older), "sql_mode");
        assert_eq!(
            variable("transaction_isolation", &ServerVersion::parse(b"8.4.0")),
            "transaction_isolation"
        );
        check("11.4.2-MariaDB", new, None);
        check("8.4.0", new, None);
        check("5.5.5-10.11.6-MariaDB", "select @@version, '@@transaction_isolation'", None);
    }
}
