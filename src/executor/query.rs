//! COM_QUERY: the statements of one packet, one after the other, and what becomes of each.

use super::Executor;
use super::job::Job;
use super::place;
use super::scratch::Scratch;
use crate::error::{ERRNO_READ_ONLY_TRANSACTION, Error, ErrorKind, Result};
use crate::limits;
use crate::server::ClientStream;
use crate::session::Session;
use crate::session::transaction::{Characteristics, Pin};
use crate::sql::{LexOptions, Lexed, StatementKind, lex};
use crate::wire::{Capabilities, OkPacket};

impl Executor {
    /// Runs every statement of `text`. The first error ends the series and is the reply's last packet.
    pub(super) async fn query(
        &self,
        session: &mut Session,
        text: &[u8],
        client: &mut ClientStream,
    ) -> Result<()> {
        let mut options = session.settings.lex_options();
        options.multi_statements = client.capabilities().contains(Capabilities::MULTI_STATEMENTS);
        let mut lexer = Scratch::take();
        let mut rest = text;
        for _ in 0..limits::STATEMENTS_PER_PACKET_MAX {
            let lexed = lexer.lexed();
            if let Err(error) = lex(rest, 0, &options, lexed) {
                return Err(Box::pin(self.lexical_error(session, client, rest, error)).await);
            }
            let next = lexed.next.map(|next| next as usize);
            let mut job = Job {
                snapshot: self.snapshot(),
                session: &mut *session,
                client: &mut *client,
                text: &rest[..lexed.span.range().end],
                lexed,
                execution: None,
                more_results: next.is_some(),
            };
            self.run(&mut job).await?;
            let Some(next) = next else { return Ok(()) };
            rest = &rest[next..];
            options = LexOptions { multi_statements: true, ..session.settings.lex_options() };
        }
        Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("a packet may have at most {} statements", limits::STATEMENTS_PER_PACKET_MAX),
        ))
    }

    /// Text that cannot be cut into tokens, in a server's words if possible.
    async fn lexical_error(
        &self,
        session: &mut Session,
        client: &mut ClientStream,
        text: &[u8],
        error: Error,
    ) -> Error {
        let lexed = Lexed::new();
        let snapshot = self.snapshot();
        let mut job =
            Job { snapshot, session, client, text, lexed: &lexed, execution: None, more_results: false };
        let error = self.server_error(&mut job, error).await;
        session.diagnostics.clear();
        self.after_error(session, &error).await;
        error
    }

    /// Runs one statement, prepared or not, and keeps the session's diagnostics.
    pub(super) async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        if !is_diagnostic(job) {
            job.session.diagnostics.clear();
        }
        job.note_directives();
        let outcome = match self.note_workload(job) {
            Ok(()) => self.dispatch_unless_interrupted(job).await,
            Err(error) => Err(error),
        };
        if job.client.is_sending_file() && !Box::pin(job.client.discard_file()).await {
            job.session.is_closing = true;
        }
        job.session.end_statement();
        let transaction = &mut job.session.transaction;
        transaction.pin_next = None;
        let was_run = outcome.as_ref().err().is_none_or(|error| !is_before_execution(error));
        if std::mem::take(&mut transaction.is_one_shot) && was_run {
            transaction.characteristics = Characteristics::default();
        }
        if let Err(error) = &outcome {
            self.after_error(job.session, error).await;
        }
        outcome
    }

    pub(super) async fn dispatch(&self, job: &mut Job<'_>) -> Result<()> {
        let kind = job.lexed.kind;
        if job.session.transaction.check().is_err()
            && !matches!(kind, StatementKind::Rollback | StatementKind::Show)
        {
            // The error names the way out; COMMIT ends the transaction with it.
            if kind == StatementKind::Commit {
                return Box::pin(self.transaction_control(job)).await;
            }
            return job.session.transaction.check();
        }
        if kind.commits_implicitly() && job.session.transaction.is_active() {
            if matches!(kind, StatementKind::Ddl(_)) {
                Box::pin(self.check_syntax(job)).await?;
            }
            self.commit(job.session).await?;
        }
        match kind {
            StatementKind::Delete
            | StatementKind::Insert
            | StatementKind::Replace
            | StatementKind::Select
            | StatementKind::Table
            | StatementKind::Update
            | StatementKind::Values => self.planned(job).await,
            _ => Box::pin(self.unplanned(job)).await,
        }
    }

    /// A server that does not understand a statement does not commit before it either.
    async fn check_syntax(&self, job: &mut Job<'_>) -> Result<()> {
        let fine = Error::unsupported("a statement that any server understands");
        match self.server_error(job, fine).await {
            error if error.errno() == ErrorKind::Syntax.errno() => Err(error),
            _ => Ok(()),
        }
    }

    /// Statements that are not queries or changes of rows. Boxed by the caller: their futures are large, and rare.
    async fn unplanned(&self, job: &mut Job<'_>) -> Result<()> {
        match job.lexed.kind {
            StatementKind::Empty => self.empty(job).await,
            StatementKind::Begin
            | StatementKind::Commit
            | StatementKind::ReleaseSavepoint
            | StatementKind::Rollback
            | StatementKind::RollbackTo
            | StatementKind::Savepoint
            | StatementKind::StartTransaction => self.transaction_control(job).await,
            StatementKind::Set => self.set(job).await,
            StatementKind::Show => self.show(job).await,
            StatementKind::Use => self.use_target(job),
            StatementKind::Kill => self.kill(job),
            StatementKind::Load => Box::pin(self.load_data(job)).await,
            StatementKind::Ddl(ddl) => self.ddl(job, ddl).await,
            StatementKind::Call
            | StatementKind::Describe
            | StatementKind::Do
            | StatementKind::Flush
            | StatementKind::TableMaintenance => self.planned(job).await,
            StatementKind::Prepare => self.prepare_text(job).await,
            StatementKind::Execute => Box::pin(self.execute_text(job)).await,
            StatementKind::Deallocate => self.deallocate_text(job),
            StatementKind::Explain => self.explain(job).await,
            StatementKind::Vexplain => Box::pin(self.vexplain(job)).await,
            other => self.at_certain_place(job, other).await,
        }
    }

    /// Nothing but comments: engines differ in what they say to it.
    async fn empty(&self, job: &mut Job<'_>) -> Result<()> {
        let ours = Error::new(ErrorKind::EmptyQuery, "Query was empty");
        let Ok(keyspace) = place::any_keyspace(job.session, &job.snapshot) else { return Err(ours) };
        match place::any_shard(&job.snapshot, &keyspace, job.session) {
            Ok(target) => self.pass_to(job, target).await,
            Err(_) => Err(ours),
        }
    }

    /// Statements that nobody plans run where the session's target leaves no choice.
    async fn at_certain_place(&self, job: &mut Job<'_>, kind: StatementKind) -> Result<()> {
        if kind == StatementKind::Xa {
            return Err(Error::unsupported("XA statements"));
        }
        let sets_password =
            kind == StatementKind::Account && job.lexed.verb.of(job.text).eq_ignore_ascii_case(b"set");
        if sets_password && place::explicit(job.session, &job.snapshot)?.is_none() {
            // Without a name behind it, it would be the router's own password at one of the servers.
            return Err(Error::unsupported(
                "SET PASSWORD without a shard as target: users are the configuration's",
            ));
        }
        if kind == StatementKind::UnlockTables {
            return self.unlock_and_commit(job).await;
        }
        if kind == StatementKind::LockTables && self.lock_tables_on_shards(job).await? {
            return Ok(());
        }
        match place::certain(job.session, &job.snapshot)? {
            Some(target) => {
                if kind == StatementKind::LockTables {
                    let pins = job.session.transaction.pins();
                    if pins.into_iter().any(|(held, pin)| pin == Pin::TableLock && *held != target) {
                        // One server releases what was locked before.
                        self.unlock_tables(job.session).await?;
                    }
                    job.session.transaction.pin_next = Some(Pin::TableLock);
                }
                self.pass_to(job, target).await
            }
            None if kind == StatementKind::Other => {
                let ours = Error::unsupported("this statement without a shard as target");
                Err(self.server_error(job, ours).await)
            }
            None => Err(Error::unsupported(format!(
                "{} without a shard as target: choose one, such as USE `keyspace:shard@primary`",
                String::from_utf8_lossy(job.lexed.verb.of(job.text)).to_ascii_uppercase()
            ))),
        }
    }

    /// `UNLOCK TABLES` commits only what was done under locks.
    async fn unlock_and_commit(&self, job: &mut Job<'_>) -> Result<()> {
        if job.session.transaction.pins().any(|(_, pin)| pin == Pin::TableLock) {
            self.commit(job.session).await?;
        }
        self.unlock_tables(job.session).await?;
        job.send_ok();
        Ok(())
    }

    /// After an error: note it, and follow what the server did to the transaction.
    async fn after_error(&self, session: &mut Session, error: &Error) {
        session.diagnostics.push_error(error);
        session.row_count = -1;
        self.follow_rollback(session, error).await;
    }
}

/// Errors of statements that have not begun to change or read anything: what `SET TRANSACTION` said is still for the
/// next one.
pub(super) fn is_before_execution(error: &Error) -> bool {
    const KINDS: [ErrorKind; 4] =
        [ErrorKind::Syntax, ErrorKind::UnknownColumn, ErrorKind::UnknownDatabase, ErrorKind::UnknownTable];
    error.errno() == ERRNO_READ_ONLY_TRANSACTION || KINDS.iter().any(|kind| kind.errno() == error.errno())
}

/// `SHOW WARNINGS` and its kin read what the statement before left behind.
fn is_diagnostic(job: &Job<'_>) -> bool {
    use crate::sql::statement::{ShowKind, parse_show};
    if job.lexed.kind != StatementKind::Show {
        return job.lexed.kind == StatementKind::Select && super::session_query::reads_diagnostics(job);
    }
    let options = job.session.settings.lex_options();
    parse_show(job.text, &options).is_ok_and(|show| {
        matches!(
            show.kind,
            ShowKind::CountErrors | ShowKind::CountWarnings | ShowKind::Errors | ShowKind::Warnings
        )
    })
}

/// `SHOW WARNINGS` and `SHOW ERRORS`: `FOUND_ROWS()` stays what it was.
pub(super) fn shows_diagnostics(job: &Job<'_>) -> bool {
    use crate::sql::statement::{ShowKind, parse_show};
    let options = job.session.settings.lex_options();
    job.lexed.kind == StatementKind::Show
        && parse_show(job.text, &options)
            .is_ok_and(|show| matches!(show.kind, ShowKind::Errors | ShowKind::Warnings))
}

impl Job<'_> {
    /// Replies with an OK packet that says nothing but the session's status.
    pub(super) fn send_ok(&mut self) {
        self.session.row_count = 0;
        self.send_ok_with(OkPacket::default());
    }

    /// Replies with an OK packet; its status is filled in.
    pub(super) fn send_ok_with(&mut self, ok: OkPacket<'_>) {
        let status = self.status();
        self.client.ok(&OkPacket { status, ..ok });
    }
}
