//! DDL: run like any planned statement, and followed by a look at the tables that it names, so that the session's
//! next statement sees them as they are.

use super::Executor;
use super::job::Job;
use crate::error::Result;
use crate::sql::ident::name_of;
use crate::sql::{Ddl, DdlObject, DdlVerb, TokenKind, Tokenizer};
use crate::topology::KeyspaceName;
use crate::tracker::Tracker;
use crate::vschema::TableName;
use std::sync::Arc;
use tokio::task::JoinHandle;

impl Executor {
    /// Runs a DDL statement.
    pub(super) async fn ddl(&self, job: &mut Job<'_>, ddl: Ddl) -> Result<()> {
        if ddl.object == DdlObject::Database && self.keyspace_ddl(job, ddl.verb)? {
            return Ok(());
        }
        if ddl.verb == DdlVerb::Truncate && self.truncate_with_lookups(job).await? {
            return Ok(());
        }
        if !changes_columns(ddl) {
            return self.planned(job).await;
        }
        let (keyspaces, names) = mentioned(job);
        let refresh = Refresh { tracker: self.tracker.clone(), keyspaces, names };
        let outcome = match self.check_added_keys(job, ddl).await {
            Ok(()) => self.planned(job).await,
            Err(error) => Err(error),
        };
        // After an error too: it may have been done in part.
        self.forget_shapes();
        refresh.run().await;
        outcome
    }
}

/// The look at tables that has to follow, even if the client goes away in the middle of the statement: other sessions
/// want to know.
struct Refresh {
    tracker: Arc<Tracker>,
    keyspaces: Vec<KeyspaceName>,
    names: Vec<TableName>,
}

impl Refresh {
    async fn run(mut self) {
        if let Err(error) = self.begin().await {
            tracing::error!(%error, "the look at tables after DDL has broken off");
        }
    }

    fn begin(&mut self) -> JoinHandle<()> {
        let tracker = self.tracker.clone();
        let (keyspaces, names) = (std::mem::take(&mut self.keyspaces), std::mem::take(&mut self.names));
        tokio::spawn(async move {
            for keyspace in &keyspaces {
                tracker.refresh(keyspace, &names).await;
            }
        })
    }
}

impl Drop for Refresh {
    fn drop(&mut self) {
        // Outside of a runtime the router is ending.
        if !self.keyspaces.is_empty() && tokio::runtime::Handle::try_current().is_ok() {
            drop(self.begin());
        }
    }
}

fn changes_columns(ddl: Ddl) -> bool {
    let is_kept =
        matches!(ddl.object, DdlObject::Index | DdlObject::Sequence | DdlObject::Table | DdlObject::View);
    is_kept && !ddl.is_temporary && ddl.verb != DdlVerb::Truncate
}

/// The keyspaces that the statement may concern, and every name in it: that of a column too many costs nothing.
fn mentioned(job: &Job<'_>) -> (Vec<KeyspaceName>, Vec<TableName>) {
    let topology = &job.snapshot.topology;
    let (mut keyspaces, mut names) = (Vec::new(), Vec::<TableName>::new());
    let options = job.session.settings.lex_options();
    let mut tokenizer = Tokenizer::new(job.text, job.lexed.span.range().start, &options);
    while let Ok(token) = tokenizer.next_token() {
        if matches!(token.kind, TokenKind::End | TokenKind::Semicolon) {
            break;
        }
        if !token.kind.is_name() {
            continue;
        }
        let name = name_of(token.span.of(job.text));
        let is_meant =
            |keyspace: &&crate::topology::Keyspace| *keyspace.name() == *name || *keyspace.db_name() == *name;
        keyspaces.extend(topology.keyspaces().iter().find(is_meant).map(|keyspace| keyspace.name().clone()));
        if !names.iter().any(|known| *known == *name) {
            names.push(name.as_ref().into());
        }
    }
    match job.session.keyspace() {
        Some(keyspace) => keyspaces.push(keyspace.into()),
        None if keyspaces.is_empty() => {
            keyspaces.extend(topology.keyspaces().iter().map(|keyspace| keyspace.name().clone()));
        }
        None => {}
    }
    keyspaces.sort_unstable();
    keyspaces.dedup();
    (keyspaces, names)
}
