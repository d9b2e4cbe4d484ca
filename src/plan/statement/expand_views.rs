//! Views as derived tables, and `TABLE t` as the SELECT that it is short for: the statement that says the same without
//! them.
//!
//! For statements that the servers cannot answer over their own views, because a view's rows are not what each shard
//! makes of it: what is left names tables only, and can be gathered.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::layout::Layout;
use crate::plan::primitive::Piece;
use crate::plan::semantics::references::lock_words;
use crate::plan::source::{Edits, Source, quote};
use crate::plan::{FoundTable, PlanContext};
use crate::schema::Relation;
use crate::sql::ast::{Ident, Query, Select, SelectItem, SetExpr, TableFactor, Visit, Visitor};
use crate::sql::{LexFlags, LexOptions, Lexed};
use std::ops::ControlFlow;

/// The statement's text with its views' definitions in their place, and with SELECT for TABLE; `None` if it has neither.
///
/// # Errors
/// `VT12001` for views that do not mean the same inside of a statement.
pub(crate) fn expand_views(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Option<Vec<u8>>> {
    let source = Source::new(text, lexed, ctx.options)?;
    let statement = crate::sql::parse(text, lexed, ctx.options).map_err(|failure| failure.to_error(text))?;
    let mut mentions = Mentions::default();
    let _ = statement.visit(&mut mentions);
    let mut edits = Edits::default();
    for (factor, query) in &mentions.tables {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { continue };
        let names = crate::plan::semantics::idents(name)?;
        let (qualifier, name) = match names.as_slice() {
            [name] if mentions.ctes.contains(&name.value) => continue,
            [name] => (None, *name),
            [qualifier, name] => (Some(*qualifier), *name),
            _ => continue,
        };
        let Some(view) = view(ctx, qualifier.map(|name| name.value.as_str()), &name.value) else { continue };
        let range = source.ident_range(qualifier.unwrap_or(name))?.start..source.ident_range(name)?.end;
        let visible = alias.as_ref().map_or(name, |alias| &alias.name);
        let alias = if alias.is_some() { String::new() } else { format!(" as {}", quote(&name.value)) };
        let definition = definition(view.definition.as_deref().unwrap_or_default())?;
        let lock = query.as_ref().map_or(Ok(String::new()), |query| lock_of(query, visible, &source))?;
        edits.replace(range, vec![Piece::text(&format!("({definition}{lock}){alias}"))]);
    }
    mentions.selects.iter().for_each(|select| keep_names(select, &source, &mut edits));
    spell_out_tables(mentions.table_queries, &source, &mut edits);
    Ok((!edits.is_empty()).then(|| with(text, lexed.span.range(), &edits)))
}

/// A column without alias is named after its text.
fn keep_names(select: &Select, source: &Source<'_>, edits: &mut Edits) {
    let token = source.token_at(select.select_token.0.span.start);
    let Some(layout) = token.and_then(|token| Layout::of_select(source, token)) else { return };
    if layout.items.len() != select.projection.len() {
        return;
    }
    for (item, range) in select.projection.iter().zip(layout.items) {
        if matches!(item, SelectItem::UnnamedExpr(_)) && edits.touches(&range) {
            edits.insert(range.end, &format!(" as {}", quote(&source.slice(range))));
        }
    }
}

/// `SELECT * FROM` for the word TABLE that a query begins with; the syntax tree does not say where that stands.
fn spell_out_tables(count: usize, source: &Source<'_>, edits: &mut Edits) {
    let tokens = source.tokens();
    let begins_query = |index: &usize| {
        source.is_keyword(*index, "table") && tokens.get(index + 1).is_some_and(|next| next.kind.is_name())
    };
    let found: Vec<usize> = (0..tokens.len()).filter(begins_query).collect();
    if found.len() == count {
        let ranges = found.into_iter().map(|index| tokens[index].span.range());
        ranges.for_each(|range| edits.replace(range, vec![Piece::text("select * from")]));
    }
}

fn view<'c>(ctx: &'c PlanContext<'_>, qualifier: Option<&str>, name: &str) -> Option<&'c Relation> {
    if let Some((_, view)) = ctx.find_view(qualifier, name) {
        return Some(view);
    }
    // Views of unsharded keyspaces are tables otherwise.
    match ctx.find_table(qualifier, name) {
        Ok(FoundTable::Table(table)) => ctx.schemas.view(&table.keyspace, &table.name).map(|view| &**view),
        _ => None,
    }
}

/// Rows of a derived table are not locked, but those that it reads may be.
fn lock_of(query: &Query, visible: &Ident, source: &Source<'_>) -> Result<String> {
    for lock in &query.locks {
        let of = lock.of.as_ref().map(crate::plan::semantics::idents).transpose()?;
        if of.and_then(|names| names.last().copied()).is_none_or(|name| name.value == visible.value) {
            return Ok(lock_words(lock, query, source));
        }
    }
    Ok(String::new())
}

/// A definition that means the same wherever it stands.
fn definition(text: &str) -> Result<&str> {
    let mut lexed = Lexed::new();
    crate::sql::lex(text.as_bytes(), 0, &LexOptions::default(), &mut lexed)?;
    let of_session =
        LexFlags::HAS_SESSION_FUNCTION | LexFlags::HAS_SYSTEM_VARIABLE | LexFlags::HAS_USER_VARIABLE;
    if text.is_empty() || lexed.flags.intersects(of_session) {
        return Err(Error::unsupported("a view that depends on the session, over several shards"));
    }
    // The statement may be in another character set.
    if !text.is_ascii() {
        return Err(Error::unsupported("a view with other characters than ASCII's, over several shards"));
    }
    Ok(text)
}

fn with(text: &[u8], range: Range<usize>, edits: &Edits) -> Vec<u8> {
    let mut out = text[..range.start].to_vec();
    let mut position = range.start;
    for (edit, with) in edits.texts() {
        out.extend_from_slice(&text[position..edit.start]);
        out.extend_from_slice(&with);
        position = edit.end;
    }
    out.extend_from_slice(&text[position..range.end]);
    out
}

/// What a statement names.
#[derive(Default)]
struct Mentions {
    /// With the query around, which may lock rows.
    tables: Vec<(TableFactor, Option<Query>)>,
    ctes: Vec<String>,
    queries: Vec<Query>,
    selects: Vec<Select>,
    /// Number of queries of the form `TABLE t`.
    table_queries: usize,
}

impl Mentions {
    fn note_selects(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.selects.push((**select).clone()),
            SetExpr::Table(_) => self.table_queries += 1,
            SetExpr::SetOperation { left, right, .. } => {
                self.note_selects(left);
                self.note_selects(right);
            }
            _ => {}
        }
    }
}

impl Visitor for Mentions {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| cte.alias.name.value.clone()));
        self.queries.push(query.clone());
        self.note_selects(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.queries.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if matches!(factor, TableFactor::Table { .. }) {
            self.tables.push((factor.clone(), self.queries.last().cloned()));
        }
        ControlFlow::Continue(())
    }
}
