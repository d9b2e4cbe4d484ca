//! Transport buffers from a free list that every thread has for itself, so taking one costs no lock.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::limits::{TRANSPORT_BUFFER_BYTES, TRANSPORT_BUFFERS_KEPT_MAX};

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`TRANSPORT_BUFFER_BYTES`], which goes back to the free list of the thread that drops it. Its
/// content is whatever the last user left.
pub struct PooledBuf(Box<[u8]>);

impl PooledBuf {
    /// Takes a buffer from this thread's free list, or makes one.
    pub fn take() -> Self {
        let kept = FREE.with(|free| free.borrow_mut().pop());
        Self(kept.unwrap_or_else(|| vec![0; TRANSPORT_BUFFER_BYTES].into_boxed_slice()))
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // The list is gone when the thread ends; then the buffer is simply freed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < TRANSPORT_BUFFERS_KEPT_MAX {
                free.push(buffer);
            }
        });
    }
}

impl Deref for PooledBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for PooledBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for PooledBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PooledBuf({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let mut first = PooledBuf::take();
        first[0] = 77;
        drop(first);
        assert_eq!(PooledBuf::take()[0], 77);
    }

    #[test]
    fn the_free_list_is_limited() {
        let many: Vec<_> = (0..=TRANSPORT_BUFFERS_KEPT_MAX).map(|_| PooledBuf::take()).collect();
        drop(many);
        assert_eq!(FREE.with(|free| free.borrow().len()), TRANSPORT_BUFFERS_KEPT_MAX);
    }
}
