//! INSERT and REPLACE: each row to its shard, with numbers from a sequence where they are missing.
//!
//! Rows are copied from the statement's text; only arguments that servers cannot know are replaced. What needs a
//! server before rows have a place (expressions for vindex columns, lookup tables) is asked for by the caller, between
//! the steps of an [`InsertBatch`].

mod ids;
mod place;
mod rows;
mod text;

pub use ids::{RowIds, row_ids};
pub use rows::literal_of;

use super::execute::Run;
use super::seam::{Sequences, ShardExecutor, ShardQuery, WriteOutcome};
use super::write::sum;
use crate::error::{Error, Result};
use crate::plan::primitive::{Insert, InsertRows as PlannedRows, InsertVindex, Template};
use crate::sql::{InsertValue, InsertValueKind, LexOptions, Lexed, Span};
use crate::topology::{Keyspace, KeyspaceId};
use crate::value::Value;
use crate::wire::response::ColumnDefinition;

/// The statement that an INSERT came as.
#[derive(Clone, Copy)]
pub struct InsertSource<'a> {
    /// What the lexer found in [`Run::text`].
    pub lexed: &'a Lexed,
    /// How the text was cut into tokens.
    pub options: &'a LexOptions,
    /// The keyspace with its shards.
    pub keyspace: &'a Keyspace,
    /// `sql_mode` has `NO_AUTO_VALUE_ON_ZERO`: only NULL asks for a number.
    pub zero_is_a_value: bool,
}

/// The rows of an INSERT on their way to their shards.
pub struct InsertBatch<'a> {
    plan: &'a Insert,
    run: Run<'a>,
    source: InsertSource<'a>,
    rows: Vec<Row>,
    text: Text<'a>,
    first_number: Option<u64>,
    /// What the last row has for the generated column, if it says so itself.
    last_explicit: Option<u64>,
}

/// One row.
struct Row {
    body: Body,
    /// The values of the columns of all vindexes, functions first, then lookups.
    cells: Vec<Vec<Cell>>,
    /// Parts of the text that are replaced: numbers, expressions that were evaluated.
    splices: Vec<(Span, Vec<u8>)>,
    /// Where each of its values stands in the text, for statements that need them one by one.
    values: Vec<InsertValue>,
    /// Of the generated column, where it has a place in the row.
    generated_span: Option<Span>,
    needs_number: bool,
    /// The number that it gives itself.
    explicit: Option<u64>,
    number: Option<u64>,
    /// Its shard and place, once they are known.
    place: Option<Place>,
}

/// Where a row's values stand.
enum Body {
    /// In the statement's text: the source text with the parentheses.
    Span(Span),
    /// As literals, column by column.
    Fields(Vec<Vec<u8>>),
}

/// What a row has for a column of a vindex.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    /// DEFAULT, or no value at all.
    Default,
    /// Only a server can evaluate it.
    Expression(Span),
    /// The number from the sequence.
    Generated,
    Value(Value),
}

/// Where a row goes.
#[derive(Clone, Debug)]
struct Place {
    /// The index of the shard in its keyspace.
    shard: usize,
    id: Option<KeyspaceId>,
}

enum Text<'a> {
    Set(&'a Template),
    Values { head: Vec<u8>, tail: Vec<u8> },
}

/// A value of a vindex column that the text does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownValue {
    row: usize,
    vindex: usize,
    column: usize,
    /// The expression; `None`: the column's default.
    pub expression: Option<Span>,
}

/// Runs an INSERT whose rows have their places by functions alone. The outcome's insert id is the first number that
/// was generated.
///
/// # Errors
/// A row that has no place, a vindex column whose value only a server could evaluate, an error of a shard.
pub async fn insert<E: ShardExecutor, Q: Sequences>(
    plan: &Insert,
    run: &Run<'_>,
    source: &InsertSource<'_>,
    executor: &mut E,
    sequences: &mut Q,
) -> Result<WriteOutcome> {
    let mut batch = InsertBatch::read(plan, run, source)?;
    if let Some(unknown) = batch.unknown_values().first() {
        let column = batch.column_of(unknown);
        return Err(Error::unsupported(format!("an expression for the vindex column {column}")));
    }
    batch.number(sequences).await?;
    batch.place(&[])?;
    batch.write(executor).await
}

impl<'a> InsertBatch<'a> {
    /// Reads the statement's rows.
    ///
    /// # Errors
    /// Rows that have not the statement's columns; values that cannot be read.
    pub fn read(plan: &'a Insert, run: &Run<'a>, source: &InsertSource<'a>) -> Result<Self> {
        let (rows, text) = match &plan.rows {
            PlannedRows::Set { query, values, .. } => {
                (rows::of_set(values, plan, run, source)?, Text::Set(query))
            }
            PlannedRows::Select { .. } => return Err(Error::bug("the rows of a query are not in the text")),
            PlannedRows::Values { head, columns } => {
                let (rows, head, tail) = rows::of_values(head.as_deref(), *columns, plan, run, source)?;
                (rows, Text::Values { head, tail })
            }
        };
        let last_explicit = rows.last().and_then(|row| row.explicit);
        Ok(Self { plan, run: *run, source: *source, rows, text, first_number: None, last_explicit })
    }

    /// Takes rows of a query. `tail` stands behind them.
    ///
    /// # Errors
    /// Rows that have not the statement's columns; types whose text is not the whole value.
    pub fn of_query(
        plan: &'a Insert,
        run: &Run<'a>,
        source: &InsertSource<'a>,
        tail: &[u8],
        columns: &[ColumnDefinition],
        rows: &[Vec<Option<Vec<u8>>>],
    ) -> Result<Self> {
        let PlannedRows::Select { head, columns: expected, .. } = &plan.rows else {
            return Err(Error::bug("an INSERT without query"));
        };
        let plain = run.session.no_backslash_escapes();
        let rows = rows::of_query(plan, source, *expected, columns, rows, plain)?;
        let text = Text::Values { head: head.to_vec(), tail: tail.to_vec() };
        let last_explicit = rows.last().and_then(|row| row.explicit);
        Ok(Self { plan, run: *run, source: *source, rows, text, first_number: None, last_explicit })
    }

    /// Takes rows of a file, of which only the values at some positions are known.
    pub fn of_file(
        plan: &'a Insert,
        run: &Run<'a>,
        source: &InsertSource<'a>,
        positions: &[usize],
        values: &[Vec<Value>],
    ) -> Self {
        let rows: Vec<Row> =
            values.iter().map(|values| rows::of_file(plan, source, positions, values)).collect();
        let text = Text::Values { head: Vec::new(), tail: Vec::new() };
        let last_explicit = rows.last().and_then(|row| row.explicit);
        Self { plan, run: *run, source: *source, rows, text, first_number: None, last_explicit }
    }

    /// The shard of a row, by its index in the keyspace; `None` if it is left out.
    pub fn shard_of(&self, row: usize) -> Option<usize> {
        Some(self.rows.get(row)?.place.as_ref()?.shard)
    }

    /// The number that a row got from the sequence.
    pub fn number_of(&self, row: usize) -> Option<u64> {
        self.rows.get(row)?.number
    }

    /// The first number that was generated.
    pub fn first_number(&self) -> Option<u64> {
        self.first_number
    }

    /// Were numbers generated, so that `LAST_INSERT_ID()` changes?
    pub fn has_numbers(&self) -> bool {
        self.first_number.is_some()
    }

    /// Number of rows.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// The values of vindex columns that a server has to tell before rows can be placed.
    pub fn unknown_values(&self) -> Vec<UnknownValue> {
        let mut found = Vec::new();
        for (row, of_row) in self.rows.iter().enumerate() {
            for (vindex, cells) in of_row.cells.iter().enumerate() {
                for (column, cell) in cells.iter().enumerate() {
                    let expression = match cell {
                        Cell::Default => None,
                        Cell::Expression(span) => Some(*span),
                        Cell::Generated | Cell::Value(_) => continue,
                    };
                    found.push(UnknownValue { row, vindex, column, expression });
                }
            }
        }
        found
    }

    /// NULLs in columns that decide about places, and with `all` in those of lookup tables too.
    pub fn nulls(&self, all: bool) -> Vec<UnknownValue> {
        let counted = if all { usize::MAX } else { self.plan.vindexes.len() };
        let takes_nulls: Vec<bool> =
            vindexes(self.plan).map(|vindex| vindex.vindex.0.vindex_type() == "null").collect();
        let mut found = Vec::new();
        for (row, of_row) in self.rows.iter().enumerate() {
            for (vindex, cells) in of_row.cells.iter().enumerate().take(counted) {
                let nulls = cells.iter().enumerate().filter(|(_, cell)| **cell == Cell::Value(Value::Null));
                let nulls = nulls.filter(|_| !takes_nulls[vindex]);
                found.extend(nulls.map(|(column, _)| UnknownValue { row, vindex, column, expression: None }));
            }
        }
        found
    }

    /// Values in columns of vindexes in whose place a server with AUTO_INCREMENT would put a number of its own.
    pub fn asking(&self) -> Vec<UnknownValue> {
        let mut found = Vec::new();
        for (row, of_row) in self.rows.iter().enumerate() {
            for (vindex, cells) in of_row.cells.iter().enumerate() {
                let asks = |cell: &Cell| match cell {
                    Cell::Value(value) => rows::is_replaced_by_counting(value, &self.source),
                    Cell::Default | Cell::Expression(_) | Cell::Generated => false,
                };
                let asking = cells.iter().enumerate().filter(|(_, cell)| asks(cell));
                found.extend(asking.map(|(column, _)| UnknownValue {
                    row,
                    vindex,
                    column,
                    expression: None,
                }));
            }
        }
        found
    }

    /// The name of the column that an unknown value is for.
    pub fn column_of(&self, unknown: &UnknownValue) -> &'a str {
        let vindex = vindexes(self.plan).nth(unknown.vindex);
        vindex.and_then(|vindex| vindex.columns.get(unknown.column)).map_or("", |name| name)
    }

    /// The source text of an expression, with the statement's parameters put in.
    pub fn expression(&self, span: Span) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        text::write_span(span, &self.run, &self.source, &mut out)?;
        Ok(out)
    }

    /// Says what an unknown value is: expressions are replaced by it, so that they are evaluated once.
    pub fn fill(&mut self, unknown: &UnknownValue, value: Value) {
        let Some(row) = self.rows.get_mut(unknown.row) else { return };
        if let Some(span) = unknown.expression
            && !row.splices.iter().any(|(known, _)| *known == span)
        {
            let mut literal = Vec::new();
            value.as_ref().render_literal(&mut literal, self.run.session.no_backslash_escapes());
            row.splices.push((span, literal));
        }
        row.cells[unknown.vindex][unknown.column] = Cell::Value(value);
    }

    /// The SQL text of a row's value; `None`: it is the column's default. The second is true for a value whose text is a
    /// literal.
    pub fn value_text(&self, row: usize, position: usize) -> Result<Option<(Vec<u8>, bool)>> {
        let row = self.rows.get(row).ok_or_else(|| Error::bug("a row that is not there"))?;
        let generated = self.plan.generated.as_ref().and_then(|generated| generated.position);
        if let Some(number) = row.number.filter(|_| generated.is_some_and(|at| at as usize == position)) {
            return Ok(Some((number.to_string().into_bytes(), true)));
        }
        if let Body::Fields(fields) = &row.body {
            return Ok(fields.get(position).map(|text| (text.clone(), true)));
        }
        let Some(value) = row.values.get(position) else {
            return Err(Error::bug("a value of a row that is not known"));
        };
        if let Some((_, text)) = row.splices.iter().find(|(span, _)| *span == value.span) {
            return Ok(Some((text.clone(), true)));
        }
        let is_literal = match value.kind {
            InsertValueKind::Default => return Ok(None),
            InsertValueKind::Expression => false,
            InsertValueKind::Literal(_) | InsertValueKind::Null => true,
        };
        self.expression(value.span).map(|text| Some((text, is_literal)))
    }

    /// Only the rows are sent from now on, nothing that stands behind them.
    pub fn drop_tail(&mut self) -> Vec<u8> {
        match &mut self.text {
            Text::Values { tail, .. } => std::mem::take(tail),
            Text::Set(_) => Vec::new(),
        }
    }

    /// Gives rows that need one a number of the sequence.
    pub async fn number<Q: Sequences>(&mut self, sequences: &mut Q) -> Result<()> {
        let missing = self.rows.iter().filter(|row| row.needs_number).count() as u64;
        let Some(generated) = self.plan.generated.as_ref().filter(|_| missing > 0) else { return Ok(()) };
        let first = sequences.reserve(&generated.keyspace, &generated.sequence, missing).await?;
        self.first_number = Some(first);
        let needing = self.rows.iter_mut().filter(|row| row.needs_number);
        for (number, row) in (first..).zip(needing) {
            row.number = Some(number);
        }
        Ok(())
    }

    /// Sends the rows to their shards.
    pub async fn write<E: ShardExecutor>(&self, executor: &mut E) -> Result<WriteOutcome> {
        let queries = self.queries(&|_| true)?;
        if queries.is_empty() {
            return Ok(WriteOutcome::default());
        }
        let outcomes = executor.write(self.run.keyspace, queries).await?;
        Ok(self.outcome(outcomes))
    }

    /// The shards' outcomes as one.
    pub fn outcome(&self, mut outcomes: Vec<WriteOutcome>) -> WriteOutcome {
        if self.plan.is_copied {
            outcomes.truncate(1);
        }
        if outcomes.len() > 1 || matches!(self.plan.rows, PlannedRows::Select { .. }) {
            outcomes.iter_mut().for_each(|outcome| match self.plan.replaces {
                Some(_) => spell_out(outcome, outcome.affected_rows.saturating_sub(1)),
                None => spell_out_one_row(outcome, self.plan.is_ignore),
            });
        }
        let mut outcome = sum(outcomes);
        outcome.last_insert_id = self.insert_id(&outcome, outcome.last_insert_id);
        outcome
    }

    /// One statement per shard that chosen rows go to.
    pub fn queries(&self, is_chosen: &dyn Fn(usize) -> bool) -> Result<Vec<ShardQuery>> {
        let shards = self.source.keyspace.shards();
        let mut texts: Vec<Option<Vec<u8>>> = vec![None; shards.len()];
        let mut rows: Vec<Vec<u64>> = vec![Vec::new(); shards.len()];
        for (index, row) in self.rows.iter().enumerate().filter(|(index, _)| is_chosen(*index)) {
            let Some(Place { shard, .. }) = row.place else { continue };
            let text = texts.get_mut(shard).ok_or_else(|| Error::bug(format!("row {index} has no shard")))?;
            rows[shard].push(index as u64 + 1);
            match &self.text {
                Text::Set(template) => *text = Some(text::of_set(row, template, self.plan, &self.run)?),
                Text::Values { head, .. } => {
                    let text = match text {
                        Some(text) => {
                            text.push(b',');
                            text
                        }
                        none => {
                            let text = none.insert(head.clone());
                            text.push(b' ');
                            text
                        }
                    };
                    text::write_row(row, self.plan.generated.as_ref(), &self.run, &self.source, text)?;
                }
            }
        }
        if self.plan.is_copied {
            let text = texts.first().cloned().flatten();
            texts.fill(text);
            rows.iter_mut().for_each(Vec::clear);
        }
        let mut queries = Vec::new();
        for ((shard, text), rows) in shards.iter().zip(texts).zip(rows) {
            let Some(mut text) = text else { continue };
            if let Text::Values { tail, .. } = &self.text {
                text.extend_from_slice(tail);
            }
            queries.push(ShardQuery { shard: shard.name().clone(), text, rows });
        }
        Ok(queries)
    }
}

/// All vindexes of the plan, in the order of [`Row::cells`].
fn vindexes(plan: &Insert) -> impl Iterator<Item = &InsertVindex> {
    plan.vindexes.iter().chain(plan.lookups.iter().map(|lookup| &lookup.vindex))
}

/// Servers say nothing about the INSERT of a single row, but do about the statement that it is a part of.
pub(super) fn spell_out_one_row(outcome: &mut WriteOutcome, is_ignore: bool) {
    if outcome.info.is_empty() {
        // A row that took the place of another counts twice; one that was set to what it was is no duplicate.
        let is_duplicate = if is_ignore { outcome.affected_rows == 0 } else { outcome.affected_rows == 2 };
        spell_out(outcome, u64::from(is_duplicate));
    }
}

fn spell_out(outcome: &mut WriteOutcome, duplicates: u64) {
    if outcome.info.is_empty() {
        let text = format!("Records: 1  Duplicates: {duplicates}  Warnings: {}", outcome.warnings);
        outcome.info = text.into_bytes();
    }
}
