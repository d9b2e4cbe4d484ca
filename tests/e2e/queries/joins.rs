//! Generated joins by equality, each part of which is about one table: what the router joins by itself.

use std::fmt::Write as _;

use super::expression::shown;
use super::generate::{DEPTH_MAX, Generator, Query};
use super::tables::{self, Kind, Source};

/// Columns that tables are joined by. Those of one table that lead others' shards come more than once.
const KEYS: [(&str, &str, Kind); 18] = [
    ("a", "g", Kind::Integer),
    ("a", "g", Kind::Integer),
    ("a", "id", Kind::Integer),
    ("b", "a_id", Kind::Integer),
    ("b", "n", Kind::Integer),
    ("b", "n", Kind::Integer),
    ("b", "amount", Kind::Decimal),
    ("kinds", "id", Kind::Integer),
    ("kinds", "i", Kind::Integer),
    ("kinds", "tinyu", Kind::Integer),
    ("kinds", "dec0", Kind::Decimal),
    ("kinds", "dec2", Kind::Decimal),
    ("kinds", "dt", Kind::Date),
    ("a", "v", Kind::Text),
    ("b", "code", Kind::Text),
    ("kinds", "v", Kind::Text),
    ("kinds", "vbin", Kind::Text),
    ("kinds", "lat", Kind::Text),
];

/// Tables with columns of one name. One of them is in the other keyspace.
const MERGED: [(&str, &str, &str); 4] =
    [("a", "a", "id"), ("a", "kinds", "id"), ("b", "c", "a_id"), ("b", "b", "n, a_id")];

impl Generator<'_> {
    pub(super) fn join_of_two(&mut self) -> Query {
        let (from, sources) = match self.random.below(10) {
            0 | 1 => self.merged_pair(),
            2..4 => self.half_pair(),
            4..7 => self.several(),
            _ => self.pair(),
        };
        let mut rest = format!("from {from}");
        let mut word = if from.contains(" where ") { " and " } else { " where " };
        for _ in 0..self.random.below(3) {
            let condition = self.one_sided(&sources);
            let _ = write!(rest, "{word}{condition}");
            word = " and ";
        }
        let is_grouped = self.random.chance(35);
        let kinds = self.kinds();
        let mut list = Vec::new();
        let mut keys = Vec::new();
        for kind in &kinds {
            let scope = std::slice::from_ref(self.one_of(&sources));
            if !is_grouped {
                list.push(self.scalar(*kind, scope, DEPTH_MAX));
                continue;
            }
            match self.raw_column(*kind, scope) {
                Some((column, is_loose)) if self.random.chance(50) => {
                    list.push(shown(&column, is_loose));
                    keys.push(column);
                }
                _ => list.push(self.aggregate(*kind, scope, DEPTH_MAX)),
            }
        }
        let is_star = !is_grouped && self.random.chance(15);
        if is_star {
            list = vec![self.random.pick(&["*", "*", "*, 1"]).to_owned()];
        }
        if !keys.is_empty() {
            let _ = write!(rest, " group by {}", keys.join(", "));
        }
        let verb =
            if !is_grouped && !is_star && self.random.chance(10) { "select distinct" } else { "select" };
        let is_ordered = !is_star && self.random.chance(50);
        if is_ordered {
            rest += &self.positions(kinds.len());
            if self.random.chance(40) && (self.is_mysql() || verb == "select") {
                rest += &self.limit();
            }
        }
        Query { sql: format!("{verb} {} {rest}", list.join(", ")), is_ordered, may_be_prepared: true }
    }

    /// Two columns to be equal.
    fn keys(&mut self) -> [(&'static str, &'static str, Kind); 2] {
        let key = |generator: &mut Self| {
            KEYS[usize::try_from(generator.random.below(KEYS.len() as u64)).unwrap_or(0)]
        };
        let left = key(self);
        loop {
            let right = key(self);
            if [Kind::Date, Kind::Text].iter().all(|kind| (right.2 == *kind) == (left.2 == *kind)) {
                return [left, right];
            }
        }
    }

    /// A table, and another one in a sub-query.
    fn half_pair(&mut self) -> (String, Vec<Source>) {
        let [left, right] = self.keys();
        let [one, two] = [left.0, right.0].map(|table| self.named(table));
        let keyspace = if self.random.chance(10) { format!("{}.", self.other) } else { String::new() };
        let (outer, inner) = (&one.alias, &two.alias);
        let table = format!("{} {outer} where {outer}.{}", left.0, left.1);
        let condition = match self.random.below(3) {
            0 => String::new(),
            _ => format!(" and {}", self.one_sided(std::slice::from_ref(&two))),
        };
        let sql = if self.random.chance(60) {
            let conditions = format!("1 = 1{condition}");
            let conditions =
                if condition.is_empty() { "" } else { conditions.trim_start_matches("1 = 1 and ") };
            let word = if conditions.is_empty() { "" } else { " where " };
            let (distinct, not) =
                (self.random.pick(&["", "", "distinct "]), self.random.pick(&["", "", "", "not "]));
            format!(
                "{table} {not}in (select {distinct}{inner}.{} from {keyspace}{} {inner}{word}{conditions})",
                right.1, right.0
            )
        } else {
            let table = format!("{} {outer} where {}", left.0, self.random.pick(&["", "", "", "not "]));
            format!(
                "{table}exists (select {} from {keyspace}{} {inner} where {inner}.{} = {outer}.{}{condition})",
                self.random.pick(&["1", "*"]),
                right.0,
                right.1,
                left.1
            )
        };
        (sql, vec![one])
    }

    fn pair(&mut self) -> (String, Vec<Source>) {
        let [left, right] = self.keys();
        let sources = [left.0, right.0].map(|table| self.named(table));
        let keyspace = if self.random.chance(10) { format!("{}.", self.other) } else { String::new() };
        let (one, two) = (&sources[0].alias, &sources[1].alias);
        let kind = self.random.pick(&["join", "left join", "left join", "right join"]);
        let mut sql = format!(
            "{keyspace}{} {one} {kind} {} {two} on {one}.{} = {two}.{}",
            left.0, right.0, left.1, right.1
        );
        for _ in 0..self.random.below(3) {
            let condition = self.one_sided(&sources);
            let _ = write!(sql, " and {condition}");
        }
        (sql, sources.to_vec())
    }

    /// Three or four tables, each joined with one before it.
    fn several(&mut self) -> (String, Vec<Source>) {
        let [first, second] = self.keys();
        let mut tables = vec![(first.0, self.named(first.0))];
        let mut sql = format!("{} {}", first.0, tables[0].1.alias);
        let mut pair = Some([first, second]);
        for _ in 0..self.random.between(2, 3) {
            let [left, right] = match pair.take() {
                Some(pair) => pair,
                None => loop {
                    let pair = self.keys();
                    if tables.iter().any(|(table, _)| *table == pair[0].0) {
                        break pair;
                    }
                },
            };
            let own = self.named(right.0);
            let known: Vec<_> = tables.iter().filter(|(table, _)| *table == left.0).collect();
            let other = &known[usize::try_from(self.random.below(known.len() as u64)).unwrap_or(0)].1;
            let kind = self.random.pick(&["join", "join", "left join"]);
            let _ = write!(
                sql,
                " {kind} {} {} on {}.{} = {}.{}",
                right.0, own.alias, other.alias, left.1, own.alias, right.1
            );
            tables.push((right.0, own));
            if self.random.chance(30) {
                let sources: Vec<_> = tables.iter().map(|(_, source)| source.clone()).collect();
                let condition = self.one_sided(&sources);
                let _ = write!(sql, " and {condition}");
            }
        }
        (sql, tables.into_iter().map(|(_, source)| source).collect())
    }

    fn merged_pair(&mut self) -> (String, Vec<Source>) {
        let (left, right, columns) = MERGED[usize::try_from(self.random.below(4)).unwrap_or(0)];
        let sources = [left, right].map(|table| self.named(table));
        let (one, two) = (&sources[0].alias, &sources[1].alias);
        let kind = self.random.pick(&["", "left ", "right "]);
        let other = self.other;
        let sql = if self.random.chance(25) {
            format!("{other}.{left} {one} natural {kind}join {right} {two}")
        } else {
            format!("{other}.{left} {one} {kind}join {right} {two} using ({columns})")
        };
        (sql, sources.to_vec())
    }

    fn named(&mut self, table: &str) -> Source {
        Source { alias: self.name("t"), columns: tables::columns_of(tables::table_named(table).1) }
    }

    fn one_of<'s>(&mut self, sources: &'s [Source]) -> &'s Source {
        &sources[usize::try_from(self.random.below(sources.len() as u64)).unwrap_or(0)]
    }

    /// A condition about one of the tables.
    fn one_sided(&mut self, sources: &[Source]) -> String {
        let source = self.one_of(sources);
        if self.random.chance(30) {
            let column = &source.columns[usize::try_from(self.random.below(2)).unwrap_or(0)].name;
            return format!("{}.{column} is {}null", source.alias, self.random.pick(&["", "", "not "]));
        }
        format!("({})", self.predicate(std::slice::from_ref(source), DEPTH_MAX))
    }
}
