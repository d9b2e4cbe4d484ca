//! When to read a schema again.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// What is remembered of the last reading.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The counters of DDL before the last reading began.
    counters: Vec<u8>,
    /// When it is read again in any case; `None`: now.
    next: Option<Instant>,
    /// The last poll failed, which has been said.
    pub(super) is_failing: bool,
}

impl Pace {
    /// Is it time for a reading?
    pub(super) fn is_due(&self, counters: &[u8], now: Instant) -> bool {
        self.counters != counters || self.next.is_none_or(|next| next <= now)
    }

    /// A reading has been published. Reading takes a small share of the server's time, however long it takes.
    pub(super) fn note(&mut self, counters: Vec<u8>, begin: Instant, end: Instant) {
        let pause = (end - begin) * limits::SCHEMA_PAUSE_FACTOR;
        self.counters = counters;
        self.next = Some(end + pause.max(limits::SCHEMA_REREAD_INTERVAL));
    }

    /// The next poll reads.
    pub(super) fn expire(&mut self) {
        self.next = None;
    }
}

/// A quarter less to a quarter more, so that routers do not ask in step.
pub(super) fn jittered(interval: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    interval.mul_f64(0.75 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_time_make_a_reading_due() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        assert!(pace.is_due(b"1", begin));
        pace.note(b"1".to_vec(), begin, begin);
        assert!(!pace.is_due(b"1", begin));
        assert!(pace.is_due(b"2", begin));
        assert!(pace.is_due(b"1", begin + limits::SCHEMA_REREAD_INTERVAL));
        pace.expire();
        assert!(pace.is_due(b"1", begin));
    }

    #[test]
    fn slow_readings_are_rare() {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(10);
        let mut pace = Pace::default();
        pace.note(b"1".to_vec(), begin, end);
        assert!(!pace.is_due(b"1", end + Duration::from_secs(100)));
        assert!(pace.is_due(b"1", end + Duration::from_secs(10) * limits::SCHEMA_PAUSE_FACTOR));
    }

    #[test]
    fn jitter_stays_near() {
        for _ in 0..100 {
            let interval = jittered(Duration::from_secs(4));
            assert!((3.0..=5.0).contains(&interval.as_secs_f64()), "{interval:?}");
        }
    }
}
