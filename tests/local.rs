//! The local cluster on real servers: start, replication, crash, restart, and what is left behind.
//!
//! Runs on every engine that is installed and says which one is missing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panic and tells what it left out"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use shardgate::local::{
    Cluster, ClusterSpec, Durability, Installation, KeyspaceSpec, PlainServer, ServerSpec, Silent, demo,
};

fn installations() -> Vec<Installation> {
    let all = Installation::find_all();
    assert!(!all.is_empty(), "no database server is installed: run tests/engines/install.sh");
    if all.len() == 1 {
        println!("HALF OF THE ENGINE MATRIX IS LEFT OUT: only {} is installed", all[0].engine);
    }
    all
}

/// One primary and one replica.
fn pair() -> ClusterSpec {
    let schema = "CREATE TABLE t (id bigint PRIMARY KEY, name varchar(20));";
    ClusterSpec::new(vec![KeyspaceSpec::unsharded("pair", &[1, 2]).with_schema(schema, "{}")]).relaxed()
}

const PRIMARY: &str = "zone1-0000000001";
const REPLICA: &str = "zone1-0000000002";

fn start(installation: &Installation, dir: &Path) -> Cluster {
    Cluster::start(&pair(), installation, dir, false, &Silent).unwrap()
}

#[test]
fn the_demos_rows_are_on_their_shards_and_replicate() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let spec = ClusterSpec { first_port: None, ..demo::spec() }.relaxed();
        let cluster = Cluster::start(&spec, &installation, dir.path(), false, &Silent).unwrap();
        let ids = |alias: &str| {
            let tablet = cluster.tablet(alias).unwrap();
            let sql = "SELECT GROUP_CONCAT(customer_id ORDER BY customer_id) FROM customer";
            tablet.client().run(Some(tablet.db_name()), sql).unwrap().trim().to_owned()
        };
        assert_eq!(ids("zone1-0120139806"), "1,2,3,5");
        assert_eq!(ids("zone1-2289928654"), "1,2,3,5");
        assert_eq!(ids("zone1-0118374573"), "4");
        assert_eq!(ids("zone1-4277914223"), "4");

        let primary = cluster.primary("commerce", "-").unwrap();
        let replica = cluster.tablet("zone1-2548885007").unwrap();
        primary
            .client()
            .run(Some("vt_commerce"), "INSERT INTO product VALUES ('SKU-9', 'Ünïcode', 9)")
            .unwrap();
        cluster.wait_for_replicas().unwrap();
        let name =
            replica.client().run(Some("vt_commerce"), "SELECT description FROM product WHERE price = 9");
        assert_eq!(name.unwrap(), "Ünïcode\n");
    }
}

#[test]
fn the_routers_account_can_write_to_primaries_only() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = start(&installation, dir.path());
        let insert = |alias: &str| {
            let tablet = cluster.tablet(alias).unwrap();
            let output = Command::new(&installation.client)
                .args(["--no-defaults", "-u", "vt_app", "-h", "127.0.0.1", "-P", &tablet.port().to_string()])
                .arg(format!("--password={}", cluster.credentials().app_password))
                .args([tablet.db_name(), "-e", "INSERT INTO t VALUES (1, 'Mouse')"])
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        assert!(!insert(PRIMARY).contains("ERROR"));
        let refused = insert(REPLICA);
        assert!(refused.contains("ERROR 1290"), "{refused}");
    }
}

#[test]
fn data_survives_a_crash_of_one_server_and_a_restart_of_all() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = start(&installation, dir.path());
        let (primary, replica) = (cluster.tablet(PRIMARY).unwrap(), cluster.tablet(REPLICA).unwrap());
        primary.client().run(Some("vt_pair"), "INSERT INTO t VALUES (104, 'x')").unwrap();
        cluster.wait_for_replicas().unwrap();
        primary.kill();
        assert!(!primary.is_running());
        assert!(primary.client().run(None, "SELECT 1").is_err());
        primary.restart().unwrap();
        replica.kill();
        replica.restart().unwrap();
        primary.client().run(Some("vt_pair"), "INSERT INTO t VALUES (105, 'y')").unwrap();
        cluster.wait_for_replicas().unwrap();
        replica.kill();
        cluster.stop();

        let cluster = start(&installation, dir.path());
        for alias in [PRIMARY, REPLICA] {
            let client = cluster.tablet(alias).unwrap().client();
            assert_eq!(client.run(Some("vt_pair"), "SELECT COUNT(*) FROM t").unwrap(), "2\n");
        }
    }
}

#[test]
fn a_restart_follows_a_failover_and_avoids_a_port_that_was_taken() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = start(&installation, dir.path());
        let (topology, port) = (cluster.topology_path(), cluster.tablet(PRIMARY).unwrap().port());
        cluster
            .tablet(PRIMARY)
            .unwrap()
            .client()
            .run(Some("vt_pair"), "INSERT INTO t VALUES (1, 'x')")
            .unwrap();
        cluster.wait_for_replicas().unwrap();
        cluster.stop();

        let text = std::fs::read_to_string(&topology).unwrap();
        let text = text.replace("PRIMARY", "X").replace("REPLICA", "PRIMARY").replace('X', "REPLICA");
        std::fs::write(&topology, text).unwrap();
        let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let cluster = start(&installation, dir.path());
        assert_ne!(cluster.tablet(PRIMARY).unwrap().port(), port);
        let promoted = cluster.primary("pair", "-").unwrap();
        assert_eq!(promoted.alias(), REPLICA);
        promoted.client().run(Some("vt_pair"), "INSERT INTO t VALUES (2, 'y')").unwrap();
        cluster.wait_for_replicas().unwrap();
        let demoted = cluster.tablet(PRIMARY).unwrap().client();
        assert_eq!(demoted.run(Some("vt_pair"), "SELECT COUNT(*) FROM t").unwrap(), "2\n");
        assert_eq!(demoted.run(None, "SELECT @@read_only").unwrap(), "1\n");
    }
}

#[test]
fn a_frozen_server_keeps_its_connections_and_goes_on_after_the_thaw() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = start(&installation, dir.path());
        let tablet = cluster.tablet(PRIMARY).unwrap();
        tablet.freeze();
        assert!(tablet.is_running());
        let client = tablet.client();
        let answer = std::thread::spawn(move || client.run(None, "SELECT 42"));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!answer.is_finished(), "a frozen server answered");
        tablet.thaw();
        assert_eq!(answer.join().unwrap().unwrap(), "42\n");
        // A cluster with a frozen server stops nevertheless.
        tablet.freeze();
        cluster.stop();
        assert_eq!(servers_of(dir.path()), 0);
    }
}

#[test]
fn a_plain_server_has_its_databases_and_ends_with_its_handle() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let server = ServerSpec { durability: Durability::Relaxed, ..ServerSpec::default() };
        let databases = [("plain", "CREATE TABLE t (a int); INSERT INTO t VALUES (1);")];
        let plain = PlainServer::start(&installation, dir.path(), &server, &databases).unwrap();
        assert_eq!(plain.client().run(Some("plain"), "SELECT a FROM t").unwrap(), "1\n");
        let pid = plain.pid().unwrap();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(plain);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn a_failed_statement_stops_every_server_and_is_told() {
    for installation in installations() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = pair();
        spec.keyspaces[0].schema_sql = "CREATE TABLE oops (".to_owned();
        let error = Cluster::start(&spec, &installation, dir.path(), false, &Silent).unwrap_err().to_string();
        assert!(error.contains(PRIMARY) && error.contains("1064"), "{error}");
        assert_eq!(servers_of(dir.path()), 0);
        // The half-made cluster is made again.
        drop(start(&installation, dir.path()));
    }
}

/// The directory is long on purpose: paths of unix sockets have at most 108 bytes.
#[test]
fn a_directory_with_a_long_path_works_and_a_running_cluster_keeps_it() {
    let installation = &installations()[0];
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("d".repeat(100));
    let cluster = start(installation, &long);
    let error = Cluster::start(&pair(), installation, &long, false, &Silent).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    let socket = cluster.tablets()[0].socket().to_owned();
    assert!(socket.exists());
    cluster.stop();
    assert!(!socket.exists());
}

/// Ends this very test program the hard way in a child, and looks at what it leaves.
#[test]
fn no_server_outlives_a_killed_parent() {
    const CHILD: &str = "SHARDGATE_TEST_CLUSTER_DIR";
    let installation = &installations()[0];
    if let Ok(dir) = std::env::var(CHILD) {
        let _cluster = start(installation, Path::new(&dir));
        std::fs::write(Path::new(&dir).join("ready"), "").unwrap();
        std::thread::sleep(Duration::from_secs(300));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_server_outlives_a_killed_parent"])
        .env(CHILD, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| dir.path().join("ready").exists());
    assert_eq!(servers_of(dir.path()), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    // At once: the new run waits for the old servers to be gone.
    let cluster = start(installation, dir.path());
    assert_eq!(servers_of(dir.path()), 2);
    cluster.stop();
    assert_eq!(servers_of(dir.path()), 0);
}

fn wait_until(mut is_done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_done() {
        assert!(Instant::now() < deadline, "waited two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Number of server processes whose data is below a directory.
fn servers_of(dir: &Path) -> usize {
    let needle = format!("--datadir={}", std::fs::canonicalize(dir).unwrap().display());
    let command_lines = std::fs::read_dir("/proc").unwrap().flatten();
    let of_servers = |path: &Path| {
        let bytes = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&bytes).into_owned();
        // The supervising shell has the server's arguments too.
        line.contains(&needle) && !line.starts_with("/bin/sh")
    };
    command_lines.filter(|entry| of_servers(&entry.path())).count()
}
