//! `CREATE DATABASE` and `DROP DATABASE` of what clients know as databases: the keyspaces, which only the topology
//! makes and removes. Clients that create their database if it does not exist find that it does.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/create-database.html>

use super::Executor;
use super::job::Job;
use super::place;
use crate::error::{Error, ErrorKind, Result};
use crate::session::diagnostics::{Diagnostic, Level};
use crate::sql::ident::name_of;
use crate::sql::{DdlVerb, LexOptions, TokenKind, Tokenizer};
use crate::wire::OkPacket;

impl Executor {
    /// Answers the statement if its database is a keyspace; false when it is none, or a shard is the target.
    pub(super) fn keyspace_ddl(&self, job: &mut Job<'_>, verb: DdlVerb) -> Result<bool> {
        if place::explicit(job.session, &job.snapshot)?.is_some() {
            return Ok(false);
        }
        let Some((name, is_conditional)) = database_of(job.text, &job.session.settings.lex_options()) else {
            return Ok(false);
        };
        if job.snapshot.topology.keyspace(&name).is_none() {
            return Ok(false);
        }
        match verb {
            DdlVerb::Create if is_conditional => {
                let text = format!("Can't create database '{name}'; database exists");
                let code = ErrorKind::DatabaseExists.errno();
                job.session.diagnostics.push(Diagnostic {
                    level: Level::Note,
                    code,
                    message: text.into_bytes(),
                });
                job.session.row_count = 1;
                job.send_ok_with(OkPacket { affected_rows: 1, warnings: 1, ..OkPacket::default() });
                Ok(true)
            }
            DdlVerb::Create => Err(Error::new(
                ErrorKind::DatabaseExists,
                format!("Can't create database '{name}'; database exists"),
            )),
            DdlVerb::Drop => Err(Error::unsupported(format!(
                "DROP DATABASE of the keyspace {name}: the topology says which keyspaces there are"
            ))),
            _ => Ok(false),
        }
    }
}

/// The name behind `CREATE | DROP DATABASE | SCHEMA [IF [NOT] EXISTS]`, and whether there is an IF.
fn database_of(text: &[u8], options: &LexOptions) -> Option<(String, bool)> {
    let mut tokens = Tokenizer::new(text, 0, options);
    let mut is_conditional = false;
    for position in 0.. {
        let token = tokens.next_token().ok()?;
        if !token.kind.is_name() || token.kind == TokenKind::End {
            return None;
        }
        let is_word = |word| token.is_word(text, word);
        let is_part = position < 2 || ["or", "replace"].iter().any(|word| is_word(word));
        let is_condition = ["if", "not", "exists"].iter().any(|word| is_word(word));
        is_conditional |= is_condition;
        if !is_part && !is_condition {
            return Some((name_of(token.span.of(text)).into_owned(), is_conditional));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_conditions() {
        let check = |text: &str, expected: Option<(&str, bool)>| {
            let found = database_of(text.as_bytes(), &LexOptions::default());
            let found = found.as_ref().map(|(name, is_conditional)| (name.as_str(), *is_conditional));
            assert_eq!(found, expected, "{text}");
        };
        check("create database a", Some(("a", false)));
        check("CREATE SCHEMA IF NOT EXISTS `b c` CHARACTER SET utf8mb4", Some(("b c", true)));
        check("drop database if exists a", Some(("a", true)));
        check("create database", None);
    }
}
