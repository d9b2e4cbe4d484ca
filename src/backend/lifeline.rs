//! The thread by which an exchange in progress can be cut from outside.
//!
//! A server that stops without closing its sockets (frozen, unplugged) would leave every exchange waiting
//! for ever. The pool keeps one [`Lifeline`] per open connection; when health polling finds the server
//! silent it cuts those whose statement went out after the server's last sign of life. A statement that was
//! running before is left alone: it may just be long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Counts a server's signs of life; shared by the health poller and the connections of a pool.
#[derive(Debug, Default)]
pub struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// A poll of the server's health is about to be sent.
    pub fn begin_poll(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Polls begun so far.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One connection's end of the thread.
#[derive(Debug, Default)]
pub(crate) struct Lifeline {
    heartbeat: Arc<Heartbeat>,
    /// The heartbeat when the last statement was sent.
    sent_at: AtomicU64,
    /// Whether a reply is awaited.
    awaits_reply: AtomicBool,
    is_cut: AtomicBool,
    waker: AtomicWaker,
}

impl Lifeline {
    pub(crate) fn new(heartbeat: Arc<Heartbeat>) -> Self {
        Self { heartbeat, ..Self::default() }
    }

    /// A statement is about to be sent.
    pub(crate) fn mark_sent(&self) {
        self.sent_at.store(self.heartbeat.current(), Ordering::Relaxed);
        self.awaits_reply.store(true, Ordering::Release);
    }

    /// All replies have been received.
    pub(crate) fn mark_idle(&self) {
        self.awaits_reply.store(false, Ordering::Relaxed);
    }

    /// Ready when the connection has been cut; otherwise wakes the task when it is.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.is_cut.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Cuts the connection if it awaits the reply to something sent at or after `heartbeat`. Says whether
    /// it did.
    pub(crate) fn cut_if_sent_since(&self, heartbeat: u64) -> bool {
        let silent =
            self.awaits_reply.load(Ordering::Acquire) && self.sent_at.load(Ordering::Relaxed) >= heartbeat;
        if silent {
            self.cut();
        }
        silent
    }

    /// Cuts the connection: its exchange fails at once, and it is never used again.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn cutting_wakes_the_waiting_exchange() {
        let lifeline = Arc::new(Lifeline::default());
        lifeline.mark_sent();
        let waiting = lifeline.clone();
        let task = tokio::spawn(async move { poll_fn(|cx| waiting.poll_cut(cx)).await });
        tokio::task::yield_now().await;
        assert!(lifeline.cut_if_sent_since(0));
        task.await.unwrap();
        assert!(lifeline.is_cut());
    }

    #[test]
    fn only_exchanges_begun_after_the_last_sign_of_life_are_cut() {
        let heartbeat = Arc::new(Heartbeat::default());
        let lifeline = Lifeline::new(heartbeat.clone());
        lifeline.mark_sent();
        heartbeat.begin_poll();
        assert!(!lifeline.cut_if_sent_since(heartbeat.current()), "sent before the poll");
        lifeline.mark_sent();
        assert!(lifeline.cut_if_sent_since(heartbeat.current()), "sent after the poll began");
    }

    #[test]
    fn idle_connections_are_not_cut() {
        let lifeline = Lifeline::default();
        assert!(!lifeline.cut_if_sent_since(0));
        lifeline.mark_sent();
        lifeline.mark_idle();
        assert!(!lifeline.cut_if_sent_since(0));
    }
}
