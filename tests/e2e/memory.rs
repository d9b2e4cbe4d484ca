//! The router's resident memory while much passes through it: long results, slow readers, many idle clients.

use std::io::Read;
use std::time::Duration;

use crate::client::{Client, PacketIo};
use crate::environment::Environment;
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("a_million_rows", a_million_rows),
    ("long_rows_of_all_shards", long_rows_of_all_shards),
    ("merged_rows_of_all_shards", merged_rows_of_all_shards),
    ("a_client_that_does_not_read", a_client_that_does_not_read),
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
