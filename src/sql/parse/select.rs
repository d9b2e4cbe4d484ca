//! One `SELECT`: modifiers, list, clauses.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    Distinct, Expr, FunctionArguments, GroupByExpr, GroupByWithModifier, Ident, ObjectName, OptimizerHint,
    OptimizerHintStyle, Select, SelectFlavor, SelectInto, SelectItem, SelectItemQualifiedWildcardKind,
    SelectModifiers, WildcardAdditionalOptions,
};

use super::SelectList;
use super::cursor::{Cursor, Parse, ast_span};
use super::primary::{attached, function};
use crate::sql::ast::NEXT_VALUES;
use crate::sql::token::TokenKind;

impl Cursor<'_> {
    /// `SELECT … [INTO …] [FROM …] [WHERE …] [GROUP BY …] [HAVING …] [WINDOW …]`.
    pub(super) fn select(&mut self) -> Parse<Select> {
        let start = self.expect("SELECT")?;
        let mut select = empty_select(attached(&start));
        select.optimizer_hints = self.hints()?;
        self.select_modifiers(&mut select);
        let mut sources = Vec::new();
        select.projection = if self.at("NEXT") && self.is_next_values() {
            vec![self.next_values()?]
        } else {
            self.list(|cursor| {
                let mark = cursor.mark();
                let (item, end) = cursor.select_item()?;
                let mut span = cursor.span_from(mark);
                span.end = end.unwrap_or(span.end);
                sources.push(span);
                Ok(item)
            })?
        };
        self.note_select_list(SelectList { select_offset: start.span.start, items: sources });
        if self.take("INTO") {
            select.into = Some(self.targets_of_into()?);
        }
        if self.take("FROM") {
            select.from = self.table_references()?;
        }
        if self.take("WHERE") {
            select.selection = Some(self.expression()?);
        }
        if self.take_words(&["GROUP", "BY"]) {
            select.group_by = self.group_by()?;
        }
        if self.take("HAVING") {
            select.having = Some(self.expression()?);
        }
        if self.take("WINDOW") {
            select.named_window = self.named_windows()?;
        }
        Ok(select)
    }

    /// `/*+ … */` behind a verb.
    pub(super) fn hints(&mut self) -> Parse<Vec<OptimizerHint>> {
        let mut hints = Vec::new();
        while self.at_kind(TokenKind::Hint) {
            let token = self.next();
            let source = self.source(token.span)?;
            let text = source.trim_start_matches("/*+").trim_end_matches("*/").to_owned();
            hints.push(OptimizerHint { prefix: String::new(), text, style: OptimizerHintStyle::MultiLine });
        }
        Ok(hints)
    }

    fn select_modifiers(&mut self, select: &mut Select) {
        let mut modifiers = SelectModifiers {
            high_priority: false,
            straight_join: false,
            sql_small_result: false,
            sql_big_result: false,
            sql_buffer_result: false,
            sql_no_cache: false,
            sql_calc_found_rows: false,
        };
        let none = modifiers.clone();
        loop {
            match self.peek().word() {
                "ALL" => select.distinct = Some(Distinct::All),
                "DISTINCT" | "DISTINCTROW" => select.distinct = Some(Distinct::Distinct),
                "HIGH_PRIORITY" => modifiers.high_priority = true,
                "STRAIGHT_JOIN" => modifiers.straight_join = true,
                "SQL_SMALL_RESULT" => modifiers.sql_small_result = true,
                "SQL_BIG_RESULT" => modifiers.sql_big_result = true,
                "SQL_BUFFER_RESULT" => modifiers.sql_buffer_result = true,
                "SQL_NO_CACHE" => modifiers.sql_no_cache = true,
                "SQL_CALC_FOUND_ROWS" => modifiers.sql_calc_found_rows = true,
                // MariaDB's query cache, which changes no result.
                "SQL_CACHE" => {}
                _ => break,
            }
            self.next();
        }
        if modifiers != none {
            select.select_modifiers = Some(modifiers);
        }
    }

    /// One item, and where its expression ends if an alias follows.
    pub(super) fn select_item(&mut self) -> Parse<(SelectItem, Option<u32>)> {
        if self.at_kind(TokenKind::Star) {
            let star = self.next();
            return Ok((SelectItem::Wildcard(wildcard(attached(&star))), None));
        }
        if let Some(item) = self.qualified_wildcard()? {
            return Ok((item, None));
        }
        let mark = self.mark();
        let expr = self.expression()?;
        let end = self.span_from(mark).end;
        let is_explicit = self.take("AS");
        let token = *self.peek();
        let alias = if token.kind == TokenKind::String && !token.is_arg() {
            self.next();
            let name = self.string(token.span.of(self.text), &token)?;
            Some(Ident { value: name, quote_style: Some('`'), span: ast_span(token.span) })
        } else if is_explicit || self.is_free_name(&token) {
            Some(self.name()?)
        } else {
            None
        };
        Ok(match alias {
            Some(alias) => (SelectItem::ExprWithAlias { expr, alias }, Some(end)),
            None => (SelectItem::UnnamedExpr(expr), None),
        })
    }

    /// `a.*`, `a.b.*`.
    fn qualified_wildcard(&mut self) -> Parse<Option<SelectItem>> {
        let mark = self.mark();
        let mut parts = Vec::new();
        while self.peek().kind.is_name() && self.peek_at(1).kind == TokenKind::Dot {
            parts.push(self.name()?);
            self.next();
        }
        if parts.is_empty() || !self.at_kind(TokenKind::Star) {
            self.rewind(mark);
            return Ok(None);
        }
        let star = self.next();
        let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(parts));
        Ok(Some(SelectItem::QualifiedWildcard(kind, wildcard(attached(&star)))))
    }

    fn is_next_values(&self) -> bool {
        self.at_words(&["NEXT", "VALUE", "FROM"])
            || (self.peek_at(2).word() == "VALUES" && self.peek_at(3).word() == "FROM")
    }

    /// The router's own `SELECT NEXT n VALUES FROM sequence`: a call `NEXT_VALUES(n)`.
    fn next_values(&mut self) -> Parse<SelectItem> {
        let start = self.next();
        let args = if self.take("VALUE") {
            FunctionArguments::None
        } else {
            let count = Expr::Value(self.value()?);
            self.expect("VALUES")?;
            super::function::arguments(vec![count])
        };
        let mut name = Ident::new(NEXT_VALUES);
        name.span = ast_span(start.span);
        Ok(SelectItem::UnnamedExpr(Expr::Function(function(name.into(), args))))
    }

    /// Variables, or a file with its options, which stay as they are written.
    pub(super) fn targets_of_into(&mut self) -> Parse<SelectInto> {
        let targets = if self.at_any(&["OUTFILE", "DUMPFILE"]) {
            let word = self.next();
            let prefix = self.raw_ident(word.span)?;
            let mark = self.mark();
            self.value()?;
            let options = ["CHARACTER", "CHARSET", "FIELDS", "COLUMNS", "LINES"];
            if self.at_any(&options) {
                while !self.at_any(&["FROM", "FOR", "LOCK"]) && !self.at_kind(TokenKind::End) {
                    self.next();
                }
            }
            let rest = self.raw_ident(self.span_from(mark))?;
            vec![Expr::Prefixed { prefix, value: Box::new(Expr::Identifier(rest)) }]
        } else {
            self.list(|cursor| {
                let token = *cursor.peek();
                if token.kind == TokenKind::UserVariable {
                    cursor.next();
                    return Ok(Expr::Identifier(cursor.raw_ident(token.span)?));
                }
                Ok(Expr::Identifier(cursor.free_name()?))
            })?
        };
        Ok(SelectInto { temporary: false, unlogged: false, table: false, targets })
    }

    fn group_by(&mut self) -> Parse<GroupByExpr> {
        let items = self.list(|cursor| {
            let expr = cursor.expression()?;
            // Ascending is the default of those servers that take it.
            let _ = cursor.take("ASC");
            Ok(expr)
        })?;
        let modifiers =
            if self.take_words(&["WITH", "ROLLUP"]) { vec![GroupByWithModifier::Rollup] } else { Vec::new() };
        Ok(GroupByExpr::Expressions(items, modifiers))
    }

    /// `a`, `a.b`, `a.b.c`.
    pub(super) fn object_name(&mut self) -> Parse<ObjectName> {
        let mut parts = vec![self.name()?];
        while self.at_kind(TokenKind::Dot) && self.peek_at(1).kind.is_name() {
            self.next();
            parts.push(self.name()?);
        }
        Ok(ObjectName::from(parts))
    }
}

fn wildcard(token: AttachedToken) -> WildcardAdditionalOptions {
    WildcardAdditionalOptions { wildcard_token: token, ..WildcardAdditionalOptions::default() }
}

fn empty_select(select_token: AttachedToken) -> Select {
    Select {
        select_token,
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}
