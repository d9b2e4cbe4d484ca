//! How long a commit takes: one shard, two shards in mode MULTI, two shards in mode TWOPC.
//!
//! `cargo bench --bench transactions [-- mariadb|mysql]`. The servers flush their logs at every commit, as servers with
//! somebody's data do. Compare the figures within one run; the aim for TWOPC is at most twice the time of MULTI.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panic and speaks to its reader"
)]

#[path = "../../tests/transactions/bank.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod bank;
#[path = "../../tests/e2e/client/mod.rs"]
#[expect(dead_code, reason = "the end-to-end tests use all of it")]
mod client;

use std::time::{Duration, Instant};

use bank::{Bank, Router};
use client::Client;
use shardgate::local::{Durability, Engine, EngineChoice, Installation};

/// Transactions of each kind; the kinds take turns, so that a noisy moment hits all of them.
const ROUNDS: usize = 400;
const WARM_UP: usize = 20;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for engine in Engine::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == engine.as_str()) {
            continue;
        }
        match Installation::find(EngineChoice::Exactly(engine), None) {
            Ok(installation) => measure(&installation),
            Err(error) => println!("{engine}: {error}"),
        }
    }
}

fn measure(installation: &Installation) {
    let dir = tempfile::tempdir().unwrap();
    let bank = Bank::start(installation, &dir.path().join("cluster"), Durability::Durable);
    let router = Router::start(&bank, "multi", None);
    let account = |index: usize| {
        let id = bank.server(index).client().run(Some("vt_bank"), "SELECT id FROM account LIMIT 1").unwrap();
        id.trim().to_owned()
    };
    let (first, second) = (account(0), account(1));
    let mut kinds: Vec<(&str, Client, Vec<&str>, Vec<Duration>)> = Vec::new();
    for (name, mode, accounts) in [
        ("1 shard,  MULTI", "multi", vec![&*first, &*first]),
        ("1 shard,  TWOPC", "twopc", vec![&*first, &*first]),
        ("2 shards, MULTI", "multi", vec![&*first, &*second]),
        ("2 shards, TWOPC", "twopc", vec![&*first, &*second]),
    ] {
        let mut client = router.client();
        client.run(&format!("set transaction_mode = '{mode}'")).unwrap();
        kinds.push((name, client, accounts, Vec::new()));
    }
    for round in 0..WARM_UP + ROUNDS {
        for (_, client, accounts, times) in &mut kinds {
            let time = transaction(client, accounts);
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    println!("{} {}, time of a transaction with two updates:", installation.engine, installation.version);
    let mut medians = Vec::new();
    for (name, _, _, times) in &mut kinds {
        times.sort_unstable();
        let (median, late) = (times[ROUNDS / 2], times[ROUNDS * 95 / 100]);
        println!("  {name}  median {median:>9.1?}  95 % {late:>9.1?}");
        medians.push(median.as_secs_f64());
    }
    println!(
        "  TWOPC / MULTI: 1 shard {:.2}, 2 shards {:.2}",
        medians[1] / medians[0],
        medians[3] / medians[2]
    );
}

fn transaction(client: &mut Client, accounts: &[&str]) -> Duration {
    let begin = Instant::now();
    client.run("begin").unwrap();
    for account in accounts {
        client.run(&format!("update account set balance = balance + 1 where id = {account}")).unwrap();
    }
    client.run("commit").unwrap();
    begin.elapsed()
}
