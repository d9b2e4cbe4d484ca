//! Where rows come from: the shards' streams, in any order or merged by key.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use futures_util::future::{select_all, try_join_all};

use super::key::{Fields, KeyPart, encode};
use super::seam::{RowStream, StreamEnd};
use crate::error::{Error, Result};

/// Rows that are read and thrown away after a LIMIT was reached, so that connections stay usable. Shards that
/// have more rows left are cancelled.
const DRAINED_ROWS_MAX: usize = 1_000;

/// The streams of all shards as one.
pub(super) enum Source<S> {
    Concatenate(Concatenate<S>),
    Merge(Merge<S>),
}

impl<S: RowStream> Source<S> {
    pub(super) fn new(streams: Vec<S>, keys: Vec<KeyPart>) -> Self {
        if keys.is_empty() {
            let is_open = vec![true; streams.len()];
            Self::Concatenate(Concatenate { streams, is_open, next: 0 })
        } else {
            let keys_of = vec![Vec::new(); streams.len()];
            Self::Merge(Merge {
                streams,
                keys,
                heap: BinaryHeap::new(),
                current: None,
                spare: keys_of,
                started: false,
            })
        }
    }

    /// Moves to the next row; gives the stream whose current row it is.
    pub(super) async fn next(&mut self) -> Result<Option<&S>> {
        match self {
            Self::Concatenate(source) => source.next().await,
            Self::Merge(source) => source.next().await,
        }
    }

    /// Reads what is left of streams that are nearly at their end.
    pub(super) async fn drain(&mut self) {
        let streams = match self {
            Self::Concatenate(source) => &mut source.streams,
            Self::Merge(source) => &mut source.streams,
        };
        drain(streams).await;
    }

    /// What all servers said behind their last rows.
    pub(super) async fn end(&mut self) -> StreamEnd {
        let streams = match self {
            Self::Concatenate(source) => &mut source.streams,
            Self::Merge(source) => &mut source.streams,
        };
        for stream in streams.iter_mut().filter(|stream| stream.end().warnings > 0) {
            stream.hear_warnings().await;
        }
        let warnings = streams.iter().map(|stream| stream.end().warnings).fold(0, u32::saturating_add);
        StreamEnd { warnings }
    }
}

/// Reads what is left of streams that are nearly at their end.
pub(super) async fn drain<S: RowStream>(streams: &mut [S]) {
    for stream in streams {
        for _ in 0..DRAINED_ROWS_MAX {
            // Nobody wants these rows: what goes wrong now concerns the connection only.
            if !matches!(stream.advance().await, Ok(true)) {
                break;
            }
        }
    }
}

/// Rows as they come, from whichever shard has one.
pub(super) struct Concatenate<S> {
    streams: Vec<S>,
    is_open: Vec<bool>,
    /// The stream that is asked first, so that none starves.
    next: usize,
}

impl<S: RowStream> Concatenate<S> {
    async fn next(&mut self) -> Result<Option<&S>> {
        loop {
            let count = self.streams.len();
            let ready = (0..count)
                .map(|offset| (self.next + offset) % count)
                .find(|index| self.is_open[*index] && self.streams[*index].is_ready());
            let index = match ready {
                Some(index) => {
                    // A stream keeps its turn while it has rows at hand: its buffer is in the cache.
                    self.next = index;
                    self.is_open[index] = self.streams[index].advance().await?;
                    index
                }
                None => {
                    let waiting = self.streams.iter_mut().zip(&self.is_open).enumerate();
                    let waiting: Vec<_> = waiting
                        .filter(|(_, (_, is_open))| **is_open)
                        .map(|(index, (stream, _))| Box::pin(async move { (index, stream.advance().await) }))
                        .collect();
                    if waiting.is_empty() {
                        return Ok(None);
                    }
                    let ((index, has_row), _, _) = select_all(waiting).await;
                    self.is_open[index] = has_row?;
                    self.next = index;
                    index
                }
            };
            if self.is_open[index] {
                return Ok(Some(&self.streams[index]));
            }
        }
    }
}

/// Rows of sorted streams in their common order; equal rows in the order of the streams.
pub(super) struct Merge<S> {
    streams: Vec<S>,
    keys: Vec<KeyPart>,
    /// The key of each stream's current row.
    heap: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    /// The stream whose row was given last, with its key.
    current: Option<(Vec<u8>, usize)>,
    /// A buffer for each stream's next key.
    spare: Vec<Vec<u8>>,
    started: bool,
}

impl<S: RowStream> Merge<S> {
    async fn next(&mut self) -> Result<Option<&S>> {
        if !self.started {
            self.started = true;
            let has_row = try_join_all(self.streams.iter_mut().map(RowStream::advance)).await?;
            for (index, has_row) in has_row.into_iter().enumerate() {
                if has_row {
                    let key = self.key_of(index)?;
                    self.heap.push(Reverse((key, index)));
                }
            }
        }
        if let Some((last, index)) = self.current.take()
            && self.streams[index].advance().await?
        {
            let key = self.key_of(index)?;
            if key < last {
                // Merging on would give a wrong order, or split groups.
                return Err(Error::unsupported("merging rows in an order that is the server's own"));
            }
            self.spare[index] = last;
            self.heap.push(Reverse((key, index)));
        }
        let Some(Reverse((key, index))) = self.heap.pop() else { return Ok(None) };
        self.current = Some((key, index));
        Ok(Some(&self.streams[index]))
    }

    fn key_of(&mut self, index: usize) -> Result<Vec<u8>> {
        let mut key = std::mem::take(&mut self.spare[index]);
        let stream = &self.streams[index];
        let fields = Fields::read(stream.row(), stream.columns().len())?;
        encode(&self.keys, &fields, &mut key)?;
        Ok(key)
    }
}
