//! Lexer results that statements borrow and give back, so that neither idle sessions nor statements allocate them.

use std::cell::RefCell;

use crate::limits::LEXERS_KEPT_MAX;
use crate::sql::Lexed;

thread_local! {
    #[expect(clippy::vec_box, reason = "large, and moved twice by each statement: so only pointers move")]
    static FREE: RefCell<Vec<Box<Lexed>>> = const { RefCell::new(Vec::new()) };
}

/// A [`Lexed`] on loan from its thread; dropping it gives it back.
pub(super) struct Scratch(Option<Box<Lexed>>);

impl Scratch {
    /// One that was used before, if there is one.
    pub(super) fn take() -> Self {
        Self(Some(FREE.with_borrow_mut(Vec::pop).unwrap_or_default()))
    }

    /// What to lex into.
    pub(super) fn lexed(&mut self) -> &mut Lexed {
        self.0.get_or_insert_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(lexed) = self.0.take() {
            FREE.with_borrow_mut(|free| {
                if free.len() < LEXERS_KEPT_MAX {
                    free.push(lexed);
                }
            });
        }
    }
}
