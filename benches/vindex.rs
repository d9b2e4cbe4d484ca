//! What it costs to find a row's shard: the vindex, then the shard of the keyspace id.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use shardgate::topology::{Keyspace, KeyspaceId, Topology, TopologyFile};
use shardgate::value::ValueRef;
use shardgate::vschema::vindex::{Mapping, VindexDefinition, no_files};

fn vindex(vindex_type: &str) -> VindexDefinition {
    VindexDefinition::new("v", vindex_type, &BTreeMap::new(), "", &no_files).expect("the type is known")
}

/// A keyspace of `count` equal shards, a power of two up to 256.
fn topology(count: u16) -> Topology {
    let bound = |index: u16| {
        if index.is_multiple_of(count) { String::new() } else { format!("{:02x}", index * (256 / count)) }
    };
    let shards: Vec<_> = (0..count).map(|i| format!(r#""{}-{}": {{}}"#, bound(i), bound(i + 1))).collect();
    let text = format!(r#"{{"keyspaces": {{"ks": {{"shards": {{{}}}}}}}}}"#, shards.join(","));
    TopologyFile::parse(&text).and_then(|file| file.build()).expect("the shards cover everything")
}

fn keyspace(topology: &Topology) -> &Keyspace {
    topology.keyspace("ks").expect("it is the only one")
}

fn map_values(c: &mut Criterion) {
    let mut group = c.benchmark_group("map");
    for kind in ["hash", "xxhash", "numeric", "binary_md5"] {
        let vindex = vindex(kind);
        group.bench_function(format!("{kind} of an integer"), |b| {
            b.iter(|| vindex.map(&[ValueRef::Int(black_box(123_456_789))]));
        });
    }
    for kind in ["xxhash", "unicode_loose_xxhash", "unicode_loose_md5"] {
        let vindex = vindex(kind);
        for (name, text) in [("an e-mail address", "jane.doe@example.com"), ("Greek", "Πλάτων ο φιλόσοφος")]
        {
            group.bench_function(format!("{kind} of {name}"), |b| {
                b.iter(|| vindex.map(&[ValueRef::Text(black_box(text).as_bytes())]));
            });
        }
    }
    group.finish();
}

fn find_shards(c: &mut Criterion) {
    let mut group = c.benchmark_group("shard");
    let hash = vindex("hash");
    let Ok(Mapping::KeyspaceId(id)) = hash.map(&[ValueRef::Int(29_999)]) else {
        return;
    };
    for count in [2, 256] {
        let topology = topology(count);
        let keyspace = keyspace(&topology);
        group.bench_function(format!("one of {count}"), |b| {
            b.iter(|| keyspace.shard_for(black_box::<&KeyspaceId>(&id)));
        });
    }
    group.finish();
}

criterion_group!(benches, map_values, find_shards);
criterion_main!(benches);
