//! Foreign keys as `information_schema` describes them (MySQL manual: "The INFORMATION_SCHEMA KEY_COLUMN_USAGE Table",
//! "… REFERENTIAL_CONSTRAINTS Table").

use crate::vschema::{ColumnName, TableName};

/// A foreign key of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The name of the constraint.
    pub name: Box<str>,
    /// Its columns, in order.
    pub columns: Vec<ColumnName>,
    /// The table that it refers to, which is in the same database.
    pub parent: TableName,
    /// The columns that it refers to, in order.
    pub parent_columns: Vec<ColumnName>,
    /// What happens to rows whose parent is deleted.
    pub on_delete: Action,
    /// What happens to rows whose parent gets other values.
    pub on_update: Action,
    /// Whether the server is a MariaDB, which has words of its own.
    pub is_mariadb: bool,
    /// The constraint as the server's errors show it.
    pub words: Box<str>,
}

/// What happens to a row when its parent changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The row follows: it is deleted, or gets the new values.
    Cascade,
    /// `NO ACTION`, which is `RESTRICT` under a name that servers remember.
    NoAction,
    /// The parent may not change.
    Restrict,
    /// The row loses its parent.
    SetNull,
}

impl Action {
    /// From the word in `information_schema`. InnoDB has no `SET DEFAULT`: whatever is unknown restricts.
    pub fn of_word(word: &str) -> Self {
        match word {
            "CASCADE" => Self::Cascade,
            "SET NULL" => Self::SetNull,
            "NO ACTION" => Self::NoAction,
            _ => Self::Restrict,
        }
    }

    /// Whether rows are changed by it.
    pub fn changes_rows(self) -> bool {
        matches!(self, Self::Cascade | Self::SetNull)
    }
}

impl ForeignKey {
    /// Whether it has one of these columns; ASCII case does not count.
    pub fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| *column == *name)
    }

    /// Whether it refers to this column; ASCII case does not count.
    pub fn refers_to(&self, name: &str) -> bool {
        self.parent_columns.iter().any(|column| *column == *name)
    }

    /// Puts [`Self::words`] together. MariaDB tells `NO ACTION` from saying nothing.
    pub fn spell_out(&mut self) {
        let list = |columns: &[ColumnName]| {
            columns.iter().map(|column| quoted(column.as_str())).collect::<Vec<_>>().join(", ")
        };
        let mut words = format!(
            "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({})",
            quoted(&self.name),
            list(&self.columns),
            quoted(self.parent.as_str()),
            list(&self.parent_columns),
        );
        for (verb, action) in [("DELETE", self.on_delete), ("UPDATE", self.on_update)] {
            let word = match action {
                Action::Cascade => "CASCADE",
                Action::SetNull => "SET NULL",
                Action::NoAction if self.is_mariadb => "NO ACTION",
                Action::NoAction | Action::Restrict => continue,
            };
            words.push_str(&format!(" ON {verb} {word}"));
        }
        self.words = words.into();
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_servers() {
        let mut key = ForeignKey {
            name: "f".into(),
            columns: vec!["a".into(), "b`".into()],
            parent: "p".into(),
            parent_columns: vec!["x".into(), "y".into()],
            on_delete: Action::of_word("CASCADE"),
            on_update: Action::of_word("NO ACTION"),
            is_mariadb: false,
            words: "".into(),
        };
        let mut check = |is_mariadb, tail: &str| {
            key.is_mariadb = is_mariadb;
            key.spell_out();
            let head = "CONSTRAINT `f` FOREIGN KEY (`a`, `b```) REFERENCES `p` (`x`, `y`) ON DELETE CASCADE";
            assert_eq!(*key.words, format!("{head}{tail}"));
        };
        check(false, "");
        check(true, " ON UPDATE NO ACTION");
        assert!(key.has_column("A") && key.refers_to("Y") && !key.has_column("x"));
        assert!(!Action::of_word("SET DEFAULT").changes_rows());
    }
}
