//! A database server dies and comes back: its shard says so, the others go on.

use std::time::{Duration, Instant};

use crate::client::{Client, Reply};
use crate::environment::Environment;
use crate::protocol::Case;

pub const CASES: &[Case] = &[("server_death_and_return", server_death_and_return)];

/// How long a change of state may take here; what it took is printed. The aim is 2 s, but machines are busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server that holds `80-` of `s2` and `c0-` of `s4`.
const VICTIM: usize = 3;

fn server_death_and_return(environment: &mut Environment) -> Result<(), String> {
    environment.reset("s2", false)?;
    let options = environment.router_options().database("s2");
    let mut client = Client::login(&options)?;
    client.run("insert into points (id, x) values (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)")?;
    let all = [("s2", "80-", "SERVING"), ("s4", "c0-", "SERVING"), ("s2", "-80", "SERVING")];
    until(|| expect_states(&mut client, &all))?;

    environment.backends[VICTIM].kill();
    // The ids 1, 2, 3 and 5 are in `-80`, 4 and 6 in `80-`: facts of the hash vindex.
    let begin = Instant::now();
    let refused = error_of(&mut client, "select x from points where id = 4")?;
    let first = begin.elapsed();
    until(|| expect_states(&mut client, &[("s2", "80-", "NOT_SERVING"), ("s4", "c0-", "NOT_SERVING")]))?;
    let noticed = begin.elapsed();
    expect_states(&mut client, &[("s2", "-80", "SERVING"), ("s4", "-40", "SERVING"), ("u", "-", "SERVING")])?;
    let begin = Instant::now();
    let later = error_of(&mut client, "select x from points where id = 6")?;
    let second = begin.elapsed();
    println!(
        "  first error after {first:.1?} ({refused}), NOT_SERVING after {noticed:.1?}, next error after {second:.1?} ({later})"
    );

    let rows = client.rows("select x from points where id in (1, 2, 3) order by id")?;
    if rows.len() != 3 {
        return Err(format!("the living shard answers {rows:?}"));
    }
    client.run("update points set x = 100 where id = 1")?;
    error_of(&mut client, "select count(*) from points")?;
    error_of(&mut client, "update points set x = 0")?;
    Client::login(&environment.router_options().database("u"))?.run("select count(*) from points")?;
    // A new session is served, too.
    Client::login(&options)?.run("select x from points where id = 2")?;

    environment.backends[VICTIM].restart()?;
    let begin = Instant::now();
    until(|| expect_states(&mut client, &[("s2", "80-", "SERVING"), ("s4", "c0-", "SERVING")]))?;
    println!("  SERVING again {:.1?} after the server's return", begin.elapsed());
    let rows = client.rows("select id from points order by id")?;
    if rows.len() != 6 {
        return Err(format!("after the return: {rows:?}"));
    }
    Ok(())
}

/// Checks until it is so, for a generous while.
pub fn until(mut check: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        match check() {
            Ok(()) => return Ok(()),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn expect_states(client: &mut Client, wanted: &[(&str, &str, &str)]) -> Result<(), String> {
    let tablets = client.rows("show vitess_tablets")?;
    for (keyspace, shard, state) in wanted {
        let found = tablets.iter().any(|row| {
            row[1].as_deref() == Some(*keyspace)
                && row[2].as_deref() == Some(*shard)
                && row[4].as_deref() == Some(*state)
        });
        if !found {
            return Err(format!("{keyspace}/{shard} is not {state}: {tablets:?}"));
        }
    }
    Ok(())
}

/// The error that a statement must end with, while the session goes on.
fn error_of(client: &mut Client, sql: &str) -> Result<String, String> {
    match client.query(sql)?.pop() {
        Some(Reply::Err(error)) => Ok(error.to_string()),
        other => Err(format!("{sql}: wanted an error, got {other:?}")),
    }
}
