//! The text that `SHOW CREATE TABLE` gives, and from it the text that creates a temporary table which can hold
//! some of the table's columns and answers queries as the table itself would.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/create-table.html>. Knows nothing of where the table is.

use super::ident::{name_of, quoted};
use super::options::LexOptions;
use super::token::{Token, TokenKind, Tokenizer};

/// A table's columns and keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDefinition {
    /// In their order.
    pub columns: Vec<TableColumn>,
    keys: Vec<Key>,
    /// `DEFAULT CHARSET=… COLLATE=…`
    charset: String,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: Box<str>,
    /// First word of its type, in lower case.
    pub type_name: Box<str>,
    /// Character set, for columns of text.
    pub charset: Option<String>,
    /// Collation, where it is not its character set's default one.
    pub collation: Option<String>,
    /// Type with character set and collation.
    type_text: String,
    is_auto_increment: bool,
    is_not_null: bool,
    /// `NULL` is written, which TIMESTAMP columns need.
    is_null: bool,
    is_invisible: bool,
    /// A constant, as it is written.
    default: Option<String>,
    /// `CHECK (json_valid(…))`, by which MariaDB knows JSON.
    check: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    /// `PRIMARY KEY`, `UNIQUE KEY`, `KEY`.
    kind: KeyKind,
    columns: Vec<Box<str>>,
    /// With its parentheses.
    parts: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Plain,
    Primary,
    Unique,
}

impl TableDefinition {
    /// Reads the text of `SHOW CREATE TABLE`, as made without `ANSI_QUOTES`. `None`: it is not understood.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let options = LexOptions::default();
        let mut tokenizer = Tokenizer::new(text, 0, &options);
        let mut tokens = Vec::new();
        loop {
            let token = tokenizer.next_token().ok()?;
            if token.kind == TokenKind::End {
                break;
            }
            tokens.push(token);
        }
        let open = tokens.iter().position(|token| token.kind == TokenKind::LParen)?;
        let mut definition = Self::default();
        let mut depth = 0_usize;
        let mut start = open + 1;
        for (index, token) in tokens.iter().enumerate().skip(open + 1) {
            match token.kind {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen if depth > 0 => depth -= 1,
                TokenKind::Comma if depth == 0 => {
                    definition.item(&Item { text, tokens: &tokens[start..index] })?;
                    start = index + 1;
                }
                TokenKind::RParen => {
                    definition.item(&Item { text, tokens: &tokens[start..index] })?;
                    definition.options(&Item { text, tokens: &tokens[index + 1..] });
                    definition.inherit_charset();
                    return (!definition.columns.is_empty()).then_some(definition);
                }
                _ => {}
            }
        }
        None
    }

    /// Columns of text without a character set have the table's.
    fn inherit_charset(&mut self) {
        let value = |name: &str| {
            let rest = self.charset.split_once(&format!("{name}="))?.1;
            rest.split(' ').next().map(str::to_owned)
        };
        let (charset, collation) = (value("CHARSET"), value("COLLATE"));
        let texts = ["char", "enum", "longtext", "mediumtext", "set", "text", "tinytext", "varchar"];
        for column in self.columns.iter_mut().filter(|column| texts.contains(&&*column.type_name)) {
            if column.charset.is_none() && column.collation.is_none() {
                column.charset.clone_from(&charset);
                column.collation.clone_from(&collation);
            } else if column.charset.is_none() {
                let of_collation = column.collation.as_ref().and_then(|name| name.split('_').next());
                column.charset = of_collation.map(str::to_owned);
            }
        }
    }

    /// The columns of the primary key.
    pub fn primary_key(&self) -> &[Box<str>] {
        let primary = self.keys.iter().find(|key| key.kind == KeyKind::Primary);
        primary.map_or(&[], |key| key.columns.as_slice())
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name.to_lowercase() == name)
    }

    /// The text that creates a temporary table `name` of the same columns, of which only those get values for
    /// which `is_filled` says so. Keys over others are left out; with `is_unique` off, rows may repeat.
    pub fn temporary(&self, name: &str, is_unique: bool, is_filled: &dyn Fn(&TableColumn) -> bool) -> String {
        let keys: Vec<&Key> = self.keys.iter().filter(|key| self.is_kept(key, is_filled)).collect();
        let mut lines = Vec::with_capacity(self.columns.len() + keys.len());
        for column in &self.columns {
            let has_key = || keys.iter().any(|key| key.columns.first() == Some(&column.name));
            lines.push(column.text(is_filled(column), column.is_auto_increment && has_key()));
        }
        for (index, key) in keys.iter().enumerate() {
            let kind = match key.kind {
                KeyKind::Primary if is_unique => "PRIMARY KEY".to_owned(),
                KeyKind::Unique if is_unique => format!("UNIQUE KEY `k{index}`"),
                KeyKind::Plain | KeyKind::Primary | KeyKind::Unique => format!("KEY `k{index}`"),
            };
            lines.push(format!("{kind} {}", key.parts));
        }
        format!(
            "CREATE TEMPORARY TABLE {} ({}) ENGINE=InnoDB{}",
            quoted(name),
            lines.join(", "),
            self.charset
        )
    }

    fn is_kept(&self, key: &Key, is_filled: &dyn Fn(&TableColumn) -> bool) -> bool {
        key.columns
            .iter()
            .all(|name| self.columns.iter().any(|column| column.name == *name && is_filled(column)))
    }

    fn item(&mut self, item: &Item<'_>) -> Option<()> {
        let first = item.tokens.first()?;
        if first.kind == TokenKind::QuotedIdentifier {
            self.columns.push(column(item)?);
            return Some(());
        }
        let kind = match () {
            () if item.is(0, "primary") => KeyKind::Primary,
            () if item.is(0, "unique") => KeyKind::Unique,
            () if item.is(0, "key") => KeyKind::Plain,
            // FULLTEXT, SPATIAL, VECTOR, CONSTRAINT, CHECK, PERIOD: servers refuse them here, or rows satisfy them.
            () => return Some(()),
        };
        if let Some(key) = key(item, kind) {
            self.keys.push(key);
        }
        Some(())
    }

    fn options(&mut self, item: &Item<'_>) {
        for name in ["charset", "collate"] {
            let at = (0..item.tokens.len()).find(|index| item.is(*index, name));
            let value = at.and_then(|at| {
                let is_equal = item.tokens.get(at + 1)?.kind == TokenKind::Eq;
                let value =
                    item.tokens.get(at + 2).filter(|token| is_equal && token.kind == TokenKind::Word)?;
                Some(item.slice(value, value))
            });
            if let Some(value) = value {
                let name = if name == "charset" { "DEFAULT CHARSET" } else { "COLLATE" };
                self.charset.push_str(&format!(" {name}={value}"));
            }
        }
    }
}

impl TableColumn {
    fn text(&self, is_filled: bool, is_auto_increment: bool) -> String {
        let mut text = format!("{} {}", quoted(&self.name), self.type_text);
        // A column without values takes the type's own default; those of spatial types cannot.
        if self.is_not_null && (is_filled || !is_spatial(&self.type_name)) {
            text.push_str(" NOT NULL");
        } else if self.is_null {
            text.push_str(" NULL");
        }
        if let Some(default) = &self.default {
            text.push_str(" DEFAULT ");
            text.push_str(default);
        }
        if is_auto_increment {
            text.push_str(" AUTO_INCREMENT");
        }
        if self.is_invisible {
            text.push_str(" INVISIBLE");
        }
        if let Some(check) = self.check.as_ref().filter(|_| is_filled) {
            text.push(' ');
            text.push_str(check);
        }
        text
    }
}

/// Types whose values are geometries.
fn is_spatial(type_name: &str) -> bool {
    matches!(
        type_name,
        "geometry"
            | "geomcollection"
            | "geometrycollection"
            | "linestring"
            | "multilinestring"
            | "multipoint"
            | "multipolygon"
            | "point"
            | "polygon"
    )
}

/// Some tokens of the text.
struct Item<'a> {
    text: &'a [u8],
    tokens: &'a [Token],
}

impl Item<'_> {
    fn is(&self, index: usize, word: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.is_word(self.text, word))
    }

    fn slice(&self, first: &Token, last: &Token) -> String {
        let range = first.span.range().start..last.span.range().end;
        String::from_utf8_lossy(self.text.get(range).unwrap_or_default()).into_owned()
    }

    /// The token behind the parentheses that begin at `index`.
    fn behind(&self, index: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(index) {
            match token.kind {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(at + 1);
            }
        }
        None
    }
}

fn column(item: &Item<'_>) -> Option<TableColumn> {
    let [name, type_name, ..] = item.tokens else { return None };
    let end = end_of_type(item)?;
    let mut column = TableColumn {
        name: name_of(name.span.of(item.text)).into(),
        type_name: item.slice(type_name, type_name).to_lowercase().into(),
        charset: word_behind(item, end, &["set", "charset"]),
        collation: word_behind(item, end, &["collate"]),
        type_text: item.slice(type_name, &item.tokens[end - 1]),
        is_auto_increment: false,
        is_not_null: false,
        is_null: false,
        is_invisible: false,
        default: None,
        check: None,
    };
    let mut at = end;
    while at < item.tokens.len() {
        let next = match () {
            () if item.is(at, "not") && item.is(at + 1, "null") => {
                column.is_not_null = true;
                at + 2
            }
            () if item.is(at, "null") => {
                column.is_null = true;
                at + 1
            }
            () if item.is(at, "auto_increment") => {
                column.is_auto_increment = true;
                at + 1
            }
            () if item.is(at, "invisible") => {
                column.is_invisible = true;
                at + 1
            }
            () if item.is(at, "srid") || item.is(at, "ref_system_id") => {
                let end = if item.tokens.get(at + 1)?.kind == TokenKind::Eq { at + 3 } else { at + 2 };
                column.type_text.push(' ');
                column.type_text.push_str(&item.slice(item.tokens.get(at)?, item.tokens.get(end - 1)?));
                end
            }
            () if item.is(at, "default") => {
                let (default, next) = default(item, at + 1)?;
                column.default = default;
                next
            }
            () if item.is(at, "check") => {
                let next = item.behind(at + 1)?;
                if item.is(at + 2, "json_valid") {
                    column.check = Some(item.slice(&item.tokens[at], item.tokens.get(next - 1)?));
                }
                next
            }
            () if item.tokens[at].kind == TokenKind::LParen => item.behind(at)?,
            () => at + 1,
        };
        at = next;
    }
    Some(column)
}

/// The word that follows one of `words` among the tokens of the type.
fn word_behind(item: &Item<'_>, end: usize, words: &[&str]) -> Option<String> {
    // The first token of a type may be the word SET itself.
    let at = (2..end).find(|at| words.iter().any(|word| item.is(*at, word)))?;
    item.tokens.get(at + 1).map(|token| item.slice(token, token))
}

/// Where the type ends, with all that belongs to it.
fn end_of_type(item: &Item<'_>) -> Option<usize> {
    let mut at = 2;
    if item.is(1, "double") && item.is(2, "precision") {
        at = 3;
    }
    loop {
        at = match () {
            () if item.tokens.get(at).is_some_and(|token| token.kind == TokenKind::LParen) => {
                item.behind(at)?
            }
            () if ["unsigned", "signed", "zerofill", "binary"].iter().any(|word| item.is(at, word)) => at + 1,
            () if item.is(at, "character") && item.is(at + 1, "set") => at + 3,
            () if item.is(at, "charset") || item.is(at, "collate") => at + 2,
            () => return (at <= item.tokens.len()).then_some(at),
        };
    }
}

/// A default and the place behind it. Only constants are kept: they may be asked for, and do nothing else.
fn default(item: &Item<'_>, at: usize) -> Option<(Option<String>, usize)> {
    let first = item.tokens.get(at)?;
    if first.kind == TokenKind::LParen {
        return Some((None, item.behind(at)?));
    }
    let has_sign = matches!(first.kind, TokenKind::Minus | TokenKind::Plus);
    let value = if has_sign { at + 1 } else { at };
    let token = item.tokens.get(value)?;
    if item.tokens.get(value + 1).is_some_and(|token| token.kind == TokenKind::LParen) {
        return Some((None, item.behind(value + 1)?));
    }
    let is_constant = token.kind.is_literal() || token.is_word(item.text, "null");
    Some((is_constant.then(|| item.slice(first, token)), value + 1))
}

/// A key over plain columns; others are not kept.
fn key(item: &Item<'_>, kind: KeyKind) -> Option<Key> {
    let open = item.tokens.iter().position(|token| token.kind == TokenKind::LParen)?;
    let end = item.behind(open)?;
    let mut columns = Vec::new();
    let mut is_start = true;
    let mut depth = 0_usize;
    for token in &item.tokens[open + 1..end - 1] {
        match token.kind {
            TokenKind::Comma if depth == 0 => {
                is_start = true;
                continue;
            }
            TokenKind::QuotedIdentifier if is_start => columns.push(name_of(token.span.of(item.text)).into()),
            _ if is_start => return None,
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        is_start = false;
    }
    Some(Key { kind, columns, parts: item.slice(&item.tokens[open], &item.tokens[end - 1]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, filled: &[&str], expected: &str) {
        let definition = TableDefinition::parse(text.as_bytes()).unwrap();
        let made = definition.temporary("x", true, &|column| filled.contains(&&*column.name));
        assert_eq!(made, expected);
    }

    #[test]
    fn keys_over_columns_without_values_are_left_out() {
        let text = "CREATE TABLE `t` (\n  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,\n  `a,b` varchar(20) \
                    CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'a,''(' COMMENT 'x, (y',\n  PRIMARY KEY \
                    (`id`),\n  UNIQUE KEY `u` (`a,b`(3) DESC,`id`),\n  KEY `f` ((lower(`a,b`))),\n  FULLTEXT KEY \
                    `g` (`a,b`),\n  CONSTRAINT `c` FOREIGN KEY (`id`) REFERENCES `p` (`id`) ON DELETE CASCADE\n) \
                    ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='z'\n\
                    /*!50100 PARTITION BY HASH (`id`) PARTITIONS 4 */";
        check(
            text,
            &["id", "a,b"],
            "CREATE TEMPORARY TABLE `x` (`id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, `a,b` varchar(20) \
             CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'a,''(', PRIMARY KEY (`id`), UNIQUE KEY `k1` \
             (`a,b`(3) DESC,`id`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
        );
        check(
            text,
            &["a,b"],
            "CREATE TEMPORARY TABLE `x` (`id` bigint(20) unsigned NOT NULL, `a,b` varchar(20) CHARACTER SET latin1 \
             COLLATE latin1_bin DEFAULT 'a,''(') ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
        );
    }

    #[test]
    fn generated_columns_and_defaults_become_plain() {
        check(
            "CREATE TABLE `t` (\n  `a` int DEFAULT (1 + 2),\n  `b` int GENERATED ALWAYS AS ((`a` + 1)) STORED NOT \
             NULL,\n  `c` timestamp NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,\n  `d` longtext \
             COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`d`)),\n  `e` point NOT NULL /*!80003 SRID 4326 */,\n  \
             `f` int DEFAULT '-1' /*!80023 INVISIBLE */\n)",
            &["d", "e"],
            "CREATE TEMPORARY TABLE `x` (`a` int, `b` int NOT NULL, `c` timestamp NULL, `d` longtext COLLATE \
             utf8mb4_bin DEFAULT NULL CHECK (json_valid(`d`)), `e` point SRID 4326 NOT NULL, `f` int DEFAULT '-1' \
             INVISIBLE) ENGINE=InnoDB",
        );
    }

    #[test]
    fn other_texts_are_not_understood() {
        for text in ["CREATE VIEW `v` AS select 1", "", "CREATE TABLE `t` (`a` int", "`"] {
            assert_eq!(TableDefinition::parse(text.as_bytes()), None, "{text}");
        }
    }
}
