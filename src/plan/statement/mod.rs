//! One file per kind of statement: from text to plan.

mod added_keys;
mod assigned_variables;
mod carried_columns;
mod change_text;
mod create_select;
mod create_view;
mod ddl;
mod delete;
mod expand_views;
mod gather;
mod insert;
mod insert_text;
mod load;
mod read_first;
mod select;
mod update;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Primitive, Query, ReadFirst, Route, Routing, Several};
use crate::plan::source::{Edits, Source};
use crate::plan::{FoundTable, Plan, PlanContext, semantics};
use crate::schema::ForeignKey;
use crate::sql::ast::{SetExpr, Statement};
use crate::sql::{Lexed, StatementKind, TokenKind};
use crate::topology::KeyspaceName;
use crate::vschema::Table;

pub(crate) use expand_views::expand_views;
pub(crate) use load::{load, looked_at};

pub(crate) fn build(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Plan> {
    match plan(ctx, text, lexed, false) {
        Err(error) if may_fall_back(&error) => match whole_text(ctx, text, lexed) {
            Some(plan) => Ok(plan),
            None => Err(error),
        },
        planned => planned,
    }
}

/// Plans an UPDATE or DELETE so that its rows are read before they change, whatever cheaper plan it has.
pub(crate) fn read_first(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<ReadFirst> {
    match plan(ctx, text, lexed, true)?.root {
        Primitive::ReadFirst(first) => Ok(*first),
        _ => Err(Error::unsupported("this form of statement over several shards")),
    }
}

/// The table that an ALTER TABLE gives foreign keys, and these.
pub(crate) fn added_foreign_keys(
    ctx: &PlanContext<'_>,
    text: &[u8],
    lexed: &Lexed,
) -> Result<Option<(Arc<Table>, Vec<ForeignKey>)>> {
    let source = Source::new(text, lexed, ctx.options)?;
    let Some((qualifier, name, keys)) = added_keys::read(&source) else { return Ok(None) };
    match ctx.find_table(qualifier.as_deref(), &name)? {
        FoundTable::Table(table) => Ok(Some((table, keys))),
        FoundTable::System => Ok(None),
    }
}

/// `reads_first` is about UPDATE and DELETE only.
fn plan(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed, reads_first: bool) -> Result<Plan> {
    match lexed.kind {
        StatementKind::Delete
        | StatementKind::Select
        | StatementKind::Table
        | StatementKind::Update
        | StatementKind::Values => {
            let source = Source::new(text, lexed, ctx.options)?;
            let statement =
                crate::sql::parse(text, lexed, ctx.options).map_err(|failure| failure.to_error(text))?;
            match &statement {
                Statement::Query(query) => match &*query.body {
                    // `WITH … UPDATE`
                    SetExpr::Update(Statement::Update(update)) => {
                        update::plan(ctx, &source, update, query.with.as_ref(), reads_first)
                    }
                    SetExpr::Delete(Statement::Delete(delete)) => {
                        delete::plan(ctx, &source, delete, query.with.as_ref(), reads_first)
                    }
                    _ => select::plan(ctx, source, query),
                },
                Statement::Update(update) => update::plan(ctx, &source, update, None, reads_first),
                Statement::Delete(delete) => delete::plan(ctx, &source, delete, None, reads_first),
                _ => Err(Error::unsupported("this form of statement")),
            }
        }
        StatementKind::Insert | StatementKind::Replace => insert::plan(ctx, text, lexed),
        StatementKind::Ddl(_)
        | StatementKind::Describe
        | StatementKind::Flush
        | StatementKind::TableMaintenance => ddl::plan(ctx, &Source::new(text, lexed, ctx.options)?),
        StatementKind::Call | StatementKind::Do => {
            ddl::any_shard(ctx, &Source::new(text, lexed, ctx.options)?)
        }
        StatementKind::Explain => select::explain(ctx, text, lexed),
        _ => Err(Error::unsupported("this statement")),
    }
}

/// Plans a query for one server that has the rows of all its tables gathered, whatever cheaper plan it has.
pub(crate) fn gathered(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Plan> {
    let source = Source::new(text, lexed, ctx.options)?;
    let statement = crate::sql::parse(text, lexed, ctx.options).map_err(|failure| failure.to_error(text))?;
    match &statement {
        Statement::Query(query) if !matches!(&*query.body, SetExpr::Update(_) | SetExpr::Delete(_)) => {
            select::gathered(ctx, source, query)
        }
        _ => Err(Error::unsupported("this form of statement over several shards")),
    }
}

/// Errors that say what the router does not understand, not what is wrong with the statement.
fn may_fall_back(error: &Error) -> bool {
    matches!(error.kind(), Some(ErrorKind::Bug | ErrorKind::Syntax | ErrorKind::Unsupported))
}

/// What the router does not understand still goes to an unsharded keyspace, if that is the only place it can
/// mean: the router must not be the reason why a statement is refused there.
fn whole_text(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Option<Plan> {
    let keyspace = ctx.default_keyspace().ok()?;
    if ctx.is_sharded(keyspace) || ctx.vschema.keyspace(keyspace).is_none() {
        return None;
    }
    let source = Source::new(text, lexed, ctx.options).ok()?;
    let tokens = source.tokens();
    for index in 1..tokens.len() {
        if tokens[index].kind != TokenKind::Dot || !tokens[index - 1].kind.is_name() {
            continue;
        }
        let name = source.name(index - 1);
        let other = ctx.keyspace_of(&name).filter(|other| *other != keyspace.as_str());
        if other.is_some() {
            return None;
        }
    }
    if ctx.vschema.find_table(Some(keyspace), "?", ctx.tablet_type).is_err() {
        return None;
    }
    let mut edits = Edits::default();
    semantics::session::replace_anywhere(&source, &|_| false, &mut edits).ok()?;
    let query = source.query(&edits);
    Some(route_plan(lexed.kind, Some(keyspace.clone()), Routing::Unsharded, query, Several::Never))
}

/// A plan that is one route.
fn route_plan(
    kind: StatementKind,
    keyspace: Option<KeyspaceName>,
    routing: Routing,
    query: Query,
    several: Several,
) -> Plan {
    let root = Primitive::Route(Route { keyspace, routing, query, several });
    Plan { kind, root, tables: Vec::new(), told_id: None, year_arguments: Vec::new() }
}

/// A refusal as a part of a plan: it counts only if there are several shards.
fn refusal(error: &Error) -> Result<Several> {
    if error.kind() != Some(ErrorKind::Unsupported) {
        return Err(error.clone());
    }
    let text = String::from_utf8_lossy(error.message()).into_owned();
    let code = ErrorKind::Unsupported.code().unwrap_or_default();
    Ok(Several::Unsupported(text.strip_prefix(code).unwrap_or(&text).into()))
}
