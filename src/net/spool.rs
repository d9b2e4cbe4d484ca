//! Bytes that wait until a client asks for them: the first in memory, the rest in a file without a name.
//!
//! All spools of a process share a [`SpoolSpace`], which bounds memory, files and bytes. It must not know what the
//! bytes are: cursors keep their rows here (`session::cursor`).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{SPOOL_FILES_MAX, SPOOL_MEMORY_BYTES, SPOOL_MEMORY_BYTES_MAX};

/// What all spools together may take.
#[derive(Debug)]
pub struct SpoolSpace {
    dir: PathBuf,
    bytes: Budget,
    memory: Budget,
    files: Budget,
}

/// Something that is counted and has an end.
#[derive(Debug)]
struct Budget {
    used: AtomicU64,
    max: u64,
}

impl Budget {
    fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max }
    }

    fn take(&self, amount: u64) -> bool {
        let fits = |used: u64| used.checked_add(amount).filter(|sum| *sum <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, amount: u64) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }
}

/// Why bytes cannot be kept or found again.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// All spools together have as many bytes as they may.
    #[error("all cursors together have more than {0} bytes (cursor.bytes_max)")]
    Bytes(u64),
    /// As many have files as may.
    #[error("more than {SPOOL_FILES_MAX} cursors have results that are kept in files")]
    Files,
    /// The file cannot be made, written or read.
    #[error("cannot keep a cursor's rows in {0} (cursor.dir): {1}")]
    File(PathBuf, io::Error),
}

impl SpoolSpace {
    /// Files lie in `dir`.
    pub fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self {
            dir,
            bytes: Budget::new(bytes_max),
            memory: Budget::new(SPOOL_MEMORY_BYTES_MAX),
            files: Budget::new(SPOOL_FILES_MAX),
        }
    }

    /// Bytes that are kept now, in memory and files.
    pub fn bytes(&self) -> u64 {
        self.bytes.used.load(Ordering::Relaxed)
    }

    async fn file(self: &Arc<Self>) -> Result<SpoolFile, SpoolError> {
        if !self.files.take(1) {
            return Err(SpoolError::Files);
        }
        let (space, dir) = (self.clone(), self.dir.clone());
        match blocking(move || nameless_file(&dir)).await {
            Ok(file) => Ok(SpoolFile { file: Arc::new(file), space }),
            Err(error) => {
                self.files.give_back(1);
                Err(SpoolError::File(self.dir.clone(), error))
            }
        }
    }
}

#[derive(Debug)]
struct SpoolFile {
    file: Arc<File>,
    space: Arc<SpoolSpace>,
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        self.space.files.give_back(1);
    }
}

/// Bytes that are appended, and then read once from their beginning.
#[derive(Debug)]
pub struct Spool {
    space: Arc<SpoolSpace>,
    file: Option<SpoolFile>,
    file_bytes: u64,
    /// What comes behind the file's bytes.
    tail: Vec<u8>,
    /// Bytes that the space counts.
    bytes_taken: u64,
    /// Bytes of the tail that the shared memory was asked for.
    tail_taken: u64,
    read_at: u64,
}

impl Spool {
    /// An empty one.
    pub fn new(space: Arc<SpoolSpace>) -> Self {
        Self { space, file: None, file_bytes: 0, tail: Vec::new(), bytes_taken: 0, tail_taken: 0, read_at: 0 }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When the space's limits are passed or its folder cannot be written.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let count = bytes.len() as u64;
        if !self.space.bytes.take(count) {
            return Err(SpoolError::Bytes(self.space.bytes.max));
        }
        self.bytes_taken += count;
        let fits = self.tail.len() + bytes.len() <= SPOOL_MEMORY_BYTES && self.space.memory.take(count);
        self.tail.extend_from_slice(bytes);
        if fits {
            self.tail_taken += count;
            return Ok(());
        }
        self.write_tail().await
    }

    async fn write_tail(&mut self) -> Result<(), SpoolError> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.space.file().await?),
        };
        let (file, tail, at) = (file.file.clone(), std::mem::take(&mut self.tail), self.file_bytes);
        let written = tail.len() as u64;
        let buffer = blocking(move || file.write_all_at(&tail, at).map(|()| tail)).await;
        let mut buffer = buffer.map_err(|error| SpoolError::File(self.space.dir.clone(), error))?;
        self.file_bytes += written;
        self.space.memory.give_back(std::mem::take(&mut self.tail_taken));
        buffer.clear();
        buffer.shrink_to(SPOOL_MEMORY_BYTES);
        self.tail = buffer;
        Ok(())
    }

    /// Appends up to `count` bytes to `out`, from where the last call ended; fewer are no sign of the end, none are.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn read(&mut self, count: usize, out: &mut Vec<u8>) -> Result<usize, SpoolError> {
        let taken = match &self.file {
            Some(file) if self.read_at < self.file_bytes => {
                let left = usize::try_from(self.file_bytes - self.read_at).unwrap_or(usize::MAX);
                let (file, at) = (file.file.clone(), self.read_at);
                let mut buffer = vec![0; count.min(left)];
                let read = blocking(move || file.read_exact_at(&mut buffer, at).map(|()| buffer)).await;
                let read = read.map_err(|error| SpoolError::File(self.space.dir.clone(), error))?;
                out.extend_from_slice(&read);
                read.len()
            }
            _ => {
                let from = usize::try_from(self.read_at - self.file_bytes).unwrap_or(usize::MAX);
                let rest = self.tail.get(from..).unwrap_or_default();
                let taken = rest.len().min(count);
                out.extend_from_slice(&rest[..taken]);
                taken
            }
        };
        self.read_at += taken as u64;
        Ok(taken)
    }

    /// The last `count` bytes that were read are read again.
    pub fn unread(&mut self, count: usize) {
        self.read_at = self.read_at.saturating_sub(count as u64);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.space.bytes.give_back(self.bytes_taken);
        self.space.memory.give_back(self.tail_taken);
    }
}

/// A file that is gone when it is closed, however the process ends.
fn nameless_file(dir: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    if let Ok(file) = options.clone().custom_flags(libc::O_TMPFILE).open(dir) {
        return Ok(file);
    }
    // Not every file system has files without names.
    let number = getrandom::u64().map_err(io::Error::other)?;
    let path = dir.join(format!("shardgate-cursor-{number:016x}"));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Files would hold up all sessions of a worker.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(space: &Arc<SpoolSpace>, pieces: usize, piece_bytes: usize) {
        let mut spool = Spool::new(space.clone());
        let mut expected = Vec::new();
        for number in 0..pieces {
            let piece: Vec<u8> = (0..piece_bytes).map(|at| (number * 7 + at).to_le_bytes()[0]).collect();
            spool.append(&piece).await.unwrap();
            expected.extend_from_slice(&piece);
        }
        assert_eq!(space.bytes(), expected.len() as u64);
        let mut read = Vec::new();
        while spool.read(1_000, &mut read).await.unwrap() > 0 {
            spool.unread(1);
            read.pop();
            if spool.read(1, &mut read).await.unwrap() == 0 {
                break;
            }
        }
        assert!(read == expected);
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_and_the_space_is_given_back() {
        let space = Arc::new(SpoolSpace::new(std::env::temp_dir(), 1 << 20));
        check(&space, 0, 0).await;
        check(&space, 3, 100).await;
        check(&space, 10, SPOOL_MEMORY_BYTES / 3).await;
        check(&space, 2, SPOOL_MEMORY_BYTES * 2).await;
        assert_eq!(space.bytes(), 0);
        assert_eq!(space.memory.used.load(Ordering::Relaxed), 0);
        assert_eq!(space.files.used.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn limits_are_errors() {
        let space = Arc::new(SpoolSpace::new(std::env::temp_dir(), 10));
        let mut spool = Spool::new(space.clone());
        spool.append(b"12345678").await.unwrap();
        assert!(matches!(spool.append(b"123").await, Err(SpoolError::Bytes(10))));
        drop(spool);
        assert_eq!(space.bytes(), 0);
        let nowhere = Arc::new(SpoolSpace::new("/no/such/folder".into(), u64::MAX));
        let mut spool = Spool::new(nowhere.clone());
        let many = vec![0; SPOOL_MEMORY_BYTES + 1];
        assert!(matches!(spool.append(&many).await, Err(SpoolError::File(..))));
        assert_eq!(nowhere.files.used.load(Ordering::Relaxed), 0);
    }
}
