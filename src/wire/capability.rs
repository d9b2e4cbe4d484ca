//! Capability flags: what both ends of a connection agree on during the handshake.
//!
//! The lower 32 bits are MySQL's
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html>), the
//! upper 32 MariaDB's own. MariaDB announces its own by leaving [`Capabilities::LONG_PASSWORD`] (bit 0, which
//! MariaDB calls `CLIENT_MYSQL`) off and using reserved bytes of greeting and response.

bitflags::bitflags! {
    /// A set of capabilities.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Always on for MySQL; off means that MariaDB's extended bits are in use.
        const LONG_PASSWORD = 1;
        /// Affected rows of UPDATE are the rows found, not the rows changed.
        const FOUND_ROWS = 1 << 1;
        /// Column flags have two bytes.
        const LONG_FLAG = 1 << 2;
        /// The handshake response names a database.
        const CONNECT_WITH_DB = 1 << 3;
        /// `database.table.column` is refused (obsolete).
        const NO_SCHEMA = 1 << 4;
        /// zlib compression.
        const COMPRESS = 1 << 5;
        /// ODBC client; no effect.
        const ODBC = 1 << 6;
        /// LOAD DATA LOCAL is possible.
        const LOCAL_FILES = 1 << 7;
        /// Spaces before `(` are ignored.
        const IGNORE_SPACE = 1 << 8;
        /// The protocol since MySQL 4.1; the router speaks no other.
        const PROTOCOL_41 = 1 << 9;
        /// `interactive_timeout` counts instead of `wait_timeout`.
        const INTERACTIVE = 1 << 10;
        /// TLS can start after the greeting.
        const SSL = 1 << 11;
        /// No effect on the wire.
        const IGNORE_SIGPIPE = 1 << 12;
        /// Status flags are sent with OK and EOF.
        const TRANSACTIONS = 1 << 13;
        /// Obsolete.
        const RESERVED = 1 << 14;
        /// Authentication data has a length byte.
        const SECURE_CONNECTION = 1 << 15;
        /// Several statements in one COM_QUERY.
        const MULTI_STATEMENTS = 1 << 16;
        /// Several results for one COM_QUERY.
        const MULTI_RESULTS = 1 << 17;
        /// Several results for one COM_STMT_EXECUTE.
        const PS_MULTI_RESULTS = 1 << 18;
        /// Authentication plugins are named.
        const PLUGIN_AUTH = 1 << 19;
        /// The handshake response carries attributes.
        const CONNECT_ATTRS = 1 << 20;
        /// Authentication data of the handshake response has a length-encoded length.
        const PLUGIN_AUTH_LENENC_CLIENT_DATA = 1 << 21;
        /// The client copes with expired passwords.
        const CAN_HANDLE_EXPIRED_PASSWORDS = 1 << 22;
        /// OK packets carry session state changes; the router never agrees to it.
        const SESSION_TRACK = 1 << 23;
        /// Results end with OK instead of EOF, and column definitions with nothing.
        const DEPRECATE_EOF = 1 << 24;
        /// Column definitions may be left out.
        const OPTIONAL_RESULTSET_METADATA = 1 << 25;
        /// zstd compression.
        const ZSTD_COMPRESSION = 1 << 26;
        /// COM_QUERY and COM_STMT_EXECUTE carry query attributes.
        const QUERY_ATTRIBUTES = 1 << 27;
        /// Authentication with several factors.
        const MULTI_FACTOR_AUTHENTICATION = 1 << 28;
        /// Reserved for more capabilities.
        const CAPABILITY_EXTENSION = 1 << 29;
        /// Client-side only: the server's certificate is checked.
        const SSL_VERIFY_SERVER_CERT = 1 << 30;
        /// Client-side only.
        const REMEMBER_OPTIONS = 1 << 31;
        /// MariaDB: progress reports in ERR packets.
        const MARIADB_PROGRESS = 1 << 32;
        /// MariaDB: COM_MULTI (never released).
        const MARIADB_COM_MULTI = 1 << 33;
        /// MariaDB: COM_STMT_BULK_EXECUTE.
        const MARIADB_STMT_BULK_OPERATIONS = 1 << 34;
        /// MariaDB: extended type information in column definitions.
        const MARIADB_EXTENDED_METADATA = 1 << 35;
        /// MariaDB: column definitions of prepared statements are sent once.
        const MARIADB_CACHE_METADATA = 1 << 36;
        /// MariaDB: one result per row of a bulk execution.
        const MARIADB_BULK_UNIT_RESULTS = 1 << 37;
    }
}

impl Capabilities {
    /// MySQL's 32 bits.
    pub const MYSQL_BITS: u64 = 0xFFFF_FFFF;

    /// What the router offers its clients; SSL is added where TLS is configured.
    pub const OFFERED: Self = Self::LONG_PASSWORD
        .union(Self::FOUND_ROWS)
        .union(Self::LONG_FLAG)
        .union(Self::CONNECT_WITH_DB)
        .union(Self::LOCAL_FILES)
        .union(Self::IGNORE_SPACE)
        .union(Self::PROTOCOL_41)
        .union(Self::INTERACTIVE)
        .union(Self::IGNORE_SIGPIPE)
        .union(Self::TRANSACTIONS)
        .union(Self::RESERVED)
        .union(Self::SECURE_CONNECTION)
        .union(Self::MULTI_STATEMENTS)
        .union(Self::MULTI_RESULTS)
        .union(Self::PS_MULTI_RESULTS)
        .union(Self::PLUGIN_AUTH)
        .union(Self::CONNECT_ATTRS)
        .union(Self::PLUGIN_AUTH_LENENC_CLIENT_DATA)
        .union(Self::DEPRECATE_EOF);

    /// What the router asks its servers for, as far as they have it. FOUND_ROWS, CONNECT_WITH_DB, SSL and
    /// DEPRECATE_EOF depend on the connection and are added by who opens it.
    pub const REQUESTED: Self = Self::LONG_PASSWORD
        .union(Self::LONG_FLAG)
        .union(Self::LOCAL_FILES)
        .union(Self::PROTOCOL_41)
        .union(Self::TRANSACTIONS)
        .union(Self::SECURE_CONNECTION)
        .union(Self::MULTI_RESULTS)
        .union(Self::PS_MULTI_RESULTS)
        .union(Self::PLUGIN_AUTH)
        .union(Self::CONNECT_ATTRS)
        .union(Self::PLUGIN_AUTH_LENENC_CLIENT_DATA);

    /// From MySQL's 32 bits and MariaDB's 32 bits. Unknown bits are kept.
    pub const fn from_halves(mysql: u32, mariadb: u32) -> Self {
        Self::from_bits_retain(mysql as u64 | (mariadb as u64) << 32)
    }

    /// MySQL's 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    pub const fn mysql_half(self) -> u32 {
        self.bits() as u32
    }

    /// MariaDB's 32 bits.
    pub const fn mariadb_half(self) -> u32 {
        (self.bits() >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_agreed_that_changes_formats_we_do_not_write() {
        let unsupported = Capabilities::COMPRESS
            | Capabilities::ZSTD_COMPRESSION
            | Capabilities::SESSION_TRACK
            | Capabilities::OPTIONAL_RESULTSET_METADATA
            | Capabilities::QUERY_ATTRIBUTES
            | Capabilities::MARIADB_EXTENDED_METADATA
            | Capabilities::MARIADB_CACHE_METADATA;
        assert!(!Capabilities::OFFERED.intersects(unsupported));
        assert!(!Capabilities::REQUESTED.intersects(unsupported));
        assert_eq!(Capabilities::OFFERED.mariadb_half(), 0);
    }

    #[test]
    fn halves_round_trip() {
        let both = Capabilities::from_halves(0xFFFF_FFFF, 0x8000_0004);
        assert_eq!(both.mysql_half(), 0xFFFF_FFFF);
        assert_eq!(both.mariadb_half(), 0x8000_0004);
        assert!(both.contains(Capabilities::MARIADB_STMT_BULK_OPERATIONS));
    }
}
