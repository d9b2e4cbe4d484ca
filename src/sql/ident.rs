//! Identifiers: quoting for output, names of tokens.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/identifiers.html>

use std::borrow::Cow;

/// Appends `name` in backquotes, which every `sql_mode` understands.
pub fn quote_identifier(name: &str, out: &mut Vec<u8>) {
    out.push(b'`');
    for byte in name.bytes() {
        if byte == b'`' {
            out.push(b'`');
        }
        out.push(byte);
    }
    out.push(b'`');
}

/// `name` in backquotes.
pub fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('`');
    out.push_str(&name.replace('`', "``"));
    out.push('`');
    out
}

/// The name that a token's source text means: quotes removed, doubled quotes halved. Bytes that are no UTF-8
/// become replacement characters, which match no name.
pub fn name_of(source: &[u8]) -> Cow<'_, str> {
    match source {
        [quote @ (b'`' | b'"'), inner @ .., last] if quote == last => {
            let inner = String::from_utf8_lossy(inner);
            let quote = char::from(*quote);
            if inner.contains(quote) {
                let doubled = String::from_iter([quote, quote]);
                Cow::Owned(inner.replace(&doubled, quote.encode_utf8(&mut [0; 4])))
            } else {
                inner
            }
        }
        plain => String::from_utf8_lossy(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_and_back() {
        for name in ["a", "a`b", "", "select", "ö", "a\"b"] {
            assert_eq!(name_of(quoted(name).as_bytes()), name);
            let mut out = Vec::new();
            quote_identifier(name, &mut out);
            assert_eq!(out, quoted(name).into_bytes());
        }
        assert_eq!(name_of(b"\"a\"\"b\""), "a\"b");
        assert_eq!(name_of(b"plain"), "plain");
    }
}
