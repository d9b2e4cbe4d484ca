//! Which keyspace a query of system tables is about: what its conditions name, as keyspace or as database.

use super::arguments::Arguments;
use crate::engine::{Arguments as _, value_of};
use crate::error::{Error, Result};
use crate::plan::primitive::{Candidates, RouteList};
use crate::topology::{Keyspace, Snapshot};
use crate::value::Value;

/// The keyspace, if the values name one; an error if they name several, whose servers would all have to be asked.
pub(super) fn keyspace<'s>(
    snapshot: &'s Snapshot,
    values: &[Candidates],
    arguments: &Arguments<'_>,
) -> Result<Option<&'s Keyspace>> {
    let mut found: Option<&Keyspace> = None;
    let mut add = |value: Value| {
        let name = value.as_ref().to_bytes();
        let named =
            snapshot.topology.keyspaces().iter().find(|keyspace| {
                keyspace.name().as_bytes() == &*name || keyspace.db_name().as_bytes() == &*name
            });
        match (found, named) {
            (Some(one), Some(other)) if one.name() != other.name() => Err(Error::unsupported(format!(
                "a query of system tables about several keyspaces ({}, {})",
                one.name(),
                other.name()
            ))),
            (None, Some(_)) => {
                found = named;
                Ok(())
            }
            _ => Ok(()),
        }
    };
    for value in values {
        match value {
            Candidates::One(value) => add(value_of(value, arguments)?)?,
            Candidates::Many(RouteList::Arg(list)) => {
                for item in 0..arguments.list_count(*list)? {
                    add(arguments.list_value(*list, item)?)?;
                }
            }
            Candidates::Many(RouteList::Values(values)) => {
                for value in values {
                    add(value_of(value, arguments)?)?;
                }
            }
        }
    }
    Ok(found)
}
