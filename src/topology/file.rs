//! `topology.json`: its shape, and the rules that make a topology of it.
//!
//! ```json
//! { "cells": ["zone1"],
//!   "keyspaces": { "customer": { "db_name": "vt_customer", "shards": { "-80": { "tablets": [
//!     { "alias": "zone1-0000000100", "type": "PRIMARY", "hostname": "127.0.0.1", "mysql_port": 3306 } ] } } } } }
//! ```
//! This module reads and writes text only; where the text is kept is [`crate::store`]'s business.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::tablet::is_plain_name;
use super::{CellName, KeyRange, Keyspace, KeyspaceName, Shard, ShardName};
use super::{Tablet, TabletAddress, TabletAlias, TabletType, Topology};

/// MySQL's limit for the length of identifiers, in characters.
const IDENTIFIER_CHARS_MAX: usize = 64;

const DEFAULT_MYSQL_PORT: u16 = 3306;

const SYSTEM_SCHEMAS: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopologyFile {
    /// Names of cells; taken from the tablets' aliases when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<String>,
    /// Keyspaces by name, in the order of the file.
    #[serde(default, with = "named")]
    pub keyspaces: Vec<(String, KeyspaceFile)>,
}

/// One keyspace of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyspaceFile {
    /// The database on its servers; `vt_<keyspace>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// Shards by name.
    #[serde(default, with = "named")]
    pub shards: Vec<(String, ShardFile)>,
}

/// One shard of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardFile {
    /// Whether the shard takes part in routing by keyspace id; true when absent.
    #[serde(default = "serving", skip_serializing_if = "bool::clone")]
    pub serving: bool,
    /// Its servers.
    #[serde(default)]
    pub tablets: Vec<TabletFile>,
}

/// One server of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TabletFile {
    /// `<cell>-<uid>`.
    pub alias: String,
    /// PRIMARY (or MASTER), REPLICA, RDONLY, SPARE, DRAINED, in any case.
    #[serde(rename = "type")]
    pub tablet_type: String,
    /// Name or address; required without `socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// 3306 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql_port: Option<u16>,
    /// Path of a Unix socket, used in place of host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

/// Everything that is wrong with a topology, each with its place and its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyError {
    /// At least one; each names keyspace, shard and tablet as far as they apply.
    pub problems: Vec<String>,
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for TopologyError {}

const fn serving() -> bool {
    true
}

impl Default for ShardFile {
    fn default() -> Self {
        Self { serving: true, tablets: Vec::new() }
    }
}

impl TopologyFile {
    /// Reads JSON text. Unknown and repeated keys are errors, with their line.
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        serde_json::from_str(text).map_err(|error| TopologyError { problems: vec![error.to_string()] })
    }

    /// Checks every rule and makes the topology.
    pub fn build(&self) -> Result<Topology, TopologyError> {
        let mut builder = Builder::new(&self.cells);
        let mut keyspaces: Vec<_> =
            self.keyspaces.iter().map(|(name, keyspace)| builder.keyspace(name, keyspace)).collect();
        let Builder { mut cells, problems, .. } = builder;
        if !problems.is_empty() {
            return Err(TopologyError { problems });
        }
        keyspaces.sort_by(|a, b| a.name().cmp(b.name()));
        cells.sort();
        Ok(Topology { cells, keyspaces })
    }
}

/// Collects problems, so that one reading of the file tells them all.
struct Builder<'a> {
    cells: Vec<CellName>,
    /// Cells come from the tablets.
    cells_open: bool,
    aliases: HashMap<TabletAlias, (&'a str, &'a str)>,
    problems: Vec<String>,
}

impl<'a> Builder<'a> {
    fn new(names: &[String]) -> Self {
        let mut builder = Self {
            cells: Vec::new(),
            cells_open: names.is_empty(),
            aliases: HashMap::new(),
            problems: vec![],
        };
        for name in names {
            if !is_plain_name(name) {
                builder.problems.push(format!("cell {name:?}: {NAME_RULE}"));
            } else if builder.cells.iter().any(|cell| *cell == name.as_str()) {
                builder.problems.push(format!("cell {name}: listed twice"));
            } else {
                builder.cells.push(name.as_str().into());
            }
        }
        builder
    }

    fn keyspace(&mut self, name: &'a str, file: &'a KeyspaceFile) -> Keyspace {
        let place = format!("keyspace {name}");
        if !is_plain_name(name) || name.chars().count() > IDENTIFIER_CHARS_MAX {
            self.problem(&place, &format!("{NAME_RULE}, at most {IDENTIFIER_CHARS_MAX} characters"));
        } else if SYSTEM_SCHEMAS.iter().any(|system| name.eq_ignore_ascii_case(system)) {
            self.problem(&place, "the name belongs to a system schema of MySQL");
        }
        let db_name = file.db_name.clone().unwrap_or_else(|| format!("vt_{name}"));
        let too_long = db_name.chars().count() > IDENTIFIER_CHARS_MAX;
        if db_name.is_empty() || too_long || db_name.contains(|c: char| c.is_control()) {
            self.problem(
                &place,
                &format!("db_name must have 1 to {IDENTIFIER_CHARS_MAX} printable characters"),
            );
        }
        let keyspace = KeyspaceName::from(name);
        let shards: Vec<_> =
            file.shards.iter().filter_map(|(shard, file)| self.shard(&keyspace, name, shard, file)).collect();
        self.coverage(&place, &shards);
        Keyspace::new(keyspace, &db_name, shards)
    }

    fn shard(
        &mut self,
        keyspace: &KeyspaceName,
        ks: &'a str,
        name: &'a str,
        file: &'a ShardFile,
    ) -> Option<Shard> {
        let place = format!("keyspace {keyspace}, shard {name}");
        if !is_plain_name(name) {
            self.problem(&place, NAME_RULE);
            return None;
        }
        let shard_name = ShardName::from(name);
        let key_range = match shard_name.key_range() {
            Ok(key_range) => key_range,
            Err(error) => {
                self.problem(&place, &error.to_string());
                return None;
            }
        };
        if name.contains('-') && name.contains(|c: char| c.is_ascii_uppercase()) {
            self.problem(&place, "the name must be in lower case");
        }
        let mut tablets: Vec<Arc<Tablet>> = Vec::new();
        for file in &file.tablets {
            let Some(tablet) = self.tablet(keyspace, &shard_name, (ks, name), file) else { continue };
            let is_primary = |tablet: &Tablet| tablet.tablet_type == TabletType::Primary;
            if let Some(other) = tablets.iter().find(|other| is_primary(other) && is_primary(&tablet)) {
                let rule = format!("{} is PRIMARY too; a shard has one", other.alias);
                self.problem(&format!("{place}, tablet {}", tablet.alias), &rule);
            }
            tablets.push(Arc::new(tablet));
        }
        Some(Shard {
            keyspace: keyspace.clone(),
            name: shard_name,
            key_range,
            serving: file.serving,
            tablets,
        })
    }

    fn tablet(
        &mut self,
        keyspace: &KeyspaceName,
        shard: &ShardName,
        names: (&'a str, &'a str),
        file: &TabletFile,
    ) -> Option<Tablet> {
        let place = format!("keyspace {keyspace}, shard {shard}, tablet {}", file.alias);
        let alias = match TabletAlias::parse(&file.alias) {
            Ok(alias) => alias,
            Err(error) => {
                self.problem(&place, &error.to_string());
                return None;
            }
        };
        if let Some((keyspace, shard)) = self.aliases.insert(alias.clone(), names) {
            self.problem(&place, &format!("the alias is also used in keyspace {keyspace}, shard {shard}"));
        }
        if self.cells_open && !self.cells.contains(&alias.cell) {
            self.cells.push(alias.cell.clone());
        } else if !self.cells.contains(&alias.cell) {
            self.problem(&place, &format!("its cell {} is not in \"cells\"", alias.cell));
        }
        let known = TabletType::parse(&file.tablet_type).filter(|kind| *kind != TabletType::Unknown);
        if known.is_none() {
            let rule = "must be PRIMARY (or MASTER), REPLICA, RDONLY, SPARE or DRAINED";
            self.problem(&place, &format!("type {:?} {rule}", file.tablet_type));
        }
        let address = self.address(&place, file)?;
        let hostname = file.hostname.clone().unwrap_or_else(|| "localhost".to_owned());
        let (keyspace, shard) = (keyspace.clone(), shard.clone());
        Some(Tablet { alias, keyspace, shard, tablet_type: known?, address, hostname })
    }

    fn address(&mut self, place: &str, file: &TabletFile) -> Option<TabletAddress> {
        let rule = match (&file.socket, file.hostname.as_deref(), file.mysql_port) {
            (Some(_), _, Some(_)) => "give socket, or hostname and mysql_port, not both",
            (Some(path), _, None) if path.as_os_str().is_empty() => "socket is empty",
            (Some(path), _, None) => return Some(TabletAddress::Unix(path.clone())),
            (None, None, _) => "give hostname (and mysql_port), or socket",
            (None, Some(""), _) => "hostname is empty",
            (None, _, Some(0)) => "mysql_port must be 1 to 65535",
            (None, Some(name), _) if name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                "hostname contains white space"
            }
            (None, Some(hostname), port) => {
                let port = port.unwrap_or(DEFAULT_MYSQL_PORT);
                return Some(TabletAddress::Tcp { hostname: hostname.to_owned(), port });
            }
        };
        self.problem(place, rule);
        None
    }

    /// The serving shards must cover the key space without gap or overlap.
    fn coverage(&mut self, place: &str, shards: &[Shard]) {
        let mut serving: Vec<&Shard> = shards.iter().filter(|shard| shard.serving).collect();
        serving
            .sort_by(|a, b| a.key_range.start().cmp(b.key_range.start()).then_with(|| a.name.cmp(&b.name)));
        let (Some(first), Some(last)) = (serving.first(), serving.last()) else {
            return;
        };
        if !first.key_range.start().is_minimum() {
            let gap = KeyRange::new(Default::default(), Some(first.key_range.start().clone()));
            self.problem(place, &format!("no serving shard covers {gap}, before shard {}", first.name));
        }
        for pair in serving.windows(2) {
            let (left, right) = (pair[0], pair[1]);
            let start = right.key_range.start();
            match left.key_range.end() {
                Some(end) if end == start => {}
                Some(end) if end < start => {
                    let gap = KeyRange::new(end.clone(), Some(start.clone()));
                    let rule = format!(
                        "no serving shard covers {gap}, between shards {} and {}",
                        left.name, right.name
                    );
                    self.problem(place, &rule);
                }
                _ => {
                    let remedy = "mark one with \"serving\": false";
                    let rule = format!("serving shards {} and {} overlap; {remedy}", left.name, right.name);
                    self.problem(place, &rule);
                }
            }
        }
        // An overlapped shard may reach further than the last one; that problem is named already.
        if let Some(end) =
            last.key_range.end().filter(|_| serving.iter().all(|s| s.key_range.end().is_some()))
        {
            let gap = KeyRange::new(end.clone(), None);
            self.problem(place, &format!("no serving shard covers {gap}, after shard {}", last.name));
        }
    }

    fn problem(&mut self, place: &str, rule: &str) {
        self.problems.push(format!("{place}: {rule}"));
    }
}

const NAME_RULE: &str = "a name must not be empty nor contain white space, quotes or any of / : @ | [ ]";

/// JSON objects as lists of pairs: the order is kept, and a name given twice is an error.
mod named {
    use std::marker::PhantomData;

    use serde::ser::{SerializeMap, Serializer};

    use super::*;

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        entries: &[(String, T)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(entries.len()))?;
        for (name, value) in entries {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<(String, T)>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a name for each entry")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut seen = std::collections::HashSet::new();
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("{name:?} is given twice")));
                    }
                    entries.push((name, map.next_value()?));
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIGN: &str = r#"{ "cells": ["zone1"],
      "keyspaces": {
        "customer": {
          "shards": {
            "80-": { "tablets": [
              { "alias": "zone1-0001302000", "type": "MASTER", "socket": "/run/a.sock" } ] },
            "-": { "serving": false },
            "-80": { "tablets": [
              { "alias": "zone1-0120139806", "type": "PRIMARY", "hostname": "127.0.0.1", "mysql_port": 17200 },
              { "alias": "zone1-2289928654", "type": "replica", "hostname": "db2" } ] } } },
        "commerce": { "db_name": "shop", "shards": { "0": {} } } } }"#;

    fn check_error(text: &str, expected: &str) {
        let error = TopologyFile::parse(text).and_then(|file| file.build()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_good_file() {
        let topology = TopologyFile::parse(DESIGN).unwrap().build().unwrap();
        let names: Vec<_> = topology.keyspaces().iter().map(|keyspace| keyspace.name().as_str()).collect();
        assert_eq!(names, ["commerce", "customer"]);
        assert_eq!(topology.keyspace("commerce").unwrap().db_name(), "shop");
        let customer = topology.keyspace("customer").unwrap();
        assert_eq!(customer.db_name(), "vt_customer");
        assert_eq!(customer.shards().len(), 2);
        let addresses: Vec<_> = topology.tablets().map(|tablet| tablet.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:17200", "db2:3306", "/run/a.sock"]);
        let alias = TabletAlias::parse("zone1-1302000").unwrap();
        assert_eq!(topology.tablet(&alias).unwrap().tablet_type, TabletType::Primary);
        assert!(topology.keyspace("Customer").is_none());
    }

    #[test]
    fn a_file_survives_writing() {
        let file = TopologyFile::parse(DESIGN).unwrap();
        let text = serde_json::to_string_pretty(&file).unwrap();
        assert_eq!(TopologyFile::parse(&text).unwrap(), file);
    }

    #[test]
    fn json_errors_name_the_line() {
        check_error(
            "{\n\"cell\": []}",
            "unknown field `cell`, expected `cells` or `keyspaces` at line 2 column 6",
        );
        check_error(r#"{"keyspaces": {"a": {}, "a": {}}}"#, r#""a" is given twice at line 1 column 27"#);
    }

    fn with_shards(shards: &str) -> String {
        format!(r#"{{"cells": ["z"], "keyspaces": {{"ks": {{"shards": {{{shards}}}}}}}}}"#)
    }

    #[test]
    fn gaps_and_overlaps_are_named() {
        let check = |shards: &[&str], expected: &str| {
            let shards: Vec<_> = shards.iter().map(|name| format!(r#""{name}": {{}}"#)).collect();
            check_error(&with_shards(&shards.join(",")), expected);
        };
        check(&["80-"], "keyspace ks: no serving shard covers -80, before shard 80-");
        check(&["-80"], "keyspace ks: no serving shard covers 80-, after shard -80");
        check(&["-40", "80-"], "keyspace ks: no serving shard covers 40-80, between shards -40 and 80-");
        let overlap = "overlap; mark one with \"serving\": false";
        check(&["-80", "40-"], &format!("keyspace ks: serving shards -80 and 40- {overlap}"));
        check(&["-", "0"], &format!("keyspace ks: serving shards - and 0 {overlap}"));
        check(&["-", "-80", "80-"], &format!("keyspace ks: serving shards - and -80 {overlap}"));
        check(
            &["x-80"],
            "keyspace ks, shard x-80: key range x-80: bounds must be pairs of hexadecimal digits",
        );
        check(&["-C0", "c0-"], "keyspace ks, shard -C0: the name must be in lower case");
    }

    #[test]
    fn tablets_are_checked() {
        let check = |tablets: &str, expected: &str| {
            let text = with_shards(&format!(r#""0": {{"tablets": [{tablets}]}}"#));
            check_error(&text, &format!("keyspace ks, shard 0, tablet {expected}"));
        };
        check(r#"{"alias": "z-1", "type": "REPLICA"}"#, "z-1: give hostname (and mysql_port), or socket");
        check(
            r#"{"alias": "z-1", "type": "SLAVE", "hostname": "h"}"#,
            "z-1: type \"SLAVE\" must be PRIMARY (or MASTER), REPLICA, RDONLY, SPARE or DRAINED",
        );
        check(
            r#"{"alias": "z-1", "type": "REPLICA", "hostname": "h", "mysql_port": 0}"#,
            "z-1: mysql_port must be 1 to 65535",
        );
        check(
            r#"{"alias": "z-1", "type": "REPLICA", "socket": "/s", "mysql_port": 1}"#,
            "z-1: give socket, or hostname and mysql_port, not both",
        );
        check(
            r#"{"alias": "y-1", "type": "REPLICA", "hostname": "h"}"#,
            "y-1: its cell y is not in \"cells\"",
        );
        check(
            r#"{"alias": "z-1", "type": "MASTER", "hostname": "h"}, {"alias": "z-2", "type": "PRIMARY", "hostname": "h"}"#,
            "z-0000000002: z-0000000001 is PRIMARY too; a shard has one",
        );
        check(
            r#"{"alias": "z-1", "type": "REPLICA", "hostname": "h"}, {"alias": "z-01", "type": "REPLICA", "hostname": "h"}"#,
            "z-01: the alias is also used in keyspace ks, shard 0",
        );
    }

    #[test]
    fn names_are_checked() {
        let check = |text: &str, expected: &str| check_error(text, expected);
        check(
            r#"{"keyspaces": {"a:b": {}}}"#,
            "keyspace a:b: a name must not be empty nor contain white space, quotes or any of / : @ | [ ], at most 64 characters",
        );
        check(
            r#"{"keyspaces": {"MySQL": {}}}"#,
            "keyspace MySQL: the name belongs to a system schema of MySQL",
        );
        check(
            r#"{"cells": ["a", "a"], "keyspaces": {"k": {"db_name": ""}}}"#,
            "cell a: listed twice; keyspace k: db_name must have 1 to 64 printable characters",
        );
    }
}
