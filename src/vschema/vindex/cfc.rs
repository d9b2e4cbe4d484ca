//! `cfc`: concatenated fixed-width composites, keys made of parts at fixed offsets.
//!
//! Each part is hashed by itself, so that keys with equal first parts stay together and `LIKE 'part%'` reaches
//! a range only.

use md5::{Digest, Md5};
use smallvec::SmallVec;
use xxhash_rust::xxh64::xxh64;

use super::params::Params;
use super::{Mapping, Vindex, VindexError, VindexTraits, with_bytes};
use crate::topology::{KeyRange, KeyspaceId};
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct Cfc {
    name: String,
    hash: PartHash,
    /// Ends of all parts but the last, ascending.
    offsets: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartHash {
    /// The key itself is the id.
    Identity,
    Md5,
    XxHash64,
}

impl Cfc {
    pub(super) fn create(name: &str, params: &Params<'_>) -> Result<Self, String> {
        let hash = match params.get("hash").unwrap_or_default() {
            "" => PartHash::Identity,
            "md5" => PartHash::Md5,
            "xxhash64" => PartHash::XxHash64,
            other => return Err(format!("invalid hash {other} to CFC vindex {name}")),
        };
        let offsets = params.get("offsets").unwrap_or_default();
        if hash == PartHash::Identity || offsets.is_empty() {
            if hash != PartHash::Identity {
                return Err(format!("CFC vindex {name} with a hash needs the param offsets"));
            }
            return Ok(Self { name: name.to_owned(), hash, offsets: Vec::new() });
        }
        let invalid = || {
            format!(
                "invalid offsets {offsets} to CFC vindex {name}. expected sorted positive ints in brackets"
            )
        };
        let offsets: Vec<usize> = serde_json::from_str(offsets).map_err(|_| invalid())?;
        if offsets.is_empty() || offsets[0] == 0 || !offsets.is_sorted_by(|a, b| a < b) {
            return Err(invalid());
        }
        Ok(Self { name: name.to_owned(), hash, offsets })
    }

    fn append_part(&self, id: &mut KeyspaceId, part: &[u8]) {
        match self.hash {
            PartHash::Identity => id.extend_from_slice(part),
            PartHash::Md5 => id.extend_from_slice(truncated(&Md5::digest(part), part.len())),
            PartHash::XxHash64 => {
                id.extend_from_slice(truncated(&xxh64(part, 0).to_le_bytes(), part.len()));
            }
        }
    }

    fn append_complete_parts<'k>(&self, id: &mut KeyspaceId, key: &'k [u8]) -> &'k [u8] {
        let mut start = 0;
        for end in self.offsets.iter().copied().take_while(|end| *end <= key.len()) {
            self.append_part(id, &key[start..end]);
            start = end;
        }
        &key[start..]
    }
}

fn truncated(bytes: &[u8], count: usize) -> &[u8] {
    &bytes[..bytes.len().min(count)]
}

impl Vindex for Cfc {
    fn traits(&self) -> VindexTraits {
        VindexTraits { is_prefixable: true, is_hashing: false, ..VindexTraits::functional(1) }
    }

    fn hash(&self, value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        with_bytes(value, |key| {
            let needed = self.offsets.last().copied().unwrap_or(0);
            if key.len() < needed {
                return Err(VindexError::InsufficientSize {
                    name: self.name.clone(),
                    needed,
                    given: key.len(),
                });
            }
            let mut id = KeyspaceId::minimum();
            let rest = self.append_complete_parts(&mut id, key);
            if !rest.is_empty() {
                self.append_part(&mut id, rest);
            }
            Ok(Some(id))
        })
    }

    /// The last part has no fixed end, so a pattern never holds it completely. (Vitess hashes what the pattern
    /// has of it and misses longer keys; a wider range is right for all.)
    fn map_prefix(&self, pattern: ValueRef<'_>) -> Mapping {
        let id = with_bytes(pattern, |pattern| {
            let prefix = literal_prefix(pattern);
            let mut id = KeyspaceId::minimum();
            if self.hash == PartHash::Identity {
                id.extend_from_slice(&prefix);
            } else {
                self.append_complete_parts(&mut id, &prefix);
            }
            id
        });
        if id.as_bytes().is_empty() {
            return Mapping::AllShards;
        }
        Mapping::KeyRange(KeyRange::with_prefix(id.as_bytes()))
    }
}

/// The start of a LIKE pattern up to its first wildcard, with escapes taken out: `a\%b_c` gives `a%b`.
fn literal_prefix(pattern: &[u8]) -> SmallVec<[u8; 32]> {
    let mut prefix = SmallVec::new();
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' | b'_' => break,
            // An escape at the very end stands for itself.
            b'\\' => prefix.push(bytes.next().unwrap_or(b'\\')),
            _ => prefix.push(byte),
        }
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::super::check::{check, mapped, try_vindex, vindex};
    use super::*;

    fn md5_parts(parts: &[&str]) -> String {
        let parts = parts.iter().map(|part| {
            let digest = Md5::digest(part.as_bytes());
            KeyspaceId::from_bytes(&digest[..part.len().min(16)]).to_string()
        });
        parts.collect()
    }

    #[test]
    fn without_a_hash_the_key_is_the_id() {
        let cfc = vindex("cfc", &[]);
        check(&*cfc, &[ValueRef::Text(b"abc")], "616263");
        let like = |pattern: &[u8]| mapped(Ok(cfc.map_prefix(ValueRef::Bytes(pattern))));
        assert_eq!(like(b"ab%"), "6162-6163");
        assert_eq!(like(b"%ab"), "all");
        assert_eq!(like(&[0xff, 0xff, 0xff]), "ffffff-");
    }

    #[test]
    fn parts_are_hashed_and_cut_to_their_length() {
        let cfc = vindex("cfc", &[("hash", "md5"), ("offsets", "[3,5]")]);
        check(&*cfc, &[ValueRef::Text(b"abcdef")], &md5_parts(&["abc", "de", "f"]));
        check(&*cfc, &[ValueRef::Text(b"abcde")], &md5_parts(&["abc", "de"]));
        check(
            &*cfc,
            &[ValueRef::Text(b"abcdefghijklmnopqrstuvwxyz")],
            &md5_parts(&["abc", "de", "fghijklmnopqrstuvwxyz"]),
        );
        check(&*cfc, &[ValueRef::Text(b"ab")], "insufficient size for cfc vindex v. need 5, got 2");
        let cfc = vindex("cfc", &[("hash", "xxhash64"), ("offsets", "[5]")]);
        check(&*cfc, &[ValueRef::Text(b"test1")], "d01ab7e4d6");
        check(&*cfc, &[ValueRef::Text(b"test1test2")], "d01ab7e4d687eb11714c");
    }

    #[test]
    fn prefixes_use_complete_parts() {
        let cfc = vindex("cfc", &[("hash", "md5"), ("offsets", "[3,5]")]);
        let check = |pattern: &str, parts: &[&str]| {
            let found = mapped(Ok(cfc.map_prefix(ValueRef::Text(pattern.as_bytes()))));
            let start = md5_parts(parts);
            let expected = KeyRange::with_prefix(KeyspaceId::parse(&start).unwrap().as_bytes()).to_string();
            assert_eq!(found, if parts.is_empty() { "all".to_owned() } else { expected }, "{pattern}");
        };
        check("abcdef%", &["abc", "de"]);
        check("abcde%", &["abc", "de"]);
        check("abcd%", &["abc"]);
        check("abc%", &["abc"]);
        check("a\\%c%", &["a%c"]);
        check("ab%", &[]);
        check("%", &[]);
    }

    #[test]
    fn a_prefix_range_holds_every_key_that_matches() {
        let cfc = vindex("cfc", &[("hash", "md5"), ("offsets", "[2,4]")]);
        let Mapping::KeyRange(range) = cfc.map_prefix(ValueRef::Text(b"abcde%")) else {
            panic!("a range is expected");
        };
        for key in ["abcde", "abcdef", "abcdefghijklmnopqrstuvwxyz"] {
            let id = cfc.hash(ValueRef::Text(key.as_bytes())).unwrap().unwrap();
            assert!(range.contains(&id), "{key}");
        }
    }

    #[test]
    fn escapes() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(&*literal_prefix(pattern.as_bytes()), expected.as_bytes())
        };
        check("abc", "abc");
        check("a%bc", "a");
        check("a_bc", "a");
        check("a\\%b_c", "a%b");
        check("a\\_b%", "a_b");
        check("a\\\\%", "a\\");
        check("a\\\\\\%b%", "a\\%b");
        check("a\\b%", "ab");
        check("a\\", "a\\");
        check("%a", "");
    }

    #[test]
    fn wrong_params() {
        let check = |params: &[(&str, &str)], expected: &str| {
            assert_eq!(try_vindex("cfc", params).unwrap_err(), expected);
        };
        check(&[("hash", "sha1")], "invalid hash sha1 to CFC vindex v");
        check(&[("hash", "md5")], "CFC vindex v with a hash needs the param offsets");
        for offsets in ["[]", "[0]", "[2,2]", "[3,1]", "[-1]", "2,4", "[1.5]"] {
            let expected = format!(
                "invalid offsets {offsets} to CFC vindex v. expected sorted positive ints in brackets"
            );
            check(&[("hash", "md5"), ("offsets", offsets)], &expected);
        }
    }
}
