//! The file store: `topology.json` and a folder of VSchema files, looked at every half second.
//!
//! The folder has `<keyspace>.json` for each keyspace, and `routing_rules.json`; a file that holds a whole
//! `SrvVSchema` counts for all keyspaces in it. A change is taken over as a whole or not at all: with a bad file
//! the router goes on with what it had. A file that an editor is just writing is bad or missing for a moment
//! only, so that is believed when two looks in a row find the same.

mod edit;
mod watch;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::watch::{Contents, Watch};
use super::{Snapshots, StoreError, assemble};
use crate::limits;
use crate::topology::{Snapshot, Topology, TopologyFile};
use crate::vschema::VSchema;
use crate::vschema::model::{FileModel, Model};

const ROUTING_RULES: &str = "routing_rules.json";

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePaths {
    /// The topology.
    pub topology: PathBuf,
    /// The folder of VSchema files; it may be missing.
    pub vschema_dir: PathBuf,
}

/// What a look at the files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The same bad files as before, or new ones that are bad; the error is in [`Snapshots::last_error`].
    Bad,
    /// A new version was taken over.
    New(u64),
    /// Nothing new.
    Same,
    /// Something is going on; the next look decides.
    Unsettled,
}

/// Keeps [`Snapshots`] in step with the files.
#[derive(Debug)]
pub struct FileStore {
    paths: FilePaths,
    snapshots: Arc<Snapshots>,
    watch: Watch,
    /// The version of the files that a bad or incomplete look has found.
    doubted: Option<u64>,
    warnings: Vec<String>,
}

/// What the files hold, when they are good.
#[derive(Debug)]
struct Loaded {
    topology: Topology,
    vschema: VSchema,
    warnings: Vec<String>,
    /// Files that vindexes read.
    extra_files: Vec<PathBuf>,
}

impl FileStore {
    /// Reads the files for the first time. Invalid tables of a VSchema are logged and left out; a file that
    /// cannot be read or a topology that is invalid is an error.
    pub fn open(paths: FilePaths) -> Result<Self, StoreError> {
        let mut watch = Watch::default();
        let contents = watch.read(&paths).map_err(|failure| failure.error)?;
        let loaded = load(&paths, &contents)?;
        watch.settle(&paths, &contents, &loaded.extra_files);
        for error in loaded.vschema.errors() {
            tracing::error!(dir = %paths.vschema_dir.display(), "invalid VSchema: {error}");
        }
        let snapshot = Snapshot::new(1, Arc::new(loaded.vschema), Arc::new(loaded.topology));
        let snapshots = Arc::new(Snapshots::new(snapshot));
        let mut store = Self { paths, snapshots, watch, doubted: None, warnings: Vec::new() };
        store.log_warnings(loaded.warnings);
        Ok(store)
    }

    /// What the store keeps up to date.
    pub fn snapshots(&self) -> &Arc<Snapshots> {
        &self.snapshots
    }

    /// Where the files are.
    pub fn paths(&self) -> &FilePaths {
        &self.paths
    }

    /// Looks at the files again and again, until the future is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(limits::FILE_POLL_INTERVAL).await;
            // Disks can be slow; the worker's sessions must not wait for them.
            let look = tokio::task::spawn_blocking(move || {
                let found = self.look();
                (self, found)
            });
            match look.await {
                Ok((store, _)) => self = store,
                Err(error) => {
                    tracing::error!("the topology files are no longer watched: {error}");
                    return;
                }
            }
        }
    }

    /// Looks at the files once.
    pub fn look(&mut self) -> Look {
        if !self.watch.may_have_changed(&self.paths) && self.doubted.is_none() {
            return Look::Same;
        }
        let (fingerprint, failed) = match self.watch.read(&self.paths) {
            Err(failure) => (failure.fingerprint, failure.error),
            Ok(contents) if contents.fingerprint() == self.watch.fingerprint() => {
                self.watch.touch(&contents);
                self.recovered();
                return Look::Same;
            }
            Ok(contents) => {
                let is_doubted = self.doubted == Some(contents.fingerprint());
                if self.watch.lacks_known_files(&contents) && !is_doubted {
                    self.doubted = Some(contents.fingerprint());
                    return Look::Unsettled;
                }
                match load(&self.paths, &contents).and_then(|loaded| self.accept(&contents, loaded)) {
                    Ok(version) => return Look::New(version),
                    Err(error) => (contents.fingerprint(), error),
                }
            }
        };
        if self.doubted != Some(fingerprint) {
            self.doubted = Some(fingerprint);
            return Look::Unsettled;
        }
        // Said once for each change, not twice a second.
        if self.snapshots.last_error().as_deref() != Some(&failed) {
            tracing::error!(file = %failed.file.display(), "change refused, the old state is kept: {}", failed.reason);
            self.snapshots.set_error(Some(failed));
        }
        Look::Bad
    }

    /// Takes over what was loaded, unless it breaks tables that worked.
    fn accept(&mut self, contents: &Contents, loaded: Loaded) -> Result<u64, StoreError> {
        let current = self.snapshots.current();
        let is_known = |error: &str| current.vschema.errors().any(|known| known == error);
        if let Some(error) = loaded.vschema.errors().find(|error| !is_known(error)) {
            return Err(StoreError { file: self.paths.vschema_dir.clone(), reason: error.to_owned() });
        }
        self.watch.settle(&self.paths, contents, &loaded.extra_files);
        self.doubted = None;
        let version = self.snapshots.replace(Arc::new(loaded.vschema), Arc::new(loaded.topology));
        tracing::info!(version, "topology and VSchema reread");
        self.log_warnings(loaded.warnings);
        Ok(version)
    }

    /// A bad file was put back to what it was.
    fn recovered(&mut self) {
        self.doubted = None;
        self.snapshots.set_error(None);
    }

    fn log_warnings(&mut self, warnings: Vec<String>) {
        for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        self.warnings = warnings;
    }
}

fn load(paths: &FilePaths, contents: &Contents) -> Result<Loaded, StoreError> {
    let refuse = |file: &Path, reason: String| StoreError { file: file.to_owned(), reason };
    let text = contents.get(&paths.topology).unwrap_or_default();
    let topology = TopologyFile::parse(text).and_then(|file| file.build());
    let topology = topology.map_err(|error| refuse(&paths.topology, error.to_string()))?;
    let (mut model, mut warnings, mut rules) = (Model::default(), Vec::new(), None);
    for (path, text) in contents.vschema_files(paths) {
        if path.file_name().is_some_and(|name| name == ROUTING_RULES) {
            rules = Some((path, text));
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let mut found = Vec::new();
        let file =
            FileModel::parse(text, stem, &mut found).map_err(|error| refuse(path, error.to_string()))?;
        warnings.extend(found.iter().map(|warning| format!("{}: {warning}", path.display())));
        let keyspaces = match file {
            FileModel::All(all) => {
                model.routing_rules.extend(all.routing_rules);
                model.shard_routing_rules.extend(all.shard_routing_rules);
                model.keyspace_routing_rules.extend(all.keyspace_routing_rules);
                model.mirror_rules.extend(all.mirror_rules);
                all.keyspaces
            }
            FileModel::Keyspace(keyspace) => [(stem.to_owned(), keyspace)].into(),
        };
        for (name, keyspace) in keyspaces {
            if model.keyspaces.insert(name.clone(), keyspace).is_some() {
                return Err(refuse(path, format!("keyspace {name} is also in another file")));
            }
        }
    }
    if let Some((path, text)) = rules {
        model.parse_rules(text, &mut warnings).map_err(|error| refuse(path, error.to_string()))?;
    }
    let extra_files = RefCell::new(Vec::new());
    let read_file = |name: &str| {
        let path = paths.vschema_dir.join(name);
        let text = watch::read_text(&path);
        extra_files.borrow_mut().push(path);
        text.map_err(|error| error.to_string())
    };
    let vschema = assemble(&topology, model, &read_file, &mut warnings);
    Ok(Loaded { topology, vschema, warnings, extra_files: extra_files.into_inner() })
}

#[cfg(test)]
mod tests;
