//! Turns literals of a statement into parameters, so that every script also tests prepared statements.
//!
//! Literals of a select list, GROUP BY, ORDER BY and type definitions stay: there a parameter means something
//! else. It is a tokenizer of the test scripts' SQL, not of all SQL.

use crate::client::Param;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(String),
    Text(Vec<u8>),
    Symbol(char),
}

struct Piece {
    token: Token,
    start: usize,
    end: usize,
}

/// The statement with `?` for its literals, and their values.
pub fn extract(sql: &str) -> (String, Vec<Param>) {
    let pieces = tokens(sql);
    let unchanged = || (sql.to_owned(), Vec::new());
    let Some(Token::Word(first)) =
        pieces.iter().map(|piece| &piece.token).find(|token| **token != Token::Symbol('('))
    else {
        return unchanged();
    };
    if !["select", "insert", "update", "delete", "replace", "with", "values"].contains(&first.as_str()) {
        return unchanged();
    }
    let mut out = String::new();
    let mut params = Vec::new();
    let mut copied = 0;
    // One entry per parenthesis: whether literals may be replaced there.
    let mut open = vec![true];
    let mut index = 0;
    while index < pieces.len() {
        let piece = &pieces[index];
        let previous = index.checked_sub(1).map(|before| &pieces[before].token);
        let depth = open.len() - 1;
        match &piece.token {
            Token::Word(word) => match word.as_str() {
                "select" => open[depth] = false,
                "group" | "order" | "partition" | "window" | "over" => open[depth] = false,
                "from" | "where" | "having" | "limit" | "offset" | "set" | "values" | "value" | "on" => {
                    open[depth] = true
                }
                "null" if open[depth] && is_list_null(&pieces, index) => {
                    out.push_str(&sql[copied..piece.start]);
                    out.push('?');
                    copied = piece.end;
                    params.push(Param::Null);
                }
                _ => {}
            },
            Token::Symbol('(') => {
                let typed = matches!(previous, Some(Token::Word(word)) if is_sized_type(word));
                open.push(open[depth] && !typed);
            }
            Token::Symbol(')') if open.len() > 1 => {
                open.pop();
            }
            Token::Number(_) | Token::Text(_) if open[depth] && is_free(previous) => {
                let signed = matches!(previous, Some(Token::Symbol('-'))) && is_sign(&pieces, index - 1);
                let (start, param) = value(&pieces, index, signed);
                out.push_str(&sql[copied..start]);
                out.push('?');
                copied = piece.end;
                params.push(param);
            }
            _ => {}
        }
        index += 1;
    }
    out.push_str(&sql[copied..]);
    (out, params)
}

/// A `-- params` list: numbers, quoted texts, `null`, separated by commas.
pub fn parse_list(list: &str) -> Result<Vec<Param>, String> {
    let pieces = tokens(list);
    let mut params = Vec::new();
    let mut index = 0;
    while index < pieces.len() {
        match &pieces[index].token {
            Token::Word(word) if word == "null" => params.push(Param::Null),
            Token::Number(_) | Token::Text(_) => {
                let signed = index > 0 && pieces[index - 1].token == Token::Symbol('-');
                params.push(value(&pieces, index, signed).1);
            }
            Token::Symbol(',' | '-') => {}
            other => return Err(format!("params: {other:?}")),
        }
        index += 1;
    }
    Ok(params)
}

/// The statement with its `?` replaced by literals, for the text protocol.
pub fn substitute(sql: &str, params: &[Param]) -> String {
    let mut out = String::new();
    let mut next = params.iter();
    let mut quoted = None;
    for symbol in sql.chars() {
        match quoted {
            None if symbol == '?' => {
                out.push_str(&literal(next.next().unwrap_or(&Param::Null)));
                continue;
            }
            None if matches!(symbol, '\'' | '"' | '`') => quoted = Some(symbol),
            Some(quote) if symbol == quote => quoted = None,
            _ => {}
        }
        out.push(symbol);
    }
    out
}

fn literal(param: &Param) -> String {
    match param {
        Param::Null => "NULL".to_owned(),
        Param::Int { value, .. } => value.to_string(),
        Param::Unsigned(value) => value.to_string(),
        Param::Double(value) => format!("{value:e}"),
        Param::Decimal(text) => text.clone(),
        Param::Bytes(bytes) => {
            let text = String::from_utf8_lossy(bytes).replace('\\', "\\\\").replace('\'', "''");
            format!("'{text}'")
        }
    }
}

/// Types whose parenthesis holds a size, and clauses whose numbers are no values.
fn is_sized_type(word: &str) -> bool {
    [
        "decimal",
        "char",
        "varchar",
        "binary",
        "varbinary",
        "float",
        "double",
        "bit",
        "time",
        "datetime",
        "timestamp",
        "over",
        "index",
        "key",
    ]
    .contains(&word)
}

/// Whether a literal after this token is a value of its own.
fn is_free(previous: Option<&Token>) -> bool {
    match previous {
        Some(Token::Word(word)) => ![
            "as",
            "date",
            "time",
            "timestamp",
            "separator",
            "escape",
            "x",
            "b",
            "n",
            "_utf8mb4",
            "_latin1",
            "_binary",
            "collate",
            "interval",
            "names",
        ]
        .contains(&word.as_str()),
        Some(Token::Text(_)) => false,
        Some(Token::Symbol('@' | '.')) => false,
        _ => true,
    }
}

/// Whether the minus at `index` is a sign and not a subtraction.
fn is_sign(pieces: &[Piece], index: usize) -> bool {
    match index.checked_sub(1).map(|before| &pieces[before].token) {
        None => true,
        Some(Token::Symbol(symbol)) => *symbol != ')',
        Some(Token::Word(word)) => [
            "and", "or", "in", "between", "limit", "where", "then", "else", "when", "not", "like", "values",
            "set",
        ]
        .contains(&word.as_str()),
        Some(Token::Number(_) | Token::Text(_)) => false,
    }
}

fn is_list_null(pieces: &[Piece], index: usize) -> bool {
    let before = index.checked_sub(1).map(|before| &pieces[before].token);
    let after = pieces.get(index + 1).map(|piece| &piece.token);
    matches!(before, Some(Token::Symbol('(' | ','))) && matches!(after, Some(Token::Symbol(')' | ',')))
}

fn value(pieces: &[Piece], index: usize, signed: bool) -> (usize, Param) {
    let piece = &pieces[index];
    let start = if signed { pieces[index - 1].start } else { piece.start };
    let param = match &piece.token {
        Token::Text(bytes) => Param::Bytes(bytes.clone()),
        Token::Number(text) => number(text, signed),
        Token::Word(_) | Token::Symbol(_) => unreachable!("only literals have values"),
    };
    (start, param)
}

fn number(text: &str, signed: bool) -> Param {
    let sign = if signed { "-" } else { "" };
    if text.contains(['e', 'E']) {
        return Param::Double(format!("{sign}{text}").parse().expect("a number"));
    }
    if text.contains('.') {
        return Param::Decimal(format!("{sign}{text}"));
    }
    if let Ok(value) = format!("{sign}{text}").parse::<i64>() {
        // The width varies with the value, so that every integer type is used.
        let type_code = match (value, value.rem_euclid(4)) {
            (-128..=127, 0) => 1,
            (-32_768..=32_767, 0 | 1) => 2,
            (-2_147_483_648..=2_147_483_647, 0..=2) => 3,
            _ => 8,
        };
        return Param::Int { type_code, value };
    }
    match text.parse::<u64>() {
        Ok(value) if !signed => Param::Unsigned(value),
        _ => Param::Decimal(format!("{sign}{text}")),
    }
}

fn tokens(sql: &str) -> Vec<Piece> {
    let bytes = sql.as_bytes();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            byte if byte.is_ascii_whitespace() => at += 1,
            b'/' if bytes[at..].starts_with(b"/*") => {
                at = sql[at..].find("*/").map_or(bytes.len(), |end| at + end + 2);
            }
            quote @ (b'\'' | b'"') => {
                let text = quoted(bytes, &mut at, quote);
                pieces.push(Piece { token: Token::Text(text), start, end: at });
            }
            b'`' => {
                at = sql[at + 1..].find('`').map_or(bytes.len(), |end| at + end + 2);
                pieces.push(Piece { token: Token::Word(sql[start..at].to_owned()), start, end: at });
            }
            b'0' if bytes[at..].starts_with(b"0x") => {
                at += 2;
                word_end(bytes, &mut at);
                pieces.push(Piece { token: Token::Word(sql[start..at].to_owned()), start, end: at });
            }
            byte if byte.is_ascii_digit()
                || (byte == b'.'
                    && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
                    && is_number_start(bytes, at)) =>
            {
                number_end(bytes, &mut at);
                pieces.push(Piece { token: Token::Number(sql[start..at].to_owned()), start, end: at });
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                word_end(bytes, &mut at);
                pieces.push(Piece {
                    token: Token::Word(sql[start..at].to_ascii_lowercase()),
                    start,
                    end: at,
                });
            }
            byte => {
                at += 1;
                pieces.push(Piece { token: Token::Symbol(char::from(byte)), start, end: at });
            }
        }
    }
    pieces
}

fn is_number_start(bytes: &[u8], at: usize) -> bool {
    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'`')
}

fn word_end(bytes: &[u8], at: &mut usize) {
    while bytes
        .get(*at)
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || *byte >= 0x80)
    {
        *at += 1;
    }
}

fn number_end(bytes: &[u8], at: &mut usize) {
    while let Some(&byte) = bytes.get(*at) {
        let exponent_sign = matches!(byte, b'-' | b'+') && matches!(bytes[*at - 1], b'e' | b'E');
        if !(byte.is_ascii_digit() || byte == b'.' || matches!(byte, b'e' | b'E') || exponent_sign) {
            return;
        }
        *at += 1;
    }
}

fn quoted(bytes: &[u8], at: &mut usize, quote: u8) -> Vec<u8> {
    let mut text = Vec::new();
    *at += 1;
    while let Some(&byte) = bytes.get(*at) {
        *at += 1;
        match byte {
            b'\\' => {
                let escaped = bytes.get(*at).copied().unwrap_or(b'\\');
                *at += 1;
                match escaped {
                    b'n' => text.push(b'\n'),
                    b't' => text.push(b'\t'),
                    b'0' => text.push(0),
                    b'%' | b'_' => text.extend_from_slice(&[b'\\', escaped]),
                    other => text.push(other),
                }
            }
            byte if byte == quote => {
                if bytes.get(*at) != Some(&quote) {
                    return text;
                }
                text.push(quote);
                *at += 1;
            }
            byte => text.push(byte),
        }
    }
    text
}

/// What the tokenizer must get right; run by the harness before anything else.
pub fn self_check() {
    let check = |sql: &str, expected: &str, count: usize| {
        let (text, params) = extract(sql);
        assert_eq!((text.as_str(), params.len()), (expected, count), "{sql}");
    };
    check(
        "select 1, 'a' from t where id = 5 and s in ('x', \"y\")",
        "select 1, 'a' from t where id = ? and s in (?, ?)",
        3,
    );
    check("select a from t order by 1 limit 5, 6", "select a from t order by 1 limit ?, ?", 2);
    check("select a from t where id = -5 and a - 3 > -1.5", "select a from t where id = ? and a - ? > ?", 3);
    check("insert into t values (null, 'it''s', 1e3)", "insert into t values (?, ?, ?)", 3);
    check(
        "select cast(a as decimal(10,2)) from t where cast(b as char(5)) = date '2020-01-01'",
        "select cast(a as decimal(10,2)) from t where cast(b as char(5)) = date '2020-01-01'",
        0,
    );
    check(
        "select a, count(*) from t where x is null group by 1 having count(*) > 2",
        "select a, count(*) from t where x is null group by 1 having count(*) > ?",
        1,
    );
    check("create table x (a int default 5)", "create table x (a int default 5)", 0);
    check(
        "select (select max(a) from b where c = 1) from t where d=1",
        "select (select max(a) from b where c = ?) from t where d=?",
        2,
    );
    assert_eq!(
        substitute("a = ? and b = '?' and c = ?", &[Param::Null, Param::Unsigned(1)]),
        "a = NULL and b = '?' and c = 1"
    );
}
