//! `shardgate serve`: the router on servers that already run.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{fail, logging};
use crate::config::Config;
use crate::router::Router;

/// Arguments of `shardgate serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file; every key has a default and can be set by SHARDGATE_… in the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key, such as `--set mysql.listen=127.0.0.1:3306`; stronger than file and environment.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
}

fn parse_override(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let environment = |name: &str| std::env::var(name).ok();
    match Config::load(arguments.config.as_deref(), &environment, &arguments.overrides) {
        Ok(config) => {
            logging::start(&config.log);
            serve(&config, |_| {})
        }
        Err(error) => fail(error),
    }
}

/// Runs a router until SIGINT or SIGTERM; `ready` is called when it listens.
pub(super) fn serve(config: &Config, ready: impl FnOnce(&Router)) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("cannot start: {error}")),
    };
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
                (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
                (Err(error), _) | (_, Err(error)) => {
                    return fail(format!("cannot wait for signals: {error}"));
                }
            };
        let router = tokio::select! {
            started = Router::start(config) => match started {
                Ok(router) => router,
                Err(error) => return fail(error),
            },
            _ = interrupt.recv() => return ExitCode::SUCCESS,
            _ = terminate.recv() => return ExitCode::SUCCESS,
        };
        if let Some(address) = router.mysql_address() {
            tracing::info!(%address, "listening for MySQL clients");
        }
        ready(&router);
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        router.run(stop).await;
        ExitCode::SUCCESS
    })
}
