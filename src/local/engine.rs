//! Finds the database servers that are installed on this machine.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use super::{Error, Result};

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// MariaDB server.
    MariaDb,
    /// MySQL server.
    MySql,
}

/// Which kind is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// MariaDB where it is installed, otherwise MySQL.
    #[default]
    Auto,
    /// This one.
    Exactly(Engine),
}

/// The programs of one installed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Its kind.
    pub engine: Engine,
    /// Its version, `10.11.19`.
    pub version: String,
    /// `mariadbd` or `mysqld`.
    pub server: PathBuf,
    /// The stock command-line client, `mariadb` or `mysql`.
    pub client: PathBuf,
    /// `mariadb-install-db`; MySQL's server makes its data directory itself.
    installer: Option<PathBuf>,
}

impl Engine {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::MariaDb, Self::MySql];

    /// `mariadb` or `mysql`, as on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        })
    }
}

impl FromStr for EngineChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "mariadb" => Ok(Self::Exactly(Engine::MariaDb)),
            "mysql" => Ok(Self::Exactly(Engine::MySql)),
            _ => Err(format!("unknown engine '{text}': choose auto, mariadb or mysql")),
        }
    }
}

impl Installation {
    /// Finds a server of the wanted kind: at `path` (a server program, or the directory it was installed to),
    /// or else in the usual places. MySQL is looked for in the prefix of `tests/engines/install.sh` first.
    ///
    /// # Errors
    /// Says which package to install when there is none.
    pub fn find(choice: EngineChoice, path: Option<&Path>) -> Result<Self> {
        let engines = match choice {
            EngineChoice::Auto => Engine::ALL.to_vec(),
            EngineChoice::Exactly(engine) => vec![engine],
        };
        engines
            .iter()
            .find_map(|&engine| Self::find_engine(engine, path))
            .ok_or_else(|| Error::NotInstalled(how_to_install(choice, path)))
    }

    /// Every kind that is installed, for tests that run on all of them.
    pub fn find_all() -> Vec<Self> {
        Engine::ALL.iter().filter_map(|&engine| Self::find_engine(engine, None)).collect()
    }

    /// The installer of a data directory, for engines that have a program of its own for that.
    pub(super) fn installer(&self) -> Option<&Path> {
        self.installer.as_deref()
    }

    fn find_engine(engine: Engine, path: Option<&Path>) -> Option<Self> {
        let server_names: &[&str] = match engine {
            Engine::MariaDb => &["mariadbd", "mysqld"],
            Engine::MySql => &["mysqld"],
        };
        let directories = path.map_or_else(|| search_path(engine), directories_of_prefix);
        let named = path.filter(|path| path.is_file()).map(Path::to_owned);
        named
            .into_iter()
            .chain(candidates(&directories, server_names))
            .find_map(|server| Self::from_server(engine, server, &directories))
    }

    /// Takes a server program, if it is of that engine and its companions are there.
    fn from_server(engine: Engine, server: PathBuf, directories: &[PathBuf]) -> Option<Self> {
        let (found, version) = probe(&server)?;
        if found != engine {
            return None;
        }
        // Companions stand beside the server, or in ../bin where the server is in sbin.
        let mut near: Vec<PathBuf> = server.parent().into_iter().flat_map(directories_of_prefix).collect();
        near.extend(server.parent().and_then(Path::parent).into_iter().flat_map(directories_of_prefix));
        near.extend_from_slice(directories);
        let companion = |names: &[&str]| candidates(&near, names).next();
        let (client, installer) = match engine {
            Engine::MariaDb => (
                companion(&["mariadb", "mysql"])?,
                Some(companion(&["mariadb-install-db", "mysql_install_db"])?),
            ),
            Engine::MySql => (companion(&["mysql"])?, None),
        };
        Some(Self { engine, version, server, client, installer })
    }
}

/// Asks a server program what it is.
fn probe(server: &Path) -> Option<(Engine, String)> {
    let output = Command::new(server).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `… Ver 10.11.19-MariaDB-0+deb12u1 for …`.
fn parse_version(text: &str) -> Option<(Engine, String)> {
    let (_, rest) = text.split_once("Ver ")?;
    let word = rest.split_whitespace().next()?;
    let version: String = word.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let engine = if text.contains("MariaDB") { Engine::MariaDb } else { Engine::MySql };
    (!version.is_empty()).then_some((engine, version))
}

fn candidates(directories: &[PathBuf], names: &[&str]) -> impl Iterator<Item = PathBuf> {
    let paths: Vec<_> =
        directories.iter().flat_map(|directory| names.iter().map(|name| directory.join(name))).collect();
    paths.into_iter().filter(|path| path.is_file())
}

fn directories_of_prefix(prefix: &Path) -> Vec<PathBuf> {
    let children = ["bin", "sbin", "libexec", "scripts"].iter().map(|child| prefix.join(child));
    std::iter::once(prefix.to_owned()).chain(children).collect()
}

fn search_path(engine: Engine) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    if engine == Engine::MySql
        && let Some(prefix) = mysql_prefix()
    {
        directories.push(prefix.join("bin"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    directories.extend(std::env::split_paths(&path).filter(|directory| directory.is_absolute()));
    // Servers live where only root's PATH looks.
    directories.extend(["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/bin"].map(PathBuf::from));
    directories
}

/// Where `tests/engines/install.sh` unpacks MySQL.
fn mysql_prefix() -> Option<PathBuf> {
    let engines = std::env::var_os("SHARDGATE_ENGINES").filter(|value| !value.is_empty()).map(PathBuf::from);
    Some(engines.or_else(|| Some(cache_dir()?.join("engines")))?.join("mysql"))
}

/// `~/.cache/shardgate`, if this user has a home.
pub(super) fn cache_dir() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| Path::new(OsStr::new(home)).is_absolute())?;
    Some(Path::new(&home).join(".cache/shardgate"))
}

fn how_to_install(choice: EngineChoice, path: Option<&Path>) -> String {
    let where_to = path.map_or_else(String::new, |path| format!(" at {}", path.display()));
    let mariadb = "`apt-get install mariadb-server-core mariadb-client`";
    let mysql = "`tests/engines/install.sh` (or your distribution's mysql-server-core and mysql-client-core)";
    match choice {
        EngineChoice::Exactly(Engine::MariaDb) => {
            format!("no MariaDB server was found{where_to}: install it with {mariadb}")
        }
        EngineChoice::Exactly(Engine::MySql) => {
            format!("no MySQL server was found{where_to}: install it with {mysql}")
        }
        EngineChoice::Auto => {
            format!(
                "no database server was found{where_to}: install MariaDB with {mariadb}, or MySQL with {mysql}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_the_engine() {
        let check = |text: &str, engine, version: &str| {
            assert_eq!(parse_version(text), Some((engine, version.to_owned())), "{text}");
        };
        check("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu", Engine::MariaDb, "10.11.19");
        check("/x/bin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))", Engine::MySql, "9.7.4");
        assert_eq!(parse_version("no such thing"), None);
    }

    #[test]
    fn a_missing_engine_names_the_package() {
        let nowhere = Path::new("/nonexistent");
        let error = Installation::find(EngineChoice::Exactly(Engine::MariaDb), Some(nowhere))
            .unwrap_err()
            .to_string();
        assert!(error.contains("mariadb-server-core") && error.contains("/nonexistent"), "{error}");
        let error = Installation::find(EngineChoice::Auto, Some(nowhere)).unwrap_err().to_string();
        assert!(error.contains("mariadb-server-core") && error.contains("install.sh"), "{error}");
    }

    #[test]
    fn choices_are_parsed() {
        assert_eq!("MySQL".parse(), Ok(EngineChoice::Exactly(Engine::MySql)));
        assert_eq!("auto".parse(), Ok(EngineChoice::Auto));
        assert!("postgres".parse::<EngineChoice>().is_err());
    }
}
