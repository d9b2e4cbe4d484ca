//! Generated unions of what tables have, as the shards make them and the router puts them together.

use std::fmt::Write as _;

use super::generate::{DEPTH_MAX, Generator, Query};
use super::tables::{self, Kind, Source};

const KINDS: [Kind; 5] = [Kind::Integer, Kind::Integer, Kind::Decimal, Kind::Date, Kind::Datetime];
const TABLES: [&str; 4] = ["a", "b", "c", "kinds"];

impl Generator<'_> {
    pub(super) fn union_of_columns(&mut self) -> Query {
        let kinds: Vec<Kind> = (0..self.random.between(1, 3))
            .map(|_| KINDS[usize::try_from(self.random.below(KINDS.len() as u64)).unwrap_or(0)])
            .collect();
        let mut sql = String::new();
        for part in 0..self.random.between(2, 3) {
            if part > 0 {
                let _ =
                    write!(sql, " {} ", self.random.pick(&["union", "union", "union all", "union distinct"]));
            }
            let table = self.random.pick(&TABLES);
            let alias = self.name("t");
            let columns = tables::columns_of(tables::table_named(table).1);
            let scope = [Source { alias: alias.clone(), columns }];
            let list: Vec<_> = kinds
                .iter()
                .map(|kind| match self.raw_column(*kind, &scope) {
                    Some((column, _)) => column,
                    None => self.literal(*kind),
                })
                .collect();
            let _ = write!(sql, "select {} from {table} {alias}", list.join(", "));
            if self.random.chance(50) {
                let _ = write!(sql, " where {}", self.predicate(&scope, DEPTH_MAX));
            }
        }
        let is_ordered = self.random.chance(60);
        if is_ordered {
            sql += &self.positions(kinds.len());
            if self.random.chance(60) {
                sql += &self.limit();
            }
        }
        Query { sql, is_ordered, may_be_prepared: true }
    }
}
