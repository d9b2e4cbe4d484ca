//! A primary dies in the middle of a commit in two phases, and its replica, which has everything that the primary had,
//! takes its place: recovery ends the transaction there.
//!
//! Branches that are prepared are replicated, and so is the row of the decision:
//! <https://dev.mysql.com/doc/refman/9.0/en/xa-restrictions.html>, <https://mariadb.com/kb/en/xa-transactions/>.

use std::path::Path;

use shardgate::local::{Durability, Installation};
use shardgate::twopc::FaultPoint;

use crate::bank::{self, Bank, Router};
use crate::hangs::commit_at;
use crate::load::Outcome;
use crate::{Stop, is_long};

/// Each with a primary and its replica, at these places of the cluster.
const SHARDS: [(&str, &[u32]); 2] = [("-80", &[1, 2]), ("80-", &[3, 4])];
const PRIMARIES: [usize; 2] = [0, 2];
const REPLICAS: [usize; 2] = [1, 3];

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Branch,
    Coordinator,
}

/// A step of a commit and what the transaction comes to.
type Failover = (FaultPoint, Victim, Ending);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Commit,
    Rollback,
    /// A failover just before the decision may come too late to prevent it.
    Either,
}

/// Two for each cluster: one for each shard.
const CLUSTERS: [[Failover; 2]; 3] = [
    [
        (FaultPoint::AfterDecision, Victim::Branch, Ending::Commit),
        (FaultPoint::BeforeDecision, Victim::Coordinator, Ending::Rollback),
    ],
    [
        (FaultPoint::AfterDecision, Victim::Coordinator, Ending::Commit),
        (FaultPoint::BeforeBranchCommit, Victim::Branch, Ending::Commit),
    ],
    [
        (FaultPoint::AfterPrepare, Victim::Branch, Ending::Either),
        (FaultPoint::BeforeForget, Victim::Coordinator, Ending::Commit),
    ],
];

pub fn keeps_transactions_whole(installation: &Installation, dir: &Path, faults: &Path) {
    let count = if is_long() { CLUSTERS.len() } else { 1 };
    for (index, failovers) in CLUSTERS.iter().enumerate().take(count) {
        let dir = dir.join(format!("failover-{index}"));
        let bank = Bank::start_on(&SHARDS, installation, &dir, Durability::Relaxed);
        let mut primaries = PRIMARIES;
        for (shard, failover) in failovers.iter().enumerate() {
            fail_over(&bank, faults, &mut primaries, shard, *failover);
        }
    }
}

/// Lets the primary of `shard` die at a step of a transaction over both shards.
fn fail_over(bank: &Bank, faults: &Path, primaries: &mut [usize; 2], shard: usize, failover: Failover) {
    let (point, victim, ending) = failover;
    let router = Router::start(bank, "twopc", Some(faults));
    let id = format!("failover-{point:?}-{victim:?}");
    let first = if victim == Victim::Coordinator { shard } else { 1 - shard };
    let accounts = [first, 1 - first].map(|shard| account_on(bank, primaries[shard]));
    let mut statements = vec!["begin".to_owned()];
    statements.extend(accounts.iter().map(|account| {
        format!("insert into journal (account, transfer, amount) values ({account}, '{id}', 0)")
    }));
    let commit = commit_at(&router, statements, faults, point);
    let stop = Stop::at(faults, point);
    let (old, new) = (primaries[shard], REPLICAS[shard]);
    for state in [BRANCHES, DECISIONS, "SELECT transfer FROM vt_bank.journal"] {
        let read = |server: usize| bank.server(server).client().run(None, state).unwrap_or_default();
        bank::until("the replica has what its primary has", || read(old) == read(new));
    }
    bank.server(old).kill();
    bank.promote(old, new);
    primaries[shard] = new;
    drop(stop);
    let outcome = commit.join().unwrap();
    println!("{}: {id}: {outcome:?}", bank.engine());

    let nothing_is_left = |server: usize| {
        let left = |sql| bank.server(server).client().run(None, sql).unwrap_or_default();
        left(BRANCHES).is_empty() && left(DECISIONS).is_empty()
    };
    bank::until("recovery has ended it", || primaries.iter().all(|&server| nothing_is_left(server)));
    let sql = format!("SELECT account FROM vt_bank.journal WHERE transfer = '{id}'");
    let found: usize = primaries
        .iter()
        .map(|&server| bank.server(server).client().run(None, &sql).unwrap().lines().count())
        .sum();
    let expected = match (ending, &outcome) {
        (Ending::Commit, _) | (Ending::Either, Outcome::Committed) => accounts.len(),
        (Ending::Rollback, _) | (Ending::Either, Outcome::RolledBack(_)) => 0,
        (Ending::Either, _) => found / accounts.len() * accounts.len(),
    };
    assert_eq!(found, expected, "{id}: {outcome:?}");
    match outcome {
        Outcome::Committed => assert_ne!(found, 0, "{id}"),
        Outcome::RolledBack(text) => assert_eq!(found, 0, "{id}: {text}"),
        Outcome::Unknown(_) => {}
        Outcome::Partial(text) => panic!("{id}: {text}"),
    }
    // The new primary is written to as the old one was.
    let after =
        format!("insert into journal (account, transfer, amount) values ({}, 'after', 0)", accounts[0]);
    bank::until("the shard is served", || router.client().run(&after).is_ok());
    let delete = "delete from journal where transfer = 'after'";
    bank::until("the shard is served", || router.client().run(delete).is_ok());
}

const BRANCHES: &str = "XA RECOVER";
const DECISIONS: &str = "SELECT dtid, decision FROM _shardgate.twopc WHERE decision = 'COMMIT'";

fn account_on(bank: &Bank, server: usize) -> u64 {
    let id = bank.server(server).client().run(Some("vt_bank"), "SELECT MIN(id) FROM account");
    id.unwrap().trim().parse().unwrap()
}
