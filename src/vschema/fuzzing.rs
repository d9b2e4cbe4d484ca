//! Entry points of the fuzz targets `vschema_json` and `target_string`. Their corpora replay in `cargo test`.

use super::VSchema;
use super::model::{FileModel, Model};
use super::vindex::no_files;
use crate::topology::{TabletType, TargetString};

/// Any bytes are read or refused; what is read can be built, asked and written back.
pub fn vschema_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut warnings = Vec::new();
    let Ok(file) = FileModel::parse(text, "fuzz", &mut warnings) else { return };
    let model = match file {
        FileModel::All(model) => model,
        FileModel::Keyspace(keyspace) => {
            Model { keyspaces: [("fuzz".to_owned(), keyspace)].into(), ..Model::default() }
        }
    };
    let written = serde_json::to_string(&model).expect("a model holds nothing that JSON cannot");
    let again = Model::parse(&written, &mut Vec::new()).expect("what was written is valid");
    assert_eq!(again, model, "{written}");
    let names: Vec<String> =
        model.keyspaces.values().flat_map(|keyspace| keyspace.tables.keys().cloned()).collect();
    let keyspaces: Vec<String> = model.keyspaces.keys().cloned().collect();
    let vschema = VSchema::build(model, &no_files);
    for name in &names {
        // Either a table or an error; both are answers.
        drop(vschema.find_table(None, name, TabletType::Primary));
        for keyspace in &keyspaces {
            drop(vschema.find_table(Some(keyspace), name, TabletType::Replica));
        }
    }
}

/// Any text is a target or refused; a target survives printing.
pub fn target_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(target) = TargetString::parse(text) {
        assert_eq!(TargetString::parse(&target.to_string()), Ok(target), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
        let seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(seeds.len() >= 5, "{} has too few seeds", folder.display());
        for seed in seeds {
            run(&std::fs::read(seed).unwrap());
        }
    }

    #[test]
    fn vschema_json_corpus() {
        replay("vschema_json", super::vschema_json);
    }

    #[test]
    fn target_string_corpus() {
        replay("target_string", super::target_string);
    }
}
