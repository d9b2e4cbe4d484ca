//! Values that routing needs: constants of the statement, or references to its arguments.

use std::fmt;

use crate::value::Value;

/// One value, known when the statement runs.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteValue {
    /// The statement's argument with this index: a literal that was lifted out, or a bound parameter.
    Arg(u32),
    /// A constant that stayed in the text.
    Literal(Value),
    /// The argument with its sign changed (`-5` is an operator and an argument).
    NegatedArg(u32),
}

/// A list of values, as in `IN (…)`.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteList {
    /// The statement's list argument with this index.
    Arg(u32),
    /// Values one by one.
    Values(Vec<RouteValue>),
}

/// What one column of a vindex may be equal to.
#[derive(Clone, Debug, PartialEq)]
pub enum Candidates {
    /// Any of several values.
    Many(RouteList),
    /// Exactly one value.
    One(RouteValue),
}

impl Candidates {
    /// Is it certainly one value?
    pub fn is_one(&self) -> bool {
        matches!(self, Self::One(_))
    }
}

impl fmt::Display for RouteValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arg(index) => write!(f, ":v{}", index + 1),
            Self::Literal(Value::Null) => f.write_str("NULL"),
            Self::Literal(value) => {
                let mut text = Vec::new();
                value.as_ref().render_literal(&mut text, false);
                f.write_str(&String::from_utf8_lossy(&text))
            }
            Self::NegatedArg(index) => write!(f, "-:v{}", index + 1),
        }
    }
}

impl fmt::Display for RouteList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arg(index) => write!(f, ":l{}", index + 1),
            Self::Values(values) => {
                f.write_str("(")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Many(list) => list.fmt(f),
            Self::One(value) => value.fmt(f),
        }
    }
}
