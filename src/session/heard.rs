//! What several servers say about one statement, as one server would say it: warnings about the statement's text once.
//!
//! See <https://dev.mysql.com/doc/refman/9.0/en/show-warnings.html>. Knows no connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::diagnostics::{Diagnostic, Diagnostics};

/// Warnings that MySQL gives when it parses: deprecated syntax, functions, character sets and collations.
const ABOUT_TEXT: [u16; 4] = [1287, 1681, 3719, 3778];

/// Warnings of the streams of one statement.
#[derive(Clone, Debug)]
pub struct Heard(Arc<Mutex<Entries>>);

#[derive(Debug)]
struct Entries {
    text: TextWarnings,
    told: Diagnostics,
}

/// Whether warnings about the text are still to be told. All servers got the same text, so the first one that says
/// anything about it has said it all; what is about a prepared statement was told when it was prepared.
#[derive(Clone, Copy, Debug)]
pub struct TextWarnings {
    is_told: bool,
}

impl TextWarnings {
    /// Nothing was said so far.
    pub fn new(is_prepared: bool) -> Self {
        Self { is_told: is_prepared }
    }

    /// What one server says that is to be told, and how many of its warnings are not.
    pub fn told<'d>(&mut self, said: &'d Diagnostics) -> (impl Iterator<Item = &'d Diagnostic>, u32) {
        let is_told = self.is_told;
        let is_left_out = move |entry: &Diagnostic| is_told && ABOUT_TEXT.contains(&entry.code);
        self.is_told |= said.entries().iter().any(|entry| ABOUT_TEXT.contains(&entry.code));
        let left_out = said.entries().iter().filter(|entry| is_left_out(entry)).count();
        let told = said.entries().iter().filter(move |entry| !is_left_out(entry));
        (told, u32::try_from(left_out).unwrap_or(u32::MAX))
    }
}

impl Heard {
    /// Nothing was said so far.
    pub fn new(is_prepared: bool) -> Self {
        let text = TextWarnings::new(is_prepared);
        Self(Arc::new(Mutex::new(Entries { text, told: Diagnostics::default() })))
    }

    /// Notes what one server says; gives the number of its warnings that others said already.
    pub fn note(&self, said: &Diagnostics) -> u32 {
        let mut entries = self.entries();
        let Entries { text, told } = &mut *entries;
        let (entries, left_out) = text.told(said);
        entries.for_each(|entry| told.push(entry.clone()));
        left_out
    }

    /// All so far.
    pub fn take(&self) -> Diagnostics {
        std::mem::take(&mut self.entries().told)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::diagnostics::Level;

    fn check(is_prepared: bool, said: &[&[u16]], left_out: &[u32], told: &[u16]) {
        let heard = Heard::new(is_prepared);
        let counts: Vec<u32> = said
            .iter()
            .map(|codes| {
                let mut diagnostics = Diagnostics::default();
                for code in *codes {
                    diagnostics.push(Diagnostic { level: Level::Warning, code: *code, message: Vec::new() });
                }
                heard.note(&diagnostics)
            })
            .collect();
        assert_eq!(counts, left_out, "{said:?}");
        assert_eq!(
            heard.take().entries().iter().map(|entry| entry.code).collect::<Vec<_>>(),
            told,
            "{said:?}"
        );
    }

    #[test]
    fn the_text_is_spoken_of_once_and_rows_every_time() {
        check(false, &[&[1287, 1365], &[1287, 1365]], &[0, 1], &[1287, 1365, 1365]);
        check(false, &[&[1365], &[1287, 1287], &[1681]], &[0, 0, 1], &[1365, 1287, 1287]);
        check(true, &[&[1287, 1292], &[1292]], &[1, 0], &[1292, 1292]);
    }
}
