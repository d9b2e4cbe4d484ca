//! The time as a thread's event loop last saw it.
//!
//! A statement wants to know the time in several places (how long was this connection unused, is it too old), and
//! asking the system each time costs more than those questions are worth. Worker threads read the clock when their
//! event loop wakes up and when a command ends; what happens in between takes that time. Other threads read it
//! whenever they ask.

use std::cell::Cell;

use tokio::time::Instant;

thread_local! {
    static SEEN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time now, to be used by [`recent`] on this thread from here on. A thread that calls this once must call it
/// again and again.
pub fn refresh() -> Instant {
    let now = Instant::now();
    SEEN.set(Some(now));
    now
}

/// The time when this thread's event loop last looked; exact on threads that have none to look.
pub fn recent() -> Instant {
    SEEN.get().unwrap_or_else(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_until_refreshed_and_runs_elsewhere() {
        let seen = refresh();
        assert_eq!(recent(), seen);
        assert!(refresh() >= seen);
        let elsewhere = std::thread::spawn(|| (recent(), Instant::now())).join().unwrap();
        assert!(elsewhere.0 <= elsewhere.1);
    }
}
