//! A session's prepared statements, as COM_STMT_PREPARE made them.
//!
//! The router gives out its own statement ids: a statement is prepared on whichever backend connections its
//! executions need. See <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase_ps.html>.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::Cursor;
use crate::backend::ParameterKinds;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::PREPARED_STATEMENTS_PER_SESSION_MAX;
use crate::sql::Lexed;
use crate::wire::statement::LongData;

/// One prepared statement of a client.
#[derive(Debug)]
pub struct PreparedStatement {
    /// The text as the client sent it.
    pub text: Arc<[u8]>,
    /// What the lexer found, kept so that no execution lexes again.
    pub lexed: Arc<Lexed>,
    /// The result has numbers that their text does not show whole.
    pub has_inexact_text: bool,
    /// Number of `?`.
    pub parameter_count: u16,
    /// Two bytes a parameter, from the last execution that sent types.
    pub types: Vec<u8>,
    /// The kinds of values that it has been executed with.
    pub past: ParameterKinds,
    /// Values sent ahead by COM_STMT_SEND_LONG_DATA.
    pub long_data: LongData,
    /// Rows of the last execution that the client is yet to fetch.
    pub cursor: Option<Box<Cursor>>,
}

/// All prepared statements of one session.
#[derive(Debug, Default)]
pub struct PreparedStatements {
    last_id: u32,
    statements: HashMap<u32, PreparedStatement>,
}

impl PreparedStatements {
    /// Keeps a statement and gives its id.
    pub fn insert(&mut self, statement: PreparedStatement) -> Result<u32> {
        if self.statements.len() >= PREPARED_STATEMENTS_PER_SESSION_MAX {
            return Err(too_many());
        }
        loop {
            // Ids wrap around in sessions that prepare without end; an id in use is passed over.
            self.last_id = self.last_id.wrapping_add(1).max(1);
            if !self.statements.contains_key(&self.last_id) {
                self.statements.insert(self.last_id, statement);
                return Ok(self.last_id);
            }
        }
    }

    /// The statement with this id; `command` is the name that MySQL's error text mentions.
    pub fn get_mut(&mut self, id: u32, command: &str) -> Result<&mut PreparedStatement> {
        self.statements.get_mut(&id).ok_or_else(|| {
            Error::new(
                ErrorKind::UnknownStatement,
                format!("Unknown prepared statement handler ({id}) given to {command}"),
            )
        })
    }

    /// Forgets a statement; unknown ids are ignored, as COM_STMT_CLOSE has no answer.
    pub fn remove(&mut self, id: u32) {
        self.statements.remove(&id);
    }

    /// Forgets all, as COM_RESET_CONNECTION demands.
    pub fn clear(&mut self) {
        self.statements.clear();
    }
}

/// MySQL's error for a session that prepares without end.
pub(super) fn too_many() -> Error {
    Error::new(
        ErrorKind::TooManyPreparedStatements,
        format!(
            "Can't create more than max_prepared_stmt_count statements (current value: \
             {PREPARED_STATEMENTS_PER_SESSION_MAX})"
        ),
    )
}
