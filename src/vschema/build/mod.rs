//! From the model to the VSchema: every rule that tables, vindexes and their relations must keep.
//!
//! A table that breaks a rule is left out, with the reason kept for whoever asks for it; the others are usable.
//! (Vitess leaves out an arbitrary part of the keyspace.) Texts of errors are Vitess's.

mod references;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{ColumnModel, ColumnVindexModel, KeyspaceModel, Model, TableModel};
use super::schema::{KeyspaceSchema, VSchema};
use super::table::{
    AutoIncrement, Column, ColumnName, ColumnVindex, QualifiedTable, Table, TableKind, TableName,
};
use super::vindex::{ReadFile, VindexDefinition};
use crate::topology::{KeyspaceId, KeyspaceName, TabletType};

impl VSchema {
    /// Builds what is valid of the model. `read_file` reads the files that vindex parameters name.
    pub fn build(model: Model, read_file: ReadFile<'_>) -> Self {
        let mut vschema = Self::default();
        for (name, keyspace) in &model.keyspaces {
            let built = Keyspace::build(name, keyspace, read_file);
            vschema.warnings.extend(built.warnings);
            vschema.keyspaces.insert(name.as_str().into(), built.schema);
        }
        references::link(&model, &mut vschema);
        vschema.index_global_tables();
        rules::add(&model, &mut vschema);
        resolve_sequences(&model, &mut vschema);
        vschema.index_global_tables();
        vschema.model = Arc::new(model);
        vschema
    }
}

/// A keyspace in the making.
struct Keyspace<'a> {
    schema: KeyspaceSchema,
    model: &'a KeyspaceModel,
    /// Vindexes that could not be made, with the reason.
    broken_vindexes: BTreeMap<&'a str, String>,
    warnings: Vec<String>,
}

impl<'a> Keyspace<'a> {
    fn build(name: &str, model: &'a KeyspaceModel, read_file: ReadFile<'_>) -> Self {
        let schema = KeyspaceSchema::new(name, model);
        let mut keyspace = Self { schema, model, broken_vindexes: BTreeMap::new(), warnings: Vec::new() };
        keyspace.build_vindexes(read_file);
        for (name, table) in &model.tables {
            match keyspace.build_table(name, table) {
                Ok(table) => {
                    keyspace.schema.tables.insert(table.name.clone(), Arc::new(table));
                }
                Err(error) => keyspace.schema.break_table(name, error),
            }
        }
        keyspace
    }

    fn build_vindexes(&mut self, read_file: ReadFile<'_>) {
        for (name, model) in &self.model.vindexes {
            let made =
                VindexDefinition::new(name, &model.vindex_type, &model.params, &model.owner, read_file);
            let place = format!("keyspace {}, vindex {name}", self.schema.name);
            match made.and_then(|vindex| check_owner(vindex, self.model)) {
                Ok(vindex) => {
                    let unknown = vindex.unknown_params().iter();
                    let warning = |param| format!("{place}: unknown param {param:?} is ignored");
                    self.warnings.extend(unknown.map(warning));
                    self.schema.vindexes.insert(name.clone(), Arc::new(vindex));
                }
                Err(error) => {
                    self.schema.errors.push(format!("{place}: {error}"));
                    self.broken_vindexes.insert(name, error);
                }
            }
        }
    }

    fn build_table(&mut self, name: &str, model: &TableModel) -> Result<Table, String> {
        let is_sharded = self.schema.is_sharded;
        let pinned = match model.pinned.as_str() {
            "" => None,
            text => Some(
                KeyspaceId::parse(text)
                    .map_err(|error| format!("could not decode the keyspace id for pin: {error}"))?,
            ),
        };
        let kind = match (model.table_type.as_str(), &pinned) {
            ("reference", _) => TableKind::Reference { source: None },
            ("sequence", None) if is_sharded => {
                return Err(format!(
                    "sequence table has to be in an unsharded keyspace or must be pinned: {name}"
                ));
            }
            ("sequence", _) => TableKind::Sequence,
            ("", _) if !is_sharded => TableKind::Unsharded,
            ("", Some(id)) => TableKind::Pinned(id.clone()),
            ("", None) if model.column_vindexes.is_empty() => {
                return Err(format!("missing primary col vindex for table: {name}"));
            }
            ("", None) => TableKind::Sharded,
            (other, _) => return Err(format!("unidentified table type {other}")),
        };
        let mut table = Table {
            kind,
            is_keyspace_sharded: is_sharded,
            pinned,
            columns: build_columns(name, &model.columns)?,
            column_list_authoritative: model.column_list_authoritative,
            ..Table::unsharded(self.schema.name.clone(), name)
        };
        // Vitess checks these in unsharded keyspaces too, but they place nothing there.
        if table.kind == TableKind::Sharded {
            for (index, used) in model.column_vindexes.iter().enumerate() {
                let vindex = self.build_column_vindex(name, index, used)?;
                table.column_vindexes.push(vindex);
            }
            table.ordered_vindexes = ordered(&table.column_vindexes);
        }
        Ok(table)
    }

    fn build_column_vindex(
        &mut self,
        table: &str,
        index: usize,
        used: &ColumnVindexModel,
    ) -> Result<ColumnVindex, String> {
        let name = &used.name;
        let columns: Vec<ColumnName> = match (used.column.as_str(), used.columns.as_slice()) {
            ("", []) => {
                return Err(format!(
                    "must specify at least one column for vindex ({name}) and table ({table})"
                ));
            }
            ("", columns) => columns.iter().map(|column| column.as_str().into()).collect(),
            (column, []) => vec![column.into()],
            _ => {
                return Err(format!(
                    "can't use column and columns at the same time in vindex ({name}) and table ({table})"
                ));
            }
        };
        let vindex = self.schema.vindexes.get(name.as_str()).cloned();
        let vindex = vindex.ok_or_else(|| match self.broken_vindexes.get(name.as_str()) {
            Some(error) => format!("vindex {name} of table {table} is invalid: {error}"),
            None => format!("vindex {name} not found for table {table}"),
        })?;
        let is_owned = vindex.is_lookup() && vindex.owner() == Some(table);
        let is_multi_column = vindex.column_count() > 1;
        if index == 0 && !vindex.is_unique() {
            return Err(format!("primary vindex {name} is not Unique for table {table}"));
        }
        if index == 0 && is_owned {
            return Err(format!("primary vindex {name} cannot be owned for table {table}"));
        }
        if index > 0 && is_multi_column {
            return Err(format!("multi-column vindex {name} should be a primary vindex for table {table}"));
        }
        let columns = self.fit_columns(table, &vindex, columns)?;
        let (cost, is_unique) = (vindex.cost(), vindex.is_unique());
        Ok(ColumnVindex { columns, vindex, cost, is_unique, is_owned, is_partial: false })
    }

    /// Lookup tables may have more columns than are looked up; functions take exactly theirs.
    fn fit_columns(
        &mut self,
        table: &str,
        vindex: &VindexDefinition,
        mut columns: Vec<ColumnName>,
    ) -> Result<Vec<ColumnName>, String> {
        let (expected, given) = (vindex.column_count(), columns.len());
        let (name, keyspace) = (vindex.name(), &self.schema.name);
        if vindex.is_lookup() || expected == given {
            return Ok(columns);
        }
        if expected > 1 {
            return Err(format!("vindex {name} takes {expected} columns, not {given}, for table {table}"));
        }
        columns.truncate(expected);
        self.warnings
            .push(format!("keyspace {keyspace}, table {table}: vindex {name} uses the first column only"));
        Ok(columns)
    }
}

/// An owner that does not exist would never fill the lookup table.
fn check_owner(vindex: VindexDefinition, keyspace: &KeyspaceModel) -> Result<VindexDefinition, String> {
    let Some(owner) = vindex.owner() else {
        return Ok(vindex);
    };
    if !vindex.is_lookup() {
        // Vitess takes it silently: only lookups can be owned.
        return Ok(vindex);
    }
    let Some(table) = keyspace.tables.get(owner) else {
        return Err(format!("its owner {owner} is no table of the keyspace"));
    };
    if table.column_vindexes.iter().any(|used| used.name == vindex.name()) {
        Ok(vindex)
    } else {
        Err(format!("its owner {owner} does not use it"))
    }
}

fn build_columns(table: &str, models: &[ColumnModel]) -> Result<Vec<Column>, String> {
    let mut seen = std::collections::HashSet::new();
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    models
        .iter()
        .map(|model| {
            let name = ColumnName::from(model.name.as_str());
            if model.name.is_empty() {
                return Err(format!("column without a name in table: {table}"));
            }
            if !seen.insert(name.clone()) {
                return Err(format!("duplicate column name '{name}' for table: {table}"));
            }
            Ok(Column {
                name,
                column_type: model.column_type,
                is_invisible: model.invisible,
                default: text(&model.default),
                collation: text(&model.collation_name),
                is_nullable: model.nullable.unwrap_or(true),
                size: model.size,
                scale: model.scale,
                values: model.values.clone(),
            })
        })
        .collect()
}

/// Cheapest first; equal ones stay in the order of the VSchema.
fn ordered(vindexes: &[ColumnVindex]) -> Vec<ColumnVindex> {
    let mut all = Vec::new();
    for vindex in vindexes {
        all.push(vindex.clone());
        if vindex.vindex.traits().is_partial {
            let lengths = (1..vindex.columns.len()).rev();
            all.extend(lengths.zip(1..).map(|(length, dearer)| ColumnVindex {
                columns: vindex.columns[..length].to_vec(),
                cost: vindex.cost + dearer,
                is_unique: false,
                is_partial: true,
                ..vindex.clone()
            }));
        }
    }
    all.sort_by_key(|vindex| vindex.cost);
    all
}

/// Sequences are found by the same rules as tables of statements.
fn resolve_sequences(model: &Model, vschema: &mut VSchema) {
    for (keyspace, name, table) in tables(model) {
        let Some(increment) = &table.auto_increment else { continue };
        let written = increment.sequence.as_str();
        let (qualifier, sequence) = split_qualified(written);
        let found = vschema.find_table(qualifier, sequence, TabletType::Primary).map(|found| {
            let is_usable = found.kind == TableKind::Sequence || !found.is_keyspace_sharded;
            (found.qualified(), is_usable)
        });
        let schema = vschema.keyspaces.get_mut(keyspace.as_str());
        let Some(schema) = schema else { continue };
        match found {
            Ok((sequence, false)) => {
                schema.break_table(
                    name,
                    format!("cannot resolve sequence {written}: {sequence} is no sequence"),
                );
            }
            Ok((sequence, true)) => {
                if let Some(table) = schema.table_mut(name) {
                    let column = increment.column.as_str().into();
                    table.auto_increment = Some(AutoIncrement { column, sequence });
                }
            }
            Err(error) => {
                let error = String::from_utf8_lossy(error.message()).into_owned();
                schema.break_table(name, format!("cannot resolve sequence {written}: {error}"));
            }
        }
    }
}

/// Every table of the model.
fn tables(model: &Model) -> impl Iterator<Item = (&String, &String, &TableModel)> {
    model
        .keyspaces
        .iter()
        .flat_map(|(keyspace, model)| model.tables.iter().map(move |(name, table)| (keyspace, name, table)))
}

/// `keyspace.table` or `table`, with backticks taken off.
fn split_qualified(text: &str) -> (Option<&str>, &str) {
    let bare = |part: &'_ str| -> usize {
        usize::from(part.len() > 1 && part.starts_with('`') && part.ends_with('`'))
    };
    match text.split_once('.') {
        Some((keyspace, table)) => {
            let (k, t) = (bare(keyspace), bare(table));
            (Some(&keyspace[k..keyspace.len() - k]), &table[t..table.len() - t])
        }
        None => {
            let t = bare(text);
            (None, &text[t..text.len() - t])
        }
    }
}

fn qualified(keyspace: &str, table: &str) -> QualifiedTable {
    QualifiedTable { keyspace: KeyspaceName::from(keyspace), table: TableName::from(table) }
}

#[cfg(test)]
mod tests;
