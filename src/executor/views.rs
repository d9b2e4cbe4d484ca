//! Queries over views of sharded keyspaces that no plan can answer as they stand, and `TABLE t`: run again with the
//! views' definitions in their place, or as SELECT.

use super::Executor;
use super::job::Job;
use super::prepared::Described;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::PLAN_CACHE_TEXT_BYTES_MAX;
use crate::sql::{Lexed, lex};

impl Executor {
    /// Runs a query again with its views expanded; `ours` is the refusal when it names none. Nothing of a reply may
    /// have been sent.
    pub(super) async fn with_views_expanded(&self, job: &mut Job<'_>, ours: Error) -> Result<()> {
        let (text, lexed) = self.views_expanded(job, ours)?;
        Box::pin(self.planned(&mut with_text(job, &text, &lexed))).await
    }

    /// What a client is told that prepares a query over views.
    pub(super) async fn describe_expanded(&self, job: &mut Job<'_>, ours: Error) -> Result<Described> {
        let (text, lexed) = self.views_expanded(job, ours)?;
        Box::pin(self.describe_statement(&mut with_text(job, &text, &lexed))).await
    }

    fn views_expanded(&self, job: &Job<'_>, ours: Error) -> Result<(Vec<u8>, Lexed)> {
        let is_refused = ours.kind() == Some(ErrorKind::Unsupported);
        if !is_refused || !job.lexed.kind.is_query() {
            return Err(ours);
        }
        let options = job.session.settings.lex_options();
        let expanded = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            crate::plan::expand_views(ctx, job.text, job.lexed)
        });
        // Views over views come one level at a time, so the size limits them too.
        let text = match expanded {
            Ok(Some(text)) if text.len() <= PLAN_CACHE_TEXT_BYTES_MAX => text,
            _ => return Err(ours),
        };
        let mut lexed = Lexed::new();
        lex(&text, 0, &options, &mut lexed)?;
        Ok((text, lexed))
    }
}

/// The same statement of the same client, with another text.
fn with_text<'j>(job: &'j mut Job<'_>, text: &'j [u8], lexed: &'j Lexed) -> Job<'j> {
    Job {
        session: &mut *job.session,
        client: &mut *job.client,
        snapshot: job.snapshot.clone(),
        text,
        lexed,
        execution: job.execution,
        more_results: job.more_results,
    }
}
