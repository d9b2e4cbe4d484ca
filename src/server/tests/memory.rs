//! What an idle client costs. Ignored by default: it needs many file descriptors and a quiet process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::wire::connect::HandshakeResponse;
use crate::wire::frame::write_packet_with;

const CLIENTS: usize = 4_000;

/// Of this process, in bytes.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Logs in and runs one query, with as little memory on this side as possible.
fn client(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut bytes = [0; 4096];
    assert!(stream.read(&mut bytes).unwrap() > 0);
    let response = HandshakeResponse {
        capabilities: Capabilities::OFFERED,
        packet_bytes_max: 0,
        collation: 45,
        user: b"root",
        auth_response: b"",
        database: Some(b"commerce"),
        auth_plugin: Some(b"caching_sha2_password"),
        attributes: Default::default(),
    };
    let mut out = vec![];
    write_packet_with(&mut out, &mut 1, |out| response.encode(out));
    stream.write_all(&out).unwrap();
    assert!(stream.read(&mut bytes).unwrap() > 0);
    stream.write_all(b"\x09\0\0\0\x03select 1").unwrap();
    assert!(stream.read(&mut bytes).unwrap() > 0);
    stream
}

#[tokio::test]
#[ignore = "needs 8,000 file descriptors; run alone: cargo test --release --lib idle_clients -- --ignored"]
async fn idle_clients_cost_little_memory() {
    let server = Fixture::start().await;
    let address = server.address;
    let connect = move |count| {
        tokio::task::spawn_blocking(move || (0..count).map(|_| client(address)).collect::<Vec<_>>())
    };
    let first = connect(200).await.unwrap();
    let before = resident_bytes();
    let others = connect(CLIENTS).await.unwrap();
    assert_eq!(server.registry.count(), first.len() + others.len());
    let each = (resident_bytes() - before) / CLIENTS;
    eprintln!("{each} bytes resident per idle client");
    assert!(each < 6 << 10, "{each} bytes");
    // Of the kernel's memory for sockets, and of the handler's session, this says nothing.
}
