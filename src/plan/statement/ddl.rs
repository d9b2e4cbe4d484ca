//! DDL and table maintenance: every shard of the table's keyspace, with the keyspace's name taken off.
//!
//! Read by tokens, because servers know more DDL than any parser: what counts is which keyspace is meant.

use std::ops::Range;

use super::{create_select, create_view, route_plan};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Distinct, EachShard, Primitive, Query, Routing, Several};
use crate::plan::source::{Edits, Source};
use crate::plan::{FoundTable, Plan, PlanContext, is_system_schema};
use crate::sql::{Ddl, DdlObject, DdlVerb, StatementKind, TokenKind};
use crate::topology::KeyspaceName;
use crate::vschema::TableKind;
use crate::vschema::model::ForeignKeyMode;

pub(super) fn plan(ctx: &PlanContext<'_>, source: &Source<'_>) -> Result<Plan> {
    let kind = source.lexed().kind;
    if let StatementKind::Ddl(Ddl {
        object: DdlObject::Database | DdlObject::VSchema | DdlObject::Other,
        ..
    }) = kind
    {
        return Err(Error::unsupported("CREATE, ALTER and DROP of databases, VSchemas and server objects"));
    }
    let mut edits = Edits::default();
    let keyspace = match kind {
        StatementKind::Ddl(Ddl {
            object: DdlObject::View, verb: DdlVerb::Alter | DdlVerb::Create, ..
        }) => Some(keyspace_of_view(ctx, source, &mut edits)?),
        _ => keyspace_of(ctx, source, None, &mut edits)?,
    };
    let Some(keyspace) = keyspace else {
        // DESCRIBE information_schema.tables
        let query = source.query(&Edits::default());
        return Ok(route_plan(kind, None, Routing::SystemSchema(Vec::new()), query, Several::Never));
    };
    refuse_foreign_keys(ctx, source, &keyspace)?;
    let query = source.query(&edits);
    if !ctx.is_sharded(&keyspace) {
        return Ok(route_plan(kind, Some(keyspace), Routing::Unsharded, query, Several::Never));
    }
    let (routing, several) = match kind {
        StatementKind::Describe => (Routing::AnyShard, Several::Never),
        StatementKind::TableMaintenance => (Routing::Scatter, rows_of_each(query.clone())),
        StatementKind::Ddl(Ddl { is_temporary: true, .. }) => {
            (Routing::Scatter, Several::Unsupported("temporary tables in a sharded keyspace".into()))
        }
        StatementKind::Ddl(Ddl { verb: DdlVerb::Create, object: DdlObject::Table, .. }) => {
            (Routing::Scatter, create_table(ctx, source, &keyspace, &query))
        }
        _ => (Routing::Scatter, Several::WriteSame(query.clone())),
    };
    Ok(route_plan(kind, Some(keyspace), routing, query, several))
}

/// How several shards make a table, perhaps with rows.
fn create_table(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    keyspace: &KeyspaceName,
    query: &Query,
) -> Several {
    let Some(at) = create_select::query_at(source) else { return Several::WriteSame(query.clone()) };
    let name = new_table(source).unwrap_or_default();
    if create_select::is_union_of_shards(ctx, source, keyspace, &name, at) {
        return Several::Write(query.clone());
    }
    Several::Unsupported("this form of CREATE TABLE … SELECT over several shards".into())
}

/// The name of the table that is made, without its keyspace.
fn new_table(source: &Source<'_>) -> Option<String> {
    let first = first_index(source)?;
    let is_qualified = source.tokens().get(first + 1).is_some_and(|token| token.kind == TokenKind::Dot);
    Some(source.name(if is_qualified { first + 2 } else { first }))
}

/// `foreignKeyMode: disallow` of the VSchema: no table may get a foreign key.
fn refuse_foreign_keys(ctx: &PlanContext<'_>, source: &Source<'_>, keyspace: &KeyspaceName) -> Result<()> {
    let schema = ctx.vschema.keyspace(keyspace);
    let is_allowed = schema.is_none_or(|schema| schema.foreign_key_mode() != ForeignKeyMode::Disallow);
    let StatementKind::Ddl(Ddl { object: DdlObject::Table, verb: DdlVerb::Alter | DdlVerb::Create, .. }) =
        source.lexed().kind
    else {
        return Ok(());
    };
    if is_allowed || !(0..source.tokens().len()).any(|index| source.is_keyword(index, "references")) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Other, "VT10001: foreign key constraints are not allowed"))
}

fn rows_of_each(query: Query) -> Several {
    let rows = Primitive::EachShard(EachShard { query, helpers: 0, typed: None });
    Several::Combine(Box::new(Primitive::Distinct(Distinct {
        keys: Vec::new(),
        is_by_value: false,
        input: Box::new(rows),
    })))
}

/// CALL and DO: nothing says what they touch, so the session's keyspace must have one shard, or for DO any will
/// do.
pub(super) fn any_shard(ctx: &PlanContext<'_>, source: &Source<'_>) -> Result<Plan> {
    let kind = source.lexed().kind;
    let mut edits = Edits::default();
    crate::plan::semantics::session::replace(source, &|_| false, &mut edits)?;
    if kind == StatementKind::Do {
        let query = source.query(&edits);
        return Ok(route_plan(kind, None, Routing::AnyShard, query, Several::Never));
    }
    let qualifier = qualifiers(source).next().filter(|(index, _)| *index <= 1);
    let keyspace = match qualifier {
        Some((index, range)) => {
            let name = source.name(index);
            edits.remove(range);
            let found = ctx.keyspace_of(&name).map(KeyspaceName::from);
            found.ok_or_else(|| unknown_database(&name))?
        }
        None => ctx.default_keyspace()?.clone(),
    };
    let query = source.query(&edits);
    if ctx.is_sharded(&keyspace) {
        let several = Several::Unsupported("CALL in a sharded keyspace".into());
        return Ok(route_plan(kind, Some(keyspace), Routing::Scatter, query, several));
    }
    Ok(route_plan(kind, Some(keyspace), Routing::Unsharded, query, Several::Never))
}

fn unknown_database(name: &str) -> Error {
    Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"))
}

/// The keyspace of a view that is made or changed, which must be that of its tables.
fn keyspace_of_view(ctx: &PlanContext<'_>, source: &Source<'_>, edits: &mut Edits) -> Result<KeyspaceName> {
    let form = || Error::unsupported("this form of CREATE VIEW");
    let at = create_view::select_at(source).ok_or_else(form)?;
    let named = keyspace_of(ctx, source, Some(at), edits);
    let definition = create_view::read(ctx, source, at, named.as_ref().ok().and_then(Option::as_ref))?;
    let keyspace = match named {
        Ok(Some(keyspace)) => keyspace,
        Ok(None) => return Err(Error::unsupported("views in system schemas")),
        // Neither the view nor the session says where: its tables do.
        Err(error) => definition.keyspaces.first().cloned().ok_or(error)?,
    };
    if definition.keyspaces.iter().any(|other| *other != keyspace) {
        return Err(Error::unsupported("a view over tables of another keyspace"));
    }
    edits.extend(definition.edits);
    Ok(keyspace)
}

/// The keyspace that the statement's names mean, whose qualifiers are edited away; `None` for a system schema.
/// Only names before token `end` count.
fn keyspace_of(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    end: Option<usize>,
    edits: &mut Edits,
) -> Result<Option<KeyspaceName>> {
    let own = ctx
        .keyspace
        .filter(|own| end.is_none() && !is_system_schema(own) && changes_unqualified_name(source));
    let mut found: Option<KeyspaceName> = own.cloned();
    for (index, range) in qualifiers(source) {
        if end.is_some_and(|end| index >= end) {
            break;
        }
        let name = source.name(index);
        if is_system_schema(&name) {
            return Ok(None);
        }
        let keyspace =
            ctx.keyspace_of(&name).map(KeyspaceName::from).ok_or_else(|| unknown_database(&name))?;
        if found.as_ref().is_some_and(|found| *found != keyspace) {
            return Err(Error::unsupported("names of several keyspaces in one statement"));
        }
        found = Some(keyspace);
        edits.remove(range);
    }
    if let Some(found) = found {
        return Ok(Some(found));
    }
    if let Some(keyspace) = ctx.keyspace {
        return Ok((!is_system_schema(keyspace)).then(|| keyspace.clone()));
    }
    let is_new = matches!(
        source.lexed().kind,
        StatementKind::Ddl(Ddl { verb: DdlVerb::Create, object: DdlObject::Table | DdlObject::View, .. })
    );
    if !is_new
        && let Some(name) = first_name(source)
        && let Ok(FoundTable::Table(table)) = ctx.find_table(None, &name)
    {
        let is_known =
            !matches!(table.kind, TableKind::Unsharded) || ctx.vschema.is_global_table(&table.name);
        if is_known {
            return Ok(Some(table.keyspace.clone()));
        }
    }
    ctx.default_keyspace().cloned().map(Some)
}

/// Qualifiers of names that stand where tables and other objects are named: the token's index, and the bytes to
/// take away.
fn qualifiers(source: &Source<'_>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let tokens = source.tokens();
    let is_list = ["drop", "rename", "flush", "analyze", "optimize", "check", "checksum", "repair"]
        .iter()
        .any(|verb| source.is_keyword(0, verb));
    (1..tokens.len().saturating_sub(2)).filter_map(move |index| {
        let is_name = tokens[index].kind.is_name()
            && tokens[index + 1].kind == TokenKind::Dot
            && tokens[index + 2].kind.is_name();
        let before = index - 1;
        let follows = NAMING.iter().any(|word| source.is_keyword(before, word))
            || is_list && tokens[before].kind == TokenKind::Comma;
        (is_name && follows)
            .then(|| (index, tokens[index].span.range().start..tokens[index + 2].span.range().start))
    })
}

/// Words that names of objects stand behind.
const NAMING: [&str; 20] = [
    "table",
    "tables",
    "exists",
    "like",
    "to",
    "references",
    "on",
    "view",
    "from",
    "join",
    "update",
    "into",
    "truncate",
    "procedure",
    "function",
    "trigger",
    "event",
    "describe",
    "desc",
    "call",
];

/// Does a statement about tables name one without a keyspace, so that the session's is meant? What the others are like
/// (`LIKE`, `REFERENCES`) does not say where it is.
fn changes_unqualified_name(source: &Source<'_>) -> bool {
    let StatementKind::Ddl(Ddl { object: DdlObject::Table, .. }) = source.lexed().kind else { return false };
    let tokens = source.tokens();
    let is_unqualified = |index: usize| {
        let next = tokens.get(index + 1).map(|token| token.kind);
        tokens.get(index).is_some_and(|token| token.kind.is_name()) && next != Some(TokenKind::Dot)
    };
    let is_rename = source.is_keyword(0, "rename");
    let is_list = is_rename || source.is_keyword(0, "drop");
    let in_list = |index: &usize| {
        let before = index - 1;
        tokens[before].kind == TokenKind::Comma || is_rename && source.is_keyword(before, "to")
    };
    first_index(source).is_some_and(is_unqualified)
        || is_list && (1..tokens.len()).filter(in_list).any(is_unqualified)
}

/// The first object that is named.
fn first_name(source: &Source<'_>) -> Option<String> {
    first_index(source).map(|index| source.name(index))
}

fn first_index(source: &Source<'_>) -> Option<usize> {
    let objects = ["table", "exists", "truncate", "describe", "desc", "view"];
    let tokens = source.tokens();
    let index = (1..tokens.len()).find(|index| {
        tokens[*index].kind.is_name()
            && objects.iter().any(|word| source.is_keyword(index - 1, word))
            && !["if", "not", "table", "exists"].iter().any(|word| source.is_keyword(*index, word))
    });
    let on = || {
        let on = (1..tokens.len().saturating_sub(1)).find(|index| source.is_keyword(*index, "on"));
        on.map(|on| on + 1)
    };
    index.or_else(on)
}
