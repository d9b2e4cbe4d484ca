//! Runs one script on the plain server and through the router, over one protocol, and collects differences.

use std::collections::{BTreeSet, HashMap};

use crate::client::{
    self, CLIENT_DEPRECATE_EOF, CLIENT_FOUND_ROWS, CLIENT_LOCAL_FILES, Client, ClientError, Options, Reply,
};
use crate::compare::{Comparison, ignored_fields, may_use_temporary, summary};
use crate::environment::Environment;
use crate::lookups;
use crate::params;
use crate::script::{ANY_ERROR, Protocol, Script, Side, Statement};
use crate::servers::Engine;

/// What a run of a script found.
#[derive(Default)]
pub struct Outcome {
    pub statements: usize,
    pub skipped: Vec<String>,
    pub unsupported: Vec<String>,
    pub differences: Vec<String>,
}

/// Two conversations that should be the same.
struct Pair {
    plain: Client,
    router: Client,
}

struct Run<'a> {
    script: &'a Script,
    keyspace: &'a str,
    protocol: Protocol,
    engine: Engine,
    environment: &'a Environment,
    pairs: HashMap<String, Pair>,
    outcome: Outcome,
}

/// Runs the script from empty tables.
pub fn run(environment: &Environment, script: &Script, keyspace: &str, protocol: Protocol) -> Outcome {
    let mut run = Run {
        script,
        keyspace,
        protocol,
        engine: environment.engine,
        environment,
        pairs: HashMap::new(),
        outcome: Outcome::default(),
    };
    if let Err(error) = environment.reset(keyspace, script.auto_increment) {
        run.outcome.differences.push(format!("reset: {error}"));
        return run.outcome;
    }
    for statement in &script.statements {
        if let Err(error) = run.statement(statement) {
            run.difference(statement, &[format!("broken off: {error}")]);
            // The conversation is lost; a new one lets the rest of the script say something.
            run.pairs.clear();
        }
    }
    let has_lookups = script.statements.iter().any(|statement| statement.text.contains(lookups::OWNER));
    if has_lookups && keyspace != "u" && !environment.is_double() {
        match lookups::problems(environment, keyspace) {
            Ok(problems) => {
                let name = |problem| format!("{} [{keyspace} {}] {problem}", script.name, protocol.name());
                run.outcome.differences.extend(problems.into_iter().map(name));
            }
            Err(error) => run.outcome.differences.push(format!("{}: {error}", script.name)),
        }
    }
    run.outcome
}

impl Run<'_> {
    fn statement(&mut self, statement: &Statement) -> Result<(), ClientError> {
        let directives = &statement.directives;
        if directives.engine.is_some_and(|engine| engine != self.engine)
            || directives.protocol.is_some_and(|protocol| protocol != self.protocol)
            || directives
                .keyspaces
                .as_ref()
                .is_some_and(|names| !names.iter().any(|name| name == self.keyspace))
        {
            return Ok(());
        }
        if let Some(reason) = &directives.skip {
            self.outcome.skipped.push(format!("{}:{} {reason}", self.script.name, statement.line));
            return Ok(());
        }
        let is_unsupported = directives.unsupported.iter().any(|name| name == self.keyspace);
        // A plain server in the router's place knows nothing of clusters.
        if self.environment.is_double() && (is_unsupported || directives.side == Side::Router) {
            return Ok(());
        }
        self.outcome.statements += 1;
        let text = statement.text.replace("{ks}", self.keyspace);
        self.open(&directives.connection)?;
        if is_unsupported {
            return self.unsupported(statement, &text);
        }
        let sides = self.both_sides(statement, &text)?;
        for (plain, router) in sides {
            self.judge(statement, &text, plain, router);
        }
        Ok(())
    }

    /// The answers of both sides, once per execution.
    #[expect(clippy::type_complexity, reason = "one pair of optional answers per execution")]
    fn both_sides(
        &mut self,
        statement: &Statement,
        text: &str,
    ) -> Result<Vec<(Option<Vec<Reply>>, Option<Vec<Reply>>)>, ClientError> {
        let directives = &statement.directives;
        let wants_plain = directives.side != Side::Router;
        let wants_router = directives.side != Side::Plain;
        let protocol = self.protocol;
        let pair = self.pairs.get_mut(&directives.connection).expect("opened before");
        let mut answers = Vec::new();
        // Diagnostics would be those of the preparation.
        let diagnostics =
            ["show warnings", "show errors", "show count"].iter().any(|start| text.starts_with(start))
                || ["@@warning_count", "@@error_count"].iter().any(|name| text.contains(name));
        if protocol == Protocol::Text || diagnostics {
            let texts = match &directives.explicit_params[..] {
                [] => vec![text.to_owned()],
                lists => lists.iter().map(|list| params::substitute(text, list)).collect(),
            };
            for text in texts {
                let plain = wants_plain.then(|| pair.plain.query(&text)).transpose()?;
                let router = wants_router.then(|| pair.router.query(&text)).transpose()?;
                answers.push((plain, router));
            }
            return Ok(answers);
        }
        let (prepared_text, lists) = match (&directives.explicit_params[..], directives.literal_params) {
            ([], true) => {
                let (text, list) = params::extract(text);
                (text, vec![list])
            }
            ([], false) => (text.to_owned(), vec![Vec::new()]),
            (lists, _) => (text.to_owned(), lists.to_vec()),
        };
        let mut plain = wants_plain.then(|| Prepared::new(&mut pair.plain, &prepared_text)).transpose()?;
        // What a server does not prepare goes as text, on both sides.
        if let Some(Prepared::Refused(Reply::Err(error))) = &plain
            && error.errno == 1295
        {
            let plain = pair.plain.query(text)?;
            let router = wants_router.then(|| pair.router.query(text)).transpose()?;
            return Ok(vec![(Some(plain), router)]);
        }
        let mut router = wants_router.then(|| Prepared::new(&mut pair.router, &prepared_text)).transpose()?;
        for list in &lists {
            let plain = plain.as_mut().map(|prepared| prepared.execute(&mut pair.plain, list)).transpose()?;
            let router =
                router.as_mut().map(|prepared| prepared.execute(&mut pair.router, list)).transpose()?;
            answers.push((plain, router));
        }
        if let Some(Prepared::Ready(prepared)) = &plain {
            pair.plain.close(prepared.id)?;
        }
        if let Some(Prepared::Ready(prepared)) = &router {
            pair.router.close(prepared.id)?;
        }
        if let (Some(Prepared::Ready(plain)), Some(Prepared::Ready(router))) = (&plain, &router) {
            let mut ignored = directives.ignored.clone();
            ignored.extend(ignored_fields(text));
            let found = differences_of_preparation(plain, router, &ignored);
            if !found.is_empty() {
                self.difference(statement, &found);
            }
        }
        Ok(answers)
    }

    fn judge(
        &mut self,
        statement: &Statement,
        text: &str,
        plain: Option<Vec<Reply>>,
        router: Option<Vec<Reply>>,
    ) {
        let directives = &statement.directives;
        let mut ignored = directives.ignored.clone();
        ignored.extend(ignored_fields(text));
        let mut found = Vec::new();
        if let (Some(errno), Some(plain)) = (directives.error, plain.as_ref().or(router.as_ref())) {
            match plain.last() {
                Some(Reply::Err(error)) if errno == ANY_ERROR || error.errno == errno => {}
                other => found.push(format!(
                    "the script wants error {errno}, got {}",
                    other.map_or_else(String::new, summary)
                )),
            }
        } else if let Some(Reply::Err(error)) = plain.as_ref().and_then(|plain| plain.last()) {
            found.push(format!("the script is wrong, the plain server says {error}"));
        }
        match (&plain, &router) {
            (Some(plain), Some(router)) => {
                let comparison = Comparison {
                    keyspace: self.keyspace,
                    order: &directives.order,
                    has_order_by: text.to_ascii_lowercase().contains("order by"),
                    may_use_temporary: may_use_temporary(text),
                    ignored: &ignored,
                };
                found.extend(comparison.replies(plain, router));
            }
            (None, Some(router)) => {
                if let Some(expected) = &statement.expected {
                    let expected = expected.replace("{ks}", self.keyspace);
                    let got = router.last().map_or_else(String::new, table);
                    if got != expected {
                        found.push(format!("expected\n{expected}  got\n{got}"));
                    }
                }
            }
            _ => {}
        }
        if !found.is_empty() {
            self.difference(statement, &found);
        }
    }

    /// The router must say that it cannot, and say nothing else.
    fn unsupported(&mut self, statement: &Statement, text: &str) -> Result<(), ClientError> {
        let pair = self.pairs.get_mut(&statement.directives.connection).expect("opened before");
        let replies = pair.router.query(text)?;
        match replies.last() {
            Some(Reply::Err(error)) if error.message.starts_with("VT12001") => {
                let what = format!("{}:{} {}", self.script.name, statement.line, error.message);
                self.outcome.unsupported.push(what);
            }
            Some(Reply::Err(error)) => self.difference(statement, &[format!("wanted VT12001, got {error}")]),
            _ => self.difference(statement, &["works now: take the `unsupported` mark away".to_owned()]),
        }
        Ok(())
    }

    fn open(&mut self, name: &str) -> Result<(), ClientError> {
        if self.pairs.contains_key(name) {
            return Ok(());
        }
        // Both kinds of terminators are used: with CLIENT_DEPRECATE_EOF and without.
        let mut capabilities = match self.protocol {
            Protocol::Text => CLIENT_LOCAL_FILES,
            Protocol::Binary => CLIENT_DEPRECATE_EOF,
        };
        if self.script.found_rows {
            capabilities |= CLIENT_FOUND_ROWS;
        }
        let login = |options: Options| Client::login(&options.database(self.keyspace).with(capabilities));
        let pair = Pair {
            plain: login(self.environment.plain_options())?,
            router: login(self.environment.router_options())?,
        };
        self.pairs.insert(name.to_owned(), pair);
        Ok(())
    }

    fn difference(&mut self, statement: &Statement, found: &[String]) {
        self.outcome.differences.push(format!(
            "{}.test:{} [{} {} {}] {}\n    {}",
            self.script.name,
            statement.line,
            self.engine.as_str(),
            self.keyspace,
            self.protocol.name(),
            statement.text,
            found.join("\n    ")
        ));
    }
}

enum Prepared {
    Ready(client::Prepared),
    Refused(Reply),
}

impl Prepared {
    fn new(client: &mut Client, text: &str) -> Result<Self, ClientError> {
        Ok(match client.prepare(text)? {
            Ok(prepared) => Self::Ready(prepared),
            Err(error) => Self::Refused(Reply::Err(error)),
        })
    }

    fn execute(&mut self, client: &mut Client, list: &[client::Param]) -> Result<Vec<Reply>, ClientError> {
        match self {
            Self::Ready(prepared) => client.execute(prepared.id, list),
            Self::Refused(error) => Ok(vec![error.clone()]),
        }
    }
}

/// What a client learns from the preparation alone: numbers of parameters and columns, and the columns' names.
fn differences_of_preparation(
    plain: &client::Prepared,
    router: &client::Prepared,
    ignored: &BTreeSet<String>,
) -> Vec<String> {
    let names = |prepared: &client::Prepared| {
        prepared
            .columns
            .iter()
            .map(|column| column.name.replace("Tables_in_vt_", "Tables_in_"))
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    // Of tables that the router makes for a statement a client hears nothing.
    if let Some(column) = router.columns.iter().find(|column| column.org_table.starts_with("sg_")) {
        found.push(format!("column {} of the preparation is of the table {}", column.name, column.org_table));
    }
    if plain.parameters != router.parameters {
        found.push(format!(
            "parameters of the preparation: plain {} router {}",
            plain.parameters, router.parameters
        ));
    }
    if plain.warnings != router.warnings && !ignored.contains("warnings") {
        found.push(format!(
            "warnings of the preparation: plain {} router {}",
            plain.warnings, router.warnings
        ));
    }
    if names(plain) != names(router) && !ignored.contains("name") && !ignored.contains("preparation") {
        found.push(format!(
            "columns of the preparation: plain {:?} router {:?}",
            names(plain),
            names(router)
        ));
    }
    found
}

/// A result set as the expectation blocks of scripts write it: tab-separated, names first.
fn table(reply: &Reply) -> String {
    let Reply::Rows(set) = reply else { return format!("{}\n", summary(reply)) };
    let names: Vec<_> = set.columns.iter().map(|column| column.name.clone()).collect();
    let mut text = names.join("\t") + "\n";
    for row in set.text_rows() {
        let values: Vec<_> =
            row.into_iter().map(|value| value.unwrap_or_else(|| "NULL".to_owned())).collect();
        text.push_str(&values.join("\t"));
        text.push('\n');
    }
    text
}
