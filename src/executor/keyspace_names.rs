//! Names of keyspaces in the place of their databases' names, in what servers say: `vt_customer` is the servers' affair.
//!
//! Errors and notes are put into the clients' words one by one. In SHOW, EXPLAIN and queries of system tables
//! [`super::renaming`] looks at columns and values; rows of other queries are data and nobody's to change.

use crate::error::Error;
use crate::session::Session;
use crate::session::target::SessionTarget;
use crate::topology::Snapshot;

/// The databases of keyspaces and what clients call them.
#[derive(Clone, Debug)]
pub(super) struct KeyspaceNames(Vec<Renamed>);

#[derive(Clone, Debug)]
struct Renamed {
    database: Box<[u8]>,
    keyspace: Box<[u8]>,
}

/// Errors that quote values or the client's own text: only names behind the last quote are names.
const ERRNOS_WITH_VALUES: [u16; 11] = [1062, 1064, 1264, 1292, 1300, 1366, 1367, 1411, 1525, 1586, 3140];
/// Words of the client's own (`SIGNAL`).
const ERRNO_SIGNALED: u16 = 1644;
const SQLSTATE_SIGNALED: [u8; 5] = *b"45000";

impl KeyspaceNames {
    /// For a session, unless it has chosen a shard and is told what the shard says.
    pub(super) fn for_session(
        session: &Session,
        snapshot: &Snapshot,
        keyspace: Option<&str>,
    ) -> Option<Self> {
        let is_routed = session.target.explicit().is_none();
        is_routed.then(|| Self::of(snapshot, keyspace.or(session.keyspace())))
    }

    /// The same, for a reply of a keyspace's server.
    pub(super) fn for_target(target: &SessionTarget, snapshot: &Snapshot, keyspace: &str) -> Option<Self> {
        target.explicit().is_none().then(|| Self::of(snapshot, Some(keyspace)))
    }

    /// Of all keyspaces; what `current` calls its database goes before what others call theirs.
    fn of(snapshot: &Snapshot, current: Option<&str>) -> Self {
        let keyspaces = snapshot.topology.keyspaces();
        let is_current = |name: &str| Some(name) == current;
        let first = keyspaces.iter().filter(|keyspace| is_current(keyspace.name().as_str()));
        let others = keyspaces.iter().filter(|keyspace| !is_current(keyspace.name().as_str()));
        let names = first.chain(others).map(|keyspace| (keyspace.db_name(), keyspace.name().as_str()));
        Self::new(names)
    }

    pub(super) fn new<'n>(names: impl Iterator<Item = (&'n str, &'n str)>) -> Self {
        let renamed = |(database, keyspace): (&str, &str)| Renamed {
            database: database.as_bytes().into(),
            keyspace: keyspace.as_bytes().into(),
        };
        Self(names.filter(|(database, keyspace)| database != keyspace).map(renamed).collect())
    }

    /// An error in the client's words.
    pub(super) fn in_error(&self, error: Error) -> Error {
        self.reworded(&error).unwrap_or(error)
    }

    /// The same, if that changes anything.
    pub(super) fn reworded(&self, error: &Error) -> Option<Error> {
        if error.sqlstate() == SQLSTATE_SIGNALED {
            return None;
        }
        let message = self.in_message(error.errno(), error.message())?;
        Some(error.clone().reworded(message))
    }

    /// A server's message in the client's words, if it names a database.
    pub(super) fn in_message(&self, errno: u16, message: &[u8]) -> Option<Vec<u8>> {
        let quotes = |byte: &u8| *byte == b'\'';
        let first = match errno {
            ERRNO_SIGNALED => return None,
            errno if ERRNOS_WITH_VALUES.contains(&errno) => message.iter().rposition(quotes).unwrap_or(0),
            _ => 0,
        };
        self.replaced(message, first, |before, behind| match before {
            b'\'' => matches!(behind.first(), Some(b'.' | b'\'')),
            b' ' => behind.starts_with(b"."),
            other => behind.first() == Some(&other),
        })
    }

    /// SQL text of a server with qualifiers in the client's words, if it has such.
    pub(super) fn in_sql(&self, text: &[u8]) -> Option<Vec<u8>> {
        if !text.contains(&b'`') {
            return None;
        }
        self.replaced(text, 0, |before, behind| before == b'`' && behind.starts_with(b"`."))
    }

    /// The same for `CREATE DATABASE`.
    pub(super) fn in_create_database(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.replaced(text, 0, |before, behind| before == b'`' && behind.starts_with(b"`"))
    }

    /// The keyspace that a value names, if it is a database's name.
    pub(super) fn keyspace(&self, database: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|renamed| *renamed.database == *database).map(|renamed| &*renamed.keyspace)
    }

    /// A value that begins with a database's name: `Tables_in_` and the like before it, nothing or one of `ends` behind.
    pub(super) fn behind_prefix(&self, value: &[u8], prefix: &[u8], ends: &[&str]) -> Option<Vec<u8>> {
        let rest = value.strip_prefix(prefix)?;
        self.0.iter().find_map(|renamed| {
            let behind = rest.strip_prefix(&*renamed.database)?;
            let is_whole = behind.is_empty() || ends.iter().any(|end| behind.starts_with(end.as_bytes()));
            is_whole.then(|| [prefix, &*renamed.keyspace, behind].concat())
        })
    }

    /// The text with each database's name replaced that stands between what `is_name` accepts: the byte before it and
    /// the text behind. `None` when there is none. Names before `first` stay.
    fn replaced(&self, text: &[u8], first: usize, is_name: impl Fn(u8, &[u8]) -> bool) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (mut copied, mut at) = (0, first + 1);
        while at < text.len() {
            let before = text[at - 1];
            let found = match before {
                b'\'' | b'`' | b' ' | b'/' => self.0.iter().find(|renamed| {
                    text[at..].strip_prefix(&*renamed.database).is_some_and(|behind| is_name(before, behind))
                }),
                _ => None,
            };
            let Some(renamed) = found else {
                at += 1;
                continue;
            };
            out.extend_from_slice(&text[copied..at]);
            out.extend_from_slice(&renamed.keyspace);
            at += renamed.database.len();
            copied = at;
        }
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(&text[copied..]);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> KeyspaceNames {
        KeyspaceNames::new([("vt_shop", "shop"), ("same", "same"), ("vt_s", "s")].into_iter())
    }

    #[test]
    fn messages_name_keyspaces() {
        let check = |errno: u16, message: &str, expected: &str| {
            let found = names().in_message(errno, message.as_bytes());
            let found = found.map_or_else(|| message.to_owned(), |text| String::from_utf8(text).unwrap());
            assert_eq!(found, expected, "{errno}");
        };
        check(1146, "Table 'vt_shop.t' doesn't exist", "Table 'shop.t' doesn't exist");
        check(1146, "Table 'vt_shopping.t' doesn't exist", "Table 'vt_shopping.t' doesn't exist");
        check(1049, "Unknown database 'vt_s'", "Unknown database 's'");
        check(1305, "PROCEDURE vt_shop.p does not exist", "PROCEDURE shop.p does not exist");
        check(1146, "Table 'same.vt_s' doesn't exist", "Table 'same.vt_s' doesn't exist");
        check(
            1452,
            "a foreign key constraint fails (`vt_shop`.`t`, CONSTRAINT `c` REFERENCES `vt_s`.`vt_s` (`id`))",
            "a foreign key constraint fails (`shop`.`t`, CONSTRAINT `c` REFERENCES `s`.`s` (`id`))",
        );
        check(1025, "Error on rename of './vt_s/a' to './vt_s/b'", "Error on rename of './s/a' to './s/b'");
        check(1062, "Duplicate entry 'vt_s' for key 'PRIMARY'", "Duplicate entry 'vt_s' for key 'PRIMARY'");
        check(
            1366,
            "Incorrect integer value: '`vt_s`.' for column `vt_s`.`t`.`x` at row 1",
            "Incorrect integer value: '`vt_s`.' for column `s`.`t`.`x` at row 1",
        );
        check(1644, "no 'vt_s.t'", "no 'vt_s.t'");
        check(1105, "", "");
        check(1105, "vt_s", "vt_s");
    }

    #[test]
    fn sql_texts_name_keyspaces_as_qualifiers() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(names().in_sql(text.as_bytes()).as_deref(), expected.map(str::as_bytes), "{text}");
        };
        check("select `vt_s`.`t`.`vt_s` from `vt_s`.`t`", Some("select `s`.`t`.`vt_s` from `s`.`t`"));
        check("create table `vt_s` (`a` int)", None);
        check("vt_s.t", None);
        assert_eq!(
            names().in_create_database(b"CREATE DATABASE `vt_s` /*!").unwrap(),
            b"CREATE DATABASE `s` /*!"
        );
    }

    #[test]
    fn headers_and_values() {
        let check = |value: &str, expected: Option<&str>| {
            let found = names().behind_prefix(value.as_bytes(), b"Tables_in_", &[" ("]);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        };
        check("Tables_in_vt_s", Some("Tables_in_s"));
        check("Tables_in_vt_s (a%)", Some("Tables_in_s (a%)"));
        check("Tables_in_vt_shop", Some("Tables_in_shop"));
        check("Tables_in_vt_shops", None);
        check("vt_s", None);
        assert_eq!(names().keyspace(b"vt_s"), Some(&b"s"[..]));
        assert_eq!(names().keyspace(b"same"), None);
    }
}
