//! A session's variables: those that the router holds itself and those that backend connections are given.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::transaction::{Completion, Mode};
use crate::backend::{Names, SessionSettings};
use crate::sql::options::{LexOptions, Multibyte, SqlMode};

/// Seconds that a client may send no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleLimits {
    /// `@@wait_timeout`, which counts.
    pub wait_s: u32,
    /// `@@interactive_timeout`: `@@wait_timeout` of new sessions whose clients say that a human sits there.
    pub interactive_s: u32,
}

impl Default for IdleLimits {
    /// The servers' own.
    fn default() -> Self {
        Self { wait_s: 28_800, interactive_s: 28_800 }
    }
}

/// Variables of one session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `@@autocommit`.
    pub autocommit: bool,
    /// `@@transaction_read_only` for transactions to come.
    pub read_only: bool,
    /// `@@query_timeout`; `None` is the configuration's.
    pub query_timeout_ms: Option<u64>,
    /// `@@transaction_timeout`; `None` is the configuration's.
    pub transaction_timeout_ms: Option<u64>,
    /// `@@skip_query_plan_cache`.
    pub skip_plan_cache: bool,
    /// `@@transaction_mode`.
    pub transaction_mode: Mode,
    /// `@@completion_type`.
    pub completion: Completion,
    /// `@@allow_gather`: queries that no shard can answer alone may have their tables gathered at one server.
    pub allow_gather: bool,
    /// `@@gather_notes`: such queries leave a note for `SHOW WARNINGS`. Off, as one plain server has nothing to say.
    pub gather_notes: bool,
    /// When an idle client is disconnected.
    pub idle: IdleLimits,
    /// The same of a new session.
    initial_idle: IdleLimits,
    /// `@@allow_gather` of a new session.
    initial_allow_gather: bool,
    /// `@@transaction_mode` of a new session.
    initial_mode: Mode,
    /// What backend connections must have set; shared, compared by hash.
    backend: Arc<SessionSettings>,
    /// What the session began with, for COM_RESET_CONNECTION.
    initial_names: Option<Names>,
    /// How the lexer reads this session's text.
    lex: LexOptions,
}

impl Settings {
    /// The settings of a new session; `names` is the character set of its handshake if that is not the one
    /// that backend connections begin with. `seed` is the fingerprint's.
    pub fn new(names: Option<Names>, seed: u64) -> Self {
        let mut settings = Self {
            autocommit: true,
            read_only: false,
            query_timeout_ms: None,
            transaction_timeout_ms: None,
            skip_plan_cache: false,
            transaction_mode: Mode::default(),
            completion: Completion::default(),
            allow_gather: true,
            gather_notes: false,
            idle: IdleLimits::default(),
            initial_idle: IdleLimits::default(),
            initial_allow_gather: true,
            initial_mode: Mode::default(),
            backend: SessionSettings::empty().clone(),
            initial_names: names.clone(),
            lex: LexOptions { seed, ..LexOptions::default() },
        };
        settings.rebuild(BTreeMap::new(), names);
        settings
    }

    /// The same for a session whose transactions commit in `mode` unless it says otherwise.
    #[must_use]
    pub fn with_initial_mode(self, mode: Mode) -> Self {
        Self { transaction_mode: mode, initial_mode: mode, ..self }
    }

    /// The same for a session that may have tables gathered, or not, unless it says otherwise.
    #[must_use]
    pub fn with_initial_gather(self, allow: bool) -> Self {
        Self { allow_gather: allow, initial_allow_gather: allow, ..self }
    }

    /// The same for a session whose client may idle so long unless it says otherwise.
    #[must_use]
    pub fn with_initial_idle(self, idle: IdleLimits) -> Self {
        Self { idle, initial_idle: idle, ..self }
    }

    /// What `DEFAULT` means for `wait_timeout` and `interactive_timeout`.
    pub fn initial_idle(&self) -> IdleLimits {
        self.initial_idle
    }

    /// `SET allow_gather = DEFAULT`.
    pub fn reset_allow_gather(&mut self) {
        self.allow_gather = self.initial_allow_gather;
    }

    /// The settings that this session began with.
    #[must_use]
    pub fn initial(&self) -> Self {
        Self::new(self.initial_names.clone(), self.lex.seed)
            .with_initial_mode(self.initial_mode)
            .with_initial_gather(self.initial_allow_gather)
            .with_initial_idle(self.initial_idle)
    }

    /// `SET transaction_mode = DEFAULT`.
    pub fn reset_transaction_mode(&mut self) {
        self.transaction_mode = self.initial_mode;
    }

    /// What backend connections must have set.
    pub fn backend(&self) -> &Arc<SessionSettings> {
        &self.backend
    }

    /// How to read this session's text.
    pub fn lex_options(&self) -> LexOptions {
        self.lex
    }

    /// A copy of the backend settings with one variable changed; `None` returns it to its default.
    #[must_use]
    pub fn with_variable(&self, name: &str, value: Option<&str>) -> Self {
        let mut variables = self.variables();
        match value {
            Some(value) => variables.insert(name.into(), value.into()),
            None => variables.remove(name),
        };
        let mut copy = self.clone();
        copy.rebuild(variables, self.backend.names().cloned());
        copy
    }

    /// A copy with other names (`SET NAMES`); variables that names assign too are forgotten.
    #[must_use]
    pub fn with_names(&self, names: Option<Names>) -> Self {
        let mut variables = self.variables();
        variables.retain(|name, _| !is_assigned_by_names(name));
        let mut copy = self.clone();
        copy.rebuild(variables, names);
        copy
    }

    fn variables(&self) -> BTreeMap<Box<str>, Box<str>> {
        self.backend.variables().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn rebuild(&mut self, variables: BTreeMap<Box<str>, Box<str>>, names: Option<Names>) {
        let charset = variables.get("character_set_client").map(|value| value.trim_matches('\''));
        let charset = charset.or_else(|| names.as_ref().map(|names| names.charset.as_ref()));
        self.lex.multibyte = charset.map_or(Multibyte::Safe, Multibyte::of_charset);
        let mode = variables.get("sql_mode").map(|value| value.trim_matches('\''));
        self.lex.mode = mode.map_or(SqlMode::empty(), SqlMode::parse);
        self.backend = SessionSettings::new(variables, names);
    }
}

fn is_assigned_by_names(name: &str) -> bool {
    matches!(
        name,
        "character_set_client"
            | "character_set_connection"
            | "character_set_results"
            | "collation_connection"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(charset: &str) -> Names {
        Names { charset: charset.into(), collation: None }
    }

    #[test]
    fn sql_mode_and_charset_change_how_text_is_read() {
        let settings = Settings::new(None, 7).with_variable("sql_mode", Some("'ANSI_QUOTES'"));
        assert_eq!(settings.lex_options().mode, SqlMode::ANSI_QUOTES);
        let settings = settings.with_names(Some(names("gbk")));
        assert_eq!(
            (settings.lex_options().multibyte, settings.lex_options().mode),
            (Multibyte::Gbk, SqlMode::ANSI_QUOTES)
        );
        assert_eq!(settings.initial().lex_options(), Settings::new(None, 7).lex_options());
    }

    #[test]
    fn default_returns_a_variable() {
        let settings = Settings::new(None, 0).with_variable("sql_select_limit", Some("5"));
        assert_eq!(settings.backend().variable("sql_select_limit"), Some("5"));
        assert!(settings.with_variable("sql_select_limit", None).backend().is_empty());
    }

    #[test]
    fn names_replace_the_single_charset_variables() {
        let settings = Settings::new(None, 0).with_variable("character_set_results", Some("NULL"));
        let settings = settings.with_names(Some(names("latin1")));
        assert_eq!(settings.backend().variable("character_set_results"), None);
        assert_eq!(settings.backend().names(), Some(&names("latin1")));
    }
}
