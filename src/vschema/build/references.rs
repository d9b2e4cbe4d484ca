//! Reference tables that are copies of a source: which source, and what a source may be.

use std::collections::BTreeMap;

use super::super::model::Model;
use super::super::schema::VSchema;
use super::super::table::{QualifiedTable, TableKind};
use super::{qualified, split_qualified, tables};

/// Sets the sources of reference tables, and tells sources of their copies.
pub(super) fn link(model: &Model, vschema: &mut VSchema) {
    // By source and keyspace of the copy: the copy.
    let mut used: BTreeMap<(QualifiedTable, &str), &str> = BTreeMap::new();
    let mut links = Vec::new();
    for (keyspace, name, table) in tables(model) {
        if table.table_type != "reference" || table.source.is_empty() {
            continue;
        }
        let checked = check(model, vschema, keyspace, name, &table.source).and_then(|source| {
            match used.insert((source.clone(), keyspace), name) {
                None => Ok(source),
                Some(other) => Err(format!(
                    "source {:?} may not be referenced more than once per keyspace: {other}, {name}",
                    table.source
                )),
            }
        });
        links.push((keyspace, name, checked));
    }
    for (keyspace, name, checked) in links {
        let Some(schema) = vschema.keyspaces.get_mut(keyspace.as_str()) else { continue };
        match checked {
            Err(error) => schema.break_table(name, error),
            Ok(source) => {
                if let Some(table) = schema.table_mut(name) {
                    table.kind = TableKind::Reference { source: Some(source.clone()) };
                }
                // A source that its unsharded keyspace does not list is made when it is asked for.
                let schema = vschema.keyspaces.get_mut(source.keyspace.as_str());
                if let Some(table) = schema.and_then(|schema| schema.table_mut(&source.table)) {
                    table.referenced_by.push(qualified(keyspace, name));
                }
            }
        }
    }
}

fn check(
    model: &Model,
    vschema: &VSchema,
    keyspace: &str,
    name: &str,
    source: &str,
) -> Result<QualifiedTable, String> {
    let (Some(source_keyspace), source_table) = split_qualified(source) else {
        return Err(format!(
            "invalid source {source:?} for reference table: {name}; invalid qualified table name"
        ));
    };
    if source_keyspace == keyspace {
        return Err(format!(
            "source {source:?} may not reference a table in the same keyspace as table: {name}"
        ));
    }
    let Some(schema) = vschema.keyspaces.get(source_keyspace) else {
        return Err(format!(
            "source {source:?} references a keyspace that is not present in the VSchema: {name}"
        ));
    };
    let table = schema.tables.get(source_table);
    if table.is_none() && (schema.is_sharded || schema.broken.contains_key(source_table)) {
        return Err(format!(
            "source {source:?} references a table that is not present in the VSchema of keyspace {source_keyspace}: {name}"
        ));
    }
    match table.map(|table| &table.kind) {
        Some(TableKind::Sequence) => {
            return Err(format!("source {source:?} may not reference a table of type \"sequence\": {name}"));
        }
        Some(TableKind::Reference { .. }) => {
            let next = model.keyspaces[source_keyspace].tables.get(source_table);
            if let Some(next) = next.map(|table| table.source.as_str()).filter(|next| !next.is_empty()) {
                return Err(format!(
                    "reference chaining is not allowed {keyspace}.{name} => {source} => {next}: {name}"
                ));
            }
        }
        Some(TableKind::Pinned(_) | TableKind::Sharded | TableKind::Unsharded) | None => {}
    }
    Ok(qualified(source_keyspace, source_table))
}
