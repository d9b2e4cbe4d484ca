//! `shardgate explain`: the plan of a statement, offline, as Vitess's `vtexplain` shows it.

use std::path::PathBuf;
use std::process::ExitCode;

use super::fail;
use crate::plan::{PlanContext, build, describe};
use crate::schema::Schemas;
use crate::sql::{LexOptions, Lexed, lex};
use crate::topology::{KeyspaceName, TabletType};
use crate::vschema::VSchema;
use crate::vschema::model::{FileModel, KeyspaceModel, Model};

/// Arguments of `shardgate explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// VSchema file: of one keyspace, or of all (with "keyspaces").
    #[arg(long, value_name = "FILE")]
    vschema: PathBuf,
    /// Keyspace of unqualified names, and of the file if it is of one keyspace.
    #[arg(long)]
    keyspace: String,
    /// The statement.
    sql: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match explain(arguments) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}

fn explain(arguments: &Arguments) -> Result<String, String> {
    let file = arguments.vschema.display();
    let text = std::fs::read_to_string(&arguments.vschema).map_err(|error| format!("{file}: {error}"))?;
    let mut warnings = Vec::new();
    let model = FileModel::parse(&text, &arguments.keyspace, &mut warnings);
    let model = match model.map_err(|error| format!("{file}: {error}"))? {
        FileModel::All(model) => model,
        FileModel::Keyspace(keyspace) => of_one(&arguments.keyspace, keyspace),
    };
    let read = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let vschema = VSchema::build(model, &read);
    if let Some(error) = vschema.errors().next() {
        return Err(format!("{file}: {error}"));
    }
    let options = LexOptions::default();
    let mut lexed = Lexed::new();
    let keyspace = KeyspaceName::from(arguments.keyspace.as_str());
    let ctx = PlanContext {
        vschema: &vschema,
        schemas: &Schemas::default(),
        keyspace: Some(&keyspace),
        tablet_type: TabletType::Primary,
        databases: &[],
        options: &options,
    };
    let sql = arguments.sql.as_str();
    let plan = lex(sql.as_bytes(), 0, &options, &mut lexed)
        .and_then(|()| build(&ctx, sql.as_bytes(), &lexed))
        .map_err(|error| error.to_string())?;
    Ok(describe(&plan, sql))
}

fn of_one(name: &str, keyspace: KeyspaceModel) -> Model {
    let mut model = Model::default();
    model.keyspaces.insert(name.to_owned(), keyspace);
    model
}

#[expect(clippy::print_stdout, reason = "the plan is the command's output")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}
