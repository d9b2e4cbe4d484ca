//! Groups of several shards, combined as they stream by in the order of their keys.
//!
//! One group is held at a time. Sums of exact numbers stay exact; an average is divided with the digits that
//! its column was announced with. <https://dev.mysql.com/doc/refman/9.0/en/aggregate-functions.html>

use super::key::{Fields, KeyPart, Use, broken_row, encode, index_of};
use crate::error::{Error, Result};
use crate::plan::primitive::{Aggregate, AggregateFunction, ColumnRef, SortKey};
use crate::value::Decimal;
use crate::value::double::write_double;
use crate::wire::column_type::ColumnType;
use crate::wire::response::ColumnDefinition;
use crate::wire::row::put_text_field;

/// Combines the rows of one [`Aggregate`].
pub(super) struct Aggregator {
    group: Vec<KeyPart>,
    distinct: Vec<KeyPart>,
    columns: Vec<Column>,
    column_count: usize,
    is_scalar: bool,
    /// The first row of the current group, with its keys.
    first: Option<Vec<u8>>,
    group_key: Vec<u8>,
    distinct_key: Vec<u8>,
    scratch: Vec<u8>,
    has_given: bool,
}

struct Column {
    index: usize,
    is_distinct: bool,
    state: State,
}

enum State {
    Avg { sum: usize, count: usize, total: Total, number: u64, decimals: u8, is_exact: bool },
    Count(u64),
    Extreme(Extreme),
    Sum(Total),
    SumOfQuotients { parts: usize, total: Total, decimals: u8 },
}

/// A sum; `None` while nothing but NULL was seen.
enum Total {
    Double { sum: Option<f64>, decimals: u8 },
    Exact(Option<Decimal>),
}

/// Values by column, which go with the best row.
type Carried = Vec<(usize, Option<Vec<u8>>)>;

struct Extreme {
    key: KeyPart,
    is_max: bool,
    /// The key's bytes and the fields that go with the value, by index.
    best: Option<(Vec<u8>, Carried)>,
    carried: Vec<usize>,
}

/// Largest scale that MySQL gives to decimals; MariaDB goes further, by rules of its own.
const SCALE_MAX: u8 = 30;

impl Aggregator {
    pub(super) fn new(plan: &Aggregate, columns: &[ColumnDefinition], helpers: usize) -> Result<Self> {
        let keys = |keys: &[SortKey]| {
            keys.iter().map(|key| KeyPart::new(key, columns, helpers, Use::Order)).collect::<Result<Vec<_>>>()
        };
        let mut states = Vec::new();
        for column in &plan.columns {
            let index = index_of(column.column, columns.len(), helpers)?;
            let state = State::new(&column.function, index, columns, helpers)?;
            states.push(Column { index, is_distinct: column.is_distinct, state });
        }
        Ok(Self {
            group: keys(&plan.group)?,
            distinct: keys(&plan.distinct)?,
            columns: states,
            column_count: columns.len(),
            is_scalar: plan.is_scalar,
            first: None,
            group_key: Vec::new(),
            distinct_key: Vec::new(),
            scratch: Vec::new(),
            has_given: false,
        })
    }

    /// Averages are compared as they are shown.
    pub(super) fn round_averages(&mut self) {
        for column in &mut self.columns {
            if let State::Avg { is_exact, .. } = &mut column.state {
                *is_exact = false;
            }
        }
    }

    /// Takes a row in; gives the group before it if the row begins another.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<Option<Vec<u8>>> {
        let fields = Fields::read(row, self.column_count)?;
        encode(&self.group, &fields, &mut self.scratch)?;
        let is_same = self.first.is_some() && self.scratch == self.group_key;
        let finished = if is_same { None } else { self.give()? };
        if !is_same {
            std::mem::swap(&mut self.scratch, &mut self.group_key);
            self.first = Some(row.to_vec());
        }
        let mut is_new_value = true;
        if !self.distinct.is_empty() {
            encode(&self.distinct, &fields, &mut self.scratch)?;
            is_new_value = !is_same || self.scratch != self.distinct_key;
            std::mem::swap(&mut self.scratch, &mut self.distinct_key);
        }
        for column in &mut self.columns {
            if is_new_value || !column.is_distinct {
                column.state.add(column.index, &fields)?;
            }
        }
        Ok(finished)
    }

    /// The last group; without any row the one row of a scalar aggregate.
    pub(super) fn finish(&mut self) -> Result<Option<Vec<u8>>> {
        if self.first.is_none() && self.is_scalar && !self.has_given {
            let mut row = Vec::new();
            (0..self.column_count).for_each(|_| put_text_field(&mut row, None));
            self.first = Some(row);
        }
        self.give()
    }

    /// The current group as a row: its first row with the combined values put in.
    fn give(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(first) = self.first.take() else { return Ok(None) };
        self.has_given = true;
        let fields = Fields::read(&first, self.column_count)?;
        let mut changed: Vec<(usize, Option<Vec<u8>>)> = Vec::new();
        for column in &mut self.columns {
            column.state.take(column.index, &mut changed);
        }
        let mut row = Vec::with_capacity(first.len() + 16);
        for index in 0..self.column_count {
            match changed.iter().find(|(at, _)| *at == index) {
                Some((_, value)) => put_text_field(&mut row, value.as_deref()),
                None => put_text_field(&mut row, fields.get(index)?),
            }
        }
        Ok(Some(row))
    }
}

impl State {
    fn new(
        function: &AggregateFunction,
        index: usize,
        columns: &[ColumnDefinition],
        helpers: usize,
    ) -> Result<Self> {
        let find = |column: ColumnRef| index_of(column, columns.len(), helpers);
        let extreme = |key: &SortKey, is_max| -> Result<Self> {
            let part = KeyPart::new(key, columns, helpers, Use::Extreme)?;
            let carried = [Some(key.column), key.weight, key.pad].into_iter().flatten().map(find);
            let carried = carried.collect::<Result<Vec<_>>>()?;
            Ok(Self::Extreme(Extreme { key: part, is_max, best: None, carried }))
        };
        match function {
            AggregateFunction::Count => Ok(Self::Count(0)),
            AggregateFunction::Sum => Ok(Self::Sum(Total::new(&columns[index])?)),
            AggregateFunction::SumOfQuotients { parts } => {
                let parts = find(*parts)?;
                let (total, decimals) = (Total::new(&columns[parts])?, columns[index].decimals);
                Ok(Self::SumOfQuotients { parts, total, decimals })
            }
            AggregateFunction::Max { key } => extreme(key, true),
            AggregateFunction::Min { key } => extreme(key, false),
            AggregateFunction::Avg { sum, count, is_exact } => {
                let sum = find(*sum)?;
                let total = Total::new(&columns[sum])?;
                let decimals = columns[index].decimals;
                if matches!(total, Total::Exact(_)) && decimals > SCALE_MAX {
                    return Err(Error::unsupported("AVG with more than 30 decimals over several shards"));
                }
                Ok(Self::Avg { sum, count: find(*count)?, total, number: 0, decimals, is_exact: *is_exact })
            }
        }
    }

    fn add(&mut self, index: usize, fields: &Fields<'_>) -> Result<()> {
        match self {
            Self::Avg { sum, count, total, number, .. } => {
                total.add(fields.get(*sum)?)?;
                *number = number.saturating_add(count_of(fields.get(*count)?)?);
            }
            Self::Count(count) => *count = count.saturating_add(count_of(fields.get(index)?)?),
            Self::Extreme(extreme) => extreme.add(index, fields)?,
            Self::Sum(total) => total.add(fields.get(index)?)?,
            Self::SumOfQuotients { parts, total, .. } => total.add(fields.get(*parts)?)?,
        }
        Ok(())
    }

    /// Appends the combined values and begins anew.
    fn take(&mut self, index: usize, out: &mut Vec<(usize, Option<Vec<u8>>)>) {
        match self {
            Self::Avg { total, number, decimals, is_exact, .. } => {
                let average = total.take_average(std::mem::take(number), *decimals, *is_exact);
                out.push((index, average));
            }
            Self::Count(count) => out.push((index, Some(std::mem::take(count).to_string().into_bytes()))),
            Self::Extreme(extreme) => match extreme.best.take() {
                Some((_, values)) => out.extend(values),
                None => out.extend(extreme.carried.iter().map(|at| (*at, None))),
            },
            Self::Sum(total) => out.push((index, total.take())),
            Self::SumOfQuotients { total, decimals, .. } => out.push((index, total.take_rounded(*decimals))),
        }
    }
}

fn count_of(field: Option<&[u8]>) -> Result<u64> {
    match field {
        None => Ok(0),
        Some(text) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(broken_row)
        }
    }
}

impl Total {
    fn new(column: &ColumnDefinition) -> Result<Self> {
        match column.column_type {
            ColumnType::DECIMAL | ColumnType::NEWDECIMAL => Ok(Self::Exact(None)),
            kind if kind.is_integer() => Ok(Self::Exact(None)),
            ColumnType::DOUBLE | ColumnType::FLOAT => {
                Ok(Self::Double { sum: None, decimals: column.decimals })
            }
            _ => Err(Error::unsupported("SUM of this type over several shards")),
        }
    }

    fn add(&mut self, field: Option<&[u8]>) -> Result<()> {
        let Some(text) = field else { return Ok(()) };
        match self {
            Self::Exact(sum) => {
                let number = Decimal::parse(text).ok_or_else(broken_row)?;
                *sum = Some(sum.map_or(number, |sum| sum.add(&number)));
            }
            Self::Double { sum, .. } => {
                let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
                // Not added to 0: the sum of one negative zero is negative.
                let number = number.ok_or_else(broken_row)?;
                *sum = Some(sum.map_or(number, |sum| sum + number));
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Exact(sum) => sum.take().map(|sum| sum.to_text()),
            Self::Double { sum, decimals } => sum.take().map(|sum| double_text(sum, *decimals)),
        }
    }

    fn take_rounded(&mut self, decimals: u8) -> Option<Vec<u8>> {
        match self {
            Self::Exact(sum) => sum.take().map(|sum| sum.round(decimals).to_text()),
            Self::Double { sum, .. } => sum.take().map(|sum| double_text(sum, decimals)),
        }
    }

    fn take_average(&mut self, count: u64, decimals: u8, is_exact: bool) -> Option<Vec<u8>> {
        match self {
            Self::Exact(sum) => {
                let sum = sum.take()?;
                let increment = decimals.saturating_sub(sum.scale());
                if is_exact {
                    return sum.quotient(count, increment).map(|average| average.to_text());
                }
                sum.divide(count, increment).map(|average| average.round(decimals).to_text())
            }
            Self::Double { sum, .. } => {
                let sum = sum.take()?;
                let decimals = if is_exact { ColumnDefinition::DECIMALS_NOT_FIXED } else { decimals };
                #[expect(clippy::cast_precision_loss, reason = "the server divides by a double as well")]
                (count > 0).then(|| double_text(sum / count as f64, decimals))
            }
        }
    }
}

/// A double as the server would print it: with fixed digits if its column has them.
fn double_text(number: f64, decimals: u8) -> Vec<u8> {
    if decimals < ColumnDefinition::DECIMALS_NOT_FIXED {
        return format!("{number:.*}", usize::from(decimals)).into_bytes();
    }
    let mut text = Vec::new();
    write_double(number, &mut text);
    text
}

impl Extreme {
    fn add(&mut self, index: usize, fields: &Fields<'_>) -> Result<()> {
        if fields.get(index)?.is_none() {
            return Ok(());
        }
        let mut key = Vec::new();
        encode(std::slice::from_ref(&self.key), fields, &mut key)?;
        let is_better = match &self.best {
            None => true,
            Some((best, _)) => {
                if self.is_max {
                    key > *best
                } else {
                    key < *best
                }
            }
        };
        if is_better {
            let values = self.carried.iter().map(|at| Ok((*at, fields.get(*at)?.map(<[u8]>::to_vec))));
            self.best = Some((key, values.collect::<Result<_>>()?));
        }
        Ok(())
    }
}
