//! Examples of what the pass finds.

use super::*;
use crate::sql::{DdlObject, SqlMode, normalized_text};

fn lexed(text: &str) -> Lexed {
    lexed_with(text, &LexOptions::default())
}

fn lexed_with(text: &str, options: &LexOptions) -> Lexed {
    let mut out = Lexed::new();
    lex(text.as_bytes(), 0, options, &mut out).unwrap_or_else(|error| panic!("{text}: {error}"));
    out
}

/// The text with arguments replaced: shows which literals are arguments.
fn check_args(text: &str, expected: &str) {
    assert_eq!(normalized_text(text.as_bytes(), &lexed(text)), expected);
}

fn check_same(left: &str, right: &str) {
    assert_eq!(lexed(left).fingerprint, lexed(right).fingerprint, "{left} | {right}");
}

fn check_differ(left: &str, right: &str) {
    assert_ne!(lexed(left).fingerprint, lexed(right).fingerprint, "{left} | {right}");
}

#[test]
fn kinds_of_statements() {
    let check = |text: &str, kind| assert_eq!(lexed(text).kind, kind, "{text}");
    check("", StatementKind::Empty);
    check(" /* x */ -- y", StatementKind::Empty);
    check("/* a */ select 1", StatementKind::Select);
    check("((select 1) union select 2)", StatementKind::Select);
    check("with a as (select 1) select * from a", StatementKind::Select);
    check("with a as (select 1), b as (select 2) update t set x = 1", StatementKind::Update);
    check("with recursive a as (select 1 union (select 2)) delete from t", StatementKind::Delete);
    check("with a as (select 1) (select * from a)", StatementKind::Select);
    check("(with a as (select 1) select * from a)", StatementKind::Select);
    check(
        "(select a, replace(b, 'x', 'y') from t group by a with rollup) union select replace(a, 'b', 'c') from t",
        StatementKind::Select,
    );
    check("(values row(1))", StatementKind::Values);
    check("table t", StatementKind::Table);
    check("values row(1), row(2)", StatementKind::Values);
    check("BEGIN", StatementKind::Begin);
    check("commit work", StatementKind::Commit);
    check("set @a = 1", StatementKind::Set);
    check("use `ks:-80@replica`", StatementKind::Use);
    check("/*!40101 SET NAMES utf8 */", StatementKind::Set);
    check("'x'", StatementKind::Other);
    assert!(matches!(lexed("drop table t").kind, StatementKind::Ddl(ddl) if ddl.object == DdlObject::Table));
}

#[test]
fn literals_of_conditions_are_arguments() {
    check_args(
        "select c from t where id=5 and b = 'x' or d > 1.5",
        "select c from t where id=:v1 and b = :v2 or d > :v3",
    );
    check_args("select 1 from t having x > 2 limit 3, 4", "select 1 from t having x > :v1 limit :v2, :v3");
    check_args(
        "update t set a = 1, b = -2 where c in (1,2,3)",
        "update t set a = :v1, b = -:v2 where c in (:l3)",
    );
    check_args("delete from t where a between 1 and 2", "delete from t where a between :v1 and :v2");
    check_args("insert into t(a) values (1, 'x'), (?, @u)", "insert into t(a) values (:v1, :v2), (:v3, :v4)");
    check_args("select a from t join u on t.a = 5", "select a from t join u on t.a = :v1");
    check_args(
        "select * from (select a from t where b = 1) x where c = 2",
        "select * from (select a from t where b = :v1) x where c = :v2",
    );
}

#[test]
fn literals_of_lists_stay() {
    for text in [
        "select 1, 'x', a + 2 from t",
        "select (select a from t where b = 1) from t",
        "select a in (1, 2) from t",
        "select a from t group by 1, a + 2",
        "select a from t order by 2, (1), 'x', a + 3",
        "select 1 'alias', 2 as 'x'",
        "select a from t where b > now() - interval 5 day",
        "select a from t where b > now() - interval -5 day",
        "select a from t where b = date '2024-01-01'",
        "select a from t where cast(b as decimal(10, 2)) = c",
        "select a from t where convert(b, char(10)) = c",
        "select a from t having group_concat(a order by 1 separator ';') = b",
        "select a from t where a like b escape '|'",
        "select a from t where a = b collate 'utf8_bin'",
        "select a from t where {d '2024-01-01'} = b",
        "select * from json_table(a, '$[*]' columns (x varchar(10) path '$.a' default '1' on empty)) j",
        "select a from t into outfile 'x' fields terminated by ','",
        "select row_number() over (order by a rows 5 preceding) from t",
        "select a from t window w as (order by a rows 5 preceding)",
        "create table t (a varchar(10) default 'x')",
        "set @a = 5, b = 'x'",
        "show tables like 'x'",
        "call p(1)",
    ] {
        check_args(text, text);
    }
    check_args(
        "select 1 from t union select 2 from u where a = 3",
        "select 1 from t union select 2 from u where a = :v1",
    );
    check_args(
        "insert into t select 1 from u where a = 2 on duplicate key update b = 3",
        "insert into t select 1 from u where a = :v1 on duplicate key update b = :v2",
    );
    check_args(
        "select a from t order by field(a, 3, 1), 2",
        "select a from t order by field(a, :v1, :v2), 2",
    );
    check_args("select ? from t order by ?", "select :v1 from t order by :v2");
    check_args(
        "delete from t where a = 1 order by 2 limit 3",
        "delete from t where a = :v1 order by 2 limit :v2",
    );
}

#[test]
fn lists_are_one_argument() {
    let text =
        "select a from t where b in (1, -2, 'x') and c not in (?, ?) and d in (1, e) and f in (select 5)";
    let found = lexed(text);
    let kinds: Vec<_> = found.args.iter().map(|arg| arg.kind).collect();
    assert_eq!(kinds[0], ArgKind::List { first: 0, count: 3 });
    assert_eq!(kinds[1], ArgKind::List { first: 3, count: 2 });
    assert_eq!(kinds[2..], [ArgKind::Integer]);
    let items: Vec<_> = found.list_items.iter().map(|item| item.span.of(text.as_bytes())).collect();
    assert_eq!(items, [&b"1"[..], b"-2", b"'x'", b"?", b"?"]);
    assert_eq!(found.list_items[4].kind, ArgKind::Placeholder(1));
    assert_eq!(found.placeholder_count, 2);
    check_same("select a from t where b in (1)", "select a from t where b in (1, 2,   3)");
    check_same("select a from t where b in (1) and c=1", "select a from t where b in ( 100,2 ) and c=2");
    check_differ("select a from t where b in (1)", "select a from t where b in ('1')");
    check_differ("select a from t where b in (1)", "select a from t where b not in (1)");
}

#[test]
fn fingerprints_leave_out_arguments_comments_and_blanks() {
    check_same("select a from t where b = 1", "select a from t where b = 22 -- x");
    check_same("select a from t where b = 1", "/* id=7 */ select  a from t\n  where b = 1");
    check_same("select a from t where b = @x", "select a from t where b = @yy");
    check_same("insert into t values (1, 'a')", "insert into t values (22, 'bcd')");
    check_differ("select a from t where b = 1", "select a from t where b = '1'");
    check_differ("select a from t where b = 1", "select a from t where c = 1");
    check_differ("select 1 from t", "select 2 from t");
    check_differ("select a+b from t", "select a  +b from t");
    check_differ("select a from t order by 1", "select a from t order by 2");
    check_differ("select /*vt+ A */ a from t", "select a from t");
    check_differ("select /*+ X */ a from t", "select a from t");
    check_differ("select a from t where b = (@x := 1)", "select a from t where b = (@y := 1)");
    check_same("select /*+ X */ a from t where b = 1", "select /*+ X */ a from t where b = 2");
    let seeded = LexOptions { seed: 7, ..LexOptions::default() };
    assert_ne!(lexed("select 1").fingerprint, lexed_with("select 1", &seeded).fingerprint);
    let ansi = LexOptions::with_mode(SqlMode::ANSI_QUOTES);
    assert_ne!(lexed("select 1").fingerprint, lexed_with("select 1", &ansi).fingerprint);
}

#[test]
fn flags_of_words() {
    let check = |text: &str, flags: LexFlags| assert_eq!(lexed(text).flags, flags, "{text}");
    let none = LexFlags::empty();
    check("select a from t where id = 5", none);
    check("select last_insert_id()", LexFlags::HAS_SESSION_FUNCTION);
    check("select current_user", LexFlags::HAS_SESSION_FUNCTION);
    check("select user, version, database from t", none);
    check("select t.user from t", LexFlags::HAS_QUALIFIED_NAME);
    check("select @@version", LexFlags::HAS_SYSTEM_VARIABLE);
    check("select @a := 1", LexFlags::HAS_USER_VARIABLE | LexFlags::HAS_ASSIGNMENT);
    check("select a into @b from t", LexFlags::HAS_USER_VARIABLE | LexFlags::HAS_INTO);
    check("insert into t values (1)", none);
    check("select a from t for update", LexFlags::HAS_LOCKING);
    check("select a from t lock in share mode", LexFlags::HAS_LOCKING);
    check("select get_lock('a', 1)", LexFlags::HAS_LOCK_FUNCTION);
    check("select sql_calc_found_rows a from t", LexFlags::HAS_SQL_CALC_FOUND_ROWS);
    check("select rand(), now()", LexFlags::HAS_NONDETERMINISTIC | LexFlags::HAS_CLOCK_FUNCTION);
    check("select current_timestamp", LexFlags::HAS_CLOCK_FUNCTION);
    check("select sleep(1)", LexFlags::HAS_NONDETERMINISTIC | LexFlags::HAS_SLOW_FUNCTION);
    check("select next 5 values from seq", LexFlags::HAS_NEXT_VALUES);
    check("select next value from seq", LexFlags::HAS_NEXT_VALUES);
    check("select next value for seq", LexFlags::HAS_SEQUENCE_FUNCTION);
    check("select next from t", none);
    check("select a from t where b = ?", LexFlags::HAS_PLACEHOLDER);
    check("select ?", LexFlags::HAS_PLACEHOLDER | LexFlags::HAS_LISTED_PLACEHOLDER);
    check("select 1 union select 2", LexFlags::HAS_SET_OPERATION | LexFlags::HAS_SUBQUERY);
    check("select last_insert_id(5)", LexFlags::HAS_SESSION_FUNCTION | LexFlags::HAS_ASSIGNMENT);
    check("/*! select */ 1", LexFlags::HAS_VERSIONED_COMMENT);
    check("select /*+ x */ 1 /*+ y */", LexFlags::HAS_HINT);
}

#[test]
fn marks_give_the_places() {
    let text = "select ks.t.a, @u, @@x, database( ), `q` . b from ks.t where c = @v and current_user = 1";
    let marks: Vec<_> =
        lexed(text).marks.iter().map(|mark| (mark.span.of(text.as_bytes()).to_vec(), mark.kind)).collect();
    let expect = |text: &str, kind| (text.as_bytes().to_vec(), kind);
    assert_eq!(
        marks,
        [
            expect("ks.", MarkKind::Qualifier),
            expect("t.", MarkKind::Qualifier),
            expect("@u", MarkKind::UserVariable),
            expect("@@x", MarkKind::SystemVariable),
            expect("database( )", MarkKind::SessionFunction(SessionFunction::Database)),
            expect("`q` . ", MarkKind::Qualifier),
            expect("ks.", MarkKind::Qualifier),
            expect("current_user", MarkKind::SessionFunction(SessionFunction::CurrentUser)),
        ]
    );
}

#[test]
fn assigned_variables_are_no_arguments() {
    let text = "select a from t where (@x  := b) > 5 and @y = 1";
    let found = lexed(text);
    let args: Vec<_> = found.args.iter().map(|arg| arg.span.of(text.as_bytes())).collect();
    assert_eq!(args, [&b"5"[..], b"@y", b"1"]);
    assert_eq!(found.marks[0].kind, MarkKind::UserVariable);
}

#[test]
fn statements_end_at_semicolons() {
    let many = LexOptions { multi_statements: true, ..LexOptions::default() };
    let text = "select 1 ; select 2;";
    let first = lexed_with(text, &many);
    assert_eq!(first.span.of(text.as_bytes()), b"select 1");
    assert_eq!(first.next, Some(10));
    let mut second = Lexed::new();
    lex(text.as_bytes(), 10, &many, &mut second).unwrap();
    assert_eq!(second.span.of(text.as_bytes()), b"select 2");
    assert_eq!(second.next, None);
    let mut out = Lexed::new();
    let error = lex(text.as_bytes(), 0, &LexOptions::default(), &mut out).unwrap_err();
    assert_eq!(error.errno(), 1064);
    assert!(String::from_utf8_lossy(error.message()).ends_with("near 'select 2;' at line 1"), "{error}");
    assert!(lex(b"select 1; -- x", 0, &LexOptions::default(), &mut out).is_ok());
}

#[test]
fn very_many_arguments_are_not_recorded() {
    let text = format!("insert into t values {}", vec!["(1,2)"; limits::SQL_ARGS_MAX].join(","));
    let found = lexed(&text);
    assert_eq!(found.args.len(), limits::SQL_ARGS_MAX);
    assert!(found.flags.contains(LexFlags::NOT_CACHEABLE));
    assert!(!lexed("insert into t values (1)").flags.contains(LexFlags::NOT_CACHEABLE));
}

#[test]
fn deep_parentheses_are_an_error() {
    let mut out = Lexed::new();
    let text = |depth| format!("select {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(lex(text(limits::SQL_PARENTHESES_MAX).as_bytes(), 0, &LexOptions::default(), &mut out).is_ok());
    assert!(
        lex(text(limits::SQL_PARENTHESES_MAX + 1).as_bytes(), 0, &LexOptions::default(), &mut out).is_err()
    );
    assert!(lex(b"select 1))", 0, &LexOptions::default(), &mut out).is_ok());
}

#[test]
fn read_only_queries_are_recognised() {
    assert!(lexed("select a from t where b = 1").is_read_only_query());
    assert!(!lexed("select a from t for update").is_read_only_query());
    assert!(!lexed("select get_lock('a', 1)").is_read_only_query());
    assert!(!lexed("update t set a = 1").is_read_only_query());
    assert!(!lexed("select last_insert_id()").is_session_free());
    assert!(lexed("select a from t").is_session_free());
}

#[test]
fn a_versioned_comment_at_the_end_is_closed_in_the_statement() {
    let text = b"create table t (a int) /*! ENGINE = innodb */ ; ";
    let mut lexed = Lexed::new();
    lex(text, 0, &LexOptions::default(), &mut lexed).unwrap();
    assert_eq!(lexed.span.of(text), b"create table t (a int) /*! ENGINE = innodb */");
}
