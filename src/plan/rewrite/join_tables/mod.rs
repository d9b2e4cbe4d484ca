//! Join across shards: two tables that are joined by equality, everything else of the SELECT being about one of them at a
//! time. Each side's query delivers its part of the select list beside the columns that are equal; the router puts
//! rows together and does with them what it does with the rows of shards.
//!
//! Groups are made on both sides before they meet: a sum of one side counts once for each row of the other side's group.
//! What an outer join shows where nothing meets, a shard says: its query gives the one row of NULLs.

mod conditions;
mod semi;

use crate::error::{Error, Result};
use crate::plan::operator::Horizon;
use crate::plan::primitive::{
    AggregateFunction, ColumnRef, Finish, GatherInput, Join, JoinSide, JoinedColumn, KeptSide, MergeSort,
    Piece, Primitive, Routing, Several, Sort, SortKey, Template,
};
use crate::plan::semantics::walk::{self, bare};
use crate::plan::semantics::{Analysis, Block, TableSource, filter};
use crate::plan::source::{Source, quote};
use crate::plan::{PlanContext, operator};
use crate::sql::ast::{Expr, Ident, Query, Select, SelectItem, SelectItemQualifiedWildcardKind};
use crate::sql::ident::name_of;
use crate::sql::{Token, TokenKind, Tokenizer};

/// Plans the SELECT as a join of its two tables. Errors are refusals (`VT12001`).
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
        // The rest is done on one server, which must know both tables.
        Err(_) if inputs[0].keyspace == inputs[1].keyspace => {
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

/// The two tables, as the FROM clause names them.
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
    /// Pairs of equal columns.
    keys: Vec<[Box<str>; 2]>,
    /// Conditions that decide which rows of each table are read.
    filters: [Vec<Template>; 2],
    /// The table all of whose rows stay in an outer join.
    kept: Option<usize>,
    /// Conditions of an outer join that decide about rows that are read: of the kept table which may meet others, of the
    /// other one which are shown.
    flags: [Vec<Template>; 2],
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
        let [_, other] = inputs else { return Err(refusal()) };
        let mut sources = block.sources.clone();
        let is_semi = sources.len() == 1;
        if is_semi {
            sources.push(semi::source_of(ctx, other)?);
        }
        let is_known = sources.iter().zip(inputs).all(|(source, input)| is_known(source, input));
        if !is_plain || sources.len() != 2 || !is_known {
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
            keys: Vec::new(),
            filters: Default::default(),
            kept: None,
            flags: Default::default(),
            needs_not_null: false,
        };
        if is_semi {
            tables.read_semi()?
        } else {
            tables.read_conditions()?
        }
        Ok(tables)
    }

    /// The table and the name of a column.
    fn column(&self, expr: &Expr) -> Option<(usize, Box<str>)> {
        let (index, name): (usize, &Ident) = match bare(expr) {
            Expr::Identifier(name) => (self.owner(&name.value).ok()??, name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [table, name] => (self.table(&table.value)?, name),
                _ => return None,
            },
            _ => return None,
        };
        let has = self.has(index, &name.value);
        has.then(|| (index, name.value.to_lowercase().into()))
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
        let has =
            |index: usize| is_seen(index) && self.has(index, name) && !self.sources[index].has_merged(name);
        match (has(0), has(1)) {
            (true, true) => Err(refusal()),
            (true, false) => Ok(Some(0)),
            (false, true) => Ok(Some(1)),
            // A column of the outer query.
            (false, false) if self.seen.is_some_and(|seen| self.has(1 - seen, name)) => Err(refusal()),
            (false, false) => Ok(None),
        }
    }

    /// The table that a text is about; `None`: neither. Read from its tokens, so that no name is overlooked.
    fn side_of(&self, pieces: &[Piece]) -> Result<Option<usize>> {
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
        let mut found = None;
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
            if owner.is_some() && found.is_some() && owner != found {
                return Err(Error::unsupported("an expression over several tables across shards"));
            }
            found = owner.or(found);
        }
        Ok(found)
    }

    /// The tree over the joined rows. `is_last`: its columns are the statement's.
    fn tree(&self, horizon: Horizon<'_>, is_last: bool) -> Result<Primitive> {
        let mut join = self.join(&horizon)?;
        if is_last && join.is_grouped() && join.sides[0].keyspace == join.sides[1].keyspace {
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
        let mut lists = Lists::new(self.first());
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
            let table = self.side_of(&text)?;
            if is_grouped && (table.is_some() || is_scalar) && !known.contains(&column) {
                // Whether the groups decide it is the server's to say; and constants stay where no row is joined.
                return Err(refusal());
            }
            let table = table.or(self.is_semi.then_some(0));
            lists.one(table, text, multiplied.contains(&column));
        }
        let groups = self.groups(horizon)?;
        let groups = |table: usize| is_grouped.then(|| groups[table].as_slice());
        let [outer, inner] = lists.order;
        let sides = [self.side(outer, &lists, groups(outer)), self.side(inner, &lists, groups(inner))];
        let kept = self.kept.map(|kept| KeptSide {
            side: u8::from(lists.side(kept) == 1),
            nulls: self.nulls(1 - kept, &lists, groups(1 - kept)),
        });
        let exists = (self.is_semi && self.kept.is_none()).then(|| u8::from(lists.side(1) == 1));
        let helpers = u32::try_from(horizon.helper_texts().len()).unwrap_or(u32::MAX);
        let names = self.names(horizon)?;
        let (columns, needs_not_null) = (lists.columns, self.needs_not_null);
        Ok(Join { sides, columns, helpers, names, kept, exists, needs_not_null, merged, description: None })
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

    /// What each table is grouped by.
    fn groups(&self, horizon: &Horizon<'_>) -> Result<[Vec<Vec<Piece>>; 2]> {
        let mut groups: [Vec<Vec<Piece>>; 2] = Default::default();
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

    fn side(&self, table: usize, lists: &Lists, groups: Option<&[Vec<Piece>]>) -> JoinSide {
        let input = &self.inputs[table];
        let mut pieces = self.select_list(table, lists, groups.is_some());
        let name = format!(" from {} as {} where 1", quote(&input.table), quote(&input.alias));
        pieces.push(Piece::text(&name));
        for filter in &self.filters[table] {
            pieces.push(Piece::text(" and ("));
            pieces.extend(filter.pieces.iter().cloned());
            pieces.push(Piece::text(")"));
        }
        let vindexes = (0..).zip(&self.keys).filter_map(|(index, pair)| {
            let by_vindex = input
                .reducers
                .iter()
                .find(|reducer| reducer.vindex.is_some() && reducer.column == pair[table]);
            let vindex = by_vindex.and_then(|reducer| reducer.vindex.clone());
            let vindex = vindex.or_else(|| self.vindex_of(table, &pair[table]).filter(|_| self.is_semi));
            Some((index, Some(vindex?)))
        });
        let asked = vindexes.clone().next().unwrap_or((0, None));
        JoinSide {
            keyspace: input.keyspace.clone(),
            routing: input.routing.clone(),
            head: Template { pieces: operator::joined(pieces) },
            has_flag: !self.flags[table].is_empty(),
            tail: groups.map(|groups| self.tail(table, groups)),
            keys: self.key_columns(table),
            asked,
        }
    }

    /// The query of a table whose one row is all NULLs, as an outer join makes it.
    fn nulls(&self, table: usize, lists: &Lists, groups: Option<&[Vec<Piece>]>) -> Template {
        let input = &self.inputs[table];
        let mut pieces = self.select_list(table, lists, groups.is_some());
        let other = quote(&format!("{}_", input.alias));
        pieces.push(Piece::text(&format!(
            " from (select 1 as {other}) as {other} left join {} as {} on 0",
            quote(&input.table),
            quote(&input.alias)
        )));
        pieces.extend(groups.into_iter().flat_map(|groups| self.tail(table, groups).pieces));
        Template { pieces: operator::joined(pieces) }
    }

    fn key_columns(&self, table: usize) -> Vec<Box<str>> {
        let alias = quote(&self.inputs[table].alias);
        self.keys.iter().map(|pair| format!("{alias}.{}", quote(&pair[table])).into()).collect()
    }

    fn select_list(&self, table: usize, lists: &Lists, is_grouped: bool) -> Vec<Piece> {
        let keys = self.key_columns(table).join(", ");
        // Of a sub-query only counts that there are rows.
        let (verb, count) = match self.is_semi && table == 1 {
            true if !is_grouped => ("select distinct ", ""),
            true => ("select ", ", 1"),
            false => ("select ", ", count(*)"),
        };
        let mut pieces = vec![Piece::text(verb), Piece::text(&keys)];
        if is_grouped {
            pieces.push(Piece::text(count));
        }
        let side = lists.side(table);
        for text in self.flag(table).iter().chain(&lists.texts[side]) {
            pieces.push(Piece::text(", "));
            pieces.extend(text.iter().cloned());
        }
        if lists.has_rest[side] {
            pieces.push(Piece::text(&format!(", {}.*", quote(&self.inputs[table].alias))));
        }
        pieces
    }

    /// ` group by …`, with the keys and the flag.
    fn tail(&self, table: usize, groups: &[Vec<Piece>]) -> Template {
        let keys = self.key_columns(table);
        let mut pieces = vec![Piece::text(" group by "), Piece::text(&keys.join(", "))];
        if !self.flags[table].is_empty() {
            // By position, behind the keys and the count.
            pieces.push(Piece::text(&format!(", {}", keys.len() + 2)));
        }
        for text in groups {
            pieces.push(Piece::text(", "));
            pieces.extend(text.iter().cloned());
        }
        Template { pieces: operator::joined(pieces) }
    }
}

/// What each side's query has to give, and the joined row that comes of it.
struct Lists {
    /// The tables, in the order in which they are read.
    order: [usize; 2],
    /// For each side.
    texts: [Vec<Vec<Piece>>; 2],
    /// For each side: all of its columns come behind the others.
    has_rest: [bool; 2],
    columns: Vec<JoinedColumn>,
}

impl Lists {
    fn new(first: usize) -> Self {
        Self {
            order: [first, 1 - first],
            texts: Default::default(),
            has_rest: [false; 2],
            columns: Vec::new(),
        }
    }

    fn side(&self, table: usize) -> usize {
        usize::from(self.order[0] != table)
    }

    /// Adds a column of a table; `None`: of any.
    fn one(&mut self, table: Option<usize>, text: Vec<Piece>, is_multiplied: bool) {
        let side = table.map_or(0, |table| self.side(table));
        let column = u32::try_from(self.texts[side].len()).unwrap_or(u32::MAX);
        self.columns.push(JoinedColumn::One { side: u8::from(side == 1), column, is_multiplied });
        self.texts[side].push(text);
    }

    /// Adds all columns of a table, which is possible once.
    fn rest(&mut self, table: usize) -> Result<()> {
        let side = self.side(table);
        if std::mem::replace(&mut self.has_rest[side], true) {
            return Err(refusal());
        }
        self.columns.push(JoinedColumn::Rest { side: u8::from(side == 1) });
        Ok(())
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
