//! The way back to a client: what a handler writes its replies with.
//!
//! Packets made here are buffered and leave with one system call when the command ends; forwarded bytes go out at
//! once, behind whatever is buffered. Nothing is held between commands.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::time::timeout;

use super::counters::WorkerCounters;
use super::out_buffer::OutBuffer;
use super::registry::{ClientEntry, Interrupt};
use crate::error::{Error, ErrorKind, Origin};
use crate::limits;
use crate::net::{HangupWatch, Packet, PacketError, PacketStream, Spool, SpoolError, Stream};
use crate::wire::connect::Salt;
use crate::wire::frame::{HEADER_BYTES, write_packet_with};
use crate::wire::response::LOCAL_INFILE_HEADER;
use crate::wire::row::put_text_field;
use crate::wire::writer::put_lenenc_int;
use crate::wire::{Capabilities, ColumnDefinition, EofPacket, ErrPacket, OkPacket, StatusFlags};

/// One client's connection.
pub struct ClientStream {
    packets: PacketStream,
    /// Packets that were made and not sent.
    out: Option<OutBuffer>,
    capabilities: Capabilities,
    /// Random data that the client was greeted with.
    salt: Salt,
    entry: Arc<ClientEntry>,
    counters: Arc<WorkerCounters>,
    /// What is written is kept instead of sent.
    capture: Option<Box<Capture>>,
    /// The client sends a file, whose end was not read.
    is_sending_file: bool,
}

/// A reply that is kept, and what is put back when that ends.
struct Capture {
    place: Place,
    /// A server's error that went by.
    error: Option<Error>,
    out: Option<OutBuffer>,
    sequence: u8,
}

/// Where a reply is kept.
enum Place {
    Memory { bytes: Vec<u8>, bytes_max: usize, has_overflowed: bool },
    Spool { spool: Spool, failed: Option<SpoolError> },
}

impl Capture {
    /// Beyond the limit nothing more is kept, but whoever writes goes on: a server's reply must be read to its end.
    async fn keep(&mut self, new: &[u8]) {
        match &mut self.place {
            Place::Memory { bytes, bytes_max, has_overflowed } => {
                *has_overflowed |= bytes.len() + new.len() > *bytes_max;
                if !*has_overflowed {
                    bytes.extend_from_slice(new);
                }
            }
            Place::Spool { spool, failed: failed @ None } => *failed = spool.append(new).await.err(),
            Place::Spool { .. } => {}
        }
    }
}

/// A reply that went to a spool.
#[derive(Debug)]
pub struct Spooled {
    /// The packets.
    pub spool: Spool,
    /// Why some of them are missing.
    pub failed: Option<SpoolError>,
    /// A server's error that the reply ends with.
    pub error: Option<Error>,
}

/// What was written while it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The packets.
    pub bytes: Vec<u8>,
    /// There was more than the limit: the bytes are cut off.
    pub has_overflowed: bool,
}

/// How a result ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultEnd {
    /// State of the session.
    pub status: StatusFlags,
    /// Number of warnings.
    pub warnings: u16,
}

impl ClientStream {
    // --- what was agreed, and who it is

    /// What both sides agreed on. MULTI_STATEMENTS changes with COM_SET_OPTION.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The client's place in the registry.
    pub fn entry(&self) -> &Arc<ClientEntry> {
        &self.entry
    }

    /// Whether results end with OK instead of EOF packets.
    pub fn deprecates_eof(&self) -> bool {
        self.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }

    /// Sequence number of the next packet of the reply: 1 after a command.
    pub fn sequence(&mut self) -> u8 {
        *self.packets.sequence_mut()
    }

    /// Takes over the count after forwarded packets (`ReplyScanner::next_sequence`).
    pub fn set_sequence(&mut self, sequence: u8) {
        self.packets.set_sequence(sequence);
    }

    // --- forwarding

    /// Sends bytes that are packets already, behind what is buffered. Waits for a slow client, so that whoever
    /// reads the bytes from a server stops reading. Fails when the session was killed meanwhile.
    ///
    /// # Errors
    /// When the client is gone, does not take the bytes for as long as its `net_write_timeout`, or was killed.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(interrupt) = self.entry.interrupt().filter(|interrupt| *interrupt != Interrupt::Idle) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, format!("{interrupt:?}")));
        }
        if let Some(capture) = &mut self.capture {
            // Boxed, because the future of every write would have room for it.
            let out = self.out.take();
            return Box::pin(async {
                if let Some(out) = out {
                    capture.keep(&out).await;
                }
                capture.keep(bytes).await;
                Ok(())
            })
            .await;
        }
        let renamed = self.entry.timeout().and_then(|timeout| with_last_error(bytes, &timeout));
        let bytes = renamed.as_deref().unwrap_or(bytes);
        let Some(mut out) = self.out.take() else { return self.send(bytes).await };
        if out.len() + bytes.len() > limits::TRANSPORT_BUFFER_BYTES {
            self.send(&out).await?;
            return self.send(bytes).await;
        }
        out.extend_from_slice(bytes);
        self.send(&out).await
    }

    // --- replies of the router itself

    /// Buffers one packet, whose payload `encode` appends.
    pub fn packet(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let out = self.out.get_or_insert_with(OutBuffer::take);
        write_packet_with(out, self.packets.sequence_mut(), encode);
    }

    /// Buffers an OK packet as the whole reply.
    pub fn ok(&mut self, ok: &OkPacket<'_>) {
        self.packet(|out| ok.encode(out));
    }

    /// Buffers an ERR packet, which ends any reply.
    pub fn error(&mut self, error: &Error) {
        self.counters.error(error.origin());
        self.packet(|out| ErrPacket::from_error(error).encode(out));
    }

    /// Counts an error that went by in forwarded bytes.
    pub fn count_forwarded_error(&mut self, error: &Error) {
        self.counters.error(Origin::Backend);
        if let Some(capture) = &mut self.capture {
            capture.error = Some(error.clone());
        }
    }

    /// Buffers the head of a result: number and definitions of its columns. Rows ([`Self::row`]) and
    /// [`Self::end_result`] follow.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub async fn begin_result(
        &mut self,
        columns: &[ColumnDefinition],
        status: StatusFlags,
    ) -> io::Result<()> {
        self.packet(|out| put_lenenc_int(out, columns.len() as u64));
        for column in columns {
            self.packet(|out| column.encode(out));
            self.relieve().await?;
        }
        if !self.deprecates_eof() {
            self.packet(|out| EofPacket { warnings: 0, status }.encode(out));
        }
        Ok(())
    }

    /// Buffers one row, which `encode` appends in the protocol that the command wants (text or binary), and sends
    /// when enough is buffered.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub async fn row(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.packet(encode);
        self.relieve().await
    }

    /// Buffers the end of a result.
    pub fn end_result(&mut self, end: ResultEnd) {
        let ResultEnd { status, warnings } = end;
        if self.deprecates_eof() {
            let ok = OkPacket { status, warnings, ..OkPacket::default() };
            self.packet(|out| ok.encode_as_terminator(out));
        } else {
            self.packet(|out| EofPacket { warnings, status }.encode(out));
        }
    }

    /// Buffers a whole small result in the text protocol; `None` is NULL.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub async fn text_result<F: AsRef<[u8]>>(
        &mut self,
        columns: &[ColumnDefinition],
        rows: impl IntoIterator<Item = impl IntoIterator<Item = Option<F>>>,
        end: ResultEnd,
    ) -> io::Result<()> {
        self.begin_result(columns, end.status).await?;
        for row in rows {
            let encode = |out: &mut Vec<u8>| {
                for field in row {
                    put_text_field(out, field.as_ref().map(AsRef::as_ref));
                }
            };
            self.row(encode).await?;
        }
        self.end_result(end);
        Ok(())
    }

    /// Sends what is buffered. The server does this when a command ends.
    ///
    /// # Errors
    /// When the client is gone or does not take the bytes for as long as its `net_write_timeout`.
    pub async fn flush(&mut self) -> io::Result<()> {
        let Some(out) = self.out.take() else { return Ok(()) };
        self.send(&out).await
    }

    // --- replies that the client is not to see

    /// From now on what is written is kept, up to `bytes_max`, as if it were the reply to a command of its own.
    pub fn begin_capture(&mut self, bytes_max: usize) {
        self.begin(Place::Memory { bytes: Vec::new(), bytes_max, has_overflowed: false });
    }

    fn begin(&mut self, place: Place) {
        let capture = Capture { place, error: None, out: self.out.take(), sequence: self.sequence() };
        self.capture = Some(Box::new(capture));
        self.set_sequence(1);
    }

    /// Ends [`Self::begin_capture`] and gives what was written since; does no harm without it.
    pub async fn end_capture(&mut self) -> Captured {
        match self.end().await {
            Some(Capture { place: Place::Memory { bytes, has_overflowed, .. }, .. }) => {
                Captured { bytes, has_overflowed }
            }
            _ => Captured { bytes: Vec::new(), has_overflowed: false },
        }
    }

    /// As [`Self::begin_capture`], but what is written goes to a spool.
    pub fn begin_spool(&mut self, spool: Spool) {
        self.begin(Place::Spool { spool, failed: None });
    }

    /// Ends [`Self::begin_spool`]; `None` if something else has ended it.
    pub async fn end_spool(&mut self) -> Option<Spooled> {
        match self.end().await? {
            Capture { place: Place::Spool { spool, failed }, error, .. } => {
                Some(Spooled { spool, failed, error })
            }
            Capture { place: Place::Memory { .. }, .. } => None,
        }
    }

    async fn end(&mut self) -> Option<Capture> {
        let mut capture = self.capture.take()?;
        if let Some(out) = self.out.take() {
            capture.keep(&out).await;
        }
        self.out = capture.out.take();
        self.set_sequence(capture.sequence);
        Some(*capture)
    }

    // --- files of the client: LOAD DATA LOCAL

    /// Asks the client for a file; its parts are read with [`Self::next_file_part`].
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub async fn request_file(&mut self, name: &[u8]) -> io::Result<()> {
        self.packet(|out| {
            out.push(LOCAL_INFILE_HEADER);
            out.extend_from_slice(name);
        });
        self.is_sending_file = true;
        self.flush().await
    }

    /// The next part of the file; `None` at its end.
    ///
    /// # Errors
    /// When the client is gone, breaks the protocol, or sends nothing for [`limits::CLIENT_READ_TIMEOUT`].
    pub async fn next_file_part(&mut self) -> Result<Option<Packet>, Error> {
        let lost = |text: &str| Error::new(ErrorKind::ClientLost, text);
        let part = timeout(limits::CLIENT_READ_TIMEOUT, self.packets.take_packet(limits::COMMAND_BYTES_MAX));
        let Ok(part) = part.await else { return Err(lost("the client does not go on with its file")) };
        let part = part.map_err(PacketError::into_client_error)?;
        let part = part.ok_or_else(|| lost("the client left in the middle of a file"))?;
        self.counters.received(part.len());
        self.is_sending_file = !part.is_empty();
        Ok(Some(part).filter(|part| !part.is_empty()))
    }

    /// Is a part of a file still to come?
    pub fn is_sending_file(&self) -> bool {
        self.is_sending_file
    }

    /// Reads what is left of a file that nobody wants any more: the client reads no reply before it has sent all of
    /// it. `false` if that cannot be done, so that the connection is of no use.
    pub async fn discard_file(&mut self) -> bool {
        while self.is_sending_file {
            let entry = self.entry.clone();
            if !matches!(unless_killed(&entry, false, self.next_file_part()).await, Some(Ok(_))) {
                return false;
            }
        }
        true
    }

    // --- noticing that nobody wants the reply

    /// For noticing, while a statement runs, that it was killed or that the client has left. Independent of the
    /// stream, so that it can be awaited beside whatever writes to it; in the session's own task.
    pub fn interrupt_watch(&self) -> InterruptWatch {
        InterruptWatch { entry: self.entry.clone(), hangup: self.packets.hangup_watch() }
    }

    // --- the server's own side of it

    /// Takes a fresh connection over.
    pub(super) fn new(stream: Stream, entry: Arc<ClientEntry>, counters: Arc<WorkerCounters>) -> Self {
        Self {
            packets: PacketStream::new(stream),
            out: None,
            capabilities: Capabilities::OFFERED,
            salt: Salt::default(),
            entry,
            counters,
            capture: None,
            is_sending_file: false,
        }
    }

    /// The same client in TLS.
    pub(super) async fn into_tls(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self { packets: self.packets.into_tls_server(config).await?, ..self })
    }

    /// Whether nobody can listen: TLS or the unix socket.
    pub(super) fn is_secure(&self) -> bool {
        self.packets.stream().is_secure()
    }

    /// Whether the client came through the unix socket.
    pub(super) fn is_local(&self) -> bool {
        self.packets.stream().is_unix()
    }

    pub(super) fn salt(&self) -> Salt {
        self.salt
    }

    pub(super) fn set_salt(&mut self, salt: Salt) {
        self.salt = salt;
    }

    pub(super) fn set_capabilities(&mut self, capabilities: Capabilities) {
        self.capabilities = capabilities;
    }

    pub(super) fn set_multi_statements(&mut self, on: bool) {
        self.capabilities.set(Capabilities::MULTI_STATEMENTS, on);
    }

    /// Sends what is buffered and waits for the client's answer within the same exchange. `None` when it has left.
    pub(super) async fn exchange(&mut self, bytes_max: usize) -> Result<Option<Packet>, PacketError> {
        self.flush().await?;
        self.packets.take_packet(bytes_max).await
    }

    /// Waits for the client's next command. `None` when there will be none: the client has left, was killed, or has
    /// idled for too long ([`ClientEntry::has_idled_out`]).
    /// While nothing arrives, no buffer is held.
    pub(super) async fn next_command(&mut self, bytes_max: usize) -> Result<Option<Packet>, PacketError> {
        let Self { packets, entry, .. } = self;
        packets.set_sequence(0);
        if packets.buffered().is_empty() {
            match unless_killed(entry, true, packets.fill()).await {
                Some(Ok(count)) if count > 0 => {}
                Some(Ok(_) | Err(_)) | None => return Ok(None),
            }
        }
        if let Some(command) = packets.take_arrived(bytes_max) {
            return Ok(Some(command));
        }
        let mut command = pin!(packets.take_packet(bytes_max));
        if let Poll::Ready(command) = poll_once(command.as_mut()).await {
            return command;
        }
        let rest = unless_killed(entry, false, timeout(limits::CLIENT_READ_TIMEOUT, command));
        match rest.await {
            Some(Ok(command)) => command,
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// Ends the sending side and throws away what the client still sends, for a moment: closing a socket with
    /// unread bytes would take back what was sent last.
    pub(super) async fn linger(&mut self) {
        let discard = async {
            let _ = self.packets.shutdown().await;
            while self.packets.fill().await.is_ok_and(|count| count > 0) {
                let count = self.packets.buffered().len();
                self.packets.consume(count);
            }
        };
        let _ = timeout(LINGER, discard).await;
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.counters.sent(bytes.len());
        let mut write = pin!(self.packets.write_all(bytes));
        // Nearly always the socket takes everything at once, and no timer is needed.
        if let Poll::Ready(written) = poll_once(write.as_mut()).await {
            return written;
        }
        timeout(self.entry.write_timeout(), write).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends when enough is buffered.
    async fn relieve(&mut self) -> io::Result<()> {
        match self.out.take_if(|out| out.len() >= limits::TRANSPORT_BUFFER_BYTES) {
            Some(out) => self.write(&out).await,
            None => Ok(()),
        }
    }
}

/// Time for a client to take a last error before its connection is closed.
const LINGER: Duration = Duration::from_millis(500);

/// The same packets, if the last of them is a server's word that the statement was interrupted: with `error` instead.
fn with_last_error(bytes: &[u8], error: &Error) -> Option<Vec<u8>> {
    const INTERRUPTED: &[u8] = b"\xFF\x25\x05#70100Query execution was interrupted";
    let start = bytes.len().checked_sub(INTERRUPTED.len())?;
    let header = start.checked_sub(HEADER_BYTES)?;
    if bytes[start..] != *INTERRUPTED {
        return None;
    }
    let mut out = bytes[..header].to_vec();
    let mut sequence = bytes[start - 1];
    write_packet_with(&mut out, &mut sequence, |out| ErrPacket::from_error(error).encode(out));
    Some(out)
}

/// Looks once whether a future is ready.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// `None` when the connection was killed first, or, `if_idle`, has idled for too long.
async fn unless_killed<T>(entry: &ClientEntry, if_idle: bool, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        match entry.poll_interrupt(cx) {
            Poll::Ready(Interrupt::KillConnection) => Poll::Ready(None),
            Poll::Ready(Interrupt::Idle) if if_idle => Poll::Ready(None),
            Poll::Ready(Interrupt::HungUp | Interrupt::Idle | Interrupt::KillQuery) | Poll::Pending => {
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits for a reason to give up a running statement.
#[derive(Debug)]
pub struct InterruptWatch {
    entry: Arc<ClientEntry>,
    hangup: HangupWatch,
}

impl InterruptWatch {
    /// The client whose statement is watched.
    pub fn entry(&self) -> &ClientEntry {
        &self.entry
    }

    /// Ready when the statement should be given up: it was killed, or the client has left.
    pub fn poll_interrupted(&mut self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        match self.entry.poll_interrupt(cx) {
            Poll::Ready(Interrupt::Idle) | Poll::Pending => {}
            ready => return ready,
        }
        self.hangup.poll_closed(cx).map(|()| Interrupt::HungUp)
    }

    /// As [`Self::poll_interrupted`]. May be cancelled.
    pub async fn interrupted(&mut self) -> Interrupt {
        std::future::poll_fn(|cx| self.poll_interrupted(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::wire::frame::write_packet;

    #[test]
    fn an_interruption_gets_its_reason() {
        let (mut bytes, mut sequence) = (Vec::new(), 7);
        write_packet(&mut bytes, &mut sequence, b"\x01row");
        let row_bytes = bytes.len();
        write_packet(&mut bytes, &mut sequence, b"\xff\x25\x05#70100Query execution was interrupted");
        let error = Error::new(ErrorKind::QueryTimeout, "too long");
        let renamed = with_last_error(&bytes, &error).unwrap();
        assert_eq!(renamed[..row_bytes], bytes[..row_bytes]);
        assert_eq!(renamed[row_bytes..], *b"\x11\0\0\x08\xff\xd0\x0b#HY000too long");
        assert!(with_last_error(&bytes[..bytes.len() - 1], &error).is_none());
        assert!(with_last_error(b"", &error).is_none());
    }
}
