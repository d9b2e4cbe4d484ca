//! Generated SELECTs of every form (joins, nested and correlated sub-queries, derived and common tables, set operations,
//! aggregates, windows, statements that are refused): shards must answer each like one server, and refuse none.
//!
//! From a seed, so a failure repeats. `SHARDGATE_QUERIES` sets how many for each keyspace (2,500 on both engines and
//! four keyspaces are 20,000) and `SHARDGATE_SEED` which.

mod broken;
mod expression;
mod generate;
mod joins;
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
    ("on_1_shard", |environment| run(environment, "s1", "s2", 20)),
    ("on_2_shards", |environment| run(environment, "s2", "u", 21)),
    ("on_4_shards", |environment| run(environment, "s4", "s2", 22)),
    ("unsharded", |environment| run(environment, "u", "s4", 23)),
];

/// Queries per keyspace in a run of all tests.
const QUERIES: u64 = 120;

/// Differences listed before the run gives up.
const DIFFERENCES_MAX: usize = 10;

/// A statement was stopped because it took too long: MySQL's and MariaDB's numbers.
const TOO_LONG: [u16; 2] = [3024, 1969];

const OUT_OF_RANGE: u16 = 1690;
const NOT_GROUPED: [u16; 2] = [1055, 1140];

fn run(environment: &mut Environment, keyspace: &str, other: &str, seed: u64) -> Result<(), String> {
    let number = |name: &str, default| {
        std::env::var(name)
            .map_or(Ok(default), |text| text.parse().map_err(|error| format!("{name}: {error}")))
    };
    let count = number("SHARDGATE_QUERIES", QUERIES)?;
    let found_max = usize::try_from(number("SHARDGATE_DIFFERENCES", DIFFERENCES_MAX as u64)?).unwrap_or(1);
    let mut random = Random::new(number("SHARDGATE_SEED", 0)?.wrapping_mul(100).wrapping_add(seed));
    let (mut plain, mut router) = fill(environment, keyspace, other, &mut random)?;
    // A statement that multiplies many tables says nothing more than a small one.
    plain.run(match environment.engine {
        Engine::MariaDb => "set max_statement_time = 2",
        Engine::MySql => "set max_execution_time = 2000",
    })?;
    let (mut found, mut left_out, mut refused) = (Vec::new(), 0, 0);
    for number in 0..count {
        let engine = environment.engine;
        let query = Generator { random: &mut random, engine, other, names: 0 }.statement();
        // Of a parameter of two digits beside a YEAR servers make this or that; some such queries are refused over shards.
        let names_year = query.sql.contains(".y");
        let prepared = number % 2 == 1 && query.may_be_prepared && !names_year;
        let expected = match answer(&mut plain, &query.sql, prepared) {
            Ok(replies) => replies,
            Err(error) => return Err(format!("plain: {}: {error}", query.sql)),
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

/// Fills the tables of both keyspaces on both sides, and logs in to the first.
fn fill(
    environment: &Environment,
    keyspace: &str,
    other: &str,
    random: &mut Random,
) -> Result<(Client, Client), String> {
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
            || NOT_GROUPED.contains(&error.errno) && query.sql.contains(&format!("{other}."))
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
