//! The tables of generated queries: their rows, the views over them, and the columns that queries name.

use std::fmt::Write as _;

use crate::generated;
use crate::random::Random;

/// What can be compared with each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Date,
    Datetime,
    Decimal,
    Double,
    Integer,
    Text,
}

#[derive(Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// Texts in it are equal though spelled differently: which of them a group shows is left open.
    pub is_loose: bool,
}

/// A table of a FROM clause.
#[derive(Clone)]
pub struct Source {
    pub alias: String,
    pub columns: Vec<Column>,
}

type Columns = &'static [(&'static str, Kind)];

const LOOSE: [&str; 2] = ["c", "txt"];

/// Tables and views.
const TABLES: [(&str, Columns); 5] = [
    ("a", &[("id", Kind::Integer), ("g", Kind::Integer), ("v", Kind::Text)]),
    ("b", &[("a_id", Kind::Integer), ("n", Kind::Integer), ("amount", Kind::Decimal), ("code", Kind::Text)]),
    ("c", &[("a_id", Kind::Integer), ("tag", Kind::Text)]),
    ("countries", &[("code", Kind::Text), ("title", Kind::Text)]),
    (
        "kinds",
        &[
            ("id", Kind::Integer),
            ("i", Kind::Integer),
            ("tinyu", Kind::Integer),
            ("bigu", Kind::Integer),
            ("y", Kind::Integer),
            ("dec2", Kind::Decimal),
            ("dec0", Kind::Decimal),
            ("d", Kind::Double),
            ("v", Kind::Text),
            ("vbin", Kind::Text),
            ("lat", Kind::Text),
            ("e", Kind::Text),
            ("c", Kind::Text),
            ("txt", Kind::Text),
            ("dt", Kind::Date),
            ("dtm", Kind::Datetime),
            ("ts", Kind::Datetime),
        ],
    ),
];

const VIEWS: [(&str, Columns); 3] = [
    ("shown", &[("id", Kind::Integer), ("more", Kind::Integer), ("v", Kind::Text)]),
    ("totals", &[("g", Kind::Integer), ("n", Kind::Integer), ("v", Kind::Text)]),
    (
        "pairs",
        &[("id", Kind::Integer), ("n", Kind::Integer), ("amount", Kind::Decimal), ("title", Kind::Text)],
    ),
];

pub const VIEW_STATEMENTS: [&str; 3] = [
    "create view shown as select id, g + 1 as more, v from a where g > 1",
    "create view totals as select g, count(*) as n, max(v) as v from a group by g",
    "create view pairs as select a.id, b.n, b.amount, c.title from a join b on b.a_id = a.id left join countries c on c.code = b.code",
];

/// Pairs of tables that have columns in common, and those columns.
pub const MERGED: [(&str, &str, &str); 4] =
    [("a", "kinds", "id"), ("b", "c", "a_id"), ("b", "countries", "code"), ("a", "kinds", "id, v")];

pub fn columns_of(columns: &[(&str, Kind)]) -> Vec<Column> {
    let each = columns.iter().map(|(name, kind)| Column {
        name: (*name).to_owned(),
        kind: *kind,
        is_loose: LOOSE.contains(name),
    });
    each.collect()
}

/// A table or view by its place in both lists.
pub fn table(random: &mut Random) -> (&'static str, Columns) {
    if random.chance(8) {
        return VIEWS[usize::try_from(random.below(3)).unwrap_or(0)];
    }
    TABLES[usize::try_from(random.below(5)).unwrap_or(0)]
}

pub fn table_named(name: &str) -> (&'static str, Columns) {
    *TABLES.iter().find(|(table, _)| *table == name).expect("a table of the list")
}

/// INSERTs that fill the tables.
pub fn rows(random: &mut Random) -> Vec<String> {
    let mut statements = generated::rows(random);
    statements[0] = kinds(random);
    statements.push(
        "insert into countries (code, title) values ('de', 'Germany'), ('fr', 'France'), ('pe', null)"
            .to_owned(),
    );
    statements.push(
        "insert into c (a_id, tag) values (1, 'red'), (1, 'blue'), (2, 'red'), (7, 'green'), (30, 'blue'), (61, 'red')"
            .to_owned(),
    );
    statements
}

fn kinds(random: &mut Random) -> String {
    const TEXTS: [&str; 8] = ["'apple'", "'Banana'", "'cherry'", "'döner'", "''", "'zebra'", "'10'", "'9'"];
    const BINARIES: [&str; 6] = ["'a'", "'A'", "'b'", "'B'", "'ä'", "''"];
    const LATIN: [&str; 5] = ["'red'", "'Größe'", "'de'", "'x'", "'apple'"];
    const EQUAL: [&str; 8] = ["'abc'", "'ABC'", "'Abc'", "'résumé'", "'Resume'", "'xyz'", "'XyZ'", "'xyz '"];
    const DATES: [&str; 5] = ["'2024-01-01'", "'2024-02-29'", "'1999-12-31'", "'2024-01-02'", "'2023-07-09'"];
    const TIMES: [&str; 4] =
        ["'2024-01-01 00:00:00.5'", "'2024-02-29 23:59:59'", "'1999-12-31 12:30:00.000001'", "'2024-01-01'"];
    let mut text = String::from(
        "insert into kinds (id, i, tinyu, bigu, y, dec2, dec0, d, v, vbin, lat, e, c, txt, dt, dtm, ts, j) values ",
    );
    for id in 1..=60_i64 {
        let _ = write!(text, "{}({id}", if id == 1 { "" } else { ", " });
        let values = [
            (id * 7 % 11 - 5).to_string(),
            (id * 13 % 250).to_string(),
            if id % 9 == 0 { "18446744073709551".to_owned() } else { (id * 3 % 5).to_string() },
            (1999 + id % 4).to_string(),
            format!("{}.{}", id * 5 % 7 - 3, id % 4 * 25),
            format!("{}000000000000", id % 6 - 2),
            format!("{}.25", id % 6),
            random.pick(&TEXTS).to_owned(),
            random.pick(&BINARIES).to_owned(),
            random.pick(&LATIN).to_owned(),
            random.pick(&["'small'", "'medium'", "'large'"]).to_owned(),
            random.pick(&EQUAL).to_owned(),
            random.pick(&EQUAL).to_owned(),
            random.pick(&DATES).to_owned(),
            random.pick(&TIMES).to_owned(),
            random.pick(&["'2024-01-01 10:00:00'", "'2024-03-31 02:30:00'"]).to_owned(),
            random.pick(&["'{\"k\": 1}'", "'[1, 2]'", "'{\"k\": \"x\"}'"]).to_owned(),
        ];
        for value in values {
            let _ = write!(text, ", {}", if random.chance(15) { "null".to_owned() } else { value });
        }
        text.push(')');
    }
    text
}
