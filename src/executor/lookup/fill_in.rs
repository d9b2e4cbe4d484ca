//! The values of an INSERT's vindex columns that only a server can tell: expressions, defaults, and what NULL becomes
//! where a column takes none.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/data-type-defaults.html>

use std::collections::HashMap;

use super::super::inner::Inner;
use super::super::place;
use crate::engine::{InsertBatch, UnknownValue, field_value};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Generated, Insert};
use crate::schema::Generation;
use crate::value::Value;

/// Expressions that are evaluated by one query.
const EXPRESSIONS_PER_QUERY: usize = 500;

/// What the servers say about a column that a row has no value for.
#[derive(Clone, Debug)]
struct ColumnFacts {
    /// NULL where there is none.
    default: Value,
    is_nullable: bool,
    /// The server gives it a number by itself.
    counts_itself: bool,
    /// What a column that takes no NULL gets in its place, where a server does not refuse the row; `None` for types whose
    /// value is not that plain.
    in_place_of_null: Option<Value>,
}

impl Inner<'_> {
    /// Has the servers say what expressions and defaults of vindex columns are, and where rows go whose NULL the server
    /// will refuse or replace.
    pub(in super::super) async fn fill_in(
        &mut self,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
    ) -> Result<()> {
        let mut known: HashMap<&str, ColumnFacts> = HashMap::new();
        let unknown = batch.unknown_values();
        for value in unknown.iter().filter(|value| value.expression.is_none()) {
            let facts = self.facts_of(insert, batch.column_of(value), &mut known).await?;
            batch.fill(value, facts.default);
        }
        let expressions: Vec<UnknownValue> =
            unknown.into_iter().filter(|value| value.expression.is_some()).collect();
        for chunk in expressions.chunks(EXPRESSIONS_PER_QUERY) {
            self.evaluate(batch, chunk).await?;
        }
        self.refuse_counting(insert, batch)?;
        for null in batch.nulls(insert.is_ignore || !self.is_strict()) {
            let column = batch.column_of(&null);
            let facts = self.facts_of(insert, column, &mut known).await?;
            if facts.counts_itself {
                return Err(counts_itself(column));
            }
            if let Some(value) = facts.in_place_of_null.filter(|_| !facts.is_nullable) {
                batch.fill(&null, value);
            }
        }
        Ok(())
    }

    /// Where a server puts a number of its own into a column by which rows are found, it is too late to find a shard or
    /// to keep a lookup table.
    fn refuse_counting(&self, insert: &Insert, batch: &InsertBatch<'_>) -> Result<()> {
        let Some(relation) = self.snapshot.schemas.relation(&insert.keyspace, &insert.table) else {
            return Ok(());
        };
        let mut counted = relation.columns.iter();
        let Some(counted) = counted.find(|column| column.generation == Generation::AutoIncrement) else {
            return Ok(());
        };
        let is_generated = |generated: &Generated| counted.name == *generated.column;
        if insert.generated.as_ref().is_some_and(is_generated) {
            return Ok(());
        }
        let table =
            self.snapshot.vschema.keyspace(&insert.keyspace).and_then(|known| known.table(&insert.table));
        let mut used = table.iter().flat_map(|table| &table.column_vindexes).flat_map(|used| &used.columns);
        if !used.any(|column| *column == counted.name) {
            return Ok(());
        }
        match batch.asking().iter().any(|value| counted.name == *batch.column_of(value)) {
            true => Err(counts_itself(counted.name.as_str())),
            false => Ok(()),
        }
    }

    async fn evaluate(&mut self, batch: &mut InsertBatch<'_>, unknown: &[UnknownValue]) -> Result<()> {
        let mut text = b"select ".to_vec();
        for (index, value) in unknown.iter().enumerate() {
            text.extend_from_slice(if index == 0 { b"(" } else { b", (" });
            if let Some(span) = value.expression {
                text.extend_from_slice(&batch.expression(span)?);
            }
            text.push(b')');
        }
        let held = match self.rows(&text).await {
            // The value of another column of the row.
            Err(error) if error.errno() == ErrorKind::UnknownColumn.errno() => {
                let column = unknown.first().map_or("", |value| batch.column_of(value));
                return Err(Error::unsupported(format!(
                    "an expression over other columns for the vindex column {column}"
                )));
            }
            outcome => outcome?,
        };
        let [row] = held.rows.as_slice() else {
            return Err(Error::bug("an expression with other than one row"));
        };
        for (value, (column, field)) in unknown.iter().zip(held.columns.iter().zip(row)) {
            batch.fill(value, field_value(column, field.as_deref()));
        }
        Ok(())
    }

    /// Does a value that does not fit end a statement?
    fn is_strict(&self) -> bool {
        let mode = self.session.settings.backend().variable("sql_mode");
        mode.is_none_or(|mode| mode.to_ascii_uppercase().contains("STRICT_"))
    }

    async fn facts_of<'c>(
        &mut self,
        insert: &Insert,
        column: &'c str,
        known: &mut HashMap<&'c str, ColumnFacts>,
    ) -> Result<ColumnFacts> {
        if let Some(facts) = known.get(column) {
            return Ok(facts.clone());
        }
        let facts = self.ask_facts(insert, column).await?;
        known.insert(column, facts.clone());
        Ok(facts)
    }

    /// A column, as its servers know it.
    async fn ask_facts(&mut self, insert: &Insert, column: &str) -> Result<ColumnFacts> {
        let target = place::any_shard(self.snapshot, &insert.keyspace, self.session)?;
        let mut text = b"select column_default, extra, version(), is_nullable, data_type \
                         from information_schema.columns where table_schema = database() and table_name = "
            .to_vec();
        let plain = self.no_backslash_escapes();
        Value::text(&*insert.table).as_ref().render_literal(&mut text, plain);
        text.extend_from_slice(b" and column_name = ");
        Value::text(column).as_ref().render_literal(&mut text, plain);
        let held = self.rows_at(&target, &text).await?;
        let field = |index: usize| held.rows.first().and_then(|row| row.get(index)?.as_deref());
        let extra = field(1).unwrap_or_default().to_ascii_lowercase();
        let mut facts = ColumnFacts {
            default: Value::Null,
            // A column that is not there: the server says so.
            is_nullable: field(3).is_some_and(|word| word == b"YES"),
            counts_itself: extra.windows(14).any(|part| part == b"auto_increment"),
            in_place_of_null: field(4).and_then(in_place_of_null),
        };
        let Some(default) = field(0) else { return Ok(facts) };
        let is_mariadb = field(2).is_some_and(|version| version.windows(7).any(|part| part == b"MariaDB"));
        let is_expression = extra.starts_with(b"default_generated") || is_mariadb && !is_literal(default);
        if is_expression {
            return Err(Error::unsupported(format!(
                "the default of the vindex column {column}, which is an expression ({})",
                String::from_utf8_lossy(default)
            )));
        }
        facts.default = match is_mariadb {
            false => Value::text(default),
            true => {
                // It is SQL text.
                let held = self.rows_at(&target, &[b"select ", default].concat()).await?;
                let field = held.rows.first().and_then(|row| row.first()).and_then(|field| field.as_deref());
                held.columns.first().map_or(Value::Null, |column| field_value(column, field))
            }
        };
        Ok(facts)
    }
}

fn counts_itself(column: &str) -> Error {
    Error::unsupported(format!(
        "AUTO_INCREMENT of the servers for the vindex column {column} (a sequence can do it)"
    ))
}

/// Is a default, as MariaDB shows it, the same whenever it is evaluated?
fn is_literal(text: &[u8]) -> bool {
    match text {
        b"NULL" => true,
        // A quote within is doubled or escaped.
        [b'\'', .., b'\''] => true,
        _ => !text.is_empty() && text.iter().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(byte)),
    }
}

/// The implicit default of a type.
fn in_place_of_null(data_type: &[u8]) -> Option<Value> {
    match data_type.to_ascii_lowercase().as_slice() {
        b"tinyint" | b"smallint" | b"mediumint" | b"int" | b"bigint" | b"decimal" | b"float" | b"double" => {
            Some(Value::Int(0))
        }
        b"char" | b"varchar" | b"tinytext" | b"text" | b"mediumtext" | b"longtext" => Some(Value::text("")),
        b"varbinary" | b"tinyblob" | b"blob" | b"mediumblob" | b"longblob" => Some(Value::bytes("")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_literals_or_not() {
        let check = |text: &str, expected: bool| assert_eq!(is_literal(text.as_bytes()), expected, "{text}");
        check("NULL", true);
        check("7", true);
        check("-1.5e3", true);
        check("'it''s'", true);
        check("''", true);
        check("", false);
        check("uuid()", false);
        check("current_timestamp()", false);
        check("1 + 2", false);
        check("`a`", false);
    }

    #[test]
    fn columns_that_take_no_null_get_what_their_type_begins_with() {
        let check = |data_type: &str, expected: Option<Value>| {
            assert_eq!(in_place_of_null(data_type.as_bytes()), expected, "{data_type}");
        };
        check("BIGINT", Some(Value::Int(0)));
        check("varchar", Some(Value::text("")));
        check("varbinary", Some(Value::bytes("")));
        check("binary", None);
        check("timestamp", None);
    }
}
