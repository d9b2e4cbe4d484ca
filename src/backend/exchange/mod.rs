//! The receiving half of exchanges, and whole exchanges of the router itself.
//!
//! Errors of a server ([`Origin::Backend`](crate::error::Origin::Backend), without a kind) leave the
//! connection usable; any other error has broken it.

mod control;
mod forward;
mod rows;
mod sink;
mod upload;

pub use control::ControlResult;
pub use rows::RowStream;
pub use sink::{Discard, ReplySink};
pub use upload::LoadReply;
