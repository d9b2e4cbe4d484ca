//! Transactions that are killed, left, released or lost in a deadlock, over shards and in every mode.

use std::time::Duration;

use crate::client::{Client, Reply, ServerError};
use crate::environment::Environment;
use crate::outage::until;
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("kill_query_keeps_the_transaction", kill_query_keeps_the_transaction),
    ("kill_and_hang_up_roll_back_at_once", kill_and_hang_up_roll_back_at_once),
    ("release_ends_the_connection", release_ends_the_connection),
    ("a_deadlock_rolls_back_on_all_shards", a_deadlock_rolls_back_on_all_shards),
    ("mode_single_changes_one_shard", mode_single_changes_one_shard),
    ("modes_are_variables", modes_are_variables),
];

const MODES: [&str; 2] = ["multi", "twopc"];
const IN_TRANSACTION: u16 = 1;

/// A client of `s2`, where the ids 1, 2, 3 and 5 are in `-80`, 4 and 6 in `80-`: facts of the hash vindex.
fn login(environment: &Environment, mode: &str) -> Result<Client, String> {
    let mut client = Client::login(&environment.router_options().database("s2"))?;
    client.run(&format!("set transaction_mode = '{mode}'"))?;
    Ok(client)
}

fn fill(environment: &Environment) -> Result<(), String> {
    environment.reset("s2", false)?;
    let mut client = login(environment, "multi")?;
    client.run("insert into points (id, x) values (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)")?;
    Ok(())
}

fn kill_query_keeps_the_transaction(environment: &mut Environment) -> Result<(), String> {
    for mode in MODES {
        for blocked in ["update points set x = 100 where id = 4", "update points set x = x + 50"] {
            fill(environment)?;
            let mut holder = login(environment, mode)?;
            holder.run("begin")?;
            holder.run("update points set x = 0 where id = 4")?;
            let mut victim = login(environment, mode)?;
            let id = number(&mut victim, "select connection_id()")?;
            victim.run("begin")?;
            victim.run("update points set x = 100 where id = 1")?;
            let waiting = std::thread::spawn(move || {
                let outcome = error_of(&mut victim, blocked);
                (victim, outcome)
            });
            let mut killer = login(environment, mode)?;
            until(|| is_waiting(&mut killer, &id))?;
            killer.run(&format!("kill query {id}"))?;
            let (mut victim, outcome) = waiting.join().map_err(|_| "a client panicked")?;
            expect("errno", outcome?.errno, 1317)?;
            let seen = number(&mut victim, "select x from points where id = 1")?;
            expect("the transaction's own change", seen, "100".to_owned())?;
            victim.run("commit")?;
            holder.run("rollback")?;
            expect("sum", number(&mut killer, "select sum(x) from points")?, "120".to_owned())?;
        }
    }
    Ok(())
}

fn kill_and_hang_up_roll_back_at_once(environment: &mut Environment) -> Result<(), String> {
    for mode in MODES {
        for is_killed in [true, false] {
            fill(environment)?;
            let mut other = login(environment, mode)?;
            let mut victim = login(environment, mode)?;
            let id = number(&mut victim, "select connection_id()")?;
            victim.run("begin")?;
            victim.run("update points set x = x + 1000")?;
            if is_killed {
                other.run(&format!("kill {id}"))?;
            } else {
                drop(victim);
            }
            // Nobody holds a lock any more: this would wait for five seconds and fail.
            other.run("update points set x = x + 1")?;
            expect("sum", number(&mut other, "select sum(x) from points")?, "27".to_owned())?;
        }
    }
    Ok(())
}

fn release_ends_the_connection(environment: &mut Environment) -> Result<(), String> {
    fill(environment)?;
    for (before, end) in [
        ("begin", "commit release"),
        ("begin", "rollback and no chain release"),
        ("set completion_type = 2", "commit"),
    ] {
        let mut client = login(environment, "multi")?;
        client.run(before)?;
        client.run("update points set x = x + 1 where id in (1, 4)")?;
        client.run(end)?;
        if client.query("select 1").is_ok() {
            return Err(format!("the connection goes on after {end}"));
        }
    }
    let mut client = login(environment, "multi")?;
    expect("sum", number(&mut client, "select sum(x) from points")?, "25".to_owned())
}

fn a_deadlock_rolls_back_on_all_shards(environment: &mut Environment) -> Result<(), String> {
    for mode in MODES {
        fill(environment)?;
        let mut light = login(environment, mode)?;
        light.run("begin")?;
        light.run("update points set x = 400 where id = 4")?;
        light.run("update points set x = 100 where id = 1")?;
        let mut heavy = login(environment, mode)?;
        heavy.run("begin")?;
        // One by one: a list of rows may be a scan of the table, which locks the others as well.
        for id in [2, 3, 5] {
            heavy.run(&format!("update points set x = 0 where id = {id}"))?;
        }
        let waiting = std::thread::spawn(move || {
            let outcome = error_of(&mut light, "update points set x = 200 where id = 2");
            (light, outcome)
        });
        let mut watcher = login(environment, mode)?;
        until(|| any_waiting(&mut watcher))?;
        // The server ends the transaction that has changed less.
        heavy.run("update points set x = 0 where id = 1")?;
        let (mut light, outcome) = waiting.join().map_err(|_| "a client panicked")?;
        expect("errno", outcome?.errno, 1213)?;
        let status = status_of(&mut light, "do 1")?;
        expect("status", status & IN_TRANSACTION, 0)?;
        // Its part on the other shard is gone, and so are its locks.
        watcher.run("update points set x = x + 1 where id = 4")?;
        heavy.run("rollback")?;
        expect("sum", number(&mut watcher, "select sum(x) from points")?, "22".to_owned())?;
    }
    Ok(())
}

fn mode_single_changes_one_shard(environment: &mut Environment) -> Result<(), String> {
    fill(environment)?;
    let mut client = login(environment, "single")?;
    client.run("begin")?;
    client.run("update points set x = 10 where id in (1, 2)")?;
    expect("a read elsewhere", number(&mut client, "select x from points where id = 4")?, "4".to_owned())?;
    let error = error_of(&mut client, "update points set x = 40 where id = 4")?;
    expect("errno", error.errno, 1317)?;
    if !error.message.starts_with("multi-db transaction attempted: [keyspace:\"s2\" shard:\"-80\"") {
        return Err(error.message);
    }
    client.run("commit")?;
    expect("errno", error_of(&mut client, "update points set x = x + 1")?.errno, 1317)?;
    expect("sum", number(&mut client, "select sum(x) from points")?, "38".to_owned())
}

fn modes_are_variables(environment: &mut Environment) -> Result<(), String> {
    let mut client = login(environment, "twopc")?;
    expect("mode", number(&mut client, "select @@transaction_mode")?, "TWOPC".to_owned())?;
    client.run("set session transaction_mode = multi")?;
    expect("mode", number(&mut client, "select @@session.transaction_mode")?, "MULTI".to_owned())?;
    client.run("set @@transaction_mode = 'unspecified'")?;
    expect("mode", number(&mut client, "select @@transaction_mode")?, "MULTI".to_owned())?;
    expect("errno", error_of(&mut client, "set transaction_mode = 'three'")?.errno, 1231)?;
    client.run("set transaction_mode = 'single'")?;
    let rows = client.rows("show variables like 'transaction_mode'")?;
    let wanted = vec![vec![Some("transaction_mode".to_owned()), Some("SINGLE".to_owned())]];
    expect("rows", rows, wanted)?;
    let rows = client.rows("show variables")?;
    let names: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    for name in ["autocommit", "completion_type", "transaction_mode", "version"] {
        let count = names.iter().filter(|found| found.as_deref() == Some(name)).count();
        expect(name, count, 1)?;
    }
    expect("unresolved", client.rows("show unresolved transactions for s2")?.len(), 0)?;
    expect("unresolved", client.rows("show transaction status for 's2:-80:0'")?.len(), 0)
}

/// Does this connection run a statement?
fn is_waiting(watcher: &mut Client, id: &str) -> Result<(), String> {
    let rows = watcher.rows("show processlist")?;
    let is_busy = rows.iter().any(|row| row[0].as_deref() == Some(id) && row[4].as_deref() == Some("Query"));
    if is_busy { settle() } else { Err(format!("connection {id} does nothing: {rows:?}")) }
}

/// Does anybody but the watcher run a statement?
fn any_waiting(watcher: &mut Client) -> Result<(), String> {
    let rows = watcher.rows("show processlist")?;
    let busy = rows.iter().filter(|row| row[4].as_deref() == Some("Query")).count();
    if busy > 1 { settle() } else { Err("nobody waits".to_owned()) }
}

/// The statement has left the client; what it needs to reach its lock cannot be seen from here.
fn settle() -> Result<(), String> {
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

fn number(client: &mut Client, sql: &str) -> Result<String, String> {
    let rows = client.rows(sql)?;
    rows.first().and_then(|row| row[0].clone()).ok_or_else(|| format!("{sql}: {rows:?}"))
}

fn error_of(client: &mut Client, sql: &str) -> Result<ServerError, String> {
    match client.query(sql)?.pop() {
        Some(Reply::Err(error)) => Ok(error),
        other => Err(format!("{sql}: wanted an error, got {other:?}")),
    }
}

fn status_of(client: &mut Client, sql: &str) -> Result<u16, String> {
    client.query(sql)?.pop().map(|reply| reply.status()).ok_or_else(|| format!("{sql}: no reply"))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?} instead of {wanted:?}")) }
}
