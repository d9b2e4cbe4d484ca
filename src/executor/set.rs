//! `SET`: the router keeps every session's variables; servers judge and evaluate the values.
//!
//! A new value is tried on one server at once, so that a mistake is the server's own error at the right statement.
//! What the server made of it is remembered and given to each connection that runs a statement of this session.

use std::borrow::Cow;
use std::sync::Arc;

use super::Executor;
use super::exchange::settle;
use super::job::Job;
use super::outcome::collect_warnings;
use super::place;
use crate::backend::pool::PooledConnection;
use crate::backend::{Engine, Names, RowStream};
use crate::error::{ERRNO_UNKNOWN_COLLATION, Error, ErrorKind, Result};
use crate::session::Session;
use crate::session::diagnostics::Diagnostics;
use crate::session::settings::Settings;
use crate::session::transaction::{Completion, Mode};
use crate::sql::LexFlags;
use crate::sql::splice::splice_all;
use crate::sql::statement::{Assignment, Scope, TransactionCharacteristics, parse_set};
use crate::sql::token::{Span, TokenKind, Tokenizer};
use crate::value::Value;
use crate::wire::Command;
use crate::wire::OkPacket;
use crate::wire::row::text_fields;
use crate::wire::{ColumnDefinition, ColumnType};

impl Executor {
    /// Runs a `SET` statement. Assignments happen from left to right; after an error none of this statement's
    /// system variables has changed.
    pub(super) async fn set(&self, job: &mut Job<'_>) -> Result<()> {
        let options = job.session.settings.lex_options();
        if job.lexed.flags.contains(LexFlags::HAS_LOCK_FUNCTION) {
            return Err(super::locks::refused_in("SET; SELECT @variable := GET_LOCK(…) does the same"));
        }
        let assignments = parse_set(job.text, &options)?;
        let touches_server_state = assignments.iter().any(|assignment| {
            matches!(assignment, Assignment::Variable { scope: Scope::Global | Scope::Persist, .. })
                || matches!(assignment, Assignment::Transaction { scope: Scope::Global, .. })
        });
        if touches_server_state {
            return match place::explicit(job.session, &job.snapshot)? {
                Some(target) => self.pass_to(job, target).await,
                None => Err(Error::unsupported(
                    "SET GLOBAL without a shard as target: choose one, such as USE `keyspace:shard@primary`",
                )),
            };
        }
        let mut setter = Setter {
            executor: self,
            settings: job.session.settings.clone(),
            connection: None,
            warnings: 0,
            diagnostics: Diagnostics::default(),
        };
        for assignment in assignments {
            setter.assign(job, assignment).await?;
        }
        let settings = setter.settings;
        keep_characteristics(job.session, &settings);
        if settings.autocommit && !job.session.settings.autocommit {
            self.commit(job.session).await?;
        }
        let (warnings, diagnostics) = (setter.warnings, setter.diagnostics);
        job.session.set_settings(settings);
        job.session.diagnostics = diagnostics;
        job.session.row_count = 0;
        job.send_ok_with(OkPacket { warnings, ..OkPacket::default() });
        Ok(())
    }
}

/// New values of the session are for transactions to come: shards that join the open one begin as it did.
fn keep_characteristics(session: &mut Session, new: &Settings) {
    if !session.transaction.is_active() {
        return;
    }
    let old = &session.settings;
    let characteristics = &mut session.transaction.characteristics;
    if old.read_only != new.read_only {
        characteristics.read_only.get_or_insert(old.read_only);
    }
    for name in ["tx_isolation", "transaction_isolation"] {
        let value = old.backend().variable(name);
        if value != new.backend().variable(name) {
            let level = value.and_then(isolation_level).unwrap_or(DEFAULT_ISOLATION);
            characteristics.isolation.get_or_insert(level);
        }
    }
}

/// InnoDB's, unless the server is told otherwise.
const DEFAULT_ISOLATION: &str = "REPEATABLE-READ";

fn isolation_level(literal: &str) -> Option<&'static str> {
    const LEVELS: [&str; 4] = ["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"];
    let name = literal.trim_matches('\'');
    LEVELS.into_iter().find(|level| level.eq_ignore_ascii_case(name))
}

/// Applies assignments to a copy of the session's settings.
struct Setter<'e> {
    executor: &'e Executor,
    settings: Settings,
    /// Where values are tried; taken when the first value needs a server.
    connection: Option<PooledConnection>,
    /// What the server had to say about the values.
    warnings: u16,
    diagnostics: Diagnostics,
}

impl Setter<'_> {
    async fn assign(&mut self, job: &mut Job<'_>, assignment: Assignment) -> Result<()> {
        match assignment {
            Assignment::Variable { name, value, .. } => self.variable(job, &name, value).await,
            Assignment::User { name, value } => {
                let expression = substitute(job.session, job.text, value)?;
                let value = self.evaluate(job, &expression).await?;
                job.session.set_user_variable(&name, value)
            }
            Assignment::Names(names) => self.names(job, names).await,
            Assignment::CharacterSet(charset) => self.character_set(job, charset).await,
            Assignment::Transaction { scope, characteristics } => {
                self.transaction(job, scope, characteristics).await
            }
        }
    }

    async fn variable(&mut self, job: &mut Job<'_>, name: &str, value: Span) -> Result<()> {
        let expression = substitute(job.session, job.text, value)?;
        let is_default = expression.eq_ignore_ascii_case(b"default");
        match name {
            "autocommit" => {
                self.settings.autocommit = match boolean(&expression) {
                    Some(value) => value,
                    None if is_default => true,
                    None => as_boolean(&self.evaluate(job, &expression).await?)?,
                };
            }
            "allow_gather" if is_default => self.settings.reset_allow_gather(),
            "allow_gather" | "gather_notes" => {
                let value = match boolean(&expression) {
                    Some(value) => value,
                    None if is_default => false,
                    None => as_boolean(&self.evaluate(job, &expression).await?)?,
                };
                match name {
                    "allow_gather" => self.settings.allow_gather = value,
                    _ => self.settings.gather_notes = value,
                }
            }
            "query_timeout" => {
                self.settings.query_timeout_ms = match is_default {
                    true => None,
                    false => Some(as_number(name, &self.evaluate(job, &expression).await?)?),
                };
            }
            "transaction_timeout" => {
                self.settings.transaction_timeout_ms = match is_default {
                    true => None,
                    false => Some(as_number(name, &self.evaluate(job, &expression).await?)?),
                };
            }
            "interactive_timeout" | "wait_timeout" => self.idle_limit(job, name, &expression).await?,
            "skip_query_plan_cache" => {
                let value = if is_default { Value::Int(0) } else { self.evaluate(job, &expression).await? };
                self.settings.skip_plan_cache = as_boolean(&value)?;
            }
            "completion_type" => self.completion_type(job, &expression, is_default).await?,
            "transaction_mode" => self.transaction_mode(job, &expression, is_default).await?,
            "last_insert_id" | "identity" => {
                let value = self.evaluate(job, &expression).await?;
                job.session.last_insert_id = as_number(name, &value)?;
            }
            // One-shot or per-connection state that cannot follow a session from server to server.
            "insert_id" | "gtid_next" | "pseudo_thread_id" | "rand_seed1" | "rand_seed2" | "sql_log_bin" => {
                return Err(Error::unsupported(format!("SET {name}")));
            }
            _ => {
                let name = super::older_names::variable(name, self.connection(job).await?.version());
                let mut set = format!("SET @@session.{name} = ").into_bytes();
                set.extend_from_slice(&expression);
                let read_back = [name];
                let values = self.try_set(job, &set, if is_default { &[] } else { &read_back }).await?;
                let literal = values.first().map(literal);
                self.settings = self.settings.with_variable(name, literal.as_deref());
                if matches!(name, "transaction_read_only" | "tx_read_only") {
                    self.settings.read_only = matches!(values.first(), Some(value) if as_boolean(value)?);
                }
                self.assume();
            }
        }
        Ok(())
    }

    /// The router's own: a server that had it would begin a transaction behind each COMMIT of the router.
    async fn completion_type(&mut self, job: &Job<'_>, expression: &[u8], is_default: bool) -> Result<()> {
        let value = match is_default {
            true => Value::Int(0),
            false => self.evaluate_word(job, expression).await?,
        };
        let text = value.as_ref().to_bytes();
        self.settings.completion =
            Completion::parse(&text).ok_or_else(|| wrong_value("completion_type", &text))?;
        Ok(())
    }

    /// The router's own: servers would close connections of their pools. One of them judges the value.
    async fn idle_limit(&mut self, job: &Job<'_>, name: &str, expression: &[u8]) -> Result<()> {
        let initial = self.settings.initial_idle();
        let mut limits = self.settings.idle;
        let place = if name == "wait_timeout" { &mut limits.wait_s } else { &mut limits.interactive_s };
        if expression.eq_ignore_ascii_case(b"default") {
            *place = if name == "wait_timeout" { initial.wait_s } else { initial.interactive_s };
        } else {
            let set = [format!("SET @@session.{name} = ").as_bytes(), expression].concat();
            let values = self.try_set(job, &set, &[name]).await?;
            let value = as_number(name, values.first().unwrap_or(&Value::Null))?;
            *place = u32::try_from(value).unwrap_or(u32::MAX);
            self.try_set(job, format!("SET @@session.{name} = DEFAULT").as_bytes(), &[]).await?;
        }
        self.settings.idle = limits;
        Ok(())
    }

    async fn transaction_mode(&mut self, job: &Job<'_>, expression: &[u8], is_default: bool) -> Result<()> {
        if is_default {
            self.settings.reset_transaction_mode();
            return Ok(());
        }
        let value = self.evaluate_word(job, expression).await?;
        let text = value.as_ref().to_bytes();
        if text.eq_ignore_ascii_case(b"unspecified") {
            self.settings.reset_transaction_mode();
            return Ok(());
        }
        self.settings.transaction_mode =
            Mode::parse(&text).ok_or_else(|| wrong_value("transaction_mode", &text))?;
        Ok(())
    }

    /// The value of an expression, which may be a bare word, as for variables that have words as values.
    async fn evaluate_word(&mut self, job: &Job<'_>, expression: &[u8]) -> Result<Value> {
        let is_word = expression.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        // `release` is reserved: only its quoted form is a value.
        if is_word && !expression.is_empty() && !expression.eq_ignore_ascii_case(b"release") {
            return Ok(Value::text(expression));
        }
        self.evaluate(job, expression).await
    }

    async fn names(&mut self, job: &mut Job<'_>, names: Option<(String, Option<String>)>) -> Result<()> {
        let names = names.map(|(charset, collation)| Names {
            charset: charset.into(),
            collation: collation.map(Into::into),
        });
        let names = names.or_else(|| self.settings.initial().backend().names().cloned());
        self.settings = match &names {
            Some(Names { charset, collation }) => {
                let collate = collation.as_ref().map(|collation| format!(" COLLATE {collation}"));
                let set = format!("SET NAMES {charset}{}", collate.unwrap_or_default());
                let charset = charset.clone();
                match self.try_set(job, set.as_bytes(), &[]).await {
                    Ok(_) => self.settings.with_names(names),
                    Err(error) if self.is_of_the_other_engine(&error, collation.as_deref()) => {
                        self.try_set(job, format!("SET NAMES {charset}").as_bytes(), &[]).await?;
                        self.settings.with_names(Some(Names { charset, collation: None }))
                    }
                    Err(error) => return Err(error),
                }
            }
            None => self.settings.with_names(None),
        };
        self.assume();
        Ok(())
    }

    /// Did a MariaDB server refuse a collation that clients ask for because the router's version is MySQL's? It takes the
    /// character set's own instead, as with handshakes.
    fn is_of_the_other_engine(&self, error: &Error, collation: Option<&str>) -> bool {
        let is_mysql_8 =
            collation.is_some_and(|name| name.trim_matches(['\'', '"', '`']).starts_with("utf8mb4_0900_"));
        is_mysql_8
            && error.errno() == ERRNO_UNKNOWN_COLLATION
            && !self.executor.options().version.contains("MariaDB")
            && self
                .connection
                .as_ref()
                .is_some_and(|connection| connection.version().engine == Engine::MariaDb)
    }

    async fn character_set(&mut self, job: &mut Job<'_>, charset: Option<String>) -> Result<()> {
        const ASSIGNED: [&str; 3] = ["character_set_client", "character_set_results", "collation_connection"];
        let charset = charset.unwrap_or_else(|| "DEFAULT".to_owned());
        let values = self.try_set(job, format!("SET CHARACTER SET {charset}").as_bytes(), &ASSIGNED).await?;
        for (name, value) in ASSIGNED.iter().zip(&values) {
            self.settings = self.settings.with_variable(name, Some(&literal(value)));
        }
        self.assume();
        Ok(())
    }

    async fn transaction(
        &mut self,
        job: &mut Job<'_>,
        scope: Scope,
        characteristics: TransactionCharacteristics,
    ) -> Result<()> {
        if scope == Scope::Implicit {
            if job.session.transaction.is_active() {
                return Err(Error::new(
                    ErrorKind::TransactionCharacteristics,
                    "Transaction characteristics can't be changed while a transaction is in progress",
                ));
            }
            let next = &mut job.session.transaction.characteristics;
            next.isolation = characteristics.isolation.or(next.isolation);
            next.read_only = characteristics.read_only.or(next.read_only);
            return Ok(());
        }
        let connection = self.connection(job).await?;
        let prefix = match connection.version().engine {
            // MariaDB has the new names since 11.1 only, and keeps the old ones.
            Engine::MariaDb => "tx",
            Engine::MySql => "transaction",
        };
        if let Some(isolation) = characteristics.isolation {
            let name = format!("{prefix}_isolation");
            self.settings = self.settings.with_variable(&name, Some(&format!("'{isolation}'")));
        }
        if let Some(read_only) = characteristics.read_only {
            self.settings.read_only = read_only;
            let name = format!("{prefix}_read_only");
            self.settings = self.settings.with_variable(&name, Some(if read_only { "1" } else { "0" }));
        }
        Ok(())
    }

    /// Runs `set` on a server and reads back these variables. An error of the server is the statement's error.
    async fn try_set(&mut self, job: &Job<'_>, set: &[u8], read_back: &[&str]) -> Result<Vec<Value>> {
        let connection = self.connection(job).await?;
        connection.queue(&Command::Query(set));
        let warnings = settle_set(connection).await?;
        if warnings > 0 {
            let mut diagnostics = Diagnostics::default();
            if let Some(connection) = &mut self.connection {
                collect_warnings(connection, &mut diagnostics).await;
            }
            self.warnings = self.warnings.saturating_add(warnings);
            diagnostics.entries().iter().for_each(|entry| self.diagnostics.push(entry.clone()));
        }
        if read_back.is_empty() {
            return Ok(Vec::new());
        }
        let variables: Vec<String> = read_back.iter().map(|name| format!("@@session.{name}")).collect();
        // Without a limit of its own it would have the session's, which may be 0.
        self.select_row(job, format!("SELECT {} LIMIT 1", variables.join(", ")).as_bytes()).await
    }

    async fn evaluate(&mut self, job: &Job<'_>, expression: &[u8]) -> Result<Value> {
        let sql = [b"SELECT ", expression, b"\nLIMIT 1"].concat();
        let mut values = self.select_row(job, &sql).await?;
        match values.len() {
            1 => Ok(values.remove(0)),
            _ => Err(Error::new(ErrorKind::OperandColumns, "Operand should contain 1 column(s)")),
        }
    }

    /// The only row of a query; NULLs if it has none.
    async fn select_row(&mut self, job: &Job<'_>, sql: &[u8]) -> Result<Vec<Value>> {
        let connection = self.connection(job).await?;
        settle(connection).await?;
        connection.queue(&Command::Query(sql));
        connection.flush().await?;
        let mut rows = RowStream::open(&mut **connection, false).await?;
        let columns = rows.columns().to_vec();
        let mut values = vec![Value::Null; columns.len()];
        let mut row_count = 0;
        while let Some(row) = rows.next_row().await? {
            row_count += 1;
            for ((field, column), value) in text_fields(row).zip(&columns).zip(&mut values) {
                let field = field.map_err(crate::wire::Malformed::into_backend_error)?;
                *value = field.map_or(Value::Null, |text| typed(text, column));
            }
        }
        if row_count > 1 {
            return Err(Error::new(ErrorKind::SubqueryRows, "Subquery returns more than 1 row"));
        }
        Ok(values)
    }

    /// The connection that values are tried on, with the settings so far.
    async fn connection(&mut self, job: &Job<'_>) -> Result<&mut PooledConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let keyspace = place::any_keyspace(job.session, &job.snapshot)?;
                let target = place::any_shard(&job.snapshot, &keyspace, job.session)?;
                self.executor.gateway().acquire(&target, &job.needs()).await?
            }
        };
        let connection = self.connection.insert(connection);
        connection.sync_settings(self.settings.backend());
        Ok(connection)
    }

    /// The connection has the new settings already.
    fn assume(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.assume_settings(Arc::clone(self.settings.backend()));
        }
    }
}

/// As [`settle`], but the last reply's error is the client's own, and its warnings are counted.
async fn settle_set(connection: &mut PooledConnection) -> Result<u16> {
    let owed = connection.owed_count();
    connection.flush().await?;
    let mut warnings = 0;
    for _ in 0..owed {
        warnings = connection.receive_ok().await?.warnings;
    }
    Ok(warnings)
}

/// The value of a text row's field, by its column's type.
pub(super) fn typed(text: &[u8], column: &ColumnDefinition) -> Value {
    let parsed = std::str::from_utf8(text).ok();
    let integer = || match parsed.and_then(|text| text.parse().ok()) {
        Some(number) => Some(Value::Int(number)),
        None => parsed.and_then(|text| text.parse().ok()).map(Value::UInt),
    };
    let value = match column.column_type {
        ColumnType::TINY
        | ColumnType::SHORT
        | ColumnType::INT24
        | ColumnType::LONG
        | ColumnType::LONGLONG
        | ColumnType::YEAR => integer(),
        ColumnType::FLOAT => {
            parsed.and_then(|text| text.parse::<f32>().ok()).map(|number| Value::Double(number.into()))
        }
        ColumnType::DOUBLE => parsed.and_then(|text| text.parse().ok()).map(Value::Double),
        ColumnType::BIT if text.len() <= size_of::<u64>() => {
            Some(Value::UInt(text.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))))
        }
        ColumnType::DECIMAL | ColumnType::NEWDECIMAL => Some(Value::Decimal(text.into())),
        _ if column.collation == ColumnDefinition::COLLATION_BINARY => Some(Value::bytes(text)),
        _ => None,
    };
    value.unwrap_or_else(|| Value::text(text))
}

/// A value as `SET` takes it: numbers bare, the rest quoted.
fn literal(value: &Value) -> String {
    let mut out = Vec::new();
    value.as_ref().render_literal(&mut out, false);
    String::from_utf8_lossy(&out).into_owned()
}

fn as_number(name: &str, value: &Value) -> Result<u64> {
    let wrong = |error| Error::new(ErrorKind::WrongValueForVariable, format!("{name}: {error}"));
    value.as_ref().to_uint64().map_err(wrong)
}

fn boolean(text: &[u8]) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    match () {
        () if is(["1", "on", "true"]) || is(["'on'", "'1'", "\"on\""]) => Some(true),
        () if is(["0", "off", "false"]) || is(["'off'", "'0'", "\"off\""]) => Some(false),
        () => None,
    }
}

fn as_boolean(value: &Value) -> Result<bool> {
    let text = value.as_ref().to_bytes();
    boolean(&text).ok_or_else(|| wrong_value("autocommit", &text))
}

fn wrong_value(name: &str, text: &[u8]) -> Error {
    let text = String::from_utf8_lossy(text);
    let text = format!("Variable '{name}' can't be set to the value of '{text}'");
    Error::new(ErrorKind::WrongValueForVariable, text)
}

/// An expression's source with the session's own values put in: user variables, and the variables that servers do not
/// hold.
fn substitute<'a>(session: &Session, text: &'a [u8], expression: Span) -> Result<Cow<'a, [u8]>> {
    let options = session.settings.lex_options();
    let source = expression.of(text);
    let mut tokens = Tokenizer::new(source, 0, &options);
    let mut edits: Vec<(Span, Vec<u8>)> = Vec::new();
    while let Ok(token) = tokens.next_token() {
        match token.kind {
            TokenKind::End => break,
            TokenKind::UserVariable => {
                let name = crate::sql::ident::name_of(&token.span.of(source)[1..]).to_lowercase();
                let mut literal = Vec::new();
                let value = session.user_variables.get(name.as_str());
                value.unwrap_or(&Value::Null).as_ref().render_literal(&mut literal, false);
                edits.push((token.span, literal));
            }
            TokenKind::SystemVariable => {
                let name = String::from_utf8_lossy(token.span.of(source)).to_ascii_lowercase();
                if let Some(value) = session.router_variables().value(name.trim_start_matches('@')) {
                    let mut literal = Vec::new();
                    value.as_ref().render_literal(&mut literal, false);
                    edits.push((token.span, literal));
                }
            }
            TokenKind::Assign => return Err(Error::unsupported("Assignment expression")),
            _ => {}
        }
    }
    if edits.is_empty() {
        return Ok(Cow::Borrowed(source));
    }
    let edits: Vec<(Span, &[u8])> = edits.iter().map(|(span, text)| (*span, text.as_slice())).collect();
    Ok(Cow::Owned(splice_all(source, &edits)))
}
