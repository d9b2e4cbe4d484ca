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
