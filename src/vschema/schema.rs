//! The built VSchema: keyspaces with their tables and vindexes, and what names mean globally.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::model::{ForeignKeyMode, KeyspaceModel, Model};
use super::table::{Column, QualifiedTable, Table, TableKind, TableName};
use super::vindex::VindexDefinition;
use crate::topology::{KeyspaceName, ShardName};

/// How the tables of every keyspace are spread. Immutable; built by [`VSchema::build`].
#[derive(Clone, Debug, Default)]
pub struct VSchema {
    pub(super) keyspaces: BTreeMap<KeyspaceName, KeyspaceSchema>,
    /// What unqualified names mean.
    pub(super) global_tables: HashMap<TableName, Global>,
    /// By `[keyspace.]table[@type]`.
    pub(super) routing_rules: HashMap<String, Rule>,
    /// By `keyspace[@type]`.
    pub(super) keyspace_rules: HashMap<String, KeyspaceName>,
    pub(super) shard_rules: HashMap<(KeyspaceName, ShardName), KeyspaceName>,
    /// By `keyspace.table[@type]`.
    pub(super) mirror_rules: HashMap<String, Mirror>,
    pub(super) warnings: Vec<String>,
    pub(super) model: Arc<Model>,
}

/// Tables and their columns.
pub type ColumnsOfTables = Vec<(TableName, Vec<Column>)>;

/// One keyspace.
#[derive(Clone, Debug)]
pub struct KeyspaceSchema {
    pub(super) name: KeyspaceName,
    pub(super) is_sharded: bool,
    pub(super) require_explicit_routing: bool,
    pub(super) foreign_key_mode: ForeignKeyMode,
    pub(super) tables: BTreeMap<TableName, Arc<Table>>,
    /// Tables of an unsharded keyspace that the servers have and the VSchema does not list.
    pub(super) unlisted: BTreeMap<TableName, Arc<Table>>,
    pub(super) vindexes: BTreeMap<String, Arc<VindexDefinition>>,
    /// Tables that break a rule, with the rule.
    pub(super) broken: BTreeMap<TableName, String>,
    pub(super) errors: Vec<String>,
}

/// What an unqualified name means.
#[derive(Clone, Debug)]
pub(super) enum Global {
    /// Tables of these keyspaces.
    Ambiguous(Vec<KeyspaceName>),
    /// A table of this keyspace, valid or not.
    In(KeyspaceName),
}

/// A table routing rule. It holds the target's name, as the target may turn out to be invalid.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Disabled,
    Invalid(String),
    Table(QualifiedTable),
}

/// Where a share of a table's reads is repeated.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The other table.
    pub table: QualifiedTable,
    /// 0 to 100.
    pub percent: f64,
}

impl VSchema {
    /// The keyspaces, by name.
    pub fn keyspaces(&self) -> impl ExactSizeIterator<Item = &KeyspaceSchema> {
        self.keyspaces.values()
    }

    /// Has any sharded keyspace foreign keys that the router keeps?
    pub fn manages_foreign_keys(&self) -> bool {
        let mut keyspaces = self.keyspaces.values();
        keyspaces.any(|keyspace| keyspace.is_sharded && keyspace.foreign_key_mode == ForeignKeyMode::Managed)
    }

    /// The keyspace of that name.
    pub fn keyspace(&self, name: &str) -> Option<&KeyspaceSchema> {
        self.keyspaces.get(name)
    }

    /// The keyspace meant when none is named: the only one.
    pub fn only_keyspace(&self) -> Option<&KeyspaceSchema> {
        let mut keyspaces = self.keyspaces.values();
        keyspaces.next().filter(|_| keyspaces.next().is_none())
    }

    /// What was read, to be shown and written back.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is odd but usable.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What is wrong, in all keyspaces.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.keyspaces.values().flat_map(|keyspace| keyspace.errors.iter().map(String::as_str))
    }

    /// The same with columns from elsewhere: `columns_of` gives the tables that servers have in a keyspace. They
    /// know better than any list of the VSchema's own, which may be as old as its file. Tables that an unsharded keyspace has beside the listed ones
    /// become known, and unqualified names may mean them when no listed table has that name.
    #[must_use]
    pub fn with_columns(&self, columns_of: &dyn Fn(&KeyspaceName) -> ColumnsOfTables) -> Self {
        let mut vschema = self.clone();
        for keyspace in vschema.keyspaces.values_mut() {
            for (name, columns) in columns_of(&keyspace.name) {
                match keyspace.tables.get_mut(&name) {
                    Some(table) => {
                        let table = Arc::make_mut(table);
                        table.columns = columns;
                        table.column_list_authoritative = true;
                    }
                    None if keyspace.is_sharded || keyspace.broken.contains_key(&name) => {}
                    None => {
                        let table = Table {
                            columns,
                            column_list_authoritative: true,
                            ..Table::unsharded(keyspace.name.clone(), &name)
                        };
                        keyspace.unlisted.insert(name, Arc::new(table));
                    }
                }
            }
        }
        vschema.index_global_tables();
        vschema
    }

    pub(super) fn index_global_tables(&mut self) {
        let mut places: HashMap<TableName, Vec<&KeyspaceSchema>> = HashMap::new();
        let open = || self.keyspaces.values().filter(|keyspace| !keyspace.require_explicit_routing);
        for keyspace in open() {
            for name in keyspace.tables.keys().chain(keyspace.broken.keys()) {
                places.entry(name.clone()).or_default().push(keyspace);
            }
        }
        let mut unlisted: HashMap<TableName, Vec<&KeyspaceSchema>> = HashMap::new();
        for keyspace in open() {
            for name in keyspace.unlisted.keys().filter(|name| !places.contains_key(*name)) {
                unlisted.entry(name.clone()).or_default().push(keyspace);
            }
        }
        places.extend(unlisted);
        let globals = places.into_iter().map(|(name, mut keyspaces)| {
            if keyspaces.len() > 1 {
                drop_copies(&name, &mut keyspaces);
            }
            let mut names = keyspaces.iter().map(|keyspace| keyspace.name.clone());
            let global = match (names.next(), names.len()) {
                (Some(only), 0) => Global::In(only),
                _ => Global::Ambiguous(keyspaces.iter().map(|keyspace| keyspace.name.clone()).collect()),
            };
            (name, global)
        });
        self.global_tables = globals.collect();
    }
}

/// A reference table gives way to its source of the same name.
fn drop_copies(name: &TableName, keyspaces: &mut Vec<&KeyspaceSchema>) {
    let names: Vec<KeyspaceName> = keyspaces.iter().map(|keyspace| keyspace.name.clone()).collect();
    keyspaces.retain(|keyspace| {
        let kind = keyspace.tables.get(name).map(|table| &table.kind);
        let Some(TableKind::Reference { source: Some(QualifiedTable { keyspace, table }) }) = kind else {
            return true;
        };
        table != name || !names.contains(keyspace)
    });
}

impl KeyspaceSchema {
    pub(super) fn new(name: &str, model: &KeyspaceModel) -> Self {
        Self {
            name: name.into(),
            is_sharded: model.sharded,
            require_explicit_routing: model.require_explicit_routing,
            foreign_key_mode: model.foreign_key_mode,
            tables: BTreeMap::new(),
            unlisted: BTreeMap::new(),
            vindexes: BTreeMap::new(),
            broken: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &KeyspaceName {
        &self.name
    }

    /// Whether its rows are spread by vindexes.
    pub fn is_sharded(&self) -> bool {
        self.is_sharded
    }

    /// Whether unqualified names never mean its tables.
    pub fn requires_explicit_routing(&self) -> bool {
        self.require_explicit_routing
    }

    /// Who checks foreign keys.
    pub fn foreign_key_mode(&self) -> ForeignKeyMode {
        self.foreign_key_mode
    }

    /// Its valid tables, by name.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// The valid table of that name, if the VSchema lists it.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// Its valid vindexes, by name.
    pub fn vindexes(&self) -> impl ExactSizeIterator<Item = &Arc<VindexDefinition>> {
        self.vindexes.values()
    }

    /// The vindex of that name.
    pub fn vindex(&self, name: &str) -> Option<&Arc<VindexDefinition>> {
        self.vindexes.get(name)
    }

    /// Everything that is wrong in it, each with its table or vindex.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Takes a table out and keeps the reason.
    pub(super) fn break_table(&mut self, name: &str, error: String) {
        self.tables.remove(name);
        self.errors.push(format!("keyspace {}, table {name}: {error}", self.name));
        self.broken.insert(name.into(), error);
    }

    /// A table to be completed while building.
    pub(super) fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        self.tables
            .get_mut(name)
            .map(|table| Arc::get_mut(table).expect("nothing shares tables while they are built"))
    }
}
