//! Golden tests of plans: `cases/*.test` with the VSchemas of `vschema/`.
//!
//! A case is `plan key=value …`, SQL, `----` and the expected tree, ended by an empty line; lines that begin with
//! `#` are comments. `ROUTER_BLESS=1 cargo test --test plan` writes what comes out.
//! Keys: `for` (what the case is for: the file of `src/plan/` whose work it shows, always first), `keyspace` (the
//! session's; none without it), `vschema` (file, `main` without it), `schema` (file of `schema/`:
//! what servers say about their tables; nothing without it).

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod mutations;
#[path = "../e2e/random.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests")]
mod random;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shardgate::plan::{self, PlanContext};
use shardgate::schema::{Column, Relation, Schema, Schemas};
use shardgate::sql::{LexOptions, Lexed, lex, normalized_text};
use shardgate::topology::{KeyspaceName, TabletType};
use shardgate::vschema::VSchema;
use shardgate::vschema::model::Model;
use shardgate::vschema::vindex::no_files;

#[test]
fn plans_are_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let bless = std::env::var_os("ROUTER_BLESS").is_some();
    let mut failures = Vec::new();
    let mut case_count = 0;
    let topics = names_of_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan"));
    for path in files(&root.join("cases")) {
        let text = fs::read_to_string(&path).unwrap();
        let mut blessed = String::new();
        for part in parts(&text) {
            match part {
                Part::Text(text) => blessed.push_str(text),
                Part::Case(case) => {
                    case_count += 1;
                    assert!(
                        topics.contains(topic(&case)),
                        "{}:{}: `for=` names no file of src/plan",
                        path.display(),
                        case.line
                    );
                    let actual = run(&root, &case);
                    if actual != case.expected {
                        failures.push(format!(
                            "{}:{}: {}\nexpected:\n{}\nactual:\n{actual}",
                            path.file_name().unwrap().display(),
                            case.line,
                            case.sql.trim_end(),
                            case.expected
                        ));
                    }
                    write!(blessed, "{}\n{}----\n{actual}", case.command, case.sql).unwrap();
                }
            }
        }
        if bless && blessed != text {
            fs::write(&path, blessed).unwrap();
        }
    }
    assert!(case_count > 100, "only {case_count} cases were found");
    assert!(
        bless || failures.is_empty(),
        "{} of {case_count} plans differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

struct Case<'t> {
    line: usize,
    command: &'t str,
    sql: String,
    expected: String,
}

enum Part<'t> {
    /// Comments and empty lines, kept as they are.
    Text(&'t str),
    Case(Case<'t>),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate();
    while let Some((number, line)) = lines.next() {
        if !line.starts_with("plan") {
            assert!(line.trim().is_empty() || line.starts_with('#'), "line {}: {line}", number + 1);
            parts.push(Part::Text(line));
            continue;
        }
        let mut case =
            Case { line: number + 1, command: line.trim_end(), sql: String::new(), expected: String::new() };
        for (_, line) in lines.by_ref() {
            if line.trim_end() == "----" {
                break;
            }
            case.sql.push_str(line);
        }
        let mut end = None;
        for (_, line) in lines.by_ref() {
            if line.trim().is_empty() {
                end = Some(line);
                break;
            }
            case.expected.push_str(line);
        }
        parts.push(Part::Case(case));
        parts.extend(end.map(Part::Text));
    }
    parts
}

fn run(root: &Path, case: &Case<'_>) -> String {
    let option = |name: &str| {
        let mut options = case.command.split_whitespace().filter_map(|word| word.split_once('='));
        options.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let file = root.join("vschema").join(format!("{}.json", option("vschema").unwrap_or("main")));
    let model = Model::parse(&fs::read_to_string(file).unwrap(), &mut Vec::new()).unwrap();
    let vschema = VSchema::build(model, &no_files);
    assert_eq!(vschema.errors().collect::<Vec<_>>(), Vec::<&str>::new());
    let schemas = option("schema").map_or(Schemas::default(), |name| schemas(root, name));
    let vschema = schemas.complete(&vschema);
    let databases: Vec<_> =
        vschema.keyspaces().map(|k| (format!("vt_{}", k.name()).into(), k.name().clone())).collect();
    let keyspace = option("keyspace").map(KeyspaceName::from);
    let options = LexOptions::default();
    let ctx = PlanContext {
        vschema: &vschema,
        schemas: &schemas,
        keyspace: keyspace.as_ref(),
        tablet_type: TabletType::Primary,
        databases: &databases,
        options: &options,
    };
    let text = case.sql.trim_end().as_bytes();
    let mut lexed = Lexed::new();
    let planned = lex(text, 0, &options, &mut lexed).and_then(|()| plan::build(&ctx, text, &lexed));
    match planned {
        Ok(plan) => plan::describe(&plan, &normalized_text(text, &lexed)),
        Err(error) => format!("{}: {}\n", error.errno(), String::from_utf8_lossy(error.message())),
    }
}

/// `{keyspace: {table: {"columns": {name: type}, "view": definition}}}`; behind the type of text may stand its collation.
fn schemas(root: &Path, name: &str) -> Schemas {
    type Keyspaces = serde_json::Map<String, serde_json::Value>;
    let text = fs::read_to_string(root.join("schema").join(format!("{name}.json"))).unwrap();
    let keyspaces: Keyspaces = serde_json::from_str(&text).unwrap();
    keyspaces.iter().fold(Schemas::default(), |schemas, (keyspace, tables)| {
        let relation = |(name, table): (&String, &serde_json::Value)| {
            let columns = table["columns"].as_object().unwrap().iter();
            let columns = columns.map(|(name, kind)| {
                let kind = kind.as_str().unwrap();
                let (kind, collation) =
                    kind.split_once(' ').map_or((kind, None), |(k, c)| (k, Some(c.into())));
                Column { collation, ..Column::new(name, kind, kind) }
            });
            let definition = table.get("view").map(|text| text.as_str().unwrap().into());
            Relation { columns: columns.collect(), definition, ..Relation::new(name) }
        };
        let schema = Schema::new(tables.as_object().unwrap().iter().map(relation), None);
        schemas.with(keyspace.as_str().into(), Arc::new(schema))
    })
}

/// The file that a case is for.
fn topic<'t>(case: &Case<'t>) -> &'t str {
    let first = case.command.split_whitespace().nth(1);
    first.and_then(|word| word.strip_prefix("for=")).unwrap_or_default()
}

/// The names of all source files of a folder and the folders in it, without their ending.
fn names_of_files(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(names_of_files(&path));
        }
        names.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    names
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    files.sort();
    files
}
