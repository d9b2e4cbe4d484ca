//! Primary collation weights of text: what is left of it when case, accents and width do not count.
//!
//! The order is that of CLDR 23's root collation with Unicode 6.2, which Vitess's vindexes are bound to for
//! ever; newer tables give other places to some characters. `docs/vindexes.md` tells where `weights.bin` comes
//! from.

mod elements;
mod table;

use self::elements::Elements;
use self::table::Table;
use super::VindexError;

/// Bytes of weights fed at once; hash functions like whole blocks.
const PORTION_BYTES: usize = 256;

/// Longest encoding of one weight.
const WEIGHT_BYTES_MAX: usize = 3;

/// Feeds the weights of `text`, in portions, to `feed`. Spaces at the end do not count.
pub(super) fn weights(text: &[u8], mut feed: impl FnMut(&[u8])) -> Result<(), VindexError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| VindexError::InvalidUtf8(String::from_utf8_lossy(text).into_owned()))?;
    let mut portion = [0; PORTION_BYTES];
    let mut filled = 0;
    for weight in Elements::new(Table::root(), text.trim_end_matches(' ')) {
        if filled + WEIGHT_BYTES_MAX > PORTION_BYTES {
            feed(&portion[..filled]);
            filled = 0;
        }
        let [_, high, middle, low] = weight.to_be_bytes();
        if weight <= 0x7FFF {
            portion[filled..filled + 2].copy_from_slice(&[middle, low]);
            filled += 2;
        } else {
            portion[filled..filled + 3].copy_from_slice(&[high | 0x80, middle, low]);
            filled += 3;
        }
    }
    feed(&portion[..filled]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &[u8]) -> String {
        let mut all = Vec::new();
        weights(text, |portion| all.extend_from_slice(portion)).unwrap();
        all.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(hex(text.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn known_answers() {
        for text in ["Test", "TEST", "Te\u{301}st", "T\u{e9}st", "Test ", "Test   "] {
            check(text, "1816164c17f31816");
        }
        check("B\u{e9}st", "1605164c17f31816");
        check(" Test", "01091816164c17f31816");
        check("Test\t", "1816164c17f318160100");
        check("T\u{e9}stLooong", "1816164c17f318161711177117711771174f1691");
        check("T", "1816");
        check("", "");
        check("  ", "");
    }

    #[test]
    fn characters_without_an_entry_have_implicit_weights() {
        // CJK unified, its extension A, and everything else.
        check("\u{4e00}", "814e00");
        check("\u{9fff}", "819fff");
        check("\u{3400}", "823400");
        check("\u{1f980}", "86f980");
        check("\u{10ffff}", "95ffff");
    }

    #[test]
    fn hangul_is_its_letters() {
        assert_eq!(hex("\u{ac01}".as_bytes()), hex("\u{1100}\u{1161}\u{11a8}".as_bytes()));
        assert_eq!(hex("\u{ac00}".as_bytes()), hex("\u{1100}\u{1161}".as_bytes()));
    }

    #[test]
    fn equal_texts_in_other_forms() {
        assert_eq!(hex("\u{fb01}".as_bytes()), hex(b"fi"));
        assert_eq!(hex("\u{2167}".as_bytes()), hex(b"viii"));
        assert_eq!(hex("\u{fdfa}".as_bytes()).len() / 4, 18);
        // Marks of different classes in either order.
        assert_eq!(hex("a\u{363}\u{327}".as_bytes()), hex("a\u{327}\u{363}".as_bytes()));
    }

    #[test]
    fn other_bytes_than_utf_8_are_refused() {
        let error = weights(b"a\xff", |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "cannot normalize string containing invalid UTF-8: \"a\u{fffd}\"");
    }

    /// Random strings, heavy with contractions and marks, and their weights by `golang.org/x/text/collate`.
    #[test]
    fn agrees_with_the_origin_of_the_table() {
        let samples = include_str!("samples.txt");
        let bytes = |digits: &str| crate::topology::KeyspaceId::parse(digits).unwrap();
        let mut count = 0;
        for line in samples.lines() {
            let (text, expected) = line.split_once(' ').unwrap();
            let text = bytes(text);
            // The origin does not trim spaces; the samples have none at their end.
            assert_eq!(hex(text.as_bytes()), expected, "{:?}", String::from_utf8_lossy(text.as_bytes()));
            count += 1;
        }
        assert!(count > 500);
    }

    proptest! {
        #[test]
        fn any_text_has_weights(text in "\\PC{0,200}") {
            hex(text.as_bytes());
        }

        #[test]
        fn ascii_case_does_not_count(text in "[ -~]{0,60}") {
            prop_assert_eq!(hex(text.to_ascii_lowercase().as_bytes()), hex(text.to_ascii_uppercase().as_bytes()));
        }
    }
}
