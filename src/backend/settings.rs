//! Session settings that a backend connection should have, and the `SET` that leads from one state to
//! another.
//!
//! The router keeps each client's session variables; a pooled connection remembers which it has, so only
//! differences are sent, pipelined before the statement that needs them. What a variable means, and which may
//! be set at all, is the session's business. MySQL manual: "SET Syntax for Variable Assignment", "SET NAMES".

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use xxhash_rust::xxh3::Xxh3;

/// Variables that `SET NAMES` assigns too: whenever names change they have to be set again, after it.
const ASSIGNED_BY_NAMES: [&str; 4] =
    ["character_set_client", "character_set_connection", "character_set_results", "collation_connection"];

/// Character set and collation as `SET NAMES` takes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Names {
    /// Character set, such as `utf8mb4`.
    pub charset: Box<str>,
    /// Collation; without it the server takes the character set's default one.
    pub collation: Option<Box<str>>,
}

/// Immutable settings of a session; cheap to compare by [`SessionSettings::hash`].
#[derive(Debug, PartialEq, Eq)]
pub struct SessionSettings {
    variables: BTreeMap<Box<str>, Box<str>>,
    names: Option<Names>,
    hash: u64,
}

impl SessionSettings {
    /// No settings: a connection as it is after connecting. Its hash is 0.
    pub fn empty() -> &'static Arc<Self> {
        static EMPTY: LazyLock<Arc<SessionSettings>> =
            LazyLock::new(|| Arc::new(SessionSettings { variables: BTreeMap::new(), names: None, hash: 0 }));
        &EMPTY
    }

    /// Settings from variable names (lower case, without `@@session.`) and their values as SQL text
    /// (`'STRICT_TRANS_TABLES'`, `42`), already quoted. Names that are no identifier are left out, as they
    /// could not be sent safely.
    pub fn new<N, V>(variables: impl IntoIterator<Item = (N, V)>, names: Option<Names>) -> Arc<Self>
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let variables: BTreeMap<Box<str>, Box<str>> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, _)| is_variable_name(name))
            .collect();
        let names = names.filter(|names| {
            is_variable_name(&names.charset) && names.collation.as_deref().is_none_or(is_variable_name)
        });
        if variables.is_empty() && names.is_none() {
            return Self::empty().clone();
        }
        let hash = hash(&variables, names.as_ref());
        Arc::new(Self { variables, names, hash })
    }

    /// Hash of everything; 0 only for empty settings. Pools prefer a connection with an equal hash.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether a connection needs nothing set.
    pub fn is_empty(&self) -> bool {
        self.hash == 0
    }

    /// The SQL text of a variable's value, if it is set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(AsRef::as_ref)
    }

    /// All variables in alphabetical order.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// What `SET NAMES` was given, if it was.
    pub fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// The one `SET` statement that leads from `self` to `wanted`; `None` if nothing differs. Removed
    /// variables return to their global value (`DEFAULT`); removed names return to `connect_names`, those
    /// that the connection began with.
    pub fn transition(&self, wanted: &Self, connect_names: &Names) -> Option<String> {
        if self.hash == wanted.hash && self == wanted {
            return None;
        }
        let mut set = Assignments::default();
        let names_differ = self.names != wanted.names;
        let charset_variable_removed =
            ASSIGNED_BY_NAMES.iter().any(|name| self.has(name) && !wanted.has(name));
        let names_set = names_differ || charset_variable_removed;
        if names_set {
            set.names(wanted.names.as_ref().unwrap_or(connect_names));
        }
        for name in self.variables.keys().filter(|name| !wanted.has(name) && !is_assigned_by_names(name)) {
            set.variable(name, initial_value(name));
        }
        for (name, value) in &wanted.variables {
            let overwritten = names_set && is_assigned_by_names(name);
            if overwritten || self.variables.get(name) != Some(value) {
                set.variable(name, value);
            }
        }
        set.finish()
    }

    fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }
}

/// What returns a variable to its global value.
fn initial_value(name: &str) -> &'static str {
    match name {
        // MySQL turns these off: it forgets that the bit behind them has the opposite meaning.
        "foreign_key_checks" => "@@global.foreign_key_checks",
        "unique_checks" => "@@global.unique_checks",
        _ => "DEFAULT",
    }
}

#[derive(Default)]
struct Assignments {
    sql: String,
}

impl Assignments {
    fn separate(&mut self) {
        self.sql.push_str(if self.sql.is_empty() { "SET " } else { ", " });
    }

    fn names(&mut self, names: &Names) {
        self.separate();
        self.sql.push_str("NAMES ");
        self.sql.push_str(&names.charset);
        if let Some(collation) = &names.collation {
            self.sql.push_str(" COLLATE ");
            self.sql.push_str(collation);
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        self.separate();
        self.sql.push_str("@@session.");
        self.sql.push_str(name);
        self.sql.push_str(" = ");
        self.sql.push_str(value);
    }

    fn finish(self) -> Option<String> {
        (!self.sql.is_empty()).then_some(self.sql)
    }
}

fn is_assigned_by_names(name: &str) -> bool {
    ASSIGNED_BY_NAMES.contains(&name)
}

/// Letters, digits, `_`, and the `.` of structured variables.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

fn hash(variables: &BTreeMap<Box<str>, Box<str>>, names: Option<&Names>) -> u64 {
    // Zero bytes cannot occur in names and end each value, so different settings give different input.
    let mut hasher = Xxh3::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for (name, value) in variables {
        part(name);
        part(value);
    }
    if let Some(names) = names {
        part("names");
        part(&names.charset);
        part(names.collation.as_deref().unwrap_or_default());
    }
    hasher.digest().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(charset: &str, collation: Option<&str>) -> Option<Names> {
        Some(Names { charset: charset.into(), collation: collation.map(Into::into) })
    }

    fn settings(variables: &[(&str, &str)], names: Option<Names>) -> Arc<SessionSettings> {
        SessionSettings::new(variables.iter().copied(), names)
    }

    #[track_caller]
    fn check(from: &SessionSettings, to: &SessionSettings, sql: Option<&str>) {
        let connect = Names { charset: "utf8mb4".into(), collation: Some("utf8mb4_general_ci".into()) };
        assert_eq!(from.transition(to, &connect).as_deref(), sql);
    }

    #[test]
    fn only_differences_are_sent() {
        let empty = SessionSettings::empty();
        let one = settings(&[("sql_mode", "'ANSI'"), ("sql_select_limit", "5")], None);
        let two = settings(&[("sql_mode", "'ANSI'"), ("time_zone", "'+00:00'")], None);
        check(empty, empty, None);
        check(&one, &one, None);
        check(empty, &one, Some("SET @@session.sql_mode = 'ANSI', @@session.sql_select_limit = 5"));
        check(&one, &two, Some("SET @@session.sql_select_limit = DEFAULT, @@session.time_zone = '+00:00'"));
        check(&two, empty, Some("SET @@session.sql_mode = DEFAULT, @@session.time_zone = DEFAULT"));
    }

    #[test]
    fn names_come_first_and_charset_variables_again_after_them() {
        let latin = settings(&[], names("latin1", None));
        let both = settings(&[("character_set_results", "NULL")], names("latin1", Some("latin1_bin")));
        let results = settings(&[("character_set_results", "NULL")], None);
        check(SessionSettings::empty(), &latin, Some("SET NAMES latin1"));
        check(&latin, SessionSettings::empty(), Some("SET NAMES utf8mb4 COLLATE utf8mb4_general_ci"));
        check(
            &results,
            &both,
            Some("SET NAMES latin1 COLLATE latin1_bin, @@session.character_set_results = NULL"),
        );
        check(&results, SessionSettings::empty(), Some("SET NAMES utf8mb4 COLLATE utf8mb4_general_ci"));
    }

    #[test]
    fn equal_settings_have_equal_hashes_and_empty_ones_zero() {
        let one = settings(&[("a", "1"), ("b", "2")], None);
        assert_eq!(one.hash(), settings(&[("b", "2"), ("a", "1")], None).hash());
        assert_ne!(one.hash(), settings(&[("a", "1b"), ("b", "2")], None).hash());
        assert_ne!(one.hash(), 0);
        assert_eq!(settings(&[], None).hash(), 0);
    }

    #[test]
    fn names_that_would_not_be_safe_to_send_are_left_out() {
        let hostile = settings(&[("a = 1; drop", "1"), ("", "2")], names("utf8; x", None));
        assert!(hostile.is_empty());
    }
}
