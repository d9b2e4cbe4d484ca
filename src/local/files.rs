//! The files that a router on this cluster reads: `topology.json`, `users.json`, `shardgate.toml`, `vschema/`.
//!
//! What a run may have changed belongs to the cluster and is kept: the topology after a failover, the VSchema,
//! the users. Only what a restart changes is written again.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::datadir::{Credentials, make_private_dir, write_private};
use super::spec::{ClusterSpec, KeyspaceSpec, ShardSpec, TabletSpec};
use super::{Error, Result};
use crate::topology::{KeyspaceFile, ShardFile, TabletFile, TabletType, TabletTypeNames, TopologyFile};

/// Paths inside a cluster's directory.
#[derive(Clone, Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(super) fn topology(&self) -> PathBuf {
        self.dir.join("topology.json")
    }

    pub(super) fn users(&self) -> PathBuf {
        self.dir.join("users.json")
    }

    pub(super) fn vschema(&self) -> PathBuf {
        self.dir.join("vschema")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("shardgate.toml")
    }

    /// The administrator's option file for the command-line client.
    pub(super) fn client_options(&self) -> PathBuf {
        self.dir.join("dba.cnf")
    }

    /// Writes users, VSchema and routing rules of a new cluster; files that exist are left alone.
    pub(super) fn write_once(&self, spec: &ClusterSpec) -> Result<()> {
        make_private_dir(&self.vschema())?;
        let mut files = vec![(self.users(), spec.users_json.as_str())];
        for keyspace in &spec.keyspaces {
            files.push((self.vschema().join(format!("{}.json", keyspace.name)), &keyspace.vschema_json));
        }
        if let Some(rules) = &spec.routing_rules_json {
            files.push((self.vschema().join("routing_rules.json"), rules));
        }
        for (path, text) in files {
            if !path.exists() {
                write_private(&path, text)?;
            }
        }
        Ok(())
    }

    pub(super) fn write_client_options(&self, credentials: &Credentials) -> Result<()> {
        let (user, password) = (Credentials::DBA_USER, &credentials.dba_password);
        write_private(&self.client_options(), &format!("[client]\nuser={user}\npassword={password}\n"))
    }

    /// Writes the router's configuration; a port of 0 is any free one.
    pub(super) fn write_config(
        &self,
        credentials: &Credentials,
        cell: &str,
        listen: &ListenAddresses,
    ) -> Result<()> {
        let text = format!(
            "# Written by every start of this cluster.\n\
             cell = {cell:?}\n\n\
             [mysql]\nlisten = \"{}\"\nusers = {:?}\n\n\
             [backend]\nuser = {:?}\npassword = {:?}\n\n\
             [topology]\nstore = \"file\"\nfile = {:?}\n\n\
             [vschema]\ndir = {:?}\n\n\
             [http]\nlisten = \"{}\"\n\n\
             [control]\nlisten = \"{}\"\n",
            listen.mysql,
            self.users(),
            Credentials::APP_USER,
            credentials.app_password,
            self.topology(),
            self.vschema(),
            listen.http,
            listen.control,
        );
        write_private(&self.config(), &text)
    }

    /// Tablet types by alias, as the last run left them: a failover moves the primary.
    pub(super) fn read_types(&self) -> BTreeMap<String, TabletType> {
        let topology = self.read_topology().unwrap_or_default();
        tablets(&topology)
            .filter_map(|tablet| Some((tablet.alias.clone(), TabletType::parse(&tablet.tablet_type)?)))
            .collect()
    }

    /// Writes the topology: a new one, or the ports in the one that is there.
    pub(super) fn write_topology(&self, spec: &ClusterSpec, ports: &BTreeMap<String, u16>) -> Result<()> {
        let mut topology = match self.read_topology() {
            Some(topology) => topology,
            None => new_topology(spec),
        };
        let shards = topology.keyspaces.iter_mut().flat_map(|(_, keyspace)| &mut keyspace.shards);
        for tablet in shards.flat_map(|(_, shard)| &mut shard.tablets) {
            if let Some(&port) = ports.get(&tablet.alias) {
                tablet.hostname = Some("127.0.0.1".to_owned());
                tablet.mysql_port = Some(port);
            }
        }
        let json = serde_json::to_string_pretty(&topology)
            .map_err(|error| Error::directory(&self.dir, format!("topology: {error}")))?;
        write_private(&self.topology(), &format!("{json}\n"))
    }

    fn read_topology(&self) -> Option<TopologyFile> {
        TopologyFile::parse(&fs::read_to_string(self.topology()).ok()?).ok()
    }
}

/// Where the router listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddresses {
    /// MySQL protocol.
    pub mysql: SocketAddr,
    /// Status page and metrics.
    pub http: SocketAddr,
    /// Control API.
    pub control: SocketAddr,
}

fn new_topology(spec: &ClusterSpec) -> TopologyFile {
    let tablet_file = |tablet: &TabletSpec| TabletFile {
        alias: spec.alias(tablet),
        tablet_type: tablet.tablet_type.shown(TabletTypeNames::Primary).to_owned(),
        ..TabletFile::default()
    };
    let shard_file = |shard: &ShardSpec| {
        let tablets = shard.tablets.iter().map(tablet_file).collect();
        (shard.name.clone(), ShardFile { serving: shard.is_serving, tablets })
    };
    let keyspace_file = |keyspace: &KeyspaceSpec| {
        let shards = keyspace.shards.iter().map(shard_file).collect();
        (keyspace.name.clone(), KeyspaceFile { db_name: Some(keyspace.db_name.clone()), shards })
    };
    TopologyFile {
        cells: vec![spec.cell.clone()],
        keyspaces: spec.keyspaces.iter().map(keyspace_file).collect(),
    }
}

fn tablets(topology: &TopologyFile) -> impl Iterator<Item = &TabletFile> {
    topology.keyspaces.iter().flat_map(|(_, keyspace)| &keyspace.shards).flat_map(|(_, shard)| &shard.tablets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn spec() -> ClusterSpec {
        ClusterSpec::new(vec![KeyspaceSpec::sharded("customer", &[("-80", &[1, 2]), ("80-", &[3])])])
    }

    fn ports(first: u16) -> BTreeMap<String, u16> {
        (1..=3u16).map(|uid| (format!("zone1-{uid:010}"), first + uid)).collect()
    }

    #[test]
    fn a_restart_changes_ports_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        files.write_topology(&spec(), &ports(17_200)).unwrap();
        // What a failover does.
        let text = fs::read_to_string(files.topology()).unwrap();
        let text =
            text.replacen("PRIMARY", "X", 1).replacen("REPLICA", "PRIMARY", 1).replacen("X", "REPLICA", 1);
        fs::write(files.topology(), text).unwrap();
        files.write_topology(&spec(), &ports(18_000)).unwrap();

        let types = files.read_types();
        assert_eq!(types["zone1-0000000001"], TabletType::Replica);
        assert_eq!(types["zone1-0000000002"], TabletType::Primary);
        let topology = files.read_topology().unwrap();
        assert!(topology.build().is_ok());
        let ports: Vec<_> = tablets(&topology).map(|tablet| tablet.mysql_port.unwrap()).collect();
        assert_eq!(ports, [18_001, 18_002, 18_003]);
    }

    #[test]
    fn the_configuration_is_one_that_the_router_accepts() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let credentials = Credentials {
            app_password: "a".to_owned(),
            repl_password: "b".to_owned(),
            dba_password: "c".to_owned(),
        };
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listen = ListenAddresses { mysql: any, http: any, control: any };
        files.write_config(&credentials, "zone1", &listen).unwrap();
        let config = Config::load(Some(&files.config()), &|_| None, &[]).unwrap();
        assert_eq!(config.backend.user, Credentials::APP_USER);
        assert_eq!(config.backend.password.reveal(), "a");
        assert_eq!(config.topology.file, files.topology());
        assert_eq!(config.vschema.dir, files.vschema());
        assert_eq!(config.mysql.users, files.users());
    }

    #[test]
    fn users_and_vschema_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        files.write_once(&spec()).unwrap();
        fs::write(files.vschema().join("customer.json"), "{\"sharded\":true}").unwrap();
        files.write_once(&spec()).unwrap();
        assert_eq!(fs::read_to_string(files.vschema().join("customer.json")).unwrap(), "{\"sharded\":true}");
        assert!(fs::read_to_string(files.users()).unwrap().contains("\"user\""));
    }
}
