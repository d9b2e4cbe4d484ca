//! Clients that move money between accounts of several shards, and remember what they were told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bank;
use crate::client::{Client, Reply};

/// So many clients of one router, on the first so many accounts.
#[derive(Clone, Copy)]
pub struct Work {
    pub address: SocketAddr,
    pub clients: usize,
    pub accounts: u64,
}

/// What a client was told about its transfer.
#[derive(Debug)]
#[expect(dead_code, reason = "texts are printed when a check fails")]
pub enum Outcome {
    Committed,
    /// Mode MULTI: on some shards, as the text says.
    Partial(String),
    RolledBack(String),
    /// The connection was lost, or the router does not know.
    Unknown(String),
}

#[derive(Debug)]
pub struct Transfer {
    pub id: String,
    pub accounts: Vec<u64>,
    pub outcome: Outcome,
}

#[derive(Debug, Default)]
pub struct Totals {
    pub committed: usize,
    pub partial: usize,
    pub rolled_back: usize,
    pub unknown: usize,
}

pub fn totals(transfers: &[Transfer]) -> Totals {
    let mut totals = Totals::default();
    for transfer in transfers {
        match transfer.outcome {
            Outcome::Committed => totals.committed += 1,
            Outcome::Partial(_) => totals.partial += 1,
            Outcome::RolledBack(_) => totals.rolled_back += 1,
            Outcome::Unknown(_) => totals.unknown += 1,
        }
    }
    totals
}

pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Transfer>>>,
    first_address: SocketAddr,
    counts: Arc<Counts>,
}

/// What clients have been told so far.
#[derive(Default)]
struct Counts {
    committed: AtomicUsize,
    partial: AtomicUsize,
    rolled_back: AtomicUsize,
}

impl Load {
    pub fn start(works: Vec<Work>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let first_address = works[0].address;
        let counts: Arc<Counts> = Arc::default();
        let clients = works
            .into_iter()
            .flat_map(|work| (0..work.clients).map(move |number| (work, number)))
            .map(|(work, number)| {
                let (stop, counts) = (stop.clone(), counts.clone());
                std::thread::spawn(move || client(work, number, &stop, &counts))
            })
            .collect();
        Self { stop, clients, first_address, counts }
    }

    pub fn first_address(&self) -> SocketAddr {
        self.first_address
    }

    /// How many clients have been told of a partial commit.
    pub fn partial_count(&self) -> usize {
        self.counts.partial.load(Ordering::Relaxed)
    }

    /// How many transfers have been committed, as far as clients know.
    pub fn committed_count(&self) -> usize {
        self.counts.committed.load(Ordering::Relaxed)
    }

    /// How many transfers have been rolled back.
    pub fn rolled_back_count(&self) -> usize {
        self.counts.rolled_back.load(Ordering::Relaxed)
    }

    /// Ends it; every transfer that was begun.
    pub fn stop(self) -> Vec<Transfer> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

fn client(work: Work, number: usize, stop: &AtomicBool, counts: &Counts) -> Vec<Transfer> {
    let mut random = Random((u64::from(work.address.port()) << 32) | (number as u64 + 1));
    let mut transfers = Vec::new();
    let mut connection = None;
    let process = std::process::id();
    while !stop.load(Ordering::Relaxed) {
        let Some(client) = connection.as_mut() else {
            connection = Client::login(&bank::options(work.address)).ok();
            if connection.is_none() {
                std::thread::sleep(Duration::from_millis(20));
            }
            continue;
        };
        let id = format!(
            "{process}-{}-{number}-{}-{}",
            work.address.port(),
            transfers.len(),
            random.below(1 << 30)
        );
        let accounts = random.several(work.accounts);
        let (outcome, is_alive) = transfer(client, &id, &accounts);
        if !is_alive {
            connection = None;
        }
        let count = match outcome {
            Outcome::Committed => Some(&counts.committed),
            Outcome::Partial(_) => Some(&counts.partial),
            Outcome::RolledBack(_) => Some(&counts.rolled_back),
            Outcome::Unknown(_) => None,
        };
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        transfers.push(Transfer { id, accounts, outcome });
    }
    transfers
}

/// Takes from all but the last account and gives it to that one. The flag tells whether the connection can be used on.
fn transfer(client: &mut Client, id: &str, accounts: &[u64]) -> (Outcome, bool) {
    let gained = i64::try_from(accounts.len()).unwrap() - 1;
    let mut statements = vec!["begin".to_owned()];
    for (index, account) in accounts.iter().enumerate() {
        let amount = if index + 1 == accounts.len() { gained } else { -1 };
        statements.push(format!("update account set balance = balance + {amount} where id = {account}"));
        statements.push(format!(
            "insert into journal (account, transfer, amount) values ({account}, '{id}', {amount})"
        ));
    }
    for statement in &statements {
        match client.query(statement).map(|mut replies| replies.pop()) {
            Ok(Some(Reply::Ok(_))) => {}
            Ok(Some(Reply::Err(error))) => {
                let is_alive = client.run("rollback").is_ok();
                return (Outcome::RolledBack(error.to_string()), is_alive);
            }
            Ok(other) => return (Outcome::RolledBack(format!("{other:?}")), false),
            Err(error) => return (Outcome::RolledBack(error.0), false),
        }
    }
    match client.query("commit").map(|mut replies| replies.pop()) {
        Ok(Some(Reply::Ok(_))) => (Outcome::Committed, true),
        Ok(Some(Reply::Err(error))) => (refused(&error.to_string()), true),
        Ok(other) => (Outcome::Unknown(format!("{other:?}")), false),
        Err(error) => (Outcome::Unknown(error.0), false),
    }
}

/// An error of COMMIT, by its stable code.
pub fn refused(text: &str) -> Outcome {
    let text = text.to_owned();
    match () {
        () if text.contains("VT15002") => Outcome::Partial(text),
        // Undecided, or the first of the commits has got no answer.
        () if text.contains("VT15004") || text.contains("VT14003") => Outcome::Unknown(text),
        () => Outcome::RolledBack(text),
    }
}

/// Xorshift: the same run for the same ports, and no more is needed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Two to four different accounts, in any order.
    fn several(&mut self, accounts: u64) -> Vec<u64> {
        let count = 2 + self.below(3);
        let mut chosen = Vec::new();
        while (chosen.len() as u64) < count {
            let account = 1 + self.below(accounts);
            if !chosen.contains(&account) {
                chosen.push(account);
            }
        }
        chosen
    }
}
