//! Follows the schemas of the servers and publishes them in the snapshot.
//!
//! One primary of each keyspace is asked. Counters of DDL that every server keeps are looked at often, as that
//! costs next to nothing; `information_schema` is read when they have moved, and now and then in any case, since a
//! long DDL is counted when it begins. After DDL through the router the tables that it names are read at once.
//! When a server is away, what was known stays. Knows nothing of statements and sessions. Vitess: "schema
//! tracking".

mod decode;
mod pace;
mod read;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep, timeout};

use crate::backend::pool::{Needs, PooledConnection};
use crate::backend::{Flavor, SessionSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::{Gateway, Target};
use crate::limits;
use crate::metrics::{Counter, Metrics};
use crate::schema::{ForeignKeysOfTables, Relation, Schema};
use crate::store::Snapshots;
use crate::topology::{KeyspaceName, Snapshot, TabletType};
use crate::vschema::TableName;
use crate::vschema::model::ForeignKeyMode;
use pace::Pace;

/// Follows the schemas of all keyspaces.
pub struct Tracker {
    snapshots: Arc<Snapshots>,
    gateway: Arc<Gateway>,
    followed: Mutex<HashMap<KeyspaceName, Arc<Followed>>>,
    reads: Counter,
    failures: Counter,
}

/// What the tracker remembers of a keyspace.
#[derive(Default)]
struct Followed {
    pace: Mutex<Pace>,
    /// Counts refreshes: a poll that began before one may have seen the tables as they were.
    refreshes: AtomicU64,
    /// Held by a refresh, so that the newest is the last to publish.
    refreshing: tokio::sync::Mutex<()>,
    /// The last poll read foreign keys too.
    has_foreign_keys: AtomicBool,
}

/// What a reading has found.
#[derive(Default)]
struct Found {
    relations: Vec<Relation>,
    /// Of all tables, also where only some are read: renaming a table changes what others refer to.
    foreign_keys: Option<ForeignKeysOfTables>,
}

impl Tracker {
    /// A tracker that publishes to `snapshots` what it learns through `gateway`.
    pub fn new(snapshots: Arc<Snapshots>, gateway: Arc<Gateway>, metrics: &Metrics) -> Self {
        let counter = |name, help| metrics.counter(name, help, &[]);
        Self {
            snapshots,
            gateway,
            followed: Mutex::default(),
            reads: counter("shardgate_schema_reads_total", "Readings of a server's schema."),
            failures: counter(
                "shardgate_schema_failures_total",
                "Readings of a server's schema that failed.",
            ),
        }
    }

    /// Reads every keyspace once, but takes no longer than [`limits::SCHEMA_FIRST_READ_TIMEOUT`]: what is missing
    /// then comes with the polls.
    pub async fn ready(&self) {
        if timeout(limits::SCHEMA_FIRST_READ_TIMEOUT, self.poll_all()).await.is_err() {
            tracing::warn!("schemas are not read in time: statements begin without some of them");
        }
    }

    /// Follows the servers until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            sleep(pace::jittered(limits::SCHEMA_POLL_INTERVAL)).await;
            self.poll_all().await;
        }
    }

    /// Reads the tables and views of these names again, because DDL may have changed them: when this returns the
    /// snapshot has them as they are. What cannot be read is forgotten.
    pub async fn refresh(&self, keyspace: &KeyspaceName, names: &[TableName]) {
        let followed = self.followed(keyspace);
        followed.refreshes.fetch_add(1, Ordering::SeqCst);
        let names = (names.len() <= limits::SCHEMA_NAMES_MAX).then_some(names);
        let now = |known: Option<&Schema>, found: Found| match (names, known) {
            (Some(names), Some(known)) => {
                let now = known.with(names, found.relations);
                match &found.foreign_keys {
                    Some(keys) => now.with_foreign_keys(keys),
                    None => now,
                }
            }
            _ => Schema::new(found.relations, known),
        };
        let reading = async {
            let _last = followed.refreshing.lock().await;
            let snapshot = self.snapshots.current();
            let (mut connection, db_name) = self.connect(&snapshot, keyspace, TabletType::Primary).await?;
            let found = read(&mut connection, db_name, names, is_managed(&snapshot, keyspace)).await?;
            self.publish(keyspace, |known| Some(now(known, found)));
            Ok(())
        };
        match within(limits::SCHEMA_REFRESH_TIMEOUT, reading).await {
            Ok(()) => self.reads.increment(1),
            Err(error) => {
                self.failures.increment(1);
                tracing::warn!(%keyspace, %error, "schema not read after DDL: the tables are unknown until it is");
                self.publish(keyspace, |known| known.map(|known| now(Some(known), Found::default())));
                lock(&followed.pace).expire();
            }
        }
    }

    async fn poll_all(&self) {
        let snapshot = self.snapshots.current();
        let keyspaces: Vec<KeyspaceName> =
            snapshot.topology.keyspaces().iter().map(|keyspace| keyspace.name().clone()).collect();
        lock(&self.followed).retain(|name, _| keyspaces.contains(name));
        stream::iter(&keyspaces)
            .for_each_concurrent(limits::SCHEMA_READS_AT_ONCE_MAX, |keyspace| self.poll(&snapshot, keyspace))
            .await;
    }

    /// One look at a keyspace. A failure is said once, not every second.
    async fn poll(&self, snapshot: &Snapshot, keyspace: &KeyspaceName) {
        let followed = self.followed(keyspace);
        let outcome = within(limits::SCHEMA_READ_TIMEOUT, self.look(snapshot, keyspace, &followed)).await;
        let mut pace = lock(&followed.pace);
        match outcome {
            Ok(()) => pace.is_failing = false,
            Err(error) => {
                self.failures.increment(1);
                if !std::mem::replace(&mut pace.is_failing, true) {
                    tracing::warn!(%keyspace, %error, "schema not read: what is known of it may grow old");
                }
            }
        }
    }

    async fn look(&self, snapshot: &Snapshot, keyspace: &KeyspaceName, followed: &Followed) -> Result<()> {
        let refreshes = followed.refreshes.load(Ordering::SeqCst);
        let (mut connection, db_name) = match self.connect(snapshot, keyspace, TabletType::Primary).await {
            // A replica may lag, but that is better than nothing at all.
            Err(error) if snapshot.schemas.schema(keyspace).is_none() => {
                self.connect(snapshot, keyspace, TabletType::Replica).await.map_err(|_| error)?
            }
            connected => connected?,
        };
        let counters = read::ddl_counters(&mut connection).await?;
        let is_managed = is_managed(snapshot, keyspace);
        // Who begins to manage foreign keys must know them.
        let is_new = followed.has_foreign_keys.swap(is_managed, Ordering::SeqCst) != is_managed;
        if !is_new && !lock(&followed.pace).is_due(&counters, Instant::now()) {
            return Ok(());
        }
        let begin = Instant::now();
        let relations = read(&mut connection, db_name, None, is_managed).await?.relations;
        drop(connection);
        self.reads.increment(1);
        let mut is_current = false;
        self.publish(keyspace, |known| {
            is_current = followed.refreshes.load(Ordering::SeqCst) == refreshes;
            is_current.then(|| Schema::new(relations, known))
        });
        if is_current {
            lock(&followed.pace).note(counters, begin, Instant::now());
        }
        Ok(())
    }

    /// A connection to a server of the keyspace's first shard, and the keyspace's database there.
    async fn connect<'s>(
        &self,
        snapshot: &'s Snapshot,
        keyspace: &KeyspaceName,
        tablet_type: TabletType,
    ) -> Result<(PooledConnection, &'s str)> {
        let found = snapshot.topology.keyspace(keyspace);
        let nowhere = || Error::new(ErrorKind::NoKeyspace, "the keyspace has no serving shard");
        let (found, shard) = found.and_then(|k| Some((k, k.shards().first()?))).ok_or_else(nowhere)?;
        let target = Target::new(keyspace.clone(), shard.name().clone(), tablet_type);
        let flavor = Flavor { deprecate_eof: true, found_rows: false };
        let mut connection = self.gateway.acquire(&target, &Needs { flavor, settings: 0 }).await?;
        if connection.sync_settings(SessionSettings::empty()) {
            connection.flush().await?;
            connection.receive_ok().await?;
        }
        Ok((connection, found.db_name()))
    }

    /// Publishes what `change` makes of a keyspace's schema, unless that is what was known.
    fn publish(&self, keyspace: &KeyspaceName, change: impl FnOnce(Option<&Schema>) -> Option<Schema>) {
        let version = self.snapshots.update_schemas(|snapshot| {
            snapshot.topology.keyspace(keyspace)?;
            let known = snapshot.schemas.schema(keyspace).map(|schema| &**schema);
            let schema = change(known)?;
            let is_new = known != Some(&schema);
            is_new.then(|| snapshot.schemas.with(keyspace.clone(), Arc::new(schema)))
        });
        if let Some(version) = version {
            tracing::debug!(%keyspace, version, "schema taken over");
        }
    }

    fn followed(&self, keyspace: &KeyspaceName) -> Arc<Followed> {
        lock(&self.followed).entry(keyspace.clone()).or_default().clone()
    }
}

/// Are the keyspace's foreign keys the router's business?
fn is_managed(snapshot: &Snapshot, keyspace: &KeyspaceName) -> bool {
    let keyspace = snapshot.vschema.keyspace(keyspace);
    keyspace.is_some_and(|keyspace| keyspace.foreign_key_mode() == ForeignKeyMode::Managed)
}

async fn read(
    connection: &mut PooledConnection,
    db_name: &str,
    names: Option<&[TableName]>,
    with_foreign_keys: bool,
) -> Result<Found> {
    let mut relations = read::relations(connection, db_name, names).await?;
    let mut foreign_keys = Vec::new();
    if with_foreign_keys {
        foreign_keys = read::foreign_keys(connection, db_name).await?;
    }
    for relation in &mut relations {
        let of_table = foreign_keys.iter().filter(|(table, _)| *table == relation.name);
        relation.foreign_keys = of_table.map(|(_, key)| key.clone()).collect();
    }
    Ok(Found { relations, foreign_keys: Some(foreign_keys) })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn within(limit: Duration, work: impl Future<Output = Result<()>>) -> Result<()> {
    let too_slow =
        || Error::new(ErrorKind::NoHealthyTablet, format!("the server has not answered for {limit:?}"));
    timeout(limit, work).await.unwrap_or_else(|_| Err(too_slow()))
}
