//! The differences between a plain server's answer and the router's.

use std::collections::BTreeSet;

use crate::client::{Column, OkReply, Reply, ResultSet, Row, ServerError};
use crate::script::Order;

const STATUS_IN_TRANSACTION: u16 = 1;
const STATUS_AUTOCOMMIT: u16 = 2;
const STATUS_NO_BACKSLASH_ESCAPES: u16 = 512;
const STATUS_IN_READ_ONLY_TRANSACTION: u16 = 8192;
const STATUS_CURSOR_EXISTS: u16 = 64;
const STATUS_LAST_ROW_SENT: u16 = 128;
const STATUS_COMPARED: u16 = STATUS_IN_TRANSACTION
    | STATUS_AUTOCOMMIT
    | STATUS_NO_BACKSLASH_ESCAPES
    | STATUS_IN_READ_ONLY_TRANSACTION
    | STATUS_CURSOR_EXISTS
    | STATUS_LAST_ROW_SENT;

/// Flags that tell how a server happened to find the rows, not what a column is: PART_KEY and GROUP (the number is also
/// NUM).
const FLAGS_OF_THE_PLAN: u16 = 16_384 | 32_768;

/// Where a server uses a temporary table, also NOT_NULL, keys, BINARY, AUTO_INCREMENT and NO_DEFAULT_VALUE come from that table.
const FLAGS_OF_TEMPORARY_TABLES: u16 = FLAGS_OF_THE_PLAN | 1 | 2 | 4 | 8 | 128 | 512 | 4_096;

const OF_STATEMENTS: [&str; 2] = ["Unknown prepared statement handler (", "The statement ("];

/// What differs, in one line each. `ignored` names fields a script does not want compared.
pub struct Comparison<'a> {
    pub keyspace: &'a str,
    pub order: &'a Order,
    pub has_order_by: bool,
    /// Whether a server may gather the answer in a temporary table, whose columns differ a little.
    pub may_use_temporary: bool,
    pub ignored: &'a BTreeSet<String>,
}

/// The fields of a column that tell how a server came to a value of the session: the router puts the value into the
/// text, so that it looks like a literal to the server.
const FIELDS_OF_SESSION_VALUES: [&str; 5] = ["type", "flags", "length", "decimals", "charset"];

/// Fields that are not compared for this statement, besides those that the script names.
pub fn ignored_fields(sql: &str) -> impl Iterator<Item = String> {
    let sql = sql.to_ascii_lowercase();
    let functions = [
        "@",
        "last_insert_id(",
        "found_rows(",
        "row_count(",
        "database(",
        "schema(",
        "user(",
        "version(",
        "connection_id(",
    ];
    let diagnostics = ["show warnings", "show errors", "show count"];
    let applies = functions.iter().any(|name| sql.contains(name))
        || diagnostics.iter().any(|start| sql.starts_with(start));
    // FOUND_ROWS() is deprecated in MySQL; the router answers without saying so.
    let warnings = sql.contains("found_rows(").then_some("warnings");
    FIELDS_OF_SESSION_VALUES.into_iter().filter(move |_| applies).chain(warnings).map(str::to_owned)
}

/// MySQL and MariaDB write "no fixed number of decimals" differently; what the router answers itself is MySQL's way.
fn fixed(decimals: u8) -> u8 {
    if decimals == 39 { 31 } else { decimals }
}

/// Whether the statement groups, removes duplicates, or sorts a join or what a sub-query selects, which may be a join too.
pub fn may_use_temporary(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let joins = ["join", "from a, b", "exists (select", "in (select"].iter().any(|words| sql.contains(words));
    let sorts_a_join = sql.contains("order by") && joins;
    sorts_a_join || ["group by", "distinct", "union"].iter().any(|words| sql.contains(words))
}

impl Comparison<'_> {
    /// Compares whole answers (several replies for multi-statements).
    pub fn replies(&self, plain: &[Reply], router: &[Reply]) -> Vec<String> {
        if plain.len() != router.len() {
            return vec![format!("replies: plain {} router {}", plain.len(), router.len())];
        }
        plain.iter().zip(router).flat_map(|(plain, router)| self.reply(plain, router)).collect()
    }

    pub fn reply(&self, plain: &Reply, router: &Reply) -> Vec<String> {
        match (plain, router) {
            (Reply::Ok(plain), Reply::Ok(router)) => self.ok(plain, router),
            (Reply::Err(plain), Reply::Err(router)) => self.error(plain, router),
            (Reply::Rows(plain), Reply::Rows(router)) => self.result_set(plain, router),
            _ => vec![format!("kind: plain {} router {}", summary(plain), summary(router))],
        }
    }

    fn ok(&self, plain: &OkReply, router: &OkReply) -> Vec<String> {
        let mut found = Vec::new();
        self.field(&mut found, "affected-rows", plain.affected_rows, router.affected_rows);
        self.field(&mut found, "insert-id", plain.last_insert_id, router.last_insert_id);
        self.field(&mut found, "warnings", plain.warnings, router.warnings);
        self.field(&mut found, "info", &plain.info, &router.info);
        self.field(&mut found, "status", plain.status & STATUS_COMPARED, router.status & STATUS_COMPARED);
        found
    }

    pub fn error(&self, plain: &ServerError, router: &ServerError) -> Vec<String> {
        let mut found = Vec::new();
        self.field(&mut found, "errno", plain.errno, router.errno);
        self.field(&mut found, "sqlstate", &plain.sqlstate, &router.sqlstate);
        // Ids of prepared statements are each side's own.
        let names_id = |message: &str| OF_STATEMENTS.iter().any(|start| message.starts_with(start));
        if !names_id(&plain.message) || !names_id(&router.message) {
            // The router does not know which engine would have said it.
            let neutral = |text: &str| text.replace("MariaDB server version", "MySQL server version");
            let (plain, router) = (neutral(&plain.message), neutral(&router.message));
            self.field(&mut found, "message", plain, router);
        }
        found
    }

    fn result_set(&self, plain: &ResultSet, router: &ResultSet) -> Vec<String> {
        let mut found = Vec::new();
        self.columns(&mut found, &plain.columns, &router.columns);
        self.field(&mut found, "warnings", plain.warnings, router.warnings);
        self.field(&mut found, "status", plain.status & STATUS_COMPARED, router.status & STATUS_COMPARED);
        if let Err(error) = router.check() {
            found.push(format!("rows: the router's cannot be decoded: {error}"));
        }
        if !self.ignored.contains("rows") {
            found.extend(self.rows(plain, router));
        }
        found
    }

    pub fn columns(&self, found: &mut Vec<String>, plain: &[Column], router: &[Column]) {
        self.field(found, "column-count", plain.len(), router.len());
        for (plain, router) in plain.iter().zip(router) {
            let name = &plain.name;
            self.field(found, "name", name, &router.name);
            self.column_field(found, name, "org-name", &plain.org_name, &router.org_name);
            self.column_field(found, name, "table", &plain.table, &router.table);
            self.column_field(found, name, "org-table", &plain.org_table, &router.org_table);
            // Definitions of forwarded rows are not looked into.
            self.column_field(found, name, "schema", &plain.schema, &self.without_prefix(&router.schema));
            self.column_field(found, name, "type", plain.type_code, router.type_code);
            let mask = if self.may_use_temporary { !FLAGS_OF_TEMPORARY_TABLES } else { !FLAGS_OF_THE_PLAN };
            self.column_field(found, name, "flags", plain.flags & mask, router.flags & mask);
            self.column_field(found, name, "charset", plain.charset, router.charset);
            if !self.may_use_temporary {
                self.column_field(found, name, "decimals", fixed(plain.decimals), fixed(router.decimals));
                self.column_field(found, name, "length", plain.length, router.length);
            }
        }
    }

    fn rows(&self, plain: &ResultSet, router: &ResultSet) -> Option<String> {
        if plain.rows.len() != router.rows.len() {
            return Some(format!(
                "row-count: plain {} router {}{}",
                plain.rows.len(),
                router.rows.len(),
                first_rows(plain, router)
            ));
        }
        let (same_order, key): (bool, Option<&[usize]>) = match self.order {
            Order::Count => return None,
            Order::Exact => (true, None),
            Order::ByStatement => (self.has_order_by, None),
            Order::Multiset => (false, None),
            Order::Columns(columns) => (false, Some(columns)),
        };
        if plain.rows == router.rows {
            return None;
        }
        // Numbers of another width have other bytes in the binary protocol.
        if plain.binary && self.ignored.contains("type") && same_texts(plain, router, same_order) {
            return None;
        }
        if same_order {
            return (plain.rows != router.rows).then(|| format!("rows:{}", first_rows(plain, router)));
        }
        if sorted(&plain.rows) != sorted(&router.rows) {
            return Some(format!("rows (as a multiset):{}", first_rows(plain, router)));
        }
        let key = key?;
        let keys = |set: &ResultSet| -> Vec<Vec<Option<String>>> {
            set.text_rows()
                .iter()
                .map(|row| key.iter().map(|&column| row[column].clone()).collect())
                .collect()
        };
        (keys(plain) != keys(router)).then(|| format!("order of rows:{}", first_rows(plain, router)))
    }

    fn field<T: PartialEq + std::fmt::Debug>(
        &self,
        found: &mut Vec<String>,
        field: &str,
        plain: T,
        router: T,
    ) {
        if plain != router && !self.ignored.contains(field) {
            found.push(format!("{field}: plain {plain:?} router {router:?}"));
        }
    }

    fn column_field<T: PartialEq + std::fmt::Debug>(
        &self,
        found: &mut Vec<String>,
        column: &str,
        field: &str,
        plain: T,
        router: T,
    ) {
        if plain != router && !self.ignored.contains(field) {
            found.push(format!("{field} of column {column}: plain {plain:?} router {router:?}"));
        }
    }

    /// The servers behind the router call keyspace `k` database `vt_k`.
    fn without_prefix(&self, text: &str) -> String {
        text.replace(&format!("vt_{}", self.keyspace), self.keyspace)
    }
}

fn same_texts(plain: &ResultSet, router: &ResultSet, same_order: bool) -> bool {
    let (mut plain, mut router) = (plain.text_rows(), router.text_rows());
    if !same_order {
        plain.sort();
        router.sort();
    }
    plain == router
}

fn sorted(rows: &[Row]) -> Vec<&Row> {
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort();
    sorted
}

/// One line about a reply.
pub fn summary(reply: &Reply) -> String {
    match reply {
        Reply::Ok(ok) => format!("OK ({} affected)", ok.affected_rows),
        Reply::Err(error) => error.to_string(),
        Reply::Rows(set) => format!("{} rows of {} columns", set.rows.len(), set.columns.len()),
    }
}

fn first_rows(plain: &ResultSet, router: &ResultSet) -> String {
    let show = |set: &ResultSet| {
        let mut text = String::new();
        for row in set.text_rows().iter().take(8) {
            let values: Vec<_> =
                row.iter().map(|value| value.as_deref().unwrap_or("NULL").to_owned()).collect();
            let mut line = values.join("|");
            if line.len() > 200 {
                line = line.chars().take(200).collect();
            }
            text.push_str("\n        ");
            text.push_str(&line);
        }
        text
    };
    format!("\n      plain:{}\n      router:{}", show(plain), show(router))
}
