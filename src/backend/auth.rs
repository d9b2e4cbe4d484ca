//! Our side of the authentication plugins.
//!
//! ```text
//!   answer ─▶ OK
//!          ─▶ AuthSwitch ─▶ answer of the other plugin ─▶ …            (once)
//!          ─▶ more data 3 (fast path) ─▶ OK                            caching_sha2_password
//!          ─▶ more data 4 (full)      ─▶ password in a secure channel ─▶ OK
//!                                     ─▶ ask for key ─▶ password by RSA ─▶ OK
//! ```
//! A clear password leaves this process only through TLS or a unix socket. MySQL manual: "Authentication
//! Phase", "Caching SHA-2 Pluggable Authentication".

use rsa::rand_core::OsRng;

use super::channel::Channel;
use super::connect::{ConnectError, send};
use super::options::Password;
use crate::limits;
use crate::wire::auth::caching_sha2_password::{FAST_AUTH_OK, FULL_AUTH, REQUEST_PUBLIC_KEY};
use crate::wire::auth::{caching_sha2_password, clear_password, native_password, rsa::encrypt_password};
use crate::wire::connect::{AuthMoreData, AuthSwitch, Salt};
use crate::wire::response::{ERR_HEADER, OK_HEADER};
use crate::wire::{Malformed, OkPacket, StatusFlags};

/// A plugin that we can answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    CachingSha2,
    Clear,
    Native,
}

impl Plugin {
    /// The plugin for the first answer: the server's default if we know it. A guess does no harm, the
    /// server asks for the account's own plugin afterwards.
    pub(super) fn for_greeting(name: &[u8]) -> Self {
        match Self::parse(name) {
            Some(Self::CachingSha2) => Self::CachingSha2,
            _ => Self::Native,
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        [Self::CachingSha2, Self::Clear, Self::Native].into_iter().find(|plugin| plugin.name() == name)
    }

    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::CachingSha2 => caching_sha2_password::NAME.as_bytes(),
            Self::Clear => clear_password::NAME.as_bytes(),
            Self::Native => native_password::NAME.as_bytes(),
        }
    }

    /// The answer to a salt; empty for an empty password. The clear password only if the channel is secure.
    pub(super) fn answer(self, password: &Password, salt: &Salt, is_secure: bool) -> Vec<u8> {
        match self {
            Self::CachingSha2 => caching_sha2_password::scramble(password.reveal(), salt),
            Self::Native => native_password::scramble(password.reveal(), salt),
            Self::Clear if is_secure => clear_password::response(password.reveal()),
            Self::Clear => Vec::new(),
        }
    }
}

/// What follows the first answer, until the server accepts or refuses.
pub(super) async fn run(
    channel: &mut Channel,
    plugin: Plugin,
    salt: &Salt,
    password: &Password,
    is_secure: bool,
) -> Result<StatusFlags, ConnectError> {
    let mut exchange = Exchange { plugin, salt: *salt, password, is_secure, steps: 0 };
    loop {
        let payload = channel.payload(limits::HANDSHAKE_PACKET_BYTES_MAX).await?;
        match exchange.step(payload)? {
            Step::Accepted(status) => return Ok(status),
            Step::Read => {}
            Step::Send(answer) => send(channel, |out| out.extend_from_slice(&answer)).await?,
        }
    }
}

/// One authentication, without I/O.
struct Exchange<'a> {
    plugin: Plugin,
    salt: Salt,
    password: &'a Password,
    is_secure: bool,
    /// Packets seen so far, so that a server cannot go on for ever.
    steps: usize,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Accepted(StatusFlags),
    Read,
    Send(Vec<u8>),
}

/// The longest sensible exchange: switch, full authentication, key, OK.
const STEPS_MAX: usize = 6;

impl Exchange<'_> {
    fn step(&mut self, payload: &[u8]) -> Result<Step, ConnectError> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Malformed::new("authentication: it does not end").into());
        }
        match payload.first() {
            Some(&OK_HEADER) => Ok(Step::Accepted(OkPacket::decode(payload)?.status)),
            Some(&ERR_HEADER) => Err(ConnectError::refused(payload)),
            Some(&AuthSwitch::HEADER) => self.switch(payload),
            Some(&AuthMoreData::HEADER) => self.more_data(AuthMoreData::decode(payload)?.data),
            _ => Err(Malformed::new("authentication packet").into()),
        }
    }

    fn switch(&mut self, payload: &[u8]) -> Result<Step, ConnectError> {
        let switch = AuthSwitch::decode(payload)?;
        let Some(plugin) = Plugin::parse(switch.plugin) else {
            let name = String::from_utf8_lossy(switch.plugin);
            return Err(ConnectError(format!(
                "the account uses the authentication plugin '{name}', which is not supported \
                 (use caching_sha2_password or mysql_native_password)"
            )));
        };
        self.plugin = plugin;
        if plugin == Plugin::Clear {
            return self.clear_password();
        }
        self.salt = switch.salt()?;
        Ok(Step::Send(plugin.answer(self.password, &self.salt, self.is_secure)))
    }

    fn more_data(&mut self, data: &[u8]) -> Result<Step, ConnectError> {
        if self.plugin != Plugin::CachingSha2 {
            return Err(Malformed::new("authentication data").into());
        }
        match data {
            [FAST_AUTH_OK] => Ok(Step::Read),
            [FULL_AUTH] if self.is_secure => self.clear_password(),
            [FULL_AUTH] => Ok(Step::Send(vec![REQUEST_PUBLIC_KEY])),
            key if key.starts_with(b"-----BEGIN") => {
                let password = self.password.reveal();
                Ok(Step::Send(encrypt_password(&mut OsRng, key, password, &self.salt)?))
            }
            _ => Err(Malformed::new("authentication data").into()),
        }
    }

    fn clear_password(&self) -> Result<Step, ConnectError> {
        if !self.is_secure {
            return Err(ConnectError(
                "the server wants the password in the clear; that needs TLS or a unix socket".to_owned(),
            ));
        }
        Ok(Step::Send(clear_password::response(self.password.reveal())))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::backend::fake_server::{Peer, SALT};
    use crate::backend::{BackendAddress, BackendConnection, ConnectOptions, Flavor};
    use crate::error::{ErrorKind, Result, Retry};
    use crate::wire::Capabilities;
    use crate::wire::auth::rsa::decrypt_password;

    const OTHER_SALT: Salt = *b"ABCDEFGHIJKLMNOPQRST";

    /// Connects as 'app' with `password` to a server that greets with `plugin` and then follows `script`.
    async fn check<S: Future<Output = ()> + Send>(
        plugin: &'static str,
        password: &str,
        script: impl FnOnce(Peer, Vec<u8>) -> S,
    ) -> Result<BackendConnection> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = BackendAddress::Tcp { host: "127.0.0.1".into(), port };
        let mut options = ConnectOptions::new(address, "app");
        options.password = Password::new(password);
        options.database = Some("vt_customer".into());
        let server = async {
            let mut peer = Peer::accept(&listener).await;
            peer.greet(plugin, Capabilities::empty(), "9.7.0", 7).await;
            let login = peer.login().await.unwrap();
            assert_eq!((&*login.user, login.database.as_deref()), ("app", Some("vt_customer")));
            script(peer, login.auth_response).await;
        };
        let options = std::sync::Arc::new(options);
        let connecting = BackendConnection::connect(&options, Flavor::default());
        tokio::join!(connecting, server).0
    }

    #[tokio::test]
    async fn native_password() {
        let connection = check("mysql_native_password", "secret", |mut peer, answer| async move {
            let stored = native_password::stored(b"secret");
            assert!(native_password::verify(&answer, &SALT, &stored));
            peer.ok(StatusFlags::AUTOCOMMIT).await;
        });
        let connection = connection.await.unwrap();
        assert_eq!(connection.thread_id(), 7);
        assert!(connection.is_reusable());
        assert_eq!(connection.connect_names().collation.as_deref(), Some("utf8mb4_0900_ai_ci"));
    }

    #[tokio::test]
    async fn empty_passwords_give_empty_answers() {
        for plugin in ["mysql_native_password", "caching_sha2_password", "client_ed25519"] {
            let connected = check(plugin, "", |mut peer, answer| async move {
                assert!(answer.is_empty());
                peer.ok(StatusFlags::AUTOCOMMIT).await;
            });
            connected.await.unwrap();
        }
    }

    #[tokio::test]
    async fn caching_sha2_fast_path() {
        let connected = check("caching_sha2_password", "secret", |mut peer, answer| async move {
            let stored = caching_sha2_password::stored_digest(b"secret");
            assert!(caching_sha2_password::verify(&answer, &SALT, &stored));
            peer.send(|out| AuthMoreData { data: &[FAST_AUTH_OK] }.encode(out)).await;
            peer.ok(StatusFlags::AUTOCOMMIT).await;
        });
        connected.await.unwrap();
    }

    #[tokio::test]
    async fn caching_sha2_full_authentication_by_rsa() {
        use rsa::pkcs8::{EncodePublicKey, LineEnding};
        let private = rsa::RsaPrivateKey::new(&mut OsRng, 1024).unwrap();
        let public = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let connected = check("caching_sha2_password", "secret", |mut peer, _| async move {
            peer.send(|out| AuthMoreData { data: &[FULL_AUTH] }.encode(out)).await;
            assert_eq!(peer.read().await.unwrap(), [REQUEST_PUBLIC_KEY]);
            peer.send(|out| AuthMoreData { data: public.as_bytes() }.encode(out)).await;
            let sealed = peer.read().await.unwrap();
            let password = decrypt_password(&mut OsRng, &private, &sealed, &SALT).unwrap();
            assert_eq!(password, b"secret");
            peer.ok(StatusFlags::AUTOCOMMIT).await;
        });
        connected.await.unwrap();
    }

    #[tokio::test]
    async fn switches_in_both_directions() {
        let to_native = check("caching_sha2_password", "secret", |mut peer, _| async move {
            let data = [&OTHER_SALT[..], b"\0"].concat();
            peer.send(|out| AuthSwitch { plugin: b"mysql_native_password", data: &data }.encode(out)).await;
            let answer = peer.read().await.unwrap();
            assert!(native_password::verify(&answer, &OTHER_SALT, &native_password::stored(b"secret")));
            peer.ok(StatusFlags::AUTOCOMMIT).await;
        });
        to_native.await.unwrap();
        let to_sha2 = check("mysql_native_password", "secret", |mut peer, _| async move {
            let data = [&OTHER_SALT[..], b"\0"].concat();
            peer.send(|out| AuthSwitch { plugin: b"caching_sha2_password", data: &data }.encode(out)).await;
            let answer = peer.read().await.unwrap();
            let stored = caching_sha2_password::stored_digest(b"secret");
            assert!(caching_sha2_password::verify(&answer, &OTHER_SALT, &stored));
            peer.send(|out| AuthMoreData { data: &[FAST_AUTH_OK] }.encode(out)).await;
            peer.ok(StatusFlags::AUTOCOMMIT).await;
        });
        to_sha2.await.unwrap();
    }

    #[tokio::test]
    async fn refusals_name_server_user_and_reason() {
        let refused = check("mysql_native_password", "wrong", |mut peer, _| async move {
            peer.err(1045, "Access denied for user 'app'").await;
        });
        let error = refused.await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (Some(ErrorKind::ConnectFailed), Retry::FreshConnection));
        let text = String::from_utf8_lossy(error.message()).into_owned();
        assert!(text.starts_with("VT14001: cannot connect to 127.0.0.1:"), "{text}");
        assert!(text.ends_with("as 'app': Access denied for user 'app' (errno 1045)"), "{text}");
    }

    #[tokio::test]
    async fn the_password_is_not_given_away_in_the_clear() {
        let asked = check("mysql_native_password", "secret", |mut peer, _| async move {
            peer.send(|out| AuthSwitch { plugin: b"mysql_clear_password", data: &[] }.encode(out)).await;
            assert_eq!(peer.read().await, None);
        });
        assert!(String::from_utf8_lossy(asked.await.unwrap_err().message()).contains("needs TLS"));
    }

    #[tokio::test]
    async fn hostile_servers_are_refused() {
        let packets: [&[u8]; 6] =
            [&[], &[0x00], &[0x01, 9, 9], &[0x55; 40], b"\xFEunknown_plugin\0salt", &[0xFE, b'x', 0, 1]];
        for packet in packets {
            let refused = check("caching_sha2_password", "secret", |mut peer, _| async move {
                peer.send(|out| out.extend_from_slice(packet)).await;
            });
            assert_eq!(refused.await.unwrap_err().kind(), Some(ErrorKind::ConnectFailed), "{packet:?}");
        }
    }

    #[test]
    fn exchanges_end() {
        let password = Password::new("secret");
        let mut exchange = Exchange {
            plugin: Plugin::CachingSha2,
            salt: SALT,
            password: &password,
            is_secure: true,
            steps: 0,
        };
        let outcomes: Vec<_> = (0..10).map(|_| exchange.step(&[1, 3]).is_ok()).collect();
        assert_eq!(outcomes.iter().filter(|ok| **ok).count(), STEPS_MAX);
    }

    #[test]
    fn full_authentication_in_a_secure_channel_sends_the_password() {
        let password = Password::new("secret");
        let mut exchange = Exchange {
            plugin: Plugin::CachingSha2,
            salt: SALT,
            password: &password,
            is_secure: true,
            steps: 0,
        };
        assert_eq!(exchange.step(&[1, 4]).ok(), Some(Step::Send(b"secret\0".to_vec())));
    }
}
