//! User variables in a statement: those behind `INTO`, those that are assigned, those that are read.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/select-into.html>

use crate::sql::ident::name_of;
use crate::sql::options::LexOptions;
use crate::sql::token::{Span, Token, TokenKind, Tokenizer};

/// `INTO @a, @b` of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntoVariables {
    /// From `INTO` to behind the last variable.
    pub span: Span,
    /// Their names, in lower case.
    pub names: Vec<String>,
}

/// The variables that the query's row goes into; `None` without any, or when it goes into a file.
pub fn parse_into(text: &[u8], options: &LexOptions) -> Option<IntoVariables> {
    let mut tokens = Tokenizer::new(text, 0, options);
    let mut depth = 0_usize;
    let mut previous = TokenKind::End;
    loop {
        let token = tokens.next_token().ok()?;
        match token.kind {
            TokenKind::End | TokenKind::Semicolon => return None,
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            _ if depth == 0 && previous != TokenKind::Dot && token.is_word(text, "into") => {
                return variables_behind(text, token, tokens);
            }
            _ => {}
        }
        previous = token.kind;
    }
}

fn variables_behind(text: &[u8], into: Token, mut tokens: Tokenizer<'_>) -> Option<IntoVariables> {
    let mut names = Vec::new();
    loop {
        let token = tokens.next_token().ok()?;
        if token.kind != TokenKind::UserVariable {
            return None;
        }
        names.push(name_of_variable(token.span.of(text)));
        let span = Span { start: into.span.start, end: token.span.end };
        if tokens.peek().ok()?.kind != TokenKind::Comma {
            return Some(IntoVariables { span, names });
        }
        tokens.next_token().ok()?;
    }
}

/// The names of all variables in a text, each once, in lower case.
pub fn user_variables(text: &[u8], options: &LexOptions) -> Vec<String> {
    let mut tokens = Tokenizer::new(text, 0, options);
    let mut names: Vec<String> = Vec::new();
    while let Ok(token) = tokens.next_token() {
        match token.kind {
            TokenKind::End => break,
            TokenKind::UserVariable => {
                let name = name_of_variable(token.span.of(text));
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            _ => {}
        }
    }
    names
}

/// The name in `@name`, in lower case; quotes of all three kinds are taken off.
fn name_of_variable(source: &[u8]) -> String {
    let name = source.get(1..).unwrap_or_default();
    match name {
        [b'\'', inner @ .., b'\''] => String::from_utf8_lossy(inner).to_lowercase(),
        _ => name_of(name).to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_into_of_a_query_is_found_outside_of_parentheses() {
        let check = |text: &str, expected: Option<(&str, &[&str])>| {
            let found = parse_into(text.as_bytes(), &LexOptions::default());
            let found = found.map(|into| {
                (String::from_utf8_lossy(into.span.of(text.as_bytes())).into_owned(), into.names)
            });
            let expected = expected.map(|(span, names)| {
                (span.to_owned(), names.iter().map(|name| (*name).to_owned()).collect())
            });
            assert_eq!(found, expected, "{text}");
        };
        check("select a, b from t into @x, @Y", Some(("into @x, @Y", &["x", "y"])));
        check("select a into @`x y` from t", Some(("into @`x y`", &["x y"])));
        check("select a into @'q' from t for update", Some(("into @'q'", &["q"])));
        check("select (select 1 into @x)", None);
        check("select a from t.`into`", None);
        check("select a into outfile '/x' from t", None);
        check("select a into x from t", None);
        check("select a", None);
    }

    #[test]
    fn variables_are_listed_once() {
        let names = user_variables(b"select @a := @A + @`b`, '@c', @@d", &LexOptions::default());
        assert_eq!(names, ["a", "b"]);
    }
}
