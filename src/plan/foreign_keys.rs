//! Foreign keys that reach over shards (`foreignKeyMode: managed` of the VSchema): which of them a shard can keep by
//! itself, and which changes the router has to follow.
//!
//! A key is *local* if a row and its parent are always on one shard, and if what the server does by itself to rows of
//! the key leaves them where they are. Changes that only concern local keys are the servers' business.
//! <https://dev.mysql.com/doc/refman/9.0/en/create-table-foreign-keys.html>

use std::sync::Arc;

use crate::schema::{Action, ForeignKey, Generation, Relation, Schemas};
use crate::vschema::model::ForeignKeyMode;
use crate::vschema::{Table, TableKind, VSchema};

/// All foreign keys that are known.
#[derive(Clone, Copy)]
pub struct ForeignKeys<'a> {
    vschema: &'a VSchema,
    schemas: &'a Schemas,
}

/// A foreign key between two tables.
#[derive(Clone, Debug)]
pub struct Link {
    /// The table that has it.
    pub child: Arc<Table>,
    /// The table that it refers to.
    pub parent: Arc<Table>,
    /// The key.
    pub key: ForeignKey,
    /// Shards can keep it by themselves.
    pub is_local: bool,
}

/// A change that may have to be followed.
#[derive(Clone, Copy)]
enum Followed<'a> {
    Delete,
    /// Of these columns.
    Update(&'a [&'a str]),
}

impl Link {
    /// Does a table refer to itself?
    pub fn is_of_one_table(&self) -> bool {
        self.child.name == self.parent.name
    }
}

impl<'a> ForeignKeys<'a> {
    /// The foreign keys of a snapshot.
    pub fn new(vschema: &'a VSchema, schemas: &'a Schemas) -> Self {
        Self { vschema, schemas }
    }

    /// Has the router to keep the foreign keys of the table's keyspace?
    pub fn is_managed(&self, table: &Table) -> bool {
        let keyspace = self.vschema.keyspace(&table.keyspace);
        keyspace.is_some_and(|keyspace| {
            keyspace.is_sharded() && keyspace.foreign_key_mode() == ForeignKeyMode::Managed
        })
    }

    /// The keys that the table has.
    pub fn outgoing(&self, table: &Arc<Table>) -> Vec<Link> {
        let Some(relation) = self.schemas.relation(&table.keyspace, &table.name) else { return Vec::new() };
        let link = |key: &ForeignKey| {
            let parent = self.vschema.keyspace(&table.keyspace)?.table(&key.parent)?;
            Some(self.link(table, parent, relation, key))
        };
        relation.foreign_keys.iter().filter_map(link).collect()
    }

    /// The keys that refer to the table, in the order in which servers follow them.
    pub fn incoming(&self, table: &Arc<Table>) -> Vec<Link> {
        let Some(schema) = self.schemas.schema(&table.keyspace) else { return Vec::new() };
        let link = |(relation, key): (&Arc<Relation>, &ForeignKey)| {
            let child = self.vschema.keyspace(&table.keyspace)?.table(&relation.name)?;
            Some(self.link(child, table, relation, key))
        };
        schema.referring_to(&table.name).into_iter().filter_map(link).collect()
    }

    /// A key that the table is to get; `None` if servers have something to say about it.
    pub fn to_be(&self, table: &Arc<Table>, key: &ForeignKey) -> Option<Link> {
        let child = self.schemas.relation(&table.keyspace, &table.name)?;
        let referred = self.schemas.relation(&table.keyspace, &key.parent)?;
        let parent = self.vschema.keyspace(&table.keyspace)?.table(&key.parent)?;
        let has_key = referred.keys.iter().filter_map(|found| found.columns()).any(|columns| {
            columns.len() >= key.parent_columns.len()
                && columns.into_iter().zip(&key.parent_columns).all(|(a, b)| a == b)
        });
        let is_known = key.columns.iter().all(|column| child.column(column.as_str()).is_some());
        let is_even = key.columns.len() == key.parent_columns.len();
        (has_key && is_known && is_even).then(|| self.link(table, parent, child, key))
    }

    /// Must the router look at rows that are added to the table?
    pub fn follows_insert(&self, table: &Arc<Table>) -> bool {
        self.outgoing(table).iter().any(|link| !link.is_local)
    }

    /// Must the router follow a DELETE?
    pub fn follows_delete(&self, table: &Arc<Table>) -> bool {
        self.follows(table, Followed::Delete, &mut Vec::new())
    }

    /// Must the router follow an UPDATE of these columns?
    pub fn follows_update(&self, table: &Arc<Table>, columns: &[&str]) -> bool {
        self.follows(table, Followed::Update(columns), &mut Vec::new())
    }

    /// Does it matter in which order rows of the table are deleted? It does if one deletion is refused because of rows that
    /// another deletes, or deletes rows that are to be deleted anyway: those do not count.
    pub fn deletes_in_order(&self, table: &Arc<Table>) -> bool {
        let mut changed = vec![table.clone()];
        let mut restricting = Vec::new();
        let mut at = 0;
        while let Some(parent) = changed.get(at).cloned() {
            for link in self.incoming(&parent) {
                match link.key.on_delete {
                    Action::Cascade | Action::SetNull => {
                        if link.key.on_delete == Action::Cascade && link.child.name == table.name {
                            return true;
                        }
                        if !changed.iter().any(|known| known.name == link.child.name) {
                            changed.push(link.child);
                        }
                    }
                    Action::NoAction | Action::Restrict => restricting.push(link.child),
                }
            }
            at += 1;
        }
        restricting.iter().any(|child| changed.iter().any(|known| known.name == child.name))
    }

    /// Does an UPDATE of these columns touch the key on the side of its own table?
    pub fn touches_child(&self, link: &Link, columns: &[&str]) -> bool {
        self.touches(&link.child, |name| link.key.has_column(name), columns)
    }

    /// Does an UPDATE of these columns touch what the key refers to?
    pub fn touches_parent(&self, link: &Link, columns: &[&str]) -> bool {
        self.touches(&link.parent, |name| link.key.refers_to(name), columns)
    }

    fn touches(&self, table: &Table, has: impl Fn(&str) -> bool, columns: &[&str]) -> bool {
        // Generated columns change with others.
        columns.iter().any(|name| has(name)) || self.is_any_generated(table, has)
    }

    /// Is any of these columns computed by the server?
    pub fn is_any_generated(&self, table: &Table, has: impl Fn(&str) -> bool) -> bool {
        self.schemas.relation(&table.keyspace, &table.name).is_some_and(|relation| {
            let mut columns = relation.columns.iter();
            columns.any(|column| column.generation == Generation::Expression && has(column.name.as_str()))
        })
    }

    fn follows(&self, table: &Arc<Table>, change: Followed<'_>, known: &mut Vec<(Arc<Table>, bool)>) -> bool {
        let is_delete = matches!(change, Followed::Delete);
        if known.iter().any(|(seen, deleted)| seen.name == table.name && *deleted == is_delete && is_delete) {
            return false;
        }
        // A ring of updates, which servers refuse anyway.
        if known.len() > LEVELS_MAX {
            return true;
        }
        known.push((table.clone(), is_delete));
        let incoming = self.incoming(table);
        if let Followed::Update(columns) = change {
            let outgoing = self.outgoing(table);
            let has_links = !incoming.is_empty() || !outgoing.is_empty();
            let moves = is_placed_by(table, |name| columns.iter().any(|c| c.eq_ignore_ascii_case(name)));
            let mut concerned = outgoing.iter().filter(|link| self.touches_child(link, columns));
            if has_links && moves || concerned.any(|link| !link.is_local) {
                return true;
            }
        }
        incoming.iter().any(|link| {
            let action = match change {
                Followed::Delete => link.key.on_delete,
                Followed::Update(columns) if !self.touches_parent(link, columns) => return false,
                Followed::Update(_) => link.key.on_update,
            };
            if !link.is_local {
                return true;
            }
            let columns: Vec<&str> = link.key.columns.iter().map(|column| column.as_str()).collect();
            match (action, change) {
                (Action::NoAction | Action::Restrict, _) => false,
                (Action::Cascade, Followed::Delete) => self.follows(&link.child, Followed::Delete, known),
                _ => self.follows(&link.child, Followed::Update(&columns), known),
            }
        })
    }

    fn link(&self, child: &Arc<Table>, parent: &Arc<Table>, relation: &Relation, key: &ForeignKey) -> Link {
        let is_local = is_local(child, parent, relation, key);
        Link { child: child.clone(), parent: parent.clone(), key: key.clone(), is_local }
    }
}

/// As deep as servers follow foreign keys, and one more.
const LEVELS_MAX: usize = 16;

/// Is each row on the shard of its parent, whatever the servers do by themselves?
fn is_local(child: &Table, parent: &Table, relation: &Relation, key: &ForeignKey) -> bool {
    if !child.is_keyspace_sharded {
        return true;
    }
    let changes_rows = key.on_delete.changes_rows() || key.on_update.changes_rows();
    if changes_rows && child.has_owned_lookups() {
        return false;
    }
    let is_placing = is_placed_by(child, |name| key.has_column(name));
    match (&child.kind, &parent.kind) {
        (_, TableKind::Reference { .. }) => !(is_placing && changes_rows),
        (TableKind::Pinned(a), TableKind::Pinned(b)) => a == b,
        (TableKind::Sharded, TableKind::Sharded) => {
            // A row without parent has no place; new values of its parent move both.
            let loses_place = [key.on_delete, key.on_update].contains(&Action::SetNull);
            !loses_place && goes_along(child, parent, relation, key)
        }
        _ => false,
    }
}

/// Does the parent's primary vindex place the child too?
fn goes_along(child: &Table, parent: &Table, relation: &Relation, key: &ForeignKey) -> bool {
    let (Some(own), Some(other)) = (child.primary_vindex(), parent.primary_vindex()) else { return false };
    let is_same_function = own.vindex.vindex_type() == other.vindex.vindex_type()
        && own.vindex.params() == other.vindex.params();
    if !is_same_function || own.vindex.is_lookup() || own.columns.len() != other.columns.len() {
        return false;
    }
    let is_loose = own.vindex.vindex_type().starts_with("unicode_loose");
    own.columns.iter().zip(&other.columns).all(|(own, other)| {
        // Texts may be equal for the servers and different for the function.
        let is_text = relation.column(own.as_str()).is_none_or(|column| column.collation.is_some());
        let mut pairs = key.columns.iter().zip(&key.parent_columns);
        (!is_text || is_loose) && pairs.any(|(column, referred)| column == own && referred == other)
    })
}

/// Is one of these columns part of what places the table's rows?
fn is_placed_by(table: &Table, has: impl Fn(&str) -> bool) -> bool {
    let vindex = table.primary_vindex();
    vindex.is_some_and(|vindex| vindex.columns.iter().any(|column| has(column.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Schema};
    use crate::vschema::model::Model;
    use crate::vschema::vindex::no_files;

    const VSCHEMA: &str = r#"{"keyspaces": {"k": {"sharded": true, "foreign_key_mode": "managed",
        "vindexes": {"h": {"type": "hash"}, "x": {"type": "xxhash"},
          "l": {"type": "lookup", "owner": "owning", "params": {"table": "t", "from": "v", "to": "k"}}},
        "tables": {"p": {"column_vindexes": [{"column": "id", "name": "h"}]},
          "near": {"column_vindexes": [{"column": "p_id", "name": "h"}]},
          "far": {"column_vindexes": [{"column": "id", "name": "h"}]},
          "other": {"column_vindexes": [{"column": "p_id", "name": "x"}]},
          "owning": {"column_vindexes": [{"column": "p_id", "name": "h"}, {"column": "v", "name": "l"}]},
          "r": {"type": "reference"}}}}}"#;

    /// Tables with a key `(column) REFERENCES parent (id)` each: child, column, parent, ON DELETE, ON UPDATE.
    fn schemas(keys: &[(&str, &str, &str, Action, Action)]) -> Schemas {
        let mut relations: Vec<Relation> =
            ["p", "near", "far", "other", "owning", "r"].map(Relation::new).into();
        for relation in &mut relations {
            relation.columns = ["id", "p_id", "v"].map(|name| Column::new(name, "bigint", "bigint")).into();
            for (child, column, parent, on_delete, on_update) in
                keys.iter().filter(|key| relation.name == *key.0)
            {
                relation.foreign_keys.push(ForeignKey {
                    name: format!("{child}_{column}").into(),
                    columns: vec![(*column).into()],
                    parent: (*parent).into(),
                    parent_columns: vec!["id".into()],
                    on_delete: *on_delete,
                    on_update: *on_update,
                    is_mariadb: false,
                    words: "".into(),
                });
            }
        }
        Schemas::default().with("k".into(), Arc::new(Schema::new(relations, None)))
    }

    fn vschema() -> VSchema {
        VSchema::build(Model::parse(VSCHEMA, &mut Vec::new()).unwrap(), &no_files)
    }

    #[test]
    fn a_key_is_local_where_both_rows_are_on_one_shard_for_ever() {
        use Action::{Cascade, Restrict, SetNull};
        let vschema = vschema();
        let check = |key: (&str, &str, &str, Action, Action), expected: bool| {
            let schemas = schemas(&[key]);
            let keys = ForeignKeys::new(&vschema, &schemas);
            let child = vschema.keyspace("k").unwrap().table(key.0).unwrap();
            assert_eq!(keys.outgoing(child)[0].is_local, expected, "{key:?}");
            assert_eq!(keys.follows_insert(child), !expected, "{key:?}");
        };
        check(("near", "p_id", "p", Cascade, Cascade), true);
        check(("near", "p_id", "p", Restrict, Restrict), true);
        check(("near", "p_id", "p", SetNull, Restrict), false);
        check(("near", "v", "p", Restrict, Restrict), false);
        check(("far", "p_id", "p", Restrict, Restrict), false);
        check(("other", "p_id", "p", Restrict, Restrict), false);
        check(("owning", "p_id", "p", Restrict, Restrict), true);
        check(("owning", "p_id", "p", Cascade, Restrict), false);
        check(("far", "p_id", "r", Cascade, SetNull), true);
        check(("near", "p_id", "r", Cascade, Cascade), false);
        check(("r", "v", "p", Restrict, Restrict), false);
    }

    #[test]
    fn changes_are_followed_as_far_as_they_lead() {
        use Action::{Cascade, Restrict};
        let vschema = vschema();
        let near = ("near", "p_id", "p", Cascade, Restrict);
        let check = |keys: &[_], delete: bool, columns: &[&str], update: bool| {
            let schemas = schemas(keys);
            let found = ForeignKeys::new(&vschema, &schemas);
            let p = vschema.keyspace("k").unwrap().table("p").unwrap();
            assert_eq!(
                (found.follows_delete(p), found.follows_update(p, columns)),
                (delete, update),
                "{keys:?}"
            );
        };
        check(&[], false, &["id"], false);
        check(&[near], false, &["v"], false);
        check(&[near], false, &["ID"], true);
        check(&[near, ("far", "p_id", "near", Restrict, Restrict)], true, &["v"], false);
        check(
            &[("near", "p_id", "p", Restrict, Restrict), ("far", "p_id", "near", Restrict, Restrict)],
            false,
            &["v"],
            false,
        );
        check(&[("far", "p_id", "p", Restrict, Restrict)], true, &["v"], false);
        check(&[("p", "v", "far", Restrict, Restrict)], false, &["v"], true);
    }

    #[test]
    fn the_order_of_deletions_matters_for_tables_that_refer_to_themselves() {
        use Action::{Cascade, Restrict, SetNull};
        let vschema = vschema();
        let check = |keys: &[_], expected: bool| {
            let schemas = schemas(keys);
            let p = vschema.keyspace("k").unwrap().table("p").unwrap();
            assert_eq!(ForeignKeys::new(&vschema, &schemas).deletes_in_order(p), expected, "{keys:?}");
        };
        check(&[("far", "p_id", "p", Restrict, Restrict)], false);
        check(&[("p", "v", "p", Restrict, Restrict)], true);
        check(&[("p", "v", "p", Cascade, Restrict)], true);
        check(&[("p", "v", "p", SetNull, Restrict)], false);
        check(&[("far", "p_id", "p", Cascade, Restrict), ("far", "v", "p", Restrict, Restrict)], true);
    }
}
