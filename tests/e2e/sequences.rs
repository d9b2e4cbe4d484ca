//! Sequences under several routers and clients at the same time, and without their row.

use std::collections::HashSet;

use crate::client::{Client, Options, Reply};
use crate::environment::{Environment, ROUTER_PASSWORD, ROUTER_USER, Router};
use crate::protocol::Case;

pub const CASES: &[Case] =
    &[("several_routers", several_routers), ("a_row_that_is_missing", a_row_that_is_missing)];

const KEYSPACE: &str = "s2";
const SEQUENCE: &str = "s2_customer_seq";
/// Beyond what the router may have left of earlier tests.
const START: u64 = 1_000_000;
const CACHE: u64 = 7;
const CLIENTS_PER_ROUTER: usize = 4;
const STATEMENTS: usize = 40;

/// Sets the sequence, runs the test with a second router beside the first, and sets it back. Routers keep what is left of
/// their blocks, so the first one starts anew.
fn with_two_routers(
    environment: &mut Environment,
    test: impl FnOnce(&Environment, &Router) -> Result<(), String>,
) -> Result<(), String> {
    environment.reset(KEYSPACE, true)?;
    let mut owner = Client::login(&environment.unsharded())?;
    owner.run(&format!("update {SEQUENCE} set next_id = {START}, cache = {CACHE}"))?;
    environment.restart_router()?;
    let folder = environment.folder.join("second");
    let outcome = second_router(environment, &folder).and_then(|second| test(environment, &second));
    owner.run(&format!("replace into {SEQUENCE} (id, next_id, cache) values (0, 1, 1)"))?;
    environment.restart_router()?;
    outcome
}

/// Another router of the same cluster.
fn second_router(environment: &Environment, folder: &std::path::Path) -> Result<Router, String> {
    let error = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(folder.join("vschema")).map_err(error)?;
    for name in ["topology.json", "users.json"] {
        std::fs::copy(environment.folder.join(name), folder.join(name)).map_err(error)?;
    }
    for entry in std::fs::read_dir(environment.folder.join("vschema")).map_err(error)? {
        let entry = entry.map_err(error)?;
        std::fs::copy(entry.path(), folder.join("vschema").join(entry.file_name())).map_err(error)?;
    }
    Router::start(folder, &environment.backends[0].credentials().app_password)
}

fn options(router: &Router) -> Options {
    Options::new(router.address, ROUTER_USER, ROUTER_PASSWORD).database(KEYSPACE)
}

/// Inserts one row and three rows in turn; the numbers that they got.
fn insert(options: &Options, name: &str) -> Result<Vec<u64>, String> {
    let mut client = Client::login(options)?;
    let mut ids = Vec::new();
    for statement in 0..STATEMENTS {
        let count = if statement % 2 == 0 { 1 } else { 3 };
        let rows = vec![format!("('{name}')"); count].join(", ");
        let sql = format!("insert into customer (email) values {rows}");
        let Some(Reply::Ok(ok)) = client.query(&sql)?.pop() else { return Err(format!("{sql} failed")) };
        let last = client.rows("select last_insert_id()")?[0][0].clone().unwrap_or_default();
        if last != ok.last_insert_id.to_string() {
            return Err(format!("{sql}: insert id {}, but LAST_INSERT_ID() is {last}", ok.last_insert_id));
        }
        ids.extend((0..count as u64).map(|offset| ok.last_insert_id + offset));
    }
    let mut stored: Vec<u64> = Vec::new();
    for row in client.rows(&format!("select customer_id from customer where email = '{name}'"))? {
        stored.extend(row[0].as_deref().and_then(|id| id.parse::<u64>().ok()));
    }
    ids.sort_unstable();
    stored.sort_unstable();
    if ids == stored { Ok(ids) } else { Err(format!("{name}: told {ids:?}, stored {stored:?}")) }
}

fn several_routers(environment: &mut Environment) -> Result<(), String> {
    with_two_routers(environment, |environment, second| {
        let routers = [options(&environment.router), options(second)];
        let ids = std::thread::scope(|scope| {
            let mut clients = Vec::new();
            for (router, options) in routers.iter().enumerate() {
                for client in 0..CLIENTS_PER_ROUTER {
                    clients.push(
                        scope.spawn(move || insert(options, &format!("client {client} of router {router}"))),
                    );
                }
            }
            let ids: Result<Vec<Vec<u64>>, String> = clients
                .into_iter()
                .map(|client| client.join().unwrap_or_else(|_| Err("a client has panicked".to_owned())))
                .collect();
            ids
        })?;
        let count: usize = ids.iter().map(Vec::len).sum();
        let different: HashSet<u64> = ids.into_iter().flatten().collect();
        if different.len() != count || different.iter().any(|id| *id < START) {
            return Err(format!("{} different numbers for {count} rows", different.len()));
        }
        let mut owner = Client::login(&environment.unsharded())?;
        let next = owner.rows(&format!("select next_id from {SEQUENCE}"))?[0][0].clone().unwrap_or_default();
        let taken = next.parse::<u64>().map_err(|error| error.to_string())? - START;
        if !taken.is_multiple_of(CACHE) || taken < count as u64 {
            return Err(format!("{taken} numbers were taken for {count} rows, {CACHE} at a time"));
        }
        Ok(())
    })
}

fn a_row_that_is_missing(environment: &mut Environment) -> Result<(), String> {
    with_two_routers(environment, |environment, second| {
        let mut owner = Client::login(&environment.unsharded())?;
        let mut client = Client::login(&options(second))?;
        let sql = "insert into customer (email) values ('x')";
        for (change, reason) in [
            (format!("delete from {SEQUENCE}"), "has no row (id 0)"),
            (
                format!("insert into {SEQUENCE} (id, next_id, cache) values (0, {START}, 0)"),
                "cache greater than 0",
            ),
        ] {
            owner.run(&change)?;
            match client.query(sql)?.pop() {
                Some(Reply::Err(error))
                    if error.message.contains(reason) && error.message.contains(SEQUENCE) => {}
                other => return Err(format!("{change}: {other:?}")),
            }
        }
        owner.run(&format!("update {SEQUENCE} set cache = {CACHE}"))?;
        Ok(client.run(sql)?)
    })
}
