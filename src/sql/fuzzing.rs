//! Entry points of the fuzz targets `lex` and `normalize`. Their corpora and mutations of them replay in `cargo test`.
//!
//! The first byte of an input chooses the options, the rest is the text.

use super::insert::InsertRows;
use super::lex::{ArgKind, Lexed, lex as lex_statement};
use super::literal::arg_value;
use super::options::{CommentVersion, LexOptions, Multibyte, SqlMode};
use super::parse::parse;
use super::render::statement_in;
use super::splice::{Edit, splice};
use super::split::split;
use super::template::ArgSource;
use super::token::Span;
use crate::error::Result;

/// Any bytes are lexed or refused; what is found lies in the text, in order, and values do not change the
/// fingerprint.
pub fn lex(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    let options = options_of(first);
    let mut lexed = Lexed::new();
    if lex_statement(text, 0, &options, &mut lexed).is_err() {
        return;
    }
    check_places(text, &lexed);
    let mut again = Lexed::new();
    lex_statement(text, 0, &options, &mut again).expect("the same text lexes again");
    assert_eq!(again.fingerprint, lexed.fingerprint);
    check_other_values(text, &lexed, &options);
    let mut scratch = Vec::new();
    for arg in lexed.args.iter().chain(&lexed.list_items) {
        let has_value = arg_value(text, arg, &options, &mut scratch).is_ok();
        let is_literal = !matches!(
            arg.kind,
            ArgKind::CharsetString | ArgKind::List { .. } | ArgKind::Placeholder(_) | ArgKind::UserVariable
        );
        assert!(has_value || !is_literal, "{arg:?}");
    }
    check_rows(text, &lexed, &options);
    if let Ok(spans) = split(text, &options) {
        assert!(spans.is_sorted() && spans.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
}

/// Any text is parsed or refused; what is parsed renders to text that parses and renders to itself.
pub fn normalize(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    // Multi-byte sets are no UTF-8, which parsing needs.
    let options = LexOptions { multibyte: Multibyte::Safe, ..options_of(first) };
    let Some(once) = rendered(text, &options) else { return };
    let twice = rendered(&once, &options);
    assert_eq!(
        twice.as_deref().map(String::from_utf8_lossy),
        Some(String::from_utf8_lossy(&once)),
        "{:?} is not stable",
        String::from_utf8_lossy(text)
    );
}

/// The text as it is rendered from its tree; `None` if it has none.
fn rendered(text: &[u8], options: &LexOptions) -> Option<Vec<u8>> {
    let mut lexed = Lexed::new();
    lex_statement(text, 0, options, &mut lexed).ok()?;
    let statement = match parse(text, &lexed, options) {
        Ok(statement) => statement,
        Err(failure) => {
            assert!(failure.offset as usize <= text.len());
            return None;
        }
    };
    let mut out = Vec::new();
    let source = Source { text, lexed: &lexed };
    statement_in(&statement, options.mode).render(&source, &mut out).expect("every hole is an argument");
    Some(out)
}

/// Arguments as they were written.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) lexed: &'a Lexed,
}

impl ArgSource for Source<'_> {
    fn write_arg(&self, index: u32, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.lexed.args[index as usize].span.of(self.text));
        Ok(())
    }

    fn write_list(&self, index: u32, out: &mut Vec<u8>) -> Result<()> {
        self.write_arg(index, out)
    }

    fn write_bind(&self, number: u32, _: &mut Vec<u8>) -> Result<()> {
        unreachable!("no text has run-time value {number}")
    }

    fn write_bind_list(&self, number: u32, _: &mut Vec<u8>) -> Result<()> {
        unreachable!("no text has run-time list {number}")
    }
}

fn options_of(byte: u8) -> LexOptions {
    let multibyte = match byte >> 6 {
        1 => Multibyte::Gbk,
        2 => Multibyte::Sjis,
        3 => Multibyte::Gb18030,
        _ => Multibyte::Safe,
    };
    let comment_version =
        if byte & 0x20 == 0 { CommentVersion::All } else { CommentVersion::MariaDb(101_119) };
    LexOptions {
        mode: SqlMode::from_bits_truncate(byte & 0x0F),
        multibyte,
        comment_version,
        seed: 1,
        multi_statements: byte & 0x10 != 0,
    }
}

fn check_places(text: &[u8], lexed: &Lexed) {
    assert!(lexed.span.start <= lexed.span.end && lexed.span.end as usize <= text.len());
    let inside =
        |outer: Span, span: Span| outer.start <= span.start && span.start < span.end && span.end <= outer.end;
    for arg in &lexed.args {
        assert!(inside(lexed.span, arg.span), "{arg:?}");
        if let ArgKind::List { first, count } = arg.kind {
            let items = lexed.items(first, count);
            assert!(count > 0 && items.len() == count as usize);
            assert!(items.iter().all(|item| inside(arg.span, item.span)));
        }
    }
    assert!(lexed.args.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
    assert!(lexed.list_items.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
    for mark in &lexed.marks {
        assert!(inside(lexed.span, mark.span), "{mark:?}");
    }
    assert!(lexed.next.is_none_or(|next| lexed.span.end < next && (next as usize) < text.len()));
}

/// With other numbers in place of its numbers the text has the same fingerprint.
fn check_other_values(text: &[u8], lexed: &Lexed, options: &LexOptions) {
    let numbers = lexed.args.iter().filter(|arg| arg.kind == ArgKind::Integer);
    let edits: Vec<_> = numbers.map(|arg| Edit { span: arg.span, text: b"7" }).collect();
    let mut other = Vec::new();
    splice(text, Span::new(0, text.len()), &edits, &mut other);
    let mut found = Lexed::new();
    lex_statement(&other, 0, options, &mut found).expect("a number in place of a number");
    assert_eq!(found.fingerprint, lexed.fingerprint, "{:?}", String::from_utf8_lossy(&other));
    assert_eq!(found.args.len(), lexed.args.len());
}

fn check_rows(text: &[u8], lexed: &Lexed, options: &LexOptions) {
    let Ok(Some(mut rows)) = InsertRows::new(text, lexed, options) else { return };
    let mut values = Vec::new();
    let mut end = rows.head().end;
    while let Ok(Some(row)) = rows.next_row(&mut values) {
        assert!(end <= row.start && row.start < row.end && row.end as usize <= text.len());
        assert!(values.iter().all(|value| row.start < value.span.start && value.span.end < row.end));
        end = row.end;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::Rng;
    use proptest::test_runner::{RngAlgorithm, TestRng};

    use super::*;
    use crate::sql::parse::tests::{QUERIES, WRITES};

    /// Mutations of each seed.
    const MUTATIONS: usize = 60;

    /// Pieces that are likely to meet a rule.
    const PIECES: [&str; 40] = [
        "'",
        "\"",
        "`",
        "/*",
        "*/",
        "/*!",
        "/*+",
        "--",
        "-- ",
        "#",
        "\n",
        "\\",
        "(",
        ")",
        ",",
        ";",
        ".",
        "@",
        "@@",
        ":=",
        "?",
        "0x",
        "1e5",
        ".5",
        "_utf8'x'",
        " in (1,2)",
        " select ",
        " from ",
        " where ",
        " union ",
        " order by ",
        " interval ",
        " as ",
        " not ",
        " - ",
        "x'4",
        "\0",
        "\u{e9}",
        " values ",
        "5",
    ];

    fn mutate(seed: &[u8], random: &mut TestRng) -> Vec<u8> {
        let mut input = seed.to_vec();
        for _ in 0..=random.next_u32() % 4 {
            let place = |random: &mut TestRng, count: usize| random.next_u32() as usize % (count + 1);
            let at = place(random, input.len());
            let end = (at + place(random, 8)).min(input.len());
            match random.next_u32() % 5 {
                0 => drop(input.drain(at..end)),
                1 => input.insert(at, u8::try_from(random.next_u32() & 0xFF).unwrap()),
                2 => input.truncate(at.max(2)),
                3 => {
                    let copy = input[at..end].to_vec();
                    let to = place(random, input.len());
                    input.splice(to..to, copy);
                }
                _ => {
                    let piece = PIECES[place(random, PIECES.len() - 1)];
                    input.splice(at..end, piece.bytes());
                }
            }
        }
        input
    }

    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
        let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(seeds.len() >= 10, "{} has too few seeds", folder.display());
        seeds.sort();
        seeds.extend(QUERIES.iter().chain(WRITES).map(|text| [b"\0", text.as_bytes()].concat()));
        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        for seed in &seeds {
            run(seed);
            for _ in 0..MUTATIONS {
                let input = mutate(seed, &mut random);
                if std::panic::catch_unwind(|| run(&input)).is_err() {
                    panic!("{target} fails on {:?}", String::from_utf8_lossy(&input));
                }
            }
        }
    }

    #[test]
    fn lexer_corpus() {
        replay("lexer", lex);
    }

    #[test]
    fn normalize_corpus() {
        replay("normalize", normalize);
    }
}
