//! `INSERT` and `REPLACE`.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/insert.html>

use sqlparser::ast::{
    Assignment, AssignmentTarget, Expr, Insert, InsertAliases, MysqlInsertPriority, ObjectName, OnInsert,
    SelectItem, SetExpr, TableObject,
};

use super::cursor::{Cursor, Parse};
use super::primary::attached;
use super::query::plain_query;
use crate::sql::token::TokenKind;

impl Cursor<'_> {
    /// A whole `INSERT` or `REPLACE`.
    pub(super) fn insert(&mut self) -> Parse<Insert> {
        let verb = self.next();
        let optimizer_hints = self.hints()?;
        let priority = match self.peek().word() {
            "LOW_PRIORITY" => Some(MysqlInsertPriority::LowPriority),
            "DELAYED" => Some(MysqlInsertPriority::Delayed),
            "HIGH_PRIORITY" => Some(MysqlInsertPriority::HighPriority),
            _ => None,
        };
        if priority.is_some() {
            self.next();
        }
        let ignore = self.take("IGNORE");
        let into = self.take("INTO");
        let table = TableObject::TableName(self.object_name()?);
        let partitions = self.partitions()?;
        let partitioned =
            (!partitions.is_empty()).then(|| partitions.into_iter().map(Expr::Identifier).collect());
        let mut insert = Insert {
            insert_token: attached(&verb),
            optimizer_hints,
            or: None,
            ignore,
            into,
            table,
            table_alias: None,
            columns: Vec::new(),
            overwrite: false,
            source: None,
            assignments: Vec::new(),
            partitioned,
            after_columns: Vec::new(),
            has_table_keyword: false,
            on: None,
            returning: None,
            output: None,
            replace_into: verb.word() == "REPLACE",
            priority,
            insert_alias: None,
            settings: None,
            format_clause: None,
            multi_table_insert_type: None,
            multi_table_into_clauses: Vec::new(),
            multi_table_when_clauses: Vec::new(),
            multi_table_else_clause: None,
        };
        self.insert_source(&mut insert)?;
        if self.take_words(&["ON", "DUPLICATE", "KEY", "UPDATE"]) {
            insert.on = Some(OnInsert::DuplicateKeyUpdate(self.list(Self::assignment)?));
        }
        insert.returning = self.returning()?;
        Ok(insert)
    }

    fn insert_source(&mut self, insert: &mut Insert) -> Parse<()> {
        if self.at_kind(TokenKind::LParen) && !self.is_query_ahead() {
            insert.columns = self.parenthesized(|cursor| {
                if cursor.at_kind(TokenKind::RParen) {
                    Ok(Vec::new())
                } else {
                    cursor.list(Self::object_name)
                }
            })?;
        }
        if self.take("SET") {
            insert.assignments = self.list(Self::assignment)?;
            insert.insert_alias = self.row_alias()?;
        } else if self.at("VALUE") || (self.at("VALUES") && self.peek_at(1).word() != "ROW") {
            self.next();
            let rows = self.values()?;
            insert.source = Some(Box::new(plain_query(None, SetExpr::Values(rows))));
            insert.insert_alias = self.row_alias()?;
        } else {
            insert.source = Some(Box::new(self.query()?));
            insert.insert_alias = self.row_alias()?;
        }
        Ok(())
    }

    /// `AS new (a, b)`.
    fn row_alias(&mut self) -> Parse<Option<InsertAliases>> {
        if !self.take("AS") {
            return Ok(None);
        }
        let row_alias = ObjectName::from(self.name()?);
        let columns = self.optional_columns()?;
        let col_aliases =
            (!columns.is_empty()).then(|| columns.into_iter().map(|column| column.name).collect());
        Ok(Some(InsertAliases { row_alias, col_aliases }))
    }

    /// `column = expression`.
    pub(super) fn assignment(&mut self) -> Parse<Assignment> {
        let target = AssignmentTarget::ColumnName(self.object_name()?);
        if !self.take_kind(TokenKind::Assign) {
            self.expect_kind(TokenKind::Eq)?;
        }
        Ok(Assignment { target, value: self.expression()? })
    }

    /// MariaDB's `RETURNING list`.
    pub(super) fn returning(&mut self) -> Parse<Option<Vec<SelectItem>>> {
        if !self.take("RETURNING") {
            return Ok(None);
        }
        let items = self.list(|cursor| Ok(cursor.select_item()?.0))?;
        Ok(Some(items))
    }
}
