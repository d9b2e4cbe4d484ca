//! Joins of two tables whose rows meet on no shard: 10,000 rows with 100,000, as one statement and with one query per
//! row, as a router without batches would do it.

use std::time::Instant;

use crate::client::Client;
use crate::targets::{Running, Target};

/// A statement, and what is asked for each row of the first table instead, with `{k}` for its value.
struct Pair {
    title: &'static str,
    statement: &'static str,
    of_row: &'static str,
}

const PAIRS: [Pair; 3] = [
    Pair {
        title: "groups of 50,000 joined rows",
        statement: "select count(*), sum(l.line), max(l.c) from sbtest1 s join line_items l on l.customer_id = s.k where l.line < 5",
        of_row: "select l.line, l.c from line_items l where l.customer_id = {k} and l.line < 5",
    },
    Pair {
        title: "50,000 joined rows",
        statement: "select s.id, l.line, l.c from sbtest1 s join line_items l on l.customer_id = s.k where l.line < 5",
        of_row: "select l.line, l.c from line_items l where l.customer_id = {k} and l.line < 5",
    },
    Pair {
        title: "groups of 1,000,000 joined rows",
        statement: "select s.k, count(*), sum(l.line) from sbtest1 s join line_items l on l.customer_id = s.k group by s.k",
        of_row: "select count(*), sum(l.line) from line_items l where l.customer_id = {k}",
    },
];

/// Prints how long the joins take, and how many queries the servers get for each.
pub fn print(target: &Running, repeats: usize) -> Result<(), String> {
    let mut client = Client::login(&target.options())?;
    for pair in &PAIRS {
        let mut times = Vec::new();
        for _ in 0..repeats.max(1) {
            let begin = Instant::now();
            client.rows(pair.statement)?;
            times.push(begin.elapsed().as_secs_f64() * 1_000.0);
        }
        times.sort_by(f64::total_cmp);
        let joined = times[times.len() / 2];
        let sent = match target.kind {
            Target::Shardgate => {
                let queries = client.rows(&format!("vexplain queries {}", pair.statement))?.len();
                format!(", {queries} queries at the servers")
            }
            _ => String::new(),
        };
        let begin = Instant::now();
        for row in client.rows("select k from sbtest1")? {
            let k = row[0].as_deref().unwrap_or("0");
            client.rows(&pair.of_row.replace("{k}", k))?;
        }
        let row_by_row = begin.elapsed().as_secs_f64() * 1_000.0;
        println!(
            "  {:<12} {:<32} one statement {joined:.1} ms{sent}; a query per row {row_by_row:.0} ms ({:.0} ×)",
            target.kind.name(),
            pair.title,
            row_by_row / joined
        );
    }
    Ok(())
}
