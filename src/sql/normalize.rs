//! A statement's text with its arguments replaced by names, for people: plans, logs, statistics.

use super::lex::{ArgKind, Lexed};

/// The text with each argument as `:vN`, each list as `(:lN)`, comments and superfluous blanks left out.
/// `N` counts [`Lexed::args`] from one.
pub fn normalized_text(text: &[u8], lexed: &Lexed) -> String {
    let mut out = Vec::with_capacity(lexed.span.byte_count());
    let mut from = lexed.span.start as usize;
    for (index, arg) in lexed.args.iter().enumerate() {
        copy_code(text.get(from..arg.span.start as usize).unwrap_or_default(), &mut out);
        let letter = if matches!(arg.kind, ArgKind::List { .. }) { 'l' } else { 'v' };
        out.extend_from_slice(format!(":{letter}{}", index + 1).as_bytes());
        from = arg.span.end as usize;
    }
    copy_code(text.get(from..lexed.span.end as usize).unwrap_or_default(), &mut out);
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

/// Copies code; runs of blanks and comments become one space. Quoted parts stay as they are.
fn copy_code(code: &[u8], out: &mut Vec<u8>) {
    let mut index = 0;
    while index < code.len() {
        let rest = &code[index..];
        let skipped = blank_bytes(rest);
        if skipped > 0 {
            if !out.is_empty() && out.last() != Some(&b' ') {
                out.push(b' ');
            }
            index += skipped;
            continue;
        }
        let count = match rest[0] {
            quote @ (b'\'' | b'"' | b'`') => quoted_bytes(rest, quote),
            _ => 1,
        };
        out.extend_from_slice(&rest[..count]);
        index += count;
    }
}

/// Length of the blank or comment at the start of `code`, zero if there is none. Hints are no comments.
fn blank_bytes(code: &[u8]) -> usize {
    let until = |end: &[u8], from: usize| {
        let rest = code.get(from..).unwrap_or_default();
        let at = rest.windows(end.len()).position(|window| window == end);
        at.map_or(code.len(), |at| from + at + end.len())
    };
    match code {
        [b'/', b'*', b'+' | b'!', ..] => 0,
        [b'/', b'*', ..] => until(b"*/", 2),
        [b'#', ..] => until(b"\n", 1),
        [b'-', b'-', blank, ..] if blank.is_ascii_whitespace() => until(b"\n", 2),
        [blank, ..] if blank.is_ascii_whitespace() => 1,
        _ => 0,
    }
}

fn quoted_bytes(code: &[u8], quote: u8) -> usize {
    let mut index = 1;
    while let Some(&byte) = code.get(index) {
        index += 1;
        if byte == quote {
            break;
        }
        if byte == b'\\' && quote != b'`' {
            index += 1;
        }
    }
    index.min(code.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexOptions, lex};

    #[test]
    fn arguments_become_names() {
        let check = |text: &str, expected: &str| {
            let mut lexed = Lexed::new();
            lex(text.as_bytes(), 0, &LexOptions::default(), &mut lexed).unwrap();
            assert_eq!(normalized_text(text.as_bytes(), &lexed), expected);
        };
        check("select c from t where id=5", "select c from t where id=:v1");
        check(
            "select 1 from t /* x */ where a in (1, 2)  and b='x'",
            "select 1 from t where a in (:l1) and b=:v2",
        );
        check("  insert into t values (1, 'a''b', ?);", "insert into t values (:v1, :v2, :v3)");
        check("select 'a  b' -- end", "select 'a  b'");
    }
}
