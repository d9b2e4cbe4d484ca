//! Data directories: one is initialised per installed server version, kept in the user's cache, and copied for
//! every tablet. It has the cluster's accounts and nothing else.

use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::engine::{Engine, Installation, cache_dir};
use super::{Error, Result};

/// Raise this when the accounts or the options of the initialisation change: older caches are then ignored.
const LAYOUT: u32 = 1;

/// Blocks of zeros of this size become holes in a copy: most of an empty redo or undo log is zeros.
const HOLE_BYTES: usize = 64 << 10;

/// Passwords of the accounts that every server of a cluster has. They are made up once per machine; the
/// servers listen on the loopback address only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Of `vt_app`, as which the router connects.
    pub app_password: String,
    /// Of `vt_repl`, as which replicas connect to their primary.
    pub repl_password: String,
    /// Of `vt_dba`, who may do everything.
    pub dba_password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// The router's account.
    pub const APP_USER: &str = "vt_app";
    /// The account that replicas use.
    pub const REPL_USER: &str = "vt_repl";
    /// The administrator's account.
    pub const DBA_USER: &str = "vt_dba";

    fn random() -> Result<Self> {
        let password = || {
            let mut bytes = [0; 12];
            getrandom::fill(&mut bytes).map_err(|error| Error::Io {
                what: "cannot make up a password".to_owned(),
                source: std::io::Error::other(error.to_string()),
            })?;
            Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        Ok(Self { app_password: password()?, repl_password: password()?, dba_password: password()? })
    }
}

/// An initialised data directory that is only copied from.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    data: PathBuf,
    pub(super) credentials: Credentials,
}

impl Prepared {
    /// The prepared directory of a server version, made now if this is its first use. `fallback` is where it
    /// goes for a user without a home directory.
    pub(super) fn get(installation: &Installation, fallback: &Path, note: &dyn Fn(&str)) -> Result<Self> {
        let root = cache_dir().map_or_else(|| fallback.join("prepared"), |cache| cache.join("datadirs"));
        make_private_dir(&root)?;
        let name = format!("{}-{}-{LAYOUT}", installation.engine.as_str(), installation.version);
        let dir = root.join(&name);
        // Two starts at once: the second waits here and finds the work done.
        let lock_path = root.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).map_err(Error::io("cannot write", &lock_path))?;
        lock.lock().map_err(Error::io("cannot lock", &lock_path))?;
        if let Some(prepared) = Self::open(&dir) {
            return Ok(prepared);
        }
        note(&format!("preparing {} {} (once per version)", installation.engine, installation.version));
        let stage = root.join(format!("{name}.new"));
        remove_dir(&stage)?;
        make_private_dir(&stage)?;
        let credentials = Credentials::random()?;
        initialise(installation, &stage, &credentials)?;
        let json = serde_json::to_string(&credentials).unwrap_or_default();
        write_private(&stage.join("credentials.json"), &json)?;
        remove_dir(&dir)?;
        fs::rename(&stage, &dir).map_err(Error::io("cannot rename", &stage))?;
        Ok(Self { data: dir.join("data"), credentials })
    }

    fn open(dir: &Path) -> Option<Self> {
        let json = fs::read_to_string(dir.join("credentials.json")).ok()?;
        let data = dir.join("data");
        Some(Self { credentials: serde_json::from_str(&json).ok()?, data: data.is_dir().then_some(data)? })
    }

    /// Copies the directory to `to`, which must not exist.
    pub(super) fn copy_to(&self, to: &Path) -> Result<()> {
        copy_tree(&self.data, to)?;
        // Each server makes its own server_uuid; two with the same cannot replicate from each other.
        match fs::remove_file(to.join("auto.cnf")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove", to)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Runs the engine's own initialisation into `stage/data`.
fn initialise(installation: &Installation, stage: &Path, credentials: &Credentials) -> Result<()> {
    let sql_path = stage.join("accounts.sql");
    write_private(&sql_path, &accounts_sql(installation.engine, credentials))?;
    let data = format!("--datadir={}", stage.join("data").display());
    let mut command = match (installation.engine, installation.installer()) {
        (Engine::MariaDb, Some(installer)) => {
            let mut command = Command::new(installer);
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
            command.args([&data, &format!("--extra-file={}", sql_path.display())]);
            command.args(["--skip-name-resolve", "--innodb-log-file-size=16M", "--innodb-doublewrite=0"]);
            command
        }
        (Engine::MariaDb | Engine::MySql, _) => {
            let mut command = Command::new(&installation.server);
            command.args(["--no-defaults", "--initialize-insecure", "--log-error-verbosity=1"]);
            command.args([&data, &format!("--init-file={}", sql_path.display())]);
            command.args(["--disable-log-bin", "--innodb-redo-log-capacity=16M", "--innodb-doublewrite=OFF"]);
            command
        }
    };
    // What a crash leaves behind here is thrown away, so nothing needs to reach the disk in order.
    command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"]);
    command.args(user_option());
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("cannot run", Path::new(command.get_program())))?;
    let _ = fs::remove_file(&sql_path);
    if output.status.success() {
        return Ok(());
    }
    let log = [output.stdout, output.stderr].concat();
    Err(Error::Server {
        name: format!("{} {}", installation.engine, installation.version),
        reason: format!("its data directory could not be initialised ({})", output.status),
        log: last_lines(&String::from_utf8_lossy(&log)),
    })
}

/// Servers that are started by root refuse to run as root unless told to.
pub(super) fn user_option() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of /proc/self is the user of this process.
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0).then(|| "--user=root".to_owned())
}

/// The end of a log, for error messages.
pub(super) fn last_lines(log: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Accounts: one statement per line, as an init file wants it.
fn accounts_sql(engine: Engine, credentials: &Credentials) -> String {
    // What a client may do through the router, and what the router's own health checks read. Not SUPER and not
    // READ_ONLY ADMIN: a replica's read_only must hold for it.
    const APP: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, \
        CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, \
        EVENT, TRIGGER, SHOW DATABASES, PROCESS, RELOAD, REPLICATION CLIENT";
    let (app, repl) = match engine {
        Engine::MariaDb => (
            format!("{APP}, SLAVE MONITOR, DELETE HISTORY"),
            "REPLICATION SLAVE, REPLICATION CLIENT, SLAVE MONITOR",
        ),
        Engine::MySql => {
            (format!("{APP}, XA_RECOVER_ADMIN, FLUSH_TABLES"), "REPLICATION SLAVE, REPLICATION CLIENT")
        }
    };
    let mut lines = Vec::new();
    if engine == Engine::MariaDb {
        // The installer runs without privilege tables until they are loaded; it also makes accounts of root for
        // every name of this machine, without a password.
        lines.push("FLUSH PRIVILEGES".to_owned());
        lines.push("DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost'".to_owned());
        lines.push("DELETE FROM mysql.proxies_priv WHERE User = 'root' AND Host <> 'localhost'".to_owned());
        lines.push("FLUSH PRIVILEGES".to_owned());
    }
    let accounts = [
        (Credentials::APP_USER, &credentials.app_password, app.as_str(), ""),
        (Credentials::REPL_USER, &credentials.repl_password, repl, ""),
        (Credentials::DBA_USER, &credentials.dba_password, "ALL", " WITH GRANT OPTION"),
    ];
    for (user, password, privileges, option) in accounts {
        lines.push(format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"));
        lines.push(format!("GRANT {privileges} ON *.* TO '{user}'@'%'{option}"));
    }
    lines.push("ALTER USER 'root'@'localhost' ACCOUNT LOCK".to_owned());
    lines.iter().map(|line| format!("{line};\n")).collect()
}

/// Makes a directory, and what is above it, that only this user can enter.
pub(super) fn make_private_dir(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io("cannot make directory", dir))
}

/// Writes a file that only this user can read, in one step: readers see the old text or the new.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(Error::io("cannot write", &temporary))?;
    file.write_all(text.as_bytes()).map_err(Error::io("cannot write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("cannot write", path))
}

/// Removes a directory with everything in it, if it exists.
pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", dir)(error))
        }
        _ => Ok(()),
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    make_private_dir(to)?;
    for entry in fs::read_dir(from).map_err(Error::io("cannot read", from))? {
        let entry = entry.map_err(Error::io("cannot read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::io("cannot read", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_file() {
            copy_file(&source, &target).map_err(Error::io("cannot copy", &source))?;
        }
    }
    Ok(())
}

/// Copies a file, leaving holes where it is zero.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    let target = File::create(to)?;
    target.set_permissions(metadata.permissions())?;
    let mut buffer = vec![0; HOLE_BYTES];
    let mut offset = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return target.set_len(offset);
        }
        if buffer[..count].iter().any(|&byte| byte != 0) {
            target.write_all_at(&buffer[..count], offset)?;
        }
        offset += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_and_have_holes() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        let mut bytes = vec![0; HOLE_BYTES * 9 + 17];
        bytes[HOLE_BYTES * 4] = 7;
        fs::write(from.join("inner/file"), &bytes).unwrap();
        fs::write(from.join("auto.cnf"), "server-uuid=1").unwrap();
        let credentials = Credentials::random().unwrap();
        Prepared { data: from, credentials }.copy_to(&to).unwrap();
        assert_eq!(fs::read(to.join("inner/file")).unwrap(), bytes);
        assert!(!to.join("auto.cnf").exists());
        let used = fs::metadata(to.join("inner/file")).unwrap().blocks() * 512;
        assert!(used < bytes.len() as u64 / 2, "{used} of {} bytes are on disk", bytes.len());
    }

    #[test]
    fn passwords_differ_and_stay_out_of_debug_output() {
        let (one, other) = (Credentials::random().unwrap(), Credentials::random().unwrap());
        assert_ne!(one, other);
        assert_ne!(one.app_password, one.dba_password);
        assert!(!format!("{one:?}").contains(&one.dba_password));
    }

    #[test]
    fn accounts_are_one_statement_per_line() {
        let credentials = Credentials::random().unwrap();
        for engine in Engine::ALL {
            let sql = accounts_sql(engine, &credentials);
            assert!(sql.lines().all(|line| line.ends_with(';')), "{sql}");
            assert!(!sql.contains("SUPER"), "{sql}");
        }
    }

    #[test]
    fn the_end_of_a_log_is_kept() {
        let log: String = (0..40).map(|line| format!("line {line}\n\n")).collect();
        let end = last_lines(&log);
        assert!(end.starts_with("line 28\n") && end.ends_with("line 39"), "{end}");
    }
}
