//! Tests of whole trees over fake shards.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::execute;
use super::fake_shards::{
    Answer, Collected, FakeArguments, FakeShards, TextRow, all_parts, block_on, column, row, run, topology,
};
use crate::error::Error;
use crate::plan::primitive::{
    Aggregate, AggregateColumn, AggregateFunction, ColumnRef, Comparison, Condition, Distinct, EachShard,
    Filter, Limit, MergeSort, Piece, Predicate, Primitive, Query, RouteValue, Sort, SortKey, Template,
    Truncate,
};
use crate::value::Value;
use crate::wire::ColumnType;
use crate::wire::response::ColumnDefinition;

const SHARDS: [&str; 3] = ["-40", "40-80", "80-"];

fn leaf(helpers: u32) -> Box<Primitive> {
    Box::new(Primitive::EachShard(EachShard { query: Query::Original, helpers, typed: None }))
}

fn key(index: u32) -> SortKey {
    SortKey { column: ColumnRef::Visible(index), weight: None, pad: None, descending: false }
}

fn merge(keys: Vec<SortKey>, helpers: u32) -> Primitive {
    Primitive::MergeSort(MergeSort { keys, input: leaf(helpers) })
}

fn literal(number: i64) -> RouteValue {
    RouteValue::Literal(Value::Int(number))
}

fn run_tree(
    tree: &Primitive,
    columns: Vec<ColumnDefinition>,
    answers: Vec<Answer>,
) -> Result<Collected, Error> {
    let topology = topology(&SHARDS);
    let keyspace = topology.keyspace("ks").unwrap();
    let parts = all_parts(keyspace);
    let args = FakeArguments::default();
    let mut shards = FakeShards { columns, answers, ..FakeShards::default() };
    let mut sink = Collected::default();
    let result = block_on(execute(tree, &run(keyspace, &parts, b"select", &args), &mut shards, &mut sink));
    assert_eq!(shards.open.count(), 0, "streams are closed");
    assert_eq!(shards.sent.len(), SHARDS.len());
    let count = result?;
    assert_eq!(count, sink.rows.len() as u64);
    assert_eq!(sink.end.map(|end| end.warnings), Some(3));
    Ok(sink)
}

fn answers(rows: [Vec<TextRow>; 3], waits_every: usize) -> Vec<Answer> {
    rows.into_iter().map(|rows| Answer { rows, waits_every, ..Answer::default() }).collect()
}

fn numbers(rows: &[&[i64]]) -> [Vec<TextRow>; 3] {
    let of = |index: usize| rows[index].iter().map(|n| vec![Some(n.to_string())]).collect();
    [of(0), of(1), of(2)]
}

fn column_of(sink: &Collected) -> Vec<String> {
    sink.rows.iter().map(|row| row[0].clone().unwrap_or_else(|| "-".into())).collect()
}

#[test]
fn rows_of_all_shards_come_in_any_order() {
    let columns = vec![column("n", ColumnType::LONG)];
    let given = answers(numbers(&[&[1, 2], &[], &[3]]), 1);
    let sink = run_tree(&leaf(0), columns, given).unwrap();
    let mut rows = column_of(&sink);
    rows.sort();
    assert_eq!(rows, ["1", "2", "3"]);
    assert_eq!(sink.columns, ["n"]);
}

#[test]
fn a_limit_stops_early_and_an_offset_skips() {
    let columns = || vec![column("n", ColumnType::LONG)];
    let tree =
        |count, offset| Primitive::Limit(Limit { count, offset, input: Box::new(merge(vec![key(0)], 0)) });
    let check = |tree: &Primitive, expected: &[&str]| {
        let given = answers(numbers(&[&[1, 4, 7], &[2, 5], &[3, 6]]), 2);
        assert_eq!(column_of(&run_tree(tree, columns(), given).unwrap()), expected);
    };
    check(&tree(Some(literal(3)), None), &["1", "2", "3"]);
    check(&tree(Some(literal(2)), Some(literal(4))), &["5", "6"]);
    check(&tree(Some(literal(0)), None), &[]);
    check(&tree(Some(literal(100)), Some(literal(6))), &["7"]);
}

#[test]
fn a_limit_must_be_a_count() {
    let count = Some(RouteValue::Literal(Value::text("x")));
    let tree = Primitive::Limit(Limit { count, offset: None, input: leaf(0) });
    let given = answers(numbers(&[&[1], &[], &[]]), 0);
    let error = run_tree(&tree, vec![column("n", ColumnType::LONG)], given).unwrap_err();
    assert_eq!(error.errno(), 1210);
}

#[test]
fn helper_columns_are_cut_off() {
    let columns = vec![column("n", ColumnType::LONG), column("h", ColumnType::LONG)];
    let by_helper = SortKey { column: ColumnRef::Helper(0), ..key(0) };
    let tree = Primitive::Truncate(Truncate { helpers: 1, input: Box::new(merge(vec![by_helper], 1)) });
    let given = answers([vec![row(&["1", "9"])], vec![row(&["2", "-"])], vec![row(&["-", "5"])]], 1);
    let sink = run_tree(&tree, columns, given).unwrap();
    assert_eq!(sink.columns, ["n"]);
    assert_eq!(sink.rows, [row(&["2"]), row(&["-"]), row(&["1"])]);
}

#[test]
fn one_shard_s_error_is_the_error() {
    let mut given = answers(numbers(&[&[1, 4], &[2, 5], &[3, 6]]), 1);
    given[1].fail_at = Some(1);
    for tree in [*leaf(0), merge(vec![key(0)], 0)] {
        let error = run_tree(&tree, vec![column("n", ColumnType::LONG)], given.clone()).unwrap_err();
        assert_eq!(error.errno(), 1317);
    }
}

#[test]
fn shards_that_sort_otherwise_are_noticed() {
    let given = answers(numbers(&[&[3, 1], &[2], &[]]), 0);
    let error = run_tree(&merge(vec![key(0)], 0), vec![column("n", ColumnType::LONG)], given).unwrap_err();
    assert_eq!(error.errno(), 1235);
}

#[test]
fn rows_that_do_not_fit_their_columns_are_errors() {
    let given = answers([vec![row(&["1", "2"])], vec![], vec![]], 0);
    let error = run_tree(&merge(vec![key(0)], 0), vec![column("n", ColumnType::LONG)], given).unwrap_err();
    assert_eq!(error.kind(), Some(crate::error::ErrorKind::BackendProtocol));
}

fn aggregate(
    group: Vec<SortKey>,
    columns: Vec<(u32, AggregateFunction)>,
    is_scalar: bool,
    helpers: u32,
) -> Primitive {
    let input = if group.is_empty() { leaf(helpers) } else { Box::new(merge(group.clone(), helpers)) };
    let columns = columns.into_iter().map(|(index, function)| AggregateColumn {
        column: ColumnRef::Visible(index),
        function,
        is_distinct: false,
    });
    Primitive::Aggregate(Aggregate {
        group,
        distinct: Vec::new(),
        columns: columns.collect(),
        is_scalar,
        input,
    })
}

#[test]
fn scalar_aggregates_of_nothing_are_zero_and_null() {
    let columns = vec![column("c", ColumnType::LONGLONG), column("s", ColumnType::NEWDECIMAL)];
    let functions = || vec![(0, AggregateFunction::Count), (1, AggregateFunction::Sum)];
    let tree = aggregate(Vec::new(), functions(), true, 0);
    let none = answers([vec![], vec![], vec![]], 0);
    assert_eq!(run_tree(&tree, columns.clone(), none).unwrap().rows, [row(&["0", "-"])]);
    let some = [vec![row(&["0", "-"])], vec![row(&["2", "1.50"])], vec![row(&["1", "-0.25"])]];
    assert_eq!(run_tree(&tree, columns, answers(some, 1)).unwrap().rows, [row(&["3", "1.25"])]);
}

#[test]
fn averages_have_the_digits_of_their_column() {
    let average = ColumnDefinition { decimals: 9, ..column("a", ColumnType::NEWDECIMAL) };
    let columns = vec![average, column("s", ColumnType::NEWDECIMAL), column("c", ColumnType::LONGLONG)];
    let function =
        AggregateFunction::Avg { sum: ColumnRef::Helper(0), count: ColumnRef::Helper(1), is_exact: false };
    let tree = aggregate(Vec::new(), vec![(0, function)], true, 2);
    let tree = Primitive::Truncate(Truncate { helpers: 2, input: Box::new(tree) });
    let given = [
        vec![row(&["1.0", "1.00000", "1"])],
        vec![row(&["0.5", "1.00000", "2"])],
        vec![row(&["-", "-", "0"])],
    ];
    // Servers cut the quotient after whole groups of nine digits before they round it.
    assert_eq!(run_tree(&tree, columns, answers(given, 0)).unwrap().rows, [row(&["0.666666666"])]);
}

#[test]
fn averages_of_approximate_numbers() {
    let average = ColumnDefinition { decimals: 31, ..column("a", ColumnType::DOUBLE) };
    let sum = ColumnDefinition { decimals: 31, ..column("s", ColumnType::DOUBLE) };
    let columns = vec![average, sum, column("c", ColumnType::LONGLONG)];
    let function =
        AggregateFunction::Avg { sum: ColumnRef::Helper(0), count: ColumnRef::Helper(1), is_exact: false };
    let tree = aggregate(Vec::new(), vec![(0, function)], true, 2);
    let tree = Primitive::Truncate(Truncate { helpers: 2, input: Box::new(tree) });
    let given = [vec![row(&["1.5", "1.5", "1"])], vec![row(&["1", "2", "3"])], vec![]];
    assert_eq!(run_tree(&tree, columns, answers(given, 0)).unwrap().rows, [row(&["0.875"])]);
}

#[test]
fn extremes_carry_their_weights() {
    let binary = ColumnDefinition { collation: 63, ..column("w", ColumnType::VAR_STRING) };
    let columns = vec![column("m", ColumnType::VAR_STRING), binary.clone(), binary];
    let by_weight = SortKey { weight: Some(ColumnRef::Helper(0)), pad: Some(ColumnRef::Helper(1)), ..key(0) };
    let check = |function: AggregateFunction, expected: &str| {
        let tree = aggregate(Vec::new(), vec![(0, function)], true, 2);
        let given = [vec![row(&["b", "B", " "])], vec![row(&["A", "A", " "])], vec![row(&["-", "-", "-"])]];
        let sink = run_tree(&tree, columns.clone(), answers(given, 0)).unwrap();
        assert_eq!(sink.rows[0][0].as_deref(), Some(expected));
    };
    check(AggregateFunction::Min { key: by_weight.clone() }, "A");
    check(AggregateFunction::Max { key: by_weight }, "b");
}

#[test]
fn distinct_aggregates_count_each_value_once() {
    let columns =
        vec![column("g", ColumnType::LONG), column("c", ColumnType::LONGLONG), column("h", ColumnType::LONG)];
    let distinct = vec![SortKey { column: ColumnRef::Helper(0), ..key(0) }];
    let keys: Vec<_> = [key(0)].into_iter().chain(distinct.clone()).collect();
    let count = |is_distinct| AggregateColumn {
        column: ColumnRef::Visible(1),
        function: AggregateFunction::Count,
        is_distinct,
    };
    let tree = Primitive::Aggregate(Aggregate {
        group: vec![key(0)],
        distinct,
        columns: vec![count(true)],
        is_scalar: false,
        input: Box::new(merge(keys, 1)),
    });
    let tree = Primitive::Truncate(Truncate { helpers: 1, input: Box::new(tree) });
    let given = [
        vec![row(&["1", "0", "-"]), row(&["1", "1", "5"]), row(&["2", "1", "5"])],
        vec![row(&["1", "1", "5"]), row(&["1", "1", "7"])],
        vec![row(&["2", "1", "5"])],
    ];
    let sink = run_tree(&tree, columns, answers(given, 1)).unwrap();
    assert_eq!(sink.rows, [row(&["1", "2"]), row(&["2", "1"])]);
}

#[test]
fn filters_compare_numbers() {
    let columns = || vec![column("n", ColumnType::NEWDECIMAL)];
    let check = |comparison, value: Value, expected: &[&str]| {
        let condition =
            Condition { column: ColumnRef::Visible(0), comparison, value: RouteValue::Literal(value) };
        let input = Box::new(merge(vec![key(0)], 0));
        let tree = Primitive::Filter(Filter { predicate: Predicate::Compare(condition), input });
        let given = [vec![row(&["-"]), row(&["1.50"])], vec![row(&["10"])], vec![row(&["9.99"])]];
        assert_eq!(column_of(&run_tree(&tree, columns(), answers(given, 0)).unwrap()), expected);
    };
    check(Comparison::Greater, Value::Int(9), &["9.99", "10"]);
    check(Comparison::Equal, Value::Decimal(b"1.5".as_slice().into()), &["1.50"]);
    check(Comparison::NotEqual, Value::Double(10.0), &["1.50", "9.99"]);
    check(Comparison::LessOrEqual, Value::Null, &[]);
}

#[test]
fn unknown_is_not_true() {
    let column_is = |comparison, number| {
        Predicate::Compare(Condition { column: ColumnRef::Visible(0), comparison, value: literal(number) })
    };
    let is_null = || Predicate::IsNull(ColumnRef::Visible(0));
    let check = |predicate: Predicate, expected: &[&str]| {
        let tree = Primitive::Filter(Filter { predicate, input: Box::new(merge(vec![key(0)], 0)) });
        let given = [vec![row(&["-"]), row(&["1"])], vec![row(&["2"])], vec![row(&["3"])]];
        let columns = vec![column("n", ColumnType::LONG)];
        assert_eq!(column_of(&run_tree(&tree, columns, answers(given, 0)).unwrap()), expected);
    };
    check(Predicate::Not(Box::new(column_is(Comparison::Equal, 1))), &["2", "3"]);
    check(Predicate::Or(vec![is_null(), column_is(Comparison::Greater, 2)]), &["-", "3"]);
    check(
        Predicate::And(vec![column_is(Comparison::Greater, 0), column_is(Comparison::Less, 3)]),
        &["1", "2"],
    );
    check(
        Predicate::Not(Box::new(Predicate::Or(vec![is_null(), column_is(Comparison::Equal, 2)]))),
        &["1", "3"],
    );
}

#[test]
fn types_that_weights_do_not_order_are_asked_for_as_numbers() {
    let text = || vec![Piece::text("e")];
    let weight = Piece::Weight { helper: 0, text: text(), is_minimum: false };
    let typed = Template { pieces: vec![Piece::text("select e, "), weight] };
    let leaf = EachShard { query: Query::Original, helpers: 1, typed: Some(Box::new(typed)) };
    let by_weight = SortKey { weight: Some(ColumnRef::Helper(0)), ..key(0) };
    let tree = Primitive::MergeSort(MergeSort {
        keys: vec![by_weight],
        input: Box::new(Primitive::EachShard(leaf)),
    });
    let topology = topology(&SHARDS);
    let keyspace = topology.keyspace("ks").unwrap();
    let parts = all_parts(keyspace);
    let args = FakeArguments::default();
    let set = ColumnDefinition { flags: crate::wire::ColumnFlags::ENUM, ..column("e", ColumnType::STRING) };
    let columns = vec![set, column("h", ColumnType::LONGLONG)];
    let given = [vec![row(&["z", "1"]), row(&["a", "3"])], vec![row(&["m", "2"])], vec![]];
    let mut shards = FakeShards { columns, answers: answers(given, 0), ..FakeShards::default() };
    let mut sink = Collected::default();
    block_on(execute(&tree, &run(keyspace, &parts, b"select", &args), &mut shards, &mut sink)).unwrap();
    assert_eq!(column_of(&sink), ["z", "m", "a"]);
    assert_eq!(shards.sent.len(), 6);
    assert_eq!(shards.sent[3].1, "select e, cast(e as unsigned)");
    assert_eq!(shards.open.count(), 0);
}

fn nullable() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 5 => (-5_i64..5).prop_map(Some)]
}

fn table() -> impl Strategy<Value = [Vec<(Option<i64>, Option<i64>)>; 3]> {
    let shard = || proptest::collection::vec((nullable(), nullable()), 0..12);
    [shard(), shard(), shard()]
}

fn text(pair: (Option<i64>, Option<i64>)) -> TextRow {
    vec![pair.0.map(|n| n.to_string()), pair.1.map(|n| n.to_string())]
}

proptest! {
    #[test]
    fn merging_is_sorting_the_concatenation(table in table(), descending: bool, waits_every in 0_usize..3) {
        let order = |pair: &(Option<i64>, Option<i64>)| (pair.0, pair.1.map(|n| if descending { -n } else { n }));
        // NULL is smallest: descending it comes last.
        let compare = |a: &(Option<i64>, Option<i64>), b: &(Option<i64>, Option<i64>)| {
            let second = a.1.cmp(&b.1);
            a.0.cmp(&b.0).then(if descending { second.reverse() } else { second })
        };
        let _ = order;
        let mut sorted = table.clone();
        sorted.iter_mut().for_each(|shard| shard.sort_by(compare));
        let mut expected: Vec<_> = table.concat();
        expected.sort_by(compare);
        let expected: Vec<TextRow> = expected.into_iter().map(text).collect();
        let columns = || vec![column("a", ColumnType::LONGLONG), column("b", ColumnType::LONGLONG)];
        let keys = vec![key(0), SortKey { descending, ..key(1) }];
        let given = sorted.map(|shard| shard.into_iter().map(text).collect());
        let merged = run_tree(&merge(keys.clone(), 0), columns(), answers(given, waits_every)).unwrap();
        prop_assert_eq!(&merged.rows, &expected);

        let unsorted = table.map(|shard| shard.into_iter().map(text).collect());
        let sort = Primitive::Sort(Sort { keys, input: leaf(0) });
        let limited = Primitive::Limit(Limit { count: Some(literal(4)), offset: Some(literal(1)), input: Box::new(sort.clone()) });
        let in_memory = run_tree(&sort, columns(), answers(unsorted.clone(), waits_every)).unwrap();
        prop_assert_eq!(&in_memory.rows, &expected);
        let first = run_tree(&limited, columns(), answers(unsorted, waits_every)).unwrap();
        prop_assert_eq!(first.rows, expected.into_iter().skip(1).take(4).collect::<Vec<_>>());
    }

    #[test]
    fn two_phases_aggregate_like_one(table in table(), waits_every in 0_usize..3) {
        type Group = (u64, Option<i64>, Option<i64>, Option<i64>);
        let group_of = |rows: &[(Option<i64>, Option<i64>)]| {
            let mut groups: BTreeMap<Option<i64>, Group> = BTreeMap::new();
            for (key, value) in rows {
                let group = groups.entry(*key).or_default();
                if let Some(value) = value {
                    group.0 += 1;
                    group.1 = Some(group.1.unwrap_or(0) + value);
                    group.2 = Some(group.2.map_or(*value, |min| min.min(*value)));
                    group.3 = Some(group.3.map_or(*value, |max| max.max(*value)));
                }
            }
            let text = |n: Option<i64>| n.map(|n| n.to_string());
            let rows = groups.into_iter();
            rows.map(|(key, g)| vec![text(key), Some(g.0.to_string()), text(g.1), text(g.2), text(g.3)]).collect::<Vec<_>>()
        };
        let columns = vec![
            column("k", ColumnType::LONGLONG),
            column("c", ColumnType::LONGLONG),
            column("s", ColumnType::NEWDECIMAL),
            column("min", ColumnType::LONGLONG),
            column("max", ColumnType::LONGLONG),
        ];
        let functions = vec![
            (1, AggregateFunction::Count),
            (2, AggregateFunction::Sum),
            (3, AggregateFunction::Min { key: key(3) }),
            (4, AggregateFunction::Max { key: key(4) }),
        ];
        let tree = aggregate(vec![key(0)], functions, false, 0);
        let expected = group_of(&table.concat());
        let partial = table.map(|shard| group_of(&shard));
        let sink = run_tree(&tree, columns, answers(partial, waits_every)).unwrap();
        prop_assert_eq!(sink.rows, expected);
    }

    #[test]
    fn distinct_rows_are_a_set(table in table(), waits_every in 0_usize..3) {
        let mut expected: Vec<_> = table.concat();
        expected.sort_unstable();
        expected.dedup();
        let given = table.map(|shard| shard.into_iter().map(text).collect());
        let tree = Primitive::Distinct(Distinct { keys: vec![key(0), key(1)], is_by_value: false, input: leaf(0) });
        let columns = vec![column("a", ColumnType::LONGLONG), column("b", ColumnType::LONGLONG)];
        let sink = run_tree(&tree, columns, answers(given, waits_every)).unwrap();
        let mut rows = sink.rows;
        let mut expected: Vec<TextRow> = expected.into_iter().map(text).collect();
        rows.sort();
        expected.sort();
        prop_assert_eq!(rows, expected);
    }
}
