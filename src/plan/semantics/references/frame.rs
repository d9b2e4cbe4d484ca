//! What names of columns mean in a FROM clause: which reference's column each is.

use crate::plan::semantics::TableSource;
use crate::sql::ast::Ident;

/// The names of a FROM clause, with the references that they are.
#[derive(Clone, Default)]
pub(super) struct Frame {
    pub(super) sources: Vec<(TableSource, Option<usize>)>,
    /// Columns of several tables are one column.
    pub(super) is_merged: bool,
}

impl Frame {
    /// The reference and its column that a name means. The outer `None`: the name is not from here.
    pub(super) fn column(&self, names: &[Ident]) -> Option<Option<(usize, Box<str>)>> {
        let of = |reference: Option<usize>, column: &Ident| {
            reference.map(|reference| (reference, column.value.to_lowercase().into()))
        };
        match names {
            [table, column] => {
                let source = self.sources.iter().find(|(source, _)| *source.name == table.value)?;
                Some(of(source.1, column))
            }
            [column] => {
                let has = |source: &&(TableSource, Option<usize>)| {
                    source.0.columns.known.iter().any(|known| known.name.eq_ignore_ascii_case(&column.value))
                };
                let mut owners = self.sources.iter().filter(has);
                match (owners.next(), owners.next()) {
                    (Some(owner), None) if !self.is_merged => Some(of(owner.1, column)),
                    (Some(_), _) => Some(None),
                    // It may be a column that is not known.
                    (None, _) => {
                        self.sources.iter().any(|(source, _)| source.columns.is_open).then_some(None)
                    }
                }
            }
            _ => Some(None),
        }
    }
}
