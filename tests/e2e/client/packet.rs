//! Packets on a blocking socket, and a checked cursor over one packet's payload.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{ClientError, Result};

const PART_BYTES_MAX: usize = 0xFF_FFFF;

/// Reads and writes whole payloads, joined from and split into 16 MB parts, and checks sequence numbers.
pub struct PacketIo {
    stream: TcpStream,
    sequence: u8,
    buffer: Vec<u8>,
    start: usize,
}

impl PacketIo {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, sequence: 0, buffer: Vec::new(), start: 0 }
    }

    /// The next packet begins a new exchange.
    pub fn begin(&mut self) {
        self.sequence = 0;
    }

    /// The next packet is the first of an answer whose command was sent earlier.
    pub fn begin_answer(&mut self) {
        self.sequence = 1;
    }

    pub fn peer(&self) -> Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub fn read(&mut self) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        loop {
            let header = self.take(4)?;
            let length = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
            if header[3] != self.sequence {
                return Err(ClientError(format!(
                    "sequence number {} instead of {}",
                    header[3], self.sequence
                )));
            }
            self.sequence = self.sequence.wrapping_add(1);
            payload.extend_from_slice(&self.take(length)?);
            if length < PART_BYTES_MAX {
                return Ok(payload);
            }
        }
    }

    pub fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut rest = payload;
        loop {
            let (part, tail) = rest.split_at(rest.len().min(PART_BYTES_MAX));
            let length = u32::try_from(part.len()).expect("24 bits").to_le_bytes();
            let mut packet = vec![length[0], length[1], length[2], self.sequence];
            packet.extend_from_slice(part);
            self.stream.write_all(&packet)?;
            self.sequence = self.sequence.wrapping_add(1);
            rest = tail;
            if part.len() < PART_BYTES_MAX {
                return Ok(());
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.buffer.len() - self.start < count {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let mut chunk = [0u8; 64 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ClientError("connection: closed by the peer".to_owned())),
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let taken = self.buffer[self.start..self.start + count].to_vec();
        self.start += count;
        Ok(taken)
    }
}

/// Reads the fields of a payload; every read past the end is an error.
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.rest.len() {
            return Err(ClientError(format!("a packet ends {} bytes too early", count - self.rest.len())));
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.bytes(2)?.try_into().expect("2 bytes")))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes(4)?.try_into().expect("4 bytes")))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(8)?.try_into().expect("8 bytes")))
    }

    pub fn lenenc(&mut self) -> Result<u64> {
        match self.u8()? {
            0xFC => Ok(u64::from(self.u16()?)),
            0xFD => {
                let bytes = self.bytes(3)?;
                Ok(u64::from(bytes[0]) | u64::from(bytes[1]) << 8 | u64::from(bytes[2]) << 16)
            }
            0xFE => self.u64(),
            byte @ (0xFB | 0xFF) => Err(ClientError(format!("0x{byte:02X} instead of a length"))),
            byte => Ok(u64::from(byte)),
        }
    }

    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.lenenc()?;
        self.bytes(usize::try_from(count).map_err(|_| ClientError("a length over 64 bits".to_owned()))?)
    }

    pub fn lenenc_text(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.lenenc_bytes()?).into_owned())
    }

    pub fn null_terminated(&mut self) -> Result<&'a [u8]> {
        let Some(end) = self.rest.iter().position(|&byte| byte == 0) else {
            return Err(ClientError("a text without its NUL".to_owned()));
        };
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub fn end(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(ClientError(format!("{left} bytes left over in a packet"))),
        }
    }
}

pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..=250 => out.push(u8::try_from(length).expect("below 251")),
        length @ 251..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&u16::try_from(length).expect("16 bits").to_le_bytes());
        }
        length @ 0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&u32::try_from(length).expect("24 bits").to_le_bytes()[..3]);
        }
        length => {
            out.push(0xFE);
            out.extend_from_slice(&(length as u64).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}
