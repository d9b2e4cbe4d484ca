//! Tests of the scanner: replies as servers build them, cut in every way, and hostile ones.

use proptest::prelude::*;

use super::*;
use crate::wire::frame::write_packet_with;
use crate::wire::response::ColumnDefinition;
use crate::wire::row::put_text_field;
use crate::wire::writer::put_lenenc_int;

const STATUS: StatusFlags = StatusFlags::AUTOCOMMIT;

/// Builds a reply as a server would.
struct Reply {
    bytes: Vec<u8>,
    sequence: u8,
    deprecate_eof: bool,
}

impl Reply {
    fn new(deprecate_eof: bool) -> Self {
        Self { bytes: vec![], sequence: 1, deprecate_eof }
    }

    fn packet(mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Self {
        write_packet_with(&mut self.bytes, &mut self.sequence, encode);
        self
    }

    fn payload(self, payload: &[u8]) -> Self {
        self.packet(|out| out.extend_from_slice(payload))
    }

    fn ok(self, status: StatusFlags) -> Self {
        let ok = OkPacket { affected_rows: 3, last_insert_id: 300, status, warnings: 1, info: b"info" };
        self.packet(|out| ok.encode(out))
    }

    fn err(self) -> Self {
        self.packet(|out| ErrPacket { errno: 1317, sqlstate: *b"70100", message: b"interrupted" }.encode(out))
    }

    fn columns(self, count: usize) -> Self {
        (0..count).fold(self, |reply, i| {
            reply.packet(|out| ColumnDefinition::text(format!("c{i}"), 10).encode(out))
        })
    }

    fn head(self, columns: usize) -> Self {
        let reply = self.packet(|out| put_lenenc_int(out, columns as u64)).columns(columns);
        if reply.deprecate_eof { reply } else { reply.eof(STATUS) }
    }

    fn eof(self, status: StatusFlags) -> Self {
        self.packet(|out| EofPacket { warnings: 2, status }.encode(out))
    }

    fn row(self, fields: &[Option<&[u8]>]) -> Self {
        self.packet(|out| fields.iter().for_each(|field| put_text_field(out, *field)))
    }

    fn end(self, status: StatusFlags) -> Self {
        if !self.deprecate_eof {
            return self.eof(status);
        }
        let ok = OkPacket { warnings: 2, status, ..OkPacket::default() };
        self.packet(|out| ok.encode_as_terminator(out))
    }
}

/// Scans `bytes` in the given pieces, as a connection would: what is not forwardable is kept and more is added.
fn scan_in_pieces(
    mut scanner: ReplyScanner,
    bytes: &[u8],
    patch: StatusPatch,
    mut piece_bytes: impl FnMut() -> usize,
) -> Result<(Vec<u8>, bool, ReplyScanner), Malformed> {
    let mut forwarded = vec![];
    let mut buffer = vec![];
    let mut left = bytes;
    loop {
        let (piece, rest) = left.split_at(piece_bytes().clamp(1, left.len().max(1)).min(left.len()));
        buffer.extend_from_slice(piece);
        left = rest;
        let scan = scanner.scan(&mut buffer, patch)?;
        forwarded.extend(buffer.drain(..scan.forwardable));
        if scan.done || left.is_empty() {
            forwarded.extend_from_slice(left);
            return Ok((forwarded, scan.done, scanner));
        }
    }
}

/// Checks that a reply scans alike whole and in pieces of every small size, and returns its summary.
fn check(kind: ReplyKind, binary_rows: bool, reply: &Reply) -> ReplySummary {
    let new = || ReplyScanner::new(kind, reply.deprecate_eof, binary_rows);
    let whole = scan_in_pieces(new(), &reply.bytes, StatusPatch::NONE, || usize::MAX).unwrap();
    assert_eq!(whole.0, reply.bytes, "forwarded unchanged");
    assert!(whole.1, "done");
    assert_eq!(whole.2.next_sequence(), reply.sequence);
    for size in 1..20 {
        let pieces = scan_in_pieces(new(), &reply.bytes, StatusPatch::NONE, || size).unwrap();
        assert_eq!(pieces.0, reply.bytes);
        assert!(pieces.1);
        assert_eq!(pieces.2.summary(), whole.2.summary());
    }
    let mut truncated = new();
    let mut bytes = reply.bytes[..reply.bytes.len() - 1].to_vec();
    assert!(!truncated.scan(&mut bytes, StatusPatch::NONE).unwrap().done);
    whole.2.into_summary()
}

#[test]
fn ok_and_err() {
    let summary = check(ReplyKind::Query, false, &Reply::new(true).ok(STATUS));
    assert_eq!((summary.affected_rows, summary.last_insert_id, summary.warnings), (3, 300, 1));
    assert_eq!(summary.status, STATUS);
    assert_eq!(summary.info.as_slice(), b"info");
    assert!(!summary.has_result_set);

    for kind in [ReplyKind::Query, ReplyKind::Prepare, ReplyKind::FieldList, ReplyKind::Simple] {
        let summary = check(kind, false, &Reply::new(false).err());
        let error = summary.error.unwrap();
        assert_eq!((error.errno(), error.sqlstate()), (1317, *b"70100"));
    }
}

#[test]
fn result_sets() {
    for deprecate_eof in [false, true] {
        for row_count in [0, 1, 300] {
            let reply = Reply::new(deprecate_eof).head(2);
            let reply = (0..row_count).fold(reply, |reply, _| reply.row(&[Some(b"a"), None]));
            let summary = check(ReplyKind::Query, false, &reply.end(STATUS));
            assert_eq!((summary.column_count, summary.row_count), (2, row_count));
            assert_eq!((summary.warnings, summary.status), (2, STATUS));
            assert!(summary.has_result_set);
            assert!(summary.error.is_none());
        }
    }
}

#[test]
fn binary_rows_begin_with_zero() {
    for deprecate_eof in [false, true] {
        let good = Reply::new(deprecate_eof).head(1).payload(b"\0\0\x05\0\0\0").end(STATUS);
        assert_eq!(check(ReplyKind::Query, true, &good).row_count, 1);
        let mut bad = Reply::new(deprecate_eof).head(1).row(&[Some(b"text")]).end(STATUS);
        let mut scanner = ReplyScanner::new(ReplyKind::Query, deprecate_eof, true);
        assert!(scanner.scan(&mut bad.bytes, StatusPatch::NONE).is_err());
    }
}

#[test]
fn an_error_ends_rows_and_definitions() {
    let reply = Reply::new(true).head(1).row(&[Some(b"a")]).err();
    let summary = check(ReplyKind::Query, false, &reply);
    assert_eq!(summary.row_count, 1);
    assert!(summary.error.is_some());
    let reply = Reply::new(false).payload(b"\x02").columns(1).err();
    assert!(check(ReplyKind::Query, false, &reply).error.is_some());
}

#[test]
fn several_results() {
    let more = STATUS | StatusFlags::MORE_RESULTS;
    for deprecate_eof in [false, true] {
        let reply = Reply::new(deprecate_eof)
            .head(1)
            .row(&[Some(b"a")])
            .end(more)
            .ok(more)
            .head(3)
            .row(&[Some(b"b"), None, None])
            .end(more)
            .ok(STATUS);
        let summary = check(ReplyKind::Query, false, &reply);
        assert_eq!((summary.column_count, summary.row_count, summary.affected_rows), (3, 2, 3));
        let reply = Reply::new(deprecate_eof).ok(more).err();
        assert!(check(ReplyKind::Query, false, &reply).error.is_some());
    }
}

#[test]
fn long_fields_do_not_look_like_terminators() {
    // Text rows whose first field has 16 MiB and more begin with 0xFE, in a packet of full length.
    let field = vec![b'x'; 0x100_0000];
    for deprecate_eof in [false, true] {
        let reply = Reply::new(deprecate_eof).head(1).row(&[Some(&field)]).row(&[Some(b"a")]).end(STATUS);
        for size in [1 << 14, 0xFF_FFFF, usize::MAX] {
            let scanner = ReplyScanner::new(ReplyKind::Query, deprecate_eof, false);
            let (forwarded, done, scanner) =
                scan_in_pieces(scanner, &reply.bytes, StatusPatch::NONE, || size).unwrap();
            assert!(forwarded == reply.bytes);
            assert!(done);
            assert_eq!(scanner.summary().row_count, 2);
        }
    }
}

#[test]
fn a_row_of_exactly_one_full_packet_is_continued_by_an_empty_one() {
    // The text of 0xFFFFFF - 4 bytes with its length of 4 bytes.
    let field = vec![b'x'; PACKET_PAYLOAD_BYTES_MAX - 4];
    let reply = Reply::new(true).head(1).row(&[Some(&field)]).end(STATUS);
    let scanner = ReplyScanner::new(ReplyKind::Query, true, false);
    let (forwarded, done, scanner) =
        scan_in_pieces(scanner, &reply.bytes, StatusPatch::NONE, || 100_000).unwrap();
    assert!(forwarded == reply.bytes && done);
    assert_eq!(scanner.summary().row_count, 1);
}

#[test]
fn rows_are_forwarded_before_they_are_complete() {
    let reply = Reply::new(true).head(1).row(&[Some(&[b'x'; 1000])]).end(STATUS);
    let mut scanner = ReplyScanner::new(ReplyKind::Query, true, false);
    let mut part = reply.bytes[..200].to_vec();
    assert_eq!(scanner.scan(&mut part, StatusPatch::NONE), Ok(Scan { forwardable: 200, done: false }));
}

#[test]
fn prepare() {
    for deprecate_eof in [false, true] {
        for (parameters, columns) in [(0, 0), (2, 0), (0, 3), (2, 3)] {
            let ok = PrepareOk {
                statement_id: 7,
                column_count: columns,
                parameter_count: parameters,
                warnings: 0,
            };
            let mut reply = Reply::new(deprecate_eof).packet(|out| ok.encode(out));
            for count in [parameters, columns] {
                reply = reply.columns(count.into());
                if count > 0 && !deprecate_eof {
                    reply = reply.eof(STATUS);
                }
            }
            assert_eq!(check(ReplyKind::Prepare, false, &reply).prepared, Some(ok));

            let mut scanner =
                ReplyScanner::new(ReplyKind::Prepare, deprecate_eof, false).with_statement_id(99);
            assert!(scanner.scan(&mut reply.bytes, StatusPatch::NONE).unwrap().done);
            assert_eq!(reply.bytes[5..9], [99, 0, 0, 0]);
            assert_eq!(scanner.summary().prepared.unwrap().statement_id, 7);
        }
    }
}

#[test]
fn other_kinds() {
    for deprecate_eof in [false, true] {
        let reply = Reply::new(deprecate_eof).columns(3).end(STATUS);
        assert_eq!(check(ReplyKind::FieldList, false, &reply).column_count, 3);
        let reply = Reply::new(deprecate_eof).row(&[Some(b"a")]).end(STATUS);
        assert_eq!(check(ReplyKind::Fetch, false, &reply).row_count, 1);
        check(ReplyKind::Statistics, false, &Reply::new(deprecate_eof).payload(b"Uptime: 1  Threads: 1"));
        check(ReplyKind::Simple, false, &Reply::new(deprecate_eof).ok(STATUS));
        // COM_SET_OPTION is answered with EOF.
        check(ReplyKind::Simple, false, &Reply::new(deprecate_eof).end(STATUS));
    }
}

#[test]
fn statuses_are_patched_in_every_terminator() {
    let patch = StatusPatch { clear: StatusFlags::AUTOCOMMIT, set: StatusFlags::IN_TRANSACTION };
    for deprecate_eof in [false, true] {
        let build = |status, last| {
            let more = StatusFlags::MORE_RESULTS;
            let mut reply = Reply::new(deprecate_eof).packet(|out| put_lenenc_int(out, 1)).columns(1);
            if !deprecate_eof {
                reply = reply.eof(status);
            }
            reply.row(&[None]).end(status | more).ok(last)
        };
        let (autocommit, in_transaction) = (StatusFlags::AUTOCOMMIT, StatusFlags::IN_TRANSACTION);
        let before = build(autocommit, autocommit | StatusFlags::NO_INDEX_USED);
        let after = build(in_transaction, in_transaction | StatusFlags::NO_INDEX_USED);
        for size in [1, 3, usize::MAX] {
            let scanner = ReplyScanner::new(ReplyKind::Query, deprecate_eof, false);
            let (forwarded, _, scanner) = scan_in_pieces(scanner, &before.bytes, patch, || size).unwrap();
            assert_eq!(forwarded, after.bytes);
            assert_eq!(scanner.summary().status, autocommit | StatusFlags::NO_INDEX_USED, "the server's own");
        }
    }
}

#[test]
fn patched_more_results_do_not_fool_the_scanner() {
    let patch = StatusPatch { clear: StatusFlags::empty(), set: StatusFlags::MORE_RESULTS };
    let mut reply = Reply::new(true).ok(STATUS);
    let mut scanner = ReplyScanner::new(ReplyKind::Query, true, false);
    assert!(scanner.scan(&mut reply.bytes, patch).unwrap().done);
    let ok = OkPacket::decode(&reply.bytes[4..]).unwrap();
    assert!(ok.status.contains(StatusFlags::MORE_RESULTS));
}

#[test]
fn replies_are_renumbered() {
    let reply = Reply::new(false).head(1).row(&[None]).row(&[None]).end(STATUS);
    let mut expected = Reply::new(false);
    expected.sequence = 254;
    let expected = expected.head(1).row(&[None]).row(&[None]).end(STATUS);
    for size in [1, 7, usize::MAX] {
        let scanner = ReplyScanner::new(ReplyKind::Query, false, false).with_sequence(254);
        let (forwarded, done, scanner) =
            scan_in_pieces(scanner, &reply.bytes, StatusPatch::NONE, || size).unwrap();
        assert!(done);
        assert_eq!(forwarded, expected.bytes);
        assert_eq!(scanner.next_sequence(), expected.sequence);
    }
}

#[test]
fn bytes_behind_the_reply_are_left() {
    let mut bytes = Reply::new(true).ok(STATUS).bytes;
    let end = bytes.len();
    bytes.extend(Reply::new(true).ok(STATUS).bytes);
    let mut scanner = ReplyScanner::new(ReplyKind::Query, true, false);
    assert_eq!(scanner.scan(&mut bytes, StatusPatch::NONE), Ok(Scan { forwardable: end, done: true }));
}

#[test]
fn local_infile() {
    let mut request = Reply::new(true).payload(b"\xFB/etc/passwd");
    let mut scanner = ReplyScanner::new(ReplyKind::Query, true, false);
    assert!(scanner.scan(&mut request.bytes, StatusPatch::NONE).unwrap().done);
    assert_eq!(scanner.summary().local_infile.as_deref(), Some(&b"/etc/passwd"[..]));
    scanner.resume_after_local_infile(4);
    let mut answer = Reply::new(true);
    answer.sequence = 4;
    let mut answer = answer.ok(STATUS);
    assert!(scanner.scan(&mut answer.bytes, StatusPatch::NONE).unwrap().done);
    assert_eq!(scanner.summary().affected_rows, 3);
}

#[test]
fn hostile_replies_are_refused() {
    let refuse = |what: &str, kind, mut reply: Reply| {
        let mut scanner = ReplyScanner::new(kind, reply.deprecate_eof, false);
        assert!(scanner.scan(&mut reply.bytes, StatusPatch::NONE).is_err(), "{what}");
    };
    let new = || Reply::new(true);
    refuse("empty first packet", ReplyKind::Query, new().payload(b""));
    refuse("no columns", ReplyKind::Query, new().payload(b"\xFC\0\0"));
    refuse("too many columns", ReplyKind::Query, new().payload(b"\xFD\x00\x00\x01"));
    refuse("bytes behind the column count", ReplyKind::Query, new().payload(b"\x01\x01"));
    refuse("truncated OK", ReplyKind::Query, new().payload(b"\x00\x00"));
    refuse("truncated ERR", ReplyKind::Query, new().payload(b"\xFF"));
    refuse("empty row", ReplyKind::Query, new().head(1).payload(b""));
    refuse("column count as OK", ReplyKind::Simple, new().payload(b"\x01"));
    refuse("short prepare", ReplyKind::Prepare, new().payload(b"\0\0\0"));
    refuse("huge ERR", ReplyKind::Query, new().payload(&[0xFF; REPLY_HELD_BYTES_MAX + 1]));
    refuse("truncated terminator", ReplyKind::Query, new().head(1).payload(b"\xFE\0\0"));
    let mut gap = new().head(1);
    gap.sequence += 1;
    refuse("gap in sequence numbers", ReplyKind::Query, gap.row(&[None]));
    let mut early = new();
    early.sequence = 0;
    refuse("wrong first sequence number", ReplyKind::Query, early.ok(STATUS));
}

#[test]
fn a_huge_err_is_refused_by_its_header() {
    let mut scanner = ReplyScanner::new(ReplyKind::Query, true, false);
    let mut bytes = vec![0xFF, 0xFF, 0x7F, 1, 0xFF];
    assert!(scanner.scan(&mut bytes, StatusPatch::NONE).is_err());
}

proptest! {
    #[test]
    fn any_split_scans_alike(
        deprecate_eof: bool,
        rows in proptest::collection::vec((any::<bool>(), 0usize..400), 0..30),
        sizes in proptest::collection::vec(1usize..200, 1..20),
        more: bool,
    ) {
        let status = if more { STATUS | StatusFlags::MORE_RESULTS } else { STATUS };
        let mut reply = Reply::new(deprecate_eof).head(2);
        for (null, bytes) in &rows {
            let field = vec![b'f'; *bytes];
            reply = reply.row(&[if *null { None } else { Some(&field) }, Some(b"")]);
        }
        reply = reply.end(status);
        if more {
            reply = reply.ok(STATUS);
        }
        let mut cycle = sizes.iter().copied().cycle();
        let scanner = ReplyScanner::new(ReplyKind::Query, deprecate_eof, false);
        let (forwarded, done, scanner) =
            scan_in_pieces(scanner, &reply.bytes, StatusPatch::NONE, || cycle.next().unwrap_or(1)).unwrap();
        prop_assert_eq!(forwarded, reply.bytes);
        prop_assert!(done);
        prop_assert_eq!(scanner.summary().row_count, rows.len() as u64);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        kind in 0usize..6, deprecate_eof: bool, binary_rows: bool,
    ) {
        crate::wire::fuzzing::scan_reply(kind, deprecate_eof, binary_rows, &bytes);
    }
}
