//! The connection phase: greeting, TLS request, handshake response, and the packets of authentication.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>

mod attributes;
mod auth_more_data;
mod auth_switch;
mod change_user;
mod greeting;
mod handshake_response;
mod ssl_request;

pub use attributes::ConnectAttributes;
pub use auth_more_data::AuthMoreData;
pub use auth_switch::AuthSwitch;
pub use change_user::ChangeUser;
pub use greeting::Greeting;
pub use handshake_response::HandshakeResponse;
pub use ssl_request::SslRequest;

/// Bytes of the random data that passwords are mixed with.
pub const SALT_BYTES: usize = 20;

/// Random data that a server sends and a client's password is mixed with.
pub type Salt = [u8; SALT_BYTES];

/// Makes a salt from random bytes that is valid wherever salts travel: clients treat it as a C string, so it
/// has no NUL; it is ASCII, and `$` is left to MySQL's stored forms.
pub fn salt_from_random(random: Salt) -> Salt {
    random.map(|byte| match byte & 0x7F {
        0 | b'$' => 1 + (byte & 0x7F),
        other => other,
    })
}
