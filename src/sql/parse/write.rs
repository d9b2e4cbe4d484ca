//! `UPDATE` and `DELETE`, on one table or several.
//!
//! Modifiers that the AST has no place for are kept as hints whose prefix is `ast::MODIFIER`.

use sqlparser::ast::{
    Delete, FromTable, ObjectName, OptimizerHint, OptimizerHintStyle, SqliteOnConflict, Update,
};

use super::cursor::{Cursor, Parse};
use super::primary::attached;
use crate::sql::ast::MODIFIER;
use crate::sql::token::TokenKind;

impl Cursor<'_> {
    /// A whole `UPDATE` (behind `WITH`, if any).
    pub(super) fn update(&mut self) -> Parse<Update> {
        let verb = self.expect("UPDATE")?;
        let mut optimizer_hints = self.hints()?;
        if self.take("LOW_PRIORITY") {
            optimizer_hints.push(modifier("LOW_PRIORITY"));
        }
        let or = self.take("IGNORE").then_some(SqliteOnConflict::Ignore);
        let table = self.joined_references()?;
        self.expect("SET")?;
        let assignments = self.list(Self::assignment)?;
        let selection = if self.take("WHERE") { Some(self.expression()?) } else { None };
        let order_by =
            if self.take_words(&["ORDER", "BY"]) { self.list(Self::order_item)? } else { Vec::new() };
        let limit = if self.take("LIMIT") { Some(self.limit_value()?) } else { None };
        let returning = self.returning()?;
        Ok(Update {
            update_token: attached(&verb),
            optimizer_hints,
            table,
            assignments,
            from: None,
            selection,
            returning,
            output: None,
            or,
            order_by,
            limit,
        })
    }

    /// A whole `DELETE` (behind `WITH`, if any).
    pub(super) fn delete(&mut self) -> Parse<Delete> {
        let verb = self.expect("DELETE")?;
        let mut optimizer_hints = self.hints()?;
        while self.at_any(&["LOW_PRIORITY", "QUICK", "IGNORE"]) {
            let word = self.next();
            optimizer_hints.push(modifier(word.word()));
        }
        let mut tables = Vec::new();
        let mut using = None;
        let from;
        if self.take("FROM") {
            let mark = self.mark();
            let names = self.list(Self::target_table);
            if names.is_ok() && self.take("USING") {
                // `DELETE FROM a, b USING …` names its targets first.
                tables = names?;
                from = Vec::new();
                using = Some(self.table_references()?);
            } else {
                self.rewind(mark);
                from = self.table_references()?;
            }
        } else {
            tables = self.list(Self::target_table)?;
            self.expect("FROM")?;
            from = self.table_references()?;
        }
        let selection = if self.take("WHERE") { Some(self.expression()?) } else { None };
        let order_by =
            if self.take_words(&["ORDER", "BY"]) { self.list(Self::order_item)? } else { Vec::new() };
        let limit = if self.take("LIMIT") { Some(self.limit_value()?) } else { None };
        let returning = self.returning()?;
        Ok(Delete {
            delete_token: attached(&verb),
            optimizer_hints,
            // Both forms of several tables mean the same: targets in `tables`, sources in `from`.
            from: FromTable::WithFromKeyword(using.take().unwrap_or(from)),
            tables,
            using: None,
            selection,
            returning,
            output: None,
            order_by,
            limit,
        })
    }

    /// `a`, `a.b`, `a.*`, `a.b.*`.
    fn target_table(&mut self) -> Parse<ObjectName> {
        let name = self.object_name()?;
        if self.take_kind(TokenKind::Dot) {
            self.expect_kind(TokenKind::Star)?;
        }
        Ok(name)
    }
}

fn modifier(word: &str) -> OptimizerHint {
    OptimizerHint { prefix: MODIFIER.to_owned(), text: word.to_owned(), style: OptimizerHintStyle::MultiLine }
}
