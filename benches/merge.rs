//! Combining rows of shards: 4 streams of 10,000 rows merged, and grouped.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shardgate::engine::{
    Arguments, ResultSink, RowStream, Run, SessionValues, ShardExecutor, ShardPart, ShardQuery, StreamEnd,
    WriteOutcome, execute,
};
use shardgate::error::{Error, Result};
use shardgate::plan::primitive::{
    Aggregate, AggregateColumn, AggregateFunction, ColumnRef, EachShard, MergeSort, Primitive, Query,
    SessionValue, SortKey,
};
use shardgate::topology::{KeyspaceName, TopologyFile};
use shardgate::value::Value;
use shardgate::wire::ColumnType;
use shardgate::wire::response::ColumnDefinition;
use shardgate::wire::row::put_text_field;

const STREAMS: usize = 4;
const ROWS: usize = 10_000;

type Rows = Arc<Vec<Vec<u8>>>;

struct Stream {
    columns: Arc<Vec<ColumnDefinition>>,
    rows: Rows,
    next: usize,
}

impl RowStream for Stream {
    fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    async fn advance(&mut self) -> Result<bool> {
        let has_row = self.next < self.rows.len();
        self.next += usize::from(has_row);
        Ok(has_row)
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn row(&self) -> &[u8] {
        &self.rows[self.next - 1]
    }

    fn end(&self) -> StreamEnd {
        StreamEnd::default()
    }
}

struct Shards {
    columns: Arc<Vec<ColumnDefinition>>,
    rows: Vec<Rows>,
}

impl ShardExecutor for Shards {
    type Stream = Stream;

    async fn stream(&mut self, _: &KeyspaceName, queries: Vec<ShardQuery>) -> Result<Vec<Stream>> {
        let stream =
            |rows: &Rows| Stream { columns: Arc::clone(&self.columns), rows: Arc::clone(rows), next: 0 };
        Ok(self.rows.iter().take(queries.len()).map(stream).collect())
    }

    async fn write(&mut self, _: &KeyspaceName, _: Vec<ShardQuery>) -> Result<Vec<WriteOutcome>> {
        Ok(Vec::new())
    }
}

struct Nothing;

impl Arguments for Nothing {
    fn value(&self, _: u32) -> Result<Value> {
        Err(Error::bug("no arguments"))
    }

    fn write(&self, _: u32, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn list_count(&self, _: u32) -> Result<u32> {
        Ok(0)
    }

    fn list_value(&self, _: u32, _: u32) -> Result<Value> {
        Err(Error::bug("no arguments"))
    }

    fn write_list_item(&self, _: u32, _: u32, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

impl SessionValues for Nothing {
    fn write(&self, _: &SessionValue, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn database(&self, _: &str) -> Option<String> {
        None
    }

    fn no_backslash_escapes(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Count(usize);

impl ResultSink for Count {
    async fn columns(&mut self, _: &[ColumnDefinition]) -> Result<()> {
        Ok(())
    }

    async fn row(&mut self, row: &[u8]) -> Result<()> {
        self.0 += row.len();
        Ok(())
    }

    async fn finish(&mut self, _: StreamEnd) -> Result<()> {
        Ok(())
    }
}

fn rows(make: impl Fn(usize) -> Vec<String>) -> Vec<Rows> {
    let stream = |first: usize| {
        let row = |index: usize| {
            let mut out = Vec::new();
            make(index * STREAMS + first)
                .iter()
                .for_each(|field| put_text_field(&mut out, Some(field.as_bytes())));
            out
        };
        Arc::new((0..ROWS).map(row).collect())
    };
    (0..STREAMS).map(stream).collect()
}

fn column(column_type: ColumnType) -> ColumnDefinition {
    ColumnDefinition { column_type, ..ColumnDefinition::default() }
}

fn key(index: u32) -> SortKey {
    SortKey { column: ColumnRef::Visible(index), weight: None, pad: None, descending: false }
}

fn merge(key: SortKey) -> Primitive {
    let leaf = Primitive::EachShard(EachShard { query: Query::Original, helpers: 0, typed: None });
    Primitive::MergeSort(MergeSort { keys: vec![key], input: Box::new(leaf) })
}

fn combine(criterion: &mut Criterion) {
    let shards: Vec<String> = ["-40", "40-80", "80-c0", "c0-"]
        .iter()
        .zip(1..)
        .map(|(name, uid)| {
            format!(
                r#""{name}": {{ "tablets": [{{ "alias": "z-{uid:010}", "type": "PRIMARY", "hostname": "h" }}] }}"#
            )
        })
        .collect();
    let text = format!(r#"{{ "keyspaces": {{ "ks": {{ "shards": {{ {} }} }} }} }}"#, shards.join(","));
    let topology = TopologyFile::parse(&text).and_then(|file| file.build()).expect("the topology is valid");
    let keyspace = topology.keyspace("ks").expect("it is there");
    let parts: Vec<ShardPart<'_>> =
        keyspace.shards().iter().map(|shard| ShardPart { shard, items: None }).collect();
    let run = Run { keyspace: keyspace.name(), parts: &parts, text: b"", args: &Nothing, session: &Nothing };
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements((STREAMS * ROWS) as u64));

    let mut bench = |name: &str, tree: &Primitive, columns: Vec<ColumnDefinition>, rows: Vec<Rows>| {
        let columns = Arc::new(columns);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut shards = Shards { columns: Arc::clone(&columns), rows: rows.clone() };
                let mut sink = Count::default();
                futures_util::future::FutureExt::now_or_never(execute(tree, &run, &mut shards, &mut sink))
                    .expect("nothing waits")
                    .expect("nothing fails");
                sink.0
            });
        });
    };
    let numbers = |index: usize| vec![index.to_string(), format!("name of row {index}")];
    let columns = vec![column(ColumnType::LONGLONG), column(ColumnType::VAR_STRING)];
    bench("by number", &merge(key(0)), columns, rows(numbers));

    let by_weight = SortKey { weight: Some(ColumnRef::Visible(1)), ..key(0) };
    let names = |index: usize| vec![format!("name {index:08}"), format!("NAME {index:08}")];
    let columns = vec![column(ColumnType::VAR_STRING), column(ColumnType::VAR_STRING)];
    bench("by text", &merge(by_weight), columns, rows(names));

    let count = AggregateColumn {
        column: ColumnRef::Visible(1),
        function: AggregateFunction::Count,
        is_distinct: false,
    };
    let grouped = Primitive::Aggregate(Aggregate {
        group: vec![key(0)],
        distinct: Vec::new(),
        columns: vec![count],
        is_scalar: false,
        input: Box::new(merge(key(0))),
    });
    let columns = vec![column(ColumnType::LONGLONG), column(ColumnType::LONGLONG)];
    let groups = |index: usize| vec![(index / STREAMS).to_string(), "3".to_owned()];
    bench("grouped", &grouped, columns, rows(groups));
}

criterion_group!(benches, combine);
criterion_main!(benches);
