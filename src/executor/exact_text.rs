//! Statements that copy rows read text as servers store it, whatever the client wants to receive: Connector/J and others
//! set `character_set_results` to NULL, and such a statement has no rows for them.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/charset-connection.html>

use std::sync::Arc;

use crate::backend::SessionSettings;
use crate::session::Session;

const RESULTS: &str = "character_set_results";

/// Makes servers send text without loss for the rest of the statement, if that is a matter of the results alone. Returns
/// what the session's `settings_override` must be afterwards.
pub(super) fn begin(session: &mut Session) -> Option<Arc<SessionSettings>> {
    let before = session.settings_override.clone();
    let settings = session.statement_settings();
    if settings.variable(RESULTS).is_some() && sends_exactly(settings) {
        let others = settings.variables().filter(|(name, _)| *name != RESULTS);
        session.settings_override = Some(SessionSettings::new(others, settings.names().cloned()));
    }
    before
}

/// Does text come from servers, and reach them, without loss?
pub(super) fn is_exact(session: &Session) -> bool {
    let settings = session.statement_settings();
    sends_exactly(settings) && settings.variable(RESULTS).is_none()
}

fn sends_exactly(settings: &SessionSettings) -> bool {
    let variables = ["character_set_client", "character_set_connection"];
    settings.names().is_none_or(|names| &*names.charset == "utf8mb4")
        && variables.iter().all(|name| settings.variable(name).is_none())
}
