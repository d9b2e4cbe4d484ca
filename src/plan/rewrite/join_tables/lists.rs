//! What each side's query has to give, and the joins that its rows go through.
//!
//! Rows of every side and of every join but the last one begin with the columns that equal the next side's, then the number
//! of rows that a group stands for, then a flag. Behind them stand the parts of the select list: those of a join are those of
//! its sides one after the other.

use super::{Column, Tables, refusal};
use crate::error::Result;
use crate::plan::operator;
use crate::plan::primitive::{Join, JoinQuery, JoinRows, JoinSide, JoinedColumn, KeptSide, Piece, Template};
use crate::plan::source::quote;

/// What the sides' queries have to give. Places are places in the order in which sides are read.
pub(super) struct Lists {
    /// The sides, in the order in which they are read.
    order: Vec<usize>,
    /// For each place the texts, and whether they are sums over groups.
    texts: Vec<Vec<(Vec<Piece>, bool)>>,
    /// For each place how many of them are part of the select list; joins that follow need the others.
    shown: Vec<usize>,
    /// For each place: all columns come behind the others.
    has_rest: Vec<bool>,
    columns: Vec<Shown>,
}

/// A column of the last join.
enum Shown {
    /// A text of a place.
    One(usize, usize),
    Rest(usize),
}

impl Lists {
    pub(super) fn new(order: Vec<usize>) -> Self {
        let count = order.len();
        Self {
            order,
            texts: vec![Vec::new(); count],
            shown: Vec::new(),
            has_rest: vec![false; count],
            columns: Vec::new(),
        }
    }

    pub(super) fn place(&self, side: usize) -> usize {
        self.order.iter().position(|known| *known == side).unwrap_or_default()
    }

    /// Adds a column of a side; `None`: of any.
    pub(super) fn one(&mut self, side: Option<usize>, text: Vec<Piece>, is_multiplied: bool) {
        let place = side.map_or(0, |side| self.place(side));
        self.columns.push(Shown::One(place, self.texts[place].len()));
        self.texts[place].push((text, is_multiplied));
    }

    /// Adds all columns of a side, which is possible once.
    pub(super) fn rest(&mut self, side: usize) -> Result<()> {
        let place = self.place(side);
        if std::mem::replace(&mut self.has_rest[place], true) {
            return Err(refusal());
        }
        self.columns.push(Shown::Rest(place));
        Ok(())
    }

    /// Adds a column that no one sees.
    fn carry(&mut self, side: usize, text: Vec<Piece>) -> (usize, usize) {
        let place = self.place(side);
        self.texts[place].push((text, false));
        (place, self.texts[place].len() - 1)
    }

    /// Where the join of place `step` with those before it finds a text.
    fn found(&self, step: usize, (place, text): (usize, usize), is_multiplied: bool) -> JoinedColumn {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        if place == step {
            return JoinedColumn::One { side: 1, column: number(text), is_multiplied };
        }
        let before: usize = self.texts[..place].iter().map(Vec::len).sum();
        JoinedColumn::One { side: 0, column: number(before + text), is_multiplied }
    }

    /// The columns of the join of place `step` with those before it, as the next join needs them.
    fn between(&self, step: usize, next: &Next, is_grouped: bool) -> Vec<JoinedColumn> {
        let mut columns: Vec<_> = next.keys.iter().map(|key| self.found(step, *key, false)).collect();
        columns.extend(is_grouped.then_some(JoinedColumn::Weight));
        columns.extend(next.flag.map(|flag| self.found(step, flag, false)));
        for place in 0..=step {
            let texts = self.texts[place].iter().enumerate();
            columns.extend(texts.map(|(text, (_, times))| self.found(step, (place, text), *times)));
        }
        columns
    }

    /// The columns of the last join.
    fn last(&self) -> Vec<JoinedColumn> {
        let step = self.order.len() - 1;
        let each = self.columns.iter().map(|column| match *column {
            Shown::One(place, text) => self.found(step, (place, text), self.texts[place][text].1),
            Shown::Rest(place) => JoinedColumn::Rest { side: u8::from(place == step) },
        });
        each.collect()
    }
}

/// What the rows of a join have to begin with: texts of places.
struct Next {
    keys: Vec<(usize, usize)>,
    names: Vec<Box<str>>,
    flag: Option<(usize, usize)>,
}

/// Columns that are equal; the second one is of the side that is read later.
struct Pair<'k> {
    ends: [&'k Column; 2],
    /// Compared by a collation.
    is_text: bool,
}

/// What a side's rows begin with.
struct Keys<'k> {
    /// The columns: where those of each begin, and whether they are compared by a collation.
    columns: Vec<(usize, &'k Column, bool)>,
    list: Vec<Box<str>>,
    /// Where those of text begin.
    texts: Vec<usize>,
}

/// What each side is grouped by.
type Groups<'g> = Option<&'g [Vec<Vec<Piece>>]>;

impl Tables<'_> {
    /// Joins the sides one after the other.
    pub(super) fn joined(&self, mut lists: Lists, groups: Option<Vec<Vec<Vec<Piece>>>>) -> Result<Join> {
        let order = lists.order.clone();
        let mut steps = Vec::new();
        for step in 1..order.len() {
            steps.push(self.pairs(order[step], &order[..step])?);
        }
        lists.shown = lists.texts.iter().map(Vec::len).collect();
        let mut nexts = Vec::new();
        for (pairs, side) in steps.iter().zip(&order[1..]).skip(1) {
            let mut next = Next { keys: Vec::new(), names: Vec::new(), flag: None };
            for pair in pairs {
                for text in self.key_texts(pair.ends[0], pair.is_text) {
                    let side = self.side_of_table[pair.ends[0].table];
                    next.keys.push(lists.carry(side, vec![Piece::text(&text)]));
                    next.names.push(text);
                }
            }
            let flag = self.meets[*side].as_ref();
            next.flag = flag.map(|(about, flags)| lists.carry(*about, Self::flag_of(flags)));
            nexts.push(next);
        }
        let groups = groups.as_deref();
        let first = self.keys_of(&steps[0], 0);
        let mut outer = self.side(order[0], &first, &lists, groups);
        let mut nexts = nexts.into_iter();
        for (index, pairs) in steps.iter().enumerate() {
            let (step, side) = (index + 1, order[index + 1]);
            let own = self.keys_of(pairs, 1);
            let inner = self.side(side, &own, &lists, groups);
            let next = nexts.next();
            let columns = match &next {
                Some(next) => lists.between(step, next, groups.is_some()),
                None => lists.last(),
            };
            let kept = self.kept_at(order[0], side).map(|kept| {
                let nullable = if kept == 0 { (side, &own) } else { (order[0], &first) };
                KeptSide { side: kept, nulls: self.nulls(nullable.0, nullable.1, &lists, groups) }
            });
            let join = Join {
                sides: [outer, inner],
                names: vec![None; columns.len()],
                columns,
                helpers: 0,
                kept,
                exists: None,
                text_keys: own.texts.clone(),
                needs_not_null: self.needs_not_null,
                merged: Vec::new(),
                description: None,
            };
            let Some(next) = next else {
                return Ok(join);
            };
            let (has_flag, keys) = (next.flag.is_some(), next.names);
            outer = JoinSide { rows: JoinRows::Joined(Box::new(join)), has_flag, keys };
        }
        Err(refusal())
    }

    /// Which side of the join of `side` with those before it, of which `first` is the first, keeps all of its rows.
    fn kept_at(&self, first: usize, side: usize) -> Option<u8> {
        match self.kept {
            Some(kept) => Some(u8::from(kept != first)),
            None => self.sides[side].is_optional.then_some(0),
        }
    }

    /// The pairs of columns by which a side meets those before it.
    fn pairs(&self, side: usize, before: &[usize]) -> Result<Vec<Pair<'_>>> {
        let mut pairs = Vec::new();
        for key in &self.keys {
            if let Some(ends) = self.ends(key, side, before) {
                pairs.push(Pair { ends, is_text: self.is_text(key)? });
            }
        }
        if pairs.is_empty() { Err(refusal()) } else { Ok(pairs) }
    }

    /// The keys of one end of the pairs.
    fn keys_of<'k>(&self, pairs: &[Pair<'k>], end: usize) -> Keys<'k> {
        let mut keys = Keys { columns: Vec::new(), list: Vec::new(), texts: Vec::new() };
        for pair in pairs {
            keys.columns.push((keys.list.len(), pair.ends[end], pair.is_text));
            keys.texts.extend(pair.is_text.then_some(keys.list.len()));
            keys.list.extend(self.key_texts(pair.ends[end], pair.is_text));
        }
        keys
    }

    fn side(&self, side: usize, keys: &Keys<'_>, lists: &Lists, groups: Groups<'_>) -> JoinSide {
        let leader = &self.inputs[self.leader(side)];
        let mut pieces = self.select_list(side, keys, lists, groups.is_some());
        pieces.push(Piece::text(" from "));
        pieces.extend(self.clause_of(side));
        pieces.push(Piece::text(" where 1"));
        for filter in &self.filters[side] {
            pieces.push(Piece::text(" and ("));
            pieces.extend(filter.pieces.iter().cloned());
            pieces.push(Piece::text(")"));
        }
        let by_vindex = keys.columns.iter().find_map(|(at, key, is_text)| {
            let mut reducers = self.inputs[key.table].reducers.iter();
            let by_vindex = reducers.find(|reducer| reducer.vindex.is_some() && reducer.column == key.name);
            let vindex = by_vindex.and_then(|reducer| reducer.vindex.clone());
            let vindex = vindex.or_else(|| self.vindex_of(key.table, &key.name).filter(|_| self.is_semi));
            Some((*at, *key, Some(vindex.filter(|_| !is_text)?)))
        });
        let (at, column, vindex) = by_vindex.unwrap_or((0, keys.columns[0].1, None));
        let query = JoinQuery {
            keyspace: leader.keyspace.clone(),
            routing: leader.routing.clone(),
            head: Template { pieces: operator::joined(pieces) },
            tail: groups.map(|groups| self.tail(side, keys, lists, &groups[side])),
            asked: (at, vindex),
            asked_column: self.name(column),
        };
        let keys = keys.list.clone();
        JoinSide { rows: JoinRows::Query(query), has_flag: !self.flags[side].is_empty(), keys }
    }

    /// The query of a side whose one row is all NULLs, as an outer join makes it.
    fn nulls(&self, side: usize, keys: &Keys<'_>, lists: &Lists, groups: Groups<'_>) -> Template {
        let mut pieces = self.select_list(side, keys, lists, groups.is_some());
        let other = quote(&format!("{}_", self.inputs[self.sides[side].tables[0]].alias));
        let is_one = self.sides[side].optional.is_empty() && self.sides[side].tables.len() == 1;
        let [open, close] = if is_one { ["", ""] } else { ["(", ")"] };
        pieces.push(Piece::text(&format!(" from (select 1 as {other}) as {other} left join {open}")));
        pieces.extend(self.clause_of(side));
        pieces.push(Piece::text(&format!("{close} on 0")));
        pieces
            .extend(groups.into_iter().flat_map(|groups| self.tail(side, keys, lists, &groups[side]).pieces));
        Template { pieces: operator::joined(pieces) }
    }

    /// A column as SQL.
    pub(super) fn name(&self, column: &Column) -> Box<str> {
        format!("{}.{}", quote(&self.inputs[column.table].alias), quote(&column.name)).into()
    }

    fn select_list(&self, side: usize, keys: &Keys<'_>, lists: &Lists, is_grouped: bool) -> Vec<Piece> {
        // Of a sub-query only counts that there are rows.
        let (verb, count) = match self.is_semi && side == 1 {
            true if !is_grouped => ("select distinct ", ""),
            true => ("select ", ", 1"),
            false => ("select ", ", count(*)"),
        };
        let mut pieces = vec![Piece::text(verb), Piece::text(&keys.list.join(", "))];
        if is_grouped {
            pieces.push(Piece::text(count));
        }
        let place = lists.place(side);
        let texts = lists.texts[place].iter().map(|(text, _)| text);
        for text in self.flag(side).iter().chain(texts) {
            pieces.push(Piece::text(", "));
            pieces.extend(text.iter().cloned());
        }
        if lists.has_rest[place] {
            let alias = &self.inputs[self.sides[side].tables[0]].alias;
            pieces.push(Piece::text(&format!(", {}.*", quote(alias))));
        }
        pieces
    }

    /// ` group by …`, with the keys, the flag, and what joins that follow need.
    fn tail(&self, side: usize, keys: &Keys<'_>, lists: &Lists, groups: &[Vec<Piece>]) -> Template {
        let mut pieces = vec![Piece::text(" group by "), Piece::text(&keys.list.join(", "))];
        if !self.flags[side].is_empty() {
            // By position, behind the keys and the count.
            pieces.push(Piece::text(&format!(", {}", keys.list.len() + 2)));
        }
        let place = lists.place(side);
        let carried = lists.texts[place].iter().skip(lists.shown[place]).map(|(text, _)| text);
        for text in groups.iter().chain(carried) {
            pieces.push(Piece::text(", "));
            pieces.extend(text.iter().cloned());
        }
        Template { pieces: operator::joined(pieces) }
    }
}
