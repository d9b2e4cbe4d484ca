//! Locks that outlive a statement: `GET_LOCK()` and its relatives, at one place of the whole cluster, so that all sessions of
//! all routers mean the same lock; and `UNLOCK TABLES`, wherever tables are locked.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/locking-functions.html>; the place is the one that Vitess chooses.

use futures_util::future::join_all;

use super::Executor;
use super::job::Job;
use super::transaction::run;
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::plan::primitive::{Primitive, Routing};
use crate::session::Session;
use crate::session::transaction::Pin;
use crate::sql::{LexFlags, LexOptions, Tokenizer};
use crate::topology::Snapshot;

impl Executor {
    /// A statement with `GET_LOCK()` or a relative: it runs where the cluster keeps its user locks, whatever the session's
    /// target is.
    pub(super) async fn with_user_locks(&self, job: &mut Job<'_>) -> Result<()> {
        if job.lexed.flags.contains(LexFlags::HAS_INTO) {
            return Err(refused_in("SELECT … INTO; SELECT @variable := GET_LOCK(…) does the same"));
        }
        let plan = self.plan(job)?;
        let query = match &plan.root {
            Primitive::Route(route) if route.keyspace.is_none() && route.routing == Routing::AnyShard => {
                &route.query
            }
            _ => return Err(refused_in("a statement with tables")),
        };
        let target = lock_place(&job.snapshot)?;
        let options = job.session.settings.lex_options();
        job.session.transaction.pin_next =
            has_words(job.text, &options, &["GET_LOCK"]).then_some(Pin::AdvisoryLock);
        let releases_all = is_release_of_all(job.text, &options);
        // No transaction is about locks: this shard has nothing to commit for them.
        self.at_one_shard_as(job, &target, query, false).await?;
        if releases_all {
            job.session.transaction.unpin(Pin::AdvisoryLock);
        }
        Ok(())
    }

    /// Releases the session's table locks on every server that has some.
    pub(super) async fn unlock_tables(&self, session: &mut Session) -> Result<()> {
        if session.transaction.pins().all(|(_, pin)| pin != Pin::TableLock) {
            return Ok(());
        }
        let shards = session.transaction.shards.iter_mut();
        let locked = shards.filter(|shard| shard.pins.contains(&Pin::TableLock));
        let outcomes = join_all(locked.map(|shard| async {
            let unlocked = run(shard, "UNLOCK TABLES").await;
            let outcome = unlocked.and(run(shard, "SET autocommit = 1").await);
            if outcome.is_err() {
                // Which releases them too.
                shard.connection.condemn();
            }
            outcome
        }))
        .await;
        self.drop_lost_shards(session);
        session.transaction.unpin(Pin::TableLock);
        outcomes.into_iter().collect()
    }
}

/// Refuses functions of user locks where they would not run at their place.
pub(super) fn refused_in(what: &str) -> Error {
    Error::unsupported(format!("GET_LOCK() and its relatives in {what}"))
}

/// Does `FLUSH TABLES` leave locks behind?
pub(super) fn flush_locks_tables(text: &[u8], options: &LexOptions) -> bool {
    has_words(text, options, &["READ", "LOCK"]) || has_words(text, options, &["FOR", "EXPORT"])
}

/// The primary of the first shard of the first keyspace by name.
fn lock_place(snapshot: &Snapshot) -> Result<Target> {
    let empty = || Error::new(ErrorKind::NoKeyspace, "the topology has no keyspace");
    let keyspace = snapshot.topology.keyspaces().iter().min_by_key(|keyspace| keyspace.name().as_str());
    let keyspace = keyspace.ok_or_else(empty)?;
    let shard = keyspace.shards().first().ok_or_else(empty)?;
    Ok(Target::primary(keyspace.name().clone(), shard.name().clone()))
}

/// Is it `SELECT RELEASE_ALL_LOCKS()`, or the same with DO?
fn is_release_of_all(text: &[u8], options: &LexOptions) -> bool {
    let mut tokens = Tokenizer::new(text, 0, options);
    let mut words: Vec<String> = Vec::new();
    while let Ok(token) = tokens.next_token()
        && token.kind != crate::sql::TokenKind::End
        && words.len() <= RELEASE_OF_ALL.len() + 1
    {
        words.push(String::from_utf8_lossy(token.span.of(text)).to_ascii_uppercase());
    }
    words.len() > 1 && words[1..] == RELEASE_OF_ALL[..]
}

/// Behind the verb.
const RELEASE_OF_ALL: [&str; 3] = ["RELEASE_ALL_LOCKS", "(", ")"];

/// Are these words in the text, one behind the other?
fn has_words(text: &[u8], options: &LexOptions, words: &[&str]) -> bool {
    let mut tokens = Tokenizer::new(text, 0, options);
    let mut matched = 0;
    while let Ok(token) = tokens.next_token() {
        if token.kind == crate::sql::TokenKind::End {
            break;
        }
        let is = |word: &str| token.is_word(text, word);
        matched = match () {
            () if words.get(matched).is_some_and(|word| is(word)) => matched + 1,
            () if is(words[0]) => 1,
            () => 0,
        };
        if matched == words.len() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_known_by_their_words() {
        let options = LexOptions::default();
        let check = |text: &str, words: &[&str], expected: bool| {
            assert_eq!(has_words(text.as_bytes(), &options, words), expected, "{text}");
        };
        check("select Get_Lock('a', 1)", &["GET_LOCK"], true);
        check("select is_free_lock('get_lock')", &["GET_LOCK"], false);
        check("flush tables a, b with read lock", &["READ", "LOCK"], true);
        check("flush tables read, `lock`", &["READ", "LOCK"], false);
        check("select 'unfinished", &["GET_LOCK"], false);
        assert!(flush_locks_tables(b"FLUSH TABLES a FOR EXPORT", &options));
        assert!(!flush_locks_tables(b"FLUSH TABLES a", &options));
    }

    #[test]
    fn only_the_plain_statement_releases_all() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_release_of_all(text.as_bytes(), &LexOptions::default()), expected, "{text}");
        };
        check("select release_all_locks()", true);
        check("do Release_All_Locks ( )", true);
        check("select release_all_locks(), get_lock('a', 1)", false);
        check("select if(0, release_all_locks(), 1)", false);
        check("select", false);
    }
}
