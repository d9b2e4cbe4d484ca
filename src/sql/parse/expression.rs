//! Expressions: operators over primaries, by precedence climbing.

use sqlparser::ast::{BinaryOperator, Expr, Ident, MemberOf, ObjectName, Query, UnaryOperator};

use super::cursor::{Cursor, Parse};
use super::operator::{binary_strength, strength};
use crate::sql::options::SqlMode;
use crate::sql::token::TokenKind;

/// Chains of `AND` or `OR` up to this long nest to the left, as everybody expects; longer ones become balanced
/// trees, which mean the same and nest less.
const LEFT_CHAIN_MAX: usize = 16;

/// What follows an expression.
enum Infix {
    Binary(BinaryOperator),
    Between,
    Collate,
    In,
    Is,
    Like,
    MemberOf,
    Regexp { is_regexp: bool },
    SoundsLike,
}

impl Cursor<'_> {
    /// Any expression.
    pub(super) fn expression(&mut self) -> Parse<Expr> {
        self.expression_above(0)
    }

    /// An expression of operators that bind tighter than `floor`.
    pub(super) fn expression_above(&mut self, floor: u8) -> Parse<Expr> {
        self.nested(|cursor| {
            let mut left = cursor.prefix()?;
            while let Some((infix, negated, binding)) = cursor.peek_infix() {
                if binding <= floor {
                    break;
                }
                left = cursor.infix(left, infix, negated, binding)?;
                cursor.deepen(1)?;
            }
            Ok(left)
        })
    }

    #[inline(never)]
    fn prefix(&mut self) -> Parse<Expr> {
        let unary = |cursor: &mut Self, op, binding: u8| {
            cursor.next();
            let expr = Box::new(cursor.expression_above(binding - 1)?);
            Ok(Expr::UnaryOp { op, expr })
        };
        match self.peek().kind {
            TokenKind::Minus => return unary(self, UnaryOperator::Minus, strength::NEGATE),
            TokenKind::Plus => return unary(self, UnaryOperator::Plus, strength::NEGATE),
            TokenKind::Tilde => return unary(self, UnaryOperator::BitwiseNot, strength::NEGATE),
            TokenKind::Bang => return unary(self, UnaryOperator::BangNot, strength::BANG),
            _ => {}
        }
        if self.at("NOT") {
            if self.peek_at(1).word() == "EXISTS" {
                self.next();
                self.next();
                let subquery = Box::new(self.parenthesized(Self::query)?);
                return Ok(Expr::Exists { subquery, negated: true });
            }
            let binding =
                if self.has_mode(SqlMode::HIGH_NOT_PRECEDENCE) { strength::BANG } else { strength::NOT };
            return unary(self, UnaryOperator::Not, binding);
        }
        self.primary()
    }

    /// The operator that comes next, whether `NOT` is in front of it, and how tightly it binds.
    fn peek_infix(&self) -> Option<(Infix, bool, u8)> {
        let token = self.peek();
        if let Some(op) = self.symbol_operator(token.kind) {
            let binding = binary_strength(&op);
            return Some((Infix::Binary(op), false, binding));
        }
        let negated = token.word() == "NOT";
        let word = if negated { self.peek_at(1).word() } else { token.word() };
        let after = self.peek_at(1 + usize::from(negated));
        let infix = match word {
            "BETWEEN" => Infix::Between,
            "IN" => Infix::In,
            "LIKE" => Infix::Like,
            "REGEXP" => Infix::Regexp { is_regexp: true },
            "RLIKE" => Infix::Regexp { is_regexp: false },
            _ if negated => return None,
            "AND" => Infix::Binary(BinaryOperator::And),
            "OR" => Infix::Binary(BinaryOperator::Or),
            "XOR" => Infix::Binary(BinaryOperator::Xor),
            "DIV" => Infix::Binary(BinaryOperator::MyIntegerDivide),
            "MOD" => Infix::Binary(BinaryOperator::Modulo),
            "IS" => Infix::Is,
            "COLLATE" => Infix::Collate,
            "SOUNDS" if after.word() == "LIKE" => Infix::SoundsLike,
            "MEMBER" if after.word() == "OF" => Infix::MemberOf,
            _ => return None,
        };
        let binding = match &infix {
            Infix::Binary(op) => binary_strength(op),
            Infix::Is => strength::COMPARE,
            Infix::Collate => strength::COLLATE,
            _ => strength::PREDICATE,
        };
        Some((infix, negated, binding))
    }

    fn symbol_operator(&self, kind: TokenKind) -> Option<BinaryOperator> {
        Some(match kind {
            TokenKind::Eq => BinaryOperator::Eq,
            TokenKind::NullSafeEq => BinaryOperator::Spaceship,
            TokenKind::NotEq => BinaryOperator::NotEq,
            TokenKind::Lt => BinaryOperator::Lt,
            TokenKind::LtEq => BinaryOperator::LtEq,
            TokenKind::Gt => BinaryOperator::Gt,
            TokenKind::GtEq => BinaryOperator::GtEq,
            TokenKind::Plus => BinaryOperator::Plus,
            TokenKind::Minus => BinaryOperator::Minus,
            TokenKind::Star => BinaryOperator::Multiply,
            TokenKind::Slash => BinaryOperator::Divide,
            TokenKind::Percent => BinaryOperator::Modulo,
            TokenKind::Ampersand => BinaryOperator::BitwiseAnd,
            TokenKind::Pipe => BinaryOperator::BitwiseOr,
            TokenKind::Caret => BinaryOperator::BitwiseXor,
            TokenKind::ShiftLeft => BinaryOperator::PGBitwiseShiftLeft,
            TokenKind::ShiftRight => BinaryOperator::PGBitwiseShiftRight,
            TokenKind::AndAnd => BinaryOperator::And,
            TokenKind::PipePipe if self.has_mode(SqlMode::PIPES_AS_CONCAT) => BinaryOperator::StringConcat,
            TokenKind::PipePipe => BinaryOperator::Or,
            TokenKind::Arrow => BinaryOperator::Arrow,
            TokenKind::LongArrow => BinaryOperator::LongArrow,
            _ => return None,
        })
    }

    #[inline(never)]
    fn infix(&mut self, left: Expr, infix: Infix, negated: bool, binding: u8) -> Parse<Expr> {
        if negated {
            self.next();
        }
        self.next();
        match infix {
            Infix::Binary(op) => self.binary(left, op, binding),
            Infix::Between => {
                let low = Box::new(self.expression_above(strength::PREDICATE)?);
                self.expect("AND")?;
                let high = Box::new(self.expression_above(strength::PREDICATE - 1)?);
                Ok(Expr::Between { expr: Box::new(left), negated, low, high })
            }
            Infix::Collate => {
                let collation = ObjectName::from(self.collation()?);
                Ok(Expr::Collate { expr: Box::new(left), collation })
            }
            Infix::In => self.in_list(left, negated),
            Infix::Is => self.is(left),
            Infix::Like => {
                let pattern = Box::new(self.expression_above(strength::PREDICATE)?);
                let escape_char = if self.take("ESCAPE") {
                    Some(Box::new(self.expression_above(strength::PREDICATE)?))
                } else {
                    None
                };
                Ok(Expr::Like { negated, any: false, expr: Box::new(left), pattern, escape_char })
            }
            Infix::MemberOf => {
                self.next();
                let array = Box::new(self.parenthesized(Self::expression)?);
                Ok(Expr::MemberOf(MemberOf { value: Box::new(left), array }))
            }
            Infix::Regexp { is_regexp } => {
                let pattern = Box::new(self.expression_above(strength::PREDICATE)?);
                Ok(Expr::RLike { negated, expr: Box::new(left), pattern, regexp: is_regexp })
            }
            Infix::SoundsLike => {
                self.next();
                let right = Box::new(self.expression_above(strength::PREDICATE)?);
                Ok(Expr::BinaryOp {
                    left: Box::new(left),
                    op: BinaryOperator::Custom("SOUNDS LIKE".into()),
                    right,
                })
            }
        }
    }

    #[inline(never)]
    fn binary(&mut self, left: Expr, op: BinaryOperator, binding: u8) -> Parse<Expr> {
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
            return self.chain(left, op, binding);
        }
        if binding == strength::COMPARE
            && self.at_any(&["ALL", "ANY", "SOME"])
            && self.peek_at(1).kind == TokenKind::LParen
        {
            let quantifier = self.next();
            let right = Box::new(Expr::Subquery(Box::new(self.parenthesized(Self::query)?)));
            let left = Box::new(left);
            return Ok(match quantifier.word() {
                "ALL" => Expr::AllOp { left, compare_op: op, right },
                word => Expr::AnyOp { left, compare_op: op, right, is_some: word == "SOME" },
            });
        }
        let right = Box::new(self.expression_above(binding)?);
        Ok(Expr::BinaryOp { left: Box::new(left), op, right })
    }

    /// `a AND b AND c …`: the first `AND` was taken.
    #[inline(never)]
    fn chain(&mut self, first: Expr, op: BinaryOperator, binding: u8) -> Parse<Expr> {
        let mut terms = vec![first, self.expression_above(binding)?];
        while let Some((Infix::Binary(next), false, _)) = self.peek_infix() {
            if next != op {
                break;
            }
            self.next();
            terms.push(self.expression_above(binding)?);
        }
        // Halves of a long chain nest with its logarithm.
        let halvings = terms.len().div_ceil(LEFT_CHAIN_MAX).ilog2() as usize;
        self.deepen(halvings + terms.len().min(LEFT_CHAIN_MAX))?;
        Ok(join_terms(terms, &op))
    }

    #[inline(never)]
    fn in_list(&mut self, left: Expr, negated: bool) -> Parse<Expr> {
        let expr = Box::new(left);
        if self.peek_at(1).is_list() {
            let list = self.parenthesized(|cursor| Ok(vec![Expr::Value(cursor.value()?)]))?;
            return Ok(Expr::InList { expr, list, negated });
        }
        if self.is_query_ahead() {
            let subquery = Box::new(self.parenthesized(Self::query)?);
            return Ok(Expr::InSubquery { expr, subquery, negated });
        }
        let list = self.parenthesized(|cursor| cursor.list(Self::expression))?;
        Ok(Expr::InList { expr, list, negated })
    }

    #[inline(never)]
    fn is(&mut self, left: Expr) -> Parse<Expr> {
        let negated = self.take("NOT");
        let expr = Box::new(left);
        let token = self.next();
        Ok(match (token.word(), negated) {
            ("NULL", false) => Expr::IsNull(expr),
            ("NULL", true) => Expr::IsNotNull(expr),
            ("TRUE", false) => Expr::IsTrue(expr),
            ("TRUE", true) => Expr::IsNotTrue(expr),
            ("FALSE", false) => Expr::IsFalse(expr),
            ("FALSE", true) => Expr::IsNotFalse(expr),
            ("UNKNOWN", false) => Expr::IsUnknown(expr),
            ("UNKNOWN", true) => Expr::IsNotUnknown(expr),
            _ if token.kind == TokenKind::Null && negated => Expr::IsNotNull(expr),
            _ if token.kind == TokenKind::Null => Expr::IsNull(expr),
            _ => return self.fail("NULL, TRUE, FALSE or UNKNOWN behind IS"),
        })
    }

    /// The name of a collation, which may also be a string.
    pub(super) fn collation(&mut self) -> Parse<Ident> {
        if self.at_kind(TokenKind::String) {
            let token = self.next();
            let name = self.string(token.span.of(self.text), &token)?;
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return if is_plain { Ok(Ident::new(name)) } else { self.fail("the name of a collation") };
        }
        self.name()
    }

    /// Does a query in parentheses come next (and not an expression that begins with one)?
    pub(super) fn is_query_ahead(&self) -> bool {
        self.query_ahead_at(0)
    }

    /// The same for the token `ahead`.
    pub(super) fn query_ahead_at(&self, ahead: usize) -> bool {
        let mut inner = ahead;
        while self.peek_at(inner).kind == TokenKind::LParen {
            inner += 1;
        }
        let is_query = match self.peek_at(inner).word() {
            "SELECT" | "WITH" => true,
            "TABLE" => self.peek_at(inner + 1).kind.is_name(),
            "VALUES" => self.peek_at(inner + 1).word() == "ROW",
            _ => false,
        };
        // Of `((select 1) union …)` the inner parenthesis is followed by what may follow a query, of
        // `((select 1) + 2)` it is not.
        is_query
            && inner > ahead
            && (ahead + 1..inner).all(|open| self.may_follow_query(self.close_of(open) + 1))
    }

    fn may_follow_query(&self, ahead: usize) -> bool {
        let token = self.peek_at(ahead);
        token.kind == TokenKind::RParen
            || matches!(
                token.word(),
                "UNION"
                    | "EXCEPT"
                    | "INTERSECT"
                    | "ORDER"
                    | "LIMIT"
                    | "FOR"
                    | "LOCK"
                    | "INTO"
                    | "OFFSET"
                    | "FETCH"
            )
    }

    /// `( query )`.
    pub(super) fn subquery(&mut self) -> Parse<Box<Query>> {
        Ok(Box::new(self.parenthesized(Self::query)?))
    }
}

fn join_terms(mut terms: Vec<Expr>, op: &BinaryOperator) -> Expr {
    let combine =
        |left, right| Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) };
    if terms.len() > LEFT_CHAIN_MAX {
        let right = terms.split_off(terms.len() / 2);
        return combine(join_terms(terms, op), join_terms(right, op));
    }
    let mut terms = terms.into_iter();
    let first = terms.next().expect("a chain has at least two terms, halves of long ones many");
    terms.fold(first, combine)
}
