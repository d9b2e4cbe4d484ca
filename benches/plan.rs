//! Time to build a plan, which a plan-cache miss costs. Goal: at most 100 µs for a typical query.

use criterion::{Criterion, criterion_group, criterion_main};
use shardgate::plan::{self, PlanContext};
use shardgate::schema::Schemas;
use shardgate::sql::{LexOptions, Lexed, lex};
use shardgate::topology::{KeyspaceName, TabletType};
use shardgate::vschema::VSchema;
use shardgate::vschema::model::Model;
use shardgate::vschema::vindex::no_files;

const VSCHEMA: &str = include_str!("../tests/plan/vschema/main.json");

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

fn plans(criterion: &mut Criterion) {
    let model = Model::parse(VSCHEMA, &mut Vec::new()).expect("the golden tests' VSchema is valid");
    let vschema = VSchema::build(model, &no_files);
    let keyspace = KeyspaceName::from("customer");
    let options = LexOptions::default();
    let ctx = PlanContext {
        vschema: &vschema,
        schemas: &Schemas::default(),
        keyspace: Some(&keyspace),
        tablet_type: TabletType::Primary,
        databases: &[],
        options: &options,
    };
    let mut group = criterion.benchmark_group("plan");
    for (name, text) in QUERIES {
        let mut lexed = Lexed::new();
        lex(text.as_bytes(), 0, &options, &mut lexed).expect("the text is SQL");
        group.bench_function(name, |bencher| {
            bencher.iter(|| plan::build(&ctx, text.as_bytes(), &lexed).expect("the statement has a plan"));
        });
    }
}

criterion_group!(benches, plans);
criterion_main!(benches);
