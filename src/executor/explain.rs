//! `EXPLAIN` of a statement: asked where the statement itself would go, with the text that would be sent there.
//!
//! Where several shards would answer, the first of them says how it would do its part; of tables of several keyspaces, the
//! server that would evaluate the query says how, over temporary tables like those that it would get.

use super::Executor;
use super::arguments::Placeholders;
use super::job::Job;
use super::lookup::Lock;
use super::place;
use super::planned::Placed;
use crate::error::{Error, Result};
use crate::gateway::Target;
use crate::plan::Plan;
use crate::plan::primitive::{Gather, Primitive, Query};
use crate::sql::token::{TokenKind, Tokenizer};
use crate::sql::{LexOptions, Lexed, StatementKind, lex};
use crate::topology::KeyspaceName;
use std::sync::Arc;

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
        let runs = prefix.to_ascii_lowercase().windows(b"analyze".len()).any(|word| word == b"analyze");
        let placed = {
            let mut inner = Job {
                session: &mut *job.session,
                client: &mut *job.client,
                snapshot: job.snapshot.clone(),
                text,
                lexed: &lexed,
                execution: job.execution,
                more_results: false,
            };
            match self.place_of_explained(&mut inner).await? {
                Explained::Gathered(plan) => {
                    let Primitive::Gather(gather) = &plan.root else {
                        return Err(Error::bug("a gather that is none"));
                    };
                    return Box::pin(self.explain_gathered(&mut inner, prefix, gather, runs)).await;
                }
                Explained::At(target, text, is_one) => Some((target, text, is_one)),
                Explained::Unknown => None,
            }
        };
        let Some((target, text, is_one)) = placed else { return self.planned(job).await };
        if runs && lexed.kind.is_dml() && !is_one {
            return Err(Error::unsupported("EXPLAIN ANALYZE of a change over several shards"));
        }
        self.pass_text_to(job, target, &[prefix, &text].concat()).await
    }

    /// What is prepared in the place of an EXPLAIN that no server can prepare, because none has all tables or because rows
    /// are read before they change: whatever is explained, the answer has the same columns.
    pub(super) fn stand_in_of_explain(&self, job: &Job<'_>) -> Option<Vec<u8>> {
        if job.lexed.kind != StatementKind::Explain {
            return None;
        }
        let start = statement_in(job.text, &job.session.settings.lex_options())?;
        let plan = self.plan_of_text(job, &job.text[start..]).ok()?;
        if matches!(plan.root, Primitive::Route(_)) {
            return None;
        }
        let mut text = job.text[..start].to_vec();
        text.extend_from_slice(b"select 1");
        (0..job.lexed.placeholder_count).for_each(|_| text.extend_from_slice(b", ?"));
        Some(text)
    }

    /// Where the statement goes, and its text there.
    async fn place_of_explained(&self, inner: &mut Job<'_>) -> Result<Explained> {
        let Ok(plan) = self.plan(inner) else { return Ok(Explained::Unknown) };
        let route = match &plan.root {
            Primitive::Route(route) => route,
            root => {
                let keyspace = match root {
                    Primitive::Gather(gather) => match only_keyspace(gather) {
                        Some(keyspace) => Some(keyspace.to_string()),
                        None => return Ok(Explained::Gathered(plan)),
                    },
                    Primitive::Insert(insert) => Some(insert.keyspace.to_string()),
                    _ => None,
                };
                let text = super::describe::with_database_names(inner);
                return Ok(Explained::At(any_shard(inner, keyspace)?, text, false));
            }
        };
        let text = match &route.query {
            Query::Original => inner.text.to_vec(),
            Query::Template(template) => self.render(inner, template, Placeholders::Keep)?,
        };
        let placed = match route.routing.asks_tables() {
            false => self.place(inner, route, &[]),
            // Nothing is changed: an EXPLAIN locks nothing.
            true => self.place_by_tables_with(inner, route, Lock { is_write: false }).await,
        };
        let keyspace = route.keyspace.as_ref().map(ToString::to_string);
        Ok(match placed {
            Ok(Placed::One(target)) => Explained::At(target, text, true),
            // The first of those that take part: its plan is like theirs.
            Ok(Placed::Several(keyspace, parts)) => {
                let target = match parts.first() {
                    Some((shard, _)) => place::target_of(inner.session, &inner.snapshot, &keyspace, shard)?,
                    None => any_shard(inner, Some(keyspace.to_string()))?,
                };
                Explained::At(target, text, false)
            }
            // Values that are not known yet.
            Err(_) => Explained::At(any_shard(inner, keyspace)?, text, false),
        })
    }
}

/// Where an explained statement goes.
enum Explained {
    /// To this shard with this text; whether that is the only place.
    At(Target, Vec<u8>, bool),
    /// To no server that has all its tables.
    Gathered(Arc<Plan>),
    Unknown,
}

fn any_shard(job: &Job<'_>, keyspace: Option<String>) -> Result<Target> {
    let keyspace = keyspace.map_or_else(|| place::any_keyspace(job.session, &job.snapshot), Ok)?;
    place::any_shard(&job.snapshot, &keyspace, job.session)
}

/// The keyspace of all tables.
fn only_keyspace(gather: &Gather) -> Option<&KeyspaceName> {
    let first = &gather.inputs.first()?.keyspace;
    gather.inputs.iter().all(|input| input.keyspace == *first).then_some(first)
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
