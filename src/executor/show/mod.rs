//! `SHOW`: answered by the router itself, or sent to a server that knows.
//!
//! What is about the cluster or the session is the router's; what is about tables goes to a shard of their keyspace,
//! with the keyspace's name replaced by the servers' database name; the rest goes to any server.

mod filter;
mod like;
mod processlist;
mod tables;
mod transactions;
mod variables;
mod vschema;

use super::job::Job;
use super::keyspace_names::KeyspaceNames;
use super::prepared::Preparation;
use super::table::Table;
use super::{Executor, place};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::session::target::SYSTEM_DATABASES;
use crate::sql::splice::splice_all;
use crate::sql::statement::{Filter, Show, ShowKind, parse_show};
use crate::sql::token::Span;
use crate::topology::Snapshot;

impl Executor {
    /// Runs a `SHOW` statement.
    pub(super) async fn show(&self, job: &mut Job<'_>) -> Result<()> {
        let options = job.session.settings.lex_options();
        let show = parse_show(job.text, &options)?;
        // A session that has chosen a shard talks to that shard, except about the router itself.
        let is_router_own = is_router_own(show.kind);
        if !is_router_own && let Some(target) = place::explicit(job.session, &job.snapshot)? {
            return self.pass_to(job, target).await;
        }
        if is_about_transactions(show.kind) {
            return self.show_transactions(job, &show).await;
        }
        match self.own_table(job, &show)? {
            Some(table) => self.send_table(job, table).await,
            None => self.show_of_server(job, &show).await,
        }
    }

    /// The result, if it is one that the router makes; filters applied.
    pub(super) fn own_table(&self, job: &Job<'_>, show: &Show) -> Result<Option<Table>> {
        let session = &*job.session;
        let mut table = match show.kind {
            ShowKind::CountErrors => {
                tables::count("@@session.error_count", session.diagnostics.error_count() as u64)
            }
            ShowKind::CountWarnings => {
                tables::count("@@session.warning_count", u64::from(session.diagnostics.warning_count()))
            }
            ShowKind::Databases => tables::databases(&job.snapshot, true),
            ShowKind::Engines => tables::engines(),
            ShowKind::Errors => self.diagnostics(job, true),
            ShowKind::Keyspaces => tables::databases(&job.snapshot, false),
            ShowKind::Plugins => tables::plugins(),
            ShowKind::Processlist => processlist::table(self.registry(), show.full),
            kind if is_about_transactions(kind) => transactions::columns(),
            ShowKind::VitessShards => tables::vitess_shards(&job.snapshot),
            ShowKind::VitessTablets => {
                tables::vitess_tablets(&self.gateway().tablets(), self.options().tablet_type_names)
            }
            ShowKind::VitessTarget => tables::vitess_target(session),
            ShowKind::VitessTargets => tables::vitess_targets(&job.snapshot),
            ShowKind::VschemaKeyspaces => tables::vschema_keyspaces(&job.snapshot),
            ShowKind::VschemaTables => {
                vschema::tables(&job.snapshot, keyspace_name(show, session.keyspace())?)?
            }
            ShowKind::VschemaVindexes => vschema::vindexes(&job.snapshot, show, session.keyspace())?,
            ShowKind::Warnings => self.diagnostics(job, false),
            _ => return Ok(None),
        };
        self.filter(job, show, &mut table)?;
        Ok(Some(table))
    }

    /// What servers have said, in the client's words.
    fn diagnostics(&self, job: &Job<'_>, errors_only: bool) -> Table {
        let names = KeyspaceNames::for_session(job.session, &job.snapshot, None);
        tables::diagnostics(job.session, names.as_ref(), errors_only)
    }

    fn filter(&self, job: &Job<'_>, show: &Show, table: &mut Table) -> Result<()> {
        let options = job.session.settings.lex_options();
        match &show.filter {
            None => {}
            Some(Filter::Like(span)) => {
                let mut scratch = Vec::new();
                let pattern = crate::sql::literal::string(span.of(job.text), &options, &mut scratch);
                let pattern = pattern.map_err(|error| Error::bug(format!("LIKE pattern: {error:?}")))?;
                let pattern = String::from_utf8_lossy(pattern).into_owned();
                let column = if show.kind == ShowKind::VitessTablets { HOSTNAME_COLUMN } else { 0 };
                if let (ShowKind::Databases, Some(name)) = (show.kind, table.names.first_mut()) {
                    *name = format!("Database ({pattern})");
                }
                filter::keep_like(table, column, &pattern);
            }
            Some(Filter::Where(span)) => {
                let condition = crate::sql::parse::parse_expression(span.of(job.text), &options)?;
                filter::keep_where(table, &condition)?;
            }
        }
        Ok(())
    }

    /// Where a `SHOW` is prepared, or the columns of the router's own result.
    pub(super) fn place_of_show(&self, job: &Job<'_>) -> Result<Preparation> {
        let options = job.session.settings.lex_options();
        let show = parse_show(job.text, &options)?;
        if !is_router_own(show.kind)
            && let Some(target) = place::explicit(job.session, &job.snapshot)?
        {
            return Ok(Preparation::AtServer(target, job.text.to_vec()));
        }
        if let Some(table) = self.own_table(job, &show)? {
            return Ok(Preparation::Router(table.definitions()));
        }
        let (target, text) = self.place_at_server(job, &show)?;
        Ok(Preparation::AtServer(target, text))
    }

    /// Sends the statement to a server of the keyspace that it is about.
    async fn show_of_server(&self, job: &mut Job<'_>, show: &Show) -> Result<()> {
        let (target, text) = self.place_at_server(job, show)?;
        if show.kind == ShowKind::Variables && self.show_variables(job, show, &target).await? {
            return Ok(());
        }
        self.pass_text_to(job, target, &text).await
    }

    /// A server that knows, and the text for it.
    fn place_at_server(&self, job: &Job<'_>, show: &Show) -> Result<(Target, Vec<u8>)> {
        let named = show.keyspace.as_ref().map(|(name, span)| (name.as_str(), *span));
        let system = |name: &str| SYSTEM_DATABASES.iter().any(|system| system.eq_ignore_ascii_case(name));
        let (keyspace, rename) = match named {
            Some((name, _)) if system(name) => (place::any_keyspace(job.session, &job.snapshot)?, None),
            Some((name, span)) => (name.to_owned(), Some(span)),
            None if show.table.is_some() => (self.keyspace_of_table(job, show)?, None),
            None if needs_keyspace(show.kind) => {
                let keyspace = job.session.keyspace().or(job.session.target.system_database.as_deref());
                (keyspace.ok_or_else(no_keyspace)?.to_owned(), None)
            }
            None => (place::any_keyspace(job.session, &job.snapshot)?, None),
        };
        let target = place::any_shard(&job.snapshot, &keyspace, job.session)?;
        let text = rename_keyspace(job.text, rename, &target, &job.snapshot);
        Ok((target, text))
    }

    fn keyspace_of_table(&self, job: &Job<'_>, show: &Show) -> Result<String> {
        if let Some(keyspace) = job.session.keyspace() {
            return Ok(keyspace.to_owned());
        }
        let table = show.table.as_deref().unwrap_or_default();
        let found = job.snapshot.vschema.find_table(None, table, job.session.target.tablet_type)?;
        Ok(found.keyspace.to_string())
    }
}

/// Column that `SHOW VITESS_TABLETS LIKE` looks at.
const HOSTNAME_COLUMN: usize = 6;

/// These ask all servers; their rows are not there before.
fn is_about_transactions(kind: ShowKind) -> bool {
    matches!(kind, ShowKind::TransactionStatus | ShowKind::UnresolvedTransactions)
}

fn is_router_own(kind: ShowKind) -> bool {
    is_about_transactions(kind)
        || matches!(
            kind,
            ShowKind::CountErrors
                | ShowKind::CountWarnings
                | ShowKind::Databases
                | ShowKind::Errors
                | ShowKind::Keyspaces
                | ShowKind::Processlist
                | ShowKind::VitessShards
                | ShowKind::VitessTablets
                | ShowKind::VitessTarget
                | ShowKind::VitessTargets
                | ShowKind::VschemaKeyspaces
                | ShowKind::VschemaTables
                | ShowKind::VschemaVindexes
                | ShowKind::Warnings
        )
}

fn needs_keyspace(kind: ShowKind) -> bool {
    matches!(kind, ShowKind::Tables | ShowKind::KeyspaceObjects)
}

fn no_keyspace() -> Error {
    Error::new(ErrorKind::NoKeyspace, "No database selected")
}

fn keyspace_name<'a>(show: &'a Show, current: Option<&'a str>) -> Result<&'a str> {
    show.keyspace.as_ref().map(|(name, _)| name.as_str()).or(current).ok_or_else(no_keyspace)
}

/// The text with the keyspace's name at `span` replaced by the name of its database on the servers.
fn rename_keyspace(text: &[u8], span: Option<Span>, target: &Target, snapshot: &Snapshot) -> Vec<u8> {
    let keyspace = snapshot.topology.keyspace(&target.keyspace);
    match (span, keyspace) {
        (Some(span), Some(keyspace)) => {
            let quoted = crate::sql::ident::quoted(keyspace.db_name());
            splice_all(text, &[(span, quoted.as_bytes())])
        }
        _ => text.to_vec(),
    }
}
