//! Expressions, with parentheses where the tree needs them.

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, Interval, ObjectNamePart, Query, UnaryOperator, Value, ValueWithSpan,
};

use super::Writer;
use crate::sql::options::SqlMode;
use crate::sql::parse::operator::{binary_strength, expression_strength, strength};

impl Writer {
    /// An expression where any may stand.
    pub(super) fn expression(&mut self, expr: &Expr) {
        self.operand(expr, 0);
    }

    /// An expression as part of another: in parentheses if it binds less than `floor`.
    pub(super) fn operand(&mut self, expr: &Expr, floor: u8) {
        if expression_strength(expr) < floor {
            self.raw("(");
            self.bare(expr);
            self.raw(")");
        } else {
            self.bare(expr);
        }
    }

    fn bare(&mut self, expr: &Expr) {
        match expr {
            Expr::Identifier(ident) => self.ident(ident),
            Expr::CompoundIdentifier(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        self.raw(".");
                    }
                    self.ident(part);
                }
            }
            Expr::Value(ValueWithSpan { value, .. }) => self.value(value),
            Expr::Nested(inner) => self.in_parentheses(|writer| writer.expression(inner)),
            Expr::Tuple(items) => self.in_parentheses(|writer| writer.list(items, Self::expression)),
            Expr::Subquery(query) => self.subquery(query),
            Expr::Exists { subquery, negated } => {
                self.raw(if *negated { "NOT EXISTS " } else { "EXISTS " });
                self.subquery(subquery);
            }
            Expr::Function(function) => self.function(function),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::Prefixed { prefix, value } => self.prefixed(&prefix.value, value),
            Expr::Interval(interval) => self.interval(interval),
            Expr::Case { .. } => self.case(expr),
            Expr::Named { expr, name } => {
                self.expression(expr);
                self.raw(" AS ");
                self.raw(&name.value);
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.operand(timestamp, strength::PRIMARY);
                self.raw(" AT TIME ZONE ");
                self.operand(time_zone, strength::PRIMARY);
            }
            Expr::Collate { expr, collation } => {
                self.operand(expr, strength::COLLATE);
                self.raw(" COLLATE ");
                self.object_name(collation);
            }
            Expr::Cast { .. }
            | Expr::Convert { .. }
            | Expr::Extract { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::MatchAgainst { .. }
            | Expr::TypedString(_) => self.call_form(expr),
            _ => self.predicate(expr),
        }
    }

    pub(super) fn in_parentheses(&mut self, inner: impl FnOnce(&mut Self)) {
        self.raw("(");
        inner(self);
        self.raw(")");
    }

    pub(super) fn subquery(&mut self, query: &Query) {
        self.in_parentheses(|writer| writer.query(query));
    }

    fn unary(&mut self, op: UnaryOperator, expr: &Expr) {
        match op {
            UnaryOperator::Not => {
                self.raw("NOT ");
                let is_tight = self.mode.contains(SqlMode::HIGH_NOT_PRECEDENCE);
                self.operand(expr, if is_tight { strength::BANG } else { strength::NOT });
            }
            UnaryOperator::BangNot => {
                self.raw("!");
                self.operand(expr, strength::BANG);
            }
            UnaryOperator::Minus | UnaryOperator::Plus => {
                self.raw(if op == UnaryOperator::Minus { "-" } else { "+" });
                // Two minus signs could begin a comment.
                let is_signed = matches!(expr, Expr::UnaryOp { .. }) || is_negative_number(expr);
                if is_signed && expression_strength(expr) >= strength::NEGATE {
                    self.raw(" ");
                }
                self.operand(expr, strength::NEGATE);
            }
            UnaryOperator::BitwiseNot => {
                self.raw("~");
                self.operand(expr, strength::NEGATE);
            }
            other => {
                self.display(other);
                self.operand(expr, strength::PRIMARY);
            }
        }
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) {
        let binding = binary_strength(op);
        if *op == BinaryOperator::Assignment {
            self.operand(left, strength::PRIMARY);
            self.raw(" := ");
            return self.operand(right, 0);
        }
        if matches!(op, BinaryOperator::Arrow | BinaryOperator::LongArrow) {
            self.operand(left, strength::PRIMARY);
            self.raw(if *op == BinaryOperator::Arrow { "->" } else { "->>" });
            return self.operand(right, strength::PRIMARY);
        }
        // Chains of AND and of OR mean the same however they are grouped.
        let is_associative = matches!(op, BinaryOperator::And | BinaryOperator::Or);
        self.operand(left, binding);
        self.raw(" ");
        match op {
            BinaryOperator::NotEq => self.raw("!="),
            BinaryOperator::Spaceship => self.raw("<=>"),
            BinaryOperator::MyIntegerDivide => self.raw("DIV"),
            BinaryOperator::Custom(words) => self.raw(words),
            other => self.display(other),
        }
        self.raw(" ");
        self.operand(right, binding + u8::from(!is_associative));
    }

    fn predicate(&mut self, expr: &Expr) {
        match expr {
            Expr::IsNull(inner) => self.is(inner, "NULL"),
            Expr::IsNotNull(inner) => self.is(inner, "NOT NULL"),
            Expr::IsTrue(inner) => self.is(inner, "TRUE"),
            Expr::IsNotTrue(inner) => self.is(inner, "NOT TRUE"),
            Expr::IsFalse(inner) => self.is(inner, "FALSE"),
            Expr::IsNotFalse(inner) => self.is(inner, "NOT FALSE"),
            Expr::IsUnknown(inner) => self.is(inner, "UNKNOWN"),
            Expr::IsNotUnknown(inner) => self.is(inner, "NOT UNKNOWN"),
            Expr::InList { expr, list, negated } => {
                self.tested(expr, *negated, "IN");
                self.in_parentheses(|writer| writer.list(list, Self::expression));
            }
            Expr::InSubquery { expr, subquery, negated } => {
                self.tested(expr, *negated, "IN");
                self.subquery(subquery);
            }
            Expr::Between { expr, negated, low, high } => {
                self.tested(expr, *negated, "BETWEEN");
                self.operand(low, strength::PREDICATE + 1);
                self.raw(" AND ");
                self.operand(high, strength::PREDICATE);
            }
            Expr::Like { negated, expr, pattern, escape_char, .. } => {
                self.tested(expr, *negated, "LIKE");
                self.operand(pattern, strength::PREDICATE + 1);
                if let Some(escape) = escape_char {
                    self.raw(" ESCAPE ");
                    self.operand(escape, strength::PREDICATE + 1);
                }
            }
            Expr::RLike { negated, expr, pattern, regexp } => {
                self.tested(expr, *negated, if *regexp { "REGEXP" } else { "RLIKE" });
                self.operand(pattern, strength::PREDICATE + 1);
            }
            Expr::MemberOf(member) => {
                self.operand(&member.value, strength::PREDICATE);
                self.raw(" MEMBER OF ");
                self.in_parentheses(|writer| writer.expression(&member.array));
            }
            Expr::AnyOp { left, compare_op, right, is_some } => {
                self.quantified(left, compare_op, if *is_some { "SOME" } else { "ANY" }, right);
            }
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, "ALL", right),
            // Not MySQL's; nothing here makes such nodes.
            other => self.display(other),
        }
    }

    fn is(&mut self, expr: &Expr, what: &str) {
        self.operand(expr, strength::COMPARE);
        self.raw(" IS ");
        self.raw(what);
    }

    fn tested(&mut self, expr: &Expr, negated: bool, word: &str) {
        self.operand(expr, strength::PREDICATE);
        self.raw(if negated { " NOT " } else { " " });
        self.raw(word);
        self.raw(" ");
    }

    fn quantified(&mut self, left: &Expr, op: &BinaryOperator, quantifier: &str, right: &Expr) {
        self.operand(left, strength::COMPARE);
        self.raw(" ");
        match op {
            BinaryOperator::NotEq => self.raw("!="),
            other => self.display(other),
        }
        self.raw(" ");
        self.raw(quantifier);
        self.raw(" ");
        self.operand(right, strength::PRIMARY);
    }

    /// `_charset'…'`, or the file of `INTO OUTFILE`, whose text stays as it is.
    pub(super) fn prefixed(&mut self, prefix: &str, value: &Expr) {
        self.raw(prefix);
        self.raw(" ");
        match value {
            Expr::Identifier(rest) => self.raw(&rest.value),
            other => self.operand(other, strength::PRIMARY),
        }
    }

    fn interval(&mut self, interval: &Interval) {
        self.raw("INTERVAL ");
        self.expression(&interval.value);
        if let Some(field) = &interval.leading_field {
            self.raw(" ");
            self.display(field);
        }
    }

    fn case(&mut self, expr: &Expr) {
        let Expr::Case { operand, conditions, else_result, .. } = expr else { return };
        self.raw("CASE");
        if let Some(operand) = operand {
            self.raw(" ");
            self.expression(operand);
        }
        for when in conditions {
            self.raw(" WHEN ");
            self.expression(&when.condition);
            self.raw(" THEN ");
            self.expression(&when.result);
        }
        if let Some(result) = else_result {
            self.raw(" ELSE ");
            self.expression(result);
        }
        self.raw(" END");
    }

    /// A type: as text where it came from text.
    pub(super) fn data_type(&mut self, data_type: &DataType) {
        match data_type {
            DataType::Custom(name, modifiers) if modifiers.is_empty() => {
                for part in &name.0 {
                    match part {
                        ObjectNamePart::Identifier(ident) => self.raw(&ident.value),
                        other => self.display(other),
                    }
                }
            }
            other => self.display(other),
        }
    }
}

fn is_negative_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) if text.starts_with('-'))
}
