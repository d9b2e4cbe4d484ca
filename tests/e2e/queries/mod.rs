//! Generated SELECTs of every form (joins, nested and correlated sub-queries, derived and common tables, set operations,
//! aggregates, windows, statements that are refused): shards must answer each like one server, and refuse none.
//!
//! From a seed, so a failure repeats. `SHARDGATE_QUERIES` sets how many for each keyspace (2,500 on both engines and
//! four keyspaces are 20,000) and `SHARDGATE_SEED` which.

mod broken;
mod expression;
mod forms;
mod functions;
mod generate;
mod joins;
mod second_plan;
mod tables;
mod unions;

use std::collections::BTreeSet;

use crate::client::{CLIENT_DEPRECATE_EOF, Client, Reply, ServerError};
use crate::compare::Comparison;
use crate::environment::Environment;
use crate::generated::answer;
use crate::protocol::Case;
use crate::random::Random;
use crate::script::Order;
use crate::servers::Engine;
use generate::{Generator, Query};

pub const CASES: &[Case] = &[
    ("on_1_shard", |environment| run(environment, &ON_1_SHARD)),
    ("on_2_shards", |environment| run(environment, &ON_2_SHARDS)),
    ("on_4_shards", |environment| run(environment, &ON_4_SHARDS)),
    ("unsharded", |environment| run(environment, &UNSHARDED)),
];

/// A keyspace, another one whose tables queries name too, and a part of the seed.
struct Setting {
    keyspace: &'static str,
    other: &'static str,
    seed: u64,
}

const ON_1_SHARD: Setting = Setting { keyspace: "s1", other: "s2", seed: 20 };
const ON_2_SHARDS: Setting = Setting { keyspace: "s2", other: "u", seed: 21 };
const ON_4_SHARDS: Setting = Setting { keyspace: "s4", other: "s2", seed: 22 };
const UNSHARDED: Setting = Setting { keyspace: "u", other: "s4", seed: 23 };

/// Queries per keyspace in a run of all tests.
const QUERIES: u64 = 120;

/// Differences listed before the run gives up.
const DIFFERENCES_MAX: usize = 10;

/// A statement was stopped because it took too long: MySQL's and MariaDB's numbers.
const TOO_LONG: [u16; 2] = [3024, 1969];

const OUT_OF_RANGE: u16 = 1690;
/// MariaDB names a database with the unknown table of `nope.*`.
const NAMES_DATABASE: [u16; 3] = [1051, 1055, 1140];

fn run(environment: &mut Environment, setting: &Setting) -> Result<(), String> {
    let Setting { keyspace, other, .. } = *setting;
    let count = number("SHARDGATE_QUERIES", QUERIES)?;
    let found_max = usize::try_from(number("SHARDGATE_DIFFERENCES", DIFFERENCES_MAX as u64)?).unwrap_or(1);
    let mut random = setting.random()?;
    let (mut plain, mut router) = fill(environment, setting, &mut random)?;
    limit_time(environment, &mut plain)?;
    let (mut found, mut left_out, mut refused) = (Vec::new(), 0, 0);
    // Deaths and contradictions of the plain server.
    let (mut bugs, bugs_max) = (0, 1 + count / 250);
    for number in 0..count {
        let engine = environment.engine;
        let query = Generator { random: &mut random, engine, other, names: 0 }.statement();
        // Of a parameter of two digits beside a YEAR servers make this or that; some such queries are refused over shards.
        let names_year = query.sql.contains(".y");
        let prepared = number % 2 == 1 && query.may_be_prepared && !names_year;
        let expected = match answer(&mut plain, &query.sql, prepared) {
            Ok(replies) => replies,
            Err(error) => {
                // MySQL 9.7 dies of some queries, not of the same in every run.
                println!("  the plain server dies of ({error}): {}", query.sql);
                bugs += 1;
                if bugs > bugs_max {
                    return Err("the plain server dies of too many queries".to_owned());
                }
                plain = revive(environment, keyspace)?;
                continue;
            }
        };
        if let Some(Reply::Err(error)) = expected.last() {
            if TOO_LONG.contains(&error.errno) {
                left_out += 1;
                continue;
            }
            refused += 1;
        }
        let got =
            answer(&mut router, &query.sql, prepared).map_err(|error| format!("{}: {error}", query.sql))?;
        let differences = compare(keyspace, other, &query, &expected, &got);
        if !differences.is_empty() && bugs < bugs_max {
            let is_the_routers =
                |replies: &[Reply]| compare(keyspace, other, &query, replies, &got).is_empty();
            let text = (query.sql.as_str(), prepared);
            if let Some(setting) = second_plan::setting_of(&mut plain, engine, text, is_the_routers)? {
                println!("  the plain server agrees with {setting}: {}", query.sql);
                bugs += 1;
                continue;
            }
        }
        if !differences.is_empty() {
            let protocol = if prepared { "binary" } else { "text" };
            found.push(format!("{} ({protocol})\n    {}", query.sql, differences.join("\n    ")));
        }
        if found.len() >= found_max {
            break;
        }
    }
    println!(
        "  {count} generated: {refused} with an error as answer, {left_out} left out because they took too long"
    );
    if (left_out + refused) * 5 > count {
        return Err(format!("the generator is wrong: the plain server answers few of {count}"));
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

fn number(name: &str, default: u64) -> Result<u64, String> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().map_err(|error| format!("{name}: {error}")))
}

impl Setting {
    fn random(&self) -> Result<Random, String> {
        Ok(Random::new(number("SHARDGATE_SEED", 0)?.wrapping_mul(100).wrapping_add(self.seed)))
    }
}

/// Fills the tables as the test on a keyspace does, for queries by hand.
pub fn fill_as(environment: &Environment, keyspace: &str) -> Result<(), String> {
    let settings = [ON_1_SHARD, ON_2_SHARDS, ON_4_SHARDS, UNSHARDED];
    let setting = settings.iter().find(|setting| setting.keyspace == keyspace).ok_or("no such keyspace")?;
    fill(environment, setting, &mut setting.random()?).map(|_| ())
}

/// A statement that multiplies many tables says nothing more than a small one.
fn limit_time(environment: &Environment, plain: &mut Client) -> Result<(), String> {
    plain.run(match environment.engine {
        Engine::MariaDb => "set max_statement_time = 2",
        Engine::MySql => "set max_execution_time = 2000",
    })?;
    Ok(())
}

/// Starts the plain server again, with the rows that it had.
fn revive(environment: &mut Environment, keyspace: &str) -> Result<Client, String> {
    environment.plain.kill();
    environment.plain.restart()?;
    let options = environment.plain_options().database(keyspace).with(CLIENT_DEPRECATE_EOF);
    let mut plain = Client::login(&options)?;
    limit_time(environment, &mut plain)?;
    Ok(plain)
}

/// Fills the tables of both keyspaces on both sides, and logs in to the first.
fn fill(
    environment: &Environment,
    setting: &Setting,
    random: &mut Random,
) -> Result<(Client, Client), String> {
    let Setting { keyspace, other, .. } = *setting;
    let login = |options: crate::client::Options, keyspace: &str| {
        Client::login(&options.database(keyspace).with(CLIENT_DEPRECATE_EOF))
    };
    for keyspace in [other, keyspace] {
        environment.reset(keyspace, false)?;
        let mut plain = login(environment.plain_options(), keyspace)?;
        let mut router = login(environment.router_options(), keyspace)?;
        for statement in tables::rows(random).iter().map(String::as_str).chain(tables::VIEW_STATEMENTS) {
            plain.run(statement)?;
            router.run(statement)?;
        }
        // Before a client's next statement the router looks at what its DDL has made.
        router.run("select 1")?;
    }
    Ok((login(environment.plain_options(), keyspace)?, login(environment.router_options(), keyspace)?))
}

fn compare(keyspace: &str, other: &str, query: &Query, expected: &[Reply], got: &[Reply]) -> Vec<String> {
    // Where a column came from and how servers type what they have found to be constant or empty differs with the plan.
    let ignored: BTreeSet<_> =
        ["schema", "table", "org-table", "org-name", "warnings", "type", "flags"].map(str::to_owned).into();
    // MySQL cuts the names that it makes itself one character shorter than those that it is given.
    let has_long_names = query.sql.len() > 255;
    let ignored: BTreeSet<_> = ignored.into_iter().chain(has_long_names.then(|| "name".to_owned())).collect();
    // An overflow names the expression as it was calculated, and a column of groups the database where it was.
    let has_own_names = |error: &ServerError| {
        error.errno == OUT_OF_RANGE
            || NAMES_DATABASE.contains(&error.errno) && query.sql.contains(&format!("{other}."))
    };
    let differs = matches!(expected.last(), Some(Reply::Err(error)) if has_own_names(error));
    let ignored = ignored.into_iter().chain(differs.then(|| "message".to_owned())).collect();
    let order = if query.is_ordered { Order::Exact } else { Order::Multiset };
    let comparison = Comparison {
        keyspace,
        order: &order,
        has_order_by: query.is_ordered,
        may_use_temporary: true,
        ignored: &ignored,
    };
    comparison.replies(expected, got)
}
