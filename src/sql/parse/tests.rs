//! Statements of many kinds; the renderer's tests read them too.

use super::*;
use crate::sql::ast::{BinaryOperator, Expr, SelectItem, SetExpr};
use crate::sql::options::SqlMode;
use crate::sql::{lex, render};

/// Queries that MySQL or MariaDB accept.
pub(in crate::sql) const QUERIES: &[&str] = &[
    "select 1",
    "select 1 from dual",
    "select all a, distinct_x from t",
    "select distinct a, b as c, d e, f 'g', h as 'i' from t",
    "select distinctrow high_priority straight_join sql_small_result sql_big_result sql_buffer_result sql_no_cache sql_calc_found_rows a from t",
    "select /*+ MAX_EXECUTION_TIME(1000) NO_ICP(t) */ a from t /*+ no hint */",
    "select t.*, ks.t.*, * from ks.t",
    "select `a``b`, `select`, t.`x` from `t` as `order`",
    "select t.select, t.1a, t.key from t",
    "select a b, c end, d action from t x",
    "select 'it''s', \"a\"\"b\", 'a\\nb\\\\', N'x', _utf8mb4'x', _latin1 x'41', x'4142', 0x41, b'101', 0b1 from t",
    "select 'a' 'b' \"c\"",
    "select 1, 1.5, .5, 1., 1e5, 1.5e-3, 18446744073709551615, -1, +1, - -1, -(-1), null, true, false, \\N",
    "select @a, @'b c', @`d`, @@version, @@session.sql_mode, @@global.x, @a := 1, @b := @a + 1",
    "select date '2024-01-01', time '10:00:00', timestamp '2024-01-01 10:00:00', {d '2024-01-01'}, {ts '2024-01-01 00:00:00'}, {fn now()}",
    "select a + b * c - d / e % f div g mod h, (a + b) * c, a - (b - c), a - b - c",
    "select a | b & c << d >> e ^ f, ~a, !b, not c, -d ^ e",
    "select a and b or c xor d, (a or b) and c, not a = b, not (a and b), a && b || c",
    "select a = b, a <=> b, a <> b, a != b, a < b, a <= b, a > b, a >= b, a = b = c, a = (b = c)",
    "select a is null, a is not null, a is true, a is not true, a is false, a is not false, a is unknown, a is not unknown",
    "select a between 1 and 2 and c, a not between b + 1 and c * 2, a between b and c between d and e",
    "select a in (1, 2), a not in (1, 2), (a, b) in ((1, 2), (3, 4)), a in (select b from u), a not in (select 1)",
    "select a like 'x%', a not like 'x' escape '|', a like concat('%', b), a regexp 'x', a rlike b, a not regexp c, a sounds like b",
    "select a = any (select 1), a > all (select 1), a <> some (select 1)",
    "select exists (select 1), not exists (select 1 from t), (select 1), (select a from t limit 1) + 1",
    "select case when a then b end, case a when 1 then 'x' when 2 then 'y' else 'z' end",
    "select cast(a as signed), cast(a as unsigned integer), cast(a as decimal(10, 2)), cast(a as char(10) character set utf8mb4), cast(a as datetime(6)), cast(a as json)",
    "select convert(a, char(10)), convert(a using utf8mb4), binary a, binary a = b, a collate utf8mb4_bin, a collate 'utf8mb4_bin' = b",
    "select now(), now(6), current_timestamp, current_timestamp(3), current_date, current_date(), curdate(), utc_timestamp, current_user, current_user(), localtime",
    "select now() + interval 1 day, now() - interval '1:30' minute_second, interval 1 hour + now(), date_add(a, interval b + 1 month), interval(5, 1, 10)",
    "select extract(year from a), extract(day_hour from a), timestampdiff(minute, a, b), timestampadd(sql_tsi_day, 1, a), get_format(date, 'USA')",
    "select trim(a), trim('x' from a), trim(leading from a), trim(both 'x' from a), trim(trailing 'y' from a)",
    "select substring(a, 1, 2), substring(a from 1), substring(a from 1 for 2), substr(a from 2), mid(a, 1, 2), position('a' in b), locate('a', b)",
    "select char(65, 66), char(65 using utf8mb4), left(a, 1), right(a, 1), if(a, b, c), ifnull(a, b), nullif(a, b), replace(a, 'x', 'y'), insert(a, 1, 2, 'x'), mod(a, b), repeat('x', 3), values(a), default(a)",
    "select count(*), count(distinct a, b), sum(all a), avg(distinct a), max(a), group_concat(distinct a, b order by c desc, d separator ';'), group_concat(a), bit_or(a), json_arrayagg(a)",
    "select a->'$.b', a->>'$.b[0].c', t.a->'$.x', json_extract(a, '$.x'), 'x' member of (a), json_value(a, '$.x' returning char(10) null on empty error on error)",
    "select match (a, b) against ('x'), match (a) against ('+x -y' in boolean mode), match a against ('x' in natural language mode with query expansion), match (a) against ('x' with query expansion)",
    "select row_number() over (), rank() over (partition by a order by b desc), sum(a) over w, lag(a, 1, 0) over (w rows between unbounded preceding and current row), nth_value(a, 2) over (order by b range between 1 preceding and 2 following) from t window w as (partition by a), v as (w order by b)",
    "select sum(a) over (order by b rows 2 preceding), first_value(a) respect nulls over (order by b) from t",
    "select weight_string(a), weight_string(a as char(4)), hex(weight_string('x' as binary(2)))",
    "select row(1, 2) = (1, 2), (a, b) = (select 1, 2), (1, 2) < (3, 4)",
    "select ks.f(1), `f`(2), ks.`g`(a)",
    "select a from t where a = 1 and b = 'x' or c in (1, 2, 3) and not d",
    "select a from t1, t2 where t1.a = t2.b",
    "select a from t1 join t2 on t1.a = t2.a inner join t3 using (a, b) left join t4 on true left outer join t5 using (x) right join t6 on 1 right outer join t7 on 2 cross join t8",
    "select a from t1 natural join t2 natural left join t3 straight_join t4 on t4.a = 1",
    "select a from t1 left join t2 join t3 on t2.a = t3.a on t1.a = t2.a",
    "select a from t1 left join (t2 join t3 on t2.a = t3.a) on t1.a = t2.a",
    "select a from (t1, t2) left join t3 on t1.a = t3.a",
    "select a from t1, (t2 cross join t3), t4",
    "select a from { oj t1 left join t2 on t1.a = t2.a }",
    "select a from t use index (i, primary) ignore key for join (j) force index for order by (k) use index () where a = 1",
    "select a from t partition (p0, p1) as x",
    "select x.a from (select a from t where b = 1) as x, (select 1) y (c)",
    "select a from (select 1 as a union all select 2) x",
    "select a from ((select 1 as a) union (select 2)) x",
    "select a from t, lateral (select b from u where u.a = t.a) as v",
    "select a from t join json_table(t.j, '$[*]' columns (n for ordinality, a int path '$.a' default '0' on empty error on error, b varchar(10) exists path '$.b', nested path '$.c[*]' columns (d json path '$'))) as jt",
    "select a from t group by a, b + 1, 3 having count(*) > 1 order by a desc, 2 asc, b limit 10",
    "select a, count(*) from t group by a with rollup",
    "select a from t limit 1, 2",
    "select a from t limit 1 offset 2",
    "select a from t for update",
    "select a from t lock in share mode",
    "select a from t for share",
    "select a from t for update of t nowait",
    "select a from t for update wait 3",
    "select a from (select b from t lock in share mode wait 10) as x for update",
    "select a from t1, t2 for share of t1 skip locked for update of t2",
    "select a, b into @a, @b from t where c = 1",
    "select a from t where b = 1 limit 1 into @a",
    "select a from t into outfile '/srv/x' fields terminated by ',' enclosed by '\"' lines terminated by '\\n'",
    "select a from t into dumpfile '/srv/x'",
    "select 1 union select 2 union all select 3 union distinct select 4 order by 1 limit 2",
    "select 1 intersect select 2 except select 3 union select 4 intersect all select 5",
    "(select 1) union (select 2 limit 1) order by 1",
    "((select 1))",
    "(select 1 limit 1) limit 2",
    "(select 1 union select 2) union all select 3",
    "select 1 union (select 2 union all select 3)",
    "with a as (select 1 as x), b (y, z) as (select 2, 3) select * from a, b",
    "with recursive n as (select 1 as i union all select i + 1 from n where i < 10) select i from n",
    "select * from (with a as (select 1) select * from a) x",
    "with a as (select 1) (select * from a)",
    "values row(1, 'x'), row(2, 'y') order by 1 limit 1",
    "select * from (values (1, 2), (3, 4)) as v",
    "table t",
    "table ks.t order by a limit 1",
    "select a from t where b in (table u)",
    "select a from t where (select 1) = 1 and ((select 2) + 1) > (3)",
    "select (((a))), ((a, b)) = ((1, 2))",
    "select a from t where ? = a and b in (?, ?) limit ?, ?",
    "select next value from seq",
    "select next 5 values from seq",
    "select next value for seq",
    "select count(a) filter_x, offset from t",
    "select status, date, time, timestamp, user, type, name, value, count, names, text from t",
    "select max(a) as max, sum, if from t",
];

/// Statements that change rows.
pub(in crate::sql) const WRITES: &[&str] = &[
    "insert into t values (1, 'x', null, default)",
    "insert t (a, b) value (1, 2), (3, 4)",
    "insert low_priority ignore into ks.t (a, t.b) values (1, 2) on duplicate key update a = values(a), b = b + 1",
    "insert into t () values ()",
    "insert into t set a = 1, b = default, t.c = 'x'",
    "insert into t (a) values (1) as new on duplicate key update a = new.a",
    "insert into t (a, b) values (1, 2) as new (x, y) on duplicate key update a = x + y",
    "insert into t values row(1, 2), row(3, 4)",
    "insert into t partition (p0) (a) values (1)",
    "insert into t (a, b) select a, b from u where c = 1 on duplicate key update a = 1",
    "insert into t (select 1, 2)",
    "insert into t (a) (select 1 union select 2)",
    "insert into t table u",
    "insert into t with a as (select 1) select * from a",
    "insert high_priority into t values (now(), (select max(a) from u), a + 1, -5, 1.5e3)",
    "insert delayed into t values (1)",
    "insert into t values (1) returning id, a + 1 as b",
    "insert /*+ X */ into t values (?, ?)",
    "replace into t (a) values (1)",
    "replace t set a = 1",
    "replace low_priority into t select 1",
    "update t set a = 1",
    "update low_priority ignore t set a = a + 1, t.b = default where c = 1 order by d desc limit 5",
    "update t as x set x.a = 1 where x.b in (1, 2)",
    "update t1, t2 set t1.a = t2.a where t1.b = t2.b",
    "update t1 join t2 on t1.a = t2.a left join t3 using (c) set t1.b = 1, t2.c = 2",
    "update t1, t2 join t3 on t2.a = t3.a set t1.b = 1",
    "update t set a = (select max(b) from u), c = case when d then 1 else 2 end",
    "with x as (select 1 as a) update t, x set t.b = x.a",
    "update t use index (i) set a = 1 where b = 2",
    "delete from t",
    "delete from t where a = 1 order by b limit 5",
    "delete low_priority quick ignore from t where a = 1",
    "delete from t as x where x.a = 1",
    "delete from t partition (p0) where a = 1",
    "delete t1, t2 from t1 join t2 on t1.a = t2.a where t2.b = 1",
    "delete t1.*, ks.t2.* from t1, ks.t2",
    "delete from t1, t2 using t1 join t2 using (a) where t1.b = 1",
    "delete x from t as x left join u on x.a = u.a where u.a is null",
    "with x as (select 1 as a) delete from t where a in (select a from x)",
    "delete from t where a = 1 returning a, b",
    "delete /*+ X */ from t",
];

fn parsed(text: &str) -> Result<Parsed, ParseFailure> {
    parsed_with(text, &LexOptions::default())
}

fn parsed_with(text: &str, options: &LexOptions) -> Result<Parsed, ParseFailure> {
    let mut lexed = Lexed::new();
    lex(text.as_bytes(), 0, options, &mut lexed).unwrap_or_else(|error| panic!("{text}: {error}"));
    parse_with_sources(text.as_bytes(), &lexed, options)
}

/// The expression of `select <text>`.
fn expression_with(text: &str, options: &LexOptions) -> Expr {
    let text = format!("select {text}");
    let parsed = parsed_with(&text, options).unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
    let Statement::Query(query) = parsed.statement else { panic!("{text}") };
    let SetExpr::Select(mut select) = *query.body else { panic!("{text}") };
    match select.projection.pop() {
        Some(SelectItem::UnnamedExpr(expr)) => expr,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn statements_are_understood() {
    for text in QUERIES.iter().chain(WRITES) {
        if let Err(failure) = parsed(text) {
            panic!("{text}: {failure:?}, near {:?}", &text[failure.offset as usize..]);
        }
    }
}

#[test]
fn operators_bind_as_on_a_server() {
    // Parentheses do not change the tree but by a node of their own.
    let check_in = |text: &str, explicit: &str, options: &LexOptions| {
        let strip = |mut expr: Expr| {
            let _ = sqlparser::ast::visit_expressions_mut(&mut expr, |expr| {
                if let Expr::Nested(inner) = expr {
                    *expr = (**inner).clone();
                }
                std::ops::ControlFlow::<()>::Continue(())
            });
            expr
        };
        let (left, right) =
            (strip(expression_with(text, options)), strip(expression_with(explicit, options)));
        assert_eq!(left, right, "{text} | {explicit}");
    };
    let check = |text, explicit| check_in(text, explicit, &LexOptions::default());
    check("a or b and c", "a or (b and c)");
    check("a or b xor c and d", "a or (b xor (c and d))");
    check("not a = b", "not (a = b)");
    check("not a and b", "(not a) and b");
    check("a = b like c", "a = (b like c)");
    check("a like b = c", "(a like b) = c");
    check("a = b is null", "(a = b) is null");
    check("a between b and c and d", "(a between b and c) and d");
    check("a + b * c", "a + (b * c)");
    check("a - b - c", "(a - b) - c");
    check("a * b ^ c", "a * (b ^ c)");
    check("-a ^ b", "(-a) ^ b");
    check("a | b & c << d + e", "a | (b & (c << (d + e)))");
    check("!a + b", "(!a) + b");
    check("binary a = b", "(binary a) = b");
    check("-a collate x", "-(a collate x)");
    check("a in (1) = b", "(a in (1)) = b");
    check("a->'$.x' = b", "(a->'$.x') = b");
    check("a + interval 1 day > b", "(a + (interval 1 day)) > b");
    check("a || b && c", "a or (b and c)");
    check("@a := b or c", "@a := (b or c)");
    let concat = LexOptions::with_mode(SqlMode::PIPES_AS_CONCAT);
    check_in("a || b = c", "(a || b) = c", &concat);
    check_in("a ^ b || c", "a ^ (b || c)", &concat);
    let tight = LexOptions::with_mode(SqlMode::HIGH_NOT_PRECEDENCE);
    check_in("not a = b", "(not a) = b", &tight);
}

#[test]
fn arguments_are_placeholders() {
    let parsed = parsed("select a from t where b = 5 and c in (1, 2) and d = ? limit 3").unwrap();
    assert_eq!(
        render::statement(&parsed.statement).describe(),
        "SELECT a FROM t WHERE b = :v1 AND c IN (:l2) AND d = :v3 LIMIT :v4"
    );
}

#[test]
fn long_chains_do_not_nest_deeply() {
    let text = format!("select a from t where {}", vec!["a = b"; 5_000].join(" or "));
    let parsed = parsed(&text).unwrap();
    let Statement::Query(query) = &parsed.statement else { panic!() };
    let SetExpr::Select(select) = &*query.body else { panic!() };
    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => 1 + depth(left).max(depth(right)),
            _ => 0,
        }
    }
    assert!(depth(select.selection.as_ref().unwrap()) < 100);
    let rendered = render::statement(&parsed.statement).describe();
    assert!(!rendered.contains('('));
}

#[test]
fn nesting_and_operators_are_limited() {
    // The levels of statement, query and expression count too.
    const LONGEST: usize = crate::limits::SQL_TREE_DEPTH_MAX - 10;
    let nested =
        |depth: usize| parsed(&format!("select {}1{}", "(".repeat(depth), ")".repeat(depth))).is_ok();
    // The statement and its expression are levels too.
    assert!(nested(crate::limits::SQL_DEPTH_MAX - 2));
    assert!(!nested(crate::limits::SQL_DEPTH_MAX - 1));
    let chain = |count: usize| parsed(&format!("select 1{}", " + 1".repeat(count)));
    assert!(chain(crate::limits::SQL_TREE_DEPTH_MAX).is_err());
    // A chain at the limit must fit a small stack, in every use of the tree.
    let check = move || {
        let parsed = chain(LONGEST).unwrap();
        let copy = parsed.statement.clone();
        assert!(copy == parsed.statement);
        assert!(render::statement(&copy).describe().len() > 4 * LONGEST);
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
}

#[test]
fn failures_tell_the_place() {
    let check = |text: &str, near: &str| {
        let failure = parsed(text).map(|parsed| parsed.statement).unwrap_err();
        assert_eq!(&text[failure.offset as usize..], near, "{text}: {failure:?}");
        assert_eq!(failure.to_error(text.as_bytes()).errno(), 1064);
    };
    check("select from t", "from t");
    check("select a from", "");
    check("select a b c from t", "c from t");
    check("select a from t where", "");
    check("select (a from t", "(a from t");
    check("select a) from t", ") from t");
    check("update t where a = 1", "where a = 1");
    check("insert into t values 1", "1");
    check("delete t where a = 1", "where a = 1");
    check("show tables", "show tables");
}

#[test]
fn select_items_keep_their_source() {
    let text = "select a+b, c /* x */ as d , 'x' y, (select  1+1) from (select max( e ) from t) z";
    let parsed = parsed(text).unwrap();
    let sources: Vec<Vec<_>> = parsed
        .select_lists
        .iter()
        .map(|list| {
            list.items
                .iter()
                .map(|span| String::from_utf8_lossy(span.of(text.as_bytes())).into_owned())
                .collect()
        })
        .collect();
    assert_eq!(sources, [vec!["a+b", "c", "'x'", "(select  1+1)"], vec!["1+1"], vec!["max( e )"]]);
    assert_eq!(parsed.select_list(0).unwrap().items.len(), 4);
}

#[test]
fn spans_are_offsets() {
    let text = "select abc from t";
    let Statement::Query(query) = parsed(text).unwrap().statement else { panic!() };
    let SetExpr::Select(select) = *query.body else { panic!() };
    let SelectItem::UnnamedExpr(Expr::Identifier(ident)) = &select.projection[0] else { panic!() };
    assert_eq!((ident.span.start.column, ident.span.end.column), (8, 11));
    assert_eq!(select.select_token.0.span.start.column, 1);
}

#[test]
fn ansi_quotes_make_names() {
    let ansi = LexOptions::with_mode(SqlMode::ANSI_QUOTES);
    let parsed = parsed_with("select \"a\"\"b\" from \"t\"", &ansi).unwrap();
    assert_eq!(render::statement(&parsed.statement).describe(), "SELECT `a\"b` FROM `t`");
}
