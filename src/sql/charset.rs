//! Names of character sets, which `_name'…'` introducers need.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/charset-introducer.html>

/// Is it the name of a character set of MySQL or MariaDB (any case)?
pub(super) fn is_charset_name(name: &[u8]) -> bool {
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Are bytes below 0x80 the same characters in this character set as in ASCII, with none of them inside of a
/// longer character?
pub(super) fn is_ascii_superset(name: &[u8]) -> bool {
    const OTHERS: [&str; 9] =
        ["big5", "cp932", "gb18030", "gbk", "sjis", "ucs2", "utf16", "utf16le", "utf32"];
    is_charset_name(name) && !OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

const NAMES: [&str; 42] = [
    "utf8mb4", "binary", "utf8", "latin1", "utf8mb3", "ascii", "armscii8", "big5", "cp1250", "cp1251",
    "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932", "dec8", "eucjpms", "euckr", "gb18030", "gb2312",
    "gbk", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin2", "latin5", "latin7",
    "macce", "macroman", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16", "utf16le", "utf32",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        assert!(is_charset_name(b"UTF8MB4"));
        assert!(!is_charset_name(b"utf9"));
        assert!(is_ascii_superset(b"latin1"));
        assert!(!is_ascii_superset(b"utf16"));
    }
}
