//! After a script: the tables of lookup vindexes say of every row where it is, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use shardgate::topology::KeyspaceId;
use shardgate::value::{Value, ValueRef};
use shardgate::vschema::vindex::{Mapping, VindexDefinition, no_files};

use crate::client::Client;
use crate::environment::Environment;

/// The table whose lookup vindexes are checked.
pub const OWNER: &str = "members";
const COLUMNS: [&str; 7] = ["id", "email", "name", "city", "nick", "code", "age"];

type Row = Vec<Option<String>>;

/// A lookup vindex of the owner: its type, its columns by position, its table, and whether that is sharded.
struct Lookup {
    vindex_type: &'static str,
    columns: &'static [usize],
    table: &'static str,
    from: &'static [&'static str],
    is_sharded: bool,
}

const LOOKUPS: [Lookup; 5] = [
    Lookup {
        vindex_type: "consistent_lookup_unique",
        columns: &[1],
        table: "{ks}_email_idx",
        from: &["email"],
        is_sharded: false,
    },
    Lookup {
        vindex_type: "consistent_lookup",
        columns: &[2, 0],
        table: "name_idx",
        from: &["name", "id"],
        is_sharded: true,
    },
    Lookup {
        vindex_type: "lookup",
        columns: &[3],
        table: "{ks}_city_idx",
        from: &["city"],
        is_sharded: false,
    },
    Lookup {
        vindex_type: "lookup_unicodeloosemd5_hash",
        columns: &[4],
        table: "{ks}_nick_idx",
        from: &["nick"],
        is_sharded: false,
    },
    Lookup {
        vindex_type: "lookup_hash_unique",
        columns: &[5],
        table: "code_idx",
        from: &["code"],
        is_sharded: true,
    },
];

/// What is wrong with the lookup tables of a keyspace, and with the owner itself against the plain server.
pub fn problems(environment: &Environment, keyspace: &str) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    let mut shards = Vec::new();
    for options in environment.shards_of(keyspace) {
        shards.push(Client::login(&options)?);
    }
    let select = format!("select {} from {OWNER}", COLUMNS.join(", "));
    let mut owners: Vec<Row> = Vec::new();
    for shard in &mut shards {
        owners.extend(shard.rows(&select)?);
    }
    let mut plain = Client::login(&environment.plain_options().database(keyspace))?;
    let mut expected = plain.rows(&select)?;
    owners.sort();
    expected.sort();
    if owners != expected {
        problems.push(format!("{OWNER} differs at the end: plain {expected:?}, router {owners:?}"));
    }
    let mut unsharded = Client::login(&environment.unsharded())?;
    for lookup in &LOOKUPS {
        let table = lookup.table.replace("{ks}", keyspace);
        let query = format!("select {}, hex(keyspace_id) from {table}", lookup.from.join(", "));
        let mut rows = Vec::new();
        if lookup.is_sharded {
            for shard in &mut shards {
                rows.extend(shard.rows(&query)?);
            }
        } else {
            rows = unsharded.rows(&query)?;
        }
        let found: BTreeSet<Row> = rows.iter().map(folded).collect();
        let wanted: BTreeSet<Row> =
            owners.iter().filter_map(|owner| lookup.wanted(owner)).map(|row| folded(&row)).collect();
        if rows.len() != found.len() {
            problems.push(format!("{table} has rows twice: {rows:?}"));
        }
        if found != wanted {
            let missing: Vec<_> = wanted.difference(&found).collect();
            let orphans: Vec<_> = found.difference(&wanted).collect();
            problems.push(format!("{table}: missing {missing:?}, orphans {orphans:?}"));
        }
    }
    Ok(problems)
}

/// In one case: the tables find names by a collation that does not tell cases apart.
fn folded(row: &Row) -> Row {
    row.iter().map(|value| value.as_ref().map(|text| text.to_lowercase())).collect()
}

impl Lookup {
    /// The row that the table must have for an owner.
    fn wanted(&self, owner: &Row) -> Option<Row> {
        let params = [("table", "t"), ("from", "f"), ("to", "k")];
        let params: BTreeMap<_, _> = params.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let vindex =
            VindexDefinition::new("v", self.vindex_type, &params, "", &no_files).expect("it is known");
        let spec = vindex.lookup().expect("it is a lookup");
        let id = place_of(owner[0].as_deref().expect("the key is never NULL"));
        owner[self.columns[0]].as_ref()?;
        let text = |value: &Value| String::from_utf8_lossy(&value.as_ref().to_bytes()).into_owned();
        let mut row: Row = self
            .columns
            .iter()
            .map(|column| {
                let value = owner[*column].as_ref().map_or(Value::Null, Value::text);
                Some(text(&spec.stored_value(value).expect("it is UTF-8")))
            })
            .collect();
        row.push(Some(match spec.stored_place(&id).expect("it has eight bytes") {
            Value::UInt(number) => format!("{number:X}"),
            place => place.as_ref().to_bytes().iter().map(|byte| format!("{byte:02X}")).collect(),
        }));
        Some(row)
    }
}

fn place_of(id: &str) -> KeyspaceId {
    let hash = VindexDefinition::new("h", "hash", &BTreeMap::new(), "", &no_files).expect("it is known");
    let number: i64 = id.parse().expect("it is a number");
    match hash.map(&[ValueRef::Int(number)]) {
        Ok(Mapping::KeyspaceId(id)) => id,
        other => panic!("{id} has the place {other:?}"),
    }
}
