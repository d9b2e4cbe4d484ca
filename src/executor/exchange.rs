//! A statement at one server: getting the right connection, bringing it up to date, sending, forwarding the reply.

use std::io;
use std::sync::Arc;

use super::Executor;
use super::job::{Execution, Job};
use super::keyspace_names::KeyspaceNames;
use super::renaming::RenamingSink;
use super::two_phase::{check_write, join_transaction};
use crate::backend::pool::{Needs, PooledConnection};
use crate::backend::{ReplySink, SessionSettings, SessionState};
use crate::error::{Error, ErrorKind, Origin, Result, Retry};
use crate::gateway::Target;
use crate::server::ClientStream;
use crate::session::Session;
use crate::session::target::SessionTarget;
use crate::session::transaction::{Characteristics, Mode, Pin, ShardSession, Transaction};
use crate::sql::LexFlags;
use crate::topology::Snapshot;
use crate::wire::frame::write_packet_with;
use crate::wire::{Command, ReplyKind, ReplySummary};

/// How often a statement is sent anew when nothing of it had reached a server.
const FRESH_ATTEMPTS_MAX: usize = 2;

/// A connection for one statement.
pub(super) enum Lease {
    /// Held by the session; the position in [`Transaction::shards`].
    Held(usize),
    /// Goes back to its pool after the statement.
    Transient(PooledConnection),
}

impl Lease {
    pub(super) fn connection<'a>(&'a mut self, transaction: &'a mut Transaction) -> &'a mut PooledConnection {
        match self {
            Lease::Held(index) => &mut transaction.shards[*index].connection,
            Lease::Transient(connection) => connection,
        }
    }
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    /// COM_STMT_EXECUTE of this text with the job's parameters.
    Execute(&'a [u8], Execution<'a>),
    /// COM_QUERY.
    Query(&'a [u8]),
}

impl Payload<'_> {
    fn text(&self) -> &[u8] {
        match self {
            Payload::Execute(text, _) | Payload::Query(text) => text,
        }
    }
}

impl Executor {
    /// Runs a statement at `target` and forwards the reply to the client.
    pub(super) async fn forward(
        &self,
        job: &mut Job<'_>,
        target: &Target,
        payload: Payload<'_>,
        is_write: bool,
    ) -> Result<ReplySummary> {
        if let Some(log) = &job.session.query_log {
            log.push(target, payload.text());
        }
        let needs = job.needs();
        if is_write && job.session.transaction.is_active() {
            check_write(job.session, std::slice::from_ref(target))?;
        }
        for attempt in 0.. {
            let mut lease = self.lease(job.session, target, &needs).await?;
            let outcome = exchange(job, target, &mut lease, payload).await;
            let Err(error) = outcome else {
                self.after_statement(job, &mut lease, is_write, outcome.as_ref().ok()).await;
                return outcome;
            };
            if error.origin() == Origin::Backend && error.kind().is_none() {
                self.after_statement(job, &mut lease, is_write, None).await;
                return Err(error);
            }
            let held = matches!(lease, Lease::Held(_));
            drop(lease);
            if error.kind() != Some(ErrorKind::QueryInterrupted) {
                self.gateway().report_failure(target);
            }
            let may_retry = error.retry() == Retry::FreshConnection && attempt < FRESH_ATTEMPTS_MAX;
            if held {
                self.lose_shard(job.session, target, &error);
            }
            if held || !may_retry {
                return Err(error);
            }
        }
        Err(Error::bug("the loop above ends by return"))
    }

    /// The connection for a statement at `target`: the one that the session holds, or one from the pool, which the
    /// session holds from now on if a transaction is open. What must be said to it first is queued.
    pub(super) async fn lease(&self, session: &mut Session, target: &Target, needs: &Needs) -> Result<Lease> {
        if session.is_watched && session.returns.is_given_up() {
            return Err(super::interrupt::interrupted());
        }
        let settings = Arc::clone(session.statement_settings());
        let system_database = session.target.system_database.clone();
        let mode = session.settings.transaction_mode;
        let transaction = &mut session.transaction;
        let in_transaction = transaction.is_active();
        let pin = transaction.pin_next.take();
        let found = transaction.find(target);
        let is_held_already = found.is_some();
        let index = match found {
            Some(index) => index,
            None => {
                let connection = self.gateway().acquire(target, needs).await?;
                if session.is_watched {
                    session.returns.note_used(&connection);
                }
                if !in_transaction && pin.is_none() {
                    let mut lease = Lease::Transient(connection);
                    prepare_connection(&mut lease, transaction, &settings, mode)?;
                    if transaction.is_one_shot {
                        let characteristics = transaction.characteristics.clone();
                        characterize(lease.connection(transaction), &characteristics);
                    }
                    enter_database(&mut lease, transaction, system_database.as_deref());
                    return Ok(lease);
                }
                transaction.shards.push(ShardSession {
                    target: target.clone(),
                    connection,
                    in_transaction: false,
                    has_written: false,
                    branch: None,
                    pins: Vec::new(),
                });
                transaction.shards.len() - 1
            }
        };
        let shard = &mut transaction.shards[index];
        if session.is_watched && is_held_already {
            session.returns.note_used(&shard.connection);
        }
        if let Some(pin) = pin.filter(|pin| !shard.pins.contains(pin)) {
            shard.pins.push(pin);
            shard.connection.mark(pin.state());
        }
        let mut lease = Lease::Held(index);
        prepare_connection(&mut lease, transaction, &settings, mode)?;
        enter_database(&mut lease, transaction, system_database.as_deref());
        Ok(lease)
    }

    /// The session can no longer use its connection to `target`.
    pub(super) fn lose_shard(&self, session: &mut Session, target: &Target, error: &Error) {
        session.transaction.lose(target, error.clone());
    }
}

/// A session in a system database (`USE information_schema`) needs its connections there; they are reset before anybody
/// else gets them.
fn enter_database(lease: &mut Lease, transaction: &mut Transaction, database: Option<&str>) {
    let connection = lease.connection(transaction);
    if let Some(database) = database {
        connection.queue(&Command::InitDb(database.as_bytes()));
        connection.mark(SessionState::DATABASE);
    } else if connection.session_state().contains(SessionState::DATABASE) {
        let home = connection.options().database.clone().unwrap_or_default();
        connection.queue(&Command::InitDb(home.as_bytes()));
        connection.unmark(SessionState::DATABASE);
    }
}

/// Queues the settings and the beginning of the transaction that the connection lacks.
fn prepare_connection(
    lease: &mut Lease,
    transaction: &mut Transaction,
    settings: &Arc<SessionSettings>,
    mode: Mode,
) -> Result<()> {
    let begin = match lease {
        Lease::Held(index) => {
            let active = transaction.is_active();
            let shard = &mut transaction.shards[*index];
            active && !std::mem::replace(&mut shard.in_transaction, active)
        }
        Lease::Transient(_) => false,
    };
    let statements: Vec<String> = match lease {
        Lease::Held(index) if begin => join_transaction(transaction, *index, mode)?,
        _ => Vec::new(),
    };
    let commits_by_itself = match lease {
        // What a transaction under locks has left behind: see `join_transaction`.
        Lease::Held(index) => {
            !transaction.is_active() && transaction.shards[*index].pins.contains(&Pin::TableLock)
        }
        Lease::Transient(_) => false,
    };
    let connection = lease.connection(transaction);
    connection.sync_settings(settings);
    if commits_by_itself {
        connection.queue(&Command::Query(b"SET autocommit = 1"));
    }
    for statement in &statements {
        connection.queue(&Command::Query(statement.as_bytes()));
    }
    Ok(())
}

/// What `SET TRANSACTION` asked for the next transaction, for a statement that is one by itself.
pub(super) fn characterize(connection: &mut PooledConnection, characteristics: &Characteristics) {
    let Some(set) = characteristics.set_statement() else { return };
    connection.queue(&Command::Query(set.as_bytes()));
    // Nobody else may get it, if the statement does not use it up.
    connection.mark(SessionState::OTHER);
}

/// `SAVEPOINT x` and its relatives.
pub(super) fn savepoint_statement(verb: &str, name: &str) -> String {
    format!("{verb} {}", crate::sql::ident::quoted(name))
}

/// Sends what is queued and the statement in one write, and forwards the statement's reply.
async fn exchange(
    job: &mut Job<'_>,
    target: &Target,
    lease: &mut Lease,
    payload: Payload<'_>,
) -> Result<ReplySummary> {
    let patch = job.patch();
    // Rare, and as good as one more setting.
    let assignment = super::variables::are_named(job).then(|| super::variables::assignment(job));
    let names_variables = job.lexed.flags.contains(LexFlags::HAS_SYSTEM_VARIABLE);
    let renaming = super::renaming::of(job, &target.keyspace);
    let options = names_variables.then(|| job.session.settings.lex_options());
    let (asks_insert_id, known_id) = (job.session.asks_insert_id, job.session.last_insert_id);
    let changes = !job.lexed.is_read_only_query();
    let connection = lease.connection(&mut job.session.transaction);
    if let Some(assignment) = assignment {
        connection.queue(&Command::Query(&assignment));
    }
    if asks_insert_id {
        connection.queue(&Command::Query(format!("SET LAST_INSERT_ID = {known_id}").as_bytes()));
    }
    let renamed =
        options.and_then(|options| super::older_names::of(payload.text(), &options, connection.version()));
    let payload = match (&renamed, payload) {
        (Some(text), Payload::Query(_)) => Payload::Query(text),
        (Some(text), Payload::Execute(_, execution)) => Payload::Execute(text, execution),
        (None, payload) => payload,
    };
    let binary = match payload {
        Payload::Query(text) => {
            connection.queue(&Command::Query(text));
            false
        }
        Payload::Execute(text, execution) => {
            let prepared = match connection.prepared_for(text, execution.past) {
                Some(prepared) => prepared,
                None => {
                    settle(connection).await?;
                    let prepared = connection.prepare(text).await?;
                    // It takes on the past of the client's statement.
                    connection.prepared_for(text, execution.past).unwrap_or(prepared)
                }
            };
            queue_execute(connection, execution, prepared.statement_id)?;
            true
        }
    };
    let preludes = connection.owed_count() - 1;
    connection.flush().await?;
    for _ in 0..preludes {
        connection.receive_ok().await.map_err(|error| prelude_of(error, changes))?;
    }
    let mut scanner = connection.scanner(ReplyKind::Query, binary);
    if job.client.sequence() != 1 {
        scanner = scanner.with_sequence(job.client.sequence());
    }
    match renaming {
        None => {
            let mut sink = ClientSink {
                client: &mut *job.client,
                snapshot: &job.snapshot,
                session_target: &job.session.target,
                keyspace: &target.keyspace,
            };
            connection.receive_scanned(&mut scanner, patch, &mut sink).await?;
        }
        Some(renaming) => {
            let mut sink = RenamingSink::new(job.client, renaming);
            Box::pin(connection.receive_scanned(&mut scanner, patch, &mut sink)).await?;
        }
    }
    job.client.set_sequence(scanner.next_sequence());
    Ok(scanner.into_summary())
}

/// Queues COM_STMT_EXECUTE with the client's parameters.
fn queue_execute(
    connection: &mut crate::backend::BackendConnection,
    execution: Execution<'_>,
    statement_id: u32,
) -> Result<()> {
    let mut packet = Vec::with_capacity(64);
    let mut malformed = None;
    write_packet_with(&mut packet, &mut 0, |out| {
        malformed = execution.parameters.encode_execute(out, statement_id, execution.long_data).err();
    });
    match malformed {
        Some(malformed) => Err(Error::new(ErrorKind::MalformedPacket, malformed.to_string())),
        None => {
            connection.queue_packets(&packet, 1);
            Ok(())
        }
    }
}

/// Sends what is queued and receives the replies. The statement itself has not been sent.
pub(super) async fn settle(connection: &mut crate::backend::BackendConnection) -> Result<()> {
    let owed = connection.owed_count();
    connection.flush().await?;
    for _ in 0..owed {
        connection.receive_ok().await.map_err(|error| prelude_of(error, false))?;
    }
    Ok(())
}

/// A KILL that met the prelude ends a statement as one that meets the statement itself, unless that may have been `sent`
/// along and may change something: then nobody knows what it did.
fn prelude_of(error: Error, is_sent_write: bool) -> Error {
    if error.errno() == ErrorKind::QueryInterrupted.errno() && !is_sent_write {
        return super::interrupt::interrupted();
    }
    prelude_failed(error)
}

/// A server refused settings that another has accepted, or BEGIN: what was sent along may have run all the same.
fn prelude_failed(error: Error) -> Error {
    let text = String::from_utf8_lossy(error.message()).into_owned();
    Error::new(
        ErrorKind::BackendLost,
        format!("a server refused to prepare the session for a statement: {text}"),
    )
}

/// The client as the sink of a forwarded reply from a server of a keyspace.
pub(super) struct ClientSink<'a> {
    pub(super) client: &'a mut ClientStream,
    pub(super) snapshot: &'a Snapshot,
    pub(super) session_target: &'a SessionTarget,
    pub(super) keyspace: &'a str,
}

impl ReplySink for ClientSink<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.client.write(bytes).await
    }

    fn reworded(&self, error: &Error) -> Option<Error> {
        let names = KeyspaceNames::for_target(self.session_target, self.snapshot, self.keyspace)?;
        names.reworded(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_of_the_prelude_is_a_kill_of_the_statement_unless_it_may_have_written() {
        let check = |errno: u16, is_sent_write: bool, expected: ErrorKind| {
            let error = Error::from_backend(errno, *b"HY000", b"what the server says");
            assert_eq!(prelude_of(error, is_sent_write).kind(), Some(expected), "{errno} {is_sent_write}");
        };
        check(1317, false, ErrorKind::QueryInterrupted);
        check(1317, true, ErrorKind::BackendLost);
        check(1193, false, ErrorKind::BackendLost);
        check(1193, true, ErrorKind::BackendLost);
    }
}
