//! The values of a statement's arguments: literals that were lifted out of its text, or bound parameters.

use crate::error::{Error, Result};
use crate::plan::primitive::RouteValue;
use crate::value::Value;

/// Gives the statement's arguments by their index (in `Lexed::args`).
pub trait Arguments: Sync {
    /// The value of one that is no list.
    fn value(&self, index: u32) -> Result<Value>;

    /// Appends one as SQL: its own source text, or its bound value as a literal. Of a list: all items, with
    /// commas, without parentheses.
    fn write(&self, index: u32, out: &mut Vec<u8>) -> Result<()>;

    /// Whether its value is not known yet: a parameter of a statement that is only being prepared.
    fn is_open(&self, _index: u32) -> bool {
        false
    }

    /// The same for an item of a list.
    fn is_item_open(&self, _index: u32, _item: u32) -> bool {
        false
    }

    /// The number of items of a list.
    fn list_count(&self, index: u32) -> Result<u32>;

    /// The value of an item of a list.
    fn list_value(&self, index: u32, item: u32) -> Result<Value>;

    /// Appends an item of a list as SQL.
    fn write_list_item(&self, index: u32, item: u32, out: &mut Vec<u8>) -> Result<()>;
}

/// The value that a plan refers to.
pub fn value_of(value: &RouteValue, args: &dyn Arguments) -> Result<Value> {
    match value {
        RouteValue::Arg(index) => args.value(*index),
        RouteValue::Literal(value) => Ok(value.clone()),
        RouteValue::NegatedArg(index) => negated(args.value(*index)?),
    }
}

pub(super) fn negated(value: Value) -> Result<Value> {
    Ok(match value {
        Value::Int(number) => match number.checked_neg() {
            Some(number) => Value::Int(number),
            None => Value::UInt(number.unsigned_abs()),
        },
        Value::UInt(number) if number == i64::MIN.unsigned_abs() => Value::Int(i64::MIN),
        Value::UInt(number) => Value::Decimal(format!("-{number}").into_bytes().into()),
        Value::Double(number) => Value::Double(-number),
        Value::Float(number) => Value::Float(-number),
        Value::Decimal(text) => match text.strip_prefix(b"-") {
            Some(positive) => Value::Decimal(positive.into()),
            None => Value::Decimal([b"-", &*text].concat().into()),
        },
        Value::Null => Value::Null,
        Value::Bit(_) | Value::Bytes(_) | Value::Temporal(..) | Value::Text(_) => {
            return Err(Error::unsupported("the negative of a string as a routing value"));
        }
    })
}

/// A row count of LIMIT or OFFSET.
pub(crate) fn count_of(value: &RouteValue, args: &dyn Arguments) -> Result<u64> {
    use crate::error::ErrorKind;
    let value = value_of(value, args)?;
    let count = if matches!(value, Value::Null) { None } else { value.as_ref().to_uint64().ok() };
    count.ok_or_else(|| Error::new(ErrorKind::WrongArguments, "Incorrect arguments to LIMIT"))
}
