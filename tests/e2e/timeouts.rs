//! Transactions that are open for too long, with a client that is silent or busy: rolled back on all shards at once.

use crate::client::{Client, Options, Reply, ServerError};
use crate::environment::Environment;
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("a_silent_client_loses_its_transaction", a_silent_client_loses_its_transaction),
    ("a_busy_client_loses_its_transaction", a_busy_client_loses_its_transaction),
    ("the_configuration_has_the_last_word", the_configuration_has_the_last_word),
];

const MODES: [&str; 2] = ["multi", "twopc"];
/// Long enough for a change of all shards on a slow machine, and shorter than servers wait for locks.
const TIMEOUT_MS: u32 = 1_500;
const BROKEN: &str = "VT15001: transaction error, issue ROLLBACK and retry the transaction";

/// A client of `s2`, where the ids 1 and 4 are on different shards: facts of the hash vindex.
fn login(options: Options, mode: &str) -> Result<Client, String> {
    let mut client = Client::login(&options.database("s2"))?;
    client.run(&format!("set transaction_mode = '{mode}'"))?;
    Ok(client)
}

fn fill(environment: &Environment) -> Result<(), String> {
    environment.reset("s2", false)?;
    let mut client = login(environment.router_options(), "multi")?;
    client.run("insert into points (id, x) values (1, 1), (4, 4)")?;
    Ok(())
}

fn a_silent_client_loses_its_transaction(environment: &mut Environment) -> Result<(), String> {
    for mode in MODES {
        fill(environment)?;
        let mut victim = login(environment.router_options(), mode)?;
        victim.run(&format!("set transaction_timeout = {TIMEOUT_MS}"))?;
        expect_lost(environment, &mut victim)?;
        // Also where no BEGIN has opened it.
        victim.run("set autocommit = 0")?;
        expect_lost(environment, &mut victim)?;
        victim.run("set transaction_timeout = default")?;
        let rows = victim.rows("select @@transaction_timeout")?;
        expect("timeout", rows, vec![vec![Some("0".to_owned())]])?;
    }
    Ok(())
}

/// The client's next transaction ends although it says nothing, and nothing of it is left.
fn expect_lost(environment: &Environment, victim: &mut Client) -> Result<(), String> {
    let mut other = login(environment.router_options(), "multi")?;
    let before = other.rows("select x from points order by id")?;
    victim.run("begin")?;
    victim.run("update points set x = x + 1000")?;
    // This waits for the locks, and would fail after five seconds.
    other.run("update points set x = -x")?;
    other.run("update points set x = -x")?;
    for statement in ["select 1", "update points set x = 0", "begin", "commit"] {
        let error = error_of(victim, statement)?;
        if !error.message.starts_with(BROKEN) || !error.message.contains("exceeded") {
            return Err(format!("{statement}: {}", error.message));
        }
    }
    expect("rows", other.rows("select x from points order by id")?, before.clone())?;
    // COMMIT has ended it; a shorter one goes through.
    victim.run("update points set x = x where id = 1")?;
    victim.run("rollback")?;
    expect("rows", other.rows("select x from points order by id")?, before)
}

fn a_busy_client_loses_its_transaction(environment: &mut Environment) -> Result<(), String> {
    for mode in MODES {
        for blocked in [
            "update points set x = 40 where id = 4",
            "update points set x = x + 1",
            "select x from points for update",
        ] {
            fill(environment)?;
            let mut holder = login(environment.router_options(), mode)?;
            holder.run("begin")?;
            holder.run("update points set x = 400 where id = 4")?;
            let mut victim = login(environment.router_options(), mode)?;
            victim.run(&format!("set transaction_timeout = {TIMEOUT_MS}"))?;
            victim.run("begin")?;
            victim.run("update points set x = 10 where id = 1")?;
            let error = error_of(&mut victim, blocked)?;
            if !error.message.starts_with(BROKEN) {
                return Err(format!("{blocked}: {}", error.message));
            }
            // What it had changed elsewhere is free.
            holder.run("update points set x = 100 where id = 1")?;
            holder.run("commit")?;
            victim.run("rollback")?;
            let rows = victim.rows("select x from points order by id")?;
            expect("rows", rows, vec![vec![Some("100".to_owned())], vec![Some("400".to_owned())]])?;
        }
    }
    Ok(())
}

fn the_configuration_has_the_last_word(environment: &mut Environment) -> Result<(), String> {
    for (key, asked) in [("timeout_ms", "0"), ("timeout_ms", "60000"), ("idle_timeout_ms", "0")] {
        fill(environment)?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let router =
            environment.router_with(folder.path(), &format!("[transaction]\n{key} = {TIMEOUT_MS}"))?;
        let mut victim = login(environment.options_of(&router), "multi")?;
        victim.run(&format!("set transaction_timeout = {asked}"))?;
        expect_lost(environment, &mut victim)?;
    }
    Ok(())
}

fn error_of(client: &mut Client, sql: &str) -> Result<ServerError, String> {
    match client.query(sql)?.pop() {
        Some(Reply::Err(error)) => Ok(error),
        other => Err(format!("{sql}: wanted an error, got {other:?}")),
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?} instead of {wanted:?}")) }
}
