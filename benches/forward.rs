//! Cost of looking through a server's reply while forwarding it, per reply of 100 and of 10,000 rows.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shardgate::wire::frame::write_packet_with;
use shardgate::wire::row::put_text_field;
use shardgate::wire::writer::put_lenenc_int;
use shardgate::wire::{ColumnDefinition, OkPacket, ReplyKind, ReplyScanner, StatusFlags, StatusPatch};

/// Bytes that arrive at once: a transport buffer.
const READ_BYTES: usize = 16 << 10;

fn reply(row_count: usize) -> Vec<u8> {
    let columns: Vec<_> = ["id", "name", "note"].map(|name| ColumnDefinition::text(name, 100)).into();
    let mut out = vec![];
    let mut sequence = 1;
    write_packet_with(&mut out, &mut sequence, |out| put_lenenc_int(out, columns.len() as u64));
    for column in &columns {
        write_packet_with(&mut out, &mut sequence, |out| column.encode(out));
    }
    for row in 0..row_count {
        write_packet_with(&mut out, &mut sequence, |out| {
            put_text_field(out, Some(row.to_string().as_bytes()));
            put_text_field(out, Some(b"a name of some length"));
            put_text_field(out, Some(&[b'n'; 70]));
        });
    }
    let end = OkPacket { status: StatusFlags::AUTOCOMMIT, ..OkPacket::default() };
    write_packet_with(&mut out, &mut sequence, |out| end.encode_as_terminator(out));
    out
}

/// Scans as a connection would: what arrived, in pieces of a buffer; a held rest stays for the next piece.
fn scan(bytes: &mut [u8]) -> u64 {
    let patch = StatusPatch { clear: StatusFlags::IN_TRANSACTION, set: StatusFlags::empty() };
    let mut scanner = ReplyScanner::new(ReplyKind::Query, true, false);
    let (mut start, mut end) = (0, 0);
    loop {
        end = (end + READ_BYTES).min(bytes.len());
        let scan = scanner.scan(&mut bytes[start..end], patch).expect("a sound reply");
        start += scan.forwardable;
        if scan.done {
            return scanner.summary().row_count;
        }
    }
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan_reply");
    for row_count in [100, 10_000] {
        let bytes = reply(row_count);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{row_count}_rows"), |bencher| {
            bencher.iter_batched_ref(
                || bytes.clone(),
                |bytes| assert_eq!(scan(black_box(bytes)), row_count as u64),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
