//! `INSERT`, `REPLACE`, `UPDATE`, `DELETE`.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, FromTable, Insert, MysqlInsertPriority, OnInsert, OrderByExpr,
    SelectItem, SqliteOnConflict, Statement, TableObject, Update,
};

use super::Writer;

impl Writer {
    pub(super) fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Query(query) => self.query(query),
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            other => self.display(other),
        }
    }

    fn insert(&mut self, insert: &Insert) {
        self.raw(if insert.replace_into { "REPLACE" } else { "INSERT" });
        self.hints(&insert.optimizer_hints);
        self.raw(match insert.priority {
            Some(MysqlInsertPriority::LowPriority) => " LOW_PRIORITY",
            Some(MysqlInsertPriority::Delayed) => " DELAYED",
            Some(MysqlInsertPriority::HighPriority) => " HIGH_PRIORITY",
            None => "",
        });
        self.raw(if insert.ignore { " IGNORE" } else { "" });
        self.raw(if insert.into { " INTO " } else { " " });
        match &insert.table {
            TableObject::TableName(name) => self.object_name(name),
            other => self.display(other),
        }
        if let Some(partitions) = &insert.partitioned {
            self.raw(" PARTITION (");
            self.list(partitions, Self::expression);
            self.raw(")");
        }
        if !insert.columns.is_empty() {
            self.raw(" (");
            self.list(&insert.columns, Self::object_name);
            self.raw(")");
        }
        self.raw(" ");
        if let Some(source) = &insert.source {
            self.query(source);
        } else {
            self.raw("SET ");
            self.list(&insert.assignments, Self::assignment);
        }
        if let Some(alias) = &insert.insert_alias {
            self.raw(" AS ");
            self.object_name(&alias.row_alias);
            if let Some(columns) = &alias.col_aliases {
                self.raw(" (");
                self.list(columns, Self::ident);
                self.raw(")");
            }
        }
        match &insert.on {
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => {
                self.raw(" ON DUPLICATE KEY UPDATE ");
                self.list(assignments, Self::assignment);
            }
            Some(other) => self.display(other),
            None => {}
        }
        self.returning(insert.returning.as_deref());
    }

    fn update(&mut self, update: &Update) {
        self.raw("UPDATE");
        self.hints(&update.optimizer_hints);
        if update.or == Some(SqliteOnConflict::Ignore) {
            self.raw(" IGNORE");
        }
        self.raw(" ");
        self.table_with_joins(&update.table);
        self.raw(" SET ");
        self.list(&update.assignments, Self::assignment);
        self.clause(" WHERE ", update.selection.as_ref());
        self.order_by(&update.order_by);
        self.clause(" LIMIT ", update.limit.as_ref());
        self.returning(update.returning.as_deref());
    }

    fn delete(&mut self, delete: &Delete) {
        self.raw("DELETE");
        self.hints(&delete.optimizer_hints);
        if !delete.tables.is_empty() {
            self.raw(" ");
            self.list(&delete.tables, Self::object_name);
        }
        self.raw(" FROM ");
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        self.list(tables, Self::table_with_joins);
        if let Some(using) = &delete.using {
            self.raw(" USING ");
            self.list(using, Self::table_with_joins);
        }
        self.clause(" WHERE ", delete.selection.as_ref());
        self.order_by(&delete.order_by);
        self.clause(" LIMIT ", delete.limit.as_ref());
        self.returning(delete.returning.as_deref());
    }

    fn order_by(&mut self, items: &[OrderByExpr]) {
        if !items.is_empty() {
            self.raw(" ORDER BY ");
            self.list(items, Self::order_item);
        }
    }

    fn assignment(&mut self, assignment: &Assignment) {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => self.object_name(name),
            other @ AssignmentTarget::Tuple(_) => self.display(other),
        }
        self.raw(" = ");
        self.expression(&assignment.value);
    }

    fn returning(&mut self, items: Option<&[SelectItem]>) {
        if let Some(items) = items {
            self.raw(" RETURNING ");
            self.list(items, Self::select_item);
        }
    }
}
