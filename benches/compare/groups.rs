//! A grouped aggregate over four shards: the proxy's processor works for groups, the servers' for rows. Once with ever
//! more rows of the same groups, once with ever more groups of the same rows.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Options;
use crate::client::Client;
use crate::load::Cpu;
use crate::targets::{Running, Targets};

const SHARDS: u64 = 4;
const ROWS: [u64; 3] = [1_000, 10_000, 100_000];
const GROUPS: [u64; 4] = [10, 100, 1_000, 10_000];

/// Prints what a query costs; `--rows` limits how many rows there are.
pub fn print(options: &Options, folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let (target, _servers) = Targets::shards(folder, SHARDS, |login, index| {
        let rows = rows(options).last().copied().unwrap_or(1);
        Client::login(login)
            .and_then(|mut client| {
                client.run(&format!(
                    "insert into measures select seq, seq % 1000, concat('word ', seq) from seq_{}_to_{rows}_step_{SHARDS}",
                    index + 1
                ))
            })
            .map_err(|error| error.0)
    })?;
    println!("a grouped aggregate over {SHARDS} shards, CPU per query");
    for &rows in &rows(options) {
        measure(&target, options, rows, GROUPS[0])?;
    }
    println!();
    let rows = rows(options).last().copied().unwrap_or(1);
    for groups in GROUPS.into_iter().filter(|groups| groups * SHARDS <= rows) {
        measure(&target, options, rows, groups)?;
    }
    println!();
    Ok(())
}

fn rows(options: &Options) -> Vec<u64> {
    ROWS.into_iter().filter(|rows| *rows <= options.stream_rows.max(ROWS[0])).collect()
}

fn measure(target: &Running, options: &Options, rows: u64, groups: u64) -> Result<(), String> {
    let mut client = Client::login(&target.options())?;
    // Rows lie on the shards in turn: each shard has some of every group.
    let sql = format!(
        "select id div {SHARDS} % {groups} as g, count(*), sum(value), max(word) from measures where id <= {rows} group by g"
    );
    let found = client.rows(&sql)?.len();
    if found as u64 != groups {
        return Err(format!("{found} groups instead of {groups}: {sql}"));
    }
    let before = Cpu::now(target)?;
    let (begin, mut number) = (Instant::now(), 0);
    while number == 0 || begin.elapsed() < Duration::from_secs(options.seconds.into()) {
        client.rows(&sql)?;
        number += 1;
    }
    let sample = Cpu::now(target)?.since(&before, f64::from(number), 0.0, None);
    println!(
        "  {rows:>7} rows, {groups:>6} groups: proxy {:>7.0} µs, servers {:>8.0} µs",
        sample.proxy_us.unwrap_or_default(),
        sample.server_us
    );
    Ok(())
}
