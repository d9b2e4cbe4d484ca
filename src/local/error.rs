//! What can go wrong while a local cluster is started. Messages are for the person at the terminal, so each
//! says what to do about it where that is known.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the local cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wanted database server is not installed.
    #[error("{0}")]
    NotInstalled(String),
    /// The directory belongs to a running cluster.
    #[error("{dir} is in use by another process{holder}; stop it first, or choose another directory")]
    InUse {
        /// The cluster's directory.
        dir: PathBuf,
        /// ` (process 123)` when it is known.
        holder: String,
    },
    /// The directory holds something that this start cannot go on with.
    #[error("{dir}: {reason}")]
    Directory {
        /// The cluster's directory.
        dir: PathBuf,
        /// What is wrong and what helps.
        reason: String,
    },
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A server did not start, or died.
    #[error("server {name}: {reason}\n--- end of its log ---\n{log}")]
    Server {
        /// The tablet's alias, or what the server was for.
        name: String,
        /// What happened.
        reason: String,
        /// The last lines of its log.
        log: String,
    },
    /// A statement failed.
    #[error("server {name}: {message}")]
    Sql {
        /// The tablet's alias, or what the server was for.
        name: String,
        /// The client program's message, with MySQL's error number.
        message: String,
    },
}

impl Error {
    /// An I/O error with what was tried: `Error::io("cannot read", path)`, for `map_err`.
    pub(super) fn io(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |source| Self::Io { what, source }
    }

    pub(super) fn directory(dir: &Path, reason: impl Into<String>) -> Self {
        Self::Directory { dir: dir.to_owned(), reason: reason.into() }
    }
}
