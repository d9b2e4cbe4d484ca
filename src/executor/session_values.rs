//! What statements ask about the session, as SQL literals for the engine's templates.

use std::collections::HashMap;
use std::sync::Arc;

use super::Executor;
use super::job::Job;
use super::session_query::VERSION_COMMENT;
use crate::engine;
use crate::error::Result;
use crate::plan::primitive::SessionValue;
use crate::session::{Identity, RouterVariables, Session};
use crate::sql::SqlMode;
use crate::topology::{Keyspace, KeyspaceName, Snapshot};
use crate::value::Value;

/// What one statement may ask of its session, copied: the session itself is busy while the statement runs.
pub(super) struct SessionValues {
    identity: Identity,
    database: Option<Arc<str>>,
    found_rows: u64,
    last_insert_id: u64,
    row_count: i64,
    router_variables: RouterVariables,
    user_variables: Arc<HashMap<Box<str>, Value>>,
    no_backslash_escapes: bool,
    lifts_row_limit: bool,
    row_counts: Option<engine::RowCounts>,
    snapshot: Arc<Snapshot>,
    version: Arc<str>,
}

impl SessionValues {
    /// Of the job's session.
    pub(super) fn new(executor: &Executor, job: &Job<'_>) -> Self {
        Self::of(executor, job.session, &job.snapshot)
    }

    /// Of a session.
    pub(super) fn of(executor: &Executor, session: &Session, snapshot: &Arc<Snapshot>) -> Self {
        Self {
            identity: session.identity.clone(),
            database: session.target.text.clone(),
            found_rows: session.found_rows,
            last_insert_id: session.last_insert_id,
            row_count: session.row_count,
            router_variables: session.router_variables(),
            user_variables: session.user_variables.clone(),
            no_backslash_escapes: session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES),
            row_counts: session.query_log.as_ref().map(|log| log.row_counts().clone()),
            snapshot: snapshot.clone(),
            lifts_row_limit: session.is_directed(|directives| directives.ignore_max_memory_rows),
            version: executor.options().version.clone(),
        }
    }

    fn value(&self, value: &SessionValue) -> Value {
        match value {
            SessionValue::ConnectionId => Value::UInt(self.identity.connection_id.into()),
            SessionValue::CurrentUser => Value::text(format!("{}@%", self.identity.user)),
            SessionValue::Database => self.database.as_deref().map_or(Value::Null, Value::text),
            SessionValue::FoundRows => Value::UInt(self.found_rows),
            SessionValue::LastInsertId => Value::UInt(self.last_insert_id),
            SessionValue::RowCount => Value::Int(self.row_count),
            SessionValue::SystemVariable(name) => match self.router_variables.value(name) {
                Some(value) => value,
                None if &**name == "version" => Value::text(&*self.version),
                None if &**name == "version_comment" => Value::text(VERSION_COMMENT),
                None => Value::Null,
            },
            SessionValue::User => Value::text(format!("{}@{}", self.identity.user, self.identity.host)),
            SessionValue::UserVariable(name) => self.user_variables.get(name).cloned().unwrap_or_default(),
            SessionValue::Version => Value::text(&*self.version),
        }
    }
}

impl engine::SessionValues for SessionValues {
    fn write(&self, value: &SessionValue, out: &mut Vec<u8>) -> Result<()> {
        self.value(value).as_ref().render_literal(out, self.no_backslash_escapes());
        Ok(())
    }

    fn database(&self, name: &str) -> Option<String> {
        let mut keyspaces = self.snapshot.topology.keyspaces().iter();
        let found = keyspaces.find(|keyspace| *keyspace.name() == *name || keyspace.db_name() == name);
        found.map(|keyspace| keyspace.db_name().to_owned())
    }

    fn renamed_databases(&self) -> Vec<(String, String)> {
        let renamed = |keyspace: &&Keyspace| *keyspace.name() != *keyspace.db_name();
        let mut names: Vec<_> = self.snapshot.topology.keyspaces().iter().filter(renamed).collect();
        names.sort_by_key(|keyspace| Some(keyspace.name().as_str()) != self.database.as_deref());
        let pair = |keyspace: &Keyspace| (keyspace.db_name().to_owned(), keyspace.name().as_str().to_owned());
        names.into_iter().map(pair).collect()
    }

    fn keyspace(&self, name: &KeyspaceName) -> Option<&Keyspace> {
        self.snapshot.topology.keyspace(name)
    }

    fn lifts_row_limit(&self) -> bool {
        self.lifts_row_limit
    }

    fn row_counts(&self) -> Option<engine::RowCounts> {
        self.row_counts.clone()
    }

    fn no_backslash_escapes(&self) -> bool {
        self.no_backslash_escapes
    }
}
