//! Where forwarded replies go.

use std::io;

use crate::error::Error;
use crate::limits;

/// Takes a reply's packets. Reading from the server goes on only after a write has ended, so a slow sink
/// slows the server instead of filling memory.
pub trait ReplySink: Send {
    /// Takes bytes: parts of packets, packets, or several. After an error the rest of the reply is not
    /// read, and the connection that it comes from is closed.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;

    /// An error behind rows in other words, if it is to have others.
    fn reworded(&self, _error: &Error) -> Option<Error> {
        None
    }
}

/// A sink that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl ReplySink for Discard {
    async fn write(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps everything, up to [`limits::CONTROL_RESULT_BYTES_MAX`].
impl ReplySink for Vec<u8> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > limits::CONTROL_RESULT_BYTES_MAX.saturating_sub(self.len()) {
            let text = format!("the reply has more than {} bytes", limits::CONTROL_RESULT_BYTES_MAX);
            return Err(io::Error::other(text));
        }
        self.extend_from_slice(bytes);
        Ok(())
    }
}
