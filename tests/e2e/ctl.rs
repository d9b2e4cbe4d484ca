//! `shardgate ctl` against a running router, and modes of users: a branch that somebody has left prepared is listed, described
//! and concluded.

use std::process::Command;

use shardgate::twopc;

use crate::client::Client;
use crate::environment::Environment;
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("unresolved_transactions_are_concluded", unresolved_transactions_are_concluded),
    ("users_have_modes", users_have_modes),
];

/// The environment's own router gives a branch without decision up after a while; then another one is left behind.
const TURNS: u32 = 3;

fn unresolved_transactions_are_concluded(environment: &mut Environment) -> Result<(), String> {
    environment.reset("s2", false)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let router = environment.router_with(folder.path(), "[transaction]\nabandon_age_ms = 86400000")?;
    let mut client = Client::login(&environment.options_of(&router).database("s2"))?;
    let config =
        std::fs::read_to_string(folder.path().join("shardgate.toml")).map_err(|error| error.to_string())?;
    let control = config.split_once("[control]\nlisten = \"").and_then(|(_, rest)| rest.split_once('"'));
    let (control, _) = control.ok_or("the configuration has no control address")?;
    let mut problem = String::new();
    for turn in 1..=TURNS {
        let dtid = format!("s2:-80:{turn:016x}");
        leave_behind(environment, &dtid)?;
        match conclude(&mut client, control, &dtid) {
            Ok(()) => return Ok(()),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// Prepares a branch of a transaction whose coordinator has not decided.
fn leave_behind(environment: &Environment, dtid: &str) -> Result<(), String> {
    let shards = environment.shards_of("s2");
    let mut shard = Client::login(&shards[1])?;
    let xid = twopc::xid(dtid, "s2:80-");
    for statement in [
        format!("xa start {xid}"),
        "insert into points (id, x) values (4, 4)".to_owned(),
        format!("xa end {xid}"),
        format!("xa prepare {xid}"),
    ] {
        shard.run(&statement)?;
    }
    Ok(())
}

fn conclude(client: &mut Client, control: &str, dtid: &str) -> Result<(), String> {
    let listed = ctl(control, &["GetUnresolvedTransactions"])?;
    let line = listed.lines().find(|line| line.starts_with(dtid));
    let line = line.ok_or_else(|| format!("{dtid} is not listed: {listed}"))?;
    if !line.contains("s2:80-") {
        return Err(format!("its branch is not named: {line}"));
    }
    let elsewhere = ctl(control, &["GetUnresolvedTransactions", "u"])?;
    if elsewhere.contains(dtid) {
        return Err(format!("it is listed for another keyspace: {elsewhere}"));
    }
    let info = ctl(control, &["GetTransactionInfo", dtid])?;
    if !info.contains(dtid) {
        return Err(format!("no word of {dtid}: {info}"));
    }
    let shown = client.rows("show unresolved transactions for s2")?;
    if !shown.iter().flatten().flatten().any(|cell| cell == dtid) {
        return Err(format!("{dtid} is not shown: {shown:?}"));
    }
    ctl(control, &["ConcludeTransaction", dtid])?;
    let nobodys = "s2:-80:ffffffffffffffff";
    if ctl(control, &["ConcludeTransaction", nobodys]).is_ok() {
        return Err(format!("{nobodys}, which never was, was concluded"));
    }
    let rest = ctl(control, &["GetUnresolvedTransactions"])?;
    if rest.contains(dtid) {
        return Err(format!("{dtid} is still listed: {rest}"));
    }
    // Nothing of it is left, and nothing is locked.
    client.run("insert into points (id, x) values (4, 40)")?;
    Ok(())
}

fn ctl(control: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_shardgate"))
        .args(["ctl", "--server", control])
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn users_have_modes(environment: &mut Environment) -> Result<(), String> {
    for (modes, expected) in [
        ("user_modes = [\"e2e=twopc\"]", "TWOPC"),
        ("mode = \"single\"\nuser_modes = [\"other=twopc\"]", "SINGLE"),
        ("mode = \"twopc\"\nuser_modes = [\"e2e=multi\"]", "MULTI"),
    ] {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let router = environment.router_with(folder.path(), &format!("[transaction]\n{modes}"))?;
        let mut client = Client::login(&environment.options_of(&router).database("s2"))?;
        let mode = |client: &mut Client| client.rows("select @@transaction_mode");
        let expected = vec![vec![Some(expected.to_owned())]];
        let found = mode(&mut client)?;
        if found != expected {
            return Err(format!("{modes}: {found:?}"));
        }
        client.run("set transaction_mode = 'single'")?;
        client.run("set transaction_mode = default")?;
        let found = mode(&mut client)?;
        if found != expected {
            return Err(format!("{modes}, after DEFAULT: {found:?}"));
        }
    }
    Ok(())
}
