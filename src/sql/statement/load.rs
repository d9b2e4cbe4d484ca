//! `LOAD DATA [LOCAL] INFILE`: its file, table, format, columns and assignments.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/load-data.html>

use super::cursor::Cursor;
use crate::error::Result;
use crate::sql::lex::{Arg, ArgKind};
use crate::sql::literal::arg_value;
use crate::sql::options::LexOptions;
use crate::sql::token::{Span, TokenKind};

/// A `LOAD DATA` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadData {
    /// The file is the client's.
    pub is_local: bool,
    /// `REPLACE`: rows in the way are deleted.
    pub replaces: bool,
    /// The keyspace or database in front of the table's name, with the place of both up to the table's name.
    pub qualifier: Option<(String, Span)>,
    /// The table.
    pub table: (String, Span),
    /// `PARTITION (…)`
    pub has_partitions: bool,
    /// `CHARACTER SET`
    pub charset: Option<String>,
    /// How the file is cut into rows and fields.
    pub format: FileFormat,
    /// `IGNORE n LINES`, and where that stands.
    pub skipped_lines: Option<(u64, Span)>,
    /// The list of columns and variables; `None` without a list.
    pub fields: Option<Vec<LoadField>>,
    /// Where columns can be added: behind the list's parenthesis, or, without a list, where one would stand.
    pub list_after: u32,
    /// The columns that `SET` assigns to.
    pub assigned: Vec<String>,
    /// The assignments.
    pub set: Option<Span>,
}

/// What a field of the file goes into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadField {
    /// A column, and where its name stands.
    Column(String, Span),
    /// A user variable.
    Variable,
}

/// `FIELDS` and `LINES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFormat {
    /// `FIELDS TERMINATED BY`
    pub field_end: Vec<u8>,
    /// `ENCLOSED BY`
    pub enclosed: Option<u8>,
    /// `ESCAPED BY`
    pub escape: Option<u8>,
    /// `LINES STARTING BY`
    pub line_start: Vec<u8>,
    /// `LINES TERMINATED BY`
    pub line_end: Vec<u8>,
}

impl Default for FileFormat {
    fn default() -> Self {
        Self {
            field_end: b"\t".to_vec(),
            enclosed: None,
            escape: Some(b'\\'),
            line_start: Vec::new(),
            line_end: b"\n".to_vec(),
        }
    }
}

/// Reads the beginning of a `LOAD` statement: is it of a file of the client?
pub fn is_local_load(text: &[u8], options: &LexOptions) -> bool {
    let mut cursor = Cursor::new(text, options);
    if !(cursor.accept("load") && cursor.accept_any(&["data", "xml"])) {
        return false;
    }
    cursor.accept_any(&["low_priority", "concurrent"]);
    cursor.accept("local")
}

/// Reads a `LOAD DATA` statement.
///
/// # Errors
/// MySQL's error for text that is none, which `LOAD XML` and forms that few servers know are too.
pub fn parse_load(text: &[u8], options: &LexOptions) -> Result<LoadData> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("load")?;
    cursor.expect("data")?;
    cursor.accept_any(&["low_priority", "concurrent"]);
    let is_local = cursor.accept("local");
    cursor.expect("infile")?;
    string(&mut cursor, options)?;
    let replaces = cursor.accept("replace");
    if !replaces {
        cursor.accept("ignore");
    }
    cursor.expect("into")?;
    cursor.expect("table")?;
    let (qualifier, (name, span)) = table(&mut cursor)?;
    let mut list_after = span.end;
    let has_partitions = cursor.accept("partition");
    if has_partitions {
        list_after = parentheses(&mut cursor)?.end;
    }
    let charset = charset(&mut cursor, options, &mut list_after)?;
    let format = format(&mut cursor, options, &mut list_after)?;
    let mut skipped_lines = None;
    let start = cursor.peek().span.start;
    if cursor.accept("ignore") {
        let count = number(&mut cursor)?;
        let end = cursor.peek().span.end;
        if !cursor.accept_any(&["lines", "rows"]) {
            return Err(cursor.syntax_error());
        }
        skipped_lines = Some((count, Span { start, end }));
        list_after = end;
    }
    let open = cursor.peek();
    let fields = if open.kind == TokenKind::LParen {
        list_after = open.span.end;
        Some(fields(&mut cursor)?)
    } else {
        None
    };
    let (assigned, set) = assignments(&mut cursor)?;
    cursor.finish()?;
    Ok(LoadData {
        is_local,
        replaces,
        qualifier,
        table: (name, span),
        has_partitions,
        charset,
        format,
        skipped_lines,
        fields,
        list_after,
        assigned,
        set,
    })
}

/// A name and where it stands.
type Placed = (String, Span);

/// The table's name, and what stands before it.
fn table(cursor: &mut Cursor<'_>) -> Result<(Option<Placed>, Placed)> {
    let (name, span) = cursor.name()?;
    if cursor.accept_kind(TokenKind::Dot).is_none() {
        return Ok((None, (name, span)));
    }
    let (table, at) = cursor.name()?;
    Ok((Some((name, Span { start: span.start, end: at.start })), (table, at)))
}

fn charset(cursor: &mut Cursor<'_>, options: &LexOptions, end: &mut u32) -> Result<Option<String>> {
    if !(cursor.accept("charset") || cursor.accept("character")) {
        return Ok(None);
    }
    cursor.accept("set");
    let token = cursor.peek();
    let name = match token.kind {
        TokenKind::String => String::from_utf8_lossy(&string(cursor, options)?).into_owned(),
        _ => cursor.name()?.0,
    };
    *end = token.span.end;
    Ok(Some(name.to_ascii_lowercase()))
}

/// The columns that `SET` assigns to, and the whole of it.
fn assignments(cursor: &mut Cursor<'_>) -> Result<(Vec<String>, Option<Span>)> {
    let mut assigned = Vec::new();
    let start = cursor.peek().span.start;
    if !cursor.accept("set") {
        return Ok((assigned, None));
    }
    loop {
        assigned.push(column(cursor)?.0);
        if cursor.accept_kind(TokenKind::Eq).or_else(|| cursor.accept_kind(TokenKind::Assign)).is_none() {
            return Err(cursor.syntax_error());
        }
        let end = cursor.expression()?.end;
        if cursor.accept_kind(TokenKind::Comma).is_none() {
            return Ok((assigned, Some(Span { start, end })));
        }
    }
}

fn format(cursor: &mut Cursor<'_>, options: &LexOptions, end: &mut u32) -> Result<FileFormat> {
    let mut format = FileFormat::default();
    let of = |cursor: &mut Cursor<'_>, end: &mut u32| {
        cursor.expect("by")?;
        *end = cursor.peek().span.end;
        string(cursor, options)
    };
    if cursor.accept_any(&["fields", "columns"]) {
        loop {
            if cursor.accept("terminated") {
                format.field_end = of(cursor, end)?;
            } else if cursor.accept("escaped") {
                format.escape = {
                    let text = of(cursor, end)?;
                    one_byte(cursor, &text)?
                };
            } else if cursor.accept("enclosed") || cursor.accept("optionally") {
                cursor.accept("enclosed");
                format.enclosed = {
                    let text = of(cursor, end)?;
                    one_byte(cursor, &text)?
                };
            } else {
                break;
            }
        }
    }
    if cursor.accept("lines") {
        loop {
            if cursor.accept("starting") {
                format.line_start = of(cursor, end)?;
            } else if cursor.accept("terminated") {
                format.line_end = of(cursor, end)?;
            } else {
                break;
            }
        }
    }
    Ok(format)
}

/// Servers refuse longer ones, in their own words.
fn one_byte(cursor: &Cursor<'_>, text: &[u8]) -> Result<Option<u8>> {
    match text {
        [] => Ok(None),
        [byte] => Ok(Some(*byte)),
        _ => Err(cursor.syntax_error()),
    }
}

fn string(cursor: &mut Cursor<'_>, options: &LexOptions) -> Result<Vec<u8>> {
    let token = cursor.peek();
    let kind = match token.kind {
        TokenKind::String => ArgKind::String,
        TokenKind::Hex => ArgKind::Hex,
        TokenKind::Bit => ArgKind::Bit,
        _ => return Err(cursor.syntax_error()),
    };
    let mut scratch = Vec::new();
    let value = arg_value(cursor.text(), &Arg { span: token.span, kind }, options, &mut scratch);
    let value = value.map_err(|_| cursor.syntax_error())?.to_bytes().into_owned();
    cursor.next();
    Ok(value)
}

fn number(cursor: &mut Cursor<'_>) -> Result<u64> {
    let token = cursor.accept_kind(TokenKind::Integer).ok_or_else(|| cursor.syntax_error())?;
    let text = std::str::from_utf8(token.span.of(cursor.text())).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| cursor.syntax_error())
}

/// Everything between two parentheses that belong together.
fn parentheses(cursor: &mut Cursor<'_>) -> Result<Span> {
    let open = cursor.accept_kind(TokenKind::LParen).ok_or_else(|| cursor.syntax_error())?;
    loop {
        let token = cursor.next();
        match token.kind {
            TokenKind::RParen => return Ok(Span { start: open.span.start, end: token.span.end }),
            TokenKind::End => return Err(cursor.syntax_error()),
            _ => {}
        }
    }
}

/// A column, perhaps with the names of its table and database.
fn column(cursor: &mut Cursor<'_>) -> Result<(String, Span)> {
    let (mut name, mut span) = cursor.name()?;
    while cursor.accept_kind(TokenKind::Dot).is_some() {
        let last;
        (name, last) = cursor.name()?;
        span.end = last.end;
    }
    Ok((name, span))
}

fn fields(cursor: &mut Cursor<'_>) -> Result<Vec<LoadField>> {
    cursor.next();
    let mut fields = Vec::new();
    while cursor.accept_kind(TokenKind::RParen).is_none() {
        if !fields.is_empty() && cursor.accept_kind(TokenKind::Comma).is_none() {
            return Err(cursor.syntax_error());
        }
        fields.push(match cursor.accept_kind(TokenKind::UserVariable) {
            Some(_) => LoadField::Variable,
            None => {
                let (name, span) = column(cursor)?;
                LoadField::Column(name, span)
            }
        });
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<LoadData> {
        parse_load(text.as_bytes(), &LexOptions::default())
    }

    #[test]
    fn everything_has_a_default() {
        let load = of("load data infile 'f' into table t").unwrap();
        assert_eq!((load.is_local, load.replaces, load.fields, load.set), (false, false, None, None));
        assert_eq!((load.format, load.list_after), (FileFormat::default(), 33));
        assert_eq!(load.table.0, "t");
    }

    #[test]
    fn reads_every_part() {
        let text = "LOAD DATA LOW_PRIORITY LOCAL INFILE 'a.csv' REPLACE INTO TABLE `k`.`t` PARTITION (p0, p1) \
                    CHARACTER SET latin1 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' \
                    LINES STARTING BY 'x:' TERMINATED BY '\\r\\n' IGNORE 2 LINES (a, @b, t.c) SET d = upper(@b), e = 1";
        let load = of(text).unwrap();
        let at = |span: Span| &text[span.range()];
        assert!(load.is_local && load.replaces && load.has_partitions);
        assert_eq!(
            load.qualifier.as_ref().map(|(name, span)| (name.as_str(), at(*span))),
            Some(("k", "`k`."))
        );
        assert_eq!((load.table.0.as_str(), load.charset.as_deref()), ("t", Some("latin1")));
        let format = FileFormat {
            field_end: b",".to_vec(),
            enclosed: Some(b'"'),
            escape: None,
            line_start: b"x:".to_vec(),
            line_end: b"\r\n".to_vec(),
        };
        assert_eq!(load.format, format);
        let (count, span) = load.skipped_lines.unwrap();
        assert_eq!((count, at(span)), (2, "IGNORE 2 LINES"));
        assert!(text[..load.list_after as usize].ends_with("IGNORE 2 LINES ("));
        let names = load.fields.iter().flatten().map(|field| match field {
            LoadField::Column(name, span) => (name.as_str(), at(*span)),
            LoadField::Variable => ("", ""),
        });
        let names: Vec<_> = names.collect();
        assert_eq!(names, [("a", "a"), ("", ""), ("c", "t.c")]);
        assert_eq!(
            (load.assigned, at(load.set.unwrap())),
            (vec!["d".into(), "e".into()], "SET d = upper(@b), e = 1")
        );
    }

    #[test]
    fn what_is_no_load_data_is_refused() {
        for text in [
            "load xml local infile 'f' into table t",
            "load data local infile f into table t",
            "load data infile 'f' into table t fields enclosed by 'ab'",
            "load data infile 'f' into table t ignore x lines",
            "load data infile 'f' into table t (a b)",
            "load data infile 'f' into table t set",
        ] {
            assert_eq!(of(text).unwrap_err().errno(), 1064, "{text}");
        }
    }
}
