//! Generated queries: statements, query blocks and FROM clauses.
//!
//! What a query leaves open (order of rows, which of equal strings a group shows) is kept out of it: rows are compared
//! in order only below an ORDER BY over all columns.

use std::fmt::Write as _;

use super::tables::{self, Column, Kind, Source};
use crate::random::Random;
use crate::servers::Engine;

/// Levels of sub-queries.
pub const DEPTH_MAX: usize = 2;

pub struct Query {
    pub sql: String,
    /// Whether the order of rows is fixed by it.
    pub is_ordered: bool,
    /// Whether its literals may be parameters.
    pub may_be_prepared: bool,
}

pub struct Generator<'a> {
    pub random: &'a mut Random,
    pub engine: Engine,
    /// Another keyspace with the same tables.
    pub other: &'a str,
    pub names: usize,
}

/// What a query block has to give, and what it may name.
pub struct Block<'b> {
    /// The kinds of its columns.
    pub kinds: &'b [Kind],
    /// The names around it.
    pub outer: &'b [Source],
    /// Common table expressions.
    pub common: &'b [Source],
    pub depth: usize,
}

/// A FROM clause.
pub struct From {
    pub sql: String,
    pub scope: Vec<Source>,
    /// A condition that ties tables joined by commas.
    tie: String,
}

impl From {
    /// The tie, to be followed by more.
    pub fn and(&self) -> String {
        if self.tie.is_empty() { String::new() } else { format!("{} and ", self.tie) }
    }
}

/// A query block in parts.
struct Select {
    /// `select`, `select distinct`.
    verb: String,
    list: Vec<String>,
    /// From FROM on.
    rest: String,
    scope: Vec<Source>,
    is_grouped: bool,
    is_rollup: bool,
}

impl Select {
    /// The text with names for the columns.
    fn named(&self, prefix: &str) -> String {
        let list: Vec<_> =
            self.list.iter().enumerate().map(|(index, item)| format!("{item} as {prefix}{index}")).collect();
        format!("{} {} {}", self.verb, list.join(", "), self.rest)
    }

    fn plain(&self) -> String {
        format!("{} {} {}", self.verb, self.list.join(", "), self.rest)
    }
}

impl Generator<'_> {
    pub fn statement(&mut self) -> Query {
        let mut query = match self.random.below(100) {
            0..4 => Query { sql: self.broken(), is_ordered: false, may_be_prepared: true },
            4..9 => Query { sql: self.star(), is_ordered: false, may_be_prepared: true },
            9..19 => self.set_operation(),
            19..35 => self.join_of_two(),
            35..42 => self.union_of_columns(),
            42..56 => self.uncommon(),
            _ => self.single(),
        };
        query.may_be_prepared &= !query.sql.contains("json_table(");
        query
    }

    fn single(&mut self) -> Query {
        let (with, common) = self.with();
        let kinds = self.kinds();
        let select = self.block(&Block { kinds: &kinds, outer: &[], common: &common, depth: 0 });
        let has_names = self.random.chance(30);
        let mut sql = with + &if has_names { select.named("k") } else { select.plain() };
        // MariaDB sorts no super-aggregates.
        let is_ordered = self.random.chance(55) && (!select.is_rollup || self.is_mysql());
        if is_ordered {
            let mut keys = Vec::new();
            if self.random.chance(25) && select.verb == "select" {
                let kind = self.kind();
                keys.push(if select.is_grouped {
                    self.aggregate(kind, &select.scope, DEPTH_MAX)
                } else {
                    self.scalar(kind, &select.scope, 1)
                });
            }
            // A sum of nothing sorts by nothing.
            keys.retain(|key| !key.starts_with(|c: char| c.is_ascii_digit() || c == '\''));
            let names = (0..kinds.len())
                .map(|index| if has_names { format!("k{index}") } else { (index + 1).to_string() });
            keys.extend(names);
            sql += &self.order(&keys);
            // MariaDB forgets the offset where all distinct rows are constants.
            if self.random.chance(40) && (self.is_mysql() || select.verb == "select") {
                sql += &self.limit();
            }
        }
        if !select.is_grouped && select.verb == "select" && self.random.chance(3) {
            sql += self.random.pick(&[" for update", " lock in share mode"]);
        }
        Query { sql, is_ordered, may_be_prepared: true }
    }

    fn order(&mut self, keys: &[String]) -> String {
        let keys: Vec<_> =
            keys.iter().map(|key| format!("{key}{}", self.random.pick(&["", " desc", " asc"]))).collect();
        format!(" order by {}", keys.join(", "))
    }

    pub(super) fn limit(&mut self) -> String {
        let (count, offset) = (self.random.below(12), self.random.below(4));
        match self.random.below(3) {
            0 => format!(" limit {count}"),
            1 => format!(" limit {offset}, {count}"),
            _ => format!(" limit {count} offset {offset}"),
        }
    }

    pub(super) fn positions(&mut self, count: usize) -> String {
        let keys: Vec<_> = (1..=count).map(|position| position.to_string()).collect();
        self.order(&keys)
    }

    fn set_operation(&mut self) -> Query {
        let (with, common) = self.with();
        let kinds = self.kinds();
        let mut sql = String::new();
        let mut operators: &[&str] = &["union", "union all", "union distinct", "intersect", "except"];
        if self.is_mysql() {
            // MySQL 9.7 dies of EXCEPT … INTERSECT, and of limits inside of them.
            operators = match self.random.below(4) {
                0 => &["intersect"],
                1 => &["except"],
                _ => &operators[..3],
            };
        }
        let has_limits = operators.len() > 1;
        for part in 0..self.random.between(2, 3) {
            let select = self.select(&Block { kinds: &kinds, outer: &[], common: &common, depth: 1 });
            if part > 0 {
                let _ = write!(sql, " {} ", self.random.pick(operators));
            }
            if has_limits && self.random.chance(20) {
                let (order, limit) = (self.positions(kinds.len()), self.limit());
                let _ = write!(sql, "({select}{order}{limit})");
            } else {
                sql += &select;
            }
        }
        let is_ordered = self.random.chance(50);
        if is_ordered {
            sql += &self.positions(kinds.len());
            if self.random.chance(50) {
                sql += &self.limit();
            }
        }
        Query { sql: with + &sql, is_ordered, may_be_prepared: true }
    }

    /// All columns.
    fn star(&mut self) -> String {
        let from = self.from(&[], 0);
        let condition = self.predicate(&from.scope, 1);
        let alias = &from.scope[from.scope.len() - 1].alias;
        let list = match self.random.below(3) {
            0 => format!("{alias}.*"),
            1 => format!("{alias}.*, 1 + 1"),
            _ => "*".to_owned(),
        };
        format!("select {list} from {} where {}{condition}", from.sql, from.and())
    }

    pub(super) fn kinds(&mut self) -> Vec<Kind> {
        (0..=self.random.below(3)).map(|_| self.kind()).collect()
    }

    pub(super) fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn with(&mut self) -> (String, Vec<Source>) {
        if !self.random.chance(15) {
            return (String::new(), Vec::new());
        }
        let mut common = Vec::new();
        let mut texts = Vec::new();
        let is_recursive = self.random.chance(30);
        if is_recursive {
            let source = named_columns(self.name("w"), &[Kind::Integer]);
            let name = &source.alias;
            let (start, step) = (self.random.below(6), self.random.between(1, 3));
            texts.push(match self.random.below(2) {
                0 => format!("{name} (x0) as (select {start} union all select x0 + {step} from {name} where x0 < 12)"),
                _ => format!(
                    "{name} (x0) as (select id from a where g = {start} union select b.n + {step} from {name} join b on b.a_id = {name}.x0)"
                ),
            });
            common.push(source);
        }
        for _ in 0..self.random.between(u64::from(!is_recursive), 2) {
            let kinds = self.kinds();
            let select = self.select(&Block { kinds: &kinds, outer: &[], common: &common, depth: DEPTH_MAX });
            let source = named_columns(self.name("w"), &kinds);
            let names: Vec<_> = source.columns.iter().map(|column| column.name.as_str()).collect();
            texts.push(format!("{} ({}) as ({select})", source.alias, names.join(", ")));
            common.push(source);
        }
        (format!("with {}{} ", if is_recursive { "recursive " } else { "" }, texts.join(", ")), common)
    }

    /// A SELECT without ORDER BY.
    pub(super) fn select(&mut self, block: &Block<'_>) -> String {
        self.block(block).plain()
    }

    fn block(&mut self, block: &Block<'_>) -> Select {
        let from = self.from(block.common, block.depth);
        let mut scope = from.scope.clone();
        scope.extend_from_slice(block.outer);
        let mut rest = format!("from {}", from.sql);
        if self.random.chance(66) {
            let condition = self.predicate(&scope, block.depth);
            let _ = write!(rest, " where {}{condition}", from.and());
        } else if !from.tie.is_empty() {
            let _ = write!(rest, " where {}", from.tie);
        }
        if block.outer.is_empty() && self.random.chance(35) {
            return self.grouped(block, rest, scope);
        }
        let is_distinct = self.random.chance(12);
        let has_windows = !is_distinct && block.depth == 0 && self.random.chance(12);
        let list = block.kinds.iter().map(|kind| match kind {
            Kind::Integer if has_windows => self.window(&scope),
            _ => self.scalar(*kind, &scope, block.depth),
        });
        let list: Vec<_> = list.collect();
        let verb = if is_distinct { "select distinct" } else { "select" }.to_owned();
        Select { verb, list, rest, scope, is_grouped: false, is_rollup: false }
    }

    /// Select lists of groups only name what ONLY_FULL_GROUP_BY lets them.
    fn grouped(&mut self, block: &Block<'_>, mut rest: String, scope: Vec<Source>) -> Select {
        let mut keys = Vec::new();
        let mut list = Vec::new();
        let mut key_sources = Vec::new();
        for kind in block.kinds {
            if self.random.chance(50)
                && let Some((column, is_loose)) = self.raw_column(*kind, &scope)
            {
                let shown = super::expression::shown(&column, is_loose);
                if let Some((alias, name)) = column.split_once('.') {
                    let column = Column { name: name.to_owned(), kind: *kind, is_loose };
                    key_sources.push(Source { alias: alias.to_owned(), columns: vec![column] });
                }
                keys.push(column);
                list.push(shown);
                continue;
            }
            if *kind == Kind::Integer && !keys.is_empty() && block.depth == 0 && self.random.chance(8) {
                list.push(
                    self.random
                        .pick(&["rank() over (order by count(*))", "sum(count(*)) over ()"])
                        .to_owned(),
                );
                continue;
            }
            list.push(self.aggregate(*kind, &scope, block.depth));
        }
        let mut is_rollup = false;
        if !keys.is_empty() {
            let _ = write!(rest, " group by {}", keys.join(", "));
            is_rollup = self.random.chance(7);
            rest += if is_rollup { " with rollup" } else { "" };
        }
        if self.random.chance(25) {
            let aggregate = self.aggregate(Kind::Integer, &scope, block.depth);
            let right = if block.depth < DEPTH_MAX && self.random.chance(20) {
                self.scalar_subquery(if is_rollup { &[] } else { &key_sources }, block.depth)
            } else {
                self.random.below(6).to_string()
            };
            let _ = write!(rest, " having {aggregate} {} {right}", self.comparison());
        }
        Select { verb: "select".to_owned(), list, rest, scope, is_grouped: true, is_rollup }
    }

    pub(super) fn from(&mut self, common: &[Source], depth: usize) -> From {
        if self.random.chance(6) {
            return self.merged();
        }
        let (mut sql, first) = self.source(common, depth);
        let mut scope = vec![first];
        let mut ties = Vec::new();
        let has_commas = self.random.chance(12);
        for _ in 0..self.random.below(if depth == 0 { 3 } else { 2 }) {
            if self.is_mysql() && depth < DEPTH_MAX && !has_commas && self.random.chance(4) {
                let kinds = self.kinds();
                let select =
                    self.block(&Block { kinds: &kinds, outer: &scope, common: &[], depth: depth + 1 });
                let source = named_columns(self.name("l"), &kinds);
                let join = self.random.pick(&["join", "left join"]);
                let _ = write!(sql, " {join} lateral ({}) {} on true", select.named("x"), source.alias);
                scope.push(source);
                continue;
            }
            let (mut text, source) = self.source(common, depth);
            let tie = self.tie(&scope, &source);
            if has_commas {
                let _ = write!(sql, ", {text}");
                ties.push(tie);
                scope.push(source);
                continue;
            }
            let mut joined = vec![source];
            if self.random.chance(8) {
                let (more, other) = self.source(common, depth);
                let inner = self.tie(&joined, &other);
                text = format!("({text} {} {more} on {inner})", self.random.pick(&["join", "left join"]));
                joined.push(other);
            }
            let join = self.random.pick(&["join", "join", "left join", "right join", "straight_join"]);
            scope.extend(joined);
            let more = if self.random.chance(20) {
                format!(" and {}", self.predicate(&scope, DEPTH_MAX))
            } else {
                String::new()
            };
            let _ = write!(sql, " {join} {text} on {tie}{more}");
        }
        From { sql, scope, tie: ties.join(" and ") }
    }

    /// Tables whose common columns are one.
    fn merged(&mut self) -> From {
        let (left, right, columns) = tables::MERGED[usize::try_from(self.random.below(4)).unwrap_or(0)];
        let mut sources = [left, right].map(|name| Source {
            alias: String::new(),
            columns: tables::columns_of(tables::table_named(name).1),
        });
        sources.iter_mut().for_each(|source| source.alias = self.name("t"));
        let [one, two] = &sources;
        let kind = self.random.pick(&["", "left ", "right "]);
        let sql = if self.random.chance(40) {
            format!("{left} {} natural {kind}join {right} {}", one.alias, two.alias)
        } else {
            format!("{left} {} {kind}join {right} {} using ({columns})", one.alias, two.alias)
        };
        From { sql, scope: sources.to_vec(), tie: String::new() }
    }

    /// An equality between a new table and one before it.
    fn tie(&mut self, scope: &[Source], source: &Source) -> String {
        let kind = source.columns[0].kind;
        let own = format!("{}.{}", source.alias, source.columns[0].name);
        match self.raw_column(kind, scope) {
            Some((column, _)) => format!("{own} = {column}"),
            None => format!("{own} = {}", self.literal(kind)),
        }
    }

    fn source(&mut self, common: &[Source], depth: usize) -> (String, Source) {
        if !common.is_empty() && self.random.chance(60) {
            let index = usize::try_from(self.random.below(common.len() as u64)).unwrap_or(0);
            let (source, alias) = (&common[index], self.name("r"));
            return (format!("{} {alias}", source.alias), Source { alias, columns: source.columns.clone() });
        }
        if depth < DEPTH_MAX && self.random.chance(18) {
            return self.derived(depth);
        }
        if self.random.chance(2) {
            let source = named_columns(self.name("j"), &[Kind::Integer, Kind::Text]);
            let rows = r#"'[{"a": 1, "b": "de"}, {"a": 3, "b": "red"}, {"a": null}]'"#;
            let columns = "columns (x0 int path '$.a', x1 varchar(10) path '$.b')";
            return (format!("json_table({rows}, '$[*]' {columns}) {}", source.alias), source);
        }
        let (table, columns) = tables::table(self.random);
        let alias = self.name("t");
        let keyspace = if self.random.chance(4) { format!("{}.", self.other) } else { String::new() };
        let hint = if table == "a" && self.random.chance(3) { " use index (primary)" } else { "" };
        let is_view = ["shown", "totals", "pairs"].contains(&table);
        let keyspace = if is_view { String::new() } else { keyspace };
        (format!("{keyspace}{table} {alias}{hint}"), Source { alias, columns: tables::columns_of(columns) })
    }

    fn derived(&mut self, depth: usize) -> (String, Source) {
        let kinds = self.kinds();
        let select = self.block(&Block { kinds: &kinds, outer: &[], common: &[], depth: depth + 1 });
        let source = named_columns(self.name("d"), &kinds);
        let mut text = select.named("x");
        if self.random.chance(15) {
            let more = self.select(&Block { kinds: &kinds, outer: &[], common: &[], depth: DEPTH_MAX });
            let _ = write!(text, " {} {more}", self.random.pick(&["union", "union all"]));
        } else if self.random.chance(15) && !select.is_rollup {
            text += &self.positions(kinds.len());
            text += &self.limit();
        }
        (format!("({text}) {}", source.alias), source)
    }
}

fn named_columns(alias: String, kinds: &[Kind]) -> Source {
    let columns = kinds.iter().enumerate().map(|(index, kind)| Column {
        name: format!("x{index}"),
        kind: *kind,
        is_loose: false,
    });
    Source { alias, columns: columns.collect() }
}
