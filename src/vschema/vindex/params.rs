//! Parameters of a vindex: read once, each by name, so that the unknown ones are known at the end.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// The parameters given in a VSchema.
pub(super) struct Params<'a> {
    given: &'a BTreeMap<String, String>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Params<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>) -> Self {
        Self { given, asked: RefCell::new(Vec::new()) }
    }

    pub(super) fn get(&self, name: &'static str) -> Option<&'a str> {
        self.asked.borrow_mut().push(name);
        self.given.get(name).map(String::as_str)
    }

    /// A parameter that must be given.
    pub(super) fn required(&self, name: &'static str) -> Result<&'a str, String> {
        self.get(name).filter(|text| !text.is_empty()).ok_or_else(|| format!("missing param {name}"))
    }

    /// `"true"` or `"false"`, as text.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, String> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(format!("{name} value must be 'true' or 'false': '{other}'")),
        }
    }

    /// Names that were given but never asked for, sorted.
    pub(super) fn unknown(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        self.given.keys().filter(|name| !asked.contains(&name.as_str())).cloned().collect()
    }

    /// What is given.
    pub(super) fn all(&self) -> &'a BTreeMap<String, String> {
        self.given
    }

    /// Makes every name known.
    pub(super) fn accept_all(&mut self) {
        self.given = const { &BTreeMap::new() };
    }
}
