//! Generated SELECTs over shards: the answer is one server's, or VT12001. From a fixed seed, so a failure repeats.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::client::{CLIENT_DEPRECATE_EOF, Client, ClientError, Reply};
use crate::compare::{Comparison, may_use_temporary};
use crate::environment::Environment;
use crate::params;
use crate::protocol::Case;
use crate::random::Random;
use crate::script::Order;

pub const CASES: &[Case] = &[
    ("selects_on_2_shards", |environment| run(environment, "s2", 11)),
    ("selects_on_4_shards", |environment| run(environment, "s4", 12)),
];

const QUERIES: usize = 400;
const ROWS: i64 = 60;

/// Differences listed before the run gives up.
const DIFFERENCES_MAX: usize = 10;

fn run(environment: &mut Environment, keyspace: &str, seed: u64) -> Result<(), String> {
    environment.reset(keyspace, false)?;
    let mut random = Random::new(seed);
    let mut plain =
        Client::login(&environment.plain_options().database(keyspace).with(CLIENT_DEPRECATE_EOF))?;
    let mut router =
        Client::login(&environment.router_options().database(keyspace).with(CLIENT_DEPRECATE_EOF))?;
    for statement in rows(&mut random) {
        plain.run(&statement)?;
        router.run(&statement)?;
    }
    let (mut unsupported, mut found) = (0, Vec::new());
    // A server that groups may name no column, warns once per row that it looks at, and types what it has found to be
    // constant or empty in another way.
    let ignored: BTreeSet<_> = ["org-name", "warnings", "type", "flags", "length"].map(str::to_owned).into();
    for number in 0..QUERIES {
        let query = Query::generate(&mut random);
        let prepared = number % 2 == 1;
        let expected = answer(&mut plain, &query.sql, prepared)
            .map_err(|error| format!("plain: {}: {error}", query.sql))?;
        if let Some(Reply::Err(error)) = expected.last() {
            return Err(format!("the generator is wrong: {}: {error}", query.sql));
        }
        let got =
            answer(&mut router, &query.sql, prepared).map_err(|error| format!("{}: {error}", query.sql))?;
        if matches!(got.last(), Some(Reply::Err(error)) if error.message.starts_with("VT12001")) {
            unsupported += 1;
            continue;
        }
        let order = if query.is_ordered { Order::Exact } else { Order::Multiset };
        let comparison = Comparison {
            keyspace,
            order: &order,
            has_order_by: query.is_ordered,
            may_use_temporary: may_use_temporary(&query.sql),
            ignored: &ignored,
        };
        let differences = comparison.replies(&expected, &got);
        if !differences.is_empty() {
            found.push(format!(
                "{} ({})\n    {}",
                query.sql,
                if prepared { "binary" } else { "text" },
                differences.join("\n    ")
            ));
        }
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    println!("  {QUERIES} generated, {unsupported} refused as unsupported");
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

/// The answer to a statement, as text or prepared with its literals as parameters.
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

/// Strings that no collation holds equal, so that a group has one spelling.
const TEXTS: [&str; 8] = ["'apple'", "'Banana'", "'cherry'", "'döner'", "''", "'zebra'", "'10'", "'9'"];
const DATES: [&str; 4] = ["'2024-01-01'", "'2024-02-29'", "'1999-12-31'", "'2024-01-02'"];

/// INSERTs that fill the tables `kinds`, `a` and `b`.
pub fn rows(random: &mut Random) -> Vec<String> {
    let mut kinds = String::from("insert into kinds (id, i, bigu, dec2, d, v, dt, e) values ");
    let mut a = String::from("insert into a (id, g, v) values ");
    let mut b = String::from("insert into b (a_id, n, amount, code) values ");
    for id in 1..=ROWS {
        let separator = if id == 1 { "" } else { ", " };
        let mut or_null = |value: String| if random.chance(15) { "null".to_owned() } else { value };
        let i = or_null((id * 7 % 11 - 5).to_string());
        let bigu = or_null((id * 3 % 5).to_string());
        let dec2 = or_null(format!("{}.{}", id * 5 % 7 - 3, id % 4 * 25));
        let d = or_null(format!("{}.25", id % 6));
        let v = or_null(TEXTS[usize::try_from(id * 5 % 8).unwrap_or(0)].to_owned());
        let dt = or_null(DATES[usize::try_from(id % 4).unwrap_or(0)].to_owned());
        let e = or_null(["'small'", "'medium'", "'large'"][usize::try_from(id % 3).unwrap_or(0)].to_owned());
        let _ = write!(kinds, "{separator}({id}, {i}, {bigu}, {dec2}, {d}, {v}, {dt}, {e})");
        let _ = write!(a, "{separator}({id}, {}, {})", random.below(6), random.pick(&TEXTS));
        for n in 0..random.below(3) {
            let separator = if b.ends_with(')') { ", " } else { "" };
            let _ = write!(
                b,
                "{separator}({id}, {n}, {}.50, {})",
                random.below(9),
                random.pick(&["'de'", "'fr'", "null"])
            );
        }
    }
    vec![kinds, a, b]
}

struct Query {
    sql: String,
    /// Whether the order of rows is fixed by it.
    is_ordered: bool,
}

const COLUMNS: [&str; 8] = ["id", "i", "bigu", "dec2", "d", "v", "dt", "e"];
const NUMBERS: [&str; 4] = ["i", "bigu", "dec2", "d"];

impl Query {
    fn generate(random: &mut Random) -> Self {
        match random.below(10) {
            0..4 => Self::plain_rows(random),
            4..6 => Self::total(random),
            6..9 => Self::groups(random),
            _ => Self::join(random),
        }
    }

    fn plain_rows(random: &mut Random) -> Self {
        let distinct = random.chance(20);
        let list: Vec<_> = (0..=random.below(4)).map(|_| expression(random)).collect();
        let mut sql = format!(
            "select {}{} from kinds{}",
            if distinct { "distinct " } else { "" },
            list.join(", "),
            filter(random)
        );
        let mut is_ordered = false;
        if distinct {
            if random.chance(50) {
                let positions: Vec<_> =
                    (1..=list.len()).map(|position| direction(random, &position.to_string())).collect();
                let _ = write!(sql, " order by {}", positions.join(", "));
                is_ordered = true;
            }
        } else if random.chance(70) {
            let mut keys: Vec<_> = (0..random.below(3))
                .map(|_| {
                    let key = expression(random);
                    direction(random, &key)
                })
                .collect();
            keys.push(direction(random, "id"));
            let _ = write!(sql, " order by {}", keys.join(", "));
            is_ordered = true;
        }
        if is_ordered && random.chance(40) {
            sql.push_str(&limit(random));
        }
        Self { sql, is_ordered }
    }

    fn total(random: &mut Random) -> Self {
        let list: Vec<_> = (0..=random.below(4)).map(|_| aggregate(random)).collect();
        Self { sql: format!("select {} from kinds{}", list.join(", "), filter(random)), is_ordered: true }
    }

    fn groups(random: &mut Random) -> Self {
        let keys: Vec<_> = (0..=random.below(2))
            .map(|_| random.pick(&["i", "bigu", "dec2", "v", "dt", "e", "i % 3", "year(dt)"]))
            .collect();
        let aggregates: Vec<_> = (0..=random.below(3)).map(|_| aggregate(random)).collect();
        let list = [keys.iter().map(|key| (*key).to_owned()).collect(), aggregates].concat().join(", ");
        let mut sql = format!("select {list} from kinds{} group by {}", filter(random), keys.join(", "));
        if random.chance(25) {
            let _ = write!(
                sql,
                " having {} {} {}",
                aggregate(random),
                random.pick(&[">", "<", ">=", "<>"]),
                random.below(9)
            );
        }
        let is_ordered = random.chance(70);
        if is_ordered {
            let mut order = Vec::new();
            if random.chance(40) {
                let key = aggregate(random);
                order.push(direction(random, &key));
            }
            order.extend(keys.iter().map(|key| direction(random, key)));
            let _ = write!(sql, " order by {}", order.join(", "));
            if random.chance(40) {
                sql.push_str(&limit(random));
            }
        }
        Self { sql, is_ordered }
    }

    fn join(random: &mut Random) -> Self {
        let kind = random.pick(&["join", "left join", "inner join"]);
        let extra = random.pick(&[
            "",
            " where a.g > 2",
            " where b.amount > 3",
            " where a.id in (1, 5, 9, 12)",
            " where a.id = 7",
            " where b.code = 'de'",
        ]);
        let from = format!("from a {kind} b on a.id = b.a_id{extra}");
        if random.chance(50) {
            return Self {
                sql: format!("select a.id, a.v, b.n, b.amount {from} order by a.id, b.n"),
                is_ordered: true,
            };
        }
        Self {
            sql: format!("select a.g, count(*), sum(b.amount), max(b.n) {from} group by a.g order by a.g"),
            is_ordered: true,
        }
    }
}

fn expression(random: &mut Random) -> String {
    let column = random.pick(&COLUMNS);
    let number = random.pick(&NUMBERS);
    match random.below(12) {
        0 => format!("{number} + 1"),
        1 => format!("{number} * 2"),
        2 => format!("-{number}"),
        3 => format!("coalesce({column}, 0)"),
        4 => format!("{column} is null"),
        5 => format!("if({number} > 1, v, e)"),
        6 => "concat(v, '-', i)".to_owned(),
        _ => column.to_owned(),
    }
}

fn aggregate(random: &mut Random) -> String {
    let column = random.pick(&COLUMNS);
    let number = random.pick(&NUMBERS);
    match random.below(8) {
        0 | 1 => "count(*)".to_owned(),
        2 => format!("count({column})"),
        3 => format!("sum({number})"),
        4 => format!("min({column})"),
        5 => format!("max({column})"),
        6 => format!("avg({number})"),
        _ => format!("sum({number}) + count(*)"),
    }
}

fn filter(random: &mut Random) -> String {
    let condition = match random.below(12) {
        0 => format!("id = {}", random.below(70)),
        1 => format!("id in ({}, {}, {})", random.below(70), random.below(70), random.below(70)),
        2 => format!("i > {}", random.below(5)),
        3 => format!("dec2 between -{} and {}", random.below(3), random.below(3)),
        4 => format!("v = {}", random.pick(&TEXTS)),
        5 => format!("dt >= {} or e = 'large'", random.pick(&DATES)),
        6 => "v like '%a%' and i is not null".to_owned(),
        7 => "1 = 0".to_owned(),
        8 => format!("not (bigu = {})", random.below(5)),
        _ => return String::new(),
    };
    format!(" where {condition}")
}

fn direction(random: &mut Random, key: &str) -> String {
    format!("{key}{}", random.pick(&["", " asc", " desc"]))
}

fn limit(random: &mut Random) -> String {
    match random.below(3) {
        0 => format!(" limit {}", random.below(20)),
        1 => format!(" limit {} offset {}", random.below(20), random.below(30)),
        _ => format!(" limit {}, {}", random.below(10), random.below(10)),
    }
}
