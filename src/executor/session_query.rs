//! Queries that only ask about the session or the router, such as `select @@version_comment limit 1`: clients send
//! them by themselves when they connect, so they are answered even while no server is up.

use super::Executor;
use super::job::Job;
use super::table::{Cell, ColumnKind, Table};
use crate::session::Session;
use crate::sql::token::{Token, TokenKind, Tokenizer};
use crate::sql::{LexFlags, StatementKind};
use crate::value::Value;

/// What `@@version_comment` says.
pub(super) const VERSION_COMMENT: &str = concat!("Shardgate ", env!("CARGO_PKG_VERSION"));

impl Executor {
    /// The result of a query that is all about the session; `None` when a server has to be asked.
    pub(super) fn session_query(&self, job: &Job<'_>) -> Option<Table> {
        let session_flags = LexFlags::HAS_SESSION_FUNCTION | LexFlags::HAS_SYSTEM_VARIABLE;
        let is_candidate = job.lexed.kind == StatementKind::Select
            && job.lexed.flags.intersects(session_flags)
            && !job
                .lexed
                .flags
                .intersects(LexFlags::HAS_SUBQUERY | LexFlags::HAS_SET_OPERATION | LexFlags::HAS_WITH);
        if !is_candidate {
            return None;
        }
        let options = job.session.settings.lex_options();
        let mut tokens = Tokenizer::new(job.text, 0, &options);
        let mut next = || tokens.next_token().ok();
        next().filter(|token| token.is_word(job.text, "select"))?;
        let mut table = Table { rows: vec![Vec::new()], ..Table::default() };
        let mut item: Vec<Token> = Vec::new();
        loop {
            let token = next()?;
            let ends_list = token.kind == TokenKind::End || token.is_word(job.text, "limit");
            if token.kind != TokenKind::Comma && !ends_list {
                item.push(token);
                continue;
            }
            let (name, kind, cell) = self.item(job, &item)?;
            table.names.push(name);
            table.kinds.push(kind);
            table.rows[0].push(cell);
            item.clear();
            if ends_list {
                let is_limit = token.kind != TokenKind::End;
                let rest = [next(), next()];
                return ends_plainly(job.text, is_limit, rest).then_some(table);
            }
        }
    }

    /// Name, kind and value of one item of the select list.
    fn item(&self, job: &Job<'_>, tokens: &[Token]) -> Option<(String, ColumnKind, Cell)> {
        let text = |token: &Token| String::from_utf8_lossy(token.span.of(job.text)).into_owned();
        let (value, alias) = split_alias(job.text, tokens);
        let (first, last) = (value.first()?, value.last()?);
        let source = job.text.get(first.span.start as usize..last.span.end as usize)?;
        let words: Vec<String> = value.iter().map(|token| text(token).to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (kind, cell) = match words.as_slice() {
            [variable] if first.kind == TokenKind::SystemVariable => self.variable(job.session, variable)?,
            [function, "(", ")"] => self.function(job.session, function)?,
            ["current_user"] => self.function(job.session, "current_user")?,
            _ => return None,
        };
        let name = match alias {
            Some(alias) => crate::sql::ident::name_of(alias.span.of(job.text)).into_owned(),
            None => String::from_utf8_lossy(source).into_owned(),
        };
        Some((name, kind, cell))
    }

    fn variable(&self, session: &Session, name: &str) -> Option<(ColumnKind, Cell)> {
        let name = name.trim_start_matches('@');
        if let Some(value) = session.router_variables().value(name) {
            let is_id = matches!(name, "last_insert_id" | "identity");
            let kind = match value {
                Value::Text(_) => ColumnKind::Text,
                _ if is_id => ColumnKind::Unsigned,
                _ => ColumnKind::Integer,
            };
            return Some((kind, Some(value.as_ref().to_bytes().into_owned())));
        }
        let name = name.rsplit('.').next().unwrap_or(name);
        let text = match name {
            "version" => self.options().version.to_string(),
            "version_comment" => VERSION_COMMENT.to_owned(),
            _ => return None,
        };
        Some((ColumnKind::Text, Some(text.into_bytes())))
    }

    fn function(&self, session: &Session, name: &str) -> Option<(ColumnKind, Cell)> {
        let user = || format!("{}@{}", session.identity.user, session.identity.host);
        let text = |text: String| (ColumnKind::Text, Some(text.into_bytes()));
        let number = |number: String| (ColumnKind::UnsignedNotNull, Some(number.into_bytes()));
        Some(match name {
            "connection_id" => number(session.identity.connection_id.to_string()),
            "current_user" => text(format!("{}@%", session.identity.user)),
            "database" | "schema" => {
                (ColumnKind::Text, session.target.text.as_ref().map(|target| target.as_bytes().to_vec()))
            }
            "found_rows" => number(session.found_rows.to_string()),
            "last_insert_id" => number(session.last_insert_id.to_string()),
            "session_user" | "system_user" | "user" => text(user()),
            "version" => text(self.options().version.to_string()),
            _ => return None,
        })
    }
}

/// Whether the query asks for the diagnostics that the statement before left, and must not clear them.
pub(super) fn reads_diagnostics(job: &Job<'_>) -> bool {
    if !job.lexed.flags.contains(LexFlags::HAS_SYSTEM_VARIABLE) {
        return false;
    }
    let text = String::from_utf8_lossy(job.text).to_ascii_lowercase();
    text.contains("warning_count") || text.contains("error_count")
}

/// Splits `value [AS] alias`.
fn split_alias<'t>(text: &[u8], tokens: &'t [Token]) -> (&'t [Token], Option<&'t Token>) {
    match tokens {
        [value @ .., word, alias] if word.is_word(text, "as") && !value.is_empty() => (value, Some(alias)),
        [value @ .., alias] if alias.kind.is_name() && !value.is_empty() => (value, Some(alias)),
        _ => (tokens, None),
    }
}

/// Only `LIMIT n` with n greater than 0 may follow the select list.
fn ends_plainly(text: &[u8], is_limit: bool, rest: [Option<Token>; 2]) -> bool {
    let [first, second] = rest;
    if !is_limit {
        return true;
    }
    let is_positive = first.is_some_and(|token| {
        token.kind == TokenKind::Integer && token.span.of(text).iter().any(|digit| *digit != b'0')
    });
    is_positive && second.is_some_and(|token| token.kind == TokenKind::End)
}
