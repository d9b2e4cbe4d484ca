//! Words, names, literals and holes: what all parts of the rendering write.

use std::fmt::{self, Write};

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, OptimizerHint, Value};

use crate::sql::ast::MODIFIER;
use crate::sql::ident::quote_identifier;
use crate::sql::options::SqlMode;
use crate::sql::reserved::is_reserved;
use crate::sql::template::{Piece, Template, hole};
use crate::value::quote_string;

/// Collects text and holes.
pub(super) struct Writer {
    template: Template,
    text: Vec<u8>,
    pub(super) mode: SqlMode,
}

impl Writer {
    pub(super) fn new(mode: SqlMode) -> Self {
        Self { template: Template::new(), text: Vec::new(), mode }
    }

    pub(super) fn finish(mut self) -> Template {
        self.template.push_text(&self.text);
        self.template
    }

    /// Text as it is.
    pub(super) fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Anything that prints itself.
    pub(super) fn display(&mut self, item: impl fmt::Display) {
        let mut text = String::new();
        write!(text, "{item}").expect("writing to memory cannot fail");
        self.raw(&text);
    }

    pub(super) fn hole(&mut self, piece: Piece) {
        self.template.push_text(&self.text);
        self.text.clear();
        self.template.push(piece);
    }

    /// Items with `, ` between.
    pub(super) fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.raw(", ");
            }
            write(self, item);
        }
    }

    /// A name: as it was written where that is safe, in backquotes otherwise.
    pub(super) fn ident(&mut self, ident: &Ident) {
        if is_plain(ident) {
            self.raw(&ident.value);
        } else {
            quote_identifier(&ident.value, &mut self.text);
        }
    }

    /// A name that is quoted only if it was: a function's.
    pub(super) fn function_name(&mut self, name: &ObjectName) {
        for (index, part) in name.0.iter().enumerate() {
            if index > 0 {
                self.raw(".");
            }
            match part {
                ObjectNamePart::Identifier(ident) if ident.quote_style.is_none() => self.raw(&ident.value),
                ObjectNamePart::Identifier(ident) => quote_identifier(&ident.value, &mut self.text),
                other => self.display(other),
            }
        }
    }

    /// `a.b`.
    pub(super) fn object_name(&mut self, name: &ObjectName) {
        for (index, part) in name.0.iter().enumerate() {
            if index > 0 {
                self.raw(".");
            }
            match part {
                ObjectNamePart::Identifier(ident) => self.ident(ident),
                other => self.display(other),
            }
        }
    }

    /// A literal, or the hole that a placeholder names.
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Number(text, _) => self.raw(text),
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => self.string(text),
            Value::NationalStringLiteral(text) => {
                self.raw("N");
                self.string(text);
            }
            Value::HexStringLiteral(digits) => self.quoted_digits("x", digits),
            Value::SingleQuotedByteStringLiteral(digits) => self.quoted_digits("b", digits),
            Value::Boolean(true) => self.raw("TRUE"),
            Value::Boolean(false) => self.raw("FALSE"),
            Value::Null => self.raw("NULL"),
            Value::Placeholder(name) => match hole(name) {
                Some(piece) => self.hole(piece),
                None => self.raw(name),
            },
            other => self.display(other),
        }
    }

    /// A quoted string.
    pub(super) fn string(&mut self, text: &str) {
        let no_escapes = self.mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
        quote_string(text.as_bytes(), &mut self.text, no_escapes);
    }

    /// Hints and modifiers behind a verb, each with a blank in front.
    pub(super) fn hints(&mut self, hints: &[OptimizerHint]) {
        for hint in hints {
            if hint.prefix == MODIFIER {
                self.raw(" ");
                self.raw(&hint.text);
            } else {
                self.raw(" /*+");
                self.raw(&hint.text.replace("*/", ""));
                self.raw("*/");
            }
        }
    }

    fn quoted_digits(&mut self, letter: &str, digits: &str) {
        self.raw(letter);
        self.raw("'");
        self.raw(digits);
        self.raw("'");
    }
}

/// May the name stand without quotes?
fn is_plain(ident: &Ident) -> bool {
    let name = ident.value.as_str();
    if ident.quote_style.is_some() || name.is_empty() {
        return false;
    }
    if name.starts_with('@') || name == "DEFAULT" || name.eq_ignore_ascii_case("default") {
        return true;
    }
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii());
    is_word && !name.starts_with(|c: char| c.is_ascii_digit()) && !is_reserved(name)
}
