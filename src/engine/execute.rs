//! Runs a tree of combining primitives over the shards' streams into a sink.

use super::aggregate::Aggregator;
use super::arguments::{Arguments, count_of, value_of};
use super::join;
use super::key::{KeyPart, Use, index_of};
use super::render::{RowCounts, SessionValues, render};
use super::routing::ShardPart;
use super::seam::{ResultSink, RowStream, ShardExecutor, ShardQuery};
use super::source::{self, Source};
use super::stage::{self, Distinct, Filter, Flow, NumericCondition, Output, Sort, Stage, Test};
use crate::error::{Error, Result};
use crate::plan::primitive::{
    ColumnRef, EachShard, Join, Piece, Predicate, Primitive, Query, SortKey, Template,
};
use crate::topology::KeyspaceName;
use crate::value::ColumnClass;
use crate::wire::column_type::ColumnType;
use crate::wire::response::ColumnDefinition;

/// What running a statement needs beside its plan.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The keyspace of the shards.
    pub keyspace: &'a KeyspaceName,
    /// The shards that the routing gave.
    pub parts: &'a [ShardPart<'a>],
    /// The statement's own text, for [`Query::Original`].
    pub text: &'a [u8],
    /// Its arguments.
    pub args: &'a dyn Arguments,
    /// What the router knows about the session.
    pub session: &'a dyn SessionValues,
}

impl Run<'_> {
    /// The text of `query` for each shard.
    pub fn queries(&self, query: &Query) -> Result<Vec<ShardQuery>> {
        let each = self.parts.iter().map(|part| {
            let mut text = Vec::new();
            match query {
                Query::Original => text.extend_from_slice(self.text),
                Query::Template(template) => {
                    render(template, self.args, self.session, part.items.as_deref(), b"", &mut text)?;
                }
            }
            Ok(ShardQuery { shard: part.shard.name().clone(), text, rows: Vec::new() })
        });
        each.collect()
    }
}

/// Runs `tree` over the shards and gives its rows to `sink`. Returns the number of rows.
///
/// # Errors
/// The first error of a shard, of the sink, or of an operator that passes a limit; the shards are cancelled by
/// dropping their streams.
pub async fn execute<E: ShardExecutor, S: ResultSink>(
    tree: &Primitive,
    run: &Run<'_>,
    executor: &mut E,
    sink: &mut S,
) -> Result<u64> {
    execute_counting(tree, run, executor, sink, false).await
}

/// As [`execute`]; with `counts_all` it returns the number of rows that there were without a LIMIT
/// (`SQL_CALC_FOUND_ROWS`).
///
/// # Errors
/// As for [`execute`].
pub async fn execute_counting<E: ShardExecutor, S: ResultSink>(
    tree: &Primitive,
    run: &Run<'_>,
    executor: &mut E,
    sink: &mut S,
    counts_all: bool,
) -> Result<u64> {
    let nodes = nodes(tree)?;
    let leaf = match nodes.leaf {
        Leaf::EachShard(leaf) => leaf,
        Leaf::Join(join) => return Box::pin(join::execute(join, &nodes, run, executor, sink)).await,
    };
    let queries = run.queries(&leaf.query)?;
    let mut streams = executor.stream(run.keyspace, queries).await?;
    let mut columns = columns_of(&streams)?;
    let helpers = leaf.helpers as usize;
    let numbers = needed_numbers(&nodes, &columns, helpers)?;
    if !numbers.is_empty()
        && let Some(typed) = &leaf.typed
    {
        source::drain(&mut streams).await;
        drop(streams);
        let queries = run.queries(&Query::Template(decided(typed, &numbers)))?;
        streams = executor.stream(run.keyspace, queries).await?;
        columns = columns_of(&streams)?;
    }
    let visible =
        columns.len().checked_sub(helpers).ok_or_else(|| Error::bug("more helpers than columns"))?;
    let keys = key_parts(nodes.merge, &columns, helpers)?;
    let mut stages = stages_of(&nodes, run, &columns, helpers)?;
    if !streams.iter().any(RowStream::compares_averages_unrounded) {
        stages.iter_mut().for_each(Stage::round_averages);
    }
    if counts_all {
        count_what_is_limited(&mut stages);
    } else {
        keep_only_what_is_limited(&mut stages);
    }
    if let Some(counts) = run.session.row_counts() {
        stages = counted(stages, &counts);
    }
    let mut source = Source::new(streams, keys);
    sink.columns(&columns[..visible]).await?;
    let mut row_count = 0;
    let mut output = Output::default();
    let mut flow = if wants_nothing(&stages) { Flow::Stop } else { Flow::Continue };
    while flow == Flow::Continue {
        let Some(stream) = source.next().await? else { break };
        if stages.is_empty() {
            sink.row(stream.row()).await?;
            row_count += 1;
            continue;
        }
        flow = stage::push(&mut stages, stream.row(), &mut output)?;
        row_count += flush(&mut output, sink).await?;
    }
    if flow == Flow::Stop {
        source.drain().await;
    } else {
        stage::finish(&mut stages, &mut output)?;
        row_count += flush(&mut output, sink).await?;
    }
    sink.finish(source.end().await).await?;
    Ok(found_rows(&stages).unwrap_or(row_count))
}

/// What is done with the leaf's rows.
pub(super) fn stages_of(
    nodes: &Nodes<'_>,
    run: &Run<'_>,
    columns: &[ColumnDefinition],
    helpers: usize,
) -> Result<Vec<Stage>> {
    let stages = nodes.stages.iter().map(|node| stage_of(node, run, columns, helpers));
    let mut stages = stages.collect::<Result<Vec<_>>>()?;
    if run.session.lifts_row_limit() {
        stages.iter_mut().for_each(Stage::lift_row_limit);
    }
    Ok(stages)
}

/// The stages with counters between them, one for the rows of the shards and one behind each stage.
pub(super) fn counted(stages: Vec<Stage>, counts: &RowCounts) -> Vec<Stage> {
    let mut counted = vec![Stage::Count(0, counts.clone())];
    for (index, stage) in stages.into_iter().enumerate() {
        counted.push(stage);
        counted.push(Stage::Count(index + 1, counts.clone()));
    }
    counted
}

/// A helper column that must be a number for its key to be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// The position of an ENUM's or SET's value.
    Position(u32),
    /// A FLOAT with all its digits, which its text does not show.
    Exact(u32),
}

/// The keys whose values are not ordered by their weights.
pub(super) fn needed_numbers(
    nodes: &Nodes<'_>,
    columns: &[ColumnDefinition],
    helpers: usize,
) -> Result<Vec<Number>> {
    let mut keys: Vec<&SortKey> = nodes.merge.iter().collect();
    for stage in &nodes.stages {
        match stage {
            Primitive::Aggregate(plan) => keys.extend(plan.group.iter().chain(&plan.distinct)),
            Primitive::Distinct(plan) => keys.extend(&plan.keys),
            Primitive::Sort(plan) => keys.extend(&plan.keys),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for key in keys {
        let column = &columns[index_of(key.column, columns.len(), helpers)?];
        let Some(ColumnRef::Helper(helper)) = key.weight else { continue };
        let number = match () {
            () if super::key::is_set(column) => Number::Position(helper),
            () if column.column_type == ColumnType::FLOAT => Number::Exact(helper),
            () => continue,
        };
        if !found.contains(&number) {
            found.push(number);
        }
    }
    Ok(found)
}

/// The template with the form of each weight decided.
fn decided(typed: &Template, numbers: &[Number]) -> Template {
    let mut template = Template::default();
    for piece in &typed.pieces {
        let Piece::Weight { helper, text, is_minimum } = piece else {
            template.pieces.push(piece.clone());
            continue;
        };
        let (before, behind) = if numbers.contains(&Number::Position(*helper)) {
            ("cast(", " as unsigned)")
        } else if numbers.contains(&Number::Exact(*helper)) {
            ("(", ")+0e0")
        } else {
            ("weight_string(", ")")
        };
        template.pieces.extend(is_minimum.then(|| Piece::text("min(")));
        template.pieces.push(Piece::text(before));
        template.pieces.extend(text.iter().cloned());
        template.pieces.push(Piece::text(behind));
        template.pieces.extend(is_minimum.then(|| Piece::text(")")));
    }
    template
}

pub(super) async fn flush<S: ResultSink>(output: &mut Output, sink: &mut S) -> Result<u64> {
    let mut count = 0;
    for row in output.rows() {
        sink.row(row).await?;
        count += 1;
    }
    output.clear();
    Ok(count)
}

/// A tree's nodes, from the leaf up.
pub(super) struct Nodes<'p> {
    leaf: Leaf<'p>,
    merge: &'p [SortKey],
    stages: Vec<&'p Primitive>,
}

impl Nodes<'_> {
    /// Does a limit let no row pass?
    pub(super) fn want_nothing(&self, run: &Run<'_>) -> Result<bool> {
        for node in &self.stages {
            if let Primitive::Limit(limit) = node
                && let Some(count) = &limit.count
                && count_of(count, run.args)? == 0
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Where rows come from.
#[derive(Clone, Copy)]
enum Leaf<'p> {
    EachShard(&'p EachShard),
    Join(&'p Join),
}

fn nodes(tree: &Primitive) -> Result<Nodes<'_>> {
    let mut stages = Vec::new();
    let mut merge: &[SortKey] = &[];
    let mut node = tree;
    let leaf = loop {
        let input = match node {
            Primitive::EachShard(leaf) => break Leaf::EachShard(leaf),
            Primitive::Join(join) => break Leaf::Join(join),
            Primitive::MergeSort(sort) => {
                merge = &sort.keys;
                node = &sort.input;
                continue;
            }
            Primitive::Aggregate(inner) => &inner.input,
            Primitive::Distinct(inner) => &inner.input,
            Primitive::Filter(inner) => &inner.input,
            Primitive::Limit(inner) => &inner.input,
            Primitive::Sort(inner) => &inner.input,
            Primitive::Truncate(inner) => &inner.input,
            Primitive::Gather(_) | Primitive::Insert(_) | Primitive::ReadFirst(_) | Primitive::Route(_) => {
                return Err(Error::bug("a primitive that gives no rows below one that takes them"));
            }
        };
        stages.push(node);
        node = input;
    };
    stages.reverse();
    Ok(Nodes { leaf, merge, stages })
}

/// The columns, which must agree in number over all shards.
pub(super) fn columns_of<S: RowStream>(streams: &[S]) -> Result<Vec<ColumnDefinition>> {
    let first = streams.first().ok_or_else(|| Error::bug("a statement for no shard"))?.columns().to_vec();
    if !streams.iter().all(|stream| are_alike(stream.columns(), &first)) {
        return Err(Error::unsupported("combining answers of shards that have different columns"));
    }
    Ok(first)
}

/// Are these columns of the same number and types?
pub(super) fn are_alike(a: &[ColumnDefinition], b: &[ColumnDefinition]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| family(a.column_type) == family(b.column_type))
}

/// Types that a server may exchange for one another from execution to execution, as its optimizer sees fit.
fn family(column_type: ColumnType) -> ColumnType {
    match column_type {
        kind if kind.is_integer() => ColumnType::LONGLONG,
        ColumnType::DECIMAL => ColumnType::NEWDECIMAL,
        ColumnType::FLOAT => ColumnType::DOUBLE,
        kind if kind.is_string() => ColumnType::VAR_STRING,
        other => other,
    }
}

fn key_parts(keys: &[SortKey], columns: &[ColumnDefinition], helpers: usize) -> Result<Vec<KeyPart>> {
    keys.iter().map(|key| KeyPart::new(key, columns, helpers, Use::Order)).collect()
}

fn stage_of(node: &Primitive, run: &Run<'_>, columns: &[ColumnDefinition], helpers: usize) -> Result<Stage> {
    let count = columns.len();
    match node {
        Primitive::Aggregate(plan) => {
            Ok(Stage::Aggregate(Box::new(Aggregator::new(plan, columns, helpers)?)))
        }
        Primitive::Distinct(plan) => {
            let keys = match plan.is_by_value {
                true => columns.iter().enumerate().map(KeyPart::by_value).collect::<Result<_>>()?,
                false => key_parts(&plan.keys, columns, helpers)?,
            };
            let mut distinct = Distinct::new(keys, count);
            if plan.is_by_value {
                distinct.lift_row_limit();
            }
            Ok(Stage::Distinct(distinct))
        }
        Primitive::Filter(plan) => {
            let test = test_of(&plan.predicate, run, columns, helpers)?;
            Ok(Stage::Filter(Filter { test, column_count: count }))
        }
        Primitive::Limit(plan) => {
            let skip = plan.offset.as_ref().map_or(Ok(0), |offset| count_of(offset, run.args))?;
            let left = plan.count.as_ref().map_or(Ok(u64::MAX), |count| count_of(count, run.args))?;
            Ok(Stage::Limit { skip, left, seen: None })
        }
        Primitive::Sort(plan) => {
            Ok(Stage::Sort(Sort::new(key_parts(&plan.keys, columns, helpers)?, count, None)))
        }
        Primitive::Truncate(plan) => Ok(Stage::Truncate(count.saturating_sub(plan.helpers as usize))),
        Primitive::EachShard(_)
        | Primitive::Gather(_)
        | Primitive::Insert(_)
        | Primitive::Join(_)
        | Primitive::MergeSort(_)
        | Primitive::ReadFirst(_)
        | Primitive::Route(_) => Err(Error::bug("a primitive in the wrong place")),
    }
}

fn test_of(
    predicate: &Predicate,
    run: &Run<'_>,
    columns: &[ColumnDefinition],
    helpers: usize,
) -> Result<Test> {
    let all = |parts: &[Predicate]| {
        parts.iter().map(|part| test_of(part, run, columns, helpers)).collect::<Result<Vec<_>>>()
    };
    Ok(match predicate {
        Predicate::And(parts) => Test::And(all(parts)?),
        Predicate::Compare(condition) => {
            let column = index_of(condition.column, columns.len(), helpers)?;
            let class = numeric_class(&columns[column])?;
            let value = value_of(&condition.value, run.args)?;
            Test::Compare(NumericCondition::new(column, class, condition.comparison, &value)?)
        }
        Predicate::IsNull(column) => Test::IsNull(index_of(*column, columns.len(), helpers)?),
        Predicate::Not(inner) => Test::Not(Box::new(test_of(inner, run, columns, helpers)?)),
        Predicate::Or(parts) => Test::Or(all(parts)?),
    })
}

fn numeric_class(column: &ColumnDefinition) -> Result<ColumnClass> {
    match column.column_type {
        kind if kind.is_integer() => Ok(ColumnClass::Integer),
        ColumnType::DECIMAL | ColumnType::NEWDECIMAL => Ok(ColumnClass::Decimal),
        ColumnType::DOUBLE => Ok(ColumnClass::Float),
        _ => Err(Error::unsupported("HAVING on what is no number over several shards")),
    }
}

/// A sort right below a limit need keep no more rows than that.
pub(super) fn keep_only_what_is_limited(stages: &mut [Stage]) {
    for index in 1..stages.len() {
        let keep = match &stages[index] {
            Stage::Limit { skip, left, .. } => usize::try_from(skip.saturating_add(*left)).ok(),
            _ => None,
        };
        if let (Stage::Sort(sort), Some(keep)) = (&mut stages[index - 1], keep) {
            sort.keep = Some(keep);
        }
    }
}

pub(super) fn wants_nothing(stages: &[Stage]) -> bool {
    stages.iter().any(|stage| matches!(stage, Stage::Limit { left: 0, seen: None, .. }))
}

/// Rows beyond the limit are wanted all the same.
fn count_what_is_limited(stages: &mut [Stage]) {
    for stage in stages {
        if let Stage::Limit { seen, .. } = stage {
            *seen = Some(0);
        }
    }
}

/// What a counting limit has seen.
fn found_rows(stages: &[Stage]) -> Option<u64> {
    stages.iter().rev().find_map(|stage| match stage {
        Stage::Limit { seen, .. } => *seen,
        _ => None,
    })
}
