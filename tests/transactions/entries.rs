//! Rows that are found by a consistent lookup vindex, while routers and servers are killed between the commits of rows and
//! entries: every row is found afterwards, and entries without a row are in nobody's way.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use shardgate::twopc::FaultPoint;

use crate::bank::{self, Bank, Router};
use crate::client::{Client, Reply};
use crate::{Stop, is_long};

const CLIENTS: u64 = 4;
/// Ids of each client.
const IDS: u64 = 1_000_000;

const POINTS: [FaultPoint; 3] =
    [FaultPoint::AfterEntries, FaultPoint::BetweenCommits, FaultPoint::BeforeRemoval];

pub fn are_there_for_every_row(bank: &Bank, faults: &Path) {
    let mut router = Router::start(bank, "multi", Some(faults));
    let address = router.address;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<JoinHandle<()>> = (0..CLIENTS)
        .map(|number| {
            let stop = stop.clone();
            std::thread::spawn(move || client(address, number, &stop))
        })
        .collect();
    for round in 0..if is_long() { 8 } else { 1 } {
        for (index, point) in POINTS.into_iter().enumerate() {
            let mut here = Stop::at(faults, point);
            here.waiter_is_dead();
            drop(router);
            drop(here);
            router = Router::start_at(bank, "multi", Some(faults), address);
            let here = Stop::at(faults, point);
            let server = bank.server((index + round) % bank::SHARDS.len());
            server.kill();
            drop(here);
            server.restart().unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    drop(router);
    check(bank);
}

/// Asks for every row by its value, and uses every value that no row has.
fn check(bank: &Bank) {
    // Locks of routers that were killed are gone.
    bank.settle();
    let router = Router::start(bank, "multi", None);
    let mut client = router.client();
    let read = |sql: &str| -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for index in 0..bank::SHARDS.len() {
            let text = bank.server(index).client().run(Some("vt_bank"), sql).unwrap();
            rows.extend(
                text.lines()
                    .map(|line| line.split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap()),
            );
        }
        rows
    };
    let rows = read("SELECT email, id FROM holder");
    assert!(!rows.is_empty());
    for (email, id) in &rows {
        let found = client.rows(&format!("select id from holder where email = '{email}'")).unwrap();
        assert_eq!(found, [[Some(id.clone())]], "{email} of {id} is not found");
    }
    let entries = read("SELECT email, HEX(keyspace_id) FROM email_idx");
    let orphans: Vec<&String> = entries
        .iter()
        .map(|(email, _)| email)
        .filter(|email| rows.iter().all(|row| row.0 != **email))
        .collect();
    println!(
        "{}: {} rows, {} entries, {} of them without a row",
        bank.engine(),
        rows.len(),
        entries.len(),
        orphans.len()
    );
    for (id, email) in (2 * CLIENTS * IDS..).zip(orphans) {
        client.run(&format!("insert into holder (id, email) values ({id}, '{email}')")).unwrap();
        let found = client.rows(&format!("select id from holder where email = '{email}'")).unwrap();
        assert_eq!(found, [[Some(id.to_string())]], "{email} was not free");
    }
    client.run("delete from holder").unwrap();
    // The removal of so many entries may end at its time limit: who uses and gives up a value again takes its entry along.
    let mut id = 3 * CLIENTS * IDS;
    bank::until("no entry is left behind", || {
        let left = read("SELECT email, HEX(keyspace_id) FROM email_idx");
        for (email, _) in &left {
            id += 1;
            // A removal that was ended may have its locks for another moment: the next round tries again.
            let _ = client.run(&format!("insert into holder (id, email) values ({id}, '{email}')"));
        }
        let _ = client.run("delete from holder");
        left.is_empty()
    });
}

/// Changes rows of its own, in transactions over several shards, until it is told to stop.
fn client(address: SocketAddr, number: u64, stop: &AtomicBool) {
    let mut connection = None;
    let base = (number + 1) * IDS;
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if connection.is_none() {
            connection = Client::login(&bank::options(address)).ok();
        }
        let Some(client) = connection.as_mut() else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let id = base + 10 * (turn % 100_000);
        let name = |what: &str| format!("{what}-{number}-{turn}@x");
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let statements = [
            format!("delete from holder where id < {id} and id > {base} and id % 3 = 0"),
            format!(
                "insert into holder (id, email) values ({id}, '{a}'), ({id} + 1, '{b}'), ({id} + 2, '{c}')"
            ),
            format!("update holder set email = 'new-{a}' where id = {id}"),
            "commit".to_owned(),
            "begin".to_owned(),
            // A value that goes to another row.
            format!("delete from holder where id = {id} + 1"),
            format!("insert into holder (id, email) values ({id} + 3, '{b}')"),
            "commit".to_owned(),
            "begin".to_owned(),
            format!("update holder set email = 'new-{c}' where email = '{c}'"),
            "commit".to_owned(),
        ];
        let begin = ["begin".to_owned()];
        for statement in begin.iter().chain(&statements) {
            match client.query(statement).map(|mut replies| replies.pop()) {
                Ok(Some(Reply::Ok(_))) => {}
                Ok(Some(Reply::Err(_))) if client.run("rollback").is_ok() => break,
                _ => {
                    connection = None;
                    break;
                }
            }
        }
    }
}
