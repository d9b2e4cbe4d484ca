//! Servers and router for trying statements by hand: they stay until the end of the input, and each line of it is the
//! path of a script to run at once, `restart` for the router as it was built last, or `fill s2` for the tables of the queries
//! that are generated for that keyspace.

use std::io::BufRead;
use std::path::Path;

use crate::environment::Environment;
use crate::{queries, runner, script};

/// Differences printed per run of a script.
const PRINTED_MAX: usize = 2000;

/// Prints where the servers are and follows the lines of the input.
pub fn hold(environment: &mut Environment) {
    println!("the plain server: {}", environment.plain.address);
    println!("the router: {}, in {}", environment.router.address, environment.folder.display());
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line == "restart" {
            match environment.restart_router() {
                Ok(()) => println!("the router: {}", environment.router.address),
                Err(error) => println!("{error}"),
            }
            continue;
        }
        if let Some(keyspace) = line.strip_prefix("fill ") {
            match queries::fill_as(environment, keyspace) {
                Ok(()) => println!("{line}: done"),
                Err(error) => println!("{line}: {error}"),
            }
            continue;
        }
        if let Err(error) = run(environment, Path::new(line.trim())) {
            println!("{line}: {error}");
        }
        println!("{line}: done");
    }
}

fn run(environment: &mut Environment, path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let script = script::parse(&name, &text)?;
    for keyspace in &script.keyspaces {
        for &protocol in &script.protocols {
            let outcome = runner::run(environment, &script, keyspace, protocol);
            println!(
                "{name} {keyspace} {}: {} statements, {} differences",
                protocol.name(),
                outcome.statements,
                outcome.differences.len()
            );
            outcome.differences.iter().take(PRINTED_MAX).for_each(|difference| println!("  {difference}"));
        }
    }
    Ok(())
}
