//! The text of an INSERT for one shard.

use super::{Body, InsertSource, Row};
use crate::engine::arguments::value_of;
use crate::engine::execute::Run;
use crate::engine::render::render;
use crate::error::Result;
use crate::plan::primitive::{Generated, Insert, InsertRows as PlannedRows, Template};
use crate::sql::{ArgKind, Span};

/// `INSERT … SET …`
pub(super) fn of_set(row: &Row, template: &Template, plan: &Insert, run: &Run<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let generated = generated_text(row, plan, run)?;
    render(template, run.args, run.session, None, &generated, &mut text)?;
    Ok(text)
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

/// One row with its parentheses.
pub(super) fn write_row(
    row: &Row,
    generated: Option<&Generated>,
    run: &Run<'_>,
    source: &InsertSource<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let number = row.number.map(|number| number.to_string());
    let span = match &row.body {
        Body::Span(span) => *span,
        Body::Fields(fields) => {
            write_fields(fields, generated.and_then(|generated| generated.position), number.as_deref(), out);
            return Ok(());
        }
    };
    let mut splices: Vec<(Span, &[u8])> =
        row.splices.iter().map(|(span, text)| (*span, text.as_slice())).collect();
    if let (Some(number), Some(span)) = (&number, row.generated_span) {
        splices.push((span, number.as_bytes()));
    }
    splices.sort_by_key(|(span, _)| span.start);
    let is_added = number.is_some() && row.generated_span.is_none();
    // The column was added at the end of the list: the value goes before the closing parenthesis.
    let end = if is_added { span.end.saturating_sub(1) } else { span.end };
    let start = out.len();
    let mut position = span.start;
    for (at, text) in splices {
        write_span(Span { start: position, end: at.start }, run, source, out)?;
        out.extend_from_slice(text);
        position = at.end;
    }
    write_span(Span { start: position, end }, run, source, out)?;
    if let Some(number) = number.filter(|_| is_added) {
        let is_empty = out[start..].iter().rev().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'(')
            && span.of(run.text).iter().filter(|byte| **byte == b'(').count() == 1;
        if !is_empty {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(number.as_bytes());
        out.push(b')');
    }
    Ok(())
}

/// Literals column by column, the number in its place or at the end.
fn write_fields(fields: &[Vec<u8>], position: Option<u32>, number: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'(');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        match number.filter(|_| position.is_some_and(|at| at as usize == index)) {
            Some(number) => out.extend_from_slice(number.as_bytes()),
            None => out.extend_from_slice(field),
        }
    }
    if let Some(number) = number.filter(|_| position.is_none()) {
        if !fields.is_empty() {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(number.as_bytes());
    }
    out.push(b')');
}

/// Copies a part of the text; parameters and what only the router knows are filled in.
pub(super) fn write_span(
    span: Span,
    run: &Run<'_>,
    source: &InsertSource<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
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
