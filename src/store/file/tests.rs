//! Tests of loading, changes and bad files.

use tempfile::TempDir;

use super::*;
use crate::topology::TabletType;

const TOPOLOGY: &str =
    r#"{"keyspaces": {"commerce": {"shards": {"0": {}}}, "customer": {"shards": {"-80": {}, "80-": {}}}}}"#;
const CUSTOMER: &str = r#"{"sharded": true, "vindexes": {"hash": {"type": "hash"}},
    "tables": {"customer": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}"#;

struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(files.dir.path().join("vschema")).unwrap();
        files.write("topology.json", TOPOLOGY);
        files.write("vschema/customer.json", CUSTOMER);
        files
    }

    fn paths(&self) -> FilePaths {
        let path = |name: &str| self.dir.path().join(name);
        FilePaths { topology: path("topology.json"), vschema_dir: path("vschema") }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join(name)).unwrap();
    }

    fn open(&self) -> FileStore {
        FileStore::open(self.paths()).unwrap()
    }
}

/// Looks until something is decided.
fn settled(store: &mut FileStore) -> Look {
    match store.look() {
        Look::Unsettled => store.look(),
        decided => decided,
    }
}

fn error(store: &FileStore) -> String {
    store.snapshots().last_error().map_or_else(String::new, |error| {
        let name = error.file.file_name().unwrap().to_str().unwrap().to_owned();
        format!("{name}: {}", error.reason)
    })
}

#[test]
fn the_first_reading() {
    let files = Files::new();
    files.write(
        "vschema/routing_rules.json",
        r#"{"rules": [{"from_table": "c", "to_tables": ["customer.customer"]}]}"#,
    );
    files.write("vschema/.hidden.json", "{");
    files.write("vschema/customer.json~", "{");
    let store = files.open();
    let snapshot = store.snapshots().current();
    assert_eq!(snapshot.version, 1);
    assert_eq!(snapshot.topology.keyspaces().len(), 2);
    let table = snapshot.vschema.find_table(None, "c", TabletType::Primary).unwrap();
    assert_eq!(table.qualified().to_string(), "customer.customer");
    assert!(!snapshot.vschema.keyspace("commerce").unwrap().is_sharded());
}

#[test]
fn a_missing_folder_is_an_empty_one() {
    let files = Files::new();
    let paths = FilePaths { vschema_dir: files.dir.path().join("none"), ..files.paths() };
    let store = FileStore::open(paths).unwrap();
    assert_eq!(store.snapshots().current().vschema.keyspaces().len(), 2);
}

#[test]
fn the_first_reading_can_fail() {
    let check = |name: &str, text: &str, expected: &str| {
        let files = Files::new();
        files.write(name, text);
        let error = FileStore::open(files.paths()).unwrap_err();
        assert!(error.file.ends_with(name), "{error}");
        assert!(error.reason.contains(expected), "{error}");
    };
    check("topology.json", "", "EOF");
    check(
        "topology.json",
        r#"{"keyspaces": {"k": {"shards": {"-80": {}}}}}"#,
        "keyspace k: no serving shard covers 80-",
    );
    check("vschema/customer.json", "{", "no valid JSON");
    check("vschema/routing_rules.json", r#"{"rules": 7}"#, "routing rules: rules must be a list");
    check(
        "vschema/zz.json",
        r#"{"keyspaces": {"customer": {}}}"#,
        "keyspace customer is also in another file",
    );
    let files = Files::new();
    files.remove("topology.json");
    assert!(FileStore::open(files.paths()).unwrap_err().reason.contains("cannot be read"));
}

#[test]
fn changes_are_taken_over() {
    let files = Files::new();
    let mut store = files.open();
    assert_eq!(store.look(), Look::Same);
    files.write("vschema/commerce.json", r#"{"tables": {"product": {}}}"#);
    assert_eq!(store.look(), Look::New(2));
    assert!(store.snapshots().current().vschema.keyspace("commerce").unwrap().table("product").is_some());
    files.write("topology.json", r#"{"keyspaces": {"commerce": {"shards": {"-": {}}}}}"#);
    assert_eq!(store.look(), Look::New(3));
    assert_eq!(store.snapshots().current().topology.keyspaces().len(), 1);
    assert_eq!(store.look(), Look::Same);
}

#[test]
fn changes_of_equal_length_are_seen() {
    let files = Files::new();
    let mut store = files.open();
    files.write("topology.json", &TOPOLOGY.replace("commerce", "kommerce"));
    assert_eq!(store.look(), Look::New(2));
}

#[test]
fn a_bad_file_keeps_the_old_state() {
    let files = Files::new();
    let mut store = files.open();
    let before = store.snapshots().current();
    files.write("topology.json", &TOPOLOGY[..40]);
    assert_eq!(store.look(), Look::Unsettled);
    assert_eq!(error(&store), "");
    assert_eq!(store.look(), Look::Bad);
    assert!(error(&store).starts_with("topology.json: EOF while parsing"), "{}", error(&store));
    assert_eq!(store.look(), Look::Bad);
    assert!(Arc::ptr_eq(&before, &store.snapshots().current()));
    files.write("topology.json", TOPOLOGY);
    assert_eq!(store.look(), Look::Same);
    assert_eq!(error(&store), "");
    assert_eq!(store.look(), Look::Same);
}

#[test]
fn half_written_files_are_waited_for() {
    let files = Files::new();
    let mut store = files.open();
    let full = CUSTOMER.replace("customer\":", "client\":");
    for end in [0, 10, 50, full.len() - 1] {
        files.write("vschema/customer.json", &full[..end]);
        assert_eq!(store.look(), Look::Unsettled, "{end}");
    }
    files.write("vschema/customer.json", &full);
    assert_eq!(store.look(), Look::New(2));
    assert_eq!(error(&store), "");
}

#[test]
fn files_that_vanish_for_a_moment_are_waited_for() {
    let files = Files::new();
    let mut store = files.open();
    files.remove("vschema/customer.json");
    assert_eq!(store.look(), Look::Unsettled);
    files.write("vschema/customer.json", CUSTOMER);
    assert_eq!(store.look(), Look::Same);
    files.remove("vschema/customer.json");
    assert_eq!(settled(&mut store), Look::New(2));
    let snapshot = store.snapshots().current();
    assert!(snapshot.vschema.keyspace("customer").unwrap().table("customer").is_none());
    files.remove("topology.json");
    assert_eq!(settled(&mut store), Look::Bad);
    assert!(error(&store).starts_with("topology.json: cannot be read"));
}

#[test]
fn a_change_may_not_break_tables_but_may_mend_some() {
    let files = Files::new();
    let good = CUSTOMER;
    let bad = CUSTOMER.replace("\"name\": \"hash\"", "\"name\": \"hsah\"");
    let mut store = files.open();
    files.write("vschema/customer.json", &bad);
    assert_eq!(settled(&mut store), Look::Bad);
    assert_eq!(
        error(&store),
        "vschema: keyspace customer, table customer: vindex hsah not found for table customer"
    );
    // A router that starts with it serves the rest, and takes changes elsewhere.
    let mut store = files.open();
    assert_eq!(store.snapshots().current().vschema.errors().count(), 1);
    files.write("vschema/commerce.json", r#"{"tables": {"product": {}}}"#);
    assert_eq!(store.look(), Look::New(2));
    files.write("vschema/customer.json", good);
    assert_eq!(store.look(), Look::New(3));
    assert_eq!(store.snapshots().current().vschema.errors().count(), 0);
}

#[test]
fn files_of_vindexes_are_watched_too() {
    let files = Files::new();
    let vschema = r#"{"sharded": true, "vindexes": {"map": {"type": "numeric_static_map", "params": {"json_path": "map/a.txt"}}}}"#;
    std::fs::create_dir(files.dir.path().join("vschema/map")).unwrap();
    files.write("vschema/map/a.txt", "{\"1\": 2}");
    files.write("vschema/customer.json", vschema);
    let mut store = files.open();
    let place = |store: &FileStore| {
        let snapshot = store.snapshots().current();
        let vindex = snapshot.vschema.keyspace("customer").unwrap().vindex("map").unwrap();
        format!("{:?}", vindex.map(&[crate::value::ValueRef::Int(1)]).unwrap())
    };
    assert!(place(&store).contains("0000000000000002"));
    assert_eq!(store.look(), Look::Same);
    files.write("vschema/map/a.txt", "{\"1\": 3}");
    assert_eq!(store.look(), Look::New(2));
    assert!(place(&store).contains("0000000000000003"));
}

#[test]
fn files_are_written_whole() {
    let files = Files::new();
    let paths = files.paths();
    let mut topology = paths.read_topology().unwrap();
    topology.keyspaces.remove(0);
    paths.write_topology(&topology).unwrap();
    assert_eq!(paths.read_topology().unwrap(), topology);
    topology.keyspaces[0].1.shards.remove(0);
    assert!(paths.write_topology(&topology).unwrap_err().reason.contains("no serving shard covers -80"));
    let keyspace = crate::vschema::model::KeyspaceModel::default();
    paths.write_vschema("other", &keyspace).unwrap();
    paths.remove_vschema("customer").unwrap();
    paths.remove_vschema("customer").unwrap();
    for name in ["", "../x", ".x", "routing_rules"] {
        assert!(paths.write_vschema(name, &keyspace).is_err(), "{name}");
    }
    let rule =
        crate::vschema::model::RoutingRule { from_table: "t".into(), to_tables: vec!["other.t".into()] };
    paths.write_rules(&Model { routing_rules: vec![rule], ..Model::default() }).unwrap();
    let snapshot = files.open().snapshots().current();
    assert_eq!(snapshot.vschema.find_table(None, "t", TabletType::Primary).unwrap().keyspace, "other");
    let mut names: Vec<_> =
        std::fs::read_dir(&paths.vschema_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["other.json", "routing_rules.json"]);
}

#[tokio::test]
async fn a_running_store_notices_changes() {
    let files = Files::new();
    let store = files.open();
    let snapshots = Arc::clone(store.snapshots());
    let mut versions = snapshots.subscribe();
    let running = tokio::spawn(store.run());
    files.write("vschema/commerce.json", "{}");
    versions.changed().await.unwrap();
    assert_eq!(snapshots.current().version, 2);
    running.abort();
}
