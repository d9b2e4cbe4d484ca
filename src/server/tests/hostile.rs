//! Peers that break the protocol: each loses its own connection, and the server serves on.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::wire::ErrPacket;

async fn still_serves(server: &Fixture) {
    let mut peer = server.logged_in().await;
    assert_eq!(peer.value("select 1").await, "1");
    drop(peer);
    server.emptied().await;
}

/// Sends bytes instead of a handshake response, and hangs up or waits for the server to do so.
async fn instead_of_a_response(server: &Fixture, bytes: &[u8], waits: bool) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut byte = [0; 1];
    stream.read_exact(&mut byte).await.unwrap();
    let _ = stream.write_all(bytes).await;
    if waits {
        let mut rest = vec![];
        let _ = stream.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn garbage_instead_of_a_handshake() {
    let server = Fixture::start().await;
    let mut random = vec![0; 4096];
    getrandom::fill(&mut random).unwrap();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xff\xff\x01",
        b"\x01\0\0\x01\0",
        b"\0\0\0\x01",
        &random,
        &[0; 100],
    ] {
        instead_of_a_response(&server, bytes, false).await;
    }
    // Those that are complete, and wrong, are told so at once.
    for bytes in [&b"\x01\0\0\x01\0"[..], b"\0\0\0\x01", b"\0\0\0\x07", b"\xff\xff\xff\x01", &[0x20; 64]] {
        instead_of_a_response(&server, bytes, true).await;
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn every_truncation_of_a_response() {
    let server = Fixture::start().await;
    let mut whole = vec![];
    let response = crate::wire::connect::HandshakeResponse {
        capabilities: Capabilities::OFFERED,
        packet_bytes_max: 0,
        collation: 45,
        user: b"root",
        auth_response: b"",
        database: Some(b"db"),
        auth_plugin: Some(b"caching_sha2_password"),
        attributes: Default::default(),
    };
    response.encode(&mut whole);
    for end in 0..whole.len() {
        // As a packet that claims to be complete, and as one that stops in the middle.
        let mut packet = vec![];
        crate::wire::frame::write_packet(&mut packet, &mut 1, &whole[..end]);
        instead_of_a_response(&server, &packet, false).await;
        let mut packet = vec![];
        crate::wire::frame::write_packet(&mut packet, &mut 1, &whole);
        instead_of_a_response(&server, &packet[..end], false).await;
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn plain_text_behind_a_request_for_tls_is_not_read() {
    let server = Fixture::start().await;
    let mut peer = server.greeted().await;
    let mut bytes = vec![];
    let request = crate::wire::connect::SslRequest {
        capabilities: Capabilities::OFFERED | Capabilities::SSL,
        packet_bytes_max: 0,
        collation: 45,
    };
    crate::wire::frame::write_packet_with(&mut bytes, &mut 1, |out| request.encode(out));
    bytes.extend_from_slice(b"\x04\0\0\x02abcd");
    peer.raw(&bytes).await;
    peer.expect_closed().await;
    still_serves(&server).await;
}

#[tokio::test]
async fn wrong_sequence_numbers() {
    let server = Fixture::start().await;
    let mut peer = server.logged_in().await;
    peer.raw(b"\x01\0\0\x05\x0E").await;
    assert_eq!(peer.error_of_any_sequence().await.0, 1156);
    let mut peer = server.logged_in().await;
    peer.query("begin").await;
    peer.expect_ok().await;
    peer.raw(b"\x01\0\0\x01\x0E").await;
    let (errno, _) = peer.error_of_any_sequence().await;
    assert_eq!(errno, 1156);
    peer.expect_closed().await;
    still_serves(&server).await;
}

#[tokio::test]
async fn oversized_commands_name_the_limit() {
    let server = Fixture::start_with(|options| options.command_bytes_max = 20_000_000).await;
    let mut peer = server.logged_in().await;
    let statement = format!("length {}", "x".repeat(19_999_992));
    assert_eq!(peer.value(&statement).await, "19999999");
    let statement = format!("length {}", "x".repeat(19_999_993));
    peer.query(&statement).await;
    let (errno, text) = peer.error_of_any_sequence().await;
    assert_eq!(errno, 1153);
    assert!(text.contains("max_allowed_packet") && text.contains("20000000"), "{text}");
    peer.expect_closed().await;
    still_serves(&server).await;
}

#[tokio::test]
async fn malformed_commands() {
    let server = Fixture::start().await;
    for payload in [&b""[..], b"\x17", b"\x17\x01\0\0", b"\x18\x01\0\0\0", b"\x19\x01", b"\x1B", b"\x11root"]
    {
        let mut peer = server.logged_in().await;
        peer.sequence = 0;
        peer.send(payload).await;
        let (errno, state, _) = peer.expect_error().await;
        assert_eq!((errno, state.as_str()), (1835, "HY000"), "{payload:?}");
        peer.expect_closed().await;
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn half_sent_commands_then_nothing() {
    let server = Fixture::start().await;
    for bytes in [&b"\x09"[..], b"\x09\0\0\0", b"\x09\0\0\0\x03sele", b"\xff\xff\xff\0\x03select"] {
        let mut peer = server.logged_in().await;
        peer.raw(bytes).await;
        drop(peer);
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn clients_that_leave_in_mid_result() {
    let server = Fixture::start().await;
    for _ in 0..200 {
        let mut peer = server.logged_in().await;
        peer.query("rows 1000000").await;
        peer.read().await.unwrap();
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn too_many_connections() {
    let server = Fixture::start_with(|options| options.connections_max = 2).await;
    let first = server.logged_in().await;
    let _second = server.logged_in().await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let mut refusal = vec![];
    third.read_to_end(&mut refusal).await.unwrap();
    let error = ErrPacket::decode(&refusal[4..]).unwrap();
    assert_eq!((error.errno, error.message), (1040, &b"Too many connections"[..]));
    assert_eq!(refusal[3], 0);
    drop(first);
    until(|| server.registry.count() == 1).await;
    let _again = server.logged_in().await;
    assert_eq!(server.counter("shardgate_client_connections_total{result=\"refused\"}"), 1);
}

#[tokio::test]
async fn a_flood_of_silent_connections_does_not_touch_those_who_are_in() {
    let server = Fixture::start_with(|options| {
        options.logins_max = 50;
        options.login_timeout = Duration::from_millis(300);
    })
    .await;
    let mut peer = server.logged_in().await;
    let flood: Vec<_> =
        futures_util::future::join_all((0..200).map(|_| TcpStream::connect(server.address))).await;
    assert_eq!(peer.value("select 1").await, "1");
    let refused = "shardgate_client_connections_total{result=\"refused\"}";
    let accepted = "shardgate_client_connections_total{result=\"accepted\"}";
    until(|| server.counter(refused) + server.counter(accepted) == 201).await;
    assert!(server.counter(refused) > 0);
    // The silent ones time out while they still hold on, and make room.
    until(|| server.registry.count() == 1).await;
    assert_eq!(server.logged_in().await.value("select 1").await, "1");
    drop(flood);
    drop(peer);
    server.emptied().await;
}
