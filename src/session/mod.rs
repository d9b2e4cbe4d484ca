//! One client's state: target, variables, settings, prepared statements, diagnostics, transaction.
//!
//! A session holds no backend connection between statements unless it must: see [`transaction`]. What is here
//! is what a server would keep per connection (<https://dev.mysql.com/doc/refman/9.0/en/session-tables.html>
//! in spirit); how statements use it is [`crate::executor`]'s business.

pub mod beside;
pub mod cursor;
pub mod diagnostics;
pub mod heard;
pub mod lease;
pub mod prepared;
pub mod prepared_text;
pub mod query_log;
pub mod settings;
pub mod target;
pub mod transaction;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::backend::SessionSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::USER_VARIABLES_PER_SESSION_MAX;
use crate::sql::{Directives, SqlMode};
use crate::value::Value;
use crate::wire::StatusFlags;

use beside::Beside;
use diagnostics::Diagnostics;
use heard::Heard;
use lease::{Returns, Tolerated};
use prepared::PreparedStatements;
use prepared_text::PreparedTexts;
use query_log::QueryLog;
use settings::{IdleLimits, Settings};
use target::SessionTarget;
use transaction::{Completion, Mode, Transaction};

/// Who is connected and how; fixed until COM_CHANGE_USER.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What `CONNECTION_ID()` answers.
    pub connection_id: u32,
    /// The name the client logged in with.
    pub user: Arc<str>,
    /// Where the client is.
    pub host: Arc<str>,
}

/// The state of one client.
#[derive(Debug)]
pub struct Session {
    pub identity: Identity,
    pub target: SessionTarget,
    /// The target that comes back when the running statement ends.
    pub target_afterwards: Option<SessionTarget>,
    pub settings: Settings,
    /// What connections have instead of the settings while one statement runs.
    pub settings_override: Option<Arc<SessionSettings>>,
    /// What comments ask of the running statement (`/*vt+ … */`).
    pub directives: Option<Arc<Directives>>,
    /// Connections of the running statement are noted, so that what they do can be ended without closing them.
    pub is_watched: bool,
    /// Rows of several shards come in the binary protocol: the client's is, and their text does not show them whole.
    pub needs_binary_rows: bool,
    /// The client's command is COM_STMT_EXECUTE: what is to be said of the statement's text was said of its preparation.
    pub is_prepared: bool,
    /// The running query is about the servers' own tables, in which they name their databases.
    pub asks_system_tables: bool,
    /// What the running statement sends is noted here.
    pub query_log: Option<QueryLog>,
    /// Where errors of single shards go while a statement goes on without them.
    pub tolerated: Option<Tolerated>,
    /// Where warnings of several shards' rows are noted.
    pub heard: Option<Heard>,
    pub transaction: Transaction,
    /// The transaction beside, if the open one has to do with consistent lookup vindexes.
    pub beside: Option<Box<Beside>>,
    /// Where connections of the transaction come back that a statement has borrowed.
    pub returns: Returns,
    pub prepared: PreparedStatements,
    pub prepared_texts: PreparedTexts,
    pub diagnostics: Diagnostics,
    /// `LAST_INSERT_ID()`.
    pub last_insert_id: u64,
    /// The statement's server is asked what `LAST_INSERT_ID()` is behind it.
    pub asks_insert_id: bool,
    /// `FOUND_ROWS()`.
    pub found_rows: u64,
    /// `ROW_COUNT()`.
    pub row_count: i64,
    /// `@name`, by lower-case name.
    pub user_variables: Arc<HashMap<Box<str>, Value>>,
    /// Set while what is done must not be given up halfway: shards are being committed.
    pub shield: Arc<AtomicBool>,
    /// Seconds that the client may idle, where the server looks for them.
    pub idle_limit: Arc<AtomicU32>,
    /// Seconds that the client may take for bytes of a reply, where the server looks for them; 0 is the router's limit.
    pub write_limit: Arc<AtomicU32>,
    /// The connection ends with the running statement's reply (`COMMIT RELEASE`).
    pub is_closing: bool,
}

impl Session {
    /// The state of a client that has just logged in.
    pub fn new(identity: Identity, settings: Settings) -> Self {
        Self {
            identity,
            target: SessionTarget::default(),
            settings,
            settings_override: None,
            directives: None,
            is_watched: false,
            needs_binary_rows: false,
            is_prepared: false,
            asks_system_tables: false,
            tolerated: None,
            heard: None,
            query_log: None,
            transaction: Transaction::default(),
            beside: None,
            returns: Returns::default(),
            prepared: PreparedStatements::default(),
            prepared_texts: PreparedTexts::default(),
            target_afterwards: None,
            diagnostics: Diagnostics::default(),
            last_insert_id: 0,
            asks_insert_id: false,
            found_rows: 0,
            row_count: 0,
            user_variables: Arc::default(),
            shield: Arc::default(),
            idle_limit: Arc::default(),
            write_limit: Arc::default(),
            is_closing: false,
        }
    }

    /// The status flags that every reply to this client carries.
    pub fn status(&self) -> StatusFlags {
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::AUTOCOMMIT, self.settings.autocommit);
        status.set(StatusFlags::IN_TRANSACTION, self.transaction.is_active());
        status.set(StatusFlags::IN_READ_ONLY_TRANSACTION, self.transaction.is_read_only());
        // Clients escape strings by it.
        let mode = self.settings.lex_options().mode;
        status.set(StatusFlags::NO_BACKSLASH_ESCAPES, mode.contains(SqlMode::NO_BACKSLASH_ESCAPES));
        status
    }

    /// New settings; how long the client may idle counts from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.idle_limit.store(self.settings.idle.wait_s, Ordering::Relaxed);
        let write_s =
            self.settings.backend().variable("net_write_timeout").and_then(|value| value.parse().ok());
        self.write_limit.store(write_s.unwrap_or_default(), Ordering::Relaxed);
    }

    /// Undoes what was for the running statement only.
    pub fn end_statement(&mut self) {
        self.settings_override = None;
        self.directives = None;
        self.tolerated = None;
        self.query_log = None;
        self.needs_binary_rows = false;
        self.is_prepared = false;
        self.heard = None;
        self.asks_system_tables = false;
        self.asks_insert_id = false;
        if let Some(target) = self.target_afterwards.take() {
            self.target = target;
        }
    }

    /// Does a comment of the running statement ask for this?
    pub fn is_directed(&self, which: fn(&Directives) -> bool) -> bool {
        self.directives.as_deref().is_some_and(which)
    }

    /// What connections must have set for the running statement.
    pub fn statement_settings(&self) -> &Arc<SessionSettings> {
        self.settings_override.as_ref().unwrap_or_else(|| self.settings.backend())
    }

    /// Forgets everything but identity and target, as COM_RESET_CONNECTION demands. The transaction must have
    /// been rolled back before.
    pub fn reset(&mut self) {
        self.set_settings(self.settings.initial());
        self.prepared.clear();
        self.prepared_texts.clear();
        self.diagnostics.clear();
        self.last_insert_id = 0;
        self.found_rows = 0;
        self.row_count = 0;
        self.user_variables = Arc::default();
    }
}

impl Session {
    /// The keyspace of unqualified names.
    pub fn keyspace(&self) -> Option<&str> {
        self.target.keyspace.as_deref()
    }
}

/// User variables of one session: a client cannot fill the router's memory with them.
impl Session {
    /// Assigns `@name`.
    pub fn set_user_variable(&mut self, name: &str, value: Value) -> Result<()> {
        let is_new = !self.user_variables.contains_key(name);
        if is_new && self.user_variables.len() >= USER_VARIABLES_PER_SESSION_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("a session may have at most {USER_VARIABLES_PER_SESSION_MAX} user variables"),
            ));
        }
        Arc::make_mut(&mut self.user_variables).insert(name.into(), value);
        Ok(())
    }

    /// The values of system variables that the router holds instead of the servers.
    pub fn router_variables(&self) -> RouterVariables {
        RouterVariables {
            allow_gather: self.settings.allow_gather,
            gather_notes: self.settings.gather_notes,
            completion: self.settings.completion,
            transaction_mode: self.settings.transaction_mode,
            autocommit: self.settings.autocommit,
            connection_id: self.identity.connection_id,
            idle: self.settings.idle,
            error_count: self.diagnostics.error_count(),
            last_insert_id: self.last_insert_id,
            query_timeout_ms: self.settings.query_timeout_ms.unwrap_or_default(),
            transaction_timeout_ms: self.settings.transaction_timeout_ms.unwrap_or_default(),
            skip_plan_cache: self.settings.skip_plan_cache,
            warning_count: self.diagnostics.warning_count(),
        }
    }
}

/// System variables that the router holds instead of the servers.
#[derive(Clone, Copy, Debug)]
pub struct RouterVariables {
    allow_gather: bool,
    gather_notes: bool,
    autocommit: bool,
    completion: Completion,
    connection_id: u32,
    error_count: usize,
    idle: IdleLimits,
    last_insert_id: u64,
    query_timeout_ms: u64,
    transaction_timeout_ms: u64,
    skip_plan_cache: bool,
    transaction_mode: Mode,
    warning_count: u32,
}

impl RouterVariables {
    /// A value; `name` is lower case and may begin with `session.` or `local.`.
    pub fn value(&self, name: &str) -> Option<Value> {
        let name = name.strip_prefix("session.").or_else(|| name.strip_prefix("local.")).unwrap_or(name);
        match name {
            "allow_gather" => Some(Value::Int(self.allow_gather.into())),
            "gather_notes" => Some(Value::Int(self.gather_notes.into())),
            "autocommit" => Some(Value::Int(self.autocommit.into())),
            "completion_type" => Some(Value::text(self.completion.as_str())),
            "error_count" => Some(Value::UInt(self.error_count as u64)),
            "identity" | "last_insert_id" => Some(Value::UInt(self.last_insert_id)),
            "interactive_timeout" => Some(Value::UInt(self.idle.interactive_s.into())),
            "query_timeout" => Some(Value::UInt(self.query_timeout_ms)),
            "transaction_timeout" => Some(Value::UInt(self.transaction_timeout_ms)),
            "skip_query_plan_cache" => Some(Value::Int(self.skip_plan_cache.into())),
            "pseudo_thread_id" => Some(Value::UInt(self.connection_id.into())),
            "transaction_mode" => Some(Value::text(self.transaction_mode.as_str())),
            "wait_timeout" => Some(Value::UInt(self.idle.wait_s.into())),
            "warning_count" => Some(Value::UInt(self.warning_count.into())),
            _ => None,
        }
    }

    /// Those that `SHOW VARIABLES` must answer in place of a server, in its own words.
    pub fn shown(&self) -> [(&'static str, Cow<'static, str>); 5] {
        [
            ("autocommit", if self.autocommit { "ON" } else { "OFF" }.into()),
            ("completion_type", self.completion.as_str().into()),
            ("interactive_timeout", self.idle.interactive_s.to_string().into()),
            ("transaction_mode", self.transaction_mode.as_str().into()),
            ("wait_timeout", self.idle.wait_s.to_string().into()),
        ]
    }
}
