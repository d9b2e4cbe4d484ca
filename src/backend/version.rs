//! Which engine and release a server is, read from the version text of its greeting.
//!
//! MariaDB 10 and later announces itself as `5.5.5-10.11.6-MariaDB` to old replicas; the prefix is no
//! version. Knows nothing of connections. MySQL manual: "Protocol::HandshakeV10".

use std::fmt;

/// The two families of servers, where their SQL or defaults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// MariaDB Server.
    MariaDb,
    /// MySQL Server and its close relatives (Percona Server, cloud editions).
    MySql,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        })
    }
}

/// A server's engine and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// The family.
    pub engine: Engine,
    /// Major, minor and patch number; a part that is missing or unreadable is 0.
    pub release: (u16, u16, u16),
    /// The text as the server sent it.
    pub text: Box<str>,
}

impl ServerVersion {
    /// Reads a greeting's version text. Never fails: unreadable numbers count as 0, so that the oldest
    /// form of a statement is used.
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let engine =
            if text.to_ascii_lowercase().contains("mariadb") { Engine::MariaDb } else { Engine::MySql };
        let numbers = match engine {
            Engine::MariaDb => text.strip_prefix("5.5.5-").unwrap_or(&text),
            Engine::MySql => &text,
        };
        Self { engine, release: release(numbers), text: text.as_ref().into() }
    }

    /// Whether the server is at least this release. Meaningful only together with [`Self::engine`].
    pub fn is_at_least(&self, major: u16, minor: u16, patch: u16) -> bool {
        self.release >= (major, minor, patch)
    }

    /// Whether `SHOW REPLICA STATUS` and its `Replica_*` columns exist (MySQL 8.0.22), instead of the
    /// `SLAVE` words, which MariaDB keeps in its columns.
    pub fn has_replica_words(&self) -> bool {
        self.engine == Engine::MySql && self.is_at_least(8, 0, 22)
    }
}

fn release(text: &str) -> (u16, u16, u16) {
    let mut parts = text.splitn(3, '.').map(leading_number);
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

fn leading_number(text: &str) -> u16 {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, engine: Engine, release: (u16, u16, u16)) {
        let version = ServerVersion::parse(text.as_bytes());
        assert_eq!((version.engine, version.release), (engine, release), "{text}");
        assert_eq!(&*version.text, text);
    }

    #[test]
    fn engines_and_releases_are_told_apart() {
        check("9.7.0", Engine::MySql, (9, 7, 0));
        check("8.0.36-28", Engine::MySql, (8, 0, 36));
        check("8.4.6-Vitess", Engine::MySql, (8, 4, 6));
        check("5.5.5-10.11.14-MariaDB-0+deb12u2", Engine::MariaDb, (10, 11, 14));
        check("11.8.3-MariaDB-0+deb13u1 from Debian", Engine::MariaDb, (11, 8, 3));
        check("5.5.5-m3", Engine::MySql, (5, 5, 5));
    }

    #[test]
    fn unreadable_versions_count_as_oldest() {
        check("", Engine::MySql, (0, 0, 0));
        check("x.y", Engine::MySql, (0, 0, 0));
        check("8.99999999.1", Engine::MySql, (8, 0, 1));
        check("10", Engine::MySql, (10, 0, 0));
    }

    #[test]
    fn words_for_replication_follow_the_release() {
        assert!(ServerVersion::parse(b"8.0.22").has_replica_words());
        assert!(!ServerVersion::parse(b"8.0.21").has_replica_words());
        assert!(!ServerVersion::parse(b"11.8.3-MariaDB").has_replica_words());
    }
}
