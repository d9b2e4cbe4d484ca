//! Reducers: of an input that is joined by equality to one that is gathered already, only rows with its values are
//! gathered. A join over shards takes a few round trips for each batch of values, never one for each row.

use std::collections::{HashMap, HashSet};

use super::super::Executor;
use super::super::job::Job;
use super::load::gather_settings;
use super::load_settings;
use super::table::GatheredTable;
use crate::backend::RowStream;
use crate::backend::pool::PooledConnection;
use crate::error::Result;
use crate::limits::{GATHER_REDUCER_BYTES_MAX, GATHER_REDUCER_VALUES_MAX};
use crate::plan::primitive::{
    Candidates, Gather, GatherInput, GatherReducer, Keys, Lookup, RouteList, RouteValue, Routing,
};
use crate::sql::TableColumn;
use crate::sql::ident::quoted;
use crate::value::Value;
use crate::wire::Command;
use crate::wire::row::text_fields;

/// How values of one column are written to be compared with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Binary,
    /// In this character set.
    Charset(String),
    Number,
    /// In quotes: dates and times.
    Quoted,
}

impl Form {
    /// `None`: servers might compare a constant otherwise than the column.
    fn between(own: &TableColumn, other: &TableColumn) -> Option<Self> {
        const NUMBERS: [&str; 8] =
            ["bigint", "dec", "decimal", "int", "mediumint", "numeric", "smallint", "tinyint"];
        const STRINGS: [&str; 6] = ["char", "longtext", "mediumtext", "text", "tinytext", "varchar"];
        const BINARIES: [&str; 6] = ["binary", "blob", "longblob", "mediumblob", "tinyblob", "varbinary"];
        let both = |types: &[&str]| types.contains(&&*own.type_name) && types.contains(&&*other.type_name);
        if both(&NUMBERS) {
            return Some(Self::Number);
        }
        if both(&BINARIES) {
            return Some(Self::Binary);
        }
        if both(&STRINGS) {
            let is_same = own.charset == other.charset && own.collation == other.collation;
            return own.charset.clone().filter(|_| is_same).map(Self::Charset);
        }
        let is_date = matches!(&*own.type_name, "date" | "datetime" | "time");
        (is_date && own.type_name == other.type_name).then_some(Self::Quoted)
    }

    fn put(&self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Number => out.extend_from_slice(value),
            Self::Quoted => {
                out.push(b'\'');
                out.extend_from_slice(value);
                out.push(b'\'');
            }
            Self::Binary => put_hex("_binary", value, out),
            Self::Charset(name) => put_hex(&format!("_{name}"), value, out),
        }
    }
}

fn put_hex(introducer: &str, value: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(introducer.as_bytes());
    out.extend_from_slice(b" x'");
    for byte in value {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'\'');
}

/// What a column of an input is known to have: `None` when that is too much to be of use.
type Set = Option<HashSet<Box<[u8]>>>;

/// The values of columns that other inputs are joined to.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// By input and column.
    sets: HashMap<(usize, Box<str>), Set>,
    bytes: usize,
}

/// The values that one input's rows must have.
pub(super) struct Restriction<'g> {
    pub(super) reducer: &'g GatherReducer,
    form: Form,
    pub(super) values: Vec<Box<[u8]>>,
}

impl Restriction<'_> {
    /// `column IN (…)`, for some of the values.
    pub(super) fn put_condition<'v>(
        &self,
        alias: &str,
        values: impl Iterator<Item = &'v Box<[u8]>>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(format!("{}.{} IN (", quoted(alias), quoted(&self.reducer.column)).as_bytes());
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.form.put(value, out);
        }
        out.push(b')');
    }

    /// Where rows with these values are, if the column decides that.
    pub(super) fn routing(&self, values: &[Box<[u8]>]) -> Option<Routing> {
        let vindex = self.reducer.vindex.clone().filter(|_| self.form == Form::Number)?;
        let value = |text: &[u8]| {
            let text = std::str::from_utf8(text).ok()?;
            let value = text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::UInt)).ok()?;
            Some(RouteValue::Literal(value))
        };
        let values = values.iter().map(|text| value(text)).collect::<Option<Vec<_>>>()?;
        let keys = Keys::Columns(vec![Candidates::Many(RouteList::Values(values))]);
        Some(Routing::In(Lookup { vindex, keys, is_text: false }))
    }
}

impl Values {
    /// Notes that `input` is about to be read; gives the positions among its filled columns of those whose values are
    /// wanted.
    pub(super) fn begin(
        &mut self,
        gather: &Gather,
        input: usize,
        table: &GatheredTable,
    ) -> Vec<(usize, Box<str>)> {
        let mut wanted = Vec::new();
        for reducer in gather.inputs.iter().flat_map(|other| &other.reducers) {
            let name = &reducer.other_column;
            let column = |at: &usize| table.definition.columns[*at].name.to_lowercase() == **name;
            if reducer.other as usize == input
                && !wanted.iter().any(|(_, known)| known == name)
                && let Some(position) = table.filled.iter().position(column)
            {
                wanted.push((position, name.clone()));
                self.sets.insert((input, name.clone()), Some(HashSet::new()));
            }
        }
        wanted
    }

    /// Takes the values of a row.
    pub(super) fn note(&mut self, input: usize, wanted: &[(usize, Box<str>)], row: &[u8]) {
        if wanted.is_empty() {
            return;
        }
        for (position, field) in text_fields(row).enumerate() {
            let Ok(Some(value)) = field else { continue };
            for (_, name) in wanted.iter().filter(|(wanted, _)| *wanted == position) {
                let Some(set) = self.sets.get_mut(&(input, name.clone())) else { continue };
                let Some(values) = set else { continue };
                if values.contains(value) {
                    continue;
                }
                self.bytes += value.len();
                if values.len() >= GATHER_REDUCER_VALUES_MAX || self.bytes > GATHER_REDUCER_BYTES_MAX {
                    *set = None;
                } else {
                    values.insert(value.into());
                }
            }
        }
    }

    /// The fewest values that the rows of `input` must have.
    pub(super) fn restriction<'g>(
        &self,
        gather: &'g Gather,
        input: usize,
        tables: &[GatheredTable],
    ) -> Option<Restriction<'g>> {
        let usable = gather.inputs[input].reducers.iter().filter_map(|reducer| {
            let set = self.sets.get(&(reducer.other as usize, reducer.other_column.clone()))?.as_ref()?;
            let own = tables[input].definition.column(&reducer.column)?;
            let other = tables.get(reducer.other as usize)?.definition.column(&reducer.other_column)?;
            Some((reducer, Form::between(own, other)?, set))
        });
        let (reducer, form, set) = usable.min_by_key(|(.., set)| set.len())?;
        let mut values: Vec<Box<[u8]>> = set.iter().cloned().collect();
        values.sort_unstable();
        Some(Restriction { reducer, form, values })
    }

    /// The input that is best gathered next: those with few rows first, as their values restrict the others.
    pub(super) fn next(&self, gather: &Gather, left: &[usize]) -> Option<usize> {
        let is_known = |reducer: &GatherReducer| {
            let set = self.sets.get(&(reducer.other as usize, reducer.other_column.clone()));
            matches!(set, Some(Some(_)))
        };
        let rank = |index: &usize| {
            let input: &GatherInput = &gather.inputs[*index];
            match &input.routing {
                Routing::EqualUnique(_) | Routing::None => 0,
                _ if input.reducers.iter().any(is_known) => 1,
                Routing::In(_) | Routing::Intersect(_) | Routing::Union(_) => 2,
                _ if !input.filters.is_empty() => 3,
                Routing::Scatter => 5,
                _ => 4,
            }
        };
        left.iter().copied().min_by_key(|index| (rank(index), *index))
    }
}

impl Executor {
    /// Learns the values of tables that the host reads as they are.
    pub(super) async fn values_at_host(
        &self,
        job: &mut Job<'_>,
        gather: &Gather,
        tables: &[GatheredTable],
        values: &mut Values,
        host: &mut PooledConnection,
    ) -> Result<()> {
        for (index, table) in tables.iter().enumerate().filter(|(_, table)| table.stays) {
            for (position, name) in values.begin(gather, index, table) {
                let column = quoted(&table.definition.columns[table.filled[position]].name);
                let mut text = self.query_text(
                    job,
                    &gather.inputs[index],
                    table,
                    &format!("DISTINCT {column}"),
                    None,
                    None,
                )?;
                text.extend_from_slice(format!(" LIMIT {}", GATHER_REDUCER_VALUES_MAX + 1).as_bytes());
                host.sync_settings(&gather_settings(job));
                super::super::exchange::settle(host).await?;
                host.queue(&Command::Query(&text));
                host.flush().await?;
                let mut stream = RowStream::open(&mut **host, false).await?;
                let wanted = [(0, name)];
                while let Some(row) = stream.next_row().await? {
                    values.note(index, &wanted, row);
                }
            }
        }
        host.sync_settings(&load_settings());
        super::super::exchange::settle(host).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::TableDefinition;

    #[test]
    fn values_are_compared_only_where_a_constant_does_the_same() {
        let text = b"CREATE TABLE `t` (`a` int NOT NULL, `b` bigint unsigned, `c` varchar(9), `d` varchar(9) CHARACTER \
                     SET latin1, `e` char(3) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, `f` date, `g` datetime, `h` \
                     varbinary(9), `i` text, `j` double) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci";
        let table = TableDefinition::parse(text).unwrap();
        let check = |own: &str, other: &str, expected: Option<Form>| {
            let (own, other) = (table.column(own).unwrap(), table.column(other).unwrap());
            assert_eq!(Form::between(own, other), expected, "{own:?} {other:?}");
        };
        check("a", "b", Some(Form::Number));
        check("a", "j", None);
        check("a", "c", None);
        check("c", "i", Some(Form::Charset("utf8mb4".into())));
        check("c", "d", None);
        check("c", "e", None);
        check("f", "f", Some(Form::Quoted));
        check("f", "g", None);
        check("h", "h", Some(Form::Binary));
    }

    #[test]
    fn values_are_written_as_bytes() {
        let text = |form: Form, value: &[u8]| {
            let mut out = Vec::new();
            form.put(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(Form::Charset("latin1".into()), b"a\xe9"), "_latin1 x'61e9'");
        assert_eq!(text(Form::Binary, b""), "_binary x''");
        assert_eq!(text(Form::Number, b"-5"), "-5");
    }
}
