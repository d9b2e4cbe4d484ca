//! Statements that are given up: timeouts, errors and deaths of one shard, KILL, clients that leave. Afterwards no
//! server may still work for them, and a transaction must be what it was.

use std::time::{Duration, Instant};

use crate::client::{Client, Reply, ServerError};
use crate::environment::Environment;
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("timeout_of_a_scatter", timeout_of_a_scatter),
    ("timeout_in_a_transaction", timeout_in_a_transaction),
    ("timeout_of_a_write", timeout_of_a_write),
    ("error_of_one_shard", error_of_one_shard),
    ("error_of_one_shard_in_a_transaction", error_of_one_shard_in_a_transaction),
    ("scatter_errors_as_warnings", scatter_errors_as_warnings),
    ("kill_query_of_a_scatter", kill_query_of_a_scatter),
    ("client_that_leaves", client_that_leaves),
    ("client_that_does_not_read", client_that_does_not_read),
    ("lock_wait_on_one_shard", lock_wait_on_one_shard),
    ("no_scatter", no_scatter),
    ("multi_shard_autocommit", multi_shard_autocommit),
    ("death_of_a_shard", death_of_a_shard),
];

/// How long a change of state may take here; machines are busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// The server that holds `80-` of `s2`.
const VICTIM: usize = 3;
/// In the text of every slow statement, so that servers can be asked whether one is still running.
const MARK: &str = "sleep(31)";
/// 1, 2, 3 and 5 are in `-80`, 4 and 6 in `80-`: facts of the hash vindex.
const ROWS: &str = "insert into points (id, x) values (1, 1), (2, 2), (3, 3), (4, 1000), (5, 5), (6, 6)";

fn client(environment: &Environment) -> Result<Client, String> {
    environment.reset("s2", false)?;
    let mut client = Client::login(&environment.router_options().database("s2"))?;
    client.run(ROWS)?;
    Ok(client)
}

fn another(environment: &Environment) -> Result<Client, String> {
    Ok(Client::login(&environment.router_options().database("s2"))?)
}

/// The error that a statement must end with, while the session goes on.
fn error_of(client: &mut Client, sql: &str) -> Result<ServerError, String> {
    match client.query(sql)?.pop() {
        Some(Reply::Err(error)) => Ok(error),
        other => Err(format!("{sql}: wanted an error, got {other:?}")),
    }
}

fn expect_errno(client: &mut Client, sql: &str, errno: u16) -> Result<(), String> {
    let error = error_of(client, sql)?;
    if error.errno == errno { Ok(()) } else { Err(format!("{sql}: wanted {errno}, got {error}")) }
}

fn expect_rows(client: &mut Client, sql: &str, wanted: &[&str]) -> Result<(), String> {
    let rows = client.rows(sql)?;
    let found: Vec<String> = rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.clone().unwrap_or_default()).collect::<Vec<_>>().join("|"))
        .collect();
    if found == wanted { Ok(()) } else { Err(format!("{sql}: wanted {wanted:?}, got {found:?}")) }
}

pub fn until(what: &str, mut check: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let begin = Instant::now();
    while !check()? {
        if begin.elapsed() > PATIENCE {
            return Err(format!("{what} after {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Number of marked statements at all servers.
fn running(environment: &Environment) -> Result<usize, String> {
    let sql = format!(
        "select count(*) from information_schema.processlist where info like '%{MARK}%' and info not like '%processlist%'"
    );
    let mut count = 0;
    for backend in &environment.backends {
        let rows = backend.administrator()?.rows(&sql)?;
        count += rows[0][0].as_deref().and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
    }
    Ok(count)
}

fn nothing_runs(environment: &Environment) -> Result<(), String> {
    until("servers still work for a statement that was given up", || Ok(running(environment)? == 0))
}

/// One shard's rows that take long. An interrupted `SLEEP` gives a row; the error comes before the next one.
const SLOW_ROWS: &str =
    "a.id, sleep(31) from points a, (select 1 as k union all select 2 union all select 3) b where a.id = 1";

/// Error number of a statement that took too long: the router is taken for MySQL.
const TIMEOUT: u16 = 3024;

fn timeout_of_a_scatter(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    let slow = format!("select /*vt+ QUERY_TIMEOUT_MS=200 */ id, {MARK} from points");
    expect_errno(&mut client, &slow, TIMEOUT)?;
    nothing_runs(environment)?;
    let slow = format!("select {SLOW_ROWS}");
    client.run("set query_timeout = 200")?;
    expect_rows(&mut client, "select @@query_timeout", &["200"])?;
    expect_errno(&mut client, &slow, TIMEOUT)?;
    expect_errno(&mut client, &format!("select id from points where x > {MARK} order by id"), TIMEOUT)?;
    nothing_runs(environment)?;
    // The directive comes before the session, and 0 is no limit.
    client.run("select /*vt+ QUERY_TIMEOUT_MS=0 */ sleep(0.4)")?;
    client.run("set query_timeout = default")?;
    expect_rows(&mut client, "select sleep(0.4)", &["0"])?;
    expect_rows(&mut client, "select count(*) from points", &["6"])
}

fn timeout_in_a_transaction(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    client.run("begin")?;
    client.run("insert into points (id, x) values (7, 7), (8, 8)")?;
    let slow = format!("select /*vt+ QUERY_TIMEOUT_MS=200 */ id, {MARK} from points");
    expect_errno(&mut client, &slow, TIMEOUT)?;
    let slow = format!("select /*vt+ QUERY_TIMEOUT_MS=200 */ {SLOW_ROWS}");
    expect_errno(&mut client, &slow, TIMEOUT)?;
    nothing_runs(environment)?;
    expect_rows(&mut client, "select count(*) from points", &["8"])?;
    client.run("commit")?;
    expect_rows(&mut client, "select count(*) from points", &["8"])
}

fn timeout_of_a_write(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    let slow = format!("update /*vt+ QUERY_TIMEOUT_MS=200 */ points set x = 100 + {MARK} where x > 0");
    expect_errno(&mut client, &slow, TIMEOUT)?;
    expect_errno(&mut client, &format!("{slow} and id = 1"), TIMEOUT)?;
    nothing_runs(environment)?;
    expect_rows(&mut client, "select sum(x) from points", &["1017"])?;
    // Nothing is left open or locked.
    another(environment)?.run("update points set x = x + 1")?;
    client.run("begin")?;
    client.run("update points set x = 0 where id = 1")?;
    expect_errno(&mut client, &slow, TIMEOUT)?;
    expect_rows(&mut client, "select sum(x) from points", &["1021"])?;
    client.run("rollback")?;
    expect_rows(&mut client, "select sum(x) from points", &["1023"])
}

/// On `80-` it fails at once, on `-80` it would take long.
fn half_failing() -> String {
    format!("select id, if(x >= 1000, exp(x), {MARK}) from points")
}

fn error_of_one_shard(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    expect_errno(&mut client, &half_failing(), 1690)?;
    expect_errno(&mut client, &format!("{} order by id", half_failing()), 1690)?;
    nothing_runs(environment)?;
    expect_rows(&mut client, "select count(*) from points", &["6"])
}

fn error_of_one_shard_in_a_transaction(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    client.run("begin")?;
    client.run("update points set x = x where id in (1, 4)")?;
    client.run("insert into points (id, x) values (7, 7), (8, 8)")?;
    expect_errno(&mut client, &half_failing(), 1690)?;
    expect_errno(&mut client, &format!("{} order by id", half_failing()), 1690)?;
    nothing_runs(environment)?;
    expect_rows(&mut client, "select count(*) from points", &["8"])?;
    client.run("rollback")?;
    expect_rows(&mut client, "select count(*) from points", &["6"])
}

fn scatter_errors_as_warnings(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    let failing = "select /*vt+ SCATTER_ERRORS_AS_WARNINGS */ id from points where exp(x) > 0 order by id";
    expect_rows(&mut client, failing, &["1", "2", "3", "5"])?;
    let warnings = client.rows("show warnings")?;
    let codes: Vec<_> = warnings.iter().map(|row| (row[0].as_deref(), row[1].as_deref())).collect();
    if codes != [(Some("Warning"), Some("1690"))] {
        return Err(format!("warnings: {warnings:?}"));
    }
    client.run("update points set x = 1000")?;
    expect_errno(&mut client, failing, 1690)?;
    expect_errno(&mut client, "select id from points where exp(x) > 0 order by id", 1690)
}

fn kill_query_of_a_scatter(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    for begin in [false, true] {
        if begin {
            client.run("begin")?;
            client.run("insert into points (id, x) values (7, 7), (8, 8)")?;
        }
        let id = client.rows("select connection_id()")?[0][0].clone().unwrap_or_default();
        client.send(0x03, format!("select id, {MARK} from points").as_bytes())?;
        until("the statement does not run", || Ok(running(environment)? == 2))?;
        another(environment)?.run(&format!("kill query {id}"))?;
        match client.replies(false)?.pop() {
            Some(Reply::Err(error)) if error.errno == 1317 => {}
            other => return Err(format!("after KILL QUERY: {other:?}")),
        }
        nothing_runs(environment)?;
    }
    expect_rows(&mut client, "select count(*) from points", &["8"])?;
    client.run("rollback")?;
    expect_rows(&mut client, "select count(*) from points", &["6"])
}

fn client_that_leaves(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    client.run("begin")?;
    client.run("update points set x = 0")?;
    client.send(0x03, format!("select id, {MARK} from points").as_bytes())?;
    until("the statement does not run", || Ok(running(environment)? == 2))?;
    drop(client);
    nothing_runs(environment)?;
    // Its locks are gone too: this does not wait for them.
    let mut other = another(environment)?;
    other.run("set innodb_lock_wait_timeout = 20")?;
    other.run("update points set x = x + 1")?;
    expect_rows(&mut other, "select sum(x) from points", &["1023"])?;
    let mut other = another(environment)?;
    other.send(0x03, format!("select id, {MARK} from points").as_bytes())?;
    until("the statement does not run", || Ok(running(environment)? == 2))?;
    drop(other);
    nothing_runs(environment)
}

/// `net_write_timeout`: sooner than the router's own limit, which is longer than this waits.
fn client_that_does_not_read(environment: &mut Environment) -> Result<(), String> {
    for keyspace in ["u", "s2"] {
        environment.reset(keyspace, false)?;
        let login = || Client::login(&environment.router_options().database(keyspace));
        let mut watcher = login()?;
        watcher.run(ROWS)?;
        for order in ["", " order by id"] {
            let mut client = login()?;
            client.run("set net_write_timeout = 1")?;
            let id = client.rows("select connection_id()")?[0][0].clone();
            // 60 MB, which no socket buffers.
            let sql = format!("select id, repeat('x', 10000000), '{MARK}' from points{order}");
            client.send(0x03, sql.as_bytes())?;
            until("the client is still served", || {
                Ok(watcher.rows("show processlist")?.iter().all(|row| row[0] != id))
            })?;
            nothing_runs(environment)?;
            expect_rows(&mut watcher, "select count(*) from points", &["6"])?;
        }
    }
    Ok(())
}

fn lock_wait_on_one_shard(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    let mut holder = another(environment)?;
    holder.run("begin")?;
    holder.run("update points set x = 40 where id = 4")?;
    client.run("set innodb_lock_wait_timeout = 1")?;
    expect_errno(&mut client, "update points set x = 0", 1205)?;
    expect_errno(&mut client, "select id from points for update", 1205)?;
    client.run("begin")?;
    client.run("update points set x = 10 where id = 1")?;
    expect_errno(&mut client, "update points set x = 0", 1205)?;
    expect_errno(&mut client, "select id from points for update", 1205)?;
    expect_rows(&mut client, "select x from points order by id", &["10", "2", "3", "1000", "5", "6"])?;
    client.run("commit")?;
    holder.run("rollback")?;
    expect_rows(&mut holder, "select x from points order by id", &["10", "2", "3", "1000", "5", "6"])
}

fn no_scatter(environment: &mut Environment) -> Result<(), String> {
    drop(client(environment)?);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Long enough for the quick queries below on a slow machine.
    let extra = "[query]\nno_scatter = true\ntimeout_ms = 2000\n";
    let router = environment.router_with(folder.path(), extra)?;
    let mut client = Client::login(&environment.options_of(&router).database("s2"))?;
    for refused in [
        "select count(*) from points",
        "select id from points order by id",
        "update points set x = 1",
        "select id, row_number() over (order by x) from points",
        "delete from points order by x limit 1",
    ] {
        let error = error_of(&mut client, refused)?;
        if !error.to_string().contains("scatter") {
            return Err(format!("{refused}: {error}"));
        }
    }
    expect_rows(&mut client, "select /*vt+ ALLOW_SCATTER */ count(*) from points", &["6"])?;
    expect_rows(&mut client, "select x from points where id = 2", &["2"])?;
    expect_rows(&mut client, "select x from points where id in (2, 6) order by id", &["2", "6"])?;
    expect_errno(&mut client, &format!("select {SLOW_ROWS}"), TIMEOUT)?;
    client.run("set query_timeout = 0")?;
    expect_rows(&mut client, "select sleep(2.2)", &["0"])
}

fn multi_shard_autocommit(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    // 1000 fails, and it fails on one shard only.
    let failing = "update points set x = if(x >= 1000, exp(x), 0)";
    expect_errno(&mut client, failing, 1690)?;
    expect_rows(&mut client, "select sum(x) from points", &["1017"])?;
    let each = failing.replacen("update", "update /*vt+ MULTI_SHARD_AUTOCOMMIT */", 1);
    expect_errno(&mut client, &each, 1690)?;
    expect_rows(&mut client, "select sum(x) from points where id in (1, 2, 3, 5)", &["0"])?;
    client.run("insert /*vt+ MULTI_SHARD_AUTOCOMMIT */ into points (id, x) values (7, 7), (8, 8), (9, 9)")?;
    expect_rows(&mut client, "select row_count()", &["3"])?;
    // A transaction stays one.
    client.run("begin")?;
    client.run("update /*vt+ MULTI_SHARD_AUTOCOMMIT */ points set x = 1")?;
    client.run("rollback")?;
    expect_rows(&mut client, "select sum(x) from points where id in (7, 8, 9)", &["24"])
}

fn death_of_a_shard(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    let mut in_transaction = another(environment)?;
    in_transaction.run("begin")?;
    in_transaction.run("update points set x = 77 where id in (1, 6)")?;
    client.send(0x03, format!("select id, {MARK} from points").as_bytes())?;
    until("the statement does not run", || Ok(running(environment)? == 2))?;
    environment.backends[VICTIM].kill();
    match client.replies(false)?.pop() {
        Some(Reply::Err(_)) => {}
        other => return Err(format!("after the death of a server: {other:?}")),
    }
    // One error, then the way out of the transaction.
    error_of(&mut in_transaction, "select count(*) from points")?;
    in_transaction.run("rollback")?;
    expect_rows(&mut client, "select x from points where id = 1", &["1"])?;
    environment.backends[VICTIM].restart()?;
    nothing_runs(environment)?;
    until("the shard does not serve again", || {
        Ok(matches!(client.query("select count(*) from points")?.pop(), Some(Reply::Rows(_))))
    })?;
    expect_rows(&mut client, "select sum(x) from points", &["1017"])?;
    expect_rows(&mut in_transaction, "select sum(x) from points", &["1017"])
}
