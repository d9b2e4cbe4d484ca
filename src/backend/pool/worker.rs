//! A small number for the current thread, so that idle connections stay with the worker that used them.
//!
//! A socket is registered with the event loop of the thread that opened it; using it from another works, but
//! each wake-up then crosses threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Number of the current thread, given in the order of first calls. Stable for the thread's life.
pub(super) fn index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INDEX: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    INDEX.with(|index| *index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_keeps_its_own_number() {
        let here = index();
        let there = std::thread::spawn(index).join().unwrap();
        assert_ne!(here, there);
        assert_eq!(here, index());
    }
}
