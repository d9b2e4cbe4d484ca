//! SQL scripts: `cases/*.test`. The format is described in `cases/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::client::Param;
use crate::params;
use crate::servers::Engine;

/// `-- error any`: an error, whichever it is.
pub const ANY_ERROR: u16 = 0;

/// How the rows of two answers are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Exactly, if the statement has an ORDER BY; otherwise as multisets.
    ByStatement,
    Exact,
    Multiset,
    /// As multisets, and in order as far as these columns (from 0) go.
    Columns(Vec<usize>),
    /// Only their number: a LIMIT without an order may pick any rows.
    Count,
}

/// What is said about one statement.
#[derive(Clone, Debug)]
pub struct Directives {
    pub order: Order,
    pub error: Option<u16>,
    /// Keyspaces on which the router answers VT12001.
    pub unsupported: Vec<String>,
    pub explicit_params: Vec<Vec<Param>>,
    pub literal_params: bool,
    pub connection: String,
    pub ignored: BTreeSet<String>,
    pub skip: Option<String>,
    pub engine: Option<Engine>,
    pub protocol: Option<Protocol>,
    pub keyspaces: Option<Vec<String>>,
    pub side: Side,
}

/// Where a statement runs: normally on both sides, to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Both,
    Router,
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Text,
    Binary,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Statement {
    pub line: usize,
    pub text: String,
    pub directives: Directives,
    /// Rows that the router must give, for what a plain server cannot answer.
    pub expected: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub keyspaces: Vec<String>,
    pub protocols: Vec<Protocol>,
    pub engine: Option<Engine>,
    pub skip: Option<String>,
    pub found_rows: bool,
    pub auto_increment: bool,
    pub statements: Vec<Statement>,
}

/// All scripts of a folder, by name.
pub fn load(folder: &Path) -> Result<Vec<Script>, String> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
            parse(&name, &text).map_err(|error| format!("{name}.test: {error}"))
        })
        .collect()
}

/// Parses one script.
pub fn parse(name: &str, text: &str) -> Result<Script, String> {
    let mut script = Script {
        name: name.to_owned(),
        keyspaces: ["u", "s1", "s2", "s4"].map(str::to_owned).to_vec(),
        protocols: vec![Protocol::Text, Protocol::Binary],
        engine: None,
        skip: None,
        found_rows: false,
        auto_increment: false,
        statements: Vec::new(),
    };
    let mut lines = text.lines().enumerate().peekable();
    let mut pending: Option<Directives> = None;
    let mut connection = "main".to_owned();
    while let Some((index, line)) = lines.next() {
        let line_number = index + 1;
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix('#') {
            header(&mut script, comment.trim()).map_err(|error| format!("line {line_number}: {error}"))?;
            continue;
        }
        if let Some(directive) = trimmed.strip_prefix("-- ") {
            if let Some(name) = directive.strip_prefix("connection ") {
                connection = name.trim().to_owned();
                continue;
            }
            let directives = pending.get_or_insert_with(|| plain(&connection));
            apply(directives, directive).map_err(|error| format!("line {line_number}: {error}"))?;
            continue;
        }
        let mut statement = line.to_owned();
        while !statement.trim_end().ends_with(';') {
            let Some((_, next)) = lines.next() else {
                return Err(format!("line {line_number}: a statement without its final semicolon"));
            };
            statement.push('\n');
            statement.push_str(next);
        }
        let statement = statement.trim_end().trim_end_matches(';').to_owned();
        let mut expected = None;
        if lines.peek().is_some_and(|(_, next)| next.trim() == "----") {
            lines.next();
            let mut block = String::new();
            while let Some((_, next)) = lines.next_if(|(_, next)| !next.trim().is_empty()) {
                block.push_str(next);
                block.push('\n');
            }
            expected = Some(block);
        }
        let mut directives = pending.take().unwrap_or_else(|| plain(&connection));
        if expected.is_some() {
            directives.side = Side::Router;
        }
        script.statements.push(Statement { line: line_number, text: statement, directives, expected });
    }
    Ok(script)
}

fn plain(connection: &str) -> Directives {
    Directives {
        order: Order::ByStatement,
        error: None,
        unsupported: Vec::new(),
        explicit_params: Vec::new(),
        literal_params: true,
        connection: connection.to_owned(),
        ignored: BTreeSet::new(),
        skip: None,
        engine: None,
        protocol: None,
        keyspaces: None,
        side: Side::Both,
    }
}

fn header(script: &mut Script, comment: &str) -> Result<(), String> {
    // A comment that is not of the form `key=value` is for readers.
    let Some((key, value)) = comment.split_once('=') else { return Ok(()) };
    match key {
        "keyspaces" => script.keyspaces = value.split(',').map(str::to_owned).collect(),
        "protocols" => script.protocols = value.split(',').map(protocol).collect::<Result<_, _>>()?,
        "only" => script.engine = Some(with_reason(value).and_then(engine)?),
        "skip" => script.skip = Some(value.to_owned()),
        "found_rows" => script.found_rows = value == "yes",
        "auto_increment" => script.auto_increment = value == "yes",
        _ => {}
    }
    Ok(())
}

fn with_reason(value: &str) -> Result<&str, String> {
    match value.split_once(" reason=") {
        Some((value, reason)) if !reason.trim().is_empty() => Ok(value),
        _ => Err("`only` needs ` reason=…`".to_owned()),
    }
}

pub fn engine(name: &str) -> Result<Engine, String> {
    Engine::ALL
        .into_iter()
        .find(|engine| engine.as_str() == name)
        .ok_or_else(|| format!("unknown engine {name}"))
}

fn protocol(name: &str) -> Result<Protocol, String> {
    match name {
        "text" => Ok(Protocol::Text),
        "binary" => Ok(Protocol::Binary),
        _ => Err(format!("unknown protocol {name}")),
    }
}

fn apply(directives: &mut Directives, directive: &str) -> Result<(), String> {
    let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
    match word {
        "ordered" => directives.order = Order::Exact,
        "unordered" => directives.order = Order::Multiset,
        "order-by" => {
            let columns: Result<Vec<usize>, _> =
                rest.split(',').map(|number| number.trim().parse()).collect();
            directives.order = Order::Columns(columns.map_err(|error| format!("order-by: {error}"))?);
        }
        "rowcount-only" => directives.order = Order::Count,
        "error" if rest == "any" => directives.error = Some(ANY_ERROR),
        "error" => directives.error = Some(rest.parse().map_err(|error| format!("error: {error}"))?),
        "unsupported" if rest.is_empty() => return Err("unsupported needs its keyspaces".to_owned()),
        "unsupported" => directives.unsupported = rest.split(',').map(str::to_owned).collect(),
        "no-params" => directives.literal_params = false,
        "params" => directives.explicit_params.push(params::parse_list(rest)?),
        "ignore" => directives.ignored.extend(rest.split(',').map(|field| field.trim().to_owned())),
        "skip" => {
            let reason = rest.strip_prefix("reason=").ok_or("skip needs reason=…")?;
            directives.skip = Some(reason.to_owned());
        }
        "only" => directives.engine = Some(with_reason(rest).and_then(engine)?),
        "protocol" => directives.protocol = Some(protocol(rest)?),
        "keyspaces" => directives.keyspaces = Some(rest.split(',').map(str::to_owned).collect()),
        "router" => directives.side = Side::Router,
        "plain" => directives.side = Side::Plain,
        _ => return Err(format!("unknown directive {word}")),
    }
    Ok(())
}
