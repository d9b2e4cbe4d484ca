//! What a statement costs the planner. Goals for a typical query: at most 100 µs to build its plan, which a miss of the
//! plan cache costs, and at most 2 µs to get from its text to its shard when the cache has the plan.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use shardgate::engine::{self, Arguments, Shards};
use shardgate::error::{Error, Result};
use shardgate::executor::plan_cache::{PlanCache, PlanKey};
use shardgate::plan::primitive::Primitive;
use shardgate::plan::{self, PlanContext};
use shardgate::schema::Schemas;
use shardgate::sql::{Arg, LexOptions, Lexed, arg_value, lex};
use shardgate::topology::{KeyspaceName, Snapshot, TabletType, TopologyFile};
use shardgate::value::{Value, ValueRef};
use shardgate::vschema::VSchema;
use shardgate::vschema::model::Model;
use shardgate::vschema::vindex::no_files;

const VSCHEMA: &str = include_str!("../tests/plan/vschema/main.json");

const TOPOLOGY: &str = r#"{"keyspaces": {"customer": {"shards": {"-80": {}, "80-": {}}}}}"#;

const QUERIES: [(&str, &str); 5] = [
    ("point select", "select name, email from customer where customer_id = 5"),
    (
        "join",
        "select c.name, o.sku, o.price from customer c join corder o on o.customer_id = c.customer_id \
         where c.customer_id = 5 and o.price > 10 order by o.order_id desc limit 20",
    ),
    ("scatter order", "select name, email from customer where name like 'a%' order by name limit 10"),
    (
        "scatter group",
        "select sku, count(*), sum(price) s, avg(price) from corder where price > 5 group by sku order by s desc limit 10",
    ),
    ("insert", "insert into corder (customer_id, sku, price) values (1, 'a', 5), (2, 'b', 6)"),
];

/// What a plan is made for.
struct Fixture {
    vschema: VSchema,
    schemas: Schemas,
    keyspace: KeyspaceName,
    options: LexOptions,
}

impl Fixture {
    fn new() -> Self {
        let model = Model::parse(VSCHEMA, &mut Vec::new()).expect("the golden tests' VSchema is valid");
        Self {
            vschema: VSchema::build(model, &no_files),
            schemas: Schemas::default(),
            keyspace: KeyspaceName::from("customer"),
            options: LexOptions { seed: 42, ..LexOptions::default() },
        }
    }

    fn context(&self) -> PlanContext<'_> {
        PlanContext {
            vschema: &self.vschema,
            schemas: &self.schemas,
            keyspace: Some(&self.keyspace),
            tablet_type: TabletType::Primary,
            databases: &[],
            options: &self.options,
        }
    }
}

/// The literals of a statement's text.
struct Literals<'a> {
    text: &'a [u8],
    lexed: &'a Lexed,
    options: &'a LexOptions,
}

impl Literals<'_> {
    fn decode(&self, arg: &Arg) -> Result<Value> {
        let value = arg_value(self.text, arg, self.options, &mut Vec::new()).map(ValueRef::to_owned);
        value.map_err(|error| Error::bug(format!("{error:?}")))
    }
}

impl Arguments for Literals<'_> {
    fn value(&self, index: u32) -> Result<Value> {
        self.decode(&self.lexed.args[index as usize])
    }

    fn write(&self, _: u32, _: &mut Vec<u8>) -> Result<()> {
        Err(Error::bug("nothing is rendered here"))
    }

    fn list_count(&self, _: u32) -> Result<u32> {
        Err(Error::bug("no list is routed here"))
    }

    fn list_value(&self, _: u32, _: u32) -> Result<Value> {
        Err(Error::bug("no list is routed here"))
    }

    fn write_list_item(&self, _: u32, _: u32, _: &mut Vec<u8>) -> Result<()> {
        Err(Error::bug("nothing is rendered here"))
    }
}

fn misses(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let mut group = criterion.benchmark_group("plan");
    for (name, text) in QUERIES {
        let mut lexed = Lexed::new();
        lex(text.as_bytes(), 0, &fixture.options, &mut lexed).expect("the text is SQL");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                plan::build(&fixture.context(), text.as_bytes(), &lexed).expect("the statement has a plan")
            });
        });
    }
}

/// From the text to the shard: lexer and fingerprint, look-up of the plan, argument, vindex, shard.
fn hits(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let topology = TopologyFile::parse(TOPOLOGY).and_then(|file| file.build()).expect("it is complete");
    let keyspace = topology.keyspace("customer").expect("it is the only one");
    let snapshot = Snapshot::new(1, Arc::default(), Arc::default());
    let plans = PlanCache::new();
    let key = |lexed: &Lexed| PlanKey { fingerprint: lexed.fingerprint, target: 7, mode: 0, version: 1 };
    let mut lexed = Lexed::new();
    let mut group = criterion.benchmark_group("hit");
    for (name, text) in &QUERIES[..2] {
        let text = text.as_bytes();
        lex(text, 0, &fixture.options, &mut lexed).expect("the text is SQL");
        let plan = plan::build(&fixture.context(), text, &lexed).expect("the statement has a plan");
        plans.insert(key(&lexed), Arc::new(plan), &snapshot);
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let text = black_box(text);
                lex(text, 0, &fixture.options, &mut lexed).expect("the text is SQL");
                let plan = plans.get(&key(&lexed), &snapshot).expect("it was inserted");
                let Primitive::Route(route) = &plan.root else { panic!("a point select is routed") };
                let literals = Literals { text, lexed: &lexed, options: &fixture.options };
                match engine::resolve(&route.routing, keyspace, &literals).expect("there is a shard") {
                    Shards::These(parts) => assert_eq!(parts.len(), 1),
                    Shards::Any => panic!("a point select has a place"),
                }
            });
        });
    }
}

criterion_group!(benches, misses, hits);
criterion_main!(benches);
