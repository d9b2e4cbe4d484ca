//! Table references.

use sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, JsonTableColumn, JsonTableColumnErrorHandling, TableAlias,
    TableAliasColumnDef, TableFactor, TableIndexHintForClause, TableIndexHintType, TableIndexHints,
    TableIndexType, TableVersion, TableWithJoins,
};

use super::Writer;

impl Writer {
    pub(super) fn table_with_joins(&mut self, table: &TableWithJoins) {
        self.table_factor(&table.relation);
        for join in &table.joins {
            self.join(join);
        }
    }

    fn join(&mut self, join: &Join) {
        let (words, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) => ("JOIN", constraint),
            JoinOperator::Inner(constraint) => ("INNER JOIN", constraint),
            JoinOperator::Left(constraint) => ("LEFT JOIN", constraint),
            JoinOperator::LeftOuter(constraint) => ("LEFT OUTER JOIN", constraint),
            JoinOperator::Right(constraint) => ("RIGHT JOIN", constraint),
            JoinOperator::RightOuter(constraint) => ("RIGHT OUTER JOIN", constraint),
            JoinOperator::CrossJoin(constraint) => ("CROSS JOIN", constraint),
            JoinOperator::StraightJoin(constraint) => ("STRAIGHT_JOIN", constraint),
            _ => return self.display(join),
        };
        self.raw(" ");
        if *constraint == JoinConstraint::Natural {
            self.raw("NATURAL ");
        }
        self.raw(words);
        self.raw(" ");
        self.table_factor(&join.relation);
        match constraint {
            JoinConstraint::On(expr) => {
                self.raw(" ON ");
                self.expression(expr);
            }
            JoinConstraint::Using(columns) => {
                self.raw(" USING (");
                self.list(columns, Self::object_name);
                self.raw(")");
            }
            JoinConstraint::Natural | JoinConstraint::None => {}
        }
    }

    pub(super) fn table_factor(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::Table { name, alias, version, partitions, index_hints, .. } => {
                if name.to_string().eq_ignore_ascii_case("dual") {
                    // Reserved, and no name in quotes.
                    self.raw("dual");
                } else {
                    self.object_name(name);
                }
                if !partitions.is_empty() {
                    self.raw(" PARTITION (");
                    self.list(partitions, Self::ident);
                    self.raw(")");
                }
                if let Some(TableVersion::ForSystemTimeAsOf(time)) = version {
                    self.raw(" FOR SYSTEM_TIME AS OF ");
                    self.expression(time);
                }
                self.table_alias(alias.as_ref());
                for hints in index_hints {
                    self.index_hints(hints);
                }
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                if *lateral {
                    self.raw("LATERAL ");
                }
                self.subquery(subquery);
                self.table_alias(alias.as_ref());
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.in_parentheses(|writer| writer.table_with_joins(table_with_joins));
                self.table_alias(alias.as_ref());
            }
            TableFactor::JsonTable { json_expr, json_path, columns, alias } => {
                self.raw("JSON_TABLE(");
                self.expression(json_expr);
                self.raw(", ");
                self.value(&json_path.value);
                self.raw(" COLUMNS (");
                self.list(columns, Self::json_column);
                self.raw("))");
                self.table_alias(alias.as_ref());
            }
            other => self.display(other),
        }
    }

    fn table_alias(&mut self, alias: Option<&TableAlias>) {
        let Some(alias) = alias else { return };
        self.raw(if alias.explicit { " AS " } else { " " });
        self.ident(&alias.name);
        self.column_aliases(&alias.columns);
    }

    pub(super) fn column_aliases(&mut self, columns: &[TableAliasColumnDef]) {
        if !columns.is_empty() {
            self.raw(" (");
            self.list(columns, |writer, column| writer.ident(&column.name));
            self.raw(")");
        }
    }

    fn index_hints(&mut self, hints: &TableIndexHints) {
        self.raw(match hints.hint_type {
            TableIndexHintType::Use => " USE",
            TableIndexHintType::Ignore => " IGNORE",
            TableIndexHintType::Force => " FORCE",
        });
        self.raw(match hints.index_type {
            TableIndexType::Index => " INDEX",
            TableIndexType::Key => " KEY",
        });
        self.raw(match hints.for_clause {
            Some(TableIndexHintForClause::Join) => " FOR JOIN",
            Some(TableIndexHintForClause::OrderBy) => " FOR ORDER BY",
            Some(TableIndexHintForClause::GroupBy) => " FOR GROUP BY",
            None => "",
        });
        self.raw(" (");
        self.list(&hints.index_names, |writer, name| {
            // PRIMARY is reserved, but the name of an index here.
            if name.value.eq_ignore_ascii_case("primary") {
                writer.raw(&name.value)
            } else {
                writer.ident(name)
            }
        });
        self.raw(")");
    }

    fn json_column(&mut self, column: &JsonTableColumn) {
        match column {
            JsonTableColumn::ForOrdinality(name) => {
                self.ident(name);
                self.raw(" FOR ORDINALITY");
            }
            JsonTableColumn::Nested(nested) => {
                self.raw("NESTED PATH ");
                self.value(&nested.path.value);
                self.raw(" COLUMNS (");
                self.list(&nested.columns, Self::json_column);
                self.raw(")");
            }
            JsonTableColumn::Named(named) => {
                self.ident(&named.name);
                self.raw(" ");
                self.data_type(&named.r#type);
                self.raw(if named.exists { " EXISTS PATH " } else { " PATH " });
                self.value(&named.path.value);
                for (handling, event) in [(&named.on_empty, " ON EMPTY"), (&named.on_error, " ON ERROR")] {
                    let Some(handling) = handling else { continue };
                    match handling {
                        JsonTableColumnErrorHandling::Null => self.raw(" NULL"),
                        JsonTableColumnErrorHandling::Error => self.raw(" ERROR"),
                        JsonTableColumnErrorHandling::Default(value) => {
                            self.raw(" DEFAULT ");
                            self.value(&value.value);
                        }
                    }
                    self.raw(event);
                }
            }
        }
    }
}
