//! Routing and mirror rules: checked once, kept by the name they apply to. What is wrong with a rule surfaces
//! when its table is used.

use super::super::model::Model;
use super::super::schema::{Mirror, Rule, VSchema};
use super::split_qualified;
use crate::topology::TabletType;

/// Adds every rule of the model.
pub(super) fn add(model: &Model, vschema: &mut VSchema) {
    for rule in &model.routing_rules {
        let from = &rule.from_table;
        let resolved = if vschema.routing_rules.contains_key(from) {
            Rule::Invalid(format!("duplicate rule for entry {from}"))
        } else {
            match rule.to_tables.as_slice() {
                [] => Rule::Disabled,
                [to] => target(vschema, to),
                several => {
                    Rule::Invalid(format!("table {from} has more than one target: [{}]", several.join(" ")))
                }
            }
        };
        if let Rule::Invalid(error) = &resolved {
            vschema.warnings.push(format!("routing rule for {from}: {error}"));
        }
        vschema.routing_rules.insert(from.clone(), resolved);
    }
    for rule in &model.keyspace_routing_rules {
        let (from, to) = (rule.from_keyspace.clone(), rule.to_keyspace.as_str());
        if !vschema.keyspaces.contains_key(to) {
            vschema.warnings.push(format!("keyspace routing rule for {from}: keyspace {to} does not exist"));
        }
        if vschema.keyspace_rules.insert(from.clone(), to.into()).is_some() {
            vschema
                .warnings
                .push(format!("keyspace routing rule for {from}: duplicate rule, the last one holds"));
        }
    }
    for rule in &model.shard_routing_rules {
        let from = (rule.from_keyspace.as_str().into(), rule.shard.as_str().into());
        if vschema.shard_rules.insert(from, rule.to_keyspace.as_str().into()).is_some() {
            let (keyspace, shard) = (&rule.from_keyspace, &rule.shard);
            vschema.warnings.push(format!(
                "shard routing rule for {keyspace}.{shard}: duplicate rule, the last one holds"
            ));
        }
    }
    add_mirrors(model, vschema);
}

fn target(vschema: &VSchema, to: &str) -> Rule {
    let (Some(keyspace), table) = split_qualified(to) else {
        return Rule::Invalid(format!("table {to} must be qualified"));
    };
    match vschema.table_of(keyspace, table) {
        Ok(table) => Rule::Table(table.qualified()),
        Err(error) => Rule::Invalid(String::from_utf8_lossy(error.message()).into_owned()),
    }
}

fn add_mirrors(model: &Model, vschema: &mut VSchema) {
    for rule in &model.mirror_rules {
        let (from, to) = (&rule.from_table, rule.to_table.as_str());
        let place = format!("mirror rule for {from}");
        let (bare, suffix) =
            from.split_once('@').map_or((from.as_str(), None), |(bare, kind)| (bare, Some(kind)));
        let ((from_keyspace, _), (to_keyspace, table)) = (split_qualified(bare), split_qualified(to));
        let problem = if vschema.mirror_rules.contains_key(from) {
            Some("duplicate rule")
        } else if suffix.is_some_and(|kind| TabletType::parse(kind).is_none()) {
            Some("unknown tablet type")
        } else if from_keyspace.is_none() || to_keyspace.is_none() || to.contains('@') {
            Some("both tables must be keyspace.table, the second without tablet type")
        } else if from_keyspace == to_keyspace {
            Some("cannot mirror to the same keyspace")
        } else if !(0.0..=100.0).contains(&rule.percent) {
            Some("percent must be 0 to 100")
        } else if model.mirror_rules.iter().any(|other| other.from_table.split('@').next() == Some(to)) {
            Some("mirror chaining is not allowed")
        } else {
            None
        };
        let resolved = match problem {
            Some(problem) => Err(problem.to_owned()),
            None => vschema
                .table_of(to_keyspace.unwrap_or_default(), table)
                .map_err(|error| String::from_utf8_lossy(error.message()).into_owned()),
        };
        match resolved {
            Ok(table) => {
                vschema
                    .mirror_rules
                    .insert(from.clone(), Mirror { table: table.qualified(), percent: rule.percent });
            }
            Err(problem) => vschema.warnings.push(format!("{place}: {problem}")),
        }
    }
}
