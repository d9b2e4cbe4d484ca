//! The horizon of a SELECT over several shards: the shards' query under construction, and what comes after.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::layout::Layout;
use crate::plan::primitive::{
    Aggregate, AggregateColumn, ColumnRef, Distinct, EachShard, Filter, Limit, MergeSort, Piece, Predicate,
    Primitive, RouteValue, Sort, SortKey, Truncate,
};
use crate::plan::semantics::analyze::Shape;
use crate::plan::semantics::{Analysis, Block, Scope};
use crate::plan::source::{Edits, Source};
use crate::sql::ast::{Expr, Ident, Query, Select, SelectItem};

/// A select item.
#[derive(Clone, Debug)]
pub(crate) struct Item<'a> {
    /// `None` for `*`.
    pub(crate) expr: Option<&'a Expr>,
    pub(crate) alias: Option<&'a Ident>,
    /// The expression without its alias.
    pub(crate) range: Range<usize>,
    /// What stands in its place, if it is not what the text says.
    pub(crate) text: Option<Vec<Piece>>,
}

/// What is left of a SELECT above its shards' query.
pub(crate) struct Horizon<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) query: &'a Query,
    pub(crate) select: &'a Select,
    pub(crate) analysis: &'a Analysis,
    pub(crate) block: &'a Block,
    /// What the FROM clause names.
    pub(crate) scope: Scope<'static>,
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    pub(crate) items: Vec<Item<'a>>,
    /// The shards' query, as changes of the statement.
    pub(crate) edits: Edits,
    helpers: Vec<Vec<Piece>>,
    /// Helper columns whose form depends on a type, as [`Piece::Weight`].
    pub(super) weights: Vec<(u32, Piece)>,
    /// The argument of the DISTINCT aggregates.
    pub(crate) distinct_text: Vec<Piece>,
    /// Each shard's rows come sorted by this.
    pub(crate) merge: Option<Vec<SortKey>>,
    pub(crate) aggregate: Option<AggregateParts>,
    pub(crate) predicate: Option<Predicate>,
    pub(crate) distinct: Option<Vec<SortKey>>,
    pub(crate) sort: Option<Vec<SortKey>>,
    pub(crate) limit: Option<(Option<RouteValue>, Option<RouteValue>)>,
}

/// An [`Aggregate`] without its input.
#[derive(Clone, Debug, Default)]
pub(crate) struct AggregateParts {
    pub(crate) group: Vec<SortKey>,
    pub(crate) distinct: Vec<SortKey>,
    pub(crate) columns: Vec<AggregateColumn>,
    pub(crate) is_scalar: bool,
}

impl<'a> Horizon<'a> {
    pub(crate) fn new(
        source: &'a Source<'a>,
        query: &'a Query,
        select: &'a Select,
        analysis: &'a Analysis,
        block: &'a Block,
    ) -> Result<Self> {
        let token = source.token_at(select.select_token.0.span.start);
        let layout = token.and_then(|token| Layout::of_select(source, token));
        let layout = layout.ok_or_else(|| Error::bug("no SELECT where the syntax tree has one"))?;
        let has_group = !crate::plan::semantics::analyze::group_exprs(&select.group_by).is_empty();
        let agrees = layout.items.len() == select.projection.len()
            && layout.group_by.is_some() == has_group
            && layout.having.is_some() == select.having.is_some()
            && layout.order_by.is_some() == query.order_by.is_some()
            && layout.limit.is_some() == query.limit_clause.is_some();
        if !agrees {
            return Err(Error::unsupported("this form of SELECT over several shards"));
        }
        let items = items(source, select, &layout)?;
        let shape = Shape::of(select, query.order_by.as_ref())?;
        Ok(Self {
            source,
            query,
            select,
            analysis,
            block,
            scope: Scope { sources: block.sources.clone(), parent: None },
            shape,
            layout,
            items,
            edits: analysis.all_edits(),
            helpers: Vec::new(),
            weights: Vec::new(),
            distinct_text: Vec::new(),
            merge: None,
            aggregate: None,
            predicate: None,
            distinct: None,
            sort: None,
            limit: None,
        })
    }

    /// The text of an expression, fit for the servers.
    pub(crate) fn pieces(&self, range: &Range<usize>) -> Vec<Piece> {
        self.source.pieces(range.clone(), &self.analysis.edits).pieces
    }

    /// The text of a select item.
    pub(crate) fn item_pieces(&self, item: &Item<'_>) -> Vec<Piece> {
        item.text.clone().unwrap_or_else(|| self.pieces(&item.range))
    }

    /// A helper column with this text; an equal one is used again.
    pub(crate) fn helper(&mut self, pieces: Vec<Piece>) -> ColumnRef {
        let index = self.helpers.iter().position(|known| *known == pieces).unwrap_or_else(|| {
            self.helpers.push(pieces);
            self.helpers.len() - 1
        });
        ColumnRef::Helper(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The texts of the helper columns so far.
    pub(crate) fn helper_texts(&self) -> &[Vec<Piece>] {
        &self.helpers
    }

    /// The edits of the shards' query so far.
    pub(crate) fn edits_with_helpers(&self) -> Edits {
        self.with_helpers(self.helpers.clone())
    }

    /// A column as ORDER BY can name it: by position where that is known, because a text may mean an alias there.
    pub(crate) fn text_of(&self, column: ColumnRef) -> Result<Vec<Piece>> {
        let index = match column {
            ColumnRef::Helper(index) if self.items.iter().all(|item| item.expr.is_some()) => {
                self.items.len() + index as usize
            }
            ColumnRef::Helper(index) => {
                let text = self.helpers.get(index as usize).cloned();
                return text.ok_or_else(|| Error::bug("no such helper column"));
            }
            ColumnRef::Visible(index) => index as usize,
        };
        Ok(vec![Piece::text(&(index + 1).to_string())])
    }

    /// The column of select item `index`, if no `*` stands before it.
    pub(crate) fn visible(&self, index: usize) -> Option<ColumnRef> {
        let is_known = self.items.get(..=index)?.iter().all(|item| item.expr.is_some());
        is_known.then(|| ColumnRef::Visible(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    /// The select item whose explicit alias is `name`.
    pub(crate) fn aliased(&self, name: &Ident) -> Option<usize> {
        let is_alias =
            |item: &Item<'_>| item.alias.is_some_and(|a| a.value.eq_ignore_ascii_case(&name.value));
        self.items.iter().position(is_alias)
    }

    /// The edits of the shards' query, with the helper columns behind the select list.
    fn with_helpers(&self, helpers: Vec<Vec<Piece>>) -> Edits {
        let mut edits = self.edits.clone();
        let mut pieces = Vec::new();
        for helper in helpers {
            pieces.push(Piece::text(", "));
            pieces.extend(helper);
        }
        if let Some(last) = self.layout.items.last().filter(|_| !pieces.is_empty()) {
            edits.insert_pieces(last.end, pieces);
        }
        edits
    }

    /// The tree of primitives that the notes amount to.
    pub(crate) fn finish(mut self) -> Primitive {
        let helper_count = u32::try_from(self.helpers.len()).unwrap_or(u32::MAX);
        let helpers = std::mem::take(&mut self.helpers);
        let weights = std::mem::take(&mut self.weights);
        let typed = (!weights.is_empty()).then(|| {
            let mut helpers = helpers.clone();
            for (index, weight) in weights {
                helpers[index as usize] = vec![weight];
            }
            let edits = self.with_helpers(helpers);
            Box::new(self.source.pieces(self.source.range(), &edits))
        });
        let edits = self.with_helpers(helpers);
        let query = self.source.query(&edits);
        let mut tree = Primitive::EachShard(EachShard { query, helpers: helper_count, typed });
        if let Some(keys) = self.merge.filter(|keys| !keys.is_empty()) {
            tree = Primitive::MergeSort(MergeSort { keys, input: Box::new(tree) });
        }
        if let Some(parts) = self.aggregate {
            let AggregateParts { group, distinct, columns, is_scalar } = parts;
            let input = Box::new(tree);
            tree = Primitive::Aggregate(Aggregate { group, distinct, columns, is_scalar, input });
        }
        if let Some(predicate) = self.predicate {
            tree = Primitive::Filter(Filter { predicate, input: Box::new(tree) });
        }
        if let Some(keys) = self.distinct {
            tree = Primitive::Distinct(Distinct { keys, is_by_value: false, input: Box::new(tree) });
        }
        if let Some(keys) = self.sort.filter(|keys| !keys.is_empty()) {
            tree = Primitive::Sort(Sort { keys, input: Box::new(tree) });
        }
        if let Some((count, offset)) = self.limit {
            tree = Primitive::Limit(Limit { count, offset, input: Box::new(tree) });
        }
        if helper_count > 0 {
            tree = Primitive::Truncate(Truncate { helpers: helper_count, input: Box::new(tree) });
        }
        tree
    }
}

fn items<'a>(source: &Source<'_>, select: &'a Select, layout: &Layout) -> Result<Vec<Item<'a>>> {
    let each = select.projection.iter().zip(&layout.items);
    each.map(|(item, range)| {
        let range = range.clone();
        match item {
            SelectItem::UnnamedExpr(expr) => Ok(Item { expr: Some(expr), alias: None, range, text: None }),
            SelectItem::ExprWithAlias { expr, alias } => {
                let end = end_of_expression(source, &range, alias)?;
                Ok(Item { expr: Some(expr), alias: Some(alias), range: range.start..end, text: None })
            }
            _ => Ok(Item { expr: None, alias: None, range, text: None }),
        }
    })
    .collect()
}

/// Where the expression of `expr [AS] alias` ends.
fn end_of_expression(source: &Source<'_>, range: &Range<usize>, alias: &Ident) -> Result<usize> {
    let no_place = || Error::bug(format!("no place known for the alias {}", alias.value));
    let mut index = source.token_at(alias.span.start).ok_or_else(no_place)?;
    if index > 0 && source.is_keyword(index - 1, "as") {
        index -= 1;
    }
    let last = index.checked_sub(1).and_then(|index| source.tokens().get(index)).ok_or_else(no_place)?;
    let end = last.span.range().end;
    if end <= range.start { Err(no_place()) } else { Ok(end) }
}
