//! Proving who a client is, for the handshake and for COM_CHANGE_USER: `caching_sha2_password` (fast and full) and
//! `mysql_native_password`, with a switch between them.
//!
//! A name that does not exist goes through the exchange of some other account and then fails, so that answers do
//! not tell which names exist. See "Authentication Phase" and "caching_sha2_password information" in
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::client_stream::ClientStream;
use super::rsa_key::RsaKey;
use super::users::{Account, Secret, UserEntry, UserStore};
use crate::config::AuthPlugin;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::net::PacketError;
use crate::wire::Capabilities;
use crate::wire::auth::{caching_sha2_password, native_password};
use crate::wire::connect::{AuthMoreData, AuthSwitch, Salt, salt_from_random};

/// What every login needs.
#[derive(Debug)]
pub struct Authenticator {
    /// The users.
    pub users: Arc<UserStore>,
    /// For whole passwords over unencrypted connections.
    pub rsa_key: Arc<RsaKey>,
    /// What the greeting names, and what clients with unknown plugins are asked for.
    pub default_plugin: AuthPlugin,
    /// Strangers can ask for this many slow verifications at once.
    verifications: Semaphore,
}

/// Verifications of crypt strings at once: each takes milliseconds of CPU.
const VERIFICATIONS_MAX: usize = 2;

/// One attempt to log in.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Name of the account.
    pub user: &'a str,
    /// Plugin that `response` was made with, when the client names one that the router knows.
    pub plugin: Option<AuthPlugin>,
    /// The client's answer to the salt that it was greeted with; `None` has it asked for one.
    pub response: Option<&'a [u8]>,
}

impl Authenticator {
    /// Logins of `users`; `default_plugin` is what the greeting names.
    pub fn new(users: Arc<UserStore>, rsa_key: Arc<RsaKey>, default_plugin: AuthPlugin) -> Self {
        let verifications = Semaphore::new(VERIFICATIONS_MAX);
        Self { users, rsa_key, default_plugin, verifications }
    }

    /// Finishes the exchange up to, but not including, the final OK or ERR packet.
    ///
    /// # Errors
    /// 1045 for a wrong name or password, 1251 for a client that cannot use the account's plugin; anything else
    /// means that the exchange broke.
    pub async fn authenticate(
        &self,
        stream: &mut ClientStream,
        attempt: Attempt<'_>,
    ) -> Result<Arc<UserEntry>> {
        let account = self.users.current().account(attempt.user, stream.is_local());
        let plugin = self.choose_plugin(&account, attempt.plugin, stream.capabilities());
        let response = match attempt.response {
            Some(response) if Some(plugin) == attempt.plugin => response.to_vec(),
            _ => switch(stream, plugin).await?,
        };
        let salt = stream.salt();
        let found = match plugin {
            AuthPlugin::CachingSha2Password => self.caching_sha2(stream, &account, &response).await?,
            AuthPlugin::MysqlNativePassword => find(&account, |secret| native(secret, &salt, &response)),
        };
        match found {
            Some(entry) if account.is_known => Ok(entry),
            _ => Err(access_denied(attempt.user, stream.entry().host(), !is_empty_password(&response))),
        }
    }

    /// The plugin that the client used, if the account has a hash for it, else the one that the account has.
    fn choose_plugin(
        &self,
        account: &Account,
        used: Option<AuthPlugin>,
        capabilities: Capabilities,
    ) -> AuthPlugin {
        let has = |plugin| account.entries.iter().any(|entry| supports(entry.secret(), plugin));
        let is_mariadb = !capabilities.contains(Capabilities::LONG_PASSWORD);
        let preferred = match used {
            Some(plugin) => plugin,
            None if is_mariadb => AuthPlugin::MysqlNativePassword,
            None => self.default_plugin,
        };
        match preferred {
            plugin if has(plugin) => plugin,
            AuthPlugin::CachingSha2Password => AuthPlugin::MysqlNativePassword,
            AuthPlugin::MysqlNativePassword => AuthPlugin::CachingSha2Password,
        }
    }

    async fn caching_sha2(
        &self,
        stream: &mut ClientStream,
        account: &Account,
        response: &[u8],
    ) -> Result<Option<Arc<UserEntry>>> {
        if is_empty_password(response) {
            return Ok(find(account, Secret::is_empty));
        }
        let salt = stream.salt();
        let fast = |secret: &Secret| {
            secret.sha2().is_some_and(|digest| caching_sha2_password::verify(response, &salt, digest))
        };
        if let Some(entry) = find(account, fast) {
            send_more(stream, &[caching_sha2_password::FAST_AUTH_OK]);
            return Ok(Some(entry));
        }
        // Only a crypt string whose password was not seen yet needs the password itself.
        let needs_password = |secret: &Secret| secret.sha2_crypt().is_some() && secret.sha2().is_none();
        if !account.entries.iter().any(|entry| needs_password(entry.secret())) {
            return Ok(None);
        }
        send_more(stream, &[caching_sha2_password::FULL_AUTH]);
        let password = self.whole_password(stream).await?;
        let Some(password) = password else { return Ok(None) };
        let _permit = self.verifications.acquire().await.map_err(|_| Error::bug("semaphore closed"))?;
        verify_crypt(account, password).await
    }

    /// The password as the client sends it for full authentication; `None` when it cannot be read.
    async fn whole_password(&self, stream: &mut ClientStream) -> Result<Option<Vec<u8>>> {
        let mut answer = read(stream).await?;
        if stream.is_secure() {
            // In the clear, as a C string.
            return Ok((answer.pop() == Some(0)).then_some(answer));
        }
        if answer == [caching_sha2_password::REQUEST_PUBLIC_KEY] {
            let Some(pem) = self.rsa_key.public_pem().await else { return Ok(None) };
            send_more(stream, pem.as_bytes());
            answer = read(stream).await?;
        }
        Ok(self.rsa_key.decrypt(answer, stream.salt()).await)
    }
}

/// The error of a refused login, in MySQL's words.
pub fn access_denied(user: &str, host: &str, has_password: bool) -> Error {
    let using = if has_password { "YES" } else { "NO" };
    let text = format!("Access denied for user '{user}'@'{host}' (using password: {using})");
    Error::new(ErrorKind::AccessDenied, text)
}

/// Name of a plugin in packets.
pub const fn plugin_name(plugin: AuthPlugin) -> &'static str {
    match plugin {
        AuthPlugin::CachingSha2Password => caching_sha2_password::NAME,
        AuthPlugin::MysqlNativePassword => native_password::NAME,
    }
}

/// The plugin with this name, if the router knows it.
pub fn plugin_from_name(name: &[u8]) -> Option<AuthPlugin> {
    [AuthPlugin::CachingSha2Password, AuthPlugin::MysqlNativePassword]
        .into_iter()
        .find(|plugin| plugin_name(*plugin).as_bytes() == name)
}

/// Random data for one connection.
///
/// # Errors
/// When the system has no randomness.
pub fn random_salt() -> Result<Salt> {
    let mut random = Salt::default();
    getrandom::fill(&mut random).map_err(|error| Error::bug(format!("no randomness: {error}")))?;
    Ok(salt_from_random(random))
}

fn supports(secret: &Secret, plugin: AuthPlugin) -> bool {
    match plugin {
        AuthPlugin::CachingSha2Password => secret.has_sha2(),
        AuthPlugin::MysqlNativePassword => secret.native().is_some(),
    }
}

/// Looks at every entry, so that the time taken does not tell which one fits.
fn find(account: &Account, fits: impl Fn(&Secret) -> bool) -> Option<Arc<UserEntry>> {
    account.entries.iter().fold(None, |found, entry| {
        let fits = fits(entry.secret());
        found.or_else(|| fits.then(|| entry.clone()))
    })
}

fn native(secret: &Secret, salt: &Salt, response: &[u8]) -> bool {
    if response.is_empty() {
        return secret.is_empty();
    }
    secret.native().is_some_and(|stored| native_password::verify(response, salt, stored))
}

/// Some clients send an empty password as one NUL.
fn is_empty_password(response: &[u8]) -> bool {
    matches!(response, [] | [0])
}

/// Asks for another plugin's answer to a new salt.
async fn switch(stream: &mut ClientStream, plugin: AuthPlugin) -> Result<Vec<u8>> {
    if !stream.capabilities().contains(Capabilities::PLUGIN_AUTH) {
        let text = "Client does not support authentication protocol requested by server; consider upgrading MySQL client";
        return Err(Error::new(ErrorKind::OldAuthentication, text));
    }
    let salt = random_salt()?;
    stream.set_salt(salt);
    let mut data = salt.to_vec();
    data.push(0);
    stream.packet(|out| AuthSwitch { plugin: plugin_name(plugin).as_bytes(), data: &data }.encode(out));
    read(stream).await
}

fn send_more(stream: &mut ClientStream, data: &[u8]) {
    stream.packet(|out| AuthMoreData { data }.encode(out));
}

async fn read(stream: &mut ClientStream) -> Result<Vec<u8>> {
    let answer = stream.exchange(limits::HANDSHAKE_PACKET_BYTES_MAX).await;
    match answer.map_err(PacketError::into_client_error)? {
        Some(packet) => Ok(packet.to_vec()),
        None => Err(Error::new(ErrorKind::BadHandshake, "Bad handshake: the client left")),
    }
}

/// Thousands of hash rounds: on a blocking thread.
async fn verify_crypt(account: &Account, password: Vec<u8>) -> Result<Option<Arc<UserEntry>>> {
    let account = account.clone();
    let verified = tokio::task::spawn_blocking(move || {
        let fits = |secret: &Secret| secret.sha2_crypt().is_some_and(|crypt| crypt.verify(&password));
        let found = find(&account, fits);
        if let Some(entry) = &found {
            entry.secret().cache_sha2(&password);
        }
        found
    });
    verified.await.map_err(|_| Error::bug("verification of a password panicked"))
}
