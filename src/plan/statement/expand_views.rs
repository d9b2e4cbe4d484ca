//! Views of sharded keyspaces as derived tables: the statement that says the same without naming them.
//!
//! For statements that the servers cannot answer over their own views, because a view's rows are not what each shard
//! makes of it: what is left names tables only, and can be gathered.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::PlanContext;
use crate::plan::source::{Edits, Source, quote};
use crate::sql::ast::{Query, TableFactor, Visit, Visitor};
use crate::sql::{LexFlags, LexOptions, Lexed};
use std::ops::ControlFlow;

/// The statement's text with its views' definitions in their place; `None` if it names none.
///
/// # Errors
/// `VT12001` for views that do not mean the same inside of a statement.
pub(crate) fn expand_views(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Option<Vec<u8>>> {
    let source = Source::new(text, lexed, ctx.options)?;
    let statement = crate::sql::parse(text, lexed, ctx.options).map_err(|failure| failure.to_error(text))?;
    let mut mentions = Mentions::default();
    if statement.visit(&mut mentions).is_break() {
        return Err(Error::unsupported("a locking read of a view over several shards"));
    }
    let mut edits = Edits::default();
    for factor in &mentions.tables {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { continue };
        let names = crate::plan::semantics::idents(name)?;
        let (qualifier, name) = match names.as_slice() {
            [name] if mentions.ctes.contains(&name.value) => continue,
            [name] => (None, *name),
            [qualifier, name] => (Some(*qualifier), *name),
            _ => continue,
        };
        let Some((keyspace, view)) = ctx.find_view(qualifier.map(|name| name.value.as_str()), &name.value)
        else {
            continue;
        };
        if !ctx.is_sharded(keyspace) {
            continue;
        }
        let range = source.ident_range(qualifier.unwrap_or(name))?.start..source.ident_range(name)?.end;
        let alias = if alias.is_some() { String::new() } else { format!(" as {}", quote(&name.value)) };
        let definition = definition(view.definition.as_deref().unwrap_or_default())?;
        edits.replace(range, vec![crate::plan::primitive::Piece::text(&format!("({definition}){alias}"))]);
    }
    Ok((!edits.is_empty()).then(|| with(text, lexed.span.range(), &edits)))
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
    tables: Vec<TableFactor>,
    ctes: Vec<String>,
}

impl Visitor for Mentions {
    /// A lock.
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| cte.alias.name.value.clone()));
        // Rows of a derived table are not locked.
        if query.locks.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if matches!(factor, TableFactor::Table { .. }) {
            self.tables.push(factor.clone());
        }
        ControlFlow::Continue(())
    }
}
