//! Planned statements: plan, resolve the routing to shards, run at one of them or at several.

use std::sync::Arc;

use super::Executor;
use super::arguments::{Arguments, Placeholders};
use super::exchange::Payload;
use super::gather::Finished;
use super::inner::Inner;
use super::job::Job;
use super::lookup::Lock;
use super::place;
use super::plan_cache::PlanKey;
use super::prepared::Preparation;
use super::scatter::{ClientRows, ShardAccess};
use super::session_values::SessionValues;
use super::wording::Doubt;
use crate::engine::{self, FoundPlaces, Run, ShardPart, Shards};
use crate::error::{ERRNO_UNDECLARED_VARIABLE, ERRNOS_OF_RESOLUTION, Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::PLAN_CACHE_TEXT_BYTES_MAX;
use crate::plan::primitive::{EachShard, Piece, Primitive, Query, Route, Routing, Several, Template};
use crate::plan::{Plan, PlanContext};
use crate::session::Session;
use crate::session::diagnostics::{Diagnostic, Level};
use crate::session::heard::Heard;
use crate::session::lease::Tolerated;
use crate::session::transaction::Pin;
use crate::sql::{DdlVerb, LexFlags, LexOptions, Lexed, StatementKind, lex};
use crate::topology::{Keyspace, KeyspaceName, Shard, ShardName, Snapshot, TabletType};

const OTHER_TYPE: &str =
    "a comparison of a sharding key with a value of another type, which any shard may match";

impl Executor {
    /// Runs a statement that has a plan.
    pub(super) async fn planned(&self, job: &mut Job<'_>) -> Result<()> {
        if job.lexed.flags.contains(LexFlags::HAS_LOCK_FUNCTION) {
            return Box::pin(self.with_user_locks(job)).await;
        }
        if job.lexed.flags.intersects(LexFlags::HAS_SESSION_FUNCTION | LexFlags::HAS_SYSTEM_VARIABLE)
            && let Some(table) = self.session_query(job)
        {
            return Box::pin(self.send_table(job, table)).await;
        }
        if job.lexed.flags.contains(LexFlags::HAS_INTO)
            && let Some(into) = super::into::of(job)
        {
            return Box::pin(self.select_into(job, &into)).await;
        }
        check_writable(job)?;
        job.session.transaction.pin_next = pin_of(job);
        if let Some(target) = place::explicit(job.session, &job.snapshot)? {
            self.open_if_implicit(job, true);
            return self.pass_to(job, target).await;
        }
        let plan = match self.plan(job) {
            Ok(plan) => plan,
            Err(error) if is_not_understood(&error) => {
                if let Some(text) = super::set_form::of_refused(job, &error) {
                    return Box::pin(self.run_values_form(job, &text)).await;
                }
                return match Box::pin(self.with_views_expanded(job, error)).await {
                    Err(error) if is_not_understood(&error) => {
                        Err(Box::pin(self.server_error(job, error)).await)
                    }
                    outcome => outcome,
                };
            }
            Err(error) => return Err(error),
        };
        self.open_if_implicit(job, !plan.tables.is_empty() || job.lexed.kind.is_dml());
        super::table_locks::check_locked(job.session, &plan)?;
        if job.lexed.kind.is_dml()
            && job.snapshot.vschema.manages_foreign_keys()
            && Box::pin(self.keep_foreign_keys(job, &plan)).await?.is_some()
        {
            return Ok(());
        }
        if super::years::change(job, &plan.year_arguments)? {
            return Box::pin(self.with_years(job, &plan)).await;
        }
        match &plan.root {
            Primitive::Route(route) => match &plan.told_id {
                None => self.route(job, route).await,
                Some(told) => Box::pin(self.route_insert(job, route, told)).await,
            },
            Primitive::Gather(gather) => Box::pin(self.gather(job, gather)).await,
            Primitive::Insert(insert) => match Box::pin(self.insert(job, insert)).await {
                Err(error) => match super::set_form::of_refused(job, &error) {
                    Some(text) => Box::pin(self.run_values_form(job, &text)).await,
                    None => Err(error),
                },
                Ok(()) => Ok(()),
            },
            Primitive::ReadFirst(first) => Box::pin(self.read_first(job, first)).await,
            other => Err(Error::bug(format!("a plan whose root is {other:?}"))),
        }
    }

    /// With `autocommit = 0` a transaction begins with the first statement that touches tables.
    fn open_if_implicit(&self, job: &mut Job<'_>, touches_tables: bool) {
        let is_transactional = job.lexed.kind.is_dml() || job.lexed.kind.is_query();
        if !(touches_tables && is_transactional) {
            return;
        }
        let transaction = &mut job.session.transaction;
        if !job.session.settings.autocommit {
            transaction.open();
        } else if !transaction.characteristics.is_default() && !transaction.is_active() {
            transaction.is_one_shot = true;
        }
    }

    pub(super) async fn route(&self, job: &mut Job<'_>, route: &Route) -> Result<()> {
        job.session.asks_system_tables = matches!(route.routing, Routing::SystemSchema(_));
        let placed = match route.routing.asks_tables() {
            false => self.place(job, route, &[]),
            true => Box::pin(self.place_by_tables(job, route)).await,
        };
        let placed = match placed {
            Err(error) if error.kind() == Some(ErrorKind::Unsupported) => {
                return Box::pin(self.gather_instead(job, route, error)).await;
            }
            placed => placed?,
        };
        let (keyspace, parts) = match placed {
            Placed::One(target) => return self.at_one_shard(job, &target, &route.query).await,
            Placed::Several(keyspace, parts) => (keyspace, parts),
        };
        if let Some(pin) = job.session.transaction.pin_next.take() {
            return Err(Error::unsupported(format!(
                "a statement that leaves a {pin} behind, over several shards"
            )));
        }
        if route.routing == Routing::Scatter {
            self.check_scatter(job)?;
        }
        let snapshot = job.snapshot.clone();
        let parts = parts_in(&snapshot, &keyspace, &parts)?;
        let mut has_begun = false;
        let outcome = match &route.several {
            Several::Gather(gather) => Box::pin(self.gather(job, gather)).await,
            Several::Finish(finish) => {
                match Box::pin(self.finish_groups(job, &keyspace, &parts, finish)).await {
                    Ok(Finished::Not(error)) => Box::pin(self.gather_instead(job, route, error)).await,
                    outcome => outcome.map(drop),
                }
            }
            Several::Combine(tree) => {
                match Box::pin(self.combine(job, &keyspace, &parts, tree, &mut has_begun)).await {
                    Err(error) if super::gather::is_left_to_a_server(&error) && !has_begun => {
                        Box::pin(self.gather_instead(job, route, error)).await
                    }
                    outcome => outcome,
                }
            }
            Several::Write(query) => Box::pin(self.write_to(job, &keyspace, &parts, query, false)).await,
            Several::WriteReturning { query, is_same } => {
                Box::pin(self.write_returning(job, &keyspace, &parts, (query, *is_same))).await
            }
            Several::WriteSame(query) => Box::pin(self.write_to(job, &keyspace, &parts, query, true)).await,
            Several::ReadFirst(first) => Box::pin(self.read_first(job, first)).await,
            Several::Unsupported(what) if job.lexed.kind.is_dml() => {
                Err(Box::pin(self.server_error(job, Error::unsupported(what.as_ref()))).await)
            }
            Several::Unsupported(what) => {
                Box::pin(self.with_views_expanded(job, Error::unsupported(what.as_ref()))).await
            }
            Several::Never => Box::pin(self.gather_instead(job, route, Error::unsupported(OTHER_TYPE))).await,
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => match Box::pin(self.in_servers_words(job, route, &parts, error)).await {
                // MySQL does not find every expression again that it groups by, such as INTERVAL(…): the client's text
                // is right, ours is not.
                Doubt::Ours(error) if route.several.is_combined() && !has_begun => {
                    Box::pin(self.gather_instead(job, route, error)).await
                }
                Doubt::Ours(error) | Doubt::Settled(error) => Err(error),
            },
        }
    }

    /// Gathers the tables of a query whose values do not allow its plan; `error` says why they do not.
    async fn gather_instead(&self, job: &mut Job<'_>, route: &Route, error: Error) -> Result<()> {
        match &route.several {
            Several::Gather(gather) => return self.gather(job, gather).await,
            Several::ReadFirst(first) => return self.read_first(job, first).await,
            _ => {}
        }
        if !job.lexed.kind.is_query() {
            return Err(error);
        }
        let options = job.session.settings.lex_options();
        let plan = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            crate::plan::build_gathered(ctx, job.text, job.lexed)
        });
        match plan {
            Ok(Plan { root: Primitive::Gather(gather), .. }) => self.gather(job, &gather).await,
            _ => Err(error),
        }
    }

    /// With `query.no_scatter` only what asks for it goes to all shards.
    pub(super) fn check_scatter(&self, job: &Job<'_>) -> Result<()> {
        let is_concerned = job.lexed.kind.is_dml() || job.lexed.kind.is_query();
        if self.options().no_scatter
            && is_concerned
            && !job.is_directed(|directives| directives.allow_scatter)
        {
            let text = "plan includes scatter, which is disallowed by query.no_scatter: \
                        say /*vt+ ALLOW_SCATTER */ if it is meant";
            return Err(Error::new(ErrorKind::ScatterDisallowed, text));
        }
        Ok(())
    }

    /// The same for a query that the router asks on behalf of the job's statement.
    pub(super) fn check_scatter_of(&self, job: &Job<'_>, text: &[u8]) -> Result<()> {
        if !self.options().no_scatter {
            return Ok(());
        }
        let mut lexed = Lexed::new();
        lex(text, 0, &job.session.settings.lex_options(), &mut lexed)?;
        match self.plan_of(job.session, &job.snapshot, text, &lexed) {
            Ok(plan) if is_scatter(&plan) => self.check_scatter(job),
            // What else it is, or why it is none, shows when it runs.
            _ => Ok(()),
        }
    }

    /// The statement at its only shard: the reply's packets pass through.
    pub(super) async fn at_one_shard(&self, job: &mut Job<'_>, target: &Target, query: &Query) -> Result<()> {
        let is_write = job.is_write();
        self.at_one_shard_as(job, target, query, is_write).await
    }

    /// The same; whether it writes is for the caller to say.
    pub(super) async fn at_one_shard_as(
        &self,
        job: &mut Job<'_>,
        target: &Target,
        query: &Query,
        is_write: bool,
    ) -> Result<()> {
        let Query::Template(template) = query else {
            let payload = match job.execution {
                Some(execution) => Payload::Execute(job.text, execution),
                None => Payload::Query(job.text),
            };
            return self.forward(job, target, payload, is_write).await.map(drop);
        };
        let names_database = template
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::DatabaseName(_) | Piece::DatabaseNames(_)));
        if job.execution.is_some() && names_database {
            // The value of a parameter changes: it cannot stay where it is.
            let parts = [(target.shard.clone(), None)];
            let snapshot = job.snapshot.clone();
            let parts = parts_in(&snapshot, &target.keyspace, &parts)?;
            let tree = Primitive::EachShard(EachShard { query: query.clone(), helpers: 0, typed: None });
            return Box::pin(self.combine(job, &target.keyspace, &parts, &tree, &mut false)).await;
        }
        let text = self.render(job, template, Placeholders::Keep)?;
        let payload = match job.execution {
            Some(execution) => Payload::Execute(&text, execution),
            None => Payload::Query(&text),
        };
        Box::pin(self.forward(job, target, payload, is_write)).await.map(drop)
    }

    /// A query whose rows the engine combines. Once it `has_begun` the client has a part of the answer.
    pub(super) async fn combine(
        &self,
        job: &mut Job<'_>,
        keyspace: &KeyspaceName,
        parts: &[ShardPart<'_>],
        tree: &Primitive,
        has_begun: &mut bool,
    ) -> Result<()> {
        let before = job.session.settings_override.clone();
        let limited = super::select_limit::apply(job, parts.len(), tree);
        let tree = limited.as_ref().unwrap_or(tree);
        let counts_all = job.lexed.flags.contains(LexFlags::HAS_SQL_CALC_FOUND_ROWS);
        let (status, needs, is_binary) = (job.status(), job.needs(), job.execution.is_some());
        let renaming = super::renaming::of(job, keyspace.as_str());
        let (arguments, values) = (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
        let text = arguments.inline()?;
        let run = Run { keyspace, parts, text: &text, args: &arguments, session: &values };
        job.session.heard = Some(Heard::new(is_binary));
        let outcome = {
            let mut access =
                ShardAccess { executor: self, session: &mut *job.session, needs, is_transactional: true };
            let client = &mut *job.client;
            let mut sink = ClientRows { client, status, is_binary, renaming, columns: Vec::new(), has_begun };
            engine::execute_counting(tree, &run, &mut access, &mut sink, counts_all).await
        };
        job.session.settings_override = before;
        self.recover(job.session).await;
        let heard = job.session.heard.take();
        let row_count = outcome?;
        if let Some(heard) = heard {
            job.session.diagnostics.absorb(heard.take());
        }
        for error in job.session.tolerated.take().iter().flat_map(Tolerated::take) {
            let (code, message) = (error.errno(), error.message().to_vec());
            job.session.diagnostics.push(Diagnostic { level: Level::Warning, code, message });
        }
        job.session.row_count = -1;
        job.session.found_rows = row_count;
        Ok(())
    }

    /// A statement without rows at several shards.
    async fn write_to(
        &self,
        job: &mut Job<'_>,
        keyspace: &KeyspaceName,
        parts: &[ShardPart<'_>],
        query: &Query,
        is_same: bool,
    ) -> Result<()> {
        let (needs, is_transactional) = (job.needs(), job.lexed.kind.is_dml());
        let (arguments, values) = (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
        let text = arguments.inline()?;
        let run = Run { keyspace, parts, text: &text, args: &arguments, session: &values };
        let mut access = ShardAccess { executor: self, session: &mut *job.session, needs, is_transactional };
        let outcome = engine::write(query, is_same, &run, &mut access).await?;
        if is_same {
            // All copies say the same, one behind the other.
            job.session.diagnostics.truncate(outcome.warnings);
        }
        self.send_outcome(job, &outcome);
        Ok(())
    }

    /// The shards of a route whose lookup tables have to be asked first.
    pub(super) async fn place_by_tables(&self, job: &mut Job<'_>, route: &Route) -> Result<Placed> {
        let lock = Lock { is_write: !job.lexed.is_read_only_query() };
        self.place_by_tables_with(job, route, lock).await
    }

    pub(super) async fn place_by_tables_with(
        &self,
        job: &mut Job<'_>,
        route: &Route,
        lock: Lock,
    ) -> Result<Placed> {
        let needs = job.needs();
        let arguments = Arguments::new(job, Placeholders::Inline);
        let snapshot = job.snapshot.clone();
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        let known = inner.find_places(route, &arguments, lock).await?;
        self.place(job, route, &known)
    }

    /// The shards of a route.
    pub(super) fn place(&self, job: &Job<'_>, route: &Route, known: &[FoundPlaces<'_>]) -> Result<Placed> {
        let arguments = Arguments::new(job, Placeholders::Inline);
        let keyspace = route_keyspace(job.session, &job.snapshot, route, &arguments)?;
        let target = |shard: &Shard| place::target(job.session, keyspace, shard.name().clone());
        match engine::resolve_with(&route.routing, keyspace, &arguments, known)? {
            Shards::Any => place::any_shard(&job.snapshot, keyspace.name(), job.session).map(Placed::One),
            Shards::These(parts) => match parts.as_slice() {
                [part] => Ok(Placed::One(target(part.shard))),
                parts => {
                    let parts = parts.iter().map(|part| (part.shard.name().clone(), part.items.clone()));
                    Ok(Placed::Several(keyspace.name().clone(), parts.collect()))
                }
            },
        }
    }

    /// A template's text for one shard.
    pub(super) fn render(
        &self,
        job: &Job<'_>,
        template: &Template,
        placeholders: Placeholders,
    ) -> Result<Vec<u8>> {
        let arguments = Arguments::new(job, placeholders);
        let values = SessionValues::new(self, job);
        let mut text = Vec::with_capacity(job.text.len() + 64);
        engine::render(template, &arguments, &values, None, b"", &mut text)?;
        Ok(text)
    }

    /// The plan of the job's statement, from the cache if it is there.
    pub(super) fn plan(&self, job: &Job<'_>) -> Result<Arc<Plan>> {
        self.plan_of(job.session, &job.snapshot, job.text, job.lexed)
    }

    /// The plan of a text, as the session would run it; from the cache if it is there.
    pub(super) fn plan_of(
        &self,
        session: &Session,
        snapshot: &Snapshot,
        text: &[u8],
        lexed: &Lexed,
    ) -> Result<Arc<Plan>> {
        let options = session.settings.lex_options();
        // Names of variables are not in the fingerprint, but in the text of a plan that assigns to them.
        let uncacheable = LexFlags::NOT_CACHEABLE | LexFlags::HAS_ASSIGNMENT;
        let is_cacheable = !lexed.flags.intersects(uncacheable)
            && text.len() <= PLAN_CACHE_TEXT_BYTES_MAX
            && !session.settings.skip_plan_cache
            && !session.is_directed(|directives| directives.skip_query_plan_cache);
        if !is_cacheable {
            return self.build_plan(session, snapshot, &options, text, lexed).map(Arc::new);
        }
        let key = PlanKey {
            fingerprint: lexed.fingerprint,
            target: session.target.plan_hash(),
            mode: options.mode.bits(),
            // Without a keyspace a name may mean another table when some keyspace gets one.
            version: if session.target.keyspace.is_some() { snapshot.epoch } else { snapshot.version },
        };
        if let Some(plan) = self.plans.get(&key, snapshot) {
            return Ok(plan);
        }
        let plan = Arc::new(self.build_plan(session, snapshot, &options, text, lexed)?);
        self.plans.insert(key, plan.clone(), snapshot);
        Ok(plan)
    }

    fn build_plan(
        &self,
        session: &Session,
        snapshot: &Snapshot,
        options: &LexOptions,
        text: &[u8],
        lexed: &Lexed,
    ) -> Result<Plan> {
        self.plan_with(session, snapshot, options, |ctx| crate::plan::build(ctx, text, lexed))
    }

    pub(super) fn plan_with<T>(
        &self,
        session: &Session,
        snapshot: &Snapshot,
        options: &LexOptions,
        build: impl FnOnce(&PlanContext<'_>) -> Result<T>,
    ) -> Result<T> {
        let topology = &snapshot.topology;
        let databases: Vec<(Box<str>, KeyspaceName)> = topology
            .keyspaces()
            .iter()
            .map(|keyspace| (keyspace.db_name().into(), keyspace.name().clone()))
            .collect();
        let system = session.target.system_database.as_deref().map(KeyspaceName::from);
        let ctx = PlanContext {
            vschema: &snapshot.vschema,
            schemas: &snapshot.schemas,
            keyspace: session.target.keyspace.as_ref().or(system.as_ref()),
            tablet_type: session.target.tablet_type,
            databases: &databases,
            options,
        };
        build(&ctx)
    }

    /// The plan of another text, for people to read.
    pub(super) fn plan_of_text(&self, job: &Job<'_>, text: &[u8]) -> Result<Plan> {
        let options = job.session.settings.lex_options();
        let mut lexed = Lexed::new();
        lex(text, 0, &options, &mut lexed)?;
        self.build_plan(job.session, &job.snapshot, &options, text, &lexed)
    }

    /// Where another text in the job's place is prepared.
    pub(super) fn place_of_text(&self, job: &Job<'_>, text: &[u8]) -> Result<Preparation> {
        if let Some(target) = place::explicit(job.session, &job.snapshot)? {
            return Ok(Preparation::AtServer(target, text.to_vec()));
        }
        let plan = self.plan_of_text(job, text)?;
        let keyspace = match &plan.root {
            Primitive::Route(Route { keyspace: Some(keyspace), .. }) => keyspace.to_string(),
            _ => place::any_keyspace(job.session, &job.snapshot)?,
        };
        let target = place::any_shard(&job.snapshot, &keyspace, job.session)?;
        Ok(Preparation::AtServer(target, text.to_vec()))
    }

    /// What to tell about a statement that the router cannot plan: the server's own words, if a server refuses it too.
    pub(super) async fn server_error(&self, job: &mut Job<'_>, ours: Error) -> Error {
        let Ok(keyspace) = place::any_keyspace(job.session, &job.snapshot) else { return ours };
        let Ok(target) = place::any_shard(&job.snapshot, &keyspace, job.session) else { return ours };
        let text = super::describe::with_database_names(job);
        match self.prepare_at(job, &target, &text).await {
            Err(error) if error.kind().is_none() && is_about_the_text(error.errno()) => error,
            _ if ours.kind() != Some(ErrorKind::Syntax) => ours,
            _ => {
                let near = String::from_utf8_lossy(ours.message()).into_owned();
                let near = near.rsplit_once("near ").map_or("", |(_, near)| near).to_owned();
                Error::unsupported(format!("syntax that the router does not understand, near {near}"))
            }
        }
    }

    /// Where a planned statement is prepared, and with which text.
    pub(super) fn place_to_prepare(&self, job: &Job<'_>) -> Result<Preparation> {
        if let Some(table) = self.session_query(job) {
            return Ok(Preparation::Router(table.definitions()));
        }
        if let Some(into) = super::into::of(job) {
            return self.place_to_prepare_into(job, &into);
        }
        check_writable(job)?;
        if let Some(target) = place::explicit(job.session, &job.snapshot)? {
            return Ok(Preparation::AtServer(target, job.text.to_vec()));
        }
        let plan = self.plan(job)?;
        let (keyspace, query) = match &plan.root {
            Primitive::Gather(gather) => return Ok(Preparation::Gathered(Box::new(gather.clone()))),
            Primitive::Route(route) => (route.keyspace.as_ref(), Some(&route.query)),
            Primitive::Insert(insert) => {
                if let Some(text) = super::insert::stand_in(insert, job.lexed) {
                    let target = place::any_shard(&job.snapshot, &insert.keyspace, job.session)?;
                    return Ok(Preparation::AtServer(target, text));
                }
                (Some(&insert.keyspace), None)
            }
            Primitive::ReadFirst(first) => match &first.check {
                Some(check) => (Some(&check.keyspace), Some(&check.query)),
                None => (first.targets.first().map(|target| &target.table.0.keyspace), None),
            },
            other => return Err(Error::bug(format!("a plan whose root is {other:?}"))),
        };
        let keyspace = match keyspace {
            Some(keyspace) => keyspace.to_string(),
            None => place::any_keyspace(job.session, &job.snapshot)?,
        };
        let target = place::any_shard(&job.snapshot, &keyspace, job.session)?;
        let text = match query {
            Some(Query::Template(template)) => self.render(job, template, Placeholders::Keep)?,
            Some(Query::Original) => job.text.to_vec(),
            None => super::describe::with_database_names(job),
        };
        Ok(Preparation::AtServer(target, text))
    }
}

/// Is the statement refused because the router does not know how to run it?
fn is_not_understood(error: &Error) -> bool {
    matches!(error.kind(), Some(ErrorKind::Syntax | ErrorKind::Unsupported))
}

/// Is it an error that any server gives to this text, whatever its tables are?
fn is_about_the_text(errno: u16) -> bool {
    errno == ErrorKind::Syntax.errno()
        || errno == ERRNO_UNDECLARED_VARIABLE
        || ERRNOS_OF_RESOLUTION.contains(&errno)
}

/// Where a route leads, without borrowing the job.
pub(super) enum Placed {
    One(Target),
    Several(KeyspaceName, Vec<(ShardName, Option<Vec<u32>>)>),
}

/// The keyspace of a route. For system tables it may be named in the statement, as keyspace or as database.
pub(super) fn route_keyspace<'s>(
    session: &Session,
    snapshot: &'s Snapshot,
    route: &Route,
    arguments: &Arguments<'_>,
) -> Result<&'s Keyspace> {
    let topology = &snapshot.topology;
    if let Routing::SystemSchema(values) = &route.routing
        && let Some(keyspace) = super::system_tables::keyspace(snapshot, values, arguments)?
    {
        return Ok(keyspace);
    }
    let any;
    let name = match &route.keyspace {
        Some(name) => name.as_str(),
        None => {
            any = place::any_keyspace(session, snapshot)?;
            any.as_str()
        }
    };
    let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"));
    topology.keyspace(name).ok_or_else(unknown)
}

/// The engine's form of the parts.
pub(super) fn parts_in<'s>(
    snapshot: &'s Snapshot,
    keyspace: &KeyspaceName,
    parts: &[(ShardName, Option<Vec<u32>>)],
) -> Result<Vec<ShardPart<'s>>> {
    let unknown = || Error::bug(format!("a shard of keyspace {keyspace} is gone from its own snapshot"));
    let keyspace = snapshot.topology.keyspace(keyspace).ok_or_else(unknown)?;
    let part = |(name, items): &(ShardName, Option<Vec<u32>>)| {
        Ok(ShardPart { shard: keyspace.shard(name).ok_or_else(unknown)?, items: items.clone() })
    };
    parts.iter().map(part).collect()
}

/// Why the statement's connection must stay with the session.
fn pin_of(job: &Job<'_>) -> Option<Pin> {
    match job.lexed.kind {
        StatementKind::Ddl(ddl) if ddl.is_temporary && ddl.verb == DdlVerb::Create => {
            Some(Pin::TemporaryTable)
        }
        StatementKind::Flush => {
            let options = job.session.settings.lex_options();
            super::locks::flush_locks_tables(job.text, &options).then_some(Pin::TableLock)
        }
        _ => None,
    }
}

/// Only a primary takes changes.
fn check_writable(job: &Job<'_>) -> Result<()> {
    let kind = job.lexed.kind;
    let changes = kind.is_dml() || matches!(kind, StatementKind::Ddl(_));
    if changes && job.session.target.tablet_type != TabletType::Primary {
        let verb = String::from_utf8_lossy(job.lexed.verb.of(job.text)).to_ascii_uppercase();
        let text = format!("{verb} statement with a {} target", job.session.target.tablet_type);
        return Err(Error::new(ErrorKind::ReplicaTarget, text));
    }
    Ok(())
}

fn is_scatter(plan: &Plan) -> bool {
    matches!(&plan.root, Primitive::Route(route) if route.routing == Routing::Scatter)
}
