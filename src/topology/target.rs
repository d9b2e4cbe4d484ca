//! Target strings: what `USE`, COM_INIT_DB and the connect-time database may name.
//!
//! ```text
//! target := keyspace? range? (("/" | ":") shard)? ("@" type ("|" alias)?)?
//! range  := "[" keyspace id "]" | "[" start "-" end "]"
//! ```
//! As in Vitess, `@` is split at its last occurrence, then `/` or `:`, then `[`. Examples: `customer`,
//! `customer:-80@replica`, `@primary`, `customer[80-c0]`, `customer:-80@replica|zone1-0000000100`.

use std::fmt;

use super::{Destination, InvalidKeyspaceId, TabletAlias, TabletType};
use super::{InvalidKeyRange, InvalidTabletAlias, KeyRange, KeyspaceId, KeyspaceName, ShardName};
use crate::error::{Error, ErrorKind};
use crate::limits;

/// What a target string names; parts that it leaves out stay as the session has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetString {
    /// The keyspace; `None` leaves the choice to the statement's tables.
    pub keyspace: Option<KeyspaceName>,
    /// The part of the keyspace.
    pub destination: TargetDestination,
    /// The kind of tablet; [`TabletType::Unknown`] for a word that names none, which serves nothing.
    pub tablet_type: Option<TabletType>,
    /// One certain tablet of the shard.
    pub alias: Option<TabletAlias>,
}

/// The part of a keyspace that a target string names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetDestination {
    /// None named: statements are routed by their content.
    Any,
    /// The shards whose ranges make up exactly this one.
    KeyRange(KeyRange),
    /// The shard that holds the id.
    KeyspaceId(KeyspaceId),
    /// The named shard.
    Shard(ShardName),
}

/// Why a text is no target string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// A malformed alias.
    #[error(transparent)]
    Alias(#[from] InvalidTabletAlias),
    /// An alias without a shard.
    #[error("tablet alias must be used with a shard")]
    AliasWithoutShard,
    /// Something follows `]`.
    #[error("invalid key range provided. Unexpected text after range end ']'")]
    AfterRange,
    /// A shard and a range are both given.
    #[error("a target names a shard or a key range, not both: {0}")]
    Both(String),
    /// Nothing follows `:` or `/`.
    #[error("empty shard name in target {0}")]
    EmptyShard(String),
    /// Nothing follows `@`.
    #[error("empty tablet type after @")]
    EmptyType,
    /// A malformed keyspace id.
    #[error(transparent)]
    KeyspaceId(#[from] InvalidKeyspaceId),
    /// A malformed key range.
    #[error(transparent)]
    Range(#[from] InvalidKeyRange),
    /// `[` without `]`.
    #[error("invalid key range provided. Couldn't find range end ']'")]
    RangeEnd,
    /// Longer than any real target.
    #[error("target string is longer than {} bytes", limits::TARGET_BYTES_MAX)]
    TooLong,
    /// An unknown type before `|`.
    #[error("unknown tablet type: {0}")]
    Type(String),
}

impl TargetString {
    /// Reads a target string. That keyspace, shard and tablet exist is not looked at.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        if text.len() > limits::TARGET_BYTES_MAX {
            return Err(InvalidTarget::TooLong);
        }
        let (place, tablet) = match text.rsplit_once('@') {
            Some((place, tablet)) => (place, Some(tablet)),
            None => (text, None),
        };
        let (tablet_type, alias) = tablet.map_or(Ok((None, None)), parse_tablet)?;
        let (rest, shard) = match place.rfind(['/', ':']) {
            Some(at) => (&place[..at], Some(&place[at + 1..])),
            None => (place, None),
        };
        let (keyspace, range) = parse_range(rest)?;
        let destination = match (range, shard) {
            (Some(_), Some(_)) => return Err(InvalidTarget::Both(text.to_owned())),
            (None, Some("")) => return Err(InvalidTarget::EmptyShard(text.to_owned())),
            (None, Some(shard)) => TargetDestination::Shard(shard.into()),
            (Some(range), None) => range,
            (None, None) => TargetDestination::Any,
        };
        if alias.is_some() && !matches!(destination, TargetDestination::Shard(_)) {
            return Err(InvalidTarget::AliasWithoutShard);
        }
        let keyspace = (!keyspace.is_empty()).then(|| keyspace.into());
        Ok(Self { keyspace, destination, tablet_type, alias })
    }
}

/// `type` or `type|alias`, behind the `@`.
fn parse_tablet(text: &str) -> Result<(Option<TabletType>, Option<TabletAlias>), InvalidTarget> {
    let (name, alias) = match text.split_once('|') {
        Some((name, alias)) => (name, Some(TabletAlias::parse(alias)?)),
        None => (text, None),
    };
    let kind = match TabletType::parse(name) {
        Some(kind) => kind,
        None if name.is_empty() => return Err(InvalidTarget::EmptyType),
        None if alias.is_some() => return Err(InvalidTarget::Type(name.to_owned())),
        // Vitess takes any word here and fails later, for want of a tablet.
        None => TabletType::Unknown,
    };
    Ok((Some(kind), alias))
}

/// Splits `keyspace[range]`.
fn parse_range(text: &str) -> Result<(&str, Option<TargetDestination>), InvalidTarget> {
    let Some((keyspace, rest)) = text.rsplit_once('[') else {
        return Ok((text, None));
    };
    let (range, after) = rest.split_once(']').ok_or(InvalidTarget::RangeEnd)?;
    if !after.is_empty() {
        return Err(InvalidTarget::AfterRange);
    }
    let destination = if range.contains('-') {
        TargetDestination::KeyRange(KeyRange::parse(range)?)
    } else {
        TargetDestination::KeyspaceId(KeyspaceId::parse(range)?)
    };
    Ok((keyspace, Some(destination)))
}

impl TargetDestination {
    /// The destination that overrides routing by content; `None` when nothing is named.
    pub fn to_destination(&self) -> Option<Destination> {
        match self {
            Self::Any => None,
            Self::KeyRange(range) => Some(Destination::ExactKeyRange(range.clone())),
            Self::KeyspaceId(id) => Some(Destination::KeyspaceId(id.clone())),
            Self::Shard(name) => Some(Destination::Shard(name.clone())),
        }
    }
}

impl fmt::Display for TargetString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(keyspace) = &self.keyspace {
            f.write_str(keyspace)?;
        }
        match &self.destination {
            TargetDestination::Any => {}
            TargetDestination::KeyRange(range) => write!(f, "[{range}]")?,
            TargetDestination::KeyspaceId(id) => write!(f, "[{id}]")?,
            TargetDestination::Shard(name) => write!(f, ":{name}")?,
        }
        if let Some(kind) = self.tablet_type {
            write!(f, "@{kind}")?;
        }
        self.alias.as_ref().map_or(Ok(()), |alias| write!(f, "|{alias}"))
    }
}

impl From<InvalidTarget> for Error {
    fn from(error: InvalidTarget) -> Self {
        Self::new(ErrorKind::InvalidTarget, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The canonical print, or the error.
    fn check(text: &str, expected: &str) {
        let found =
            TargetString::parse(text).map_or_else(|error| error.to_string(), |target| target.to_string());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_form() {
        check("", "");
        check("ks", "ks");
        check("ks@replica", "ks@replica");
        check("ks@MASTER", "ks@primary");
        check("ks@master", "ks@primary");
        check("ks@batch", "ks@rdonly");
        check("@replica", "@replica");
        check("ks:-80@rdonly", "ks:-80@rdonly");
        check("ks/-80", "ks:-80");
        check("ks:-80@replica", "ks:-80@replica");
        check(":-80", ":-80");
        check("ks[deadbeef]@primary", "ks[deadbeef]@primary");
        check("ks[10-20]", "ks[10-20]");
        check("ks[-]", "ks[-]");
        check("[80-]@replica", "[80-]@replica");
        check("ks:-80@replica|zone1-100", "ks:-80@replica|zone1-0000000100");
        check("ks:-80@Replica|zone1-0000000100", "ks:-80@replica|zone1-0000000100");
        check("ks@nonsense", "ks@unknown");
    }

    #[test]
    fn every_error() {
        check("ks@", "empty tablet type after @");
        check("@", "empty tablet type after @");
        check("ks:-80@|zone1-1", "empty tablet type after @");
        check("ks[10-20", "invalid key range provided. Couldn't find range end ']'");
        check("ks]10[", "invalid key range provided. Couldn't find range end ']'");
        check("ks[10]x", "invalid key range provided. Unexpected text after range end ']'");
        check("ks[10-20-30]", "single keyrange expected in 10-20-30");
        check("ks[20-10]", "key range 20-10: the start must be before the end");
        check("ks[qrnqorrs]@primary", "expected valid hex in keyspace id qrnqorrs");
        check("ks[xx-80]", "key range xx-80: bounds must be pairs of hexadecimal digits");
        check("ks:", "empty shard name in target ks:");
        check("ks[80-]:-80", "a target names a shard or a key range, not both: ks[80-]:-80");
        check("ks@replica|zone1-100", "tablet alias must be used with a shard");
        check("ks[80-]@replica|zone1-100", "tablet alias must be used with a shard");
        check("ks:-80@nonsense|zone1-100", "unknown tablet type: nonsense");
        check(
            "ks:-80@replica|zone1",
            "invalid tablet alias: 'zone1', expecting format: '<cell>-<number up to 4294967295>'",
        );
        check(&"k".repeat(limits::TARGET_BYTES_MAX + 1), "target string is longer than 1024 bytes");
    }

    #[test]
    fn the_longest_target_is_read() {
        let longest = "k".repeat(limits::TARGET_BYTES_MAX);
        check(&longest, &longest);
    }

    #[test]
    fn destinations() {
        let of =
            |text| TargetString::parse(text).unwrap().destination.to_destination().map(|d| d.to_string());
        assert_eq!(of("ks"), None);
        assert_eq!(of("ks:-80").as_deref(), Some("Shard(-80)"));
        assert_eq!(of("ks[80]").as_deref(), Some("KeyspaceId(80)"));
        assert_eq!(of("ks[80-]").as_deref(), Some("ExactKeyRange(80-)"));
    }

    fn destination() -> impl Strategy<Value = TargetDestination> {
        let id = |bytes: Vec<u8>| KeyspaceId::from_bytes(&bytes);
        prop_oneof![
            Just(TargetDestination::Any),
            "[0-9a-f-]{1,9}".prop_map(|name: String| TargetDestination::Shard(name.into())),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(move |b| TargetDestination::KeyspaceId(id(b))),
            prop::collection::vec(any::<u8>(), 0..9)
                .prop_map(|b| TargetDestination::KeyRange(KeyRange::with_prefix(&b))),
        ]
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(
            keyspace in prop::option::of("[a-z_][a-z0-9_$-]{0,8}"),
            destination in destination(),
            kind in prop::option::of(0..TabletType::ALL.len()),
            alias in prop::option::of(("[a-z]{1,5}(-[a-z]{1,3})?", any::<u32>())),
        ) {
            let tablet_type = kind.map(|index| TabletType::ALL[index]);
            let alias = alias
                .filter(|_| matches!(destination, TargetDestination::Shard(_)) && tablet_type.is_some())
                .map(|(cell, uid)| TabletAlias { cell: cell.into(), uid });
            let target = TargetString { keyspace: keyspace.map(Into::into), destination, tablet_type, alias };
            prop_assert_eq!(TargetString::parse(&target.to_string()), Ok(target));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}") {
            if let Ok(target) = TargetString::parse(&text) {
                prop_assert_eq!(TargetString::parse(&target.to_string()), Ok(target));
            }
        }

        #[test]
        fn punctuation_is_parsed_or_refused(text in "[a0-9@:/|\\[\\]-]{0,20}") {
            if let Ok(target) = TargetString::parse(&text) {
                prop_assert_eq!(TargetString::parse(&target.to_string()), Ok(target));
            }
        }
    }
}
