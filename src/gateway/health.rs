//! What is known about one tablet's health, and how it changes.
//!
//! Pure state: the poller brings observations, this file says what they mean.
//!
//! ```text
//!   Unknown ──answer──▶ Serving ◀──answer── NotServing
//!      └────failure or silence──▶ NotServing ◀──failure or silence── Serving
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::probe::{ProbeAnswer, ReplicationStatus};
use crate::backend::ServerVersion;
use crate::backend::pool::PoolStats;
use crate::topology::Tablet;

/// Whether statements may be sent to a tablet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ServingState {
    /// Not polled yet.
    Unknown = 0,
    /// It answers.
    Serving = 1,
    /// It does not.
    NotServing = 2,
}

impl ServingState {
    /// The word of `show vitess_tablets`: what is not known to serve does not serve.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "SERVING",
            Self::Unknown | Self::NotServing => "NOT_SERVING",
        }
    }
}

/// One tablet for status pages and `show vitess_tablets`.
#[derive(Clone, Debug)]
pub struct TabletStatus {
    /// The tablet as the topology has it.
    pub tablet: Arc<Tablet>,
    /// Whether statements are sent to it.
    pub state: ServingState,
    /// Why it does not serve, or what is noteworthy although it does; may be empty.
    pub reason: Arc<str>,
    /// Since when it has been in this state.
    pub since: SystemTime,
    /// The server's `read_only`, when it was last seen.
    pub read_only: Option<bool>,
    /// Estimated distance behind its primary; `None` for primaries and when it cannot be known.
    pub replication_lag: Option<Duration>,
    /// What the server says about its replication, when it was last seen.
    pub replication: Option<Arc<ReplicationStatus>>,
    /// Engine and release, once seen.
    pub version: Option<Arc<ServerVersion>>,
    /// Its pool's numbers.
    pub pool: PoolStats,
}

/// Everything known about one tablet's health.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) state: ServingState,
    pub(super) reason: Arc<str>,
    pub(super) since: SystemTime,
    pub(super) read_only: Option<bool>,
    pub(super) lag: Option<Lag>,
    pub(super) replication: Option<Arc<ReplicationStatus>>,
    pub(super) version: Option<Arc<ServerVersion>>,
}

/// A replication lag and whether it still grows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lag {
    /// The lag when replication was last seen running.
    pub(super) known: Duration,
    /// Since when replication has stood still, in time of [`tokio::time`].
    pub(super) stopped_at: Option<tokio::time::Instant>,
}

impl Lag {
    /// The best estimate now: time without replication counts in full.
    pub(super) fn estimate(self, now: tokio::time::Instant) -> Duration {
        self.known + self.stopped_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }
}

impl Health {
    pub(super) fn unknown() -> Self {
        Self {
            state: ServingState::Unknown,
            reason: "not polled yet".into(),
            since: SystemTime::now(),
            read_only: None,
            lag: None,
            replication: None,
            version: None,
        }
    }

    /// The server answered a poll.
    pub(super) fn answered(&self, answer: ProbeAnswer, now: tokio::time::Instant) -> Self {
        let lag = self.lag_after(&answer, now);
        let (state, reason) = match &answer.replication {
            Some(status) if status.is_stopped() && lag.is_none() => {
                (ServingState::NotServing, stopped_reason(status))
            }
            Some(status) if status.is_stopped() => (ServingState::Serving, stopped_reason(status)),
            _ => (ServingState::Serving, String::new()),
        };
        Self {
            read_only: Some(answer.read_only),
            lag,
            replication: answer.replication.map(Arc::new),
            version: Some(answer.version),
            ..self.changed(state, reason)
        }
    }

    /// The server cannot be reached, or refuses.
    pub(super) fn failed(&self, reason: String) -> Self {
        self.changed(ServingState::NotServing, reason)
    }

    fn changed(&self, state: ServingState, reason: String) -> Self {
        let since = if state == self.state { self.since } else { SystemTime::now() };
        let reason = if *self.reason == *reason { self.reason.clone() } else { reason.into() };
        Self { state, reason, since, ..self.clone() }
    }

    fn lag_after(&self, answer: &ProbeAnswer, now: tokio::time::Instant) -> Option<Lag> {
        let status = answer.replication.as_ref()?;
        match (status.lag, self.lag) {
            (Some(known), _) => Some(Lag { known, stopped_at: None }),
            // A replica that was never seen to replicate may be days behind: its lag stays unknown.
            (None, None) if status.is_stopped() => None,
            // It applies what it has but cannot reach its primary.
            (None, None) => Some(Lag { known: Duration::ZERO, stopped_at: Some(now) }),
            (None, Some(before)) => {
                Some(Lag { stopped_at: Some(before.stopped_at.unwrap_or(now)), ..before })
            }
        }
    }
}

fn stopped_reason(status: &ReplicationStatus) -> String {
    if status.last_error.is_empty() {
        "replication is stopped".to_owned()
    } else {
        format!("replication is stopped: {}", status.last_error)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn answer(replication: Option<ReplicationStatus>) -> ProbeAnswer {
        let version = Arc::new(ServerVersion::parse(b"9.7.0"));
        ProbeAnswer { read_only: true, replication, version }
    }

    fn replica(lag: Option<u64>, io: bool, sql: bool) -> Option<ReplicationStatus> {
        Some(ReplicationStatus {
            source: "db1:3306".into(),
            io_running: io,
            sql_running: sql,
            lag: lag.map(Duration::from_secs),
            last_error: String::new(),
        })
    }

    #[test]
    fn failure_and_answer_change_the_state_and_its_beginning() {
        let unknown = Health::unknown();
        let down = unknown.failed("connection refused".into());
        assert_eq!((down.state, &*down.reason), (ServingState::NotServing, "connection refused"));
        let still = down.failed("no answer".into());
        assert_eq!((still.since, &*still.reason), (down.since, "no answer"));
        let up = still.answered(answer(None), Instant::now());
        assert_eq!((up.state, &*up.reason), (ServingState::Serving, ""));
        assert_eq!(up.read_only, Some(true));
    }

    #[test]
    fn lag_of_a_replica_that_lost_its_primary_grows() {
        let now = Instant::now();
        let running = Health::unknown().answered(answer(replica(Some(3), true, true)), now);
        let lost = running.answered(answer(replica(None, false, true)), now);
        let later = lost.answered(answer(replica(None, false, true)), now + Duration::from_secs(5));
        let lag = later.lag.unwrap().estimate(now + Duration::from_secs(10));
        assert_eq!((later.state, lag), (ServingState::Serving, Duration::from_secs(13)));
        let back = later.answered(answer(replica(Some(0), true, true)), now + Duration::from_secs(11));
        assert_eq!(back.lag.unwrap().estimate(now + Duration::from_secs(60)), Duration::ZERO);
    }

    #[test]
    fn a_replica_never_seen_to_replicate_does_not_serve_while_stopped() {
        let now = Instant::now();
        let stopped = Health::unknown().answered(answer(replica(None, true, false)), now);
        assert_eq!((stopped.state, &*stopped.reason), (ServingState::NotServing, "replication is stopped"));
        let lost = Health::unknown().answered(answer(replica(None, false, true)), now);
        assert_eq!(lost.state, ServingState::Serving);
    }

    #[test]
    fn only_serving_tablets_are_shown_as_serving() {
        assert_eq!(ServingState::Unknown.as_str(), "NOT_SERVING");
        assert_eq!(ServingState::Serving.as_str(), "SERVING");
    }
}
