//! Generated statements of less common forms: windows with frames, sub-queries in every clause, nested set operations,
//! groups of expressions, derived tables with limits.

use super::generate::{Block, DEPTH_MAX, Generator, Query};
use super::tables::{self, Kind, Source};

/// Tables with the columns that order all of their rows.
const KEYED: [(&str, &str); 4] = [("a", "id"), ("kinds", "id"), ("b", "a_id, n"), ("c", "a_id, tag")];

impl Generator<'_> {
    pub(super) fn uncommon(&mut self) -> Query {
        match self.random.below(10) {
            0 | 1 => self.frames(),
            2 | 3 => self.subqueries_everywhere(),
            4 => self.nested_sets(),
            5 | 6 => self.groups_of_expressions(),
            7 => self.limited_derived(),
            8 => self.found_rows(),
            _ => self.shared_common(),
        }
    }

    /// A table, its key with its alias, and its scope.
    fn keyed(&mut self) -> (String, String, Vec<Source>) {
        let (table, key) = KEYED[usize::try_from(self.random.below(4)).unwrap_or(0)];
        let alias = self.name("t");
        let keys: Vec<_> = key.split(", ").map(|column| format!("{alias}.{column}")).collect();
        let scope =
            vec![Source { alias: alias.clone(), columns: tables::columns_of(tables::table_named(table).1) }];
        (format!("{table} {alias}"), keys.join(", "), scope)
    }

    fn some_filter(&mut self, scope: &[Source]) -> String {
        if self.random.chance(50) { format!(" where {}", self.predicate(scope, 1)) } else { String::new() }
    }

    /// Windows over rows in the order of their key.
    fn frames(&mut self) -> Query {
        let (table, key, scope) = self.keyed();
        let column = |generator: &mut Self, kind| {
            generator.raw_column(kind, &scope).map_or_else(|| "1".to_owned(), |(column, _)| column)
        };
        let kind = self.kind();
        let number = column(self, Kind::Integer);
        let (value, partition) = (self.scalar(kind, &scope, DEPTH_MAX), column(self, kind));
        let partition =
            if self.random.chance(50) { format!("partition by {partition} ") } else { String::new() };
        let frame = self.random.pick(&[
            "rows between 1 preceding and 1 following",
            "rows between unbounded preceding and current row",
            "rows between 2 preceding and 1 preceding",
            "rows between current row and unbounded following",
        ]);
        let over = format!("over ({partition}order by {key})");
        let framed = format!("over ({partition}order by {key} {frame})");
        let window = match self.random.below(10) {
            0 => format!("row_number() {over}"),
            1 => format!("lag({value}) {over}"),
            2 => format!("lead({value}, 2) {over}"),
            3 => format!("ntile(3) {over}"),
            4 => format!("sum({number} % 100) {framed}"),
            5 => format!("count({value}) {framed}"),
            6 => format!("first_value({value}) {framed}"),
            7 => format!("last_value({value}) {framed}"),
            8 => format!("round(cume_dist() {over}, 4)"),
            _ => format!("round(percent_rank() {over}, 4)"),
        };
        let filter = self.some_filter(&scope);
        let sql = if self.random.chance(30) {
            format!("select * from (select {key}, {window} as w from {table}{filter}) x where w is not null")
        } else {
            format!("select {key}, {window} from {table}{filter}")
        };
        let is_ordered = self.random.chance(50);
        let order = if is_ordered { " order by 1, 2".to_owned() + &self.limit() } else { String::new() };
        // Two columns order rows by their key in full, whatever the window says.
        Query { sql: sql + &order, is_ordered, may_be_prepared: true }
    }

    /// In the select list, WHERE, HAVING and ORDER BY.
    fn subqueries_everywhere(&mut self) -> Query {
        let (table, key, scope) = self.keyed();
        let (inner, inner_key, inner_scope) = self.keyed();
        let kind = self.kind();
        let value = self.scalar(kind, &inner_scope, DEPTH_MAX);
        let both: Vec<_> = inner_scope.iter().chain(&scope).cloned().collect();
        let condition = self.predicate(&both, DEPTH_MAX);
        let tie = format!(
            "{} = {}",
            inner_key.split(", ").next().unwrap_or_default(),
            self.raw_column(Kind::Integer, &scope).map_or_else(|| "1".to_owned(), |(column, _)| column)
        );
        let one = format!("(select {value} from {inner} where {tie} order by {inner_key} limit 1)");
        let count = format!("(select count(*) from {inner} where {condition})");
        let filter = self.some_filter(&scope);
        let first = key.split(", ").next().unwrap_or_default();
        let sql = match self.random.below(5) {
            0 => format!("select {key}, {one} from {table}{filter}"),
            1 => format!("select {key} from {table}{filter} order by {count} desc, {key}"),
            2 => format!(
                "select {first} % 5, count(*) from {table}{filter} group by {first} % 5 having count(*) > (select count(*) from {inner} where {})",
                self.predicate(&inner_scope, DEPTH_MAX)
            ),
            3 => format!(
                "select {key}, {count}, exists (select 1 from {inner} where {tie}) from {table}{filter}"
            ),
            _ => format!("select {key} from {table} where {one} is not null or {count} > 3"),
        };
        let is_ordered = sql.contains(" desc, ");
        Query { sql, is_ordered, may_be_prepared: true }
    }

    /// Set operations in parentheses, below sub-queries.
    fn nested_sets(&mut self) -> Query {
        let kinds = [Kind::Integer, Kind::Integer];
        let mut part = || self.select(&Block { kinds: &kinds, outer: &[], common: &[], depth: DEPTH_MAX });
        let (one, two, three) = (part(), part(), part());
        let word = self.random.pick(&["union", "union all"]);
        let sql = match self.random.below(4) {
            0 => format!("({one} {word} {two}) union all {three}"),
            1 => format!(
                "select count(*), sum(x.y) from (select 1 as y, 2 as z union all ({one}) {word} {two}) x"
            ),
            2 => {
                let column = "select id, g from a where (id, g) in";
                format!("{column} ({one} {word} {two})")
            }
            _ => format!("{one} union all ({two} {word} {three})"),
        };
        let is_ordered =
            self.random.chance(40) && !sql.contains("select count(*), sum(x") && !sql.contains("(id, g) in");
        let order = if is_ordered { self.positions(2) } else { String::new() };
        Query { sql: sql + &order, is_ordered, may_be_prepared: true }
    }

    fn groups_of_expressions(&mut self) -> Query {
        let (table, _, scope) = self.keyed();
        let table = if self.random.chance(30) {
            format!("{table} straight_join a j on j.g = 1 and j.id < 9")
        } else {
            table
        };
        let kinds = [Kind::Integer, Kind::Date, Kind::Text];
        let kind = kinds[usize::try_from(self.random.below(3)).unwrap_or(0)];
        let key = self.scalar(kind, &scope, DEPTH_MAX);
        let (one, two) = (self.kind(), self.kind());
        let (first, second) =
            (self.aggregate(one, &scope, DEPTH_MAX), self.aggregate(two, &scope, DEPTH_MAX));
        let filter = self.some_filter(&scope);
        let rest = format!("from {table}{filter} group by k");
        let sql = match self.random.below(5) {
            0 => format!("select {key} as k, {first} as x {rest} having x is not null"),
            1 => format!(
                "select distinct {first} as x, {second} as y from (select {key} as k, {0}.* from {table}{filter}) {0} group by k",
                scope[0].alias
            ),
            2 => format!(
                "select {key} as k, case when {first} is null then 'none' else count(*) end, {second} {rest}"
            ),
            3 => format!("select {key} as k, {first} as x {rest} order by x, k"),
            _ => format!(
                "select {key} as k, count(*) as n, {first} as x {rest} having n > 1 order by n desc, k"
            ),
        };
        let is_ordered = sql.contains(", k") && sql.contains(" order by x, k") || sql.ends_with(" desc, k");
        Query { sql, is_ordered, may_be_prepared: true }
    }

    /// The first rows of a table or of a join, below something else.
    fn limited_derived(&mut self) -> Query {
        let (table, key, scope) = self.keyed();
        let kind = self.kind();
        let value = self.scalar(kind, &scope, DEPTH_MAX);
        let (filter, limit) = (self.some_filter(&scope), self.limit());
        let first = key.split(", ").next().unwrap_or_default();
        let derived =
            format!("(select {first} as x0, {value} as x1 from {table}{filter} order by {key}{limit}) x");
        let sql = match self.random.below(4) {
            0 => format!("select count(*), count(x1) from {derived}"),
            1 => format!("select x.x0, a.v from {derived} left join a on a.id = x.x0"),
            2 => format!(
                "select id from kinds where id in (select x0 from {derived}) or i in (select x0 from {derived} where x0 > 3)"
            ),
            _ => format!("select a.g, count(*), max(x.x0) from a join {derived} on x.x0 = a.id group by a.g"),
        };
        Query { sql, is_ordered: false, may_be_prepared: true }
    }

    fn found_rows(&mut self) -> Query {
        let (table, key, scope) = self.keyed();
        let filter = self.some_filter(&scope);
        let kind = self.kind();
        let value = self.scalar(kind, &scope, DEPTH_MAX);
        let option = self.random.pick(&[
            "sql_calc_found_rows",
            "sql_no_cache",
            "sql_small_result",
            "all",
            "high_priority",
        ]);
        let limit = self.limit();
        Query {
            sql: format!("select {option} {key}, {value} from {table}{filter} order by {key}{limit}"),
            is_ordered: true,
            may_be_prepared: true,
        }
    }

    /// A common table expression that is named twice, and one over it.
    fn shared_common(&mut self) -> Query {
        let kinds = [Kind::Integer, Kind::Integer];
        let select = self.select(&Block { kinds: &kinds, outer: &[], common: &[], depth: DEPTH_MAX });
        let common =
            format!("with p (x, y) as ({select}), q (x, n) as (select x, count(*) from p group by x)");
        let rest = match self.random.below(4) {
            0 => "select p.x, p.y, q.n from p left join q on q.x = p.x",
            1 => "select one.x, count(*) from p one join p two on one.x = two.y group by one.x",
            2 => {
                "select id, (select max(n) from q where q.x = a.id) from a where exists (select 1 from p where p.y = a.g)"
            }
            _ => {
                "select x, n from q where n >= all (select n from q) union select id, g from a where id in (select x from p)"
            }
        };
        Query { sql: format!("{common} {rest}"), is_ordered: false, may_be_prepared: true }
    }
}
