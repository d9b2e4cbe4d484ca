//! End-to-end tests: every statement runs on a plain server and through Shardgate, on both engines.
//!
//! `cargo test --test e2e -- [--engine=mariadb|mysql] [--self] [--all] [--list] [FILTER…]`; a filter is part of a
//! test's name, such as `mariadb::script::join`; `--self` puts a second plain server in the router's place, and
//! `--all` prints every difference; `--hold` starts the servers of an engine for statements by hand. It is a harness of its own, because servers are started once for all tests.
//! With `SHARDGATE_SECOND_TRY` set a test that fails is run once more; what passes only then is counted and named.

// A test program speaks to its reader, and may end by a panic.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program")]

mod client;
mod compare;
mod ctl;
mod demo;
mod environment;
mod foreign_key_races;
mod foreign_keys;
mod gathers;
mod generated;
mod generated_writes;
mod hold;
mod hostile;
mod interrupt;
mod load_data;
mod lookups;
mod memory;
mod outage;
mod params;
mod pins;
mod protocol;
mod queries;
mod random;
mod runner;
mod schema_changes;
mod script;
mod sequences;
mod servers;
mod shared_cases;
mod timeouts;
mod tpcc;
mod tpch;
mod transactions;
mod write_scripts;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use environment::Environment;
use script::{Protocol, Script};
use servers::Engine;

type CaseRun = fn(&mut Environment) -> Result<(), String>;
type DemoRun = fn(&mut demo::Demo) -> Result<(), String>;

/// Differences printed per test before the rest is only counted.
const PRINTED_MAX: usize = 12;

/// A case that takes longer than this says so.
const SLOW: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse(std::env::args().skip(1));
    params::self_check();
    let scripts = match script::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/cases")) {
        Ok(scripts) => scripts,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut totals = Totals { printed_max: arguments.printed_max, ..Totals::default() };
    for engine in Engine::ALL {
        if arguments.engine.is_none_or(|wanted| wanted == engine) {
            run_engine(engine, &scripts, &arguments, &mut totals);
        }
    }
    totals.print();
    if totals.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the command line asks for; options of the standard harness are accepted and ignored.
struct Arguments {
    engine: Option<Engine>,
    list: bool,
    printed_max: usize,
    double: bool,
    hold: bool,
    filters: Vec<String>,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut parsed = Self {
            engine: None,
            printed_max: PRINTED_MAX,
            list: false,
            double: false,
            hold: false,
            filters: Vec::new(),
        };
        for argument in arguments {
            if let Some(engine) = argument.strip_prefix("--engine=") {
                parsed.engine = script::engine(engine).ok();
            } else if argument == "--all" {
                parsed.printed_max = usize::MAX;
            } else if argument == "--list" {
                parsed.list = true;
            } else if argument == "--self" {
                parsed.double = true;
            } else if argument == "--hold" {
                parsed.hold = true;
            } else if !argument.starts_with('-') {
                parsed.filters.push(argument);
            }
        }
        parsed
    }

    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

#[derive(Default)]
struct Totals {
    printed_max: usize,
    passed: usize,
    failed: Vec<String>,
    unsteady: Vec<String>,
    statements: usize,
    skipped: Vec<String>,
    unsupported: Vec<String>,
    missing: Vec<String>,
}

impl Totals {
    /// Runs a test, and prints what came of it. `run` gives its problems.
    fn test(&mut self, name: &str, mut run: impl FnMut(&mut Self) -> Vec<String>) {
        let mut problems = run(self);
        if !problems.is_empty() && std::env::var_os("SHARDGATE_SECOND_TRY").is_some() {
            println!("test {name} ... failed, and is run once more");
            self.print_problems(&problems);
            problems = run(self);
            if problems.is_empty() {
                self.unsteady.push(name.to_owned());
            }
        }
        if problems.is_empty() {
            self.passed += 1;
            println!("test {name} ... ok");
            return;
        }
        println!("test {name} ... FAILED ({} differences)", problems.len());
        self.print_problems(&problems);
        self.failed.push(name.to_owned());
    }

    /// A test that could not even begin.
    fn fail(&mut self, name: String, problem: String) {
        println!("test {name} ... FAILED");
        self.print_problems(&[problem]);
        self.failed.push(name);
    }

    fn print_problems(&self, problems: &[String]) {
        for problem in problems.iter().take(self.printed_max) {
            println!("  {problem}");
        }
        if problems.len() > self.printed_max {
            println!("  … and {} more", problems.len() - self.printed_max);
        }
    }

    fn print(&self) {
        let mut unsupported = self.unsupported.clone();
        unsupported.sort();
        unsupported.dedup();
        let mut skipped = self.skipped.clone();
        skipped.sort();
        skipped.dedup();
        for line in &unsupported {
            println!("unsupported: {line}");
        }
        for line in &skipped {
            println!("skipped: {line}");
        }
        println!(
            "\ne2e: {} passed ({} of them at the second try), {} failed; {} statements compared, {} refused as unsupported, {} skipped",
            self.passed,
            self.unsteady.len(),
            self.failed.len(),
            self.statements,
            unsupported.len(),
            skipped.len()
        );
        for name in &self.unsteady {
            println!("  UNSTEADY: {name} passed at the second try only");
        }
        for name in &self.failed {
            println!("  failed: {name}");
        }
        for missing in &self.missing {
            println!("\n*** HALF THE MATRIX LEFT OUT: {missing} ***");
        }
    }
}

fn run_engine(engine: Engine, scripts: &[Script], arguments: &Arguments, totals: &mut Totals) {
    let names: Vec<_> = script_tests(engine, scripts).filter(|(name, ..)| arguments.wants(name)).collect();
    let cases: Vec<_> = case_tests(engine)
        .filter(|(name, _)| {
            let needs_no_router = name.contains("generated") || name.contains("::queries::");
            arguments.wants(name) && (!arguments.double || needs_no_router)
        })
        .collect();
    let demos: Vec<_> =
        demo_tests(engine).filter(|(name, _)| arguments.wants(name) && !arguments.double).collect();
    if arguments.list {
        demos.iter().for_each(|(name, _)| println!("{name}: test"));
        names.iter().for_each(|(name, ..)| println!("{name}: test"));
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    if names.is_empty() && cases.is_empty() && demos.is_empty() {
        return;
    }
    let Some(installation) = servers::installation(engine) else {
        totals.missing.push(format!("{} is not installed (run tests/engines/install.sh)", engine.as_str()));
        return;
    };
    if !demos.is_empty() {
        run_demo(engine, &demos, totals);
    }
    if names.is_empty() && cases.is_empty() {
        return;
    }
    let begin = Instant::now();
    let folder = tempfile::Builder::new().prefix("shardgate-e2e-").tempdir().expect("a temporary folder");
    let start = if arguments.double { Environment::start_double } else { Environment::start };
    let mut environment = match start(engine, &installation, folder.path()) {
        Ok(environment) => environment,
        Err(error) => {
            return totals.fail(format!("{}::start", engine.as_str()), error);
        }
    };
    println!("{}: servers and router are up after {:.1} s", engine.as_str(), begin.elapsed().as_secs_f32());
    if arguments.hold {
        return hold::hold(&mut environment);
    }
    for (name, script, keyspace, protocol) in names {
        if let Some(reason) = &script.skip {
            totals.skipped.push(format!("{} {reason}", script.name));
            continue;
        }
        totals.test(&name, |totals| {
            let outcome = runner::run(&environment, script, keyspace, protocol);
            totals.statements += outcome.statements;
            totals.skipped.extend(outcome.skipped);
            totals.unsupported.extend(outcome.unsupported);
            outcome.differences
        });
    }
    for (name, run) in cases {
        let begin = Instant::now();
        totals.test(&name, |_| {
            let mut problems: Vec<_> = run(&mut environment).err().into_iter().collect();
            if !environment.router.is_running() {
                problems.push(format!("the router has died:\n{}", environment.router.log_end()));
                problems.extend(environment.restart_router().err());
            }
            problems
        });
        if begin.elapsed() > SLOW {
            println!("  took {:.1} s", begin.elapsed().as_secs_f32());
        }
    }
    println!("{}: done after {:.1} s", engine.as_str(), begin.elapsed().as_secs_f32());
}

/// The demo's tests have a cluster of their own; they run in order.
fn demo_tests(engine: Engine) -> impl Iterator<Item = (String, DemoRun)> {
    demo::CASES.iter().map(move |(name, run)| (format!("{}::demo::{name}", engine.as_str()), *run))
}

fn run_demo(engine: Engine, demos: &[(String, DemoRun)], totals: &mut Totals) {
    let folder = tempfile::Builder::new().prefix("shardgate-demo-").tempdir().expect("a temporary folder");
    let mut demo = match demo::Demo::start(engine, &folder.path().join("cluster")) {
        Ok(demo) => demo,
        Err(error) => {
            return totals.fail(format!("{}::demo::start", engine.as_str()), error);
        }
    };
    for (name, run) in demos {
        totals.test(name, |_| run(&mut demo).err().into_iter().collect());
    }
}

/// Tests written in Rust; the outage comes last, because it takes a server away.
fn case_tests(engine: Engine) -> impl Iterator<Item = (String, CaseRun)> {
    [
        ("generated", generated::CASES),
        ("queries", queries::CASES),
        ("generated", generated_writes::CASES),
        ("write_scripts", write_scripts::CASES),
        ("foreign_keys", foreign_keys::CASES),
        ("foreign_key_races", foreign_key_races::CASES),
        ("shared_cases", shared_cases::CASES),
        ("tpcc", tpcc::CASES),
        ("tpch", tpch::CASES),
        ("protocol", protocol::CASES),
        ("transactions", transactions::CASES),
        ("pins", pins::CASES),
        ("timeouts", timeouts::CASES),
        ("ctl", ctl::CASES),
        ("memory", memory::CASES),
        ("load_data", load_data::CASES),
        ("sequences", sequences::CASES),
        ("hostile", hostile::CASES),
        ("schema_changes", schema_changes::CASES),
        ("gathers", gathers::CASES),
        ("interrupt", interrupt::CASES),
        ("outage", outage::CASES),
    ]
    .into_iter()
    .flat_map(move |(group, cases)| {
        cases.iter().map(move |(name, run)| (format!("{}::{group}::{name}", engine.as_str()), *run))
    })
}

fn script_tests(
    engine: Engine,
    scripts: &[Script],
) -> impl Iterator<Item = (String, &Script, &str, Protocol)> {
    scripts.iter().filter(move |script| script.engine.is_none_or(|only| only == engine)).flat_map(
        move |script| {
            script.keyspaces.iter().flat_map(move |keyspace| {
                script.protocols.iter().map(move |&protocol| {
                    let name = format!(
                        "{}::script::{}::{keyspace}::{}",
                        engine.as_str(),
                        script.name,
                        protocol.name()
                    );
                    (name, script, keyspace.as_str(), protocol)
                })
            })
        },
    )
}
