//! Examples of tokens; each rule was tried on a server.

use super::*;
use crate::sql::options::{CommentVersion, Multibyte};

fn tokens_with(text: &[u8], options: &LexOptions) -> Result<Vec<(TokenKind, String)>, LexError> {
    let mut tokenizer = Tokenizer::new(text, 0, options);
    let mut found = Vec::new();
    loop {
        let token = tokenizer.next_token()?;
        if token.kind == TokenKind::End {
            return Ok(found);
        }
        found.push((token.kind, String::from_utf8_lossy(token.span.of(text)).into_owned()));
    }
}

fn check(text: &str, expected: &[(TokenKind, &str)]) {
    check_with(text, &LexOptions::default(), expected);
}

fn check_with(text: &str, options: &LexOptions, expected: &[(TokenKind, &str)]) {
    let found = tokens_with(text.as_bytes(), options).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let found: Vec<_> = found.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
    assert_eq!(found, expected, "{text}");
}

use TokenKind as K;

#[test]
fn numbers() {
    check(
        "1 1.5 .5 1. 1e5 1.e3 1E-2 1e+2",
        &[
            (K::Integer, "1"),
            (K::Decimal, "1.5"),
            (K::Decimal, ".5"),
            (K::Decimal, "1."),
            (K::Float, "1e5"),
            (K::Float, "1.e3"),
            (K::Float, "1E-2"),
            (K::Float, "1e+2"),
        ],
    );
    check(
        "0x1F 0b01 x'1f' B'0' 0X1F 0xZ",
        &[
            (K::Hex, "0x1F"),
            (K::Bit, "0b01"),
            (K::Hex, "x'1f'"),
            (K::Bit, "B'0'"),
            (K::Word, "0X1F"),
            (K::Word, "0xZ"),
        ],
    );
    check(
        "1-2--3",
        &[
            (K::Integer, "1"),
            (K::Minus, "-"),
            (K::Integer, "2"),
            (K::Minus, "-"),
            (K::Minus, "-"),
            (K::Integer, "3"),
        ],
    );
}

#[test]
fn names() {
    check(
        "a$b _x 1a 1e 1ex ö 9x9",
        &[
            (K::Word, "a$b"),
            (K::Word, "_x"),
            (K::Word, "1a"),
            (K::Word, "1e"),
            (K::Word, "1ex"),
            (K::Word, "ö"),
            (K::Word, "9x9"),
        ],
    );
    check(
        "a.1b t.1 `a`.`b``c` a . b",
        &[
            (K::Word, "a"),
            (K::Dot, "."),
            (K::Word, "1b"),
            (K::Word, "t"),
            (K::Dot, "."),
            (K::Word, "1"),
            (K::QuotedIdentifier, "`a`"),
            (K::Dot, "."),
            (K::QuotedIdentifier, "`b``c`"),
            (K::Word, "a"),
            (K::Dot, "."),
            (K::Word, "b"),
        ],
    );
    check("1e5a", &[(K::Float, "1e5"), (K::Word, "a")]);
}

#[test]
fn strings() {
    check(
        r#"'a''b' "a""b" 'a\'b' N'x' n'x'"#,
        &[(K::String, r#"'a''b' "a""b" 'a\'b'"#), (K::NString, "N'x'"), (K::NString, "n'x'")],
    );
    check("'a' -- x\n'b', 'c'", &[(K::String, "'a' -- x\n'b'"), (K::Comma, ","), (K::String, "'c'")]);
    check(
        "_utf8mb4'x' _latin1 x'41' _binary 0x41 _foo 'x'",
        &[
            (K::CharsetString, "_utf8mb4'x'"),
            (K::CharsetString, "_latin1 x'41'"),
            (K::CharsetString, "_binary 0x41"),
            (K::Word, "_foo"),
            (K::String, "'x'"),
        ],
    );
    let ansi = LexOptions::with_mode(SqlMode::ANSI_QUOTES);
    check_with("\"a\"\"b\" 'x'", &ansi, &[(K::QuotedIdentifier, "\"a\"\"b\""), (K::String, "'x'")]);
    let plain = LexOptions::with_mode(SqlMode::NO_BACKSLASH_ESCAPES);
    check_with(r"'a\' b", &plain, &[(K::String, r"'a\'"), (K::Word, "b")]);
}

#[test]
fn variables() {
    check(
        "@a @a.b @'q r' @`q` @@x @@global.x @@`session`.`y` @a:=1 'u'@'h'",
        &[
            (K::UserVariable, "@a"),
            (K::UserVariable, "@a.b"),
            (K::UserVariable, "@'q r'"),
            (K::UserVariable, "@`q`"),
            (K::SystemVariable, "@@x"),
            (K::SystemVariable, "@@global.x"),
            (K::SystemVariable, "@@`session`.`y`"),
            (K::UserVariable, "@a"),
            (K::Assign, ":="),
            (K::Integer, "1"),
            (K::String, "'u'"),
            (K::UserVariable, "@'h'"),
        ],
    );
}

#[test]
fn operators() {
    let text = "<=> <= <> << < >= >> > != ! && & || | -> ->> := : ^ ~ % / * ? { } \\N";
    let kinds = [
        K::NullSafeEq,
        K::LtEq,
        K::NotEq,
        K::ShiftLeft,
        K::Lt,
        K::GtEq,
        K::ShiftRight,
        K::Gt,
        K::NotEq,
        K::Bang,
        K::AndAnd,
        K::Ampersand,
        K::PipePipe,
        K::Pipe,
        K::Arrow,
        K::LongArrow,
        K::Assign,
        K::Colon,
        K::Caret,
        K::Tilde,
        K::Percent,
        K::Slash,
        K::Star,
        K::Placeholder,
        K::LBrace,
        K::RBrace,
        K::Null,
    ];
    let found = tokens_with(text.as_bytes(), &LexOptions::default()).unwrap();
    assert_eq!(found.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), kinds);
}

#[test]
fn comments_are_skipped() {
    check(
        "a -- x\nb --\tc\n--x",
        &[(K::Word, "a"), (K::Word, "b"), (K::Minus, "-"), (K::Minus, "-"), (K::Word, "x")],
    );
    check("a # x\nb /* c */ d /**/ e --", &[(K::Word, "a"), (K::Word, "b"), (K::Word, "d"), (K::Word, "e")]);
    check("a /*+ h */", &[(K::Word, "a"), (K::Hint, "/*+ h */")]);
}

#[test]
fn versioned_comments_are_code() {
    check(
        "a /*!50701 b*/ /*! c */ /*M!100100 d */",
        &[(K::Word, "a"), (K::Word, "b"), (K::Word, "c"), (K::Word, "d")],
    );
    let old = LexOptions { comment_version: CommentVersion::MySql(50_000), ..LexOptions::default() };
    check_with(
        "a /*!50701 b /* x */ y */ c /*!40000 d*/",
        &old,
        &[(K::Word, "a"), (K::Word, "c"), (K::Word, "d")],
    );
    check("a */ b", &[(K::Word, "a"), (K::Star, "*"), (K::Slash, "/"), (K::Word, "b")]);
}

#[test]
fn directives_are_noted() {
    let options = LexOptions::default();
    let text = b"select /*vt+ A=1 */ 1 /*vt+ B */";
    let mut tokenizer = Tokenizer::new(text, 0, &options);
    while tokenizer.next_token().unwrap().kind != TokenKind::End {}
    assert_eq!(tokenizer.directive().unwrap().of(text), b" A=1 ");
}

#[test]
fn broken_tokens_are_errors() {
    let check = |text: &[u8], offset| {
        assert_eq!(
            tokens_with(text, &LexOptions::default()).map_err(|error| error.offset),
            Err(offset),
            "{text:?}"
        );
    };
    check(b"a 'b", 2);
    check(b"a 'b\\'", 2);
    check(b"a \"b", 2);
    check(b"a `b", 2);
    check(b"a /* b", 2);
    check(b"a /*+ b", 2);
    check(b"a /*! b", 7);
    check(b"a \0 b", 2);
    check(b"`a\0b`", 0);
    check(b"x'1'", 0);
    check(b"x'1g'", 0);
    check(b"@@", 0);
    check(b"a \\x", 2);
    check(b"a \x01", 2);
}

#[test]
fn second_bytes_of_characters_are_no_syntax() {
    let gbk = LexOptions { multibyte: Multibyte::Gbk, ..LexOptions::default() };
    let text = b"'\x95\x5c' , `\x81\x60`, \x81\x60x";
    let kinds: Vec<_> = tokens_with(text, &gbk).unwrap().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [K::String, K::Comma, K::QuotedIdentifier, K::Comma, K::Word]);
    assert!(tokens_with(b"'\x95\x5c' '", &LexOptions::default()).is_ok());
}
