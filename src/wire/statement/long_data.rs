//! Parameter values that a client sends ahead of COM_STMT_EXECUTE, in pieces (COM_STMT_SEND_LONG_DATA).
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_send_long_data.html>

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};
use crate::limits::LONG_DATA_BYTES_MAX;

/// Long data of one prepared statement, kept until its execution or reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LongData {
    values: BTreeMap<u16, Vec<u8>>,
    bytes: usize,
}

impl LongData {
    /// Appends to the value of a parameter. Fails when all values together would pass
    /// [`LONG_DATA_BYTES_MAX`]; the command has no reply, so the error belongs into that of the execution.
    pub fn append(&mut self, parameter: u16, data: &[u8]) -> Result<(), Error> {
        if data.len() > LONG_DATA_BYTES_MAX - self.bytes {
            return Err(Error::new(
                ErrorKind::PacketTooLarge,
                format!("Parameter of prepared statement is larger than {LONG_DATA_BYTES_MAX} bytes"),
            ));
        }
        self.bytes += data.len();
        self.values.entry(parameter).or_default().extend_from_slice(data);
        Ok(())
    }

    /// The value of a parameter, if any of it was sent.
    pub fn get(&self, parameter: usize) -> Option<&[u8]> {
        let parameter = u16::try_from(parameter).ok()?;
        self.values.get(&parameter).map(Vec::as_slice)
    }

    /// Whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.values.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined() {
        let mut data = LongData::default();
        data.append(2, b"ab").unwrap();
        data.append(2, b"").unwrap();
        data.append(2, b"c").unwrap();
        assert_eq!(data.get(2), Some(&b"abc"[..]));
        assert_eq!(data.get(0), None);
        data.clear();
        assert!(data.is_empty());
    }

    #[test]
    fn the_sum_is_limited() {
        let mut data = LongData::default();
        data.append(0, &vec![0; LONG_DATA_BYTES_MAX - 1]).unwrap();
        data.append(1, b"x").unwrap();
        let error = data.append(1, b"x").unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::PacketTooLarge));
    }
}
