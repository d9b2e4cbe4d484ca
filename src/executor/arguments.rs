//! The values of a statement's arguments for the engine: literals in its text, or bound parameters.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::job::{Execution, Job};
use crate::engine;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::sql::{Arg, ArgKind, LexOptions, Lexed, LiteralError, SqlMode, arg_value};
use crate::value::{Value, ValueRef};
use crate::wire::Malformed;

/// What becomes of the `?` of a prepared statement in texts that are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholders {
    /// Their values are put in: the text is sent as a plain query.
    Inline,
    /// They stay: the text is prepared, and the values follow in the execution.
    Keep,
}

/// Where a statement's arguments are found.
pub(super) struct Arguments<'a> {
    text: &'a [u8],
    lexed: &'a Lexed,
    options: LexOptions,
    execution: Option<Execution<'a>>,
    user_variables: Arc<HashMap<Box<str>, Value>>,
    placeholders: Placeholders,
}

impl<'a> Arguments<'a> {
    /// The arguments of the job's statement.
    pub(super) fn new(job: &Job<'a>, placeholders: Placeholders) -> Self {
        Self {
            text: job.text,
            lexed: job.lexed,
            options: job.session.settings.lex_options(),
            execution: job.execution,
            user_variables: job.session.user_variables.clone(),
            placeholders,
        }
    }

    /// The arguments of a text without parameters.
    pub(super) fn of_text(session: &Session, text: &'a [u8], lexed: &'a Lexed) -> Self {
        Self {
            text,
            lexed,
            options: session.settings.lex_options(),
            execution: None,
            user_variables: session.user_variables.clone(),
            placeholders: Placeholders::Inline,
        }
    }

    /// The statement's text with its parameters as literals, so far as they are wanted so.
    pub(super) fn inline(&self) -> Result<Cow<'a, [u8]>> {
        if self.execution.is_none() {
            return Ok(Cow::Borrowed(self.text));
        }
        let mut out = Vec::with_capacity(self.text.len() + 64);
        let mut copied = 0;
        for arg in &self.lexed.args {
            if matches!(arg.kind, ArgKind::Placeholder(_) | ArgKind::List { .. }) {
                out.extend_from_slice(self.text.get(copied..arg.span.range().start).unwrap_or_default());
                self.write_one(arg, &mut out)?;
                copied = arg.span.range().end;
            }
        }
        out.extend_from_slice(self.text.get(copied..).unwrap_or_default());
        Ok(Cow::Owned(out))
    }

    fn arg(&self, index: u32) -> Result<&Arg> {
        let unknown = || Error::bug(format!("the statement has no argument {index}"));
        self.lexed.args.get(index as usize).ok_or_else(unknown)
    }

    fn item(&self, index: u32, item: u32) -> Result<&Arg> {
        let items = match self.arg(index)?.kind {
            ArgKind::List { first, count } => self.lexed.items(first, count),
            _ => &[],
        };
        items.get(item as usize).ok_or_else(|| Error::bug(format!("argument {index} has no item {item}")))
    }

    fn value_of(&self, arg: &Arg) -> Result<Value> {
        match arg.kind {
            ArgKind::Placeholder(number) => self.parameter(number),
            ArgKind::UserVariable => Ok(self.user_variable(arg)),
            _ => {
                let mut scratch = Vec::new();
                let value = arg_value(self.text, arg, &self.options, &mut scratch);
                // Where a number is compared, 0x… is a number too; x'…' is one for MySQL and none for MariaDB.
                let is_number = arg.kind == ArgKind::Hex && arg.span.of(self.text).starts_with(b"0");
                let value = value.map(|value| match value {
                    ValueRef::Bytes(bytes) if is_number => ValueRef::Bit(bytes),
                    value => value,
                });
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

    fn user_variable(&self, arg: &Arg) -> Value {
        let source = arg.span.of(self.text).get(1..).unwrap_or_default();
        let name = crate::sql::ident::name_of(source).to_lowercase();
        self.user_variables.get(name.as_str()).cloned().unwrap_or_default()
    }

    fn parameter(&self, number: u16) -> Result<Value> {
        let execution = self.execution.ok_or_else(|| Error::bug("a placeholder without parameters"))?;
        let mut parameters = execution.parameters.iter(execution.long_data);
        let unknown = || Error::bug(format!("the statement has no parameter {number}"));
        let parameter = parameters.nth(number.into()).ok_or_else(unknown)?;
        let parameter = parameter.map_err(Malformed::into_client_error)?;
        let mut scratch = Vec::new();
        let value = parameter.decode(&mut scratch).map_err(Malformed::into_client_error)?;
        Ok(value.to_owned())
    }

    fn write_one(&self, arg: &Arg, out: &mut Vec<u8>) -> Result<()> {
        match arg.kind {
            ArgKind::Placeholder(_) if self.placeholders == Placeholders::Keep => out.push(b'?'),
            ArgKind::Placeholder(_) | ArgKind::UserVariable => {
                let plain = self.options.mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
                self.value_of(arg)?.as_ref().render_literal(out, plain);
            }
            ArgKind::List { first, count } => {
                let mut copied = arg.span.range().start;
                for item in self.lexed.items(first, count) {
                    if matches!(item.kind, ArgKind::Placeholder(_)) {
                        out.extend_from_slice(
                            self.text.get(copied..item.span.range().start).unwrap_or_default(),
                        );
                        self.write_one(item, out)?;
                        copied = item.span.range().end;
                    }
                }
                out.extend_from_slice(self.text.get(copied..arg.span.range().end).unwrap_or_default());
            }
            _ => out.extend_from_slice(arg.span.of(self.text)),
        }
        Ok(())
    }
}

impl engine::Arguments for Arguments<'_> {
    fn value(&self, index: u32) -> Result<Value> {
        self.value_of(self.arg(index)?)
    }

    fn write(&self, index: u32, out: &mut Vec<u8>) -> Result<()> {
        self.write_one(self.arg(index)?, out)
    }

    fn is_open(&self, index: u32) -> bool {
        self.execution.is_none() && self.arg(index).is_ok_and(is_placeholder)
    }

    fn is_item_open(&self, index: u32, item: u32) -> bool {
        self.execution.is_none() && self.item(index, item).is_ok_and(is_placeholder)
    }

    fn list_count(&self, index: u32) -> Result<u32> {
        match self.arg(index)?.kind {
            ArgKind::List { count, .. } => Ok(count),
            _ => Err(Error::bug(format!("argument {index} is no list"))),
        }
    }

    fn list_value(&self, index: u32, item: u32) -> Result<Value> {
        self.value_of(self.item(index, item)?)
    }

    fn write_list_item(&self, index: u32, item: u32, out: &mut Vec<u8>) -> Result<()> {
        self.write_one(self.item(index, item)?, out)
    }
}

fn is_placeholder(arg: &Arg) -> bool {
    matches!(arg.kind, ArgKind::Placeholder(_))
}
