//! Prepared statements that one connection has at its server, by their text.
//!
//! A statement is parsed by the server under the settings of that moment (`sql_mode`, character set), so an
//! entry counts only for a connection with the same settings. The least recently used entry gives way;
//! closing it at the server (`COM_STMT_CLOSE`, which has no reply) is the connection's part.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::parameter_kinds::ParameterKinds;
use crate::wire::ColumnDefinition;
use crate::wire::frame::{Header, write_packet_with};

/// A server's answer to a successful `COM_STMT_PREPARE`.
#[derive(Debug, PartialEq, Eq)]
pub struct PreparedStatement {
    /// The id on the connection that prepared it; on no other.
    pub statement_id: u32,
    /// Number of `?` in the text.
    pub parameter_count: u16,
    /// Columns of the result; 0 for statements without one.
    pub column_count: u16,
    /// Warnings that preparing gave.
    pub warnings: u16,
    /// The whole reply as packets, for a client with the same flavor. [`Self::write_reply`] puts another
    /// statement id in.
    packets: Box<[u8]>,
}

/// Where the statement id stands in the reply: behind packet header and status byte.
const STATEMENT_ID: std::ops::Range<usize> = 5..9;
/// Behind the number of columns.
const PARAMETER_COUNT: std::ops::Range<usize> = 11..13;

impl PreparedStatement {
    pub(super) fn new(statement_id: u32, counts: (u16, u16), warnings: u16, packets: Vec<u8>) -> Self {
        debug_assert!(packets.len() >= STATEMENT_ID.end);
        let (parameter_count, column_count) = counts;
        Self { statement_id, parameter_count, column_count, warnings, packets: packets.into() }
    }

    /// The reply's packets as the server sent them, beginning with sequence number 1.
    pub fn packets(&self) -> &[u8] {
        &self.packets
    }

    /// The same statement for a client whose text has fewer parameters: what the router repeated of them is left out
    /// of the reply.
    pub fn with_parameters(&self, count: u16) -> Self {
        let is_dropped =
            |index: usize| (count.into()..self.parameter_count.into()).contains(&(index.wrapping_sub(1)));
        let mut packets = Vec::with_capacity(self.packets.len());
        let mut rest = &*self.packets;
        let (mut index, mut sequence) = (0, 1_u8);
        while let [a, b, c, _, behind @ ..] = rest {
            let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
            let (payload, after) = behind.split_at(length.min(behind.len()));
            if !is_dropped(index) {
                packets.extend_from_slice(&[*a, *b, *c, sequence]);
                packets.extend_from_slice(payload);
                sequence = sequence.wrapping_add(1);
            }
            index += 1;
            rest = after;
        }
        if let Some(field) = packets.get_mut(PARAMETER_COUNT) {
            field.copy_from_slice(&count.to_le_bytes());
        }
        Self { parameter_count: count, packets: packets.into(), ..*self }
    }

    /// The same statement with columns of its result that `change` has changed.
    pub fn with_columns(&self, change: &dyn Fn(&mut ColumnDefinition)) -> Self {
        let definitions = usize::from(self.parameter_count) + usize::from(self.column_count);
        let mut packets = Vec::with_capacity(self.packets.len());
        let mut rest = &*self.packets;
        let mut seen = 0_usize;
        while let [a, b, c, sequence, behind @ ..] = rest {
            let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
            let (payload, after) = behind.split_at(length.min(behind.len()));
            let definition = ColumnDefinition::decode(payload).ok().filter(|_| seen < definitions);
            seen += usize::from(definition.is_some());
            match definition {
                // Definitions of parameters come first.
                Some(mut column) if seen > usize::from(self.parameter_count) => {
                    change(&mut column);
                    let mut next = *sequence;
                    write_packet_with(&mut packets, &mut next, |out| column.encode(out));
                }
                _ => {
                    packets.extend_from_slice(&[*a, *b, *c, *sequence]);
                    packets.extend_from_slice(payload);
                }
            }
            rest = after;
        }
        Self { packets: packets.into(), ..*self }
    }

    /// The columns of the result.
    pub fn columns(&self) -> Vec<ColumnDefinition> {
        let mut columns = Vec::new();
        let mut rest = &self.packets[..];
        while let Some((header, behind)) =
            rest.split_first_chunk().map(|(h, rest)| (Header::decode(*h), rest))
        {
            let Some((payload, next)) = behind.split_at_checked(header.payload_bytes) else { break };
            // The reply's first packet and EOF are none.
            columns.extend(ColumnDefinition::decode(payload).ok());
            rest = next;
        }
        // Definitions of parameters come first.
        columns.split_off(columns.len().saturating_sub(self.column_count.into()))
    }

    /// Appends the reply's packets with `statement_id` in place of the server's.
    pub fn write_reply(&self, statement_id: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.packets);
        if let Some(field) = out.get_mut(start + STATEMENT_ID.start..start + STATEMENT_ID.end) {
            field.copy_from_slice(&statement_id.to_le_bytes());
        }
    }
}

/// The statements of one connection.
#[derive(Debug)]
pub(super) struct StatementCache {
    entries: HashMap<Box<[u8]>, Entry, RandomState>,
    capacity: usize,
    /// Counts uses; an entry with the smallest `used` is the oldest.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    statement: Arc<PreparedStatement>,
    settings: u64,
    used: u64,
    /// What it has been executed with.
    past: ParameterKinds,
}

impl StatementCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::default(), capacity: capacity.max(1), clock: 0 }
    }

    /// The statement prepared from `text` under the same settings; counts as a use.
    pub(super) fn get(&mut self, text: &[u8], settings: u64) -> Option<Arc<PreparedStatement>> {
        self.get_if(text, settings, |_| true)
    }

    /// The same for an execution that leads to this past, which the statement has from now on.
    pub(super) fn get_with_past(
        &mut self,
        text: &[u8],
        settings: u64,
        past: &ParameterKinds,
    ) -> Option<Arc<PreparedStatement>> {
        self.get_if(text, settings, |own| {
            let leads_there = own.leads_to(past);
            if leads_there {
                own.follow(past);
            }
            leads_there
        })
    }

    fn get_if(
        &mut self,
        text: &[u8],
        settings: u64,
        may_serve: impl FnOnce(&mut ParameterKinds) -> bool,
    ) -> Option<Arc<PreparedStatement>> {
        let entry = self.entries.get_mut(text).filter(|entry| entry.settings == settings)?;
        if !may_serve(&mut entry.past) {
            return None;
        }
        self.clock += 1;
        entry.used = self.clock;
        Some(entry.statement.clone())
    }

    /// Adds a statement. Returns the ids that gave way and must be closed: an older one of the same text,
    /// and the least recently used one if the cache was full.
    pub(super) fn insert(
        &mut self,
        text: &[u8],
        settings: u64,
        statement: Arc<PreparedStatement>,
    ) -> impl Iterator<Item = u32> + use<> {
        self.clock += 1;
        let entry = Entry { statement, settings, used: self.clock, past: ParameterKinds::default() };
        let replaced = self.entries.insert(text.into(), entry);
        let evicted = if self.entries.len() > self.capacity { self.remove_oldest() } else { None };
        replaced.into_iter().chain(evicted).map(|entry| entry.statement.statement_id)
    }

    /// Forgets a statement, for instance when the server says that it does not know it.
    pub(super) fn remove(&mut self, statement_id: u32) {
        self.entries.retain(|_, entry| entry.statement.statement_id != statement_id);
    }

    /// Forgets all, as the server does on `COM_RESET_CONNECTION`.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove_oldest(&mut self) -> Option<Entry> {
        // A walk over all entries: a few hundred at most, and only when preparing, which costs a round trip.
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used)?.0.clone();
        self.entries.remove(&oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(id: u32) -> Arc<PreparedStatement> {
        Arc::new(PreparedStatement::new(id, (1, 2), 0, vec![12, 0, 0, 1, 0, 9, 9, 9, 9, 2, 0, 1, 0, 0, 0, 0]))
    }

    fn insert(cache: &mut StatementCache, text: &str, id: u32) -> Vec<u32> {
        cache.insert(text.as_bytes(), 0, statement(id)).collect()
    }

    #[test]
    fn the_least_recently_used_statement_gives_way() {
        let mut cache = StatementCache::new(2);
        assert!(insert(&mut cache, "a", 1).is_empty());
        assert!(insert(&mut cache, "b", 2).is_empty());
        assert_eq!(cache.get(b"a", 0).unwrap().statement_id, 1);
        assert_eq!(insert(&mut cache, "c", 3), [2]);
        assert!(cache.get(b"b", 0).is_none());
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn repeated_parameters_are_left_out_of_the_reply() {
        let packets = vec![
            12, 0, 0, 1, 0, 9, 9, 9, 9, 1, 0, 3, 0, 0, 0, 0, 1, 0, 0, 2, 7, 1, 0, 0, 3, 7, 1, 0, 0, 4, 7, 1,
            0, 0, 5, 8,
        ];
        let statement = PreparedStatement::new(9, (3, 1), 0, packets).with_parameters(1);
        assert_eq!(statement.parameter_count, 1);
        let expected = [12, 0, 0, 1, 0, 9, 9, 9, 9, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 2, 7, 1, 0, 0, 3, 8];
        assert_eq!(statement.packets(), expected);
    }

    #[test]
    fn columns_of_the_result_can_be_changed() {
        let column = |name: &str| ColumnDefinition { name: name.into(), ..ColumnDefinition::default() };
        let mut packets = vec![12, 0, 0, 1, 0, 9, 9, 9, 9, 2, 0, 1, 0, 0, 0, 0];
        let mut sequence = 2;
        for name in ["?", "a", "b"] {
            write_packet_with(&mut packets, &mut sequence, |out| column(name).encode(out));
        }
        let statement = PreparedStatement::new(9, (1, 2), 0, packets);
        let changed = statement.with_columns(&|column| column.table = b"t".to_vec());
        let tables = |statement: &PreparedStatement| -> Vec<_> {
            statement.columns().into_iter().map(|column| (column.name, column.table)).collect()
        };
        let expected = |table: &str| vec![(b"a".to_vec(), table.into()), (b"b".to_vec(), table.into())];
        assert_eq!(tables(&statement), expected(""));
        assert_eq!(tables(&changed), expected("t"));
        let unchanged = statement.with_columns(&|_| ());
        assert_eq!(unchanged.packets(), statement.packets());
    }

    #[test]
    fn preparing_the_same_text_again_closes_the_older_one() {
        let mut cache = StatementCache::new(2);
        insert(&mut cache, "a", 1);
        assert_eq!(insert(&mut cache, "a", 2), [1]);
        assert_eq!(cache.get(b"a", 0).unwrap().statement_id, 2);
    }

    #[test]
    fn other_settings_do_not_find_a_statement() {
        let mut cache = StatementCache::new(2);
        insert(&mut cache, "a", 1);
        assert!(cache.get(b"a", 77).is_none());
        cache.remove(1);
        assert!(cache.get(b"a", 0).is_none());
    }

    #[test]
    fn replies_get_the_clients_statement_id() {
        let mut out = b"before".to_vec();
        statement(1).write_reply(0x0403_0201, &mut out);
        assert_eq!(&out[..6], b"before");
        assert_eq!(&out[6..16], [12, 0, 0, 1, 0, 1, 2, 3, 4, 2]);
    }
}
