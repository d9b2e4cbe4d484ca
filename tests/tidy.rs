//! Style and architecture as a test. Each check is a function of text, tried on bad input at the foot of this
//! file, so that none can pass by not looking.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom: a room and the rooms that it may name. What is not here is a new edge between rooms, which is
/// rare and wants its own commit. `error`, `limits` and `metrics` are vocabulary that everybody may use.
const LAYERS: &[(&str, &str)] = &[
    // Vocabulary.
    ("clock", ""),
    ("config", "topology"),
    ("error", ""),
    ("limits", ""),
    ("metrics", ""),
    // Layers 0 and 1: pure.
    ("schema", "topology vschema"),
    ("sql", "value"),
    ("topology", ""),
    ("value", ""),
    ("vschema", "topology value"),
    ("wire", "value"),
    // Layer 2: planning.
    ("plan", "schema sql topology value vschema"),
    // Layer 3: running plans against small traits; byte transports.
    ("engine", "plan sql topology value vschema wire"),
    ("net", "wire"),
    // Layer 4: reaching servers, and where topology is stored.
    ("backend", "net sql topology value wire"),
    ("gateway", "backend net topology vschema wire"),
    ("store", "schema topology vschema"),
    ("tracker", "backend gateway schema store topology vschema wire"),
    ("twopc", "backend gateway topology"),
    // Layer 5: one client's conversation. The server knows nothing of SQL; the executor plugs into it.
    (
        "executor",
        "backend engine gateway net plan schema server session sql topology tracker twopc value vschema wire",
    ),
    ("server", "config net wire"),
    ("session", "backend gateway net sql topology value vschema wire"),
    // Layer 6: the edges.
    ("admin", ""),
    ("cli", "config local plan router schema sql topology vschema"),
    ("control", "gateway store twopc"),
    ("local", "topology"),
    ("router", "admin control backend config executor gateway net server session store tracker twopc"),
];

const VOCABULARY: &[&str] = &["clock", "error", "limits", "metrics"];

/// Edges of single files, each with its reason.
const FILE_EDGES: &[(&str, &str, &str)] = &[
    (
        "src/topology/snapshot.rs",
        "schema",
        "a snapshot is all three, and every room above needs them together",
    ),
    (
        "src/topology/snapshot.rs",
        "vschema",
        "a snapshot is all three, and every room above needs them together",
    ),
];

/// Words that a room must not name although it may use the room that they come from.
const NOT_KNOWN: &[(&str, &str, &str)] = &[
    ("plan", "Snapshot", "a plan outlives a resharding, so the planner must not see the topology"),
    ("plan", "TabletAlias", "a plan outlives a failover, so the planner must not see tablets"),
];

/// Files that may hold SQLSTATE or errno literals outside tests, each with its reason.
const ERROR_CODES: &[(&str, &str)] = &[
    ("src/error.rs", "the one table of errors"),
    ("src/wire/response/err.rs", "the protocol's own default for a packet without SQLSTATE"),
];

const FILE_LINES_MAX: usize = 800;
const HEADER_LINES_MAX: usize = 14;
const BANNED_FILES: &[&str] = &["utils.rs", "helpers.rs", "common.rs", "misc.rs", "types.rs"];

// ---- the checks, on the repository ----------------------------------------------------------------------------

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let mut problems = Vec::new();
    for source in sources() {
        problems.extend(new_edges(&source.path, &source.code()));
    }
    none(&problems);
}

#[test]
fn the_layer_table_names_every_room_and_no_other() {
    let table: BTreeSet<_> = LAYERS.iter().map(|(room, _)| (*room).to_owned()).collect();
    let rooms: BTreeSet<_> = sources()
        .iter()
        .map(|source| room_of(&source.path))
        .filter(|room| room != "lib" && room != "main")
        .collect();
    assert_eq!(table, rooms);
    none(&layer_cycles(LAYERS));
}

#[test]
fn every_source_file_keeps_to_the_style() {
    let mut problems = Vec::new();
    for source in sources() {
        problems.extend(bad_header(&source.path, &source.text));
        problems.extend(bad_name(&source.path));
        problems.extend(too_long(&source.path, &source.text));
        problems.extend(bad_attributes(&source.path, &source.text));
        problems.extend(bad_error_codes(&source.path, &source.code()));
        problems.extend(foreign_parser(&source.path, &source.code()));
    }
    none(&problems);
}

#[test]
fn nothing_is_left_for_later_and_nothing_names_a_machine() {
    let mut problems = Vec::new();
    let files = text_files();
    let known: BTreeSet<_> = files.iter().map(|(path, _)| file_name(path)).collect();
    let checkout = format!("{}/", root().display());
    for (path, text) in &files {
        // This file has to spell what it looks for.
        if path != "tests/tidy.rs" {
            problems.extend(leftovers(path, text, &checkout));
            problems.extend(unknown_papers(path, text, &known));
        }
        problems.extend(bad_ending(path, text));
    }
    none(&problems);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for (path, text) in text_files().into_iter().filter(|(path, _)| path.ends_with(".md")) {
        let exists = |target: &str| root().join(Path::new(&path).parent().unwrap()).join(target).exists();
        problems.extend(broken_links(&path, &text, exists));
    }
    none(&problems);
}

#[test]
fn the_map_shows_every_room() {
    let path = root().join("ARCHITECTURE.md");
    let text = fs::read_to_string(&path).unwrap();
    let rooms: BTreeSet<_> = LAYERS.iter().map(|(room, _)| *room).collect();
    none(&bad_map(&text, &rooms, |path| root().join(path).exists()));
}

#[test]
fn skipped_tests_have_a_reason_and_are_counted() {
    let (mut skips, mut problems) = (0, Vec::new());
    for (path, text) in text_files() {
        let (count, bad) = skipped(&path, &text);
        skips += count;
        problems.extend(bad);
    }
    none(&problems);
    println!("tests and cases that are skipped somewhere, each with its reason: {skips}");
}

// ---- the checks, on text --------------------------------------------------------------------------------------

/// Rooms that the code names and may not.
fn new_edges(path: &str, code: &str) -> Vec<String> {
    let room = room_of(path);
    if room == "lib" || room == "main" {
        return Vec::new();
    }
    let allowed = LAYERS.iter().find(|(name, _)| *name == room).map_or("", |(_, allowed)| allowed);
    let is_allowed = |used: &str| {
        used == room
            || VOCABULARY.contains(&used)
            || allowed.split(' ').any(|name| name == used)
            || FILE_EDGES.iter().any(|(file, name, _)| *file == path && *name == used)
    };
    let mut problems: Vec<_> = used_rooms(path, code)
        .into_iter()
        .filter(|used| !is_allowed(used))
        .map(|used| format!("{path}: `{room}` must not use `{used}` (LAYERS in tests/tidy.rs)"))
        .collect();
    for (_, word, reason) in NOT_KNOWN.iter().filter(|(name, _, _)| *name == room) {
        if has_word(code, word) {
            problems.push(format!("{path}: `{room}` must not name `{word}`: {reason}"));
        }
    }
    problems
}

/// First components of `crate::…` paths, also inside `use crate::{…}`, and of `super::` chains that leave the room.
fn used_rooms(path: &str, code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        if !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            first_components(&code[start + "crate::".len()..], &mut rooms);
        }
    }
    let depth = Path::new(path).components().count() - if path.ends_with("/mod.rs") { 2 } else { 1 };
    for (start, _) in code.match_indices(&"super::".repeat(depth)) {
        first_components(&code[start + "super::".len() * depth..], &mut rooms);
    }
    rooms.retain(|room| room.starts_with(|c: char| c.is_ascii_lowercase()));
    rooms
}

fn first_components(path: &str, rooms: &mut BTreeSet<String>) {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else {
        rooms.insert(word(path));
        return;
    };
    let mut depth = 0;
    let mut is_start = true;
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_start && !c.is_whitespace() => {
                rooms.insert(word(&group[index..]));
                is_start = false;
            }
            _ => {}
        }
    }
}

/// The table itself must be a ladder: no room may reach itself.
fn layer_cycles(layers: &[(&str, &str)]) -> Vec<String> {
    let below = |room: &str| -> BTreeSet<String> {
        let allowed = layers.iter().find(|(name, _)| *name == room).map_or("", |(_, allowed)| allowed);
        allowed.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let reaches_itself = |room: &str| {
        let mut seen = below(room);
        loop {
            let more: BTreeSet<_> =
                seen.iter().flat_map(|name| below(name)).chain(seen.iter().cloned()).collect();
            if more.len() == seen.len() {
                return seen.contains(room);
            }
            seen = more;
        }
    };
    let rooms = layers.iter().map(|(room, _)| *room);
    rooms.filter(|room| reaches_itself(room)).map(|room| format!("LAYERS: `{room}` reaches itself")).collect()
}

fn bad_header(path: &str, text: &str) -> Vec<String> {
    let count = text.lines().take_while(|line| line.starts_with("//!")).count();
    match count {
        0 => vec![format!("{path}: begins without `//!`: say what the file is and what it must not know")],
        count if count > HEADER_LINES_MAX => vec![format!("{path}: {count} header lines; aim for 10")],
        _ => Vec::new(),
    }
}

fn bad_name(path: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if BANNED_FILES.contains(&name) {
        return vec![format!("{path}: a file is named for its main type, not for being shared")];
    }
    Vec::new()
}

fn too_long(path: &str, text: &str) -> Vec<String> {
    let count = code_lines(text).count();
    if count > FILE_LINES_MAX && !is_test_file(path) {
        return vec![format!("{path}: {count} lines above its tests, at most {FILE_LINES_MAX}")];
    }
    Vec::new()
}

fn bad_attributes(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for attribute in ["#[allow(", "#![allow("] {
        if text.contains(attribute) {
            problems.push(format!("{path}: `{attribute}…`: use `#[expect(…, reason = \"…\")]`"));
        }
    }
    for (start, _) in text.match_indices("[expect(") {
        let attribute = text[start..].split(")]").next().unwrap_or("");
        if !attribute.contains("reason") {
            problems.push(format!("{path}: an `expect` without a reason: {attribute}"));
        }
    }
    problems
}

/// Five-character SQLSTATEs and error numbers belong to `error.rs`.
fn bad_error_codes(path: &str, code: &str) -> Vec<String> {
    if is_test_file(path) || ERROR_CODES.iter().any(|(file, _)| *file == path) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for line in code.lines() {
        let states = line.split('"').skip(1).step_by(2).filter(|text| is_sqlstate(text));
        problems.extend(states.map(|state| format!("{path}: SQLSTATE {state} outside error.rs")));
        let has_number = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| {
            word.len() == 4 && word.parse().is_ok_and(|number: u16| (1000..5000).contains(&number))
        });
        if line.contains("errno") && has_number {
            problems.push(format!("{path}: an error number outside error.rs: {}", line.trim()));
        }
    }
    problems
}

/// Five characters of which the first two are a class that MySQL or MariaDB uses.
fn is_sqlstate(text: &str) -> bool {
    const CLASSES: &[&str] = &[
        "01", "02", "07", "08", "0A", "0K", "0Z", "21", "22", "23", "24", "25", "28", "2B", "2F", "34", "39",
        "3C", "3D", "40", "42", "44", "70", "HY", "XA",
    ];
    text.len() == 5
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && CLASSES.iter().any(|class| text.starts_with(class))
}

fn foreign_parser(path: &str, code: &str) -> Vec<String> {
    if room_of(path) != "sql" && has_word(code, "sqlparser") {
        return vec![format!("{path}: only `sql` names sqlparser")];
    }
    Vec::new()
}

/// Notes to oneself, and places that only the machine of whoever wrote it has; `checkout` is where this runs.
fn leftovers(path: &str, text: &str, checkout: &str) -> Vec<String> {
    const WORDS: &[&str] = &["FIXME", "TODO", "todo!(", "unimplemented!("];
    const PLACES: &[&str] = &["/home/", "/root/", "/tmp/"];
    let words = WORDS.iter().copied().filter(|word| text.contains(word));
    // A longer path may well end in one of these names.
    let is_place = |place: &str| {
        text.match_indices(place).any(|(at, _)| {
            !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~/$}{\"'".contains(c))
                || text[..at].ends_with(['"', '\''])
        })
    };
    let places = PLACES.iter().copied().chain([checkout]).filter(|place| is_place(place));
    words.chain(places).map(|word| format!("{path}: has `{word}`")).collect()
}

/// Documents that are named but are not part of the repository: a reader could not look them up.
fn unknown_papers(path: &str, text: &str, known: &BTreeSet<&str>) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    text.split(|c: char| !is_part(c))
        .map(|word| file_name(word.trim_end_matches('.')))
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"))
        .filter(|name| !known.contains(name))
        .map(|name| format!("{path}: names {name}, which is not here"))
        .collect()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Text files end in a newline, so that diffs of goldens are clean.
fn bad_ending(path: &str, text: &str) -> Vec<String> {
    let ends_well = text.is_empty() || text.ends_with('\n');
    if ends_well { Vec::new() } else { vec![format!("{path}: must end in a newline")] }
}

/// `[text](target)` whose target is a path that does not exist.
fn broken_links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets
        .filter(|target| {
            !target.contains("://") && !target.starts_with(['#', '<']) && !target.starts_with("mailto:")
        })
        .map(|target| target.split('#').next().unwrap_or(target))
        .filter(|target| !exists(target))
        .map(|target| format!("{path}: leads to {target}, which does not exist"))
        .collect()
}

/// The map names every room, and only files that exist; it stays short enough to be read.
fn bad_map(text: &str, rooms: &BTreeSet<&str>, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for room in rooms {
        if !text.contains(&format!("src/{room}/")) && !text.contains(&format!("src/{room}.rs")) {
            problems.push(format!("ARCHITECTURE.md: does not name src/{room}"));
        }
    }
    for named in
        text.split('`').skip(1).step_by(2).filter(|named| named.starts_with("src/") && !named.contains('*'))
    {
        if !exists(named) {
            problems.push(format!("ARCHITECTURE.md: names {named}, which does not exist"));
        }
    }
    let count = text.lines().count();
    if count > 300 {
        problems.push(format!("ARCHITECTURE.md: {count} lines, at most 300"));
    }
    problems
}

/// Number of skips in a test source or a case file, and those without a reason.
fn skipped(path: &str, text: &str) -> (usize, Vec<String>) {
    let is_rust = path.ends_with(".rs");
    let is_case = path.ends_with(".test");
    let (mut count, mut problems) = (0, Vec::new());
    for line in text.lines().map(str::trim) {
        let is_ignore = is_rust && line.starts_with("#[ignore");
        let directive = line.trim_start_matches("--").trim_start_matches('#').trim();
        let is_directive = is_case && (line.starts_with("-- ") || line.starts_with("# "));
        let is_skip = is_directive && (directive.starts_with("skip") || directive.starts_with("only"));
        if !is_ignore && !is_skip {
            continue;
        }
        count += 1;
        let reason = if is_ignore || directive.starts_with("skip=") {
            line.split_once('=').map(|(_, reason)| reason)
        } else {
            line.split_once("reason=").map(|(_, reason)| reason)
        };
        if reason.is_none_or(|reason| reason.trim().len() < 4) {
            problems.push(format!("{path}: a skip without a reason: {line}"));
        }
    }
    (count, problems)
}

// ---- reading the repository -----------------------------------------------------------------------------------

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The code above the tests, without comments.
    fn code(&self) -> String {
        if is_test_file(&self.path) { String::new() } else { code_of(&self.text) }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let all: Vec<_> = text_files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("src/") && path.ends_with(".rs"))
        .map(|(path, text)| Source { path, text })
        .collect();
    assert!(all.len() > 20, "the sources were not found");
    all
}

/// Every text file that belongs to the project, with its path from the root.
fn text_files() -> Vec<(String, String)> {
    const FOLDERS: &[&str] = &["src", "tests", "benches", "docs", "vschema", "docker", "fuzz", ".ci"];
    const ENDINGS: &[&str] =
        &["rs", "md", "json", "sql", "sh", "test", "toml", "yml", "yaml", "lua", "cfg", "conf"];
    let mut paths: Vec<_> = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file());
    for folder in FOLDERS {
        collect(&root().join(folder), &mut paths);
    }
    let is_text = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        ENDINGS.contains(&ending) || matches!(name, "Makefile" | "Dockerfile" | "LICENSE" | "run")
    };
    paths.retain(|path| is_text(path));
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            Some((path.strip_prefix(root()).unwrap().to_str()?.to_owned(), text))
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        // Corpora of hostile input are bytes, not text; fuzzing leaves its own build here.
        let is_data =
            path.ends_with("tests/corpus") || path.ends_with("fuzz/target") || path.ends_with("fuzz/corpus");
        if path.is_dir() && !is_data {
            collect(&path, paths);
        } else if path.is_file() {
            paths.push(path);
        }
    }
}

/// `src/plan/build.rs` is of room `plan`, `src/error.rs` of `error`.
fn room_of(path: &str) -> String {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs").to_owned()
}

/// Tests in files of their own, and the `fake_*` peers that they talk to.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/fake_")
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]")
}

fn code_of(text: &str) -> String {
    let lines = code_lines(text).filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

// ---- each check finds what it is for --------------------------------------------------------------------------

#[test]
fn forbidden_edges_are_found_in_every_form() {
    let found = |path: &str, code: &str| new_edges(path, &code_of(code)).len();
    assert_eq!(found("src/plan/build.rs", "use crate::engine::Row;"), 1);
    assert_eq!(found("src/plan/build.rs", "use crate::{error::Error, gateway::{A, B}, backend};"), 2);
    assert_eq!(found("src/plan/build.rs", "fn f() -> crate::session::Session {}"), 1);
    assert_eq!(found("src/plan/build.rs", "use super::super::engine::Row;"), 1);
    assert_eq!(found("src/plan/mod.rs", "use super::engine::Row;"), 1);
    assert_eq!(found("src/plan/build.rs", "use crate::topology::Snapshot;"), 1);
    assert_eq!(found("src/topology/tablet.rs", "use crate::vschema::VSchema;"), 1);

    assert_eq!(found("src/topology/snapshot.rs", "use crate::vschema::VSchema;"), 0);
    assert_eq!(found("src/plan/build.rs", "use crate::{error::Error, sql::{A, B}}; use crate::plan::C;"), 0);
    assert_eq!(found("src/plan/build.rs", "use super::primitive::Row;"), 0);
    assert_eq!(found("src/plan/build.rs", "/// As [`crate::engine`] does.\n// crate::engine\nfn f() {}"), 0);
    assert_eq!(
        found("src/plan/build.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use crate::engine::Row; }"),
        0
    );
    assert_eq!(found("src/lib.rs", "pub use crate::engine::Row;"), 0);
}

#[test]
fn cycles_of_the_table_are_found() {
    assert_eq!(layer_cycles(&[("a", "b"), ("b", "c"), ("c", "")]).len(), 0);
    assert_eq!(layer_cycles(&[("a", "b"), ("b", "c"), ("c", "a")]).len(), 3);
}

#[test]
fn bad_files_are_found() {
    assert_eq!(bad_header("src/a.rs", "use std::fs;\n").len(), 1);
    assert_eq!(bad_header("src/a.rs", &"//! line\n".repeat(20)).len(), 1);
    assert_eq!(bad_header("src/a.rs", "//! What it is.\n").len(), 0);
    assert_eq!(bad_name("src/plan/utils.rs").len(), 1);
    assert_eq!(bad_name("src/plan/build.rs").len(), 0);
    let long = "fn f() {}\n".repeat(801);
    assert_eq!(too_long("src/a.rs", &long).len(), 1);
    assert_eq!(too_long("src/a.rs", &format!("#[cfg(test)]\n{long}")).len(), 0);
    assert_eq!(too_long("src/a/tests.rs", &long).len(), 0);
}

#[test]
fn bad_attributes_are_found() {
    assert_eq!(bad_attributes("src/a.rs", "#[allow(dead_code)]").len(), 1);
    assert_eq!(bad_attributes("src/a.rs", "#[expect(dead_code)]").len(), 1);
    assert_eq!(bad_attributes("src/a.rs", "#[expect(dead_code, reason = \"why\")]").len(), 0);
}

#[test]
fn error_codes_are_found() {
    let found = |code: &str| bad_error_codes("src/plan/build.rs", code).len();
    assert_eq!(found("let state = b\"42S02\";"), 1);
    assert_eq!(found("let state = \"HY000\";"), 1);
    assert_eq!(found("if error.errno() == 1062 {"), 1);
    assert_eq!(found("Error { errno: 1146, sqlstate: *b\"42S02\" }"), 2);
    assert_eq!(found("let port = \"15306\"; let word = \"hello\"; let year = 2026;"), 0);
    assert_eq!(bad_error_codes("src/error.rs", "errno: 1146").len(), 0);
}

#[test]
fn the_parser_is_found_outside_its_room() {
    assert_eq!(foreign_parser("src/plan/build.rs", "use sqlparser::ast;").len(), 1);
    assert_eq!(foreign_parser("src/sql/parse.rs", "use sqlparser::ast;").len(), 0);
}

#[test]
fn leftovers_are_found() {
    let found = |text: &str| leftovers("a.md", text, "/srv/checkout/").len();
    assert_eq!(found("// FIXME: later"), 1);
    assert_eq!(found("in /tmp/x and /srv/checkout/src"), 2);
    assert_eq!(found("\"/root/x\" and /home/me"), 2);
    assert_eq!(found("~/.cache/x, net/tmp/a, $HOME/root/x"), 0);
    assert_eq!(bad_ending("a.test", "x").len(), 1);
    assert_eq!(bad_ending("a.test", "x\n").len(), 0);
}

#[test]
fn papers_that_are_not_here_are_found() {
    let known = BTreeSet::from(["README.md"]);
    let found = |text: &str| unknown_papers("a.rs", text, &known).len();
    assert_eq!(found("see NOTES.md, section 2, and `../OTHER.md`"), 2);
    assert_eq!(found("(docs/README.md#top), README.md. a.md5(), b.mdx"), 0);
}

#[test]
fn broken_links_are_found() {
    let found = |text: &str| broken_links("docs/a.md", text, |target| target == "b.md").len();
    assert_eq!(found("[b](b.md), [c](b.md#part), [d](https://x.org/c.md), [e](#part)"), 0);
    assert_eq!(found("[b](c.md) and [d](../x)"), 2);
}

#[test]
fn gaps_in_the_map_are_found() {
    let rooms = BTreeSet::from(["plan", "wire"]);
    let found = |text: &str| bad_map(text, &rooms, |path| path == "src/plan/").len();
    assert_eq!(found("`src/plan/` and src/wire/"), 0);
    assert_eq!(found("`src/plan/`"), 1);
    assert_eq!(found("`src/plan/`, src/wire/, `src/gone.rs`"), 1);
    assert_eq!(found(&format!("src/plan/ src/wire/{}", "\n".repeat(400))), 1);
}

#[test]
fn skips_without_reason_are_found() {
    let found = |path: &str, text: &str| {
        let (count, problems) = skipped(path, text);
        (count, problems.len())
    };
    assert_eq!(found("a.rs", "#[ignore]\nfn f() {}"), (1, 1));
    assert_eq!(found("a.rs", "#[ignore = \"needs a second machine\"]\nfn f() {}"), (1, 0));
    assert_eq!(found("a.test", "# skip=\nselect 1;"), (1, 1));
    assert_eq!(
        found("a.test", "# skip=the plain server crashes\n-- skip reason=differs\n-- only mysql\n"),
        (3, 1)
    );
    assert_eq!(found("a.test", "select 1; -- skip\n# a comment\n"), (0, 0));
}
