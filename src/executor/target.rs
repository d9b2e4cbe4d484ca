//! `USE` and COM_INIT_DB: choosing where a session's statements go.

use super::Executor;
use super::job::Job;
use crate::error::Result;
use crate::server::ClientStream;
use crate::session::Session;
use crate::session::target::SessionTarget;
use crate::sql::statement::parse_use;
use crate::wire::OkPacket;

impl Executor {
    /// Runs a `USE` statement.
    pub(super) fn use_target(&self, job: &mut Job<'_>) -> Result<()> {
        let target = parse_use(job.text, &job.session.settings.lex_options())?;
        self.switch(job.session, &target, job.client)?;
        job.send_ok();
        Ok(())
    }

    /// COM_INIT_DB.
    pub(super) fn init_db(
        &self,
        session: &mut Session,
        target: &str,
        client: &mut ClientStream,
    ) -> Result<()> {
        session.diagnostics.clear();
        let switched = self.switch(session, target, client);
        if let Err(error) = &switched {
            session.diagnostics.push_error(error);
        }
        switched?;
        client.ok(&OkPacket { status: session.status(), ..OkPacket::default() });
        Ok(())
    }

    fn switch(&self, session: &mut Session, target: &str, client: &mut ClientStream) -> Result<()> {
        let in_transaction = session.transaction.is_active();
        session.target = SessionTarget::parse(target, &self.snapshot(), &session.target, in_transaction)?;
        client.entry().set_database(session.target.text.clone());
        Ok(())
    }
}
