//! Statements of the cases, cut up and put together anew: whatever comes of it, lexer, parser and planner answer with a
//! plan or with an error.
//!
//! Every `cargo test` runs some thousands. `SHARDGATE_FUZZ_SECONDS=600 cargo test --test plan -- --ignored mutated`
//! goes on for as long; `SHARDGATE_SEED` chooses others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use shardgate::plan::{self, PlanContext};
use shardgate::schema::Schemas;
use shardgate::sql::{LexOptions, Lexed, TokenKind, Tokenizer, lex, normalized_text};
use shardgate::topology::{KeyspaceName, TabletType};
use shardgate::vschema::VSchema;
use shardgate::vschema::model::Model;
use shardgate::vschema::vindex::no_files;

use super::random::Random;
use super::{Part, files, parts, schemas};

/// Statements of an ordinary run.
const STATEMENTS: u64 = 3_000;
/// Longer ones say nothing more.
const TEXT_BYTES_MAX: usize = 4_000;

#[test]
fn mutated_statements_have_a_plan_or_an_error() {
    let run = Mutations::new(1);
    run.go(|count, _| count < STATEMENTS);
}

#[test]
#[ignore = "runs for SHARDGATE_FUZZ_SECONDS"]
fn mutated_statements_for_long() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let limit = Duration::from_secs(number("SHARDGATE_FUZZ_SECONDS").unwrap_or(60));
    let run = Mutations::new(number("SHARDGATE_SEED").unwrap_or(2));
    let (count, planned) = run.go(|_, elapsed| elapsed < limit);
    println!("{count} statements, {planned} with a plan");
}

struct Mutations {
    seed: u64,
    statements: Vec<Vec<u8>>,
    vschema: VSchema,
    schemas: Schemas,
}

impl Mutations {
    fn new(seed: u64) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
        let mut statements = Vec::new();
        for path in files(&root.join("cases")) {
            let text = std::fs::read_to_string(path).unwrap();
            for part in parts(&text) {
                if let Part::Case(case) = part {
                    statements.push(case.sql.trim_end().as_bytes().to_vec());
                }
            }
        }
        let model = std::fs::read_to_string(root.join("vschema/main.json")).unwrap();
        let vschema = VSchema::build(Model::parse(&model, &mut Vec::new()).unwrap(), &no_files);
        let schemas = schemas(&root, "main");
        let vschema = schemas.complete(&vschema);
        Self { seed, statements, vschema, schemas }
    }

    /// The number of statements, and of those that had a plan.
    fn go(&self, mut goes_on: impl FnMut(u64, Duration) -> bool) -> (u64, u64) {
        let mut random = Random::new(self.seed);
        let begin = Instant::now();
        let (mut count, mut planned) = (0, 0);
        while goes_on(count, begin.elapsed()) {
            let text = self.mutant(&mut random);
            let keyspace = *[None, Some("customer"), Some("commerce")].get(below(&mut random, 3)).unwrap();
            match catch_unwind(AssertUnwindSafe(|| self.plan(&text, keyspace))) {
                Ok(has_plan) => planned += u64::from(has_plan),
                Err(_) => panic!("in {keyspace:?}: {}", String::from_utf8_lossy(&text)),
            }
            count += 1;
        }
        (count, planned)
    }

    fn plan(&self, text: &[u8], keyspace: Option<&str>) -> bool {
        let databases: Vec<_> =
            self.vschema.keyspaces().map(|k| (format!("vt_{}", k.name()).into(), k.name().clone())).collect();
        let keyspace = keyspace.map(KeyspaceName::from);
        let options = LexOptions::default();
        let ctx = PlanContext {
            vschema: &self.vschema,
            schemas: &self.schemas,
            keyspace: keyspace.as_ref(),
            tablet_type: TabletType::Primary,
            databases: &databases,
            options: &options,
        };
        let mut lexed = Lexed::new();
        if lex(text, 0, &options, &mut lexed).is_err() {
            return false;
        }
        let _ = plan::build_gathered(&ctx, text, &lexed);
        let _ = plan::expand_views(&ctx, text, &lexed);
        match plan::build(&ctx, text, &lexed) {
            Ok(plan) => {
                let described = plan::describe(&plan, &normalized_text(text, &lexed));
                assert!(!described.is_empty());
                true
            }
            Err(_) => false,
        }
    }

    fn mutant(&self, random: &mut Random) -> Vec<u8> {
        let mut words = words_of(self.any(random));
        for _ in 0..=random.below(5) {
            let at = below(random, words.len() + 1);
            match random.below(7) {
                0 if at < words.len() => drop(words.remove(at)),
                1 if at < words.len() => words.insert(at, words[at].clone()),
                2 if at < words.len() => {
                    let other = below(random, words.len());
                    words.swap(at, other);
                }
                3 => words.truncate(at),
                4 => {
                    // The beginning of one statement with the end of another.
                    let other = words_of(self.any(random));
                    words.truncate(at);
                    words.extend_from_slice(&other[below(random, other.len() + 1)..]);
                }
                5 => {
                    let other = words_of(self.any(random));
                    let from = below(random, other.len() + 1);
                    let to = other.len().min(from + 1 + below(random, 6));
                    words.splice(at..at, other[from..to].iter().cloned());
                }
                _ => words.insert(at, random.pick(&WORDS).as_bytes().to_vec()),
            }
        }
        let mut text = words.join(&b' ');
        text.truncate(TEXT_BYTES_MAX);
        text
    }

    fn any(&self, random: &mut Random) -> &[u8] {
        &self.statements[below(random, self.statements.len())]
    }
}

/// What leads to other paths than the words of the cases.
const WORDS: [&str; 40] = [
    "(",
    ")",
    ",",
    ".",
    "*",
    "?",
    "null",
    "not",
    "in",
    "=",
    "<=>",
    "and",
    "or",
    "select",
    "from",
    "where",
    "union all",
    "group by",
    "having",
    "order by",
    "limit",
    "1",
    "-1",
    "'a'",
    "x'41'",
    "b'1'",
    "@v",
    "@@sql_mode",
    "distinct",
    "exists",
    "left join",
    "using",
    "case when",
    "then",
    "end",
    "interval 1 day",
    "with rollup",
    "for update",
    "on duplicate key update",
    "returning",
];

fn below(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit.max(1) as u64)).unwrap()
}

fn words_of(text: &[u8]) -> Vec<Vec<u8>> {
    let options = LexOptions::default();
    let mut tokens = Tokenizer::new(text, 0, &options);
    let mut words = Vec::new();
    while let Ok(token) = tokens.next_token() {
        if token.kind == TokenKind::End {
            break;
        }
        words.push(token.span.of(text).to_vec());
    }
    words
}
