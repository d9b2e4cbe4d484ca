//! Join across shards: sides that are joined by equality, everything else of the SELECT being about one of them at a
//! time. A side is a table, or several that meet on their shards. Each side's query delivers its part of the select list
//! beside the columns that are equal; the router puts rows together, two sides first, then what they make with the next one,
//! and does with them what it does with the rows of shards.
//!
//! Groups are made on all sides before they meet: a sum of one side counts once for each row of the others' groups.
//! What an outer join shows where nothing meets, a shard says: its query gives the one row of NULLs.

mod conditions;
mod lists;
mod semi;
mod sides;
mod text_keys;

use crate::error::{Error, Result};
use crate::plan::PlanContext;
use crate::plan::operator::Horizon;
use crate::plan::primitive::{
    AggregateFunction, ColumnRef, Finish, GatherInput, Join, MergeSort, Piece, Primitive, Routing, Several,
    Sort, SortKey, Template,
};
use crate::plan::semantics::walk::{self, bare};
use crate::plan::semantics::{Analysis, Block, TableSource, filter};
use crate::plan::source::{Source, quote};
use crate::sql::ast::{Expr, Ident, Query, Select, SelectItem, SelectItemQualifiedWildcardKind};
use crate::sql::ident::name_of;
use crate::sql::{Token, TokenKind, Tokenizer};
use lists::Lists;
use sides::Side;

/// Plans the SELECT as a join of its tables. Errors are refusals (`VT12001`).
pub(crate) fn apply(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    query: &Query,
    select: &Select,
    analysis: &Analysis,
    block: &Block,
    inputs: &[GatherInput],
) -> Result<Several> {
    let tables = Tables::new(ctx, query, select, analysis, block, inputs)?;
    // Rows come as they meet: nothing is where it would be on one shard.
    let block = Block {
        join_blocker: None,
        horizon_blocker: None,
        groups_stay: false,
        rows_are_distinct: false,
        ..block.clone()
    };
    let combined = super::horizon(source, query, select, analysis, &block);
    match combined.and_then(|horizon| tables.tree(horizon, true)) {
        Ok(tree) => Ok(Several::Combine(Box::new(tree))),
        // The rest is done on one server, which must know all tables.
        Err(_) if tables.are_of_one_keyspace() => {
            let finish = |horizon: Horizon<'_>| tables.tree(horizon, false);
            let finish: Finish =
                super::finish_groups::apply_to(source, query, select, analysis, &block, &finish)?;
            Ok(Several::Finish(Box::new(finish)))
        }
        Err(error) => Err(error),
    }
}

fn refusal() -> Error {
    Error::unsupported("this form of join across shards")
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    table: usize,
    /// In lower case.
    name: Box<str>,
}

/// Columns of different tables that are equal, that of the table with the lower number first.
type Key = [Column; 2];

/// The tables, as the FROM clause names them.
struct Tables<'a> {
    ctx: &'a PlanContext<'a>,
    select: &'a Select,
    analysis: &'a Analysis,
    sources: Vec<TableSource>,
    inputs: &'a [GatherInput],
    /// The second table is a sub-query's: rows of the first are shown once if it has a row for them.
    is_semi: bool,
    /// The only table whose names can be seen.
    seen: Option<usize>,
    /// What is read together, and for each table which of them it belongs to. Of two tables each is its own side.
    sides: Vec<Side>,
    side_of_table: Vec<usize>,
    /// The order in which more than two tables' sides are read.
    order: Vec<usize>,
    /// Pairs of equal columns of different sides.
    keys: Vec<Key>,
    /// Conditions that decide which rows of each side are read.
    filters: Vec<Vec<Template>>,
    /// Does each side have conditions of its own?
    is_filtered: Vec<bool>,
    /// Of two tables the one all of whose rows stay in an outer join.
    kept: Option<usize>,
    /// Conditions of an outer join that decide about rows that are read: of the kept side which may meet others, of the
    /// other one which are shown.
    flags: Vec<Vec<Template>>,
    /// For each side that is joined from the left to several ones: conditions of one of those that decide which rows may
    /// meet its rows.
    meets: Vec<Option<(usize, Vec<Template>)>>,
    /// The keys of neither side may be NULL.
    needs_not_null: bool,
}

impl<'a> Tables<'a> {
    fn new(
        ctx: &'a PlanContext<'a>,
        query: &Query,
        select: &'a Select,
        analysis: &'a Analysis,
        block: &'a Block,
        inputs: &'a [GatherInput],
    ) -> Result<Self> {
        let calculates =
            select.select_modifiers.as_ref().is_some_and(|modifiers| modifiers.sql_calc_found_rows);
        let is_plain = query.with.is_none()
            && query.locks.is_empty()
            && analysis.blocker.is_none()
            && !block.window_blocks
            && !calculates;
        let is_known = |source: &TableSource, input: &GatherInput| {
            source.name == input.alias
                && !source.columns.is_open
                && input.partitions.is_empty()
                && input.lock.is_empty()
        };
        let mut sources = block.sources.clone();
        let is_semi = sources.len() == 1;
        if let [_, other] = inputs
            && is_semi
        {
            sources.push(semi::source_of(ctx, other)?);
        }
        let is_known = sources.iter().zip(inputs).all(|(source, input)| is_known(source, input));
        // Sub-queries have inputs and instances of their own.
        let instances = inputs.iter().filter(|input| !input.is_everywhere).count();
        let fits = inputs.len() == 2 || inputs.len() > 2 && instances == analysis.instances.len();
        if !is_plain || sources.len() != inputs.len() || !is_known || !fits {
            return Err(refusal());
        }
        let mut tables = Self {
            ctx,
            select,
            analysis,
            sources,
            inputs,
            is_semi,
            seen: None,
            sides: vec![Side::of(0), Side::of(1)],
            side_of_table: vec![0, 1],
            order: Vec::new(),
            keys: Vec::new(),
            filters: vec![Vec::new(); 2],
            is_filtered: vec![false; 2],
            kept: None,
            flags: vec![Vec::new(); 2],
            meets: vec![None; 2],
            needs_not_null: false,
        };
        if is_semi {
            tables.read_semi()?
        } else {
            tables.read_conditions()?
        }
        Ok(tables)
    }

    fn are_of_one_keyspace(&self) -> bool {
        self.inputs.iter().all(|input| input.keyspace == self.inputs[0].keyspace)
    }

    /// The table and the name of a column.
    fn column(&self, expr: &Expr) -> Option<Column> {
        let (index, name): (usize, &Ident) = match bare(expr) {
            Expr::Identifier(name) => (self.owner(&name.value).ok()??, name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [table, name] => (self.table(&table.value)?, name),
                _ => return None,
            },
            _ => return None,
        };
        let has = self.has(index, &name.value);
        has.then(|| Column { table: index, name: name.value.to_lowercase().into() })
    }

    fn table(&self, name: &str) -> Option<usize> {
        let found = self.sources.iter().position(|source| *source.name == *name);
        found.filter(|index| self.seen.is_none_or(|seen| seen == *index))
    }

    fn has(&self, index: usize, column: &str) -> bool {
        self.sources[index].columns.known.iter().any(|known| known.name.eq_ignore_ascii_case(column))
    }

    /// The table whose column an unqualified name is; `None`: it is no column.
    fn owner(&self, name: &str) -> Result<Option<usize>> {
        let is_seen = |index: usize| self.seen.is_none_or(|seen| seen == index);
        let has = |index: &usize| {
            is_seen(*index) && self.has(*index, name) && !self.sources[*index].has_merged(name)
        };
        let mut found = (0..self.sources.len()).filter(has);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(refusal()),
            (Some(table), None) => Ok(Some(table)),
            // A column of the outer query.
            (None, _) if self.seen.is_some_and(|seen| self.has(1 - seen, name)) => Err(refusal()),
            (None, _) => Ok(None),
        }
    }

    /// The side that a text is about; `None`: none.
    fn side_of(&self, pieces: &[Piece]) -> Result<Option<usize>> {
        self.one_side(&self.tables_of(pieces)?)
    }

    /// The side that all of these tables belong to; `None` if there are none.
    fn one_side(&self, tables: &[usize]) -> Result<Option<usize>> {
        let mut sides = tables.iter().map(|table| self.side_of_table[*table]);
        let first = sides.next();
        if sides.all(|side| Some(side) == first) {
            return Ok(first);
        }
        Err(Error::unsupported("an expression over several tables across shards"))
    }

    /// The tables that a text is about. Read from its tokens, so that no name is overlooked.
    fn tables_of(&self, pieces: &[Piece]) -> Result<Vec<usize>> {
        let mut text = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.extend_from_slice(part),
                Piece::Arg(_) | Piece::List(_) | Piece::Session(_) => text.extend_from_slice(b" 0 "),
                _ => return Err(refusal()),
            }
        }
        let mut tokenizer = Tokenizer::new(&text, 0, self.ctx.options);
        let mut tokens = Vec::new();
        loop {
            let token = tokenizer.next_token().map_err(|_| refusal())?;
            if matches!(token.kind, TokenKind::End | TokenKind::Semicolon) {
                break;
            }
            tokens.push(token);
        }
        let is_refused = |token: &Token| {
            let words = ["select", "with", "table", "values", "over", "next", "previous"];
            matches!(token.kind, TokenKind::SystemVariable | TokenKind::UserVariable)
                || words.iter().any(|word| token.is_word(&text, word))
        };
        if tokens.iter().any(is_refused) {
            return Err(refusal());
        }
        let name = |index: usize| name_of(&text[tokens[index].span.range()]);
        let kind = |index: usize| tokens.get(index).map(|token| token.kind);
        let mut found = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            if !token.kind.is_name() || kind(index + 1) == Some(TokenKind::Dot) {
                continue;
            }
            let is_quoted = token.kind == TokenKind::QuotedIdentifier;
            let owner = if index >= 2 && kind(index - 1) == Some(TokenKind::Dot) {
                Some(self.table(&name(index - 2)).ok_or_else(refusal)?)
            } else if kind(index + 1) == Some(TokenKind::LParen) && !is_quoted {
                is_harmless(&name(index).to_ascii_lowercase()).then_some(()).ok_or_else(refusal)?;
                None
            } else {
                let owner = self.owner(&name(index))?;
                if owner.is_none() && is_quoted {
                    return Err(refusal());
                }
                owner
            };
            found.extend(owner.filter(|owner| !found.contains(owner)));
        }
        Ok(found)
    }

    /// The tree over the joined rows. `is_last`: its columns are the statement's.
    fn tree(&self, horizon: Horizon<'_>, is_last: bool) -> Result<Primitive> {
        let mut join = self.join(&horizon)?;
        if is_last && join.is_grouped() && self.are_of_one_keyspace() {
            let edits = horizon.edits_with_helpers();
            join.description = Some(super::finish_groups::without_rows(&horizon, edits));
        }
        let mut tree = horizon.finish();
        let mut node = &mut tree;
        loop {
            if matches!(node, Primitive::MergeSort(_) | Primitive::EachShard(_)) {
                let join = Primitive::Join(Box::new(join));
                let leaf = std::mem::replace(node, join.clone());
                if let Primitive::MergeSort(MergeSort { keys, .. }) = leaf {
                    *node = Primitive::Sort(Sort { keys, input: Box::new(join) });
                }
                return Ok(tree);
            }
            node = match node {
                Primitive::Aggregate(inner) => &mut inner.input,
                Primitive::Distinct(inner) => &mut inner.input,
                Primitive::Filter(inner) => &mut inner.input,
                Primitive::Limit(inner) => &mut inner.input,
                Primitive::Sort(inner) => &mut inner.input,
                Primitive::Truncate(inner) => &mut inner.input,
                _ => return Err(Error::bug("a tree without leaf")),
            };
        }
    }

    fn join(&self, horizon: &Horizon<'_>) -> Result<Join> {
        let is_grouped = horizon.aggregate.is_some();
        let is_scalar = horizon.aggregate.as_ref().is_some_and(|parts| parts.is_scalar);
        let (multiplied, known) = (multiplied(horizon)?, known(horizon));
        let mut lists = Lists::new(if self.order.is_empty() {
            vec![self.first(), 1 - self.first()]
        } else {
            self.order.clone()
        });
        let mut merged = Vec::new();
        let visible = (0_u32..).zip(&horizon.items).map(|(index, item)| match item.expr {
            Some(_) => (ColumnRef::Visible(index), Some(horizon.item_pieces(item))),
            None => (ColumnRef::Visible(index), None),
        });
        let helpers = (0_u32..)
            .zip(horizon.helper_texts())
            .map(|(index, text)| (ColumnRef::Helper(index), Some(text.clone())));
        for (column, text) in visible.chain(helpers) {
            let Some(text) = text else {
                let tables = self.of_wildcard(column)?;
                if tables.len() > 1 {
                    merged = self.merged();
                    let alias = quote(&self.inputs[self.shown()].alias);
                    let texts = merged.iter().map(|name| Piece::text(&format!("{alias}.{}", quote(name))));
                    texts.for_each(|text| lists.one(Some(self.shown()), vec![text], false));
                }
                tables.iter().try_for_each(|table| lists.rest(*table))?;
                continue;
            };
            let side = self.side_of(&text)?;
            if is_grouped && (side.is_some() || is_scalar) && !known.contains(&column) {
                // Whether the groups decide it is the server's to say; and constants stay where no row is joined.
                return Err(refusal());
            }
            let side = side.or(self.is_semi.then_some(0));
            lists.one(side, text, multiplied.contains(&column));
        }
        let groups = if is_grouped { Some(self.groups(horizon)?) } else { None };
        let exists = (self.is_semi && self.kept.is_none()).then(|| u8::from(lists.place(1) == 1));
        let mut join = self.joined(lists, groups)?;
        join.exists = exists;
        join.helpers = u32::try_from(horizon.helper_texts().len()).unwrap_or(u32::MAX);
        join.names = self.names(horizon)?;
        join.merged = merged;
        Ok(join)
    }

    /// The table that is read first: the one with fewer rows, as far as that can be told.
    fn first(&self) -> usize {
        let rank = |table: usize| rank(&self.inputs[table], !self.filters[table].is_empty());
        let preferred = self.kept.unwrap_or(usize::from(self.is_semi));
        if rank(1 - preferred) < rank(preferred) { 1 - preferred } else { preferred }
    }

    /// Names that columns get, as the side's query does not give them.
    fn names(&self, horizon: &Horizon<'_>) -> Result<Vec<Option<Box<str>>>> {
        let mut names = Vec::new();
        for (index, item) in (0_u32..).zip(&horizon.items) {
            if item.expr.is_none() {
                let tables = self.of_wildcard(ColumnRef::Visible(index))?.len();
                let merged = if tables > 1 { self.merged().len() } else { 0 };
                names.extend(std::iter::repeat_n(None, merged + tables));
                continue;
            }
            let given = self.analysis.aliases.iter().find(|(end, _)| *end == item.range.end);
            let name = item.alias.map(|alias| alias.value.as_str()).or(given.map(|(_, name)| name.as_str()));
            if name.is_some_and(|name| !name.is_ascii()) {
                // It would have to be in the client's character set.
                return Err(refusal());
            }
            names.push(name.map(Into::into));
        }
        names.extend(horizon.helper_texts().iter().map(|_| None));
        Ok(names)
    }

    /// The tables whose columns `*` or `t.*` shows, in that order.
    fn of_wildcard(&self, column: ColumnRef) -> Result<Vec<usize>> {
        let ColumnRef::Visible(index) = column else { return Err(refusal()) };
        if self.inputs.len() > 2 {
            return Err(refusal());
        }
        match self.select.projection.get(index as usize) {
            Some(SelectItem::Wildcard(_)) if self.is_semi => Ok(vec![0]),
            Some(SelectItem::Wildcard(_)) => Ok(vec![self.shown(), 1 - self.shown()]),
            Some(SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)) => {
                let name = name.0.last().and_then(|part| part.as_ident()).ok_or_else(refusal)?;
                Ok(vec![self.table(&name.value).ok_or_else(refusal)?])
            }
            _ => Err(refusal()),
        }
    }

    /// What each side is grouped by.
    fn groups(&self, horizon: &Horizon<'_>) -> Result<Vec<Vec<Vec<Piece>>>> {
        let mut groups = vec![Vec::new(); self.sides.len()];
        for key in horizon.aggregate.iter().flat_map(|parts| &parts.group) {
            let text = match key.column {
                ColumnRef::Visible(index) => {
                    let item = horizon.items.get(index as usize).ok_or_else(refusal)?;
                    horizon.pieces(&item.range)
                }
                ColumnRef::Helper(index) => {
                    horizon.helper_texts().get(index as usize).cloned().ok_or_else(refusal)?
                }
            };
            groups[self.side_of(&text)?.ok_or_else(refusal)?].push(text);
        }
        Ok(groups)
    }
}

/// The columns that are sums over the rows of a side's group.
fn multiplied(horizon: &Horizon<'_>) -> Result<Vec<ColumnRef>> {
    let Some(parts) = &horizon.aggregate else { return Ok(Vec::new()) };
    let items = horizon.items.iter().filter_map(|item| item.expr);
    let order = crate::plan::semantics::analyze::order_exprs(horizon.query.order_by.as_ref());
    for expr in items.chain(&horizon.select.having).chain(order) {
        let is_distinct = walk::any(expr, &mut |part| {
            matches!(part, Expr::Function(function)
                if walk::is_aggregate(part) && walk::is_distinct(function))
        })?;
        if is_distinct {
            return Err(Error::unsupported("DISTINCT aggregates over a join across shards"));
        }
        if horizon.has_extreme_of_set(expr)? {
            // Whether it still is one depends on how a server would join.
            return Err(Error::unsupported("the smallest or largest ENUM or SET of a join across shards"));
        }
    }
    let mut columns = Vec::new();
    for column in &parts.columns {
        match column.function {
            AggregateFunction::Avg { sum, count, .. } => columns.extend([sum, count]),
            AggregateFunction::Count | AggregateFunction::Sum => columns.push(column.column),
            AggregateFunction::SumOfQuotients { parts } => columns.push(parts),
            AggregateFunction::Max { .. } | AggregateFunction::Min { .. } => {}
        }
    }
    Ok(columns)
}

/// The columns of groups that groups decide: keys, aggregates, and what compares them.
fn known(horizon: &Horizon<'_>) -> Vec<ColumnRef> {
    let mut known = Vec::new();
    let mut add = |key: &SortKey, has_column: bool| {
        known.extend(has_column.then_some(key.column).into_iter().chain(key.weight).chain(key.pad));
    };
    if let Some(parts) = &horizon.aggregate {
        parts.group.iter().for_each(|key| add(key, true));
        for column in &parts.columns {
            if let AggregateFunction::Max { key } | AggregateFunction::Min { key } = &column.function {
                add(key, true);
            }
        }
    }
    let compared = horizon.sort.iter().chain(&horizon.distinct).flatten();
    compared.for_each(|key| add(key, false));
    for column in horizon.aggregate.iter().flat_map(|parts| &parts.columns) {
        known.push(column.column);
        if let AggregateFunction::Avg { sum, count, .. } = column.function {
            known.extend([sum, count]);
        }
        if let AggregateFunction::SumOfQuotients { parts } = column.function {
            known.push(parts);
        }
    }
    known
}

/// Tables with fewer rows, as far as their conditions tell, have a lower one.
fn rank(input: &GatherInput, has_filters: bool) -> u8 {
    match &input.routing {
        Routing::EqualUnique(_) | Routing::None | Routing::Pinned(_) => 0,
        Routing::In(_) | Routing::Intersect(_) | Routing::Union(_) => 1,
        _ if has_filters => 2,
        // Rows of the other table are found by their keys on the right shards.
        _ if input.reducers.iter().any(|reducer| reducer.vindex.is_some()) => 4,
        _ => 3,
    }
}

/// Does a function, or a word before a parenthesis, depend on nothing but its arguments?
fn is_harmless(name: &str) -> bool {
    const OTHERS: [&str; 38] = [
        "against",
        "and",
        "as",
        "avg",
        "between",
        "binary",
        "case",
        "cast",
        "char",
        "collate",
        "convert",
        "count",
        "decimal",
        "div",
        "else",
        "extract",
        "in",
        "interval",
        "is",
        "like",
        "match",
        "max",
        "min",
        "not",
        "or",
        "regexp",
        "rlike",
        "sum",
        "then",
        "time",
        "timestampdiff",
        "to_days",
        "unix_timestamp",
        "varchar",
        "weight_string",
        "when",
        "where",
        "xor",
    ];
    OTHERS.contains(&name) || filter::is_pure(name)
}
