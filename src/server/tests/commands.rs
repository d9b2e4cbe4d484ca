//! The command loop: what the server answers itself, and what it hands on.

use super::*;
use crate::wire::OkPacket;

#[tokio::test]
async fn commands_that_the_server_answers_itself() {
    let server = Fixture::start().await;
    for capabilities in [Capabilities::OFFERED, Capabilities::OFFERED - Capabilities::DEPRECATE_EOF] {
        let mut peer = server.logged_in_with(capabilities).await;
        peer.command(&Command::Ping).await;
        peer.expect_ok().await;
        peer.command(&Command::Statistics).await;
        assert!(peer.read().await.unwrap().starts_with(b"Uptime: "));
        for (option, expected) in [(0, 0xFE), (1, 0xFE), (2, 0xFF)] {
            peer.command(&Command::SetOption(option)).await;
            assert_eq!(peer.read().await.unwrap()[0], expected, "option {option}");
        }
        peer.command(&Command::ResetConnection).await;
        peer.expect_ok().await;
        assert_eq!(peer.value("select resets").await, "1");
        for unknown in [0x00, 0x05, 0x0D, 0x12, 0x1E, 0xFE] {
            peer.command(&Command::Unknown(unknown)).await;
            let (errno, state, text) = peer.expect_error().await;
            assert_eq!((errno, state.as_str(), text.as_str()), (1047, "08S01", "Unknown command"));
        }
        peer.command(&Command::Quit).await;
        peer.expect_closed().await;
    }
    server.emptied().await;
}

#[tokio::test]
async fn results_end_as_agreed_and_large_ones_are_streamed() {
    let server = Fixture::start().await;
    for capabilities in [Capabilities::OFFERED, Capabilities::OFFERED - Capabilities::DEPRECATE_EOF] {
        let mut peer = server.logged_in_with(capabilities).await;
        assert_eq!(peer.value("select 1").await, "1");
        let rows = peer.rows("rows 100000").await;
        assert_eq!((rows.len(), rows[99_999].as_str()), (100_000, "99999"));
        peer.query("nonsense").await;
        assert_eq!(peer.expect_error().await.0, 1064);
        peer.query("raw").await;
        let packet = peer.read().await.unwrap();
        assert_eq!(OkPacket::decode(&packet).unwrap().affected_rows, 5);
    }
    let errors = "shardgate_client_errors_total{origin=\"client\"}";
    until(|| server.counter(errors) == 2).await;
    assert!(server.counter("shardgate_client_bytes_total{direction=\"out\"}") > 1_000_000);
}

#[tokio::test]
async fn packets_over_16_mb_in_both_directions() {
    let server = Fixture::start().await;
    let mut peer = server.logged_in().await;
    // Around the length at which a payload needs one packet more.
    for length in [0xFF_FFFE, 0xFF_FFFF, 0x100_0000, 40 << 20] {
        let statement = format!("length {}", "x".repeat(length - 8));
        assert_eq!(peer.value(&statement).await, (length - 1).to_string());
    }
    let bytes = 17_000_000;
    assert_eq!(peer.value(&format!("bytes {bytes}")).await.len(), bytes);
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let server = Fixture::start().await;
    let mut peer = server.logged_in().await;
    let mut bytes = vec![];
    for text in ["\x03raw", "\x03nonsense", "\x0E"] {
        crate::wire::frame::write_packet(&mut bytes, &mut 0, text.as_bytes());
    }
    peer.raw(&bytes).await;
    for error in [false, true, false] {
        peer.sequence = 1;
        match error {
            true => drop(peer.expect_error().await),
            false => drop(peer.expect_ok().await),
        }
    }
}

#[tokio::test]
async fn a_panic_ends_its_session_only() {
    let server = Fixture::start().await;
    let mut other = server.logged_in().await;
    let mut peer = server.logged_in().await;
    peer.query("panic").await;
    let (errno, _, text) = peer.expect_error().await;
    assert_eq!(errno, 1815, "{text}");
    peer.expect_closed().await;
    assert_eq!(other.value("select 1").await, "1");
    until(|| server.registry.count() == 1).await;
    assert_eq!(server.counter("shardgate_session_panics_total"), 1);
    assert_eq!(server.handler.closed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn kill_ends_a_statement_or_a_connection() {
    let server = Fixture::start().await;
    let mut peer = server.logged_in().await;
    let id = ConnectionId(peer.value("select id").await.parse().unwrap());
    peer.query("wait").await;
    until(|| server.registry.list()[0].text.as_deref() == Some(b"wait")).await;
    assert!(server.registry.kill(id, Kill::Query));
    assert_eq!(peer.expect_error().await.2, "KillQuery");
    assert_eq!(peer.value("select 1").await, "1");
    peer.query("wait").await;
    until(|| server.registry.list()[0].text.as_deref() == Some(b"wait")).await;
    server.registry.kill(id, Kill::Connection);
    assert_eq!(peer.expect_error().await.2, "KillConnection");
    peer.expect_closed().await;

    let mut peer = server.logged_in().await;
    let id = ConnectionId(peer.value("select id").await.parse().unwrap());
    server.registry.kill(id, Kill::Connection);
    peer.expect_closed().await;
    server.emptied().await;
}

#[tokio::test]
async fn a_client_that_leaves_interrupts_its_statement() {
    let server = Fixture::start().await;
    let mut peer = server.logged_in().await;
    peer.query("wait").await;
    until(|| server.registry.list()[0].command == "Query").await;
    drop(peer);
    server.emptied().await;
}

#[tokio::test]
async fn a_command_that_comes_too_late_is_answered_all_the_same() {
    let server = Fixture::start().await;
    let mut peer = server.logged_in().await;
    peer.command(&Command::InitDb(b"hasty")).await;
    peer.expect_ok().await;
    // It arrives in pieces: patience ends in the middle of it.
    let length = 20 << 20;
    let statement = format!("length {}", "x".repeat(length));
    assert_eq!(peer.value(&statement).await, (length + "length ".len()).to_string());
    assert_ne!(peer.value("select resets").await, "0");
}
