//! LOAD DATA: a file of a server, or one that the client sends while its statement runs.
//!
//! Where one server has the whole table, the parts of a client's file pass through one by one, as fast as the server
//! takes them. <https://dev.mysql.com/doc/refman/9.0/en/load-data.html>

mod batch;
mod keys;
mod rows;

use super::Executor;
use super::arguments::Placeholders;
use super::exchange::{Lease, settle};
use super::job::Job;
use super::outcome::collect_warnings;
use super::place;
use super::two_phase::check_write;
use crate::backend::LoadReply;
use crate::backend::pool::PooledConnection;
use crate::engine::WriteOutcome;
use crate::error::{Error, ErrorKind, Origin, Result};
use crate::gateway::Target;
use crate::plan::primitive::Query;
use crate::sql::statement::is_local_load;
use crate::topology::TabletType;
use crate::wire::{Capabilities, Command, ReplySummary};

impl Executor {
    /// Runs a `LOAD` statement.
    pub(super) async fn load_data(&self, job: &mut Job<'_>) -> Result<()> {
        if job.execution.is_some() {
            return Err(Error::unsupported("LOAD DATA as a prepared statement"));
        }
        if job.session.target.tablet_type != TabletType::Primary {
            let text = format!("LOAD statement with a {} target", job.session.target.tablet_type);
            return Err(Error::new(ErrorKind::ReplicaTarget, text));
        }
        let options = job.session.settings.lex_options();
        if is_local_load(job.text, &options) && !job.client.capabilities().contains(Capabilities::LOCAL_FILES)
        {
            return Err(self.local_files_disabled());
        }
        if let Some(target) = place::explicit(job.session, &job.snapshot)? {
            let text = job.text.to_vec();
            return self.load_at(job, &target, &text).await;
        }
        let planned = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            crate::plan::build_load(ctx, job.text, job.lexed)
        });
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) if error.kind() == Some(ErrorKind::Unsupported) => {
                // LOAD XML, and what only some servers know.
                return match place::certain(job.session, &job.snapshot)? {
                    Some(target) => {
                        let text = job.text.to_vec();
                        self.load_at(job, &target, &text).await
                    }
                    None => Err(self.server_error(job, error).await),
                };
            }
            Err(error) => return Err(error),
        };
        if !job.session.settings.autocommit {
            job.session.transaction.open();
        }
        if let Some(rows) = &plan.rows {
            return self.load_rows_with_keys(job, &plan, rows).await;
        }
        let text = self.load_text(job, &plan.query)?;
        let target = place::any_shard(&job.snapshot, &plan.keyspace, job.session)?;
        self.load_at(job, &target, &text).await
    }

    fn load_text(&self, job: &Job<'_>, query: &Query) -> Result<Vec<u8>> {
        match query {
            Query::Original => Ok(job.text.to_vec()),
            Query::Template(template) => self.render(job, template, Placeholders::Inline),
        }
    }

    /// The statement at one server; a client's file passes through.
    async fn load_at(&self, job: &mut Job<'_>, target: &Target, text: &[u8]) -> Result<()> {
        if !job.session.settings.autocommit {
            job.session.transaction.open();
        }
        if let Some(log) = &job.session.query_log {
            log.push(target, text);
        }
        if job.session.transaction.is_active() {
            check_write(job.session, std::slice::from_ref(target))?;
        }
        let needs = job.needs();
        let mut lease = self.lease(job.session, target, &needs).await?;
        let outcome = pass_file(job, &mut lease, text).await;
        let is_servers = outcome
            .as_ref()
            .err()
            .is_some_and(|error| error.origin() == Origin::Backend && error.kind().is_none());
        if outcome.is_ok() || is_servers {
            // The warnings are in the session.
            let known = outcome.as_ref().ok().map(|summary| ReplySummary { warnings: 0, ..summary.clone() });
            self.after_statement(job, &mut lease, true, known.as_ref()).await;
        }
        drop(lease);
        let summary = match outcome {
            Ok(summary) => summary,
            Err(error) => {
                self.drop_lost_shards(job.session);
                return Err(error);
            }
        };
        self.send_outcome(job, &super::write::outcome_of(&summary));
        Ok(())
    }

    /// What servers say to clients that do not send files.
    fn local_files_disabled(&self) -> Error {
        const MARIADB: &str = "The used command is not allowed because the MariaDB server or client has disabled the \
                                 local infile capability";
        const MYSQL: &str =
            "Loading local data is disabled; this must be enabled on both the client and server sides";
        if self.options().version.contains("MariaDB") {
            Error::new(ErrorKind::LocalFilesDisabledMariaDb, MARIADB)
        } else {
            Error::new(ErrorKind::LocalFilesDisabled, MYSQL)
        }
    }
}

/// Sends the statement, and the client's file if the server asks for it.
async fn pass_file(job: &mut Job<'_>, lease: &mut Lease, text: &[u8]) -> Result<ReplySummary> {
    let assignment = super::variables::are_named(job).then(|| super::variables::assignment(job));
    let connection = lease.connection(&mut job.session.transaction);
    if let Some(assignment) = &assignment {
        connection.queue(&Command::Query(assignment));
    }
    // The reply does not tell which numbers were generated.
    let known = format!("SET LAST_INSERT_ID = {}", job.session.last_insert_id);
    connection.queue(&Command::Query(known.as_bytes()));
    let summary = match begin(connection, text).await? {
        LoadReply::Done(summary) => summary,
        LoadReply::FileWanted(name) => {
            request(job.client, &name).await?;
            while let Some(part) = job.client.next_file_part().await? {
                connection.send_file_part(&part).await?;
            }
            connection.end_file().await?
        }
    };
    if summary.warnings > 0 {
        // Before anything else is asked.
        collect_warnings(connection, &mut job.session.diagnostics).await;
    }
    let result = connection.query_all("SELECT LAST_INSERT_ID() AS id").await?;
    let id = result.value(0, "id").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
    job.session.last_insert_id = id.unwrap_or(job.session.last_insert_id);
    Ok(summary)
}

async fn request(client: &mut crate::server::ClientStream, name: &[u8]) -> Result<()> {
    let sent = client.request_file(name).await;
    sent.map_err(|error| Error::new(ErrorKind::ClientLost, format!("cannot ask for a file: {error}")))
}

/// Sends the statement behind what is queued; receives the request for the file.
async fn begin(connection: &mut PooledConnection, text: &[u8]) -> Result<LoadReply> {
    settle(connection).await?;
    connection.queue(&Command::Query(text));
    connection.flush().await?;
    connection.receive_load().await
}

/// The statement at one shard with a part of the file.
async fn send(connection: &mut PooledConnection, text: &[u8], file: &[u8]) -> Result<ReplySummary> {
    match begin(connection, text).await? {
        LoadReply::Done(_) => Err(Error::bug("LOAD DATA LOCAL without a request for a file")),
        LoadReply::FileWanted(_) => {
            for part in file.chunks(PART_BYTES) {
                connection.send_file_part(part).await?;
            }
            connection.end_file().await
        }
    }
}

/// Bytes in one packet of a file, as stock clients send them at most.
const PART_BYTES: usize = 64 << 10;

/// A number of the info text: `Records: 3  Deleted: 0  Skipped: 1  Warnings: 1`.
fn number_in(outcome: &WriteOutcome, name: &str) -> u64 {
    let text = String::from_utf8_lossy(&outcome.info);
    let after = text.split_once(name).map_or("", |(_, after)| after);
    let digits = after.trim_start_matches([':', ' ']);
    digits.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
