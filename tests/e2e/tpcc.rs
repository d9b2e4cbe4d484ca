//! The transactions of the TPC-C benchmark at a small scale, step by step on one server and on 1, 2 and 4 shards: every
//! answer, the consistency conditions, and the tables at the end must be the same.
//!
//! Tables and profiles follow the specification (TPC-C, clauses 1.3 and 2.4–2.8) with fewer columns; rows and inputs come
//! from a small generator of our own. Every second transaction is prepared.

use std::collections::BTreeSet;

use crate::client::{Client, Reply};
use crate::compare::Comparison;
use crate::environment::{Environment, Keyspace, Topology, create_database};
use crate::generated;
use crate::protocol::Case;
use crate::random::Random;
use crate::script::Order;

pub const CASES: &[Case] = &[("transactions", transactions)];

const SCHEMA: &str = include_str!("tpcc/schema.sql");
const VSCHEMA: &str = include_str!("tpcc/vschema.json");

const WAREHOUSES: u64 = 4;
const DISTRICTS: u64 = 2;
const CUSTOMERS: u64 = 6;
const ITEMS: u64 = 20;
const TRANSACTIONS: usize = 40;

/// Clause 3.3.2 and what else must hold over all warehouses; most of it joins or groups across shards.
const CHECKS: [&str; 8] = [
    "select w_id, w_ytd, sum(d_ytd) from warehouse, district where d_w_id = w_id group by w_id, w_ytd having w_ytd <> sum(d_ytd) order by w_id",
    "select d_w_id, d_id, d_next_o_id - 1, max(o_id) from district, orders where o_w_id = d_w_id and o_d_id = d_id group by d_w_id, d_id, d_next_o_id order by d_w_id, d_id",
    "select sum(o_ol_cnt), (select count(*) from order_line) from orders",
    "select count(*), count(distinct s_i_id) from stock where s_quantity < 30",
    "select i_name, sum(ol_quantity) as sold, count(distinct ol_w_id) from order_line join item on i_id = ol_i_id group by i_name order by sold desc, i_name limit 5",
    "select ol_supply_w_id, ol_w_id, count(*) from order_line join stock on s_w_id = ol_supply_w_id and s_i_id = ol_i_id where ol_supply_w_id <> ol_w_id group by ol_supply_w_id, ol_w_id order by 1, 2",
    "select c_last, sum(c_balance), avg(c_payment_cnt) from customer group by c_last order by c_last",
    "select c.c_w_id, c.c_id, h.h_w_id, h.h_amount from history h join customer c on c.c_w_id = h.h_c_w_id and c.c_d_id = h.h_c_d_id and c.c_id = h.h_c_id where h.h_w_id <> h.h_c_w_id order by 1, 2, 3, 4",
];

fn transactions(environment: &mut Environment) -> Result<(), String> {
    let topology = topology();
    let creates = || SCHEMA.lines().map(|line| line.trim_end_matches(';').to_owned()).collect::<Vec<_>>();
    environment.create_databases(&topology, |_| creates())?;
    let router = environment.another_router(&environment.folder.join("tpcc"), &topology)?;
    for Keyspace { name, .. } in &topology.keyspaces {
        create_database(&environment.plain, "tpcc", &creates())?;
        let mut both = Both {
            plain: Client::login(&environment.plain_options().database("tpcc"))?,
            router: Client::login(&environment.options_of(&router).database(name))?,
            keyspace: name,
            is_prepared: false,
        };
        load().iter().try_for_each(|insert| both.same(insert).map(drop))?;
        let mut random = Random::new(5);
        for number in 0..TRANSACTIONS {
            both.is_prepared = number % 2 == 1;
            transaction(&mut both, &mut random)?;
        }
        for check in CHECKS {
            for is_prepared in [false, true] {
                both.is_prepared = is_prepared;
                both.same(check)?;
            }
        }
        both.is_prepared = false;
        for table in SCHEMA.lines().filter_map(|line| line.strip_prefix("create table ")?.split(' ').next()) {
            both.same(&format!("select * from {table}"))?;
        }
    }
    Ok(())
}

fn topology() -> Topology {
    let keyspace = |name: &str, shards: &[&str]| Keyspace {
        name: name.to_owned(),
        shards: shards.iter().enumerate().map(|(server, shard)| ((*shard).to_owned(), server)).collect(),
        vschema: VSCHEMA.to_owned(),
    };
    Topology {
        keyspaces: vec![
            keyspace("c1", &["-"]),
            keyspace("c2", &["-80", "80-"]),
            keyspace("c4", &["-40", "40-80", "80-c0", "c0-"]),
        ],
    }
}

/// One client on each side.
struct Both<'a> {
    plain: Client,
    router: Client,
    keyspace: &'a str,
    is_prepared: bool,
}

impl Both<'_> {
    /// Runs a statement on both sides, compares, and gives the rows.
    fn same(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let expected = answer(&mut self.plain, sql, self.is_prepared)?;
        let got = answer(&mut self.router, sql, self.is_prepared)?;
        let (rows, is_error) = match expected.last() {
            Some(Reply::Rows(set)) => (set.text_rows(), false),
            Some(Reply::Err(_)) => (Vec::new(), true),
            _ => (Vec::new(), false),
        };
        let ignored: BTreeSet<_> =
            ["schema", "table", "org-table", "org-name", "flags"].map(str::to_owned).into();
        let has_order_by = sql.contains("order by");
        let order = if has_order_by { Order::Exact } else { Order::Multiset };
        let comparison = Comparison {
            keyspace: self.keyspace,
            order: &order,
            has_order_by,
            may_use_temporary: true,
            ignored: &ignored,
        };
        let differences = comparison.replies(&expected, &got);
        if is_error || !differences.is_empty() {
            let what =
                if is_error { "the plain server refuses it".to_owned() } else { differences.join("\n    ") };
            return Err(format!("{} (prepared: {}): {sql}\n    {what}", self.keyspace, self.is_prepared));
        }
        Ok(rows)
    }

    /// The number in the first column of the first row.
    fn number(&mut self, sql: &str) -> Result<Option<u64>, String> {
        let rows = self.same(sql)?;
        Ok(rows.first().and_then(|row| row[0].as_deref()?.parse().ok()))
    }
}

fn answer(client: &mut Client, sql: &str, is_prepared: bool) -> Result<Vec<Reply>, String> {
    let is_preparable = !["begin", "commit", "rollback"].contains(&sql);
    if !is_prepared || !is_preparable {
        return Ok(client.query(sql)?);
    }
    Ok(generated::answer(client, sql, true)?)
}

fn load() -> Vec<String> {
    let mut random = Random::new(3);
    let mut all = Vec::new();
    let items: Vec<_> = (1..=ITEMS)
        .map(|item| {
            format!("({item}, 'item {item}', {}.{:02}, 'data')", random.between(1, 99), random.below(100))
        })
        .collect();
    all.push(format!("insert into item (i_id, i_name, i_price, i_data) values {}", items.join(", ")));
    for w in 1..=WAREHOUSES {
        all.push(format!(
            "insert into warehouse (w_id, w_name, w_tax, w_ytd) values ({w}, 'W{w}', 0.1{w}, 0)"
        ));
        let stock: Vec<_> = (1..=ITEMS)
            .map(|item| format!("({w}, {item}, {}, 'dist', 0, 0, 0, 'stock')", random.between(10, 100)))
            .collect();
        let columns = "s_w_id, s_i_id, s_quantity, s_dist, s_ytd, s_order_cnt, s_remote_cnt, s_data";
        all.push(format!("insert into stock ({columns}) values {}", stock.join(", ")));
        for d in 1..=DISTRICTS {
            let columns = "d_w_id, d_id, d_name, d_tax, d_ytd, d_next_o_id";
            all.push(format!("insert into district ({columns}) values ({w}, {d}, 'D{d}', 0.05, 0, 1)"));
            let customers: Vec<_> = (1..=CUSTOMERS)
                .map(|c| {
                    let last = random.pick(&["BAR", "OUGHT", "ABLE", "PRI"]);
                    let credit = random.pick(&["GC", "GC", "BC"]);
                    format!("({w}, {d}, {c}, 'first{c}', '{last}', '{credit}', 0.0{c}, -10, 10, 1, 0, 'd')")
                })
                .collect();
            let columns = "c_w_id, c_d_id, c_id, c_first, c_last, c_credit, c_discount, c_balance, c_ytd_payment, \
                           c_payment_cnt, c_delivery_cnt, c_data";
            all.push(format!("insert into customer ({columns}) values {}", customers.join(", ")));
        }
    }
    all
}

fn transaction(both: &mut Both<'_>, random: &mut Random) -> Result<(), String> {
    let (w, d, c) =
        (random.between(1, WAREHOUSES), random.between(1, DISTRICTS), random.between(1, CUSTOMERS));
    both.same("begin")?;
    let is_done = match random.below(100) {
        0..45 => new_order(both, random, w, d, c)?,
        45..80 => payment(both, random, w, d, c)?,
        80..88 => order_status(both, w, d, c)?,
        88..94 => delivery(both, random, w)?,
        _ => stock_level(both, w, d)?,
    };
    both.same(if is_done { "commit" } else { "rollback" })?;
    Ok(())
}

/// Clause 2.4; one in ten ends with an item that does not exist and is rolled back.
fn new_order(both: &mut Both<'_>, random: &mut Random, w: u64, d: u64, c: u64) -> Result<bool, String> {
    both.same(&format!(
        "select c_discount, c_last, c_credit, w_tax from customer, warehouse where w_id = {w} and c_w_id = w_id and c_d_id = {d} and c_id = {c}"
    ))?;
    let order = both
        .number(&format!(
            "select d_next_o_id, d_tax from district where d_w_id = {w} and d_id = {d} for update"
        ))?
        .ok_or("no district")?;
    both.same(&format!("update district set d_next_o_id = {order} + 1 where d_w_id = {w} and d_id = {d}"))?;
    let count = random.between(2, 5);
    both.same(&format!(
        "insert into orders (o_id, o_d_id, o_w_id, o_c_id, o_entry_d, o_ol_cnt, o_all_local) values ({order}, {d}, {w}, {c}, '2024-05-01 10:00:00', {count}, 1)"
    ))?;
    both.same(&format!("insert into new_orders (no_o_id, no_d_id, no_w_id) values ({order}, {d}, {w})"))?;
    let fails = random.chance(10);
    for line in 1..=count {
        let item = if fails && line == count { ITEMS + 1 } else { random.between(1, ITEMS) };
        let price = both.same(&format!("select i_price, i_name, i_data from item where i_id = {item}"))?;
        let Some(price) = price.first().and_then(|row| row[0].clone()) else { return Ok(false) };
        let supply = if random.chance(30) { random.between(1, WAREHOUSES) } else { w };
        let stock = both
            .number(&format!("select s_quantity, s_data, s_dist from stock where s_i_id = {item} and s_w_id = {supply} for update"))?
            .ok_or("no stock")?;
        let quantity = random.between(1, 10);
        let left = if stock > quantity + 10 { stock - quantity } else { stock + 91 - quantity };
        let remote = u64::from(supply != w);
        both.same(&format!(
            "update stock set s_quantity = {left}, s_ytd = s_ytd + {quantity}, s_order_cnt = s_order_cnt + 1, s_remote_cnt = s_remote_cnt + {remote} where s_i_id = {item} and s_w_id = {supply}"
        ))?;
        both.same(&format!(
            "insert into order_line (ol_o_id, ol_d_id, ol_w_id, ol_number, ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_dist_info) values ({order}, {d}, {w}, {line}, {item}, {supply}, {quantity}, {quantity} * {price}, 'dist')"
        ))?;
    }
    Ok(true)
}

/// Clause 2.5; some customers pay at another warehouse, and most are found by their last name.
fn payment(both: &mut Both<'_>, random: &mut Random, w: u64, d: u64, c: u64) -> Result<bool, String> {
    let amount = format!("{}.{:02}", random.between(1, 500), random.below(100));
    let home = if random.chance(25) { random.between(1, WAREHOUSES) } else { w };
    both.same(&format!("update warehouse set w_ytd = w_ytd + {amount} where w_id = {w}"))?;
    both.same(&format!("select w_name from warehouse where w_id = {w}"))?;
    both.same(&format!("update district set d_ytd = d_ytd + {amount} where d_w_id = {w} and d_id = {d}"))?;
    let mut customer = c;
    if random.chance(60) {
        let last = random.pick(&["BAR", "OUGHT", "ABLE", "PRI"]);
        let rows = both.same(&format!(
            "select c_id, c_first from customer where c_w_id = {home} and c_d_id = {d} and c_last = '{last}' order by c_first"
        ))?;
        let middle = rows.get(rows.len() / 2).and_then(|row| row[0].as_deref()?.parse().ok());
        customer = middle.unwrap_or(c);
    }
    both.same(&format!(
        "select c_credit, c_balance from customer where c_w_id = {home} and c_d_id = {d} and c_id = {customer} for update"
    ))?;
    both.same(&format!(
        "update customer set c_balance = c_balance - {amount}, c_ytd_payment = c_ytd_payment + {amount}, c_payment_cnt = c_payment_cnt + 1, c_data = if(c_credit = 'BC', left(concat('{customer} {amount}|', c_data), 200), c_data) where c_w_id = {home} and c_d_id = {d} and c_id = {customer}"
    ))?;
    both.same(&format!(
        "insert into history (h_c_d_id, h_c_w_id, h_c_id, h_d_id, h_w_id, h_date, h_amount, h_data) values ({d}, {home}, {customer}, {d}, {w}, '2024-05-01 11:00:00', {amount}, 'paid')"
    ))?;
    Ok(true)
}

/// Clause 2.6.
fn order_status(both: &mut Both<'_>, w: u64, d: u64, c: u64) -> Result<bool, String> {
    both.same(&format!(
        "select c_balance, c_first, c_last from customer where c_w_id = {w} and c_d_id = {d} and c_id = {c}"
    ))?;
    both.same(&format!(
        "select o_id, o_carrier_id, o_entry_d from orders where o_w_id = {w} and o_d_id = {d} and o_c_id = {c} and o_id = (select max(o_id) from orders where o_w_id = {w} and o_d_id = {d} and o_c_id = {c})"
    ))?;
    both.same(&format!(
        "select ol_o_id, ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d from order_line where ol_w_id = {w} and ol_d_id = {d} order by ol_o_id, ol_number"
    ))?;
    Ok(true)
}

/// Clause 2.7: the oldest undelivered order of each district.
fn delivery(both: &mut Both<'_>, random: &mut Random, w: u64) -> Result<bool, String> {
    let carrier = random.between(1, 10);
    for d in 1..=DISTRICTS {
        let oldest = format!("select min(no_o_id) from new_orders where no_d_id = {d} and no_w_id = {w}");
        let Some(order) = both.number(&oldest)? else { continue };
        both.same(&format!(
            "delete from new_orders where no_o_id = {order} and no_d_id = {d} and no_w_id = {w}"
        ))?;
        let customer = both
            .number(&format!(
                "select o_c_id from orders where o_id = {order} and o_d_id = {d} and o_w_id = {w}"
            ))?
            .ok_or("no order")?;
        both.same(&format!(
            "update orders set o_carrier_id = {carrier} where o_id = {order} and o_d_id = {d} and o_w_id = {w}"
        ))?;
        both.same(&format!(
            "update order_line set ol_delivery_d = '2024-05-02 08:00:00' where ol_o_id = {order} and ol_d_id = {d} and ol_w_id = {w}"
        ))?;
        both.same(&format!(
            "update customer set c_balance = c_balance + (select sum(ol_amount) from order_line where ol_o_id = {order} and ol_d_id = {d} and ol_w_id = {w}), c_delivery_cnt = c_delivery_cnt + 1 where c_id = {customer} and c_d_id = {d} and c_w_id = {w}"
        ))?;
    }
    Ok(true)
}

/// Clause 2.8.
fn stock_level(both: &mut Both<'_>, w: u64, d: u64) -> Result<bool, String> {
    both.same(&format!(
        "select count(distinct s_i_id) from order_line, stock, district where d_w_id = {w} and d_id = {d} and ol_w_id = {w} and ol_d_id = {d} and ol_o_id < d_next_o_id and ol_o_id >= d_next_o_id - 20 and s_w_id = {w} and s_i_id = ol_i_id and s_quantity < 40"
    ))?;
    Ok(true)
}
