//! Noticing changes of files: size and time first, then content.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::Xxh3;

use super::super::StoreError;
use super::FilePaths;
use crate::limits;

/// A file changed this recently may change again without a new time stamp: file systems' clocks are coarse.
const FRESH: Duration = Duration::from_secs(2);

/// More files than this are not a folder of VSchemas.
const FILES_MAX: usize = 10_000;

/// The texts of all files at one look.
#[derive(Debug)]
pub(super) struct Contents {
    texts: BTreeMap<PathBuf, String>,
    stamps: BTreeMap<PathBuf, Stamp>,
    fingerprint: u64,
}

/// Files that could not be read, and what they were.
#[derive(Debug)]
pub(super) struct ReadFailure {
    pub(super) fingerprint: u64,
    pub(super) error: StoreError,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    byte_count: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { byte_count: metadata.len(), modified: metadata.modified().ok() })
    }

    fn is_fresh(&self) -> bool {
        let age = self.modified.map(|modified| modified.elapsed().unwrap_or_default());
        age.is_none_or(|age| age < FRESH)
    }
}

/// What the files were when they were last taken over.
#[derive(Debug, Default)]
pub(super) struct Watch {
    stamps: BTreeMap<PathBuf, Stamp>,
    extra_files: Vec<PathBuf>,
    fingerprint: u64,
}

impl Watch {
    /// Whether a closer look is worth while.
    pub(super) fn may_have_changed(&self, paths: &FilePaths) -> bool {
        let Ok(files) = self.list(paths) else { return true };
        let same = |path: &PathBuf| {
            let known = self.stamps.get(path);
            known == Stamp::of(path).as_ref() && known.is_none_or(|stamp| !stamp.is_fresh())
        };
        files.iter().filter(|path| self.stamps.contains_key(*path)).count() != self.stamps.len()
            || !files.iter().all(same)
    }

    /// Reads everything.
    pub(super) fn read(&self, paths: &FilePaths) -> Result<Contents, ReadFailure> {
        let mut hash = Xxh3::new();
        let mut contents = Contents { texts: BTreeMap::new(), stamps: BTreeMap::new(), fingerprint: 0 };
        let mut failed = None;
        let files = self.list(paths).unwrap_or_else(|error| {
            failed = Some(StoreError { file: paths.vschema_dir.clone(), reason: error.to_string() });
            vec![paths.topology.clone()]
        });
        for path in files {
            let stamp = Stamp::of(&path);
            hash.write(path.as_os_str().as_encoded_bytes());
            match read_text(&path) {
                Ok(text) => {
                    hash.write_u64(text.len() as u64);
                    hash.write(text.as_bytes());
                    contents.texts.insert(path.clone(), text);
                    // The stamp is from before the reading: a change in between is seen by the next look.
                    contents.stamps.extend(stamp.map(|stamp| (path, stamp)));
                }
                // A vindex's file may be missing; the vindex says so.
                Err(error) if self.extra_files.contains(&path) => hash.write(error.to_string().as_bytes()),
                Err(error) => {
                    hash.write(error.to_string().as_bytes());
                    failed
                        .get_or_insert(StoreError { file: path, reason: format!("cannot be read: {error}") });
                }
            }
        }
        let fingerprint = hash.finish();
        contents.fingerprint = fingerprint;
        failed.map_or(Ok(contents), |error| Err(ReadFailure { fingerprint, error }))
    }

    /// These are now the known files. The files of vindexes are known only when those are made, so with new
    /// ones everything is read once more.
    pub(super) fn settle(&mut self, paths: &FilePaths, contents: &Contents, extra_files: &[PathBuf]) {
        self.stamps.clone_from(&contents.stamps);
        self.fingerprint = contents.fingerprint;
        if self.extra_files == extra_files {
            return;
        }
        self.extra_files = extra_files.to_vec();
        let unchanged =
            |again: &Contents| contents.texts.iter().all(|(path, text)| again.texts.get(path) == Some(text));
        match self.read(paths) {
            Ok(again) if unchanged(&again) => {
                self.stamps = again.stamps;
                self.fingerprint = again.fingerprint;
            }
            // Changed meanwhile: the next look must not take that for known.
            _ => self.fingerprint = 0,
        }
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The same files as before, with new time stamps.
    pub(super) fn touch(&mut self, contents: &Contents) {
        self.stamps.clone_from(&contents.stamps);
    }

    /// Whether a file is gone that was there before.
    pub(super) fn lacks_known_files(&self, contents: &Contents) -> bool {
        self.stamps.keys().any(|path| !contents.texts.contains_key(path))
    }

    /// Every file to look at, in order; the folder itself may be missing.
    fn list(&self, paths: &FilePaths) -> std::io::Result<Vec<PathBuf>> {
        let mut files = vec![paths.topology.clone()];
        match std::fs::read_dir(&paths.vschema_dir) {
            Ok(entries) => {
                for entry in entries.take(FILES_MAX) {
                    let path = entry?.path();
                    if is_vschema_file(&path) {
                        files.push(path);
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        files.extend_from_slice(&self.extra_files);
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// Editors leave hidden files and copies with other endings.
fn is_vschema_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
    name.ends_with(".json") && !name.starts_with('.')
}

impl Contents {
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(super) fn get(&self, path: &Path) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The VSchema files, by name.
    pub(super) fn vschema_files<'a>(
        &'a self,
        paths: &'a FilePaths,
    ) -> impl Iterator<Item = (&'a Path, &'a str)> {
        let in_folder = |path: &Path| path.parent() == Some(&paths.vschema_dir) && is_vschema_file(path);
        let files = self.texts.iter().map(|(path, text)| (path.as_path(), text.as_str()));
        files.filter(move |(path, _)| in_folder(path) && *path != paths.topology)
    }
}

/// Reads a file of reasonable size.
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    let limit = limits::CONFIG_FILE_BYTES_MAX as u64;
    if std::fs::metadata(path)?.len() > limit {
        return Err(std::io::Error::other(format!("larger than {limit} bytes")));
    }
    std::fs::read_to_string(path)
}
