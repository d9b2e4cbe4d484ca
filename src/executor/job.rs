//! One statement on its way through the executor: everything that its handlers need, in one place.

use std::sync::Arc;

use crate::backend::pool::Needs;
use crate::backend::{Flavor, ParameterKinds};
use crate::server::ClientStream;
use crate::session::Session;
use crate::session::lease::Tolerated;
use crate::sql::{Directives, Lexed, StatementKind};
use crate::topology::Snapshot;
use crate::wire::statement::{LongData, Parameters};
use crate::wire::{Capabilities, StatusFlags, StatusPatch};

/// The bound parameters of a COM_STMT_EXECUTE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Execution<'a> {
    pub(super) parameters: Parameters<'a>,
    pub(super) long_data: &'a LongData,
    /// What the statement has been executed with, this execution included.
    pub(super) past: &'a ParameterKinds,
}

/// A statement that is being run for a session.
pub(super) struct Job<'a> {
    pub(super) session: &'a mut Session,
    pub(super) client: &'a mut ClientStream,
    /// The state of the cluster that this statement works on, from parse to last row.
    pub(super) snapshot: Arc<Snapshot>,
    /// The statement's text, without what stands behind its `;`.
    pub(super) text: &'a [u8],
    pub(super) lexed: &'a Lexed,
    /// Parameters, when the statement is prepared: its rows are binary then.
    pub(super) execution: Option<Execution<'a>>,
    /// Another statement of the same packet follows.
    pub(super) more_results: bool,
}

impl Job<'_> {
    /// Another text of the router's own, run on the way of this statement and for the same session.
    pub(super) fn inner<'b>(&'b mut self, text: &'b [u8], lexed: &'b Lexed) -> Job<'b> {
        Job {
            session: &mut *self.session,
            client: &mut *self.client,
            snapshot: self.snapshot.clone(),
            text,
            lexed,
            execution: None,
            more_results: false,
        }
    }

    /// The status flags of this statement's reply.
    pub(super) fn status(&self) -> StatusFlags {
        let mut status = self.session.status();
        status.set(StatusFlags::MORE_RESULTS, self.more_results);
        status
    }

    /// Reads what a comment asks of the statement.
    pub(super) fn note_directives(&mut self) {
        if let Some(span) = self.lexed.directive {
            let directives = Directives::parse(span.of(self.text));
            if directives.scatter_errors_as_warnings && self.lexed.kind.is_query() {
                self.session.tolerated = Some(Tolerated::default());
            }
            self.session.directives = Some(Arc::new(directives));
        }
    }

    /// Does a comment ask for this?
    pub(super) fn is_directed(&self, which: fn(&Directives) -> bool) -> bool {
        self.session.is_directed(which)
    }

    /// What forwarded replies need, so that the client sees its session's state and not a connection's.
    pub(super) fn patch(&self) -> StatusPatch {
        let clear = StatusFlags::AUTOCOMMIT
            | StatusFlags::IN_TRANSACTION
            | StatusFlags::IN_READ_ONLY_TRANSACTION
            | StatusFlags::NO_BACKSLASH_ESCAPES;
        StatusPatch { clear, set: self.status() }
    }

    /// What connections for this statement must be like.
    pub(super) fn needs(&self) -> Needs {
        Needs { flavor: self.flavor(), settings: self.session.statement_settings().hash() }
    }

    /// May the statement change something? Whatever is not known to read only may.
    pub(super) fn is_write(&self) -> bool {
        let kind = self.lexed.kind;
        let only_tells = matches!(
            kind,
            StatementKind::Describe | StatementKind::Empty | StatementKind::Help | StatementKind::Show
        );
        !only_tells && !self.lexed.is_read_only_query()
    }

    /// The flavor that lets replies pass to this client without translation.
    pub(super) fn flavor(&self) -> Flavor {
        flavor_of(self.client)
    }
}

/// The flavor that a client's capabilities ask for.
pub(super) fn flavor_of(client: &ClientStream) -> Flavor {
    Flavor {
        deprecate_eof: client.deprecates_eof(),
        found_rows: client.capabilities().contains(Capabilities::FOUND_ROWS),
    }
}
