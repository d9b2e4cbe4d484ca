//! Generated changes of rows over shards, in transactions with savepoints: outcomes and tables are one server's, or the
//! router refuses with VT12001 and leaves nothing behind. From a fixed seed, so a failure repeats.

use std::collections::BTreeSet;

use crate::client::{CLIENT_DEPRECATE_EOF, Client, ClientError, Reply};
use crate::compare::Comparison;
use crate::environment::Environment;
use crate::params;
use crate::protocol::Case;
use crate::random::Random;
use crate::script::Order;

pub const CASES: &[Case] = &[
    ("writes_on_2_shards", |environment| run(environment, "s2", 21)),
    ("writes_on_4_shards", |environment| run(environment, "s4", 22)),
];

const STATEMENTS: usize = 500;

/// Statements between two looks at all tables.
const LOOK_EVERY: usize = 10;

/// Differences listed before the run gives up: tables differ from the first one on.
const DIFFERENCES_MAX: usize = 3;

const TABLES: [&str; 4] = [
    "select * from points order by id",
    "select * from a order by id",
    "select * from b order by a_id, n",
    "select * from uniq order by id",
];

fn run(environment: &mut Environment, keyspace: &str, seed: u64) -> Result<(), String> {
    environment.reset(keyspace, false)?;
    let mut random = Random::new(seed);
    let mut plain =
        Client::login(&environment.plain_options().database(keyspace).with(CLIENT_DEPRECATE_EOF))?;
    let mut router =
        Client::login(&environment.router_options().database(keyspace).with(CLIENT_DEPRECATE_EOF))?;
    // Which of several wrong rows an error names is an accident of where they are.
    let ignored: BTreeSet<_> = ["message".to_owned()].into();
    let comparison = Comparison {
        keyspace,
        order: &Order::Exact,
        has_order_by: true,
        may_use_temporary: false,
        ignored: &ignored,
    };
    let (mut unsupported, mut failed, mut found) = (0, 0, Vec::new());
    let mut history: Vec<String> = Vec::new();
    for number in 0..STATEMENTS {
        let sql = statement(&mut random);
        let prepared = number % 2 == 1 && params_fit(&sql);
        let got = answer(&mut router, &sql, prepared).map_err(|error| format!("{sql}: {error}"))?;
        if matches!(got.last(), Some(Reply::Err(error)) if error.message.starts_with("VT12001")) {
            unsupported += 1;
            continue;
        }
        let expected =
            answer(&mut plain, &sql, prepared).map_err(|error| format!("plain: {sql}: {error}"))?;
        failed += usize::from(matches!(expected.last(), Some(Reply::Err(_))));
        history.push(sql.clone());
        let mut differences = comparison.replies(&expected, &got);
        if number % LOOK_EVERY == LOOK_EVERY - 1 || !differences.is_empty() {
            for table in TABLES {
                let (expected, got) = (plain.query(table)?, router.query(table)?);
                let of_table = comparison.replies(&expected, &got);
                differences
                    .extend(of_table.iter().take(2).map(|difference| format!("{table}: {difference}")));
            }
        }
        if !differences.is_empty() {
            let last =
                history.iter().rev().take(LOOK_EVERY).rev().cloned().collect::<Vec<_>>().join(";\n    ");
            let protocol = if prepared { "binary" } else { "text" };
            found.push(format!("{last} ({protocol})\n      {}", differences.join("\n      ")));
        }
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    println!("  {STATEMENTS} generated, {failed} failed on both, {unsupported} refused as unsupported");
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

/// Transaction control has no parameters.
fn params_fit(sql: &str) -> bool {
    ["insert", "replace", "update", "delete"].iter().any(|verb| sql.starts_with(verb))
}

pub fn answer(client: &mut Client, sql: &str, prepared: bool) -> Result<Vec<Reply>, ClientError> {
    if !prepared {
        return client.query(sql);
    }
    let (text, list) = params::extract(sql);
    match client.prepare(&text)? {
        Ok(statement) => {
            let replies = client.execute(statement.id, &list)?;
            client.close(statement.id)?;
            Ok(replies)
        }
        Err(error) => Ok(vec![Reply::Err(error)]),
    }
}

const TEXTS: [&str; 6] = ["'apple'", "'Banana'", "'it''s'", "''", "null", "'zebra'"];

fn statement(random: &mut Random) -> String {
    match random.below(20) {
        0 => random.pick(&["begin", "start transaction", "commit", "commit"]).to_owned(),
        1 => random
            .pick(&[
                "savepoint s",
                "savepoint t",
                "rollback to s",
                "rollback to t",
                "release savepoint s",
                "rollback",
            ])
            .to_owned(),
        2..6 => insert(random),
        6..8 => replace(random),
        8..12 => update(random),
        12 | 13 => key_change(random),
        14 | 15 => joined_update(random),
        16..18 => delete(random),
        _ => joined_delete(random),
    }
}

fn id(random: &mut Random) -> u64 {
    1 + random.below(40)
}

fn rows(random: &mut Random, row: impl Fn(&mut Random) -> String) -> String {
    let count = 1 + random.below(4);
    (0..count).map(|_| row(random)).collect::<Vec<_>>().join(", ")
}

fn insert(random: &mut Random) -> String {
    let ignore = random.pick(&["", "", "ignore "]);
    match random.below(4) {
        0 => {
            let rows = rows(random, |random| {
                format!("({}, {}, {})", id(random), random.below(10), random.pick(&TEXTS))
            });
            let update = if ignore.is_empty() && random.chance(40) {
                random.pick(&[
                    " on duplicate key update x = x + 1",
                    " on duplicate key update label = 'again', x = 3",
                ])
            } else {
                ""
            };
            format!("insert {ignore}into points (id, x, label) values {rows}{update}")
        }
        1 => {
            let rows =
                rows(random, |random| format!("({}, {}, {})", id(random), id(random), random.pick(&TEXTS)));
            format!("insert {ignore}into a (id, g, v) values {rows}")
        }
        2 => {
            let rows = rows(random, |random| {
                format!(
                    "({}, {}, {}.25, {})",
                    id(random),
                    random.below(5),
                    random.below(9),
                    random.pick(&["'de'", "null"])
                )
            });
            format!("insert {ignore}into b (a_id, n, amount, code) values {rows}")
        }
        // One server would refuse numbers that are taken on any shard.
        _ => format!("insert {ignore}into uniq (id, u) values ({}, null)", id(random)),
    }
}

fn replace(random: &mut Random) -> String {
    match random.below(3) {
        0 => {
            let rows = rows(random, |random| {
                format!("({}, {}, {})", id(random), random.below(10), random.pick(&TEXTS))
            });
            format!("replace into points (id, x, label) values {rows}")
        }
        1 => format!("replace into b set a_id = {}, n = {}, amount = 1.5", id(random), random.below(5)),
        _ => {
            let rows = rows(random, |random| {
                let number = if random.chance(15) { "null".to_owned() } else { random.below(12).to_string() };
                format!("({}, {number}, {})", id(random), random.below(3))
            });
            format!("replace into uniq (id, u, w) values {rows}")
        }
    }
}

fn condition(random: &mut Random, key: &str, number: &str) -> String {
    match random.below(7) {
        0 => format!(" where {key} = {}", id(random)),
        1 => format!(" where {key} in ({}, {}, {})", id(random), id(random), id(random)),
        2 => format!(" where {number} > {}", random.below(9)),
        3 => format!(" where {key} > {} and {number} is not null", id(random)),
        4 => format!(" where {number} is null or {key} < {}", random.below(9)),
        5 => format!(" where {key} between {} and {}", random.below(20), 20 + random.below(20)),
        _ => String::new(),
    }
}

/// An order that leaves no choice, and mostly a limit.
fn order(random: &mut Random, key: &str, number: &str) -> String {
    let order = match random.below(4) {
        0 => format!(" order by {key}"),
        1 => format!(" order by {key} desc"),
        2 => format!(" order by {number}, {key}"),
        _ => format!(" order by {number} desc, {key} desc"),
    };
    if random.chance(80) { format!("{order} limit {}", random.below(6)) } else { order }
}

fn update(random: &mut Random) -> String {
    let ignore = random.pick(&["", "", "", "ignore "]);
    let ordered = random.chance(50);
    let (table, set, key, number) = match random.below(4) {
        0 => {
            let set = random.pick(&[
                "x = x + 1",
                "x = 3",
                "label = concat(label, '+')",
                "x = null, label = 'none'",
                "x = x + 1, label = concat(x, label)",
                "label = (select max(v) from a)",
                "x = (select count(*) from b where b.n = points.x)",
            ]);
            ("points", set, "id", "x")
        }
        1 => {
            let set = random.pick(&[
                "g = g + 1",
                "v = 'new'",
                "v = upper(v), g = id",
                "g = (select max(id) from points)",
            ]);
            ("a", set, "id", "g")
        }
        2 => ("b", random.pick(&["amount = amount * 2", "code = 'fr'", "amount = n + a_id"]), "a_id", "n"),
        _ => ("uniq", random.pick(&["w = w + 1", "t = 'changed'", "w = id, t = w"]), "id", "w"),
    };
    let condition = condition(random, key, number);
    let tail = match (ordered, table) {
        (true, "b") => {
            let direction = random.pick(&["", " desc"]);
            format!(" order by a_id{direction}, n{direction} limit {}", random.below(5))
        }
        (true, _) => order(random, key, number),
        (false, _) => String::new(),
    };
    format!("update {ignore}{table} set {set}{condition}{tail}")
}

fn key_change(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("update points set id = {} where id = {}", id(random), id(random)),
        1 => format!(
            "update points set id = id + {}, x = x + 1 where id = {}",
            1 + random.below(5),
            id(random)
        ),
        2 => format!("update points set id = id + 1{}", order(random, "id", "x")),
        3 => format!("update a set id = {} where g = {}", id(random), id(random)),
        4 => format!(
            "update b set a_id = {}, amount = 0 where a_id = {} and n = {}",
            id(random),
            id(random),
            random.below(5)
        ),
        _ => format!("update uniq set id = {}, w = w + 1 where id = {}", id(random), id(random)),
    }
}

fn joined_update(random: &mut Random) -> String {
    let condition = match random.below(4) {
        0 => format!(" where a.id < {}", id(random)),
        1 => format!(" where a.id = {}", id(random)),
        2 => " where a.v is not null".to_owned(),
        _ => String::new(),
    };
    match random.below(6) {
        0 => format!("update a join points p on a.g = p.id set a.v = p.label{condition}"),
        1 => format!("update a join points p on a.g = p.id set a.v = concat(a.v, p.x), p.x = 0{condition}"),
        2 => format!("update a join b on a.g = b.n set a.v = 'joined'{condition}"),
        3 => format!("update a left join points p on a.g = p.id set a.g = a.g + 1{condition}"),
        4 => format!("update a join b on a.id = b.a_id set b.amount = 7, a.v = 'same shard'{condition}"),
        _ => {
            format!("update a set v = 'in' where g in (select id from points where x > {})", random.below(9))
        }
    }
}

fn delete(random: &mut Random) -> String {
    let (table, key, number) = [("points", "id", "x"), ("a", "id", "g"), ("uniq", "id", "w")]
        [usize::try_from(random.below(3)).unwrap_or(0)];
    let condition = condition(random, key, number);
    if condition.is_empty() || random.chance(60) {
        return format!("delete from {table}{condition}{}", order(random, key, number))
            .replace(" limit 0", " limit 2");
    }
    format!("delete from {table}{condition}")
}

fn joined_delete(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("delete b from b join points p on b.n = p.x where p.id = {}", id(random)),
        1 => format!("delete a, p from a join points p on a.g = p.id where a.id < {}", random.below(20)),
        2 => format!("delete from b where n in (select x from points where id > {})", 20 + random.below(20)),
        3 => format!("delete from uniq where w > (select avg(x) from points) and id < {}", random.below(20)),
        _ => format!("delete a, b from a left join b on a.id = b.a_id where a.id = {}", id(random)),
    }
}
