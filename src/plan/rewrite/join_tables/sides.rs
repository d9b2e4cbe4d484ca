//! Which tables of a join one query at the shards can read together, and in which order such sides are joined.
//!
//! Tables meet on their shards where a vindex ties them or where every shard has all rows of one. Inner joins come first,
//! the side with the fewest rows before the others; outer joins keep the order in which they are written.

use super::{Column, Key, Tables, rank, refusal};
use crate::error::Result;
use crate::plan::primitive::{GatherInput, Piece, Routing, Template};
use crate::plan::source::quote;
use crate::sql::ast::Expr;

/// Tables that one query reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// Those whose rows must be there, in the order of the FROM clause.
    pub(super) tables: Vec<usize>,
    /// Those whose rows may be missing beside them, each with what its rows must satisfy.
    pub(super) optional: Vec<(usize, Vec<Template>)>,
    /// All of its rows may be missing beside those of sides before it.
    pub(super) is_optional: bool,
}

impl Side {
    pub(super) fn of(table: usize) -> Self {
        Self { tables: vec![table], ..Self::default() }
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        self.tables.iter().copied().chain(self.optional.iter().map(|(table, _)| *table))
    }
}

/// A table that is joined from the left, whose rows may be missing.
pub(super) struct Optional<'e> {
    pub(super) table: usize,
    pub(super) on: Vec<&'e Expr>,
}

impl Tables<'_> {
    /// Makes sides of the tables that are not `optional`; `keys` hold for their rows.
    pub(super) fn form_sides(&mut self, keys: &[Key], optional: &[Optional<'_>]) {
        let is_inner = |table: usize| !optional.iter().any(|optional| optional.table == table);
        let inner: Vec<usize> = (0..self.inputs.len()).filter(|table| is_inner(*table)).collect();
        let keys: Vec<(usize, usize)> = keys
            .iter()
            .map(|[a, b]| (a.table, b.table))
            .filter(|(a, b)| {
                is_inner(*a) && is_inner(*b) && self.inputs[*a].keyspace == self.inputs[*b].keyspace
            })
            .collect();
        let mut group: Vec<usize> = (0..self.inputs.len()).collect();
        let unite = |group: &mut Vec<usize>, a: usize, b: usize| {
            let (from, to) = (group[a], group[b]);
            group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        };
        for (a, b) in &keys {
            if self.are_tied(*a, *b) {
                unite(&mut group, *a, *b);
            }
        }
        // A table that is everywhere joins one side only, sharded ones before others.
        let is_everywhere = |table: usize| self.inputs[table].is_everywhere;
        let mut is_attached: Vec<bool> = (0..self.inputs.len()).map(|table| !is_everywhere(table)).collect();
        while let Some((a, b)) = keys.iter().find(|(a, b)| is_attached[*a] != is_attached[*b]).copied() {
            let (new, old) = if is_attached[a] { (b, a) } else { (a, b) };
            unite(&mut group, new, old);
            is_attached[new] = true;
        }
        for (a, b) in keys {
            if !is_attached[a] && !is_attached[b] {
                unite(&mut group, a, b);
            }
        }
        self.sides.clear();
        self.side_of_table = vec![usize::MAX; self.inputs.len()];
        let mut known: Vec<usize> = Vec::new();
        for table in inner {
            let side = known.iter().position(|known| *known == group[table]);
            let side = side.unwrap_or_else(|| {
                known.push(group[table]);
                self.sides.push(Side::default());
                self.sides.len() - 1
            });
            self.sides[side].tables.push(table);
            self.side_of_table[table] = side;
        }
    }

    /// Adds a table whose rows may be missing: to the side that its conditions are about, if they meet on its shards.
    pub(super) fn place_optional(&mut self, optional: &Optional<'_>) -> Result<()> {
        let table = optional.table;
        let (mut sides, mut keys, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for condition in &optional.on {
            let (tables, text) = self.tables_of_condition(condition)?;
            sides.extend(
                tables.iter().filter(|other| **other != table).map(|other| self.side_of_table[*other]),
            );
            keys.extend(self.equal_columns(condition));
            texts.push(text);
        }
        sides.sort_unstable();
        sides.dedup();
        if let [side] = sides.as_slice() {
            let meets = keys.iter().any(|[a, b]| {
                let other = if a.table == table { b.table } else { a.table };
                (a.table == table || b.table == table) && self.stays_beside(other, table, *side)
            });
            if meets {
                self.sides[*side].optional.push((table, texts));
                self.side_of_table[table] = *side;
                return Ok(());
            }
        }
        self.side_of_table[table] = self.sides.len();
        self.sides.push(Side { is_optional: true, ..Side::of(table) });
        Ok(())
    }

    /// Are rows of `table` where the rows of `other` are, which is a table of `side`?
    fn stays_beside(&self, other: usize, table: usize, side: usize) -> bool {
        let [own, old] = [table, other].map(|table| &self.inputs[table]);
        own.keyspace == old.keyspace
            && (own.is_everywhere || self.are_tied(other, table))
            && self.sides[side].all().any(|table| table == other)
    }

    /// Are rows of both that meet on one shard?
    fn are_tied(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.instance(a), self.instance(b)) else { return false };
        let edges = &self.analysis.edges;
        edges.contains(&(a, b)) || edges.contains(&(b, a))
    }

    /// The analysis's number of a table; those that are everywhere have none.
    fn instance(&self, table: usize) -> Option<usize> {
        let is_instance = |input: &&GatherInput| !input.is_everywhere;
        is_instance(&&self.inputs[table]).then(|| self.inputs[..table].iter().filter(is_instance).count())
    }

    /// The order in which sides are read.
    pub(super) fn order_sides(&self) -> Result<Vec<usize>> {
        let mut left: Vec<usize> =
            (0..self.sides.len()).filter(|side| !self.sides[*side].is_optional).collect();
        let mut order: Vec<usize> = Vec::new();
        while !left.is_empty() {
            let meets = |side: usize| {
                order.is_empty() || self.keys.iter().any(|key| self.ends(key, side, &order).is_some())
            };
            let next = left.iter().copied().filter(|side| meets(*side));
            let next = next.min_by_key(|side| self.rank(*side)).ok_or_else(refusal)?;
            left.retain(|side| *side != next);
            order.push(next);
        }
        order.extend((0..self.sides.len()).filter(|side| self.sides[*side].is_optional));
        Ok(order)
    }

    /// The ends of a key, if one is of `side` and the other one of a side in `before`: the other one first.
    pub(super) fn ends<'k>(&self, key: &'k Key, side: usize, before: &[usize]) -> Option<[&'k Column; 2]> {
        let [a, b] = [0, 1].map(|end: usize| self.side_of_table[key[end].table]);
        if b == side && before.contains(&a) {
            Some([&key[0], &key[1]])
        } else if a == side && before.contains(&b) {
            Some([&key[1], &key[0]])
        } else {
            None
        }
    }

    /// Sides with fewer rows, as far as their conditions tell, have a lower one.
    pub(super) fn rank(&self, side: usize) -> u8 {
        let ranks =
            self.sides[side].tables.iter().map(|table| rank(&self.inputs[*table], self.is_filtered[side]));
        ranks.min().unwrap_or(u8::MAX)
    }

    /// The table that says where a side's rows are.
    pub(super) fn leader(&self, side: usize) -> usize {
        let tables = &self.sides[side].tables;
        let preference = |table: &&usize| {
            let input = &self.inputs[**table];
            let is_some = match &input.routing {
                Routing::EqualUnique(_) | Routing::None | Routing::Pinned(_) => 0_u8,
                Routing::In(_) | Routing::Intersect(_) | Routing::Union(_) => 1,
                _ => 2,
            };
            (input.is_everywhere, is_some)
        };
        tables.iter().min_by_key(preference).copied().unwrap_or(tables[0])
    }

    /// The tables of a side, as a FROM clause names them.
    pub(super) fn clause_of(&self, side: usize) -> Vec<Piece> {
        let name = |table: usize| {
            let input = &self.inputs[table];
            format!("{} as {}", quote(&input.table), quote(&input.alias))
        };
        let side = &self.sides[side];
        let mut pieces = Vec::new();
        for (index, table) in side.tables.iter().enumerate() {
            let text = if index == 0 { name(*table) } else { format!(" inner join {} on 1", name(*table)) };
            pieces.push(Piece::text(&text));
        }
        for (table, conditions) in &side.optional {
            pieces.push(Piece::text(&format!(" left join {} on 1", name(*table))));
            for condition in conditions {
                pieces.push(Piece::text(" and ("));
                pieces.extend(condition.pieces.iter().cloned());
                pieces.push(Piece::text(")"));
            }
        }
        pieces
    }
}
