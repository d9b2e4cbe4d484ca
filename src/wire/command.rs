//! Commands: the client's requests after the handshake, each one packet.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html>. The router offers no
//! query attributes, so COM_QUERY is the text and nothing else.

use super::capability::Capabilities;
use super::connect::ChangeUser;
use super::frame::{HEADER_BYTES, Header};
use super::reader::{Malformed, Reader};
use super::statement::StmtExecute;
use super::writer::put_null_terminated;

/// One command. Texts are in the character set that the client announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// COM_QUIT: the client leaves; there is no reply.
    Quit,
    /// COM_INIT_DB: use this database.
    InitDb(&'a [u8]),
    /// COM_QUERY: run this text.
    Query(&'a [u8]),
    /// COM_FIELD_LIST: the columns of a table.
    FieldList {
        /// Name of the table.
        table: &'a [u8],
        /// LIKE pattern that columns must match; empty for all.
        wildcard: &'a [u8],
    },
    /// COM_PING.
    Ping,
    /// COM_STATISTICS: one line about the server; the reply is a bare string.
    Statistics,
    /// COM_SET_OPTION: 0 turns several statements per query on, 1 off.
    SetOption(u16),
    /// COM_RESET_CONNECTION: forget the session's state.
    ResetConnection,
    /// COM_CHANGE_USER: authenticate anew.
    ChangeUser(ChangeUser<'a>),
    /// COM_STMT_PREPARE: prepare this text.
    StmtPrepare(&'a [u8]),
    /// COM_STMT_EXECUTE.
    StmtExecute(StmtExecute<'a>),
    /// COM_STMT_SEND_LONG_DATA: append to a parameter's value; there is no reply.
    StmtSendLongData {
        /// The prepared statement.
        statement_id: u32,
        /// Index of the parameter.
        parameter: u16,
        /// Bytes to append.
        data: &'a [u8],
    },
    /// COM_STMT_CLOSE: forget a prepared statement; there is no reply.
    StmtClose(u32),
    /// COM_STMT_RESET: forget long data and the cursor of a prepared statement.
    StmtReset(u32),
    /// COM_STMT_FETCH: more rows of a cursor.
    StmtFetch {
        /// The prepared statement.
        statement_id: u32,
        /// How many rows.
        row_count: u32,
    },
    /// A command that the router does not know.
    Unknown(u8),
}

mod byte {
    //! First bytes of commands.
    pub(super) const QUIT: u8 = 0x01;
    pub(super) const INIT_DB: u8 = 0x02;
    pub(super) const QUERY: u8 = 0x03;
    pub(super) const FIELD_LIST: u8 = 0x04;
    pub(super) const STATISTICS: u8 = 0x09;
    pub(super) const PING: u8 = 0x0E;
    pub(super) const CHANGE_USER: u8 = 0x11;
    pub(super) const STMT_PREPARE: u8 = 0x16;
    pub(super) const STMT_EXECUTE: u8 = 0x17;
    pub(super) const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub(super) const STMT_CLOSE: u8 = 0x19;
    pub(super) const STMT_RESET: u8 = 0x1A;
    pub(super) const SET_OPTION: u8 = 0x1B;
    pub(super) const STMT_FETCH: u8 = 0x1C;
    pub(super) const RESET_CONNECTION: u8 = 0x1F;
}

impl<'a> Command<'a> {
    /// Takes a payload apart. `capabilities` are those agreed with the client; they decide the form of
    /// COM_CHANGE_USER.
    pub fn decode(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "command");
        let command = match reader.u8()? {
            byte::QUIT => Self::Quit,
            byte::INIT_DB => Self::InitDb(reader.rest()),
            byte::QUERY => Self::Query(reader.rest()),
            byte::FIELD_LIST => Self::FieldList {
                table: reader.null_terminated()?,
                wildcard: reader.null_terminated_or_rest(),
            },
            byte::STATISTICS => Self::Statistics,
            byte::PING => Self::Ping,
            byte::CHANGE_USER => Self::ChangeUser(ChangeUser::decode(&mut reader, capabilities)?),
            byte::STMT_PREPARE => Self::StmtPrepare(reader.rest()),
            byte::STMT_EXECUTE => Self::StmtExecute(StmtExecute::decode(&mut reader)?),
            byte::STMT_SEND_LONG_DATA => Self::StmtSendLongData {
                statement_id: reader.u32()?,
                parameter: reader.u16()?,
                data: reader.rest(),
            },
            byte::STMT_CLOSE => Self::StmtClose(reader.u32()?),
            byte::STMT_RESET => Self::StmtReset(reader.u32()?),
            byte::SET_OPTION => Self::SetOption(reader.u16()?),
            byte::STMT_FETCH => Self::StmtFetch { statement_id: reader.u32()?, row_count: reader.u32()? },
            byte::RESET_CONNECTION => Self::ResetConnection,
            unknown => Self::Unknown(unknown),
        };
        Ok(command)
    }

    /// Appends the payload, for a server that agreed to `capabilities`.
    pub fn encode(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        match self {
            Self::Quit => out.push(byte::QUIT),
            Self::InitDb(name) => put_text(out, byte::INIT_DB, name),
            Self::Query(text) => put_text(out, byte::QUERY, text),
            Self::FieldList { table, wildcard } => {
                out.push(byte::FIELD_LIST);
                put_null_terminated(out, table);
                out.extend_from_slice(wildcard);
            }
            Self::Ping => out.push(byte::PING),
            Self::Statistics => out.push(byte::STATISTICS),
            Self::SetOption(option) => {
                out.push(byte::SET_OPTION);
                out.extend_from_slice(&option.to_le_bytes());
            }
            Self::ResetConnection => out.push(byte::RESET_CONNECTION),
            Self::ChangeUser(change) => {
                out.push(byte::CHANGE_USER);
                change.encode(out, capabilities);
            }
            Self::StmtPrepare(text) => put_text(out, byte::STMT_PREPARE, text),
            Self::StmtExecute(execute) => {
                out.push(byte::STMT_EXECUTE);
                execute.encode(out);
            }
            Self::StmtSendLongData { statement_id, parameter, data } => {
                put_number(out, byte::STMT_SEND_LONG_DATA, *statement_id);
                out.extend_from_slice(&parameter.to_le_bytes());
                out.extend_from_slice(data);
            }
            Self::StmtClose(statement_id) => put_number(out, byte::STMT_CLOSE, *statement_id),
            Self::StmtReset(statement_id) => put_number(out, byte::STMT_RESET, *statement_id),
            Self::StmtFetch { statement_id, row_count } => {
                put_number(out, byte::STMT_FETCH, *statement_id);
                out.extend_from_slice(&row_count.to_le_bytes());
            }
            Self::Unknown(unknown) => out.push(*unknown),
        }
    }

    /// Whether a server answers it at all.
    pub fn has_reply(&self) -> bool {
        !matches!(self, Self::Quit | Self::StmtClose(_) | Self::StmtSendLongData { .. })
    }
}

/// Of packets that are commands, one behind the other: the sequence number that each reply begins with, which is the
/// number of packets that the command has. Commands without a reply are left out.
pub fn reply_sequences(packets: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = packets;
    let mut command = None;
    std::iter::from_fn(move || {
        loop {
            let header = Header::first(rest)?;
            rest = &rest[HEADER_BYTES..];
            let first_byte = *command.get_or_insert(rest.first().copied().unwrap_or_default());
            rest = rest.get(header.payload_bytes..).unwrap_or_default();
            if header.is_continued() {
                continue;
            }
            command = None;
            if !matches!(first_byte, byte::QUIT | byte::STMT_CLOSE | byte::STMT_SEND_LONG_DATA) {
                return Some(header.sequence.wrapping_add(1));
            }
        }
    })
}

fn put_text(out: &mut Vec<u8>, command: u8, text: &[u8]) {
    out.push(command);
    out.extend_from_slice(text);
}

fn put_number(out: &mut Vec<u8>, command: u8, number: u32) {
    out.push(command);
    out.extend_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::connect::ConnectAttributes;
    use proptest::prelude::*;

    const CAPABILITIES: Capabilities = Capabilities::OFFERED;

    fn check(payload: &[u8], expected: &Command<'_>) {
        assert_eq!(Command::decode(payload, CAPABILITIES).as_ref(), Ok(expected));
        let mut out = vec![];
        expected.encode(&mut out, CAPABILITIES);
        assert_eq!(out, payload);
    }

    #[test]
    fn layouts_are_the_manuals() {
        check(b"\x01", &Command::Quit);
        check(b"\x02shop", &Command::InitDb(b"shop"));
        check(b"\x03select 1", &Command::Query(b"select 1"));
        check(b"\x03", &Command::Query(b""));
        check(b"\x04orders\0%", &Command::FieldList { table: b"orders", wildcard: b"%" });
        check(b"\x09", &Command::Statistics);
        check(b"\x0e", &Command::Ping);
        check(b"\x16select ?", &Command::StmtPrepare(b"select ?"));
        check(
            b"\x18\x01\0\0\0\x02\0abc",
            &Command::StmtSendLongData { statement_id: 1, parameter: 2, data: b"abc" },
        );
        check(b"\x19\x05\0\0\0", &Command::StmtClose(5));
        check(b"\x1a\x05\0\0\0", &Command::StmtReset(5));
        check(b"\x1b\x01\0", &Command::SetOption(1));
        check(b"\x1c\x05\0\0\0\x0a\0\0\0", &Command::StmtFetch { statement_id: 5, row_count: 10 });
        check(b"\x1f", &Command::ResetConnection);
        check(b"\x1d", &Command::Unknown(0x1d));
    }

    #[test]
    fn truncated_commands_are_refused() {
        for payload in
            [&b""[..], b"\x04t", b"\x17\x01\0\0\0", b"\x18\x01\0\0\0\x02", b"\x19\x01", b"\x1b\x01"]
        {
            assert!(Command::decode(payload, CAPABILITIES).is_err(), "{payload:?}");
        }
    }

    #[test]
    fn commands_without_reply() {
        assert!(!Command::StmtClose(1).has_reply());
        assert!(!Command::Quit.has_reply());
        assert!(Command::StmtReset(1).has_reply());
    }

    #[test]
    fn change_user_round_trip() {
        let mut pairs = vec![];
        ConnectAttributes::encode_pairs(&mut pairs, [("a", "b")]);
        let change = Command::ChangeUser(ChangeUser {
            user: b"root",
            auth_response: b"12345678901234567890",
            database: Some(b"shop"),
            collation: Some(45),
            auth_plugin: Some(b"mysql_native_password"),
            attributes: ConnectAttributes::from_encoded(&pairs).unwrap(),
        });
        let mut out = vec![];
        change.encode(&mut out, CAPABILITIES);
        assert_eq!(Command::decode(&out, CAPABILITIES), Ok(change));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), bits: u64) {
            let capabilities = Capabilities::from_bits_retain(bits);
            if let Ok(command) = Command::decode(&bytes, capabilities) {
                let mut out = vec![];
                command.encode(&mut out, capabilities);
                let again = Command::decode(&out, capabilities);
                prop_assert!(again.is_ok(), "{command:?} became {again:?}");
            }
        }
    }

    #[test]
    fn replies_begin_behind_the_last_packet_of_their_command() {
        use crate::limits::PACKET_PAYLOAD_BYTES_MAX;
        use crate::wire::frame::write_packet_with;
        let large = vec![b'x'; PACKET_PAYLOAD_BYTES_MAX];
        let commands = [
            Command::Query(b"BEGIN"),
            Command::StmtClose(1),
            Command::StmtSendLongData { statement_id: 1, parameter: 0, data: &large },
            Command::Query(&large),
            Command::Quit,
        ];
        let mut packets = vec![];
        for command in &commands {
            write_packet_with(&mut packets, &mut 0, |out| command.encode(out, Capabilities::OFFERED));
        }
        assert_eq!(reply_sequences(&packets).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(reply_sequences(&[1, 0]).count(), 0);
    }
}
