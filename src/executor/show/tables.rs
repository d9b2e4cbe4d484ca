//! The contents of `SHOW` results that the router makes itself, from the snapshot and the gateway.

use crate::executor::keyspace_names::KeyspaceNames;
use crate::executor::table::{Column, ColumnKind, Table};
use crate::gateway::TabletStatus;
use crate::session::Session;
use crate::session::target::SYSTEM_DATABASES;
use crate::topology::{Snapshot, TabletType, TabletTypeNames};
use crate::vschema::model::ForeignKeyMode;

const fn text(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Text }
}

/// `SHOW VITESS_TABLETS`: the columns and words that scripts know; `names` chooses the older or newer form.
pub(super) fn vitess_tablets(tablets: &[TabletStatus], names: TabletTypeNames) -> Table {
    let mut columns = vec![
        text("Cell"),
        text("Keyspace"),
        text("Shard"),
        text("TabletType"),
        text("State"),
        text("Alias"),
        text("Hostname"),
    ];
    let with_term = names == TabletTypeNames::Primary;
    if with_term {
        columns.push(text("PrimaryTermStartTime"));
    }
    let mut table = Table::new(&columns);
    for status in tablets {
        let tablet = &status.tablet;
        let mut row = vec![
            tablet.alias.cell.to_string(),
            tablet.keyspace.to_string(),
            tablet.shard.to_string(),
            type_word(tablet.tablet_type, names),
            status.state.as_str().to_owned(),
            tablet.alias.to_string(),
            tablet.hostname.to_string(),
        ];
        if with_term {
            row.push(String::new());
        }
        table.push(row);
    }
    table
}

/// `SHOW VITESS_SHARDS`: `keyspace/shard` of every shard, serving or not.
pub(super) fn vitess_shards(snapshot: &Snapshot) -> Table {
    let mut table = Table::of_text(["Shards"]);
    for keyspace in snapshot.topology.keyspaces() {
        let mut names: Vec<_> = keyspace
            .all_shards()
            .iter()
            .map(|shard| format!("{}/{}", keyspace.name(), shard.name()))
            .collect();
        names.sort_unstable();
        for name in names {
            table.push([name]);
        }
    }
    table
}

/// `SHOW VITESS_TARGETS`: every target string that names one shard and a tablet type which it has.
pub(super) fn vitess_targets(snapshot: &Snapshot) -> Table {
    let mut table = Table::of_text(["Target"]);
    for keyspace in snapshot.topology.keyspaces() {
        for shard in keyspace.all_shards() {
            for kind in [TabletType::Primary, TabletType::Replica, TabletType::Rdonly] {
                if shard.tablets().iter().any(|tablet| tablet.tablet_type == kind) {
                    table.push([format!("{}:{}@{kind}", keyspace.name(), shard.name())]);
                }
            }
        }
    }
    table
}

/// `SHOW VITESS_TARGET`: the session's target string.
pub(super) fn vitess_target(session: &Session) -> Table {
    let mut table = Table::of_text(["Target"]);
    table.push([session.target.text.as_deref().unwrap_or_default()]);
    table
}

/// `SHOW KEYSPACES`, and with `with_system` `SHOW DATABASES`.
pub(super) fn databases(snapshot: &Snapshot, with_system: bool) -> Table {
    let mut names: Vec<String> =
        snapshot.topology.keyspaces().iter().map(|keyspace| keyspace.name().to_string()).collect();
    if with_system {
        names.extend(SYSTEM_DATABASES.map(str::to_owned));
    }
    names.sort_unstable();
    let mut table = Table::of_text(["Database"]);
    for name in names {
        table.push([name]);
    }
    table
}

/// `SHOW ENGINES`: what every server of a cluster must have.
pub(super) fn engines() -> Table {
    let mut table = Table::of_text(["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"]);
    table.push([
        "InnoDB",
        "DEFAULT",
        "Supports transactions, row-level locking, and foreign keys",
        "YES",
        "YES",
        "YES",
    ]);
    table
}

/// `SHOW PLUGINS`, as far as the router answers for all servers.
pub(super) fn plugins() -> Table {
    let mut table = Table::of_text(["Name", "Status", "Type", "Library", "License"]);
    table.rows.push(vec![
        Some(b"InnoDB".to_vec()),
        Some(b"ACTIVE".to_vec()),
        Some(b"STORAGE ENGINE".to_vec()),
        None,
        Some(b"GPL".to_vec()),
    ]);
    table
}

/// `SHOW WARNINGS`, or with `errors_only` `SHOW ERRORS`.
pub(super) fn diagnostics(session: &Session, names: Option<&KeyspaceNames>, errors_only: bool) -> Table {
    let code = Column { name: "Code", kind: ColumnKind::ErrorNumber };
    let mut table = Table::new(&[text("Level"), code, text("Message")]);
    for entry in session.diagnostics.entries() {
        let level = entry.level.as_str();
        if !errors_only || level == "Error" {
            let renamed = names.and_then(|names| names.in_message(entry.code, &entry.message));
            let message = renamed.as_ref().unwrap_or(&entry.message);
            table.push([level.as_bytes(), entry.code.to_string().as_bytes(), message]);
        }
    }
    table
}

/// `SHOW COUNT(*) WARNINGS` and `ERRORS`.
pub(super) fn count(name: &'static str, count: u64) -> Table {
    let mut table = Table::new(&[Column { name, kind: ColumnKind::Integer }]);
    table.push([count.to_string()]);
    table
}

/// `SHOW VSCHEMA KEYSPACES`.
pub(super) fn vschema_keyspaces(snapshot: &Snapshot) -> Table {
    let mut table = Table::of_text(["Keyspace", "Sharded", "Foreign Key", "Comment"]);
    for keyspace in snapshot.vschema.keyspaces() {
        let errors = keyspace.errors().join("; ");
        table.push([
            keyspace.name().as_str(),
            if keyspace.is_sharded() { "true" } else { "false" },
            foreign_key_word(keyspace.foreign_key_mode()),
            errors.as_str(),
        ]);
    }
    table
}

/// The word of a tablet type, in the older or newer vocabulary.
fn type_word(kind: TabletType, names: TabletTypeNames) -> String {
    match (kind, names) {
        (TabletType::Primary, TabletTypeNames::Classic) => "MASTER".to_owned(),
        (kind, _) => kind.as_str().to_ascii_uppercase(),
    }
}

fn foreign_key_word(mode: ForeignKeyMode) -> &'static str {
    match mode {
        ForeignKeyMode::Disallow => "disallow",
        ForeignKeyMode::Managed => "managed",
        ForeignKeyMode::Unmanaged | ForeignKeyMode::Unspecified => "unmanaged",
    }
}
