//! `SHOW VSCHEMA TABLES` and `SHOW VSCHEMA VINDEXES`.

use crate::error::{Error, ErrorKind, Result};
use crate::executor::table::Table;
use crate::sql::statement::Show;
use crate::topology::Snapshot;
use crate::vschema::KeyspaceSchema;
use crate::vschema::vindex::VindexDefinition;

/// The tables that a keyspace's VSchema names, sorted.
pub(super) fn tables(snapshot: &Snapshot, keyspace: &str) -> Result<Table> {
    let mut table = Table::of_text(["Tables"]);
    let mut names: Vec<_> = find(snapshot, keyspace)?.tables().map(|table| table.name.to_string()).collect();
    names.sort_unstable();
    for name in names {
        table.push([name]);
    }
    Ok(table)
}

/// All vindexes, or with a table those of its columns.
pub(super) fn vindexes(snapshot: &Snapshot, show: &Show, current: Option<&str>) -> Result<Table> {
    let Some(name) = &show.table else {
        let mut table = Table::of_text(["Keyspace", "Name", "Type", "Params", "Owner"]);
        for keyspace in snapshot.vschema.keyspaces() {
            let mut vindexes: Vec<_> = keyspace.vindexes().collect();
            vindexes.sort_unstable_by_key(|vindex| vindex.name().to_owned());
            for vindex in vindexes {
                let [name, kind, params, owner] = describe(vindex);
                table.push([keyspace.name().to_string(), name, kind, params, owner]);
            }
        }
        return Ok(table);
    };
    let keyspace = super::keyspace_name(show, current)?;
    let unknown = || Error::new(ErrorKind::UnknownTable, format!("Table '{keyspace}.{name}' doesn't exist"));
    let found = find(snapshot, keyspace)?.table(name).ok_or_else(unknown)?;
    let mut table = Table::of_text(["Columns", "Name", "Type", "Params", "Owner"]);
    for column_vindex in &found.column_vindexes {
        let columns: Vec<&str> = column_vindex.columns.iter().map(|column| column.as_str()).collect();
        let [name, kind, params, owner] = describe(&column_vindex.vindex);
        table.push([columns.join(", "), name, kind, params, owner]);
    }
    Ok(table)
}

fn describe(vindex: &VindexDefinition) -> [String; 4] {
    let mut params: Vec<String> =
        vindex.params().iter().map(|(key, value)| format!("{key}={value}")).collect();
    params.sort_unstable();
    [
        vindex.name().to_owned(),
        vindex.vindex_type().to_owned(),
        params.join("; "),
        vindex.owner().unwrap_or_default().to_owned(),
    ]
}

fn find<'a>(snapshot: &'a Snapshot, keyspace: &str) -> Result<&'a KeyspaceSchema> {
    let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{keyspace}'"));
    snapshot.vschema.keyspace(keyspace).ok_or_else(unknown)
}
