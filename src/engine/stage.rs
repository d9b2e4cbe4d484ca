//! What is done with rows one after the other, between their source and the client.
//!
//! Stages are synchronous: a row is pushed through all of them, and what comes out is collected in [`Output`].

use std::sync::PoisonError;

use super::render::RowCounts;
use std::collections::HashSet;

use super::aggregate::Aggregator;
use super::key::{Fields, KeyPart, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::plan::primitive::Comparison;
use crate::value::{ColumnClass, Value, compare_text};

/// Does anybody want more rows?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Stop,
}

/// Rows that came out.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Output {
    fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// One step.
pub(super) enum Stage {
    Aggregate(Box<Aggregator>),
    /// Counts the rows that pass, as the operator with this number's.
    Count(usize, RowCounts),
    Distinct(Distinct),
    Filter(Filter),
    Limit {
        skip: u64,
        left: u64,
        /// Rows that came, where all of them are to be counted.
        seen: Option<u64>,
    },
    Sort(Sort),
    /// Keeps the first so many columns.
    Truncate(usize),
}

impl Stage {
    /// Averages are compared as they are shown.
    pub(super) fn round_averages(&mut self) {
        if let Self::Aggregate(aggregator) = self {
            aggregator.round_averages();
        }
    }

    /// May hold more rows than usual; bytes stay limited.
    pub(super) fn lift_row_limit(&mut self) {
        match self {
            Self::Distinct(distinct) => distinct.lift_row_limit(),
            Self::Sort(sort) => sort.held.any_number_of_rows = true,
            Self::Aggregate(_)
            | Self::Count(..)
            | Self::Filter(_)
            | Self::Limit { .. }
            | Self::Truncate(_) => {}
        }
    }
}

/// Pushes a row through the stages.
pub(super) fn push(stages: &mut [Stage], row: &[u8], out: &mut Output) -> Result<Flow> {
    let Some((stage, rest)) = stages.split_first_mut() else {
        out.push(row);
        return Ok(Flow::Continue);
    };
    match stage {
        Stage::Aggregate(aggregator) => match aggregator.push(row)? {
            Some(group) => push(rest, &group, out),
            None => Ok(Flow::Continue),
        },
        Stage::Count(number, counts) => {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.len() <= *number {
                counts.resize(*number + 1, 0);
            }
            counts[*number] += 1;
            drop(counts);
            push(rest, row, out)
        }
        Stage::Distinct(distinct) => {
            if distinct.is_new(row)? {
                push(rest, row, out)
            } else {
                Ok(Flow::Continue)
            }
        }
        Stage::Filter(filter) => {
            if filter.accepts(row)? {
                push(rest, row, out)
            } else {
                Ok(Flow::Continue)
            }
        }
        Stage::Limit { skip, left, seen } => {
            if let Some(seen) = seen {
                *seen += 1;
            }
            if *skip > 0 {
                *skip -= 1;
                return Ok(Flow::Continue);
            }
            if *left == 0 {
                return Ok(if seen.is_some() { Flow::Continue } else { Flow::Stop });
            }
            *left -= 1;
            let is_last = *left == 0 && seen.is_none();
            let flow = push(rest, row, out)?;
            Ok(if is_last { Flow::Stop } else { flow })
        }
        Stage::Sort(sort) => sort.add(row).map(|()| Flow::Continue),
        Stage::Truncate(count) => push(rest, visible(row, *count)?, out),
    }
}

/// Tells the stages that no more rows come.
pub(super) fn finish(stages: &mut [Stage], out: &mut Output) -> Result<()> {
    let Some((stage, rest)) = stages.split_first_mut() else { return Ok(()) };
    match stage {
        Stage::Aggregate(aggregator) => {
            if let Some(group) = aggregator.finish()?
                && push(rest, &group, out)? == Flow::Stop
            {
                return Ok(());
            }
        }
        Stage::Sort(sort) => {
            for row in sort.take() {
                if push(rest, &row, out)? == Flow::Stop {
                    break;
                }
            }
        }
        Stage::Count(..)
        | Stage::Distinct(_)
        | Stage::Filter(_)
        | Stage::Limit { .. }
        | Stage::Truncate(_) => {}
    }
    finish(rest, out)
}

/// The bytes of the first `count` fields of a row.
pub(super) fn visible(row: &[u8], count: usize) -> Result<&[u8]> {
    let mut fields = crate::wire::row::text_fields(row);
    for _ in 0..count {
        match fields.next() {
            Some(Ok(_)) => {}
            _ => return Err(super::key::broken_row()),
        }
    }
    Ok(&row[..row.len() - fields.rest().len()])
}

/// What an operator holds, against its limits.
#[derive(Debug, Default)]
pub(super) struct Held {
    rows: usize,
    bytes: usize,
    any_number_of_rows: bool,
}

impl Held {
    /// Any number of rows; bytes stay limited.
    pub(super) fn lift_row_limit(&mut self) {
        self.any_number_of_rows = true;
    }

    pub(super) fn add(&mut self, bytes: usize, what: &str) -> Result<()> {
        self.rows += 1;
        self.bytes += bytes + size_of::<Vec<u8>>() * 2;
        if self.rows > limits::OPERATOR_ROWS_MAX && !self.any_number_of_rows {
            let limit = limits::OPERATOR_ROWS_MAX;
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "{what} over several shards needs more than {limit} rows in memory (OPERATOR_ROWS_MAX)"
                ),
            ));
        }
        if self.bytes > limits::OPERATOR_BYTES_MAX {
            let limit = limits::OPERATOR_BYTES_MAX;
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "{what} over several shards needs more than {limit} bytes in memory (OPERATOR_BYTES_MAX)"
                ),
            ));
        }
        Ok(())
    }
}

/// Remembers the keys of the rows that passed.
pub(super) struct Distinct {
    pub(super) keys: Vec<KeyPart>,
    pub(super) column_count: usize,
    seen: HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    held: Held,
    scratch: Vec<u8>,
}

impl Distinct {
    pub(super) fn new(keys: Vec<KeyPart>, column_count: usize) -> Self {
        Self { keys, column_count, seen: HashSet::default(), held: Held::default(), scratch: Vec::new() }
    }

    /// Any number of rows; bytes stay limited.
    pub(super) fn lift_row_limit(&mut self) {
        self.held.lift_row_limit();
    }

    fn is_new(&mut self, row: &[u8]) -> Result<bool> {
        if self.keys.is_empty() {
            self.scratch.clear();
            self.scratch.extend_from_slice(row);
        } else {
            encode(&self.keys, &Fields::read(row, self.column_count)?, &mut self.scratch)?;
        }
        if self.seen.contains(self.scratch.as_slice()) {
            return Ok(false);
        }
        self.held.add(self.scratch.len(), "DISTINCT")?;
        self.seen.insert(self.scratch.as_slice().into());
        Ok(true)
    }
}

/// Conditions on rows.
pub(super) struct Filter {
    pub(super) test: Test,
    pub(super) column_count: usize,
}

/// A predicate with its columns found.
pub(super) enum Test {
    And(Vec<Test>),
    Compare(NumericCondition),
    IsNull(usize),
    Not(Box<Test>),
    Or(Vec<Test>),
}

impl Test {
    /// True, false, or unknown.
    fn holds(&self, fields: &Fields<'_>) -> Result<Option<bool>> {
        match self {
            Self::And(parts) => Self::all(parts, fields, true),
            Self::Compare(condition) => condition.holds(fields),
            Self::IsNull(column) => Ok(Some(fields.get(*column)?.is_none())),
            Self::Not(inner) => Ok(inner.holds(fields)?.map(|is_true| !is_true)),
            Self::Or(parts) => Self::all(parts, fields, false),
        }
    }

    /// `neutral` unless a part decides otherwise; unknown if a part is.
    fn all(parts: &[Self], fields: &Fields<'_>, neutral: bool) -> Result<Option<bool>> {
        let mut result = Some(neutral);
        for part in parts {
            match part.holds(fields)? {
                Some(value) if value == neutral => {}
                Some(decided) => return Ok(Some(decided)),
                None => result = None,
            }
        }
        Ok(result)
    }
}

pub(super) struct NumericCondition {
    pub(super) column: usize,
    pub(super) class: ColumnClass,
    pub(super) comparison: Comparison,
    /// `None` is NULL, which nothing is equal to.
    pub(super) value: Option<Vec<u8>>,
}

impl NumericCondition {
    /// `class` is the column's; a value that is an approximate number makes the comparison one of such numbers.
    pub(super) fn new(
        column: usize,
        class: ColumnClass,
        comparison: Comparison,
        value: &Value,
    ) -> Result<Self> {
        let class = match value {
            Value::Double(_) | Value::Float(_) => ColumnClass::Float,
            Value::Null | Value::Int(_) | Value::UInt(_) | Value::Decimal(_) => match class {
                ColumnClass::Float => ColumnClass::Float,
                _ => ColumnClass::Decimal,
            },
            Value::Bit(_) | Value::Bytes(_) | Value::Temporal(..) | Value::Text(_) => {
                return Err(Error::unsupported("HAVING with a string over several shards"));
            }
        };
        let value = (*value != Value::Null).then(|| value.as_ref().to_bytes().into_owned());
        Ok(Self { column, class, comparison, value })
    }

    fn holds(&self, fields: &Fields<'_>) -> Result<Option<bool>> {
        let (Some(left), Some(right)) = (fields.get(self.column)?, &self.value) else { return Ok(None) };
        let order = compare_text(self.class, left, right);
        Ok(Some(match self.comparison {
            Comparison::Equal => order.is_eq(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::NotEqual => order.is_ne(),
        }))
    }
}

impl Filter {
    fn accepts(&self, row: &[u8]) -> Result<bool> {
        Ok(self.test.holds(&Fields::read(row, self.column_count)?)? == Some(true))
    }
}

/// Rows to be sorted; with `keep` only the first so many of the order are wanted.
pub(super) struct Sort {
    pub(super) keys: Vec<KeyPart>,
    pub(super) column_count: usize,
    pub(super) keep: Option<usize>,
    rows: Vec<(Vec<u8>, u64, Vec<u8>)>,
    /// Number of the next row, so that equal rows keep their order.
    sequence: u64,
    held: Held,
}

impl Sort {
    pub(super) fn new(keys: Vec<KeyPart>, column_count: usize, keep: Option<usize>) -> Self {
        Self { keys, column_count, keep, rows: Vec::new(), sequence: 0, held: Held::default() }
    }

    fn add(&mut self, row: &[u8]) -> Result<()> {
        let mut key = Vec::new();
        encode(&self.keys, &Fields::read(row, self.column_count)?, &mut key)?;
        self.held.add(key.len() + row.len(), "ORDER BY")?;
        self.rows.push((key, self.sequence, row.to_vec()));
        self.sequence += 1;
        if let Some(keep) = self.keep
            && self.rows.len() >= keep.saturating_mul(2).max(1024)
        {
            self.order();
            self.rows.truncate(keep);
            self.held.rows = self.rows.len();
            self.held.bytes = self.rows.iter().map(|(key, _, row)| key.len() + row.len()).sum();
        }
        Ok(())
    }

    /// By key; rows with equal keys as they came.
    fn order(&mut self) {
        self.rows.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    }

    fn take(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        self.order();
        std::mem::take(&mut self.rows).into_iter().map(|(_, _, row)| row)
    }
}
