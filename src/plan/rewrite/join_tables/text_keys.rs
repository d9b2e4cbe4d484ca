//! Text that is equal by a collation: only servers know which is, so rows meet by weight strings.
//!
//! Both columns must have the same collation, as far as the schema tells; that they really have it is looked at when rows come.

use super::{Column, Key, Tables, refusal};
use crate::error::Result;
use crate::vschema::ColumnType;

/// Character sets that servers take literals in without a word about their future.
const CHARSETS: [&str; 3] = ["ascii", "latin1", "utf8mb4"];

/// Characters of the longest columns: rows carry weights beside their text.
const SIZE_MAX: u32 = 255;

impl Tables<'_> {
    /// Are columns that are equal compared by a collation?
    pub(super) fn is_text(&self, key: &Key) -> Result<bool> {
        let [a, b] = key.each_ref().map(|column| self.collation(column));
        match (a, b) {
            (Some(a), Some(b)) if a == b => {
                let charset = a.split('_').next().unwrap_or_default();
                if CHARSETS.contains(&charset) { Ok(true) } else { Err(refusal()) }
            }
            (None, None) => Ok(false),
            _ => Err(refusal()),
        }
    }

    /// The collation of a column of characters, as far as it is known.
    fn collation(&self, column: &Column) -> Option<&str> {
        let input = &self.inputs[column.table];
        let relation = self.ctx.schemas.relation(&input.keyspace, &input.table)?;
        let column = relation.columns.iter().find(|known| known.name.eq_ignore_ascii_case(&column.name))?;
        let is_text = matches!(column.column_type, ColumnType::Char | ColumnType::VarChar);
        let is_text = is_text && column.size <= SIZE_MAX;
        column.collation.as_deref().filter(|_| is_text)
    }

    /// What rows that meet by a column begin with: the column, or, for text, what [`crate::plan::primitive::Join`] needs of it.
    pub(super) fn key_texts(&self, column: &Column, is_text: bool) -> Vec<Box<str>> {
        let name = self.name(column);
        if !is_text {
            return vec![name];
        }
        let pad = format!(
            "if(concat(left({name},0),'a')=concat(left({name},0),'a '),weight_string(concat(left({name},0),' ')),'')"
        );
        vec![
            format!("cast({name} as binary)").into(),
            format!("weight_string({name})").into(),
            pad.into(),
            format!("collation({name})").into(),
        ]
    }
}
