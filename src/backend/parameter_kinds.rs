//! What kinds of values a prepared statement has been executed with, as far as its server remembers them.
//!
//! MySQL gives a statement's parameters the types of its executions, and converts later values to those: a statement that
//! was executed with 0 finds for 'x' what equals 0. So an execution may only use a statement with the client's own past.
//! MariaDB remembers nothing. <https://dev.mysql.com/doc/refman/9.0/en/prepare.html>

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::wire::ColumnType;

/// The kinds of a statement's parameters, and how often and into what they have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterKinds {
    /// One for each parameter, 0 for one that has only been NULL; empty before the first execution.
    kinds: Vec<u8>,
    /// All changes of known kinds, as one number; 0 for none.
    changes: u64,
    /// `changes` before the last execution.
    changes_before: u64,
}

impl ParameterKinds {
    /// Takes note of an execution with these types, two bytes for each parameter.
    pub fn note(&mut self, types: &[u8]) {
        self.changes_before = self.changes;
        self.kinds.resize(types.len() / 2, 0);
        let news = || types.chunks_exact(2).map(|code| kind_of(code[0], code[1]));
        if self.kinds.iter().zip(news()).any(|(known, new)| *known != 0 && new != 0 && *known != new) {
            let mut hasher = FixedState::with_seed(self.changes).build_hasher();
            hasher.write(&self.kinds);
            news().for_each(|kind| hasher.write_u8(kind));
            self.changes = hasher.finish().max(1);
        }
        self.kinds.iter_mut().zip(news()).filter(|(_, new)| *new != 0).for_each(|(known, new)| *known = new);
    }

    /// Is this the past of a statement that the execution `next` may use?
    pub fn leads_to(&self, next: &Self) -> bool {
        let agrees = || self.kinds.iter().zip(&next.kinds).all(|(a, b)| *a == 0 || *b == 0 || a == b);
        match self.changes == next.changes {
            true => agrees(),
            // The client's statement changes its kinds just now.
            false => self.changes == next.changes_before && !agrees(),
        }
    }

    /// Has this statement been executed with `next` too.
    pub fn follow(&mut self, next: &Self) {
        self.changes = next.changes;
        self.kinds.resize(next.kinds.len(), 0);
        self.kinds
            .iter_mut()
            .zip(&next.kinds)
            .filter(|(_, new)| **new != 0)
            .for_each(|(known, new)| *known = *new);
    }
}

/// Types among which a server does not tell.
fn kind_of(code: u8, flags: u8) -> u8 {
    const UNSIGNED: u8 = 0x80;
    match ColumnType(code) {
        ColumnType::NULL => 0,
        ColumnType::TINY
        | ColumnType::SHORT
        | ColumnType::INT24
        | ColumnType::LONG
        | ColumnType::LONGLONG
        | ColumnType::YEAR => 1 + (flags & UNSIGNED) / UNSIGNED,
        ColumnType::FLOAT | ColumnType::DOUBLE => 3,
        ColumnType::DECIMAL | ColumnType::NEWDECIMAL => 4,
        ColumnType::DATE | ColumnType::NEWDATE => 5,
        ColumnType::TIME => 6,
        ColumnType::DATETIME | ColumnType::TIMESTAMP => 7,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: [u8; 2] = [8, 0];
    const LONG: [u8; 2] = [3, 0];
    const NULL: [u8; 2] = [6, 0];
    const TEXT: [u8; 2] = [253, 0];

    /// May a statement with the past `used` serve a client's statement that has been executed so before?
    fn check(used: &[[u8; 2]], client: &[[u8; 2]], expected: bool) {
        let past = |types: &[[u8; 2]]| {
            let mut kinds = ParameterKinds::default();
            types.iter().for_each(|types| kinds.note(types));
            kinds
        };
        assert_eq!(past(used).leads_to(&past(client)), expected, "{used:?} {client:?}");
    }

    #[test]
    fn statements_serve_clients_with_the_same_past() {
        check(&[], &[INT], true);
        check(&[INT], &[INT], true);
        check(&[INT], &[LONG], true);
        check(&[INT], &[NULL], true);
        check(&[NULL], &[INT], true);
        check(&[INT], &[NULL, INT], true);
        check(&[INT], &[TEXT], false);
        check(&[TEXT], &[INT], false);
        check(&[INT], &[INT, TEXT], true);
        check(&[INT, TEXT], &[INT, TEXT], true);
        check(&[INT, TEXT], &[TEXT], false);
        check(&[TEXT], &[INT, TEXT], false);
        check(&[INT, TEXT], &[INT, NULL, TEXT], true);
        check(&[INT, TEXT], &[INT, TEXT, INT], true);
    }

    #[test]
    fn a_statement_follows_its_executions() {
        let mut client = ParameterKinds::default();
        let mut used = ParameterKinds::default();
        for types in [NULL, INT, TEXT, TEXT, INT] {
            client.note(&types);
            assert!(used.leads_to(&client));
            used.follow(&client);
        }
        let mut other = ParameterKinds::default();
        other.note(&INT);
        assert!(!used.leads_to(&other));
    }
}
