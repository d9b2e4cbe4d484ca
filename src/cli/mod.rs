//! Command line: argument parsing and wiring only.
//!
//! Each subcommand has a file of its own; what they start lives in the rooms below.

mod ctl;
mod demo;
mod explain;
mod logging;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// MySQL-protocol query router for sharded clusters of MySQL and MariaDB servers.
#[derive(Debug, Parser)]
#[command(name = "shardgate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a running router about its cluster.
    Ctl(ctl::Arguments),
    /// Start a local cluster of real database servers and route to it until Ctrl-C.
    Demo(demo::Arguments),
    /// Show how a statement would be executed, without any server.
    Explain(explain::Arguments),
    /// Route to servers that already run.
    Serve(serve::Arguments),
}

/// Runs the command line; the exit code is the process's.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Ctl(arguments) => ctl::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
    }
}

/// Tells a failure on standard error, in one form for all subcommands.
#[expect(clippy::print_stderr, reason = "the command line is where people read errors")]
fn fail(message: impl std::fmt::Display) -> ExitCode {
    eprintln!("shardgate: {message}");
    ExitCode::FAILURE
}
