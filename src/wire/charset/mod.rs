//! Character sets and collations: what the collation ids of handshakes and column definitions stand for.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_character_set.html>. Both engines' ids
//! live in one space; they disagree only about the defaults.

mod table;

use std::borrow::Cow;

use table::{CHARSETS, COLLATIONS};

/// A character set.
#[derive(Debug, PartialEq, Eq)]
pub struct Charset {
    /// Name, as both engines write it now (`utf8mb3`, not `utf8`).
    pub name: &'static str,
    /// Bytes of its longest character.
    pub character_bytes_max: u8,
    /// Id of its default collation in MariaDB.
    pub mariadb_default: u16,
    /// Id of its default collation in MySQL.
    pub mysql_default: u16,
}

impl Charset {
    /// Finds a character set by name, in any case; `utf8` is `utf8mb3`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let lower = name.to_ascii_lowercase();
        let name = if lower == "utf8" { "utf8mb3" } else { lower.as_str() };
        let index = CHARSETS.binary_search_by(|charset| charset.name.cmp(name)).ok()?;
        Some(&CHARSETS[index])
    }

    /// The character set of a collation id.
    pub fn of_collation(id: u16) -> Option<&'static Self> {
        if let Some((charset, _)) = uca1400(id) {
            return Self::by_name(charset);
        }
        let name = listed(id)?;
        Self::by_name(name.split_once('_').map_or(name, |(charset, _)| charset))
    }

    /// Whether a character may contain bytes that are ASCII characters for themselves, such as `\` or `` ` ``: SQL
    /// text in it cannot be taken apart byte by byte.
    pub fn has_ascii_trail_bytes(&self) -> bool {
        matches!(self.name, "big5" | "cp932" | "gb18030" | "gbk" | "sjis")
    }

    /// Whether ASCII text is the same bytes in it. Others cannot be a client's character set.
    pub fn is_ascii_compatible(&self) -> bool {
        !matches!(self.name, "ucs2" | "utf16" | "utf16le" | "utf32")
    }
}

/// The name of a collation id; the one of MySQL, where it knows the id.
pub fn collation_name(id: u16) -> Option<Cow<'static, str>> {
    if let Some((charset, suffix)) = uca1400(id) {
        return Some(Cow::Owned(format!("{charset}_{suffix}")));
    }
    listed(id).map(Cow::Borrowed)
}

/// The id of a collation name, in any case; names of both engines are known, and `utf8_…` is `utf8mb3_…`.
pub fn collation_by_name(name: &str) -> Option<u16> {
    let mut name = name.to_ascii_lowercase();
    if let Some(rest) = name.strip_prefix("utf8_") {
        name = format!("utf8mb3_{rest}");
    }
    let find = |name: &str| COLLATIONS.iter().find(|(_, listed)| *listed == name).map(|(id, _)| *id);
    if let Some(charset) = name.strip_suffix("_croatian_mysql561_ci") {
        return find(&format!("{charset}_croatian_ci"));
    }
    find(&name).or_else(|| uca1400_ids().find(|id| collation_name(*id).is_some_and(|found| found == name)))
}

fn listed(id: u16) -> Option<&'static str> {
    let index = COLLATIONS.binary_search_by_key(&id, |(listed, _)| *listed).ok()?;
    Some(COLLATIONS[index].1)
}

/// First id of MariaDB's UCA 14.0.0 collations.
const UCA1400_FIRST: u16 = 2048;
/// Character sets that have them, in the order of ids; each has 256 ids.
const UCA1400_CHARSETS: [&str; 5] = ["utf8mb3", "utf8mb4", "ucs2", "utf16", "utf32"];
/// Languages, in the order of ids; each has eight ids. Empty names are not in use.
const UCA1400_LANGUAGES: [&str; 25] = [
    "root",
    "icelandic",
    "latvian",
    "romanian",
    "slovenian",
    "polish",
    "estonian",
    "spanish",
    "swedish",
    "turkish",
    "czech",
    "danish",
    "lithuanian",
    "slovak",
    "spanish2",
    "roman",
    "persian",
    "esperanto",
    "hungarian",
    "sinhala",
    "german2",
    "",
    "",
    "vietnamese",
    "croatian",
];

fn uca1400_ids() -> impl Iterator<Item = u16> {
    (UCA1400_FIRST..).take(UCA1400_CHARSETS.len() * 256)
}

/// Character set and rest of the name of a UCA 14.0.0 collation. The id's bits: character set, language (5), NO PAD,
/// accent sensitive, case sensitive.
fn uca1400(id: u16) -> Option<(&'static str, String)> {
    let offset = id.checked_sub(UCA1400_FIRST)?;
    let charset = UCA1400_CHARSETS.get(usize::from(offset >> 8))?;
    let language = match *UCA1400_LANGUAGES.get(usize::from(offset >> 3 & 31))? {
        "" => return None,
        "root" => String::new(),
        language => format!("_{language}"),
    };
    let pad = if offset & 4 == 0 { "" } else { "_nopad" };
    let accent = if offset & 2 == 0 { "ai" } else { "as" };
    let case = if offset & 1 == 0 { "ci" } else { "cs" };
    Some((charset, format!("uca1400{language}{pad}_{accent}_{case}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: u16, name: &str, charset: &str, character_bytes_max: u8) {
        assert_eq!(collation_name(id).as_deref(), Some(name));
        assert_eq!(collation_by_name(name), Some(id));
        let found = Charset::of_collation(id).unwrap();
        assert_eq!((found.name, found.character_bytes_max), (charset, character_bytes_max));
    }

    #[test]
    fn ids_of_both_engines() {
        check(8, "latin1_swedish_ci", "latin1", 1);
        check(28, "gbk_chinese_ci", "gbk", 2);
        check(33, "utf8mb3_general_ci", "utf8mb3", 3);
        check(45, "utf8mb4_general_ci", "utf8mb4", 4);
        check(63, "binary", "binary", 1);
        check(248, "gb18030_chinese_ci", "gb18030", 4);
        check(255, "utf8mb4_0900_ai_ci", "utf8mb4", 4);
        check(309, "utf8mb4_0900_bin", "utf8mb4", 4);
        // From MariaDB 10.11's information_schema.collation_character_set_applicability.
        check(2048, "utf8mb3_uca1400_ai_ci", "utf8mb3", 3);
        check(2052, "utf8mb3_uca1400_nopad_ai_ci", "utf8mb3", 3);
        check(2304, "utf8mb4_uca1400_ai_ci", "utf8mb4", 4);
        check(3271, "utf32_uca1400_croatian_nopad_as_cs", "utf32", 4);
    }

    #[test]
    fn unknown_ids_and_other_names() {
        for id in [0, 2216, 3272, u16::MAX] {
            assert_eq!(collation_name(id), None, "{id}");
            assert!(Charset::of_collation(id).is_none(), "{id}");
        }
        assert_eq!(collation_by_name("utf8_general_ci"), Some(33));
        assert_eq!(collation_by_name("UTF8MB4_croatian_mysql561_ci"), Some(245));
        assert_eq!(collation_by_name("klingon_ci"), None);
        assert_eq!(Charset::by_name("UTF8").unwrap().name, "utf8mb3");
        assert_eq!(Charset::by_name("klingon"), None);
    }

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(COLLATIONS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(CHARSETS.is_sorted_by(|a, b| a.name < b.name));
        for (id, name) in COLLATIONS {
            assert!(Charset::of_collation(*id).is_some(), "{name}");
        }
        for charset in CHARSETS {
            for id in [charset.mariadb_default, charset.mysql_default] {
                assert_eq!(Charset::of_collation(id), Some(charset));
            }
        }
    }

    #[test]
    fn dangerous_character_sets() {
        assert!(Charset::by_name("gbk").unwrap().has_ascii_trail_bytes());
        assert!(!Charset::by_name("utf8mb4").unwrap().has_ascii_trail_bytes());
        assert!(!Charset::by_name("utf16").unwrap().is_ascii_compatible());
    }
}
