//! The shape of VSchema files: Vitess's own JSON, read as tolerantly as Vitess reads it.
//!
//! Field names may be `snake_case` or `lowerCamelCase`, enums names or numbers, and empty fields `null`, `""`,
//! `[]`, `{}` or `0`. Unknown fields are dropped, as in Vitess, but each leaves a warning. What the fields mean
//! together is checked in [`super::build`].

mod json;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use self::json::{Fields, as_object, is_empty};
use super::ColumnType;

/// The VSchema of all keyspaces (Vitess's `SrvVSchema`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Model {
    /// Keyspaces by name.
    pub keyspaces: BTreeMap<String, KeyspaceModel>,
    /// Table routing rules.
    #[serde(serialize_with = "json::rules", skip_serializing_if = "Vec::is_empty")]
    pub routing_rules: Vec<RoutingRule>,
    /// Shard routing rules.
    #[serde(serialize_with = "json::rules", skip_serializing_if = "Vec::is_empty")]
    pub shard_routing_rules: Vec<ShardRoutingRule>,
    /// Keyspace routing rules.
    #[serde(serialize_with = "json::rules", skip_serializing_if = "Vec::is_empty")]
    pub keyspace_routing_rules: Vec<KeyspaceRoutingRule>,
    /// Mirror rules.
    #[serde(serialize_with = "json::rules", skip_serializing_if = "Vec::is_empty")]
    pub mirror_rules: Vec<MirrorRule>,
}

/// One keyspace's VSchema.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KeyspaceModel {
    /// Whether rows are spread by vindexes.
    #[serde(skip_serializing_if = "is_default")]
    pub sharded: bool,
    /// Vindexes by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vindexes: BTreeMap<String, VindexModel>,
    /// Tables by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableModel>,
    /// Whether unqualified names never mean this keyspace's tables.
    #[serde(skip_serializing_if = "is_default")]
    pub require_explicit_routing: bool,
    /// Who checks foreign keys.
    #[serde(skip_serializing_if = "is_default")]
    pub foreign_key_mode: ForeignKeyMode,
    /// Used by imports of many tenants only; kept for writing back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_tenant_spec: Option<MultiTenantSpec>,
}

/// Who checks foreign keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeyMode {
    /// The same as unmanaged.
    #[default]
    Unspecified,
    /// Foreign keys may not be made.
    Disallow,
    /// The servers.
    Unmanaged,
    /// The router.
    Managed,
}

/// How tenants are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MultiTenantSpec {
    /// Name of the tenants' column.
    pub tenant_id_column_name: String,
    /// Its type.
    pub tenant_id_column_type: ColumnType,
}

/// A vindex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VindexModel {
    /// Name of the algorithm.
    #[serde(rename = "type")]
    pub vindex_type: String,
    /// Its parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The table whose rows a lookup vindex follows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableModel {
    /// Empty, `sequence` or `reference`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub table_type: String,
    /// The columns that decide where rows are; the first is the primary vindex.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub column_vindexes: Vec<ColumnVindexModel>,
    /// A column filled from a sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_increment: Option<AutoIncrementModel>,
    /// Known columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnModel>,
    /// Keyspace id, in hexadecimal, where the whole table is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned: String,
    /// Whether `columns` is complete.
    #[serde(skip_serializing_if = "is_default")]
    pub column_list_authoritative: bool,
    /// `keyspace.table` that a reference table is a copy of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// The use of a vindex for columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ColumnVindexModel {
    /// The single column, in the older form.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub column: String,
    /// The vindex.
    pub name: String,
    /// The columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

/// A column filled from a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AutoIncrementModel {
    /// The column.
    pub column: String,
    /// `sequence` or `keyspace.sequence`.
    pub sequence: String,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ColumnModel {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub column_type: ColumnType,
    /// Whether `*` leaves it out.
    #[serde(skip_serializing_if = "is_default")]
    pub invisible: bool,
    /// SQL text of its default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default: String,
    /// Its collation.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub collation_name: String,
    /// Its length.
    #[serde(skip_serializing_if = "is_default")]
    pub size: u32,
    /// Its digits behind the point.
    #[serde(skip_serializing_if = "is_default")]
    pub scale: u32,
    /// Whether it may be NULL; absent means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nullable: Option<bool>,
    /// Members of an ENUM or SET.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// Sends a table name elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoutingRule {
    /// `[keyspace.]table[@type]`.
    pub from_table: String,
    /// Empty (the table is disabled) or one `keyspace.table`.
    pub to_tables: Vec<String>,
}

/// Sends a shard's statements to another keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShardRoutingRule {
    /// The keyspace named.
    pub from_keyspace: String,
    /// The keyspace meant.
    pub to_keyspace: String,
    /// The shard it is about.
    pub shard: String,
}

/// Sends a keyspace's statements to another keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyspaceRoutingRule {
    /// `keyspace[@type]` named.
    pub from_keyspace: String,
    /// The keyspace meant.
    pub to_keyspace: String,
}

/// Repeats a share of a table's reads elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MirrorRule {
    /// `keyspace.table[@type]`.
    pub from_table: String,
    /// `keyspace.table`.
    pub to_table: String,
    /// 0 to 100.
    pub percent: f64,
}

/// Text that is no VSchema, with the place in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// What a file holds, by its form.
#[derive(Clone, Debug, PartialEq)]
pub enum FileModel {
    /// All keyspaces.
    All(Model),
    /// One keyspace, whose name the file does not tell.
    Keyspace(KeyspaceModel),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl FileModel {
    /// Reads a file of either form; `name` is what a single keyspace is called in messages. Warnings are added
    /// to `warnings`.
    pub fn parse(text: &str, name: &str, warnings: &mut Vec<String>) -> Result<Self, ModelError> {
        let value = parse_json(text)?;
        if value.get("keyspaces").is_some() {
            Model::read(&value, warnings).map(Self::All)
        } else {
            KeyspaceModel::read(&value, name, warnings).map(Self::Keyspace)
        }
    }
}

impl Model {
    /// Reads the form of all keyspaces.
    pub fn parse(text: &str, warnings: &mut Vec<String>) -> Result<Self, ModelError> {
        Self::read(&parse_json(text)?, warnings)
    }

    /// Reads `routing_rules.json` into this model. Besides Vitess's `{"rules": […]}` of table rules, the file
    /// may hold the fields of `SrvVSchema`: `routing_rules`, `keyspace_routing_rules`, ….
    pub fn parse_rules(&mut self, text: &str, warnings: &mut Vec<String>) -> Result<(), ModelError> {
        let value = parse_json(text)?;
        if value.get("rules").is_some() {
            let mut fields = Fields::new("routing rules".to_owned(), as_object(&value, "routing rules")?);
            self.routing_rules = fields.list("rules", RoutingRule::read, warnings)?;
            fields.finish(warnings);
            return Ok(());
        }
        let rules = Self::read(&value, warnings)?;
        self.routing_rules = rules.routing_rules;
        self.shard_routing_rules = rules.shard_routing_rules;
        self.keyspace_routing_rules = rules.keyspace_routing_rules;
        self.mirror_rules = rules.mirror_rules;
        Ok(())
    }

    fn read(value: &Value, warnings: &mut Vec<String>) -> Result<Self, ModelError> {
        let mut fields = Fields::new("vschema".to_owned(), as_object(value, "vschema")?);
        let keyspaces = fields.map("keyspaces", KeyspaceModel::read, warnings)?;
        let model = Self {
            keyspaces,
            routing_rules: fields.rules("routing_rules", RoutingRule::read, warnings)?,
            shard_routing_rules: fields.rules("shard_routing_rules", ShardRoutingRule::read, warnings)?,
            keyspace_routing_rules: fields.rules(
                "keyspace_routing_rules",
                KeyspaceRoutingRule::read,
                warnings,
            )?,
            mirror_rules: fields.rules("mirror_rules", MirrorRule::read, warnings)?,
        };
        fields.finish(warnings);
        Ok(model)
    }
}

fn parse_json(text: &str) -> Result<Value, ModelError> {
    serde_json::from_str(text).map_err(|error| ModelError(format!("no valid JSON: {error}")))
}

type Warnings<'a> = &'a mut Vec<String>;

impl KeyspaceModel {
    /// Reads one keyspace's file.
    pub fn parse(text: &str, name: &str, warnings: &mut Vec<String>) -> Result<Self, ModelError> {
        Self::read(&parse_json(text)?, name, warnings)
    }

    fn read(value: &Value, name: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let place = format!("keyspace {name}");
        let mut fields = Fields::new(place.clone(), as_object(value, &place)?);
        let modes = [
            ("unspecified", 0, ForeignKeyMode::Unspecified),
            ("disallow", 1, ForeignKeyMode::Disallow),
            ("unmanaged", 2, ForeignKeyMode::Unmanaged),
            ("managed", 3, ForeignKeyMode::Managed),
        ];
        let keyspace = Self {
            sharded: fields.flag("sharded")?,
            vindexes: fields.map(
                "vindexes",
                |value, name, warnings| {
                    VindexModel::read(value, &format!("{place}, vindex {name}"), warnings)
                },
                warnings,
            )?,
            tables: fields.map(
                "tables",
                |value, name, warnings| TableModel::read(value, &format!("{place}, table {name}"), warnings),
                warnings,
            )?,
            require_explicit_routing: fields.flag("require_explicit_routing")?,
            foreign_key_mode: fields.one_of("foreign_key_mode", &modes)?,
            multi_tenant_spec: fields.optional("multi_tenant_spec", MultiTenantSpec::read, warnings)?,
        };
        fields.finish(warnings);
        Ok(keyspace)
    }
}

impl MultiTenantSpec {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let spec = Self {
            tenant_id_column_name: fields.text("tenant_id_column_name")?,
            tenant_id_column_type: fields.column_type("tenant_id_column_type")?,
        };
        fields.finish(warnings);
        Ok(spec)
    }
}

impl VindexModel {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let read_param = |value: &Value, name: &str, _: Warnings<'_>| match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(ModelError(format!("{place}: parameter {name} must be a string, in quotes"))),
        };
        let vindex = Self {
            vindex_type: fields.text("type")?,
            params: fields.map("params", read_param, warnings)?,
            owner: fields.text("owner")?,
        };
        fields.finish(warnings);
        Ok(vindex)
    }
}

impl TableModel {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        // Vitess's own tests have tables written as `"t": ""`.
        if is_empty(value) {
            return Ok(Self::default());
        }
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let table = Self {
            table_type: fields.text("type")?,
            column_vindexes: fields.list("column_vindexes", ColumnVindexModel::read, warnings)?,
            auto_increment: fields.optional("auto_increment", AutoIncrementModel::read, warnings)?,
            columns: fields.list("columns", ColumnModel::read, warnings)?,
            pinned: fields.text("pinned")?,
            column_list_authoritative: fields.flag("column_list_authoritative")?,
            source: fields.text("source")?,
        };
        fields.finish(warnings);
        Ok(table)
    }
}

impl ColumnVindexModel {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let vindex = Self {
            column: fields.text("column")?,
            name: fields.text("name")?,
            columns: fields.texts("columns")?,
        };
        fields.finish(warnings);
        Ok(vindex)
    }
}

impl AutoIncrementModel {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let increment = Self { column: fields.text("column")?, sequence: fields.text("sequence")? };
        fields.finish(warnings);
        Ok(increment)
    }
}

impl ColumnModel {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let column = Self {
            name: fields.text("name")?,
            column_type: fields.column_type("type")?,
            invisible: fields.flag("invisible")?,
            default: fields.text("default")?,
            collation_name: fields.text("collation_name")?,
            size: fields.number("size")?,
            scale: fields.number("scale")?,
            nullable: fields.optional_flag("nullable")?,
            values: fields.texts("values")?,
        };
        fields.finish(warnings);
        Ok(column)
    }
}

impl RoutingRule {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let rule = Self { from_table: fields.text("from_table")?, to_tables: fields.texts("to_tables")? };
        fields.finish(warnings);
        Ok(rule)
    }
}

impl ShardRoutingRule {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let rule = Self {
            from_keyspace: fields.text("from_keyspace")?,
            to_keyspace: fields.text("to_keyspace")?,
            shard: fields.text("shard")?,
        };
        fields.finish(warnings);
        Ok(rule)
    }
}

impl KeyspaceRoutingRule {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let rule =
            Self { from_keyspace: fields.text("from_keyspace")?, to_keyspace: fields.text("to_keyspace")? };
        fields.finish(warnings);
        Ok(rule)
    }
}

impl MirrorRule {
    fn read(value: &Value, place: &str, warnings: Warnings<'_>) -> Result<Self, ModelError> {
        let mut fields = Fields::new(place.to_owned(), as_object(value, place)?);
        let rule = Self {
            from_table: fields.text("from_table")?,
            to_table: fields.text("to_table")?,
            percent: fields.fraction("percent")?,
        };
        fields.finish(warnings);
        Ok(rule)
    }
}

#[cfg(test)]
mod tests;
