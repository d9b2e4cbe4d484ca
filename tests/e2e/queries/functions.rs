//! More scalar functions of generated queries: strings, numbers, times, JSON, collations and casts.
//!
//! Left out is what depends on the plan of a server: overflows, random numbers, and the clock.

use super::generate::{DEPTH_MAX, Generator};
use super::tables::{Kind, Source};

impl Generator<'_> {
    /// Another function of a value of this kind.
    pub(super) fn function(&mut self, kind: Kind, simple: &str, scope: &[Source]) -> String {
        match kind {
            Kind::Date => self.date_function(simple, scope),
            Kind::Datetime => self.time_function(simple, scope),
            Kind::Decimal => self.number_function(simple),
            Kind::Double => match self.random.below(4) {
                0 => format!("sqrt(abs({simple}))"),
                1 => format!("round(power({simple}, 2), 2)"),
                2 => format!("{simple} / 4"),
                _ => format!("ifnull({simple}, 1.5e0)"),
            },
            Kind::Integer => self.integer_function(simple, scope),
            Kind::Text => self.text_function(simple, scope),
        }
    }

    fn date_function(&mut self, simple: &str, scope: &[Source]) -> String {
        let number = self.random.below(20);
        match self.random.below(7) {
            0 => format!("date({simple})"),
            1 => {
                let time = self.scalar(Kind::Datetime, scope, DEPTH_MAX);
                format!("date({time})")
            }
            2 => format!("makedate(2024, {})", number + 1),
            3 => format!("cast({simple} as date) - interval {number} week"),
            4 => format!("from_days(to_days({simple}) + {number})"),
            5 => format!("nullif(cast({simple} as date), date '1999-12-31')"),
            _ => format!("cast({simple} as date) + interval 1 quarter"),
        }
    }

    fn time_function(&mut self, simple: &str, scope: &[Source]) -> String {
        match self.random.below(6) {
            0 => format!("{simple} - interval '1 2:3' day_minute"),
            1 => format!(
                "timestampadd({}, 3, {simple})",
                self.random.pick(&["minute", "hour", "month", "year"])
            ),
            2 => {
                let date = self.scalar(Kind::Date, scope, DEPTH_MAX);
                format!("timestamp({date}, '10:11:12')")
            }
            3 => format!("cast({simple} as datetime)"),
            4 => format!("ifnull({simple}, timestamp '2001-02-03 04:05:06')"),
            _ => format!("addtime({simple}, '1:00:00')"),
        }
    }

    fn number_function(&mut self, simple: &str) -> String {
        match self.random.below(7) {
            0 => format!("abs({simple})"),
            1 => format!("-{simple}"),
            2 => format!("round({simple}, -1)"),
            3 => format!("ifnull({simple}, 0.5)"),
            4 => format!("{simple} % 1.5"),
            5 => format!("least({simple}, 2.25)"),
            _ => format!("if({simple} > 1, {simple}, 0.00)"),
        }
    }

    fn integer_function(&mut self, simple: &str, scope: &[Source]) -> String {
        let text = self.scalar(Kind::Text, scope, DEPTH_MAX);
        let date = self.scalar(Kind::Date, scope, DEPTH_MAX);
        let time = self.scalar(Kind::Datetime, scope, DEPTH_MAX);
        match self.random.below(16) {
            0 => format!("instr({text}, 'e')"),
            1 => format!("locate('r', {text})"),
            2 => format!("field({text}, 'apple', 'de', 'red')"),
            3 => format!("find_in_set({text}, 'apple,de,red')"),
            4 => format!("strcmp({text}, 'cherry')"),
            5 => format!("bit_count({simple})"),
            6 => format!("sign({simple})"),
            7 => format!(
                "timestampdiff({}, {date}, {time})",
                self.random.pick(&["day", "month", "hour", "year"])
            ),
            8 => {
                format!("extract({} from {time})", self.random.pick(&["hour", "day", "year_month", "minute"]))
            }
            9 => {
                format!("{}({date})", self.random.pick(&["week", "weekday", "dayofyear", "yearweek", "day"]))
            }
            10 => format!("ceil({simple} / 2)"),
            11 => format!("isnull({simple})"),
            12 => format!("interval({simple}, 1, 3, 5)"),
            13 => format!("({simple} & 6) | 1"),
            14 => format!("ifnull({simple}, {})", self.random.below(4)),
            _ => format!("json_length(json_array({simple}, {text}))"),
        }
    }

    fn text_function(&mut self, simple: &str, scope: &[Source]) -> String {
        let number = self.column(Kind::Integer, scope).unwrap_or_else(|| "7".to_owned());
        match self.random.below(18) {
            0 => format!("lpad({simple}, 8, '*')"),
            1 => format!("rpad({simple}, 3, 'x')"),
            2 => format!("reverse({simple})"),
            3 => format!("repeat({simple}, 2)"),
            4 => format!("substring_index({simple}, 'e', 1)"),
            5 => format!("trim(both 'e' from {simple})"),
            6 => format!("sha2({simple}, 256)"),
            7 => format!("insert({simple}, 2, 1, '__')"),
            8 => format!("lower(right({simple}, 2))"),
            9 => format!("concat({simple}, '=', {number})"),
            10 => format!("convert({simple} using utf8mb4)"),
            11 => format!("cast({simple} as char(4))"),
            12 => format!("nullif({simple}, 'de')"),
            13 => format!("ifnull({simple}, 'none')"),
            14 => format!("json_unquote(json_extract(json_object('a', {simple}, 'b', {number}), '$.a'))"),
            15 => format!("lpad(conv({number}, 10, 16), 3, '0')"),
            16 => format!("elt(1 + {number} % 3, 'one', 'two', 'three')"),
            _ => format!("quote({simple})"),
        }
    }

    /// Another condition.
    pub(super) fn test(&mut self, kind: Kind, left: &str, scope: &[Source]) -> String {
        let text =
            self.raw_column(Kind::Text, scope).map_or_else(|| "'red'".to_owned(), |(column, _)| column);
        match self.random.below(10) {
            0 => format!("convert({text} using utf8mb4) collate utf8mb4_bin > 'apple'"),
            1 => format!("{text} regexp '{}'", self.random.pick(&["^a", "e$", "[b-d]", "r.d"])),
            2 => format!("{text} not like '%e%' escape '|'"),
            3 => format!("strcmp({text}, 'de') = 0"),
            4 => format!(
                "({left} = {left}) is {}",
                self.random.pick(&["true", "not true", "unknown", "false"])
            ),
            5 => {
                let one = self.literal(kind);
                let (two, three) = (self.literal(kind), self.predicate(scope, DEPTH_MAX));
                format!("{left} in ({one}, {two}) xor {three}")
            }
            6 => {
                let (one, two) = (self.predicate(scope, DEPTH_MAX), self.predicate(scope, DEPTH_MAX));
                format!("if({one}, {two}, {left} is null)")
            }
            7 => {
                let (one, two) = (self.scalar(kind, scope, DEPTH_MAX), self.scalar(kind, scope, DEPTH_MAX));
                format!("coalesce({one}, {two}) <=> {left}")
            }
            8 => {
                let (low, high) = (self.scalar(kind, scope, DEPTH_MAX), self.literal(kind));
                format!("{left} between {low} and {high}")
            }
            _ => {
                let (one, two) = (self.literal(kind), self.scalar(kind, scope, DEPTH_MAX));
                format!("{left} not in ({one}, {two})")
            }
        }
    }
}
