//! Reading fields of JSON objects the way protobuf's JSON mapping does, with warnings for unknown ones.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::{ModelError, Warnings};
use crate::vschema::ColumnType;

/// Warnings kept for one file; a file of another kind has thousands of unknown fields.
const WARNINGS_MAX: usize = 100;

/// The object itself, or an error that names the place.
pub(super) fn as_object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, ModelError> {
    value.as_object().ok_or_else(|| wrong(place, "an object", value))
}

/// `null`, `""`, `[]`, `{}`, `0` and `false` all stand for "not given".
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn wrong(place: &str, expected: &str, value: &Value) -> ModelError {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {:?}", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    ModelError(format!("{place} must be {expected}, not {found}"))
}

/// The fields of one object, each to be asked for once.
pub(super) struct Fields<'a> {
    place: String,
    fields: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(place: String, fields: &'a Map<String, Value>) -> Self {
        Self { place, fields, known: Vec::new() }
    }

    /// The field, under its snake-case or camel-case name; nothing if it is empty.
    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        let value = self.fields.get(name).or_else(|| self.fields.get(&camel_case(name)))?;
        (!is_empty(value)).then_some(value)
    }

    fn wrong(&self, name: &str, expected: &str, value: &Value) -> ModelError {
        wrong(&format!("{}: {name}", self.place), expected, value)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<String, ModelError> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.wrong(name, "a string", other)),
        }
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, ModelError> {
        let items = self.items(name)?;
        let text = |item: &Value| item.as_str().map(str::to_owned);
        items
            .iter()
            .map(|item| text(item).ok_or_else(|| self.wrong(name, "a list of strings", item)))
            .collect()
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, ModelError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(name, "true or false", other)),
        }
    }

    pub(super) fn optional_flag(&mut self, name: &'static str) -> Result<Option<bool>, ModelError> {
        let given = self.fields.get(name).or_else(|| self.fields.get(&camel_case(name)));
        let is_given = given.is_some_and(Value::is_boolean);
        let flag = self.flag(name)?;
        Ok(is_given.then_some(flag))
    }

    pub(super) fn number(&mut self, name: &'static str) -> Result<u32, ModelError> {
        let Some(value) = self.get(name) else { return Ok(0) };
        // Protobuf's JSON writes some numbers as strings.
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        number.and_then(|n| u32::try_from(n).ok()).ok_or_else(|| self.wrong(name, "a number", value))
    }

    pub(super) fn fraction(&mut self, name: &'static str) -> Result<f64, ModelError> {
        let Some(value) = self.get(name) else { return Ok(0.0) };
        value.as_f64().ok_or_else(|| self.wrong(name, "a number", value))
    }

    pub(super) fn one_of<T: Copy + Default>(
        &mut self,
        name: &'static str,
        choices: &[(&str, u64, T)],
    ) -> Result<T, ModelError> {
        let Some(value) = self.get(name) else { return Ok(T::default()) };
        let found = choices.iter().find(|(word, number, _)| {
            value.as_u64() == Some(*number)
                || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word))
        });
        found.map(|(_, _, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, ..)| *word).collect();
            self.wrong(name, &format!("one of {}", words.join(", ")), value)
        })
    }

    pub(super) fn column_type(&mut self, name: &'static str) -> Result<ColumnType, ModelError> {
        let Some(value) = self.get(name) else { return Ok(ColumnType::default()) };
        let found = match value {
            Value::String(text) => ColumnType::parse(text),
            other => other.as_u64().and_then(ColumnType::from_number),
        };
        found.ok_or_else(|| self.wrong(name, "a column type such as INT64 or VARCHAR", value))
    }

    fn items(&mut self, name: &'static str) -> Result<&'a [Value], ModelError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(name, "a list", other)),
        }
    }

    /// A list of objects; their place is `<this place>: <name>[<index>]`.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value, &str, Warnings<'_>) -> Result<T, ModelError>,
        warnings: Warnings<'_>,
    ) -> Result<Vec<T>, ModelError> {
        let items = self.items(name)?.iter().enumerate();
        items.map(|(index, item)| read(item, &format!("{}: {name}[{index}]", self.place), warnings)).collect()
    }

    /// An object of objects, by name; `read` is given the name.
    pub(super) fn map<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value, &str, Warnings<'_>) -> Result<T, ModelError>,
        warnings: Warnings<'_>,
    ) -> Result<BTreeMap<String, T>, ModelError> {
        match self.get(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(entries)) => {
                let entries = entries.iter();
                entries.map(|(key, value)| Ok((key.clone(), read(value, key, warnings)?))).collect()
            }
            Some(other) => Err(self.wrong(name, "an object", other)),
        }
    }

    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value, &str, Warnings<'_>) -> Result<T, ModelError>,
        warnings: Warnings<'_>,
    ) -> Result<Option<T>, ModelError> {
        let place = format!("{}: {name}", self.place);
        self.get(name).map(|value| read(value, &place, warnings)).transpose()
    }

    /// `{"rules": […]}`, the form of every kind of rule.
    pub(super) fn rules<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value, &str, Warnings<'_>) -> Result<T, ModelError>,
        warnings: Warnings<'_>,
    ) -> Result<Vec<T>, ModelError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let mut fields = Fields::new(name.replace('_', " "), as_object(value, name)?);
        let rules = fields.list("rules", read, warnings)?;
        fields.finish(warnings);
        Ok(rules)
    }

    /// Warns of fields that nobody asked for.
    pub(super) fn finish(self, warnings: Warnings<'_>) {
        for name in self.fields.keys() {
            let known = self.known.iter().any(|known| *known == name || camel_case(known) == *name);
            if !known && warnings.len() < WARNINGS_MAX {
                warnings.push(format!("{}: unknown field {name:?} is ignored", self.place));
            }
        }
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        text.push_str(&first.to_ascii_uppercase());
        text.push_str(rest);
    }
    text
}

/// Writes rules in the form that [`Fields::rules`] reads.
pub(super) fn rules<T: Serialize, S: Serializer>(rules: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("rules", rules)?;
    map.end()
}
