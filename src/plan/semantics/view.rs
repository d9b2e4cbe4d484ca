//! Views of sharded keyspaces: read by their definition, evaluated by the servers, which have them too.
//!
//! A view is analysed like a derived table, in its own text: that tells on which shards its rows are, and whether
//! they are the plain union of what it gives on each. The statement keeps the view's name. Views of unsharded
//! keyspaces are tables like any other.

use super::analyze::{Analyzer, Ctes};
use super::from::idents;
use super::{Block, Columns, Output, Restriction};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::PlanContext;
use crate::plan::source::Source;
use crate::schema::Relation;
use crate::sql::ast::{Ident, Statement, TableFactor, TableWithJoins};
use crate::sql::{LexFlags, LexOptions, Lexed};
use crate::topology::KeyspaceName;
use std::sync::Arc;

impl Analyzer<'_> {
    /// The view that a table's name means, if it is one of a sharded keyspace.
    pub(super) fn view(&mut self, idents: &[&Ident]) -> Result<Option<Block>> {
        let Some((keyspace, view)) = self.find_view(idents) else { return Ok(None) };
        let (keyspace, view) = (keyspace.clone(), Arc::clone(view));
        let block = self.view_block(&keyspace, &view)?;
        if let [qualifier, name] = idents {
            let range = self.source.ident_range(qualifier)?.start..self.source.ident_range(name)?.start;
            self.analysis.edits.remove(range);
        }
        Ok(Some(block))
    }

    /// Rows are changed in tables: through a view a server would change sharding keys and what lookup tables know
    /// without the router's knowledge.
    pub(crate) fn refuse_views(&self, tables: &TableWithJoins) -> Result<()> {
        for factor in std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation))
        {
            match factor {
                TableFactor::NestedJoin { table_with_joins, .. } => self.refuse_views(table_with_joins)?,
                TableFactor::Table { name, .. } => {
                    let names = idents(name)?;
                    if let Some((_, view)) = self.find_view(&names) {
                        return Err(Error::unsupported(format!("changes through the view {}", view.name)));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn find_view(&self, idents: &[&Ident]) -> Option<(&KeyspaceName, &Arc<Relation>)> {
        let (qualifier, name) = match idents {
            [name] => (None, *name),
            [keyspace, name] => (Some(&*keyspace.value), *name),
            _ => return None,
        };
        let found = self.ctx.find_view(qualifier, &name.value);
        found.filter(|(keyspace, _)| self.ctx.is_sharded(keyspace))
    }

    fn view_block(&mut self, keyspace: &KeyspaceName, view: &Relation) -> Result<Block> {
        let refuse = |why: &str| Error::unsupported(format!("the view {}: {why}", view.name));
        let definition = view.definition.as_deref().filter(|text| !text.is_empty());
        let text = definition.ok_or_else(|| refuse("its definition may not be seen"))?.as_bytes();
        let options = LexOptions::default();
        let mut lexed = Lexed::new();
        crate::sql::lex(text, 0, &options, &mut lexed)?;
        // Servers would answer these for the router's own session.
        let of_session = LexFlags::HAS_SESSION_FUNCTION | LexFlags::HAS_SYSTEM_VARIABLE;
        if lexed.flags.intersects(of_session) {
            return Err(refuse("it depends on the session"));
        }
        let unreadable = |_| refuse("its definition is not understood");
        let statement = crate::sql::parse(text, &lexed, &options).map_err(unreadable)?;
        let Statement::Query(query) = &statement else { return Err(refuse("it is no query")) };
        let source = Source::new(text, &lexed, &options)?;
        let ctx = PlanContext { keyspace: Some(keyspace), options: &options, ..self.ctx.clone() };
        let (edits, aliases) = (self.analysis.edits.clone(), self.analysis.aliases.clone());
        let (bindings, tables) = (self.analysis.bindings.len(), self.analysis.tables.len());
        let mut analyzer = self.inside(&ctx, &source);
        let block = analyzer.query(query, None, &Ctes::default());
        self.analysis = analyzer.analysis;
        let mut block = block.map_err(|error| match error.kind() {
            Some(ErrorKind::UnknownTable) => refuse("a table of it is not in the VSchema"),
            _ => error,
        })?;
        // The view's text is not sent, so what was to be changed in it and the values that stand in it mean nothing.
        (self.analysis.edits, self.analysis.aliases) = (edits, aliases);
        let mut index = 0;
        self.analysis.bindings.retain(|binding| {
            index += 1;
            index <= bindings || !matches!(binding.restriction, Restriction::Lookup(_))
        });
        let elsewhere = |(other, _): &(Option<KeyspaceName>, Box<str>)| {
            other.as_ref().is_some_and(|other| other != keyspace)
        };
        if self.analysis.tables[tables..].iter().any(elsewhere) {
            return Err(refuse("it reads another keyspace"));
        }
        let entry = (Some(keyspace.clone()), view.name.as_str().into());
        if !self.analysis.tables.contains(&entry) {
            self.analysis.tables.push(entry);
        }
        self.place_view(keyspace, &block);
        name_columns(&mut block.outputs, view);
        Ok(block)
    }

    /// A view without tables of its own is on every shard, and nowhere else.
    fn place_view(&mut self, keyspace: &KeyspaceName, block: &Block) {
        if !block.instances.is_empty() {
            return;
        }
        let places = &mut self.analysis.places;
        match &places.reference {
            Some(known) if known != keyspace => places.is_mixed = true,
            _ => places.reference = Some(keyspace.clone()),
        }
    }
}

/// A view's columns have the names and types that the server tells.
fn name_columns(outputs: &mut Columns, view: &Relation) {
    if view.columns.is_empty() {
        return;
    }
    let is_same_count = !outputs.is_open && outputs.known.len() == view.columns.len();
    let keys = outputs.known.iter_mut().map(|output| output.key.take().filter(|_| is_same_count));
    let mut keys: Vec<_> = keys.collect();
    keys.resize(view.columns.len(), None);
    let known = view.columns.iter().zip(keys).map(|(column, key)| Output {
        name: column.name.as_str().into(),
        key,
        column_type: column.column_type,
        is_invisible: false,
    });
    *outputs = Columns { known: known.collect(), is_open: false };
}
