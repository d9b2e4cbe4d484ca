//! Operators and how tightly they bind.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/operator-precedence.html>; where that page and the servers' grammars
//! differ (`LIKE`, `IN` and `BETWEEN` bind tighter than `=`), the grammars rule.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

/// Binding strengths; larger binds tighter.
pub(in crate::sql) mod strength {
    /// `:=`
    pub const ASSIGN: u8 = 1;
    /// `OR`
    pub const OR: u8 = 5;
    /// `XOR`
    pub const XOR: u8 = 7;
    /// `AND`
    pub const AND: u8 = 9;
    /// `NOT`
    pub const NOT: u8 = 11;
    /// `=`, `<=>`, `<`, …, `IS`
    pub const COMPARE: u8 = 13;
    /// `BETWEEN`, `IN`, `LIKE`, `REGEXP`, `MEMBER OF`
    pub const PREDICATE: u8 = 15;
    /// `|`
    pub const BIT_OR: u8 = 17;
    /// `&`
    pub const BIT_AND: u8 = 19;
    /// `<<`, `>>`
    pub const SHIFT: u8 = 21;
    /// `+`, `-`, `INTERVAL`
    pub const ADD: u8 = 23;
    /// `*`, `/`, `DIV`, `%`
    pub const MULTIPLY: u8 = 25;
    /// `^`
    pub const BIT_XOR: u8 = 27;
    /// `||` under `PIPES_AS_CONCAT`
    pub const CONCAT: u8 = 28;
    /// Unary `-`, `+`, `~`
    pub const NEGATE: u8 = 29;
    /// `!`, and `NOT` under `HIGH_NOT_PRECEDENCE`
    pub const BANG: u8 = 31;
    /// `BINARY`, `COLLATE`
    pub const COLLATE: u8 = 33;
    /// `->`, `->>`, and all that is one piece.
    pub const PRIMARY: u8 = 35;
}

/// How tightly a binary operator binds.
pub(in crate::sql) fn binary_strength(op: &BinaryOperator) -> u8 {
    match op {
        BinaryOperator::Assignment => strength::ASSIGN,
        BinaryOperator::Or => strength::OR,
        BinaryOperator::Xor => strength::XOR,
        BinaryOperator::And => strength::AND,
        BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::Lt
        | BinaryOperator::LtEq
        | BinaryOperator::Gt
        | BinaryOperator::GtEq
        | BinaryOperator::Spaceship => strength::COMPARE,
        BinaryOperator::BitwiseOr => strength::BIT_OR,
        BinaryOperator::BitwiseAnd => strength::BIT_AND,
        BinaryOperator::PGBitwiseShiftLeft | BinaryOperator::PGBitwiseShiftRight => strength::SHIFT,
        BinaryOperator::Plus | BinaryOperator::Minus => strength::ADD,
        BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo
        | BinaryOperator::MyIntegerDivide => strength::MULTIPLY,
        BinaryOperator::BitwiseXor => strength::BIT_XOR,
        BinaryOperator::StringConcat => strength::CONCAT,
        BinaryOperator::Arrow | BinaryOperator::LongArrow => strength::PRIMARY,
        _ => strength::PREDICATE,
    }
}

/// How tightly the outermost operator of an expression binds.
pub(in crate::sql) fn expression_strength(expr: &Expr) -> u8 {
    match expr {
        Expr::BinaryOp { op, .. } => binary_strength(op),
        Expr::UnaryOp { op, .. } => unary_strength(*op),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. } => strength::COMPARE,
        Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Like { .. }
        | Expr::RLike { .. }
        | Expr::MemberOf(_) => strength::PREDICATE,
        Expr::Exists { negated: true, .. } => strength::NOT,
        Expr::Collate { .. } => strength::COLLATE,
        _ => strength::PRIMARY,
    }
}

/// How tightly a unary operator binds.
pub(in crate::sql) fn unary_strength(op: UnaryOperator) -> u8 {
    match op {
        UnaryOperator::Not => strength::NOT,
        UnaryOperator::BangNot => strength::BANG,
        _ => strength::NEGATE,
    }
}
