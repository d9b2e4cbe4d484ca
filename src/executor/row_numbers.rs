//! Warnings and errors of rows that go to several shards: servers count the rows that they got, clients those of their
//! statement or file.

use crate::session::diagnostics::{Diagnostic, Diagnostics};

/// The warnings of several shards in the order of the client's rows. `rows` are the numbers, for the client, of the rows
/// that a shard got; empty: what shards say is about no such rows.
pub(in crate::executor) fn in_order<'a>(
    parts: impl Iterator<Item = (&'a Diagnostics, &'a [u64])>,
) -> Vec<Diagnostic> {
    let mut all: Vec<(u64, Diagnostic)> = Vec::new();
    for (diagnostics, rows) in parts {
        let mut last = rows.first().copied().unwrap_or_default();
        for entry in diagnostics.entries() {
            let mut entry = entry.clone();
            if let Some((row, message)) = renumbered(&entry.message, rows) {
                last = row;
                entry.message = message;
            }
            all.push((last, entry));
        }
    }
    all.sort_by_key(|(row, _)| *row);
    all.into_iter().map(|(_, entry)| entry).collect()
}

/// `… at row 3` and `Row 3 …` with the client's number.
pub(super) fn renumbered(message: &[u8], rows: &[u64]) -> Option<(u64, Vec<u8>)> {
    let text = std::str::from_utf8(message).ok()?;
    let (before, digits, after) = match text.strip_prefix("Row ") {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            ("Row ", &rest[..end], &rest[end..])
        }
        None => {
            let at = text.rfind(" at row ")? + " at row ".len();
            (&text[..at], &text[at..], "")
        }
    };
    let number: usize = digits.parse().ok()?;
    let row = *rows.get(number.checked_sub(1)?)?;
    Some((row, format!("{before}{row}{after}").into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::diagnostics::Level;

    fn of(messages: &[&str]) -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        for message in messages {
            let message = message.as_bytes().to_vec();
            diagnostics.push(Diagnostic { level: Level::Warning, code: 1265, message });
        }
        diagnostics
    }

    #[test]
    fn rows_have_their_numbers_in_the_file() {
        let first =
            of(&["Data truncated for column 'a' at row 1", "Row 3 doesn't contain data for all columns"]);
        let second = of(&[
            "Duplicate entry '1' for key 'PRIMARY'",
            "Out of range value for column 'b at row 9' at row 2",
        ]);
        let merged = in_order([(&first, &[2, 5, 7][..]), (&second, &[4, 6][..])].into_iter());
        let messages: Vec<_> =
            merged.iter().map(|entry| String::from_utf8_lossy(&entry.message).into_owned()).collect();
        assert_eq!(
            messages,
            [
                "Data truncated for column 'a' at row 2",
                "Duplicate entry '1' for key 'PRIMARY'",
                "Out of range value for column 'b at row 9' at row 6",
                "Row 7 doesn't contain data for all columns",
            ]
        );
    }
}
