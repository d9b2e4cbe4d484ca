//! A session's transaction and the backend connections that it holds.
//!
//! ```text
//!            BEGIN, or autocommit=0            first statement on a shard
//!   Idle ───────────────────────────▶ Open ───────────────────────────────▶ Open, shard held
//!    ▲                                 │                                          │
//!    └──────── COMMIT / ROLLBACK ──────┴──────────────── COMMIT / ROLLBACK ───────┘
//!                                                     │ a shard's connection is lost
//!                                                     ▼
//!                                       Broken: every statement but ROLLBACK fails
//! ```
//!
//! `BEGIN` is lazy: a shard's transaction begins in the same write as its first statement. Connections are also held
//! without a transaction while a [`Pin`] demands it.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::SessionState;
use crate::backend::pool::PooledConnection;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::gateway::Target;

/// Why a connection stays with its session between statements, other than an open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// `GET_LOCK()`.
    AdvisoryLock,
    /// `LOCK TABLES`, `FLUSH TABLES WITH READ LOCK`.
    TableLock,
    /// `CREATE TEMPORARY TABLE`.
    TemporaryTable,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pin::AdvisoryLock => "advisory lock",
            Pin::TableLock => "locked tables",
            Pin::TemporaryTable => "temporary table",
        })
    }
}

impl Pin {
    /// What the connection must be cleaned of before anybody else gets it.
    pub fn state(self) -> SessionState {
        match self {
            Pin::AdvisoryLock => SessionState::USER_LOCK,
            Pin::TableLock => SessionState::TABLE_LOCK,
            Pin::TemporaryTable => SessionState::TEMPORARY_TABLE,
        }
    }
}

/// How a transaction over several shards commits; Vitess's `transaction_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Changes on one shard only.
    Single,
    /// Shard by shard: a failure in the middle leaves some shards committed, and is reported.
    #[default]
    Multi,
    /// All or none, in two phases.
    TwoPc,
}

impl Mode {
    /// Reads `single`, `multi` or `twopc`, in any case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        [Self::Single, Self::Multi, Self::TwoPc]
            .into_iter()
            .find(|mode| text.eq_ignore_ascii_case(mode.as_str().as_bytes()))
    }

    /// The word that `@@transaction_mode` answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "SINGLE",
            Self::Multi => "MULTI",
            Self::TwoPc => "TWOPC",
        }
    }
}

/// What follows when COMMIT and ROLLBACK do not say it: `completion_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Completion {
    /// Nothing.
    #[default]
    NoChain,
    /// The next transaction, at once.
    Chain,
    /// The end of the connection.
    Release,
}

impl Completion {
    const ALL: [Self; 3] = [Self::NoChain, Self::Chain, Self::Release];

    /// Reads a name, or its number.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is = |(number, value): &(usize, Self)| {
            text.eq_ignore_ascii_case(value.as_str().as_bytes()) || text == number.to_string().as_bytes()
        };
        Self::ALL.into_iter().enumerate().find(is).map(|(_, value)| value)
    }

    /// The word that `@@completion_type` answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoChain => "NO_CHAIN",
            Self::Chain => "CHAIN",
            Self::Release => "RELEASE",
        }
    }
}

/// One shard's part of a session: a connection that no other session uses.
#[derive(Debug)]
pub struct ShardSession {
    /// Where the connection leads.
    pub target: Target,
    pub connection: PooledConnection,
    /// The shard's transaction has begun.
    pub in_transaction: bool,
    /// A write was sent to it in this transaction.
    pub has_written: bool,
    /// The shard's part is a branch of a distributed transaction with this XID, in the form that XA statements take;
    /// `None`: an ordinary transaction.
    pub branch: Option<Arc<str>>,
    /// Reasons to keep the connection when no transaction is open.
    pub pins: Vec<Pin>,
}

/// How shards' transactions begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Characteristics {
    /// Isolation level of this transaction only (`SET TRANSACTION` without scope).
    pub isolation: Option<&'static str>,
    /// `READ ONLY` or `READ WRITE`, where given.
    pub read_only: Option<bool>,
    /// `WITH CONSISTENT SNAPSHOT`.
    pub consistent_snapshot: bool,
}

impl Characteristics {
    /// Does it ask for anything?
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `SET TRANSACTION` for one statement that is a transaction by itself.
    pub fn set_statement(&self) -> Option<String> {
        let isolation = self.isolation.map(|level| format!("ISOLATION LEVEL {}", level.replace('-', " ")));
        let access = self.read_only.map(|read_only| if read_only { "READ ONLY" } else { "READ WRITE" });
        let parts: Vec<String> = isolation.into_iter().chain(access.map(str::to_owned)).collect();
        (!parts.is_empty()).then(|| format!("SET TRANSACTION {}", parts.join(", ")))
    }

    /// What the next transaction inherits with `AND CHAIN`.
    #[must_use]
    pub fn chained(&self) -> Self {
        Self { consistent_snapshot: false, ..self.clone() }
    }

    /// The statements that begin a shard's branch of a distributed transaction, in order.
    pub fn branch_statements(&self, xid: &str) -> impl Iterator<Item = String> {
        self.set_statement().into_iter().chain([format!("XA START {xid}")])
    }

    /// The statements that begin a shard's transaction, in order.
    pub fn begin_statements(&self) -> impl Iterator<Item = String> {
        let isolation = self
            .isolation
            .map(|level| format!("SET TRANSACTION ISOLATION LEVEL {}", level.replace('-', " ")));
        let mut begin = String::from("START TRANSACTION");
        let mut separator = " ";
        if self.consistent_snapshot {
            begin.push_str(" WITH CONSISTENT SNAPSHOT");
            separator = ", ";
        }
        if let Some(read_only) = self.read_only {
            begin.push_str(separator);
            begin.push_str(if read_only { "READ ONLY" } else { "READ WRITE" });
        }
        isolation.into_iter().chain([begin])
    }
}

/// Whether a transaction is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// A shard's part is lost: only ROLLBACK is possible.
    Broken(Error),
    #[default]
    Idle,
    Open,
}

/// The transaction of one session.
#[derive(Debug, Default)]
pub struct Transaction {
    state: State,
    /// When it was opened.
    began: Option<Instant>,
    /// How the open transaction began, or what `SET TRANSACTION` asked for the next one.
    pub characteristics: Characteristics,
    /// Names in the order they were set, for shards that join later.
    pub savepoints: Vec<String>,
    /// Connections in the order of their first use.
    pub shards: Vec<ShardSession>,
    /// The running statement leaves state behind: its connection is to be held for this reason.
    pub pin_next: Option<Pin>,
    /// The running statement is a transaction by itself, and `SET TRANSACTION` has said what it is like.
    pub is_one_shot: bool,
    /// How it commits; fixed when its first shard joins.
    pub mode: Mode,
    /// The first primary that joined: in mode TWOPC its commit is the decision.
    pub coordinator: Option<Target>,
    /// Name of the distributed transaction, from its second shard on.
    pub dtid: Option<Arc<str>>,
    /// It is the one beside another: see [`super::beside`].
    pub is_beside: bool,
}

impl Transaction {
    /// Is a transaction open (or broken, which only ROLLBACK ends)?
    pub fn is_active(&self) -> bool {
        self.state != State::Idle
    }

    /// Is a transaction open that was begun as READ ONLY?
    pub fn is_read_only(&self) -> bool {
        self.is_active() && self.characteristics.read_only == Some(true)
    }

    /// A transaction beside another, whose mode does not concern it: its shards need not agree.
    pub fn beside() -> Self {
        Self { is_beside: true, ..Self::default() }
    }

    /// Why only ROLLBACK may follow.
    pub fn broken_by(&self) -> Option<&Error> {
        match &self.state {
            State::Broken(cause) => Some(cause),
            State::Idle | State::Open => None,
        }
    }

    /// Fails when the transaction has lost a shard.
    pub fn check(&self) -> Result<(), Error> {
        match &self.state {
            State::Broken(cause) => Err(Error::new(
                ErrorKind::TransactionBroken,
                format!("transaction error, issue ROLLBACK and retry the transaction: {cause}"),
            )),
            State::Idle | State::Open => Ok(()),
        }
    }

    /// Marks the transaction as open; shards join later.
    pub fn open(&mut self) {
        if self.state == State::Idle {
            self.state = State::Open;
            self.began = Some(clock::recent());
        }
    }

    /// When the open transaction began; `None` if there is none that could go on.
    pub fn began(&self) -> Option<Instant> {
        self.began.filter(|_| self.state == State::Open)
    }

    /// The transaction has been rolled back for `cause` and its client does not know: nothing but ROLLBACK may follow.
    pub fn break_off(&mut self, cause: Error) {
        self.state = State::Broken(cause);
    }

    /// A shard's part is gone for `cause`: nothing but ROLLBACK may follow. Without an open transaction nothing is
    /// lost but pinned state.
    pub fn lose(&mut self, target: &Target, cause: Error) {
        self.shards.retain(|shard| shard.target != *target);
        if self.is_active() {
            self.state = State::Broken(cause);
        }
    }

    /// Position of the connection to `target`, if one is held.
    pub fn find(&self, target: &Target) -> Option<usize> {
        self.shards.iter().position(|shard| shard.target == *target)
    }

    /// A reason to hold connections is gone (`UNLOCK TABLES`).
    pub fn unpin(&mut self, pin: Pin) {
        for shard in &mut self.shards {
            shard.pins.retain(|known| *known != pin);
            shard.connection.unmark(pin.state());
        }
        if !self.is_active() {
            self.shards.retain(|shard| !shard.pins.is_empty());
        }
    }

    /// Ends the transaction: pinned connections stay, the others are given back.
    pub fn finish(&mut self) {
        self.state = State::Idle;
        self.began = None;
        self.characteristics = Characteristics::default();
        self.savepoints.clear();
        self.coordinator = None;
        self.dtid = None;
        self.shards.retain_mut(|shard| {
            shard.in_transaction = false;
            shard.has_written = false;
            shard.branch = None;
            !shard.pins.is_empty()
        });
    }

    /// Reasons why connections are held, for people who look.
    pub fn pins(&self) -> impl Iterator<Item = (&Target, Pin)> {
        self.shards.iter().flat_map(|shard| shard.pins.iter().map(|pin| (&shard.target, *pin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_as_it_was_asked_to() {
        let of = |characteristics: Characteristics| characteristics.begin_statements().collect::<Vec<_>>();
        assert_eq!(of(Characteristics::default()), ["START TRANSACTION"]);
        assert_eq!(Characteristics::default().set_statement(), None);
        let all = Characteristics {
            isolation: Some("READ-COMMITTED"),
            read_only: Some(true),
            consistent_snapshot: true,
        };
        let set = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY";
        assert_eq!(all.set_statement().as_deref(), Some(set));
        assert_eq!(all.branch_statements("'d','p'").collect::<Vec<_>>(), [set, "XA START 'd','p'"]);
        assert!(!all.chained().consistent_snapshot);
        assert_eq!(
            of(all),
            [
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            ]
        );
    }

    #[test]
    fn words_of_variables() {
        assert_eq!(Mode::parse(b"TwoPC").map(Mode::as_str), Some("TWOPC"));
        assert_eq!(Mode::parse(b"dual"), None);
        assert_eq!(Completion::parse(b"1"), Some(Completion::Chain));
        assert_eq!(Completion::parse(b"no_chain"), Some(Completion::NoChain));
        assert_eq!(Completion::parse(b"3"), None);
    }

    #[test]
    fn a_lost_shard_breaks_only_an_open_transaction() {
        let target = Target::primary("ks".into(), "-80".into());
        let mut transaction = Transaction::default();
        transaction.lose(&target, Error::bug("gone"));
        assert!(!transaction.is_active() && transaction.check().is_ok());
        transaction.open();
        transaction.lose(&target, Error::bug("gone"));
        assert_eq!(transaction.check().unwrap_err().kind(), Some(ErrorKind::TransactionBroken));
        transaction.finish();
        assert!(transaction.check().is_ok());
    }
}
