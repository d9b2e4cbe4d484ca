//! Changing the files: whole and at once, so that no reader sees half of one.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::StoreError;
use super::{FilePaths, ROUTING_RULES, watch};
use crate::topology::TopologyFile;
use crate::vschema::model::{KeyspaceModel, Model};

impl FilePaths {
    /// The topology as it stands in its file.
    pub fn read_topology(&self) -> Result<TopologyFile, StoreError> {
        let text = watch::read_text(&self.topology).map_err(|error| refuse(&self.topology, error))?;
        TopologyFile::parse(&text).map_err(|error| refuse(&self.topology, error))
    }

    /// Writes a topology, after checking it. One writer at a time is the caller's business.
    pub fn write_topology(&self, file: &TopologyFile) -> Result<(), StoreError> {
        file.build().map_err(|error| refuse(&self.topology, error))?;
        write_json(&self.topology, file)
    }

    /// Writes a keyspace's VSchema. That it is valid with the others is the caller's business.
    pub fn write_vschema(&self, keyspace: &str, model: &KeyspaceModel) -> Result<(), StoreError> {
        write_json(&self.vschema_file(keyspace)?, model)
    }

    /// Removes a keyspace's VSchema; it is no error if there is none.
    pub fn remove_vschema(&self, keyspace: &str) -> Result<(), StoreError> {
        let path = self.vschema_file(keyspace)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(refuse(&path, error)),
            _ => Ok(()),
        }
    }

    /// Writes all rules of the model.
    pub fn write_rules(&self, model: &Model) -> Result<(), StoreError> {
        let rules = Model { keyspaces: Default::default(), ..model.clone() };
        let path = self.vschema_dir.join(ROUTING_RULES);
        let mut value = serde_json::to_value(&rules).map_err(|error| refuse(&path, error))?;
        // A file with "keyspaces" would be taken for all of them.
        if let Some(fields) = value.as_object_mut() {
            fields.remove("keyspaces");
        }
        write_json(&path, &value)
    }

    fn vschema_file(&self, keyspace: &str) -> Result<PathBuf, StoreError> {
        let path = self.vschema_dir.join(format!("{keyspace}.json"));
        let is_plain =
            !keyspace.is_empty() && !keyspace.starts_with('.') && !keyspace.contains(['/', '\\', '\0']);
        if is_plain && path.file_name().is_some_and(|name| name != ROUTING_RULES) {
            return Ok(path);
        }
        Err(StoreError {
            file: self.vschema_dir.clone(),
            reason: format!("{keyspace:?} is no keyspace name"),
        })
    }
}

fn refuse(file: &Path, reason: impl ToString) -> StoreError {
    StoreError { file: file.to_owned(), reason: reason.to_string() }
}

/// Writes beside the file and moves it into place.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| refuse(path, error))?;
    text.push('\n');
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}.new", std::process::id()));
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(|error| {
        // The draft is of no use; that it cannot be removed either adds nothing to the error.
        drop(fs::remove_file(&draft));
        refuse(path, error)
    })
}
