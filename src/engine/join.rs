//! The hash join: rows of one side are held in memory, those of the other side stream by. Either may be the side of an
//! outer join whose rows all stay.
//!
//! Of the other side only rows with the values that are held are asked for, as one list for each shard, several batches
//! at most; when there are too many values for that, all of its rows. Knows nothing of SQL but how to add a condition.

use std::collections::{HashMap, HashSet};

use smallvec::SmallVec;

use super::execute::{
    Nodes, Run, are_alike, columns_of, counted, flush, keep_only_what_is_limited, needed_numbers, stages_of,
    wants_nothing,
};
use super::key::{Fields, KeyPart, broken_row, encode};
use super::render::render;
use super::routing::{ShardPart, Shards, resolve};
use super::seam::{ResultSink, RowStream, ShardExecutor, ShardQuery, StreamEnd};
use super::source::Source;
use super::stage::{self, Flow, Held, Output, Stage};
use super::text_keys::{self, TextKeys};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{JOIN_BATCH_BYTES, JOIN_BATCH_VALUES, JOIN_BATCHES_MAX};
use crate::plan::primitive::{
    Candidates, Join, JoinQuery, JoinRows, JoinSide, JoinedColumn, Keys, Lookup, RouteList, RouteValue,
    Routing, Template,
};
use crate::topology::{Keyspace, Shard};
use crate::value::{Decimal, Value};
use crate::wire::column_type::{ColumnFlags, ColumnType};
use crate::wire::response::ColumnDefinition;
use crate::wire::row::{put_text_field, text_fields};

/// Values that rows of the other side must have.
type List = Vec<Box<[u8]>>;

/// Runs the tree whose leaf is `join`. The sink hears nothing before the first row, or the end.
pub(super) async fn execute<E: ShardExecutor, S: ResultSink>(
    join: &Join,
    nodes: &Nodes<'_>,
    run: &Run<'_>,
    executor: &mut E,
    sink: &mut S,
) -> Result<u64> {
    let described = describe(join, run, executor).await?;
    // Of `LIMIT 0` only the columns are wanted.
    let wants_nothing = nodes.want_nothing(run)?;
    let above = Above { nodes: Some(nodes), described: described.as_deref(), wants_nothing };
    run_join(join, &above, run, executor, sink).await
}

/// What becomes of joined rows.
struct Above<'a> {
    /// What is done with them; of a join that another one reads nothing is.
    nodes: Option<&'a Nodes<'a>>,
    described: Option<&'a [ColumnDefinition]>,
    wants_nothing: bool,
}

async fn run_join<E: ShardExecutor, S: ResultSink>(
    join: &Join,
    above: &Above<'_>,
    run: &Run<'_>,
    executor: &mut E,
    sink: &mut S,
) -> Result<u64> {
    let JoinRows::Query(inner) = &join.sides[1].rows else {
        return Err(Error::bug("a join that is read second"));
    };
    let nulls = Nulls::ask(join, run, executor).await?;
    let nothing = above.wants_nothing.then(List::new);
    let rows = first_rows(&join.sides[0], above.wants_nothing, run, executor).await?;
    let mut warnings = rows.warnings;

    let mut meeting: Option<Meeting<'_>> = None;
    let lists = match nothing {
        Some(nothing) => vec![Some(nothing)],
        None if join.asks_by_values() => rows.lists(inner.asked.0, &join.text_keys)?,
        None => vec![None],
    };
    for list in lists {
        let streams = executor.stream(&inner.keyspace, queries(inner, run, list.as_ref())?).await?;
        let meeting = match &mut meeting {
            Some(meeting) => meeting,
            None => {
                let columns = columns_of(&streams)?;
                let sides = Sides { rows: &rows, inner: &columns, nulls: nulls.as_ref() };
                let mut first = Meeting::new(join, above, run, &sides)?;
                if !streams.iter().any(RowStream::compares_averages_unrounded) {
                    first.stages.iter_mut().for_each(Stage::round_averages);
                }
                meeting.insert(first)
            }
        };
        let mut source = Source::new(streams, Vec::new());
        while meeting.flow == Flow::Continue {
            let Some(stream) = source.next().await? else { break };
            meeting.take(stream.row())?;
            while meeting.meet(stream.row())? {
                meeting.flush(sink).await?;
                // Others of this thread, and a KILL, have their turn.
                tokio::task::yield_now().await;
            }
            meeting.flush(sink).await?;
        }
        if meeting.flow == Flow::Stop {
            source.drain().await;
            break;
        }
        warnings = warnings.saturating_add(source.end().await.warnings);
    }
    let meeting = meeting.ok_or_else(|| Error::bug("a join that asked nobody"))?;
    meeting.finish(sink, StreamEnd { warnings }).await
}

/// All rows of the side that is read first.
async fn first_rows<E: ShardExecutor>(
    side: &JoinSide,
    wants_nothing: bool,
    run: &Run<'_>,
    executor: &mut E,
) -> Result<Rows> {
    let mut rows = Rows::default();
    if run.session.lifts_row_limit() {
        rows.held.lift_row_limit();
    }
    let query = match &side.rows {
        JoinRows::Query(query) => query,
        JoinRows::Joined(join) => {
            let above = Above { nodes: None, described: None, wants_nothing };
            Box::pin(run_join(join, &above, run, executor, &mut rows)).await?;
            return Ok(rows);
        }
    };
    let nothing = wants_nothing.then(List::new);
    let streams = executor.stream(&query.keyspace, queries(query, run, nothing.as_ref())?).await?;
    rows.columns = columns_of(&streams)?;
    let mut source = Source::new(streams, Vec::new());
    while let Some(stream) = source.next().await? {
        rows.add(stream.row())?;
    }
    rows.warnings = source.end().await.warnings;
    Ok(rows)
}

/// What a kept row meets that nothing else meets.
struct Nulls {
    columns: Vec<ColumnDefinition>,
    row: Vec<u8>,
}

impl Nulls {
    async fn ask<E: ShardExecutor>(join: &Join, run: &Run<'_>, executor: &mut E) -> Result<Option<Self>> {
        let Some(kept) = &join.kept else { return Ok(None) };
        let side = join.query(1 - usize::from(kept.side));
        let mut streams = one_shard(&kept.nulls, side, run, executor).await?;
        let columns = columns_of(&streams)?;
        let mut row = None;
        for stream in &mut streams {
            while stream.advance().await? {
                if row.replace(stream.row().to_vec()).is_some() {
                    return Err(Error::bug("more than one row of NULLs"));
                }
            }
        }
        let row = row.ok_or_else(|| Error::unsupported("an outer join without a row of NULLs"))?;
        Ok(Some(Self { columns, row }))
    }
}

/// Asks any shard of the side's keyspace.
async fn one_shard<E: ShardExecutor>(
    query: &Template,
    side: &JoinQuery,
    run: &Run<'_>,
    executor: &mut E,
) -> Result<Vec<E::Stream>> {
    let mut text = Vec::new();
    render(query, run.args, run.session, None, b"", &mut text)?;
    let shard = first_shard(side, keyspace_of(side, run)?)?.name().clone();
    executor.stream(&side.keyspace, vec![ShardQuery { shard, text, rows: Vec::new() }]).await
}

/// The columns, if the plan has them described.
async fn describe<E: ShardExecutor>(
    join: &Join,
    run: &Run<'_>,
    executor: &mut E,
) -> Result<Option<Vec<ColumnDefinition>>> {
    let Some(description) = &join.description else { return Ok(None) };
    let mut streams = one_shard(description, join.query(0), run, executor).await?;
    let columns = columns_of(&streams)?;
    super::source::drain(&mut streams).await;
    Ok(Some(columns))
}

fn keyspace_of<'r>(side: &JoinQuery, run: &Run<'r>) -> Result<&'r Keyspace> {
    let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{}'", side.keyspace));
    run.session.keyspace(&side.keyspace).ok_or_else(unknown)
}

fn first_shard<'t>(side: &JoinQuery, keyspace: &'t Keyspace) -> Result<&'t Shard> {
    let shards = keyspace.shards().first();
    shards.ok_or_else(|| Error::bug(format!("the keyspace {} has no shard", side.keyspace)))
}

/// The side's query for each of its shards, with the condition that its rows have these values.
fn queries(query: &JoinQuery, run: &Run<'_>, list: Option<&List>) -> Result<Vec<ShardQuery>> {
    let keyspace = keyspace_of(query, run)?;
    let by_values =
        list.filter(|_| query.routing == Routing::Scatter).and_then(|list| routing_by(query, list));
    let routing = by_values.as_ref().unwrap_or(&query.routing);
    let (shards, is_routed) = match resolve(routing, keyspace, run.args) {
        // The conditions still hold, wherever the rows are.
        Err(error) if error.kind() == Some(ErrorKind::Unsupported) => {
            (resolve(&Routing::Scatter, keyspace, run.args)?, false)
        }
        resolved => (resolved?, true),
    };
    let parts = match shards {
        Shards::These(parts) => parts,
        Shards::Any => {
            std::iter::once(ShardPart { shard: first_shard(query, keyspace)?, items: None }).collect()
        }
    };
    let each = parts.iter().map(|part| {
        let items = part.items.as_deref().filter(|_| is_routed);
        let of_routing = items.filter(|_| by_values.is_none());
        let mut text = Vec::new();
        render(&query.head, run.args, run.session, of_routing, b"", &mut text)?;
        match (list, items.filter(|_| by_values.is_some())) {
            (None, _) => {}
            (Some(list), None) => put_condition(&query.asked_column, list.iter(), &mut text),
            (Some(list), Some(items)) => {
                let own = items.iter().filter_map(|item| list.get(*item as usize));
                put_condition(&query.asked_column, own, &mut text);
            }
        }
        if let Some(tail) = &query.tail {
            render(tail, run.args, run.session, of_routing, b"", &mut text)?;
        }
        Ok(ShardQuery { shard: part.shard.name().clone(), text, rows: Vec::new() })
    });
    each.collect()
}

/// Where rows with these values are, if the column that is asked for decides that.
fn routing_by(side: &JoinQuery, list: &List) -> Option<Routing> {
    let vindex = side.asked.1.clone()?;
    let value = |text: &[u8]| {
        let text = std::str::from_utf8(text).ok()?;
        let value = text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::UInt)).ok()?;
        Some(RouteValue::Literal(value))
    };
    let values = list.iter().map(|text| value(text)).collect::<Option<Vec<_>>>()?;
    let keys = Keys::Columns(vec![Candidates::Many(RouteList::Values(values))]);
    Some(Routing::In(Lookup { vindex, keys, is_text: false }))
}

/// ` and column in (…)`; of nothing it is never true.
fn put_condition<'v>(asked: &str, values: impl Iterator<Item = &'v Box<[u8]>>, out: &mut Vec<u8>) {
    let mut values = values.peekable();
    if values.peek().is_none() {
        out.extend_from_slice(b" and 0");
        return;
    }
    out.extend_from_slice(b" and ");
    out.extend_from_slice(asked.as_bytes());
    out.extend_from_slice(b" in (");
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value);
    }
    out.push(b')');
}

/// The rows of the side that is read first. They may come from another join.
#[derive(Default)]
struct Rows {
    columns: Vec<ColumnDefinition>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    held: Held,
    warnings: u32,
}

impl ResultSink for Rows {
    async fn columns(&mut self, columns: &[ColumnDefinition]) -> Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    async fn row(&mut self, row: &[u8]) -> Result<()> {
        self.add(row)
    }

    async fn finish(&mut self, end: StreamEnd) -> Result<()> {
        self.warnings = end.warnings;
        Ok(())
    }
}

impl Rows {
    fn add(&mut self, row: &[u8]) -> Result<()> {
        self.held.add(row.len(), "a join")?;
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    fn row(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// The lists that the other side is asked for, as literals of a column's values; `None`: all of its rows.
    fn lists(&self, column: usize, text_keys: &[usize]) -> Result<Vec<Option<List>>> {
        let definition = self.columns.get(column).ok_or_else(broken_row)?;
        let [part, _] = KeyPart::joining((column, definition), (column, definition))?;
        let mut seen: HashSet<&[u8], foldhash::fast::RandomState> = HashSet::default();
        let mut byte_count = 0;
        for index in 0..self.ends.len() {
            let field = text_fields(self.row(index)).nth(column);
            if let Some(value) = field.ok_or_else(broken_row)?.map_err(|_| broken_row())?
                && seen.insert(value)
            {
                byte_count += value.len();
                if seen.len() > JOIN_BATCH_VALUES * JOIN_BATCHES_MAX
                    || byte_count > JOIN_BATCH_BYTES * JOIN_BATCHES_MAX
                {
                    return Ok(vec![None]);
                }
            }
        }
        let charset = match text_keys.contains(&column) && !self.ends.is_empty() {
            true => text_keys::charset(self.row(0), column)?,
            false => b"_binary",
        };
        let mut values: Vec<&[u8]> = seen.into_iter().collect();
        values.sort_unstable();
        let (mut lists, mut list, mut byte_count) = (Vec::new(), List::new(), 0);
        for value in values {
            let mut literal = Vec::with_capacity(value.len() + 2);
            if !part.put_literal(value, charset, &mut literal) {
                return Ok(vec![None]);
            }
            if list.len() == JOIN_BATCH_VALUES || byte_count + value.len() > JOIN_BATCH_BYTES {
                lists.extend((!list.is_empty()).then(|| Some(std::mem::take(&mut list))));
                byte_count = 0;
            }
            byte_count += value.len();
            list.push(literal.into());
        }
        // Without values too somebody must say what columns there are.
        lists.extend((!list.is_empty() || lists.is_empty()).then_some(Some(list)));
        Ok(lists)
    }
}

/// Where a column of a joined row comes from: the side and the position in its rows.
#[derive(Clone, Copy)]
enum From {
    Copied(usize, usize),
    /// How many rows both together stand for.
    Weight,
    /// Times the number of rows that the other side's row stands for.
    Multiplied(usize, usize),
}

/// A row as its encoded fields.
type Encoded<'r> = SmallVec<[&'r [u8]; 16]>;

/// Rows and columns that meet.
struct Sides<'r, 'c> {
    rows: &'r Rows,
    inner: &'c [ColumnDefinition],
    nulls: Option<&'r Nulls>,
}

/// The side of an outer join all of whose rows stay.
struct Kept<'r> {
    side: usize,
    /// The row that its rows meet when they meet no other.
    nulls: Encoded<'r>,
    /// Whether that is shown.
    shows_nulls: bool,
}

/// The table of the held rows, and what becomes of rows that meet.
struct Meeting<'r> {
    rows: &'r Rows,
    kept: Option<Kept<'r>>,
    /// The side of which one row is enough.
    exists: Option<u8>,
    /// The positions of the sides' flags.
    flags: [Option<usize>; 2],
    /// Held rows that have met others.
    has_met: Vec<bool>,
    /// Held rows that are not shown where they meet others.
    is_hidden: Vec<bool>,
    /// By key the first and the last row with it.
    heads: HashMap<Box<[u8]>, (u32, u32), foldhash::fast::RandomState>,
    /// For each row the next one with the same key.
    next: Vec<u32>,
    /// The held row that the row at hand meets next.
    at: u32,
    /// Whether the conditions on the row at hand hold.
    holds: bool,
    inner_keys: Vec<KeyPart>,
    /// How many columns the keys take.
    key_count: usize,
    texts: TextKeys,
    inner_count: usize,
    from: Vec<From>,
    columns: Vec<ColumnDefinition>,
    visible: usize,
    /// The position of the number of rows that a row stands for.
    weight: usize,
    stages: Vec<Stage>,
    output: Output,
    flow: Flow,
    has_begun: bool,
    row_count: u64,
    key: Vec<u8>,
    joined: Vec<u8>,
}

const NONE: u32 = u32::MAX;

/// Joined rows are handed on when there are so many bytes of them.
const OUTPUT_BYTES: usize = 64 << 10;
/// Rows that one row meets before others have their turn.
const MEETINGS_AT_ONCE: usize = 4096;

impl<'r> Meeting<'r> {
    fn new(join: &Join, above: &Above<'_>, run: &Run<'_>, sides: &Sides<'r, '_>) -> Result<Self> {
        let Sides { rows, inner, nulls } = *sides;
        let key_count = join.sides[0].keys.len();
        let (from, mut columns) = outputs(join, sides)?;
        if let Some(described) = above.described {
            if !are_alike(described, &columns) {
                return Err(Error::unsupported("groups of a join whose types depend on the join"));
            }
            columns = described.to_vec();
        }
        let helpers = join.helpers as usize;
        let stages = match above.nodes {
            Some(nodes) => stages_above(nodes, run, &columns, helpers)?,
            None => Vec::new(),
        };
        let (own_keys, inner_keys) = key_parts(join, &rows.columns, inner)?;
        let flag = |side: usize| join.sides[side].has_flag.then(|| join.leading_columns(side) - 1);
        let flags = [flag(0), flag(1)];
        let mut meeting = Self {
            rows,
            kept: kept(join, nulls, flags)?,
            exists: join.exists,
            flags,
            has_met: vec![false; rows.ends.len()],
            is_hidden: vec![false; rows.ends.len()],
            heads: HashMap::default(),
            next: vec![NONE; rows.ends.len()],
            at: NONE,
            holds: false,
            inner_keys,
            key_count,
            texts: TextKeys::new(&join.text_keys),
            inner_count: inner.len(),
            from,
            visible: columns.len().checked_sub(helpers).ok_or_else(broken_row)?,
            columns,
            weight: key_count,
            flow: if above.wants_nothing || wants_nothing(&stages) { Flow::Stop } else { Flow::Continue },
            stages,
            output: Output::default(),
            has_begun: false,
            row_count: 0,
            key: Vec::new(),
            joined: Vec::new(),
        };
        meeting.build(&own_keys)?;
        Ok(meeting)
    }

    fn build(&mut self, keys: &[KeyPart]) -> Result<()> {
        let count = self.rows.columns.len();
        for index in 0..self.rows.ends.len() {
            let fields = Fields::read(self.rows.row(index), count)?;
            let holds = is_true(&fields, self.flags[0])?;
            self.texts.check(&fields)?;
            if !has_key(&fields, self.key_count)? || self.keeps(0) && !holds {
                continue;
            }
            self.is_hidden[index] = !holds;
            encode(keys, &fields, &mut self.key)?;
            let number = u32::try_from(index).map_err(|_| Error::bug("more rows than limits allow"))?;
            match self.heads.get_mut(self.key.as_slice()) {
                Some(_) if self.exists == Some(0) => {}
                Some((_, last)) => {
                    self.next[*last as usize] = number;
                    *last = number;
                }
                None => {
                    self.heads.insert(self.key.as_slice().into(), (number, number));
                }
            }
        }
        Ok(())
    }

    fn keeps(&self, side: usize) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.side == side)
    }

    /// Finds the held rows that are equal to a row; [`Self::meet`] joins it with them.
    fn take(&mut self, row: &[u8]) -> Result<()> {
        let fields = Fields::read(row, self.inner_count)?;
        self.holds = is_true(&fields, self.flags[1])?;
        self.at = NONE;
        self.texts.check(&fields)?;
        if has_key(&fields, self.key_count)? && (self.holds || !self.keeps(1)) {
            encode(&self.inner_keys, &fields, &mut self.key)?;
            self.at = self.heads.get(self.key.as_slice()).map_or(NONE, |(first, _)| *first);
        }
        if self.at == NONE && self.keeps(1) { self.show_with_nulls(&encoded(row)?) } else { Ok(()) }
    }

    /// Joins the row with the next of those that are equal to it, as many as there is room for. True: there are more.
    fn meet(&mut self, row: &[u8]) -> Result<bool> {
        if self.at == NONE {
            return Ok(false);
        }
        let inner = encoded(row)?;
        let rows = self.rows;
        for _ in 0..MEETINGS_AT_ONCE {
            let at = self.at as usize;
            let had_met = std::mem::replace(&mut self.has_met[at], true);
            let is_shown_already = self.exists == Some(1) && had_met;
            if self.holds && !self.is_hidden[at] && !is_shown_already {
                let outer = encoded(rows.row(at))?;
                self.show([&outer, &inner])?;
            }
            self.at = self.next[at];
            if self.at == NONE || self.flow == Flow::Stop {
                return Ok(false);
            }
            if self.output.byte_count() > OUTPUT_BYTES {
                break;
            }
        }
        Ok(true)
    }

    /// Joins a kept row with NULLs.
    fn show_with_nulls(&mut self, row: &Encoded<'_>) -> Result<()> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        if kept.shows_nulls {
            let (row, nulls) = (row.as_slice(), kept.nulls.as_slice());
            self.show(if kept.side == 0 { [row, nulls] } else { [nulls, row] })?;
        }
        self.kept = Some(kept);
        Ok(())
    }

    /// Joins held rows that are kept and have met no other with NULLs.
    async fn show_unmet<S: ResultSink>(&mut self, sink: &mut S) -> Result<()> {
        if !self.keeps(0) {
            return Ok(());
        }
        let rows = self.rows;
        for index in 0..rows.ends.len() {
            if self.flow == Flow::Stop {
                break;
            }
            if !self.has_met[index] {
                self.show_with_nulls(&encoded(rows.row(index))?)?;
                self.flush(sink).await?;
            }
        }
        Ok(())
    }

    /// Hands the row that two rows make to the stages.
    fn show(&mut self, sides: [&[&[u8]]; 2]) -> Result<()> {
        self.joined.clear();
        for from in &self.from {
            match *from {
                From::Copied(side, at) => {
                    self.joined.extend_from_slice(sides[side].get(at).ok_or_else(broken_row)?);
                }
                From::Weight => {
                    let weight = |side: usize| sides[side].get(self.weight).ok_or_else(broken_row);
                    multiply(weight(0)?, weight(1)?, &mut self.joined)?;
                }
                From::Multiplied(side, at) => {
                    let field = sides[side].get(at).ok_or_else(broken_row)?;
                    let weight = sides[1 - side].get(self.weight).ok_or_else(broken_row)?;
                    multiply(field, weight, &mut self.joined)?;
                }
            }
        }
        self.flow = stage::push(&mut self.stages, &self.joined, &mut self.output)?;
        Ok(())
    }

    async fn begin<S: ResultSink>(&mut self, sink: &mut S) -> Result<()> {
        if !std::mem::replace(&mut self.has_begun, true) {
            sink.columns(&self.columns[..self.visible]).await?;
        }
        Ok(())
    }

    async fn flush<S: ResultSink>(&mut self, sink: &mut S) -> Result<()> {
        if !self.output.is_empty() {
            self.begin(sink).await?;
            self.row_count += flush(&mut self.output, sink).await?;
        }
        Ok(())
    }

    async fn finish<S: ResultSink>(mut self, sink: &mut S, end: StreamEnd) -> Result<u64> {
        self.show_unmet(sink).await?;
        if self.flow == Flow::Continue {
            stage::finish(&mut self.stages, &mut self.output)?;
        }
        self.begin(sink).await?;
        self.flush(sink).await?;
        sink.finish(end).await?;
        Ok(self.row_count)
    }
}

/// What is done with joined rows.
fn stages_above(
    nodes: &Nodes<'_>,
    run: &Run<'_>,
    columns: &[ColumnDefinition],
    helpers: usize,
) -> Result<Vec<Stage>> {
    if !needed_numbers(nodes, columns, helpers)?.is_empty() {
        return Err(Error::unsupported("comparing ENUM, SET or FLOAT of a join across shards"));
    }
    let mut stages = stages_of(nodes, run, columns, helpers)?;
    keep_only_what_is_limited(&mut stages);
    if let Some(counts) = run.session.row_counts() {
        stages = counted(stages, &counts);
    }
    Ok(stages)
}

/// The keys by which rows of both sides meet.
fn key_parts(
    join: &Join,
    own: &[ColumnDefinition],
    inner: &[ColumnDefinition],
) -> Result<(Vec<KeyPart>, Vec<KeyPart>)> {
    let mut keys = (Vec::new(), Vec::new());
    let mut column = 0;
    while column < join.sides[0].keys.len() {
        if join.text_keys.contains(&column) {
            keys.0.push(text_keys::part(own, column)?);
            keys.1.push(text_keys::part(inner, column)?);
            column += text_keys::COLUMNS;
            continue;
        }
        let own = own.get(column).ok_or_else(broken_row)?;
        let other = inner.get(column).ok_or_else(broken_row)?;
        let [own, other] = KeyPart::joining((column, own), (column, other))?;
        keys.0.push(own);
        keys.1.push(other);
        column += 1;
    }
    let is_null = |columns: &[ColumnDefinition]| {
        columns[..column].iter().any(|column| !column.flags.contains(ColumnFlags::NOT_NULL))
    };
    if join.needs_not_null && (is_null(own) || is_null(inner)) {
        return Err(Error::unsupported("NOT IN of columns that may be NULL across shards"));
    }
    Ok(keys)
}

/// The columns of joined rows, and where they come from.
fn outputs(join: &Join, sides: &Sides<'_, '_>) -> Result<(Vec<From>, Vec<ColumnDefinition>)> {
    let shown = [side_columns(join, sides, 0)?, side_columns(join, sides, 1)?];
    let (mut from, mut columns) = (Vec::new(), Vec::new());
    for (column, name) in join.columns.iter().zip(&join.names) {
        match *column {
            JoinedColumn::One { side, column, is_multiplied } => {
                let side = usize::from(side);
                let at = join.leading_columns(side) + column as usize;
                let mut definition = shown[side].get(at).ok_or_else(broken_row)?.clone();
                if let Some(name) = name {
                    definition.name = name.as_bytes().to_vec();
                }
                let kind = definition.column_type;
                let is_exact =
                    kind.is_integer() || matches!(kind, ColumnType::DECIMAL | ColumnType::NEWDECIMAL);
                if is_multiplied && !is_exact {
                    return Err(Error::unsupported("sums of inexact numbers over a join across shards"));
                }
                from.push(if is_multiplied { From::Multiplied(side, at) } else { From::Copied(side, at) });
                columns.push(definition);
            }
            JoinedColumn::Weight => {
                from.push(From::Weight);
                columns.push(shown[0].get(join.sides[0].keys.len()).ok_or_else(broken_row)?.clone());
            }
            JoinedColumn::Rest { side } => {
                let side = usize::from(side);
                let behind = join.leading_columns(side) + join.named_columns(side);
                let is_merged = |column: &ColumnDefinition| {
                    join.merged.iter().any(|name| column.name.eq_ignore_ascii_case(name.as_bytes()))
                };
                let rest = shown[side].iter().enumerate().skip(behind);
                for (at, definition) in rest.filter(|(_, column)| !is_merged(column)) {
                    from.push(From::Copied(side, at));
                    columns.push(definition.clone());
                }
            }
        }
    }
    Ok((from, columns))
}

/// A side's columns as joined rows have them: they may be NULL where the other side's rows are kept.
fn side_columns(join: &Join, sides: &Sides<'_, '_>, side: usize) -> Result<Vec<ColumnDefinition>> {
    let mut columns = if side == 0 { sides.rows.columns.clone() } else { sides.inner.to_vec() };
    if let (Some(kept), Some(nulls)) = (&join.kept, sides.nulls)
        && usize::from(kept.side) != side
    {
        if !are_alike(&columns, &nulls.columns) {
            return Err(Error::unsupported("an outer join whose types depend on its rows"));
        }
        for (column, null) in columns.iter_mut().zip(&nulls.columns) {
            if !null.flags.contains(ColumnFlags::NOT_NULL) {
                column.flags.remove(ColumnFlags::NOT_NULL);
            }
        }
    }
    Ok(columns)
}

fn kept<'r>(join: &Join, nulls: Option<&'r Nulls>, flags: [Option<usize>; 2]) -> Result<Option<Kept<'r>>> {
    let (Some(kept), Some(nulls)) = (&join.kept, nulls) else { return Ok(None) };
    let side = usize::from(kept.side);
    let fields = Fields::read(&nulls.row, nulls.columns.len())?;
    let shows_nulls = is_true(&fields, flags[1 - side])?;
    Ok(Some(Kept { side, nulls: encoded(&nulls.row)?, shows_nulls }))
}

/// Does the flag hold? It does where there is none.
fn is_true(fields: &Fields<'_>, flag: Option<usize>) -> Result<bool> {
    flag.map_or(Ok(true), |flag| Ok(fields.get(flag)? == Some(b"1")))
}

fn has_key(fields: &Fields<'_>, count: usize) -> Result<bool> {
    for index in 0..count {
        if fields.get(index)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn encoded(row: &[u8]) -> Result<Encoded<'_>> {
    let mut fields = text_fields(row);
    let mut all = Encoded::new();
    loop {
        let before = fields.rest();
        match fields.next() {
            None => return Ok(all),
            Some(Err(_)) => return Err(broken_row()),
            Some(Ok(_)) => all.push(&before[..before.len() - fields.rest().len()]),
        }
    }
}

/// Appends the encoded number `field` times the encoded count `weight`.
fn multiply(field: &[u8], weight: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let value = |field| text_fields(field).next().and_then(std::result::Result::ok).flatten();
    match (value(field), value(weight)) {
        (None, _) | (_, Some(b"1")) => out.extend_from_slice(field),
        (Some(number), weight) => {
            let number = Decimal::parse(number).ok_or_else(broken_row)?;
            let weight = weight.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            let too_large = || Error::unsupported("a sum of more than 65 digits over a join across shards");
            let product = number.times(weight.ok_or_else(broken_row)?).ok_or_else(too_large)?;
            put_text_field(out, Some(&product.to_text()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_one_side_count_for_each_row_of_the_other() {
        let check = |number: Option<&str>, weight: &str, expected: Option<&str>| {
            let field = |text: Option<&str>| {
                let mut out = Vec::new();
                put_text_field(&mut out, text.map(str::as_bytes));
                out
            };
            let mut out = Vec::new();
            multiply(&field(number), &field(Some(weight)), &mut out).unwrap();
            assert_eq!(out, field(expected), "{number:?} times {weight}");
        };
        check(Some("12.50"), "3", Some("37.50"));
        check(Some("-0.05"), "20", Some("-1.00"));
        check(Some("9999999999999999999999"), "100000", Some("999999999999999999999900000"));
        check(Some("7"), "1", Some("7"));
        check(Some("0.00"), "5", Some("0.00"));
        check(None, "5", None);
    }
}
