//! Tests of the rules of tables and vindexes.

use super::super::vindex::no_files;
use super::*;

fn build(text: &str) -> VSchema {
    let model = Model::parse(text, &mut Vec::new()).unwrap();
    VSchema::build(model, &no_files)
}

/// Builds one sharded keyspace `ks` with the usual vindexes.
fn sharded(tables: &str) -> VSchema {
    build(&format!(
        r#"{{"keyspaces": {{"ks": {{"sharded": true, "vindexes": {{
            "hash": {{"type": "hash"}},
            "multi": {{"type": "multicol", "params": {{"column_count": "3"}}}},
            "owned": {{"type": "lookup", "owner": "t", "params": {{"table": "main.t_idx", "from": "name", "to": "id"}}}},
            "unowned": {{"type": "lookup_unique", "params": {{"table": "main.t_idx", "from": "name", "to": "id"}}}}
        }}, "tables": {{{tables}}}}}, "main": {{"tables": {{"seq": {{"type": "sequence"}}, "plain": {{}}}}}}}}}}"#
    ))
}

const OWNER: &str =
    r#""t": {"column_vindexes": [{"column": "id", "name": "hash"}, {"column": "name", "name": "owned"}]}"#;

#[track_caller]
fn check_error(tables: &str, expected: &str) {
    let vschema = sharded(&format!("{OWNER}, {tables}"));
    assert_eq!(vschema.errors().collect::<Vec<_>>(), [format!("keyspace ks, table {expected}")]);
    assert!(vschema.keyspace("ks").unwrap().table("t").is_some(), "the valid table is kept");
}

#[test]
fn vindexes_of_a_table() {
    let vschema = sharded(OWNER);
    assert_eq!(vschema.errors().count(), 0);
    let table = vschema.keyspace("ks").unwrap().table("t").unwrap();
    assert_eq!(table.kind, TableKind::Sharded);
    let primary = table.primary_vindex().unwrap();
    assert_eq!((primary.vindex.name(), primary.is_owned, primary.cost), ("hash", false, 1));
    assert!(table.column_vindexes[1].is_owned && !table.column_vindexes[1].is_unique);
    assert!(table.has_owned_lookups());
}

#[test]
fn partial_vindexes_have_entries_for_leading_columns() {
    let vschema = sharded(&format!(
        r#"{OWNER}, "m": {{"column_vindexes": [{{"columns": ["a", "b", "c"], "name": "multi"}}, {{"column": "d", "name": "hash"}}]}}"#
    ));
    let table = vschema.keyspace("ks").unwrap().table("m").unwrap();
    let ordered: Vec<_> =
        table.ordered_vindexes.iter().map(|v| (v.columns.len(), v.cost, v.is_partial, v.is_unique)).collect();
    assert_eq!(ordered, [(1, 1, false, true), (3, 3, false, true), (2, 4, true, false), (1, 5, true, false)]);
}

#[test]
fn table_rules() {
    check_error(r#""x": {}"#, "x: missing primary col vindex for table: x");
    check_error(
        r#""x": {"column_vindexes": [{"column": "id", "name": "hsah"}]}"#,
        "x: vindex hsah not found for table x",
    );
    check_error(
        r#""x": {"column_vindexes": [{"column": "id", "name": "owned"}]}"#,
        "x: primary vindex owned is not Unique for table x",
    );
    check_error(
        r#""x": {"column_vindexes": [{"column": "id", "columns": ["id"], "name": "hash"}]}"#,
        "x: can't use column and columns at the same time in vindex (hash) and table (x)",
    );
    check_error(
        r#""x": {"column_vindexes": [{"name": "hash"}]}"#,
        "x: must specify at least one column for vindex (hash) and table (x)",
    );
    check_error(
        r#""x": {"column_vindexes": [{"column": "id", "name": "hash"}, {"columns": ["a", "b", "c"], "name": "multi"}]}"#,
        "x: multi-column vindex multi should be a primary vindex for table x",
    );
    check_error(
        r#""x": {"column_vindexes": [{"columns": ["a", "b"], "name": "multi"}]}"#,
        "x: vindex multi takes 3 columns, not 2, for table x",
    );
    check_error(r#""x": {"type": "view"}"#, "x: unidentified table type view");
    check_error(
        r#""x": {"type": "sequence"}"#,
        "x: sequence table has to be in an unsharded keyspace or must be pinned: x",
    );
    check_error(
        r#""x": {"pinned": "8"}"#,
        "x: could not decode the keyspace id for pin: expected valid hex in keyspace id 8",
    );
    check_error(
        r#""x": {"type": "reference", "columns": [{"name": "A"}, {"name": "a"}]}"#,
        "x: duplicate column name 'a' for table: x",
    );
    check_error(
        r#""x": {"column_vindexes": [{"column": "id", "name": "hash"}], "auto_increment": {"column": "id", "sequence": "nowhere.seq"}}"#,
        "x: cannot resolve sequence nowhere.seq: VT05003: unknown database 'nowhere' in vschema",
    );
    check_error(
        r#""x": {"column_vindexes": [{"column": "id", "name": "hash"}], "auto_increment": {"column": "id", "sequence": "ks.t"}}"#,
        "x: cannot resolve sequence ks.t: ks.t is no sequence",
    );
}

#[test]
fn a_unique_unowned_lookup_may_be_primary() {
    let vschema = sharded(&format!(
        r#"{OWNER}, "x": {{"column_vindexes": [{{"column": "name", "name": "unowned"}}]}}"#
    ));
    assert_eq!(vschema.errors().count(), 0);
}

#[test]
fn an_owned_lookup_may_not_be_primary() {
    let vschema = build(
        r#"{"keyspaces": {"ks": {"sharded": true, "vindexes": {
             "u": {"type": "lookup_unique", "owner": "t", "params": {"table": "x", "from": "a", "to": "b"}}},
           "tables": {"t": {"column_vindexes": [{"column": "a", "name": "u"}]}}}}}"#,
    );
    let errors: Vec<_> = vschema.errors().collect();
    assert_eq!(errors, ["keyspace ks, table t: primary vindex u cannot be owned for table t"]);
}

#[test]
fn broken_vindexes_are_named() {
    let vschema = build(
        r#"{"keyspaces": {"ks": {"sharded": true,
             "vindexes": {"v": {"type": "hsah"}, "w": {"type": "lookup", "owner": "gone", "params": {"table": "x", "from": "a", "to": "b"}},
                          "x": {"type": "lookup", "owner": "t", "params": {"table": "x", "from": "a", "to": "b"}}},
             "tables": {"t": {"column_vindexes": [{"column": "id", "name": "v"}]}}},
           "good": {"tables": {"a": {}}}}}"#,
    );
    let errors: Vec<_> = vschema.errors().collect();
    assert_eq!(
        errors,
        [
            "keyspace ks, vindex v: vindexType \"hsah\" not found",
            "keyspace ks, vindex w: its owner gone is no table of the keyspace",
            "keyspace ks, vindex x: its owner t does not use it",
            "keyspace ks, table t: vindex v of table t is invalid: vindexType \"hsah\" not found",
        ]
    );
    assert!(vschema.keyspace("good").unwrap().errors().is_empty());
    let error = vschema.find_table(Some("ks"), "t", TabletType::Primary).unwrap_err();
    assert!(error.to_string().contains("VT05008: keyspace ks, table t: vindex v"), "{error}");
}

#[test]
fn sequences_and_pinned_tables() {
    let vschema = sharded(&format!(
        r#"{OWNER}, "p": {{"pinned": "80"}}, "s": {{"type": "sequence", "pinned": "00"}},
           "u": {{"column_vindexes": [{{"column": "id", "name": "hash"}}], "auto_increment": {{"column": "id", "sequence": "`main`.`seq`"}}}},
           "v": {{"column_vindexes": [{{"column": "id", "name": "hash"}}], "auto_increment": {{"column": "id", "sequence": "s"}}}}"#
    ));
    assert_eq!(vschema.errors().collect::<Vec<_>>(), Vec::<&str>::new());
    let keyspace = vschema.keyspace("ks").unwrap();
    assert_eq!(keyspace.table("p").unwrap().kind, TableKind::Pinned(KeyspaceId::from_bytes(&[0x80])));
    let sequence = keyspace.table("s").unwrap();
    assert_eq!((&sequence.kind, sequence.pinned.is_some()), (&TableKind::Sequence, true));
    let of =
        |table: &str| keyspace.table(table).unwrap().auto_increment.as_ref().unwrap().sequence.to_string();
    assert_eq!([of("u"), of("v")], ["main.seq", "ks.s"]);
}

#[test]
fn extra_columns_of_functions_are_ignored_with_a_warning() {
    let vschema = sharded(&format!(
        r#"{OWNER}, "x": {{"column_vindexes": [{{"columns": ["a", "b"], "name": "hash"}}]}}"#
    ));
    assert_eq!(vschema.warnings(), ["keyspace ks, table x: vindex hash uses the first column only"]);
    assert_eq!(vschema.keyspace("ks").unwrap().table("x").unwrap().column_vindexes[0].columns.len(), 1);
}

/// A source keyspace `main` and a sharded keyspace `ks` with the given tables.
fn references(tables: &str) -> VSchema {
    build(&format!(
        r#"{{"keyspaces": {{"ks": {{"sharded": true, "tables": {{{tables}}}}},
             "main": {{"tables": {{"zip": {{}}, "seq": {{"type": "sequence"}}}}}},
             "other": {{"tables": {{"copy": {{"type": "reference", "source": "main.zip"}}}}}}}}}}"#
    ))
}

#[test]
fn references_are_linked() {
    let vschema = references(
        r#""zip": {"type": "reference", "source": "main.zip"}, "lone": {"type": "reference"}, "far": {"type": "reference", "source": "main.unlisted"}"#,
    );
    assert_eq!(vschema.errors().collect::<Vec<_>>(), Vec::<&str>::new());
    let keyspace = vschema.keyspace("ks").unwrap();
    assert_eq!(
        keyspace.table("zip").unwrap().kind,
        TableKind::Reference { source: Some(qualified("main", "zip")) }
    );
    assert_eq!(keyspace.table("lone").unwrap().kind, TableKind::Reference { source: None });
    let source = vschema.keyspace("main").unwrap().table("zip").unwrap();
    assert_eq!(source.referenced_by, [qualified("ks", "zip"), qualified("other", "copy")]);
}

#[test]
fn reference_rules() {
    let check = |source: &str, expected: &str| {
        let vschema = references(&format!(r#""x": {{"type": "reference", "source": "{source}"}}"#));
        assert_eq!(vschema.errors().collect::<Vec<_>>(), [format!("keyspace ks, table x: {expected}")]);
    };
    check("zip", "invalid source \"zip\" for reference table: x; invalid qualified table name");
    check("ks.y", "source \"ks.y\" may not reference a table in the same keyspace as table: x");
    check("gone.y", "source \"gone.y\" references a keyspace that is not present in the VSchema: x");
    check("main.seq", "source \"main.seq\" may not reference a table of type \"sequence\": x");
    check("other.copy", "reference chaining is not allowed ks.x => other.copy => main.zip: x");
    let twice = r#""x": {"type": "reference", "source": "main.zip"}, "y": {"type": "reference", "source": "main.zip"}"#;
    assert_eq!(
        references(twice).errors().collect::<Vec<_>>(),
        ["keyspace ks, table y: source \"main.zip\" may not be referenced more than once per keyspace: x, y"]
    );
}

#[test]
fn mirror_rules() {
    let vschema = build(
        r#"{"keyspaces": {"a": {"tables": {"t": {}}}, "b": {"tables": {"t": {}}}},
            "mirror_rules": {"rules": [
              {"from_table": "a.t@replica", "to_table": "b.t", "percent": 50},
              {"from_table": "a.u", "to_table": "a.t", "percent": 50},
              {"from_table": "a.v", "to_table": "b.t", "percent": 101},
              {"from_table": "b.w", "to_table": "a.t", "percent": 1},
              {"from_table": "a.x@what", "to_table": "b.t", "percent": 1}]}}"#,
    );
    assert_eq!(
        vschema.warnings(),
        [
            "mirror rule for a.u: cannot mirror to the same keyspace",
            "mirror rule for a.v: percent must be 0 to 100",
            "mirror rule for b.w: mirror chaining is not allowed",
            "mirror rule for a.x@what: unknown tablet type",
        ]
    );
    let table = vschema.keyspace("a").unwrap().table("t").unwrap();
    assert!(vschema.mirror(table, TabletType::Primary).is_none());
    assert_eq!(vschema.mirror(table, TabletType::Replica).unwrap().percent, 50.0);
}
