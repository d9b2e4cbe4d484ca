//! The packets that replies are made of.

mod column;
mod eof;
mod err;
mod ok;

pub use column::ColumnDefinition;
pub use eof::EofPacket;
pub use err::ErrPacket;
pub use ok::OkPacket;

/// First byte of an OK packet.
pub const OK_HEADER: u8 = 0x00;
/// First byte of an EOF packet, and of the OK packet that ends a result under CLIENT_DEPRECATE_EOF.
pub const EOF_HEADER: u8 = 0xFE;
/// First byte of an ERR packet.
pub const ERR_HEADER: u8 = 0xFF;
/// First byte of a request for a file of the client (LOAD DATA LOCAL INFILE).
pub const LOCAL_INFILE_HEADER: u8 = 0xFB;

/// Whether a packet met where rows are expected ends the rows: an EOF packet, or with `deprecate_eof` an OK
/// packet with EOF's header. A row may begin with the same byte, but only if it is far longer: 0xFE then
/// announces a field of 16 MiB and more.
pub const fn is_result_terminator(first_byte: u8, payload_bytes: usize, deprecate_eof: bool) -> bool {
    let shortest_row = if deprecate_eof { crate::limits::PACKET_PAYLOAD_BYTES_MAX } else { 9 };
    first_byte == EOF_HEADER && payload_bytes < shortest_row
}
