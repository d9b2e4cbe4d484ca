//! A join of two tables whose rows meet on no shard: 10,000 rows with 100,000, as one statement and with one
//! query per row, as a router without batches would do it.

use std::time::Instant;

use crate::client::Client;
use crate::targets::{KEYSPACE, Running, Target};

const JOIN: &str = "select count(*), sum(l.line), max(l.c) from sbtest1 s join line_items l on l.customer_id = s.k where l.line < 5";

/// Prints how long it takes, and how many statements the servers get for it.
pub fn print(target: &Running, repeats: usize) -> Result<(), String> {
    let mut client = login(target)?;
    let mut times = Vec::new();
    let before = statements(target)?;
    for _ in 0..repeats.max(1) {
        let begin = Instant::now();
        client.rows(JOIN)?;
        times.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    let sent =
        statements(target)?.zip(before).map(|(after, before)| (after - before) / repeats.max(1) as u64);
    times.sort_by(f64::total_cmp);
    let joined = times[times.len() / 2];
    let begin = Instant::now();
    for row in client.rows("select k from sbtest1")? {
        let k = row[0].as_deref().unwrap_or("0");
        client.rows(&format!(
            "select l.line, l.c from line_items l where l.customer_id = {k} and l.line < 5"
        ))?;
    }
    let row_by_row = begin.elapsed().as_secs_f64() * 1_000.0;
    let sent = sent.map_or_else(String::new, |sent| format!(", {sent} statements at the servers"));
    println!(
        "  {:<12} one statement {joined:.1} ms{sent}; a query per row {row_by_row:.0} ms ({:.0} ×)",
        target.kind.name(),
        row_by_row / joined
    );
    Ok(())
}

fn login(target: &Running) -> Result<Client, String> {
    Ok(Client::login(&target.options())?)
}

/// What the shards' servers have been asked so far.
fn statements(target: &Running) -> Result<Option<u64>, String> {
    if target.kind != Target::Shardgate {
        return Ok(None);
    }
    let mut total = 0;
    for shard in ["-80", "80-"] {
        let mut client = Client::login(&target.options().database(&format!("{KEYSPACE}:{shard}")))?;
        let rows = client.rows("show global status like 'Questions'")?;
        let count = rows.first().and_then(|row| row[1].as_deref()?.parse::<u64>().ok());
        total += count.ok_or("a server does not count its statements")?;
    }
    Ok(Some(total))
}
