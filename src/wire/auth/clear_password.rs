//! `mysql_clear_password`: the password as it is, for servers that must know it. Only for secure connections.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/cleartext-pluggable-authentication.html>

/// Name of the plugin.
pub const NAME: &str = "mysql_clear_password";

/// The client's answer: the password and a NUL.
pub fn response(password: &[u8]) -> Vec<u8> {
    [password, b"\0"].concat()
}

/// The password in a client's answer.
pub fn password(response: &[u8]) -> &[u8] {
    response.strip_suffix(b"\0").unwrap_or(response)
}

#[cfg(test)]
mod tests {
    #[test]
    fn round_trip() {
        assert_eq!(super::response(b"secret"), b"secret\0");
        assert_eq!(super::password(b"secret\0"), b"secret");
        assert_eq!(super::password(b""), b"");
    }
}
