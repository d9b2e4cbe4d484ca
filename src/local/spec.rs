//! What a local cluster consists of: plain data, written by the demo, by tests and by benchmarks.

use crate::topology::TabletType;

/// A whole cluster.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// The one cell that all tablets are in.
    pub cell: String,
    /// Its keyspaces.
    pub keyspaces: Vec<KeyspaceSpec>,
    /// How every server is run.
    pub server: ServerSpec,
    /// First TCP port to try for the servers; `None` takes free ports anywhere outside the range that the
    /// kernel uses for outgoing connections. A restarted cluster keeps its ports where they are still free.
    pub first_port: Option<u16>,
    /// Text of `users.json`: the router's users in Vitess's static-auth form.
    pub users_json: String,
    /// Text of `vschema/routing_rules.json`.
    pub routing_rules_json: Option<String>,
}

/// One keyspace.
#[derive(Clone, Debug)]
pub struct KeyspaceSpec {
    /// Its name.
    pub name: String,
    /// The database's name on every server; usually `vt_<keyspace>`.
    pub db_name: String,
    /// Statements run on every shard's primary inside that database when the cluster is made.
    pub schema_sql: String,
    /// Text of `vschema/<keyspace>.json`.
    pub vschema_json: String,
    /// Its shards.
    pub shards: Vec<ShardSpec>,
}

/// One shard.
#[derive(Clone, Debug)]
pub struct ShardSpec {
    /// Its name: a key range such as `-80`, or `-`.
    pub name: String,
    /// Whether it serves; an overlapping shard that does not may stand beside those that do.
    pub is_serving: bool,
    /// Statements run on the primary after the keyspace's own.
    pub sql: String,
    /// Its servers: at most one primary. Everything else replicates from it.
    pub tablets: Vec<TabletSpec>,
}

/// One server of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TabletSpec {
    /// Number within the cell; the alias is `<cell>-<uid with ten digits>`. It is the server id too.
    pub uid: u32,
    /// What it is when the cluster is made. Later starts follow `topology.json`.
    pub tablet_type: TabletType,
}

/// How servers are run.
#[derive(Clone, Debug, Default)]
pub struct ServerSpec {
    /// What a crash may lose.
    pub durability: Durability,
    /// Whether `performance_schema` is on: it costs memory and time at start.
    pub performance_schema: bool,
    /// More command-line options for every server.
    pub options: Vec<String>,
}

/// What a crash of a server, or of the machine, may lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: as a server that holds somebody's data.
    #[default]
    Durable,
    /// A crash of the machine may lose the last seconds, a crash of a server nothing: for data that is thrown
    /// away after the run.
    Relaxed,
}

impl KeyspaceSpec {
    /// An unsharded keyspace with database `vt_<name>` and one tablet per given uid, the first the primary.
    pub fn unsharded(name: &str, uids: &[u32]) -> Self {
        Self::sharded(name, &[("-", uids)])
    }

    /// A keyspace with the given shards, each with one tablet per uid, the first the primary.
    pub fn sharded(name: &str, shards: &[(&str, &[u32])]) -> Self {
        Self {
            name: name.to_owned(),
            db_name: format!("vt_{name}"),
            schema_sql: String::new(),
            vschema_json: "{}".to_owned(),
            shards: shards.iter().map(|(shard, uids)| ShardSpec::new(shard, uids)).collect(),
        }
    }

    /// The same with statements for every shard and a VSchema.
    #[must_use]
    pub fn with_schema(mut self, schema_sql: &str, vschema_json: &str) -> Self {
        schema_sql.clone_into(&mut self.schema_sql);
        vschema_json.clone_into(&mut self.vschema_json);
        self
    }

    /// The same with statements for one shard.
    #[must_use]
    pub fn with_shard_sql(mut self, shard: &str, sql: &str) -> Self {
        for spec in self.shards.iter_mut().filter(|spec| spec.name == shard) {
            sql.clone_into(&mut spec.sql);
        }
        self
    }
}

impl ShardSpec {
    fn new(name: &str, uids: &[u32]) -> Self {
        let tablet_type = |index| if index == 0 { TabletType::Primary } else { TabletType::Replica };
        Self {
            name: name.to_owned(),
            is_serving: true,
            sql: String::new(),
            tablets: uids
                .iter()
                .enumerate()
                .map(|(index, &uid)| TabletSpec { uid, tablet_type: tablet_type(index) })
                .collect(),
        }
    }
}

impl ClusterSpec {
    /// A cluster in cell `zone1` whose user `user` needs no password.
    pub fn new(keyspaces: Vec<KeyspaceSpec>) -> Self {
        Self {
            cell: "zone1".to_owned(),
            keyspaces,
            server: ServerSpec::default(),
            first_port: None,
            users_json: include_str!("../../vschema/users.json").to_owned(),
            routing_rules_json: None,
        }
    }

    /// The same for data that is thrown away after the run: a crash may lose transactions.
    #[must_use]
    pub fn relaxed(mut self) -> Self {
        self.server.durability = Durability::Relaxed;
        self
    }

    /// The alias of a tablet: `zone1-0120139806`.
    pub fn alias(&self, tablet: &TabletSpec) -> String {
        format!("{}-{:010}", self.cell, tablet.uid)
    }

    /// Every tablet with its keyspace and shard, in order.
    pub fn tablets(&self) -> impl Iterator<Item = (&KeyspaceSpec, &ShardSpec, &TabletSpec)> {
        self.keyspaces.iter().flat_map(|keyspace| {
            keyspace
                .shards
                .iter()
                .flat_map(move |shard| shard.tablets.iter().map(move |tablet| (keyspace, shard, tablet)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tablet_of_a_shard_is_its_primary_and_aliases_have_ten_digits() {
        let spec = ClusterSpec::new(vec![
            KeyspaceSpec::unsharded("commerce", &[2_469_782_763]),
            KeyspaceSpec::sharded("customer", &[("-80", &[120_139_806, 7]), ("80-", &[8])]),
        ]);
        let found: Vec<_> = spec
            .tablets()
            .map(|(k, s, t)| format!("{} {} {} {}", k.db_name, s.name, spec.alias(t), t.tablet_type.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                "vt_commerce - zone1-2469782763 primary",
                "vt_customer -80 zone1-0120139806 primary",
                "vt_customer -80 zone1-0000000007 replica",
                "vt_customer 80- zone1-0000000008 primary",
            ]
        );
    }
}
