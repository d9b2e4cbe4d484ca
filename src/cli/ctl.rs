//! `shardgate ctl`: questions about a cluster and orders to it, answered by a running router's control API.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::fail;

/// Longest wait for the router.
const WAIT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Arguments of `shardgate ctl`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Address of the router's control API.
    #[arg(long, default_value = "127.0.0.1:15999", value_name = "HOST:PORT")]
    server: String,
    #[command(subcommand)]
    command: Command,
}

/// Names are those of Vitess's `vtctldclient` and `vtctlclient`.
#[derive(Debug, Subcommand)]
#[command(rename_all = "verbatim")]
enum Command {
    /// Ends a transaction in doubt now: by its decision, or by rolling it back if there is none.
    ConcludeTransaction {
        /// Its name, as `GetUnresolvedTransactions` shows it.
        dtid: String,
    },
    /// Keyspaces and their shards.
    GetKeyspaces,
    /// One line per tablet: alias, keyspace, shard, type, address, state.
    #[command(alias = "ListAllTablets")]
    GetTablets,
    /// One transaction in doubt, as JSON.
    GetTransactionInfo {
        /// Its name, as `GetUnresolvedTransactions` shows it.
        dtid: String,
    },
    /// One line per transaction in doubt: name, state, time of the decision, shards.
    GetUnresolvedTransactions {
        /// Only those of this keyspace.
        keyspace: Option<String>,
    },
    /// The VSchema of a keyspace, as JSON.
    GetVSchema {
        /// The keyspace.
        keyspace: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (method, path) = match &arguments.command {
        Command::ConcludeTransaction { dtid } => {
            ("POST", format!("/v1/transactions/{}/conclude", escape(dtid)))
        }
        Command::GetKeyspaces => ("GET", "/v1/keyspaces".to_owned()),
        Command::GetTablets => ("GET", "/v1/tablets".to_owned()),
        Command::GetTransactionInfo { dtid } => ("GET", format!("/v1/transactions/{}", escape(dtid))),
        Command::GetUnresolvedTransactions { .. } => ("GET", "/v1/transactions".to_owned()),
        Command::GetVSchema { keyspace } => ("GET", format!("/v1/vschema/{keyspace}")),
    };
    let answer = match exchange(&arguments.server, method, &path) {
        Ok(answer) => answer,
        Err(error) => return fail(error),
    };
    let pretty = || serde_json::to_string_pretty(&answer).unwrap_or_default();
    print(&match &arguments.command {
        Command::GetTablets => lines(&answer, &["alias", "keyspace", "shard", "type", "address", "state"]),
        Command::GetKeyspaces => lines(&answer, &["name", "db_name"]),
        Command::GetUnresolvedTransactions { keyspace } => unresolved(&answer, keyspace.as_deref()),
        Command::ConcludeTransaction { .. }
        | Command::GetTransactionInfo { .. }
        | Command::GetVSchema { .. } => pretty(),
    });
    ExitCode::SUCCESS
}

/// One line per transaction; of one keyspace, if that is wanted.
fn unresolved(answer: &Value, keyspace: Option<&str>) -> String {
    let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let lines = rows.iter().filter_map(|row| {
        let places = row.get("participants").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let places: Vec<&str> = places.iter().filter_map(Value::as_str).collect();
        let dtid = text(row, "dtid");
        let in_keyspace = |place: &str| {
            keyspace.is_none_or(|wanted| place.split_once(':').is_some_and(|(found, _)| found == wanted))
        };
        let is_wanted = in_keyspace(&dtid) || places.iter().any(|place| in_keyspace(place));
        let line = [dtid, text(row, "state"), text(row, "record_time"), places.join(",")].join(" ");
        is_wanted.then_some(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A name as a part of a path.
fn escape(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
    let escaped = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(escaped).collect()
}

/// One line per object of the list, its fields separated by blanks.
fn lines(answer: &Value, fields: &[&str]) -> String {
    let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |row: &Value| {
        let words = fields.iter().map(|field| row.get(field).and_then(Value::as_str).unwrap_or_default());
        words.collect::<Vec<_>>().join(" ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One HTTP/1.0 exchange, which ends when the router closes the connection.
fn exchange(server: &str, method: &str, path: &str) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("{server}: {error}");
    if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{path:?} is no name"));
    }
    let address = server.to_socket_addrs().map_err(failed)?.next();
    let address = address.ok_or_else(|| format!("{server}: no such address"))?;
    let mut stream = TcpStream::connect_timeout(&address, WAIT).map_err(failed)?;
    stream.set_read_timeout(Some(WAIT)).map_err(failed)?;
    stream.set_write_timeout(Some(WAIT)).map_err(failed)?;
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(failed)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{server}: no HTTP answer"))?;
    let value: Value = serde_json::from_str(body).map_err(|error| format!("{server}: {error}"))?;
    if head.split_whitespace().nth(1) == Some("200") {
        return Ok(value);
    }
    Err(value.get("error").and_then(Value::as_str).unwrap_or("the router refused").to_owned())
}

#[expect(clippy::print_stdout, reason = "the answer is the command's output")]
fn print(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_lines() {
        let answer = serde_json::json!([{ "alias": "z-1", "type": "primary" }, { "alias": "z-2" }]);
        assert_eq!(lines(&answer, &["alias", "type"]), "z-1 primary\nz-2 ");
    }

    #[test]
    fn paths_cannot_smuggle_a_request() {
        assert!(exchange("127.0.0.1:1", "GET", "/v1/vschema/a\r\nX: y").is_err());
        assert_eq!(escape("#ab:-80:1/ x"), "%23ab:-80:1%2F%20x");
    }

    #[test]
    fn transactions_become_lines() {
        let answer = serde_json::json!([
            { "dtid": "a:-:1", "state": "COMMIT", "record_time": "now", "participants": ["b:-80", "b:80-"] },
            { "dtid": "c:-:1", "state": "PREPARE", "record_time": "", "participants": [] },
        ]);
        assert_eq!(unresolved(&answer, Some("b")), "a:-:1 COMMIT now b:-80,b:80-");
        assert_eq!(unresolved(&answer, None).lines().count(), 2);
    }
}
