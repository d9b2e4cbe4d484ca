//! The one pass over a statement on the hot path: kind, argument spans, flags and fingerprint.
//!
//! Literals are arguments: they are cut out of the fingerprint, so that one plan serves all their values.
//! They stay part of it where they change names or meaning (select lists, `GROUP BY`, `ORDER BY`, type lengths
//! and the like). Builds no AST and allocates nothing once the buffers of [`Lexed`] have grown.

use super::keyword::Keyword;
use super::kind::StatementKind;
use super::options::LexOptions;
use super::token::{LexError, Span, TokenKind};
use crate::error::Result;
use crate::limits;

mod mode;
mod pass;

bitflags::bitflags! {
    /// What occurs in a statement, as far as its words show.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct LexFlags: u32 {
        /// A function or variable of the session: `LAST_INSERT_ID()`, `DATABASE()`, `CURRENT_USER`, …
        const HAS_SESSION_FUNCTION = 1;
        /// `@@x`.
        const HAS_SYSTEM_VARIABLE = 1 << 1;
        /// `@x`.
        const HAS_USER_VARIABLE = 1 << 2;
        /// `:=`, or `LAST_INSERT_ID(expr)`, which assigns too.
        const HAS_ASSIGNMENT = 1 << 3;
        /// `INTO` of a query: a file or variables.
        const HAS_INTO = 1 << 4;
        /// `FOR UPDATE`, `FOR SHARE`, `LOCK IN SHARE MODE`.
        const HAS_LOCKING = 1 << 5;
        /// `GET_LOCK()` and its relatives.
        const HAS_LOCK_FUNCTION = 1 << 6;
        /// A name with a qualifier: `a.b`.
        const HAS_QUALIFIED_NAME = 1 << 7;
        /// A `/*vt+ … */` comment.
        const HAS_DIRECTIVE = 1 << 8;
        /// `SQL_CALC_FOUND_ROWS`.
        const HAS_SQL_CALC_FOUND_ROWS = 1 << 9;
        /// A function whose value differs from call to call: `RAND()`, `UUID()`, `LOAD_FILE()`, …
        const HAS_NONDETERMINISTIC = 1 << 10;
        /// `NOW()` and the like, which depend on the session's clock and time zone.
        const HAS_CLOCK_FUNCTION = 1 << 11;
        /// `SLEEP()`, `BENCHMARK()`: takes as long as the text says.
        const HAS_SLOW_FUNCTION = 1 << 12;
        /// `SELECT NEXT n VALUES FROM sequence`, the router's own.
        const HAS_NEXT_VALUES = 1 << 13;
        /// `NEXTVAL`, `LASTVAL`, `SETVAL`, `NEXT VALUE FOR` of MariaDB's sequences.
        const HAS_SEQUENCE_FUNCTION = 1 << 14;
        /// A `/*! … */` comment.
        const HAS_VERSIONED_COMMENT = 1 << 15;
        /// A `?`.
        const HAS_PLACEHOLDER = 1 << 16;
        /// A `SELECT` inside of the statement, other than its own.
        const HAS_SUBQUERY = 1 << 17;
        /// `UNION`, `EXCEPT`, `INTERSECT`.
        const HAS_SET_OPERATION = 1 << 18;
        /// The statement begins with `WITH`.
        const HAS_WITH = 1 << 19;
        /// The statement begins with a parenthesis.
        const IS_PARENTHESIZED = 1 << 20;
        /// More literals than are recorded: the arguments are incomplete and the fingerprint means nothing.
        const NOT_CACHEABLE = 1 << 21;
        /// A `/*+ … */` optimizer hint.
        const HAS_HINT = 1 << 22;
        /// A `?` in a select list, `GROUP BY` or `ORDER BY`.
        const HAS_LISTED_PLACEHOLDER = 1 << 23;
    }
}

/// One value that is not part of the fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its source text; of a list, from its first to its last item.
    pub span: Span,
    /// How it is written.
    pub kind: ArgKind,
}

/// How an [`Arg`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// `b'01'`, `0b01`
    Bit,
    /// `_latin1'x'`
    CharsetString,
    /// `1.5`
    Decimal,
    /// `1e5`
    Float,
    /// `x'1f'`, `0x1f`
    Hex,
    /// `15`; inside of a list also `-15`.
    Integer,
    /// `IN (…)` with literals only: `count` items from `Lexed::list_items[first]` on.
    List {
        /// Index of its first item.
        first: u32,
        /// Number of items, at least one.
        count: u32,
    },
    /// `N'x'`
    NString,
    /// The n-th `?` of the statement, counted from zero.
    Placeholder(u16),
    /// `'x'`
    String,
    /// `@x`
    UserVariable,
}

/// A place that the router may have to replace in the text, whatever the fingerprint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its source text.
    pub span: Span,
    /// What it is.
    pub kind: MarkKind,
}

/// What a [`Mark`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A name with its dot and the blanks behind it: all that must go when the qualifier is removed.
    Qualifier,
    /// A call without arguments, with its parentheses, or the bare word where SQL allows that.
    SessionFunction(SessionFunction),
    /// `@@x`.
    SystemVariable,
    /// `@x` that is no [`Arg`]: in a select list, assigned, or behind `INTO`.
    UserVariable,
}

/// A function that asks about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionFunction {
    /// `CONNECTION_ID()`
    ConnectionId,
    /// `CURRENT_ROLE`
    CurrentRole,
    /// `CURRENT_USER`
    CurrentUser,
    /// `DATABASE()`, `SCHEMA()`
    Database,
    /// `FOUND_ROWS()`
    FoundRows,
    /// `LAST_INSERT_ID()`
    LastInsertId,
    /// `ROW_COUNT()`
    RowCount,
    /// `USER()`, `SESSION_USER()`, `SYSTEM_USER()`
    User,
    /// `VERSION()`
    Version,
}

/// What one pass over one statement finds. Keep one per session and reuse it.
#[derive(Clone, Debug, Default)]
pub struct Lexed {
    /// What the statement is.
    pub kind: StatementKind,
    /// What occurs in it.
    pub flags: LexFlags,
    /// Hash of the text without its arguments, comments and superfluous blanks.
    pub fingerprint: u128,
    /// Values cut out of the fingerprint, in the order of the text. `:vN` in an AST or template is
    /// `args[N - 1]`.
    pub args: Vec<Arg>,
    /// Items of all [`ArgKind::List`]s.
    pub list_items: Vec<Arg>,
    /// Places of interest outside of `args`, in the order of the text.
    pub marks: Vec<Mark>,
    /// From the first to behind the last byte of code; the `;` is not part of it.
    pub span: Span,
    /// The word that decides the kind: behind `WITH …` and parentheses the main `SELECT`, `UPDATE`, ….
    pub verb: Span,
    /// Where the next statement begins, if `;` ended this one and code follows.
    pub next: Option<u32>,
    /// Content of the `/*vt+ … */` comment.
    pub directive: Option<Span>,
    /// Number of `?`.
    pub placeholder_count: u32,
    /// Scratch: the normalised bytes.
    normal: Vec<u8>,
    /// Scratch: what applies in each open parenthesis.
    modes: Vec<mode::Mode>,
}

impl Lexed {
    /// An empty result to lex into.
    pub fn new() -> Self {
        Self::default()
    }

    /// The items of a list argument.
    pub fn items(&self, first: u32, count: u32) -> &[Arg] {
        let start = first as usize;
        self.list_items.get(start..start + count as usize).unwrap_or_default()
    }

    /// A query that a server answers without writing, locking or remembering anything.
    pub fn is_read_only_query(&self) -> bool {
        let effects = LexFlags::HAS_INTO
            | LexFlags::HAS_LOCKING
            | LexFlags::HAS_ASSIGNMENT
            | LexFlags::HAS_LOCK_FUNCTION
            | LexFlags::HAS_NEXT_VALUES
            | LexFlags::HAS_SEQUENCE_FUNCTION;
        self.kind.is_query() && !self.flags.intersects(effects)
    }

    /// Does the answer depend on nothing of the session but its settings?
    pub fn is_session_free(&self) -> bool {
        let session = LexFlags::HAS_SESSION_FUNCTION
            | LexFlags::HAS_SYSTEM_VARIABLE
            | LexFlags::HAS_USER_VARIABLE
            | LexFlags::HAS_ASSIGNMENT
            | LexFlags::HAS_LOCK_FUNCTION
            | LexFlags::HAS_SQL_CALC_FOUND_ROWS
            | LexFlags::HAS_SEQUENCE_FUNCTION;
        !self.flags.intersects(session)
    }

    fn clear(&mut self) {
        const KEPT_MAX: usize = 4096;
        self.kind = StatementKind::Empty;
        self.flags = LexFlags::empty();
        self.fingerprint = 0;
        self.args.clear();
        self.args.shrink_to(KEPT_MAX);
        self.list_items.clear();
        self.list_items.shrink_to(KEPT_MAX);
        self.marks.clear();
        self.marks.shrink_to(KEPT_MAX);
        self.span = Span::default();
        self.verb = Span::default();
        self.next = None;
        self.directive = None;
        self.placeholder_count = 0;
        self.normal.clear();
        self.normal.shrink_to(16 * KEPT_MAX);
        self.modes.clear();
    }
}

/// Lexes the statement that begins at byte `from` of `text` into `out`.
///
/// Errors are MySQL's syntax errors: unterminated quotes and comments, bytes that begin no token, code behind
/// `;` without [`LexOptions::multi_statements`], too deep parentheses.
pub fn lex(text: &[u8], from: usize, options: &LexOptions, out: &mut Lexed) -> Result<()> {
    out.clear();
    if text.len() > limits::COMMAND_BYTES_MAX {
        return Err(super::error::too_long());
    }
    pass::run(text, from, options, out).map_err(|error| super::error::lexical(text, error))
}

/// What a literal token is as an argument.
pub(super) fn arg_kind(kind: TokenKind) -> Option<ArgKind> {
    Some(match kind {
        TokenKind::Bit => ArgKind::Bit,
        TokenKind::CharsetString => ArgKind::CharsetString,
        TokenKind::Decimal => ArgKind::Decimal,
        TokenKind::Float => ArgKind::Float,
        TokenKind::Hex => ArgKind::Hex,
        TokenKind::Integer => ArgKind::Integer,
        TokenKind::NString => ArgKind::NString,
        TokenKind::String => ArgKind::String,
        _ => return None,
    })
}

/// A byte for each kind, so that texts that differ in kinds have different fingerprints.
fn kind_code(kind: ArgKind) -> u8 {
    match kind {
        ArgKind::Bit => 1,
        ArgKind::CharsetString => 2,
        ArgKind::Decimal => 3,
        ArgKind::Float => 4,
        ArgKind::Hex => 5,
        ArgKind::Integer => 6,
        ArgKind::NString => 7,
        ArgKind::Placeholder(_) => 8,
        ArgKind::String => 9,
        ArgKind::UserVariable => 10,
        ArgKind::List { .. } => 11,
    }
}

fn session_function(keyword: Keyword) -> Option<SessionFunction> {
    Some(match keyword {
        Keyword::ConnectionId => SessionFunction::ConnectionId,
        Keyword::CurrentRole => SessionFunction::CurrentRole,
        Keyword::CurrentUser => SessionFunction::CurrentUser,
        Keyword::Database | Keyword::Schema => SessionFunction::Database,
        Keyword::FoundRows => SessionFunction::FoundRows,
        Keyword::LastInsertId => SessionFunction::LastInsertId,
        Keyword::RowCount => SessionFunction::RowCount,
        Keyword::SessionUser | Keyword::SystemUser | Keyword::User => SessionFunction::User,
        Keyword::Version => SessionFunction::Version,
        _ => return None,
    })
}

/// Flags of a function that is called.
fn function_flags(keyword: Keyword) -> LexFlags {
    use Keyword as K;
    match keyword {
        K::GetLock | K::IsFreeLock | K::IsUsedLock | K::ReleaseAllLocks | K::ReleaseLock => {
            LexFlags::HAS_LOCK_FUNCTION
        }
        K::LoadFile | K::Rand | K::RandomBytes | K::Uuid | K::UuidShort | K::Sysdate => {
            LexFlags::HAS_NONDETERMINISTIC
        }
        K::Sleep | K::Benchmark => LexFlags::HAS_SLOW_FUNCTION.union(LexFlags::HAS_NONDETERMINISTIC),
        K::Curdate | K::Curtime | K::Now | K::UnixTimestamp => LexFlags::HAS_CLOCK_FUNCTION,
        K::LastVal | K::NextVal | K::SetVal => LexFlags::HAS_SEQUENCE_FUNCTION,
        _ => LexFlags::empty(),
    }
}

/// Flags of a word that is a function also without parentheses.
fn bare_function_flags(keyword: Keyword) -> LexFlags {
    use Keyword as K;
    match keyword {
        K::CurrentDate | K::CurrentTime | K::CurrentTimestamp | K::Localtime | K::Localtimestamp => {
            LexFlags::HAS_CLOCK_FUNCTION
        }
        K::UtcDate | K::UtcTime | K::UtcTimestamp => LexFlags::HAS_CLOCK_FUNCTION,
        _ => LexFlags::empty(),
    }
}

/// Used by the pass for its own checks.
fn depth_error(offset: u32) -> LexError {
    LexError { offset, what: "parentheses are nested too deeply" }
}

#[cfg(test)]
mod tests;
