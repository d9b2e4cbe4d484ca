//! CREATE VIEW and ALTER VIEW: the head is read by tokens, the SELECT like any other, so that names of keyspaces
//! come off everywhere and a view over another keyspace is refused.

use crate::error::{Error, Result};
use crate::plan::PlanContext;
use crate::plan::semantics::Analyzer;
use crate::plan::semantics::analyze::Ctes;
use crate::plan::source::{Edits, Source};
use crate::sql::ast::Statement;
use crate::sql::{Lexed, TokenKind};
use crate::topology::KeyspaceName;

/// A view's definition.
pub(super) struct Definition {
    /// The keyspaces of its tables.
    pub(super) keyspaces: Vec<KeyspaceName>,
    /// What fits its text to the servers.
    pub(super) edits: Edits,
}

/// Where the SELECT begins: the index of its first token.
pub(super) fn select_at(source: &Source<'_>) -> Option<usize> {
    let tokens = source.tokens();
    let mut depth = 0_usize;
    let is_as = |index: &usize| {
        match tokens[*index].kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && source.is_keyword(*index, "as")
    };
    (1..tokens.len()).find(is_as).map(|index| index + 1).filter(|index| *index < tokens.len())
}

/// Reads the SELECT that begins at token `at`. `keyspace`: where the view is to be, and unqualified names are
/// looked up.
pub(super) fn read(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    at: usize,
    keyspace: Option<&KeyspaceName>,
) -> Result<Definition> {
    let text = source.text();
    let end = source.tokens()[end_of_select(source)].span.range().end;
    let text = text.get(..end).unwrap_or(text);
    let mut lexed = Lexed::new();
    crate::sql::lex(text, source.tokens()[at].span.range().start, ctx.options, &mut lexed)?;
    let statement = crate::sql::parse(text, &lexed, ctx.options).map_err(|failure| failure.to_error(text))?;
    let Statement::Query(query) = &statement else {
        return Err(Error::unsupported("this form of CREATE VIEW"));
    };
    let inner = Source::new(text, &lexed, ctx.options)?;
    let ctx = PlanContext { keyspace: keyspace.or(ctx.keyspace), ..ctx.clone() };
    let mut analyzer = Analyzer::new(&ctx, &inner);
    analyzer.query(query, None, &Ctes::default())?;
    let keyspaces = analyzer.analysis.tables.iter().filter_map(|(keyspace, _)| keyspace.clone());
    Ok(Definition { keyspaces: keyspaces.collect(), edits: analyzer.analysis.all_edits() })
}

/// The last token before `WITH [CASCADED | LOCAL] CHECK OPTION`, which no parser of queries knows.
fn end_of_select(source: &Source<'_>) -> usize {
    let last = source.tokens().len().saturating_sub(1);
    let is_option = last > 4 && source.is_keyword(last, "option") && source.is_keyword(last - 1, "check");
    if !is_option {
        return last;
    }
    if source.is_keyword(last - 2, "with") { last - 3 } else { last - 4 }
}
