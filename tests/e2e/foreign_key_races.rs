//! Sessions that add children while others delete or change their parents, over shards: whoever comes first, no child is left
//! without its parent.
//!
//! A bounded number of turns (`SHARDGATE_WRITES` and `SHARDGATE_SEED` choose others), nothing about time. What the sessions
//! may be told on the way is a fixed list of errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::{Client, Options, Reply};
use crate::environment::Environment;
use crate::protocol::Case;
use crate::random::Random;
use crate::write_scripts::wanted;

pub const CASES: &[Case] = &[("no_child_without_its_parent", |environment| run(environment, "s4"))];

/// Sessions of each kind.
const SESSIONS: u64 = 3;

/// Transactions of each session.
const TURNS: u64 = 24;

/// Owners, few so that sessions meet.
const OWNERS: u64 = 6;

/// A wait that goes on for so long is a circle over several servers, which none of them sees.
const LOCK_WAIT_SECONDS: u64 = 1;

/// Duplicate rows, a parent that is missing or has children, a circle of waits on one server, and on several.
const EXPECTED: [u16; 5] = [1062, 1451, 1452, 1213, 1205];

const TABLES: [&str; 4] = [
    "create table fk_owners (id bigint not null primary key, code int, name varchar(20))",
    "create table fk_pets (id bigint not null primary key, owner_id bigint, name varchar(20), \
     constraint pet_owner foreign key (owner_id) references fk_owners (id) on delete cascade on update cascade)",
    "create table fk_notes (id bigint not null primary key, pet_id bigint, body varchar(20), \
     constraint note_pet foreign key (pet_id) references fk_pets (id) on delete set null on update cascade)",
    "create table fk_checks (id bigint not null primary key, owner_id bigint not null, \
     constraint check_owner foreign key (owner_id) references fk_owners (id))",
];

const ORPHANS: [&str; 3] = [
    "select count(*) from fk_pets c left join fk_owners p on c.owner_id = p.id where c.owner_id is not null and p.id is null",
    "select count(*) from fk_notes c left join fk_pets p on c.pet_id = p.id where c.pet_id is not null and p.id is null",
    "select count(*) from fk_checks c left join fk_owners p on c.owner_id = p.id where p.id is null",
];

fn run(environment: &mut Environment, keyspace: &str) -> Result<(), String> {
    environment.reset(keyspace, false)?;
    let options = || environment.router_options().database(keyspace);
    let mut client = Client::login(&options())?;
    for table in TABLES {
        client.run(table)?;
    }
    for owner in 1..=OWNERS {
        client.run(&format!("insert into fk_owners values ({owner}, {owner}, 'first')"))?;
    }
    let (turns, seed) = wanted(TURNS, 1)?;
    let done = Arc::new(AtomicUsize::new(0));
    let mut sessions = Vec::new();
    for session in 0..SESSIONS {
        for work in [add_children, change_parents, change_children] {
            let (options, done) = (options(), done.clone());
            sessions.push(std::thread::spawn(move || {
                take_turns(&options, turns, &mut Random::new(session * 7 + seed), work, &done)
            }));
        }
    }
    for session in sessions {
        session.join().map_err(|_| "a session panicked")??;
    }
    println!("  {} statements changed rows", done.load(Ordering::Relaxed));
    for query in ORPHANS {
        let count = client.rows(query)?.pop().and_then(|row| row.into_iter().next().flatten());
        if count.as_deref() != Some("0") {
            return Err(format!("{query}: {count:?}"));
        }
    }
    client.run("drop table fk_checks, fk_notes, fk_pets, fk_owners")?;
    match done.load(Ordering::Relaxed) {
        0 => Err("nothing was ever changed".to_owned()),
        _ => Ok(()),
    }
}

type Work = fn(&mut Random) -> String;

/// Transactions of one to three statements.
fn take_turns(
    options: &Options,
    turns: u64,
    random: &mut Random,
    work: Work,
    done: &AtomicUsize,
) -> Result<(), String> {
    let mut client = Client::login(options)?;
    client.run(&format!("set session innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}"))?;
    let level = random.pick(&["repeatable read", "read committed"]);
    client.run(&format!("set session transaction isolation level {level}"))?;
    for _ in 0..turns {
        let is_open = random.chance(50);
        if is_open {
            client.run("begin")?;
        }
        let mut is_lost = false;
        for _ in 0..if is_open { 2 } else { 1 } {
            let sql = work(random);
            match client.query(&sql)?.pop() {
                // On a busy machine a connection that waits for a lock may be given up: that costs the transaction.
                Some(Reply::Err(error)) if is_of_a_lost_connection(&error.message) => is_lost = true,
                Some(Reply::Err(error)) if !EXPECTED.contains(&error.errno) => {
                    return Err(format!("{sql}: {error}"));
                }
                Some(Reply::Ok(ok)) if ok.affected_rows > 0 => {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        if is_lost || is_open && random.chance(25) {
            client.run("rollback")?;
        } else if is_open {
            match client.query("commit")?.pop() {
                Some(Reply::Err(error)) if is_of_a_lost_connection(&error.message) => {
                    client.run("rollback")?
                }
                Some(Reply::Err(error)) => return Err(format!("commit: {error}")),
                _ => {}
            }
        }
    }
    Ok(())
}

fn is_of_a_lost_connection(message: &str) -> bool {
    ["VT15001", "VT14003"].iter().any(|code| message.contains(code))
}

fn owner(random: &mut Random) -> u64 {
    1 + random.below(OWNERS)
}

fn add_children(random: &mut Random) -> String {
    let (id, owner) = (random.below(500), owner(random));
    match random.below(8) {
        0..3 => format!("insert into fk_pets values ({id}, {owner}, 'x')"),
        3 => format!("insert into fk_checks values ({id}, {owner})"),
        4 => format!(
            "insert into fk_notes (id, pet_id) select id, id from fk_pets where owner_id = {owner} limit 2"
        ),
        5 => format!("insert ignore into fk_pets values ({id}, {owner}, 'i'), ({}, {owner}, 'i')", id + 500),
        6 => format!("replace into fk_pets values ({id}, {owner}, 'r')"),
        _ => format!(
            "insert into fk_pets values ({id}, {owner}, 'u') on duplicate key update owner_id = {owner}"
        ),
    }
}

fn change_parents(random: &mut Random) -> String {
    let owner = owner(random);
    match random.below(7) {
        0 | 1 => format!("delete from fk_owners where id = {owner}"),
        2 => format!("update fk_owners set id = id + {OWNERS} where id = {owner}"),
        3 => format!("update fk_owners set id = id - {OWNERS} where id = {}", owner + OWNERS),
        4 => "delete from fk_checks".to_owned(),
        _ => format!("insert into fk_owners values ({owner}, {owner}, 'again')"),
    }
}

fn change_children(random: &mut Random) -> String {
    let owner = owner(random);
    match random.below(6) {
        0 => format!("update fk_pets set owner_id = {owner} where owner_id = {}", owner % OWNERS + 1),
        1 => format!("delete from fk_pets where owner_id = {owner} limit 1"),
        2 => format!("update fk_pets set id = id + 1000 where owner_id = {owner} and id < 1000 limit 1"),
        5 => format!("update fk_pets set id = id - 1000 where owner_id = {owner} and id >= 1000 limit 2"),
        3 => format!("update fk_checks set owner_id = {owner} where owner_id = {}", owner % OWNERS + 1),
        _ => format!("update fk_notes set pet_id = null where id = {}", random.below(500)),
    }
}
