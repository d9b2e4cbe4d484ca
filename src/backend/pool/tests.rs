//! Pools against a server of our own: limits, waiting, and what comes back in which state.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::*;
use crate::backend::fake_server::{Answer, FakeServer};
use crate::backend::{Flavor, SessionSettings, SessionState};
use crate::error::{Error, ErrorKind, Retry};
use crate::wire::{Command, StatusFlags};

const NEEDS: Needs = Needs { flavor: Flavor { deprecate_eof: true, found_rows: false }, settings: 0 };

fn options(connections_max: usize) -> PoolOptions {
    PoolOptions { connections_max, wait: Duration::from_secs(60), workers: 2, ..PoolOptions::default() }
}

fn pool(server: &FakeServer, connections_max: usize) -> TabletPool {
    TabletPool::new(server.options(), options(connections_max))
}

fn closed(pool: &TabletPool, reason: CloseReason) -> u64 {
    pool.stats().closed[reason as usize]
}

/// Waits until something that happens in the background has happened.
async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_clean_connection_is_used_again() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 2);
    for _ in 0..3 {
        pool.acquire(&NEEDS).await.unwrap().ping().await.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.created, stats.acquired, stats.open, stats.idle, stats.in_use), (1, 3, 1, 1, 0));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_is_there_is_had_without_waiting_and_nothing_else() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 2);
    assert!(pool.try_acquire(&NEEDS).is_none(), "nothing is connected yet");
    drop(pool.acquire(&NEEDS).await.unwrap());
    let mut held = pool.try_acquire(&NEEDS).unwrap();
    held.ping().await.unwrap();
    assert!(pool.try_acquire(&NEEDS).is_none(), "the only connection is in use");
    assert_eq!((pool.stats().in_use, pool.stats().acquired, server.connections()), (1, 2, 1));
    drop(held);
    let other = Needs { flavor: Flavor { deprecate_eof: false, found_rows: false }, settings: 0 };
    assert!(pool.try_acquire(&other).is_none(), "of another flavor");
    pool.suspend(Error::new(ErrorKind::NoHealthyTablet, "gone"));
    assert!(pool.try_acquire(&NEEDS).is_none());
    assert_eq!(pool.stats().in_use, 0);
}

#[tokio::test]
async fn waiters_get_connections_in_order_of_arrival() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 1);
    let held = pool.acquire(&NEEDS).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..5 {
        let (waiting, order) = (pool.clone(), order.clone());
        waiters.push(tokio::spawn(async move {
            let _connection = waiting.acquire(&NEEDS).await.unwrap();
            order.lock().unwrap().push(number);
        }));
        while pool.stats().waiting <= number {
            yield_now().await;
        }
    }
    drop(held);
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!((pool.stats().waits, server.connections()), (5, 1));
}

#[tokio::test]
async fn waiting_ends_with_an_error_that_names_server_and_limit() {
    let server = FakeServer::start().await;
    let short = PoolOptions { wait: Duration::from_millis(5), waiters_max: 1, ..options(1) };
    let pool = TabletPool::new(server.options(), short);
    let held = pool.acquire(&NEEDS).await.unwrap();
    let error = pool.acquire(&NEEDS).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Some(ErrorKind::PoolTimeout), Retry::Never));
    let text = String::from_utf8_lossy(error.message()).into_owned();
    let expected = "VT14005: all 1 connections to tablet test-1 are in use and none became free within 5ms";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(pool.stats().wait_timeouts, 1);
    let (first, second) = tokio::join!(pool.acquire(&NEEDS), pool.acquire(&NEEDS));
    let texts = [first, second].map(|outcome| outcome.unwrap_err().to_string());
    assert!(texts.iter().any(|text| text.contains("1 statements wait already")), "{texts:?}");
    drop(held);
    pool.acquire(&NEEDS).await.unwrap();
}

#[tokio::test]
async fn a_waiter_that_gives_up_loses_no_permit() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 1);
    for _ in 0..20 {
        let held = pool.acquire(&NEEDS).await.unwrap();
        let waiting = pool.clone();
        let waiter = tokio::spawn(async move { waiting.acquire(&NEEDS).await.map(drop) });
        while pool.stats().waiting == 0 {
            yield_now().await;
        }
        // The permit is handed over and the waiter cancelled before it runs again.
        drop(held);
        waiter.abort();
        let _ = waiter.await;
    }
    until(|| pool.stats().in_use == 0).await;
    pool.acquire(&NEEDS).await.unwrap();
}

#[tokio::test]
async fn connections_with_equal_settings_are_preferred() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 4);
    let ansi = SessionSettings::new([("sql_mode", "'ANSI'")], None);
    let mut with_ansi = pool.acquire(&NEEDS).await.unwrap();
    let plain = pool.acquire(&NEEDS).await.unwrap();
    with_ansi.sync_settings(&ansi);
    with_ansi.flush().await.unwrap();
    with_ansi.receive_ok().await.unwrap();
    let (ansi_id, plain_id) = (with_ansi.thread_id(), plain.thread_id());
    drop(with_ansi);
    drop(plain);
    let needs_ansi = Needs { settings: ansi.hash(), ..NEEDS };
    assert_eq!(pool.acquire(&needs_ansi).await.unwrap().thread_id(), ansi_id);
    assert_eq!(pool.acquire(&NEEDS).await.unwrap().thread_id(), plain_id);
    let needs_other = Needs { settings: 77, ..NEEDS };
    assert!([ansi_id, plain_id].contains(&pool.acquire(&needs_other).await.unwrap().thread_id()));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn another_flavor_gets_its_own_connection_within_the_limit() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 1);
    let old = Needs { flavor: Flavor::default(), settings: 0 };
    assert!(pool.acquire(&NEEDS).await.unwrap().flavor().deprecate_eof);
    assert!(!pool.acquire(&old).await.unwrap().flavor().deprecate_eof);
    assert_eq!((pool.stats().open, closed(&pool, CloseReason::Evicted)), (1, 1));
    until(|| server.connected() == 1).await;
}

#[tokio::test]
async fn connections_closed_by_the_server_are_noticed_before_use() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 2);
    drop((pool.acquire(&NEEDS).await.unwrap(), pool.acquire(&NEEDS).await.unwrap()));
    assert_eq!(pool.stats().idle, 2);
    server.drop_connections().await;
    // The event loop has to be told.
    sleep(Duration::from_millis(20)).await;
    pool.acquire(&NEEDS).await.unwrap().ping().await.unwrap();
    assert_eq!((closed(&pool, CloseReason::Stale), server.connections()), (2, 3));
    server.drop_connections().await;
    sleep(Duration::from_millis(20)).await;
    pool.maintain();
    assert_eq!((closed(&pool, CloseReason::Stale), pool.stats().open), (3, 0));
}

#[tokio::test]
async fn session_state_is_reset_before_somebody_else_gets_it() {
    let server = FakeServer::start().await;
    server.answer("BEGIN", Answer::Status(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANSACTION));
    let pool = pool(&server, 1);
    let mut connection = pool.acquire(&NEEDS).await.unwrap();
    connection.execute("BEGIN").await.unwrap();
    drop(connection);
    let mut connection = pool.acquire(&NEEDS).await.unwrap();
    connection.mark(SessionState::TEMPORARY_TABLE);
    connection.execute("SELECT").await.unwrap();
    drop(connection);
    pool.acquire(&NEEDS).await.unwrap().execute("last").await.unwrap();
    let names = "1: SET NAMES utf8mb4 COLLATE utf8mb4_general_ci";
    assert_eq!(server.log(), ["1: BEGIN", "1: RESET", names, "1: SELECT", "1: RESET", names, "1: last"]);
    assert_eq!(pool.stats().resets, 2);
}

#[tokio::test]
async fn a_statement_given_up_is_killed_and_its_connection_closed() {
    let server = FakeServer::start().await;
    server.answer("SELECT SLEEP(1000)", Answer::Hang);
    let pool = pool(&server, 1);
    let mut connection = pool.acquire(&NEEDS).await.unwrap();
    connection.queue(&Command::Query(b"SELECT SLEEP(1000)"));
    connection.flush().await.unwrap();
    let cancelled = timeout(Duration::from_millis(5), connection.receive_ok()).await;
    assert!(cancelled.is_err());
    drop(connection);
    server.wait_for("KILL 1").await;
    // The permit is free again only when that is done.
    let next = pool.acquire(&NEEDS).await.unwrap();
    assert_eq!((next.thread_id(), closed(&pool, CloseReason::Killed)), (3, 1));
}

#[tokio::test]
async fn broken_connections_are_closed() {
    let server = FakeServer::start().await;
    server.answer("CRASH", Answer::HangUp);
    let pool = pool(&server, 1);
    let mut connection = pool.acquire(&NEEDS).await.unwrap();
    let error = connection.execute("CRASH").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Some(ErrorKind::BackendLost), Retry::Never));
    drop(connection);
    assert_eq!((closed(&pool, CloseReason::Broken), pool.stats().open), (1, 0));
    assert!(server.log().iter().all(|line| !line.contains("KILL")));
}

#[tokio::test]
async fn failed_connects_leave_nothing_behind() {
    let server = FakeServer::start().await;
    server.refuse(true);
    let pool = pool(&server, 1);
    let error = pool.acquire(&NEEDS).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Some(ErrorKind::ConnectFailed), Retry::FreshConnection));
    let stats = pool.stats();
    assert_eq!((stats.open, stats.in_use, stats.connect_failures), (0, 0, 1));
    server.refuse(false);
    pool.acquire(&NEEDS).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_connect_leaves_nothing_behind() {
    let server = FakeServer::start().await;
    server.freeze();
    let pool = pool(&server, 1);
    let cancelled = timeout(Duration::from_millis(10), pool.acquire(&NEEDS)).await;
    assert!(cancelled.is_err());
    assert_eq!((pool.stats().open, pool.stats().in_use), (0, 0));
}

#[tokio::test]
async fn connecting_to_a_silent_server_is_cut_too() {
    let server = FakeServer::start().await;
    server.freeze();
    let pool = pool(&server, 1);
    let connecting = pool.clone();
    let connecting = tokio::spawn(async move { connecting.acquire(&NEEDS).await.map(drop) });
    while pool.cut_exchanges_since(0) == 0 {
        yield_now().await;
    }
    let error = connecting.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Some(ErrorKind::ConnectFailed), Retry::FreshConnection));
}

#[tokio::test]
async fn suspension_refuses_at_once_and_ends() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 1);
    drop(pool.acquire(&NEEDS).await.unwrap());
    let held = pool.acquire(&NEEDS).await.unwrap();
    let waiting = pool.clone();
    let waiter = tokio::spawn(async move { waiting.acquire(&NEEDS).await.map(drop) });
    while pool.stats().waiting == 0 {
        yield_now().await;
    }
    pool.suspend(Error::new(ErrorKind::NoHealthyTablet, "gone"));
    let refused = [waiter.await.unwrap().unwrap_err(), pool.acquire(&NEEDS).await.unwrap_err()];
    for error in refused {
        assert_eq!((error.kind(), error.retry()), (Some(ErrorKind::NoHealthyTablet), Retry::FreshConnection));
    }
    drop(held);
    assert_eq!((pool.stats().open, pool.stats().in_use), (0, 0), "nothing outlives a suspension");
    pool.resume();
    pool.acquire(&NEEDS).await.unwrap().ping().await.unwrap();
    pool.close();
    pool.resume();
    assert_eq!(pool.acquire(&NEEDS).await.unwrap_err().kind(), Some(ErrorKind::NoHealthyTablet));
    until(|| server.connected() == 0).await;
}

#[tokio::test]
async fn exchanges_with_a_silent_server_are_cut_but_not_older_ones() {
    let server = FakeServer::start().await;
    server.answer("LONG", Answer::Hang);
    server.answer("LOST", Answer::Hang);
    let pool = pool(&server, 3);
    let run = |sql: &'static str| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire(&NEEDS).await?.execute(sql).await.map(drop) })
    };
    let long = run("LONG");
    server.wait_for("LONG").await;
    pool.heartbeat().begin_poll();
    let heartbeat = pool.heartbeat().current();
    let lost = run("LOST");
    server.wait_for("LOST").await;
    let idle = pool.acquire(&NEEDS).await.unwrap();
    assert_eq!(pool.cut_exchanges_since(heartbeat), 1);
    assert_eq!(lost.await.unwrap().unwrap_err().kind(), Some(ErrorKind::BackendLost));
    assert!(!long.is_finished());
    assert!(idle.is_reusable());
    assert_eq!(pool.cut_exchanges_since(0), 1);
    assert_eq!(long.await.unwrap().unwrap_err().kind(), Some(ErrorKind::BackendLost));
}

#[tokio::test]
async fn idle_and_old_connections_are_closed() {
    let server = FakeServer::start().await;
    let idle = PoolOptions { idle: Duration::from_millis(1), ..options(2) };
    let pool = TabletPool::new(server.options(), idle);
    drop(pool.acquire(&NEEDS).await.unwrap());
    sleep(Duration::from_millis(5)).await;
    pool.maintain();
    assert_eq!((pool.stats().open, closed(&pool, CloseReason::Idle)), (0, 1));
    let old = PoolOptions { lifetime: Duration::ZERO, ..options(2) };
    let pool = TabletPool::new(server.options(), old);
    drop(pool.acquire(&NEEDS).await.unwrap());
    assert_eq!((pool.stats().open, closed(&pool, CloseReason::Lifetime)), (0, 1));
    until(|| server.connected() == 0).await;
}

#[tokio::test]
async fn a_full_pool_takes_connections_over_from_other_workers() {
    let server = FakeServer::start().await;
    let pool = pool(&server, 1);
    drop(pool.acquire(&NEEDS).await.unwrap());
    let other = pool.clone();
    let there = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // Whichever list this thread's number leads to, the connection is found.
            let mut connection = other.acquire(&NEEDS).await.unwrap();
            connection.ping().await.unwrap();
            connection.thread_id()
        })
    });
    assert_eq!(there.await.unwrap(), 1);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn futures_can_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let server = FakeServer::start().await;
    let pool = pool(&server, 1);
    let mut connection = is_send(pool.acquire(&NEEDS)).await.unwrap();
    is_send(connection.ping()).await.unwrap();
    is_send(connection.prepare(b"SELECT 1")).await.unwrap();
    is_send(connection.query_all("SELECT @@global.read_only")).await.unwrap();
    is_send(connection.reset()).await.unwrap();
}
