//! LOAD DATA: to the table's server as it is, or row by row.
//!
//! Servers get the client's own statement, so that they make of each field what MySQL makes of it.

use super::insert::{needs_rows, vindexes, written_table};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{
    Generated, Insert, InsertRows, Load, LoadRows, LookedAt, Piece, Replaces, Takes,
};
use crate::plan::semantics::session;
use crate::plan::source::{Edits, Source, quote};
use crate::plan::{FoundTable, PlanContext};
use crate::sql::statement::{LoadData, LoadField, parse_load};
use crate::sql::{LexFlags, Lexed};
use crate::vschema::{ColumnType, Table, TableKind};

/// A variable that takes the field whose place is taken by a generated column.
const UNUSED_FIELD: &str = "@`_shardgate_unused`";

/// Plans a LOAD DATA statement.
///
/// # Errors
/// `VT12001` for files and tables whose rows cannot be told apart; MySQL's errors for unknown names.
pub(crate) fn load(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Load> {
    let source = Source::new(text, lexed, ctx.options)?;
    let load = parse_load(source.text(), ctx.options).map_err(|_| Error::unsupported("this form of LOAD"))?;
    let qualifier = load.qualifier.as_ref().map(|(name, _)| name.as_str());
    let FoundTable::Table(table) = ctx.find_table(qualifier, &load.table.0)? else {
        return Err(Error::unsupported("LOAD DATA into system tables"));
    };
    let table = written_table(ctx, table)?;
    let mut edits = Edits::default();
    session::replace_anywhere(&source, &|_| false, &mut edits)?;
    if let Some((_, span)) = &load.qualifier {
        edits.remove(span.range());
    }
    if table.name != *load.table.0 {
        edits.replace(load.table.1.range(), vec![Piece::text(&quote(&table.name))]);
    }
    let is_copied = table.is_keyspace_sharded && matches!(table.kind, TableKind::Reference { .. });
    let is_pinned = matches!(table.kind, TableKind::Pinned(_));
    let rows = if needs_rows(&table) || is_copied || is_pinned {
        refuse_forms(&load, &table, lexed, &source)?;
        Some(Box::new(rows(&load, &table, &mut edits)?))
    } else {
        None
    };
    Ok(Load { keyspace: table.keyspace.clone(), query: source.query(&edits), rows })
}

/// What only one server can do.
fn refuse_forms(load: &LoadData, table: &Table, lexed: &Lexed, source: &Source<'_>) -> Result<()> {
    let refuse = |what: &str| Err(Error::unsupported(what));
    let format = &load.format;
    if !load.is_local {
        return refuse(
            "LOAD DATA INFILE of a server's file into rows over several shards (LOCAL reads the client's)",
        );
    }
    if format.line_end.is_empty() || format.field_end.is_empty() || format.line_end == format.field_end {
        return refuse("LOAD DATA over several shards without terminators of lines and fields");
    }
    if load.has_partitions {
        return refuse("LOAD DATA … PARTITION over several shards");
    }
    if lexed.flags.contains(LexFlags::HAS_ASSIGNMENT) && session::assigns(source) {
        return refuse(session::ASSIGNS);
    }
    let in_set = |start: u32| load.set.is_some_and(|set| set.start <= start && start < set.end);
    let has_query = source
        .tokens()
        .iter()
        .enumerate()
        .any(|(index, token)| in_set(token.span.start) && source.is_keyword(index, "select"));
    if has_query {
        return refuse("a sub-query in LOAD DATA over several shards");
    }
    let decides = |name: &str| {
        let mut columns = table.column_vindexes.iter().flat_map(|vindex| &vindex.columns);
        columns.any(|column| *column == *name)
            || table.auto_increment.as_ref().is_some_and(|auto| auto.column == *name)
    };
    match load.assigned.iter().find(|name| decides(name)) {
        Some(name) => {
            Err(Error::unsupported(format!("SET {name} in LOAD DATA, which decides where a row is")))
        }
        None => Ok(()),
    }
}

fn rows(load: &LoadData, table: &Table, edits: &mut Edits) -> Result<LoadRows> {
    let names = names(load, table)?;
    let position = |name: &str| {
        let at = names.iter().position(|known| known.as_ref().is_some_and(|k| k.eq_ignore_ascii_case(name)));
        at.and_then(|at| u32::try_from(at).ok())
    };
    let generated = table.auto_increment.as_ref().map(|auto| Generated {
        column: auto.column.as_str().into(),
        position: position(&auto.column),
        keyspace: auto.sequence.keyspace.clone(),
        sequence: auto.sequence.table.as_str().into(),
    });
    let (vindexes, lookups) = vindexes(table, &position);
    if let Some((_, span)) = &load.skipped_lines {
        edits.remove(span.range());
    }
    if load.fields.is_none() || generated.is_some() {
        add_list(load, &names, generated.as_ref(), edits);
    }
    let pinned = match &table.kind {
        TableKind::Pinned(id) => Some(id.clone()),
        _ => None,
    };
    let insert = Insert {
        keyspace: table.keyspace.clone(),
        vindexes,
        lookups,
        table: table.name.as_str().into(),
        columns: names.iter().map(|name| name.clone().unwrap_or_default()).collect(),
        pinned,
        updated: None,
        upsert: None,
        replaces: load.replaces.then(Replaces::default),
        is_copied: table.is_keyspace_sharded && matches!(table.kind, TableKind::Reference { .. }),
        is_ignore: false,
        returns: false,
        generated,
        rows: InsertRows::Values { head: None, columns: None },
    };
    Ok(LoadRows {
        looked_at: looked_at(&insert, table),
        insert,
        format: load.format.clone(),
        field_count: names.len(),
        skipped_lines: load.skipped_lines.map_or(0, |(count, _)| count),
        charset: load.charset.as_deref().map(Into::into),
        assigned: load.assigned.iter().map(|name| name.as_str().into()).collect(),
    })
}

/// The fields whose values an INSERT of the rows would look at.
pub(crate) fn looked_at(insert: &Insert, table: &Table) -> Vec<LookedAt> {
    let mut looked_at: Vec<LookedAt> = Vec::new();
    let all = insert.vindexes.iter().chain(insert.lookups.iter().map(|lookup| &lookup.vindex));
    let columns = all.flat_map(|vindex| vindex.columns.iter().zip(&vindex.positions));
    let of_sequence = insert.generated.iter().map(|generated| (&generated.column, &generated.position));
    for (column, position) in columns.chain(of_sequence) {
        let Some(position) = position.map(|at| at as usize) else { continue };
        if !looked_at.iter().any(|known| known.position == position) {
            looked_at.push(LookedAt { position, column: column.clone(), takes: takes(table, column) });
        }
    }
    looked_at.sort_by_key(|field| field.position);
    looked_at
}

/// The columns of a row's fields; `None` is a variable.
fn names(load: &LoadData, table: &Table) -> Result<Vec<Option<Box<str>>>> {
    if let Some(fields) = &load.fields {
        if fields.is_empty() {
            return Err(Error::unsupported("LOAD DATA over several shards with an empty list of columns"));
        }
        let name = |field: &LoadField| match field {
            LoadField::Column(name, _) => Some(name.as_str().into()),
            LoadField::Variable => None,
        };
        return Ok(fields.iter().map(name).collect());
    }
    if !table.column_list_authoritative {
        let message = "VT09004: LOAD DATA should contain column list or the table should have authoritative columns in vschema";
        return Err(Error::new(ErrorKind::Other, message));
    }
    let visible = table.columns.iter().filter(|column| !column.is_invisible);
    Ok(visible.map(|column| Some(column.name.as_str().into())).collect())
}

/// The names go along by which fields are told apart; a generated column stands in front of them.
fn add_list(load: &LoadData, names: &[Option<Box<str>>], generated: Option<&Generated>, edits: &mut Edits) {
    let replaced = generated.and_then(|generated| generated.position).map(|at| at as usize);
    let first = generated.map(|generated| quote(&generated.column));
    match &load.fields {
        Some(fields) => {
            let lead = first.map(|first| format!("{first}, ")).unwrap_or_default();
            let field = replaced.and_then(|at| fields.get(at));
            match field {
                // Both edits would begin behind the parenthesis.
                Some(LoadField::Column(_, span)) if replaced == Some(0) => {
                    edits.replace(span.range(), vec![Piece::text(&format!("{lead}{UNUSED_FIELD}"))]);
                }
                Some(LoadField::Column(_, span)) => {
                    edits.replace(span.range(), vec![Piece::text(UNUSED_FIELD)]);
                    edits.insert(load.list_after as usize, &lead);
                }
                _ => edits.insert(load.list_after as usize, &lead),
            }
        }
        None => {
            let name = |(index, name): (usize, &Option<Box<str>>)| match name {
                Some(name) if Some(index) != replaced => quote(name),
                _ => UNUSED_FIELD.to_owned(),
            };
            let all: Vec<String> = first.into_iter().chain(names.iter().enumerate().map(name)).collect();
            edits.insert(load.list_after as usize, &format!(" ({})", all.join(", ")));
        }
    }
}

fn takes(table: &Table, name: &str) -> Takes {
    let Some(column) = table.columns.iter().find(|column| column.name == *name) else {
        return Takes::Unknown;
    };
    match column.column_type {
        ColumnType::Unspecified => Takes::Unknown,
        kind if kind.is_integral() => Takes::Integers,
        ColumnType::VarChar | ColumnType::Char | ColumnType::VarBinary => Takes::Texts(column.size),
        ColumnType::Text | ColumnType::Blob => Takes::Texts(0),
        _ => Takes::Other,
    }
}
