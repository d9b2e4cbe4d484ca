//! The engine's view of shards: a query or a change at several of them, within the session's transaction.

use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::timeout;

use super::Executor;
use super::exchange::{Lease, settle};
use super::outcome::collect_warnings;
use super::renaming::Renaming;
use crate::backend::pool::Needs;
use crate::backend::{Engine, Killer, RowStream};
use crate::engine::{ResultSink, Sequences, ShardExecutor, ShardQuery, StreamEnd, WriteOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::KILL_TIMEOUT;
use crate::server::{ClientStream, ResultEnd};
use crate::session::Session;
use crate::session::beside::AtEntries;
use crate::session::diagnostics::Diagnostics;
use crate::session::heard::Heard;
use crate::session::lease::{Returns, ShardLease, Tolerated};
use crate::session::transaction::ShardSession;
use crate::topology::{KeyspaceName, ShardName, Snapshot};
use crate::wire::row::{binary_row_to_text, text_row_to_binary};
use crate::wire::statement::StmtExecute;
use crate::wire::{ColumnDefinition, Command, Malformed, StatusFlags};

/// Bytes of an unwanted result that are read before the server is told to end it.
const DRAIN_BYTES_WITHOUT_KILL: usize = 64 << 10;
/// Bytes of it that are read in all to keep a transaction's connection; more lose it.
const DRAIN_BYTES_MAX: usize = 16 << 20;
/// Longest wait for that.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// The shards of one statement.
pub(super) struct ShardAccess<'a> {
    pub(super) executor: &'a Executor,
    pub(super) session: &'a mut Session,
    pub(super) needs: Needs,
    /// Changes are wrapped in a transaction of their own where there is none.
    pub(super) is_transactional: bool,
}

impl ShardAccess<'_> {
    fn target(&self, keyspace: &KeyspaceName, shard: ShardName) -> Target {
        let mut target = Target::new(keyspace.clone(), shard, self.session.target.tablet_type);
        target.alias = self.session.target.alias.clone();
        target
    }

    pub(super) async fn lease(&mut self, target: &Target) -> Result<ShardLease> {
        let lease = self.executor.lease(self.session, target, &self.needs).await?;
        let returns = self.session.returns.clone();
        Ok(match lease {
            Lease::Transient(connection) => ShardLease::transient(connection, returns),
            Lease::Held(index) => ShardLease::held(self.session.transaction.shards.remove(index), returns),
        })
    }
}

impl ShardExecutor for ShardAccess<'_> {
    type Stream = ShardRows;

    async fn stream(&mut self, keyspace: &KeyspaceName, queries: Vec<ShardQuery>) -> Result<Vec<ShardRows>> {
        // An earlier query of the same statement may have given its connections back.
        self.executor.recover(&mut *self.session).await;
        let mut leases = Vec::with_capacity(queries.len());
        for query in queries {
            let target = self.target(keyspace, query.shard);
            if let Some(log) = &self.session.query_log {
                log.push(&target, &query.text);
            }
            leases.push((self.lease(&target).await?, query.text));
        }
        let is_binary = self.session.needs_binary_rows;
        let heard = self.session.heard.clone();
        let mut opened =
            open_all(leases, is_binary, &self.session.returns, self.session.tolerated.as_ref()).await?;
        opened.iter_mut().for_each(|rows| rows.heard.clone_from(&heard));
        Ok(opened)
    }

    async fn write(
        &mut self,
        keyspace: &KeyspaceName,
        queries: Vec<ShardQuery>,
    ) -> Result<Vec<WriteOutcome>> {
        let mut rows = Vec::with_capacity(queries.len());
        let mut texts = Vec::with_capacity(queries.len());
        for query in queries {
            texts.push((self.target(keyspace, query.shard), query.text));
            rows.push(query.rows);
        }
        self.executor.change_rows(self.session, &self.needs, &texts, &rows, self.is_transactional).await
    }
}

/// Sends all queries and waits for the heads of the replies. An error of one shard ends what the others do: connections
/// of a pool by being closed, those of the session by a `KILL QUERY`, because its transaction may go on.
pub(super) async fn open_all(
    leases: Vec<(ShardLease, Vec<u8>)>,
    is_binary: bool,
    returns: &Returns,
    tolerated: Option<&Tolerated>,
) -> Result<Vec<ShardRows>> {
    let killers: Vec<Option<Killer>> =
        leases.iter().map(|(lease, _)| lease.is_held().then(|| lease.killer())).collect();
    let mut opening: FuturesUnordered<_> = leases
        .into_iter()
        .enumerate()
        .map(|(index, (lease, text))| async move {
            let rows = match is_binary {
                true => ShardRows::open_binary(lease, text, returns.clone()).await,
                false => ShardRows::open(lease, text, returns.clone()).await,
            };
            (index, rows)
        })
        .collect();
    if let Some(tolerated) = tolerated {
        tolerated.begin(killers.len());
    }
    let mut streams: Vec<Option<ShardRows>> = killers.iter().map(|_| None).collect();
    let mut first_error = None;
    while let Some((index, outcome)) = opening.next().await {
        match (outcome, tolerated) {
            (Ok(rows), _) => streams[index] = Some(rows),
            (Err(error), Some(tolerated)) => {
                tolerated.push(error.clone());
                first_error.get_or_insert(error);
            }
            (Err(error), None) => {
                first_error = Some(error);
                break;
            }
        }
    }
    let mut answered: Vec<ShardRows> = Vec::with_capacity(streams.len());
    match first_error {
        Some(error) if tolerated.is_none() || streams.iter().all(Option::is_none) => {
            let busy = killers.iter().zip(&streams).filter(|(_, stream)| stream.is_none());
            let busy: Vec<&Killer> = busy.filter_map(|(killer, _)| killer.as_ref()).collect();
            if !busy.is_empty() && !opening.is_empty() {
                let ended = async { while opening.next().await.is_some() {} };
                let _ =
                    timeout(KILL_TIMEOUT, join(ended, join_all(busy.into_iter().map(Killer::kill_query))))
                        .await;
            }
            return Err(error);
        }
        _ => answered.extend(streams.into_iter().flatten()),
    }
    if let Some(tolerated) = tolerated {
        answered[0].unheard_warnings = u32::try_from(killers.len() - answered.len()).unwrap_or(u32::MAX);
        answered.iter_mut().for_each(|rows| rows.tolerated = Some(tolerated.clone()));
    }
    Ok(answered)
}

/// One shard's rows.
pub(super) struct ShardRows {
    stream: Option<RowStream<ShardLease>>,
    row: Vec<u8>,
    /// The columns of rows that come in binary form and are turned into text.
    binary: Option<Vec<ColumnDefinition>>,
    returns: Returns,
    /// Where an error goes that does not end the statement.
    tolerated: Option<Tolerated>,
    /// Warnings beside the server's own.
    unheard_warnings: u32,
    /// Where the server's warnings go, if the client may ask for them.
    heard: Option<Heard>,
    /// Warnings of the server's that others gave already.
    repeated_warnings: u32,
    /// The first row was read already: whether there is one.
    first: Option<bool>,
}

impl ShardRows {
    /// Sends the query behind what is queued, and receives the head of its reply.
    pub(super) async fn open(mut lease: ShardLease, text: Vec<u8>, returns: Returns) -> Result<Self> {
        lease.queue(&Command::Query(&text));
        let preludes = lease.owed_count() - 1;
        lease.flush().await?;
        for _ in 0..preludes {
            lease.receive_ok().await?;
        }
        Self::begin(RowStream::open(lease, false).await?, returns).await
    }

    /// The same in the binary protocol.
    async fn open_binary(mut lease: ShardLease, text: Vec<u8>, returns: Returns) -> Result<Self> {
        settle(&mut lease).await?;
        let prepared = match lease.prepared(&text) {
            Some(prepared) => prepared,
            None => lease.prepare(&text).await?,
        };
        let (statement_id, flags, iteration_count) = (prepared.statement_id, 0, 1);
        lease.queue(&Command::StmtExecute(StmtExecute { statement_id, flags, iteration_count, body: b"" }));
        let preludes = lease.owed_count() - 1;
        lease.flush().await?;
        for _ in 0..preludes {
            lease.receive_ok().await?;
        }
        Self::begin(RowStream::open(lease, true).await?, returns).await
    }

    async fn begin(stream: RowStream<ShardLease>, returns: Returns) -> Result<Self> {
        let is_ready = stream.is_ready();
        let binary = stream.has_binary_rows().then(|| stream.columns().to_vec());
        let mut rows = Self {
            stream: Some(stream),
            row: Vec::new(),
            binary,
            returns,
            tolerated: None,
            unheard_warnings: 0,
            heard: None,
            repeated_warnings: 0,
            first: None,
        };
        if is_ready {
            // An error behind the columns is as good as one in their place: nobody should wait for other shards.
            rows.first = Some(crate::engine::RowStream::advance(&mut rows).await?);
        }
        Ok(rows)
    }
}

impl Drop for ShardRows {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.returns.give_back(stream);
        }
    }
}

impl crate::engine::RowStream for ShardRows {
    fn columns(&self) -> &[ColumnDefinition] {
        self.stream.as_ref().map_or(&[], |stream| stream.columns())
    }

    async fn advance(&mut self) -> Result<bool> {
        if let Some(has_row) = self.first.take() {
            return Ok(has_row);
        }
        let Some(stream) = &mut self.stream else { return Ok(false) };
        match (stream.next_row().await, &self.tolerated) {
            (Ok(Some(row)), _) => {
                self.row.clear();
                match &self.binary {
                    Some(columns) => binary_row_to_text(columns, row, &mut self.row)
                        .map_err(Malformed::into_backend_error)?,
                    None => self.row.extend_from_slice(row),
                }
                Ok(true)
            }
            (Ok(None), _) => Ok(false),
            (Err(error), Some(tolerated)) if tolerated.is_another_left() => {
                tolerated.push(error);
                self.unheard_warnings += 1;
                Ok(false)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn is_ready(&self) -> bool {
        self.first.is_some() || self.stream.as_ref().is_none_or(RowStream::is_ready)
    }

    fn row(&self) -> &[u8] {
        &self.row
    }

    fn compares_averages_unrounded(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.connection().version().engine == Engine::MySql)
    }

    async fn hear_warnings(&mut self) {
        let (Some(heard), Some(stream)) = (self.heard.take(), &mut self.stream) else { return };
        if stream.summary().warnings == 0 || !stream.is_ended() {
            return;
        }
        let mut said = Diagnostics::default();
        collect_warnings(stream.connection_mut(), &mut said).await;
        self.repeated_warnings = heard.note(&said);
    }

    fn end(&self) -> StreamEnd {
        let warnings = self.stream.as_ref().map_or(0, |stream| stream.summary().warnings);
        let warnings = u32::from(warnings).saturating_sub(self.repeated_warnings);
        StreamEnd { warnings: self.unheard_warnings.saturating_add(warnings) }
    }
}

impl Executor {
    /// Gives the session its connections back after a statement at several shards, however that ended. One whose reply
    /// was not read to its end is read on, within limits, so that the transaction does not lose it.
    pub(super) async fn recover(&self, session: &mut Session) {
        if let Some(needs) =
            session.beside.as_ref().filter(|_| !session.transaction.is_beside).map(|beside| beside.needs)
        {
            self.recover_own(AtEntries::enter(session, needs).session()).await;
        }
        self.recover_own(session).await;
    }

    async fn recover_own(&self, session: &mut Session) {
        let mut returned = session.returns.take();
        // Each lease comes back by itself when its stream is dropped.
        join_all(returned.streams.drain(..).map(give_up)).await;
        session.transaction.shards.append(&mut returned.shards);
        session.transaction.shards.append(&mut session.returns.take().shards);
        self.drop_lost_shards(session);
    }

    /// Connections in mid-reply or broken are of no use; losing one breaks an open transaction.
    pub(super) fn drop_lost_shards(&self, session: &mut Session) {
        let is_lost =
            |shard: &ShardSession| shard.connection.is_broken() || shard.connection.owed_count() > 0;
        let shards = session.transaction.shards.iter();
        let lost: Vec<Target> =
            shards.filter(|shard| is_lost(shard)).map(|shard| shard.target.clone()).collect();
        for target in lost {
            self.gateway().report_failure(&target);
            let text = format!("the connection to {target} was lost");
            session.transaction.lose(&target, Error::new(ErrorKind::BackendLost, text));
        }
    }
}

/// Brings a connection of the session to the end of a reply that nobody wants.
async fn give_up(mut stream: RowStream<ShardLease>) {
    if let Ok(Ok(true)) = timeout(DRAIN_WAIT, stream.drain(DRAIN_BYTES_WITHOUT_KILL)).await {
        return;
    }
    if stream.is_ended() || stream.connection().is_broken() {
        return;
    }
    let killer = stream.connection().killer();
    let _ = timeout(DRAIN_WAIT, join(stream.drain(DRAIN_BYTES_MAX), killer.kill_query())).await;
}

/// Numbers of sequences, for the engine.
pub(super) struct SequenceAccess<'a> {
    pub(super) executor: &'a Executor,
    pub(super) snapshot: &'a Snapshot,
}

impl Sequences for SequenceAccess<'_> {
    async fn reserve(&mut self, keyspace: &KeyspaceName, sequence: &str, count: u64) -> Result<u64> {
        self.executor.next_values(self.snapshot, keyspace, sequence, count).await
    }
}

/// The client as the sink of the engine's rows, in the protocol of its command.
pub(super) struct ClientRows<'a> {
    pub(super) client: &'a mut ClientStream,
    pub(super) status: StatusFlags,
    /// The command is COM_STMT_EXECUTE.
    pub(super) is_binary: bool,
    /// What rows are about tables says keyspaces' names.
    pub(super) renaming: Option<Renaming>,
    pub(super) columns: Vec<ColumnDefinition>,
    /// Set when the first packet of the answer is made.
    pub(super) has_begun: &'a mut bool,
}

impl ResultSink for ClientRows<'_> {
    async fn columns(&mut self, columns: &[ColumnDefinition]) -> Result<()> {
        *self.has_begun = true;
        let renamed = self.renaming.as_mut().map(|renaming| renaming.definitions(columns));
        let columns = renamed.as_deref().unwrap_or(columns);
        if self.is_binary {
            self.columns = columns.to_vec();
        }
        self.client.begin_result(columns, self.status).await.map_err(client_lost)
    }

    async fn row(&mut self, row: &[u8]) -> Result<()> {
        let renamed = self.renaming.as_ref().and_then(|renaming| renaming.text_row(row));
        let row = renamed.as_deref().unwrap_or(row);
        if !self.is_binary {
            return self.client.row(|out| out.extend_from_slice(row)).await.map_err(client_lost);
        }
        let mut failed = None;
        let columns = &self.columns;
        let sent = self.client.row(|out| failed = text_row_to_binary(columns, row, out).err()).await;
        match failed {
            Some(malformed) => Err(Malformed::into_backend_error(malformed)),
            None => sent.map_err(client_lost),
        }
    }

    async fn finish(&mut self, end: StreamEnd) -> Result<()> {
        let warnings = u16::try_from(end.warnings).unwrap_or(u16::MAX);
        self.client.end_result(ResultEnd { status: self.status, warnings });
        Ok(())
    }
}

pub(super) fn client_lost(error: std::io::Error) -> Error {
    Error::new(ErrorKind::ClientLost, format!("cannot send a result: {error}"))
}
