//! Shards made of vectors, for the engine's tests.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{
    Arguments, ResultSink, RowStream, Run, Sequences, SessionValues, ShardExecutor, ShardPart, ShardQuery,
    StreamEnd, WriteOutcome,
};
use crate::error::{Error, Result};
use crate::plan::primitive::SessionValue;
use crate::topology::{Keyspace, KeyspaceName, Topology, TopologyFile};
use crate::value::Value;
use crate::wire::ColumnType;
use crate::wire::response::ColumnDefinition;
use crate::wire::row::{put_text_field, text_fields};

pub(super) type TextRow = Vec<Option<String>>;

/// One shard's answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<TextRow>,
    /// Fail instead of giving the row with this index.
    pub(super) fail_at: Option<usize>,
    /// Every so many rows the stream has to wait.
    pub(super) waits_every: usize,
}

pub(super) struct FakeStream {
    columns: Vec<ColumnDefinition>,
    rows: Vec<Vec<u8>>,
    next: usize,
    fail_at: Option<usize>,
    waits_every: usize,
    has_waited: bool,
    open: Open,
}

/// Counts streams that are open.
#[derive(Clone, Default)]
pub(super) struct Open(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Open {
    pub(super) fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.open.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl RowStream for FakeStream {
    fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    async fn advance(&mut self) -> Result<bool> {
        if !self.is_ready() {
            self.has_waited = true;
            YieldOnce(false).await;
        }
        self.has_waited = false;
        if self.fail_at == Some(self.next) {
            return Err(Error::from_backend(1317, *b"70100", b"Query execution was interrupted"));
        }
        let has_row = self.next < self.rows.len();
        self.next += usize::from(has_row);
        Ok(has_row)
    }

    fn is_ready(&self) -> bool {
        self.waits_every == 0 || self.has_waited || !self.next.is_multiple_of(self.waits_every)
    }

    fn row(&self) -> &[u8] {
        &self.rows[self.next - 1]
    }

    fn end(&self) -> StreamEnd {
        StreamEnd { warnings: 1 }
    }
}

struct YieldOnce(bool);

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

/// Answers queries from a table and notes them.
#[derive(Default)]
pub(super) struct FakeShards {
    pub(super) columns: Vec<ColumnDefinition>,
    pub(super) answers: Vec<Answer>,
    pub(super) open: Open,
    pub(super) sent: Vec<(String, String)>,
    pub(super) next_number: u64,
}

impl ShardExecutor for FakeShards {
    type Stream = FakeStream;

    async fn stream(&mut self, _: &KeyspaceName, queries: Vec<ShardQuery>) -> Result<Vec<FakeStream>> {
        let answers = self.answers.clone();
        let each = queries.into_iter().zip(answers).map(|(query, answer)| {
            self.sent.push((query.shard.to_string(), String::from_utf8(query.text).unwrap()));
            self.open.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            FakeStream {
                columns: self.columns.clone(),
                rows: answer.rows.iter().map(|row| encoded(row)).collect(),
                next: 0,
                fail_at: answer.fail_at,
                waits_every: answer.waits_every,
                has_waited: false,
                open: self.open.clone(),
            }
        });
        Ok(each.collect())
    }

    async fn write(&mut self, _: &KeyspaceName, queries: Vec<ShardQuery>) -> Result<Vec<WriteOutcome>> {
        let count = queries.len();
        self.sent
            .extend(queries.into_iter().map(|q| (q.shard.to_string(), String::from_utf8(q.text).unwrap())));
        Ok(vec![WriteOutcome { affected_rows: 1, ..WriteOutcome::default() }; count])
    }
}

impl Sequences for FakeShards {
    async fn reserve(&mut self, _: &KeyspaceName, _: &str, count: u64) -> Result<u64> {
        let first = self.next_number;
        self.next_number += count;
        Ok(first)
    }
}

pub(super) fn encoded(row: &[Option<String>]) -> Vec<u8> {
    let mut out = Vec::new();
    row.iter().for_each(|field| put_text_field(&mut out, field.as_deref().map(str::as_bytes)));
    out
}

pub(super) fn column(name: &str, column_type: ColumnType) -> ColumnDefinition {
    ColumnDefinition { name: name.into(), column_type, ..ColumnDefinition::default() }
}

/// A row of texts; `-` is NULL.
pub(super) fn row(fields: &[&str]) -> TextRow {
    fields.iter().map(|field| (*field != "-").then(|| (*field).to_owned())).collect()
}

/// Collects a result.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<TextRow>,
    pub(super) end: Option<StreamEnd>,
}

impl ResultSink for Collected {
    async fn columns(&mut self, columns: &[ColumnDefinition]) -> Result<()> {
        self.columns =
            columns.iter().map(|column| String::from_utf8_lossy(&column.name).into_owned()).collect();
        Ok(())
    }

    async fn row(&mut self, row: &[u8]) -> Result<()> {
        let field = |field: std::result::Result<Option<&[u8]>, _>| {
            field.unwrap().map(|text| String::from_utf8_lossy(text).into_owned())
        };
        self.rows.push(text_fields(row).map(field).collect());
        Ok(())
    }

    async fn finish(&mut self, end: StreamEnd) -> Result<()> {
        self.end = Some(end);
        Ok(())
    }
}

/// Arguments by value; lists as lists.
#[derive(Debug, Default)]
pub(super) struct FakeArguments {
    pub(super) values: HashMap<u32, Value>,
    pub(super) lists: HashMap<u32, Vec<Value>>,
}

impl Arguments for FakeArguments {
    fn value(&self, index: u32) -> Result<Value> {
        self.values.get(&index).cloned().ok_or_else(|| Error::bug(format!("no argument {index}")))
    }

    fn write(&self, index: u32, out: &mut Vec<u8>) -> Result<()> {
        if let Some(value) = self.values.get(&index) {
            value.as_ref().render_literal(out, false);
            return Ok(());
        }
        for item in 0..self.list_count(index)? {
            out.extend_from_slice(if item == 0 { b"" } else { b", " });
            self.write_list_item(index, item, out)?;
        }
        Ok(())
    }

    fn list_count(&self, index: u32) -> Result<u32> {
        Ok(u32::try_from(self.lists[&index].len()).unwrap())
    }

    fn list_value(&self, index: u32, item: u32) -> Result<Value> {
        Ok(self.lists[&index][item as usize].clone())
    }

    fn write_list_item(&self, index: u32, item: u32, out: &mut Vec<u8>) -> Result<()> {
        self.lists[&index][item as usize].as_ref().render_literal(out, false);
        Ok(())
    }
}

pub(super) struct FakeSession;

impl SessionValues for FakeSession {
    fn write(&self, value: &SessionValue, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(format!("<{}>", value.sql()).as_bytes());
        Ok(())
    }

    fn database(&self, name: &str) -> Option<String> {
        Some(format!("vt_{name}"))
    }

    fn no_backslash_escapes(&self) -> bool {
        false
    }
}

/// A topology with keyspace `ks` of these shards.
pub(super) fn topology(shards: &[&str]) -> Topology {
    let shards: Vec<String> = shards
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let alias = format!("zone1-{:010}", index + 1);
            format!(
                r#""{name}": {{ "tablets": [{{ "alias": "{alias}", "type": "PRIMARY", "hostname": "h" }}] }}"#
            )
        })
        .collect();
    let text = format!(r#"{{ "keyspaces": {{ "ks": {{ "shards": {{ {} }} }} }} }}"#, shards.join(", "));
    TopologyFile::parse(&text).unwrap().build().unwrap()
}

/// Every shard of a keyspace.
pub(super) fn all_parts(keyspace: &Keyspace) -> Vec<ShardPart<'_>> {
    keyspace.shards().iter().map(|shard| ShardPart { shard, items: None }).collect()
}

/// Runs a future whose waits are all [`YieldOnce`].
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let polls = Rc::new(Cell::new(0));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        polls.set(polls.get() + 1);
        assert!(polls.get() < 1_000_000, "it waits for nothing");
    }
}

/// A run over `parts` with text `select`.
pub(super) fn run<'a>(
    keyspace: &'a Keyspace,
    parts: &'a [ShardPart<'a>],
    text: &'a [u8],
    args: &'a FakeArguments,
) -> Run<'a> {
    Run { keyspace: keyspace.name(), parts, text, args, session: &FakeSession }
}
