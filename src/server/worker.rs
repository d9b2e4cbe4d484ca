//! Worker threads: each runs one single-threaded runtime, and a session stays on the worker it began on.
//!
//! So the hot path never wakes another thread, and what a worker counts is written by one thread only.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::{clock, limits};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// One thread and its runtime.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    handle: Handle,
    sessions: AtomicUsize,
}

impl Worker {
    /// Its number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Where to spawn what belongs to this worker.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Counts one more session here, until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> SessionGuard {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        SessionGuard(self.clone())
    }

    /// How many sessions are here.
    pub fn session_count(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }
}

/// One session of a [`Worker`].
#[derive(Debug)]
pub struct SessionGuard(Arc<Worker>);

impl SessionGuard {
    /// The worker.
    pub fn worker(&self) -> &Arc<Worker> {
        &self.0
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All workers. Dropping it ends them, with every session that is left.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Arc<Worker>>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// Starts `count` threads, or one per core when `count` is 0.
    ///
    /// # Errors
    /// When threads or runtimes cannot be made.
    pub fn start(count: usize) -> io::Result<Self> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (stop, stopped) = watch::channel(false);
        let mut all = Self { workers: Vec::with_capacity(count), threads: Vec::with_capacity(count), stop };
        for index in 0..count {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .on_thread_unpark(|| {
                    clock::refresh();
                })
                .build()?;
            let handle = runtime.handle().clone();
            let mut stopped = stopped.clone();
            let builder = std::thread::Builder::new()
                .name(format!("shardgate-{index}"))
                .stack_size(limits::WORKER_STACK_BYTES);
            let thread = builder.spawn(move || {
                // An error means that the owner is gone, which says the same.
                let _ = runtime.block_on(stopped.wait_for(|stop| *stop));
            })?;
            all.threads.push(thread);
            all.workers.push(Arc::new(Worker { index, handle, sessions: AtomicUsize::new(0) }));
        }
        Ok(all)
    }

    /// Every worker, by number.
    pub fn all(&self) -> &[Arc<Worker>] {
        &self.workers
    }

    /// The worker with the fewest sessions, with one more on it.
    pub fn enter_least_loaded(&self) -> SessionGuard {
        let least = self.workers.iter().min_by_key(|worker| worker.session_count());
        least.expect("there is at least one worker").enter()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_go_to_the_least_loaded_worker_and_leave_with_their_guard() {
        let workers = Workers::start(2).unwrap();
        let first = workers.enter_least_loaded();
        let second = workers.enter_least_loaded();
        assert_ne!(first.worker().index(), second.worker().index());
        let index = first.worker().index();
        drop(first);
        assert_eq!(workers.enter_least_loaded().worker().index(), index);
        drop(second);
        assert!(workers.all().iter().all(|worker| worker.session_count() == 0));
    }

    #[test]
    fn tasks_run_on_their_workers_thread_and_a_panic_ends_only_its_task() {
        let workers = Workers::start(1).unwrap();
        let handle = workers.all()[0].handle();
        let panicked = handle.spawn(async { panic!("one session") });
        let (name, seen) = std::sync::mpsc::channel();
        handle.spawn(async move {
            assert!(panicked.await.is_err());
            name.send(std::thread::current().name().map(str::to_owned)).unwrap();
        });
        assert_eq!(seen.recv().unwrap().as_deref(), Some("shardgate-0"));
    }
}
