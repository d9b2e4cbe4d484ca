//! INSERT and REPLACE: rows to their shards, numbers from sequences.

use std::sync::Arc;

use super::assigned_variables;
use super::carried_columns::CarriedColumns;
use super::change_text::ChangeText;
use super::insert_text::{Form, InsertText};
use super::{route_plan, update};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{
    Generated, Insert, InsertLookup, InsertRows, InsertVindex, Piece, Primitive, Query, Replaces, RouteValue,
    Routing, Several, Template, ToldId, Upsert, VindexRef,
};
use crate::plan::semantics::analyze::Ctes;
use crate::plan::semantics::{Analyzer, place, session};
use crate::plan::source::{Edits, Source, quote};
use crate::plan::{FoundTable, Plan, PlanContext};
use crate::schema::Generation;
use crate::sql::ast::Statement;
use crate::sql::{LexFlags, Lexed, StatementKind, TokenKind};
use crate::value::Value;
use crate::vschema::{Table, TableKind};

pub(super) fn plan(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Plan> {
    let insert = InsertText::read(ctx, text, lexed)?;
    let (qualifier, name) = insert.table_name();
    let FoundTable::Table(table) = ctx.find_table(qualifier.as_deref(), &name)? else {
        return Err(Error::unsupported("changes of system tables"));
    };
    let table = written_table(ctx, table)?;
    let mut edits = Edits::default();
    // The rows' own session values are filled in when they are sent, unless the text goes as a whole.
    let goes_whole = insert.form == Form::Values && !needs_rows(&table);
    let session =
        LexFlags::HAS_SESSION_FUNCTION | LexFlags::HAS_SYSTEM_VARIABLE | LexFlags::HAS_USER_VARIABLE;
    if goes_whole && lexed.flags.intersects(session) {
        session::replace(&Source::new(text, lexed, ctx.options)?, &|_| false, &mut edits)?;
    } else if insert.form == Form::Select && session::assigns(&insert.source) {
        // The query assigns as it would by itself.
        session::replace_anywhere(&insert.source, &|_| false, &mut edits)?;
    } else {
        session::replace(&insert.source, &|_| false, &mut edits)?;
    }
    fit_name(&insert, &name, &table, &mut edits);
    let whole = match insert.form {
        Form::Select => whole_select(ctx, text, lexed, &table, &edits)?,
        Form::Set | Form::Values => None,
    };
    let mut plan = match whole {
        Some(plan) => plan,
        None => {
            let carried = match insert.form {
                Form::Select => CarriedColumns::of(ctx, lexed, &insert, &table)?,
                Form::Set | Form::Values => CarriedColumns::default(),
            };
            with_rows(lexed, &insert, &table, edits, &carried)?
        }
    };
    plan.tables = vec![(Some(table.keyspace.clone()), table.name.as_str().into())];
    if matches!(plan.root, Primitive::Route(_)) {
        plan.told_id = told_id(ctx, &insert, &table);
    }
    Ok(plan)
}

/// How the insert id is told apart from the number that was generated, if they may differ.
fn told_id(ctx: &PlanContext<'_>, insert: &InsertText<'_>, table: &Table) -> Option<ToldId> {
    let relation = ctx.schemas.relation(&table.keyspace, &table.name)?;
    let counted = relation.columns.iter().find(|column| column.generation == Generation::AutoIncrement)?;
    let is_upsert = insert.updated_columns().is_some();
    let is_named =
        |names: &[Box<str>]| names.iter().position(|name| counted.name.as_str().eq_ignore_ascii_case(name));
    let position = match (&insert.columns, insert.form) {
        (_, Form::Set) => {
            let names: Vec<Box<str>> = insert.assignments().into_iter().map(|(name, _)| name).collect();
            is_named(&names)
        }
        (Some(names), _) => is_named(names),
        (None, _) => {
            let mut visible = relation.columns.iter().filter(|column| !column.is_invisible);
            visible.position(|column| std::ptr::eq(column, counted))
        }
    };
    if position.is_none() && !is_upsert {
        return None;
    }
    let position = position.filter(|_| insert.form == Form::Values).and_then(|at| u32::try_from(at).ok());
    Some(ToldId { position, is_ignore: insert.is_ignore, is_upsert })
}

/// Must each row be looked at?
pub(super) fn needs_rows(table: &Table) -> bool {
    matches!(table.kind, TableKind::Sharded) || table.auto_increment.is_some()
}

/// Copies of a reference table are written at their source.
pub(super) fn written_table(ctx: &PlanContext<'_>, table: Arc<Table>) -> Result<Arc<Table>> {
    let TableKind::Reference { source: Some(source) } = &table.kind else { return Ok(table) };
    match ctx.find_table(Some(&source.keyspace), &source.table)? {
        FoundTable::Table(source) => Ok(source),
        FoundTable::System => Ok(table),
    }
}

fn fit_name(insert: &InsertText<'_>, name: &str, table: &Table, edits: &mut Edits) {
    let tokens = insert.source.tokens();
    let last = insert.table.end - 1;
    if insert.table.len() == 3 {
        edits.remove(tokens[insert.table.start].span.range().start..tokens[last].span.range().start);
    }
    if table.name != *name {
        edits.replace(tokens[last].span.range(), vec![Piece::text(&quote(&table.name))]);
    }
}

fn with_rows(
    lexed: &Lexed,
    insert: &InsertText<'_>,
    table: &Arc<Table>,
    edits: Edits,
    carried: &CarriedColumns,
) -> Result<Plan> {
    let kind = lexed.kind;
    let keyspace = Some(table.keyspace.clone());
    if !needs_rows(table) && insert.form != Form::Select {
        let query = whole(insert, &edits);
        let (routing, several) = match &table.kind {
            TableKind::Pinned(id) => (Routing::Pinned(id.clone()), Several::Never),
            TableKind::Reference { .. } if table.is_keyspace_sharded => copied(insert, table, &query)?,
            _ => (Routing::Unsharded, Several::Never),
        };
        return Ok(route_plan(kind, keyspace, routing, query, several));
    }
    let is_replace = kind == StatementKind::Replace && matches!(table.kind, TableKind::Sharded);
    let updated = insert.updated_columns();
    let changed = changed_vindex_columns(insert, table)?;
    let columns = match columns(insert, table) {
        // Nothing depends on them.
        Err(_) if !needs_rows(table) => None,
        columns => Some(columns?),
    };
    let position = |name: &str| {
        let at = columns.iter().flatten().position(|column| column.eq_ignore_ascii_case(name));
        at.and_then(|at| u32::try_from(at).ok())
    };
    let generated = table.auto_increment.as_ref().map(|auto| Generated {
        column: auto.column.as_str().into(),
        position: position(&auto.column),
        keyspace: auto.sequence.keyspace.clone(),
        sequence: auto.sequence.table.as_str().into(),
    });
    let (vindexes, lookups) = vindexes(table, &position);
    let pinned = match &table.kind {
        TableKind::Pinned(id) => Some(id.clone()),
        _ => None,
    };
    let rows = match insert.form {
        Form::Set => set_rows(lexed, insert, (&vindexes, &lookups), generated.as_ref(), edits)?,
        Form::Select => select_rows(insert, generated.as_ref(), columns.as_deref(), carried, edits)?,
        Form::Values => {
            value_rows(insert, generated.as_ref(), columns.as_deref().unwrap_or_default(), edits)?
        }
    };
    let columns = columns.unwrap_or_default();
    let is_upsert = updated.is_some() && matches!(table.kind, TableKind::Sharded);
    let upsert = is_upsert.then(|| Box::new(Upsert { columns: columns.clone(), changed, keys: 0 }));
    let columns = columns.into();
    let replaces = is_replace.then(Replaces::default);
    let is_copied = table.is_keyspace_sharded && matches!(table.kind, TableKind::Reference { .. });
    let is_ignore = insert.is_ignore;
    let keyspace = table.keyspace.clone();
    let table = table.name.as_str().into();
    let root = Primitive::Insert(Insert {
        keyspace,
        vindexes,
        lookups,
        table,
        columns,
        pinned,
        updated,
        upsert,
        replaces,
        is_copied,
        is_ignore,
        returns: insert.returns(),
        generated,
        rows,
    });
    Ok(Plan { kind, root, tables: Vec::new(), told_id: None, year_arguments: Vec::new() })
}

/// Every shard gets every row.
fn copied(insert: &InsertText<'_>, table: &Table, query: &Query) -> Result<(Routing, Several)> {
    let route = update::copies(&insert.source, table.keyspace.clone(), query.clone(), None)?;
    let several = if insert.returns() { update::returning(route.several) } else { route.several };
    Ok((route.routing, several))
}

fn whole(insert: &InsertText<'_>, edits: &Edits) -> Query {
    insert.source.query(edits)
}

/// The vindex columns that ON DUPLICATE KEY UPDATE gives another value than their own.
fn changed_vindex_columns(insert: &InsertText<'_>, table: &Table) -> Result<Vec<Box<str>>> {
    let is_vindex_column = |name: &str| {
        table.column_vindexes.iter().flat_map(|vindex| &vindex.columns).any(|column| *column == *name)
    };
    let mut changed = insert.changed_by_update();
    changed.retain(|name| is_vindex_column(name));
    match changed.first() {
        Some(name) if insert.form == Form::Set => Err(Error::unsupported(format!(
            "ON DUPLICATE KEY UPDATE of the vindex column {name} behind SET (VALUES can do it)"
        ))),
        _ => Ok(changed),
    }
}

/// The names of a row's values.
fn columns(insert: &InsertText<'_>, table: &Table) -> Result<Vec<Box<str>>> {
    if insert.form == Form::Set {
        return Ok(insert.assignments().into_iter().map(|(name, _)| name).collect());
    }
    if let Some(columns) = &insert.columns {
        return Ok(columns.clone());
    }
    if insert.has_empty_row {
        return Ok(Vec::new());
    }
    if !table.column_list_authoritative {
        let message = "VT09004: INSERT should contain column list or the table should have authoritative columns in vschema";
        return Err(Error::new(ErrorKind::Other, message));
    }
    let visible = table.columns.iter().filter(|column| !column.is_invisible);
    Ok(visible.map(|column| column.name.as_str().into()).collect())
}

/// The vindexes that place rows, and those whose tables are kept or asked.
pub(super) fn vindexes(
    table: &Table,
    position: &dyn Fn(&str) -> Option<u32>,
) -> (Vec<InsertVindex>, Vec<InsertLookup>) {
    let mut found = Vec::new();
    let mut lookups = Vec::new();
    for (index, vindex) in table.column_vindexes.iter().enumerate() {
        // Columns without a position get their defaults.
        let positions: Vec<Option<u32>> = vindex.columns.iter().map(|column| position(column)).collect();
        let columns = vindex.columns.iter().map(|column| column.as_str().into()).collect();
        let of_table = InsertVindex { vindex: VindexRef(Arc::clone(&vindex.vindex)), columns, positions };
        if vindex.vindex.is_lookup() && index > 0 {
            lookups.push(InsertLookup { vindex: of_table, is_owned: vindex.is_owned });
        } else {
            found.push(of_table);
        }
    }
    (found, lookups)
}

/// `VALUES (…), (…)`: the head gets the generated column if it lacks it.
fn value_rows(
    insert: &InsertText<'_>,
    generated: Option<&Generated>,
    columns: &[Box<str>],
    mut edits: Edits,
) -> Result<InsertRows> {
    let source = &insert.source;
    add_columns(insert, generated, columns, &mut edits);
    let head_end = source.tokens()[insert.head_count - 1].span.range().end;
    let head_range = source.range().start..head_end;
    let tail_range = head_end..source.range().end;
    if edits.touches(&tail_range) {
        return Err(Error::unsupported("session values behind the rows of an INSERT over several shards"));
    }
    let head = if edits.touches(&head_range) { Some(plain_text(source, &head_range, &edits)?) } else { None };
    Ok(InsertRows::Values { head, columns: u32::try_from(columns.len()).ok() })
}

/// Adds the generated column to the list if it is missing there, and the list if there is none.
fn add_columns(
    insert: &InsertText<'_>,
    generated: Option<&Generated>,
    columns: &[Box<str>],
    edits: &mut Edits,
) {
    let source = &insert.source;
    let added = generated.filter(|generated| generated.position.is_none());
    match insert.columns_end {
        Some(end) => {
            // Without its parenthesis the text is the server's to refuse.
            if let Some((generated, token)) = added.zip(source.tokens().get(end)) {
                let place = token.span.range().start;
                let comma = if columns.is_empty() { "" } else { ", " };
                edits.insert(place, &format!("{comma}{}", quote(&generated.column)));
            }
        }
        // The names go along by which the places of values are told: the table may have changed meanwhile.
        None => {
            let names = columns.iter().chain(added.map(|generated| &generated.column));
            let names: Vec<String> = names.map(|name| quote(name)).collect();
            let place = source.tokens()[insert.table.end - 1].span.range().end;
            edits.insert(place, &format!(" ({})", names.join(", ")));
        }
    }
}

fn plain_text(source: &Source<'_>, range: &std::ops::Range<usize>, edits: &Edits) -> Result<Box<[u8]>> {
    let mut text = Vec::new();
    for piece in source.pieces(range.clone(), edits).pieces {
        match piece {
            Piece::Text(part) => text.extend_from_slice(&part),
            _ => return Err(Error::unsupported("values before the rows of an INSERT")),
        }
    }
    Ok(text.into())
}

/// `SET a = 1, …`: one row.
fn set_rows(
    lexed: &Lexed,
    insert: &InsertText<'_>,
    (vindexes, lookups): (&[InsertVindex], &[InsertLookup]),
    generated: Option<&Generated>,
    mut edits: Edits,
) -> Result<InsertRows> {
    let assignments = insert.assignments();
    let is_needed = |index: usize| {
        vindexes
            .iter()
            .chain(lookups.iter().map(|lookup| &lookup.vindex))
            .flat_map(|vindex| &vindex.positions)
            .any(|at| at.is_some_and(|at| at as usize == index))
    };
    let (mut values, mut opaque) = (Vec::new(), Vec::new());
    for (index, (name, tokens)) in assignments.iter().enumerate() {
        let value = set_value(lexed, &insert.source, tokens);
        if value.is_none() && is_needed(index) {
            return Err(Error::unsupported(format!("an expression for the vindex column {name}")));
        }
        let is_generated = generated.is_some_and(|g| g.position.is_some_and(|at| at as usize == index));
        if is_generated && value.is_some() {
            let all = insert.source.tokens();
            let range = all[tokens.start].span.range().start..all[tokens.end - 1].span.range().end;
            edits.replace(range, vec![Piece::Sequence]);
        }
        if value.is_none() || insert.source.is_keyword(tokens.start, "default") {
            opaque.extend(u32::try_from(index));
        }
        // An expression counts as a value that is there.
        values.push(value.unwrap_or(RouteValue::Literal(Value::Int(1))));
    }
    if let Some(generated) = generated.filter(|generated| generated.position.is_none()) {
        let place = insert.source.tokens()[insert.head_count - 1].span.range().end;
        let name = quote(&generated.column);
        edits.insert_pieces(
            place,
            vec![Piece::text(&format!(" {name} = ")), Piece::Sequence, Piece::text(",")],
        );
    }
    let query: Template = insert.source.pieces(insert.source.range(), &edits);
    Ok(InsertRows::Set { query, values, opaque: opaque.into() })
}

/// The value that the tokens of one SET expression are; `None` for an expression.
fn set_value(lexed: &Lexed, source: &Source<'_>, tokens: &std::ops::Range<usize>) -> Option<RouteValue> {
    let arg = |index: usize| {
        let span = source.tokens().get(index)?.span;
        let at = lexed.args.iter().position(|arg| arg.span == span)?;
        u32::try_from(at).ok()
    };
    match tokens.len() {
        1 if source.is_keyword(tokens.start, "null") || source.is_keyword(tokens.start, "default") => {
            Some(RouteValue::Literal(Value::Null))
        }
        1 => arg(tokens.start).map(RouteValue::Arg),
        2 if source.tokens()[tokens.start].kind == TokenKind::Minus => {
            arg(tokens.start + 1).map(RouteValue::NegatedArg)
        }
        _ => None,
    }
}

/// INSERT … SELECT as a whole, where everything is at one place.
fn whole_select(
    ctx: &PlanContext<'_>,
    text: &[u8],
    lexed: &Lexed,
    table: &Table,
    edits: &Edits,
) -> Result<Option<Plan>> {
    if table.auto_increment.is_some() || table.is_keyspace_sharded {
        return Ok(None);
    }
    let statement = crate::sql::parse(text, lexed, ctx.options).map_err(|failure| failure.to_error(text))?;
    let source = Source::new(text, lexed, ctx.options)?;
    let Statement::Insert(ast) = &statement else { return Err(Error::unsupported("this form of INSERT")) };
    let mut analyzer = Analyzer::new(ctx, &source);
    analyzer.analysis.edits = edits.clone();
    if let Some(query) = &ast.source {
        match analyzer.query(query, None, &Ctes::default()) {
            Err(error) if error.kind() == Some(ErrorKind::Unsupported) => return Ok(None),
            outcome => drop(outcome?),
        }
    }
    let analysis = analyzer.analysis;
    let is_here = place::of(&analysis)
        .is_ok_and(|place| place.keyspace.as_ref().is_none_or(|keyspace| *keyspace == table.keyspace));
    if !is_here || analysis.places.system {
        return Ok(None);
    }
    let query = source.query(&analysis.all_edits());
    let keyspace = Some(table.keyspace.clone());
    Ok(Some(route_plan(lexed.kind, keyspace, Routing::Unsharded, query, Several::Never)))
}

/// `SELECT …`: head, query and tail.
fn select_rows(
    insert: &InsertText<'_>,
    generated: Option<&Generated>,
    columns: Option<&[Box<str>]>,
    carried: &CarriedColumns,
    mut edits: Edits,
) -> Result<InsertRows> {
    let source = &insert.source;
    let assigns = session::assigns(source);
    let is_insert_id = source.tokens().iter().any(|token| token.is_word(source.text(), "last_insert_id"));
    if source.lexed().flags.contains(LexFlags::HAS_ASSIGNMENT) && (!assigns || is_insert_id) {
        return Err(Error::unsupported("LAST_INSERT_ID(…) in an INSERT … SELECT over several shards"));
    }
    if let Some(columns) = columns {
        add_columns(insert, generated, columns, &mut edits);
    }
    let start = insert.query_start();
    let end = insert.updates_start().unwrap_or_else(|| source.range().end);
    let mut head = plain_text(source, &(source.range().start..start), &edits)?.into_vec();
    head.truncate(head.trim_ascii_end().len());
    head.extend_from_slice(b" values");
    if assigns && assigned_variables::are_named(source, &(end..source.range().end)) {
        return Err(Error::unsupported(session::ASSIGNS));
    }
    let query = match carried.names.as_slice() {
        [] => ChangeText::own_words(source, &(start..end)),
        _ => {
            let mut query = ChangeText::own_words(source, &(start..carried.list_end));
            query.push_text(carried.selected(source).as_bytes());
            let rest = ChangeText::own_words(source, &(carried.list_end..end));
            query.pieces.extend(rest.pieces);
            query
        }
    };
    let ends = carried.names.iter().map(|name| name.start).chain([source.range().end]);
    let starts = [end].into_iter().chain(carried.names.iter().map(|name| name.end));
    let mut parts = starts.zip(ends).map(|(start, end)| source.pieces(start..end, &edits));
    let tail = parts.next().unwrap_or_default();
    let columns = columns.and_then(|columns| u32::try_from(columns.len()).ok());
    Ok(InsertRows::Select { head: head.into(), query, tail, behind_carried: parts.collect(), columns })
}
