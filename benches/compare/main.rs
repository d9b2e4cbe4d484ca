//! The router beside others: a plain server, HAProxy, MySQL Router and Shardgate under the same load, in turn.
//!
//! `cargo bench --bench compare -- [--seconds=5] [--repeats=3] [--clients=1,8,64] [--targets=direct,haproxy,mysqlrouter,shardgate]
//! [--loads=point-text,point-prepared,range,scatter,read-write,join,groups,stream,memory]`. Times on a shared machine are noise: what counts
//! is the CPU time per query of the proxy's process, and ratios within one run. `SHARDGATE_BINARY` names a router to measure
//! other than the one that cargo has built for this program.

// A benchmark speaks to its reader, and may end by a panic.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark program")]
// The client is the end-to-end tests' own; not all of it is used here.
#![allow(dead_code, reason = "shared modules of the end-to-end tests")]

#[path = "../../tests/e2e/client/mod.rs"]
mod client;
mod groups;
mod join;
mod load;
mod memory;
mod process;
mod report;
#[path = "../../tests/e2e/servers.rs"]
mod servers;
mod targets;

use std::process::ExitCode;

use load::Load;
use report::Report;
use targets::{Target, Targets};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if options.is_filtered_out {
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

pub struct Options {
    pub seconds: u32,
    pub repeats: usize,
    pub clients: Vec<usize>,
    pub targets: Vec<Target>,
    pub loads: Vec<String>,
    pub stream_rows: u64,
    pub idle_connections: usize,
    is_filtered_out: bool,
}

const LOADS: [&str; 9] =
    ["point-text", "point-prepared", "range", "scatter", "read-write", "join", "groups", "stream", "memory"];

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            seconds: 5,
            repeats: 3,
            clients: vec![1, 8, 64],
            targets: Target::ALL.to_vec(),
            loads: LOADS.map(str::to_owned).to_vec(),
            stream_rows: 1_000_000,
            idle_connections: 5_000,
            is_filtered_out: false,
        };
        for argument in arguments {
            // Cargo passes `--bench` to benchmark programs, and filters that are meant for others.
            let Some((key, value)) = argument.split_once('=') else {
                if argument.starts_with('-') && argument != "--bench" {
                    return Err(format!(
                        "unknown argument {argument}; see the head of benches/compare/main.rs"
                    ));
                }
                options.is_filtered_out |= !argument.starts_with('-') && !"compare".contains(&argument);
                continue;
            };
            let number = || value.parse::<u32>().map_err(|error| format!("{argument}: {error}"));
            match key {
                "--seconds" => options.seconds = number()?,
                "--repeats" => options.repeats = number()? as usize,
                "--clients" => {
                    options.clients = value
                        .split(',')
                        .map(str::parse)
                        .collect::<Result<_, _>>()
                        .map_err(|error| format!("{argument}: {error}"))?;
                }
                "--targets" => {
                    options.targets = value.split(',').map(Target::parse).collect::<Result<_, _>>()?
                }
                "--loads" => {
                    options.loads = value.split(',').map(str::to_owned).collect();
                    if let Some(unknown) = options.loads.iter().find(|load| !LOADS.contains(&load.as_str())) {
                        return Err(format!("unknown load {unknown}; there are {}", LOADS.join(", ")));
                    }
                }
                "--rows" => options.stream_rows = u64::from(number()?),
                "--idle" => options.idle_connections = number()? as usize,
                _ => return Err(format!("unknown argument {argument}")),
            }
        }
        Ok(options)
    }

    fn wants(&self, load: &str) -> bool {
        self.loads.iter().any(|wanted| wanted == load)
    }
}

fn run(options: &Options) -> Result<(), String> {
    let folder =
        tempfile::Builder::new().prefix("shardgate-bench-").tempdir().map_err(|error| error.to_string())?;
    println!(
        "{} s per measurement, median of {}; CPU in µs per query; {} processors\n",
        options.seconds,
        options.repeats,
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    // These have a cluster of their own.
    if options.wants("groups") {
        groups::print(options, &folder.path().join("groups"))?;
    }
    if options.loads.iter().all(|load| load == "groups") {
        return Ok(());
    }
    compare(options, &Targets::start(options, folder.path())?)
}

fn compare(options: &Options, targets: &Targets) -> Result<(), String> {
    for load in Load::all() {
        if !options.wants(load.option) {
            continue;
        }
        for &clients in &options.clients {
            let mut report = Report::new(format!("{}, {clients} clients", load.title));
            for _ in 0..options.repeats {
                for target in &targets.list {
                    report.add(target.kind, load.measure(target, clients, options.seconds)?);
                }
            }
            report.print();
        }
    }
    if options.wants("join") {
        println!("a join of 10,000 with 100,000 rows that meet on no shard, 1 client");
        for target in &targets.list {
            join::print(target, options.repeats)?;
        }
        println!();
    }
    if options.wants("stream") {
        let mut report = Report::new(format!(
            "a stream of {} rows, 1 client (CPU in µs per 1,000 rows)",
            options.stream_rows
        ));
        for _ in 0..options.repeats {
            for target in &targets.list {
                report.add(target.kind, load::stream(target, options.stream_rows)?);
            }
        }
        report.print();
    }
    if options.wants("memory") {
        for target in targets.list.iter().filter(|target| target.process.is_some()) {
            memory::print(target, options)?;
        }
    }
    Ok(())
}
