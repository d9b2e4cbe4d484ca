//! Two tables that the router joins itself, where a plan has a way for that; their columns' types decide whether it is one.

use super::super::Executor;
use super::super::job::Job;
use super::Finished;
use crate::error::{ERRNOS_OF_RESOLUTION, Error, ErrorKind, Result};
use crate::plan::primitive::{Gather, Several};

impl Executor {
    /// Runs the query as a join. False: it must be gathered after all, and the client has heard nothing.
    pub(super) async fn join_instead(&self, job: &mut Job<'_>, gather: &Gather) -> Result<bool> {
        // Shards that fail are missing from gathered rows too, but then all tables are read as one.
        let Some(joined) = gather.joined.as_deref().filter(|_| job.session.tolerated.is_none()) else {
            return Ok(false);
        };
        let mut has_begun = false;
        let before = job.session.settings_override.clone();
        let outcome = match joined {
            Several::Combine(tree) => {
                self.combine(job, &gather.host, &[], tree, &mut has_begun).await.map(|()| Finished::Done)
            }
            Several::Finish(finish) => self.finish_groups(job, &gather.host, &[], finish).await,
            _ => return Err(Error::bug("tables that are joined by something else")),
        };
        match outcome {
            Ok(Finished::Done) => Ok(true),
            Ok(Finished::Not(_)) => Ok(false),
            Err(error) if !has_begun && is_about_this_way(&error) => {
                job.session.settings_override = before;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Does the error say that the query cannot be run so, rather than that it cannot be run?
fn is_about_this_way(error: &Error) -> bool {
    match error.kind() {
        Some(kind) => matches!(kind, ErrorKind::Unsupported | ErrorKind::LimitExceeded),
        None => ERRNOS_OF_RESOLUTION.contains(&error.errno()),
    }
}
