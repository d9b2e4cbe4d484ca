//! The demo cluster: keyspaces `commerce` and `customer` of the well-known example, from `vschema/`.
//!
//! The files are compiled in, so that the binary alone can run the demo.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::progress::Progress;
use super::{
    Cluster, ClusterSpec, Engine, EngineChoice, Installation, KeyspaceSpec, ListenAddresses, Result,
};

/// First port of the demo's servers; `vschema/topology.json` shows the ports that follow.
const FIRST_PORT: u16 = 17_200;

/// What a user can choose.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Which server to run on.
    pub engine: EngineChoice,
    /// Where that server is, if not in the usual places.
    pub engine_path: Option<PathBuf>,
    /// Directory of the cluster's data.
    pub dir: PathBuf,
    /// Throw away what is in it.
    pub is_fresh: bool,
    /// Where the router will listen.
    pub listen: ListenAddresses,
}

/// A running demo cluster. Dropping it stops the servers.
#[derive(Debug)]
pub struct Demo {
    /// The servers.
    pub cluster: Cluster,
    /// `shardgate.toml` for the router in front of them.
    pub config_path: PathBuf,
}

/// The demo's cluster.
pub fn spec() -> ClusterSpec {
    let commerce = KeyspaceSpec::unsharded("commerce", &[2_469_782_763, 2_548_885_007])
        .with_schema(include_str!("../../vschema/commerce.sql"), include_str!("../../vschema/commerce.json"))
        .with_shard_sql("-", include_str!("../../vschema/data/commerce.sql"));
    let shards: [(&str, &[u32]); 2] =
        [("-80", &[120_139_806, 2_289_928_654]), ("80-", &[118_374_573, 4_277_914_223])];
    let customer = KeyspaceSpec::sharded("customer", &shards)
        .with_schema(include_str!("../../vschema/customer.sql"), include_str!("../../vschema/customer.json"))
        .with_shard_sql("-80", include_str!("../../vschema/data/customer.-80.sql"))
        .with_shard_sql("80-", include_str!("../../vschema/data/customer.80-.sql"));
    ClusterSpec { first_port: Some(FIRST_PORT), ..ClusterSpec::new(vec![commerce, customer]) }
}

/// Starts the demo cluster, or starts it again with the data it had. Blocks until it is ready.
///
/// # Errors
/// No server is installed (the message says what to install), the directory is in use, or a server fails.
pub fn start(options: &DemoOptions, progress: &dyn Progress) -> Result<Demo> {
    let installation = find_engine(options)?;
    let started = Cluster::start(&spec(), &installation, &options.dir, options.is_fresh, progress);
    let cluster = started.inspect_err(|_| progress.finish())?;
    let config_path = cluster.write_config(&options.listen)?;
    Ok(Demo { cluster, config_path })
}

/// `auto` stays with the engine that a directory's data is of.
fn find_engine(options: &DemoOptions) -> Result<Installation> {
    let choice = match (options.engine, Cluster::engine_of(&options.dir)) {
        (EngineChoice::Auto, Some(engine)) if !options.is_fresh => EngineChoice::Exactly(engine),
        (choice, _) => choice,
    };
    Installation::find(choice, options.engine_path.as_deref())
}

impl Demo {
    /// What to tell a user once the router listens too.
    pub fn banner(&self, listen: &ListenAddresses) -> String {
        let client = match self.cluster.engine() {
            Engine::MariaDb => "mariadb",
            Engine::MySql => "mysql",
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\nThe cluster is ready ({}, data in {}).\n",
            self.cluster.engine(),
            self.cluster.dir().display()
        );
        for tablet in self.cluster.tablets() {
            let (place, port) = (format!("{}/{}", tablet.keyspace(), tablet.shard()), tablet.port());
            let _ = writeln!(text, "  {place:<14} {} 127.0.0.1:{port}", tablet.alias());
        }
        let _ = writeln!(text, "\nConnect:  {client} {}", client_arguments(listen.mysql));
        let _ = writeln!(text, "Status:   http://{}/", listen.http);
        let _ = writeln!(text, "Control:  shardgate ctl --server {} ListAllTablets", listen.control);
        let _ = writeln!(text, "\nCtrl-C stops everything; the data stays.");
        text
    }
}

fn client_arguments(address: SocketAddr) -> String {
    // A wildcard address is none that a client can connect to.
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    format!("-h {host} -P {} -u user", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{TabletType, TopologyFile};

    #[test]
    fn the_sample_topology_is_the_demos() {
        let file = TopologyFile::parse(include_str!("../../vschema/topology.json")).unwrap();
        let topology = file.build().unwrap();
        let shown: Vec<_> = topology
            .tablets()
            .map(|tablet| {
                format!(
                    "{}/{} {} {}",
                    tablet.keyspace,
                    tablet.shard,
                    tablet.alias,
                    tablet.tablet_type.as_str()
                )
            })
            .collect();
        let spec = spec();
        let started: Vec<_> = spec
            .tablets()
            .map(|(k, s, t)| format!("{}/{} {} {}", k.name, s.name, spec.alias(t), t.tablet_type.as_str()))
            .collect();
        assert_eq!(shown, started);
        assert_eq!(topology.tablets().filter(|tablet| tablet.tablet_type == TabletType::Primary).count(), 3);
    }
}
