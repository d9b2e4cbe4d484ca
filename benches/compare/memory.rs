//! Memory of a proxy: a long stream, a client that reads slowly, and many idle connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Options;
use crate::client::Client;
use crate::load;
use crate::process::Process;
use crate::targets::Running;

/// The slow client reads for this long, a chunk per pause.
const SLOW_SECONDS: u64 = 5;
const SLOW_PAUSE: Duration = Duration::from_millis(50);

pub fn print(target: &Running, options: &Options) -> Result<(), String> {
    let Some(process) = target.process else { return Ok(()) };
    println!("memory of {}", target.kind.name());
    let (growth, _) = peak_growth(process, || load::stream(target, options.stream_rows).map(drop))?;
    println!("  streaming {} rows: +{:.1} MB", options.stream_rows, megabytes(growth));
    let (growth, bytes) = peak_growth(process, || slow_client(target))?;
    println!(
        "  a client that reads {:.1} MB in {SLOW_SECONDS} s and leaves: +{:.1} MB",
        megabytes(bytes),
        megabytes(growth)
    );
    let count = options.idle_connections;
    let before = process.resident_bytes()?;
    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        idle.push(Client::login(&target.options()).map_err(|error| error.0)?);
    }
    std::thread::sleep(Duration::from_millis(500));
    let growth = process.resident_bytes()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = growth as f64 / 1024.0 / count as f64;
    println!("  {count} idle connections: +{:.1} MB, {each:.1} KB each\n", megabytes(growth));
    Ok(())
}

/// Reads a part of a long result slowly, then hangs up.
fn slow_client(target: &Running) -> Result<u64, String> {
    let mut client = Client::login(&target.options()).map_err(|error| error.0)?;
    client.send(0x03, b"select id, payload from stream_rows").map_err(|error| error.0)?;
    let begin = Instant::now();
    let mut read = 0;
    while begin.elapsed() < Duration::from_secs(SLOW_SECONDS) {
        let mut chunk = vec![0u8; 32 << 10];
        read +=
            std::io::Read::read(client.io().stream(), &mut chunk).map_err(|error| error.to_string())? as u64;
        std::thread::sleep(SLOW_PAUSE);
    }
    Ok(read)
}

/// The largest resident memory while `work` runs, above the one before it.
fn peak_growth<T>(process: Process, work: impl FnOnce() -> Result<T, String>) -> Result<(u64, T), String> {
    let before = process.resident_bytes()?;
    let peak = Arc::new(AtomicU64::new(before));
    let done = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (peak, done) = (Arc::clone(&peak), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(process.resident_bytes().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        })
    };
    let result = work();
    done.store(true, Ordering::Relaxed);
    watcher.join().map_err(|_| "the watcher of memory panicked".to_owned())?;
    Ok((peak.load(Ordering::Relaxed) - before, result?))
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
