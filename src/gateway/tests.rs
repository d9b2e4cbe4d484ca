//! The gateway over servers of our own: death, freezing, return, choice, changes of the topology.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::backend::fake_server::{Answer, FakeServer};
use crate::backend::pool::{Needs, PoolOptions};
use crate::backend::{Password, Tls};
use crate::error::{Error, ErrorKind, Retry};
use crate::topology::{Snapshot, TabletType, Topology, TopologyFile};

const NEEDS: Needs =
    Needs { flavor: crate::backend::Flavor { deprecate_eof: true, found_rows: false }, settings: 0 };

/// Longest time that an attempt may take, with an allowance for a busy test machine.
const ATTEMPT_MAX: Duration = Duration::from_millis(2_000);

/// A cluster of fake servers: shard, type and server of each tablet, in order of their uids from 1.
struct Cluster {
    snapshots: Arc<ArcSwap<Snapshot>>,
    gateway: Arc<Gateway>,
}

type Tablets<'a> = &'a [(&'a str, &'a str, &'a FakeServer)];

fn topology(tablets: Tablets<'_>) -> Arc<Topology> {
    let mut shards = String::new();
    for shard in ["-80", "80-"] {
        let mut list = String::new();
        for (uid, (_, tablet_type, server)) in (1..).zip(tablets).filter(|(_, tablet)| tablet.0 == shard) {
            let separator = if list.is_empty() { "" } else { "," };
            let port = server.address.port();
            write!(
                list,
                r#"{separator}{{"alias":"zone1-{uid}","type":"{tablet_type}","hostname":"127.0.0.1","mysql_port":{port}}}"#
            )
            .unwrap();
        }
        let separator = if shards.is_empty() { "" } else { "," };
        write!(shards, r#"{separator}"{shard}":{{"tablets":[{list}]}}"#).unwrap();
    }
    let json = format!(r#"{{"cells":["zone1"],"keyspaces":{{"customer":{{"shards":{{{shards}}}}}}}}}"#);
    Arc::new(TopologyFile::parse(&json).unwrap().build().unwrap())
}

impl Cluster {
    async fn start(tablets: Tablets<'_>) -> Self {
        let snapshot = Snapshot::new(1, Arc::default(), topology(tablets));
        let snapshots = Arc::new(ArcSwap::from_pointee(snapshot));
        let options = GatewayOptions {
            cell: "zone1".into(),
            user: "app".into(),
            password: Password::default(),
            tls: Tls::disabled(),
            pool: PoolOptions { connections_max: 4, workers: 1, ..PoolOptions::default() },
        };
        let gateway = Gateway::new(snapshots.clone(), options);
        gateway.ready().await;
        Self { snapshots, gateway }
    }

    fn change(&self, tablets: Tablets<'_>) {
        let version = self.snapshots.load().version + 1;
        self.snapshots.store(Arc::new(Snapshot::new(version, Arc::default(), topology(tablets))));
    }

    async fn run(&self, target: &Target, sql: &str) -> Result<(), Error> {
        self.gateway.acquire(target, &NEEDS).await?.execute(sql).await.map(drop)
    }

    /// Runs a statement that must end, one way or the other, within two seconds.
    async fn attempt(&self, target: &Target, sql: &str) -> Result<(), Error> {
        timeout(ATTEMPT_MAX, self.run(target, sql)).await.expect("an attempt took too long")
    }

    fn states(&self) -> Vec<&'static str> {
        self.gateway.tablets().iter().map(|status| status.state.as_str()).collect()
    }

    async fn until(&self, states: &[&str]) {
        let waiting = async {
            while self.states() != states {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.expect("the states do not come");
    }
}

fn primary(shard: &str) -> Target {
    Target::primary("customer".into(), shard.into())
}

fn replica(shard: &str) -> Target {
    Target::new("customer".into(), shard.into(), TabletType::Replica)
}

#[tokio::test]
async fn statements_reach_the_primary_of_their_shard() {
    let (a, b) = (FakeServer::start().await, FakeServer::start().await);
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    assert_eq!(cluster.states(), ["SERVING", "SERVING"]);
    assert!(cluster.gateway.is_healthy());
    cluster.run(&primary("-80"), "one").await.unwrap();
    cluster.run(&primary("80-"), "two").await.unwrap();
    assert_eq!((a.log().len(), b.log().len()), (1, 1));
    let status = &cluster.gateway.tablets()[0];
    assert_eq!(status.read_only, Some(false));
    assert_eq!(status.version.as_ref().unwrap().engine, crate::backend::Engine::MariaDb);
}

#[tokio::test]
async fn a_dead_server_is_noticed_and_its_return_too() {
    let (mut a, b) = (FakeServer::start().await, FakeServer::start().await);
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    cluster.run(&primary("-80"), "before").await.unwrap();
    a.stop().await;
    let died = Instant::now();
    cluster.until(&["NOT_SERVING", "SERVING"]).await;
    assert!(died.elapsed() < ATTEMPT_MAX);
    let error = cluster.attempt(&primary("-80"), "during").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Some(ErrorKind::NoHealthyTablet), Retry::FreshConnection));
    let text = String::from_utf8_lossy(error.message()).into_owned();
    let expected = "VT14002: no healthy tablet available for \
                    'keyspace:\"customer\" shard:\"-80\" tablet_type:PRIMARY': \
                    zone1-0000000001 is NOT_SERVING: ";
    assert!(text.starts_with(expected) && text.contains("refused"), "{text}");
    assert!(!cluster.gateway.is_healthy());
    cluster.attempt(&primary("80-"), "unaffected").await.unwrap();
    a.listen().await;
    cluster.until(&["SERVING", "SERVING"]).await;
    cluster.attempt(&primary("-80"), "after").await.unwrap();
}

#[tokio::test]
async fn a_frozen_server_holds_nobody_for_long() {
    let (a, b) = (FakeServer::start().await, FakeServer::start().await);
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    let (target, other) = (primary("-80"), primary("80-"));
    // One connection is pooled, so that one attempt hangs in its exchange and the others while connecting.
    cluster.run(&target, "before").await.unwrap();
    // The freeze comes just after a poll was answered: the worst moment.
    a.freeze();
    let (first, second, third) = tokio::join!(
        cluster.attempt(&target, "first"),
        cluster.attempt(&target, "second"),
        cluster.attempt(&other, "unaffected"),
    );
    third.unwrap();
    let kinds = [first.unwrap_err().kind(), second.unwrap_err().kind()];
    assert!(kinds.contains(&Some(ErrorKind::BackendLost)), "{kinds:?}");
    assert_eq!(cluster.states(), ["NOT_SERVING", "SERVING"]);
    let refused = cluster.attempt(&target, "later").await.unwrap_err();
    assert!(String::from_utf8_lossy(refused.message()).contains("has not answered for 1.2s"), "{refused}");
    a.thaw();
    cluster.until(&["SERVING", "SERVING"]).await;
    cluster.attempt(&target, "after").await.unwrap();
}

#[tokio::test]
async fn a_slow_server_that_still_answers_statements_keeps_serving() {
    let a = FakeServer::start().await;
    let b = FakeServer::start().await;
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    a.answer("SELECT @@global.read_only", Answer::Hang);
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        cluster.run(&primary("-80"), "busy").await.unwrap();
        assert_eq!(cluster.states(), ["SERVING", "SERVING"]);
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn stale_connections_do_no_harm() {
    let (a, b) = (FakeServer::start().await, FakeServer::start().await);
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    cluster.run(&primary("-80"), "one").await.unwrap();
    a.drop_connections().await;
    sleep(Duration::from_millis(20)).await;
    cluster.attempt(&primary("-80"), "two").await.unwrap();
    assert_eq!(a.log().iter().filter(|line| line.ends_with("two")).count(), 1);
}

#[tokio::test]
async fn replicas_share_reads_and_never_fall_back_to_the_primary() {
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(FakeServer::start().await);
    }
    let [a, b, c, other] = servers.as_mut_slice() else { unreachable!() };
    let cluster = Cluster::start(&[
        ("-80", "PRIMARY", a),
        ("-80", "REPLICA", b),
        ("-80", "REPLICA", c),
        ("80-", "PRIMARY", other),
    ])
    .await;
    for _ in 0..10 {
        cluster.run(&replica("-80"), "read").await.unwrap();
    }
    let reads = |server: &FakeServer| server.log().iter().filter(|line| line.ends_with("read")).count();
    assert_eq!((reads(a), reads(b), reads(c)), (0, 5, 5));
    b.stop().await;
    cluster.until(&["SERVING", "NOT_SERVING", "SERVING", "SERVING"]).await;
    cluster.attempt(&replica("-80"), "read").await.unwrap();
    let named = Target { alias: Some("zone1-2".parse().unwrap()), ..replica("-80") };
    let error = cluster.attempt(&named, "read").await.unwrap_err();
    assert!(String::from_utf8_lossy(error.message()).contains("tablet_alias:\"zone1-0000000002\""));
    c.stop().await;
    cluster.until(&["SERVING", "NOT_SERVING", "NOT_SERVING", "SERVING"]).await;
    let error = cluster.attempt(&replica("-80"), "read").await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::NoHealthyTablet));
    assert_eq!(reads(a), 0);
    let none = cluster.attempt(&replica("80-"), "read").await.unwrap_err();
    assert!(String::from_utf8_lossy(none.message()).ends_with("the topology has none"), "{none}");
}

#[tokio::test]
async fn reads_go_to_another_replica_when_one_cannot_be_reached() {
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(FakeServer::start().await);
    }
    let [a, b, c, other] = servers.as_slice() else { unreachable!() };
    let cluster = Cluster::start(&[
        ("-80", "PRIMARY", a),
        ("-80", "REPLICA", b),
        ("-80", "REPLICA", c),
        ("80-", "PRIMARY", other),
    ])
    .await;
    // Nothing is pooled yet, so whoever chooses the frozen one hangs while connecting.
    b.freeze();
    let target = replica("-80");
    let (first, second) =
        tokio::join!(cluster.attempt(&target, "read one"), cluster.attempt(&target, "read two"));
    first.unwrap();
    second.unwrap();
    assert_eq!(c.log().iter().filter(|line| line.contains("read ")).count(), 2);
}

#[tokio::test]
async fn lagging_replicas_are_passed_over() {
    const COLUMNS: &[&str] = &["Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master"];
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(FakeServer::start().await);
    }
    for (server, lag) in servers[1..].iter().zip(["9000", "100", "0"]) {
        server.answer("SHOW ALL SLAVES STATUS", Answer::rows(COLUMNS, &["Yes", "Yes", lag]));
    }
    let other = FakeServer::start().await;
    let [a, b, c, d] = servers.as_slice() else { unreachable!() };
    let cluster = Cluster::start(&[
        ("-80", "PRIMARY", a),
        ("-80", "REPLICA", b),
        ("-80", "REPLICA", c),
        ("-80", "RDONLY", d),
        ("80-", "PRIMARY", &other),
    ])
    .await;
    for _ in 0..4 {
        cluster.run(&replica("-80"), "read").await.unwrap();
    }
    let reads = |server: &FakeServer| server.log().iter().filter(|line| line.ends_with("read")).count();
    assert_eq!((reads(b), reads(c), reads(d)), (0, 4, 0));
    assert_eq!(cluster.gateway.tablets()[1].replication_lag, Some(Duration::from_secs(9_000)));
    let old = Target { alias: Some("zone1-2".parse().unwrap()), ..replica("-80") };
    let error = cluster.attempt(&old, "read").await.unwrap_err();
    assert!(String::from_utf8_lossy(error.message()).contains("is 9000 s behind"), "{error}");
}

#[tokio::test]
async fn changes_of_the_topology_are_followed() {
    let (a, b, c) = (FakeServer::start().await, FakeServer::start().await, FakeServer::start().await);
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    cluster.run(&primary("-80"), "one").await.unwrap();
    let polled = a.connections();
    // The primary moves; the old one becomes a replica and keeps its connections.
    cluster.change(&[("-80", "REPLICA", &a), ("80-", "PRIMARY", &b), ("-80", "PRIMARY", &c)]);
    cluster.gateway.sync();
    cluster.attempt(&primary("-80"), "two").await.unwrap();
    cluster.attempt(&replica("-80"), "three").await.unwrap();
    assert_eq!((c.log(), a.connections()), (vec!["2: two".to_owned()], polled));
    // It leaves altogether.
    cluster.change(&[("-80", "PRIMARY", &c), ("80-", "PRIMARY", &b)]);
    let gone = async {
        while a.connected() > 0 || cluster.gateway.tablets().len() > 2 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), gone).await.expect("connections to a removed tablet stay open");
}

#[tokio::test]
async fn a_server_that_refuses_logins_says_so() {
    let (a, b) = (FakeServer::start().await, FakeServer::start().await);
    a.refuse(true);
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    cluster.until(&["NOT_SERVING", "SERVING"]).await;
    let reason = cluster.gateway.tablets()[0].reason.clone();
    assert!(reason.contains("Access denied for user 'app' (errno 1045)"), "{reason}");
}

#[tokio::test]
async fn the_gateway_ends_its_work_with_itself() {
    let (a, b) = (FakeServer::start().await, FakeServer::start().await);
    let cluster = Cluster::start(&[("-80", "PRIMARY", &a), ("80-", "PRIMARY", &b)]).await;
    cluster.run(&primary("-80"), "one").await.unwrap();
    drop(cluster);
    let gone = async {
        while a.connected() + b.connected() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), gone).await.expect("connections stay open");
}
