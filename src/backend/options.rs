//! Where a server is, who logs in, and which connect-time choices a connection is made with.
//!
//! Plain data; connecting is in `connect.rs`. A backend password never appears in debug output.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::tls::Tls;
use crate::limits;

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendAddress {
    /// Host name or IP address, and port.
    Tcp { host: String, port: u16 },
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A password that does not show itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Box<str>);

impl Password {
    /// Wraps the clear text.
    pub fn new(clear_text: impl Into<Box<str>>) -> Self {
        Self(clear_text.into())
    }

    /// The clear text's bytes, for authentication only.
    pub fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether the account has no password.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Password(empty)" } else { "Password(…)" })
    }
}

/// Everything about connecting to one server that does not depend on the client.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where the server listens.
    pub address: BackendAddress,
    /// How error texts name the server: usually the tablet's alias.
    pub label: String,
    /// Account name.
    pub user: String,
    /// The account's password; may be empty.
    pub password: Password,
    /// Database that the connection begins in.
    pub database: Option<String>,
    /// Whether and how to encrypt.
    pub tls: Tls,
    /// Limit for TCP connect, TLS and authentication together.
    pub timeout: Duration,
}

impl ConnectOptions {
    /// Options with an empty password, no database, no TLS and the default time limit.
    pub fn new(address: BackendAddress, user: impl Into<String>) -> Self {
        Self {
            label: address.to_string(),
            address,
            user: user.into(),
            password: Password::default(),
            database: None,
            tls: Tls::disabled(),
            timeout: limits::BACKEND_CONNECT_TIMEOUT,
        }
    }
}

/// What a client negotiated and a server connection must match, because it can only be chosen while
/// connecting. Connections of different flavors never stand in for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flavor {
    /// `CLIENT_DEPRECATE_EOF`: result sets end with an OK packet and have no EOF after their columns.
    pub deprecate_eof: bool,
    /// `CLIENT_FOUND_ROWS`: affected rows count matched rows, not changed ones.
    pub found_rows: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_show() {
        let mut options = ConnectOptions::new(BackendAddress::Unix("/run/a.sock".into()), "vt_app");
        options.password = Password::new("hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn addresses_print_as_they_are_written() {
        let tcp = |host: &str| BackendAddress::Tcp { host: host.into(), port: 17200 }.to_string();
        assert_eq!(tcp("127.0.0.1"), "127.0.0.1:17200");
        assert_eq!(tcp("::1"), "[::1]:17200");
        assert_eq!(BackendAddress::Unix("/run/a.sock".into()).to_string(), "/run/a.sock");
    }
}
