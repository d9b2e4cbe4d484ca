//! Tests over real sockets of this process: unix socket pairs, loopback TCP, TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;
use crate::limits::PACKET_PAYLOAD_BYTES_MAX;
use crate::wire::frame::write_packet;

const BYTES_MAX: usize = 64 << 20;

/// A stream under test and the peer's raw end.
fn pair() -> (PacketStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (PacketStream::new(Stream::unix(ours)), peer)
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    write_packet(&mut out, &mut { sequence }, payload);
    out
}

fn holds_buffer(stream: &PacketStream) -> bool {
    stream.buffer.is_some()
}

#[tokio::test]
async fn packets_arrive_whole_however_they_are_cut() {
    let (mut ours, mut peer) = pair();
    let writer = async {
        for (number, payload) in (0..).zip([&b"first"[..], b"", b"third"]) {
            for byte in packet(number, payload) {
                peer.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        drop(peer);
    };
    let reader = async {
        assert_eq!(ours.read_packet(BYTES_MAX).await.unwrap(), Some(&b"first"[..]));
        assert_eq!(ours.read_packet(BYTES_MAX).await.unwrap(), Some(&b""[..]));
        assert_eq!(ours.read_packet(BYTES_MAX).await.unwrap(), Some(&b"third"[..]));
        assert!(ours.read_packet(BYTES_MAX).await.unwrap().is_none());
        assert_eq!(*ours.sequence_mut(), 3);
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn packets_of_every_size_around_the_buffers() {
    let sizes = [
        TRANSPORT_BUFFER_BYTES - HEADER_BYTES - 1,
        TRANSPORT_BUFFER_BYTES - HEADER_BYTES,
        TRANSPORT_BUFFER_BYTES - HEADER_BYTES + 1,
        TRANSPORT_BUFFER_BYTES * 3,
        1 << 20,
        PACKET_PAYLOAD_BYTES_MAX - 1,
        PACKET_PAYLOAD_BYTES_MAX,
        PACKET_PAYLOAD_BYTES_MAX + 1,
    ];
    let payload = |size: usize| -> Vec<u8> { (0..=252).cycle().take(size).collect() };
    let (mut ours, mut peer) = pair();
    let writer = async {
        let mut sequence = 0;
        for size in sizes {
            let mut out = vec![];
            write_packet(&mut out, &mut sequence, &payload(size));
            write_packet(&mut out, &mut sequence, b"small");
            peer.write_all(&out).await.unwrap();
        }
    };
    let reader = async {
        for (index, size) in sizes.into_iter().enumerate() {
            if index % 2 == 0 {
                let read = ours.read_packet(BYTES_MAX).await.unwrap().unwrap();
                assert!(*read == payload(size), "{size}");
            } else {
                let read = ours.take_packet(BYTES_MAX).await.unwrap().unwrap();
                assert!(*read == payload(size), "{size}");
            }
            let read = ours.take_packet(BYTES_MAX).await.unwrap().unwrap();
            assert_eq!(*read, *b"small");
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn taken_packets_leave_what_is_behind_them() {
    let (mut ours, mut peer) = pair();
    let long = vec![b'l'; 5000];
    let sent = [packet(0, b"a"), packet(1, &long), packet(2, b"bc"), packet(3, b"")].concat();
    peer.write_all(&sent).await.unwrap();
    let first = ours.take_packet(BYTES_MAX).await.unwrap().unwrap();
    let second = ours.take_packet(BYTES_MAX).await.unwrap().unwrap();
    let third = ours.take_packet(BYTES_MAX).await.unwrap().unwrap();
    assert_eq!(*first, *b"a");
    assert_eq!(*second, *long);
    assert_eq!(*third, *b"bc");
    assert!(holds_buffer(&ours));
    assert_eq!(*ours.take_packet(BYTES_MAX).await.unwrap().unwrap(), *b"");
    assert!(!holds_buffer(&ours));
}

#[tokio::test]
async fn no_buffer_is_held_while_waiting() {
    let (mut ours, mut peer) = pair();
    for number in 0..3 {
        let waiting = tokio::time::timeout(Duration::from_millis(1), ours.read_packet(BYTES_MAX)).await;
        assert!(waiting.is_err());
        assert!(!holds_buffer(&ours));
        peer.write_all(&packet(number, b"x")).await.unwrap();
        assert_eq!(ours.read_packet(BYTES_MAX).await.unwrap(), Some(&b"x"[..]));
        assert!(ours.is_quiet());
        assert!(!holds_buffer(&ours));
    }
}

#[tokio::test]
async fn cancelled_reads_lose_nothing() {
    let (mut ours, mut peer) = pair();
    let sent = packet(0, b"abcdef");
    peer.write_all(&sent[..7]).await.unwrap();
    let cancelled = tokio::time::timeout(Duration::from_millis(1), ours.read_packet(BYTES_MAX)).await;
    assert!(cancelled.is_err());
    peer.write_all(&sent[7..]).await.unwrap();
    assert_eq!(ours.read_packet(BYTES_MAX).await.unwrap(), Some(&b"abcdef"[..]));
}

#[tokio::test]
async fn a_read_cancelled_within_a_large_packet_goes_on() {
    let (mut ours, mut peer) = pair();
    let sent = packet(0, &[b'x'; 40_000]);
    for part in sent.chunks(9_000) {
        let cancelled = tokio::time::timeout(Duration::from_millis(1), ours.read_packet(BYTES_MAX)).await;
        assert!(cancelled.is_err());
        peer.write_all(part).await.unwrap();
    }
    assert_eq!(ours.read_packet(BYTES_MAX).await.unwrap(), Some(&[b'x'; 40_000][..]));
}

#[tokio::test]
async fn limits_and_order_are_kept() {
    let (mut ours, mut peer) = pair();
    peer.write_all(&packet(0, b"12345")).await.unwrap();
    let before = *ours.sequence_mut();
    assert!(matches!(ours.read_packet(4).await, Err(PacketError::TooLarge { bytes_max: 4 })));
    assert_eq!(
        *ours.sequence_mut(),
        before.wrapping_add(1),
        "an answer comes behind the packet that was refused"
    );

    let (mut ours, mut peer) = pair();
    peer.write_all(&packet(1, b"x")).await.unwrap();
    let error = ours.read_packet(9).await.unwrap_err();
    assert!(matches!(error, PacketError::OutOfOrder { expected: 0, received: 1 }));
    assert_eq!(error.into_client_error().errno(), 1156);

    // The limit is for the whole packet, not for each part of it.
    let (mut ours, mut peer) = pair();
    let sent = packet(0, &vec![0; PACKET_PAYLOAD_BYTES_MAX + 10]);
    let writer = async { drop(peer.write_all(&sent).await) };
    let reader = async {
        let error = ours.read_packet(PACKET_PAYLOAD_BYTES_MAX + 9).await.unwrap_err();
        assert!(matches!(error, PacketError::TooLarge { .. }));
        drop(ours);
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn ends_within_packets_are_errors() {
    for cut in [1, 4, 6] {
        let (mut ours, mut peer) = pair();
        peer.write_all(&packet(0, b"abc")[..cut]).await.unwrap();
        drop(peer);
        assert!(matches!(ours.read_packet(BYTES_MAX).await, Err(PacketError::Truncated)), "{cut}");
    }
    let (mut ours, mut peer) = pair();
    peer.write_all(&packet(0, &[0; 50_000])[..20_000]).await.unwrap();
    drop(peer);
    assert!(matches!(ours.read_packet(BYTES_MAX).await, Err(PacketError::Truncated)));
}

#[tokio::test]
async fn raw_bytes_for_forwarding() {
    let (mut ours, mut peer) = pair();
    peer.write_all(b"abcdef").await.unwrap();
    assert_eq!(ours.fill().await.unwrap(), 6);
    ours.consume(2);
    assert_eq!(ours.buffered(), b"cdef");
    peer.write_all(b"gh").await.unwrap();
    assert_eq!(ours.fill().await.unwrap(), 2);
    assert_eq!(ours.buffered(), b"cdefgh");
    ours.consume(6);
    assert!(!holds_buffer(&ours));
    assert!(ours.buffered().is_empty());
    drop(peer);
    assert_eq!(ours.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_buffer_must_be_consumed() {
    let (mut ours, mut peer) = pair();
    let sent = vec![7; 3 * TRANSPORT_BUFFER_BYTES];
    let writer = async { peer.write_all(&sent).await.unwrap() };
    let reader = async {
        while ours.buffered().len() < TRANSPORT_BUFFER_BYTES {
            ours.fill().await.unwrap();
        }
        assert_eq!(ours.fill().await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let mut count = 0;
        while count < sent.len() {
            // What is left moves to the front, so that there is room again.
            let half = ours.buffered().len().div_ceil(2);
            ours.consume(half);
            count += half;
            if count + ours.buffered().len() < sent.len() {
                ours.fill().await.unwrap();
            }
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn large_writes_are_finished() {
    let (mut ours, mut peer) = pair();
    let sent: Vec<u8> = (0..=250).cycle().take(2_000_000).collect();
    let mut received = vec![];
    let writer = async {
        ours.write_all(&sent).await.unwrap();
        ours.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(writer, peer.read_to_end(&mut received));
    assert_eq!(read.unwrap(), sent.len());
    assert!(received == sent);
}

#[tokio::test]
async fn a_reader_that_always_finds_bytes_lets_others_run() {
    use std::io::Write as _;
    let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut ours = PacketStream::new(Stream::unix(UnixStream::from_std(ours).unwrap()));
    let flood = vec![0; 1 << 20];
    let writer = std::thread::spawn(move || while peer.write_all(&flood).is_ok() {});
    let other = tokio::spawn(async {});
    let mut count = 0;
    while !other.is_finished() {
        count += ours.fill().await.unwrap();
        assert!(count < 1 << 30, "{count} bytes were read, and nobody else had a turn");
        let arrived = ours.buffered().len();
        ours.consume(arrived);
    }
    drop(ours);
    writer.join().unwrap();
}

#[tokio::test]
async fn quiet_streams() {
    let (mut ours, mut peer) = pair();
    assert!(ours.is_quiet());
    peer.write_all(b"unexpected").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!ours.is_quiet());
    assert!(!ours.is_quiet(), "still there");

    let (mut ours, peer) = pair();
    assert!(ours.is_quiet());
    drop(peer);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!ours.is_quiet());
}

#[tokio::test]
async fn hanging_up_is_noticed_beside_commands_sent_ahead() {
    let (mut ours, mut peer) = tcp_pair().await;
    let mut watch = ours.hangup_watch();
    let waiting = tokio::time::timeout(Duration::from_millis(5), watch.closed()).await;
    assert!(waiting.is_err());
    peer.write_all(&packet(0, b"ahead")).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(5), ours.closed()).await;
    assert!(waiting.is_err(), "bytes are no hangup");
    drop(peer);
    watch.closed().await;
    assert_eq!(ours.read_packet(BYTES_MAX).await.unwrap(), Some(&b"ahead"[..]));
}

#[tokio::test]
async fn hanging_up_is_noticed_at_once_when_nothing_was_sent() {
    let (ours, peer) = pair();
    let (_, ()) = tokio::join!(async { drop(peer) }, ours.closed());
}

async fn tcp_pair() -> (PacketStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(address));
    (PacketStream::new(Stream::tcp(accepted.unwrap().0).unwrap()), connected.unwrap())
}

fn tls_configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn tls_on_both_sides() {
    let (server_config, client_config) = tls_configs();
    let (mut server, client) = tcp_pair().await;
    let mut client = PacketStream::new(Stream::tcp(client).unwrap());
    assert!(!server.stream().is_secure());
    client.write_all(&packet(0, b"TLS please")).await.unwrap();
    assert_eq!(server.read_packet(BYTES_MAX).await.unwrap(), Some(&b"TLS please"[..]));
    let (server, client) = tokio::join!(
        server.into_tls_server(server_config),
        client.into_tls_client(client_config, localhost())
    );
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    assert!(server.stream().is_secure() && client.stream().is_tls());
    assert_eq!(server.stream().tls().unwrap().version, "TLSv1.3");
    assert!(client.stream().tls().unwrap().cipher.starts_with("TLS_"));
    assert_eq!(*server.sequence_mut(), 1, "numbers go on");

    let large = vec![b'x'; 300_000];
    let writer = async {
        client.write_all(&packet(1, &large)).await.unwrap();
        client.write_all(&packet(2, b"bye")).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let reader = async {
        assert!(*server.read_packet(BYTES_MAX).await.unwrap().unwrap() == large);
        assert_eq!(server.read_packet(BYTES_MAX).await.unwrap(), Some(&b"bye"[..]));
        assert!(server.read_packet(BYTES_MAX).await.unwrap().is_none());
    };
    tokio::join!(writer, reader);
    assert!(!holds_buffer(&server));
}

#[tokio::test]
async fn tls_bytes_that_came_with_the_request_are_taken_over() {
    let (server_config, client_config) = tls_configs();
    let (ours, peer) = UnixStream::pair().unwrap();
    let mut server = PacketStream::new(Stream::unix(ours));
    let client = PacketStream::new(Stream::unix(peer));
    // The request and the first TLS record in one read: the client does not wait between them.
    let handshake = tokio::spawn(async move {
        let mut client = client;
        client.write_all(&packet(0, b"TLS please")).await.unwrap();
        client.into_tls_client(client_config, localhost()).await
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(server.read_packet(BYTES_MAX).await.unwrap(), Some(&b"TLS please"[..]));
    assert!(!server.buffered().is_empty());
    let mut server = server.into_tls_server(server_config).await.unwrap();
    let mut client = handshake.await.unwrap().unwrap();
    server.write_all(&packet(0, b"hello")).await.unwrap();
    assert_eq!(client.read_packet(BYTES_MAX).await.unwrap(), Some(&b"hello"[..]));
    // Session tickets of TLS 1.3 are no data.
    assert!(client.is_quiet());
    drop(server);
    assert!(client.read_packet(BYTES_MAX).await.unwrap().is_none(), "an end without goodbye is an end");
}

#[tokio::test]
async fn plain_text_before_tls_is_refused() {
    let (server_config, client_config) = tls_configs();
    let (mut server, mut peer) = pair();
    let injected = [packet(0, b"TLS please"), packet(0, b"\x03drop table users")].concat();
    peer.write_all(&injected).await.unwrap();
    server.read_packet(BYTES_MAX).await.unwrap();
    let error = server.into_tls_server(server_config).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);

    let (mut client, mut peer) = pair();
    peer.write_all(&[packet(0, b"greeting"), packet(2, b"injected OK")].concat()).await.unwrap();
    client.read_packet(BYTES_MAX).await.unwrap();
    assert!(client.into_tls_client(client_config, localhost()).await.is_err());
}

#[test]
fn streams_can_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    is_send(async {
        let (mut ours, _peer) = pair();
        let _ = ours.read_packet(BYTES_MAX).await;
        let _ = ours.take_packet(BYTES_MAX).await;
        let _ = ours.write_all(b"x").await;
        ours.closed().await;
    });
}
