//! The router's resident memory while much passes through it: long results, slow readers, many idle clients.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::{Client, PacketIo};
use crate::environment::Environment;
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("a_million_rows", a_million_rows),
    ("long_rows_of_all_shards", long_rows_of_all_shards),
    ("merged_rows_of_all_shards", merged_rows_of_all_shards),
    ("a_client_that_does_not_read", a_client_that_does_not_read),
    ("rows_of_a_query_for_another_table", rows_of_a_query_for_another_table),
    ("idle_clients", idle_clients),
];

/// What a stream may add to the resident memory, whatever its length.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// What an idle client may cost.
const IDLE_BYTES_MAX: u64 = 20 << 10;
/// How many there are, if so many files may be open here and in the router, which inherits this limit.
const IDLE_CLIENTS: u64 = 5_000;
/// Files that are open for other reasons.
const OTHER_FILES: u64 = 500;

pub fn resident_bytes(environment: &Environment) -> Result<u64, String> {
    let path = format!("/proc/{}/status", environment.router.process_id().ok_or("the router has ended")?);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| format!("{path}: no VmRSS"))
}

/// Runs a query and counts its rows without keeping them; memory is looked at all the while.
fn stream(environment: &Environment, keyspace: &str, sql: &str, rows: u64) -> Result<(), String> {
    let mut client = Client::login(&environment.router_options().database(keyspace))?;
    // What every statement of this kind needs once is no growth.
    client.run("select count(*) from points")?;
    let before = resident_bytes(environment)?;
    let mut peak = before;
    client.send(0x03, sql.as_bytes())?;
    let io: &mut PacketIo = client.io();
    let (mut eofs, mut count) = (0, 0u64);
    while eofs < 2 {
        let packet = io.read()?;
        match packet.first() {
            Some(0xFE) if packet.len() < 9 => eofs += 1,
            Some(0xFF) => return Err(format!("{sql}: {}", String::from_utf8_lossy(&packet))),
            _ if eofs == 1 => count += 1,
            _ => {}
        }
        if count % 1_000 == 0 {
            peak = peak.max(resident_bytes(environment)?);
        }
    }
    if count != rows {
        return Err(format!("{count} rows instead of {rows}"));
    }
    grown("the stream", before, peak)
}

pub fn grown(what: &str, before: u64, peak: u64) -> Result<(), String> {
    let growth = peak - before;
    println!("  {what}: {} KB more", growth >> 10);
    if growth <= GROWTH_BYTES_MAX { Ok(()) } else { Err(format!("{what} takes {} KB", growth >> 10)) }
}

fn fill(environment: &Environment, keyspace: &str, rows: u64) -> Result<(), String> {
    environment.reset(keyspace, false)?;
    let mut client = Client::login(&environment.router_options().database(keyspace))?;
    let list: Vec<_> = (0..rows).map(|id| format!("({id}, {}, 'row {id}')", id % 10)).collect();
    Ok(client.run(&format!("insert into points (id, x, label) values {}", list.join(", ")))?)
}

fn a_million_rows(environment: &mut Environment) -> Result<(), String> {
    fill(environment, "u", 100)?;
    stream(environment, "u", "select p.id, q.id, r.label from points p, points q, points r", 1_000_000)
}

fn long_rows_of_all_shards(environment: &mut Environment) -> Result<(), String> {
    fill(environment, "s2", 1_000)?;
    stream(environment, "s2", "select id, repeat('x', 100000) from points", 1_000)
}

fn merged_rows_of_all_shards(environment: &mut Environment) -> Result<(), String> {
    fill(environment, "s2", 1_000)?;
    stream(environment, "s2", "select id, repeat('x', 100000) from points order by id", 1_000)
}

fn a_client_that_does_not_read(environment: &mut Environment) -> Result<(), String> {
    for (keyspace, sql) in [
        ("u", "select p.id, repeat('x', 100000) from points p, points q"),
        ("s2", "select id, repeat('x', 100000) from points"),
        ("s2", "select id, repeat('x', 100000) from points order by id"),
    ] {
        fill(environment, keyspace, 1_000)?;
        let before = resident_bytes(environment)?;
        let mut client = Client::login(&environment.router_options().database(keyspace))?;
        client.send(0x03, sql.as_bytes())?;
        let mut chunk = vec![0; 10_000];
        let mut peak = before;
        for _ in 0..10 {
            client.io().stream().read_exact(&mut chunk).map_err(|error| error.to_string())?;
            std::thread::sleep(Duration::from_millis(100));
            peak = peak.max(resident_bytes(environment)?);
        }
        grown("a slow client", before, peak)?;
    }
    Ok(())
}

/// Runs a statement and looks at memory all the while.
fn watched(
    environment: &Environment,
    what: &str,
    run: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let before = resident_bytes(environment)?;
    let is_done = AtomicBool::new(false);
    let peak = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = before;
            while !is_done.load(Ordering::Relaxed) {
                peak = peak.max(resident_bytes(environment)?);
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok::<u64, String>(peak)
        });
        let outcome = run();
        is_done.store(true, Ordering::Relaxed);
        let peak = watch.join().map_err(|_| "the watch has panicked".to_owned())??;
        outcome.map(|()| peak)
    })?;
    grown(what, before, peak)
}

fn rows_of_a_query_for_another_table(environment: &mut Environment) -> Result<(), String> {
    const ROWS: u64 = 20_000;
    const ROWS_AT_ONCE: usize = 5_000;
    fill(environment, "s2", 1_000)?;
    let mut client = Client::login(&environment.router_options().database("s2"))?;
    // What such a statement needs once is no growth.
    client.run("insert into a (id, g, v) select id, x, label from points")?;
    client.run("delete from a")?;
    for start in (1_000..ROWS).step_by(ROWS_AT_ONCE) {
        let end = (start + ROWS_AT_ONCE as u64).min(ROWS);
        let list: Vec<_> = (start..end).map(|id| format!("({id}, {}, 'row {id}')", id % 10)).collect();
        client.run(&format!("insert into points (id, x, label) values {}", list.join(", ")))?;
    }
    watched(environment, "INSERT … SELECT", || {
        Ok(client.run("insert into a (id, g, v) select id + 1, x, label from points")?)
    })?;
    let rows = client.rows("select count(*), min(id), max(id) from a")?;
    let wanted = [ROWS.to_string(), "1".to_owned(), ROWS.to_string()];
    if rows[0].iter().flatten().ne(&wanted) {
        return Err(format!("{rows:?} instead of {wanted:?}"));
    }
    Ok(())
}

fn open_files_max() -> Result<u64, String> {
    let path = "/proc/self/limits";
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let soft = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    soft.ok_or_else(|| format!("{path}: no number of open files"))
}

fn idle_clients(environment: &mut Environment) -> Result<(), String> {
    let count = IDLE_CLIENTS.min(open_files_max()?.saturating_sub(OTHER_FILES));
    let before = resident_bytes(environment)?;
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::login(&environment.router_options().database("s2"))?;
        client.run("select 1")?;
        clients.push(client);
    }
    let each = resident_bytes(environment)?.saturating_sub(before) / count;
    println!("  {each} bytes for each of {count} idle clients");
    if each <= IDLE_BYTES_MAX { Ok(()) } else { Err(format!("{each} bytes per idle client")) }
}
