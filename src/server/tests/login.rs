//! Handshakes: every plugin on every kind of connection, right and wrong.

use rsa::rand_core::OsRng;

use super::peer::Peer;
use super::*;
use crate::wire::auth::rsa::encrypt_password;
use crate::wire::auth::{caching_sha2_password, native_password};

const NATIVE: &str = native_password::NAME;
const SHA2: &str = caching_sha2_password::NAME;

fn sha2(peer: &Peer, password: &str) -> Vec<u8> {
    caching_sha2_password::scramble(password.as_bytes(), &peer.salt)
}

fn native(peer: &Peer, password: &str) -> Vec<u8> {
    native_password::scramble(password.as_bytes(), &peer.salt)
}

async fn denied(peer: &mut Peer, user: &str, using: &str) {
    let (errno, state, text) = peer.expect_error().await;
    assert_eq!((errno, state.as_str()), (1045, "28000"));
    assert!(text.starts_with(&format!("Access denied for user '{user}'@'")), "{text}");
    assert!(text.ends_with(&format!("(using password: {using})")), "{text}");
    peer.expect_closed().await;
}

#[tokio::test]
async fn the_greeting_offers_what_is_served() {
    let server = Fixture::start().await;
    let (one, two) = (server.greeted().await, server.greeted().await);
    assert_ne!(one.salt, two.salt);
    assert!(!one.salt.contains(&0));
    assert_eq!(one.offered, Capabilities::OFFERED | Capabilities::SSL);
    drop((one, two));
    server.emptied().await;
    assert_eq!(server.counter("shardgate_client_login_failures_total{reason=\"handshake\"}"), 0);
}

#[tokio::test]
async fn empty_passwords() {
    let server = Fixture::start().await;
    for (plugin, response) in [(NATIVE, &b""[..]), (SHA2, b""), (SHA2, b"\0")] {
        let mut peer = server.greeted().await;
        peer.respond("root", response, plugin, Capabilities::OFFERED).await;
        assert_eq!(peer.expect_ok().await, StatusFlags::AUTOCOMMIT);
        assert_eq!(peer.value("select user").await, "root@127.0.0.1");
        assert_eq!(server.registry.list()[0].user.as_ref(), "root");
        drop(peer);
        server.emptied().await;
    }
    for user in ["ann", "crypt"] {
        let mut peer = server.greeted().await;
        peer.respond(user, b"", SHA2, Capabilities::OFFERED).await;
        denied(&mut peer, user, "NO").await;
    }
}

#[tokio::test]
async fn the_fast_path_accepts_each_password_of_a_rotation() {
    let server = Fixture::start().await;
    for password in ["old", "secret"] {
        let mut peer = server.greeted().await;
        let response = sha2(&peer, password);
        peer.respond("ann", &response, SHA2, Capabilities::OFFERED).await;
        assert_eq!(peer.expect_more().await, [caching_sha2_password::FAST_AUTH_OK]);
        peer.expect_ok().await;
        let mut peer = server.greeted().await;
        let response = native(&peer, password);
        peer.respond("ann", &response, NATIVE, Capabilities::OFFERED).await;
        peer.expect_ok().await;
    }
    for plugin in [NATIVE, SHA2] {
        let mut peer = server.greeted().await;
        let response = if plugin == SHA2 { sha2(&peer, "wrong") } else { native(&peer, "wrong") };
        peer.respond("ann", &response, plugin, Capabilities::OFFERED).await;
        denied(&mut peer, "ann", "YES").await;
    }
    assert_eq!(server.counter("shardgate_client_login_failures_total{reason=\"denied\"}"), 2);
}

#[tokio::test]
async fn a_switch_asks_for_the_plugin_that_the_account_has() {
    let server = Fixture::start().await;
    let mut peer = server.greeted().await;
    let response = sha2(&peer, "secret");
    peer.respond("nat", &response, SHA2, Capabilities::OFFERED).await;
    peer.expect_switch(NATIVE).await;
    let response = native(&peer, "secret");
    peer.send(&response).await;
    peer.expect_ok().await;
    assert_eq!(peer.value("select user").await, "nat@127.0.0.1");

    let mut peer = server.greeted().await;
    let response = native(&peer, "secret");
    peer.respond("nat", &response, "dialog", Capabilities::OFFERED).await;
    peer.expect_switch(NATIVE).await;
    peer.send(&response).await;
    denied(&mut peer, "nat", "YES").await;

    // Unknown plugins get the default one, MariaDB's clients the one that they surely have.
    for (capabilities, plugin) in
        [(Capabilities::OFFERED, SHA2), (Capabilities::OFFERED - Capabilities::LONG_PASSWORD, NATIVE)]
    {
        let mut peer = server.greeted().await;
        peer.respond("ann", b"", "auth_gssapi_client", capabilities).await;
        peer.expect_switch(plugin).await;
    }
}

#[tokio::test]
async fn a_client_without_plugins_cannot_switch() {
    let server = Fixture::start().await;
    let old = Capabilities::OFFERED - Capabilities::PLUGIN_AUTH;
    let mut peer = server.greeted().await;
    let response = native(&peer, "secret");
    peer.respond("ann", &response, "", old).await;
    peer.expect_ok().await;
    let mut peer = server.greeted().await;
    let response = native(&peer, "secret");
    peer.respond("crypt", &response, "", old).await;
    assert_eq!(peer.expect_error().await.0, 1251);
}

#[tokio::test]
async fn a_crypt_string_needs_the_password_once_by_rsa() {
    let server = Fixture::start().await;
    let mut peer = server.greeted().await;
    let response = sha2(&peer, "secret");
    peer.respond("crypt", &response, SHA2, Capabilities::OFFERED).await;
    assert_eq!(peer.expect_more().await, [caching_sha2_password::FULL_AUTH]);
    peer.send(&[caching_sha2_password::REQUEST_PUBLIC_KEY]).await;
    let pem = peer.expect_more().await;
    let encrypted = encrypt_password(&mut OsRng, &pem, b"wrong", &peer.salt).unwrap();
    peer.send(&encrypted).await;
    denied(&mut peer, "crypt", "YES").await;

    // A client that knows the key already sends no request for it.
    let mut peer = server.greeted().await;
    let response = sha2(&peer, "secret");
    peer.respond("crypt", &response, SHA2, Capabilities::OFFERED).await;
    assert_eq!(peer.expect_more().await, [caching_sha2_password::FULL_AUTH]);
    let encrypted = encrypt_password(&mut OsRng, &pem, b"secret", &peer.salt).unwrap();
    peer.send(&encrypted).await;
    peer.expect_ok().await;

    let mut peer = server.greeted().await;
    let response = sha2(&peer, "secret");
    peer.respond("crypt", &response, SHA2, Capabilities::OFFERED).await;
    assert_eq!(peer.expect_more().await, [caching_sha2_password::FAST_AUTH_OK]);
    peer.expect_ok().await;
}

#[tokio::test]
async fn rubbish_instead_of_an_encrypted_password_is_a_wrong_password() {
    let server = Fixture::start().await;
    for answer in [&b"secret\0"[..], &[0x55; 256], b"", &[2, 2]] {
        let mut peer = server.greeted().await;
        let response = sha2(&peer, "secret");
        peer.respond("crypt", &response, SHA2, Capabilities::OFFERED).await;
        assert_eq!(peer.expect_more().await, [caching_sha2_password::FULL_AUTH]);
        peer.send(answer).await;
        denied(&mut peer, "crypt", "YES").await;
    }
}

#[tokio::test]
async fn a_crypt_string_needs_the_password_once_in_tls_or_a_unix_socket() {
    for unix in [false, true] {
        let server = Fixture::start().await;
        let mut peer = match unix {
            true => Peer::connect_unix(&server.socket).await,
            false => server.greeted().await.start_tls().await,
        };
        let response = sha2(&peer, "secret");
        peer.respond("crypt", &response, SHA2, Capabilities::OFFERED).await;
        assert_eq!(peer.expect_more().await, [caching_sha2_password::FULL_AUTH]);
        peer.send(b"secret\0").await;
        peer.expect_ok().await;
        let host = if unix { "localhost" } else { "127.0.0.1" };
        assert_eq!(peer.value("select user").await, format!("crypt@{host}"));
    }
}

#[tokio::test]
async fn a_source_host_of_localhost_means_the_unix_socket() {
    let server = Fixture::start().await;
    let mut peer = Peer::connect_unix(&server.socket).await;
    let response = sha2(&peer, "secret");
    peer.respond("local", &response, SHA2, Capabilities::OFFERED).await;
    peer.expect_more().await;
    peer.expect_ok().await;
    let mut peer = server.greeted().await;
    let response = native(&peer, "secret");
    peer.respond("local", &response, NATIVE, Capabilities::OFFERED).await;
    // Like an unknown user: the exchange of some account, then no.
    let packet = peer.read().await.unwrap();
    if packet[0] == 0xFE {
        peer.send(b"whatever").await;
    }
}

#[tokio::test]
async fn unknown_users_fail_whatever_they_say() {
    let server = Fixture::start().await;
    for user in ["x", "y", "z", "root ", "ROOT", ""] {
        let mut peer = server.greeted().await.start_tls().await;
        peer.respond(user, b"", SHA2, Capabilities::OFFERED).await;
        match peer.read().await.unwrap()[0] {
            0xFE => {
                peer.send(b"").await;
                denied(&mut peer, user, "NO").await;
            }
            first => assert_eq!(first, 0xFF),
        }
    }
    server.emptied().await;
}

#[tokio::test]
async fn tls_carries_the_session() {
    let server = Fixture::start_with(|options| options.tls_required = true).await;
    let mut peer = server.greeted().await;
    peer.respond("root", b"", SHA2, Capabilities::OFFERED).await;
    let (errno, _, text) = peer.expect_error().await;
    assert_eq!(errno, 3159, "{text}");
    let mut peer = server.greeted().await.start_tls().await;
    peer.respond("root", b"", SHA2, Capabilities::OFFERED).await;
    peer.expect_ok().await;
    assert_eq!(peer.value("bytes 100000").await.len(), 100_000);
    let mut peer = Peer::connect_unix(&server.socket).await;
    peer.respond("root", b"", SHA2, Capabilities::OFFERED).await;
    peer.expect_ok().await;
}

#[tokio::test]
async fn a_server_without_tls_does_not_offer_it() {
    let server = Fixture::start_with(|options| options.tls = None).await;
    let peer = server.greeted().await;
    assert!(!peer.offered.contains(Capabilities::SSL));
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_refuses_the_login() {
    let server = Fixture::start().await;
    let mut peer = server.greeted().await;
    peer.respond_to("commerce@replica", "root", b"", SHA2, Capabilities::OFFERED).await;
    peer.expect_ok().await;
    assert_eq!(peer.value("select database").await, "commerce@replica");
    let mut peer = server.greeted().await;
    peer.respond_to("nosuch", "root", b"", SHA2, Capabilities::OFFERED).await;
    assert_eq!(peer.expect_error().await.0, 1049);
    let mut peer = server.greeted().await;
    peer.respond_to("panic", "root", b"", SHA2, Capabilities::OFFERED).await;
    assert_eq!(peer.expect_error().await.0, 1815);
    assert_eq!(server.counter("shardgate_session_panics_total"), 1);
}

#[tokio::test]
async fn change_user_asks_again_and_starts_afresh() {
    let server = Fixture::start().await;
    let mut peer = server.logged_in().await;
    peer.query("begin").await;
    assert!(peer.expect_ok().await.contains(StatusFlags::IN_TRANSACTION));
    for (user, plugin) in [("ann", SHA2), ("nat", NATIVE), ("ann", SHA2)] {
        peer.change_user(user, "db").await;
        peer.expect_switch(plugin).await;
        if plugin == SHA2 {
            let response = sha2(&peer, "secret");
            peer.send(&response).await;
            peer.expect_more().await;
        } else {
            let response = native(&peer, "secret");
            peer.send(&response).await;
        }
        assert_eq!(peer.expect_ok().await, StatusFlags::AUTOCOMMIT);
        assert_eq!(peer.value("select user").await, format!("{user}@127.0.0.1"));
        assert_eq!(peer.value("select database").await, "db");
    }
    assert_eq!(server.registry.list()[0].user.as_ref(), "ann");
    peer.change_user("ann", "").await;
    peer.expect_switch(SHA2).await;
    peer.send(b"12345678901234567890123456789012").await;
    denied(&mut peer, "ann", "YES").await;
    server.emptied().await;
}
