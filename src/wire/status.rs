//! Server status flags, as OK and EOF packets carry them.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html> (`SERVER_STATUS_flags_enum`)

bitflags::bitflags! {
    /// State of the session after a command.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct StatusFlags: u16 {
        /// A transaction is open.
        const IN_TRANSACTION = 0x0001;
        /// `autocommit` is on.
        const AUTOCOMMIT = 0x0002;
        /// Another result follows in the same reply.
        const MORE_RESULTS = 0x0008;
        /// The statement used no good index.
        const NO_GOOD_INDEX_USED = 0x0010;
        /// The statement used no index.
        const NO_INDEX_USED = 0x0020;
        /// A cursor was opened: rows come by COM_STMT_FETCH.
        const CURSOR_EXISTS = 0x0040;
        /// The cursor has no more rows.
        const LAST_ROW_SENT = 0x0080;
        /// A database was dropped.
        const DATABASE_DROPPED = 0x0100;
        /// Backslash is an ordinary character in string literals.
        const NO_BACKSLASH_ESCAPES = 0x0200;
        /// A re-prepared statement has other columns now.
        const METADATA_CHANGED = 0x0400;
        /// The statement was slow.
        const QUERY_WAS_SLOW = 0x0800;
        /// This result holds a procedure's OUT parameters.
        const OUT_PARAMETERS = 0x1000;
        /// The open transaction is READ ONLY.
        const IN_READ_ONLY_TRANSACTION = 0x2000;
        /// The OK packet carries session state (only with CLIENT_SESSION_TRACK).
        const SESSION_STATE_CHANGED = 0x4000;
        /// MariaDB: `sql_mode` has ANSI_QUOTES.
        const ANSI_QUOTES = 0x8000;
    }
}
