//! Prepared statements of the binary protocol.
//!
//! A statement is prepared on one backend connection to learn its parameters and columns, and again on whichever
//! connection an execution needs; connections remember what they have prepared.

use std::sync::Arc;

use super::Executor;
use super::job::{Execution, Job};
use super::place;
use super::renaming::Renaming;
use crate::backend::ParameterKinds;
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::plan::primitive::Gather;
use crate::server::ClientStream;
use crate::session::Session;
use crate::session::prepared::PreparedStatement;
use crate::sql::{Lexed, StatementKind, lex};
use crate::wire::statement::{LongData, PrepareOk, StmtExecute};
use crate::wire::{ColumnDefinition, ColumnType, EofPacket};

impl Executor {
    /// COM_STMT_PREPARE.
    pub(super) async fn prepare(
        &self,
        session: &mut Session,
        text: &[u8],
        client: &mut ClientStream,
    ) -> Result<()> {
        session.diagnostics.clear();
        let outcome = self.try_prepare(session, text, client).await;
        if let Err(error) = &outcome {
            session.diagnostics.push_error(error);
        }
        outcome
    }

    async fn try_prepare(&self, session: &mut Session, text: &[u8], client: &mut ClientStream) -> Result<()> {
        let options = session.settings.lex_options();
        let mut lexed = Lexed::new();
        if let Err(error) = lex(text, 0, &options, &mut lexed) {
            let (snapshot, lexed) = (self.snapshot(), Lexed::new());
            let mut job =
                Job { snapshot, session, client, text, lexed: &lexed, execution: None, more_results: false };
            return Err(self.server_error(&mut job, error).await);
        }
        let text: Arc<[u8]> = text[..lexed.span.range().end].into();
        let mut job = Job {
            snapshot: self.snapshot(),
            session: &mut *session,
            client: &mut *client,
            text: &text,
            lexed: &lexed,
            execution: None,
            more_results: false,
        };
        let described = self.describe_statement(&mut job).await?;
        let renaming = super::renaming::of_columns(&job);
        let parameter_count = described.parameter_count();
        let statement = PreparedStatement {
            text: text.clone(),
            lexed: Arc::new(lexed),
            has_inexact_text: described.has_inexact_text(),
            parameter_count,
            types: Vec::new(),
            past: ParameterKinds::default(),
            long_data: LongData::default(),
            cursor: None,
        };
        let id = session.prepared.insert(statement)?;
        described.send(client, id, session, renaming).await
    }

    /// What a client is told about a statement that it prepares.
    pub(super) async fn describe_statement(&self, job: &mut Job<'_>) -> Result<Described> {
        match job.lexed.kind {
            StatementKind::Delete
            | StatementKind::Insert
            | StatementKind::Replace
            | StatementKind::Select
            | StatementKind::Table
            | StatementKind::Update
            | StatementKind::Values => match self.place_to_prepare(job) {
                Ok(Preparation::AtServer(target, text)) => self.prepare_at(job, &target, &text).await,
                Ok(Preparation::Gathered(gather)) => Box::pin(self.describe_gathered(job, &gather)).await,
                Ok(Preparation::Router(columns)) => Ok(Described::Router(columns)),
                Err(error) if super::set_form::of_refused(job, &error).is_some() => {
                    let keyspace = place::any_keyspace(job.session, &job.snapshot)?;
                    let target = place::any_shard(&job.snapshot, &keyspace, job.session)?;
                    self.prepare_at(job, &target, &super::describe::with_database_names(job)).await
                }
                Err(error) => match Box::pin(self.describe_expanded(job, error)).await {
                    Err(error)
                        if matches!(error.kind(), Some(ErrorKind::Syntax | ErrorKind::Unsupported)) =>
                    {
                        Err(self.server_error(job, error).await)
                    }
                    described => described,
                },
            },
            StatementKind::Show => match self.place_of_show(job)? {
                Preparation::AtServer(target, text) => self.prepare_at(job, &target, &text).await,
                Preparation::Router(columns) => Ok(Described::Router(columns)),
                Preparation::Gathered(_) => Err(Error::bug("SHOW gathers no rows")),
            },
            StatementKind::Prepare | StatementKind::Execute | StatementKind::Deallocate => Err(Error::new(
                ErrorKind::NotPreparable,
                "This command is not supported in the prepared statement protocol yet",
            )),
            StatementKind::Empty => Err(Error::new(ErrorKind::EmptyQuery, "Query was empty")),
            kind if is_router_own(kind) => Ok(Described::Router(Vec::new())),
            _ => {
                let target = match place::certain(job.session, &job.snapshot)? {
                    Some(target) => target,
                    None => {
                        let keyspace = place::any_keyspace(job.session, &job.snapshot)?;
                        place::any_shard(&job.snapshot, &keyspace, job.session)?
                    }
                };
                let text = self.stand_in_of_explain(job);
                let text = text.unwrap_or_else(|| super::describe::with_database_names(job));
                self.prepare_at(job, &target, &text).await
            }
        }
    }

    /// Prepares the text on one connection of a target, only to learn what it is.
    pub(super) async fn prepare_at(
        &self,
        job: &mut Job<'_>,
        target: &Target,
        text: &[u8],
    ) -> Result<Described> {
        let needs = job.needs();
        if job.session.transaction.find(target).is_some() {
            // Temporary tables are known to the session's own connection only.
            let mut lease = self.lease(job.session, target, &needs).await?;
            let connection = lease.connection(&mut job.session.transaction);
            super::exchange::settle(connection).await?;
            return Ok(Described::Server(connection.prepare(text).await?));
        }
        let mut connection = self.gateway().acquire(target, &needs).await?;
        connection.sync_settings(job.session.settings.backend());
        let transaction = &job.session.transaction;
        if transaction.is_active() && !transaction.characteristics.is_default() {
            // A server that thinks of a read-only session refuses to prepare what the transaction may do.
            super::exchange::characterize(&mut connection, &transaction.characteristics);
        }
        super::exchange::settle(&mut connection).await?;
        let options = job.session.settings.lex_options();
        let renamed = super::older_names::of(text, &options, connection.version());
        Ok(Described::Server(connection.prepare(renamed.as_deref().unwrap_or(text)).await?))
    }

    /// COM_STMT_EXECUTE.
    pub(super) async fn execute(
        &self,
        session: &mut Session,
        execute: StmtExecute<'_>,
        client: &mut ClientStream,
    ) -> Result<()> {
        let statement = session.prepared.get_mut(execute.statement_id, "mysqld_stmt_execute")?;
        let (text, lexed) = (statement.text.clone(), statement.lexed.clone());
        statement.cursor = None;
        let needs_binary_rows = statement.has_inexact_text;
        let types = std::mem::take(&mut statement.types);
        let long_data = std::mem::take(&mut statement.long_data);
        let parameters = execute
            .parameters(statement.parameter_count.into(), &types)
            .map_err(crate::wire::Malformed::into_client_error)?;
        let mut past = std::mem::take(&mut statement.past);
        past.note(parameters.types());
        let new_types = parameters.types_are_new().then(|| parameters.types().to_vec());
        session.needs_binary_rows = needs_binary_rows;
        session.is_prepared = true;
        let outcome = {
            let mut job = Job {
                snapshot: self.snapshot(),
                session: &mut *session,
                client,
                text: &text,
                lexed: &lexed,
                execution: Some(Execution { parameters, long_data: &long_data, past: &past }),
                more_results: false,
            };
            if super::cursor::is_wanted(execute.flags, &job) {
                Box::pin(self.run_for_cursor(&mut job)).await
            } else {
                self.run(&mut job).await.map(|()| None)
            }
        };
        let (outcome, cursor) = match outcome {
            Ok(cursor) => (Ok(()), cursor),
            Err(error) => (Err(error), None),
        };
        if let Ok(statement) = session.prepared.get_mut(execute.statement_id, "mysqld_stmt_execute") {
            statement.types = new_types.unwrap_or(types);
            statement.past = past;
            statement.cursor = cursor;
        }
        outcome
    }

    /// COM_STMT_RESET: long data that was sent ahead is forgotten, and the cursor is closed.
    pub(super) fn reset_statement(
        &self,
        session: &mut Session,
        id: u32,
        client: &mut ClientStream,
    ) -> Result<()> {
        let statement = session.prepared.get_mut(id, "mysqld_stmt_reset")?;
        (statement.long_data, statement.cursor) = (LongData::default(), None);
        let status = session.status();
        client.ok(&crate::wire::OkPacket { status, ..Default::default() });
        Ok(())
    }
}

fn client_lost(error: std::io::Error) -> Error {
    Error::new(ErrorKind::ClientLost, error.to_string())
}

/// Statements whose reply has no columns and that servers are never asked about.
fn is_router_own(kind: StatementKind) -> bool {
    kind.is_transaction_control()
        || matches!(kind, StatementKind::Set | StatementKind::Use | StatementKind::Kill)
}

/// Where a planned statement is prepared.
pub(super) enum Preparation {
    AtServer(Target, Vec<u8>),
    /// Over the tables that its execution gathers, empty.
    Gathered(Box<Gather>),
    /// The router answers itself.
    Router(Vec<ColumnDefinition>),
}

/// The answer to COM_STMT_PREPARE.
pub(super) enum Described {
    /// Columns of a result that the router makes.
    Router(Vec<ColumnDefinition>),
    /// What a server said.
    Server(Arc<crate::backend::PreparedStatement>),
}

impl Described {
    fn parameter_count(&self) -> u16 {
        match self {
            Described::Router(_) => 0,
            Described::Server(prepared) => prepared.parameter_count,
        }
    }

    /// FLOAT is shown with six digits, and DOUBLE with decimals with no more than those.
    fn has_inexact_text(&self) -> bool {
        const DECIMALS_MAX: u8 = 30;
        let Described::Server(prepared) = self else { return false };
        prepared.columns().iter().any(|column| match column.column_type {
            ColumnType::FLOAT => true,
            ColumnType::DOUBLE => column.decimals <= DECIMALS_MAX,
            _ => false,
        })
    }

    async fn send(
        &self,
        client: &mut ClientStream,
        id: u32,
        session: &Session,
        renaming: Option<Renaming>,
    ) -> Result<()> {
        let columns = match self {
            Described::Server(prepared) => {
                let mut packets = Vec::with_capacity(prepared.packets().len());
                prepared.write_reply(id, &mut packets);
                if let Some(mut renaming) = renaming {
                    let mut renamed = Vec::with_capacity(packets.len());
                    renaming.feed(&packets, &mut renamed);
                    packets = renamed;
                }
                return client.write(&packets).await.map_err(client_lost);
            }
            Described::Router(columns) => columns,
        };
        let column_count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
        let ok = PrepareOk { statement_id: id, column_count, ..PrepareOk::default() };
        client.packet(|out| ok.encode(out));
        for column in columns {
            client.packet(|out| column.encode(out));
        }
        if !columns.is_empty() && !client.deprecates_eof() {
            let status = session.status();
            client.packet(|out| EofPacket { warnings: 0, status }.encode(out));
        }
        Ok(())
    }
}
