//! Replies about tables and servers, with the names of databases changed to those of keyspaces on their way: SHOW,
//! EXPLAIN, DESCRIBE, queries of system tables, COM_FIELD_LIST.
//!
//! Packets keep their number and order, so everything else of a forwarded reply stays as it is. What is too long to be
//! held, or cannot be read, passes unchanged.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html>

use std::io;

use super::job::Job;
use super::keyspace_names::KeyspaceNames;
use crate::backend::ReplySink;
use crate::error::Error;
use crate::limits::RENAMED_PACKET_BYTES_MAX;
use crate::server::ClientStream;
use crate::sql::StatementKind;
use crate::wire::frame::{HEADER_BYTES, Header, write_packet};
use crate::wire::reader::{Malformed, Reader};
use crate::wire::response::{EOF_HEADER, ERR_HEADER, LOCAL_INFILE_HEADER, OK_HEADER};
use crate::wire::row::{put_text_field, read_binary_value, text_fields};
use crate::wire::writer::put_lenenc_bytes;
use crate::wire::{ColumnDefinition, ColumnType};

/// What a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Definitions alone: COM_FIELD_LIST, COM_STMT_PREPARE.
    Columns,
    /// The same of a query of system tables.
    ColumnsOfSystemTables,
    /// `CHECK TABLE` and its like.
    Maintenance,
    /// SHOW, EXPLAIN and DESCRIBE: columns have the names that servers give them.
    Server,
    /// A query of system tables: expressions may have made anything of names.
    SystemTables,
}

impl About {
    fn has_rows(self) -> bool {
        !matches!(self, Self::Columns | Self::ColumnsOfSystemTables)
    }
}

/// Rewrites one reply. Bytes go in as they come.
#[derive(Debug)]
pub(super) struct Renaming {
    names: KeyspaceNames,
    about: About,
    is_binary: bool,
    phase: Phase,
    columns: Vec<Column>,
    /// The beginning of a packet.
    held: Vec<u8>,
    /// Bytes of a packet that passes unchanged.
    passing_bytes: usize,
    /// The next packet continues the one before.
    is_continued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Definitions(u64),
    Rows,
    /// Nothing more to change.
    Rest,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    column_type: ColumnType,
    rule: Rule,
}

/// What may be a database's name in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Nothing.
    Keep,
    /// All of it.
    Name,
    /// Qualifiers in SQL text.
    Sql,
    /// A message.
    Message,
    /// What `CREATE DATABASE` names.
    CreateDatabase,
    /// Any of these, or the part before a dot.
    Expression,
}

/// What is to be done to the reply to a job's statement from a server of a keyspace; rows of most statements are data,
/// and a session that has chosen a shard is told what the shard says.
pub(super) fn of(job: &Job<'_>, keyspace: &str) -> Option<Renaming> {
    let about = match job.lexed.kind {
        StatementKind::Describe | StatementKind::Explain | StatementKind::Show => About::Server,
        StatementKind::TableMaintenance => About::Maintenance,
        _ if job.session.asks_system_tables => About::SystemTables,
        _ => return None,
    };
    let names = KeyspaceNames::for_session(job.session, &job.snapshot, Some(keyspace))?;
    Some(Renaming::new(names, about, job.execution.is_some()))
}

/// The same for what a client is told that prepares a statement.
pub(super) fn of_columns(job: &Job<'_>) -> Option<Renaming> {
    const SYSTEM_TABLES: &[u8] = b"information_schema";
    let mut windows = job.text.windows(SYSTEM_TABLES.len());
    let about = match job.lexed.kind {
        StatementKind::Show => About::Columns,
        kind if kind.is_query() && windows.any(|word| word.eq_ignore_ascii_case(SYSTEM_TABLES)) => {
            About::ColumnsOfSystemTables
        }
        _ => return None,
    };
    let names = KeyspaceNames::for_session(job.session, &job.snapshot, None)?;
    Some(Renaming::new(names, about, false))
}

impl Renaming {
    /// Of one reply; `is_binary` for the rows of COM_STMT_EXECUTE.
    pub(super) fn new(names: KeyspaceNames, about: About, is_binary: bool) -> Self {
        let phase = if about.has_rows() { Phase::Head } else { Phase::Definitions(u64::MAX) };
        Self {
            names,
            about,
            is_binary,
            phase,
            columns: vec![],
            held: vec![],
            passing_bytes: 0,
            is_continued: false,
        }
    }

    /// Appends to `out` what becomes of the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        loop {
            let passing = self.passing_bytes.min(bytes.len());
            out.extend_from_slice(&bytes[..passing]);
            self.passing_bytes -= passing;
            bytes = &bytes[passing..];
            if bytes.is_empty() {
                return;
            }
            let missing = match Header::first(&self.held) {
                Some(header) => HEADER_BYTES + header.payload_bytes - self.held.len(),
                None => HEADER_BYTES - self.held.len(),
            };
            let taken = missing.min(bytes.len());
            self.held.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            let Some(header) = Header::first(&self.held) else { return };
            if header.payload_bytes > RENAMED_PACKET_BYTES_MAX || self.is_continued {
                self.passing_bytes = HEADER_BYTES + header.payload_bytes - self.held.len();
                out.append(&mut self.held);
                if !std::mem::replace(&mut self.is_continued, header.is_continued()) {
                    self.skip_packet();
                }
            } else if self.held.len() == HEADER_BYTES + header.payload_bytes {
                let held = std::mem::take(&mut self.held);
                match self.packet(&held[HEADER_BYTES..]) {
                    Some(payload) if payload.len() <= 2 * RENAMED_PACKET_BYTES_MAX => {
                        write_packet(out, &mut header.sequence.clone(), &payload);
                    }
                    _ => out.extend_from_slice(&held),
                }
                self.held = held;
                self.held.clear();
            }
        }
    }

    /// Definitions for a result that the router sends itself.
    pub(super) fn definitions(&mut self, columns: &[ColumnDefinition]) -> Vec<ColumnDefinition> {
        columns.iter().map(|column| self.definition(column.clone())).collect()
    }

    /// A row of text of such a result, if there is something to change in it.
    pub(super) fn text_row(&self, row: &[u8]) -> Option<Vec<u8>> {
        self.renamed_text(row).ok().flatten()
    }

    /// A packet that is not looked at counts all the same.
    fn skip_packet(&mut self) {
        match self.phase {
            Phase::Head => self.phase = Phase::Rest,
            Phase::Definitions(left) => self.count_definition(left),
            Phase::Rows | Phase::Rest => {}
        }
    }

    fn count_definition(&mut self, left: u64) {
        self.phase =
            if left == 1 && self.about.has_rows() { Phase::Rows } else { Phase::Definitions(left - 1) };
    }

    /// The packet's new payload, if it has one.
    fn packet(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let first = *payload.first()?;
        match self.phase {
            Phase::Head => {
                let is_result = !matches!(first, OK_HEADER | ERR_HEADER | EOF_HEADER | LOCAL_INFILE_HEADER);
                let count = Reader::new(payload, "number of columns").lenenc_int().unwrap_or_default();
                self.phase = if is_result && count > 0 { Phase::Definitions(count) } else { Phase::Rest };
                None
            }
            Phase::Definitions(left) => {
                // EOF and the head of a prepared statement are no definitions.
                let column = ColumnDefinition::decode(payload).ok()?;
                self.count_definition(left);
                let mut encoded = Vec::with_capacity(payload.len());
                column.encode(&mut encoded);
                // The default value of COM_FIELD_LIST.
                let tail = payload.strip_prefix(&*encoded);
                let renamed = self.definition(column);
                let tail = tail?;
                encoded.clear();
                renamed.encode(&mut encoded);
                encoded.extend_from_slice(tail);
                Some(encoded)
            }
            Phase::Rows if matches!(first, ERR_HEADER | EOF_HEADER) => None,
            Phase::Rows => {
                let renamed =
                    if self.is_binary { self.renamed_binary(payload) } else { self.renamed_text(payload) };
                renamed.ok().flatten()
            }
            Phase::Rest => None,
        }
    }

    fn definition(&mut self, column: ColumnDefinition) -> ColumnDefinition {
        self.columns.push(Column { column_type: column.column_type, rule: self.rule_of(&column) });
        let is_expression = column.org_name.is_empty()
            && matches!(self.about, About::ColumnsOfSystemTables | About::SystemTables);
        let header = |name: Vec<u8>| {
            let renamed = match is_expression {
                // The text of an expression that no alias names.
                true => self.names.in_message(0, &name),
                false => self.names.behind_prefix(&name, b"Tables_in_", &[" ("]),
            };
            renamed.unwrap_or(name)
        };
        let schema = self.names.keyspace(&column.schema).map(<[u8]>::to_vec);
        ColumnDefinition {
            schema: schema.unwrap_or(column.schema),
            name: header(column.name),
            org_name: header(column.org_name),
            ..column
        }
    }

    fn rule_of(&self, column: &ColumnDefinition) -> Rule {
        let is_text = matches!(
            column.column_type,
            ColumnType::VARCHAR
                | ColumnType::VAR_STRING
                | ColumnType::STRING
                | ColumnType::TINY_BLOB
                | ColumnType::BLOB
                | ColumnType::MEDIUM_BLOB
                | ColumnType::LONG_BLOB
                | ColumnType::JSON
        );
        let is_expression = column.org_name.is_empty();
        match self.about {
            About::Columns | About::ColumnsOfSystemTables => Rule::Keep,
            _ if !is_text => Rule::Keep,
            About::Maintenance if column.name == b"Msg_text" => Rule::Message,
            About::Maintenance => Rule::Expression,
            About::Server if column.name == b"Create Database" => Rule::CreateDatabase,
            About::Server if names_schemas(&column.name) || names_schemas(&column.org_name) => Rule::Name,
            About::SystemTables if names_schemas(&column.org_name) => Rule::Name,
            About::SystemTables if is_expression => Rule::Expression,
            About::Server | About::SystemTables => Rule::Sql,
        }
    }

    fn renamed_text(&self, row: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let mut out = Vec::with_capacity(row.len());
        let mut has_changed = false;
        for (index, field) in text_fields(row).enumerate() {
            let field = field?;
            let rule = self.columns.get(index).map_or(Rule::Keep, |column| column.rule);
            let renamed = field.and_then(|value| self.value(rule, value));
            has_changed |= renamed.is_some();
            put_text_field(&mut out, renamed.as_deref().or(field));
        }
        Ok(has_changed.then_some(out))
    }

    fn renamed_binary(&self, row: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        // The first two bits of the bitmap are not used, and a byte comes before it.
        const BITMAP_OFFSET: usize = 2;
        let mut reader = Reader::new(row, "binary row");
        let mut out = reader.bytes(1 + (self.columns.len() + BITMAP_OFFSET).div_ceil(8))?.to_vec();
        let mut has_changed = false;
        for (index, column) in self.columns.iter().enumerate() {
            let bit = index + BITMAP_OFFSET;
            if row[1 + bit / 8] & (1 << (bit % 8)) != 0 {
                continue;
            }
            let start = row.len() - reader.remaining();
            let value = read_binary_value(&mut reader, column.column_type)?;
            match self.value(column.rule, value) {
                Some(renamed) => {
                    has_changed = true;
                    put_lenenc_bytes(&mut out, &renamed);
                }
                None => out.extend_from_slice(&row[start..row.len() - reader.remaining()]),
            }
        }
        Ok(has_changed.then_some(out))
    }

    fn value(&self, rule: Rule, value: &[u8]) -> Option<Vec<u8>> {
        match rule {
            Rule::Keep => None,
            Rule::Name => self.names.keyspace(value).map(<[u8]>::to_vec),
            Rule::Sql => self.names.in_sql(value),
            Rule::Message => self.names.in_message(0, value),
            Rule::CreateDatabase => self.names.in_create_database(value),
            Rule::Expression => {
                self.names.behind_prefix(value, b"", &[".", "/"]).or_else(|| self.names.in_sql(value))
            }
        }
    }
}

/// Columns whose values are names of databases.
fn names_schemas(column: &[u8]) -> bool {
    let is_one_of = |names: &[&str]| names.iter().any(|name| column.eq_ignore_ascii_case(name.as_bytes()));
    let ends = column.len().checked_sub(b"_schema".len()).map(|start| &column[start..]);
    ends.is_some_and(|end| end.eq_ignore_ascii_case(b"_schema"))
        || is_one_of(&["db", "database", "schema", "schema_name", "object_schema", "tabschema"])
}

/// The client, behind a [`Renaming`].
pub(super) struct RenamingSink<'a> {
    client: &'a mut ClientStream,
    renaming: Renaming,
    out: Vec<u8>,
}

impl<'a> RenamingSink<'a> {
    /// The client of a reply.
    pub(super) fn new(client: &'a mut ClientStream, renaming: Renaming) -> Self {
        Self { client, renaming, out: Vec::new() }
    }
}

impl ReplySink for RenamingSink<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.clear();
        self.renaming.feed(bytes, &mut self.out);
        if self.out.is_empty() {
            return Ok(());
        }
        self.client.write(&self.out).await
    }

    fn reworded(&self, error: &Error) -> Option<Error> {
        self.renaming.names.reworded(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EofPacket;
    use crate::wire::frame::write_packet_with;
    use crate::wire::row::text_row_to_binary;
    use crate::wire::writer::put_lenenc_int;

    const ROW: [Option<&str>; 4] = [Some("vt_s"), None, Some("vt_s.t"), Some("select `vt_s`.`t`.`vt_s`")];

    fn columns() -> Vec<ColumnDefinition> {
        let column = |name: &str, org_name: &str| ColumnDefinition {
            schema: b"vt_s".to_vec(),
            org_name: org_name.into(),
            ..ColumnDefinition::text(name, 100)
        };
        vec![
            column("TABLE_SCHEMA", "TABLE_SCHEMA"),
            column("vt_s", "TABLE_NAME"),
            column("concat('vt_s')", ""),
            column("Tables_in_vt_s", "Tables_in_vt_s"),
        ]
    }

    /// A reply with these columns and one row, as packets from number 1 on.
    fn reply(columns: &[ColumnDefinition], row: &[Option<&str>], is_binary: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sequence = 1;
        write_packet_with(&mut out, &mut sequence, |out| put_lenenc_int(out, columns.len() as u64));
        for column in columns {
            write_packet_with(&mut out, &mut sequence, |out| column.encode(out));
        }
        let eof = EofPacket { warnings: 0, status: crate::wire::StatusFlags::AUTOCOMMIT };
        write_packet_with(&mut out, &mut sequence, |out| eof.encode(out));
        let mut text = Vec::new();
        row.iter().for_each(|field| put_text_field(&mut text, field.map(str::as_bytes)));
        write_packet_with(&mut out, &mut sequence, |out| match is_binary {
            true => text_row_to_binary(columns, &text, out).unwrap(),
            false => out.extend_from_slice(&text),
        });
        write_packet_with(&mut out, &mut sequence, |out| eof.encode(out));
        out
    }

    fn renamed(about: About, bytes: &[u8], step: usize, is_binary: bool) -> Vec<u8> {
        let names = KeyspaceNames::new([("vt_s", "s")].into_iter());
        let mut renaming = Renaming::new(names, about, is_binary);
        let mut out = Vec::new();
        bytes.chunks(step).for_each(|piece| renaming.feed(piece, &mut out));
        out
    }

    #[test]
    fn replies_are_renamed_in_whatever_pieces_they_come() {
        let check = |about: About, names: [&str; 4], row: [Option<&str>; 4]| {
            let mut expected = columns();
            for (column, name) in expected.iter_mut().zip(names) {
                column.schema = b"s".to_vec();
                column.name = name.into();
            }
            expected[3].org_name = b"Tables_in_s".to_vec();
            for is_binary in [false, true] {
                let before = reply(&columns(), &ROW, is_binary);
                let after = reply(&expected, &row, is_binary);
                for step in [1, 3, 10, before.len()] {
                    assert_eq!(
                        renamed(about, &before, step, is_binary),
                        after,
                        "{about:?} {step} {is_binary}"
                    );
                }
            }
        };
        let sql = Some("select `s`.`t`.`vt_s`");
        check(
            About::SystemTables,
            ["TABLE_SCHEMA", "vt_s", "concat('s')", "Tables_in_s"],
            [Some("s"), None, Some("s.t"), sql],
        );
        check(
            About::Server,
            ["TABLE_SCHEMA", "vt_s", "concat('vt_s')", "Tables_in_s"],
            [Some("s"), None, Some("vt_s.t"), sql],
        );
    }

    #[test]
    fn what_cannot_be_read_or_is_too_long_passes() {
        let broken = b"\x01\0\0\x01\x01\x03\0\0\x02def\x02\0\0\x03\xFCa";
        assert_eq!(renamed(About::Server, broken, 2, false), broken);
        let huge = "`vt_s`.".repeat(RENAMED_PACKET_BYTES_MAX / 4);
        let row = [Some("vt_s"), None, None, Some(&*huge)];
        let before = reply(&columns(), &row, false);
        let after = renamed(About::Server, &before, 10_000, false);
        assert_eq!(after[after.len() - huge.len()..], before[before.len() - huge.len()..]);
        let ok = b"\x07\0\0\x01\0\0\0\x02\0\0\0";
        assert_eq!(renamed(About::Server, ok, 4, false), ok);
    }
}
