//! Replays the inputs of the protocol's fuzz targets, and thousands of random mutations of them, without a fuzzer.
//!
//! An input that made a target fail belongs into `tests/corpus/<target>/` for good. The seed is fixed, so a failure
//! repeats; it prints the input.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shardgate::wire::fuzzing::{self, TARGETS};

/// Mutations of each file.
const MUTATIONS_PER_FILE: usize = 300;
/// Inputs of one target that a long run keeps.
const CORPUS_MAX: usize = 2_000;
/// Inputs of random bytes for each target.
const RANDOM_INPUTS: usize = 2_000;

#[test]
fn every_input_of_the_corpora_and_its_mutations() {
    for (name, target) in TARGETS {
        let files = inputs(name);
        assert!(files.len() >= 10, "{name} has {} inputs", files.len());
        let mut random = Random(0x5EED_0F5A_17DC_0DE5);
        for (path, input) in &files {
            run(target, input, &path.display().to_string());
            for number in 0..MUTATIONS_PER_FILE {
                let mut mutant = input.clone();
                for _ in 0..=random.below(4) {
                    random.mutate(&mut mutant);
                }
                run(target, &mutant, &format!("mutation {number} of {}", path.display()));
            }
        }
        for number in 0..RANDOM_INPUTS {
            let input = random.bytes(200);
            run(target, &input, &format!("random input {number}"));
        }
    }
}

/// All targets, also those that unit tests replay, over and over with mutations that build on each other.
#[test]
#[ignore = "runs for SHARDGATE_FUZZ_SECONDS"]
fn all_targets_for_long() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let limit = Duration::from_secs(number("SHARDGATE_FUZZ_SECONDS").unwrap_or(60));
    let mut random = Random(number("SHARDGATE_SEED").unwrap_or(1));
    let others: [(&str, fuzzing::Target); 6] = [
        ("lexer", shardgate::sql::fuzzing::lex),
        ("normalize", shardgate::sql::fuzzing::normalize),
        ("row", fuzzing::row),
        ("stmt_execute", fuzzing::stmt_execute),
        ("target_string", shardgate::vschema::fuzzing::target_string),
        ("vschema_json", shardgate::vschema::fuzzing::vschema_json),
    ];
    let mut targets: Vec<_> =
        TARGETS.iter().chain(&others).map(|(name, target)| (name, target, 0_u64)).collect();
    let mut corpora: Vec<Vec<Vec<u8>>> =
        targets.iter().map(|(name, ..)| inputs(name).into_iter().map(|(_, input)| input).collect()).collect();
    let begin = Instant::now();
    while begin.elapsed() < limit {
        for ((name, target, count), corpus) in targets.iter_mut().zip(&mut corpora) {
            for _ in 0..100 {
                let mut mutant = corpus[random.below(corpus.len())].clone();
                for _ in 0..=random.below(8) {
                    random.mutate(&mut mutant);
                }
                if random.below(4) == 0 {
                    let other = &corpus[random.below(corpus.len())];
                    mutant.truncate(random.below(mutant.len() + 1));
                    mutant.extend_from_slice(&other[random.below(other.len() + 1)..]);
                }
                run(target, &mutant, name);
                *count += 1;
                // What mutates further; the oldest mutants give way.
                if random.below(50) == 0 && mutant.len() < 4_000 {
                    match corpus.len() {
                        CORPUS_MAX => {
                            let place = CORPUS_MAX / 2 + random.below(CORPUS_MAX / 2);
                            corpus[place] = mutant;
                        }
                        _ => corpus.push(mutant),
                    }
                }
            }
        }
    }
    for (name, _, count) in targets {
        println!("{name}: {count} inputs");
    }
}

/// What real servers have answered: the scanner must find the end of each, and forward all of it.
#[test]
fn replies_of_both_engines_are_understood() {
    let mut count = 0;
    for (path, input) in inputs("reply") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let options = input[0];
        let deprecate_eof = options & 0x10 != 0;
        assert_eq!(deprecate_eof, name.ends_with("-1"), "{name}");
        let kind = usize::from(options & 0x0F);
        let summary = fuzzing::scan_reply(kind, deprecate_eof, options & 0x20 != 0, &input[1..]);
        let summary = summary.unwrap_or_else(|| panic!("{name}: no end was found"));
        let should_fail = name.contains("err") || name.starts_with("mid");
        assert_eq!(summary.error.is_some(), should_fail, "{name}: {summary:?}");
        assert_eq!(summary.local_infile.is_some(), name.starts_with("infile"), "{name}: {summary:?}");
        count += 1;
    }
    assert!(count >= 80, "{count}");
}

fn run(target: &fuzzing::Target, input: &[u8], what: &str) {
    let outcome = std::panic::catch_unwind(|| target(input));
    assert!(outcome.is_ok(), "{what} fails: {input:?}");
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    files.sort();
    let read =
        |path: &PathBuf| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// A small generator of numbers (splitmix64), so that the mutations are the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("less than a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, count_max: usize) -> Vec<u8> {
        (0..self.below(count_max)).map(|_| self.byte()).collect()
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        const TELLING: [u8; 8] = [0x00, 0x01, 0x7F, 0x80, 0xFB, 0xFC, 0xFE, 0xFF];
        let at = self.below(input.len() + 1);
        match self.below(6) {
            0 => input.truncate(at),
            1 => input.insert(at, self.byte()),
            2 if at < input.len() => {
                input.remove(at);
            }
            3 if at < input.len() => input[at] ^= 1 << self.below(8),
            4 if at < input.len() => input[at] = TELLING[self.below(TELLING.len())],
            _ => {
                let piece = input[at.min(self.below(input.len() + 1))..at].to_vec();
                input.extend(piece);
            }
        }
    }
}
