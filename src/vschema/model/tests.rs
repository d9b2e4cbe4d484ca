//! Tests of the tolerant reading of VSchema files.

use super::*;

const FULL: &str = r#"{"sharded": true, "foreign_key_mode": "unmanaged",
 "vindexes": {"hash":{"type":"hash"},
   "name_idx":{"type":"consistent_lookup","params":{"table":"lk.name_user_idx","from":"name,user_id","to":"keyspace_id"},"owner":"user"}},
 "tables": {"user":{"column_vindexes":[{"column":"id","name":"hash"},{"columns":["name","id"],"name":"name_idx"}],
            "auto_increment":{"column":"id","sequence":"main.user_seq"},
            "columns":[{"name":"id","type":"INT64","nullable":false},{"name":"name","type":6165,"collation_name":"utf8mb4_0900_ai_ci"}],
            "column_list_authoritative":true},
   "zip":{"type":"reference","source":"main.zip"}, "pin_test":{"pinned":"80"}}}"#;

fn keyspace(text: &str) -> (Result<KeyspaceModel, ModelError>, Vec<String>) {
    let mut warnings = Vec::new();
    (KeyspaceModel::parse(text, "ks", &mut warnings), warnings)
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(keyspace(text).0.unwrap_err().to_string(), expected);
}

#[test]
fn a_full_file() {
    let (model, warnings) = keyspace(FULL);
    let model = model.unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert!(model.sharded && model.foreign_key_mode == ForeignKeyMode::Unmanaged);
    let user = &model.tables["user"];
    assert_eq!(user.column_vindexes[1].columns, ["name", "id"]);
    assert_eq!(user.auto_increment.as_ref().unwrap().sequence, "main.user_seq");
    assert_eq!(user.columns[0].nullable, Some(false));
    assert_eq!(user.columns[1].column_type, ColumnType::VarChar);
    assert_eq!(model.tables["zip"].source, "main.zip");
    assert_eq!(model.vindexes["name_idx"].owner, "user");
}

#[test]
fn files_survive_writing() {
    let model = keyspace(FULL).0.unwrap();
    let text = serde_json::to_string(&model).unwrap();
    assert_eq!(keyspace(&text).0.unwrap(), model);
    let mut all = Model { keyspaces: [("ks".to_owned(), model)].into(), ..Model::default() };
    all.routing_rules.push(RoutingRule { from_table: "t".into(), to_tables: vec!["ks.t".into()] });
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(Model::parse(&text, &mut Vec::new()).unwrap(), all);
}

#[test]
fn camel_case_numbers_and_empty_values() {
    let (model, warnings) = keyspace(
        r#"{"sharded": true, "foreignKeyMode": 3, "requireExplicitRouting": true, "vindexes": "", "multiTenantSpec": null,
            "tables": {"a": {"columnVindexes": [{"column": "", "columns": ["id"], "name": "h"}], "autoIncrement": null,
                             "columns": "", "pinned": "", "columnListAuthoritative": false, "type": ""},
                       "b": "", "c": null, "d": {"column_vindexes": []}}}"#,
    );
    let model = model.unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(model.foreign_key_mode, ForeignKeyMode::Managed);
    assert!(model.require_explicit_routing);
    assert_eq!(model.tables["a"].column_vindexes[0].columns, ["id"]);
    assert_eq!(model.tables["b"], TableModel::default());
}

#[test]
fn unknown_fields_leave_warnings() {
    let (model, warnings) =
        keyspace(r#"{"shraded": true, "tables": {"t": {"colunm_vindexes": [], "comment": "x"}}}"#);
    assert!(!model.unwrap().sharded);
    assert_eq!(
        warnings,
        [
            "keyspace ks, table t: unknown field \"colunm_vindexes\" is ignored",
            "keyspace ks, table t: unknown field \"comment\" is ignored",
            "keyspace ks: unknown field \"shraded\" is ignored",
        ]
    );
}

#[test]
fn errors_name_the_place() {
    check_error("[]", "keyspace ks must be an object, not a list");
    check_error("{", "no valid JSON: EOF while parsing an object at line 1 column 1");
    check_error(
        r#"{"sharded": "yes"}"#,
        "keyspace ks: sharded must be true or false, not the string \"yes\"",
    );
    check_error(
        r#"{"tables": {"t": {"column_vindexes": {"name": "h"}}}}"#,
        "keyspace ks, table t: column_vindexes must be a list, not an object",
    );
    check_error(
        r#"{"tables": {"t": {"columns": [{"name": "a", "type": "INTEGER"}]}}}"#,
        "keyspace ks, table t: columns[0]: type must be a column type such as INT64 or VARCHAR, not the string \"INTEGER\"",
    );
    check_error(
        r#"{"vindexes": {"v": {"type": "multicol", "params": {"column_count": 2}}}}"#,
        "keyspace ks, vindex v: parameter column_count must be a string, in quotes",
    );
    check_error(
        r#"{"foreign_key_mode": "off"}"#,
        "keyspace ks: foreign_key_mode must be one of unspecified, disallow, unmanaged, managed, not the string \"off\"",
    );
}

#[test]
fn both_forms_of_files() {
    let mut warnings = Vec::new();
    let all = r#"{"keyspaces": {"a": {}}, "routing_rules": {"rules": [{"fromTable": "t", "toTables": ["a.t"]}]},
                  "keyspaceRoutingRules": {"rules": [{"from_keyspace": "b", "to_keyspace": "a"}]},
                  "mirror_rules": {"rules": [{"from_table": "a.t", "to_table": "b.t", "percent": 12.5}]}}"#;
    let FileModel::All(model) = FileModel::parse(all, "file", &mut warnings).unwrap() else {
        panic!("the form of all keyspaces is expected");
    };
    assert_eq!(model.routing_rules[0].to_tables, ["a.t"]);
    assert_eq!(model.keyspace_routing_rules[0].to_keyspace, "a");
    assert_eq!(model.mirror_rules[0].percent, 12.5);
    let one = FileModel::parse("{}", "file", &mut warnings).unwrap();
    assert_eq!(one, FileModel::Keyspace(KeyspaceModel::default()));
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn rules_files_have_two_forms() {
    let mut model = Model::default();
    model.parse_rules(r#"{"rules": [{"from_table": "t", "to_tables": []}]}"#, &mut Vec::new()).unwrap();
    assert_eq!(model.routing_rules.len(), 1);
    let text = r#"{"routing_rules": {"rules": []}, "shard_routing_rules": {"rules": [{"from_keyspace": "a", "to_keyspace": "b", "shard": "0"}]}}"#;
    model.parse_rules(text, &mut Vec::new()).unwrap();
    assert_eq!((model.routing_rules.len(), model.shard_routing_rules.len()), (0, 1));
    let error = model.parse_rules("[]", &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "vschema must be an object, not a list");
}
