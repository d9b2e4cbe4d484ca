//! The values of a statement's arguments: literals in its text, or bound parameters.

use crate::error::{Error, Result};
use crate::plan::primitive::RouteValue;
use crate::sql::{Arg, ArgKind, LexOptions, Lexed, LiteralError, arg_value};
use crate::value::{Value, ValueRef};

use super::job::Execution;

/// Where a statement's arguments are found.
pub(super) struct Arguments<'a> {
    pub(super) text: &'a [u8],
    pub(super) lexed: &'a Lexed,
    pub(super) options: LexOptions,
    pub(super) execution: Option<Execution<'a>>,
    pub(super) user_variables: &'a std::collections::HashMap<Box<str>, Value>,
}

impl Arguments<'_> {
    /// The value that routing asks for.
    pub(super) fn route_value(&self, value: &RouteValue) -> Result<Value> {
        match value {
            RouteValue::Literal(value) => Ok(value.clone()),
            RouteValue::Arg(index) => self.value(self.arg(*index)?),
            RouteValue::NegatedArg(index) => Ok(negate(self.value(self.arg(*index)?)?)),
        }
    }

    /// The items of a list argument.
    pub(super) fn list(&self, index: u32) -> Result<Vec<Value>> {
        match self.arg(index)?.kind {
            ArgKind::List { first, count } => {
                self.lexed.items(first, count).iter().map(|item| self.value(item)).collect()
            }
            _ => Err(Error::bug(format!("argument {index} is no list"))),
        }
    }

    /// One item or argument.
    pub(super) fn value(&self, arg: &Arg) -> Result<Value> {
        match arg.kind {
            ArgKind::Placeholder(number) => self.parameter(number),
            ArgKind::UserVariable => {
                let name = crate::sql::ident::name_of(&arg.span.of(self.text)[1..]).to_lowercase();
                Ok(self.user_variables.get(name.as_str()).cloned().unwrap_or_default())
            }
            _ => {
                let mut scratch = Vec::new();
                let value = arg_value(self.text, arg, &self.options, &mut scratch);
                value.map(ValueRef::to_owned).map_err(|error| match error {
                    LiteralError::Charset => Error::unsupported(
                        "a string of another character set than the connection's as a sharding key",
                    ),
                    LiteralError::Malformed | LiteralError::NotALiteral => {
                        Error::bug(format!("an argument that is no literal: {error:?}"))
                    }
                })
            }
        }
    }

    /// The bound parameter with this number.
    pub(super) fn parameter(&self, number: u16) -> Result<Value> {
        let execution = self.execution.ok_or_else(|| Error::bug("a placeholder without parameters"))?;
        let mut parameters = execution.parameters.iter(execution.long_data);
        match parameters.nth(number.into()) {
            Some(parameter) => {
                let parameter = parameter.map_err(crate::wire::Malformed::into_client_error)?;
                let mut scratch = Vec::new();
                let value =
                    parameter.decode(&mut scratch).map_err(crate::wire::Malformed::into_client_error)?;
                Ok(value.to_owned())
            }
            None => Err(Error::bug(format!("the statement has no parameter {number}"))),
        }
    }

    pub(super) fn arg(&self, index: u32) -> Result<&Arg> {
        self.lexed
            .args
            .get(index as usize)
            .ok_or_else(|| Error::bug(format!("the statement has no argument {index}")))
    }
}

/// The value behind a minus sign.
fn negate(value: Value) -> Value {
    let with_sign = |text: &[u8]| match text.strip_prefix(b"-") {
        Some(positive) => positive.into(),
        None => [b"-", text].concat().into_boxed_slice(),
    };
    match value {
        Value::Int(number) => number
            .checked_neg()
            .map_or_else(|| Value::Decimal(with_sign(number.to_string().as_bytes())), Value::Int),
        Value::UInt(number) => match 0i64.checked_sub_unsigned(number) {
            Some(negative) => Value::Int(negative),
            None => Value::Decimal(with_sign(number.to_string().as_bytes())),
        },
        Value::Decimal(text) => Value::Decimal(with_sign(&text)),
        Value::Double(number) => Value::Double(-number),
        Value::Float(number) => Value::Float(-number),
        // Minus makes a number of a string: which one, the servers know better.
        Value::Text(text) | Value::Bytes(text) | Value::Bit(text) | Value::Temporal(_, text) => {
            Value::Decimal(with_sign(&text))
        }
        Value::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_stays_exact() {
        assert_eq!(negate(Value::UInt(5)), Value::Int(-5));
        assert_eq!(negate(Value::Int(-5)), Value::Int(5));
        assert_eq!(negate(Value::UInt(1 << 63)), Value::Int(i64::MIN));
        assert_eq!(negate(Value::UInt(u64::MAX)), Value::Decimal(b"-18446744073709551615".as_slice().into()));
        assert_eq!(negate(Value::Int(i64::MIN)), Value::Decimal(b"9223372036854775808".as_slice().into()));
        assert_eq!(
            negate(Value::Decimal(b"1.5".as_slice().into())),
            Value::Decimal(b"-1.5".as_slice().into())
        );
        assert_eq!(negate(Value::Null), Value::Null);
    }
}
