//! Backend connections, pools and the gateway against real servers of every installed engine.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panic and tells what it left out"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use shardgate::backend::pool::{Needs, PoolOptions, TabletPool};
use shardgate::backend::{
    BackendAddress, BackendConnection, ConnectOptions, Flavor, Names, Password, RowStream, SessionSettings,
    SessionState, Tls, TlsMode,
};
use shardgate::error::{Error, ErrorKind, Result};
use shardgate::gateway::{Gateway, GatewayOptions, ServingState, Target};
use shardgate::local::{
    Cluster, ClusterSpec, Credentials, Durability, Engine, Installation, KeyspaceSpec, PlainServer,
    ServerSpec, Silent,
};
use shardgate::topology::{Snapshot, TabletType, TopologyFile};
use shardgate::wire::frame::write_packet_with;
use shardgate::wire::row::text_fields;
use shardgate::wire::statement::StmtExecute;
use shardgate::wire::{Command, ReplyKind, ReplySummary, StatusFlags, StatusPatch};

const NEW: Flavor = Flavor { deprecate_eof: true, found_rows: false };
const OLD: Flavor = Flavor { deprecate_eof: false, found_rows: true };

fn installations() -> Vec<Installation> {
    let all = Installation::find_all();
    assert!(!all.is_empty(), "no database server is installed: run tests/engines/install.sh");
    if all.len() == 1 {
        println!("HALF OF THE ENGINE MATRIX IS LEFT OUT: only {} is installed", all[0].engine);
    }
    all
}

/// Runs `check` on a server of each engine.
async fn on_each_engine<F: Future<Output = ()>>(setup: &str, check: impl Fn(Arc<PlainServer>) -> F) {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let spec = ServerSpec {
            durability: Durability::Relaxed,
            options: vec!["--max-allowed-packet=64M".to_owned()],
            ..ServerSpec::default()
        };
        let server = PlainServer::start(&installation, dir.path(), &spec, &[("app", setup)]).unwrap();
        check(Arc::new(server)).await;
    }
}

fn tcp(server: &PlainServer) -> BackendAddress {
    BackendAddress::Tcp { host: "127.0.0.1".into(), port: server.port() }
}

fn options(server: &PlainServer) -> ConnectOptions {
    let mut options = ConnectOptions::new(tcp(server), Credentials::DBA_USER);
    options.password = Password::new(server.credentials().dba_password.clone());
    options.database = Some("app".into());
    options.timeout = Duration::from_secs(10);
    options
}

async fn connect(server: &PlainServer, flavor: Flavor) -> BackendConnection {
    BackendConnection::connect(&Arc::new(options(server)), flavor).await.unwrap()
}

async fn value(connection: &mut BackendConnection, sql: &str) -> Option<String> {
    let result = connection.query_all(sql).await.unwrap();
    result.rows[0][0].as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
}

async fn forward(connection: &mut BackendConnection, sql: &str) -> Result<(ReplySummary, Vec<u8>)> {
    connection.queue(&Command::Query(sql.as_bytes()));
    connection.flush().await?;
    let mut sink = Vec::new();
    let summary = connection.receive(ReplyKind::Query, StatusPatch::NONE, &mut sink).await?;
    Ok((summary, sink))
}

#[tokio::test]
async fn every_account_gets_in_by_every_way() {
    on_each_engine("", |server| async move {
        let plugins: &[&str] = match server.engine() {
            Engine::MariaDb => &["IDENTIFIED VIA mysql_native_password USING PASSWORD('pä ss')"],
            Engine::MySql => &["IDENTIFIED WITH caching_sha2_password BY 'pä ss'"],
        };
        for plugin in plugins {
            let sql = format!(
                "CREATE USER app@'%' {plugin}; CREATE USER nobody@'%'; GRANT ALL ON app.* TO app@'%'"
            );
            server.client().run(None, &sql).unwrap();
            // The first login of an account takes the long way, later ones the short one.
            for round in 0..2 {
                for address in [tcp(&server), BackendAddress::Unix(server.socket().into())] {
                    if round == 1 {
                        server.client().run(None, "FLUSH PRIVILEGES").unwrap();
                    }
                    let mut options = ConnectOptions { address, user: "app".into(), ..options(&server) };
                    options.password = Password::new("pä ss");
                    for _ in 0..2 {
                        let mut connection =
                            BackendConnection::connect(&Arc::new(options.clone()), NEW).await.unwrap();
                        let user = value(&mut connection, "SELECT CURRENT_USER()").await;
                        assert_eq!(user.as_deref(), Some("app@%"));
                        assert_eq!(value(&mut connection, "SELECT DATABASE()").await.as_deref(), Some("app"));
                    }
                    options.password = Password::new("wrong");
                    let error =
                        BackendConnection::connect(&Arc::new(options.clone()), NEW).await.unwrap_err();
                    assert_eq!(error.kind(), Some(ErrorKind::ConnectFailed));
                    assert!(error.to_string().contains("errno 1045"), "{error}");
                    let nobody = ConnectOptions {
                        user: "nobody".into(),
                        password: Password::default(),
                        database: None,
                        ..options
                    };
                    BackendConnection::connect(&Arc::new(nobody), OLD).await.unwrap();
                }
            }
        }
        let mut missing = options(&server);
        missing.database = Some("missing".into());
        let error = BackendConnection::connect(&Arc::new(missing), NEW).await.unwrap_err();
        assert!(error.to_string().contains("errno 1049"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn encryption_is_used_as_asked_for() {
    on_each_engine("", |server| async move {
        let with = |mode| ConnectOptions { tls: Tls::new(mode, None, None).unwrap(), ..options(&server) };
        let cipher = |options: ConnectOptions| async move {
            let mut connection = BackendConnection::connect(&Arc::new(options), NEW).await?;
            let result = connection.query_all("SHOW STATUS LIKE 'Ssl_cipher'").await?;
            let value = result.value(0, "Value").unwrap_or_default();
            Ok::<_, Error>(!value.is_empty())
        };
        assert!(!cipher(with(TlsMode::Disabled)).await.unwrap());
        let offers = cipher(with(TlsMode::Preferred)).await.unwrap();
        match cipher(with(TlsMode::Required)).await {
            Ok(is_encrypted) => assert!(is_encrypted && offers),
            Err(error) => {
                assert!(!offers);
                assert!(error.to_string().contains("the server does not offer it"), "{error}");
            }
        }
        assert_eq!(offers, server.engine() == Engine::MySql, "MySQL makes itself a certificate");
        if offers {
            let pool = TabletPool::new(Arc::new(with(TlsMode::Required)), PoolOptions::default());
            for _ in 0..3 {
                pool.acquire(&NEEDS).await.unwrap().ping().await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(pool.stats().created, 1, "an encrypted connection is reused like any other");
        }
        // A certificate that nobody we trust has signed.
        let authority = rcgen::generate_simple_self_signed(vec!["authority".into()]).unwrap();
        let tls = Tls::new(TlsMode::Verify, Some(authority.cert.pem().as_bytes()), None).unwrap();
        let error = cipher(ConnectOptions { tls, ..options(&server) }).await.unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::ConnectFailed));
    })
    .await;
}

#[tokio::test]
async fn replies_are_forwarded_and_read() {
    on_each_engine("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, v longtext)", |server| async move {
        for flavor in [NEW, OLD] {
            let mut connection = connect(&server, flavor).await;
            let (summary, _) =
                forward(&mut connection, "INSERT INTO t (v) VALUES ('a'), (NULL)").await.unwrap();
            assert_eq!(summary.affected_rows, 2);
            assert!(summary.last_insert_id > 0);
            let (summary, packets) = forward(&mut connection, "SELECT id, v FROM t").await.unwrap();
            assert_eq!((summary.row_count, summary.column_count), (2, 2));
            assert_eq!(packets[..5], [1, 0, 0, 1, 2]);
            let error = forward(&mut connection, "SELECT * FROM missing").await.unwrap_err();
            assert_eq!((error.errno(), error.kind()), (1146, None));
            let (summary, _) = forward(&mut connection, "UPDATE t SET v = v WHERE v = 'a'").await.unwrap();
            assert_eq!(summary.affected_rows, u64::from(flavor.found_rows));
            assert!(connection.is_reusable());
            // MySQL refuses by itself; MariaDB asks for the file, which nobody was to send here.
            let mut other = connect(&server, flavor).await;
            let error = forward(&mut other, "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t").await;
            let refusal = match server.engine() {
                Engine::MySql => None,
                Engine::MariaDb => Some(ErrorKind::BackendProtocol),
            };
            assert_eq!(error.unwrap_err().kind(), refusal);
            assert_eq!(other.is_reusable(), refusal.is_none());
            drop(other);

            connection.queue(&Command::Query(b"SELECT id, v FROM t ORDER BY id"));
            connection.flush().await.unwrap();
            let mut stream = RowStream::open(&mut connection, false).await.unwrap();
            assert_eq!(stream.columns()[1].org_name, b"v");
            let row = stream.next_row().await.unwrap().unwrap();
            let fields: Vec<_> = text_fields(row).map(|field| field.unwrap().map(<[u8]>::to_vec)).collect();
            assert_eq!(fields[1].as_deref(), Some(&b"a"[..]));
            assert!(stream.drain(1_000).await.unwrap());
            connection.execute("TRUNCATE t").await.unwrap();
            assert!(connection.is_reusable());
        }
    })
    .await;
}

#[tokio::test]
async fn settings_transaction_and_statement_leave_together() {
    on_each_engine("CREATE TABLE t (id int PRIMARY KEY)", |server| async move {
        let mut connection = connect(&server, NEW).await;
        let names = connection.connect_names().clone();
        let agreed = value(&mut connection, "SELECT @@collation_connection").await;
        assert_eq!(agreed.as_deref(), names.collation.as_deref());
        let settings = SessionSettings::new(
            [("sql_mode", "'ANSI_QUOTES'"), ("sql_select_limit", "7"), ("character_set_results", "NULL")],
            Some(Names { charset: "latin1".into(), collation: Some("latin1_german1_ci".into()) }),
        );
        assert!(connection.sync_settings(&settings));
        connection.queue(&Command::Query(b"BEGIN"));
        connection.queue(&Command::Query(b"INSERT INTO t VALUES (1)"));
        connection.flush().await.unwrap();
        for _ in 0..3 {
            connection.receive_ok().await.unwrap();
        }
        assert!(connection.is_in_transaction());
        let sql = "SELECT CONCAT_WS('/', @@sql_mode, @@sql_select_limit, @@collation_connection, \
                   @@character_set_client, COALESCE(@@character_set_results, 'null'))";
        let now = value(&mut connection, sql).await.unwrap();
        assert_eq!(now, "ANSI_QUOTES/7/latin1_german1_ci/latin1/null");
        connection.execute("ROLLBACK").await.unwrap();
        assert!(connection.is_reusable());
        let global = value(&mut connect(&server, NEW).await, sql).await.unwrap();
        assert!(connection.sync_settings(SessionSettings::empty()));
        connection.flush().await.unwrap();
        connection.receive_ok().await.unwrap();
        assert_eq!(value(&mut connection, sql).await.unwrap(), global);
        assert_eq!(value(&mut connection, "SELECT COUNT(*) FROM t").await.as_deref(), Some("0"));
    })
    .await;
}

#[tokio::test]
async fn a_reset_leaves_nothing_behind() {
    on_each_engine("", |server| async move {
        let mut connection = connect(&server, NEW).await;
        let sql = "SELECT CONCAT_WS('/', @@sql_mode, @@collation_connection, @@character_set_results, DATABASE(), \
                   COALESCE(@a, 'null'), @@autocommit)";
        let fresh = value(&mut connection, sql).await;
        for statement in [
            "SET @a = 1, @@session.sql_mode = '', autocommit = 0",
            "SET NAMES latin1",
            "CREATE TEMPORARY TABLE temporary (id int)",
        ] {
            connection.execute(statement).await.unwrap();
        }
        connection.mark(SessionState::TEMPORARY_TABLE);
        connection.prepare(b"SELECT 1").await.unwrap();
        assert!(!connection.is_reusable());
        connection.reset().await.unwrap();
        assert!(connection.is_reusable());
        assert_eq!(value(&mut connection, sql).await, fresh);
        let error = connection.execute("INSERT INTO temporary VALUES (1)").await.unwrap_err();
        assert_eq!(error.errno(), 1146);
        assert_eq!(connection.prepared_count(), 0);
    })
    .await;
}

#[tokio::test]
async fn prepared_statements_run_with_binary_rows() {
    on_each_engine("CREATE TABLE t (id int, name varchar(10))", |server| async move {
        for flavor in [NEW, OLD] {
            let mut connection = connect(&server, flavor).await;
            let text = b"SELECT id, name, ? AS x FROM t";
            let statement = connection.prepare(text).await.unwrap();
            assert_eq!((statement.parameter_count, statement.column_count), (1, 3));
            let mut reply = Vec::new();
            statement.write_reply(77, &mut reply);
            assert_eq!((reply.len(), &reply[5..9]), (statement.packets().len(), &77_u32.to_le_bytes()[..]));
            connection.execute("INSERT INTO t VALUES (5, 'five')").await.unwrap();
            // COM_STMT_EXECUTE: no cursor, one iteration, one parameter of type VAR_STRING.
            let mut packet = Vec::new();
            write_packet_with(&mut packet, &mut 0, |out| {
                out.push(0x17);
                out.extend_from_slice(&connection.prepared(text).unwrap().statement_id.to_le_bytes());
                out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 1, 0xFD, 0, 2, b'a', b'b']);
            });
            connection.send(&packet, 1).await.unwrap();
            let mut stream = RowStream::open(&mut connection, true).await.unwrap();
            let row = stream.next_row().await.unwrap().unwrap();
            assert_eq!(row, b"\0\0\x05\0\0\0\x04five\x02ab");
            assert!(stream.next_row().await.unwrap().is_none());
            let unknown = StmtExecute { statement_id: 999, flags: 0, iteration_count: 1, body: &[] };
            connection.queue(&Command::StmtExecute(unknown));
            connection.flush().await.unwrap();
            let error = connection.receive_ok().await.unwrap_err();
            assert_eq!(error.errno(), 1243);
            connection.execute("TRUNCATE t").await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn large_packets_go_both_ways() {
    on_each_engine("CREATE TABLE t (v longtext)", |server| async move {
        let mut connection = connect(&server, NEW).await;
        let large = "x".repeat(20 << 20);
        connection.execute(&format!("INSERT INTO t VALUES ('{large}')")).await.unwrap();
        connection.queue(&Command::Query(b"SELECT v FROM t"));
        connection.flush().await.unwrap();
        let mut stream = RowStream::open(&mut connection, false).await.unwrap();
        let row = stream.next_row().await.unwrap().unwrap();
        let field = text_fields(row).next().unwrap().unwrap().unwrap();
        assert!(field == large.as_bytes());
        assert!(stream.next_row().await.unwrap().is_none());
        let sql = format!("SELECT LENGTH('{large}')");
        assert_eq!(value(&mut connection, &sql).await, Some(large.len().to_string()));
        assert!(connection.is_reusable());
    })
    .await;
}

#[tokio::test]
async fn procedures_with_several_results_are_forwarded() {
    let setup = "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2, 3; END";
    // The client splits at semicolons unless told otherwise.
    let setup = format!("DELIMITER //\n{setup}//\nDELIMITER ;\n");
    on_each_engine(&setup, |server| async move {
        for flavor in [NEW, OLD] {
            let mut connection = connect(&server, flavor).await;
            let (summary, _) = forward(&mut connection, "CALL p()").await.unwrap();
            assert_eq!((summary.row_count, summary.column_count), (2, 2));
            assert!(!summary.status.contains(StatusFlags::MORE_RESULTS));
            assert!(connection.is_reusable());
        }
    })
    .await;
}

/// What happens in milliseconds may take that long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const NEEDS: Needs = Needs { flavor: NEW, settings: 0 };

#[tokio::test]
async fn killed_statements_end_and_abandoned_ones_are_killed() {
    on_each_engine("", |server| async move {
        let slow = "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, \
                    information_schema.columns c";
        let mut connection = connect(&server, NEW).await;
        let killer = connection.killer();
        let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT COUNT(*) FROM information_schema.columns%'";
        let mut watcher = connect(&server, NEW).await;
        let (outcome, killed) = tokio::join!(forward(&mut connection, slow), async {
            until_value(&mut watcher, running, "1").await;
            killer.kill_query().await
        });
        killed.unwrap();
        // Before or behind the column definitions: MariaDB sends these first.
        let error = outcome.map(|(summary, _)| summary.error).unwrap_or_else(Some).unwrap();
        assert_eq!(error.errno(), 1317);
        assert!(connection.is_reusable());

        let pool = TabletPool::new(Arc::new(options(&server)), PoolOptions::default());
        let mut pooled = pool.acquire(&NEEDS).await.unwrap();
        let given_up = tokio::time::timeout(Duration::from_millis(200), forward(&mut pooled, slow)).await;
        assert!(given_up.is_err());
        drop(pooled);
        until_value(&mut connection, running, "0").await;
    })
    .await;
}

#[tokio::test]
async fn connections_that_the_server_drops_are_not_used_again() {
    on_each_engine("", |server| async move {
        let pool = TabletPool::new(Arc::new(options(&server)), PoolOptions::default());
        let mut connection = pool.acquire(&NEEDS).await.unwrap();
        connection.execute("SET SESSION wait_timeout = 1").await.unwrap();
        let thread_id = connection.thread_id();
        drop(connection);
        let mut watcher = connect(&server, NEW).await;
        let still = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {thread_id}");
        until_value(&mut watcher, &still, "0").await;
        let mut connection = pool.acquire(&NEEDS).await.unwrap();
        assert_ne!(connection.thread_id(), thread_id);
        connection.ping().await.unwrap();
        drop(connection);
        server.restart().unwrap();
        let mut connection = pool.acquire(&NEEDS).await.unwrap();
        connection.ping().await.unwrap();
    })
    .await;
}

/// Asks until the answer is this one.
async fn until_value(connection: &mut BackendConnection, query: &str, wanted: &str) {
    let limit = Instant::now() + PATIENCE;
    loop {
        let found = value(connection, query).await;
        if found.as_deref() == Some(wanted) {
            return;
        }
        assert!(Instant::now() < limit, "{query}: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One primary and one replica behind a gateway.
struct Pair {
    gateway: Arc<Gateway>,
    cluster: Cluster,
}

const PRIMARY: &str = "zone1-0000000001";
const REPLICA: &str = "zone1-0000000002";

impl Pair {
    fn start(installation: &Installation, dir: &std::path::Path) -> Cluster {
        let schema = "CREATE TABLE t (id bigint PRIMARY KEY);";
        let spec = ClusterSpec::new(vec![KeyspaceSpec::unsharded("pair", &[1, 2]).with_schema(schema, "{}")]);
        Cluster::start(&spec.relaxed(), installation, dir, false, &Silent).unwrap()
    }

    async fn new(cluster: Cluster) -> Self {
        let file = std::fs::read_to_string(cluster.topology_path()).unwrap();
        let topology = Arc::new(TopologyFile::parse(&file).unwrap().build().unwrap());
        let snapshot = Snapshot::new(1, Arc::default(), topology);
        let options = GatewayOptions {
            cell: "zone1".into(),
            user: Credentials::APP_USER.into(),
            password: Password::new(cluster.credentials().app_password.clone()),
            tls: Tls::disabled(),
            pool: PoolOptions::default(),
        };
        let gateway = Gateway::new(Arc::new(ArcSwap::from_pointee(snapshot)), options);
        gateway.ready().await;
        Self { gateway, cluster }
    }

    fn target(tablet_type: TabletType) -> Target {
        Target::new("pair".into(), "-".into(), tablet_type)
    }

    /// The result of a statement, which must come, good or bad.
    async fn run(&self, tablet_type: TabletType, sql: &str) -> Result<()> {
        let target = Self::target(tablet_type);
        let attempt = async { self.gateway.acquire(&target, &NEEDS).await?.query_all(sql).await.map(drop) };
        tokio::time::timeout(PATIENCE, attempt).await.expect("an attempt never ended")
    }

    /// Waits until primary and replica are in these states.
    async fn until(&self, primary: ServingState, replica: ServingState) {
        let began = Instant::now();
        loop {
            let states: Vec<_> = self.gateway.tablets().iter().map(|status| status.state).collect();
            if states == [primary, replica] {
                println!("{states:?} after {:.1?}", began.elapsed());
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{states:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

use ServingState::{NotServing, Serving};

#[tokio::test]
async fn the_gateway_follows_death_and_return_of_servers() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let pair = Pair::new(Pair::start(&installation, dir.path())).await;
        pair.until(Serving, Serving).await;
        let tablets = pair.gateway.tablets();
        assert_eq!((tablets[0].read_only, tablets[1].read_only), (Some(false), Some(true)));
        assert!(tablets[1].replication.as_ref().is_some_and(|status| status.sql_running), "{tablets:?}");
        assert!(tablets[1].replication_lag.is_some());
        pair.run(TabletType::Primary, "SELECT 1").await.unwrap();

        pair.cluster.tablet(PRIMARY).unwrap().kill();
        pair.until(NotServing, Serving).await;
        let error = pair.run(TabletType::Primary, "SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::NoHealthyTablet));
        pair.run(TabletType::Replica, "SELECT 1").await.unwrap();
        pair.cluster.tablet(PRIMARY).unwrap().restart().unwrap();
        pair.until(Serving, Serving).await;
        pair.run(TabletType::Primary, "SELECT 1").await.unwrap();

        // The worst moment to freeze is just after a poll: attempts hang in the server until it is missed.
        pair.cluster.tablet(PRIMARY).unwrap().freeze();
        let (first, second, third) = tokio::join!(
            pair.run(TabletType::Primary, "SELECT 1"),
            pair.run(TabletType::Primary, "SELECT 2"),
            pair.run(TabletType::Replica, "SELECT 3"),
        );
        assert!(first.is_err() && second.is_err());
        third.unwrap();
        pair.until(NotServing, Serving).await;
        pair.cluster.tablet(PRIMARY).unwrap().thaw();
        pair.until(Serving, Serving).await;
        pair.run(TabletType::Primary, "SELECT 1").await.unwrap();

        pair.cluster.tablet(REPLICA).unwrap().stop();
        pair.until(Serving, NotServing).await;
        let error = pair.run(TabletType::Replica, "SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::NoHealthyTablet));
    }
}
