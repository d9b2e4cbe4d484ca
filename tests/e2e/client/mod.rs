//! A small blocking MySQL client, written apart from `shardgate::wire` so that the two cannot share a mistake.
//!
//! It keeps everything a differential test wants to compare (column definitions, status flags, warning counts,
//! info texts, raw rows) and is strict: a wrong sequence number or a byte left over in a packet is an error.

mod auth;
mod decode;
mod packet;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub use decode::{Column, OkReply, Reply, ResultSet, Row, ServerError};
use packet::Cursor;
pub use packet::PacketIo;

pub const CLIENT_FOUND_ROWS: u32 = 1 << 1;
pub const CLIENT_LONG_FLAG: u32 = 1 << 2;
pub const CLIENT_CONNECT_WITH_DB: u32 = 1 << 3;
pub const CLIENT_LOCAL_FILES: u32 = 1 << 7;
pub const CLIENT_PROTOCOL_41: u32 = 1 << 9;
pub const CLIENT_TRANSACTIONS: u32 = 1 << 13;
pub const CLIENT_SECURE_CONNECTION: u32 = 1 << 15;
pub const CLIENT_MULTI_STATEMENTS: u32 = 1 << 16;
pub const CLIENT_MULTI_RESULTS: u32 = 1 << 17;
pub const CLIENT_PS_MULTI_RESULTS: u32 = 1 << 18;
pub const CLIENT_PLUGIN_AUTH: u32 = 1 << 19;
pub const CLIENT_CONNECT_ATTRS: u32 = 1 << 20;
pub const CLIENT_DEPRECATE_EOF: u32 = 1 << 24;

const SERVER_STATUS_CURSOR_EXISTS: u16 = 0x40;

/// No answer within this time is a failure, so that a hanging router fails one test and not the run.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Small, so that rows and terminators of files are cut anywhere.
const FILE_PART_BYTES: usize = 5;

/// How to log in.
#[derive(Clone, Debug)]
pub struct Options {
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
    pub database: Option<String>,
    /// Capabilities beyond the ones that every connection has.
    pub capabilities: u32,
    pub attributes: Vec<(String, String)>,
}

impl Options {
    pub fn new(address: SocketAddr, user: &str, password: &str) -> Self {
        Self {
            address,
            user: user.to_owned(),
            password: password.to_owned(),
            database: None,
            capabilities: 0,
            attributes: Vec::new(),
        }
    }

    #[must_use]
    pub fn database(mut self, name: &str) -> Self {
        self.database = Some(name.to_owned());
        self
    }

    #[must_use]
    pub fn with(mut self, capabilities: u32) -> Self {
        self.capabilities |= capabilities;
        self
    }
}

/// Why no reply could be had: the peer closed, timed out, or broke the protocol.
#[derive(Debug)]
pub struct ClientError(pub String);

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self(format!("connection: {error}"))
    }
}

impl From<ClientError> for String {
    fn from(error: ClientError) -> Self {
        error.0
    }
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// What the server said before the login.
#[derive(Clone, Debug)]
pub struct Greeting {
    pub version: String,
    pub connection_id: u32,
    pub salt: Vec<u8>,
    pub capabilities: u32,
    pub plugin: String,
}

/// A logged-in connection.
pub struct Client {
    io: PacketIo,
    greeting: Greeting,
    deprecate_eof: bool,
}

/// A parameter of COM_STMT_EXECUTE: its type (with 0x8000 for unsigned) and its binary form.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    Null,
    Int { type_code: u8, value: i64 },
    Unsigned(u64),
    Double(f64),
    Decimal(String),
    Bytes(Vec<u8>),
}

/// A prepared statement, with the parameter and column definitions of its preparation.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub id: u32,
    pub parameters: usize,
    pub columns: Vec<Column>,
    pub warnings: u16,
}

impl Client {
    /// Connects and logs in; a refusal by the server is the inner error.
    pub fn connect(options: &Options) -> Result<Result<Self, ServerError>> {
        let stream = TcpStream::connect_timeout(&options.address, ANSWER_WAIT)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_write_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let mut io = PacketIo::new(stream);
        let greeting = match decode::greeting(&io.read()?)? {
            Ok(greeting) => greeting,
            Err(error) => return Ok(Err(error)),
        };
        let capabilities = options.capabilities
            | CLIENT_LONG_FLAG
            | CLIENT_PROTOCOL_41
            | CLIENT_TRANSACTIONS
            | CLIENT_SECURE_CONNECTION
            | CLIENT_MULTI_RESULTS
            | CLIENT_PS_MULTI_RESULTS
            | CLIENT_PLUGIN_AUTH
            | if options.database.is_some() { CLIENT_CONNECT_WITH_DB } else { 0 }
            | if options.attributes.is_empty() { 0 } else { CLIENT_CONNECT_ATTRS };
        io.write(&auth::handshake_response(options, capabilities, &greeting))?;
        if let Err(error) = auth::finish(&mut io, options)? {
            return Ok(Err(error));
        }
        let deprecate_eof = capabilities & greeting.capabilities & CLIENT_DEPRECATE_EOF != 0;
        Ok(Ok(Self { io, greeting, deprecate_eof }))
    }

    /// Like [`Client::connect`], for a login that must succeed.
    pub fn login(options: &Options) -> Result<Self> {
        Self::connect(options)?.map_err(|error| ClientError(format!("login refused: {error}")))
    }

    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// The connection below, for tests that speak the protocol themselves.
    pub fn io(&mut self) -> &mut PacketIo {
        &mut self.io
    }

    /// COM_QUERY: all replies, more than one for multi-statements.
    pub fn query(&mut self, sql: impl AsRef<[u8]>) -> Result<Vec<Reply>> {
        self.send(0x03, sql.as_ref())?;
        self.replies(false)
    }

    /// A statement that must succeed with a result set: its rows as text.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        match self.query(sql)?.pop() {
            Some(Reply::Rows(set)) => Ok(set.text_rows()),
            other => Err(ClientError(format!("{sql}: wanted rows, got {other:?}"))),
        }
    }

    /// Statements that must all succeed.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        for reply in self.query(sql)? {
            if let Reply::Err(error) = reply {
                let start: String = sql.chars().take(100).collect();
                return Err(ClientError(format!("{start}: {error}")));
            }
        }
        Ok(())
    }

    /// A command answered by one OK or ERR packet (ping, init db, reset connection, …).
    pub fn simple(&mut self, command: u8, body: &[u8]) -> Result<Reply> {
        self.send(command, body)?;
        decode::simple(&self.io.read()?)
    }

    /// COM_STATISTICS: a text.
    pub fn statistics(&mut self) -> Result<String> {
        self.send(0x09, b"")?;
        Ok(String::from_utf8_lossy(&self.io.read()?).into_owned())
    }

    /// COM_FIELD_LIST: column definitions with their defaults.
    pub fn field_list(&mut self, table: &str, wildcard: &str) -> Result<Result<Vec<Column>, ServerError>> {
        let mut body = table.as_bytes().to_vec();
        body.push(0);
        body.extend_from_slice(wildcard.as_bytes());
        self.send(0x04, &body)?;
        let mut columns = Vec::new();
        loop {
            let packet = self.io.read()?;
            match packet.first() {
                Some(0xFF) => return Ok(Err(decode::error(&packet)?)),
                Some(0xFE) if packet.len() < 9 => return Ok(Ok(columns)),
                // With CLIENT_DEPRECATE_EOF the list still ends in an EOF-headed packet.
                _ => columns.push(decode::column(&packet)?),
            }
        }
    }

    /// COM_CHANGE_USER.
    pub fn change_user(&mut self, user: &str, password: &str, database: &str) -> Result<Reply> {
        let salt = self.greeting.salt.clone();
        let mut body = user.as_bytes().to_vec();
        body.push(0);
        let scramble = auth::scramble("mysql_native_password", password, &salt);
        body.push(u8::try_from(scramble.len()).expect("at most 32 bytes"));
        body.extend_from_slice(&scramble);
        body.extend_from_slice(database.as_bytes());
        body.push(0);
        body.extend_from_slice(&45u16.to_le_bytes());
        body.extend_from_slice(b"mysql_native_password\0");
        self.send(0x11, &body)?;
        let mut options = Options::new(self.io.peer()?, user, password);
        options.database = Some(database.to_owned());
        Ok(match auth::finish(&mut self.io, &options)? {
            Ok(ok) => Reply::Ok(ok),
            Err(error) => Reply::Err(error),
        })
    }

    /// COM_STMT_PREPARE.
    pub fn prepare(&mut self, sql: impl AsRef<[u8]>) -> Result<Result<Prepared, ServerError>> {
        self.send(0x16, sql.as_ref())?;
        let packet = self.io.read()?;
        if packet.first() == Some(&0xFF) {
            return Ok(Err(decode::error(&packet)?));
        }
        let mut cursor = Cursor::new(&packet);
        if cursor.u8()? != 0 {
            return Err(ClientError("COM_STMT_PREPARE answered with neither OK nor ERR".to_owned()));
        }
        let id = cursor.u32()?;
        let column_count = cursor.u16()?;
        let parameters = usize::from(cursor.u16()?);
        cursor.u8()?;
        let warnings = cursor.u16()?;
        for _ in 0..parameters {
            decode::column(&self.io.read()?)?;
        }
        if parameters > 0 {
            self.definitions_end()?;
        }
        let mut columns = Vec::new();
        for _ in 0..column_count {
            columns.push(decode::column(&self.io.read()?)?);
        }
        if column_count > 0 {
            self.definitions_end()?;
        }
        Ok(Ok(Prepared { id, parameters, columns, warnings }))
    }

    /// COM_STMT_EXECUTE without a cursor.
    pub fn execute(&mut self, id: u32, params: &[Param]) -> Result<Vec<Reply>> {
        self.send(0x17, &execute_body(id, params, &[]))?;
        self.replies(true)
    }

    /// COM_STMT_EXECUTE with some parameters sent before by COM_STMT_SEND_LONG_DATA.
    pub fn execute_with_long_data(
        &mut self,
        id: u32,
        params: &[Param],
        long: &[usize],
    ) -> Result<Vec<Reply>> {
        self.send(0x17, &execute_body(id, params, long))?;
        self.replies(true)
    }

    /// COM_STMT_SEND_LONG_DATA, which has no answer.
    pub fn send_long_data(&mut self, id: u32, parameter: u16, data: &[u8]) -> Result<()> {
        let mut body = id.to_le_bytes().to_vec();
        body.extend_from_slice(&parameter.to_le_bytes());
        body.extend_from_slice(data);
        self.send(0x18, &body)
    }

    /// COM_STMT_CLOSE, which has no answer.
    pub fn close(&mut self, id: u32) -> Result<()> {
        self.send(0x19, &id.to_le_bytes())
    }

    /// Sends a command as the first packet of an exchange.
    pub fn send(&mut self, command: u8, body: &[u8]) -> Result<()> {
        let mut payload = Vec::with_capacity(body.len() + 1);
        payload.push(command);
        payload.extend_from_slice(body);
        self.io.begin();
        Ok(self.io.write(&payload)?)
    }

    /// Reads replies until none is announced to follow.
    pub fn replies(&mut self, binary: bool) -> Result<Vec<Reply>> {
        let mut replies = Vec::new();
        loop {
            let reply = self.reply(binary)?;
            let more = reply.status() & decode::SERVER_MORE_RESULTS_EXISTS != 0;
            replies.push(reply);
            if !more {
                return Ok(replies);
            }
        }
    }

    fn reply(&mut self, binary: bool) -> Result<Reply> {
        let first = self.io.read()?;
        match first.first() {
            Some(0x00) => return Ok(Reply::Ok(decode::ok(&first)?)),
            Some(0xFF) => return Ok(Reply::Err(decode::error(&first)?)),
            Some(0xFB) => {
                // LOCAL INFILE: the file's name says what is in it.
                let name = &first[1..];
                let file = name.strip_prefix(b"inline:").unwrap_or_default();
                for part in file.chunks(FILE_PART_BYTES) {
                    self.io.write(part)?;
                }
                self.io.write(b"")?;
                return self.reply(binary);
            }
            Some(_) => {}
            None => return Err(ClientError("an empty packet instead of a reply".to_owned())),
        }
        let mut cursor = Cursor::new(&first);
        let count = cursor.lenenc()?;
        cursor.end()?;
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(decode::column(&self.io.read()?)?);
        }
        if !self.deprecate_eof {
            let packet = self.io.read()?;
            if packet.first() == Some(&0xFF) {
                // MySQL and MariaDB notice some errors only while they make a cursor's rows.
                return Ok(Reply::Err(decode::error(&packet)?));
            }
            let (status, warnings) = decode::eof(&packet)?;
            if status & SERVER_STATUS_CURSOR_EXISTS != 0 {
                return Ok(Reply::Rows(ResultSet { columns, rows: Vec::new(), binary, status, warnings }));
            }
        }
        self.result_rows(columns, binary)
    }

    /// COM_STMT_EXECUTE that asks for a cursor; the reply has no rows if one was opened.
    pub fn open_cursor(&mut self, id: u32, params: &[Param]) -> Result<Vec<Reply>> {
        const FLAGS_AT: usize = 4;
        const READ_ONLY: u8 = 1;
        let mut body = execute_body(id, params, &[]);
        body[FLAGS_AT] = READ_ONLY;
        self.send(0x17, &body)?;
        self.replies(true)
    }

    /// COM_STMT_FETCH: rows of these columns.
    pub fn fetch(&mut self, id: u32, rows: u32, columns: &[Column]) -> Result<Reply> {
        let mut body = id.to_le_bytes().to_vec();
        body.extend_from_slice(&rows.to_le_bytes());
        self.send(0x1C, &body)?;
        self.result_rows(columns.to_vec(), true)
    }

    fn result_rows(&mut self, columns: Vec<Column>, binary: bool) -> Result<Reply> {
        let mut rows = Vec::new();
        loop {
            let packet = self.io.read()?;
            let terminator = packet.first() == Some(&0xFE) && packet.len() < 0xFF_FFFF;
            if packet.first() == Some(&0xFF) {
                return Ok(Reply::Err(decode::error(&packet)?));
            }
            if terminator && (self.deprecate_eof || packet.len() == 5) {
                let (status, warnings) = if self.deprecate_eof {
                    let ok = decode::ok(&packet)?;
                    (ok.status, ok.warnings)
                } else {
                    decode::eof(&packet)?
                };
                return Ok(Reply::Rows(ResultSet { columns, rows, binary, status, warnings }));
            }
            rows.push(Row(packet));
        }
    }

    fn definitions_end(&mut self) -> Result<()> {
        if !self.deprecate_eof {
            decode::eof(&self.io.read()?)?;
        }
        Ok(())
    }
}

fn execute_body(id: u32, params: &[Param], long: &[usize]) -> Vec<u8> {
    let mut body = id.to_le_bytes().to_vec();
    body.push(0);
    body.extend_from_slice(&1u32.to_le_bytes());
    if params.is_empty() {
        return body;
    }
    let mut nulls = vec![0u8; params.len().div_ceil(8)];
    for (index, param) in params.iter().enumerate() {
        if *param == Param::Null {
            nulls[index / 8] |= 1 << (index % 8);
        }
    }
    body.extend_from_slice(&nulls);
    body.push(1);
    for param in params {
        let (code, flag) = match param {
            Param::Null => (6, 0),
            Param::Int { type_code, .. } => (*type_code, 0),
            Param::Unsigned(_) => (8, 0x80),
            Param::Double(_) => (5, 0),
            Param::Decimal(_) => (246, 0),
            Param::Bytes(_) => (253, 0),
        };
        body.extend_from_slice(&[code, flag]);
    }
    for (index, param) in params.iter().enumerate() {
        if !long.contains(&index) {
            encode_param(&mut body, param);
        }
    }
    body
}

fn encode_param(body: &mut Vec<u8>, param: &Param) {
    match param {
        Param::Null => {}
        Param::Int { type_code, value } => {
            let width = match type_code {
                1 => 1,
                2 => 2,
                3 => 4,
                _ => 8,
            };
            body.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        Param::Unsigned(value) => body.extend_from_slice(&value.to_le_bytes()),
        Param::Double(value) => body.extend_from_slice(&value.to_le_bytes()),
        Param::Decimal(text) => packet::put_lenenc_bytes(body, text.as_bytes()),
        Param::Bytes(bytes) => packet::put_lenenc_bytes(body, bytes),
    }
}
