//! Errors in a server's own words: over several shards a server is sent other text than the client wrote, so what it
//! says about that ("… in SELECT") may not be what it would say about the client's.

use super::Executor;
use super::arguments::Placeholders;
use super::job::Job;
use super::place;
use crate::engine::ShardPart;
use crate::error::{ERRNO_NOT_GROUPED, ERRNOS_OF_RESOLUTION, Error, ErrorKind};
use crate::plan::primitive::{Query, Route};

/// An error about a statement over several shards.
pub(super) enum Doubt {
    /// What the client is told.
    Settled(Error),
    /// A server accepts the client's text, but not what the router made of it.
    Ours(Error),
}

impl Executor {
    /// What a server says to the client's text when it is asked to prepare it, if that is an error about names or
    /// grouping; otherwise `ours`, which is kept for everything else.
    pub(super) async fn in_servers_words(
        &self,
        job: &mut Job<'_>,
        route: &Route,
        parts: &[ShardPart<'_>],
        ours: Error,
    ) -> Doubt {
        let is_doubtful =
            ours.kind() == Some(ErrorKind::Unsupported) || is_of_resolution(&ours) || is_of_syntax(&ours);
        let keyspace = route.keyspace.as_ref().and_then(|name| job.snapshot.topology.keyspace(name));
        let Some((keyspace, part)) = keyspace.zip(parts.first()).filter(|_| is_doubtful) else {
            return Doubt::Settled(ours);
        };
        let target = place::target(job.session, keyspace, part.shard.name().clone());
        let text = match &route.query {
            Query::Original => Ok(job.text.to_vec()),
            Query::Template(template) => self.render(job, template, Placeholders::Keep),
        };
        let Ok(text) = text else { return Doubt::Settled(ours) };
        match self.prepare_at(job, &target, &text).await {
            Err(error) if is_of_resolution(&error) || is_of_syntax(&error) => Doubt::Settled(error),
            Ok(_) if is_of_grouping(&ours) => Doubt::Ours(ours),
            _ => Doubt::Settled(ours),
        }
    }
}

/// A column beside groups that do not decide it.
fn is_of_grouping(error: &Error) -> bool {
    error.kind().is_none() && error.errno() == ERRNO_NOT_GROUPED
}

fn is_of_resolution(error: &Error) -> bool {
    ERRNOS_OF_RESOLUTION.contains(&error.errno())
}

/// A server shows the part of the text that it does not understand.
fn is_of_syntax(error: &Error) -> bool {
    error.kind().is_none() && error.errno() == ErrorKind::Syntax.errno()
}
