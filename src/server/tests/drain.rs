//! Stopping: who is sent away at once, and who may finish.

use super::*;

#[tokio::test]
async fn idle_clients_leave_and_transactions_may_finish() {
    let mut server = Fixture::start().await;
    let mut idle = server.logged_in().await;
    let mut busy = server.logged_in().await;
    busy.query("begin").await;
    busy.expect_ok().await;
    server.stop();
    idle.expect_closed().await;
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
    assert_eq!(busy.value("select 1").await, "1");
    assert!(!server.running.is_finished());
    busy.query("commit").await;
    busy.expect_ok().await;
    busy.expect_closed().await;
    (&mut server.running).await.unwrap();
    server.emptied().await;
    assert!(!server.socket.exists());
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_period_is_ended() {
    let mut server = Fixture::start_with(|options| options.grace_period = Duration::from_millis(20)).await;
    let mut waiting = server.logged_in().await;
    waiting.query("wait").await;
    let mut open = server.logged_in().await;
    open.query("begin").await;
    open.expect_ok().await;
    until(|| server.registry.list()[0].command == "Query").await;
    server.stop();
    assert_eq!(waiting.expect_error().await.2, "KillConnection");
    waiting.expect_closed().await;
    open.expect_closed().await;
    (&mut server.running).await.unwrap();
    server.emptied().await;
}
