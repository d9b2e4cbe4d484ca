//! Statements kept outside the repository (`../shared/cases`, or `SHARDGATE_CASES`): the answer is one server's, or
//! VT12001. Without that folder there is nothing to run, and the run says so.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::client::{Client, Reply};
use crate::compare::Comparison;
use crate::environment::{Environment, Keyspace, Router, Topology, create_database};
use crate::protocol::Case;
use crate::script::Order;
use crate::servers::Engine;

pub const CASES: &[Case] = &[("select", selects), ("dml", changes)];

/// Differences listed before the rest is only counted.
const LISTED_MAX: usize = 40;

fn selects(environment: &mut Environment) -> Result<(), String> {
    let Some(mut stage) = Stage::set(environment)? else { return Ok(()) };
    let mut tally = Tally::default();
    for case in stage.list("select.json")? {
        let (query, plain) = (text(&case, "query"), text(&case, "plain"));
        let order = if text(&case, "kind") == "limit" { Order::Count } else { Order::Multiset };
        let Ok(expected) = stage.plain.query(&plain) else {
            stage.reconnect_plain()?;
            continue;
        };
        if matches!(expected.last(), Some(Reply::Err(_)) | None) {
            tally.refused_by_plain += 1;
            continue;
        }
        match stage.router_client.query(&query) {
            Ok(got) => {
                let before = tally.different.len();
                tally.judge(&query, &order, &expected, &got);
                let is_undetermined = |stage: &mut Stage<'_>| {
                    Ok::<_, String>(
                        differ_in_lists(&plain, &expected, &got) || stage.is_undetermined(&plain)?,
                    )
                };
                if tally.different.len() > before && is_undetermined(&mut stage)? {
                    tally.different.truncate(before);
                    tally.undetermined += 1;
                }
            }
            Err(error) => {
                tally.different.push(format!("{query}\n    {error}"));
                stage.reconnect_router()?;
            }
        }
    }
    tally.finish()
}

/// Do the answers only differ in the order of what GROUP_CONCAT strings together? A server takes rows as they come.
fn differ_in_lists(query: &str, expected: &[Reply], got: &[Reply]) -> bool {
    let (Some(Reply::Rows(expected)), Some(Reply::Rows(got))) = (expected.last(), got.last()) else {
        return false;
    };
    let in_order = |value: Option<String>| {
        value.map(|text| {
            let mut parts: Vec<_> = text.split(',').map(str::trim).collect();
            parts.sort_unstable();
            parts.join(",")
        })
    };
    let normal = |rows: Vec<Vec<Option<String>>>| {
        sorted(rows.into_iter().map(|row| row.into_iter().map(in_order).collect()).collect())
    };
    query.to_ascii_lowercase().contains("group_concat(")
        && normal(expected.text_rows()) == normal(got.text_rows())
}

fn changes(environment: &mut Environment) -> Result<(), String> {
    let Some(mut stage) = Stage::set(environment)? else { return Ok(()) };
    let mut tally = Tally::default();
    for case in stage.list("dml.json")? {
        let query = text(&case, "query");
        stage.plain.run("begin")?;
        let Ok(expected) = stage.plain.query(&query) else {
            stage.reconnect_plain()?;
            continue;
        };
        if matches!(expected.last(), Some(Reply::Err(_)) | None) {
            stage.plain.run("rollback")?;
            tally.refused_by_plain += 1;
            continue;
        }
        stage.router_client.run("begin")?;
        let got = match stage.router_client.query(&query) {
            Ok(got) => got,
            Err(error) => {
                tally.different.push(format!("{query}\n    {error}"));
                stage.plain.run("rollback")?;
                stage.reconnect_router()?;
                continue;
            }
        };
        let is_done = !matches!(got.last(), Some(Reply::Err(_)));
        tally.judge(&query, &Order::Multiset, &expected, &got);
        if is_done {
            for table in stage.tables.clone() {
                let sql = format!("select * from `{table}`");
                let same = sorted(stage.plain.rows(&sql)?) == sorted(stage.router_client.rows(&sql)?);
                if !same {
                    tally.different.push(format!("{query}\n    afterwards {table} differs"));
                }
            }
        }
        stage.plain.run("rollback")?;
        stage.router_client.run("rollback")?;
    }
    tally.finish()
}

fn sorted(mut rows: Vec<Vec<Option<String>>>) -> Vec<Vec<Option<String>>> {
    rows.sort();
    rows
}

#[derive(Default)]
struct Tally {
    same: usize,
    /// Different where the plain server itself could answer either way.
    undetermined: usize,
    unsupported: usize,
    refused_by_plain: usize,
    different: Vec<String>,
}

impl Tally {
    fn judge(&mut self, query: &str, order: &Order, expected: &[Reply], got: &[Reply]) {
        // Refusals of the router: not planned, columns that the VSchema does not list, a keyspace that is not there.
        let refusals = ["VT12001", "VT09004", "VT05003"];
        let is_refusal = |message: &str| refusals.iter().any(|code| message.starts_with(code));
        if matches!(got.last(), Some(Reply::Err(error)) if is_refusal(&error.message)) {
            self.unsupported += 1;
            println!("  refused: {query}");
            return;
        }
        // Rows, names and errors count; how servers came to them differs with the plan.
        let ignored =
            ["schema", "table", "org-table", "org-name", "type", "flags", "charset", "warnings", "info"];
        let ignored: BTreeSet<_> = ignored.map(str::to_owned).into();
        let comparison = Comparison {
            keyspace: "user",
            order,
            has_order_by: false,
            may_use_temporary: true,
            ignored: &ignored,
        };
        let differences = comparison.replies(expected, got);
        if differences.is_empty() {
            self.same += 1;
        } else {
            self.different.push(format!("{query}\n    {}", differences.join("\n    ")));
        }
    }

    fn finish(self) -> Result<(), String> {
        println!(
            "  {} the same, {} refused as unsupported, {} undetermined, {} different, {} refused by the plain server",
            self.same,
            self.unsupported,
            self.undetermined,
            self.different.len(),
            self.refused_by_plain
        );
        if self.different.is_empty() {
            return Ok(());
        }
        Err(self.different.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join("\n  "))
    }
}

/// The cases' tables on the plain server and behind a router of their own, with the same rows.
struct Stage<'a> {
    environment: &'a Environment,
    folder: PathBuf,
    plain: Client,
    router: Router,
    router_client: Client,
    tables: Vec<String>,
}

impl<'a> Stage<'a> {
    /// Could the plain server answer otherwise too? Columns beside the groups may come from any row, which
    /// `ONLY_FULL_GROUP_BY` refuses; system tables tell about their own server; and where rows are cut, numbered or
    /// strung together without an order, the order counts in which they were stored.
    fn is_undetermined(&mut self, query: &str) -> Result<bool, String> {
        if query.contains("information_schema") {
            return Ok(true);
        }
        if self.depends_on_storage(query)? {
            return Ok(true);
        }
        self.plain.run("set sql_mode = concat(@@sql_mode, ',ONLY_FULL_GROUP_BY')")?;
        let strict = self.plain.query(query);
        self.plain.run("set sql_mode = default")?;
        Ok(matches!(strict?.last(), Some(Reply::Err(error)) if error.errno == 1055 || error.errno == 1140))
    }

    /// Does the plain server answer differently when the same rows were stored the other way round, or when it reads
    /// tables in another order?
    fn depends_on_storage(&mut self, query: &str) -> Result<bool, String> {
        let answer = |client: &mut Client| -> Result<Vec<Vec<Option<String>>>, String> {
            match client.query(query)?.last() {
                Some(Reply::Rows(set)) => Ok(sorted(set.text_rows())),
                _ => Ok(Vec::new()),
            }
        };
        let stored = answer(&mut self.plain)?;
        self.plain.run("use cases_reversed")?;
        let reversed = answer(&mut self.plain);
        self.plain.run("use cases")?;
        Ok(stored != reversed?)
    }

    fn set(environment: &'a Environment) -> Result<Option<Self>, String> {
        let folder = std::env::var_os("SHARDGATE_CASES")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases"), PathBuf::from);
        if !folder.join("select.json").exists() {
            println!("  no cases at {}: nothing to compare", folder.display());
            return Ok(None);
        }
        let read = |name: &str| read_json(&folder.join(name));
        let (schema, keyspaces, data, vschema) =
            (read("schema.json")?, read("tables.json")?, read("data.json")?, read("vschema.json")?);
        let keyspace_of = |table: &str| keyspaces[table].as_str().unwrap_or("main").to_owned();
        let keyspace = |name: &str, shards: &[(&str, usize)]| Keyspace {
            name: name.to_owned(),
            shards: shards.iter().map(|(shard, server)| ((*shard).to_owned(), *server)).collect(),
            vschema: vschema[name].to_string(),
        };
        let topology = Topology {
            keyspaces: vec![keyspace("main", &[("-", 0)]), keyspace("user", &[("-80", 1), ("80-", 2)])],
        };
        let objects = |json: &Json| json.as_object().cloned().unwrap_or_default();
        let creates = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
            let tables = objects(&schema).into_iter().filter(|(table, _)| wanted(table));
            tables.map(|(_, create)| create.as_str().unwrap_or_default().to_owned()).collect()
        };
        create_database(&environment.plain, "cases", &creates(&|_| true))?;
        create_database(&environment.plain, "cases_reversed", &creates(&|_| true))?;
        environment
            .create_databases(&topology, |keyspace| creates(&|table| keyspace_of(table) == keyspace))?;
        let mut root = environment.plain.administrator()?;
        root.run("use cases")?;
        let home = environment.folder.join("cases");
        let router = environment.another_router(&home, &topology)?;
        let mut router_client = Client::login(&environment.options_of(&router))?;
        for (table, rows) in &objects(&data) {
            let rows: Vec<_> = rows.as_array().into_iter().flatten().map(row_literal).collect();
            if rows.is_empty() {
                continue;
            }
            root.run(&format!("insert into `{table}` values {}", rows.join(", ")))?;
            let reversed: Vec<_> = rows.iter().rev().map(String::as_str).collect();
            root.run(&format!("insert into cases_reversed.`{table}` values {}", reversed.join(", ")))?;
            let names = column_names(&mut root, table)?;
            let insert =
                format!("insert into {}.`{table}` ({names}) values {}", keyspace_of(table), rows.join(", "));
            router_client.run(&insert)?;
        }
        let tables = objects(&schema).keys().cloned().collect();
        let mut stage = Self { environment, folder, plain: root, router, router_client, tables };
        stage.reconnect_plain()?;
        Ok(Some(stage))
    }

    fn list(&self, name: &str) -> Result<Vec<Json>, String> {
        Ok(read_json(&self.folder.join(name))?.as_array().cloned().unwrap_or_default())
    }

    fn reconnect_plain(&mut self) -> Result<(), String> {
        self.plain = Client::login(&self.environment.plain_options().database("cases"))?;
        // Some statements multiply many tables.
        self.plain.run(match self.environment.engine {
            Engine::MariaDb => "set max_statement_time = 2",
            Engine::MySql => "set max_execution_time = 2000",
        })?;
        Ok(())
    }

    fn reconnect_router(&mut self) -> Result<(), String> {
        self.router_client = Client::login(&self.environment.options_of(&self.router))?;
        Ok(())
    }
}

fn read_json(path: &Path) -> Result<Json, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(case: &Json, key: &str) -> String {
    case[key].as_str().unwrap_or_default().to_owned()
}

fn column_names(root: &mut Client, table: &str) -> Result<String, String> {
    let rows = root.rows(&format!("show columns from `{table}`"))?;
    Ok(rows
        .iter()
        .map(|row| format!("`{}`", row[0].as_deref().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(", "))
}

fn row_literal(row: &Json) -> String {
    let mut literal = String::from("(");
    for (index, value) in row.as_array().into_iter().flatten().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = match value {
            Json::String(text) => {
                write!(literal, "{separator}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
            }
            other => write!(literal, "{separator}{other}"),
        };
    }
    literal + ")"
}
