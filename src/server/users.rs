//! Who may log in: Vitess's static-auth JSON, reread when the file changes.
//!
//! Format: an object from user name to one entry or an array of entries (password rotation), each with
//! `Password`, `MysqlNativePassword` or `CachingSha2Password`, and optionally `UserData`, `Groups`,
//! `SourceHost` ("" or "localhost", which means the unix socket). Passwords are kept only as the hashes that the
//! two authentication plugins need. Must not know packets.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::Deserialize;

use crate::wire::auth::caching_sha2_password::{
    StoredCrypt, StoredDigest, parse_stored_digest, stored_digest,
};
use crate::wire::auth::native_password;

/// One way to log in as a user.
#[derive(Debug)]
pub struct UserEntry {
    secret: Secret,
    /// What Vitess calls user data: the name that statements run under.
    user_data: Arc<str>,
    groups: Arc<[String]>,
    source_host: SourceHost,
}

/// What is known of a password. Hashes only; `Debug` shows none of them.
pub struct Secret {
    is_empty: bool,
    native: Option<native_password::Stored>,
    /// For an entry with only a crypt string, set after the first full login.
    sha2: OnceLock<StoredDigest>,
    /// MySQL's `$A$005$…` string, which can verify only a whole password.
    sha2_crypt: Option<StoredCrypt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceHost {
    Any,
    LocalSocket,
    /// Written in the file, but no rule knows it: matches nobody, as in Vitess.
    Unknown,
}

impl UserEntry {
    /// What the plugins verify against.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The name that statements run under; the user name when the file gives none.
    pub fn user_data(&self) -> &Arc<str> {
        &self.user_data
    }

    /// The user's groups.
    pub fn groups(&self) -> &Arc<[String]> {
        &self.groups
    }

    fn matches(&self, is_local: bool) -> bool {
        match self.source_host {
            SourceHost::Any => true,
            SourceHost::LocalSocket => is_local,
            SourceHost::Unknown => false,
        }
    }
}

impl Secret {
    /// Whether the password is empty.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// What `mysql_native_password` verifies against.
    pub fn native(&self) -> Option<&native_password::Stored> {
        self.native.as_ref()
    }

    /// What the fast path of `caching_sha2_password` verifies against.
    pub fn sha2(&self) -> Option<&StoredDigest> {
        self.sha2.get()
    }

    /// MySQL's `$A$005$…` string, which a whole password is verified against.
    pub fn sha2_crypt(&self) -> Option<&StoredCrypt> {
        self.sha2_crypt.as_ref()
    }

    /// Whether `caching_sha2_password` can log this user in.
    pub fn has_sha2(&self) -> bool {
        self.sha2_crypt.is_some() || self.sha2.get().is_some()
    }

    /// Remembers the digest of a password that was just verified against the crypt string.
    pub fn cache_sha2(&self, password: &[u8]) {
        let _ = self.sha2.set(stored_digest(password));
    }

    fn from_password(password: &str) -> Self {
        Self {
            is_empty: password.is_empty(),
            native: Some(native_password::stored(password.as_bytes())),
            sha2: OnceLock::from(stored_digest(password.as_bytes())),
            sha2_crypt: None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The entries under which one login attempt is judged.
#[derive(Clone, Debug)]
pub struct Account {
    /// Entries that fit the client's host, in the order of the file. Never empty.
    pub entries: Vec<Arc<UserEntry>>,
    /// False for a name that does not exist: the entries are another user's, so that the exchange looks like any
    /// other, and the attempt must fail whatever the client answers.
    pub is_known: bool,
}

/// The users of one reading of the file.
#[derive(Debug)]
pub struct Users {
    by_name: HashMap<String, Vec<Arc<UserEntry>>>,
    /// Shapes of existing accounts, for names that do not exist.
    decoys: Vec<Arc<UserEntry>>,
    decoy_seed: foldhash::fast::RandomState,
}

impl Users {
    /// Reads the JSON text.
    ///
    /// # Errors
    /// Says which user and field is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let file: HashMap<String, OneOrMany> =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut by_name = HashMap::with_capacity(file.len());
        for (name, entries) in file {
            let entries = match entries {
                OneOrMany::One(entry) => vec![entry],
                OneOrMany::Many(entries) => entries,
            };
            let entries: Result<Vec<_>, String> =
                entries.into_iter().map(|entry| entry.build(&name).map(Arc::new)).collect();
            by_name.insert(name, entries?);
        }
        Ok(Self::new(by_name))
    }

    fn new(by_name: HashMap<String, Vec<Arc<UserEntry>>>) -> Self {
        let mut decoys: Vec<_> = by_name.values().filter_map(|entries| entries.first().cloned()).collect();
        if decoys.is_empty() {
            decoys.push(Arc::new(UserEntry {
                secret: Secret::from_password("nobody"),
                user_data: "".into(),
                groups: Arc::default(),
                source_host: SourceHost::Any,
            }));
        }
        Self { by_name, decoys, decoy_seed: foldhash::fast::RandomState::default() }
    }

    /// How many names there are.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// What a login as `name` is judged by. `is_local` says that the client came through the unix socket.
    pub fn account(&self, name: &str, is_local: bool) -> Account {
        let entries: Vec<_> = self
            .by_name
            .get(name)
            .into_iter()
            .flatten()
            .filter(|entry| entry.matches(is_local))
            .cloned()
            .collect();
        if entries.is_empty() {
            return Account { entries: vec![self.decoy(name)], is_known: false };
        }
        Account { entries, is_known: true }
    }

    /// The same name always meets the same decoy, as it would meet the same account.
    fn decoy(&self, name: &str) -> Arc<UserEntry> {
        let count = self.decoys.len() as u64;
        let index = usize::try_from(self.decoy_seed.hash_one(name) % count).unwrap_or(0);
        self.decoys[index].clone()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(JsonEntry),
    Many(Vec<JsonEntry>),
}

/// One entry as Vitess writes it; unknown fields are ignored as Vitess does.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct JsonEntry {
    password: Option<String>,
    mysql_native_password: Option<String>,
    caching_sha2_password: Option<String>,
    user_data: Option<String>,
    groups: Option<Vec<String>>,
    source_host: Option<String>,
}

impl JsonEntry {
    fn build(self, name: &str) -> Result<UserEntry, String> {
        let native = filled(self.mysql_native_password);
        let sha2 = filled(self.caching_sha2_password);
        let secret = if native.is_none() && sha2.is_none() {
            Secret::from_password(&self.password.unwrap_or_default())
        } else {
            hashed_secret(native.as_deref(), sha2.as_deref())
                .map_err(|field| format!("user '{name}': {field} is not a password hash"))?
        };
        let source_host = match self.source_host.as_deref().unwrap_or_default() {
            "" => SourceHost::Any,
            "localhost" => SourceHost::LocalSocket,
            other => {
                tracing::warn!(user = name, source_host = other, "SourceHost is neither empty nor localhost");
                SourceHost::Unknown
            }
        };
        Ok(UserEntry {
            secret,
            user_data: filled(self.user_data).unwrap_or_else(|| name.to_owned()).into(),
            groups: self.groups.unwrap_or_default().into(),
            source_host,
        })
    }
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Hash forms: `*` and 40 hex digits; `*` (optional) and 64 hex digits, or `$A$005$` with salt and digest.
fn hashed_secret(native: Option<&str>, sha2: Option<&str>) -> Result<Secret, &'static str> {
    let mut secret = Secret { is_empty: false, native: None, sha2: OnceLock::new(), sha2_crypt: None };
    if let Some(text) = native {
        secret.native = Some(native_password::parse_stored(text.as_bytes()).ok_or("MysqlNativePassword")?);
    }
    match sha2 {
        Some(text) if text.starts_with("$A$") => {
            secret.sha2_crypt = Some(StoredCrypt::parse(text.as_bytes()).ok_or("CachingSha2Password")?);
        }
        Some(text) => {
            let digest = parse_stored_digest(text.as_bytes()).ok_or("CachingSha2Password")?;
            secret.sha2 = OnceLock::from(digest);
        }
        None => {}
    }
    Ok(secret)
}

/// The users now in force, and where they came from.
#[derive(Debug)]
pub struct UserStore {
    current: ArcSwap<Users>,
    file: Option<PathBuf>,
}

impl UserStore {
    /// Users that never change.
    pub fn fixed(users: Users) -> Self {
        Self { current: ArcSwap::from_pointee(users), file: None }
    }

    /// Users of a file.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let users = read(path)?;
        Ok(Self { current: ArcSwap::from_pointee(users), file: Some(path.to_owned()) })
    }

    /// The users now in force.
    pub fn current(&self) -> arc_swap::Guard<Arc<Users>> {
        self.current.load()
    }

    /// Looks at the file each `interval`, for ever, and takes it over when it has changed. A bad file changes
    /// nothing but the log.
    pub async fn watch(&self, interval: Duration) {
        let Some(path) = &self.file else { return };
        let mut seen = stamp(path);
        loop {
            tokio::time::sleep(interval).await;
            let now = stamp(path);
            if now != seen {
                seen = now;
                self.reload(path);
            }
        }
    }

    fn reload(&self, path: &Path) {
        match read(path) {
            Ok(users) => {
                tracing::info!(file = %path.display(), users = users.count(), "users reloaded");
                self.current.store(Arc::new(users));
            }
            Err(error) => tracing::error!(%error, "users file is bad, the old users stay"),
        }
    }
}

fn read(path: &Path) -> Result<Users, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Users::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// What changes when a file is rewritten or replaced.
fn stamp(path: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(json: &str) -> Users {
        Users::parse(json).unwrap()
    }

    #[test]
    fn reads_all_forms_of_vitess_entries() {
        let users = users(
            r#"{
            "plain": { "Password": "secret", "UserData": "app", "Groups": ["g1"] },
            "none": {},
            "rotating": [{ "Password": "old" }, { "Password": "new", "SourceHost": "localhost" }],
            "native": { "MysqlNativePassword": "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4" },
            "crypt": { "CachingSha2Password": "$A$005$12345678901234567890abcdefghijabcdefghijabcdefghijabcdefghij123", "Unknown": 1 },
            "digest": { "CachingSha2Password": "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855" }
        }"#,
        );
        let plain = &users.account("plain", false).entries[0];
        assert_eq!((&**plain.user_data(), plain.groups().len()), ("app", 1));
        assert!(plain.secret().native().is_some() && plain.secret().sha2().is_some());
        assert!(users.account("none", false).entries[0].secret().is_empty());
        assert_eq!(users.account("rotating", false).entries.len(), 1);
        assert_eq!(users.account("rotating", true).entries.len(), 2);
        let native = users.account("native", false);
        assert!(native.entries[0].secret().native().is_some() && !native.entries[0].secret().has_sha2());
        let crypt = users.account("crypt", false);
        assert!(crypt.entries[0].secret().has_sha2() && crypt.entries[0].secret().sha2().is_none());
        crypt.entries[0].secret().cache_sha2(b"x");
        assert_eq!(crypt.entries[0].secret().sha2(), Some(&stored_digest(b"x")));
        assert_eq!(users.account("digest", false).entries[0].secret().sha2().unwrap()[0], 0xE3);
    }

    #[test]
    fn a_password_gives_the_hash_that_mysql_shows() {
        let users = users(r#"{ "u": { "Password": "mypass" } }"#);
        let native = native_password::parse_stored(b"*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4");
        assert_eq!(users.account("u", false).entries[0].secret().native(), native.as_ref());
    }

    #[test]
    fn bad_entries_name_user_and_field() {
        for (json, part) in [
            (r#"{ "u": { "MysqlNativePassword": "*12" } }"#, "user 'u': MysqlNativePassword"),
            (r#"{ "u": { "CachingSha2Password": "zz" } }"#, "user 'u': CachingSha2Password"),
            (r#"{ "u": "#, "EOF"),
        ] {
            let error = Users::parse(json).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn unknown_names_meet_the_same_decoy_each_time() {
        let users = users(
            r#"{ "a": { "Password": "1" }, "b": { "MysqlNativePassword": "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4" } }"#,
        );
        for name in ["x", "y", "z"] {
            let first = users.account(name, false);
            assert!(!first.is_known);
            assert!(Arc::ptr_eq(&first.entries[0], &users.account(name, false).entries[0]));
        }
        assert!(!Users::parse("{}").unwrap().account("x", false).is_known);
    }

    #[tokio::test]
    async fn a_changed_file_is_taken_over_and_a_bad_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.json");
        std::fs::write(&path, r#"{ "a": {} }"#).unwrap();
        let store = Arc::new(UserStore::from_file(&path).unwrap());
        let watcher = tokio::spawn({
            let store = store.clone();
            async move { store.watch(Duration::from_millis(2)).await }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        std::fs::write(&path, r#"{ "a": {}, "bb": {} }"#).unwrap();
        while !store.current().account("bb", false).is_known {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        watcher.abort();
        std::fs::write(&path, "{ nonsense").unwrap();
        store.reload(&path);
        assert!(store.current().account("bb", false).is_known);
    }
}
