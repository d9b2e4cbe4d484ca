//! `LIKE` for results that the router makes itself: `%`, `_`, `\` as escape, letters without regard to case.

/// Whether `text` matches `pattern` as MySQL's LIKE with a case-insensitive collation would say.
pub fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<Symbol> = parse(pattern);
    let text: Vec<char> = text.chars().collect();
    // The classic two-pointer match: on a mismatch, return to the last `%` and let it take one more.
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Symbol::Any) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Symbol::One) => (p, t) = (p + 1, t + 1),
            Some(Symbol::Char(c)) if same(*c, text[t]) => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((at, taken)) => {
                    retry = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|symbol| *symbol == Symbol::Any)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Any,
    Char(char),
    One,
}

fn parse(pattern: &str) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        symbols.push(match c {
            '%' => Symbol::Any,
            '_' => Symbol::One,
            '\\' => Symbol::Char(chars.next().unwrap_or('\\')),
            c => Symbol::Char(c),
        });
    }
    symbols
}

fn same(a: char, b: char) -> bool {
    a == b || a.to_lowercase().eq(b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_mysql_does() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%", "anything", true),
            ("customer/%", "customer/-80", true),
            ("CUSTOMER%", "customer", true),
            ("c_stomer", "customer", true),
            ("c\\_stomer", "customer", false),
            ("a\\%", "a%", true),
            ("%a%b%c", "xaybzc", true),
            ("%a%b%c", "xaybz", false),
            ("%aab", "aaaab", true),
            ("a", "ab", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }
}
