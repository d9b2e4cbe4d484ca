//! Keys of a join that servers compare by a collation: rows meet by weights, and all must have the same collation.
//!
//! What the plan knows of collations may be some seconds old; rows bring theirs along. MySQL manual: "WEIGHT_STRING()",
//! "Collation Pad Attributes".

use super::key::{Fields, KeyPart, broken_row};
use crate::error::{Error, Result};
use crate::wire::response::ColumnDefinition;
use crate::wire::row::text_fields;

/// Columns of one key: bytes, weights, the weight of a space, and the collation.
pub(super) const COLUMNS: usize = 4;

/// The key whose columns begin at `start`.
pub(super) fn part(columns: &[ColumnDefinition], start: usize) -> Result<KeyPart> {
    let column = |index: usize| columns.get(index).map(|column| (index, column)).ok_or_else(broken_row);
    KeyPart::by_weights(column(start + 1)?, column(start + 2)?)
}

/// The word that gives a literal the character set of the key that begins at `start`.
pub(super) fn charset(row: &[u8], start: usize) -> Result<&'static [u8]> {
    let field = text_fields(row).nth(start + COLUMNS - 1).ok_or_else(broken_row)?;
    let collation = field.map_err(|_| broken_row())?.ok_or_else(broken_row)?;
    let is_of = |charset: &[u8]| {
        collation.strip_prefix(charset).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'_'))
    };
    match () {
        () if is_of(b"ascii") => Ok(b"_ascii"),
        () if is_of(b"latin1") => Ok(b"_latin1"),
        () if is_of(b"utf8mb4") => Ok(b"_utf8mb4"),
        () => Err(Error::unsupported("joining text of this character set across shards")),
    }
}

/// The collations that rows have been seen to have.
pub(super) struct TextKeys {
    /// For each key where its columns begin, and the collation.
    keys: Vec<(usize, Option<Box<[u8]>>)>,
}

impl TextKeys {
    pub(super) fn new(starts: &[usize]) -> Self {
        Self { keys: starts.iter().map(|start| (*start, None)).collect() }
    }

    /// Refuses a row whose text is not compared as that of the rows before.
    pub(super) fn check(&mut self, fields: &Fields<'_>) -> Result<()> {
        for (start, known) in &mut self.keys {
            let collation = fields.get(*start + COLUMNS - 1)?.ok_or_else(broken_row)?;
            let known = known.get_or_insert_with(|| collation.into());
            if **known != *collation {
                return Err(Error::unsupported("joining text of different collations across shards"));
            }
            if fields.get(*start)?.is_some() && fields.get(*start + 1)?.is_none() {
                return Err(Error::unsupported("joining text without weights across shards"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::row::put_text_field;

    #[test]
    fn rows_of_another_collation_or_without_weights_are_refused() {
        let check = |rows: &[[Option<&str>; 4]], expected: bool| {
            let mut keys = TextKeys::new(&[0]);
            let all = rows.iter().all(|row| {
                let mut bytes = Vec::new();
                row.iter().for_each(|field| put_text_field(&mut bytes, field.map(str::as_bytes)));
                keys.check(&Fields::read(&bytes, 4).unwrap()).is_ok()
            });
            assert_eq!(all, expected, "{rows:?}");
        };
        let row = |collation| [Some("a"), Some("A"), Some(" "), Some(collation)];
        check(&[row("utf8mb4_bin"), row("utf8mb4_bin")], true);
        check(&[row("utf8mb4_bin"), row("utf8mb4_general_ci")], false);
        check(&[[None, None, Some(""), Some("latin1_bin")]], true);
        check(&[[Some("a"), None, Some(""), Some("latin1_bin")]], false);
    }

    #[test]
    fn literals_have_the_character_set_of_the_collation() {
        let check = |collation: &str, expected: Option<&[u8]>| {
            let mut row = Vec::new();
            for field in ["a", "A", " ", collation] {
                put_text_field(&mut row, Some(field.as_bytes()));
            }
            assert_eq!(charset(&row, 0).ok(), expected, "{collation}");
        };
        check("utf8mb4_uca1400_ai_ci", Some(b"_utf8mb4"));
        check("latin1_swedish_ci", Some(b"_latin1"));
        check("utf8mb3_general_ci", None);
        check("latin10_x", None);
    }
}
