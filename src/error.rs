//! Errors as a client sees them, and the only table of errno and SQLSTATE pairs.
//!
//! A server's own error keeps its errno, SQLSTATE and text. The router's errors use the closest MySQL error
//! (<https://dev.mysql.com/doc/mysql-errors/9.0/en/server-error-reference.html>) and, where Vitess has a
//! stable code for the same thing, begin with it (`VT12001: unsupported: …`). Decisions to retry are made
//! from [`Error::retry`], never from message text.

use std::borrow::Cow;
use std::fmt;

/// Result with the router's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A database server answered with it, or broke the protocol.
    Backend,
    /// The client asked for something wrong.
    Client,
    /// The router could not do it.
    Router,
}

/// Whether the same statement may be tried again by the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing of the statement reached a server: another connection may be tried.
    FreshConnection,
    /// The outcome is known and final, or unknown: never repeat it silently.
    Never,
}

/// ER_LOCK_DEADLOCK: the server has rolled the transaction back.
pub const ERRNO_DEADLOCK: u16 = 1213;

/// ER_LOCK_WAIT_TIMEOUT: the server has rolled the statement back, or with `innodb_rollback_on_timeout` the transaction.
pub const ERRNO_LOCK_WAIT_TIMEOUT: u16 = 1205;

/// ER_XA_RBROLLBACK, ER_XA_RBTIMEOUT, ER_XA_RBDEADLOCK: the server has rolled a branch back.
pub const ERRNOS_BRANCH_ROLLED_BACK: [u16; 3] = [1402, 1613, 1614];

/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION.
pub const ERRNO_READ_ONLY_TRANSACTION: u16 = 1792;

/// `ER_DUP_ENTRY`: a unique key has the value already.
pub const ERRNO_DUPLICATE_ENTRY: u16 = 1062;

/// The SQLSTATE of [`ERRNO_DUPLICATE_ENTRY`].
pub const SQLSTATE_DUPLICATE_ENTRY: [u8; 5] = *b"23000";

/// ER_XAER_NOTA: no prepared branch has this XID.
pub const ERRNO_UNKNOWN_XID: u16 = 1397;

/// ER_XAER_RMERR: what MySQL answers to XA RECOVER without the privilege XA_RECOVER_ADMIN.
pub const ERRNO_XA_REFUSED: u16 = 1401;

/// Vitess's ERInAtomicRecovery, a warning: a transaction is decided, and recovery carries it out.
pub const ERRNO_IN_RECOVERY: u16 = 302;

/// ER_WRONG_FIELD_WITH_GROUP: a column beside groups that do not decide it.
pub const ERRNO_NOT_GROUPED: u16 = 1055;

/// ER_CANT_AGGREGATE_2COLLATIONS.
pub const ERRNO_MIXED_COLLATIONS: u16 = 1267;

/// ER_UNKNOWN_COLLATION.
pub const ERRNO_UNKNOWN_COLLATION: u16 = 1273;

/// ER_SP_UNDECLARED_VAR: a name where only a local variable could stand.
pub const ERRNO_UNDECLARED_VARIABLE: u16 = 1327;

/// What servers answer when names or grouping of a statement's text do not fit its tables: ambiguous and unknown
/// columns and aliases, mixed groups, wrong counts of columns, unknown functions. None of them depends on rows.
pub const ERRNOS_OF_RESOLUTION: [u16; 15] =
    [1052, 1054, 1055, 1056, 1060, 1066, 1109, 1111, 1140, 1221, 1222, 1241, 1247, 1248, 1305];

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $errno:literal $state:literal $vt:expr, $origin:ident;)*) => {
        /// The router's own errors, one per MySQL error that they present themselves as.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }

        impl ErrorKind {
            /// Every kind, for tests and documentation.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// MySQL's error number.
            pub const fn errno(self) -> u16 { match self { $(Self::$name => $errno,)* } }

            /// SQLSTATE, five ASCII characters.
            pub const fn sqlstate(self) -> [u8; 5] { match self { $(Self::$name => *$state,)* } }

            /// The stable code that the message begins with, as in Vitess.
            pub const fn code(self) -> Option<&'static str> { match self { $(Self::$name => $vt,)* } }

            const fn origin(self) -> Origin { match self { $(Self::$name => Origin::$origin,)* } }
        }
    };
}

error_kinds! {
    /// Wrong user, password or host.
    AccessDenied = 1045 b"28000" None, Client;
    /// A name matches tables in several keyspaces.
    AmbiguousTable = 1052 b"23000" None, Client;
    /// A column name matches several tables.
    AmbiguousColumn = 1052 b"23000" None, Client;
    /// The router's mistake.
    Bug = 1815 b"HY000" Some("VT13001: [BUG] "), Router;
    /// The client has gone away in the middle of its reply, or does not take it.
    ClientLost = 1160 b"08S01" None, Client;
    /// No connection to a server can be made.
    ConnectFailed = 1105 b"HY000" Some("VT14001: "), Router;
    /// The client has sent no command for longer than `wait_timeout`.
    ClientIdle = 4031 b"HY000" None, Client;
    /// A value cannot be converted to what a place needs.
    CannotConvert = 1292 b"22007" None, Client;
    /// Number of columns and of values differ.
    ColumnCountMismatch = 1136 b"21S01" None, Client;
    /// A write is not possible at a replica target.
    ReplicaTarget = 1874 b"HY000" Some("VT09002: "), Client;
    /// The connection to a server was lost after a statement was sent: its outcome is unknown.
    BackendLost = 1105 b"HY000" Some("VT14003: "), Router;
    /// A server sent something that is no valid protocol.
    BackendProtocol = 1105 b"HY000" Some("VT14004: "), Backend;
    /// Not possible while a transaction is active.
    ActiveTransaction = 1192 b"HY000" None, Client;
    /// A database that is created exists already.
    DatabaseExists = 1007 b"HY000" None, Client;
    /// A target string that cannot be understood.
    InvalidTarget = 1105 b"HY000" None, Client;
    /// A limit on memory or rows was passed.
    LimitExceeded = 1041 b"HY000" Some("VT10001: "), Router;
    /// The client broke the handshake.
    BadHandshake = 1043 b"08S01" None, Client;
    /// A login over plain TCP where TLS is required.
    InsecureTransport = 3159 b"HY000" None, Client;
    /// A packet's content is malformed.
    MalformedPacket = 1835 b"HY000" None, Client;
    /// No healthy server for a target.
    NoHealthyTablet = 1105 b"HY000" Some("VT14002: "), Router;
    /// A statement needs a keyspace and none is selected.
    NoKeyspace = 1046 b"3D000" None, Client;
    /// A commit succeeded on some shards and failed on others.
    NonAtomicCommit = 1105 b"HY000" Some("VT15002: "), Router;
    /// Nobody knows yet whether a commit in two phases has succeeded.
    CommitUndecided = 1105 b"HY000" Some("VT15004: "), Router;
    /// A commit in two phases failed before its decision: everything was rolled back.
    CommitRolledBack = 1105 b"HY000" Some("VT15003: "), Router;
    /// Mode SINGLE: a second shard would be changed.
    SecondShard = 1317 b"70100" None, Client;
    /// The client cannot use the authentication plugin that its account needs.
    OldAuthentication = 1251 b"08004" None, Client;
    /// A packet is larger than allowed.
    PacketTooLarge = 1153 b"08S01" None, Client;
    /// Sequence numbers of packets do not follow each other.
    PacketsOutOfOrder = 1156 b"08S01" None, Client;
    /// No connection became free in time.
    PoolTimeout = 1203 b"42000" Some("VT14005: "), Router;
    /// The router is shutting down.
    ServerShutdown = 1053 b"08S01" None, Router;
    /// SQL text that cannot be understood.
    Syntax = 1064 b"42000" None, Client;
    /// The statement ran longer than allowed.
    QueryTimeout = 3024 b"HY000" None, Router;
    /// The same in MariaDB's words.
    StatementTimeout = 1969 b"70100" None, Router;
    /// A client that has not announced that it sends files.
    LocalFilesDisabled = 3948 b"42000" None, Client;
    /// The same in MariaDB's words.
    LocalFilesDisabledMariaDb = 4166 b"HY000" None, Client;
    /// Statement or connection was killed.
    QueryInterrupted = 1317 b"70100" None, Client;
    /// More clients than allowed.
    TooManyConnections = 1040 b"08004" None, Client;
    /// More prepared statements than allowed.
    TooManyPreparedStatements = 1461 b"42000" None, Client;
    /// The transaction cannot go on; the client must roll back.
    TransactionBroken = 1105 b"HY000" Some("VT15001: "), Router;
    /// A database or keyspace that does not exist.
    UnknownDatabase = 1049 b"42000" None, Client;
    /// A column that does not exist.
    UnknownColumn = 1054 b"42S22" None, Client;
    /// A protocol command that is not served.
    UnknownCommand = 1047 b"08S01" None, Client;
    /// A prepared statement id that does not exist.
    UnknownStatement = 1243 b"HY000" None, Client;
    /// Rows are fetched from a statement that has no cursor.
    NoOpenCursor = 1421 b"HY000" None, Client;
    /// A savepoint that does not exist.
    UnknownSavepoint = 1305 b"42000" None, Client;
    /// A table that does not exist.
    UnknownTable = 1146 b"42S02" None, Client;
    /// A system variable that does not exist.
    UnknownVariable = 1193 b"HY000" None, Client;
    /// A read-only variable was assigned.
    ReadOnlyVariable = 1238 b"HY000" None, Client;
    /// A session-only operation on a global variable, or the reverse.
    VariableScope = 1228 b"HY000" None, Client;
    /// A value that a variable cannot have.
    WrongValueForVariable = 1231 b"42000" None, Client;
    /// Wrong arguments to a statement.
    WrongArguments = 1210 b"HY000" None, Client;
    /// Something that is not planned yet, or that cannot be done over shards.
    Unsupported = 1235 b"42000" Some("VT12001: unsupported: "), Router;
    /// The session has locked other tables.
    NotLocked = 1100 b"HY000" None, Client;
    /// A foreign key refers to a row that is to be deleted or changed.
    RowIsReferenced = 1451 b"23000" None, Client;
    /// The row that a foreign key refers to is missing.
    NoReferencedRow = 1452 b"23000" None, Client;
    /// Foreign keys lead further than servers follow them.
    CascadeTooDeep = 3008 b"HY000" None, Client;
    /// The same in MariaDB's words.
    EngineError = 1296 b"HY000" None, Client;
    /// A privilege is missing.
    PrivilegeMissing = 1227 b"42000" None, Client;
    /// A value has no place in any shard, or a VSchema that cannot route.
    NoShard = 1105 b"HY000" Some("VT05007: "), Client;
    /// The VSchema of a keyspace is invalid.
    InvalidVSchema = 1105 b"HY000" Some("VT05008: "), Router;
    /// A packet without a statement.
    EmptyQuery = 1065 b"42000" None, Client;
    /// A session of another user.
    KillDenied = 1095 b"HY000" None, Client;
    /// A statement that cannot be prepared.
    NotPreparable = 1295 b"HY000" None, Client;
    /// NULL where no NULL may be.
    NullColumn = 1048 b"23000" None, Client;
    /// A row where one value is expected.
    OperandColumns = 1241 b"21000" None, Client;
    /// Number of columns and of places for them differ.
    SelectColumnCount = 1222 b"21000" None, Client;
    /// A statement for all shards where that is not allowed.
    ScatterDisallowed = 1235 b"42000" Some("VT09026: "), Client;
    /// `VEXPLAIN` would change rows.
    VexplainRuns = 1105 b"HY000" Some("VT09008: "), Client;
    /// Several rows where variables take one.
    TooManyRows = 1172 b"42000" None, Client;
    /// Several rows where one is expected.
    SubqueryRows = 1242 b"21000" None, Client;
    /// Not possible while a transaction is in progress.
    TransactionCharacteristics = 1568 b"25001" None, Client;
    /// A connection id that does not exist.
    UnknownThread = 1094 b"HY000" None, Client;
    /// Plain text errors that fit no other kind.
    Other = 1105 b"HY000" None, Router;
}

/// One error with everything a client is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: Option<ErrorKind>,
    errno: u16,
    sqlstate: [u8; 5],
    message: Cow<'static, [u8]>,
    origin: Origin,
    retry: Retry,
}

impl Error {
    /// An error of the router; `message` comes after the kind's stable code.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut text = message.into();
        if let Some(code) = kind.code() {
            text.insert_str(0, code);
        }
        Self(Box::new(Inner {
            kind: Some(kind),
            errno: kind.errno(),
            sqlstate: kind.sqlstate(),
            message: Cow::Owned(text.into_bytes()),
            origin: kind.origin(),
            retry: Retry::Never,
        }))
    }

    /// A server's own error, kept as it came. `message` is in the connection's character set.
    pub fn from_backend(errno: u16, sqlstate: [u8; 5], message: &[u8]) -> Self {
        Self(Box::new(Inner {
            kind: None,
            errno,
            sqlstate,
            message: Cow::Owned(message.to_vec()),
            origin: Origin::Backend,
            retry: Retry::Never,
        }))
    }

    /// `VT12001: unsupported: <what>`.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, what)
    }

    /// A mistake of the router itself.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, what)
    }

    /// The same error, with another answer to "may the router try again?".
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// The same error in other words.
    #[must_use]
    pub fn reworded(mut self, message: Vec<u8>) -> Self {
        self.0.message = Cow::Owned(message);
        self
    }

    /// The router's kind; `None` for an error that a server sent.
    pub fn kind(&self) -> Option<ErrorKind> {
        self.0.kind
    }

    /// MySQL's error number.
    pub fn errno(&self) -> u16 {
        self.0.errno
    }

    /// SQLSTATE, five ASCII characters.
    pub fn sqlstate(&self) -> [u8; 5] {
        self.0.sqlstate
    }

    /// The text, in the bytes that a client receives.
    pub fn message(&self) -> &[u8] {
        &self.0.message
    }

    /// Whose fault it is.
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Whether the router may try the statement again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0.message);
        let state = String::from_utf8_lossy(&self.0.sqlstate);
        write!(f, "{text} (errno {}) (sqlstate {state})", self.0.errno)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self}, {:?}, {:?})", self.0.origin, self.0.retry)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_plausible_errno_and_state() {
        for kind in ErrorKind::ALL {
            assert!(kind.errno() >= 1000, "{kind:?}");
            assert!(kind.sqlstate().iter().all(u8::is_ascii_alphanumeric), "{kind:?}");
        }
    }

    #[test]
    fn stable_codes_are_unique() {
        let mut codes: Vec<_> = ErrorKind::ALL.iter().filter_map(|kind| kind.code()).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn messages_begin_with_the_stable_code() {
        let error = Error::unsupported("window functions over several shards");
        assert_eq!(error.message(), b"VT12001: unsupported: window functions over several shards");
        assert_eq!(error.errno(), 1235);
    }
}
