//! The table behind the weights, unpacked from `weights.bin` when it is first needed.
//!
//! The file, all numbers little-endian: the word `SGWEIGHT`; five counts; collation elements; pages of 256
//! entries, one for each character; contractions; characters that do not begin a segment; ranges of ideographs.

use std::collections::BTreeMap;
use std::sync::LazyLock;

const FILE: &[u8] = include_bytes!("weights.bin");
const MAGIC: &[u8] = b"SGWEIGHT";
const PAGE_SIZE: usize = 256;
const PAGES: usize = 0x11_0000 / PAGE_SIZE;

/// Entries from here on are contractions; the others are positions of elements, counted from 1.
const FIRST_CONTRACTION: u16 = 0xFF00;

const HANGUL: std::ops::RangeInclusive<u32> = 0xAC00..=0xD7A3;

/// One collation element: a primary weight, which may be 0, and a combining class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element(u32);

impl Element {
    const LAST: u32 = 1 << 31;

    /// The element of a character that the table does not know.
    fn implicit(primary: u32) -> Self {
        Self(primary | Self::LAST)
    }

    pub(super) fn primary(self) -> u32 {
        self.0 & 0x1F_FFFF
    }

    pub(super) fn class(self) -> u8 {
        self.0.to_le_bytes()[3] << 3 | self.0.to_le_bytes()[2] >> 5
    }
}

/// What the table says of a character.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'t> {
    /// More depends on what follows; the number is that of a node.
    Contraction(usize),
    /// These elements.
    Elements(&'t [Element]),
    /// A Hangul syllable: elements of its letters.
    Hangul([&'t [Element]; 3]),
    /// Not in the table.
    Implicit(Element),
}

/// A place in the tree of contractions.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Position of the elements of the contraction that ends here, or 0.
    pub(super) list: u16,
    /// Nodes by the next character.
    children: Vec<(char, usize)>,
}

impl Node {
    pub(super) fn child(&self, next: char) -> Option<usize> {
        let found = self.children.binary_search_by_key(&next, |(c, _)| *c);
        found.ok().map(|index| self.children[index].1)
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }
}

/// A character that does not begin a segment of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    code: u32,
    /// Combining class of the first character of its canonical decomposition.
    pub(super) lead_class: u8,
    /// The same of the last.
    pub(super) trail_class: u8,
    /// Characters of its canonical decomposition.
    pub(super) count: u8,
}

#[derive(Debug)]
pub(super) struct Table {
    /// Page numbers by the higher bits of a character; page 0 is empty.
    pages: Vec<u8>,
    entries: Vec<u16>,
    elements: Vec<Element>,
    nodes: Vec<Node>,
    marks: Vec<Mark>,
    ideographs: Vec<(u32, u32)>,
}

impl Table {
    /// The root collation.
    pub(super) fn root() -> &'static Self {
        static ROOT: LazyLock<Table> =
            LazyLock::new(|| Table::unpack(FILE).expect("the file is part of the program and tested"));
        &ROOT
    }

    pub(super) fn entry(&self, c: char) -> Entry<'_> {
        let code = u32::from(c);
        match self.raw_entry(code) {
            0 if HANGUL.contains(&code) => self.hangul(code - HANGUL.start()),
            0 => Entry::Implicit(Element::implicit(self.implicit_primary(code))),
            entry if entry >= FIRST_CONTRACTION => Entry::Contraction(usize::from(entry - FIRST_CONTRACTION)),
            entry => Entry::Elements(self.list(entry)),
        }
    }

    pub(super) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// The elements at a position counted from 1, up to the one marked as the last.
    pub(super) fn list(&self, position: u16) -> &[Element] {
        let rest = &self.elements[usize::from(position) - 1..];
        let last = rest.iter().position(|element| element.0 & Element::LAST != 0);
        &rest[..last.map_or(rest.len(), |last| last + 1)]
    }

    pub(super) fn mark(&self, c: char) -> Option<Mark> {
        let found = self.marks.binary_search_by_key(&u32::from(c), |mark| mark.code);
        found.ok().map(|index| self.marks[index])
    }

    fn raw_entry(&self, code: u32) -> u16 {
        let [low, middle, high, _] = code.to_le_bytes();
        let page = self.pages[usize::from(high) << 8 | usize::from(middle)];
        self.entries[usize::from(page) * PAGE_SIZE + usize::from(low)]
    }

    /// Leading consonant, vowel, and final consonant if there is one.
    fn hangul(&self, index: u32) -> Entry<'_> {
        const VOWELS: u32 = 21;
        const FINALS: u32 = 28;
        let letter = |code: u32| match self.raw_entry(code) {
            0 | FIRST_CONTRACTION.. => &[][..],
            entry => self.list(entry),
        };
        let last = index % FINALS;
        Entry::Hangul([
            letter(0x1100 + index / (VOWELS * FINALS)),
            letter(0x1161 + index / FINALS % VOWELS),
            if last == 0 { &[] } else { letter(0x11A7 + last) },
        ])
    }

    fn implicit_primary(&self, code: u32) -> u32 {
        let behind = self.ideographs.partition_point(|(first, _)| *first <= code);
        let is_ideograph = behind > 0 && code <= self.ideographs[behind - 1].1;
        match code {
            0x4E00..=0x9FFF | 0xF900..=0xFAFF if is_ideograph => code + 0x1_0000,
            _ if is_ideograph => code + 0x2_0000,
            _ => code + 0x5_0000,
        }
    }

    fn unpack(file: &[u8]) -> Option<Self> {
        let mut input = Input(file.strip_prefix(MAGIC)?);
        let counts = [input.u32()?, input.u32()?, input.u32()?, input.u32()?, input.u32()?];
        let [elements, pages, contractions, marks, ideographs] = counts;
        let mut table = Self {
            pages: vec![0; PAGES],
            entries: vec![0; PAGE_SIZE],
            elements: (0..elements).map(|_| input.u32().map(Element)).collect::<Option<_>>()?,
            nodes: Vec::new(),
            marks: Vec::new(),
            ideographs: Vec::new(),
        };
        for number in 1..=pages {
            *table.pages.get_mut(usize::from(input.u16()?))? = u8::try_from(number).ok()?;
            for _ in 0..PAGE_SIZE {
                table.entries.push(input.u16()?);
            }
        }
        let mut trees = BTreeMap::new();
        for _ in 0..contractions {
            let (starter, length, list) = (input.u8()?, input.u8()?, input.u16()?);
            let suffix = (0..length).map(|_| char::from_u32(input.u32()?)).collect::<Option<Vec<_>>>()?;
            trees.entry(starter).or_insert_with(Tree::default).insert(&suffix, list);
        }
        table.add_trees(trees);
        for _ in 0..marks {
            let (code, lead_class, trail_class, count) =
                (input.u32()?, input.u8()?, input.u8()?, input.u8()?);
            input.u8()?;
            table.marks.push(Mark { code, lead_class, trail_class, count });
        }
        table.ideographs =
            (0..ideographs).map(|_| Some((input.u32()?, input.u32()?))).collect::<Option<_>>()?;
        input.0.is_empty().then_some(table)
    }

    /// Roots first, in the order of their numbers.
    fn add_trees(&mut self, trees: BTreeMap<u8, Tree>) {
        self.nodes.resize_with(trees.len(), Node::default);
        let mut pending: Vec<(usize, Tree)> = trees.into_values().enumerate().collect();
        while let Some((number, tree)) = pending.pop() {
            let mut children = Vec::new();
            for (c, child) in tree.children {
                children.push((c, self.nodes.len()));
                pending.push((self.nodes.len(), child));
                self.nodes.push(Node::default());
            }
            self.nodes[number] = Node { list: tree.list, children };
        }
    }
}

/// Contractions of one character, while they are read.
#[derive(Default)]
struct Tree {
    list: u16,
    children: BTreeMap<char, Tree>,
}

impl Tree {
    fn insert(&mut self, suffix: &[char], list: u16) {
        match suffix.split_first() {
            None => self.list = list,
            Some((first, rest)) => self.children.entry(*first).or_default().insert(rest, list),
        }
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole() {
        let table = Table::unpack(FILE).unwrap();
        assert_eq!(table.marks.len(), 925);
        assert!(table.marks.is_sorted_by_key(|mark| mark.code));
        assert!(table.ideographs.is_sorted());
        // Every entry of every character can be looked up.
        for c in '\0'..=char::MAX {
            if let Entry::Contraction(number) = table.entry(c) {
                assert!(!table.list(table.node(number).list).is_empty());
            }
        }
        assert!(table.nodes.iter().all(|node| node.list != 0 || !node.is_leaf()));
    }

    #[test]
    fn a_cut_file_is_refused() {
        for end in [0, 7, 8, 30, 1_000, FILE.len() - 1] {
            assert!(Table::unpack(&FILE[..end]).is_none(), "{end}");
        }
    }

    #[test]
    fn elements_hold_weight_and_class() {
        let table = Table::root();
        let Entry::Elements([element]) = table.entry('\u{363}') else {
            panic!("one element is expected");
        };
        assert_eq!((element.primary(), element.class()), (0x15ef, 230));
    }
}
