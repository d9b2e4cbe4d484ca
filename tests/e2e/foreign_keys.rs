//! Generated writes on tables with foreign keys that the router keeps: random actions of keys, keys over several levels, of
//! several columns, within a table, and two ways to one row. Outcomes, affected rows and all tables are one server's.
//!
//! `SHARDGATE_WRITES` and `SHARDGATE_SEED` choose another run, as for the write scripts.

use crate::environment::Environment;
use crate::protocol::Case;
use crate::random::Random;
use crate::write_scripts::{Counts, Sides, look, step, wanted};

pub const CASES: &[Case] = &[
    ("writes_on_1_shard", |environment| run(environment, "s1", 41)),
    ("writes_on_2_shards", |environment| run(environment, "s2", 42)),
    ("writes_on_4_shards", |environment| run(environment, "s4", 43)),
];

/// Statements per keyspace in a run of all tests.
const STATEMENTS: u64 = 120;

/// Statements before the tables get other foreign keys.
const PER_SCHEMA: u64 = 120;

/// Statements between two looks at all tables.
const LOOK_EVERY: u64 = 8;

/// Differences listed before the run gives up.
const DIFFERENCES_MAX: usize = 6;

/// What is shown of a script that fails.
const HISTORY_SHOWN: usize = 14;

const TABLES: [&str; 11] = [
    "fk_homes",
    "fk_colors",
    "fk_bids",
    "fk_lots",
    "fk_staff",
    "fk_checks",
    "fk_notes",
    "fk_addresses",
    "fk_medals",
    "fk_pets",
    "fk_owners",
];

const QUERIES: [&str; 11] = [
    "select * from fk_owners order by id",
    "select * from fk_pets order by id",
    "select * from fk_medals order by id",
    "select * from fk_addresses order by owner_id, n",
    "select * from fk_notes order by id",
    "select * from fk_checks order by id",
    "select * from fk_staff order by id",
    "select * from fk_lots order by region, no",
    "select * from fk_bids order by id",
    "select * from fk_colors order by code",
    "select * from fk_homes order by id",
];

fn run(environment: &mut Environment, keyspace: &str, seed: u64) -> Result<(), String> {
    let (count, seed) = wanted(STATEMENTS, seed)?;
    let mut writer = Writer { random: Random::new(seed), next_code: 100 };
    let (mut counts, mut found, mut number) = (Counts::default(), Vec::new(), 0);
    while number < count && found.len() < DIFFERENCES_MAX {
        let mut sides = Sides::start(environment, keyspace, false)?;
        let schema = writer.schema();
        for sql in schema.iter().chain(&ROWS.map(str::to_owned)) {
            sides.run(sql).map_err(|error| format!("{sql}: {error}"))?;
        }
        let end = count.min(number + PER_SCHEMA);
        while number < end {
            number += 1;
            let sql = writer.statement();
            let may_prepare = writer.random.chance(30);
            let mut differences = step(&mut sides, &sql, may_prepare, keyspace, &mut counts)?;
            differences.retain(|difference| !is_accident(difference));
            if number % LOOK_EVERY == 0 || !differences.is_empty() {
                differences.extend(look(&mut sides, keyspace, &QUERIES)?);
            }
            if !differences.is_empty() {
                let keys: Vec<&str> = schema
                    .iter()
                    .filter_map(|sql| sql.split_once("constraint "))
                    .map(|(_, key)| key)
                    .collect();
                found.push(format!(
                    "{}\n    {}",
                    keys.join("\n    "),
                    sides.report(number, HISTORY_SHOWN, &differences)
                ));
                break;
            }
        }
        sides.run("rollback")?;
        sides.run("set foreign_key_checks = 0")?;
        sides.run(&format!("drop table {}", TABLES.join(", ")))?;
        sides.end()?;
    }
    counts.print(number, seed);
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

/// Of several constraints that a row violates, engines and versions name one or the other.
fn is_accident(difference: &str) -> bool {
    let said = difference.strip_prefix("errno: plain ").and_then(|text| text.split_once(" router "));
    let is_violation = |errno: &str| ["1062", "1451", "1452"].contains(&errno);
    said.is_some_and(|(plain, router)| is_violation(plain) && is_violation(router))
}

const ROWS: [&str; 9] = [
    "insert into fk_owners values (1, 10, 'ann'), (2, 20, 'bob'), (3, 30, 'cyd'), (4, null, 'dan'), (5, 50, 'eve')",
    "insert into fk_pets values (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (4, null, 'd'), (5, 5, 'e'), (6, 5, 'f')",
    "insert into fk_medals values (1, 10), (2, 20), (3, 30), (4, 10), (5, null)",
    "insert into fk_notes values (1, 1, 'n'), (2, 2, 'n'), (3, 3, 'n'), (4, null, 'n'), (5, 5, 'n')",
    "insert into fk_staff values (1, null, 'top'), (2, 1, 'b'), (3, 1, 'c'), (4, 2, 'd'), (5, 5, 'own')",
    "insert into fk_lots values (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c'), (2, 2, 'd')",
    "insert into fk_bids values (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, null, 9), (5, 9, null)",
    "insert into fk_colors values ('re', 'red'), ('gr', 'green'), ('bl', 'blue')",
    "insert into fk_homes values (1, 're', 1), (2, 'gr', 2), (3, null, 3), (4, 'bl', null)",
];

struct Writer {
    random: Random,
    /// Shards do not know of each other's unique keys: no code is used twice.
    next_code: u64,
}

impl Writer {
    /// The tables, with random actions.
    fn schema(&mut self) -> Vec<String> {
        let pets = self.actions(true);
        let medals = self.actions(true);
        let addresses = self.actions(false);
        let notes = self.actions(true);
        let checks = self.actions(false);
        let staff = self.actions(true);
        let bids = self.actions(true);
        let colors = self.actions(true);
        let homes = self.actions(true);
        let second = match self.random.chance(50) {
            true => format!(
                ", constraint check_code foreign key (code) references fk_owners (code){}",
                self.actions(true)
            ),
            false => String::new(),
        };
        vec![
            "create table fk_owners (id bigint not null primary key, code int, name varchar(20), unique key (code))".to_owned(),
            format!("create table fk_pets (id bigint not null primary key, owner_id bigint, name varchar(20), \
                 constraint pet_owner foreign key (owner_id) references fk_owners (id){pets})"),
            format!("create table fk_medals (id bigint not null primary key, code int, \
                 constraint medal_code foreign key (code) references fk_owners (code){medals})"),
            format!("create table fk_addresses (owner_id bigint not null, n int not null, street varchar(20), primary key (owner_id, n), \
                 constraint address_owner foreign key (owner_id) references fk_owners (id){addresses})"),
            format!("create table fk_notes (id bigint not null primary key, pet_id bigint, body varchar(20), \
                 constraint note_pet foreign key (pet_id) references fk_pets (id){notes})"),
            format!("create table fk_checks (id bigint not null primary key, pet_id bigint not null, code int, \
                 constraint check_pet foreign key (pet_id) references fk_pets (id){checks}{second})"),
            format!("create table fk_staff (id bigint not null primary key, boss bigint, name varchar(20), \
                 constraint staff_boss foreign key (boss) references fk_staff (id){staff})"),
            "create table fk_lots (region int not null, no int not null, note varchar(10), primary key (region, no))".to_owned(),
            format!("create table fk_bids (id bigint not null primary key, region int, lot int, \
                 constraint bid_lot foreign key (region, lot) references fk_lots (region, no){bids})"),
            "create table fk_colors (code char(2) not null primary key, title varchar(20))".to_owned(),
            format!("create table fk_homes (id bigint not null primary key, color char(2), owner_id bigint, \
                 constraint home_color foreign key (color) references fk_colors (code){colors}, \
                 constraint home_owner foreign key (owner_id) references fk_owners (id){homes})"),
        ]
    }

    /// `ON DELETE` and `ON UPDATE` of a key.
    fn actions(&mut self, may_be_null: bool) -> String {
        let mut action = |on: &str| {
            let list: &[&str] = match may_be_null {
                true => &["cascade", "cascade", "set null", "set null", "restrict", "no action", ""],
                false => &["cascade", "cascade", "restrict", "no action", ""],
            };
            match self.random.pick(list) {
                "" => String::new(),
                action => format!(" on {on} {action}"),
            }
        };
        action("delete") + &action("update")
    }

    fn statement(&mut self) -> String {
        match self.random.below(100) {
            0..4 => "begin".to_owned(),
            4..8 => self.random.pick(&["commit", "commit", "rollback"]).to_owned(),
            8..14 => {
                let list = [
                    "savepoint s",
                    "savepoint s",
                    "savepoint t",
                    "rollback to s",
                    "rollback to t",
                    "release savepoint s",
                ];
                self.random.pick(&list).to_owned()
            }
            14 => self
                .random
                .pick(&["set autocommit = 0", "set autocommit = 1", "set autocommit = 1"])
                .to_owned(),
            15..48 => self.insert(),
            48..74 => self.update(),
            74..94 => self.delete(),
            _ => self.joined(),
        }
    }

    fn id(&mut self) -> u64 {
        1 + self.random.below(9)
    }

    /// What refers to an id, now and then to nothing.
    fn reference(&mut self) -> String {
        if self.random.chance(12) { "null".to_owned() } else { self.id().to_string() }
    }

    /// A new code, or none.
    fn code(&mut self) -> String {
        self.next_code += 1;
        if self.random.chance(15) { "null".to_owned() } else { self.next_code.to_string() }
    }

    /// A code that an owner may have.
    fn known_code(&mut self) -> String {
        match self.random.below(8) {
            0 => "null".to_owned(),
            1..4 => self.random.pick(&["10", "20", "30", "50"]).to_owned(),
            _ => self.next_code.saturating_sub(self.random.below(8)).to_string(),
        }
    }

    fn color(&mut self) -> String {
        self.random.pick(&["'re'", "'gr'", "'bl'", "'RE'", "'xx'", "null"]).to_owned()
    }

    fn row(&mut self, table: &str) -> String {
        let id = self.id();
        match table {
            "fk_owners" => format!("({id}, {}, 'new')", self.code()),
            "fk_pets" => format!("({id}, {}, 'new')", self.reference()),
            "fk_medals" => format!("({id}, {})", self.known_code()),
            "fk_addresses" => format!("({id}, {}, 'new')", self.random.below(3)),
            "fk_notes" => format!("({id}, {}, 'new')", self.reference()),
            "fk_checks" => format!("({id}, {}, {})", self.id(), self.known_code()),
            "fk_staff" => format!("({id}, {}, 'new')", self.reference()),
            "fk_lots" => format!("({}, {}, 'new')", self.random.below(4), self.random.below(4)),
            "fk_bids" => {
                let number = |random: &mut Random| {
                    if random.chance(10) { "null".to_owned() } else { random.below(4).to_string() }
                };
                format!("({id}, {}, {})", number(&mut self.random), number(&mut self.random))
            }
            "fk_colors" => format!("({}, 'new')", self.random.pick(&["'re'", "'gr'", "'bl'", "'ye'"])),
            _ => format!("({id}, {}, {})", self.color(), self.reference()),
        }
    }

    fn insert(&mut self) -> String {
        let table = self.random.pick(&TABLES);
        let count = if self.random.chance(60) { 1 } else { 2 + self.random.below(3) };
        let rows: Vec<String> = (0..count).map(|_| self.row(table)).collect();
        let rows = rows.join(", ");
        match self.random.below(12) {
            0 => format!("insert ignore into {table} values {rows}"),
            1 | 2 => format!("replace into {table} values {rows}"),
            3 => {
                let set = self.assigned(table);
                let rows = if Self::is_new_code(table, &set) { self.row(table) } else { rows };
                format!("insert into {table} values {rows} on duplicate key update {set}")
            }
            4 => match self.random.below(3) {
                0 => "insert into fk_pets (id, owner_id) select id + 5, id from fk_owners order by id"
                    .to_owned(),
                1 => format!(
                    "insert into fk_notes (id, pet_id) select id + 4, id + {} from fk_pets order by id",
                    self.random.below(2)
                ),
                _ => {
                    format!(
                        "insert into fk_staff (id, boss) select id, {} from fk_owners order by id",
                        self.reference()
                    )
                }
            },
            _ => format!("insert into {table} values {rows}"),
        }
    }

    /// What SET gives to a row of the table.
    fn assigned(&mut self, table: &str) -> String {
        let id = self.id();
        match (table, self.random.below(4)) {
            ("fk_owners", 0 | 1) => format!("id = {id}"),
            ("fk_owners", 2) => format!("code = {}", self.code()),
            ("fk_pets" | "fk_homes", 0..3) => format!("owner_id = {}", self.reference()),
            ("fk_medals", 0..3) => format!("code = {}", self.known_code()),
            ("fk_addresses", 0 | 1) => format!("owner_id = {id}"),
            ("fk_notes", 0..3) => format!("pet_id = {}", self.reference()),
            ("fk_checks", 0 | 1) => format!("pet_id = {id}"),
            ("fk_checks", 2) => format!("code = {}", self.known_code()),
            ("fk_staff", 0 | 1) => format!("boss = {}", self.reference()),
            ("fk_lots", 0) => format!("region = {}", self.random.below(4)),
            ("fk_lots", 1) => format!("no = {}", self.random.below(4)),
            ("fk_bids", 0) => format!("lot = {}", self.random.below(4)),
            ("fk_bids", 1 | 2) => {
                format!("region = {}, lot = {}", self.random.below(4), self.random.below(4))
            }
            ("fk_colors", 0 | 1) => "code = 'ye'".to_owned(),
            ("fk_homes", _) => format!("color = {}", self.color()),
            ("fk_pets" | "fk_owners" | "fk_staff", 3) => "name = concat(name, '+')".to_owned(),
            ("fk_addresses" | "fk_lots", _) => {
                format!("{} = 'set'", if table == "fk_lots" { "note" } else { "street" })
            }
            ("fk_notes", _) => "body = 'set'".to_owned(),
            ("fk_colors", _) => "title = 'set'".to_owned(),
            _ => format!("id = {id}"),
        }
    }

    /// Does an assignment give an owner a code that no other has?
    fn is_new_code(table: &str, set: &str) -> bool {
        table == "fk_owners" && set.starts_with("code") && !set.ends_with("null")
    }

    fn key(table: &str) -> &'static str {
        match table {
            "fk_addresses" => "owner_id",
            "fk_lots" => "region",
            "fk_colors" => "code",
            _ => "id",
        }
    }

    fn condition(&mut self, table: &str) -> String {
        let key = Self::key(table);
        if table == "fk_colors" {
            return format!(" where code = {}", self.random.pick(&["'re'", "'gr'", "'bl'", "'RE'", "'ye'"]));
        }
        // Of what cannot be, servers say other things than of what is not there.
        let (a, b) = (self.id(), 9 + self.random.below(3));
        match self.random.below(8) {
            0..4 => format!(" where {key} = {a}"),
            4 => format!(" where {key} in ({a}, {b})"),
            5 => format!(" where {key} > {}", 3 + self.random.below(6)),
            6 => match table {
                "fk_pets" | "fk_homes" => format!(" where owner_id = {a}"),
                "fk_notes" | "fk_checks" => format!(" where pet_id = {a}"),
                "fk_staff" => format!(" where boss = {a}"),
                "fk_medals" => format!(" where code = {}", 10 * a),
                _ => format!(" where {key} between {a} and {b}"),
            },
            _ => String::new(),
        }
    }

    /// An order that leaves no choice, now and then with a limit.
    fn order(&mut self, table: &str) -> String {
        let key = match table {
            "fk_addresses" => ["owner_id, n", "owner_id desc, n desc"],
            "fk_lots" => ["region, no", "region desc, no desc"],
            "fk_colors" => ["code", "code desc"],
            _ => ["id", "id desc"],
        };
        if self.random.chance(65) {
            return String::new();
        }
        let order = format!(" order by {}", self.random.pick(&key));
        if self.random.chance(60) { format!("{order} limit {}", 1 + self.random.below(3)) } else { order }
    }

    fn update(&mut self) -> String {
        let table = self.random.pick(&TABLES);
        if self.random.chance(12) {
            let by = 1 + self.random.below(4);
            return match self.random.below(4) {
                0 => format!(
                    "update fk_owners set id = id + {by}{} order by id desc",
                    self.condition("fk_owners")
                ),
                1 => format!("update fk_pets set owner_id = owner_id + {by}{}", self.condition("fk_pets")),
                2 => format!(
                    "update fk_staff set id = id + {by}{} order by id desc",
                    self.condition("fk_staff")
                ),
                _ => format!(
                    "update fk_pets set id = id + {by}, owner_id = {}{}",
                    self.reference(),
                    self.condition("fk_pets")
                ),
            };
        }
        let (set, mut condition, order) = (self.assigned(table), self.condition(table), self.order(table));
        if Self::is_new_code(table, &set) {
            // Only the rows of one shard would be seen to have it twice.
            condition = format!(" where id = {}", self.id());
        }
        format!("update {table} set {set}{condition}{order}")
    }

    fn delete(&mut self) -> String {
        let table = self.random.pick(&TABLES);
        let (condition, order) = (self.condition(table), self.order(table));
        format!("delete from {table}{condition}{order}")
    }

    fn joined(&mut self) -> String {
        let id = self.id();
        match self.random.below(8) {
            0 => "update fk_pets p join fk_owners o on o.id = p.id set p.owner_id = o.id".to_owned(),
            1 => format!("update fk_pets set owner_id = (select max(id) from fk_owners) where id = {id}"),
            2 => format!("delete o from fk_owners o join fk_pets p on p.owner_id = o.id where p.id > {id}"),
            3 => "delete o from fk_owners o left join fk_pets p on p.owner_id = o.id where p.id is null"
                .to_owned(),
            4 => format!("delete from fk_pets where owner_id in (select id from fk_owners where id > {id})"),
            // Of a parent and its children only the server's join knows which are deleted first.
            5 => format!("delete m, n from fk_medals m join fk_notes n on n.id = m.id where m.id < {id}"),
            6 => format!("delete c, m from fk_checks c join fk_medals m on m.id = c.id where c.id = {id}"),
            _ => format!(
                "update fk_owners o join fk_pets p on p.owner_id = o.id set o.name = 'joined', p.owner_id = null where p.id = {id}"
            ),
        }
    }
}
