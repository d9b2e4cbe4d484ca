//! Calls: plain, with words inside, aggregates, windows.

use sqlparser::ast::{
    DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, NamedWindowDefinition, NamedWindowExpr, NullTreatment,
    ObjectNamePart, OrderByExpr, OrderBySort, WindowFrameBound, WindowSpec, WindowType,
};

use super::Writer;
use crate::sql::ast::NEXT_VALUES;
use crate::sql::parse::operator::strength;

impl Writer {
    pub(super) fn function(&mut self, function: &Function) {
        if self.next_values(function) {
            return;
        }
        self.function_name(&function.name);
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => self.subquery(query),
            FunctionArguments::List(list) => self.in_parentheses(|writer| writer.arguments(list)),
        }
        if !function.within_group.is_empty() {
            self.raw(" WITHIN GROUP (ORDER BY ");
            self.list(&function.within_group, Self::order_item);
            self.raw(")");
        }
        match function.null_treatment {
            Some(NullTreatment::IgnoreNulls) => self.raw(" IGNORE NULLS"),
            Some(NullTreatment::RespectNulls) => self.raw(" RESPECT NULLS"),
            None => {}
        }
        match &function.over {
            Some(WindowType::WindowSpec(window)) => {
                self.raw(" OVER ");
                self.in_parentheses(|writer| writer.window(window));
            }
            Some(WindowType::NamedWindow(name)) => {
                self.raw(" OVER ");
                self.ident(name);
            }
            None => {}
        }
    }

    /// The router's own `NEXT n VALUES`.
    fn next_values(&mut self, function: &Function) -> bool {
        let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return false };
        if name.value != NEXT_VALUES || name.quote_style.is_some() {
            return false;
        }
        match &function.args {
            FunctionArguments::List(list) => {
                self.raw("NEXT ");
                self.arguments(list);
                self.raw(" VALUES");
            }
            _ => self.raw("NEXT VALUE"),
        }
        true
    }

    fn arguments(&mut self, list: &FunctionArgumentList) {
        match list.duplicate_treatment {
            Some(DuplicateTreatment::Distinct) => self.raw("DISTINCT "),
            Some(DuplicateTreatment::All) => self.raw("ALL "),
            None => {}
        }
        self.list(&list.args, |writer, arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => writer.expression(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => writer.raw("*"),
            other => writer.display(other),
        });
        for clause in &list.clauses {
            if !list.args.is_empty() {
                self.raw(" ");
            }
            match clause {
                FunctionArgumentClause::OrderBy(items) => {
                    self.raw("ORDER BY ");
                    self.list(items, Self::order_item);
                }
                FunctionArgumentClause::Limit(limit) => {
                    self.raw("LIMIT ");
                    self.expression(limit);
                }
                FunctionArgumentClause::Separator(separator) => {
                    self.raw("SEPARATOR ");
                    self.value(&separator.value);
                }
                FunctionArgumentClause::JsonReturningClause(clause) => self.data_type(&clause.data_type),
                other => self.display(other),
            }
        }
    }

    pub(super) fn order_item(&mut self, item: &OrderByExpr) {
        self.expression(&item.expr);
        match &item.options.sort {
            Some(OrderBySort::Asc) => self.raw(" ASC"),
            Some(OrderBySort::Desc) => self.raw(" DESC"),
            _ => {}
        }
    }

    pub(super) fn named_window(&mut self, window: &NamedWindowDefinition) {
        self.ident(&window.0);
        self.raw(" AS ");
        match &window.1 {
            NamedWindowExpr::NamedWindow(name) => self.ident(name),
            NamedWindowExpr::WindowSpec(window) => self.in_parentheses(|writer| writer.window(window)),
        }
    }

    fn window(&mut self, window: &WindowSpec) {
        let mut separator = "";
        if let Some(name) = &window.window_name {
            self.ident(name);
            separator = " ";
        }
        if !window.partition_by.is_empty() {
            self.raw(separator);
            self.raw("PARTITION BY ");
            self.list(&window.partition_by, Self::expression);
            separator = " ";
        }
        if !window.order_by.is_empty() {
            self.raw(separator);
            self.raw("ORDER BY ");
            self.list(&window.order_by, Self::order_item);
            separator = " ";
        }
        if let Some(frame) = &window.window_frame {
            self.raw(separator);
            self.display(frame.units);
            self.raw(" ");
            if let Some(end) = &frame.end_bound {
                self.raw("BETWEEN ");
                self.frame_bound(&frame.start_bound);
                self.raw(" AND ");
                self.frame_bound(end);
            } else {
                self.frame_bound(&frame.start_bound);
            }
        }
    }

    fn frame_bound(&mut self, bound: &WindowFrameBound) {
        let (value, word) = match bound {
            WindowFrameBound::CurrentRow => return self.raw("CURRENT ROW"),
            WindowFrameBound::Preceding(value) => (value, " PRECEDING"),
            WindowFrameBound::Following(value) => (value, " FOLLOWING"),
        };
        match value {
            Some(value) => self.operand(value, strength::AND + 1),
            None => self.raw("UNBOUNDED"),
        }
        self.raw(word);
    }

    /// Forms that look like calls but have words between their arguments.
    pub(super) fn call_form(&mut self, expr: &Expr) {
        match expr {
            Expr::Cast { expr, data_type, .. } => {
                self.raw("CAST(");
                self.expression(expr);
                self.raw(" AS ");
                self.data_type(data_type);
            }
            Expr::Convert { expr, data_type, charset, .. } => {
                self.raw("CONVERT(");
                self.expression(expr);
                if let Some(charset) = charset {
                    self.raw(" USING ");
                    self.object_name(charset);
                } else if let Some(data_type) = data_type {
                    self.raw(", ");
                    self.data_type(data_type);
                }
            }
            Expr::Extract { field, expr, .. } => {
                self.raw("EXTRACT(");
                self.display(field);
                self.raw(" FROM ");
                self.expression(expr);
            }
            Expr::Position { expr, r#in } => {
                self.raw("POSITION(");
                self.operand(expr, strength::PREDICATE + 1);
                self.raw(" IN ");
                self.expression(r#in);
            }
            Expr::Substring { .. } | Expr::Trim { .. } => self.part_of_string(expr),
            Expr::MatchAgainst { columns, match_value, opt_search_modifier } => {
                self.raw("MATCH (");
                self.list(columns, Self::object_name);
                self.raw(") AGAINST (");
                self.value(&match_value.value);
                if let Some(modifier) = opt_search_modifier {
                    self.raw(" ");
                    self.display(modifier);
                }
            }
            Expr::TypedString(typed) => {
                self.raw(match typed.data_type {
                    DataType::Date => "DATE ",
                    DataType::Time(..) => "TIME ",
                    _ => "TIMESTAMP ",
                });
                return self.value(&typed.value.value);
            }
            other => return self.display(other),
        }
        self.raw(")");
    }

    /// `SUBSTRING(… FROM … FOR …` and `TRIM(… FROM …`, without the last parenthesis.
    fn part_of_string(&mut self, expr: &Expr) {
        match expr {
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                self.raw(if *shorthand { "SUBSTR(" } else { "SUBSTRING(" });
                self.expression(expr);
                self.after(" FROM ", substring_from.as_deref());
                self.after(" FOR ", substring_for.as_deref());
            }
            Expr::Trim { expr, trim_where, trim_what, .. } => {
                self.raw("TRIM(");
                if let Some(side) = trim_where {
                    self.display(side);
                    self.raw(" ");
                }
                if let Some(what) = trim_what {
                    self.expression(what);
                    self.raw(" ");
                }
                if trim_where.is_some() || trim_what.is_some() {
                    self.raw("FROM ");
                }
                self.expression(expr);
            }
            other => self.display(other),
        }
    }

    fn after(&mut self, word: &str, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.raw(word);
            self.expression(expr);
        }
    }
}
