//! What the hot path costs before the plan cache: one pass of the lexer, with the fingerprint.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shardgate::sql::{InsertRows, LexOptions, Lexed, lex, parse};

const POINT_SELECT: &str = "SELECT c FROM sbtest1 WHERE id=4321";

const INSERT: &str = "INSERT INTO orders (id, customer_id, sku, price, quantity, note, created_at, updated_at, state, region) \
                      VALUES (17, 4321, 'SKU-1001', 19.90, 3, 'leave at the door', '2024-01-01 10:00:00', \
                      '2024-01-02 11:30:00', 'open', 'eu')";

fn long_query() -> String {
    let mut text = "SELECT o.id, o.sku, c.name, COUNT(*) AS orders, SUM(o.price * o.quantity) AS total FROM orders AS o \
                    JOIN customer AS c ON c.id = o.customer_id WHERE o.state IN ('open', 'paid', 'shipped')"
        .to_owned();
    for number in 0.. {
        if text.len() >= 900 {
            break;
        }
        text.push_str(&format!(" AND (o.region = 'eu-{number}' OR o.price > {number}.5)"));
    }
    text.push_str(" GROUP BY o.id, o.sku, c.name HAVING total > 100 ORDER BY total DESC LIMIT 20");
    text
}

fn benches(criterion: &mut Criterion) {
    let options = LexOptions { seed: 42, ..LexOptions::default() };
    let mut lexed = Lexed::new();
    let texts = [
        ("point_select", POINT_SELECT.to_owned()),
        ("insert_10_columns", INSERT.to_owned()),
        ("query_1kb", long_query()),
    ];
    let mut group = criterion.benchmark_group("lex");
    for (name, text) in &texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                lex(black_box(text.as_bytes()), 0, &options, &mut lexed).expect("the text is valid");
                black_box(lexed.fingerprint)
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("parse");
    for (name, text) in &texts {
        lex(text.as_bytes(), 0, &options, &mut lexed).expect("the text is valid");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| parse(black_box(text.as_bytes()), &lexed, &options).expect("the text is valid"));
        });
    }
    group.finish();

    let rows = format!("INSERT INTO t (a, b, c) VALUES {}", vec!["(1, 'abc', 2.5)"; 10_000].join(","));
    lex(rows.as_bytes(), 0, &options, &mut lexed).expect("the text is valid");
    let mut group = criterion.benchmark_group("insert_rows");
    group.throughput(Throughput::Bytes(rows.len() as u64));
    group.bench_function("10000_rows", |bencher| {
        let mut values = Vec::new();
        bencher.iter(|| {
            let mut found = InsertRows::new(black_box(rows.as_bytes()), &lexed, &options)
                .expect("the text is valid")
                .expect("it has rows");
            while found.next_row(&mut values).expect("the text is valid").is_some() {}
        });
    });
    group.finish();
}

criterion_group!(lexer, benches);
criterion_main!(lexer);
