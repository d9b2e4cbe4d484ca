//! The queries of the TPC-H benchmark at a small scale: 1, 2 and 4 shards must answer them like one server.
//!
//! Tables and values follow the specification's shapes (TPC-H, sections 1.4 and 4.2); the rows come from a small
//! generator of our own, and are few. Each query runs as text and prepared.

use std::collections::BTreeSet;

use crate::client::{Client, Reply};
use crate::compare::Comparison;
use crate::environment::{Environment, Keyspace, Topology, create_database};
use crate::protocol::Case;
use crate::random::Random;
use crate::script::Order;

pub const CASES: &[Case] = &[("queries", queries)];

const SCHEMA: &str = include_str!("tpch/schema.sql");
const VSCHEMA: &str = include_str!("tpch/vschema.json");
const QUERIES: &str = include_str!("tpch/queries.sql");

const SUPPLIERS: u64 = 12;
const PARTS: u64 = 50;
const CUSTOMERS: u64 = 50;
const ORDERS: u64 = 220;

/// Rows per INSERT.
const BATCH: usize = 200;

fn queries(environment: &mut Environment) -> Result<(), String> {
    let topology = topology();
    let creates = || SCHEMA.lines().map(|line| line.trim_end_matches(';').to_owned()).collect::<Vec<_>>();
    create_database(&environment.plain, "tpch", &creates())?;
    environment.create_databases(&topology, |_| creates())?;
    let router = environment.another_router(&environment.folder.join("tpch"), &topology)?;
    let mut plain = Client::login(&environment.plain_options().database("tpch"))?;
    let options = environment.options_of(&router);
    let inserts = inserts();
    inserts.iter().try_for_each(|insert| plain.run(insert))?;
    let mut found = Vec::new();
    for Keyspace { name, .. } in &topology.keyspaces {
        let mut client = Client::login(&options.clone().database(name))?;
        inserts.iter().try_for_each(|insert| client.run(insert))?;
        for (number, query) in numbered() {
            let texts = plain.query(&query)?;
            if let Some(Reply::Err(error)) = texts.last() {
                return Err(format!("query {number} is wrong: {error}"));
            }
            if matches!(texts.last(), Some(Reply::Rows(set)) if set.rows.is_empty()) {
                return Err(format!("query {number} finds nothing, so it compares nothing"));
            }
            let mut judge = |protocol: &str, expected: &[Reply], got: &[Reply]| {
                let differences = comparison(name).replies(expected, got);
                if !differences.is_empty() {
                    found.push(format!(
                        "query {number} on {name} ({protocol}): {}",
                        differences.join("\n    ")
                    ));
                }
            };
            judge("text", &texts, &client.query(&query)?);
            judge("prepared", &prepared(&mut plain, &query)?, &prepared(&mut client, &query)?);
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

fn topology() -> Topology {
    let keyspace = |name: &str, shards: &[&str]| Keyspace {
        name: name.to_owned(),
        shards: shards.iter().enumerate().map(|(server, shard)| ((*shard).to_owned(), server)).collect(),
        vschema: VSCHEMA.to_owned(),
    };
    Topology {
        keyspaces: vec![
            keyspace("h1", &["-"]),
            keyspace("h2", &["-80", "80-"]),
            keyspace("h4", &["-40", "40-80", "80-c0", "c0-"]),
        ],
    }
}

/// The queries with their numbers.
fn numbered() -> impl Iterator<Item = (&'static str, String)> {
    QUERIES.split("\n# ").skip(1).filter_map(|part| {
        let (number, text) = part.split_once('\n')?;
        Some((number, text.trim().trim_end_matches(';').to_owned()))
    })
}

fn comparison(keyspace: &str) -> Comparison<'_> {
    static IGNORED: std::sync::LazyLock<BTreeSet<String>> = std::sync::LazyLock::new(|| {
        // Which table a column came from is lost on the way through temporary tables, on one server too.
        ["schema", "table", "org-table", "org-name", "flags"].map(str::to_owned).into()
    });
    Comparison {
        keyspace,
        order: &Order::Exact,
        has_order_by: true,
        may_use_temporary: true,
        ignored: &IGNORED,
    }
}

fn prepared(client: &mut Client, query: &str) -> Result<Vec<Reply>, String> {
    match client.prepare(query)? {
        Ok(statement) => {
            let replies = client.execute(statement.id, &[])?;
            client.close(statement.id)?;
            Ok(replies)
        }
        Err(error) => Ok(vec![Reply::Err(error)]),
    }
}

const REGIONS: [&str; 5] = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"];

/// Nations with their regions.
const NATIONS: [(&str, usize); 12] = [
    ("ALGERIA", 0),
    ("BRAZIL", 1),
    ("CANADA", 1),
    ("CHINA", 2),
    ("FRANCE", 3),
    ("GERMANY", 3),
    ("INDIA", 2),
    ("JAPAN", 2),
    ("KENYA", 0),
    ("PERU", 1),
    ("SAUDI ARABIA", 4),
    ("ROMANIA", 3),
];

/// All rows, as INSERT statements.
fn inserts() -> Vec<String> {
    let mut random = Random::new(22);
    let random = &mut random;
    let mut all = Vec::new();
    let regions = REGIONS.iter().enumerate().map(|(key, name)| format!("({key}, '{name}', null)"));
    all.extend(insert("region (r_regionkey, r_name, r_comment)", regions.collect()));
    let nations =
        NATIONS.iter().enumerate().map(|(key, (name, region))| format!("({key}, '{name}', {region}, null)"));
    all.extend(insert("nation (n_nationkey, n_name, n_regionkey, n_comment)", nations.collect()));
    all.extend(suppliers(random));
    all.extend(parts(random));
    all.extend(customers(random));
    all.extend(orders(random));
    all
}

fn insert(table: &str, rows: Vec<String>) -> Vec<String> {
    rows.chunks(BATCH).map(|rows| format!("insert into {table} values {}", rows.join(", "))).collect()
}

fn money(random: &mut Random, low: u64, high: u64) -> String {
    format!("{}.{:02}", random.between(low, high), random.below(100))
}

fn phone(random: &mut Random, nation: u64) -> String {
    let mut part = || random.between(100, 999);
    format!("{}-{}-{}-{}", nation + 13, part(), part(), part() + 1000)
}

fn suppliers(random: &mut Random) -> Vec<String> {
    let rows = (1..=SUPPLIERS).map(|key| {
        // One of each nation.
        let nation = key % NATIONS.len() as u64;
        let comment = random.pick(&["quick", "Customer many Complaints", "ironic deposits", "careful"]);
        let (phone, balance) = (phone(random, nation), money(random, 0, 9000));
        format!("({key}, 'Supplier#{key:09}', 'street {key}', {nation}, '{phone}', {balance}, '{comment}')")
    });
    let columns = "s_suppkey, s_name, s_address, s_nationkey, s_phone, s_acctbal, s_comment";
    insert(&format!("supplier ({columns})"), rows.collect())
}

fn parts(random: &mut Random) -> Vec<String> {
    const COLOURS: [&str; 5] = ["green", "forest", "blue", "red", "ivory"];
    const KINDS: [&str; 4] = ["ECONOMY", "PROMO", "MEDIUM POLISHED", "STANDARD"];
    let (mut parts, mut supplies) = (Vec::new(), Vec::new());
    for key in 1..=PARTS {
        let name = format!("{} {}", random.pick(&COLOURS), random.pick(&COLOURS));
        let brand = format!("Brand#{}", random.pick(&["12", "23", "34", "45"]));
        let kind = format!("{} {}", random.pick(&KINDS), random.pick(&["BRASS", "BRASS", "STEEL", "TIN"]));
        let container =
            format!("{} {}", random.pick(&["SM", "MED", "LG"]), random.pick(&["BOX", "CASE", "PKG", "BAG"]));
        let (size, price) = (random.between(1, 50), money(random, 900, 1100));
        parts.push(format!(
            "({key}, '{name}', 'Manufacturer#1', '{brand}', '{kind}', {size}, '{container}', {price}, 'of {key}')"
        ));
        let first = random.below(SUPPLIERS);
        for step in 0..3 {
            let supplier = (first + step * 4) % SUPPLIERS + 1;
            let (quantity, cost) = (random.between(1, 200), money(random, 1, 99));
            supplies.push(format!("({key}, {supplier}, {quantity}, {cost}, 'x')"));
        }
    }
    let columns = "p_partkey, p_name, p_mfgr, p_brand, p_type, p_size, p_container, p_retailprice, p_comment";
    let mut all = insert(&format!("part ({columns})"), parts);
    let columns = "ps_partkey, ps_suppkey, ps_availqty, ps_supplycost, ps_comment";
    all.extend(insert(&format!("partsupp ({columns})"), supplies));
    all
}

fn customers(random: &mut Random) -> Vec<String> {
    let rows = (1..=CUSTOMERS).map(|key| {
        let nation = random.below(NATIONS.len() as u64);
        let segment = random.pick(&["BUILDING", "MACHINERY", "FURNITURE"]);
        let sign = random.pick(&["", "", "-"]);
        let (phone, balance) = (phone(random, nation), money(random, 0, 9000));
        format!(
            "({key}, 'Customer#{key:09}', 'road {key}', {nation}, '{phone}', {sign}{balance}, '{segment}', 'c')"
        )
    });
    let columns = "c_custkey, c_name, c_address, c_nationkey, c_phone, c_acctbal, c_mktsegment, c_comment";
    insert(&format!("customer ({columns})"), rows.collect())
}

fn orders(random: &mut Random) -> Vec<String> {
    const PRIORITIES: [&str; 5] = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"];
    const MODES: [&str; 6] = ["MAIL", "SHIP", "AIR", "REG AIR", "RAIL", "TRUCK"];
    let (mut orders, mut lines) = (Vec::new(), Vec::new());
    for key in 1..=ORDERS {
        // A third of the customers never orders.
        let customer = random.below(CUSTOMERS * 2 / 3) + 1;
        let (year, month, day) = (random.between(1992, 1998), random.between(1, 12), random.between(1, 28));
        let date = format!("{year}-{month:02}-{day:02}");
        let status = random.pick(&["F", "O", "P"]);
        let priority = random.pick(&PRIORITIES);
        let comment = random.pick(&["special packages requests", "none", "final"]);
        let price = money(random, 1000, 300_000);
        orders.push(format!(
            "({key}, {customer}, '{status}', {price}, '{date}', '{priority}', 'Clerk#1', 0, '{comment}')"
        ));
        for line in 1..=random.between(1, 7) {
            let part = random.between(1, PARTS);
            let supplier = random.between(1, SUPPLIERS);
            let quantity = random.between(1, 50);
            let (price, discount, tax) = (money(random, 900, 50_000), random.below(11), random.below(9));
            let mut later =
                |most: u64| format!("date_add('{date}', interval {} day)", random.between(1, most));
            let (shipped, committed, received) = (later(90), later(90), later(120));
            let mode = random.pick(&MODES);
            let flag = random.pick(&["R", "A", "N"]);
            let line_status = random.pick(&["O", "F"]);
            lines.push(format!(
                "({key}, {part}, {supplier}, {line}, {quantity}, {price}, 0.{discount:02}, 0.{tax:02}, '{flag}', \
                 '{line_status}', {shipped}, {committed}, {received}, 'NONE', '{mode}', 'l')"
            ));
        }
    }
    let columns = "o_orderkey, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk, \
                   o_shippriority, o_comment";
    let mut all = insert(&format!("orders ({columns})"), orders);
    let columns = "l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, \
                   l_returnflag, l_linestatus, l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, l_comment";
    all.extend(insert(&format!("lineitem ({columns})"), lines));
    all
}
