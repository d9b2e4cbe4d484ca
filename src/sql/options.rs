//! What changes the meaning of SQL text: parts of `sql_mode`, the character set, the server's version.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/sql-mode.html>

bitflags::bitflags! {
    /// The flags of `sql_mode` that lexer and parser depend on.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SqlMode: u8 {
        /// `"…"` is an identifier.
        const ANSI_QUOTES = 1;
        /// A backslash in a string is an ordinary character.
        const NO_BACKSLASH_ESCAPES = 2;
        /// `||` joins strings.
        const PIPES_AS_CONCAT = 4;
        /// `NOT` binds as tightly as `!`.
        const HIGH_NOT_PRECEDENCE = 8;
        /// Blanks are allowed between a function's name and its parenthesis.
        const IGNORE_SPACE = 16;
        /// 0 in an AUTO_INCREMENT column is a value like any other.
        const NO_AUTO_VALUE_ON_ZERO = 32;
    }
}

impl SqlMode {
    /// The flags out of a `sql_mode` value such as `ANSI_QUOTES,STRICT_TRANS_TABLES`; others are left out.
    pub fn parse(text: &str) -> Self {
        text.split(',').fold(Self::empty(), |mode, name| mode | Self::of_name(name.trim()))
    }

    fn of_name(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let combined = ["ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"];
        if combined.iter().any(|known| is(known)) {
            return Self::ANSI_QUOTES | Self::PIPES_AS_CONCAT | Self::IGNORE_SPACE;
        }
        match () {
            () if is("ANSI_QUOTES") => Self::ANSI_QUOTES,
            () if is("NO_BACKSLASH_ESCAPES") => Self::NO_BACKSLASH_ESCAPES,
            () if is("PIPES_AS_CONCAT") => Self::PIPES_AS_CONCAT,
            () if is("HIGH_NOT_PRECEDENCE") => Self::HIGH_NOT_PRECEDENCE,
            () if is("IGNORE_SPACE") => Self::IGNORE_SPACE,
            () if is("NO_AUTO_VALUE_ON_ZERO") => Self::NO_AUTO_VALUE_ON_ZERO,
            () => Self::empty(),
        }
    }
}

/// How the connection's character set forms multi-byte characters, as far as the lexer must know: in the
/// unsafe ones the second byte of a character may look like a quote's escape (`0x5C`) or a backquote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Multibyte {
    /// big5.
    Big5,
    /// gb18030.
    Gb18030,
    /// gbk.
    Gbk,
    /// ASCII bytes never occur inside a character: utf8mb4, latin1, and most others.
    #[default]
    Safe,
    /// sjis, cp932.
    Sjis,
}

impl Multibyte {
    /// By MySQL's character set name.
    pub fn of_charset(name: &str) -> Self {
        match name {
            "big5" => Self::Big5,
            "gb18030" => Self::Gb18030,
            "gbk" => Self::Gbk,
            "sjis" | "cp932" => Self::Sjis,
            _ => Self::Safe,
        }
    }

    /// Do these two bytes form one character, or the first half of a four-byte one?
    #[inline]
    pub fn is_pair(self, lead: u8, trail: u8) -> bool {
        match self {
            Self::Safe => false,
            Self::Big5 => matches!(lead, 0xA1..=0xF9) && matches!(trail, 0x40..=0x7E | 0xA1..=0xFE),
            Self::Gbk => matches!(lead, 0x81..=0xFE) && matches!(trail, 0x40..=0x7E | 0x80..=0xFE),
            Self::Gb18030 => {
                matches!(lead, 0x81..=0xFE) && matches!(trail, 0x30..=0x39 | 0x40..=0x7E | 0x80..=0xFE)
            }
            Self::Sjis => {
                matches!(lead, 0x81..=0x9F | 0xE0..=0xFC) && matches!(trail, 0x40..=0x7E | 0x80..=0xFC)
            }
        }
    }
}

/// Which `/*!NNNNN … */` comments are code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CommentVersion {
    /// All of them, whatever version they name; but none that no server has ever had.
    #[default]
    All,
    /// As a MariaDB server of this version (100619 for 10.6.19) decides.
    MariaDb(u32),
    /// As a MySQL server of this version (80403 for 8.4.3) decides.
    MySql(u32),
}

impl CommentVersion {
    /// Is a comment code that names `version` (`None`: no version) and is marked `/*M!` or `/*!`?
    pub(super) fn includes(self, version: Option<u32>, is_mariadb_comment: bool) -> bool {
        match self {
            // Dumps of MariaDB begin with `/*M!999999\- enable the sandbox mode */`, which is for clients.
            Self::All => version.is_none_or(|wanted| wanted < NO_VERSION),
            Self::MySql(server) => !is_mariadb_comment && version.is_none_or(|wanted| wanted <= server),
            // MariaDB leaves out what was written for MySQL 5.7 and later, which it does not follow.
            Self::MariaDb(server) => version.is_none_or(|wanted| {
                wanted <= server && (is_mariadb_comment || !(50_700..=99_999).contains(&wanted))
            }),
        }
    }
}

/// Nobody's version is as high.
const NO_VERSION: u32 = 900_000;

/// How to read a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LexOptions {
    /// Flags of the session's `sql_mode`.
    pub mode: SqlMode,
    /// The connection's character set.
    pub multibyte: Multibyte,
    /// Which versioned comments are code.
    pub comment_version: CommentVersion,
    /// Seed of the fingerprint: random, one per process, so that nobody can prepare colliding texts.
    pub seed: u64,
    /// A `;` ends the statement although more follows (multi-statements). Otherwise text behind `;` is a
    /// syntax error, as on a server.
    pub multi_statements: bool,
}

impl LexOptions {
    /// Defaults with flags of `sql_mode`.
    pub fn with_mode(mode: SqlMode) -> Self {
        Self { mode, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_mode_names_are_understood() {
        let check = |text: &str, expected| assert_eq!(SqlMode::parse(text), expected, "{text}");
        check("", SqlMode::empty());
        check("STRICT_TRANS_TABLES, ansi_quotes", SqlMode::ANSI_QUOTES);
        check("ANSI", SqlMode::ANSI_QUOTES | SqlMode::PIPES_AS_CONCAT | SqlMode::IGNORE_SPACE);
        check(
            "NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE",
            SqlMode::NO_BACKSLASH_ESCAPES | SqlMode::HIGH_NOT_PRECEDENCE,
        );
    }

    #[test]
    fn servers_choose_their_versioned_comments() {
        let check = |server: CommentVersion, version, is_mariadb, expected| {
            assert_eq!(server.includes(version, is_mariadb), expected, "{server:?} {version:?}");
        };
        check(CommentVersion::All, Some(999_999), true, false);
        check(CommentVersion::All, Some(130_000), true, true);
        check(CommentVersion::MySql(80_403), Some(80_403), false, true);
        check(CommentVersion::MySql(80_403), Some(80_404), false, false);
        check(CommentVersion::MySql(80_403), None, true, false);
        check(CommentVersion::MariaDb(101_119), Some(50_701), false, false);
        check(CommentVersion::MariaDb(101_119), Some(50_601), false, true);
        check(CommentVersion::MariaDb(101_119), Some(100_100), true, true);
        check(CommentVersion::MariaDb(101_119), Some(110_000), true, false);
    }
}
