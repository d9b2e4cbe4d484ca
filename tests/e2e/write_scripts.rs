//! Generated scripts of writes in random transactions: savepoints, rows that move, lookup vindexes, sequences, IGNORE,
//! ON DUPLICATE KEY UPDATE, errors in the middle, several statements in a packet, `autocommit = 0`.
//!
//! Outcomes, tables and lookup tables are one server's, or the router refuses with VT12001 and leaves nothing behind. From a
//! seed, so a failure repeats: `SHARDGATE_WRITES` sets how many statements (thousands for a long run) and `SHARDGATE_SEED`
//! which. What no router can know (unique keys that shards do not share, without a lookup vindex) is kept out.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::client::{CLIENT_DEPRECATE_EOF, CLIENT_FOUND_ROWS, CLIENT_MULTI_STATEMENTS, Client, Reply};
use crate::compare::{self, Comparison};
use crate::environment::Environment;
use crate::generated_writes::answer;
use crate::lookups;
use crate::protocol::Case;
use crate::random::Random;
use crate::script::Order;

pub const CASES: &[Case] = &[
    ("on_1_shard", |environment| run(environment, "s1", 31)),
    ("on_2_shards", |environment| run(environment, "s2", 32)),
    ("on_4_shards", |environment| run(environment, "s4", 33)),
];

/// Statements per keyspace in a run of all tests.
const STATEMENTS: u64 = 250;

/// Statements between two looks at the tables.
const LOOK_EVERY: u64 = 5;

/// Statements whose tables are looked at.
const LOOKED_AT: usize = 10;

/// Statements between two looks at the lookup tables, which a transaction's end comes before.
const LOOKUPS_EVERY: u64 = 12;

/// Differences listed before the run gives up; each begins with empty tables again.
const DIFFERENCES_MAX: usize = 10;

/// What is shown of a script that fails.
const HISTORY_SHOWN: usize = 24;

const TABLES: [(&str, &str); 9] = [
    ("points", "select * from points order by id"),
    ("a", "select * from a order by id"),
    ("b", "select * from b order by a_id, n"),
    ("uniq", "select * from uniq order by id"),
    ("members", "select * from members order by id"),
    ("places", "select * from places order by region, id"),
    ("people", "select * from people order by name"),
    ("countries", "select * from countries order by code"),
    ("customer", "select * from customer order by customer_id"),
];

/// The same conversation with a plain server and with the router.
pub struct Sides {
    plain: Client,
    router: Client,
    history: Vec<String>,
}

impl Sides {
    /// From empty tables.
    pub fn start(environment: &Environment, keyspace: &str, found_rows: bool) -> Result<Self, String> {
        environment.reset(keyspace, true)?;
        let found_rows = if found_rows { CLIENT_FOUND_ROWS } else { 0 };
        let capabilities = CLIENT_DEPRECATE_EOF | CLIENT_MULTI_STATEMENTS | found_rows;
        let login =
            |options: crate::client::Options| Client::login(&options.database(keyspace).with(capabilities));
        let mut sides = Self {
            plain: login(environment.plain_options())?,
            router: login(environment.router_options())?,
            history: Vec::new(),
        };
        // Generated ids are the router's sequence and the plain server's counter: both begin at 1.
        sides.plain.run("set session innodb_lock_wait_timeout = 5")?;
        Ok(sides)
    }

    /// Runs what must succeed.
    pub fn run(&mut self, sql: &str) -> Result<(), String> {
        self.plain.run(sql)?;
        self.router.run(sql)?;
        self.history.push(sql.to_owned());
        Ok(())
    }

    /// A difference, with the statements that lead to it.
    pub fn report(&self, number: u64, shown: usize, differences: &[String]) -> String {
        let shown = &self.history[self.history.len().saturating_sub(shown)..];
        format!("[{number}] {};\n      {}", shown.join(";\n    "), differences.join("\n      "))
    }

    pub fn end(mut self) -> Result<(), String> {
        self.plain.run("rollback")?;
        self.router.run("rollback")?;
        Ok(())
    }
}

#[derive(Default)]
pub struct Counts {
    failed: usize,
    refused: std::collections::BTreeMap<String, usize>,
}

impl Counts {
    pub fn print(&self, count: u64, seed: u64) {
        println!("  {count} generated from {seed}, {} failed on both", self.failed);
        for (reason, times) in &self.refused {
            println!("  refused {times} times: {reason}");
        }
    }
}

/// How many statements are generated, and from which seed, if the environment has no wishes.
pub fn wanted(count: u64, seed: u64) -> Result<(u64, u64), String> {
    let number = |name: &str, default| {
        std::env::var(name)
            .map_or(Ok(default), |text| text.parse().map_err(|error| format!("{name}: {error}")))
    };
    Ok((number("SHARDGATE_WRITES", count)?, number("SHARDGATE_SEED", seed)?))
}

fn run(environment: &mut Environment, keyspace: &str, seed: u64) -> Result<(), String> {
    let (count, seed) = wanted(STATEMENTS, seed)?;
    let mut random = Random::new(seed);
    let (mut counts, mut found) = (Counts::default(), Vec::new());
    let mut sides = Sides::start(environment, keyspace, seed % 2 == 1)?;
    for number in 1..=count {
        let sql = if number % LOOKUPS_EVERY == 0 { "commit".to_owned() } else { packet(&mut random) };
        let mut differences = step(&mut sides, &sql, random.chance(40), keyspace, &mut counts)?;
        if number % LOOK_EVERY == 0 || !differences.is_empty() {
            let queries = changed_tables(&sides);
            differences.extend(look(&mut sides, keyspace, &queries)?);
        }
        if number % LOOKUPS_EVERY == 0 && differences.is_empty() {
            differences.extend(lookups::problems(environment, keyspace)?);
        }
        if differences.is_empty() {
            continue;
        }
        found.push(sides.report(number, HISTORY_SHOWN, &differences));
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
        sides.end()?;
        sides = Sides::start(environment, keyspace, seed % 2 == 1)?;
    }
    sides.end()?;
    counts.print(count, seed);
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

/// One packet on both sides; what the router refuses is left out on the plain server too.
pub fn step(
    sides: &mut Sides,
    sql: &str,
    may_prepare: bool,
    keyspace: &str,
    counts: &mut Counts,
) -> Result<Vec<String>, String> {
    let verbs = ["insert", "replace", "update", "delete"];
    let prepared = may_prepare && !sql.contains(';') && verbs.iter().any(|verb| sql.starts_with(verb));
    let mut got = answer(&mut sides.router, sql, prepared).map_err(|error| format!("{sql}: {error}"))?;
    let mut sql = sql.to_owned();
    if let Some(Reply::Err(error)) = got.last()
        && error.message.starts_with("VT12001")
    {
        *counts.refused.entry(format!("{} ({})", error.message, sql)).or_default() += 1;
        got.pop();
        if got.is_empty() {
            return Ok(Vec::new());
        }
        sql = sql.split("; ").take(got.len()).collect::<Vec<_>>().join("; ");
    }
    let expected =
        answer(&mut sides.plain, &sql, prepared).map_err(|error| format!("plain: {sql}: {error}"))?;
    counts.failed += usize::from(matches!(expected.last(), Some(Reply::Err(_))));
    let differences = differences(keyspace, &sql, &expected, &got);
    sides.history.push(if prepared { format!("{sql} /* prepared */") } else { sql });
    Ok(differences)
}

/// Fields that are not compared: which of several wrong rows an error names is an accident of where they are, and a row
/// may be wrong in several ways.
fn ignored(sql: &str) -> BTreeSet<String> {
    let mut ignored: BTreeSet<String> = compare::ignored_fields(sql).collect();
    ignored.insert("message".to_owned());
    let is_one_row = sql.contains(" where id = ") || sql.contains(" values ") && !sql.contains("), (");
    if sql.contains("duplicate key") {
        // With CLIENT_FOUND_ROWS a shard that gets one row says the same of a new one and of one that stays as it is.
        ignored.insert("info".to_owned());
        // MySQL warns of VALUES() once where it is prepared, and once per shard.
        ignored.insert("warnings".to_owned());
    }
    if !is_one_row {
        ignored.extend(["errno", "sqlstate"].map(str::to_owned));
    }
    ignored
}

fn differences(keyspace: &str, sql: &str, plain: &[Reply], router: &[Reply]) -> Vec<String> {
    let comparison = Comparison {
        keyspace,
        order: &Order::Exact,
        has_order_by: true,
        may_use_temporary: false,
        ignored: &ignored(sql),
    };
    comparison.replies(plain, router)
}

/// The queries for tables that the last statements may have changed.
fn changed_tables(sides: &Sides) -> Vec<&'static str> {
    let from = sides.history.len().saturating_sub(LOOKED_AT);
    let is_named =
        |name: &str| sides.history[from..].iter().any(|sql| sql.contains(name) || sql.starts_with("roll"));
    TABLES.iter().filter(|(name, _)| is_named(name)).map(|(_, query)| *query).collect()
}

/// Compares what these queries answer.
pub fn look(sides: &mut Sides, keyspace: &str, queries: &[&str]) -> Result<Vec<String>, String> {
    let mut differences = Vec::new();
    for query in queries {
        let (expected, got) = (sides.plain.query(query)?, sides.router.query(query)?);
        let of_table = self::differences(keyspace, query, &expected, &got);
        differences.extend(of_table.iter().take(2).map(|difference| format!("{query}: {difference}")));
    }
    Ok(differences)
}

/// One statement, or several of them.
fn packet(random: &mut Random) -> String {
    if !random.chance(6) {
        return statement(random);
    }
    let statements: Vec<String> = (0..2 + random.below(3)).map(|_| statement(random)).collect();
    statements.join("; ")
}

fn statement(random: &mut Random) -> String {
    match random.below(100) {
        0..5 => {
            random.pick(&["begin", "start transaction", "begin", "start transaction read write"]).to_owned()
        }
        5..9 => random.pick(&["commit", "commit", "commit and chain", "commit and no chain"]).to_owned(),
        9..11 => random.pick(&["rollback", "rollback and chain", "rollback"]).to_owned(),
        11..19 => {
            let name = random.pick(&["s", "t", "S", "`u v`"]);
            match random.below(5) {
                0 | 1 => format!("savepoint {name}"),
                2 | 3 => format!("rollback to {name}"),
                _ => format!("release savepoint {name}"),
            }
        }
        19 => random.pick(&["set autocommit = 0", "set autocommit = 1", "set autocommit = 1"]).to_owned(),
        20..23 => {
            let asked =
                random.pick(&["row_count()", "last_insert_id()", "@@autocommit", "@@completion_type"]);
            format!("select {asked}")
        }
        23..45 => insert(random),
        45..51 => replace(random),
        51..76 => update(random),
        76..88 => delete(random),
        88..95 => insert_select(random),
        _ => joined(random),
    }
}

fn id(random: &mut Random) -> u64 {
    1 + random.below(25)
}

/// A value that is NULL now and then.
fn or_null(random: &mut Random, percent: u64, value: impl Fn(&mut Random) -> String) -> String {
    if random.chance(percent) { "null".to_owned() } else { value(random) }
}

fn email(random: &mut Random) -> String {
    or_null(random, 20, |random| {
        format!("'{}@x'", random.pick(&["ann", "bob", "cid", "dee", "eve", "fay", "gus"]))
    })
}

fn name(random: &mut Random) -> String {
    or_null(random, 15, |random| format!("'{}'", random.pick(&["ann", "bob", "cid", "dee"])))
}

fn city(random: &mut Random) -> String {
    or_null(random, 15, |random| format!("'{}'", random.pick(&["Rome", "Bonn", "Oslo"])))
}

fn nick(random: &mut Random, may_be_wrong: bool) -> String {
    if may_be_wrong && random.chance(3) {
        return "'a nick that is longer than its column'".to_owned();
    }
    or_null(random, 15, |random| format!("'{}'", random.pick(&["ace", "Bee", "BEE", "cat"])))
}

fn code(random: &mut Random) -> String {
    or_null(random, 25, |random| (100 + random.below(12)).to_string())
}

fn text(random: &mut Random) -> &'static str {
    const TEXTS: [&str; 7] = ["'apple'", "'Banana'", "'it''s'", "''", "null", "'zebra'", "'semi:colon\\\\'"];
    TEXTS[usize::try_from(random.below(TEXTS.len() as u64)).unwrap_or(0)]
}

fn rows(random: &mut Random, row: impl Fn(&mut Random) -> String) -> String {
    let count = 1 + random.below(4);
    (0..count).map(|_| row(random)).collect::<Vec<_>>().join(", ")
}

/// `may_be_wrong`: with values that do not fit. With IGNORE, rows that lookup tables refuse never reach the server that would
/// warn of them.
fn member(random: &mut Random, may_be_wrong: bool) -> String {
    format!(
        "({}, {}, {}, {}, {}, {}, {})",
        id(random),
        email(random),
        name(random),
        city(random),
        nick(random, may_be_wrong),
        code(random),
        random.below(90)
    )
}

fn insert(random: &mut Random) -> String {
    let ignore = random.pick(&["", "", "", "ignore "]);
    let update = |random: &mut Random, forms: &[&'static str]| {
        if ignore.is_empty() && random.chance(35) {
            format!(" on duplicate key update {}", random.pick(forms))
        } else {
            String::new()
        }
    };
    if random.chance(50) {
        return insert_more(random, ignore, &update);
    }
    match random.below(5) {
        0 | 1 => {
            // Now and then a number that its column does not hold, or a text.
            let rows = rows(random, |random| {
                let x = if random.chance(4) {
                    random.pick(&["99999999999", "'text'"]).to_owned()
                } else {
                    random.below(10).to_string()
                };
                format!("({}, {x}, {})", id(random), text(random))
            });
            let update = update(
                random,
                &[
                    "x = x + 1",
                    "label = 'again', x = 3",
                    "x = values(x)",
                    "label = concat(label, values(label))",
                    "id = id",
                ],
            );
            format!("insert {ignore}into points (id, x, label) values {rows}{update}")
        }
        2 => {
            let rows = rows(random, |random| format!("({}, {}, {})", id(random), id(random), text(random)));
            format!("insert {ignore}into a (id, g, v) values {rows}")
        }
        3 => {
            let rows = rows(random, |random| {
                format!(
                    "({}, {}, {}.25, {})",
                    id(random),
                    random.below(5),
                    random.below(9),
                    random.pick(&["'de'", "null", "'toolong'", "'fr'", "'de'"])
                )
            });
            let update = update(random, &["amount = amount + 1", "code = values(code)", "amount = null"]);
            format!("insert {ignore}into b (a_id, n, amount, code) values {rows}{update}")
        }
        _ => {
            let update = update(random, &["w = w + 1", "t = 'again'"]);
            format!(
                "insert {ignore}into uniq (id, w, t) values ({}, {}, {}){update}",
                id(random),
                random.below(9),
                random.pick(&["'one'", "'two'", "null", "default"])
            )
        }
    }
}

/// Into tables with lookup vindexes, other sharding keys, copies everywhere and sequences.
fn insert_more(
    random: &mut Random,
    ignore: &str,
    update: &dyn Fn(&mut Random, &[&'static str]) -> String,
) -> String {
    match random.below(7) {
        0..3 => {
            let rows = rows(random, |random| member(random, ignore.is_empty()));
            let update = update(
                random,
                &[
                    "age = age + 1",
                    "age = values(age)",
                    "city = values(city)",
                    "nick = 'dup'",
                    "email = values(email)",
                    "name = values(name), age = 1",
                ],
            );
            format!("insert {ignore}into members values {rows}{update}")
        }
        3 => {
            let rows = rows(random, |random| {
                format!("({}, {}, {})", random.below(6), random.below(6), text(random))
            });
            format!("insert {ignore}into places (region, id, name) values {rows}")
        }
        4 => {
            let rows = rows(random, |random| {
                format!(
                    "('{}', {}, {})",
                    random.pick(&["ann", "bob", "cid", "dee", "eve", "fay"]),
                    or_null(random, 10, |random| random.below(90).to_string()),
                    text(random)
                )
            });
            let update = update(random, &["age = age + 1", "city = 'moved'"]);
            format!("insert {ignore}into people (name, age, city) values {rows}{update}")
        }
        5 => {
            let rows = rows(random, |random| {
                format!("('{}', {})", random.pick(&["de", "fr", "pe", "it"]), text(random))
            });
            let update = update(random, &["title = 'again'", "title = concat(title, '!')"]);
            format!("insert {ignore}into countries (code, title) values {rows}{update}")
        }
        // What a failed or ignored row does to the counter of generated ids is each server's own.
        _ => {
            let rows = rows(random, |random| {
                format!("({}, {}, {}.5)", text(random), random.below(4), random.below(100))
            });
            format!("insert into customer (email, region, balance) values {rows}")
        }
    }
}

fn replace(random: &mut Random) -> String {
    match random.below(6) {
        0 => {
            let rows =
                rows(random, |random| format!("({}, {}, {})", id(random), random.below(10), text(random)));
            format!("replace into points (id, x, label) values {rows}")
        }
        1 => format!("replace into b set a_id = {}, n = {}, amount = 1.5", id(random), random.below(5)),
        2 => {
            format!("replace into places values ({}, {}, {})", random.below(6), random.below(6), text(random))
        }
        3 => format!(
            "replace into people (name, age) values ('{}', {})",
            random.pick(&["ann", "bob", "cid"]),
            random.below(90)
        ),
        4 => format!(
            "replace into countries values ('{}', {})",
            random.pick(&["de", "fr", "pe"]),
            text(random)
        ),
        _ => format!("replace into members values {}", rows(random, |random| member(random, true))),
    }
}

/// A table with its key, another column with numbers, and what may be assigned to its columns.
type Shape = (&'static str, &'static str, &'static str, &'static [&'static str]);

const SHAPES: [Shape; 8] = [
    (
        "points",
        "id",
        "x",
        &[
            "x = x + 1",
            "x = 3",
            "label = concat(label, '+')",
            "x = null, label = 'none'",
            "x = x + 1, label = concat(x, label)",
            "label = (select max(v) from a)",
            "x = (select count(*) from b where b.n = points.x)",
            "x = 99999999999",
            "label = repeat('x', 60)",
            "id = id",
            "x = id",
        ],
    ),
    (
        "a",
        "id",
        "g",
        &[
            "g = g + 1",
            "v = 'new'",
            "v = upper(v), g = id",
            "g = (select max(id) from points)",
            "v = 'a text longer than its column'",
            "id = null",
        ],
    ),
    ("b", "a_id", "n", &["amount = amount * 2", "code = 'fr'", "amount = n + a_id", "n = n + 1", "n = n"]),
    (
        "uniq",
        "id",
        "w",
        &["w = w + 1", "t = 'changed'", "w = id, t = w", "t = null", "t = default, w = default", "w = w / 2"],
    ),
    (
        "members",
        "id",
        "age",
        &[
            "age = age + 1",
            "email = 'new@x'",
            "email = null",
            "email = concat(email, '.')",
            "name = 'zoe'",
            "name = reverse(name)",
            "city = 'Lima'",
            "city = null, nick = null",
            "nick = 'ACE'",
            "nick = concat(nick, id)",
            "code = code + 1",
            "code = null, age = 0",
            "code = 105",
            "email = 'ann@x', name = 'ann'",
            "city = default",
            "name = (select max(label) from points)",
            "email = email, age = 7",
        ],
    ),
    ("places", "id", "region", &["name = 'here'", "name = concat(name, region)"]),
    ("people", "name", "age", &["age = age + 1", "city = name", "age = null"]),
    ("countries", "code", "code", &["title = 'land'", "title = upper(title)", "code = 'xx'"]),
];

fn key_value(random: &mut Random, table: &str) -> String {
    match table {
        "people" => format!("'{}'", random.pick(&["ann", "bob", "cid", "dee", "eve", "fay"])),
        "countries" => format!("'{}'", random.pick(&["de", "fr", "pe", "it", "xx"])),
        "places" => random.below(6).to_string(),
        _ => id(random).to_string(),
    }
}

fn condition(random: &mut Random, (table, key, number, _): Shape) -> String {
    let value = |random: &mut Random| key_value(random, table);
    let unique = table == "members";
    match random.below(if unique { 13 } else { 8 }) {
        0 | 1 => format!(" where {key} = {}", value(random)),
        2 => format!(" where {key} in ({}, {}, {})", value(random), value(random), value(random)),
        3 if table == "countries" => " where title is not null".to_owned(),
        3 => format!(" where {number} > {}", random.below(9)),
        4 => format!(" where {key} > {} and {number} is not null", value(random)),
        5 => format!(" where {number} is null or {key} < {}", value(random)),
        // A server says less of a range that it sees to be empty.
        6 => {
            let (low, high) = (value(random), value(random));
            let (low, high) =
                if (low.len(), &low) <= (high.len(), &high) { (low, high) } else { (high, low) };
            format!(" where {key} between {low} and {high}")
        }
        7 => String::new(),
        8 => format!(" where email = '{}@x'", random.pick(&["ann", "bob", "cid", "new"])),
        9 => format!(" where name = '{}'", random.pick(&["ann", "bob", "zoe"])),
        10 => format!(" where city = '{}' and age > {}", random.pick(&["Rome", "Lima"]), random.below(60)),
        11 => format!(" where code in ({}, {})", 100 + random.below(12), 100 + random.below(12)),
        _ => format!(" where nick = '{}'", random.pick(&["ace", "bee", "CAT"])),
    }
}

/// An order that leaves no choice, and mostly a limit.
fn order(random: &mut Random, (table, key, number, _): Shape) -> String {
    let more = match table {
        "b" => ", n",
        "places" => ", region",
        _ => "",
    };
    let order = match random.below(4) {
        0 => format!(" order by {key}{more}"),
        1 => format!(" order by {key} desc{more}"),
        2 => format!(" order by {number}, {key}{more}"),
        _ => format!(" order by {number} desc, {key} desc{more}"),
    };
    if random.chance(80) { format!("{order} limit {}", 1 + random.below(5)) } else { order }
}

fn shape(random: &mut Random) -> Shape {
    SHAPES[usize::try_from(random.below(SHAPES.len() as u64)).unwrap_or(0)]
}

fn update(random: &mut Random) -> String {
    if random.chance(22) {
        return key_change(random);
    }
    let shape = if random.chance(35) { SHAPES[4] } else { shape(random) };
    let ignore = random.pick(&["", "", "", "", "ignore "]);
    let set = random.pick(shape.3);
    let mut tail = condition(random, shape);
    if random.chance(35) {
        tail.push_str(&order(random, shape));
    }
    format!("update {ignore}{} set {set}{tail}", shape.0)
}

/// Sharding keys change: rows move.
fn key_change(random: &mut Random) -> String {
    let ignore = random.pick(&["", "", "", "ignore "]);
    let (one, other) = (id(random), id(random));
    let what = match random.below(12) {
        0 => format!("points set id = {one} where id = {other}"),
        1 => format!("points set id = id + {}, x = x + 1 where id = {one}", 1 + random.below(5)),
        2 => format!("points set id = id + 1{}", order(random, SHAPES[0])),
        3 => format!("points set id = id + 30 where id < {one}"),
        4 => format!("a set id = {one} where g = {other}"),
        5 => format!("b set a_id = {one}, amount = 0 where a_id = {other} and n = {}", random.below(5)),
        6 => format!("uniq set id = {one}, w = w + 1 where id = {other}"),
        7 => format!("members set id = {one} where id = {other}"),
        8 => format!(
            "members set id = id + 40, age = 1 where email = '{}@x'",
            random.pick(&["ann", "bob", "cid"])
        ),
        9 => format!(
            "places set region = {} where region = {} and id = {}",
            random.below(6),
            random.below(6),
            random.below(6)
        ),
        10 => format!(
            "people set name = '{}' where name = '{}'",
            random.pick(&["ann", "hal"]),
            random.pick(&["ann", "bob", "cid", "hal"])
        ),
        _ => "points set id = id - 40 where id > 40".to_owned(),
    };
    format!("update {ignore}{what}")
}

fn delete(random: &mut Random) -> String {
    let shape = if random.chance(25) { SHAPES[4] } else { shape(random) };
    let condition = condition(random, shape);
    let ignore = random.pick(&["", "", "", "", "ignore "]);
    if condition.is_empty() || random.chance(50) {
        let mut order = order(random, shape);
        if condition.is_empty() && !order.contains("limit") {
            order.push_str(" limit 2");
        }
        return format!("delete {ignore}from {}{condition}{order}", shape.0);
    }
    format!("delete {ignore}from {}{condition}", shape.0)
}

fn insert_select(random: &mut Random) -> String {
    let ignore = random.pick(&["", "", "ignore "]);
    let mut sql = match random.below(8) {
        0 => format!(
            "insert {ignore}into points (id, x, label) select id + {}, g, v from a where id < {} order by id",
            random.below(30),
            id(random)
        ),
        1 => format!(
            "insert {ignore}into a (id, g, v) select id, x, label from points where x > {} order by id",
            random.below(9)
        ),
        2 => format!(
            "insert {ignore}into b (a_id, n, amount) select id, x % 5, 2.5 from points where x is not null order by id limit {}",
            1 + random.below(4)
        ),
        3 => format!(
            "insert {ignore}into members (id, email, name, age) select coalesce(age, 3) % 25 + {}, concat(name, '@', age), city, age from people order by name",
            random.below(9)
        ),
        4 => format!(
            "insert {ignore}into members (id, name, code) select id, label, 100 + x from points where id > {} order by id limit 3",
            id(random)
        ),
        5 => format!(
            "insert {ignore}into points (id, x) select a_id, count(*) from b group by a_id order by a_id"
        ),
        6 => format!(
            "insert {ignore}into uniq (id, w) select id + {}, age from members order by id",
            random.below(20)
        ),
        _ => format!(
            "replace into points (id, x, label) select id, age, email from members where age > {} order by id",
            random.below(60)
        ),
    };
    if sql.starts_with("insert into points") && random.chance(40) {
        let _ = write!(sql, " on duplicate key update {}", random.pick(&["x = x + 1", "label = 'again'"]));
    }
    sql
}

fn joined(random: &mut Random) -> String {
    let condition = match random.below(4) {
        0 => format!(" where a.id < {}", id(random)),
        1 => format!(" where a.id = {}", id(random)),
        2 => " where a.v is not null".to_owned(),
        _ => String::new(),
    };
    match random.below(13) {
        0 => format!("update a join points p on a.g = p.id set a.v = p.label{condition}"),
        1 => format!(
            "update a join points p on a.g = p.id set a.v = left(concat(a.v, p.x), 20), p.x = 0{condition}"
        ),
        2 => format!("update a join b on a.g = b.n set a.v = 'joined'{condition}"),
        3 => format!("update a left join points p on a.g = p.id set a.g = a.g + 1{condition}"),
        4 => format!("update a join b on a.id = b.a_id set b.amount = 7, a.v = 'same shard'{condition}"),
        5 => format!("update a join members m on a.g = m.age set m.city = 'Kyiv', m.nick = 'jo'{condition}"),
        6 => format!("update members m join a on m.id = a.id set m.name = left(a.v, 9), a.g = 0{condition}"),
        7 => format!("delete b from b join points p on b.n = p.x where p.id = {}", id(random)),
        8 => format!("delete a, p from a join points p on a.g = p.id where a.id < {}", random.below(20)),
        9 => format!("delete m from members m join a on m.age = a.g{condition}"),
        10 => {
            format!("delete from members where id in (select id from points where x > {})", random.below(9))
        }
        11 => format!("delete a, b from a left join b on a.id = b.a_id where a.id = {}", id(random)),
        _ => format!(
            "update countries set title = 'of a member' where code in (select left(city, 2) from members where age > {})",
            random.below(60)
        ),
    }
}
