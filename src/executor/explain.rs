//! `EXPLAIN` of a statement: asked where the statement itself would go, with the text that would be sent there.
//!
//! Where several shards would answer, the first of them says how it would do its part.

use super::Executor;
use super::arguments::Placeholders;
use super::job::Job;
use super::place;
use super::planned::Placed;
use crate::error::{Error, Result};
use crate::gateway::Target;
use crate::plan::primitive::{Primitive, Query};
use crate::sql::token::{TokenKind, Tokenizer};
use crate::sql::{LexOptions, Lexed, lex};

/// First words of statements that can be explained.
const VERBS: [&str; 8] = ["select", "insert", "replace", "update", "delete", "with", "table", "values"];

impl Executor {
    /// Runs an EXPLAIN, ANALYZE or DESCRIBE of a statement.
    pub(super) async fn explain(&self, job: &mut Job<'_>) -> Result<()> {
        let options = job.session.settings.lex_options();
        if let Some(target) = place::explicit(job.session, &job.snapshot)? {
            return self.pass_to(job, target).await;
        }
        let Some(start) = statement_in(job.text, &options) else { return self.planned(job).await };
        let (prefix, text) = job.text.split_at(start);
        let mut lexed = Lexed::new();
        if lex(text, 0, &options, &mut lexed).is_err() {
            return self.planned(job).await;
        }
        let placed = {
            let inner = Job {
                session: &mut *job.session,
                client: &mut *job.client,
                snapshot: job.snapshot.clone(),
                text,
                lexed: &lexed,
                execution: job.execution,
                more_results: false,
            };
            self.place_of_explained(&inner)?
        };
        let Some((target, text, is_one)) = placed else { return self.planned(job).await };
        let runs = prefix.to_ascii_lowercase().windows(b"analyze".len()).any(|word| word == b"analyze");
        if runs && lexed.kind.is_dml() && !is_one {
            return Err(Error::unsupported("EXPLAIN ANALYZE of a change over several shards"));
        }
        self.pass_text_to(job, target, &[prefix, &text].concat()).await
    }

    /// Where the statement goes, its text there, and whether that is the only place.
    fn place_of_explained(&self, inner: &Job<'_>) -> Result<Option<(Target, Vec<u8>, bool)>> {
        let Ok(plan) = self.plan(inner) else { return Ok(None) };
        let any = |keyspace: Option<String>| {
            let keyspace =
                keyspace.map_or_else(|| place::any_keyspace(inner.session, &inner.snapshot), Ok)?;
            place::any_shard(&inner.snapshot, &keyspace, inner.session)
        };
        let Primitive::Route(route) = &plan.root else {
            return Ok(Some((any(None)?, super::describe::with_database_names(inner), false)));
        };
        let text = match &route.query {
            Query::Original => inner.text.to_vec(),
            Query::Template(template) => self.render(inner, template, Placeholders::Keep)?,
        };
        Ok(Some(match self.place(inner, route, &[]) {
            Ok(Placed::One(target)) => (target, text, true),
            // Values that are not known yet, or tables that would have to be asked.
            Ok(Placed::Several(..)) | Err(_) => {
                (any(route.keyspace.as_ref().map(ToString::to_string))?, text, false)
            }
        }))
    }
}

/// Where the explained statement begins.
fn statement_in(text: &[u8], options: &LexOptions) -> Option<usize> {
    let mut tokens = Tokenizer::new(text, 0, options);
    tokens.next_token().ok()?;
    loop {
        let token = tokens.next_token().ok()?;
        match token.kind {
            TokenKind::End => return None,
            TokenKind::LParen => return Some(token.span.start as usize),
            _ if VERBS.iter().any(|verb| token.is_word(text, verb)) => {
                return Some(token.span.start as usize);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_found_behind_the_options() {
        let check = |text: &str, expected: Option<&str>| {
            let start = statement_in(text.as_bytes(), &LexOptions::default());
            assert_eq!(start.map(|start| &text[start..]), expected, "{text}");
        };
        check("explain select 1", Some("select 1"));
        check("EXPLAIN FORMAT=JSON update t set a = 1", Some("update t set a = 1"));
        check("explain analyze (select 1)", Some("(select 1)"));
        check("explain for connection 5", None);
    }
}
