//! Table references: names with hints, derived tables, joins, `JSON_TABLE`.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/join.html>

use sqlparser::ast::{
    DataType, Ident, Join, JoinConstraint, JoinOperator, JsonTableColumn, JsonTableColumnErrorHandling,
    JsonTableNamedColumn, JsonTableNestedColumn, ObjectName, TableAlias, TableAliasColumnDef, TableFactor,
    TableIndexHintForClause, TableIndexHintType, TableIndexHints, TableIndexType, TableVersion,
    TableWithJoins,
};

use super::cursor::{Cursor, Parse};
use crate::sql::token::TokenKind;

impl Cursor<'_> {
    /// The comma-separated list behind `FROM`.
    pub(super) fn table_references(&mut self) -> Parse<Vec<TableWithJoins>> {
        self.list(Self::table_with_joins)
    }

    /// The same as one join: a comma joins as `CROSS JOIN` does, but binds less.
    pub(super) fn joined_references(&mut self) -> Parse<TableWithJoins> {
        let mut references = self.table_references()?.into_iter();
        let Some(mut first) = references.next() else { return self.fail("a table") };
        for next in references {
            let relation = if next.joins.is_empty() {
                next.relation
            } else {
                TableFactor::NestedJoin { table_with_joins: Box::new(next), alias: None }
            };
            first.joins.push(Join {
                relation,
                global: false,
                join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
            });
        }
        Ok(first)
    }

    fn table_with_joins(&mut self) -> Parse<TableWithJoins> {
        self.nested(|cursor| {
            let relation = cursor.table_factor()?;
            let mut joins = Vec::new();
            while let Some(join) = cursor.join()? {
                joins.push(join);
            }
            Ok(TableWithJoins { relation, joins })
        })
    }

    /// One join behind a table, with its condition; `None` if no join comes next.
    fn join(&mut self) -> Parse<Option<Join>> {
        let natural = self.take("NATURAL");
        let side = match self.peek().word() {
            "LEFT" => Some(true),
            "RIGHT" => Some(false),
            _ => None,
        };
        let has_outer = side.is_some() && {
            self.next();
            self.take("OUTER")
        };
        let is_inner = side.is_none() && self.take("INNER");
        let is_cross = side.is_none() && !is_inner && self.take("CROSS");
        let is_straight = side.is_none() && !is_inner && !is_cross && self.take("STRAIGHT_JOIN");
        if !is_straight && !self.take("JOIN") {
            let is_nothing = !natural && side.is_none() && !is_inner && !is_cross;
            return if is_nothing { Ok(None) } else { self.fail("JOIN") };
        }
        let relation = self.join_operand()?;
        let constraint = if natural { JoinConstraint::Natural } else { self.join_constraint()? };
        let join_operator = match side {
            Some(true) if has_outer => JoinOperator::LeftOuter(constraint),
            Some(true) => JoinOperator::Left(constraint),
            Some(false) if has_outer => JoinOperator::RightOuter(constraint),
            Some(false) => JoinOperator::Right(constraint),
            None if is_inner => JoinOperator::Inner(constraint),
            None if is_cross => JoinOperator::CrossJoin(constraint),
            None if is_straight => JoinOperator::StraightJoin(constraint),
            None => JoinOperator::Join(constraint),
        };
        Ok(Some(Join { relation, global: false, join_operator }))
    }

    /// The right side of a join. In `a LEFT JOIN b JOIN c ON … ON …` it is itself a join: there are more
    /// conditions than joins before them.
    fn join_operand(&mut self) -> Parse<TableFactor> {
        let relation = self.table_factor()?;
        let is_join_next = self.at_any(&["JOIN", "INNER", "LEFT", "RIGHT", "CROSS", "STRAIGHT_JOIN"]);
        if !is_join_next || !self.has_condition_behind_joins() {
            return Ok(relation);
        }
        self.nested(|cursor| {
            let mut joins = Vec::new();
            while let Some(join) = cursor.join()? {
                joins.push(join);
                if cursor.at_any(&["ON", "USING"]) {
                    break;
                }
            }
            let table_with_joins = Box::new(TableWithJoins { relation, joins });
            Ok(TableFactor::NestedJoin { table_with_joins, alias: None })
        })
    }

    /// Looks ahead at this level: is there a condition left for the join whose right side is being read?
    fn has_condition_behind_joins(&self) -> bool {
        let mut open_joins = 0_i32;
        let mut ahead = 0;
        loop {
            let token = self.peek_at(ahead);
            match token.kind {
                TokenKind::LParen => {
                    ahead = self.close_of(ahead) + 1;
                    continue;
                }
                TokenKind::RParen | TokenKind::Comma | TokenKind::End => break,
                _ => {}
            }
            match token.word() {
                "JOIN" if self.is_natural_join(ahead) => {}
                "JOIN" | "STRAIGHT_JOIN" => open_joins += 1,
                "ON" | "USING" => {
                    open_joins -= 1;
                    if open_joins < 0 {
                        return true;
                    }
                }
                "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "UNION" | "EXCEPT" | "INTERSECT"
                | "SET" => break,
                _ => {}
            }
            ahead += 1;
        }
        false
    }

    fn is_natural_join(&self, join: usize) -> bool {
        (1..=3.min(join)).any(|back| self.peek_at(join - back).word() == "NATURAL")
    }

    fn join_constraint(&mut self) -> Parse<JoinConstraint> {
        if self.take("ON") {
            return Ok(JoinConstraint::On(self.expression()?));
        }
        if self.take("USING") {
            let columns = self.parenthesized(|cursor| cursor.list(Self::object_name))?;
            return Ok(JoinConstraint::Using(columns));
        }
        Ok(JoinConstraint::None)
    }

    fn table_factor(&mut self) -> Parse<TableFactor> {
        self.nested(|cursor| {
            let lateral = cursor.at("LATERAL") && cursor.query_ahead_at(1) && cursor.take("LATERAL");
            // MariaDB's rows of values; in an expression VALUES would be a call.
            let is_values = cursor.at_kind(TokenKind::LParen) && cursor.peek_at(1).word() == "VALUES";
            if is_values || cursor.is_query_ahead() {
                let subquery = cursor.subquery()?;
                let alias = cursor.table_alias()?;
                return Ok(TableFactor::Derived { lateral, subquery, alias, sample: None });
            }
            match cursor.peek().kind {
                TokenKind::LParen => {
                    let inner = cursor.parenthesized(Self::joined_references)?;
                    Ok(TableFactor::NestedJoin { table_with_joins: Box::new(inner), alias: None })
                }
                TokenKind::LBrace => {
                    cursor.next();
                    cursor.expect("OJ")?;
                    let inner = cursor.table_with_joins()?;
                    cursor.expect_kind(TokenKind::RBrace)?;
                    Ok(TableFactor::NestedJoin { table_with_joins: Box::new(inner), alias: None })
                }
                _ if cursor.at("JSON_TABLE") && cursor.peek_at(1).kind == TokenKind::LParen => {
                    cursor.json_table()
                }
                _ => cursor.table(),
            }
        })
    }

    /// A table by its name, with all that may follow it.
    pub(super) fn table(&mut self) -> Parse<TableFactor> {
        if !self.is_free_name(self.peek()) {
            return self.fail("a table");
        }
        let name = self.object_name()?;
        let partitions = self.partitions()?;
        let version = if self.take_words(&["FOR", "SYSTEM_TIME", "AS", "OF"]) {
            Some(TableVersion::ForSystemTimeAsOf(self.expression()?))
        } else {
            None
        };
        let alias = self.table_alias()?;
        let index_hints = self.index_hints()?;
        Ok(TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints: Vec::new(),
            version,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        })
    }

    /// `PARTITION (p0, p1)`.
    pub(super) fn partitions(&mut self) -> Parse<Vec<Ident>> {
        if self.at("PARTITION") && self.peek_at(1).kind == TokenKind::LParen {
            self.next();
            return self.parenthesized(|cursor| cursor.list(Self::name));
        }
        Ok(Vec::new())
    }

    fn table_alias(&mut self) -> Parse<Option<TableAlias>> {
        let explicit = self.take("AS");
        if !explicit && !self.is_free_name(self.peek()) {
            return Ok(None);
        }
        // `a WINDOW w AS (…)` and the like: words that only some servers reserve.
        let name = self.name()?;
        let columns = self.optional_columns()?;
        Ok(Some(TableAlias { explicit, name, columns, at: None }))
    }

    /// `(a, b)` behind the name of a derived table or `WITH` query.
    pub(super) fn optional_columns(&mut self) -> Parse<Vec<TableAliasColumnDef>> {
        if !self.at_kind(TokenKind::LParen) {
            return Ok(Vec::new());
        }
        let names = self.parenthesized(|cursor| cursor.list(Self::name))?;
        Ok(names.into_iter().map(|name| TableAliasColumnDef { name, data_type: None }).collect())
    }

    fn index_hints(&mut self) -> Parse<Vec<TableIndexHints>> {
        let mut hints = Vec::new();
        loop {
            let hint_type = match self.peek().word() {
                "USE" => TableIndexHintType::Use,
                "IGNORE" => TableIndexHintType::Ignore,
                "FORCE" => TableIndexHintType::Force,
                _ => return Ok(hints),
            };
            let index_type = match self.peek_at(1).word() {
                "INDEX" => TableIndexType::Index,
                "KEY" => TableIndexType::Key,
                _ => return Ok(hints),
            };
            self.next();
            self.next();
            let for_clause = if !self.take("FOR") {
                None
            } else if self.take("JOIN") {
                Some(TableIndexHintForClause::Join)
            } else if self.take_words(&["ORDER", "BY"]) {
                Some(TableIndexHintForClause::OrderBy)
            } else if self.take_words(&["GROUP", "BY"]) {
                Some(TableIndexHintForClause::GroupBy)
            } else {
                return self.fail("JOIN, ORDER BY or GROUP BY");
            };
            let index_names = self.parenthesized(|cursor| {
                if cursor.at_kind(TokenKind::RParen) { Ok(Vec::new()) } else { cursor.list(Self::name) }
            })?;
            hints.push(TableIndexHints { hint_type, index_type, for_clause, index_names });
            // Older grammars let a comma stand between hints.
            if self.at_kind(TokenKind::Comma) && matches!(self.peek_at(2).word(), "INDEX" | "KEY") {
                self.next();
            }
        }
    }

    /// `JSON_TABLE(expr, path COLUMNS (…)) AS alias`.
    fn json_table(&mut self) -> Parse<TableFactor> {
        self.next();
        self.expect_kind(TokenKind::LParen)?;
        let json_expr = self.expression()?;
        self.expect_kind(TokenKind::Comma)?;
        let json_path = self.value()?;
        self.expect("COLUMNS")?;
        let columns = self.parenthesized(|cursor| cursor.list(Self::json_column))?;
        self.expect_kind(TokenKind::RParen)?;
        let alias = self.table_alias()?;
        Ok(TableFactor::JsonTable { json_expr, json_path, columns, alias })
    }

    fn json_column(&mut self) -> Parse<JsonTableColumn> {
        if self.at("NESTED")
            && (self.peek_at(1).word() == "PATH" || self.peek_at(1).kind == TokenKind::String)
        {
            self.next();
            let _ = self.take("PATH");
            let path = self.value()?;
            self.expect("COLUMNS")?;
            let columns =
                self.nested(|cursor| cursor.parenthesized(|cursor| cursor.list(Self::json_column)))?;
            return Ok(JsonTableColumn::Nested(JsonTableNestedColumn { path, columns }));
        }
        let name = self.name()?;
        if self.take_words(&["FOR", "ORDINALITY"]) {
            return Ok(JsonTableColumn::ForOrdinality(name));
        }
        let words = self.raw_words(&["PATH", "EXISTS"])?;
        let r#type = DataType::Custom(ObjectName::from(Ident::new(words)), Vec::new());
        let exists = self.take("EXISTS");
        self.expect("PATH")?;
        let path = self.value()?;
        let mut column = JsonTableNamedColumn { name, r#type, path, exists, on_empty: None, on_error: None };
        while self.at_any(&["NULL", "ERROR", "DEFAULT"]) {
            let handling = match self.next().word() {
                "NULL" => JsonTableColumnErrorHandling::Null,
                "ERROR" => JsonTableColumnErrorHandling::Error,
                _ => JsonTableColumnErrorHandling::Default(self.value()?),
            };
            self.expect("ON")?;
            if self.take("EMPTY") {
                column.on_empty = Some(handling);
            } else {
                self.expect("ERROR")?;
                column.on_error = Some(handling);
            }
        }
        Ok(JsonTableColumn::Named(column))
    }
}
