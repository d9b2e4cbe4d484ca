//! Logging in: the handshake response and what may follow it. Full authentication of `caching_sha2_password`
//! (TLS or RSA) is left to the stock clients' tests; here the fast path must do.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::packet::{Cursor, PacketIo};
use super::{ClientError, Greeting, OkReply, Options, Result, ServerError, decode};

/// utf8mb4_general_ci, which both engines have under the same number.
const COLLATION: u8 = 45;

pub fn handshake_response(options: &Options, capabilities: u32, greeting: &Greeting) -> Vec<u8> {
    let mut out = capabilities.to_le_bytes().to_vec();
    out.extend_from_slice(&(1u32 << 30).to_le_bytes());
    out.push(COLLATION);
    out.extend_from_slice(&[0; 23]);
    out.extend_from_slice(options.user.as_bytes());
    out.push(0);
    let scramble = scramble(&greeting.plugin, &options.password, &greeting.salt);
    out.push(u8::try_from(scramble.len()).expect("at most 32 bytes"));
    out.extend_from_slice(&scramble);
    if let Some(database) = &options.database {
        out.extend_from_slice(database.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(greeting.plugin.as_bytes());
    out.push(0);
    if !options.attributes.is_empty() {
        let mut attributes = Vec::new();
        for (name, value) in &options.attributes {
            super::packet::put_lenenc_bytes(&mut attributes, name.as_bytes());
            super::packet::put_lenenc_bytes(&mut attributes, value.as_bytes());
        }
        super::packet::put_lenenc_bytes(&mut out, &attributes);
    }
    out
}

/// Answers auth switches until the server says OK or refuses.
pub fn finish(io: &mut PacketIo, options: &Options) -> Result<Result<OkReply, ServerError>> {
    loop {
        let packet = io.read()?;
        match packet.first() {
            Some(0x00) => return Ok(Ok(decode::ok(&packet)?)),
            Some(0xFF) => return Ok(Err(decode::error(&packet)?)),
            Some(0xFE) => {
                let mut cursor = Cursor::new(&packet);
                cursor.u8()?;
                let plugin = String::from_utf8_lossy(cursor.null_terminated()?).into_owned();
                let mut salt = cursor.remaining().to_vec();
                if salt.last() == Some(&0) {
                    salt.pop();
                }
                io.write(&scramble(&plugin, &options.password, &salt))?;
            }
            // Fast authentication succeeded; OK follows.
            Some(0x01) if packet.get(1) == Some(&0x03) => {}
            Some(0x01) => return Err(ClientError("the server wants full authentication".to_owned())),
            _ => return Err(ClientError("an unknown packet in the login".to_owned())),
        }
    }
}

pub fn scramble(plugin: &str, password: &str, salt: &[u8]) -> Vec<u8> {
    let salt = &salt[..salt.len().min(20)];
    if password.is_empty() {
        return Vec::new();
    }
    if plugin == "caching_sha2_password" {
        let once = Sha256::digest(password.as_bytes());
        let twice = Sha256::digest(once);
        let mixed = Sha256::new().chain_update(twice).chain_update(salt).finalize();
        return once.iter().zip(mixed.iter()).map(|(a, b)| a ^ b).collect();
    }
    let once = Sha1::digest(password.as_bytes());
    let twice = Sha1::digest(once);
    let mixed = Sha1::new().chain_update(salt).chain_update(twice).finalize();
    once.iter().zip(mixed.iter()).map(|(a, b)| a ^ b).collect()
}
