//! INSERT and REPLACE over shards: rows are found in the text, mapped to shards, and sent as one statement per shard.
//!
//! Values stay the client's own source text; only numbers of a sequence are put in. See Vitess's `Insert` primitive.

use smallvec::SmallVec;

use super::Executor;
use super::arguments::Arguments;
use super::exchange::Payload;
use super::job::Job;
use super::place;
use super::planned::arguments;
use super::resolve;
use super::template::{Placeholders, Renderer};
use super::write::{Changes, Info};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::limits::INSERT_ROWS_MAX;
use crate::plan::primitive::{Insert, InsertRows as PlannedRows, InsertVindex, Query};
use crate::sql::{Arg, InsertRows, InsertValue, InsertValueKind, Lexed, Span, SqlMode, lex};
use crate::topology::{Destination, Keyspace, KeyspaceId};
use crate::value::{Value, ValueRef};
use crate::vschema::vindex::Mapping;

/// One row of the statement.
struct Row {
    /// With its parentheses.
    span: Span,
    /// Values of the vindexes' columns, one vindex after the other; `None` is the generated number.
    keys: SmallVec<[Option<Value>; 1]>,
    /// Where the generated number goes; an empty span adds it at the row's end.
    generated: Option<Span>,
}

impl Executor {
    /// Runs an INSERT or REPLACE.
    pub(super) async fn insert(&self, job: &mut Job<'_>, insert: &Insert) -> Result<()> {
        match &insert.rows {
            PlannedRows::Values { head, columns } => {
                self.insert_values(job, insert, head.as_deref(), *columns).await
            }
            PlannedRows::Set { query, values } => {
                let row = {
                    let arguments = arguments(job);
                    let values: Result<Vec<Value>> =
                        values.iter().map(|value| arguments.route_value(value)).collect();
                    set_row(insert, &values?, job.session.settings.lex_options().mode)
                };
                let first = self.numbers(job, insert, std::slice::from_ref(&row)).await?;
                let placed = self.place(job, insert, std::slice::from_ref(&row), first)?;
                let Some((target, _)) = placed.into_iter().next() else {
                    return Err(Error::new(ErrorKind::NoShard, "the row has no place in any shard"));
                };
                let text = {
                    let arguments = arguments(job);
                    let mut renderer = Renderer::new(self, job, &arguments, Placeholders::Inline);
                    renderer.sequence = first;
                    renderer.query(&Query::Template(query.clone()))?
                };
                let changes = self.change_one(job, &target, &text).await?;
                self.finish(job, changes, first);
                Ok(())
            }
        }
    }

    async fn insert_values(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        head: Option<&[u8]>,
        columns: Option<u32>,
    ) -> Result<()> {
        let rows = read_rows(job, insert, columns)?;
        let needs_numbers = rows.iter().any(|row| row.generated.is_some());
        let first = self.numbers(job, insert, &rows).await?;
        let placed = self.place(job, insert, &rows, first)?;
        if let ([(target, _)], false) = (placed.as_slice(), needs_numbers) {
            // Everything goes to one place as it is: the reply passes through.
            let text = match head {
                None => std::borrow::Cow::Borrowed(job.text),
                Some(_) => std::borrow::Cow::Owned(self.assemble(job, head, &rows, None, None)?),
            };
            let payload = match job.execution {
                Some(execution) => Payload::Execute(&text, execution),
                None => Payload::Query(&text),
            };
            return self.forward(job, target, payload, true).await.map(drop);
        }
        if job.execution.is_some() {
            return self.insert_inlined(job, insert, head, columns).await;
        }
        let texts: Result<Vec<(Target, Vec<u8>)>> = placed
            .into_iter()
            .map(|(target, indexes)| Ok((target, self.assemble(job, head, &rows, Some(&indexes), first)?)))
            .collect();
        let texts = texts?;
        let changes = match texts.as_slice() {
            [] => Changes::default(),
            [(target, text)] => self.change_one(job, target, text).await?,
            _ => {
                let mut changes = self.change_shards(job, &texts).await?;
                changes.info = Some(records(&changes, rows.len()));
                changes
            }
        };
        self.finish(job, changes, first);
        Ok(())
    }

    /// A prepared statement whose text has to be taken apart: its parameters become literals first.
    async fn insert_inlined(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        head: Option<&[u8]>,
        columns: Option<u32>,
    ) -> Result<()> {
        let text = self.render(job, &Query::Original, Placeholders::Inline)?;
        let mut lexed = Lexed::new();
        lex(&text, 0, &job.session.settings.lex_options(), &mut lexed)?;
        let mut inlined = Job {
            session: &mut *job.session,
            client: &mut *job.client,
            snapshot: job.snapshot.clone(),
            text: &text,
            lexed: &lexed,
            execution: None,
            more_results: job.more_results,
        };
        Box::pin(self.insert_values(&mut inlined, insert, head, columns)).await
    }

    /// The first of as many numbers as the rows need; `None` if they need none.
    async fn numbers(&self, job: &Job<'_>, insert: &Insert, rows: &[Row]) -> Result<Option<u64>> {
        let count = rows.iter().filter(|row| row.generated.is_some()).count() as u64;
        match &insert.generated {
            Some(generated) if count > 0 => self
                .next_values(&job.snapshot, &generated.keyspace, &generated.sequence, count)
                .await
                .map(Some),
            _ => Ok(None),
        }
    }

    /// Which rows go to which target, by index, in the order of the shards' first rows.
    fn place(
        &self,
        job: &Job<'_>,
        insert: &Insert,
        rows: &[Row],
        first: Option<u64>,
    ) -> Result<Vec<(Target, Vec<usize>)>> {
        let unknown =
            || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{}'", insert.keyspace));
        let keyspace = job.snapshot.topology.keyspace(&insert.keyspace).ok_or_else(unknown)?;
        let target =
            |shard: &crate::topology::Shard| place::target(job.session, keyspace, shard.name().clone());
        let single = match (&insert.pinned, insert.vindexes.is_empty()) {
            (Some(id), _) => Some(Destination::KeyspaceId(id.clone())),
            (None, true) => Some(Destination::AnyShard),
            (None, false) => None,
        };
        if let Some(destination) = single {
            let shards = keyspace.resolve(&destination)?;
            let shard = shards.first().ok_or_else(unknown)?;
            return Ok(vec![(target(shard), (0..rows.len()).collect())]);
        }
        let mut placed: Vec<(Target, Vec<usize>)> = Vec::new();
        let mut number = first;
        for (index, row) in rows.iter().enumerate() {
            let generated = if row.generated.is_some() { number } else { None };
            if row.generated.is_some() {
                number = number.map(|number| number + 1);
            }
            let Some(id) = keyspace_id(insert, row, generated)? else { continue };
            let shard = shard_of(keyspace, &id)?;
            match placed.iter_mut().find(|(known, _)| known.shard == *shard.name()) {
                Some((_, indexes)) => indexes.push(index),
                None => placed.push((target(shard), vec![index])),
            }
        }
        Ok(placed)
    }

    /// The statement for the rows with these indexes (all, if `None`).
    fn assemble(
        &self,
        job: &Job<'_>,
        head: Option<&[u8]>,
        rows: &[Row],
        indexes: Option<&[usize]>,
        first: Option<u64>,
    ) -> Result<Vec<u8>> {
        let options = job.session.settings.lex_options();
        let mut reader = InsertRows::new(job.text, job.lexed, &options)?.ok_or_else(no_rows)?;
        let own_head = reader.head().of(job.text);
        let mut values = Vec::new();
        while reader.next_row(&mut values)?.is_some() {}
        let tail = reader.tail().of(job.text);
        let mut out = Vec::with_capacity(job.text.len() + 64);
        out.extend_from_slice(head.unwrap_or(own_head));
        let mut number = first;
        let mut written = 0;
        let mut wanted = indexes.map(|indexes| indexes.iter().copied().peekable());
        for (index, row) in rows.iter().enumerate() {
            let value = if row.generated.is_some() { number } else { None };
            if row.generated.is_some() {
                number = number.map(|number| number + 1);
            }
            if let Some(wanted) = &mut wanted {
                if wanted.peek() != Some(&index) {
                    continue;
                }
                wanted.next();
            }
            out.extend_from_slice(if written == 0 { b" " } else { b", " });
            write_row(row, value, job.text, &mut out);
            written += 1;
        }
        out.extend_from_slice(tail);
        Ok(out)
    }

    fn finish(&self, job: &mut Job<'_>, mut changes: Changes, first: Option<u64>) {
        if let Some(first) = first {
            changes.last_insert_id = first;
        }
        self.send_changes(job, &changes);
    }
}

fn no_rows() -> Error {
    Error::bug("an INSERT that was planned with rows has none")
}

/// The row of `INSERT … SET`.
fn set_row(insert: &Insert, values: &[Value], mode: SqlMode) -> Row {
    let mut row = Row { span: Span::default(), keys: SmallVec::new(), generated: None };
    if let Some(generated) = &insert.generated {
        let given = generated.position.and_then(|position| values.get(position as usize));
        if given.is_none_or(|value| asks_for_number(value.as_ref(), mode)) {
            row.generated = Some(Span::default());
        }
    }
    for position in insert.vindexes.iter().flat_map(|vindex| &vindex.positions) {
        let is_generated =
            row.generated.is_some() && *position == insert.generated.as_ref().and_then(|g| g.position);
        let value = position.and_then(|position| values.get(position as usize).cloned());
        row.keys.push(if is_generated { None } else { value });
    }
    row
}

/// Finds every row and the values that decide its place.
fn read_rows(job: &Job<'_>, insert: &Insert, columns: Option<u32>) -> Result<Vec<Row>> {
    let options = job.session.settings.lex_options();
    let arguments = arguments(job);
    let mut reader = InsertRows::new(job.text, job.lexed, &options)?.ok_or_else(no_rows)?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    while let Some(span) = reader.next_row(&mut values)? {
        if columns.is_some_and(|columns| columns as usize != values.len()) {
            return Err(Error::new(
                ErrorKind::ColumnCountMismatch,
                format!("Column count doesn't match value count at row {}", rows.len() + 1),
            ));
        }
        if rows.len() >= INSERT_ROWS_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("an INSERT over shards may have at most {INSERT_ROWS_MAX} rows"),
            ));
        }
        rows.push(read_row(insert, &arguments, span, &values, options.mode)?);
    }
    Ok(rows)
}

fn read_row(
    insert: &Insert,
    arguments: &Arguments<'_>,
    span: Span,
    values: &[InsertValue],
    mode: SqlMode,
) -> Result<Row> {
    let mut row = Row { span, keys: SmallVec::new(), generated: None };
    let mut generated_position = None;
    if let Some(generated) = &insert.generated {
        row.generated = match generated.position {
            // Behind the last value, in front of the parenthesis.
            None => Some(Span { start: span.end - 1, end: span.end - 1 }),
            Some(position) => {
                generated_position = Some(position);
                let value = value_at(values, position)?;
                needs_number(arguments, value, mode)?.then_some(value.span)
            }
        };
    }
    for vindex in &insert.vindexes {
        for (position, column) in vindex.positions.iter().zip(&vindex.columns) {
            let key = match position {
                None => None,
                Some(_) if row.generated.is_some() && *position == generated_position => None,
                Some(position) => Some(key_value(arguments, value_at(values, *position)?, column)?),
            };
            row.keys.push(key);
        }
    }
    Ok(row)
}

fn value_at(values: &[InsertValue], position: u32) -> Result<&InsertValue> {
    values.get(position as usize).ok_or_else(|| {
        Error::new(ErrorKind::ColumnCountMismatch, "Column count doesn't match value count at row 1")
    })
}

/// Does the value of an AUTO_INCREMENT column ask for the next number?
fn needs_number(arguments: &Arguments<'_>, value: &InsertValue, mode: SqlMode) -> Result<bool> {
    Ok(match value.kind {
        InsertValueKind::Null | InsertValueKind::Default => true,
        InsertValueKind::Expression => false,
        InsertValueKind::Literal(kind) => {
            let value = arguments.value(&Arg { span: value.span, kind })?;
            asks_for_number(value.as_ref(), mode)
        }
    })
}

fn asks_for_number(value: ValueRef<'_>, mode: SqlMode) -> bool {
    match value {
        ValueRef::Null => true,
        ValueRef::Int(0) | ValueRef::UInt(0) | ValueRef::Text(b"0") => {
            !mode.contains(SqlMode::NO_AUTO_VALUE_ON_ZERO)
        }
        _ => false,
    }
}

fn key_value(arguments: &Arguments<'_>, value: &InsertValue, column: &str) -> Result<Value> {
    match value.kind {
        InsertValueKind::Null => Ok(Value::Null),
        InsertValueKind::Literal(kind) => arguments.value(&Arg { span: value.span, kind }),
        InsertValueKind::Default | InsertValueKind::Expression => Err(Error::unsupported(format!(
            "an expression for column '{column}', which decides the row's shard: give a value"
        ))),
    }
}

/// The place of a row by its primary vindex; the others must agree. `None`: the row is to be ignored.
fn keyspace_id(insert: &Insert, row: &Row, generated: Option<u64>) -> Result<Option<KeyspaceId>> {
    let generated = generated.map(Value::UInt);
    let mut keys = row.keys.iter();
    let mut id: Option<KeyspaceId> = None;
    for vindex in &insert.vindexes {
        let values: SmallVec<[ValueRef<'_>; 2]> = keys
            .by_ref()
            .take(vindex.positions.len())
            .map(|key| key.as_ref().or(generated.as_ref()).map_or(ValueRef::Null, Value::as_ref))
            .collect();
        let found = match map_row(vindex, &values) {
            Ok(found) => found,
            Err(_) if insert.is_ignore => return Ok(None),
            Err(error) => return Err(error),
        };
        match &id {
            None => id = Some(found),
            Some(first) if *first == found => {}
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::NoShard,
                    format!(
                        "values of vindex {} map to another place than the row's primary vindex",
                        vindex.vindex.name()
                    ),
                ));
            }
        }
    }
    Ok(id)
}

fn map_row(vindex: &InsertVindex, values: &[ValueRef<'_>]) -> Result<KeyspaceId> {
    if let Some(index) = values.iter().position(|value| value.is_null()) {
        let column = vindex.columns.get(index).map(AsRef::as_ref).unwrap_or_default();
        return Err(Error::new(ErrorKind::NullColumn, format!("Column '{column}' cannot be null")));
    }
    match resolve::map(&vindex.vindex.0, values)? {
        Mapping::KeyspaceId(id) => Ok(id),
        Mapping::AllShards | Mapping::KeyRange(_) => Err(Error::unsupported(format!(
            "a value of another type for column '{}', which decides the row's shard",
            vindex.columns.join(", ")
        ))),
        Mapping::None => Err(Error::new(
            ErrorKind::NoShard,
            format!("could not map the values of ({}) to a keyspace id", vindex.columns.join(", ")),
        )),
    }
}

fn shard_of<'k>(keyspace: &'k Keyspace, id: &KeyspaceId) -> Result<&'k crate::topology::Shard> {
    let none = || Error::new(ErrorKind::NoShard, format!("KeyspaceId {id} didn't match any serving shard"));
    keyspace.shard_for(id).ok_or_else(none)
}

fn write_row(row: &Row, generated: Option<u64>, text: &[u8], out: &mut Vec<u8>) {
    let (Some(number), Some(at)) = (generated, row.generated) else {
        return out.extend_from_slice(row.span.of(text));
    };
    out.extend_from_slice(Span { start: row.span.start, end: at.start }.of(text));
    if at.byte_count() == 0
        && text
            .get(row.span.start as usize + 1..at.start as usize)
            .is_some_and(|v| !v.trim_ascii().is_empty())
    {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(number.to_string().as_bytes());
    out.extend_from_slice(Span { start: at.end, end: row.span.end }.of(text));
}

/// What one server would have said about all rows.
fn records(changes: &Changes, row_count: usize) -> Info {
    let row_count = row_count as u64;
    let told = changes.info.as_ref().and_then(|info| info.number("Duplicates"));
    let missing = row_count.saturating_sub(changes.affected_rows);
    let repeated = changes.affected_rows.saturating_sub(row_count);
    Info::records(row_count, told.unwrap_or(0).max(missing).max(repeated), changes.warnings.into())
}
