//! What a cluster's directory remembers between runs, and the lock that keeps two runs apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::datadir::{Credentials, make_private_dir, remove_dir, write_private};
use super::supervisor::{end_leftover, is_process_of};
use super::{Error, Result};

const LOCK: &str = "lock";
const STATE: &str = "cluster.json";

/// Contents of `cluster.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClusterState {
    /// `mariadb` or `mysql`.
    pub(super) engine: String,
    /// Version of the server that was used last.
    pub(super) version: String,
    /// Whether the first start came to its end; a half-made cluster is made again.
    pub(super) is_complete: bool,
    pub(super) credentials: Credentials,
    /// Directory of the unix sockets, if they are outside the cluster's own.
    pub(super) socket_dir: Option<PathBuf>,
    /// TCP port of each tablet, by alias.
    pub(super) ports: BTreeMap<String, u16>,
}

impl ClusterState {
    /// What the last run left, if anything.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(STATE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("cannot read", &path)(error)),
        };
        let state = serde_json::from_str(&text).map_err(|error| {
            Error::directory(dir, format!("{STATE} is damaged ({error}); start with --fresh"))
        })?;
        Ok(Some(state))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        write_private(&dir.join(STATE), &format!("{text}\n"))
    }
}

/// Holds a cluster's directory for this process. The kernel lets go of it when the process ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory, making it if it is not there. Servers that a killed run left behind are ended
    /// first; `note` is told of each.
    pub(super) fn take(dir: &Path, note: &dyn Fn(&str)) -> Result<Self> {
        make_private_dir(dir)?;
        refuse_foreign(dir)?;
        let path = dir.join(LOCK);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(Error::io("cannot write", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                return Err(Error::InUse { dir: dir.to_owned(), holder });
            }
            Err(fs::TryLockError::Error(error)) => return Err(Error::io("cannot lock", &path)(error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(Error::io("cannot write", &path))?;
        end_leftovers(dir, note);
        Ok(Self { _file: file })
    }
}

/// A directory with anything else in it is somebody else's: `--fresh` must not empty it.
fn refuse_foreign(dir: &Path) -> Result<()> {
    let mut entries = fs::read_dir(dir).map_err(Error::io("cannot read", dir))?;
    let is_ours = dir.join(LOCK).exists() || dir.join(STATE).exists();
    if !is_ours && entries.next().is_some() {
        return Err(Error::directory(
            dir,
            "holds files that are no Shardgate cluster; choose an empty directory",
        ));
    }
    Ok(())
}

/// Removes everything of an earlier cluster, but not the lock that is held.
pub(super) fn wipe(dir: &Path) -> Result<()> {
    if let Ok(Some(ClusterState { socket_dir: Some(socket_dir), .. })) = ClusterState::read(dir) {
        let _ = fs::remove_dir_all(socket_dir);
    }
    for entry in fs::read_dir(dir).map_err(Error::io("cannot read", dir))?.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_dir(&path)?;
        } else if entry.file_name() != LOCK {
            fs::remove_file(&path).map_err(Error::io("cannot remove", &path))?;
        }
    }
    Ok(())
}

/// The directory of all tablets' directories.
pub(super) fn tablets_dir(dir: &Path) -> PathBuf {
    dir.join("tablets")
}

/// Ends servers of this directory that still run although nobody holds it.
fn end_leftovers(dir: &Path, note: &dyn Fn(&str)) {
    let Ok(entries) = fs::read_dir(tablets_dir(dir)) else { return };
    for entry in entries.flatten() {
        let tablet_dir = entry.path();
        let pid_file = tablet_dir.join("server.pid");
        let Some(pid) = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok()) else {
            continue;
        };
        // The number may belong to another program by now: a server of ours names its own directory.
        let needle = format!("--datadir={}", tablet_dir.join("data").display());
        if is_process_of(pid, &needle) {
            note(&format!("a server of an earlier run still runs (process {pid}): stopping it"));
            end_leftover(pid, &needle);
        }
        let _ = fs::remove_file(&pid_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_directory_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(dir.path(), &|_| ()).unwrap();
        let error = DirectoryLock::take(dir.path(), &|_| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(lock);
        DirectoryLock::take(dir.path(), &|_| ()).unwrap();
    }

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "…").unwrap();
        let error = DirectoryLock::take(dir.path(), &|_| ()).unwrap_err().to_string();
        assert!(error.contains("no Shardgate cluster"), "{error}");
    }

    #[test]
    fn wiping_keeps_only_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = DirectoryLock::take(dir.path(), &|_| ()).unwrap();
        fs::create_dir_all(tablets_dir(dir.path()).join("zone1-1")).unwrap();
        fs::write(dir.path().join(STATE), "{}").unwrap();
        wipe(dir.path()).unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
    }

    #[test]
    fn a_damaged_state_names_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ClusterState::read(dir.path()).unwrap(), None);
        fs::write(dir.path().join(STATE), "{").unwrap();
        let error = ClusterState::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("--fresh"), "{error}");
    }
}
