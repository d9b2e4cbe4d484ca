//! Runs SQL on one server through the engine's own command-line client, as the administrator.
//!
//! The stock client is used on purpose: setting up servers must not depend on the router's code, which the
//! cluster is there to test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, Result};

/// Wait for a server's greeting.
const CONNECT_SECONDS: u32 = 5;

/// A way to run SQL on one server.
#[derive(Clone, Debug)]
pub struct SqlClient {
    name: String,
    program: PathBuf,
    defaults_file: PathBuf,
    socket: PathBuf,
}

impl SqlClient {
    pub(super) fn new(name: &str, program: &Path, defaults_file: &Path, socket: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            defaults_file: defaults_file.to_owned(),
            socket: socket.to_owned(),
        }
    }

    /// Runs statements, inside `database` if given, and gives the rows of all results: columns separated by
    /// tabs, no headings, nothing escaped.
    ///
    /// # Errors
    /// The client's message, with MySQL's error number, for the first statement that fails; the statements
    /// behind it are not run.
    pub fn run(&self, database: Option<&str>, sql: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .arg(format!("--defaults-file={}", self.defaults_file.display()))
            .arg(format!("--socket={}", self.socket.display()))
            .args(["--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4"])
            .arg(format!("--connect-timeout={CONNECT_SECONDS}"))
            .args(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("cannot run", &self.program))?;
        let stdin = child.stdin.take();
        // Written beside the reading: both sides of a long exchange would wait for each other otherwise.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(sql.as_bytes())));
            child.wait_with_output()
        })
        .map_err(Error::io("cannot run", &self.program))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Sql { name: self.name.clone(), message })
    }
}
