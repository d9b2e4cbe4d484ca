//! Planned statements: plan, resolve the routing to shards, run at one of them or at several.

use std::sync::Arc;

use super::Executor;
use super::arguments::Arguments;
use super::exchange::Payload;
use super::job::Job;
use super::place;
use super::plan_cache::PlanKey;
use super::prepared::Preparation;
use super::resolve::Resolver;
use super::template::{Placeholders, Renderer};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::PLAN_CACHE_TEXT_BYTES_MAX;
use crate::plan::primitive::{Primitive, Query, Route, Several};
use crate::plan::{Plan, PlanContext};
use crate::sql::{LexFlags, LexOptions, Lexed, StatementKind};
use crate::topology::{KeyspaceName, TabletType};

impl Executor {
    /// Runs a statement that has a plan.
    pub(super) async fn planned(&self, job: &mut Job<'_>) -> Result<()> {
        if job.lexed.flags.intersects(LexFlags::HAS_SESSION_FUNCTION | LexFlags::HAS_SYSTEM_VARIABLE)
            && let Some(table) = self.session_query(job)
        {
            return Box::pin(self.send_table(job, table)).await;
        }
        check_writable(job)?;
        if let Some(target) = place::explicit(job.session, &job.snapshot)? {
            self.open_if_implicit(job, true);
            return self.pass_to(job, target).await;
        }
        let plan = match self.plan(job) {
            Ok(plan) => plan,
            Err(error) if error.kind() == Some(ErrorKind::Syntax) => {
                return Err(Box::pin(self.server_syntax_error(job, error)).await);
            }
            Err(error) => return Err(error),
        };
        self.open_if_implicit(job, !plan.tables.is_empty() || job.lexed.kind.is_dml());
        match &plan.root {
            Primitive::Route(route) => self.route(job, route).await,
            Primitive::Insert(insert) => Box::pin(self.insert(job, insert)).await,
            other => Err(Error::bug(format!("a plan whose root is {other:?}"))),
        }
    }

    /// With `autocommit = 0` a transaction begins with the first statement that touches tables.
    fn open_if_implicit(&self, job: &mut Job<'_>, touches_tables: bool) {
        let is_transactional = job.lexed.kind.is_dml() || job.lexed.kind.is_query();
        if !job.session.settings.autocommit && touches_tables && is_transactional {
            job.session.transaction.open();
        }
    }

    async fn route(&self, job: &mut Job<'_>, route: &Route) -> Result<()> {
        let targets = self.targets(job, route)?;
        if let [target] = targets.as_slice() {
            return self.at_one_shard(job, target, &route.query).await;
        }
        match &route.several {
            Several::Combine(tree) => Box::pin(self.scatter(job, &targets, tree)).await,
            Several::Write(query) => Box::pin(self.write_to(job, &targets, query, false)).await,
            Several::WriteSame(query) => Box::pin(self.write_to(job, &targets, query, true)).await,
            Several::Unsupported(what) => Err(Error::unsupported(what.as_ref())),
            Several::Never => Err(Error::unsupported(
                "a comparison of a sharding key with a value of another type, which any shard may match",
            )),
        }
    }

    /// The statement at its only shard: the reply's packets pass through.
    async fn at_one_shard(&self, job: &mut Job<'_>, target: &Target, query: &Query) -> Result<()> {
        let is_write = !job.lexed.is_read_only_query();
        if matches!(query, Query::Original) {
            let payload = match job.execution {
                Some(execution) => Payload::Execute(job.text, execution),
                None => Payload::Query(job.text),
            };
            return self.forward(job, target, payload, is_write).await.map(drop);
        }
        let text = self.render(job, query, Placeholders::Keep)?;
        let payload = match job.execution {
            Some(execution) => Payload::Execute(&text, execution),
            None => Payload::Query(&text),
        };
        Box::pin(self.forward(job, target, payload, is_write)).await.map(drop)
    }

    /// A statement without rows at several shards.
    async fn write_to(
        &self,
        job: &mut Job<'_>,
        targets: &[Target],
        query: &Query,
        is_same: bool,
    ) -> Result<()> {
        let text = self.render(job, query, Placeholders::Inline)?;
        let texts: Vec<_> = targets.iter().map(|target| (target.clone(), text.clone())).collect();
        let mut changes = if job.lexed.kind.is_dml() {
            self.change_shards(job, &texts).await?
        } else {
            self.change_without_transaction(job, &texts).await?
        };
        if is_same {
            changes = changes.of_one(targets.len());
        }
        self.send_changes(job, &changes);
        Ok(())
    }

    /// The shards of a route, as targets.
    fn targets(&self, job: &Job<'_>, route: &Route) -> Result<smallvec::SmallVec<[Target; 4]>> {
        let arguments = arguments(job);
        let resolver = Resolver { snapshot: &job.snapshot, session: job.session, arguments: &arguments };
        let keyspace = resolver.route_keyspace(route)?;
        let shards = resolver.shards(keyspace, &route.routing)?;
        Ok(shards.iter().map(|shard| place::target(job.session, keyspace, shard.name().clone())).collect())
    }

    /// A query's text for this statement.
    pub(super) fn render(&self, job: &Job<'_>, query: &Query, placeholders: Placeholders) -> Result<Vec<u8>> {
        let arguments = arguments(job);
        Renderer::new(self, job, &arguments, placeholders).query(query)
    }

    /// The plan of the job's statement, from the cache if it is there.
    fn plan(&self, job: &Job<'_>) -> Result<Arc<Plan>> {
        let options = job.session.settings.lex_options();
        let is_cacheable =
            !job.lexed.flags.contains(LexFlags::NOT_CACHEABLE) && job.text.len() <= PLAN_CACHE_TEXT_BYTES_MAX;
        if !is_cacheable {
            return self.build_plan(job, &options, job.text, job.lexed).map(Arc::new);
        }
        let key = PlanKey {
            fingerprint: job.lexed.fingerprint,
            target: job.session.target.plan_hash(),
            mode: options.mode.bits(),
            version: job.snapshot.version,
        };
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let plan = Arc::new(self.build_plan(job, &options, job.text, job.lexed)?);
        self.plans.insert(key, plan.clone());
        Ok(plan)
    }

    fn build_plan(&self, job: &Job<'_>, options: &LexOptions, text: &[u8], lexed: &Lexed) -> Result<Plan> {
        let topology = &job.snapshot.topology;
        let databases: Vec<(Box<str>, KeyspaceName)> = topology
            .keyspaces()
            .iter()
            .map(|keyspace| (keyspace.db_name().into(), keyspace.name().clone()))
            .collect();
        let system = job.session.target.system_database.as_deref().map(KeyspaceName::from);
        let ctx = PlanContext {
            vschema: &job.snapshot.vschema,
            keyspace: job.session.target.keyspace.as_ref().or(system.as_ref()),
            tablet_type: job.session.target.tablet_type,
            databases: &databases,
            options,
        };
        crate::plan::build(&ctx, text, lexed)
    }

    /// The plan of another text, for people to read.
    pub(super) fn plan_of_text(&self, job: &Job<'_>, text: &[u8]) -> Result<Plan> {
        let options = job.session.settings.lex_options();
        let mut lexed = Lexed::new();
        crate::sql::lex(text, 0, &options, &mut lexed)?;
        self.build_plan(job, &options, text, &lexed)
    }

    /// What to tell about text that the router's parser refuses: the server's own words, if the server refuses it too.
    pub(super) async fn server_syntax_error(&self, job: &mut Job<'_>, ours: Error) -> Error {
        let Ok(keyspace) = place::any_keyspace(job.session, &job.snapshot) else { return ours };
        let Ok(target) = place::any_shard(&job.snapshot, &keyspace, job.session) else { return ours };
        let text = job.text;
        match self.prepare_at(job, &target, text).await {
            Err(error) if error.errno() == ErrorKind::Syntax.errno() => error,
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
        check_writable(job)?;
        if let Some(target) = place::explicit(job.session, &job.snapshot)? {
            return Ok(Preparation::AtServer(target, job.text.to_vec()));
        }
        let plan = self.plan(job)?;
        let (keyspace, query) = match &plan.root {
            Primitive::Route(route) => (route.keyspace.as_ref(), Some(&route.query)),
            Primitive::Insert(insert) => (Some(&insert.keyspace), None),
            other => return Err(Error::bug(format!("a plan whose root is {other:?}"))),
        };
        let keyspace = match keyspace {
            Some(keyspace) => keyspace.to_string(),
            None => place::any_keyspace(job.session, &job.snapshot)?,
        };
        let target = place::any_shard(&job.snapshot, &keyspace, job.session)?;
        let text = match query {
            Some(query) => self.render(job, query, Placeholders::Keep)?,
            None => super::describe::with_database_names(job),
        };
        Ok(Preparation::AtServer(target, text))
    }
}

/// Where the job's arguments are found.
pub(super) fn arguments<'a>(job: &'a Job<'_>) -> Arguments<'a> {
    Arguments {
        text: job.text,
        lexed: job.lexed,
        options: job.session.settings.lex_options(),
        execution: job.execution,
        user_variables: &job.session.user_variables,
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
