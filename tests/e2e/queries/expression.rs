//! Expressions of generated queries: scalars, aggregates, windows and conditions, by the kind of value that they give.

use super::generate::{Block, DEPTH_MAX, Generator};
use super::tables::{Kind, Source};
use crate::servers::Engine;

impl Generator<'_> {
    pub(super) fn kind(&mut self) -> Kind {
        match self.random.below(20) {
            0 | 1 => Kind::Date,
            2 => Kind::Datetime,
            3..6 => Kind::Decimal,
            6 => Kind::Double,
            7..14 => Kind::Integer,
            _ => Kind::Text,
        }
    }

    /// A column as it is.
    pub(super) fn raw_column(&mut self, kind: Kind, scope: &[Source]) -> Option<(String, bool)> {
        let all: Vec<(String, bool)> = scope
            .iter()
            .flat_map(|source| {
                let of_kind = source.columns.iter().filter(|column| column.kind == kind);
                of_kind.map(|column| (format!("{}.{}", source.alias, column.name), column.is_loose))
            })
            .collect();
        let index = usize::try_from(self.random.below(all.len().max(1) as u64)).unwrap_or(0);
        all.into_iter().nth(index)
    }

    /// A column, or where its spelling is left open the one text that all equal to it have in common.
    pub(super) fn column(&mut self, kind: Kind, scope: &[Source]) -> Option<String> {
        self.raw_column(kind, scope).map(|(column, is_loose)| shown(&column, is_loose))
    }

    pub(super) fn literal(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Date => {
                let date = self.random.pick(&["'2024-01-01'", "'1999-12-31'", "'2024-02-29'"]);
                format!("{}{date}", self.random.pick(&["date ", "date ", ""]))
            }
            Kind::Datetime => {
                let time = self.random.pick(&["'2024-01-01 00:00:00'", "'2024-02-29 23:59:59'"]);
                format!("timestamp {time}")
            }
            Kind::Decimal => format!("{}.{}", self.random.below(5), self.random.pick(&["25", "50", "0"])),
            Kind::Double => format!("{}.25e0", self.random.below(6)),
            Kind::Integer => self.random.below(9).to_string(),
            Kind::Text => self
                .random
                .pick(&["'apple'", "'de'", "'red'", "'Banana'", "''", "'a'", "'abc'", "'APPLE'"])
                .to_owned(),
        }
    }

    /// A value that is the same for rows that are equal.
    pub(super) fn scalar(&mut self, kind: Kind, scope: &[Source], depth: usize) -> String {
        let simple = self.column(kind, scope).unwrap_or_else(|| self.literal(kind));
        if self.random.chance(50) {
            return simple;
        }
        if self.random.chance(30) {
            return self.function(kind, &simple, scope);
        }
        match kind {
            Kind::Date => match self.random.below(4) {
                0 => format!("last_day({simple})"),
                1 => format!("coalesce({simple}, date '2020-02-02')"),
                2 => format!("date_sub({simple}, interval {} month)", self.random.below(4)),
                _ => format!("date_add({simple}, interval {} day)", self.random.below(40)),
            },
            Kind::Datetime => match self.random.below(2) {
                0 => format!("{simple} + interval {} hour", self.random.below(40)),
                _ => format!("coalesce({simple}, timestamp '2020-02-02 02:02:02')"),
            },
            Kind::Decimal => self.decimal(&simple, scope),
            Kind::Double => match self.random.below(3) {
                0 => format!("{simple} * 2"),
                1 => format!("abs({simple})"),
                _ => format!("coalesce({simple}, 0.5e0)"),
            },
            Kind::Integer => self.integer(&simple, scope, depth),
            Kind::Text => self.text(&simple, scope),
        }
    }

    fn decimal(&mut self, simple: &str, scope: &[Source]) -> String {
        match self.random.below(7) {
            0 => format!("round({simple}, 1)"),
            1 => format!("coalesce({simple}, 0.75)"),
            2 => format!("{simple} / {}", self.random.between(1, 7)),
            3 => {
                let other = self.scalar(Kind::Integer, scope, DEPTH_MAX);
                format!("{simple} + {other}")
            }
            4 => format!("truncate({simple}, 1)"),
            5 => format!("cast({simple} as decimal(20, 4))"),
            _ => format!("{simple} * 2"),
        }
    }

    fn integer(&mut self, simple: &str, scope: &[Source], depth: usize) -> String {
        match self.random.below(13) {
            0 | 1 if depth < DEPTH_MAX => self.scalar_subquery(scope, depth),
            2 => format!("{simple} % 3"),
            3 => format!("coalesce({simple}, -1)"),
            4 => {
                let text = self.scalar(Kind::Text, scope, DEPTH_MAX);
                format!("{}({text})", self.random.pick(&["char_length", "length", "crc32", "ascii"]))
            }
            5 => {
                let condition = self.predicate(scope, DEPTH_MAX);
                format!("case when {condition} then {simple} else 0 end")
            }
            6 => {
                let date = self.scalar(Kind::Date, scope, DEPTH_MAX);
                format!("{}({date})", self.random.pick(&["year", "month", "dayofweek", "to_days", "quarter"]))
            }
            7 => {
                let (one, two) = (self.scalar(Kind::Date, scope, DEPTH_MAX), self.literal(Kind::Date));
                format!("datediff({one}, {two})")
            }
            8 => format!("nullif({simple}, {})", self.random.below(5)),
            9 => {
                let condition = self.predicate(scope, DEPTH_MAX);
                format!("({condition})")
            }
            10 => format!("{simple} div 2"),
            11 => format!("greatest({simple}, {})", self.random.below(5)),
            _ => format!("{simple} + {}", self.random.below(5)),
        }
    }

    fn text(&mut self, simple: &str, scope: &[Source]) -> String {
        match self.random.below(11) {
            0 => format!("concat({simple}, '-')"),
            1 => format!("coalesce({simple}, 'none')"),
            2 => format!("upper({simple})"),
            3 => format!("substring({simple}, 2, 3)"),
            4 => {
                let number = self.scalar(Kind::Integer, scope, DEPTH_MAX);
                format!("concat_ws('/', {simple}, {number})")
            }
            5 => {
                let date = self.scalar(Kind::Date, scope, DEPTH_MAX);
                format!("date_format({date}, '%Y/%c')")
            }
            6 => {
                let condition = self.predicate(scope, DEPTH_MAX);
                format!("if({condition}, {simple}, 'other')")
            }
            7 => format!("hex({simple})"),
            8 => {
                let number = self.scalar(Kind::Decimal, scope, DEPTH_MAX);
                format!("cast({number} as char)")
            }
            9 => format!("replace({simple}, 'a', 'o')"),
            _ => format!("left({simple}, 3)"),
        }
    }

    /// Gives one row, whatever it finds.
    pub(super) fn scalar_subquery(&mut self, scope: &[Source], depth: usize) -> String {
        let from = self.from(&[], depth + 1);
        let aggregate = self.aggregate(Kind::Integer, &from.scope, DEPTH_MAX);
        let mut all = from.scope.clone();
        all.extend_from_slice(scope);
        let condition = self.predicate(&all, depth + 1);
        format!("(select {aggregate} from {} where {}{condition})", from.sql, from.and())
    }

    pub(super) fn aggregate(&mut self, kind: Kind, scope: &[Source], depth: usize) -> String {
        let argument = self.scalar(kind, scope, DEPTH_MAX.max(depth));
        match (kind, self.random.below(12)) {
            (Kind::Integer, 0 | 1) => "count(*)".to_owned(),
            (Kind::Integer, 2) => {
                let other = self.kind();
                let argument =
                    self.raw_column(other, scope).map_or_else(|| "1".to_owned(), |(column, _)| column);
                format!("count({}{argument})", self.random.pick(&["", "distinct "]))
            }
            (Kind::Integer, 3) => {
                let other = self.kind();
                let argument = self.scalar(other, scope, DEPTH_MAX);
                format!("count({}{argument})", self.random.pick(&["", "distinct "]))
            }
            (Kind::Integer, 4) => format!("cast(sum({argument}) as signed) + count(*)"),
            (Kind::Integer, 5) => {
                let other = self.kind();
                let two = self.column(other, scope).unwrap_or_else(|| "2".to_owned());
                format!("count(distinct {argument}, {two})")
            }
            (Kind::Integer, 6) => {
                format!("{}({argument} & 255)", self.random.pick(&["bit_or", "bit_and", "bit_xor"]))
            }
            (Kind::Integer, 7) => format!("coalesce(max({argument}), 0) - coalesce(min({argument}), 0)"),
            (Kind::Decimal, 0..4) => format!("sum({}{argument})", self.random.pick(&["", "", "distinct "])),
            (Kind::Decimal, 4..6) => format!("avg({}{argument})", self.random.pick(&["", "", "distinct "])),
            (Kind::Decimal, 6) => {
                let number = self.column(Kind::Integer, scope).unwrap_or_else(|| "3".to_owned());
                format!("sum({number} % 1000) / count(*)")
            }
            // The last digits of a sum of doubles depend on the order of addition.
            (Kind::Double, 0..3) => format!("round(sum({argument}), 3)"),
            (Kind::Double, 3) => {
                let number = self.column(Kind::Integer, scope).unwrap_or_else(|| "3".to_owned());
                let name = self.random.pick(&["std", "stddev_samp", "variance", "var_samp"]);
                format!("round({name}({number} % 100), 3)")
            }
            (Kind::Text, 0..3) => {
                let distinct = self.random.pick(&["", "distinct "]);
                let way = self.random.pick(&["", " desc"]);
                let separator = self.random.pick(&["", " separator '|'"]);
                format!("group_concat({distinct}{argument} order by {argument}{way}{separator})")
            }
            (Kind::Text, 3) => match self.raw_column(Kind::Text, scope) {
                Some((column, true)) => {
                    shown(&format!("{}({column})", self.random.pick(&["min", "max"])), true)
                }
                _ => format!("concat(min({argument}), ':', count(*))"),
            },
            // MySQL 9.7 dies of it inside of some set operations.
            (Kind::Text, 4) if depth == 0 => format!("concat('#', json_length(json_arrayagg({argument})))"),
            (_, number) => format!("{}({argument})", if number % 2 == 0 { "min" } else { "max" }),
        }
    }

    /// Windows whose values do not depend on an order that is left open.
    pub(super) fn window(&mut self, scope: &[Source]) -> String {
        let kind = self.kind();
        let partition = self.raw_column(kind, scope).map_or_else(|| "1".to_owned(), |(column, _)| column);
        // MariaDB gives this or that where a window is ordered by a constant.
        let Some((by, _)) = self.raw_column(Kind::Integer, scope) else {
            return format!("count(*) over (partition by {partition})");
        };
        let by = if self.random.chance(30) { format!("{by} % 4") } else { by };
        match self.random.below(7) {
            0 => format!("count(*) over (partition by {partition})"),
            1 => format!("rank() over (order by {by})"),
            2 => format!("dense_rank() over (partition by {partition} order by {by} desc)"),
            3 => format!("count({by}) over (order by {by})"),
            4 => format!("first_value({by}) over (partition by {partition} order by {by})"),
            5 => format!("min({by}) over (partition by {partition} order by {by} desc)"),
            _ => format!("max({by}) over (partition by {partition})"),
        }
    }

    pub(super) fn comparison(&mut self) -> &'static str {
        self.random.pick(&["=", "<>", "<", "<=", ">", ">=", "<=>"])
    }

    pub(super) fn predicate(&mut self, scope: &[Source], depth: usize) -> String {
        let kind = self.kind();
        let left = self.raw_column(kind, scope).map_or_else(|| self.literal(kind), |(column, _)| column);
        if depth < DEPTH_MAX && self.random.chance(35) {
            return self.with_subquery(kind, &left, scope, depth);
        }
        if self.random.chance(15) {
            return self.test(kind, &left, scope);
        }
        match self.random.below(15) {
            0 => format!("{left} is {}null", self.random.pick(&["", "not "])),
            1 => {
                let (one, two) = (self.literal(kind), self.literal(kind));
                format!("{left} {}in ({one}, {two})", self.random.pick(&["", "", "not "]))
            }
            2 => {
                let (one, two) = (self.literal(kind), self.literal(kind));
                format!("{left} {}between {one} and {two}", self.random.pick(&["", "", "not "]))
            }
            3 => {
                let text = self.scalar(Kind::Text, scope, DEPTH_MAX);
                format!(
                    "{text} {}like {}",
                    self.random.pick(&["", "not "]),
                    self.random.pick(&["'%a%'", "'b%'", "'%e'", "'a_c%'"])
                )
            }
            4 => {
                let (one, two) = (self.predicate(scope, DEPTH_MAX), self.predicate(scope, DEPTH_MAX));
                format!("({one} {} {two})", self.random.pick(&["or", "or", "xor"]))
            }
            5 => {
                let inner = self.predicate(scope, DEPTH_MAX);
                format!("{} ({inner})", self.random.pick(&["not", "not", "1 ="]))
            }
            6 | 7 => {
                let (one, two) = (self.predicate(scope, depth), self.predicate(scope, DEPTH_MAX));
                format!("{one} and {two}")
            }
            8 | 9 => {
                let right = self.scalar(kind, scope, DEPTH_MAX);
                format!("{left} {} {right}", self.comparison())
            }
            10 => {
                let other = self.kind();
                let two = self.column(other, scope).unwrap_or_else(|| self.literal(other));
                let mut row = || format!("({}, {})", self.literal(kind), self.literal(other));
                let (first, second) = (row(), row());
                match self.random.below(3) {
                    0 => format!("({left}, {two}) = {first}"),
                    // MariaDB takes `(5, b.n) > (3, 6)` for one that rejects NULL in b.n, and makes inner joins of outer ones.
                    1 if self.is_mysql() => format!("({left}, {two}) > {first}"),
                    _ => format!("({left}, {two}) in ({first}, {second})"),
                }
            }
            11 => {
                let kind = self.kind();
                let one = self.scalar(kind, scope, DEPTH_MAX);
                let literal = self.literal(kind);
                format!("{one} {} {literal}", self.comparison())
            }
            _ => {
                let literal = self.literal(kind);
                format!("{left} {} {literal}", self.comparison())
            }
        }
    }

    fn with_subquery(&mut self, kind: Kind, left: &str, scope: &[Source], depth: usize) -> String {
        let not = self.random.pick(&["", "not "]);
        match self.random.below(7) {
            0 | 1 => {
                let from = self.from(&[], depth + 1);
                let mut all = from.scope.clone();
                all.extend_from_slice(scope);
                let condition = self.predicate(&all, depth + 1);
                let list = self.random.pick(&["1", "*"]);
                format!("{not}exists (select {list} from {} where {}{condition})", from.sql, from.and())
            }
            2 | 3 => {
                let outer = if self.random.chance(30) { scope } else { &[] };
                let select = self.select(&Block { kinds: &[kind], outer, common: &[], depth: depth + 1 });
                format!("{left} {not}in ({select})")
            }
            4 => {
                let select =
                    self.select(&Block { kinds: &[kind], outer: scope, common: &[], depth: depth + 1 });
                let quantifier = self.random.pick(&["any", "all", "some"]);
                format!("{left} {} {quantifier} ({select})", self.random.pick(&["=", "<", ">", "<>"]))
            }
            5 => {
                let other = self.kind();
                let two = self.column(other, scope).unwrap_or_else(|| self.literal(other));
                let select =
                    self.select(&Block { kinds: &[kind, other], outer: &[], common: &[], depth: depth + 1 });
                format!("({left}, {two}) {not}in ({select})")
            }
            _ => {
                let subquery = self.scalar_subquery(scope, depth);
                let column = self.scalar(Kind::Integer, scope, DEPTH_MAX);
                format!("{column} {} {subquery}", self.comparison())
            }
        }
    }

    pub(super) fn is_mysql(&self) -> bool {
        self.engine == Engine::MySql
    }
}

/// What all texts that are equal to `column`'s have in common.
pub(super) fn shown(column: &str, is_loose: bool) -> String {
    if is_loose {
        format!("elt(field({column}, 'abc', 'resume', 'xyz'), 'abc', 'resume', 'xyz')")
    } else {
        column.to_owned()
    }
}
