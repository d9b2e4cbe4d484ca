//! Generated SELECTs of every form (joins, nested and correlated sub-queries, derived and common tables, set operations,
//! aggregates, windows): shards must answer each like one server, and refuse none.
//!
//! From a seed, so a failure repeats. `SHARDGATE_QUERIES` sets how many (20,000 for a long run) and
//! `SHARDGATE_SEED` which. What a query leaves open (order of rows, which of equal strings) is kept out of it:
//! rows are compared in order only below an ORDER BY over all columns.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::client::{CLIENT_DEPRECATE_EOF, Client, Reply};
use crate::compare::Comparison;
use crate::environment::Environment;
use crate::generated::{answer, rows};
use crate::protocol::Case;
use crate::random::Random;
use crate::script::Order;
use crate::servers::Engine;

pub const CASES: &[Case] = &[
    ("on_2_shards", |environment| run(environment, "s2", 21)),
    ("on_4_shards", |environment| run(environment, "s4", 22)),
];

/// Queries per keyspace in a run of all tests.
const QUERIES: u64 = 120;

/// Differences listed before the run gives up.
const DIFFERENCES_MAX: usize = 10;

/// Levels of sub-queries.
const DEPTH_MAX: usize = 2;

fn run(environment: &mut Environment, keyspace: &str, seed: u64) -> Result<(), String> {
    let number = |name: &str, default| {
        std::env::var(name)
            .map_or(Ok(default), |text| text.parse().map_err(|error| format!("{name}: {error}")))
    };
    let count = number("SHARDGATE_QUERIES", QUERIES)?;
    let mut random = Random::new(number("SHARDGATE_SEED", seed)?);
    environment.reset(keyspace, false)?;
    let login = |options: crate::client::Options| {
        Client::login(&options.database(keyspace).with(CLIENT_DEPRECATE_EOF))
    };
    let mut plain = login(environment.plain_options())?;
    let mut router = login(environment.router_options())?;
    let countries =
        "insert into countries (code, title) values ('de', 'Germany'), ('fr', 'France'), ('pe', null)";
    let tags = "insert into c (a_id, tag) values (1, 'red'), (1, 'blue'), (2, 'red'), (7, 'green'), (30, 'blue'), (61, 'red')";
    for statement in rows(&mut random).iter().map(String::as_str).chain([countries, tags]) {
        plain.run(statement)?;
        router.run(statement)?;
    }
    // A statement that multiplies many tables says nothing more than a small one.
    plain.run(match environment.engine {
        Engine::MariaDb => "set max_statement_time = 2",
        Engine::MySql => "set max_execution_time = 2000",
    })?;
    let (mut found, mut left_out) = (Vec::new(), 0);
    for number in 0..count {
        let query = Generator { random: &mut random, names: 0 }.statement();
        let prepared = number % 2 == 1;
        let expected = match answer(&mut plain, &query.sql, prepared) {
            Ok(replies) if !matches!(replies.last(), Some(Reply::Err(_)) | None) => replies,
            // Too slow, or something that this engine does not have.
            _ => {
                left_out += 1;
                continue;
            }
        };
        let got =
            answer(&mut router, &query.sql, prepared).map_err(|error| format!("{}: {error}", query.sql))?;
        let differences = compare(keyspace, &query, &expected, &got);
        if !differences.is_empty() {
            let protocol = if prepared { "binary" } else { "text" };
            found.push(format!("{} ({protocol})\n    {}", query.sql, differences.join("\n    ")));
        }
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    println!("  {count} generated, {left_out} of them left out because the plain server does not answer");
    if left_out * 10 > count {
        return Err(format!(
            "the generator is wrong: the plain server answers {left_out} of {count} with an error"
        ));
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

fn compare(keyspace: &str, query: &Query, expected: &[Reply], got: &[Reply]) -> Vec<String> {
    // Where a column came from and how servers type what they have found to be constant or empty differs with the plan.
    let ignored: BTreeSet<_> =
        ["schema", "table", "org-table", "org-name", "warnings", "type", "flags"].map(str::to_owned).into();
    // MySQL cuts the names that it makes itself one character shorter than those that it is given.
    let has_long_names = query.sql.len() > 255;
    let ignored: BTreeSet<_> = ignored.into_iter().chain(has_long_names.then(|| "name".to_owned())).collect();
    let order = if query.is_ordered { Order::Exact } else { Order::Multiset };
    let comparison = Comparison {
        keyspace,
        order: &order,
        has_order_by: query.is_ordered,
        may_use_temporary: true,
        ignored: &ignored,
    };
    comparison.replies(expected, got)
}

struct Query {
    sql: String,
    /// Whether the order of rows is fixed by it.
    is_ordered: bool,
}

/// What can be compared with each other.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Date,
    Decimal,
    Integer,
    Text,
}

#[derive(Clone)]
struct Column {
    name: String,
    kind: Kind,
}

/// A table of a FROM clause.
#[derive(Clone)]
struct Source {
    alias: String,
    columns: Vec<Column>,
}

const TABLES: [(&str, &[(&str, Kind)]); 5] = [
    ("a", &[("id", Kind::Integer), ("g", Kind::Integer), ("v", Kind::Text)]),
    ("b", &[("a_id", Kind::Integer), ("n", Kind::Integer), ("amount", Kind::Decimal), ("code", Kind::Text)]),
    ("c", &[("a_id", Kind::Integer), ("tag", Kind::Text)]),
    ("countries", &[("code", Kind::Text), ("title", Kind::Text)]),
    (
        "kinds",
        &[
            ("id", Kind::Integer),
            ("i", Kind::Integer),
            ("dec2", Kind::Decimal),
            ("v", Kind::Text),
            ("dt", Kind::Date),
        ],
    ),
];

struct Generator<'a> {
    random: &'a mut Random,
    names: usize,
}

/// The names that an expression may use: the query's own first, then those around it.
type Scope = Vec<Source>;

impl Generator<'_> {
    fn statement(&mut self) -> Query {
        let with = self.random.chance(15).then(|| self.common_table());
        let kinds = self.kinds();
        let common = with.iter().map(|(source, _)| source.clone()).collect::<Vec<_>>();
        let mut sql = match self.random.below(10) {
            0 => {
                let operator = self.random.pick(&["union", "union all", "intersect", "except"]);
                let (left, right) =
                    (self.select(&kinds, &[], &common, 1), self.select(&kinds, &[], &common, 1));
                format!("{left} {operator} {right}")
            }
            _ => self.select(&kinds, &[], &common, 0),
        };
        if let Some((_, text)) = &with {
            sql = format!("with {text} {sql}");
        }
        let is_ordered = self.random.chance(50);
        if is_ordered {
            let keys: Vec<_> = (1..=kinds.len())
                .map(|position| format!("{position}{}", self.random.pick(&["", " desc"])))
                .collect();
            let _ = write!(sql, " order by {}", keys.join(", "));
            if self.random.chance(40) {
                let _ = write!(sql, " limit {} offset {}", self.random.below(12), self.random.below(4));
            }
        }
        Query { sql, is_ordered }
    }

    fn kinds(&mut self) -> Vec<Kind> {
        (0..=self.random.below(3)).map(|_| self.kind()).collect()
    }

    fn kind(&mut self) -> Kind {
        match self.random.below(7) {
            0 => Kind::Date,
            1 => Kind::Decimal,
            2..5 => Kind::Integer,
            _ => Kind::Text,
        }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn common_table(&mut self) -> (Source, String) {
        let kinds = self.kinds();
        let select = self.select(&kinds, &[], &[], DEPTH_MAX);
        let source = self.named_columns("w", &kinds);
        let columns: Vec<_> = source.columns.iter().map(|column| column.name.as_str()).collect();
        let text = format!("{} ({}) as ({select})", source.alias, columns.join(", "));
        (source, text)
    }

    fn named_columns(&mut self, prefix: &str, kinds: &[Kind]) -> Source {
        let alias = self.name(prefix);
        let columns =
            kinds.iter().enumerate().map(|(index, kind)| Column { name: format!("x{index}"), kind: *kind });
        Source { alias, columns: columns.collect() }
    }

    /// As `select`, with columns named x0, x1, …
    fn named_select(&mut self, kinds: &[Kind], depth: usize) -> String {
        let (text, list) = self.select_and_list(kinds, &[], &[], depth);
        let named: Vec<_> =
            list.iter().enumerate().map(|(index, item)| format!("{item} as x{index}")).collect();
        // The list stands first, before anything that could be the same text.
        text.replacen(&list.join(", "), &named.join(", "), 1)
    }

    /// A SELECT without ORDER BY whose columns have these kinds. `outer` are the names around it.
    fn select(&mut self, kinds: &[Kind], outer: &[Source], common: &[Source], depth: usize) -> String {
        self.select_and_list(kinds, outer, common, depth).0
    }

    fn select_and_list(
        &mut self,
        kinds: &[Kind],
        outer: &[Source],
        common: &[Source],
        depth: usize,
    ) -> (String, Vec<String>) {
        let (from, inner) = self.from(common, depth);
        let mut scope: Scope = inner;
        scope.extend_from_slice(outer);
        let condition = match self.random.below(3) {
            0 => String::new(),
            _ => format!(" where {}", self.predicate(&scope, depth)),
        };
        let grouped = outer.is_empty() && self.random.chance(35);
        if grouped {
            return self.grouped(kinds, &from, &condition, &scope, depth);
        }
        let distinct = if self.random.chance(12) { "distinct " } else { "" };
        let windows = distinct.is_empty() && depth == 0 && self.random.chance(12);
        let list: Vec<_> = kinds
            .iter()
            .map(|kind| match kind {
                Kind::Integer if windows => self.window(&scope),
                _ => self.scalar(*kind, &scope, depth),
            })
            .collect();
        (format!("select {distinct}{} from {from}{condition}", list.join(", ")), list)
    }

    /// Select lists of groups only name what ONLY_FULL_GROUP_BY lets them.
    fn grouped(
        &mut self,
        kinds: &[Kind],
        from: &str,
        condition: &str,
        scope: &Scope,
        depth: usize,
    ) -> (String, Vec<String>) {
        let mut keys = Vec::new();
        let mut list = Vec::new();
        for kind in kinds {
            if self.random.chance(50) {
                let key = self.column(*kind, scope).unwrap_or_else(|| self.literal(*kind));
                if key.contains('.') && !key.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                    keys.push(key.clone());
                    list.push(key);
                    continue;
                }
            }
            list.push(self.aggregate(*kind, scope, depth));
        }
        let mut sql = format!("select {} from {from}{condition}", list.join(", "));
        if !keys.is_empty() {
            let _ = write!(sql, " group by {}", keys.join(", "));
        }
        if self.random.chance(25) {
            let aggregate = self.aggregate(Kind::Integer, scope, depth);
            let _ = write!(sql, " having {aggregate} {} {}", self.comparison(), self.random.below(6));
        }
        (sql, list)
    }

    fn from(&mut self, common: &[Source], depth: usize) -> (String, Scope) {
        let (mut sql, first) = self.source(common, depth);
        let mut scope = vec![first];
        for _ in 0..self.random.below(if depth == 0 { 3 } else { 2 }) {
            let (text, source) = self.source(common, depth);
            let join = self.random.pick(&["join", "join", "left join", "right join"]);
            let mut both = scope.clone();
            both.push(source.clone());
            let tie = self.tie(&scope, &source);
            let more = if self.random.chance(20) { self.predicate(&both, DEPTH_MAX) } else { String::new() };
            let and = if more.is_empty() { "" } else { " and " };
            let _ = write!(sql, " {join} {text} on {tie}{and}{more}");
            scope = both;
        }
        (sql, scope)
    }

    /// An equality between a new table and one before it.
    fn tie(&mut self, scope: &[Source], source: &Source) -> String {
        let kind = source.columns[0].kind;
        let own = format!("{}.{}", source.alias, source.columns[0].name);
        match self.column(kind, scope) {
            Some(column) => format!("{own} = {column}"),
            None => format!("{own} = {}", self.literal(kind)),
        }
    }

    fn source(&mut self, common: &[Source], depth: usize) -> (String, Source) {
        if let Some(source) = common.first().filter(|_| self.random.chance(60)) {
            let alias = self.name("r");
            return (format!("{} {alias}", source.alias), Source { alias, columns: source.columns.clone() });
        }
        if depth < DEPTH_MAX && self.random.chance(18) {
            let kinds = self.kinds();
            let select = self.named_select(&kinds, depth + 1);
            let source = self.named_columns("d", &kinds);
            return (format!("({select}) {}", source.alias), source);
        }
        let (table, columns) = TABLES[usize::try_from(self.random.below(5)).unwrap_or(0)];
        let alias = self.name("t");
        let columns = columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind });
        (format!("{table} {alias}"), Source { alias, columns: columns.collect() })
    }

    fn column(&mut self, kind: Kind, scope: &[Source]) -> Option<String> {
        let all: Vec<String> = scope
            .iter()
            .flat_map(|source| {
                let of_kind = source.columns.iter().filter(|column| column.kind == kind);
                of_kind.map(|column| format!("{}.{}", source.alias, column.name))
            })
            .collect();
        let names: Vec<_> = all.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| self.random.pick(&names).to_owned())
    }

    fn literal(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Date => {
                format!("date {}", self.random.pick(&["'2024-01-01'", "'1999-12-31'", "'2024-02-29'"]))
            }
            Kind::Decimal => format!("{}.{}", self.random.below(5), self.random.pick(&["25", "50"])),
            Kind::Integer => self.random.below(9).to_string(),
            Kind::Text => self.random.pick(&["'apple'", "'de'", "'red'", "'Banana'", "''"]).to_owned(),
        }
    }

    fn scalar(&mut self, kind: Kind, scope: &Scope, depth: usize) -> String {
        let simple = self.column(kind, scope).unwrap_or_else(|| self.literal(kind));
        if self.random.chance(55) {
            return simple;
        }
        match kind {
            Kind::Date => format!("date_add({simple}, interval {} day)", self.random.below(40)),
            Kind::Decimal => match self.random.below(3) {
                0 => format!("round({simple}, 1)"),
                1 => format!("coalesce({simple}, 0.75)"),
                _ => format!("{simple} * 2"),
            },
            Kind::Integer => match self.random.below(6) {
                0 if depth < DEPTH_MAX => self.scalar_subquery(scope, depth),
                1 => format!("{simple} % 3"),
                2 => format!("coalesce({simple}, -1)"),
                3 => {
                    let text = self.scalar(Kind::Text, scope, DEPTH_MAX);
                    format!("char_length({text})")
                }
                4 => {
                    let condition = self.predicate(scope, DEPTH_MAX);
                    format!("case when {condition} then {simple} else 0 end")
                }
                _ => format!("{simple} + {}", self.random.below(5)),
            },
            Kind::Text => match self.random.below(3) {
                0 => format!("concat({simple}, '-')"),
                1 => format!("coalesce({simple}, 'none')"),
                _ => format!("left({simple}, 3)"),
            },
        }
    }

    /// Gives one row, whatever it finds.
    fn scalar_subquery(&mut self, scope: &Scope, depth: usize) -> String {
        let (from, inner) = self.from(&[], depth + 1);
        let aggregate = self.aggregate(Kind::Integer, &inner, DEPTH_MAX);
        let mut all = inner;
        all.extend_from_slice(scope);
        let condition = self.predicate(&all, depth + 1);
        format!("(select {aggregate} from {from} where {condition})")
    }

    fn aggregate(&mut self, kind: Kind, scope: &Scope, depth: usize) -> String {
        let argument = self.scalar(kind, scope, DEPTH_MAX.max(depth));
        match (kind, self.random.below(8)) {
            (Kind::Integer, 0 | 1) => "count(*)".to_owned(),
            (Kind::Integer, 2) => {
                let other = self.kind();
                let argument = self.scalar(other, scope, DEPTH_MAX);
                format!("count({}{argument})", self.random.pick(&["", "distinct "]))
            }
            (Kind::Integer, 3) => format!("cast(sum({argument}) as signed) + count(*)"),
            (Kind::Decimal, 0..3) => format!("sum({argument})"),
            (Kind::Decimal, 3 | 4) => format!("avg({argument})"),
            (_, number) => format!("{}({argument})", if number % 2 == 0 { "min" } else { "max" }),
        }
    }

    /// Windows whose values do not depend on an order that is left open.
    fn window(&mut self, scope: &Scope) -> String {
        let kind = self.kind();
        let partition = self.column(kind, scope).unwrap_or_else(|| "1".to_owned());
        let by = self.column(Kind::Integer, scope).unwrap_or_else(|| "1".to_owned());
        match self.random.below(4) {
            0 => format!("count(*) over (partition by {partition})"),
            1 => format!("rank() over (order by {by})"),
            2 => format!("dense_rank() over (partition by {partition} order by {by} desc)"),
            _ => format!("max({by}) over (partition by {partition})"),
        }
    }

    fn comparison(&mut self) -> &'static str {
        self.random.pick(&["=", "<>", "<", "<=", ">", ">=", "<=>"])
    }

    fn predicate(&mut self, scope: &Scope, depth: usize) -> String {
        let kind = self.kind();
        let left = self.column(kind, scope).unwrap_or_else(|| self.literal(kind));
        let nested = depth < DEPTH_MAX;
        match self.random.below(14) {
            0 if nested => {
                let (from, inner) = self.from(&[], depth + 1);
                let mut all = inner;
                all.extend_from_slice(scope);
                let condition = self.predicate(&all, depth + 1);
                let not = self.random.pick(&["", "not "]);
                format!("{not}exists (select 1 from {from} where {condition})")
            }
            1 if nested => {
                let select = self.select(&[kind], &[], &[], depth + 1);
                let not = self.random.pick(&["", "not "]);
                format!("{left} {not}in ({select})")
            }
            2 if nested => {
                let select = self.select(&[kind], scope, &[], depth + 1);
                let quantifier = self.random.pick(&["any", "all"]);
                format!("{left} {} {quantifier} ({select})", self.random.pick(&["=", "<", ">"]))
            }
            3 if nested => {
                let subquery = self.scalar_subquery(scope, depth);
                let column = self.scalar(Kind::Integer, scope, DEPTH_MAX);
                format!("{column} {} {subquery}", self.comparison())
            }
            4 => format!("{left} is {}null", self.random.pick(&["", "not "])),
            5 => {
                let (one, two) = (self.literal(kind), self.literal(kind));
                format!("{left} in ({one}, {two})")
            }
            6 => {
                let (one, two) = (self.literal(kind), self.literal(kind));
                format!("{left} between {one} and {two}")
            }
            7 => {
                let text = self.scalar(Kind::Text, scope, DEPTH_MAX);
                format!("{text} like {}", self.random.pick(&["'%a%'", "'b%'", "'%e'"]))
            }
            8 => {
                let (one, two) = (self.predicate(scope, DEPTH_MAX), self.predicate(scope, DEPTH_MAX));
                format!("({one} or {two})")
            }
            9 => {
                let inner = self.predicate(scope, DEPTH_MAX);
                format!("not ({inner})")
            }
            10 => {
                let (one, two) = (self.predicate(scope, depth), self.predicate(scope, DEPTH_MAX));
                format!("{one} and {two}")
            }
            11 => {
                let right = self.scalar(kind, scope, DEPTH_MAX);
                format!("{left} {} {right}", self.comparison())
            }
            _ => {
                let literal = self.literal(kind);
                format!("{left} {} {literal}", self.comparison())
            }
        }
    }
}
