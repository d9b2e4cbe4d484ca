//! What is remembered of a reply that was forwarded.

use smallvec::SmallVec;

use crate::error::Error;
use crate::wire::statement::PrepareOk;
use crate::wire::status::StatusFlags;

/// What a reply said besides its rows. With several results it is about the last one, unless noted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplySummary {
    /// Rows changed.
    pub affected_rows: u64,
    /// First generated AUTO_INCREMENT value, or 0.
    pub last_insert_id: u64,
    /// Number of warnings.
    pub warnings: u16,
    /// The server's status flags, before they were patched.
    pub status: StatusFlags,
    /// Text of the OK packet.
    pub info: SmallVec<[u8; 64]>,
    /// The server's error, if the reply ended with one.
    pub error: Option<Error>,
    /// Columns of the last result set or prepared statement.
    pub column_count: u64,
    /// Rows of all result sets.
    pub row_count: u64,
    /// OK and EOF packets that were seen.
    pub result_count: u64,
    /// Whether there was a result set.
    pub has_result_set: bool,
    /// Name of the file that the server wants from the client. The reply is not over then: the file's content goes
    /// to the server, and its answer comes after that.
    pub local_infile: Option<Box<[u8]>>,
    /// What was prepared.
    pub prepared: Option<PrepareOk>,
}
