//! INSERT and REPLACE: each row to its shard, with numbers from a sequence where they are missing.
//!
//! Rows are copied from the statement's text; only arguments that servers cannot know are replaced.

use super::arguments::value_of;
use super::execute::Run;
use super::render::render;
use super::routing::comparable;
use super::seam::{Sequences, ShardExecutor, ShardQuery, WriteOutcome};
use super::write::sum;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Generated, Insert, InsertRows as PlannedRows, InsertVindex, Template};
use crate::sql::{
    ArgKind, InsertRows, InsertValue, InsertValueKind, LexOptions, Lexed, LiteralError, Span, arg_value,
};
use crate::topology::{Keyspace, KeyspaceId};
use crate::value::{Value, ValueRef};
use crate::vschema::vindex::Mapping;

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

/// Runs an INSERT. The outcome's insert id is the first number that was generated.
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
    let mut rows = match &plan.rows {
        PlannedRows::Set { query, values } => Rows::of_set(query, values, plan, run, source)?,
        PlannedRows::Values { head, columns } => {
            Rows::of_values(head.as_deref(), *columns, plan, run, source)?
        }
    };
    let missing = rows.rows.iter().filter(|row| row.needs_number).count() as u64;
    let mut first_number = 0;
    if let Some(generated) = plan.generated.as_ref().filter(|_| missing > 0) {
        first_number = sequences.reserve(&generated.keyspace, &generated.sequence, missing).await?;
        let needing = rows.rows.iter_mut().filter(|row| row.needs_number);
        for (number, row) in (first_number..).zip(needing) {
            row.number = Some(number);
        }
    }
    let queries = rows.queries(plan, run, source)?;
    if queries.is_empty() {
        return Ok(WriteOutcome::default());
    }
    let mut outcomes = executor.write(run.keyspace, queries).await?;
    if outcomes.len() > 1 {
        outcomes.iter_mut().for_each(|outcome| spell_out_one_row(outcome, plan.is_ignore));
    }
    let mut outcome = sum(outcomes);
    if missing > 0 {
        outcome.last_insert_id = first_number;
    }
    Ok(outcome)
}

/// Servers say nothing about the INSERT of a single row, but do about the statement that it is a part of.
fn spell_out_one_row(outcome: &mut WriteOutcome, is_ignore: bool) {
    if outcome.info.is_empty() {
        // A row that took the place of another counts twice; one that was set to what it was is no duplicate.
        let is_duplicate = if is_ignore { outcome.affected_rows == 0 } else { outcome.affected_rows == 2 };
        let duplicates = u8::from(is_duplicate);
        let text = format!("Records: 1  Duplicates: {duplicates}  Warnings: {}", outcome.warnings);
        outcome.info = text.into_bytes();
    }
}

/// One row.
struct Row {
    /// Its source text with the parentheses.
    span: Span,
    /// The values of the vindex columns, vindex after vindex; `None` is the generated one.
    values: Vec<Vec<Option<Value>>>,
    /// Of the generated column, where it has a place in the row.
    generated_span: Option<Span>,
    needs_number: bool,
    number: Option<u64>,
}

enum Text<'a> {
    Set(&'a Template),
    Values { head: Vec<u8>, tail: Span },
}

struct Rows<'a> {
    rows: Vec<Row>,
    text: Text<'a>,
}

impl<'a> Rows<'a> {
    fn of_set(
        query: &'a Template,
        values: &[crate::plan::primitive::RouteValue],
        plan: &Insert,
        run: &Run<'_>,
        source: &InsertSource<'_>,
    ) -> Result<Self> {
        let values: Vec<Value> =
            values.iter().map(|value| value_of(value, run.args)).collect::<Result<_>>()?;
        let needs_number = plan.generated.as_ref().is_some_and(|generated| {
            generated.position.is_none_or(|at| asks_for_number(values.get(at as usize), source))
        });
        let pick = |vindex: &InsertVindex| {
            let each = vindex.positions.iter().map(|at| {
                let is_generated = is_generated(plan.generated.as_ref(), *at) && needs_number;
                at.filter(|_| !is_generated).and_then(|at| values.get(at as usize).cloned())
            });
            each.collect()
        };
        let row = Row {
            span: Span::default(),
            values: plan.vindexes.iter().map(pick).collect(),
            generated_span: None,
            needs_number,
            number: None,
        };
        Ok(Self { rows: vec![row], text: Text::Set(query) })
    }

    fn of_values(
        head: Option<&[u8]>,
        columns: Option<u32>,
        plan: &Insert,
        run: &Run<'_>,
        source: &InsertSource<'_>,
    ) -> Result<Self> {
        let no_rows = || Error::bug("an INSERT plan for a statement without rows");
        let mut reader = InsertRows::new(run.text, source.lexed, source.options)?.ok_or_else(no_rows)?;
        let head = head.map_or_else(|| reader.head().of(run.text).to_vec(), <[u8]>::to_vec);
        let mut rows = Vec::new();
        let mut values = Vec::new();
        while let Some(span) = reader.next_row(&mut values)? {
            let is_wrong = columns.is_some_and(|count| values.len() != count as usize);
            if is_wrong {
                let message = format!("Column count doesn't match value count at row {}", rows.len() + 1);
                return Err(Error::new(ErrorKind::ColumnCountMismatch, message));
            }
            rows.push(read_row(span, &values, plan, run, source)?);
        }
        Ok(Self { rows, text: Text::Values { head, tail: reader.tail() } })
    }

    /// One statement per shard that rows go to.
    fn queries(&self, plan: &Insert, run: &Run<'_>, source: &InsertSource<'_>) -> Result<Vec<ShardQuery>> {
        let shards = source.keyspace.shards();
        let mut texts: Vec<Option<Vec<u8>>> = vec![None; shards.len()];
        for (number, row) in self.rows.iter().enumerate() {
            let Some(index) = place(row, number + 1, plan, source)? else { continue };
            match &self.text {
                Text::Set(template) => {
                    let mut text = Vec::new();
                    let generated = generated_text(row, plan, run)?;
                    render(template, run.args, run.session, None, &generated, &mut text)?;
                    texts[index] = Some(text);
                }
                Text::Values { head, .. } => {
                    let text = match &mut texts[index] {
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
                    write_row(row, plan.generated.as_ref(), run, source, text)?;
                }
            }
        }
        let mut queries = Vec::new();
        for (shard, text) in shards.iter().zip(texts) {
            let Some(mut text) = text else { continue };
            if let Text::Values { tail, .. } = &self.text {
                write_span(*tail, run, source, &mut text)?;
            }
            queries.push(ShardQuery { shard: shard.name().clone(), text });
        }
        Ok(queries)
    }
}

fn is_generated(generated: Option<&Generated>, position: Option<u32>) -> bool {
    generated.is_some_and(|generated| generated.position == position)
}

fn asks_for_number(value: Option<&Value>, source: &InsertSource<'_>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Int(0) | Value::UInt(0)) => !source.zero_is_a_value,
        Some(Value::Text(text)) => &**text == b"0" && !source.zero_is_a_value,
        Some(_) => false,
    }
}

fn read_row(
    span: Span,
    values: &[InsertValue],
    plan: &Insert,
    run: &Run<'_>,
    source: &InsertSource<'_>,
) -> Result<Row> {
    let mut needs_number = false;
    let mut generated_span = None;
    if let Some(generated) = &plan.generated {
        match generated.position.and_then(|at| values.get(at as usize)) {
            None => needs_number = true,
            Some(value) => {
                needs_number = match value.kind {
                    InsertValueKind::Default | InsertValueKind::Null => true,
                    InsertValueKind::Expression => false,
                    InsertValueKind::Literal(kind) => {
                        asks_for_number(Some(&literal(value.span, kind, run, source)?), source)
                    }
                };
                generated_span = Some(value.span);
            }
        }
    }
    let mut picked = Vec::with_capacity(plan.vindexes.len());
    for vindex in &plan.vindexes {
        let mut of_vindex = Vec::with_capacity(vindex.positions.len());
        for (position, column) in vindex.positions.iter().zip(&vindex.columns) {
            if needs_number && is_generated(plan.generated.as_ref(), *position) {
                of_vindex.push(None);
                continue;
            }
            let value = position.and_then(|at| values.get(at as usize));
            let value = value.ok_or_else(|| Error::bug("a row without its vindex column"))?;
            of_vindex.push(Some(match value.kind {
                InsertValueKind::Null => Value::Null,
                InsertValueKind::Literal(kind) => literal(value.span, kind, run, source)?,
                InsertValueKind::Default | InsertValueKind::Expression => {
                    return Err(Error::unsupported(format!("an expression for the vindex column {column}")));
                }
            }));
        }
        picked.push(of_vindex);
    }
    Ok(Row { span, values: picked, generated_span, needs_number, number: None })
}

/// The value of a literal, or of a parameter or variable that stands for one.
fn literal(span: Span, kind: ArgKind, run: &Run<'_>, source: &InsertSource<'_>) -> Result<Value> {
    match kind {
        ArgKind::Placeholder(_) | ArgKind::UserVariable => {
            let index =
                arg_at(span, source.lexed).ok_or_else(|| Error::bug("a parameter that is not recorded"))?;
            run.args.value(index)
        }
        _ => {
            // `-5` is one value here.
            let (is_negative, span) = match span.of(run.text) {
                [b'-', rest @ ..] => {
                    let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                    (true, Span { start: span.start + 1 + u32::try_from(blanks).unwrap_or(0), end: span.end })
                }
                _ => (false, span),
            };
            let mut scratch = Vec::new();
            let arg = crate::sql::Arg { span, kind };
            let value = arg_value(run.text, &arg, source.options, &mut scratch).map_err(literal_error)?;
            let value = match value {
                // Stored in a column of numbers, hexadecimal literals are numbers.
                ValueRef::Bytes(bytes) if kind == ArgKind::Hex => Value::Bit(bytes.into()),
                value => value.to_owned(),
            };
            if is_negative { super::arguments::negated(value) } else { Ok(value) }
        }
    }
}

fn literal_error(error: LiteralError) -> Error {
    match error {
        LiteralError::Charset => Error::unsupported("a vindex column's string in another character set"),
        LiteralError::Malformed | LiteralError::NotALiteral => Error::bug("a literal that is none"),
    }
}

fn arg_at(span: Span, lexed: &Lexed) -> Option<u32> {
    let index = lexed.args.binary_search_by_key(&span.start, |arg| arg.span.start).ok()?;
    u32::try_from(index).ok()
}

/// The index of the row's shard; `None` if it is to be left out.
fn place(row: &Row, number: usize, plan: &Insert, source: &InsertSource<'_>) -> Result<Option<usize>> {
    let shards = source.keyspace.shards();
    let index_of = |id: &KeyspaceId| {
        let shard = source.keyspace.shard_for(id)?;
        shards.iter().position(|known| std::ptr::eq(known, shard))
    };
    let nowhere = || {
        Error::new(
            ErrorKind::NoShard,
            format!("row {number} has no place in keyspace {}", source.keyspace.name()),
        )
    };
    if let Some(id) = &plan.pinned {
        return index_of(id).map(Some).ok_or_else(nowhere);
    }
    let mut place: Option<KeyspaceId> = None;
    for (vindex, values) in plan.vindexes.iter().zip(&row.values) {
        let Some(id) = keyspace_id(vindex, values, row.number)? else {
            if plan.is_ignore {
                return Ok(None);
            }
            let columns = vindex.columns.join(", ");
            return Err(Error::new(
                ErrorKind::NoShard,
                format!("could not map the value of {columns} in row {number} to a keyspace id"),
            ));
        };
        match &place {
            Some(known) if *known != id => {
                let columns = vindex.columns.join(", ");
                return Err(Error::new(
                    ErrorKind::NoShard,
                    format!("the value of {columns} in row {number} does not map to the row's keyspace id"),
                ));
            }
            _ => place = Some(id),
        }
    }
    match place {
        Some(id) => index_of(&id).map(Some).ok_or_else(nowhere),
        // Unsharded.
        None if shards.is_empty() => Err(nowhere()),
        None => Ok(Some(0)),
    }
}

fn keyspace_id(
    vindex: &InsertVindex,
    values: &[Option<Value>],
    number: Option<u64>,
) -> Result<Option<KeyspaceId>> {
    let definition = &vindex.vindex.0;
    let mut known = Vec::with_capacity(values.len());
    for value in values {
        let value = match (value, number) {
            (Some(value), _) => value.clone(),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => return Err(Error::bug("a generated value that was not generated")),
        };
        // A vindex that sends everything to one place takes NULL too.
        let value =
            if definition.vindex_type() == "null" { Some(value) } else { comparable(definition, value)? };
        match value {
            Some(value) => known.push(value),
            None => return Ok(None),
        }
    }
    let refs: Vec<_> = known.iter().map(Value::as_ref).collect();
    match definition.map(&refs)? {
        Mapping::KeyspaceId(id) => Ok(Some(id)),
        Mapping::AllShards | Mapping::KeyRange(_) | Mapping::None => Ok(None),
    }
}

fn generated_text(row: &Row, plan: &Insert, run: &Run<'_>) -> Result<Vec<u8>> {
    if let Some(number) = row.number {
        return Ok(number.to_string().into_bytes());
    }
    let mut text = Vec::new();
    let position = plan.generated.as_ref().and_then(|generated| generated.position);
    if let (Some(at), PlannedRows::Set { values, .. }) = (position, &plan.rows)
        && let Some(value) = values.get(at as usize)
    {
        value_of(value, run.args)?.as_ref().render_literal(&mut text, run.session.no_backslash_escapes());
    }
    Ok(text)
}

fn write_row(
    row: &Row,
    generated: Option<&Generated>,
    run: &Run<'_>,
    source: &InsertSource<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Some(number) = row.number else { return write_span(row.span, run, source, out) };
    let number = number.to_string();
    if let Some(span) = row.generated_span {
        write_span(Span { start: row.span.start, end: span.start }, run, source, out)?;
        out.extend_from_slice(number.as_bytes());
        return write_span(Span { start: span.end, end: row.span.end }, run, source, out);
    }
    debug_assert!(generated.is_some());
    // The column was added at the end of the list: the value goes before the closing parenthesis.
    let inner = Span { start: row.span.start, end: row.span.end.saturating_sub(1) };
    let start = out.len();
    write_span(inner, run, source, out)?;
    let is_empty = out[start..].iter().rev().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'(')
        && row.span.of(run.text).iter().filter(|byte| **byte == b'(').count() == 1;
    if !is_empty {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(number.as_bytes());
    out.push(b')');
    Ok(())
}

/// Copies a part of the text; parameters and what only the router knows are filled in.
fn write_span(span: Span, run: &Run<'_>, source: &InsertSource<'_>, out: &mut Vec<u8>) -> Result<()> {
    let lexed = source.lexed;
    let first_arg = lexed.args.partition_point(|arg| arg.span.start < span.start);
    let is_ours = |kind: ArgKind| match kind {
        ArgKind::List { first, count } => {
            lexed.items(first, count).iter().any(|item| matches!(item.kind, ArgKind::Placeholder(_)))
        }
        kind => matches!(kind, ArgKind::Placeholder(_) | ArgKind::UserVariable),
    };
    let args = (0_u32..).zip(&lexed.args).skip(first_arg).take_while(|(_, arg)| arg.span.end <= span.end);
    let args = args.filter(|(_, arg)| is_ours(arg.kind)).map(|(index, arg)| (arg.span, Fill::Arg(index)));
    let first_mark = lexed.marks.partition_point(|mark| mark.span.start < span.start);
    let marks = lexed.marks.iter().skip(first_mark).take_while(|mark| mark.span.end <= span.end);
    let marks = marks.filter_map(|mark| Some((mark.span, Fill::Session(session_value(mark, run.text)?))));
    let mut fills: Vec<(Span, Fill)> = args.chain(marks).collect();
    fills.sort_by_key(|(span, _)| span.start);
    let mut position = span.start;
    for (at, fill) in fills {
        out.extend_from_slice(Span { start: position, end: at.start }.of(run.text));
        match fill {
            Fill::Arg(index) => run.args.write(index, out)?,
            Fill::Session(value) => run.session.write(&value, out)?,
        }
        position = at.end;
    }
    out.extend_from_slice(Span { start: position, end: span.end }.of(run.text));
    Ok(())
}

enum Fill {
    Arg(u32),
    Session(crate::plan::primitive::SessionValue),
}

fn session_value(mark: &crate::sql::Mark, text: &[u8]) -> Option<crate::plan::primitive::SessionValue> {
    use crate::plan::primitive::SessionValue as V;
    use crate::sql::{MarkKind, SessionFunction as F};
    Some(match mark.kind {
        MarkKind::Qualifier => return None,
        MarkKind::SessionFunction(function) => match function {
            F::ConnectionId => V::ConnectionId,
            F::CurrentRole => return None,
            F::CurrentUser => V::CurrentUser,
            F::Database => V::Database,
            F::FoundRows => V::FoundRows,
            F::LastInsertId => V::LastInsertId,
            F::RowCount => V::RowCount,
            F::User => V::User,
            F::Version => V::Version,
        },
        MarkKind::SystemVariable => {
            let name = String::from_utf8_lossy(mark.span.of(text)).to_ascii_lowercase();
            let name = name.trim_start_matches('@').replace('`', "");
            let name =
                ["session.", "local."].iter().find_map(|scope| name.strip_prefix(scope)).unwrap_or(&name);
            if !crate::plan::ROUTER_VARIABLES.contains(&name) {
                return None;
            }
            V::SystemVariable(name.into())
        }
        MarkKind::UserVariable => {
            let name = String::from_utf8_lossy(mark.span.of(text)).to_ascii_lowercase();
            V::UserVariable(name.trim_start_matches('@').trim_matches(['`', '\'', '"']).into())
        }
    })
}
