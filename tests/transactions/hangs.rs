//! A server that hangs, or dies while it hangs, under a commit that has begun: clients are told what became of their rows,
//! and none waits for entries of lookups that are only taken away.
//!
//! Each commit is the only one, stopped at its fault point; nothing here depends on how long anything takes.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use shardgate::twopc::FaultPoint;

use crate::bank::{self, Bank, Router};
use crate::client::{Client, Reply};
use crate::load::Outcome;
use crate::{Stop, is_long};

/// How the hanging ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Thaw,
    Death,
}

const ENDS: [End; 2] = [End::Thaw, End::Death];

pub fn end_commits_truthfully(bank: &Bank, faults: &Path) {
    let router = Router::start(bank, "multi", Some(faults));
    let accounts = account_of_each_shard(bank);
    for (server, end) in each_server_and_end() {
        let id = format!("hang-{server}-{end:?}");
        let mut statements = vec!["begin".to_owned()];
        statements.extend(accounts.iter().map(|account| {
            format!("insert into journal (account, transfer, amount) values ({account}, '{id}', 0)")
        }));
        let commit = commit_at(&router, statements, faults, FaultPoint::BetweenCommits);
        let stop = Stop::at(faults, FaultPoint::BetweenCommits);
        bank.server(server).freeze();
        // Returns when the commit goes on, with the frozen server perhaps before it.
        drop(stop);
        end_hanging(bank, server, end);
        let outcome = commit.join().unwrap();
        wait_until_served(&router);
        let found = bank.journal().remove(&id).unwrap_or_default();
        match &outcome {
            Outcome::Committed => assert_eq!(found.len(), accounts.len(), "{id}"),
            Outcome::RolledBack(text) => assert!(found.is_empty(), "{id}: {text}, but {found:?}"),
            Outcome::Partial(text) => bank.check_report(text, &accounts, &found),
            Outcome::Unknown(_) => {}
        }
        println!("{}: {id}: {outcome:?}", bank.engine());
    }
    drop(router);
    bank.reset();
}

pub fn keep_no_client_waiting_for_removals(bank: &Bank, faults: &Path) {
    let router = Router::start(bank, "multi", Some(faults));
    let mut client = router.client();
    for id in 1..=ROWS {
        client.run(&format!("insert into holder (id, email) values ({id}, 'hang{id}@x')")).unwrap();
    }
    let mut used = 0;
    for (server, end) in each_server_and_end() {
        // A row whose entry is on this server.
        let entries = bank.server(server).client().run(Some("vt_bank"), ENTRIES).unwrap();
        let email =
            entries.lines().next().unwrap_or_else(|| panic!("no entry is on server {server}")).to_owned();
        let delete = ["begin".to_owned(), format!("delete from holder where email = '{email}'")];
        let commit = commit_at(&router, delete.to_vec(), faults, FaultPoint::BeforeRemoval);
        let stop = Stop::at(faults, FaultPoint::BeforeRemoval);
        bank.server(server).freeze();
        drop(stop);
        // The row is gone, so the client is told so, while the server of the entry hangs.
        let outcome = commit.join().unwrap();
        assert!(matches!(outcome, Outcome::Committed), "{email} at {server}: {outcome:?}");
        end_hanging(bank, server, end);
        wait_until_served(&router);
        // With its entry or without, the value is free: as soon as no lock of the removal is left.
        used += 1;
        let again = format!("insert into holder (id, email) values ({}, '{email}')", ROWS + used);
        bank::until("the value can be used again", || router.client().run(&again).is_ok());
        let found = router.client().rows(&format!("select id from holder where email = '{email}'")).unwrap();
        assert_eq!(found, [[Some((ROWS + used).to_string())]], "{email} at {server}");
        // So that the next turn takes another.
        bank::until("the row is gone", || {
            router.client().run(&format!("delete from holder where email = '{email}'")).is_ok()
        });
        bank::until("its entry is gone", || {
            let delete = format!("DELETE FROM email_idx WHERE email = '{email}'");
            bank.server(server).client().run(Some("vt_bank"), &delete).is_ok()
        });
    }
    bank::until("all rows are gone", || router.client().run("delete from holder").is_ok());
    for server in 0..bank::SHARDS.len() {
        bank.server(server).client().run(Some("vt_bank"), "DELETE FROM email_idx").unwrap();
    }
}

/// Enough for entries on every server.
const ROWS: usize = 60;
const ENTRIES: &str = "SELECT email FROM email_idx WHERE email LIKE 'hang%' ORDER BY email";

/// All of them when there is time.
fn each_server_and_end() -> Vec<(usize, End)> {
    if is_long() {
        (0..bank::SHARDS.len()).flat_map(|server| ENDS.map(|end| (server, end))).collect()
    } else {
        vec![(1, End::Thaw), (2, End::Death)]
    }
}

/// Runs a transaction; its commit is the one that a [`Stop`] at this point will get.
pub fn commit_at(
    router: &Router,
    statements: Vec<String>,
    faults: &Path,
    point: FaultPoint,
) -> JoinHandle<Outcome> {
    let (address, bait): (_, PathBuf) = (router.address, faults.join(point.name()));
    std::thread::spawn(move || {
        let mut client = Client::login(&bank::options(address)).unwrap();
        for statement in statements {
            client.run(&statement).unwrap();
        }
        bank::until("somebody waits for a commit", || bait.exists());
        match client.query("commit").map(|mut replies| replies.pop()) {
            Ok(Some(Reply::Ok(_))) => Outcome::Committed,
            Ok(Some(Reply::Err(error))) => crate::load::refused(&error.to_string()),
            Ok(other) => Outcome::Unknown(format!("{other:?}")),
            Err(error) => Outcome::Unknown(error.0),
        }
    })
}

fn end_hanging(bank: &Bank, server: usize, end: End) {
    match end {
        End::Thaw => bank.server(server).thaw(),
        End::Death => {
            bank.server(server).kill();
            bank.server(server).restart().unwrap();
        }
    }
}

fn wait_until_served(router: &Router) {
    bank::until("all servers serve", || {
        let tablets =
            Client::login(&router.options()).and_then(|mut client| client.rows("show vitess_tablets"));
        tablets.is_ok_and(|tablets| tablets.iter().all(|tablet| bank::serves(tablet)))
    });
}

fn account_of_each_shard(bank: &Bank) -> Vec<u64> {
    let first = |server| {
        let id = bank.server(server).client().run(Some("vt_bank"), "SELECT MIN(id) FROM account");
        id.unwrap().trim().parse().unwrap()
    };
    (0..bank::SHARDS.len()).map(first).collect()
}
