//! Fields of text rows as values, by the types of their columns.

use crate::error::Result;
use crate::topology::KeyspaceId;
use crate::value::{TemporalKind, Value};
use crate::vschema::vindex::{Mapping, VindexDefinition};
use crate::wire::column_type::{ColumnFlags, ColumnType};
use crate::wire::response::ColumnDefinition;

use super::routing::comparable;

/// The value of a field, such that its literal means the same to a server.
pub fn field_value(column: &ColumnDefinition, field: Option<&[u8]>) -> Value {
    let Some(text) = field else { return Value::Null };
    let number = std::str::from_utf8(text).ok();
    let is_unsigned = column.flags.contains(ColumnFlags::UNSIGNED);
    match column.column_type {
        ColumnType::YEAR => {
            number.and_then(|text| text.parse().ok()).map_or_else(|| Value::text(text), Value::Int)
        }
        kind if kind.is_integer() && is_unsigned => {
            number.and_then(|text| text.parse().ok()).map_or_else(|| Value::text(text), Value::UInt)
        }
        kind if kind.is_integer() => {
            number.and_then(|text| text.parse().ok()).map_or_else(|| Value::text(text), Value::Int)
        }
        ColumnType::DECIMAL | ColumnType::NEWDECIMAL => Value::Decimal(text.into()),
        ColumnType::DOUBLE | ColumnType::FLOAT => {
            number.and_then(|text| text.parse().ok()).map_or_else(|| Value::text(text), Value::Double)
        }
        ColumnType::BIT => Value::Bit(text.into()),
        ColumnType::DATE | ColumnType::NEWDATE => Value::Temporal(TemporalKind::Date, text.into()),
        ColumnType::DATETIME | ColumnType::TIMESTAMP => Value::Temporal(TemporalKind::DateTime, text.into()),
        ColumnType::TIME => Value::Temporal(TemporalKind::Time, text.into()),
        ColumnType::JSON => Value::text(text),
        _ if column.collation == ColumnDefinition::COLLATION_BINARY => Value::bytes(text),
        _ => Value::text(text),
    }
}

/// The place of a row, by the values of its primary vindex; `None` if a function cannot tell.
pub fn place_of_values(vindex: &VindexDefinition, values: Vec<Value>) -> Result<Option<KeyspaceId>> {
    let mut known = Vec::with_capacity(values.len());
    for value in values {
        match comparable(vindex, value)? {
            Some(value) => known.push(value),
            None => return Ok(None),
        }
    }
    let refs: Vec<_> = known.iter().map(Value::as_ref).collect();
    Ok(match vindex.map(&refs)? {
        Mapping::KeyspaceId(id) => Some(id),
        Mapping::AllShards | Mapping::KeyRange(_) | Mapping::None => None,
    })
}
