//! The pool itself: what [`TabletPool::acquire`] does, step by step, and how pools are suspended and closed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::guard::PooledConnection;
use super::idle::{Idle, IdleLists};
use super::permits::{Outcome, Permits, lock};
use super::stats::{CloseReason, Counters, PoolStats};
use super::worker;
use crate::backend::connection::BackendConnection;
use crate::backend::lifeline::{Heartbeat, Lifeline};
use crate::backend::options::{ConnectOptions, Flavor};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::{clock, limits};

/// Limits of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Most connections open at once.
    pub connections_max: usize,
    /// Most statements that wait for a connection.
    pub waiters_max: usize,
    /// Longest wait.
    pub wait: Duration,
    /// A connection unused for this long is closed.
    pub idle: Duration,
    /// A connection of this age is closed when it comes back.
    pub lifetime: Duration,
    /// Number of worker threads, hence of lists of unused connections.
    pub workers: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connections_max: limits::POOL_CONNECTIONS_MAX,
            waiters_max: limits::POOL_WAITERS_MAX,
            wait: limits::POOL_WAIT,
            idle: limits::POOL_IDLE,
            lifetime: limits::POOL_LIFETIME,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What a statement needs its connection to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Must match.
    pub flavor: Flavor,
    /// [`SessionSettings::hash`](crate::backend::SessionSettings::hash): a connection that has these settings is
    /// preferred, as it needs no `SET`.
    pub settings: u64,
}

/// A pool; clones are handles on the same one.
#[derive(Clone, Debug)]
pub struct TabletPool(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    connect: Arc<ConnectOptions>,
    options: PoolOptions,
    heartbeat: Arc<Heartbeat>,
    permits: Permits,
    idle: IdleLists,
    /// Connections that exist or are being made.
    open: AtomicUsize,
    /// No connection is too old before this age.
    lifetime_min: Duration,
    lifelines: Mutex<Vec<Weak<Lifeline>>>,
    /// Why no connection is given out now.
    refusal: ArcSwapOption<Error>,
    /// Whether there is such a reason: a flag that the hot path can look at.
    is_refusing: AtomicBool,
    is_closed: AtomicBool,
    pub(super) counters: Counters,
}

impl TabletPool {
    /// An empty pool; nothing is connected before it is needed.
    pub fn new(connect: Arc<ConnectOptions>, options: PoolOptions) -> Self {
        Self(Arc::new(Shared {
            connect,
            heartbeat: Arc::default(),
            permits: Permits::new(options.connections_max, options.waiters_max),
            idle: IdleLists::new(options.workers),
            open: AtomicUsize::new(0),
            lifetime_min: options.lifetime / 10 * 9,
            lifelines: Mutex::default(),
            refusal: ArcSwapOption::empty(),
            is_refusing: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            counters: Counters::default(),
            options,
        }))
    }

    /// A connection that fits, from the pool or new. Errors: the reason of a suspension or of a failed
    /// connect (both with [`Retry::FreshConnection`]), or [`ErrorKind::PoolTimeout`].
    pub async fn acquire(&self, needs: &Needs) -> Result<PooledConnection> {
        let shared = &self.0;
        shared.check_open()?;
        let permit = shared.permit().await?;
        if let Some(connection) = shared.take_idle(needs) {
            return Ok(PooledConnection::new(connection, permit));
        }
        let connection = shared.connect(needs.flavor).await?;
        Ok(PooledConnection::new(connection, permit))
    }

    /// A connection that fits, if there is one to be had at once: nobody waits, and none has to be made.
    pub fn try_acquire(&self, needs: &Needs) -> Option<PooledConnection> {
        let shared = &self.0;
        if shared.is_refusing.load(Ordering::Acquire)
            || shared.idle.count() == 0
            || !shared.permits.try_acquire()
        {
            return None;
        }
        let permit = Permit(shared.clone());
        let connection = shared.take_idle(needs)?;
        shared.counters.acquired.add(1);
        Some(PooledConnection::new(connection, permit))
    }

    /// How the pool connects.
    pub fn connect_options(&self) -> &Arc<ConnectOptions> {
        &self.0.connect
    }

    /// Signs of life of this pool's server, to be kept by its health poller.
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.0.heartbeat
    }

    /// Number of connections that came back in a known state: it grows while the server answers.
    pub fn released_count(&self) -> u64 {
        self.0.counters.released.get()
    }

    /// Refuses connections with this reason from now on, tells so to all who wait, and closes the unused
    /// ones. Exchanges in progress go on.
    pub fn suspend(&self, reason: Error) {
        let reason = reason.with_retry(Retry::FreshConnection);
        self.0.refusal.store(Some(Arc::new(reason.clone())));
        self.0.is_refusing.store(true, Ordering::SeqCst);
        self.0.permits.refuse(&reason);
        self.0.close_idle(CloseReason::PoolClosed, |_| false);
    }

    /// Ends a suspension.
    pub fn resume(&self) {
        if !self.0.is_closed.load(Ordering::Acquire) {
            self.0.is_refusing.store(false, Ordering::SeqCst);
            self.0.refusal.store(None);
        }
    }

    /// Cuts every exchange that was sent at or after this heartbeat and has no complete reply yet; they fail
    /// with [`ErrorKind::BackendLost`]. For a server that went silent. Returns how many were cut.
    pub fn cut_exchanges_since(&self, heartbeat: u64) -> usize {
        let lifelines = lock(&self.0.lifelines).clone();
        lifelines.iter().filter_map(Weak::upgrade).filter(|line| line.cut_if_sent_since(heartbeat)).count()
    }

    /// Closes unused connections that are too old, unused for too long, or closed by the server. To be
    /// called every second or so.
    pub fn maintain(&self) {
        let now = Instant::now();
        let options = &self.0.options;
        self.0.close_idle(CloseReason::Idle, |idle| now.duration_since(idle.since) < options.idle);
        self.0.close_idle(CloseReason::Lifetime, |idle| !self.0.is_too_old(&idle.connection));
        self.0.close_idle(CloseReason::Stale, |idle| idle.connection.is_open());
        lock(&self.0.lifelines).retain(|line| line.strong_count() > 0);
    }

    /// Closes the pool for good: unused connections now, those in use when they come back.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        let gone = format!("{} is no longer in the topology", self.0.connect.label);
        self.suspend(Error::new(ErrorKind::NoHealthyTablet, gone));
    }

    /// The pool's numbers.
    pub fn stats(&self) -> PoolStats {
        let Shared { counters, permits, idle, open, .. } = &*self.0;
        PoolStats {
            connections_max: permits.limit(),
            open: open.load(Ordering::Relaxed),
            in_use: permits.in_use(),
            idle: idle.count(),
            waiting: permits.waiting(),
            acquired: counters.acquired.get(),
            waits: counters.waits.get(),
            wait_time: Duration::from_micros(counters.wait_micros.get()),
            wait_timeouts: counters.wait_timeouts.get(),
            created: counters.created.get(),
            connect_failures: counters.connect_failures.get(),
            stolen: counters.stolen.get(),
            resets: counters.resets.get(),
            closed: std::array::from_fn(|reason| counters.closed[reason].get()),
        }
    }

    /// Connections handed out now; the measure of a tablet's load.
    pub fn in_use(&self) -> usize {
        self.0.permits.in_use()
    }
}

impl Shared {
    fn check_open(&self) -> Result<()> {
        match &*self.refusal.load() {
            None => Ok(()),
            Some(reason) => Err(Error::clone(reason)),
        }
    }

    async fn permit(self: &Arc<Self>) -> Result<Permit> {
        if !self.permits.try_acquire() {
            self.wait_for_permit().await?;
        }
        self.counters.acquired.add(1);
        let permit = Permit(self.clone());
        // A suspension may have come while waiting.
        self.check_open()?;
        Ok(permit)
    }

    async fn wait_for_permit(&self) -> Result<()> {
        self.counters.waits.add(1);
        let receiver = self.permits.enqueue().ok_or_else(|| {
            self.timeout_error(format_args!("{} statements wait already", self.options.waiters_max))
        })?;
        let mut waiter = Waiter { receiver, permits: &self.permits, is_served: false };
        let began = Instant::now();
        let outcome = timeout(self.options.wait, &mut waiter.receiver).await;
        let waited = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counters.wait_micros.add(waited);
        match outcome {
            Ok(Ok(outcome)) => {
                waiter.is_served = true;
                outcome
            }
            // The sender is only dropped together with an answer; treat the impossible as no permit.
            Ok(Err(_)) => Err(Error::bug("the queue for connections lost a waiter")),
            Err(_) => {
                self.counters.wait_timeouts.add(1);
                let wait = self.options.wait;
                Err(self.timeout_error(format_args!("none became free within {wait:?}")))
            }
        }
    }

    fn timeout_error(&self, what: std::fmt::Arguments<'_>) -> Error {
        let text = format!(
            "all {} connections to {} are in use and {what} (limit: backend.pool_connections_max)",
            self.permits.limit(),
            self.connect.label
        );
        Error::new(ErrorKind::PoolTimeout, text)
    }

    /// An unused connection that fits and is still alive.
    fn take_idle(&self, needs: &Needs) -> Option<Box<BackendConnection>> {
        if self.idle.count() == 0 {
            return None;
        }
        let worker = worker::index();
        loop {
            let Idle { mut connection, since } = match self.idle.take(worker, needs) {
                Some(own) => own,
                None if self.may_steal() => self.idle.steal(worker, needs)?,
                None => return None,
            };
            if !connection.is_still_open(clock::recent().saturating_duration_since(since)) {
                self.discard(connection, CloseReason::Stale);
                continue;
            }
            if connection.worker() == worker {
                return Some(connection);
            }
            match connection.move_to_worker(worker) {
                Ok(moved) => {
                    self.counters.stolen.add(1);
                    return Some(moved);
                }
                Err(_) => self.forget(CloseReason::Broken),
            }
        }
    }

    /// Taking another worker's connection costs more than using one's own, connecting costs more than both
    /// but only once: so steal only when the pool is half full, to keep workers from passing one
    /// connection to and fro.
    fn may_steal(&self) -> bool {
        self.open.load(Ordering::Relaxed) * 2 >= self.permits.limit()
    }

    async fn connect(self: &Arc<Self>, flavor: Flavor) -> Result<Box<BackendConnection>> {
        let slot = self.reserve();
        let lifeline = Arc::new(Lifeline::new(self.heartbeat.clone()));
        // Whoever connects to a server that falls silent is told so as well.
        lifeline.mark_sent();
        lock(&self.lifelines).push(Arc::downgrade(&lifeline));
        let connected =
            BackendConnection::connect_with(&self.connect, flavor, lifeline.clone(), worker::index()).await;
        match connected {
            Ok(connection) => {
                self.counters.created.add(1);
                lifeline.mark_idle();
                slot.keep();
                Ok(Box::new(connection))
            }
            Err(error) => {
                self.counters.connect_failures.add(1);
                Err(error)
            }
        }
    }

    /// Counts one connection as open. Whoever holds a permit has a right to one: if the limit is reached, an
    /// unused one (of another flavor, or of another worker) makes room.
    fn reserve(&self) -> OpenSlot<'_> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        if before >= self.permits.limit()
            && let Some(idle) = self.idle.evict()
        {
            self.discard(idle.connection, CloseReason::Evicted);
        }
        OpenSlot { open: &self.open }
    }

    /// Lifetimes differ by up to a tenth, so that connections made together are not all renewed at once.
    fn is_too_old(&self, connection: &BackendConnection) -> bool {
        let (age, lifetime) = (connection.age(), self.options.lifetime);
        age >= self.lifetime_min && age >= lifetime - lifetime / 100 * (connection.thread_id() % 10)
    }

    fn close_idle(&self, reason: CloseReason, keep: impl FnMut(&mut Idle) -> bool) {
        for idle in self.idle.retain(keep) {
            self.discard(idle.connection, reason);
        }
    }

    pub(super) fn discard(&self, connection: Box<BackendConnection>, reason: CloseReason) {
        connection.close();
        self.forget(reason);
    }

    /// Counts a connection that no longer exists.
    fn forget(&self, reason: CloseReason) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.counters.count_closed(reason);
    }

    pub(super) fn put_back(&self, connection: Box<BackendConnection>) {
        self.counters.released.add(1);
        if self.is_refusing.load(Ordering::SeqCst) {
            self.discard(connection, CloseReason::PoolClosed);
        } else if self.is_too_old(&connection) {
            self.discard(connection, CloseReason::Lifetime);
        } else {
            self.idle.put(connection.worker(), connection);
            if self.is_refusing.load(Ordering::SeqCst) {
                // Suspended in between: the one just put back must not outlive the suspension.
                self.close_idle(CloseReason::PoolClosed, |_| false);
            }
        }
    }
}

/// The right to one connection in use.
#[derive(Debug)]
pub(super) struct Permit(pub(super) Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.permits.release();
    }
}

/// A place in the queue; leaving it gives back a permit that was on its way.
struct Waiter<'a> {
    receiver: oneshot::Receiver<Outcome>,
    permits: &'a Permits,
    is_served: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.is_served {
            return;
        }
        self.receiver.close();
        if let Ok(Ok(())) = self.receiver.try_recv() {
            self.permits.release();
        }
    }
}

/// One connection counted as open, taken back unless it is kept.
struct OpenSlot<'a> {
    open: &'a AtomicUsize,
}

impl OpenSlot<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for OpenSlot<'_> {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}
