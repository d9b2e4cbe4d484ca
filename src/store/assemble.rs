//! Making a VSchema that fits a topology, whichever store they come from.

use crate::topology::Topology;
use crate::vschema::VSchema;
use crate::vschema::model::{KeyspaceModel, Model};
use crate::vschema::vindex::ReadFile;

/// Builds the VSchema and tells, as warnings, what does not fit the topology. A keyspace without a VSchema is
/// usable all the same if it is unsharded.
pub fn assemble(
    topology: &Topology,
    mut model: Model,
    read_file: ReadFile<'_>,
    warnings: &mut Vec<String>,
) -> VSchema {
    for keyspace in topology.keyspaces() {
        let (name, is_sharded) = (keyspace.name(), keyspace.is_sharded());
        match model.keyspaces.get(name.as_str()) {
            None => {
                if is_sharded {
                    warnings.push(format!(
                        "keyspace {name} is sharded but has no VSchema, so its tables are unknown"
                    ));
                }
                let empty = KeyspaceModel { sharded: is_sharded, ..KeyspaceModel::default() };
                model.keyspaces.insert(name.to_string(), empty);
            }
            Some(found) if is_sharded && !found.sharded => {
                warnings.push(format!("keyspace {name} is unsharded in the VSchema but has several shards"));
            }
            Some(_) => {}
        }
        if keyspace.shards().is_empty() {
            warnings.push(format!("keyspace {name} has no serving shard"));
        }
    }
    for name in model.keyspaces.keys().filter(|name| topology.keyspace(name).is_none()) {
        warnings.push(format!("keyspace {name} of the VSchema is not in the topology"));
    }
    let vschema = VSchema::build(model, read_file);
    warnings.extend_from_slice(vschema.warnings());
    vschema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::TopologyFile;
    use crate::vschema::vindex::no_files;

    #[test]
    fn what_does_not_fit_is_told() {
        let topology = r#"{"keyspaces": {"plain": {"shards": {"0": {}}}, "halves": {"shards": {"-80": {}, "80-": {}}},
            "wrong": {"shards": {"-80": {}, "80-": {}}}, "none": {}}}"#;
        let topology = TopologyFile::parse(topology).unwrap().build().unwrap();
        let model = r#"{"keyspaces": {"wrong": {"sharded": false}, "gone": {}, "none": {}}}"#;
        let model = Model::parse(model, &mut Vec::new()).unwrap();
        let mut warnings = Vec::new();
        let vschema = assemble(&topology, model, &no_files, &mut warnings);
        assert_eq!(
            warnings,
            [
                "keyspace halves is sharded but has no VSchema, so its tables are unknown",
                "keyspace none has no serving shard",
                "keyspace wrong is unsharded in the VSchema but has several shards",
                "keyspace gone of the VSchema is not in the topology",
            ]
        );
        assert!(vschema.keyspace("halves").unwrap().is_sharded());
        assert!(!vschema.keyspace("plain").unwrap().is_sharded());
    }
}
