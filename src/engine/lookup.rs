//! The SQL that reads and keeps the table of a lookup vindex. Pure: who sends it is the executor's business.
//!
//! A lookup table is a set: it has one row for each combination of values and place that some row of the owner has.
//! Follows Vitess's lookup vindexes, <https://vitess.io/docs/reference/features/vindexes/>.

use crate::error::{Error, Result};
use crate::sql::ident::quote_identifier;
use crate::topology::KeyspaceId;
use crate::value::Value;
use crate::vschema::QualifiedTable;
use crate::vschema::vindex::LookupSpec;

/// The table of a lookup vindex, and how text is written for it.
#[derive(Clone, Debug)]
pub struct LookupTable<'a> {
    /// The table, after routing rules.
    pub name: QualifiedTable,
    /// Its columns and flags.
    pub spec: &'a LookupSpec,
    /// A backslash in a string is an ordinary character.
    pub no_backslash_escapes: bool,
}

/// A row of a lookup table.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupEntry {
    /// The owner's values, in the order of the table's `from` columns.
    pub values: Vec<Value>,
    /// Where the owner's row is.
    pub id: KeyspaceId,
}

impl LookupTable<'_> {
    /// The places of rows with one of these values. `lock` goes behind the query.
    pub fn find(&self, values: &[Value], lock: &str) -> Result<Vec<u8>> {
        let mut out = b"select ".to_vec();
        self.column(&self.spec.to, &mut out);
        self.named_table(&mut out);
        out.extend_from_slice(b" where ");
        self.column(self.first_column()?, &mut out);
        out.extend_from_slice(b" in (");
        for (index, value) in values.iter().enumerate() {
            separate(index, &mut out);
            self.value(value, &mut out)?;
        }
        out.push(b')');
        out.extend_from_slice(lock.as_bytes());
        Ok(out)
    }

    /// The places that the table has for exactly these values. `lock` goes behind the query.
    pub fn find_entry(&self, values: &[Value], lock: &str) -> Result<Vec<u8>> {
        let mut out = b"select ".to_vec();
        self.column(&self.spec.to, &mut out);
        self.named_table(&mut out);
        out.extend_from_slice(b" where ");
        self.condition(values, &mut out)?;
        out.extend_from_slice(lock.as_bytes());
        Ok(out)
    }

    /// The places that the table has for the values of any of these entries. `lock` goes behind the query.
    pub fn find_entries(&self, entries: &[&LookupEntry], lock: &str) -> Result<Vec<u8>> {
        let is_single =
            |entry: &&LookupEntry| matches!(entry.values.as_slice(), [value] if *value != Value::Null);
        if entries.iter().all(is_single) {
            // A list finds shards of a table that is sharded itself.
            let values: Vec<Value> = entries.iter().flat_map(|entry| entry.values.clone()).collect();
            return self.find(&values, lock);
        }
        let mut out = b"select ".to_vec();
        self.column(&self.spec.to, &mut out);
        self.named_table(&mut out);
        out.extend_from_slice(b" where ");
        for (index, entry) in entries.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"(" } else { b" or (" });
            self.condition(&entry.values, &mut out)?;
            out.push(b')');
        }
        out.extend_from_slice(lock.as_bytes());
        Ok(out)
    }

    /// Adds rows. `is_upsert`: those that are there are written over.
    pub fn add(&self, entries: &[&LookupEntry], is_upsert: bool) -> Result<Vec<u8>> {
        let width = entries.first().map_or(0, |entry| entry.values.len());
        let columns = || self.spec.from.iter().take(width).chain([&self.spec.to]).enumerate();
        let mut out = b"insert into ".to_vec();
        self.table(&mut out);
        out.extend_from_slice(b" (");
        for (index, name) in columns() {
            separate(index, &mut out);
            self.column(name, &mut out);
        }
        out.extend_from_slice(b") values ");
        for (index, entry) in entries.iter().enumerate() {
            separate(index, &mut out);
            out.push(b'(');
            for value in &entry.values {
                self.value(value, &mut out)?;
                out.extend_from_slice(b", ");
            }
            self.place(&entry.id, &mut out)?;
            out.push(b')');
        }
        if is_upsert {
            out.extend_from_slice(b" on duplicate key update ");
            for (index, name) in columns() {
                separate(index, &mut out);
                self.column(name, &mut out);
                out.extend_from_slice(b" = values(");
                self.column(name, &mut out);
                out.push(b')');
            }
        }
        Ok(out)
    }

    /// Takes rows away.
    pub fn remove(&self, entries: &[&LookupEntry]) -> Result<Vec<u8>> {
        let mut out = b"delete from ".to_vec();
        self.table(&mut out);
        out.extend_from_slice(b" where ");
        for (index, entry) in entries.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"(" } else { b" or (" });
            self.condition(&entry.values, &mut out)?;
            out.extend_from_slice(b" and ");
            self.column(&self.spec.to, &mut out);
            out.extend_from_slice(b" = ");
            self.place(&entry.id, &mut out)?;
            out.push(b')');
        }
        Ok(out)
    }

    /// Turns a row that leads to `old`, where no owner is, to where the owner will be.
    pub fn repoint(&self, entry: &LookupEntry, old: &KeyspaceId) -> Result<Vec<u8>> {
        let mut out = b"update ".to_vec();
        self.table(&mut out);
        out.extend_from_slice(b" set ");
        self.column(&self.spec.to, &mut out);
        out.extend_from_slice(b" = ");
        self.place(&entry.id, &mut out)?;
        out.extend_from_slice(b" where ");
        self.condition(&entry.values, &mut out)?;
        out.extend_from_slice(b" and ");
        self.column(&self.spec.to, &mut out);
        out.extend_from_slice(b" = ");
        self.place(old, &mut out)?;
        Ok(out)
    }

    fn condition(&self, values: &[Value], out: &mut Vec<u8>) -> Result<()> {
        for (index, (name, value)) in self.spec.from.iter().zip(values).enumerate() {
            if index > 0 {
                out.extend_from_slice(b" and ");
            }
            self.column(name, out);
            match value {
                Value::Null => out.extend_from_slice(b" is null"),
                value => {
                    out.extend_from_slice(b" = ");
                    self.value(value, out)?;
                }
            }
        }
        Ok(())
    }

    fn first_column(&self) -> Result<&str> {
        let first = self.spec.from.first();
        first.map(String::as_str).ok_or_else(|| Error::bug("a lookup vindex without columns"))
    }

    fn named_table(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b" from ");
        self.table(out);
    }

    fn table(&self, out: &mut Vec<u8>) {
        quote_identifier(&self.name.keyspace, out);
        out.push(b'.');
        quote_identifier(&self.name.table, out);
    }

    fn column(&self, name: &str, out: &mut Vec<u8>) {
        quote_identifier(name, out);
    }

    fn value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        let stored = self.spec.stored_value(value.clone())?;
        stored.as_ref().render_literal(out, self.no_backslash_escapes);
        Ok(())
    }

    fn place(&self, id: &KeyspaceId, out: &mut Vec<u8>) -> Result<()> {
        let stored = self.spec.stored_place(id).ok_or_else(|| {
            Error::unsupported(format!("a place of other than eight bytes in the lookup table {}", self.name))
        })?;
        stored.as_ref().render_literal(out, self.no_backslash_escapes);
        Ok(())
    }
}

/// Rows of the owner that have the values of one of these entries: the entry's number among them, then the columns `wanted`,
/// by which places are computed. `lock` goes behind each entry's part of the query.
pub fn owners(
    table: &str,
    wanted: &[&str],
    columns: &[&str],
    entries: &[&LookupEntry],
    lock: &str,
    no_backslash_escapes: bool,
) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        out.extend_from_slice(if number == 0 {
            b"(select distinct "
        } else {
            b" union all (select distinct "
        });
        out.extend_from_slice(number.to_string().as_bytes());
        for name in wanted {
            out.extend_from_slice(b", ");
            quote_identifier(name, &mut out);
        }
        out.extend_from_slice(b" from ");
        quote_identifier(table, &mut out);
        for (index, (name, value)) in columns.iter().zip(&entry.values).enumerate() {
            out.extend_from_slice(if index == 0 { b" where " } else { b" and " });
            quote_identifier(name, &mut out);
            match value {
                Value::Null => out.extend_from_slice(b" is null"),
                value => {
                    out.extend_from_slice(b" = ");
                    value.as_ref().render_literal(&mut out, no_backslash_escapes);
                }
            }
        }
        out.extend_from_slice(lock.as_bytes());
        out.push(b')');
    }
    out
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.extend_from_slice(b", ");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::vschema::vindex::{VindexDefinition, no_files};

    fn check(vindex_type: &str, make: impl Fn(&LookupTable<'_>) -> Vec<u8>, expected: &str) {
        let params = [("table", "lk.idx"), ("from", "name,id"), ("to", "keyspace_id")];
        let params: BTreeMap<_, _> = params.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let vindex = VindexDefinition::new("v", vindex_type, &params, "", &no_files).unwrap();
        let name = QualifiedTable { keyspace: "lk".into(), table: "idx".into() };
        let spec = vindex.lookup().unwrap();
        let table = LookupTable { name, spec, no_backslash_escapes: false };
        assert_eq!(String::from_utf8(make(&table)).unwrap(), expected);
    }

    fn entry(name: &str, number: i64, id: &[u8]) -> LookupEntry {
        LookupEntry { values: vec![Value::text(name), Value::Int(number)], id: KeyspaceId::from_bytes(id) }
    }

    #[test]
    fn texts() {
        let (a, b) = (entry("a'b", 1, &[0x80]), entry("c", 2, &[0x40]));
        check(
            "lookup",
            |table| table.find(&[Value::text("x"), Value::Int(5)], " for update").unwrap(),
            "select `keyspace_id` from `lk`.`idx` where `name` in ('x', 5) for update",
        );
        check(
            "lookup",
            |table| table.add(&[&a, &b], false).unwrap(),
            "insert into `lk`.`idx` (`name`, `id`, `keyspace_id`) values ('a''b', 1, _binary x'80'), ('c', 2, _binary x'40')",
        );
        check(
            "lookup",
            |table| table.remove(&[&b]).unwrap(),
            "delete from `lk`.`idx` where (`name` = 'c' and `id` = 2 and `keyspace_id` = _binary x'40')",
        );
        let null = LookupEntry { values: vec![Value::text("c"), Value::Null], ..b.clone() };
        check(
            "lookup_unique",
            |table| table.repoint(&null, &a.id).unwrap(),
            "update `lk`.`idx` set `keyspace_id` = _binary x'40' where `name` = 'c' and `id` is null \
             and `keyspace_id` = _binary x'80'",
        );
        check(
            "lookup",
            |table| table.find_entries(&[&a, &null], " for update").unwrap(),
            "select `keyspace_id` from `lk`.`idx` where (`name` = 'a''b' and `id` = 1) or (`name` = 'c' and `id` is null) for update",
        );
        let single = LookupEntry { values: vec![Value::text("c")], ..b.clone() };
        check(
            "lookup",
            |table| table.find_entries(&[&single, &single], "").unwrap(),
            "select `keyspace_id` from `lk`.`idx` where `name` in ('c', 'c')",
        );
        check(
            "lookup",
            |_| owners("t", &["id", "k"], &["name", "n"], &[&a, &null], " for update", false),
            "(select distinct 0, `id`, `k` from `t` where `name` = 'a''b' and `n` = 1 for update) union all \
             (select distinct 1, `id`, `k` from `t` where `name` = 'c' and `n` is null for update)",
        );
        let hashed = entry("c", 2, &[0x16, 0x6b, 0x40, 0xb4, 0x4a, 0xba, 0x4b, 0xd6]);
        check(
            "lookup_hash",
            |table| table.add(&[&hashed], true).unwrap(),
            "insert into `lk`.`idx` (`name`, `id`, `keyspace_id`) values ('c', 2, 1) on duplicate key update \
             `name` = values(`name`), `id` = values(`id`), `keyspace_id` = values(`keyspace_id`)",
        );
    }
}
