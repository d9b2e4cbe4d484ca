//! Mode TWOPC: how shards join a distributed transaction, and its commit.
//!
//! ```text
//!   coordinator   write the decision ─┐              ┌─ COMMIT ─┐
//!   branches      XA END, XA PREPARE ─┴─ all agree? ─┤          └─ XA COMMIT ─ remove the decision, later
//!                                                    └─ ROLLBACK everywhere
//! ```
//! Up to the coordinator's COMMIT everything can be rolled back; behind it nothing can. Whatever is cut off in between
//! is ended by [`crate::twopc::Resolver`]. A transaction that has changed one shard only has no branches to prepare.

use futures_util::future::{join, join_all};
use tokio::time::{Duration, timeout};

use super::Executor;
use super::commit::{commit_one, roll_back};
use super::exchange::{savepoint_statement, settle};
use super::transaction::run;
use crate::error::{ERRNO_IN_RECOVERY, ERRNO_UNKNOWN_XID, Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::{TWOPC_DECIDE_WAIT, TWOPC_FINISH_WAIT};
use crate::session::Session;
use crate::session::diagnostics::{Diagnostic, Diagnostics, Level};
use crate::session::transaction::{Mode, Pin, ShardSession, Transaction};
use crate::topology::TabletType;
use crate::twopc::{self, Counters, Decision, FaultPoint};
use crate::wire::Command;

/// The statements with which a shard joins the transaction, which is of this mode if the shard is its first.
pub(super) fn join_transaction(
    transaction: &mut Transaction,
    index: usize,
    mode: Mode,
) -> Result<Vec<String>> {
    let target = transaction.shards[index].target.clone();
    let mut branch = None;
    if target.tablet_type == TabletType::Primary {
        match &transaction.coordinator {
            None => {
                transaction.mode = if transaction.is_beside { Mode::Multi } else { mode };
                transaction.coordinator = Some(target);
            }
            Some(_) if needs_branches(transaction) && has_locks(transaction) => {
                return Err(Error::unsupported(
                    "transactions of several shards under LOCK TABLES in transaction mode TWOPC",
                ));
            }
            Some(coordinator) if needs_branches(transaction) => {
                let dtid = match &transaction.dtid {
                    Some(dtid) => dtid.clone(),
                    None => twopc::new_dtid(coordinator)?,
                };
                branch = Some(twopc::xid(&dtid, &place(&target)));
                transaction.dtid = Some(dtid);
            }
            Some(_) => {}
        }
    }
    let characteristics = &transaction.characteristics;
    let mut statements: Vec<String> = match &branch {
        Some(xid) => characteristics.branch_statements(xid).collect(),
        // START TRANSACTION would release them; only a session with `autocommit = 0` comes here.
        None if transaction.shards[index].pins.contains(&Pin::TableLock) => {
            vec!["SET autocommit = 0".to_owned()]
        }
        None => characteristics.begin_statements().collect(),
    };
    statements.extend(transaction.savepoints.iter().map(|name| savepoint_statement("SAVEPOINT", name)));
    transaction.shards[index].branch = branch;
    Ok(statements)
}

/// Servers begin no XA transaction under locks.
fn has_locks(transaction: &Transaction) -> bool {
    transaction.pins().any(|(_, pin)| pin == Pin::TableLock)
}

/// What cannot change anything needs no second phase; XA has no consistent snapshot.
fn needs_branches(transaction: &Transaction) -> bool {
    let characteristics = &transaction.characteristics;
    transaction.mode == Mode::TwoPc
        && characteristics.read_only != Some(true)
        && !characteristics.consistent_snapshot
}

/// The mode of the open transaction, or of the next one.
pub(super) fn mode_of(session: &Session) -> Mode {
    let transaction = &session.transaction;
    match transaction.coordinator {
        _ if transaction.is_beside => Mode::Multi,
        Some(_) => transaction.mode,
        None => session.settings.transaction_mode,
    }
}

/// May the transaction, or the statement that becomes one, change these shards?
pub(super) fn check_write(session: &Session, targets: &[Target]) -> Result<()> {
    let transaction = &session.transaction;
    let mode = mode_of(session);
    let has_snapshot = transaction.is_active() && transaction.characteristics.consistent_snapshot;
    if mode == Mode::Multi || (mode == Mode::TwoPc && !has_snapshot) {
        return Ok(());
    }
    let written = transaction.shards.iter().filter(|shard| shard.in_transaction && shard.has_written);
    let mut changed: Vec<&Target> = written.map(|shard| &shard.target).collect();
    for target in targets {
        if !changed.contains(&target) {
            changed.push(target);
        }
    }
    if changed.len() < 2 {
        return Ok(());
    }
    if mode == Mode::TwoPc {
        return Err(Error::unsupported(
            "changes on several shards WITH CONSISTENT SNAPSHOT in transaction mode TWOPC",
        ));
    }
    let names: Vec<String> = changed.iter().map(ToString::to_string).collect();
    let text = format!("multi-db transaction attempted: [{}]", names.join(", "));
    Err(Error::new(ErrorKind::SecondShard, text))
}

impl Executor {
    /// Commits on all shards or on none.
    pub(super) async fn commit_in_two_phases(&self, session: &mut Session, dtid: &str) -> Result<()> {
        if let Err(error) = self.check_recoverable(session).await {
            self.rollback(session).await;
            Counters::add(&self.resolver().counters().rolled_back);
            let text = format!(
                "the transaction was rolled back on all shards, because recovery would not find it: {error}"
            );
            return Err(Error::new(ErrorKind::CommitRolledBack, text));
        }
        let Session { transaction, diagnostics, .. } = session;
        let coordinator_target = transaction.coordinator.clone();
        let participants = transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
        let (mut coordinators, others): (Vec<&mut ShardSession>, Vec<&mut ShardSession>) =
            participants.partition(|shard| Some(&shard.target) == coordinator_target.as_ref());
        let (mut branches, mut readers): (Vec<&mut ShardSession>, Vec<&mut ShardSession>) =
            others.into_iter().partition(|shard| shard.has_written && shard.branch.is_some());
        let Some(coordinator) = coordinators.pop() else {
            return Err(Error::bug("a distributed transaction without coordinator"));
        };
        let places: Vec<String> = branches.iter().map(|shard| place(&shard.target)).collect();
        let counters = self.resolver().counters();

        let recorded = self.record(coordinator, dtid, &places);
        let prepared = join_all(branches.iter_mut().map(|shard| self.prepare_branch(shard)));
        let (recorded, prepared) = join(recorded, prepared).await;
        let failure = recorded.err().or_else(|| prepared.into_iter().find_map(Result::err));
        if let Some(error) = failure {
            Counters::add(&counters.rolled_back);
            join(abandon(coordinator), join_all(readers.iter_mut().map(|shard| roll_back(shard)))).await;
            self.abandon_branches(dtid, &mut branches).await;
            return Err(rolled_back(error));
        }
        self.faults().pass(FaultPoint::BeforeDecision).await;
        if let Err(error) = self.decide(coordinator, dtid).await {
            join_all(readers.iter_mut().map(|shard| roll_back(shard))).await;
            if error.kind() == Some(ErrorKind::CommitUndecided) {
                Counters::add(&counters.undecided);
                // Whoever resolves it needs the branches detached from these connections.
                branches.iter_mut().for_each(|shard| shard.connection.condemn());
                self.resolver().give_up(dtid);
            } else {
                Counters::add(&counters.rolled_back);
                self.abandon_branches(dtid, &mut branches).await;
            }
            return Err(error);
        }
        Counters::add(&counters.committed);
        self.faults().pass(FaultPoint::AfterDecision).await;
        let committed = join_all(branches.iter_mut().map(|shard| self.commit_branch(shard)));
        let (committed, _) =
            join(committed, join_all(readers.iter_mut().map(|shard| commit_one(shard)))).await;
        let late = branches.iter().zip(&committed).filter(|(_, outcome)| outcome.is_err());
        let late: Vec<String> = late.map(|(shard, _)| shard.target.to_string()).collect();
        if late.is_empty() {
            self.faults().pass(FaultPoint::BeforeForget).await;
            self.resolver().note_ended(&coordinator.target, dtid);
        } else {
            Counters::add(&counters.left_to_recovery);
            self.resolver().give_up(dtid);
            warn(diagnostics, dtid, &late);
        }
        Ok(())
    }

    /// No branch is prepared where nobody could find it after a crash.
    async fn check_recoverable(&self, session: &Session) -> Result<()> {
        for shard in &session.transaction.shards {
            if shard.in_transaction && shard.has_written && shard.branch.is_some() {
                let checked = self.resolver().check_recoverable(&shard.target).await;
                checked.map_err(|error| {
                    let text = format!("{}: {error}", shard.target);
                    Error::from_backend(error.errno(), error.sqlstate(), text.as_bytes())
                })?;
            }
        }
        Ok(())
    }

    /// Writes the decision into the coordinator's transaction; makes the log if it is not there.
    async fn record(&self, coordinator: &mut ShardSession, dtid: &str, places: &[String]) -> Result<()> {
        let statement = twopc::record_statement(dtid, Decision::Commit, places);
        let target = coordinator.target.clone();
        match within(TWOPC_DECIDE_WAIT, coordinator, run, &statement).await {
            Err(error) if is_without_log(&error) => {
                twopc::create_log(self.gateway(), &target).await?;
                within(TWOPC_DECIDE_WAIT, coordinator, run, &statement).await
            }
            outcome => outcome,
        }
    }

    async fn prepare_branch(&self, shard: &mut ShardSession) -> Result<()> {
        self.faults().pass(FaultPoint::BeforePrepare).await;
        let Some(xid) = shard.branch.clone() else { return Err(Error::bug("a branch without XID")) };
        settle(&mut shard.connection).await?;
        shard.connection.queue(&Command::Query(format!("XA END {xid}").as_bytes()));
        let outcome = within(TWOPC_DECIDE_WAIT, shard, run_behind, &format!("XA PREPARE {xid}")).await;
        self.faults().pass(FaultPoint::AfterPrepare).await;
        outcome
    }

    /// The coordinator's COMMIT. An error that is not [`ErrorKind::CommitUndecided`] means that nothing is committed.
    async fn decide(&self, coordinator: &mut ShardSession, dtid: &str) -> Result<()> {
        let Err(error) = within(TWOPC_DECIDE_WAIT, coordinator, run, "COMMIT").await else { return Ok(()) };
        if error.kind().is_none() {
            // The server has refused, and says so: but has it really not committed? The log knows.
            let query = twopc::record_query(dtid);
            let connection = &mut coordinator.connection;
            let known = async {
                connection.execute("ROLLBACK").await?;
                connection.query_all(&query).await
            };
            match timeout(TWOPC_FINISH_WAIT, known).await {
                Ok(Ok(log)) if log.rows.is_empty() => return Err(error),
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        coordinator.connection.condemn();
        let target = &coordinator.target;
        Err(Error::new(
            ErrorKind::CommitUndecided,
            format!(
                "transaction '{dtid}' will be committed or rolled back on all shards by recovery: {target} has not confirmed \
                 its decision: {error}"
            ),
        ))
    }

    async fn commit_branch(&self, shard: &mut ShardSession) -> Result<()> {
        self.faults().pass(FaultPoint::BeforeBranchCommit).await;
        let Some(xid) = shard.branch.clone() else { return Err(Error::bug("a branch without XID")) };
        let outcome = within(TWOPC_FINISH_WAIT, shard, run, &format!("XA COMMIT {xid}")).await;
        self.faults().pass(FaultPoint::AfterBranchCommit).await;
        match outcome {
            // Recovery was faster.
            Err(error) if error.kind().is_none() && error.errno() == ERRNO_UNKNOWN_XID => Ok(()),
            Err(error) => {
                shard.connection.condemn();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Rolls back branches that may or may not be prepared, after the coordinator.
    async fn abandon_branches(&self, dtid: &str, branches: &mut [&mut ShardSession]) {
        join_all(branches.iter_mut().map(|shard| abandon(shard))).await;
        if branches.iter().any(|shard| shard.connection.is_broken()) {
            self.resolver().give_up(dtid);
        }
    }

    pub(super) fn faults(&self) -> &twopc::Faults {
        &self.options().faults
    }
}

/// The shard in an XID.
fn place(target: &Target) -> String {
    twopc::place_name(&target.keyspace, &target.shard)
}

/// Rolls a shard back, but does not wait for a server that is silent: closing the connection has the same effect, but
/// for what is prepared, which recovery ends.
async fn abandon(shard: &mut ShardSession) {
    if timeout(TWOPC_FINISH_WAIT, roll_back(shard)).await.is_err() {
        shard.connection.condemn();
    }
}

/// Runs a statement of a shard for so long. What takes longer loses its connection: how it ended, nobody knows.
async fn within(
    wait: Duration,
    shard: &mut ShardSession,
    work: impl AsyncFnOnce(&mut ShardSession, &str) -> Result<()>,
    statement: &str,
) -> Result<()> {
    match timeout(wait, work(shard, statement)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            shard.connection.condemn();
            let text = format!("{} has not answered within {} s", shard.target, wait.as_secs());
            Err(Error::new(ErrorKind::BackendLost, text))
        }
    }
}

/// A statement behind what is queued, in one exchange. Its outcome counts; what comes first must succeed, too.
async fn run_behind(shard: &mut ShardSession, statement: &str) -> Result<()> {
    let connection = &mut shard.connection;
    connection.queue(&Command::Query(statement.as_bytes()));
    connection.flush().await?;
    let mut outcome = Ok(());
    while connection.owed_count() > 0 {
        let reply = connection.receive_ok().await.map(drop);
        if connection.is_broken() {
            return reply;
        }
        outcome = outcome.and(reply);
    }
    outcome
}

fn is_without_log(error: &Error) -> bool {
    let missing = [ErrorKind::UnknownDatabase.errno(), ErrorKind::UnknownTable.errno()];
    error.kind().is_none() && missing.contains(&error.errno())
}

/// What the client is told when a shard has failed before the decision. A server's own words stay as they are.
fn rolled_back(error: Error) -> Error {
    if error.kind().is_none() {
        return error;
    }
    let text =
        format!("the transaction was rolled back on all shards, because one could not be prepared: {error}");
    Error::new(ErrorKind::CommitRolledBack, text)
}

/// The client's transaction is committed, but not everywhere to be seen yet.
fn warn(diagnostics: &mut Diagnostics, dtid: &str, late: &[String]) {
    let text =
        format!("transaction '{dtid}' is committed; recovery makes it so on {} as well", late.join(", "));
    diagnostics.push(Diagnostic {
        level: Level::Warning,
        code: ERRNO_IN_RECOVERY,
        message: text.into_bytes(),
    });
}
