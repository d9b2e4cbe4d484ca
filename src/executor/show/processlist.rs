//! `SHOW PROCESSLIST`: the router's own clients, not one server's.

use crate::executor::table::{Column, ColumnKind, Table};
use crate::server::Registry;

/// Characters of a statement that are shown without `FULL`.
const INFO_CHARACTERS: usize = 100;

const COLUMNS: [Column; 8] = [
    Column { name: "Id", kind: ColumnKind::Integer },
    Column { name: "User", kind: ColumnKind::Text },
    Column { name: "Host", kind: ColumnKind::Text },
    Column { name: "db", kind: ColumnKind::Text },
    Column { name: "Command", kind: ColumnKind::Text },
    Column { name: "Time", kind: ColumnKind::Integer },
    Column { name: "State", kind: ColumnKind::Text },
    Column { name: "Info", kind: ColumnKind::Text },
];

/// One row per client.
pub(super) fn table(registry: &Registry, full: bool) -> Table {
    let mut table = Table::new(&COLUMNS);
    for client in registry.list() {
        let info = client.text.map(|info| {
            let text = String::from_utf8_lossy(&info).into_owned();
            if full { text } else { text.chars().take(INFO_CHARACTERS).collect() }
        });
        table.rows.push(vec![
            Some(client.id.0.to_string().into_bytes()),
            Some(client.user.as_bytes().to_vec()),
            Some(client.host.as_bytes().to_vec()),
            client.database.map(|database| database.as_bytes().to_vec()),
            Some(client.command.as_bytes().to_vec()),
            Some(client.seconds.to_string().into_bytes()),
            Some(client.state.as_bytes().to_vec()),
            info.map(String::into_bytes),
        ]);
    }
    table
}
