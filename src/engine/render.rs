//! Templates to SQL text.

use std::sync::{Arc, Mutex};

use super::arguments::{Arguments, count_of, value_of};
use crate::error::{Error, Result};
use crate::plan::primitive::{Piece, RouteValue, SessionValue, Template};
use crate::topology::{Keyspace, KeyspaceName};
use crate::value::Value;

/// Rows that the operators of a tree have given.
pub type RowCounts = Arc<Mutex<Vec<u64>>>;

/// What templates need of the session and the topology.
pub trait SessionValues: Sync {
    /// Appends the value as an SQL literal.
    fn write(&self, value: &SessionValue, out: &mut Vec<u8>) -> Result<()>;

    /// The database name of the keyspace that `name` means, by its own or by its database's name.
    fn database(&self, name: &str) -> Option<String>;

    /// Names of databases that differ from their keyspaces' names, and those; the session's own keyspace first.
    fn renamed_databases(&self) -> Vec<(String, String)> {
        vec![]
    }

    /// The keyspace of that name, in the statement's snapshot.
    fn keyspace(&self, _name: &KeyspaceName) -> Option<&Keyspace> {
        None
    }

    /// May operators hold more rows than usual (`IGNORE_MAX_MEMORY_ROWS`)? Their bytes stay limited.
    fn lifts_row_limit(&self) -> bool {
        false
    }

    /// Where the rows of each operator are counted, from the leaf up; nobody wants to know it usually.
    fn row_counts(&self) -> Option<RowCounts> {
        None
    }

    /// Is a backslash in a string an ordinary character?
    fn no_backslash_escapes(&self) -> bool;
}

/// Appends the text of `template`. `items`: the list items that belong to the shard, where a list decides the
/// shards. `sequence`: the text of the generated column's value.
pub fn render(
    template: &Template,
    args: &dyn Arguments,
    session: &dyn SessionValues,
    items: Option<&[u32]>,
    sequence: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    for piece in &template.pieces {
        match piece {
            Piece::Arg(index) | Piece::List(index) => args.write(*index, out)?,
            Piece::DatabaseName(RouteValue::Arg(index)) if args.is_open(*index) => args.write(*index, out)?,
            Piece::DatabaseName(value) => {
                write_database(value_of(value, args)?, session, out);
            }
            Piece::DatabaseNames(index) => {
                for item in 0..args.list_count(*index)? {
                    if item > 0 {
                        out.extend_from_slice(b", ");
                    }
                    if args.is_item_open(*index, item) {
                        args.write_list_item(*index, item, out)?;
                    } else {
                        write_database(args.list_value(*index, item)?, session, out);
                    }
                }
            }
            Piece::DatabaseCases => write_database_cases(session, out),
            Piece::ListForShard(index) => match items {
                Some(items) if !items.is_empty() => {
                    for (position, item) in items.iter().enumerate() {
                        if position > 0 {
                            out.extend_from_slice(b", ");
                        }
                        args.write_list_item(*index, *item, out)?;
                    }
                }
                _ => args.write(*index, out)?,
            },
            Piece::RowsNeeded { count, offset } => {
                let needed = count_of(count, args)?.saturating_add(count_of(offset, args)?);
                out.extend_from_slice(needed.to_string().as_bytes());
            }
            Piece::Sequence => out.extend_from_slice(sequence),
            Piece::Session(value) => session.write(value, out)?,
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Gathered(_) | Piece::Search { .. } => {
                return Err(Error::bug("a gathered table without name"));
            }
            Piece::Weight { .. } => return Err(Error::bug("a weight whose form is not decided")),
        }
    }
    Ok(())
}

/// What makes the keyspaces' names of databases' names, within a `CASE`.
fn write_database_cases(session: &dyn SessionValues, out: &mut Vec<u8>) {
    let mut cases = session.renamed_databases();
    if cases.is_empty() {
        // There must be a WHEN; no database has an empty name.
        cases.push((String::new(), String::new()));
    }
    for (database, keyspace) in cases {
        out.extend_from_slice(b" when ");
        Value::text(database).as_ref().render_literal(out, session.no_backslash_escapes());
        out.extend_from_slice(b" then ");
        Value::text(keyspace).as_ref().render_literal(out, session.no_backslash_escapes());
    }
}

/// The database of the keyspace that a value names, or the value itself.
fn write_database(value: Value, session: &dyn SessionValues, out: &mut Vec<u8>) {
    let database = match &value {
        Value::Text(name) => session.database(&String::from_utf8_lossy(name)),
        _ => None,
    };
    let value = database.map_or(value, Value::text);
    value.as_ref().render_literal(out, session.no_backslash_escapes());
}
