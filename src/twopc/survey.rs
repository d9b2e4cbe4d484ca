//! A look at every primary: which branches are prepared, and what was decided about them.

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::timeout;

use super::log::{self, Decision, Record};
use super::name::{FORMAT_ID, coordinator_of, place_name};
use crate::backend::ControlResult;
use crate::backend::pool::PooledConnection;
use crate::error::{ERRNO_XA_REFUSED, Error, ErrorKind, Result};
use crate::gateway::{Gateway, Target};
use crate::limits::{RESOLVER_SERVERS_AT_ONCE, RESOLVER_WAIT};
use crate::topology::{Snapshot, TabletType};

/// How far a transaction in doubt has come, in Vitess's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Branches are prepared; nothing is decided.
    Prepare,
    Rollback,
    Commit,
}

impl Phase {
    /// The word in `SHOW UNRESOLVED TRANSACTIONS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "PREPARE",
            Self::Rollback => "ROLLBACK",
            Self::Commit => "COMMIT",
        }
    }
}

/// A transaction that has not ended on all its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Its name.
    pub dtid: String,
    /// How far it has come.
    pub phase: Phase,
    /// When it was decided (UTC); empty before that.
    pub decided_at: String,
    /// The places of its branches, as far as they are known.
    pub participants: Vec<String>,
}

/// What every primary has.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Prepared branches by transaction and place, with the server to settle them on.
    pub(super) branches: BTreeMap<(String, String), Target>,
    /// Decisions by transaction, with the server that has them.
    pub(super) records: HashMap<String, (Record, Target)>,
    /// Servers that did not answer.
    pub(super) failures: Vec<(Target, Error)>,
    /// Primaries by their place's name.
    pub(super) places: HashMap<String, Target>,
}

impl Survey {
    /// Asks all primaries, some at once.
    pub(super) async fn take(gateway: &Gateway, snapshot: &Snapshot) -> Self {
        let places = primaries(snapshot);
        let mut survey = Self { places: places.clone(), ..Self::default() };
        let mut answers = stream::iter(places.into_values().map(|target| async move {
            let answer = timeout(RESOLVER_WAIT, ask(gateway, &target)).await.unwrap_or_else(|_| Err(late()));
            (target, answer)
        }))
        .buffer_unordered(RESOLVER_SERVERS_AT_ONCE);
        while let Some((target, answer)) = answers.next().await {
            match answer {
                Ok((branches, records)) => survey.add(&target, branches, records),
                Err(error) => survey.failures.push((target, error)),
            }
        }
        survey
    }

    /// Servers may hold several shards: the same branch is found more than once, but belongs to one place.
    fn add(&mut self, target: &Target, branches: Vec<(String, String)>, records: Vec<Record>) {
        for (dtid, place) in branches {
            let home = self.places.get(&place).unwrap_or(target).clone();
            self.branches.insert((dtid, place), home);
        }
        for record in records {
            let home = self.places.get(coordinator_of(&record.dtid)).unwrap_or(target).clone();
            self.records.insert(record.dtid.clone(), (record, home));
        }
    }

    /// Places of a transaction's prepared branches.
    pub(super) fn branches_of<'a>(&'a self, dtid: &'a str) -> impl Iterator<Item = (&'a str, &'a Target)> {
        let first = (dtid.to_owned(), String::new());
        let range = self.branches.range(first..).take_while(move |((found, _), _)| found == dtid);
        range.map(|((_, place), target)| (place.as_str(), target))
    }

    /// Everything that has not ended. A fence without branches has done its work and only stays a while.
    pub(super) fn unresolved(&self) -> Vec<Unresolved> {
        let mut found: BTreeMap<&str, Unresolved> = BTreeMap::new();
        for (dtid, (record, _)) in &self.records {
            let phase = match record.decision {
                Decision::Commit => Phase::Commit,
                Decision::Rollback if self.branches_of(dtid).next().is_none() => continue,
                Decision::Rollback => Phase::Rollback,
            };
            let transaction = Unresolved {
                dtid: dtid.clone(),
                phase,
                decided_at: record.created_at.clone(),
                participants: record.participants.clone(),
            };
            found.insert(dtid, transaction);
        }
        for (dtid, place) in self.branches.keys() {
            let transaction = found.entry(dtid).or_insert_with(|| Unresolved {
                dtid: dtid.clone(),
                phase: Phase::Prepare,
                decided_at: String::new(),
                participants: Vec::new(),
            });
            if !transaction.participants.contains(place) {
                transaction.participants.push(place.clone());
            }
        }
        found.into_values().collect()
    }
}

/// Every shard that has a primary.
fn primaries(snapshot: &Snapshot) -> HashMap<String, Target> {
    let shards =
        snapshot.topology.keyspaces().iter().flat_map(|keyspace| {
            keyspace.all_shards().iter().map(move |shard| (keyspace.name().clone(), shard))
        });
    shards
        .filter(|(_, shard)| shard.tablets().iter().any(|tablet| tablet.tablet_type == TabletType::Primary))
        .map(|(keyspace, shard)| {
            let target = Target::primary(keyspace, shard.name().clone());
            (place_name(&target.keyspace, &target.shard), target)
        })
        .collect()
}

async fn ask(gateway: &Gateway, target: &Target) -> Result<(Vec<(String, String)>, Vec<Record>)> {
    let mut connection = log::connect(gateway, target).await?;
    let branches = prepared(&mut connection).await?;
    let records = log::records(&mut connection).await?;
    Ok((branches, records))
}

/// Our prepared branches on a server: transaction and place of each.
pub(super) async fn prepared(connection: &mut PooledConnection) -> Result<Vec<(String, String)>> {
    let result = connection.query_all("XA RECOVER").await.map_err(in_other_words)?;
    Ok((0..result.rows.len()).filter_map(|row| branch(&result, row)).collect())
}

/// What MySQL says then names anything but the cause.
fn in_other_words(error: Error) -> Error {
    if error.kind().is_some() || error.errno() != ERRNO_XA_REFUSED {
        return error;
    }
    let text = "XA RECOVER is refused: the router's account needs the privilege XA_RECOVER_ADMIN, without which transactions \
                in doubt cannot be found";
    Error::from_backend(error.errno(), error.sqlstate(), text.as_bytes())
}

fn branch(result: &ControlResult, row: usize) -> Option<(String, String)> {
    let number =
        |name: &str| -> Option<usize> { std::str::from_utf8(result.value(row, name)?).ok()?.parse().ok() };
    if number("formatID")? != usize::try_from(FORMAT_ID).ok()? {
        return None;
    }
    let data = result.value(row, "data")?;
    let (dtid, place) = data.split_at_checked(number("gtrid_length")?)?;
    (place.len() == number("bqual_length")?).then_some(())?;
    Some((String::from_utf8(dtid.to_vec()).ok()?, String::from_utf8(place.to_vec()).ok()?))
}

fn late() -> Error {
    Error::new(ErrorKind::QueryTimeout, format!("no answer within {} s", RESOLVER_WAIT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(dtid: &str, decision: Decision, places: &[&str]) -> Record {
        Record {
            dtid: dtid.to_owned(),
            decision,
            participants: places.iter().map(|&place| place.to_owned()).collect(),
            created_at: "2020-01-01 00:00:00".to_owned(),
            age_seconds: 0,
        }
    }

    #[test]
    fn our_branches_are_told_from_those_of_others() {
        let row = |cells: [&str; 4]| cells.map(|cell| Some(cell.as_bytes().to_vec())).to_vec();
        let result = ControlResult {
            columns: ["formatID", "gtrid_length", "bqual_length", "data"].map(str::to_owned).to_vec(),
            rows: vec![
                row(["21319", "5", "4", "a:-:1b:80"]),
                row(["1", "5", "4", "a:-:1b:80"]),
                row(["21319", "50", "4", "a:-:1b:80"]),
            ],
        };
        assert_eq!(branch(&result, 0), Some(("a:-:1".to_owned(), "b:80".to_owned())));
        assert_eq!((branch(&result, 1), branch(&result, 2)), (None, None));
    }

    #[test]
    fn a_missing_privilege_is_named() {
        let refused = Error::from_backend(
            ERRNO_XA_REFUSED,
            *b"XAE03",
            b"Fatal error occurred in the transaction branch",
        );
        assert!(in_other_words(refused).to_string().contains("XA_RECOVER_ADMIN"));
        let other = Error::from_backend(1064, *b"42000", b"syntax");
        assert_eq!(in_other_words(other.clone()), other);
    }

    #[test]
    fn what_is_unresolved() {
        let mut survey = Survey::default();
        let target = Target::primary("a".into(), "-".into());
        let branch = |dtid: &str, place: &str| (dtid.to_owned(), place.to_owned());
        survey.add(
            &target,
            vec![branch("a:-:1", "b:-80"), branch("a:-:2", "b:-80"), branch("a:-:1", "b:80-")],
            vec![
                record("a:-:2", Decision::Commit, &["b:-80", "b:80-"]),
                record("a:-:3", Decision::Rollback, &[]),
            ],
        );
        let found: Vec<_> = survey
            .unresolved()
            .into_iter()
            .map(|found| format!("{} {} {}", found.dtid, found.phase.as_str(), found.participants.join(",")))
            .collect();
        assert_eq!(found, ["a:-:1 PREPARE b:-80,b:80-", "a:-:2 COMMIT b:-80,b:80-"]);
        assert_eq!(survey.branches_of("a:-:1").count(), 2);
    }
}
