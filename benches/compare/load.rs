//! The loads: sysbench's own and scripts of ours, and a stream read by our own client.

use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::client::Client;
use crate::report::Sample;
use crate::targets::{KEYSPACE, Running, TABLE_ROWS};

/// A load that sysbench drives.
pub struct Load {
    pub option: &'static str,
    pub title: &'static str,
    script: &'static str,
    arguments: &'static [&'static str],
}

impl Load {
    pub fn all() -> [Self; 5] {
        [
            Self {
                option: "point-text",
                title: "point select, text protocol",
                script: "oltp_point_select",
                arguments: &["--db-ps-mode=disable", "--tables=1", "--rand-type=uniform"],
            },
            Self {
                option: "point-prepared",
                title: "point select, prepared",
                script: "oltp_point_select",
                arguments: &["--db-ps-mode=auto", "--tables=1", "--rand-type=uniform"],
            },
            Self {
                option: "range",
                title: "100 rows of one shard, text protocol",
                script: "one_shard_range.lua",
                arguments: &["--db-ps-mode=disable"],
            },
            Self {
                option: "scatter",
                title: "10 rows of all shards in order, text protocol",
                script: "scatter.lua",
                arguments: &["--db-ps-mode=disable"],
            },
            // Writes: behind the loads that count on the rows.
            Self {
                option: "read-write",
                title: "transactions of 20 statements, text protocol",
                script: "oltp_read_write",
                arguments: &["--db-ps-mode=disable", "--tables=1", "--rand-type=uniform"],
            },
        ]
    }

    pub fn measure(&self, target: &Running, clients: usize, seconds: u32) -> Result<Sample, String> {
        let script = if self.script.ends_with(".lua") {
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/compare/lua").join(self.script)
        } else {
            PathBuf::from(self.script)
        };
        let mut command = Command::new("sysbench");
        command.arg(script).args(self.arguments);
        if self.script.starts_with("oltp_") {
            command.arg(format!("--table-size={TABLE_ROWS}"));
        }
        command
            .arg(format!("--mysql-host={}", target.address.ip()))
            .arg(format!("--mysql-port={}", target.address.port()))
            .args(["--mysql-user=bench", "--mysql-password=", "--report-interval=0", "--percentile=95"])
            .arg(format!("--mysql-db={KEYSPACE}"))
            .arg(format!("--threads={clients}"))
            .arg(format!("--time={seconds}"))
            .arg("run");
        let before = Cpu::now(target)?;
        let output = command.output().map_err(|error| format!("sysbench: {error}"))?;
        let after = Cpu::now(target)?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("{} on {}: {command:?}\n{text}", self.title, target.kind.name()));
        }
        let queries = number_after(&text, "queries:").ok_or("sysbench printed no number of queries")?;
        let rate = number_after(&text, "queries:")
            .zip(number_after(&text, "total time:"))
            .map_or(0.0, |(count, time)| count / time);
        Ok(after.since(&before, queries, rate, number_after(&text, "95th percentile:")))
    }
}

/// Reads a whole table by one statement; times are per 1,000 rows.
pub fn stream(target: &Running, rows: u64) -> Result<Sample, String> {
    let mut client = Client::login(&target.options()).map_err(|error| error.0)?;
    let before = Cpu::now(target)?;
    let begin = Instant::now();
    client.send(0x03, b"select id, payload from stream_rows").map_err(|error| error.0)?;
    let read = read_rows(client.io().stream(), u64::MAX, || Ok(()))?;
    let seconds = begin.elapsed().as_secs_f64();
    let after = Cpu::now(target)?;
    if read.rows != rows {
        return Err(format!("{}: {} rows instead of {rows}", target.kind.name(), read.rows));
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of rows is far below 2^52")]
    let thousands = rows as f64 / 1000.0;
    Ok(after.since(&before, thousands, thousands * 1000.0 / seconds, None))
}

/// What a reader of a result set saw.
pub struct Progress {
    pub rows: u64,
    pub bytes: u64,
    pub complete: bool,
}

/// Reads the reply to a query with two columns and EOF packets, counting packets without keeping them, until
/// `bytes_max`. `pause` is called for every chunk.
pub fn read_rows(
    stream: &mut impl Read,
    bytes_max: u64,
    mut pause: impl FnMut() -> Result<(), String>,
) -> Result<Progress, String> {
    let mut chunk = vec![0u8; 256 << 10];
    let mut header = Vec::with_capacity(5);
    let mut left = 0usize;
    let (mut packets, mut eofs, mut bytes) = (0u64, 0, 0u64);
    while eofs < 2 && bytes < bytes_max {
        pause()?;
        let count = stream.read(&mut chunk).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the connection was closed in the middle of a result".to_owned());
        }
        bytes += count as u64;
        let mut rest = &chunk[..count];
        while !rest.is_empty() {
            if left > 0 {
                let skipped = left.min(rest.len());
                left -= skipped;
                rest = &rest[skipped..];
                continue;
            }
            header.push(rest[0]);
            rest = &rest[1..];
            // Header and first byte of the payload tell what the packet is.
            if header.len() == 5 {
                let length =
                    usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
                packets += 1;
                match header[4] {
                    0xFE if length < 9 => eofs += 1,
                    0xFF => return Err("an error in the middle of a result".to_owned()),
                    _ => {}
                }
                left = length - 1;
                header.clear();
            }
        }
    }
    // Column count, two definitions, and the EOF packets are no rows.
    Ok(Progress { rows: packets.saturating_sub(3 + eofs), bytes, complete: eofs == 2 })
}

/// What processors have done so far.
pub struct Cpu {
    proxy: Option<u64>,
    servers: u64,
}

impl Cpu {
    pub fn now(target: &Running) -> Result<Self, String> {
        let proxy = target.process.map(|process| process.cpu_us()).transpose()?;
        let mut servers = 0;
        for server in &target.servers {
            servers += server.cpu_us()?;
        }
        Ok(Self { proxy, servers })
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of a benchmark are far below 2^52")]
    pub fn since(&self, before: &Self, count: f64, rate: f64, p95_ms: Option<f64>) -> Sample {
        let per_query = |after: u64, before: u64| (after - before) as f64 / count.max(1.0);
        Sample {
            rate,
            p95_ms,
            proxy_us: self.proxy.zip(before.proxy).map(|(after, before)| per_query(after, before)),
            server_us: per_query(self.servers, before.servers),
        }
    }
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    let rest = &text[text.find(label)? + label.len()..];
    rest.split_whitespace().next()?.trim_end_matches('s').parse().ok()
}
