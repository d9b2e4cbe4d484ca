//! Statement dispatch: the only room that joins plan, engine and session.
//!
//! A command of a client comes in as [`crate::server::Handler::command`]; its statements go through [`query`] or
//! [`prepared`] to one handler per kind. Queries and changes of rows are planned (`planned`) and run at one shard
//! (`exchange`, packets pass through) or at several (`scatter`, through the engine).

mod arguments;
mod commit;
mod compound;
mod cursor;
mod database;
mod ddl;
mod describe;
mod exact_text;
mod exchange;
mod explain;
mod followed_rows;
mod foreign_keys;
mod gather;
mod inner;
mod insert;
mod insert_id;
mod interrupt;
mod into;
mod job;
mod keyspace_names;
mod kill;
mod load;
mod locks;
mod lookup;
mod new_rows;
mod older_names;
mod outcome;
mod pass;
mod place;
pub mod plan_cache;
mod planned;
mod prepared;
mod prepared_text;
mod query;
mod read_first;
mod renaming;
mod replace;
mod returning;
mod row_numbers;
mod scatter;
mod scratch;
mod select_limit;
mod sequence;
mod session_query;
mod session_values;
mod set;
mod set_form;
mod show;
mod spooled_rows;
mod steps;
mod system_tables;
mod table;
mod table_locks;
mod table_shape;
mod target;
mod transaction;
mod transaction_timeout;
mod truncate;
mod two_phase;
mod upsert;
mod upsert_check;
mod variables;
mod vexplain;
mod views;
mod wording;
mod workload;
mod write;
mod years;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::backend::Names;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::net::SpoolSpace;
use crate::server::{ClientInfo, ClientStream, Flow, Handler, Registry};
use crate::session::settings::{IdleLimits, Settings};
use crate::session::target::SessionTarget;
use crate::session::transaction::Mode;
use crate::session::{Identity, Session};
use crate::topology::{Snapshot, TabletType, TabletTypeNames};
use crate::tracker::Tracker;
use crate::twopc::{Faults, Resolver};
use crate::wire::charset::{Charset, collation_name};
use crate::wire::{Capabilities, Command, StatusFlags};

use keyspace_names::KeyspaceNames;
use plan_cache::PlanCache;
use sequence::Sequences;
use table_shape::TableShapes;

/// What the executor is told once.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// `@@version`, as in the greeting.
    pub version: Arc<str>,
    /// Tablet type of sessions that name none.
    pub default_tablet_type: TabletType,
    /// Words and columns of `show vitess_tablets`.
    pub tablet_type_names: TabletTypeNames,
    /// How much may be gathered at one server.
    pub gather: GatherLimits,
    /// Longest run of a query or change of rows, unless its session or a comment says otherwise; zero is no limit.
    pub query_timeout: Duration,
    /// How long clients may idle that do not say it.
    pub idle: IdleLimits,
    /// Queries and changes for all shards need `/*vt+ ALLOW_SCATTER */`.
    pub no_scatter: bool,
    /// Seed of statement fingerprints: random, so that nobody can prepare colliding texts.
    pub fingerprint_seed: u64,
    /// How transactions commit in sessions that do not say it.
    pub transaction_mode: Mode,
    /// The same for sessions of certain users.
    pub user_modes: Vec<(String, Mode)>,
    /// Where the rows of cursors wait.
    pub cursor_space: Arc<SpoolSpace>,
    /// How long transactions may be open.
    pub transaction_timeouts: TransactionTimeouts,
    /// Where tests stop commits.
    pub faults: Faults,
}

/// How long transactions may be open; zero is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransactionTimeouts {
    /// From the beginning on; sessions may choose less.
    pub total: Duration,
    /// Without a statement.
    pub idle: Duration,
}

/// Whether and how much may be gathered at one server for one statement.
#[derive(Clone, Copy, Debug)]
pub struct GatherLimits {
    /// For sessions that do not say otherwise.
    pub is_allowed: bool,
    /// Rows.
    pub rows_max: u64,
    /// Bytes of rows.
    pub bytes_max: u64,
}

/// Runs the statements of all clients.
pub struct Executor {
    snapshots: Arc<ArcSwap<Snapshot>>,
    gateway: Arc<Gateway>,
    tracker: Arc<Tracker>,
    registry: Arc<Registry>,
    options: ExecutorOptions,
    plans: PlanCache,
    gathers: gather::Numbers,
    workloads: workload::Workloads,
    sequences: Sequences,
    resolver: Arc<Resolver>,
    shapes: TableShapes,
    /// By the number of the handshake's collation.
    initial_settings: Mutex<HashMap<u16, Settings>>,
}

impl Executor {
    /// An executor over the cluster that `snapshots` describes and `gateway` reaches.
    pub fn new(
        snapshots: Arc<ArcSwap<Snapshot>>,
        gateway: Arc<Gateway>,
        tracker: Arc<Tracker>,
        registry: Arc<Registry>,
        resolver: Arc<Resolver>,
        options: ExecutorOptions,
    ) -> Self {
        Self {
            snapshots,
            gateway,
            tracker,
            registry,
            options,
            plans: PlanCache::new(),
            gathers: gather::Numbers::default(),
            workloads: workload::Workloads::default(),
            sequences: Sequences::default(),
            resolver,
            shapes: TableShapes::default(),
            initial_settings: Mutex::default(),
        }
    }

    /// Plans held, and lookups that found one and that did not.
    pub fn plan_cache_numbers(&self) -> (usize, u64, u64) {
        let (hits, misses) = self.plans.hits_and_misses();
        (self.plans.len(), hits, misses)
    }

    /// Queries for which rows were gathered, and those rows.
    pub fn gather_numbers(&self) -> (u64, u64) {
        self.gathers.load()
    }

    /// Names in `WORKLOAD_NAME` comments, and their statements.
    pub fn workload_numbers(&self) -> Vec<(String, u64)> {
        self.workloads.load()
    }

    /// Bytes of rows that wait in cursors.
    pub fn cursor_bytes(&self) -> u64 {
        self.options.cursor_space.bytes()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.load_full()
    }

    fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn options(&self) -> &ExecutorOptions {
        &self.options
    }

    /// The settings of sessions that begin with this collation. They share them, so that a connection which has them
    /// is known by its pointer.
    fn initial_settings(&self, collation: u16) -> Settings {
        let seed = self.options.fingerprint_seed;
        // Only collations that exist have a place: what clients make up must not fill memory.
        let Some(names) = handshake_names(collation) else { return Settings::new(None, seed) };
        let mut known = self.initial_settings.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(collation).or_insert_with(|| Settings::new(Some(names), seed)).clone()
    }

    fn new_session(&self, client: &ClientInfo) -> Result<Session> {
        let identity = Identity {
            connection_id: client.entry.id().0,
            user: client.user.clone(),
            host: client.entry.host().into(),
        };
        let of_user = self.options.user_modes.iter().find(|(user, _)| **user == *client.user);
        let mode = of_user.map_or(self.options.transaction_mode, |(_, mode)| *mode);
        let mut idle = self.options.idle;
        if client.capabilities.contains(Capabilities::INTERACTIVE) {
            idle.wait_s = idle.interactive_s;
        }
        let settings = self
            .initial_settings(client.collation)
            .with_initial_idle(idle)
            .with_initial_mode(mode)
            .with_initial_gather(self.options.gather.is_allowed);
        let mut session = Session::new(identity, settings.clone());
        session.idle_limit = client.entry.idle_limit().clone();
        session.write_limit = client.entry.write_limit().clone();
        session.set_settings(settings);
        session.target.tablet_type = self.options.default_tablet_type;
        session.shield = client.entry.shield().clone();
        if let Some(database) = client.database.as_deref().filter(|database| !database.is_empty()) {
            session.target = SessionTarget::parse(database, &self.snapshot(), &session.target, false)?;
            client.entry.set_database(session.target.text.clone());
        }
        Ok(session)
    }
}

/// Commands.
impl Executor {
    async fn run_command(
        &self,
        session: &mut Session,
        command: Command<'_>,
        client: &mut ClientStream,
    ) -> Result<Flow> {
        match command {
            Command::Query(text) => self.query(session, text, client).await?,
            Command::StmtExecute(execute) => self.execute(session, execute, client).await?,
            Command::InitDb(name) => {
                self.init_db(session, &String::from_utf8_lossy(name), client)?;
            }
            Command::StmtPrepare(text) => Box::pin(self.prepare(session, text, client)).await?,
            Command::StmtSendLongData { statement_id, parameter, data } => {
                session
                    .prepared
                    .get_mut(statement_id, "mysqld_stmt_send_long_data")?
                    .long_data
                    .append(parameter, data)?;
            }
            Command::StmtClose(id) => session.prepared.remove(id),
            Command::StmtFetch { statement_id, row_count } => {
                Box::pin(self.fetch(session, statement_id, row_count, client)).await?;
            }
            Command::StmtReset(id) => self.reset_statement(session, id, client)?,
            Command::FieldList { table, wildcard } => {
                Box::pin(self.field_list(session, table, wildcard, client)).await?;
            }
            other => return Err(crate::error::Error::bug(format!("{other:?} is the server's to answer"))),
        }
        Ok(if session.is_closing { Flow::Close } else { Flow::Continue })
    }

    /// Servers name their databases, clients know keyspaces.
    fn in_clients_words(&self, session: &Session, error: crate::error::Error) -> crate::error::Error {
        match KeyspaceNames::for_session(session, &self.snapshot(), None) {
            Some(names) => names.in_error(error),
            None => error,
        }
    }
}

impl Handler for Executor {
    type Session = Session;

    async fn open(&self, client: &ClientInfo) -> Result<Session> {
        self.new_session(client)
    }

    async fn command(
        &self,
        session: &mut Session,
        command: Command<'_>,
        client: &mut ClientStream,
    ) -> Result<Flow> {
        match self.run_command(session, command, client).await {
            Err(error) => Err(self.in_clients_words(session, error)),
            flow => flow,
        }
    }

    async fn reset(&self, session: &mut Session, client: Option<&ClientInfo>) -> Result<()> {
        self.rollback(session).await;
        session.transaction.shards.clear();
        match client {
            Some(client) => *session = self.new_session(client)?,
            None => session.reset(),
        }
        Ok(())
    }

    fn status(&self, session: &Session) -> StatusFlags {
        session.status()
    }

    fn patience(&self, session: &Session) -> Option<Instant> {
        self.transaction_patience(session)
    }

    async fn lose_patience(&self, session: &mut Session) {
        self.end_late_transaction(session).await;
    }

    async fn close(&self, mut session: Session) {
        self.rollback(&mut session).await;
    }
}

/// `utf8mb4_0900_ai_ci`: MySQL's own from here on, and MariaDB's own from 576 on.
const FIRST_COLLATION_OF_ONE_ENGINE: u16 = 255;

/// The character set that a client's handshake asked for; `None` is the one that backend connections begin with.
fn handshake_names(collation: u16) -> Option<Names> {
    let charset = Charset::of_collation(collation)?;
    let name = collation_name(collation)?;
    // From 255 on, numbers are of collations that only one engine has: a server that does not know one takes
    // its own default of the character set. So MySQL's client, which asks for 255, can speak to MariaDB.
    let is_of_both_engines = collation < FIRST_COLLATION_OF_ONE_ENGINE;
    let collation = is_of_both_engines.then(|| name.as_ref().into());
    Some(Names { charset: charset.name.into(), collation })
}
