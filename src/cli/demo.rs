//! `shardgate demo`: a local cluster of real servers and the router in front of it.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::serve::serve;
use super::{fail, logging};
use crate::config::Config;
use crate::local::demo::{DemoOptions, start};
use crate::local::{Bar, EngineChoice, Lines, ListenAddresses, Progress};

/// Arguments of `shardgate demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Database server to run: auto, mariadb or mysql.
    #[arg(long, default_value = "auto")]
    engine: EngineChoice,
    /// Directory of an engine that is not in the usual places.
    #[arg(long, value_name = "DIR")]
    engine_path: Option<PathBuf>,
    /// Where the cluster's data is kept; a second start finds it again.
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    dir: PathBuf,
    /// Throw old data away.
    #[arg(long)]
    fresh: bool,
    /// Port for MySQL clients.
    #[arg(long, default_value_t = 15306)]
    port: u16,
    /// Port of status page and metrics.
    #[arg(long, default_value_t = 15000)]
    http_port: u16,
    /// Port of the control API.
    #[arg(long, default_value_t = 15999)]
    control_port: u16,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let listen = ListenAddresses {
        mysql: local(arguments.port),
        http: local(arguments.http_port),
        control: local(arguments.control_port),
    };
    let options = DemoOptions {
        engine: arguments.engine,
        engine_path: arguments.engine_path.clone(),
        dir: arguments.dir.clone(),
        is_fresh: arguments.fresh,
        listen,
    };
    let bar: Box<dyn Progress> = if std::io::stderr().is_terminal() {
        Box::new(Bar::new())
    } else {
        Box::new(Lines::new(std::io::stderr()))
    };
    let demo = match start(&options, bar.as_ref()) {
        Ok(demo) => demo,
        Err(error) => return fail(error),
    };
    bar.finish();
    let environment = |name: &str| std::env::var(name).ok();
    let config = match Config::load(Some(&demo.config_path), &environment, &[]) {
        Ok(config) => config,
        Err(error) => return fail(error),
    };
    logging::start(&config.log);
    serve(&config, |_| print(&demo.banner(&listen)))
}

#[expect(clippy::print_stdout, reason = "this is what the user waits for")]
fn print(text: &str) {
    println!("{text}");
}
