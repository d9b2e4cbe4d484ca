//! Ends transactions that were left in doubt, whoever left them: every router runs one, and several do not hurt.
//!
//! A branch whose transaction has a decision is settled by it. Where there is none, the transaction may still be on its
//! way to one; when it is old enough, a fence is written in the decision's place, which succeeds only if no decision
//! was made and makes sure that none will be. Everything here can be cut off at any point and done again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout};

use super::Counters;
use super::log::{self, Decision, create_log, record_statement};
use super::name::{coordinator_of, xid};
use super::survey::{Survey, Unresolved, prepared};
use crate::error::{ERRNO_DUPLICATE_ENTRY, ERRNO_UNKNOWN_XID, Error, ErrorKind, Result};
use crate::gateway::{Gateway, Target};
use crate::limits::{RESOLVER_NOTES_MAX, RESOLVER_WAIT};
use crate::topology::Snapshot;

/// When the resolver acts.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time between looks.
    pub interval: Duration,
    /// A transaction that has been without a decision for so long is given up.
    pub abandon_age: Duration,
}

/// The router's handle on recovery.
pub struct Resolver {
    gateway: Arc<Gateway>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    options: Options,
    counters: Counters,
    ended: Sender<(Target, String)>,
    /// Transactions that this router has given up: nothing more comes from it, so there is nothing to wait for.
    given_up: Mutex<HashSet<String>>,
    /// Servers that have told their prepared branches.
    recoverable: Mutex<HashSet<Target>>,
    wake: Notify,
}

/// The work behind a [`Resolver`]; to be run once.
pub struct ResolverTask {
    resolver: Arc<Resolver>,
    ended: Receiver<(Target, String)>,
    /// When a branch without decision was first seen.
    seen: HashMap<String, Instant>,
    /// Servers whose refusal was reported.
    reported: HashSet<Target>,
}

impl Resolver {
    /// A resolver for the cluster that `snapshots` describes and `gateway` reaches, and its work.
    pub fn new(
        gateway: Arc<Gateway>,
        snapshots: Arc<ArcSwap<Snapshot>>,
        options: Options,
    ) -> (Arc<Self>, ResolverTask) {
        let (sender, ended) = channel(RESOLVER_NOTES_MAX);
        let resolver = Arc::new(Self {
            gateway,
            snapshots,
            options,
            counters: Counters::default(),
            ended: sender,
            given_up: Mutex::default(),
            recoverable: Mutex::default(),
            wake: Notify::new(),
        });
        let task = ResolverTask {
            resolver: resolver.clone(),
            ended,
            seen: HashMap::new(),
            reported: HashSet::new(),
        };
        (resolver, task)
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Before the first branch is prepared there: could it be found again?
    ///
    /// # Errors
    /// The server does not let the router's account look for prepared branches.
    pub async fn check_recoverable(&self, target: &Target) -> Result<()> {
        if self.recoverable.lock().unwrap_or_else(PoisonError::into_inner).contains(target) {
            return Ok(());
        }
        let asked = within(async {
            let mut connection = log::connect(&self.gateway, target).await?;
            prepared(&mut connection).await
        });
        match asked.await {
            Ok(_) => {
                self.recoverable.lock().unwrap_or_else(PoisonError::into_inner).insert(target.clone());
                Ok(())
            }
            Err(error) if error.kind().is_none() => Err(error),
            // Whoever goes there next will see.
            Err(_) => Ok(()),
        }
    }

    /// A transaction has ended on all shards: its record can go. When there are too many, a later look finds it.
    pub fn note_ended(&self, coordinator: &Target, dtid: &str) {
        let _ = self.ended.try_send((coordinator.clone(), dtid.to_owned()));
    }

    /// This router has left a transaction in doubt and does nothing more about it.
    pub fn give_up(&self, dtid: &str) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        // What does not fit is resolved by its age.
        if given_up.len() < RESOLVER_NOTES_MAX {
            given_up.insert(dtid.to_owned());
        }
        drop(given_up);
        self.wake.notify_one();
    }

    /// Every transaction in doubt now, and the servers that could not be asked.
    pub async fn unresolved(&self) -> (Vec<Unresolved>, Vec<String>) {
        let survey = self.survey().await;
        let failures = survey.failures.iter().map(|(target, error)| format!("{target}: {error}")).collect();
        let is_ending = |transaction: &Unresolved| {
            let dtid = transaction.dtid.as_str();
            let record = survey.records.get(dtid);
            let is_young = record.is_some_and(|(record, _)| {
                Duration::from_secs(record.age_seconds) < self.options.abandon_age
            });
            is_young && survey.branches_of(dtid).next().is_none()
        };
        let mut unresolved = survey.unresolved();
        unresolved.retain(|transaction| !is_ending(transaction));
        (unresolved, failures)
    }

    /// Ends one transaction now: by its decision, or if there is none by rolling it back.
    ///
    /// # Errors
    /// A server that is needed for it does not answer.
    pub async fn conclude(&self, dtid: &str) -> Result<Decision> {
        let survey = self.survey().await;
        if survey.branches_of(dtid).next().is_none() && !survey.records.contains_key(dtid) {
            if let Some((target, error)) = survey.failures.first() {
                return Err(Error::new(ErrorKind::Other, format!("{target}: {error}")));
            }
            return Err(Error::new(ErrorKind::Other, format!("no unresolved transaction '{dtid}'")));
        }
        let decision = self.decision(&survey, dtid).await?;
        self.settle(&survey, dtid, decision).await?;
        Ok(decision)
    }

    async fn survey(&self) -> Survey {
        Survey::take(&self.gateway, &self.snapshots.load_full()).await
    }

    /// What was decided, or is decided hereby.
    async fn decision(&self, survey: &Survey, dtid: &str) -> Result<Decision> {
        if let Some((record, _)) = survey.records.get(dtid) {
            return Ok(record.decision);
        }
        let place = coordinator_of(dtid);
        let unknown = || Error::new(ErrorKind::Other, format!("no shard {place:?} is known, which decides"));
        let coordinator = survey.places.get(place).ok_or_else(unknown)?;
        let participants: Vec<String> = survey.branches_of(dtid).map(|(place, _)| place.to_owned()).collect();
        within(self.fence(coordinator, dtid, &participants)).await
    }

    /// Writes the fence; if a decision is there already, that is it.
    async fn fence(&self, coordinator: &Target, dtid: &str, participants: &[String]) -> Result<Decision> {
        let mut connection = log::connect(&self.gateway, coordinator).await?;
        // A coordinator that is just about to commit holds the row: it is not waited for long.
        connection.mark(crate::backend::SessionState::SETTINGS);
        connection.execute("SET SESSION innodb_lock_wait_timeout = 1").await?;
        let fence = record_statement(dtid, Decision::Rollback, participants);
        let mut outcome = connection.execute(&fence).await;
        if outcome.as_ref().is_err_and(log::is_missing) {
            create_log(&self.gateway, coordinator).await?;
            outcome = connection.execute(&fence).await;
        }
        match outcome {
            Ok(_) => Ok(Decision::Rollback),
            Err(error) if error.kind().is_none() && error.errno() == ERRNO_DUPLICATE_ENTRY => {
                let record = log::record(&mut connection, dtid).await?;
                // Gone again: whoever had decided has also ended it.
                record.map(|record| record.decision).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Carries a decision out on every branch, and removes its record when all have ended.
    async fn settle(&self, survey: &Survey, dtid: &str, decision: Decision) -> Result<()> {
        let mut places: BTreeSet<&str> = survey.branches_of(dtid).map(|(place, _)| place).collect();
        let record = survey.records.get(dtid);
        places.extend(record.iter().flat_map(|(record, _)| record.participants.iter().map(String::as_str)));
        for place in places {
            // Asked again even where the survey has found nothing: it may have asked before the branch was prepared.
            // Now that a decision is known, what is not there any more has ended.
            let found = survey.branches.get(&(dtid.to_owned(), place.to_owned()));
            let unknown = || Error::new(ErrorKind::Other, format!("no shard is known by the name {place:?}"));
            let target = found.or_else(|| survey.places.get(place)).ok_or_else(unknown)?;
            within(self.settle_branch(target, dtid, place, decision)).await?;
        }
        let Some((_, home)) = record else { return Ok(()) };
        let mut connection = within(log::connect(&self.gateway, home)).await?;
        match decision {
            Decision::Commit => within(log::forget(&mut connection, &[dtid.to_owned()])).await,
            Decision::Rollback => within(log::forget_old_fence(&mut connection, dtid)).await,
        }
    }

    async fn settle_branch(
        &self,
        target: &Target,
        dtid: &str,
        place: &str,
        decision: Decision,
    ) -> Result<()> {
        let mut connection = log::connect(&self.gateway, target).await?;
        let (verb, counter) = match decision {
            Decision::Commit => ("COMMIT", &self.counters.recovered_commits),
            Decision::Rollback => ("ROLLBACK", &self.counters.recovered_rollbacks),
        };
        let outcome = connection.execute(&format!("XA {verb} {}", xid(dtid, place))).await;
        match outcome {
            Ok(_) => {
                tracing::info!(dtid, place, verb, "ended a transaction that was left in doubt");
                Counters::add(counter);
                Ok(())
            }
            Err(error) if error.kind().is_none() && error.errno() == ERRNO_UNKNOWN_XID => {
                // Somebody else was faster, or the connection that has prepared it is not closed yet.
                let branches = prepared(&mut connection).await?;
                let is_there = branches.iter().any(|(found, at)| found == dtid && at == place);
                if is_there { Err(error) } else { Ok(()) }
            }
            Err(error) => Err(error),
        }
    }
}

impl ResolverTask {
    /// Resolves until the future is dropped.
    pub async fn run(self) {
        let Self { resolver, ended, mut seen, mut reported } = self;
        let looking = async {
            loop {
                // Several routers should not all come at once.
                let part = getrandom::u32().unwrap_or_default() % 512;
                let interval = resolver.options.interval.mul_f64(0.75 + f64::from(part) / 1024.0);
                let _ = timeout(interval, resolver.wake.notified()).await;
                look(&resolver, &mut seen, &mut reported).await;
            }
        };
        tokio::join!(looking, forget_ended(&resolver, ended));
    }
}

/// One look at the cluster.
async fn look(resolver: &Resolver, seen: &mut HashMap<String, Instant>, reported: &mut HashSet<Target>) {
    let survey = resolver.survey().await;
    for (target, error) in &survey.failures {
        if error.kind().is_none() && reported.insert(target.clone()) {
            // Not reachable is the health check's business; a refusal is the operator's.
            tracing::warn!(%target, %error, "transactions in doubt cannot be found there");
        }
    }
    let unresolved = survey.unresolved();
    resolver.counters.unresolved.store(unresolved.len() as u64, Ordering::Relaxed);
    let now = Instant::now();
    let fences = survey.records.iter().filter(|(_, (record, _))| record.decision == Decision::Rollback);
    let known: HashSet<String> = unresolved
        .iter()
        .map(|transaction| transaction.dtid.clone())
        .chain(fences.map(|(dtid, _)| dtid.clone()))
        .collect();
    seen.retain(|dtid, _| known.contains(dtid));
    for dtid in &known {
        let first_seen = *seen.entry(dtid.clone()).or_insert(now);
        let is_given_up = {
            let given_up = resolver.given_up.lock().unwrap_or_else(PoisonError::into_inner);
            given_up.contains(dtid)
        };
        let age = survey.records.get(dtid).map(|(record, _)| Duration::from_secs(record.age_seconds));
        let is_old =
            now.duration_since(first_seen).max(age.unwrap_or_default()) >= resolver.options.abandon_age;
        if !is_given_up && !is_old {
            continue;
        }
        let outcome = async {
            let decision = resolver.decision(&survey, dtid).await?;
            resolver.settle(&survey, dtid, decision).await
        };
        if let Err(error) = outcome.await {
            tracing::debug!(dtid, %error, "a transaction stays in doubt");
        }
    }
    let mut given_up = resolver.given_up.lock().unwrap_or_else(PoisonError::into_inner);
    if survey.failures.is_empty() {
        given_up.retain(|dtid| known.contains(dtid));
    }
}

/// Removes the records of transactions that have ended, as many at once as have come together.
async fn forget_ended(resolver: &Resolver, mut ended: Receiver<(Target, String)>) {
    let mut notes = Vec::new();
    while ended.recv_many(&mut notes, RESOLVER_NOTES_MAX).await > 0 {
        let mut by_target: HashMap<Target, Vec<String>> = HashMap::new();
        for (target, dtid) in notes.drain(..) {
            by_target.entry(target).or_default().push(dtid);
        }
        for (target, dtids) in by_target {
            let forget = async {
                let mut connection = log::connect(&resolver.gateway, &target).await?;
                log::forget(&mut connection, &dtids).await
            };
            if let Err(error) = within(forget).await {
                tracing::debug!(%target, %error, "records of ended transactions stay for now");
            }
        }
        // The next ones come together meanwhile.
        sleep(FORGET_INTERVAL).await;
    }
}

/// Time for records to come together that are removed at once.
const FORGET_INTERVAL: Duration = Duration::from_millis(20);

async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(RESOLVER_WAIT, work).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::QueryTimeout, format!("no answer within {} s", RESOLVER_WAIT.as_secs())))
    })
}
