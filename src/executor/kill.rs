//! `KILL`: ends another session, or what it does just now. Numbers are the router's own connection ids.

use super::Executor;
use super::job::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::server::{ConnectionId, Kill};
use crate::sql::statement::parse_kill;

impl Executor {
    /// Runs a `KILL` statement. A user may end sessions of the same name only.
    pub(super) fn kill(&self, job: &mut Job<'_>) -> Result<()> {
        let kill = parse_kill(job.text, &job.session.settings.lex_options())?;
        let unknown = || Error::new(ErrorKind::UnknownThread, format!("Unknown thread id: {}", kill.id));
        let id = ConnectionId(u32::try_from(kill.id).map_err(|_| unknown())?);
        let other = self.registry().find(id).ok_or_else(unknown)?;
        if *other.user() != *job.session.identity.user {
            return Err(Error::new(
                ErrorKind::KillDenied,
                format!("You are not owner of thread {}", kill.id),
            ));
        }
        let what = if kill.query_only { Kill::Query } else { Kill::Connection };
        if !self.registry().kill(id, what) {
            return Err(unknown());
        }
        job.send_ok();
        Ok(())
    }
}
