//! Tests of names and routing rules.

use super::super::model::Model;
use super::super::vindex::no_files;
use super::*;

fn build(text: &str) -> VSchema {
    VSchema::build(Model::parse(text, &mut Vec::new()).unwrap(), &no_files)
}

/// `keyspace.table`, with `*` if a rule chose it, or the error's message.
#[track_caller]
fn check_as(vschema: &VSchema, name: &str, kind: TabletType, expected: &str) {
    let (qualifier, table) =
        name.split_once('.').map_or((None, name), |(keyspace, table)| (Some(keyspace), table));
    let found = match vschema.find_table(qualifier, table, kind) {
        Ok(found) => format!("{}{}", found.qualified(), if found.is_routed { "*" } else { "" }),
        Err(error) => String::from_utf8(error.message().to_vec()).unwrap(),
    };
    assert_eq!(found, expected, "{name}");
}

#[track_caller]
fn check(vschema: &VSchema, name: &str, expected: &str) {
    check_as(vschema, name, TabletType::Primary, expected);
}

const TWO: &str = r#""a": {"tables": {"t": {}, "only_a": {}}},
    "b": {"sharded": true, "vindexes": {"h": {"type": "hash"}}, "tables": {"t": {"column_vindexes": [{"column": "id", "name": "h"}]},
          "only_b": {"column_vindexes": [{"column": "id", "name": "h"}]}}}"#;

#[test]
fn names_without_rules() {
    let vschema = build(&format!(r#"{{"keyspaces": {{{TWO}}}}}"#));
    check(&vschema, "only_a", "a.only_a");
    check(&vschema, "only_b", "b.only_b");
    check(&vschema, "t", "ambiguous table reference: t; it is in keyspaces a, b");
    check(&vschema, "b.t", "b.t");
    check(&vschema, "unknown", "table unknown not found");
    check(&vschema, "a.unknown", "a.unknown");
    check(&vschema, "b.unknown", "Table 'b.unknown' doesn't exist");
    check(&vschema, "c.t", "VT05003: unknown database 'c' in vschema");
    check(&vschema, "Only_a", "table Only_a not found");
    assert!(vschema.is_global_table(&"only_a".into()) && !vschema.is_global_table(&"t".into()));
    let error = vschema.find_table(None, "t", TabletType::Primary).unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::AmbiguousTable));
    let unlisted = vschema.find_table(Some("a"), "unknown", TabletType::Primary).unwrap();
    assert_eq!(unlisted.kind, super::super::TableKind::Unsharded);
}

#[test]
fn a_single_keyspace_is_the_default() {
    let vschema = build(r#"{"keyspaces": {"a": {"require_explicit_routing": true, "tables": {"t": {}}}}}"#);
    check(&vschema, "t", "a.t");
    check(&vschema, "unlisted", "a.unlisted");
}

#[test]
fn explicit_routing_hides_tables() {
    let vschema = build(
        r#"{"keyspaces": {"a": {"require_explicit_routing": true, "vindexes": {"v": {"type": "hash"}}, "tables": {"t": {}, "u": {}}},
                          "b": {"vindexes": {"v": {"type": "xxhash"}}, "tables": {"t": {}}}}}"#,
    );
    check(&vschema, "t", "b.t");
    check(&vschema, "u", "table u not found");
    check(&vschema, "a.u", "a.u");
    let vindex = vschema.find_vindex(None, "v").unwrap().unwrap();
    assert_eq!(vindex.vindex_type(), "xxhash");
    assert_eq!(vschema.find_vindex(Some("a"), "v").unwrap().unwrap().vindex_type(), "hash");
    assert!(vschema.find_vindex(Some("b"), "w").unwrap().is_none());
    assert!(vschema.find_vindex(Some("c"), "v").is_err());
}

#[test]
fn vindexes_can_be_ambiguous() {
    let vschema = build(
        r#"{"keyspaces": {"a": {"vindexes": {"v": {"type": "hash"}}}, "b": {"vindexes": {"v": {"type": "hash"}}}}}"#,
    );
    let error = vschema.find_vindex(None, "v").unwrap_err();
    assert_eq!(error.message(), b"ambiguous vindex reference: v");
}

#[test]
fn a_source_stands_for_its_copies() {
    let vschema = build(
        r#"{"keyspaces": {"main": {"tables": {"zip": {}}},
              "b": {"sharded": true, "tables": {"zip": {"type": "reference", "source": "main.zip"}}},
              "c": {"sharded": true, "tables": {"zip": {"type": "reference", "source": "main.zip"}}}}}"#,
    );
    check(&vschema, "zip", "main.zip");
    check(&vschema, "b.zip", "b.zip");
}

#[test]
fn table_rules_with_and_without_type() {
    let vschema = build(&format!(
        r#"{{"keyspaces": {{{TWO}}}, "routing_rules": {{"rules": [
            {{"from_table": "t", "to_tables": ["b.t"]}},
            {{"from_table": "t@replica", "to_tables": ["a.t"]}},
            {{"from_table": "a.only_a", "to_tables": ["`b`.`only_b`"]}},
            {{"from_table": "a.only_a@rdonly", "to_tables": ["a.only_a"]}},
            {{"from_table": "gone", "to_tables": []}},
            {{"from_table": "x.renamed", "to_tables": ["a.whatever"]}},
            {{"from_table": "two", "to_tables": ["a.t", "b.t"]}},
            {{"from_table": "dup", "to_tables": ["a.t"]}},
            {{"from_table": "dup", "to_tables": ["b.t"]}},
            {{"from_table": "plain", "to_tables": ["t"]}},
            {{"from_table": "lost", "to_tables": ["b.lost"]}}
        ]}}}}"#
    ));
    check(&vschema, "t", "b.t*");
    check_as(&vschema, "t", TabletType::Replica, "a.t*");
    check_as(&vschema, "t", TabletType::Rdonly, "b.t*");
    check(&vschema, "a.only_a", "b.only_b*");
    check_as(&vschema, "a.only_a", TabletType::Rdonly, "a.only_a*");
    check(&vschema, "only_a", "a.only_a");
    check(&vschema, "gone", "table gone has been disabled");
    check(&vschema, "x.renamed", "a.whatever*");
    check(&vschema, "two", "VT05008: table two has more than one target: [a.t b.t]");
    check(&vschema, "dup", "VT05008: duplicate rule for entry dup");
    check(&vschema, "plain", "VT05008: table t must be qualified");
    check(&vschema, "lost", "VT05008: Table 'b.lost' doesn't exist");
    assert_eq!(vschema.warnings().len(), 4);
}

#[test]
fn keyspace_rules_come_first() {
    let vschema = build(&format!(
        r#"{{"keyspaces": {{{TWO}}},
            "keyspace_routing_rules": {{"rules": [
              {{"from_keyspace": "old", "to_keyspace": "a"}}, {{"from_keyspace": "old@replica", "to_keyspace": "b"}}]}},
            "routing_rules": {{"rules": [{{"from_table": "a.only_a", "to_tables": ["b.only_b"]}}]}},
            "shard_routing_rules": {{"rules": [{{"from_keyspace": "a", "to_keyspace": "b", "shard": "-80"}}]}}}}"#
    ));
    check(&vschema, "old.t", "a.t");
    check_as(&vschema, "old.t", TabletType::Replica, "b.t");
    check_as(&vschema, "old.t", TabletType::Rdonly, "a.t");
    check(&vschema, "old.only_a", "b.only_b*");
    assert_eq!(vschema.routed_keyspace("a", TabletType::Replica), "a");
    assert_eq!(vschema.routed_shard(&"a".into(), &"-80".into()).unwrap(), &"b");
    assert!(vschema.routed_shard(&"a".into(), &"80-".into()).is_none());
}
