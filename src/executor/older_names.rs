//! Names of system variables that drivers of MySQL 8 ask for, as older MariaDB servers know them: the router's version
//! says MySQL unless it is configured otherwise, and `@@transaction_isolation` is what such drivers begin with.

use crate::backend::{Engine, ServerVersion};
use crate::sql::splice::splice_all;
use crate::sql::{LexOptions, Span, TokenKind, Tokenizer};

/// New names and old ones; MariaDB has the new ones from 11.1 on.
const NAMES: [(&str, &str); 2] =
    [("transaction_isolation", "tx_isolation"), ("transaction_read_only", "tx_read_only")];

/// The text with names that the server knows; `None` if it knows all.
pub(super) fn of(text: &[u8], options: &LexOptions, version: &ServerVersion) -> Option<Vec<u8>> {
    if version.engine != Engine::MariaDb || version.is_at_least(11, 1, 1) {
        return None;
    }
    let mut tokens = Tokenizer::new(text, 0, options);
    let mut edits: Vec<(Span, Vec<u8>)> = Vec::new();
    while let Ok(token) = tokens.next_token() {
        if token.kind == TokenKind::End {
            break;
        }
        if token.kind != TokenKind::SystemVariable {
            continue;
        }
        let source = String::from_utf8_lossy(token.span.of(text)).to_ascii_lowercase();
        let start = source.rfind(['@', '.']).map_or(0, |at| at + 1);
        let (scope, name) = source.split_at(start);
        if let Some((_, old)) = NAMES.iter().find(|(new, _)| *new == name) {
            edits.push((token.span, format!("{scope}{old}").into_bytes()));
        }
    }
    if edits.is_empty() {
        return None;
    }
    let edits: Vec<(Span, &[u8])> = edits.iter().map(|(span, text)| (*span, text.as_slice())).collect();
    Some(splice_all(text, &edits))
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
        let old = "select @@session.tx_isolation as i, @@tx_read_only, 'x', @@wait_timeout";
        check("5.5.5-10.11.6-MariaDB", new, Some(old));
        check("11.4.2-MariaDB", new, None);
        check("8.4.0", new, None);
        check("5.5.5-10.11.6-MariaDB", "select @@version, '@@transaction_isolation'", None);
    }
}
