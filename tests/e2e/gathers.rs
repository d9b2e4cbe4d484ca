//! Gathers and joins over shards that are given up at any point: killed, left by their client, over a limit, with a server
//! that dies. Afterwards no temporary table is left, no server works on, and every connection can be used. And how
//! many queries a join takes.

use crate::client::{Client, Reply};
use crate::environment::Environment;
use crate::interrupt::until;
use crate::protocol::Case;
use crate::servers::Engine;

pub const CASES: &[Case] = &[
    ("queries_of_a_join", queries_of_a_join),
    ("queries_of_longer_joins", queries_of_longer_joins),
    ("gather_killed_at_its_host", killed_at_its_host),
    ("gather_killed_while_it_waits", killed_while_it_waits),
    ("gather_left_by_its_client", left_by_its_client),
    ("gather_timeouts_at_any_point", timeouts_at_any_point),
    ("gather_limits", limits),
    ("gather_death_of_its_host", death_of_its_host),
];

/// In the text of what runs long at the host.
const MARK: &str = "sleep(33)";
/// Rows meet by a comparison, which is no join that the router makes itself.
const SLOW: &str = "select p.id, sleep(33) from points p join a on p.x < a.g";
const GATHERED: &str = "select count(*) from points p join a on p.x < a.g";

fn client(environment: &Environment) -> Result<Client, String> {
    environment.reset("s2", false)?;
    let mut client = another(environment)?;
    client.run("insert into points (id, x) values (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)")?;
    client.run("insert into a (id, g) values (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 8)")?;
    Ok(client)
}

fn another(environment: &Environment) -> Result<Client, String> {
    Ok(Client::login(&environment.router_options().database("s2"))?)
}

/// A number from every server, those that are dead left out.
fn of_servers(environment: &Environment, sql: &str) -> Vec<u64> {
    let number = |server: &crate::servers::Server| -> Option<u64> {
        server.administrator().ok()?.rows(sql).ok()?[0][0].as_deref()?.parse().ok()
    };
    environment.backends.iter().map(|server| number(server).unwrap_or_default()).collect()
}

fn running(environment: &Environment, mark: &str) -> Vec<u64> {
    let sql = format!(
        "select count(*) from information_schema.processlist where info like '%{mark}%' and info not like '%processlist%'"
    );
    of_servers(environment, &sql)
}

/// No server works for a statement that was given up, none has its tables, and the statement can be run anew.
fn nothing_is_left(environment: &Environment, client: &mut Client, rows: &str) -> Result<(), String> {
    let runs = || {
        running(environment, MARK).iter().sum::<u64>()
            + running(environment, "for update").iter().sum::<u64>()
    };
    until("servers still work for a statement that was given up", || Ok(runs() == 0))?;
    if environment.engine == Engine::MySql {
        let sql = "select count(*) from information_schema.innodb_temp_table_info";
        until("temporary tables are left", || Ok(of_servers(environment, sql).iter().sum::<u64>() == 0))?;
    }
    for _ in 0..3 {
        let found = client.rows(GATHERED)?[0][0].clone().unwrap_or_default();
        if found != rows {
            return Err(format!("{found} rows instead of {rows}"));
        }
    }
    Ok(())
}

fn expect_errno(client: &mut Client, sql: &str, errno: u16) -> Result<(), String> {
    match client.query(sql)?.pop() {
        Some(Reply::Err(error)) if error.errno == errno => Ok(()),
        other => Err(format!("{sql}: wanted the error {errno}, got {other:?}")),
    }
}

fn id_of(client: &mut Client) -> Result<String, String> {
    Ok(client.rows("select connection_id()")?[0][0].clone().unwrap_or_default())
}

fn expect_interrupted(client: &mut Client) -> Result<(), String> {
    match client.replies(false)?.pop() {
        Some(Reply::Err(error)) if error.errno == 1317 => Ok(()),
        other => Err(format!("after KILL QUERY: {other:?}")),
    }
}

/// Rows of the tables that joins are counted of.
const JOINED_ROWS: usize = 12_000;

/// `points` with (n, 2n) and `a` with (n, 3n).
fn joined_tables(environment: &mut Environment) -> Result<Client, String> {
    environment.reset("s2", false)?;
    let mut client = another(environment)?;
    let numbers: Vec<usize> = (1..=JOINED_ROWS).collect();
    for chunk in numbers.chunks(2_000) {
        let rows: Vec<_> = chunk.iter().map(|n| format!("({n}, {})", n * 2)).collect();
        client.run(&format!("insert into points (id, x) values {}", rows.join(",")))?;
        let rows: Vec<_> = chunk.iter().map(|n| format!("({n}, {})", n * 3)).collect();
        client.run(&format!("insert into a (id, g) values {}", rows.join(",")))?;
    }
    Ok(client)
}

/// Checks the first column of the first row, and how many queries the servers get.
fn check(client: &mut Client, sql: &str, expected: &str, most: usize) -> Result<(), String> {
    let rows = client.rows(sql)?;
    let found = rows[0][0].clone().unwrap_or_default();
    if found != expected {
        return Err(format!("{sql}: {found} instead of {expected}"));
    }
    let queries = client.rows(&format!("vexplain queries {sql}"))?.len();
    if queries > most { Err(format!("{sql}: {queries} queries instead of {most}")) } else { Ok(()) }
}

/// 12,000 rows are joined by as many values: two lists for each shard, and no query per row.
fn queries_of_a_join(environment: &mut Environment) -> Result<(), String> {
    const ROWS: usize = JOINED_ROWS;
    let mut client = joined_tables(environment)?;
    // x = 2n meets g = 3m where both are multiples of 6.
    let meeting = ROWS * 2 / 6;
    // Two shards are asked for the first side, then for each of two lists; one describes the columns of groups.
    check(
        &mut client,
        "select count(*) from points p join a on p.x = a.g",
        &meeting.to_string(),
        2 + 2 * 2 + 1,
    )?;
    check(
        &mut client,
        "select a.id from points p join a on p.x = a.g order by a.id limit 1",
        "2",
        2 + 2 * 2,
    )?;
    check(
        &mut client,
        "select count(*) from points p join a on p.x = a.id where p.id <= 100",
        "100",
        2 + 2 + 1,
    )?;
    // Of an outer join one more gives the row of NULLs.
    check(
        &mut client,
        "select count(*) from points p left join a on p.x = a.g",
        &ROWS.to_string(),
        2 + 2 * 2 + 1 + 1,
    )?;
    check(
        &mut client,
        "select count(*) from points p left join a on p.x = a.g where a.id is null",
        &(ROWS - meeting).to_string(),
        2 + 2 * 2 + 1 + 1,
    )?;
    let rows = client.rows("select p.id, a.id from points p join a on p.x = a.g")?;
    let is_right = |row: &Vec<Option<String>>| {
        let number = |index: usize| row[index].as_deref().and_then(|text| text.parse::<usize>().ok());
        number(0).zip(number(1)).is_some_and(|(point, other)| point * 2 == other * 3)
    };
    if rows.len() == meeting && rows.iter().all(is_right) {
        Ok(())
    } else {
        Err(format!("{} rows instead of {meeting}", rows.len()))
    }
}

/// Each more side takes a list for each shard and 10,000 values, and no query for each row.
fn queries_of_longer_joins(environment: &mut Environment) -> Result<(), String> {
    let mut client = joined_tables(environment)?;
    let meeting = (JOINED_ROWS * 2 / 6).to_string();
    check(
        &mut client,
        "select count(*) from points p join a on p.x = a.g join points q on q.id = a.id",
        &meeting,
        2 + 2 * 2 + 2 + 1,
    )?;
    check(
        &mut client,
        "select q.id from points p join a on p.x = a.id join points q on q.id = a.g where p.id <= 100 order by q.id limit 1",
        "6",
        2 + 2 + 2,
    )?;
    // What meets on its shards is read together.
    check(
        &mut client,
        "select count(*) from points p join a on p.x = a.g left join points q on q.id = a.id left join b on b.a_id = q.id",
        &meeting,
        2 + 2 * 2 + 1,
    )
}

fn killed_at_its_host(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    for begin in [false, true] {
        if begin {
            client.run("begin")?;
            client.run("insert into points (id, x) values (7, 7), (8, 8)")?;
        }
        let id = id_of(&mut client)?;
        client.send(0x03, SLOW.as_bytes())?;
        until("the statement does not run", || Ok(running(environment, MARK).iter().sum::<u64>() == 1))?;
        another(environment)?.run(&format!("kill query {id}"))?;
        expect_interrupted(&mut client)?;
        nothing_is_left(environment, &mut client, if begin { "27" } else { "26" })?;
    }
    // The transaction goes on.
    client.run("rollback")?;
    nothing_is_left(environment, &mut client, "26")
}

/// One shard's rows are locked by another transaction while the tables are being filled.
fn killed_while_it_waits(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    let mut holder = another(environment)?;
    holder.run("begin")?;
    holder.run("update points set x = x where id = 6")?;
    for sql in [
        "select p.id from points p join a on p.x < a.g for update",
        "select p.id from points p join a on p.x = a.g for update",
    ] {
        client.run("begin")?;
        client.run("insert into a (id, g) values (7, 100)")?;
        let id = id_of(&mut client)?;
        client.send(0x03, sql.as_bytes())?;
        until("the statement does not wait", || {
            Ok(running(environment, "for update").iter().sum::<u64>() > 0)
        })?;
        another(environment)?.run(&format!("kill query {id}"))?;
        expect_interrupted(&mut client)?;
        nothing_is_left(environment, &mut client, "32")?;
        client.run("rollback")?;
    }
    holder.run("rollback")?;
    nothing_is_left(environment, &mut client, "26")
}

fn left_by_its_client(environment: &mut Environment) -> Result<(), String> {
    let mut other = client(environment)?;
    for begin in [false, true] {
        let mut client = another(environment)?;
        if begin {
            client.run("begin")?;
            client.run("update points set x = 0")?;
        }
        client.send(0x03, SLOW.as_bytes())?;
        until("the statement does not run", || Ok(running(environment, MARK).iter().sum::<u64>() == 1))?;
        drop(client);
        nothing_is_left(environment, &mut other, "26")?;
    }
    // Locks are gone too.
    other.run("update points set x = x + 0")?;
    Ok(())
}

fn timeouts_at_any_point(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    for limit in 1..30 {
        for what in [
            "count(*), sum(p.x * a.g) from points p join a on p.x < a.g",
            "p.id, a.id from points p join a on p.x = a.g",
            "p.id, a.id from points p left join a on p.x = a.g where a.id is null",
            "p.id from points p union select g from a order by 1",
            "a.g, sum(p.x) / count(*) from points p join a on p.x = a.g group by a.g",
        ] {
            let sql = format!("select /*vt+ QUERY_TIMEOUT_MS={limit} */ {what}");
            match client.query(&sql)?.pop() {
                Some(Reply::Rows(_)) => {}
                Some(Reply::Err(error)) if error.errno == 3024 => {}
                other => return Err(format!("{sql}: {other:?}")),
            }
        }
    }
    nothing_is_left(environment, &mut client, "26")
}

fn limits(environment: &mut Environment) -> Result<(), String> {
    limit(environment, "gather.rows_max", "[gather]\nrows_max = 8\n")?;
    // Four rows of two small numbers are below it, twelve of one are not.
    limit(environment, "gather.bytes_max", "[gather]\nbytes_max = 20\n")
}

fn limit(environment: &mut Environment, name: &str, configuration: &str) -> Result<(), String> {
    let mut client = client(environment)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let router = environment.router_with(folder.path(), configuration)?;
    let mut limited = Client::login(&environment.options_of(&router).database("s2"))?;
    for _ in 0..5 {
        match limited.query(GATHERED)?.pop() {
            Some(Reply::Err(error)) if error.message.contains(name) => {}
            other => return Err(format!("over the limit {name}: {other:?}")),
        }
        let few = "select count(*) from points p join a on p.x < a.g where p.id < 3 and a.id < 3";
        let found = limited.rows(few)?[0][0].clone();
        if found.as_deref() != Some("4") {
            return Err(format!("below the limit: {found:?}"));
        }
    }
    drop(limited);
    nothing_is_left(environment, &mut client, "26")
}

fn death_of_its_host(environment: &mut Environment) -> Result<(), String> {
    let mut client = client(environment)?;
    client.send(0x03, SLOW.as_bytes())?;
    until("the statement does not run", || Ok(running(environment, MARK).iter().sum::<u64>() == 1))?;
    let host = running(environment, MARK).iter().position(|count| *count == 1);
    let host = host.ok_or("the statement has ended by itself")?;
    environment.backends[host].kill();
    match client.replies(false)?.pop() {
        Some(Reply::Err(_)) => {}
        other => return Err(format!("after the death of the host: {other:?}")),
    }
    environment.backends[host].restart()?;
    until("the shard does not serve again", || {
        Ok(matches!(client.query(GATHERED)?.pop(), Some(Reply::Rows(_))))
    })?;
    expect_errno(&mut client, "select p.nope from points p join a on p.x < a.g", 1054)?;
    nothing_is_left(environment, &mut client, "26")
}
