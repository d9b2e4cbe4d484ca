//! The rows of an INSERT as the statement gives them.

use super::{Body, Cell, InsertSource, Row};
use crate::engine::arguments::{negated, value_of};
use crate::engine::execute::Run;
use crate::engine::field::field_value;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Generated, Insert, InsertRows as PlannedRows, InsertVindex, RouteValue};
use crate::sql::{ArgKind, InsertRows, InsertValue, InsertValueKind, Lexed, LiteralError, Span, arg_value};
use crate::value::{Value, ValueRef};
use crate::wire::column_type::ColumnType;
use crate::wire::response::ColumnDefinition;

/// `SET a = 1, …`: one row.
pub(super) fn of_set(
    values: &[RouteValue],
    plan: &Insert,
    run: &Run<'_>,
    source: &InsertSource<'_>,
) -> Result<Vec<Row>> {
    let values: Vec<Value> = values.iter().map(|value| value_of(value, run.args)).collect::<Result<_>>()?;
    let needs_number = plan.generated.as_ref().is_some_and(|generated| {
        generated.position.is_none_or(|at| asks_for_number(values.get(at as usize), source))
    });
    let opaque: &[u32] = match &plan.rows {
        PlannedRows::Set { opaque, .. } => opaque,
        PlannedRows::Select { .. } | PlannedRows::Values { .. } => &[],
    };
    let cell = |vindex: &InsertVindex, index: usize| {
        // Of these only DEFAULT may be there.
        let position = vindex.positions[index].filter(|at| !opaque.contains(at));
        if needs_number && is_generated(plan.generated.as_ref(), vindex, index) {
            return Cell::Generated;
        }
        match position.and_then(|at| values.get(at as usize)) {
            Some(value) => Cell::Value(value.clone()),
            None => Cell::Default,
        }
    };
    let row = Row {
        body: Body::Span(Span::default()),
        cells: super::vindexes(plan)
            .map(|vindex| (0..vindex.positions.len()).map(|index| cell(vindex, index)).collect())
            .collect(),
        splices: Vec::new(),
        values: Vec::new(),
        generated_span: None,
        needs_number,
        explicit: explicit_of(plan, &values),
        number: None,
        place: None,
    };
    Ok(vec![row])
}

/// `VALUES (…), (…)`: the rows, and the text before and behind them.
pub(super) fn of_values(
    head: Option<&[u8]>,
    columns: Option<u32>,
    plan: &Insert,
    run: &Run<'_>,
    source: &InsertSource<'_>,
) -> Result<(Vec<Row>, Vec<u8>, Vec<u8>)> {
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
    let mut tail = Vec::new();
    super::text::write_span(reader.tail(), run, source, &mut tail)?;
    Ok((rows, head, tail))
}

/// Rows of a query.
pub(super) fn of_query(
    plan: &Insert,
    source: &InsertSource<'_>,
    expected: Option<u32>,
    columns: &[ColumnDefinition],
    rows: &[Vec<Option<Vec<u8>>>],
    no_backslash_escapes: bool,
) -> Result<Vec<Row>> {
    if expected.is_some_and(|expected| expected as usize != columns.len()) {
        let message = "Column count doesn't match value count at row 1";
        return Err(Error::new(ErrorKind::ColumnCountMismatch, message));
    }
    if columns.iter().any(|column| column.column_type == ColumnType::FLOAT) {
        return Err(Error::unsupported("a FLOAT column in an INSERT … SELECT over several shards"));
    }
    let made = rows.iter().map(|row| {
        let values: Vec<Value> =
            columns.iter().zip(row).map(|(column, field)| field_value(column, field.as_deref())).collect();
        let needs_number = plan.generated.as_ref().is_some_and(|generated| {
            generated.position.is_none_or(|at| asks_for_number(values.get(at as usize), source))
        });
        let cell = |vindex: &InsertVindex, index: usize| {
            if needs_number && is_generated(plan.generated.as_ref(), vindex, index) {
                return Cell::Generated;
            }
            match vindex.positions[index].and_then(|at| values.get(at as usize)) {
                Some(value) => Cell::Value(value.clone()),
                None => Cell::Default,
            }
        };
        let cells = super::vindexes(plan)
            .map(|vindex| (0..vindex.positions.len()).map(|index| cell(vindex, index)).collect())
            .collect();
        let body = Body::Fields(values.iter().map(|value| literal_of(value, no_backslash_escapes)).collect());
        Row {
            body,
            cells,
            splices: Vec::new(),
            values: Vec::new(),
            generated_span: None,
            needs_number,
            explicit: explicit_of(plan, &values),
            number: None,
            place: None,
        }
    });
    Ok(made.collect())
}

/// A row of a file: `values` are those at `positions`, which are in ascending order.
pub(super) fn of_file(
    plan: &Insert,
    source: &InsertSource<'_>,
    positions: &[usize],
    values: &[Value],
) -> Row {
    let value_at = |at: u32| positions.binary_search(&(at as usize)).ok().and_then(|index| values.get(index));
    let needs_number = plan
        .generated
        .as_ref()
        .is_some_and(|generated| asks_for_number(generated.position.and_then(value_at), source));
    let cell = |vindex: &InsertVindex, index: usize| {
        if needs_number && is_generated(plan.generated.as_ref(), vindex, index) {
            return Cell::Generated;
        }
        match vindex.positions[index].and_then(value_at) {
            Some(value) => Cell::Value(value.clone()),
            None => Cell::Default,
        }
    };
    Row {
        body: Body::Span(Span::default()),
        cells: super::vindexes(plan)
            .map(|vindex| (0..vindex.positions.len()).map(|index| cell(vindex, index)).collect())
            .collect(),
        splices: Vec::new(),
        values: Vec::new(),
        generated_span: None,
        needs_number,
        explicit: plan
            .generated
            .as_ref()
            .and_then(|generated| value_at(generated.position?)?.as_ref().to_uint64().ok()),
        number: None,
        place: None,
    }
}

/// A value of a query as it stands among the values of a row.
pub fn literal_of(value: &Value, no_backslash_escapes: bool) -> Vec<u8> {
    let mut text = Vec::new();
    match value {
        // Bits are a number where one is wanted, which MariaDB says of `0x` only.
        Value::Bit(bits) => {
            text.extend_from_slice(b"0x");
            bits.iter().for_each(|byte| text.extend_from_slice(format!("{byte:02x}").as_bytes()));
        }
        value => value.as_ref().render_literal(&mut text, no_backslash_escapes),
    }
    text
}

/// What a row has for the generated column.
fn explicit_of(plan: &Insert, values: &[Value]) -> Option<u64> {
    let at = plan.generated.as_ref()?.position?;
    values.get(at as usize)?.as_ref().to_uint64().ok()
}

/// Is it the column that the sequence fills?
fn is_generated(generated: Option<&Generated>, vindex: &InsertVindex, index: usize) -> bool {
    generated.is_some_and(|generated| {
        generated.position == vindex.positions[index]
            && generated.column.eq_ignore_ascii_case(&vindex.columns[index])
    })
}

pub(super) fn asks_for_number(value: Option<&Value>, source: &InsertSource<'_>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Int(0) | Value::UInt(0)) => !source.zero_is_a_value,
        Some(Value::Text(text)) => &**text == b"0" && !source.zero_is_a_value,
        Some(_) => false,
    }
}

/// Does a column with AUTO_INCREMENT get the next number in the place of this value, however it is written?
pub(super) fn is_replaced_by_counting(value: &Value, source: &InsertSource<'_>) -> bool {
    let is_zero = |text: &[u8]| {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        !digits.is_empty() && digits.iter().all(|byte| *byte == b'0')
    };
    match value {
        Value::Text(text) if is_zero(text) => !source.zero_is_a_value,
        value => asks_for_number(Some(value), source),
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
    let mut explicit = None;
    if let Some(generated) = &plan.generated {
        match generated.position.and_then(|at| values.get(at as usize)) {
            None => needs_number = true,
            Some(value) => {
                needs_number = match value.kind {
                    InsertValueKind::Default | InsertValueKind::Null => true,
                    InsertValueKind::Expression => false,
                    InsertValueKind::Literal(kind) => {
                        let value = literal(value.span, kind, run, source)?;
                        explicit = value.as_ref().to_uint64().ok();
                        asks_for_number(Some(&value), source)
                    }
                };
                generated_span = Some(value.span);
            }
        }
    }
    let mut cells = Vec::with_capacity(plan.vindexes.len() + plan.lookups.len());
    for vindex in super::vindexes(plan) {
        let mut of_vindex = Vec::with_capacity(vindex.positions.len());
        for (index, position) in vindex.positions.iter().enumerate() {
            if needs_number && is_generated(plan.generated.as_ref(), vindex, index) {
                of_vindex.push(Cell::Generated);
                continue;
            }
            let Some(value) = position.and_then(|at| values.get(at as usize)) else {
                of_vindex.push(Cell::Default);
                continue;
            };
            of_vindex.push(match value.kind {
                InsertValueKind::Null => Cell::Value(Value::Null),
                InsertValueKind::Literal(kind) => Cell::Value(literal(value.span, kind, run, source)?),
                InsertValueKind::Default => Cell::Default,
                InsertValueKind::Expression => Cell::Expression(value.span),
            });
        }
        cells.push(of_vindex);
    }
    let body = Body::Span(span);
    Ok(Row {
        body,
        cells,
        splices: Vec::new(),
        values: if plan.upsert.is_some() { values.to_vec() } else { Vec::new() },
        generated_span,
        needs_number,
        explicit,
        number: None,
        place: None,
    })
}

/// The value of a literal, or of a parameter or variable that stands for one.
pub(super) fn literal(span: Span, kind: ArgKind, run: &Run<'_>, source: &InsertSource<'_>) -> Result<Value> {
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
            if is_negative { negated(value) } else { Ok(value) }
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
