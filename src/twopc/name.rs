//! Names of distributed transactions and of their branches.
//!
//! A transaction is called `keyspace:shard:0123456789abcdef` after its coordinator, like Vitess's. An XID is that name
//! and the place of the branch, so that whoever finds a prepared branch on a server knows where the decision is
//! written, and can tell apart branches of several shards on one server.
//! <https://dev.mysql.com/doc/refman/9.0/en/xa-statements.html>

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::gateway::Target;

/// Says in `XA RECOVER` whose branches these are: "SG".
pub(super) const FORMAT_ID: u32 = 0x5347;

/// Both parts of an XID may have 64 bytes; a transaction's name ends with a colon and 16 digits.
const PLACE_BYTES_MAX: usize = 64 - 17;

/// `keyspace:shard`, or its hash where that is too long for an XID.
pub fn place_name(keyspace: &str, shard: &str) -> String {
    let name = format!("{keyspace}:{shard}");
    if name.len() <= PLACE_BYTES_MAX { name } else { format!("#{:016x}", xxh3_64(name.as_bytes())) }
}

/// The place of a target's shard.
pub(super) fn place_of(target: &Target) -> String {
    place_name(&target.keyspace, &target.shard)
}

/// The name of a new transaction.
///
/// # Errors
/// The operating system has no random numbers.
pub fn new_dtid(coordinator: &Target) -> Result<Arc<str>> {
    let number = getrandom::u64().map_err(|error| Error::bug(format!("no randomness: {error}")))?;
    Ok(format!("{}:{number:016x}", place_of(coordinator)).into())
}

/// The place of the coordinator in a transaction's name.
pub(super) fn coordinator_of(dtid: &str) -> &str {
    dtid.rsplit_once(':').map_or("", |(place, _)| place)
}

/// The XID of the branch at a place, as XA statements take it. Hexadecimal: no quoting, whatever the SQL mode is.
pub fn xid(dtid: &str, place: &str) -> Arc<str> {
    format!("{},{},{FORMAT_ID}", hex(dtid), hex(place)).into()
}

/// A text as a hexadecimal literal.
pub(super) fn hex(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_called_after_their_coordinator() {
        let target = Target::primary("bank".into(), "-80".into());
        let dtid = new_dtid(&target).unwrap();
        assert_eq!(coordinator_of(&dtid), "bank:-80");
        assert_eq!(dtid.len(), "bank:-80:".len() + 16);
        assert_ne!(dtid, new_dtid(&target).unwrap());
        assert_eq!(&*xid("a:-:1", "b"), "X'613a2d3a31',X'62',21319");
    }

    #[test]
    fn long_names_fit_as_hashes() {
        let long = "k".repeat(64);
        let dtid = new_dtid(&Target::primary(long.as_str().into(), "-80".into())).unwrap();
        assert!(dtid.len() <= 64 && dtid.starts_with('#'), "{dtid}");
        assert_eq!(coordinator_of(&dtid), place_name(&long, "-80"));
        assert_ne!(place_name(&long, "-80"), place_name(&long, "80-"));
    }
}
