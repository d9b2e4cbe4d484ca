//! COM_FIELD_LIST, and names of keyspaces in texts for servers.

use super::Executor;
use super::job::Job;
use super::job::flavor_of;
use super::keyspace_names::KeyspaceNames;
use super::place;
use super::renaming::{About, Renaming, RenamingSink};
use crate::error::Result;
use crate::server::ClientStream;
use crate::session::Session;
use crate::sql::ident::quoted;
use crate::sql::{MarkKind, splice::splice_all};
use crate::topology::Snapshot;
use crate::wire::{Command, ReplyKind, StatusFlags, StatusPatch};

impl Executor {
    /// COM_FIELD_LIST: the columns of a table, with defaults. Old clients use it for completion.
    pub(super) async fn field_list(
        &self,
        session: &mut Session,
        table: &[u8],
        wildcard: &[u8],
        client: &mut ClientStream,
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let name = String::from_utf8_lossy(table);
        let keyspace = match session.keyspace() {
            Some(keyspace) => keyspace.to_owned(),
            None => {
                let found = snapshot.vschema.find_table(None, &name, session.target.tablet_type)?;
                found.keyspace.to_string()
            }
        };
        let target = place::any_shard(&snapshot, &keyspace, session)?;
        let flavor = flavor_of(client);
        let needs = crate::backend::pool::Needs { flavor, settings: session.settings.backend().hash() };
        let mut connection = self.gateway().acquire(&target, &needs).await?;
        connection.sync_settings(session.settings.backend());
        super::exchange::settle(&mut connection).await?;
        connection.queue(&Command::FieldList { table, wildcard });
        connection.flush().await?;
        let clear = StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANSACTION;
        let patch = StatusPatch { clear, set: session.status() };
        let Some(names) = KeyspaceNames::for_session(session, &snapshot, Some(&keyspace)) else {
            let mut sink = super::exchange::ClientSink {
                client,
                snapshot: &snapshot,
                session_target: &session.target,
                keyspace: &keyspace,
            };
            return connection.receive(ReplyKind::FieldList, patch, &mut sink).await.map(drop);
        };
        let mut sink = RenamingSink::new(client, Renaming::new(names, About::Columns, false));
        connection.receive(ReplyKind::FieldList, patch, &mut sink).await.map(drop)
    }
}

/// Qualifiers in the text and their names.
fn qualifiers<'j>(job: &'j Job<'_>) -> impl Iterator<Item = (crate::sql::Span, String)> + 'j {
    let marks = job.lexed.marks.iter().filter(|mark| mark.kind == MarkKind::Qualifier);
    marks.map(|mark| {
        let source = mark.span.of(job.text);
        let name = source.trim_ascii_end().strip_suffix(b".").unwrap_or(source).trim_ascii_end();
        (mark.span, crate::sql::ident::name_of(name).into_owned())
    })
}

/// The text with keyspaces' names as qualifiers replaced by the names of their databases on the servers.
pub(super) fn with_database_names(job: &Job<'_>) -> Vec<u8> {
    let snapshot: &Snapshot = &job.snapshot;
    let edits: Vec<_> = qualifiers(job)
        .filter_map(|(span, name)| {
            let keyspace = snapshot.topology.keyspace(&name)?;
            Some((span, format!("{}.", quoted(keyspace.db_name())).into_bytes()))
        })
        .collect();
    let edits: Vec<_> = edits.iter().map(|(span, text)| (*span, text.as_slice())).collect();
    splice_all(job.text, &edits)
}
