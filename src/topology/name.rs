//! Names of cells, keyspaces and shards: one type each, so that none is mistaken for another.
//!
//! They are shared strings: cloning one copies no text.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::{InvalidKeyRange, KeyRange};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Arc::from(name))
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(Arc::from(name))
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

names! {
    /// A failure domain, such as a zone or a data centre.
    CellName;
    /// A logical database, in one shard or many.
    KeyspaceName;
    /// A part of a keyspace: `-80`, `80-c0`, …; an unsharded keyspace's only shard may have any name,
    /// usually `0` or `-`.
    ShardName;
}

impl ShardName {
    /// The key range that the name stands for. A name without `-` stands for everything.
    pub fn key_range(&self) -> Result<KeyRange, InvalidKeyRange> {
        if self.contains('-') { KeyRange::parse(self) } else { Ok(KeyRange::all()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_name_stands_for_its_range() {
        let range = |name: &str| ShardName::from(name).key_range().map(|range| range.to_string());
        assert_eq!(range("-80").unwrap(), "-80");
        assert_eq!(range("0").unwrap(), "-");
        assert_eq!(range("-").unwrap(), "-");
        assert!(range("x-80").is_err());
    }

    #[test]
    fn names_compare_with_text() {
        assert_eq!(KeyspaceName::from("customer"), "customer");
        assert_eq!(format!("{:>5}|{:?}", CellName::from("z1"), CellName::from("z1")), "   z1|\"z1\"");
    }
}
