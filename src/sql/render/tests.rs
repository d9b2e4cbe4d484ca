//! What is rendered reads back as the same tree.

use super::*;
use crate::sql::ast::{BinaryOperator, Ident, UnaryOperator};
use crate::sql::fuzzing::Source;
use crate::sql::parse::tests::{QUERIES, WRITES};
use crate::sql::{LexOptions, Lexed, lex, parse};

fn parsed(text: &str, mode: SqlMode) -> (Statement, Lexed) {
    let options = LexOptions::with_mode(mode);
    let mut lexed = Lexed::new();
    lex(text.as_bytes(), 0, &options, &mut lexed).unwrap_or_else(|error| panic!("{text}: {error}"));
    let statement =
        parse(text.as_bytes(), &lexed, &options).unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
    (statement, lexed)
}

fn rendered(text: &str, mode: SqlMode) -> String {
    let (tree, lexed) = parsed(text, mode);
    let mut out = Vec::new();
    statement_in(&tree, mode).render(&Source { text: text.as_bytes(), lexed: &lexed }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn rendered_statements_read_back_as_the_same_tree() {
    let modes = [SqlMode::empty(), SqlMode::NO_BACKSLASH_ESCAPES, SqlMode::PIPES_AS_CONCAT];
    for text in QUERIES.iter().chain(WRITES) {
        for mode in modes {
            let once = rendered(text, mode);
            assert_eq!(shape(&parsed(text, mode).0), shape(&parsed(&once, mode).0), "{text} | {once}");
            assert_eq!(once, rendered(&once, mode));
        }
    }
}

/// The tree without places and without the quotes of names.
fn shape(tree: &Statement) -> String {
    let text = format!("{tree:?}").replace("quote_style: Some('`')", "quote_style: None");
    let mut parts = text.split("Span(");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // `Location(1,2)..Location(3,4))`, perhaps more parentheses behind.
        out.push_str(part.splitn(3, ')').nth(2).unwrap_or_default().trim_start_matches(')'));
    }
    out
}

fn check(text: &str, expected: &str) {
    assert_eq!(rendered(text, SqlMode::empty()), expected);
}

#[test]
fn tight_not_gets_parentheses() {
    let mode = SqlMode::HIGH_NOT_PRECEDENCE;
    assert_eq!(rendered("select not a = b, not (a = b)", mode), "SELECT (NOT a) = b, NOT (a = b)");
}

#[test]
fn forms_that_servers_read() {
    check("select a from t limit 1, 2", "SELECT a FROM t LIMIT 1, 2");
    check("select 'it''s\\n\\\\' x", "SELECT 'it''s\\n\\\\' AS x");
    check("select `select`, t.key, `plain` from t", "SELECT `select`, t.`key`, `plain` FROM t");
    check("select a <> 1 && not b || c", "SELECT a != 1 AND NOT b OR c");
    check("select a from dual for share", "SELECT a FROM dual LOCK IN SHARE MODE");
    check("select 0xabc, b'1', N'x', _latin1'y'", "SELECT x'0abc', b'1', N'x', _latin1 'y'");
    check(
        "select @a:=1, @@global.x, current_date, default from t",
        "SELECT @a := 1, @@global.x, current_date, default FROM t",
    );
    check("select - -1", "SELECT - -1");
    check("update t1, t2 set a = 1", "UPDATE t1 CROSS JOIN t2 SET a = 1");
    check("delete from a using a, b", "DELETE a FROM a, b");
    check("delete quick ignore from t", "DELETE QUICK IGNORE FROM t");
    check("insert t value (1)", "INSERT t VALUES (1)");
    check("select a into @x from t", "SELECT a FROM t INTO @x");
    check("select binary a", "SELECT CAST(a AS BINARY)");
    check("select char(65 using utf8)", "SELECT CONVERT(char(65) USING utf8)");
    check("select count( * ) from t use index (primary)", "SELECT count(*) FROM t USE INDEX (primary)");
}

#[test]
fn trees_without_parentheses_get_them() {
    let name = |name: &str| Box::new(Expr::Identifier(Ident::new(name)));
    let binary = |left, op, right| Box::new(Expr::BinaryOp { left, op, right });
    let check = |expr: &Expr, expected: &str| assert_eq!(expression(expr).describe(), expected);
    let or = binary(name("a"), BinaryOperator::Or, name("b"));
    check(&binary(or.clone(), BinaryOperator::And, name("c")), "(a OR b) AND c");
    check(&Expr::UnaryOp { op: UnaryOperator::Not, expr: or }, "NOT (a OR b)");
    let minus = binary(name("a"), BinaryOperator::Minus, name("b"));
    check(&binary(name("c"), BinaryOperator::Minus, minus.clone()), "c - (a - b)");
    check(&binary(minus.clone(), BinaryOperator::Minus, name("c")), "a - b - c");
    check(
        &Expr::IsNull(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: name("a") })),
        "(NOT a) IS NULL",
    );
    check(&Expr::InList { expr: minus, list: vec![*name("x y")], negated: true }, "a - b NOT IN (`x y`)");
}

#[test]
fn holes_of_run_time_values() {
    use crate::sql::ast::Value;
    let hole = |name: &str| Expr::value(Value::Placeholder(name.to_owned()));
    let expr = Expr::InList { expr: Box::new(hole(":j2")), list: vec![hole(":k3")], negated: false };
    assert_eq!(expression(&expr).pieces().len(), 4);
    assert_eq!(expression(&expr).describe(), ":j2 IN (:k3)");
}
