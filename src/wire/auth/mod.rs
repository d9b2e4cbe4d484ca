//! Authentication plugins: what client and server compute from a password and a salt.
