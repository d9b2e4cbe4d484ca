//! From text to primary weights: contractions, expansions, and marks put into canonical order.
//!
//! The order of steps matters to the byte, so this follows the procedure of `golang.org/x/text/collate`, which
//! is the origin of the table, in its special cases too: marks are put in order segment by segment, at most 30
//! at once, and only where they are not in order already.

use smallvec::SmallVec;

use super::table::{Element, Entry, Mark, Table};

/// Elements of one segment that are put in order together.
const SEGMENT_ELEMENTS_MAX: usize = 30;

/// Marks that one segment of normalised text may have.
const SEGMENT_MARKS_MAX: usize = 30;

type Buffer = SmallVec<[Element; 64]>;

/// Iterates over the primary weights of a text; zero weights are left out.
pub(super) struct Elements<'t> {
    table: &'t Table,
    rest: &'t str,
    /// Elements looked at, of which the first `ready` are in their final order.
    elements: Buffer,
    ready: usize,
    /// The next one to give away.
    next: usize,
}

impl<'t> Elements<'t> {
    pub(super) fn new(table: &'t Table, text: &'t str) -> Self {
        Self { table, rest: text, elements: Buffer::new(), ready: 0, next: 0 }
    }

    /// Brings at least one more element in its final order; false at the end of the text.
    fn advance(&mut self) -> bool {
        self.elements.drain(..self.ready);
        (self.ready, self.next) = (0, 0);
        if self.elements.is_empty() && !self.append_next() {
            return false;
        }
        let mut last_class = self.elements.last().map_or(0, |element| element.class());
        if last_class == 0 {
            self.ready = self.elements.len();
            return true;
        }
        if self.elements[0].class() == 0 {
            self.ready = self.elements.iter().take_while(|element| element.class() == 0).count();
            return true;
        }
        // The segment begins with marks: they are all needed before any is in order.
        loop {
            let start = self.elements.len();
            if !self.append_next() {
                break;
            }
            let class = self.elements.get(start).map_or(0, |element| element.class());
            if class == 0 || self.elements.len() > SEGMENT_ELEMENTS_MAX {
                // What begins the next segment stays for the next call.
                self.ready = start;
                return true;
            } else if class < last_class {
                self.insert_in_order(start, class);
            } else {
                last_class = class;
            }
        }
        self.ready = self.elements.len();
        true
    }

    /// Moves the elements from `start` on in front of those with higher classes. The first one of a segment
    /// keeps its place unless nothing else is before it, as in the original.
    fn insert_in_order(&mut self, start: usize, class: u8) {
        let mut place = start - 1;
        while place > 0 && class < self.elements[place - 1].class() {
            place -= 1;
        }
        let moved = self.elements.len() - start;
        self.elements[place..].rotate_right(moved);
    }

    fn append_next(&mut self) -> bool {
        if self.rest.is_empty() {
            return false;
        }
        let consumed = append(self.table, &mut self.elements, self.rest);
        self.rest = &self.rest[consumed..];
        true
    }
}

impl Iterator for Elements<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            while self.next < self.ready {
                let primary = self.elements[self.next].primary();
                self.next += 1;
                if primary != 0 {
                    return Some(primary);
                }
            }
            if !self.advance() {
                return None;
            }
        }
    }
}

/// Appends the elements at the start of a text that is not empty, and tells how many bytes they stand for.
fn append(table: &Table, elements: &mut Buffer, text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    let (size, rest) = (first.len_utf8(), &text[first.len_utf8()..]);
    match table.entry(first) {
        Entry::Contraction(node) => return size + append_contraction(table, elements, node, rest),
        Entry::Elements(list) => elements.extend_from_slice(list),
        Entry::Hangul(lists) => lists.into_iter().for_each(|list| elements.extend_from_slice(list)),
        Entry::Implicit(element) => elements.push(element),
    }
    size
}

/// A walk down a tree of contractions.
struct Scan<'t> {
    table: &'t Table,
    node: usize,
    /// Elements of the longest contraction so far, and where it ends.
    list: u16,
    end: usize,
    is_done: bool,
}

impl Scan<'_> {
    /// Follows the text from `at` as far as the tree goes; returns where it stopped.
    fn follow(&mut self, text: &str, mut at: usize) -> usize {
        for next in text.get(at..).unwrap_or_default().chars() {
            let Some(child) = self.table.node(self.node).child(next) else { break };
            at += next.len_utf8();
            let node = self.table.node(child);
            if node.list != 0 {
                (self.list, self.end) = (node.list, at);
            }
            if node.is_leaf() {
                self.is_done = true;
                break;
            }
            self.node = child;
        }
        at
    }
}

/// Appends the elements of the longest contraction of a character with the text behind it. Marks in between that
/// do not block it are skipped and follow it. Returns the bytes of `text` that are used up.
fn append_contraction(table: &Table, elements: &mut Buffer, node: usize, text: &str) -> usize {
    let mut scan = Scan { table, node, list: table.node(node).list, end: 0, is_done: false };
    let mut at = scan.follow(text, 0);
    let mut skipped: SmallVec<[u8; 128]> = SmallVec::new();
    let mut skipped_used = 0;
    let blocker = (!scan.is_done).then(|| mark_at(table, text, at)).flatten();
    if let Some((mark, size)) = blocker {
        let mut skipped_from = at;
        at += size;
        let mut last_class = mark.trail_class;
        // Only the last segment of a contraction may have gaps.
        let segment = &text[..at + segment_bytes(table, &text[at..])];
        while let Some((mark, size)) = mark_at(table, text, at).filter(|_| !scan.is_done) {
            if last_class >= mark.lead_class {
                break;
            }
            last_class = mark.trail_class;
            let stopped = scan.follow(segment, at);
            if stopped == at {
                at += size;
                continue;
            }
            skipped.extend_from_slice(&text.as_bytes()[skipped_from..at]);
            if scan.end == stopped {
                skipped_used = skipped.len();
            }
            (at, skipped_from) = (stopped, stopped);
        }
    }
    elements.extend_from_slice(table.list(scan.list));
    let mut skipped = std::str::from_utf8(&skipped[..skipped_used]).unwrap_or_default();
    while !skipped.is_empty() {
        skipped = &skipped[append(table, elements, skipped)..];
    }
    scan.end
}

fn mark_at(table: &Table, text: &str, at: usize) -> Option<(Mark, usize)> {
    let next = text[at..].chars().next()?;
    table.mark(next).map(|mark| (mark, next.len_utf8()))
}

/// Bytes of the marks at the start of a text.
fn segment_bytes(table: &Table, text: &str) -> usize {
    let (mut bytes, mut count) = (0, 0);
    while let Some((mark, size)) = mark_at(table, text, bytes) {
        count += usize::from(mark.count);
        if count > SEGMENT_MARKS_MAX {
            break;
        }
        bytes += size;
    }
    bytes
}
