//! Replies that are forwarded as packets, without being decoded or copied.

use super::sink::ReplySink;
use crate::backend::channel::ChannelError;
use crate::backend::connection::BackendConnection;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::frame::{HEADER_BYTES, Header, write_packet_with};
use crate::wire::{ErrPacket, Malformed, ReplyKind, ReplyScanner, ReplySummary, StatusPatch};

impl BackendConnection {
    /// Receives the next reply into `sink`. A reply that *begins* with an error is not forwarded but returned
    /// as that error, so that the caller can still react to it; an error behind rows is forwarded and noted
    /// in the summary. For replies to COM_STMT_EXECUTE and other needs see [`Self::receive_scanned`].
    pub async fn receive<S: ReplySink>(
        &mut self,
        kind: ReplyKind,
        patch: StatusPatch,
        sink: &mut S,
    ) -> Result<ReplySummary> {
        let mut scanner = self.scanner(kind, false);
        self.receive_scanned(&mut scanner, patch, sink).await?;
        Ok(scanner.into_summary())
    }

    /// A scanner for this connection's replies; `binary_rows` for those to COM_STMT_EXECUTE.
    pub fn scanner(&self, kind: ReplyKind, binary_rows: bool) -> ReplyScanner {
        ReplyScanner::new(kind, self.flavor().deprecate_eof, binary_rows)
    }

    /// As [`Self::receive`], with a scanner that the caller has set up (renumbering packets, replacing a
    /// statement's id, expecting binary rows) and that has the summary afterwards.
    pub async fn receive_scanned<S: ReplySink>(
        &mut self,
        scanner: &mut ReplyScanner,
        patch: StatusPatch,
        sink: &mut S,
    ) -> Result<()> {
        scanner.expect_sequence(self.begin_reply()?);
        let mut has_passed = false;
        // Bytes may be there already, behind an earlier reply.
        let mut needs_more = self.channel.buffered().is_empty();
        loop {
            if needs_more {
                self.channel.fill().await.map_err(|error| self.fail(error))?;
            }
            let scanned = scanner.scan(self.channel.buffered(), patch);
            let scan = scanned.map_err(|malformed| self.fail(malformed.into()))?;
            if scan.done {
                return self.finish(scanner.summary(), has_passed, scan.forwardable, sink).await;
            }
            if scan.forwardable > 0 {
                self.pass_on(scan.forwardable, sink).await?;
                has_passed = true;
            }
            // What is left, if anything, is the beginning of a packet that must be whole.
            needs_more = true;
        }
    }

    async fn finish<S: ReplySink>(
        &mut self,
        summary: &ReplySummary,
        has_passed: bool,
        last_bytes: usize,
        sink: &mut S,
    ) -> Result<()> {
        if summary.local_infile.is_some() {
            // Only LOAD DATA LOCAL may ask for one, and its reply is received in another way.
            return Err(self.fail(ChannelError::Malformed(Malformed::new("request for a local file"))));
        }
        if let Some(error) = begins_with_error(summary).filter(|_| !has_passed) {
            self.channel.consume(last_bytes);
            if self.end_scanned_reply(summary).is_some_and(|owed| owed.is_for_settings) {
                self.note_refused_settings();
            }
            return Err(error.clone());
        }
        match reworded_end(summary, &self.channel.buffered()[..last_bytes], sink) {
            None => self.pass_on(last_bytes, sink).await?,
            Some((before, packet)) => {
                self.pass_on(before, sink).await?;
                self.channel.consume(last_bytes - before);
                sink.write(&packet).await.map_err(not_taken)?;
            }
        }
        self.end_scanned_reply(summary);
        Ok(())
    }

    async fn pass_on<S: ReplySink>(&mut self, count: usize, sink: &mut S) -> Result<()> {
        let written = sink.write(&self.channel.buffered()[..count]).await;
        self.channel.consume(count);
        // The connection stays in mid-reply: its owner has the statement killed by letting go of it.
        written.map_err(not_taken)
    }
}

fn not_taken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::ClientLost, format!("cannot pass a reply on: {error}"))
}

/// What takes the place of the error that `bytes` end with, if the sink has other words for it, and how many bytes come
/// before.
fn reworded_end<S: ReplySink>(summary: &ReplySummary, bytes: &[u8], sink: &S) -> Option<(usize, Vec<u8>)> {
    let error = summary.error.as_ref()?;
    let reworded = sink.reworded(error)?;
    let mut payload = Vec::new();
    ErrPacket::from_error(error).encode(&mut payload);
    let before = bytes.strip_suffix(&*payload)?.len().checked_sub(HEADER_BYTES)?;
    let mut sequence = Header::first(&bytes[before..])?.sequence;
    let mut packet = Vec::new();
    write_packet_with(&mut packet, &mut sequence, |out| ErrPacket::from_error(&reworded).encode(out));
    Some((before, packet))
}

/// The error, if that is all that the reply consists of.
fn begins_with_error(summary: &ReplySummary) -> Option<&Error> {
    let ReplySummary { error, result_count, has_result_set, column_count, row_count, prepared, .. } = summary;
    let has_more =
        *result_count > 0 || *has_result_set || *column_count > 0 || *row_count > 0 || prepared.is_some();
    error.as_ref().filter(|_| !has_more)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::backend::Flavor;
    use crate::backend::connection::Fate;
    use crate::backend::fake_server::{connected_pair, result_packets};
    use crate::error::{Origin, Retry};
    use crate::limits::PACKET_PAYLOAD_BYTES_MAX;
    use crate::wire::frame::write_packet;
    use crate::wire::{Command, StatusFlags};

    const NEW: Flavor = Flavor { deprecate_eof: true, found_rows: false };
    const OLD: Flavor = Flavor { deprecate_eof: false, found_rows: false };

    fn rows(flavor: Flavor, values: &[&str]) -> Vec<u8> {
        let rows: Vec<_> = values.iter().map(|value| vec![Some((*value).to_owned())]).collect();
        let mut out = Vec::new();
        result_packets(&mut out, &mut 1, flavor.deprecate_eof, &["v"], &rows);
        out
    }

    async fn receive(connection: &mut BackendConnection) -> Result<(ReplySummary, Vec<u8>)> {
        let mut sink = Vec::new();
        let summary = connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut sink).await?;
        Ok((summary, sink))
    }

    async fn send_query(connection: &mut BackendConnection) {
        connection.queue(&Command::Query(b"SELECT v"));
        connection.flush().await.unwrap();
    }

    #[tokio::test]
    async fn pipelined_commands_are_answered_in_order() {
        for flavor in [NEW, OLD] {
            let (mut connection, mut peer) = connected_pair(flavor);
            let reply = rows(flavor, &["one", "two"]);
            let expected = reply.clone();
            let server = tokio::spawn(async move {
                for sql in ["SET a = 1", "BEGIN", "SELECT v"] {
                    let command = peer.command().await.unwrap();
                    assert_eq!(&command[1..], sql.as_bytes());
                }
                let mut all = Vec::new();
                write_packet(&mut all, &mut 1, &[0, 0, 0, 2, 0, 0, 0]);
                write_packet(&mut all, &mut 1, &[0, 0, 0, 3, 0, 0, 0]);
                all.extend_from_slice(&reply);
                peer.send_bytes(&all).await;
                peer
            });
            connection.queue(&Command::Query(b"SET a = 1"));
            connection.queue(&Command::Query(b"BEGIN"));
            let mut select = Vec::new();
            write_packet(&mut select, &mut 0, b"\x03SELECT v");
            connection.send(&select, 1).await.unwrap();
            assert_eq!(connection.owed_count(), 3);
            connection.receive_ok().await.unwrap();
            assert!(!connection.is_in_transaction());
            connection.receive_ok().await.unwrap();
            assert!(connection.is_in_transaction());
            let (summary, forwarded) = receive(&mut connection).await.unwrap();
            assert_eq!((summary.row_count, forwarded == expected), (2, true));
            assert!(connection.is_reusable(), "the reply's status says that no transaction is open");
            drop(server.await.unwrap());
        }
    }

    #[tokio::test]
    async fn an_error_at_the_beginning_is_returned_and_not_forwarded() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        let server = tokio::spawn(async move {
            let error = b"\x0B\0\0\x01\xFF\x7A\x04#42S02no";
            // In two parts, so that the first look at it cannot decide.
            peer.send_bytes(&error[..7]).await;
            tokio::task::yield_now().await;
            peer.send_bytes(&error[7..]).await;
            peer
        });
        let mut sink = Vec::new();
        let error = connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut sink).await.unwrap_err();
        assert_eq!((error.errno(), error.origin(), sink.len()), (1146, Origin::Backend, 0));
        assert!(connection.is_reusable());
        drop(server.await);
    }

    #[tokio::test]
    async fn an_error_behind_rows_is_forwarded() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        let mut reply = rows(NEW, &["one"]);
        let end = reply.len() - 11;
        reply.truncate(end);
        write_packet(&mut reply, &mut 4, b"\xFF\x25\x05#70100Query execution was interrupted");
        peer.send_bytes(&reply).await;
        let (summary, forwarded) = receive(&mut connection).await.unwrap();
        assert_eq!((summary.error.unwrap().errno(), forwarded), (1317, reply));
        assert!(connection.is_reusable());
    }

    /// Sends `reply` and expects that receiving fails and that the connection is of no use afterwards.
    async fn check_broken(reply: &[u8], kind: ErrorKind) {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        peer.send_bytes(reply).await;
        drop(peer);
        let error = receive(&mut connection).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (Some(kind), Retry::Never), "{error}");
        assert_eq!(connection.fate(), Fate::Close);
        assert!(receive(&mut connection).await.is_err());
    }

    #[tokio::test]
    async fn servers_that_break_the_protocol_break_the_connection() {
        check_broken(b"", ErrorKind::BackendLost).await;
        check_broken(b"\x07\0\0\x01\0\0", ErrorKind::BackendLost).await;
        check_broken(&rows(NEW, &["one"])[..20], ErrorKind::BackendLost).await;
        check_broken(b"\x07\0\0\x05\0\0\0\x02\0\0\0", ErrorKind::BackendProtocol).await;
        check_broken(b"\x0B\0\0\x01\xFB/etc/passw", ErrorKind::BackendProtocol).await;
        check_broken(b"\0\0\0\x01", ErrorKind::BackendProtocol).await;
    }

    #[tokio::test]
    async fn bytes_that_nobody_asked_for_end_the_connection() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        let reply = [rows(NEW, &[]), vec![1, 0, 0, 0, 9]].concat();
        peer.send_bytes(&reply).await;
        receive(&mut connection).await.unwrap();
        assert_eq!(connection.fate(), Fate::Close);
    }

    #[tokio::test]
    async fn a_cancelled_exchange_is_killed_and_never_reused() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        assert_eq!(connection.fate(), Fate::Kill, "a reply is owed");
        let reply = rows(NEW, &["one"]);
        peer.send_bytes(&reply[..reply.len() - 3]).await;
        let mut sink = Vec::new();
        {
            let receiving = connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut sink);
            let mut receiving = std::pin::pin!(receiving);
            while futures_util::poll!(receiving.as_mut()).is_pending() {
                if peer.capabilities.is_empty() {
                    break;
                }
                peer.capabilities = crate::wire::Capabilities::empty();
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(connection.fate(), Fate::Kill);
        peer.send_bytes(&reply[reply.len() - 3..]).await;
        assert_eq!(receive(&mut connection).await.unwrap_err().kind(), Some(ErrorKind::BackendLost));
        assert_eq!(connection.fate(), Fate::Kill);
    }

    #[tokio::test]
    async fn nothing_sent_allows_another_connection_and_anything_sent_does_not() {
        let (mut connection, peer) = connected_pair(NEW);
        drop(peer);
        connection.queue(&Command::Query(b"INSERT"));
        let error = connection.flush().await.unwrap_err();
        assert_eq!(error.retry(), Retry::FreshConnection);
        assert_eq!(connection.fate(), Fate::Close);

        let (mut connection, peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        drop(peer);
        assert_eq!(receive(&mut connection).await.unwrap_err().retry(), Retry::Never);
    }

    #[tokio::test]
    async fn cutting_the_lifeline_ends_the_wait() {
        let (mut connection, peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        let lifeline = connection.channel.lifeline().clone();
        let waiting = tokio::spawn(async move { (receive(&mut connection).await, connection) });
        tokio::task::yield_now().await;
        assert!(lifeline.cut_if_sent_since(0));
        let (received, connection) = waiting.await.unwrap();
        assert_eq!(received.unwrap_err().kind(), Some(ErrorKind::BackendLost));
        assert_eq!(connection.fate(), Fate::Close);
        drop(peer);
    }

    struct Failing;

    impl ReplySink for Failing {
        async fn write(&mut self, _bytes: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[tokio::test]
    async fn a_client_that_goes_away_has_its_statement_killed() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        peer.send_bytes(&rows(NEW, &["one"])[..30]).await;
        let received = connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut Failing).await;
        assert_eq!(received.unwrap_err().kind(), Some(ErrorKind::ClientLost));
        assert_eq!(connection.fate(), Fate::Kill);
    }

    /// Takes bytes only when it is allowed to.
    struct Slow {
        permits: Arc<Semaphore>,
        received_bytes: usize,
    }

    impl ReplySink for Slow {
        async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.permits.acquire().await.map_err(io::Error::other)?.forget();
            self.received_bytes += bytes.len();
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_slow_client_slows_the_server() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        let value = "x".repeat(250);
        let reply = rows(NEW, &vec![&*value; 40_000]);
        let reply_bytes = reply.len();
        let sent_bytes = Arc::new(AtomicUsize::new(0));
        let counting = sent_bytes.clone();
        let server = tokio::spawn(async move {
            for chunk in reply.chunks(1 << 10) {
                peer.send_bytes(chunk).await;
                counting.fetch_add(chunk.len(), Ordering::SeqCst);
            }
            peer
        });
        let permits = Arc::new(Semaphore::new(0));
        let mut sink = Slow { permits: permits.clone(), received_bytes: 0 };
        let receiving = tokio::spawn(async move {
            connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut sink).await.unwrap();
            sink.received_bytes
        });
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(sent_bytes.load(Ordering::SeqCst) < reply_bytes / 2, "the server must have been stopped");
        permits.add_permits(1 << 20);
        assert_eq!(receiving.await.unwrap(), reply_bytes);
        drop(server.await);
    }

    /// Keeps what it gets, and has other words for errors.
    #[derive(Default)]
    struct Rewording(Vec<u8>);

    impl ReplySink for Rewording {
        async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn reworded(&self, error: &Error) -> Option<Error> {
            Some(error.clone().reworded(b"in other words".to_vec()))
        }
    }

    #[tokio::test]
    async fn an_error_behind_rows_is_reworded() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        let whole = rows(NEW, &["one"]);
        // The terminator gives way to an error.
        let end = whole.len() - (HEADER_BYTES + 7);
        let with_error = |message: &[u8]| {
            let mut bytes = whole[..end].to_vec();
            let mut sequence = Header::first(&whole[end..]).unwrap().sequence;
            write_packet(&mut bytes, &mut sequence, &[&b"\xFF\x9A\x06#22003"[..], message].concat());
            bytes
        };
        peer.send_bytes(&with_error(b"out of range")).await;
        let mut sink = Rewording::default();
        let summary = connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut sink).await.unwrap();
        assert_eq!(summary.error.unwrap().message(), b"out of range");
        assert_eq!(sink.0, with_error(b"in other words"));
        assert!(connection.is_reusable());
    }

    #[tokio::test]
    async fn rows_of_several_packets_pass_in_pieces() {
        let (mut connection, mut peer) = connected_pair(NEW);
        send_query(&mut connection).await;
        let huge = "y".repeat(PACKET_PAYLOAD_BYTES_MAX + 1_000);
        let reply = rows(NEW, &["small", &huge, "after"]);
        let sent = reply.clone();
        let server = tokio::spawn(async move {
            peer.send_bytes(&sent).await;
            peer
        });
        let mut sink = Slow { permits: Arc::new(Semaphore::new(1 << 20)), received_bytes: 0 };
        let summary = connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut sink).await.unwrap();
        assert_eq!((summary.row_count, sink.received_bytes), (3, reply.len()));
        assert!(connection.is_reusable());
        drop(server.await);
    }

    #[tokio::test]
    async fn commands_larger_than_the_socket_are_sent_whole() {
        let (mut connection, mut peer) = connected_pair(NEW);
        let text = vec![b'x'; PACKET_PAYLOAD_BYTES_MAX + 5];
        let expected = text.clone();
        let expected_reply = rows(NEW, &["one"]);
        let server = tokio::spawn(async move {
            assert_eq!(peer.command().await.unwrap(), b"\x03BEGIN");
            peer.ok(StatusFlags::AUTOCOMMIT).await;
            assert!(peer.command().await.unwrap()[1..] == expected);
            assert_eq!(*peer.packets.sequence_mut(), 2);
            peer.result(&["v"], &[vec![Some("one".to_owned())]]).await;
            peer
        });
        let mut packets = Vec::new();
        write_packet(&mut packets, &mut 0, &[b"\x03", &text[..]].concat());
        connection.queue(&Command::Query(b"BEGIN"));
        connection.send(&packets, 1).await.unwrap();
        connection.receive_ok().await.unwrap();
        let (_, forwarded) = receive(&mut connection).await.unwrap();
        assert_eq!(forwarded, expected_reply, "packets are numbered for a client whose command had one");
        assert!(connection.is_reusable());
        drop(server.await.unwrap());
    }
}
