//! What the servers say about tables: columns, types, collations, keys, views.
//!
//! Immutable: a [`Schemas`] is part of the snapshot that a statement works on. It may be older than the servers by
//! some seconds, so whatever is concluded from it must end in a server's error, never in a wrong result, when
//! a table has changed meanwhile. Pure: who asks the servers is the tracker's business. Vitess: "schema
//! tracking".

mod foreign_key;
mod relation;
mod sql_type;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use foreign_key::{Action, ForeignKey};
pub use relation::{Column, Generation, Key, KeyKind, KeyPart, Relation};
pub use sql_type::column_type;

use crate::topology::KeyspaceName;
use crate::vschema::{QualifiedTable, TableName, VSchema};

/// The schemas of all keyspaces that have been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemas {
    keyspaces: BTreeMap<KeyspaceName, Arc<Schema>>,
}

/// Foreign keys, each with the table that has it.
pub type ForeignKeysOfTables = Vec<(TableName, ForeignKey)>;

/// Tables and views of one keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    relations: BTreeMap<TableName, Arc<Relation>>,
}

impl Schemas {
    /// The schema of a keyspace; `None` until it has been read.
    pub fn schema(&self, keyspace: &str) -> Option<&Arc<Schema>> {
        self.keyspaces.get(keyspace)
    }

    /// Keyspaces and their schemas, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyspaceName, &Arc<Schema>)> {
        self.keyspaces.iter()
    }

    /// A table or view; `None` if there is none of that name, or if nothing is known of it.
    pub fn relation(&self, keyspace: &str, name: &str) -> Option<&Arc<Relation>> {
        self.schema(keyspace)?.relation(name)
    }

    /// A view; `None` also for tables.
    pub fn view(&self, keyspace: &str, name: &str) -> Option<&Arc<Relation>> {
        self.relation(keyspace, name).filter(|relation| relation.is_view())
    }

    /// The only view of that name in all keyspaces whose tables unqualified names may mean.
    pub fn global_view(&self, vschema: &VSchema, name: &str) -> Option<QualifiedTable> {
        let is_open = |keyspace: &KeyspaceName| {
            vschema.keyspace(keyspace).is_some_and(|keyspace| !keyspace.requires_explicit_routing())
        };
        let mut found = self.iter().filter(|(keyspace, schema)| {
            is_open(keyspace) && schema.relation(name).is_some_and(|relation| relation.is_view())
        });
        match (found.next(), found.next()) {
            (Some((keyspace, _)), None) => {
                Some(QualifiedTable { keyspace: keyspace.clone(), table: name.into() })
            }
            _ => None,
        }
    }

    /// With another schema for one keyspace.
    #[must_use]
    pub fn with(&self, keyspace: KeyspaceName, schema: Arc<Schema>) -> Self {
        let mut keyspaces = self.keyspaces.clone();
        keyspaces.insert(keyspace, schema);
        Self { keyspaces }
    }

    /// Without the keyspaces that `keep` does not want.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&KeyspaceName) -> bool) -> Self {
        let kept = self.keyspaces.iter().filter(|(name, _)| keep(name));
        Self { keyspaces: kept.map(|(name, schema)| (name.clone(), schema.clone())).collect() }
    }

    /// The VSchema with the columns of every table that is known here.
    pub fn complete(&self, vschema: &VSchema) -> VSchema {
        vschema.with_columns(&|keyspace| {
            let relations = self.schema(keyspace).into_iter().flat_map(|schema| schema.relations());
            relations.map(|relation| (relation.name.clone(), relation.vschema_columns())).collect()
        })
    }
}

impl Schema {
    /// The schema of these tables and views. Those that are equal to one of `before` are shared with it, so
    /// that what has not changed can be told by its address.
    pub fn new(relations: impl IntoIterator<Item = Relation>, before: Option<&Self>) -> Self {
        let shared = |relation: Relation| {
            let known = before.and_then(|before| before.relation(&relation.name));
            match known.filter(|known| ***known == relation) {
                Some(known) => Arc::clone(known),
                None => Arc::new(relation),
            }
        };
        let relations = relations.into_iter().map(|relation| (relation.name.clone(), shared(relation)));
        Self { relations: relations.collect() }
    }

    /// With these foreign keys for all tables, and no others.
    #[must_use]
    pub fn with_foreign_keys(mut self, keys: &ForeignKeysOfTables) -> Self {
        for relation in self.relations.values_mut() {
            let of_table = || keys.iter().filter(|(table, _)| *table == relation.name).map(|(_, key)| key);
            if !relation.foreign_keys.iter().eq(of_table()) {
                let foreign_keys = of_table().cloned().collect();
                *relation = Arc::new(Relation { foreign_keys, ..(**relation).clone() });
            }
        }
        self
    }

    /// Tables and their foreign keys that refer to this table, in the order of the constraints' names.
    pub fn referring_to(&self, parent: &str) -> Vec<(&Arc<Relation>, &ForeignKey)> {
        let keys = self
            .relations
            .values()
            .flat_map(|relation| relation.foreign_keys.iter().map(move |key| (relation, key)));
        let mut keys: Vec<_> = keys.filter(|(_, key)| key.parent == *parent).collect();
        keys.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        keys
    }

    /// Tables and views, by name.
    pub fn relations(&self) -> impl ExactSizeIterator<Item = &Arc<Relation>> {
        self.relations.values()
    }

    /// The table or view of that name; case counts.
    pub fn relation(&self, name: &str) -> Option<&Arc<Relation>> {
        self.relations.get(name)
    }

    /// With what a look at some names found: those that it did not find are gone.
    #[must_use]
    pub fn with(&self, names: &[TableName], found: impl IntoIterator<Item = Relation>) -> Self {
        let mut relations = self.relations.clone();
        for name in names {
            relations.remove(name);
        }
        relations.extend(Self::new(found, Some(self)).relations);
        Self { relations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vschema::model::Model;
    use crate::vschema::vindex::no_files;
    use crate::vschema::{ColumnType, TableKind};

    fn relation(name: &str, columns: &[&str]) -> Relation {
        let column = |name: &&str| Column::new(name, "bigint", "bigint(20)");
        Relation { columns: columns.iter().map(column).collect(), ..Relation::new(name) }
    }

    fn schemas(keyspace: &str, relations: Vec<Relation>) -> Schemas {
        Schemas::default().with(keyspace.into(), Arc::new(Schema::new(relations, None)))
    }

    fn vschema() -> VSchema {
        let text = r#"{"keyspaces": {"u": {"tables": {"listed": {}}}, "s": {"sharded": true, "vindexes": {"h": {"type": "hash"}},
            "tables": {"a": {"column_vindexes": [{"column": "ID", "name": "h"}]},
              "own": {"column_vindexes": [{"column": "id", "name": "h"}], "column_list_authoritative": true,
                "columns": [{"name": "id"}]}}}}}"#;
        VSchema::build(Model::parse(text, &mut Vec::new()).unwrap(), &no_files)
    }

    #[test]
    fn what_has_not_changed_keeps_its_address() {
        let before = Schema::new([relation("a", &["x"]), relation("b", &["x"])], None);
        let after = Schema::new([relation("a", &["x"]), relation("b", &["x", "y"])], Some(&before));
        let is_same = |name: &str| Arc::ptr_eq(before.relation(name).unwrap(), after.relation(name).unwrap());
        assert_eq!((is_same("a"), is_same("b")), (true, false));
    }

    #[test]
    fn a_look_at_some_names_leaves_the_others() {
        let before = Schema::new([relation("a", &["x"]), relation("b", &["x"]), relation("c", &[])], None);
        let after = before.with(&["a".into(), "b".into(), "d".into()], [relation("b", &["y"])]);
        let names: Vec<_> = after.relations().map(|relation| relation.name.as_str()).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(after.relation("b").unwrap().columns[0].name, "y");
    }

    #[test]
    fn the_servers_lists_go_before_those_of_the_vschema() {
        let known = schemas("s", vec![relation("a", &["id", "v"]), relation("own", &["id", "v"])]);
        let complete = known.complete(&vschema());
        let table = |name: &str| complete.keyspace("s").unwrap().table(name).unwrap().clone();
        let a = table("a");
        let names: Vec<_> = a.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((names, a.column_list_authoritative), (vec!["id", "v"], true));
        assert_eq!((a.columns[1].column_type, &a.kind), (ColumnType::Int64, &TableKind::Sharded));
        assert_eq!(a.column_vindexes[0].columns[0], "id");
        assert_eq!(table("own").columns.len(), 2);
        assert_eq!(vschema().keyspace("s").unwrap().table("own").unwrap().columns.len(), 1);
        // Servers may have more than the VSchema lists; in a sharded keyspace it says where rows are.
        let more = schemas("s", vec![relation("other", &["id"])]).complete(&vschema());
        assert!(more.find_table(Some("s"), "other", crate::topology::TabletType::Primary).is_err());
    }

    #[test]
    fn unlisted_tables_of_unsharded_keyspaces_are_known_too() {
        let known = schemas("u", vec![relation("found", &["x"]), relation("a", &["x"])]);
        let complete = known.complete(&vschema());
        let find = |qualifier, name| {
            complete.find_table(qualifier, name, crate::topology::TabletType::Primary).map(|found| {
                (found.keyspace.to_string(), found.columns.len(), found.column_list_authoritative)
            })
        };
        assert_eq!(find(Some("u"), "found").unwrap(), ("u".into(), 1, true));
        assert_eq!(find(Some("u"), "not_yet").unwrap(), ("u".into(), 0, false));
        // Without a keyspace: a listed table first, then the only one of that name.
        assert_eq!(find(None, "found").unwrap(), ("u".into(), 1, true));
        assert_eq!(find(None, "a").unwrap(), ("s".into(), 0, false));
        assert!(find(None, "not_yet").is_err());
        assert_eq!(complete.keyspace("u").unwrap().tables().len(), 1);
    }

    #[test]
    fn a_view_is_found_if_it_is_the_only_one() {
        let view = || Relation { definition: Some("select 1".into()), ..relation("v", &["x"]) };
        let one = schemas("u", vec![view(), relation("t", &["x"])]);
        assert_eq!(one.global_view(&vschema(), "v").unwrap().to_string(), "u.v");
        assert_eq!(one.global_view(&vschema(), "t"), None);
        let two = one.with("s".into(), Arc::new(Schema::new([view()], None)));
        assert_eq!(two.global_view(&vschema(), "v"), None);
        assert!(two.view("s", "v").is_some() && two.view("u", "t").is_none());
        assert_eq!(two.only(|keyspace| *keyspace == *"u"), one);
    }
}
