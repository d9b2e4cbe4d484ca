//! Replies as a differential test sees them.

use super::packet::Cursor;
use super::{ClientError, Greeting, Result};

pub const SERVER_MORE_RESULTS_EXISTS: u16 = 8;

/// An OK packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OkReply {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: u16,
    pub warnings: u16,
    pub info: String,
}

/// An ERR packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    pub errno: u16,
    pub sqlstate: String,
    pub message: String,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.errno, self.sqlstate, self.message)
    }
}

/// A column definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub schema: String,
    pub table: String,
    pub org_table: String,
    pub name: String,
    pub org_name: String,
    pub charset: u16,
    pub length: u32,
    pub type_code: u8,
    pub flags: u16,
    pub decimals: u8,
}

/// A row's payload as it came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(pub Vec<u8>);

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({} bytes)", self.0.len())
    }
}

#[derive(Clone, Debug)]
pub struct ResultSet {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    pub binary: bool,
    pub status: u16,
    pub warnings: u16,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Ok(OkReply),
    Rows(ResultSet),
    Err(ServerError),
}

impl Reply {
    pub fn status(&self) -> u16 {
        match self {
            Self::Ok(ok) => ok.status,
            Self::Rows(set) => set.status,
            Self::Err(_) => 0,
        }
    }
}

impl ResultSet {
    /// Every value as text; binary values are printed for people, not compared in this form.
    pub fn text_rows(&self) -> Vec<Vec<Option<String>>> {
        self.rows.iter().map(|row| self.values(row).unwrap_or_else(|error| vec![Some(error.0)])).collect()
    }

    fn values(&self, row: &Row) -> Result<Vec<Option<String>>> {
        let mut cursor = Cursor::new(&row.0);
        let values = if self.binary {
            binary_row(&mut cursor, &self.columns)?
        } else {
            text_row(&mut cursor, self.columns.len())?
        };
        cursor.end()?;
        Ok(values)
    }

    /// That every row can be decoded to its end with these columns.
    pub fn check(&self) -> Result<()> {
        self.rows.iter().try_for_each(|row| self.values(row).map(drop))
    }
}

fn text_row(cursor: &mut Cursor<'_>, columns: usize) -> Result<Vec<Option<String>>> {
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        values.push(if cursor.peek() == Some(0xFB) {
            cursor.u8()?;
            None
        } else {
            Some(cursor.lenenc_text()?)
        });
    }
    Ok(values)
}

fn binary_row(cursor: &mut Cursor<'_>, columns: &[Column]) -> Result<Vec<Option<String>>> {
    if cursor.u8()? != 0 {
        return Err(ClientError("a binary row that does not begin with 0".to_owned()));
    }
    let nulls = cursor.bytes((columns.len() + 9) / 8)?;
    let mut values = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let bit = index + 2;
        values.push(if nulls[bit / 8] & (1 << (bit % 8)) != 0 {
            None
        } else {
            Some(binary_value(cursor, column)?)
        });
    }
    Ok(values)
}

fn binary_value(cursor: &mut Cursor<'_>, column: &Column) -> Result<String> {
    let unsigned = column.flags & 32 != 0;
    Ok(match column.type_code {
        1 if unsigned => cursor.u8()?.to_string(),
        1 => cursor.u8()?.cast_signed().to_string(),
        2 | 13 if unsigned => cursor.u16()?.to_string(),
        2 | 13 => cursor.u16()?.cast_signed().to_string(),
        3 | 9 if unsigned => cursor.u32()?.to_string(),
        3 | 9 => cursor.u32()?.cast_signed().to_string(),
        8 if unsigned => cursor.u64()?.to_string(),
        8 => cursor.u64()?.cast_signed().to_string(),
        4 => f32::from_bits(cursor.u32()?).to_string(),
        5 => f64::from_bits(cursor.u64()?).to_string(),
        7 | 10 | 11 | 12 => {
            let length = cursor.u8()?;
            let bytes = cursor.bytes(usize::from(length))?;
            format!("temporal {bytes:02x?}")
        }
        _ => cursor.lenenc_text()?,
    })
}

pub fn greeting(packet: &[u8]) -> Result<Result<Greeting, ServerError>> {
    if packet.first() == Some(&0xFF) {
        return Ok(Err(error(packet)?));
    }
    let mut cursor = Cursor::new(packet);
    if cursor.u8()? != 10 {
        return Err(ClientError("not protocol version 10".to_owned()));
    }
    let version = String::from_utf8_lossy(cursor.null_terminated()?).into_owned();
    let connection_id = cursor.u32()?;
    let mut salt = cursor.bytes(8)?.to_vec();
    cursor.u8()?;
    let low = cursor.u16()?;
    cursor.u8()?;
    cursor.u16()?;
    let high = cursor.u16()?;
    let salt_length = usize::from(cursor.u8()?);
    cursor.bytes(10)?;
    salt.extend_from_slice(&cursor.bytes(salt_length.saturating_sub(8).max(13))?[..12]);
    let plugin = String::from_utf8_lossy(cursor.null_terminated()?).into_owned();
    let capabilities = u32::from(low) | u32::from(high) << 16;
    Ok(Ok(Greeting { version, connection_id, salt, capabilities, plugin }))
}

pub fn ok(packet: &[u8]) -> Result<OkReply> {
    let mut cursor = Cursor::new(packet);
    cursor.u8()?;
    let affected_rows = cursor.lenenc()?;
    let last_insert_id = cursor.lenenc()?;
    let status = cursor.u16()?;
    let warnings = cursor.u16()?;
    // MariaDB and MySQL write the info as a length-encoded string; without CLIENT_SESSION_TRACK it is the rest.
    let rest = cursor.remaining();
    let mut counted = Cursor::new(rest);
    let info = match counted.lenenc_bytes() {
        Ok(info) if counted.end().is_ok() => info,
        _ => rest,
    };
    let info = String::from_utf8_lossy(info).into_owned();
    Ok(OkReply { affected_rows, last_insert_id, status, warnings, info })
}

pub fn eof(packet: &[u8]) -> Result<(u16, u16)> {
    let mut cursor = Cursor::new(packet);
    if cursor.u8()? != 0xFE {
        return Err(ClientError(format!("no EOF packet where one is due: {packet:02x?}")));
    }
    let warnings = cursor.u16()?;
    let status = cursor.u16()?;
    cursor.end()?;
    Ok((status, warnings))
}

pub fn error(packet: &[u8]) -> Result<ServerError> {
    let mut cursor = Cursor::new(packet);
    cursor.u8()?;
    let errno = cursor.u16()?;
    let sqlstate = if cursor.peek() == Some(b'#') {
        cursor.u8()?;
        String::from_utf8_lossy(cursor.bytes(5)?).into_owned()
    } else {
        String::new()
    };
    let message = String::from_utf8_lossy(cursor.remaining()).into_owned();
    Ok(ServerError { errno, sqlstate, message })
}

pub fn simple(packet: &[u8]) -> Result<Reply> {
    match packet.first() {
        Some(0x00) => Ok(Reply::Ok(ok(packet)?)),
        Some(0xFE) => eof(packet)
            .map(|(status, warnings)| Reply::Ok(OkReply { status, warnings, ..OkReply::default() })),
        Some(0xFF) => Ok(Reply::Err(error(packet)?)),
        _ => Err(ClientError("neither OK nor ERR".to_owned())),
    }
}

pub fn column(packet: &[u8]) -> Result<Column> {
    let mut cursor = Cursor::new(packet);
    if cursor.lenenc_bytes()? != b"def" {
        return Err(ClientError("a column definition that does not begin with `def`".to_owned()));
    }
    let schema = cursor.lenenc_text()?;
    let table = cursor.lenenc_text()?;
    let org_table = cursor.lenenc_text()?;
    let name = cursor.lenenc_text()?;
    let org_name = cursor.lenenc_text()?;
    if cursor.lenenc()? != 12 {
        return Err(ClientError("a column definition whose fixed part is not 12 bytes".to_owned()));
    }
    let charset = cursor.u16()?;
    let length = cursor.u32()?;
    let type_code = cursor.u8()?;
    let flags = cursor.u16()?;
    let decimals = cursor.u8()?;
    cursor.u16()?;
    // COM_FIELD_LIST appends the default value.
    Ok(Column { schema, table, org_table, name, org_name, charset, length, type_code, flags, decimals })
}
