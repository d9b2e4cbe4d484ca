//! How many connections may be in use at once, and the queue of those who wait for one.
//!
//! The usual case is one atomic operation to take a permit and one to give it back; the queue's lock is
//! touched only while somebody waits. Waiters are served in the order of their arrival: newcomers do not
//! pass them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::oneshot;

use crate::error::Error;

/// A counter of permits with a queue. Holders of a permit must call [`Permits::release`] exactly once.
#[derive(Debug)]
pub(super) struct Permits {
    limit: usize,
    in_use: AtomicUsize,
    /// Entries in `queue`, so that a release sees without the lock that nobody waits.
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<oneshot::Sender<Outcome>>>,
    queue_limit: usize,
}

/// What a waiter is told: it has a permit now, or will get none.
pub(super) type Outcome = Result<(), Error>;

impl Permits {
    pub(super) fn new(limit: usize, queue_limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            in_use: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            queue_limit,
        }
    }

    /// Takes a permit if one is free and nobody waits for it.
    pub(super) fn try_acquire(&self) -> bool {
        self.waiting.load(SeqCst) == 0 && self.take()
    }

    /// Queues up. The receiver yields when a permit has been handed over, or an error from [`Self::refuse`].
    /// If it is dropped while a permit is on its way, the caller must find out with
    /// [`oneshot::Receiver::try_recv`] and release it. `None`: the queue is full.
    pub(super) fn enqueue(&self) -> Option<oneshot::Receiver<Outcome>> {
        let mut queue = lock(&self.queue);
        if queue.len() >= self.queue_limit {
            queue.retain(|sender| !sender.is_closed());
            self.waiting.store(queue.len(), SeqCst);
            if queue.len() >= self.queue_limit {
                return None;
            }
        }
        let (sender, receiver) = oneshot::channel();
        queue.push_back(sender);
        self.waiting.store(queue.len(), SeqCst);
        // A permit released between the caller's try and this store saw nobody waiting.
        self.serve(&mut queue);
        Some(receiver)
    }

    /// Gives a permit back.
    pub(super) fn release(&self) {
        let before = self.in_use.fetch_sub(1, SeqCst);
        assert!(before > 0, "a permit was released twice");
        if self.waiting.load(SeqCst) > 0 {
            self.serve(&mut lock(&self.queue));
        }
    }

    /// Tells everybody who waits that there will be no permit.
    pub(super) fn refuse(&self, error: &Error) {
        let mut queue = lock(&self.queue);
        for sender in queue.drain(..) {
            // A waiter that has gone away needs no answer.
            let _ = sender.send(Err(error.clone()));
        }
        self.waiting.store(0, SeqCst);
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.load(SeqCst)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    fn take(&self) -> bool {
        self.in_use.fetch_update(SeqCst, SeqCst, |in_use| (in_use < self.limit).then_some(in_use + 1)).is_ok()
    }

    /// Hands free permits to the first in the queue.
    fn serve(&self, queue: &mut VecDeque<oneshot::Sender<Outcome>>) {
        while !queue.is_empty() && self.take() {
            // Those who have gone away meanwhile are passed over.
            let served = std::iter::from_fn(|| queue.pop_front()).any(|sender| sender.send(Ok(())).is_ok());
            if !served {
                self.in_use.fetch_sub(1, SeqCst);
            }
        }
        self.waiting.store(queue.len(), SeqCst);
    }
}

/// Locks a mutex whose data stays valid even if a holder panicked: all its updates are single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn waiters_are_served_in_order_of_arrival() {
        let permits = Permits::new(1, 10);
        assert!(permits.try_acquire());
        assert!(!permits.try_acquire());
        let mut first = permits.enqueue().unwrap();
        let mut second = permits.enqueue().unwrap();
        permits.release();
        assert!(first.try_recv().is_ok());
        assert!(second.try_recv().is_err());
        assert!(!permits.try_acquire(), "newcomers do not pass the queue");
        permits.release();
        assert!(second.try_recv().is_ok());
        permits.release();
        assert_eq!((permits.in_use(), permits.waiting()), (0, 0));
    }

    #[test]
    fn waiters_that_went_away_are_passed_over() {
        let permits = Permits::new(1, 10);
        assert!(permits.try_acquire());
        drop(permits.enqueue());
        let mut second = permits.enqueue().unwrap();
        permits.release();
        assert!(second.try_recv().is_ok());
        drop(permits.enqueue());
        permits.release();
        assert_eq!((permits.in_use(), permits.waiting()), (0, 0));
        assert!(permits.try_acquire());
    }

    #[test]
    fn the_queue_is_bounded_by_those_who_still_wait() {
        let permits = Permits::new(1, 2);
        assert!(permits.try_acquire());
        let _first = permits.enqueue().unwrap();
        drop(permits.enqueue());
        let _third = permits.enqueue().unwrap();
        assert!(permits.enqueue().is_none());
    }

    #[test]
    fn refused_waiters_get_the_error() {
        let permits = Permits::new(1, 2);
        assert!(permits.try_acquire());
        let mut waiter = permits.enqueue().unwrap();
        permits.refuse(&Error::new(ErrorKind::NoHealthyTablet, "gone"));
        assert_eq!(waiter.try_recv().unwrap().unwrap_err().kind(), Some(ErrorKind::NoHealthyTablet));
        assert_eq!(permits.waiting(), 0);
    }

    #[test]
    fn a_permit_freed_before_queueing_is_found() {
        let permits = Permits::new(1, 2);
        assert!(permits.try_acquire());
        permits.release();
        assert!(permits.enqueue().unwrap().try_recv().is_ok());
    }

    #[test]
    fn many_threads_never_exceed_the_limit_and_lose_no_permit() {
        use std::sync::Arc;
        let permits = Arc::new(Permits::new(3, 1_000));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let permits = permits.clone();
                std::thread::spawn(move || {
                    for _ in 0..2_000 {
                        if !permits.try_acquire() {
                            permits.enqueue().unwrap().blocking_recv().unwrap().unwrap();
                        }
                        assert!(permits.in_use() <= 3);
                        permits.release();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((permits.in_use(), permits.waiting()), (0, 0));
    }
}
