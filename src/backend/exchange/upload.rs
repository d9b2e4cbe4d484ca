//! LOAD DATA LOCAL: the server asks for a file in the middle of an exchange.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_local_infile_request.html>

use super::control::decode_simple;
use crate::backend::channel::ChannelError;
use crate::backend::connection::BackendConnection;
use crate::error::Result;
use crate::limits;
use crate::wire::frame::write_packet;
use crate::wire::response::LOCAL_INFILE_HEADER;
use crate::wire::{Malformed, ReplySummary};

/// What a server says to LOAD DATA.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadReply {
    /// It is done: the file was one of the server's own.
    Done(ReplySummary),
    /// It wants the client's file of this name. [`BackendConnection::send_file_part`] and
    /// [`BackendConnection::end_file`] follow.
    FileWanted(Box<[u8]>),
}

impl BackendConnection {
    /// Receives the reply to LOAD DATA up to the request for a file. A server's error leaves the connection usable.
    pub async fn receive_load(&mut self) -> Result<LoadReply> {
        self.begin_reply()?;
        let name: Option<Box<[u8]>> = match self.channel.payload(limits::REPLY_HELD_BYTES_MAX).await {
            Ok([LOCAL_INFILE_HEADER, name @ ..]) => Some(Box::from(name)),
            Ok(_) => None,
            Err(error) => return Err(self.fail(error)),
        };
        match name {
            Some(name) => Ok(LoadReply::FileWanted(name)),
            None => {
                let decoded = decode_simple(self.channel.last_payload());
                self.end_simple(decoded).map(LoadReply::Done)
            }
        }
    }

    /// Sends a part of the file; waits while the server does not take it.
    pub async fn send_file_part(&mut self, part: &[u8]) -> Result<()> {
        if part.is_empty() {
            return Ok(());
        }
        self.send_in_reply(part).await
    }

    /// Ends the file, and receives the reply.
    pub async fn end_file(&mut self) -> Result<ReplySummary> {
        self.send_in_reply(b"").await?;
        let decoded = match self.channel.payload(limits::REPLY_HELD_BYTES_MAX).await {
            Ok(payload) => decode_simple(payload),
            Err(error) => return Err(self.fail(error)),
        };
        self.end_simple(decoded)
    }

    async fn send_in_reply(&mut self, payload: &[u8]) -> Result<()> {
        let mut packet = Vec::with_capacity(payload.len() + 8);
        write_packet(&mut packet, self.channel.sequence_mut(), payload);
        self.write_in_reply(&packet).await
    }

    /// The end of a reply of one packet.
    pub(super) fn end_simple(
        &mut self,
        decoded: std::result::Result<Result<ReplySummary>, Malformed>,
    ) -> Result<ReplySummary> {
        match decoded {
            Ok(Ok(summary)) => {
                self.end_scanned_reply(&summary);
                Ok(summary)
            }
            Ok(Err(refused)) => {
                if self.end_reply(None).is_some_and(|owed| owed.is_for_settings) {
                    self.note_refused_settings();
                }
                Err(refused)
            }
            Err(malformed) => Err(self.fail(ChannelError::from(malformed))),
        }
    }
}
