//! Buffers that replies are made in, from a free list of each thread's own, so idle sessions need none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::limits::{TRANSPORT_BUFFER_BYTES, TRANSPORT_BUFFERS_KEPT_MAX};

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty vector with room for a usual reply, which goes back to its thread's free list unless it has grown.
#[derive(Debug)]
pub(super) struct OutBuffer(Vec<u8>);

impl OutBuffer {
    /// Takes one from the free list, or makes one.
    pub(super) fn take() -> Self {
        let kept = FREE.with(|free| free.borrow_mut().pop());
        Self(kept.unwrap_or_else(|| Vec::with_capacity(TRANSPORT_BUFFER_BYTES)))
    }
}

impl Drop for OutBuffer {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        // A packet that does not fit at once may double the buffer; larger ones are not worth keeping. The list is
        // gone when the thread ends.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if buffer.capacity() <= 2 * TRANSPORT_BUFFER_BYTES && free.len() < TRANSPORT_BUFFERS_KEPT_MAX {
                free.push(buffer);
            }
        });
    }
}

impl Deref for OutBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for OutBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_unless_they_have_grown() {
        let mut buffer = OutBuffer::take();
        buffer.push(1);
        let address = buffer.as_ptr();
        drop(buffer);
        let mut again = OutBuffer::take();
        assert!(again.is_empty() && again.as_ptr() == address);
        again.resize(8 * TRANSPORT_BUFFER_BYTES, 0);
        drop(again);
        assert!(OutBuffer::take().capacity() < 4 * TRANSPORT_BUFFER_BYTES);
    }
}
