//! `SHOW`, read as far as routing needs: what is shown, of which table and keyspace, filtered how.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/show.html>, and Vitess's own `SHOW VITESS_…` and `SHOW VSCHEMA …`.

use super::cursor::Cursor;
use crate::error::Result;
use crate::sql::ident::name_of;
use crate::sql::options::LexOptions;
use crate::sql::token::{Span, TokenKind};

/// What is shown. Kinds that only servers answer and that need no table or keyspace are [`ShowKind::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowKind {
    Charset,
    Columns,
    CountErrors,
    CountWarnings,
    /// `CREATE DATABASE k`: the name is the keyspace.
    CreateDatabase,
    /// `CREATE TABLE|VIEW|TRIGGER|…`.
    CreateObject,
    Databases,
    Engines,
    Errors,
    Index,
    Keyspaces,
    /// `TABLE STATUS`, `OPEN TABLES`, `TRIGGERS`, `EVENTS`: per keyspace.
    KeyspaceObjects,
    Other,
    Plugins,
    Processlist,
    Tables,
    /// `TRANSACTION STATUS [FOR] 'name'`: the name is in `table`.
    TransactionStatus,
    /// `UNRESOLVED TRANSACTIONS [FOR keyspace]`.
    UnresolvedTransactions,
    Variables,
    VitessShards,
    VitessTablets,
    VitessTarget,
    VitessTargets,
    VschemaKeyspaces,
    VschemaTables,
    VschemaVindexes,
    Warnings,
}

/// `LIKE` or `WHERE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The pattern's source, quotes included.
    Like(Span),
    /// The condition's source.
    Where(Span),
}

/// A `SHOW` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    pub kind: ShowKind,
    /// `FULL` was written.
    pub full: bool,
    /// `GLOBAL` was written.
    pub global: bool,
    /// The table that is asked about, unquoted.
    pub table: Option<String>,
    /// The keyspace that is named, unquoted, and where: as `FROM k` or as `k.` before the table.
    pub keyspace: Option<(String, Span)>,
    pub filter: Option<Filter>,
}

/// Reads a `SHOW` statement. Spans are in `text`.
pub fn parse_show(text: &[u8], options: &LexOptions) -> Result<Show> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("show")?;
    let mut show =
        Show { kind: ShowKind::Other, full: false, global: false, table: None, keyspace: None, filter: None };
    loop {
        match () {
            () if cursor.accept("full") => show.full = true,
            () if cursor.accept("global") => show.global = true,
            () if cursor.accept_any(&["extended", "session", "local", "storage"]) => {}
            () => break,
        }
    }
    show.kind = kind(&mut cursor);
    match show.kind {
        ShowKind::CreateDatabase => {
            if cursor.accept("if") {
                cursor.accept("not");
                cursor.expect("exists")?;
            }
            show.keyspace = Some(cursor.name()?);
        }
        ShowKind::CreateObject => qualified_name(&mut cursor, &mut show)?,
        ShowKind::Columns | ShowKind::Index => {
            if !cursor.accept_any(&["from", "in"]) {
                return Err(cursor.syntax_error());
            }
            qualified_name(&mut cursor, &mut show)?;
            from_keyspace(&mut cursor, &mut show)?;
        }
        ShowKind::Tables | ShowKind::KeyspaceObjects | ShowKind::VschemaTables => {
            from_keyspace(&mut cursor, &mut show)?;
        }
        ShowKind::TransactionStatus => {
            cursor.accept("for");
            let token = cursor.accept_kind(TokenKind::String).ok_or_else(|| cursor.syntax_error())?;
            // Names of transactions have nothing to escape.
            let quoted = token.span.of(cursor.text());
            let name = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
            show.table = Some(String::from_utf8_lossy(name).into_owned());
        }
        ShowKind::UnresolvedTransactions if cursor.accept("for") => show.keyspace = Some(cursor.name()?),
        ShowKind::VschemaVindexes if cursor.accept_any(&["from", "on"]) => {
            qualified_name(&mut cursor, &mut show)?;
        }
        _ => {}
    }
    show.filter = filter(&mut cursor)?;
    if show.kind != ShowKind::Other && !matches!(show.kind, ShowKind::Warnings | ShowKind::Errors) {
        cursor.finish()?;
    }
    Ok(show)
}

/// Words of what is shown, longest first where one begins like another.
const KINDS: &[(&[&str], ShowKind)] = &[
    (&["character", "set"], ShowKind::Charset),
    (&["charset"], ShowKind::Charset),
    (&["columns"], ShowKind::Columns),
    (&["create", "database"], ShowKind::CreateDatabase),
    (&["create", "schema"], ShowKind::CreateDatabase),
    (&["create", "table"], ShowKind::CreateObject),
    (&["create", "view"], ShowKind::CreateObject),
    (&["create", "trigger"], ShowKind::CreateObject),
    (&["create", "procedure"], ShowKind::CreateObject),
    (&["create", "function"], ShowKind::CreateObject),
    (&["create", "event"], ShowKind::CreateObject),
    (&["create", "sequence"], ShowKind::CreateObject),
    (&["databases"], ShowKind::Databases),
    (&["engines"], ShowKind::Engines),
    (&["errors"], ShowKind::Errors),
    (&["events"], ShowKind::KeyspaceObjects),
    (&["fields"], ShowKind::Columns),
    (&["index"], ShowKind::Index),
    (&["indexes"], ShowKind::Index),
    (&["keys"], ShowKind::Index),
    (&["keyspaces"], ShowKind::Keyspaces),
    (&["open", "tables"], ShowKind::KeyspaceObjects),
    (&["plugins"], ShowKind::Plugins),
    (&["processlist"], ShowKind::Processlist),
    (&["schemas"], ShowKind::Databases),
    (&["table", "status"], ShowKind::KeyspaceObjects),
    (&["tables"], ShowKind::Tables),
    (&["transaction", "status"], ShowKind::TransactionStatus),
    (&["triggers"], ShowKind::KeyspaceObjects),
    (&["unresolved", "transactions"], ShowKind::UnresolvedTransactions),
    (&["variables"], ShowKind::Variables),
    (&["vitess_keyspaces"], ShowKind::Keyspaces),
    (&["vitess_shards"], ShowKind::VitessShards),
    (&["vitess_tablets"], ShowKind::VitessTablets),
    (&["vitess_target"], ShowKind::VitessTarget),
    (&["vitess_targets"], ShowKind::VitessTargets),
    (&["vschema", "keyspaces"], ShowKind::VschemaKeyspaces),
    (&["vschema", "tables"], ShowKind::VschemaTables),
    (&["vschema", "vindexes"], ShowKind::VschemaVindexes),
    (&["warnings"], ShowKind::Warnings),
];

fn kind(cursor: &mut Cursor<'_>) -> ShowKind {
    for (words, kind) in KINDS {
        let mut ahead = *cursor;
        if words.iter().all(|word| ahead.accept(word)) {
            *cursor = ahead;
            return *kind;
        }
    }
    count_of(cursor).unwrap_or(ShowKind::Other)
}

/// `COUNT(*) WARNINGS | ERRORS`.
fn count_of(cursor: &mut Cursor<'_>) -> Option<ShowKind> {
    let mut ahead = *cursor;
    let star = ahead.accept("count")
        && ahead.accept_kind(TokenKind::LParen).is_some()
        && ahead.accept_kind(TokenKind::Star).is_some()
        && ahead.accept_kind(TokenKind::RParen).is_some();
    let kind = match () {
        () if star && ahead.accept("warnings") => ShowKind::CountWarnings,
        () if star && ahead.accept("errors") => ShowKind::CountErrors,
        () => return None,
    };
    *cursor = ahead;
    Some(kind)
}

/// `table` or `keyspace.table`.
fn qualified_name(cursor: &mut Cursor<'_>, show: &mut Show) -> Result<()> {
    let first = cursor.name()?;
    if cursor.accept_kind(TokenKind::Dot).is_some() {
        show.table = Some(cursor.name()?.0);
        show.keyspace = Some(first);
    } else {
        show.table = Some(first.0);
    }
    Ok(())
}

/// `FROM k` wins over `k.` before the table, as in MySQL.
fn from_keyspace(cursor: &mut Cursor<'_>, show: &mut Show) -> Result<()> {
    if !cursor.accept_any(&["from", "in"]) {
        return Ok(());
    }
    // A target such as `ks:-80` can be named in quotes only.
    let token = cursor.peek();
    show.keyspace = Some(match token.kind {
        TokenKind::String => {
            cursor.next();
            (name_of(token.span.of(cursor.text())).into_owned(), token.span)
        }
        _ => cursor.name()?,
    });
    Ok(())
}

fn filter(cursor: &mut Cursor<'_>) -> Result<Option<Filter>> {
    if cursor.accept("like") {
        return match cursor.accept_kind(TokenKind::String) {
            Some(token) => Ok(Some(Filter::Like(token.span))),
            None => Err(cursor.syntax_error()),
        };
    }
    if cursor.accept("where") {
        let condition = cursor.rest();
        if condition.byte_count() == 0 {
            return Err(cursor.syntax_error());
        }
        return Ok(Some(Filter::Where(condition)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kind: ShowKind, table: Option<&str>, keyspace: Option<&str>, filter: Option<&str>) {
        let show = parse_show(text.as_bytes(), &LexOptions::default()).unwrap();
        let source = show.filter.as_ref().map(|filter| match filter {
            Filter::Like(span) | Filter::Where(span) => String::from_utf8_lossy(span.of(text.as_bytes())),
        });
        assert_eq!(show.kind, kind, "{text}");
        assert_eq!(show.table.as_deref(), table, "{text}");
        assert_eq!(show.keyspace.as_ref().map(|(name, _)| name.as_str()), keyspace, "{text}");
        assert_eq!(source.as_deref(), filter, "{text}");
    }

    #[test]
    fn every_form_is_read() {
        check("show vitess_tablets", ShowKind::VitessTablets, None, None, None);
        check("SHOW VITESS_TABLETS LIKE '127%';", ShowKind::VitessTablets, None, None, Some("'127%'"));
        check(
            "show vitess_tablets where keyspace = 'customer' and shard in ('-80')",
            ShowKind::VitessTablets,
            None,
            None,
            Some("keyspace = 'customer' and shard in ('-80')"),
        );
        check(
            "show full tables from `customer` like 'c%'",
            ShowKind::Tables,
            None,
            Some("customer"),
            Some("'c%'"),
        );
        check("show columns from t in ks", ShowKind::Columns, Some("t"), Some("ks"), None);
        check("show full fields from ks.t", ShowKind::Columns, Some("t"), Some("ks"), None);
        check("show create table `a`.`b`", ShowKind::CreateObject, Some("b"), Some("a"), None);
        check("show create database ks", ShowKind::CreateDatabase, None, Some("ks"), None);
        check("show global variables like 'x'", ShowKind::Variables, None, None, Some("'x'"));
        check("show count(*) warnings", ShowKind::CountWarnings, None, None, None);
        check("show unresolved transactions", ShowKind::UnresolvedTransactions, None, None, None);
        check(
            "show unresolved transactions for ks",
            ShowKind::UnresolvedTransactions,
            None,
            Some("ks"),
            None,
        );
        check("show transaction status for 'a:-:1'", ShowKind::TransactionStatus, Some("a:-:1"), None, None);
        check("show warnings limit 5", ShowKind::Warnings, None, None, None);
        check("show storage engines", ShowKind::Engines, None, None, None);
        check("show engine innodb status", ShowKind::Other, None, None, None);
        check(
            "show table status from k where name = 'x'",
            ShowKind::KeyspaceObjects,
            None,
            Some("k"),
            Some("name = 'x'"),
        );
        check(
            "show vschema vindexes on customer.corder",
            ShowKind::VschemaVindexes,
            Some("corder"),
            Some("customer"),
            None,
        );
    }

    #[test]
    fn mistakes_are_syntax_errors() {
        for text in
            ["show columns", "show create table", "show tables from", "show tables like", "show databases x"]
        {
            let error = parse_show(text.as_bytes(), &LexOptions::default()).unwrap_err();
            assert_eq!(error.errno(), 1064, "{text}");
        }
    }
}
