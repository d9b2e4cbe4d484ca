//! The loop of the pass.
//!
//! Normalised bytes are runs of the text itself, copied whole, between which arguments and comments are cut out.
//! They can be read back as tokens without doubt, so two texts have equal bytes only if they differ in nothing
//! but arguments, comments and blanks.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::mode::Mode;
use super::{
    Arg, ArgKind, LexFlags, Lexed, Mark, MarkKind, arg_kind, bare_function_flags, depth_error,
    function_flags, kind_code, session_function,
};
use crate::limits;
use crate::sql::classify::classify;
use crate::sql::keyword::{self, Keyword};
use crate::sql::kind::{DdlVerb, StatementKind};
use crate::sql::options::LexOptions;
use crate::sql::program::BlockDepth;
use crate::sql::token::{LexError, Span, Token, TokenKind, Tokenizer, offset};

/// Stands for an argument in the normalised bytes; no token of SQL begins with it.
const ARG_MARK: u8 = 1;

/// Lexes one statement from byte `from` on.
pub(super) fn run(text: &[u8], from: usize, options: &LexOptions, out: &mut Lexed) -> Result<(), LexError> {
    let tokens = Tokenizer::new(text, from, options);
    let mut pass = Pass {
        text,
        options,
        tokens,
        mode: Mode::ARGS,
        is_query: false,
        copy_from: from,
        previous: Token { kind: TokenKind::End, span: Span::default() },
        keyword: Keyword::Other,
        before: Keyword::Other,
        older: Token { kind: TokenKind::End, span: Span::default() },
        consumed: None,
        first_keyword: None,
        unmarked_bytes: 0,
        undecided_depth: None,
        blocks: None,
        out,
    };
    pass.run()
}

struct Pass<'a, 'b> {
    text: &'a [u8],
    options: &'a LexOptions,
    tokens: Tokenizer<'a>,
    mode: Mode,
    /// Is it (as far as known) a query, where `INTO` is no target table?
    is_query: bool,
    /// Text from here on is not in the normalised bytes yet.
    copy_from: usize,
    previous: Token,
    /// Keyword of the previous token, and of the one before.
    keyword: Keyword,
    before: Keyword,
    /// The token before the previous one.
    older: Token,
    /// The last token that `token` took beyond the one it was given.
    consumed: Option<Token>,
    /// What the first word was found to be, until it is looked at as any other.
    first_keyword: Option<Keyword>,
    /// Size of the normalised bytes before the last user variable was cut out.
    unmarked_bytes: usize,
    /// While the main verb behind `WITH` is unknown: the parenthesis depth that it will stand at.
    undecided_depth: Option<usize>,
    /// In the definition of a stored program, where `;` may be part of it.
    blocks: Option<BlockDepth>,
    out: &'b mut Lexed,
}

impl Pass<'_, '_> {
    fn run(&mut self) -> Result<(), LexError> {
        let first = self.first_token()?;
        self.copy_from = first.span.start as usize;
        self.out.span = first.span;
        self.previous = Token { kind: TokenKind::End, span: Span::new(self.copy_from, self.copy_from) };
        let mut token = first;
        loop {
            match token.kind {
                TokenKind::End => break,
                TokenKind::Semicolon if self.ends_statement() => {
                    self.next_statement(token)?;
                    break;
                }
                // Only behind a verb is it more than a comment.
                TokenKind::Hint if !self.is_behind_verb() => {
                    token = self.tokens.next_token()?;
                    continue;
                }
                _ => {}
            }
            self.gap(token);
            let keyword = self.token(token)?;
            self.before = std::mem::replace(&mut self.keyword, keyword);
            self.older = self.previous;
            self.previous = self.consumed.take().unwrap_or(token);
            token = self.tokens.next_token()?;
        }
        self.finish();
        Ok(())
    }

    /// The first token of code; decides what can be decided by the first words.
    fn first_token(&mut self) -> Result<Token, LexError> {
        let mut start = self.tokens;
        let mut first = self.tokens.next_token()?;
        // A hint before any verb is an ordinary comment; empty statements before the first are skipped.
        while first.kind == TokenKind::Hint
            || (first.kind == TokenKind::Semicolon && self.options.multi_statements)
        {
            start = self.tokens;
            first = self.tokens.next_token()?;
        }
        let kind = match first.kind {
            TokenKind::End => StatementKind::Empty,
            TokenKind::LParen => {
                self.out.flags |= LexFlags::IS_PARENTHESIZED;
                StatementKind::Select
            }
            TokenKind::Word => match *self.first_keyword.insert(keyword::find(first.span.of(self.text))) {
                Keyword::Select => StatementKind::Select,
                Keyword::Insert => StatementKind::Insert,
                Keyword::Update => StatementKind::Update,
                Keyword::Delete => StatementKind::Delete,
                Keyword::Replace => StatementKind::Replace,
                Keyword::Commit => StatementKind::Commit,
                Keyword::With => {
                    self.out.flags |= LexFlags::HAS_WITH;
                    self.undecided_depth = Some(0);
                    StatementKind::Select
                }
                _ => classify(start)?,
            },
            _ => StatementKind::Other,
        };
        if let StatementKind::Ddl(ddl) = kind {
            let is_definition = matches!(ddl.verb, DdlVerb::Create | DdlVerb::Alter);
            self.blocks = (is_definition && ddl.object.is_stored_program()).then(BlockDepth::default);
        } else if kind == StatementKind::Other {
            self.blocks = first.is_word(self.text, "BEGIN").then(BlockDepth::default);
        }
        self.out.kind = kind;
        self.out.verb = first.span;
        self.is_query = kind.is_query();
        self.mode = if kind.takes_args() { Mode::ARGS } else { Mode::NO_ARGS };
        Ok(first)
    }

    fn ends_statement(&self) -> bool {
        self.blocks.as_ref().is_none_or(BlockDepth::is_outside)
    }

    /// A `;` ended the statement: may anything follow?
    fn next_statement(&mut self, semicolon: Token) -> Result<(), LexError> {
        let after = semicolon.span.end;
        let mut rest = self.tokens;
        let mut next = rest.next_token()?;
        while next.kind == TokenKind::Semicolon && self.options.multi_statements {
            next = rest.next_token()?;
        }
        if next.kind == TokenKind::End {
            return Ok(());
        }
        if !self.options.multi_statements {
            return Err(LexError { offset: next.span.start, what: "code behind the end of the statement" });
        }
        self.out.next = Some(after);
        Ok(())
    }

    fn finish(&mut self) {
        let end = self.previous.span.end;
        self.flush(end as usize);
        let end = end.max(self.out.span.start);
        self.out.span.end = self.behind_versioned_comment(end);
        self.out.directive = self.tokens.directive();
        if let Some(directive) = self.out.directive {
            self.out.flags |= LexFlags::HAS_DIRECTIVE;
            self.out.normal.push(ARG_MARK);
            self.out.normal.extend_from_slice(directive.of(self.text));
        }
        if self.tokens.saw_versioned_comment() {
            self.out.flags |= LexFlags::HAS_VERSIONED_COMMENT;
        }
        // How the text was cut is part of what it means.
        self.out.normal.push(self.options.mode.bits());
        self.out.fingerprint = xxh3_128_with_seed(&self.out.normal, self.options.seed);
    }

    /// Copies the text up to `end` into the normalised bytes.
    #[inline]
    fn flush(&mut self, end: usize) {
        if self.copy_from < end {
            self.out.normal.extend_from_slice(&self.text[self.copy_from..end]);
        }
        self.copy_from = end;
    }

    /// Blanks and comments before `token`: one byte of blank may stay, more of it becomes one space.
    #[inline]
    fn gap(&mut self, token: Token) {
        let gap_start = self.previous.span.end as usize;
        let gap_end = token.span.start as usize;
        let keeps = self.mode.keeps_blanks() && self.keyword != Keyword::Select;
        if gap_end - gap_start > 1 && !keeps {
            self.flush(gap_start);
            self.out.normal.push(b' ');
            self.copy_from = gap_end;
        }
    }

    /// One token; returns its keyword.
    #[inline]
    fn token(&mut self, token: Token) -> Result<Keyword, LexError> {
        match token.kind {
            TokenKind::Word => return self.word(token),
            TokenKind::LParen => self.open(token)?,
            TokenKind::RParen => self.close(),
            TokenKind::QuotedIdentifier if self.previous.kind == TokenKind::Dot => self.qualified(token),
            TokenKind::Placeholder => self.placeholder(token),
            TokenKind::UserVariable => self.user_variable(token),
            TokenKind::SystemVariable => {
                self.out.flags |= LexFlags::HAS_SYSTEM_VARIABLE;
                self.mark(token.span, MarkKind::SystemVariable);
            }
            TokenKind::Assign => self.assign(),
            TokenKind::Hint => self.out.flags |= LexFlags::HAS_HINT,
            kind => {
                if let Some(kind) = arg_kind(kind)
                    && !self.keeps_literal()
                {
                    self.arg(token.span, kind);
                }
            }
        }
        Ok(Keyword::Other)
    }

    /// Must a literal here stay in the fingerprint?
    #[inline]
    fn keeps_literal(&self) -> bool {
        self.mode.keeps_literals()
            || match self.keyword {
                Keyword::Interval
                | Keyword::Collate
                | Keyword::Separator
                | Keyword::Escape
                | Keyword::Charset
                | Keyword::Wait
                | Keyword::Date
                | Keyword::Time
                | Keyword::Timestamp => true,
                Keyword::Set => self.before == Keyword::Character,
                // `INTERVAL -1 DAY`
                Keyword::Other => {
                    self.before == Keyword::Interval
                        && matches!(self.previous.kind, TokenKind::Minus | TokenKind::Plus)
                }
                _ => false,
            }
            // ODBC's `{d '2024-01-01'}`
            || (self.previous.kind == TokenKind::Word && self.older.kind == TokenKind::LBrace)
    }

    #[inline]
    /// Code inside of `/*! … */` may end with the comment: its `*/` belongs to the statement.
    fn behind_versioned_comment(&self, end: u32) -> u32 {
        let rest = self.text.get(end as usize..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_ascii_start().len();
        if self.tokens.saw_versioned_comment() && rest[blanks..].starts_with(b"*/") {
            return self.behind_versioned_comment(end + offset(blanks + 2));
        }
        end
    }

    fn arg(&mut self, span: Span, kind: ArgKind) {
        if self.out.args.len() >= limits::SQL_ARGS_MAX {
            self.out.flags |= LexFlags::NOT_CACHEABLE;
            return;
        }
        self.flush(span.start as usize);
        self.out.normal.extend_from_slice(&[ARG_MARK, kind_code(kind)]);
        self.copy_from = span.end as usize;
        self.out.args.push(Arg { span, kind });
    }

    fn mark(&mut self, span: Span, kind: MarkKind) {
        if self.out.marks.len() >= limits::SQL_ARGS_MAX {
            self.out.flags |= LexFlags::NOT_CACHEABLE;
            return;
        }
        self.out.marks.push(Mark { span, kind });
    }

    fn placeholder(&mut self, token: Token) {
        self.out.flags |= LexFlags::HAS_PLACEHOLDER;
        if self.mode.keeps_literals() {
            self.out.flags |= LexFlags::HAS_LISTED_PLACEHOLDER;
        }
        if let Ok(index) = u16::try_from(self.out.placeholder_count) {
            self.arg(token.span, ArgKind::Placeholder(index));
        }
        self.out.placeholder_count += 1;
    }

    fn user_variable(&mut self, token: Token) {
        self.out.flags |= LexFlags::HAS_USER_VARIABLE;
        if self.mode.keeps_literals() {
            self.mark(token.span, MarkKind::UserVariable);
        } else {
            self.flush(token.span.start as usize);
            self.unmarked_bytes = self.out.normal.len();
            self.arg(token.span, ArgKind::UserVariable);
        }
    }

    /// `@x :=`: the variable is no value but a target.
    fn assign(&mut self) {
        self.out.flags |= LexFlags::HAS_ASSIGNMENT;
        let target = self.previous.span;
        if self.out.args.last().is_some_and(|arg| arg.kind == ArgKind::UserVariable && arg.span == target) {
            self.out.args.pop();
            self.out.normal.truncate(self.unmarked_bytes);
            self.copy_from = target.start as usize;
            self.mark(target, MarkKind::UserVariable);
        }
    }

    fn is_behind_verb(&self) -> bool {
        matches!(
            self.keyword,
            Keyword::Select | Keyword::Insert | Keyword::Update | Keyword::Delete | Keyword::Replace
        )
    }

    fn open(&mut self, token: Token) -> Result<(), LexError> {
        if self.previous.kind == TokenKind::Word {
            self.call(token)?;
        }
        if self.keyword == Keyword::In && !self.mode.keeps_literals() && self.literal_list(token)? {
            return Ok(());
        }
        if self.out.modes.len() >= limits::SQL_PARENTHESES_MAX {
            return Err(depth_error(token.span.start));
        }
        let keeps = self.keyword == Keyword::JsonTable
            || (matches!(self.before, Keyword::As | Keyword::Returning)
                && self.previous.kind == TokenKind::Word)
            || (self.older.kind == TokenKind::Comma && is_type_name(self.previous.span.of(self.text)));
        self.out.modes.push(self.mode);
        self.mode = self.mode.inner(keeps, self.previous.kind == TokenKind::Word);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(mode) = self.out.modes.pop() {
            self.mode = mode;
        }
    }

    /// `name(`: is it a function of interest?
    fn call(&mut self, open: Token) -> Result<(), LexError> {
        self.out.flags |= function_flags(self.keyword);
        let Some(function) = session_function(self.keyword) else { return Ok(()) };
        self.out.flags |= LexFlags::HAS_SESSION_FUNCTION;
        let next = self.tokens.peek()?;
        if next.kind == TokenKind::RParen {
            let span = Span { start: self.previous.span.start, end: next.span.end };
            self.mark(span, MarkKind::SessionFunction(function));
        } else if self.keyword == Keyword::LastInsertId && next.span.start >= open.span.end {
            self.out.flags |= LexFlags::HAS_ASSIGNMENT;
        }
        Ok(())
    }

    /// `IN (` was read: if only literals follow, they become one argument.
    fn literal_list(&mut self, open: Token) -> Result<bool, LexError> {
        let mut ahead = self.tokens;
        let first = self.out.list_items.len();
        let placeholders = self.out.placeholder_count;
        let mut kinds = 0_u16;
        let close = loop {
            let mut token = ahead.next_token()?;
            let start = token.span.start;
            let is_negative = token.kind == TokenKind::Minus;
            if is_negative {
                token = ahead.next_token()?;
            }
            let kind = match token.kind {
                TokenKind::Placeholder if !is_negative => {
                    let index = u16::try_from(self.out.placeholder_count).unwrap_or(u16::MAX);
                    self.out.placeholder_count += 1;
                    Some(ArgKind::Placeholder(index))
                }
                TokenKind::Integer | TokenKind::Decimal | TokenKind::Float => arg_kind(token.kind),
                kind if !is_negative => arg_kind(kind),
                _ => None,
            };
            let end = ahead.next_token()?;
            if let Some(kind) = kind
                && matches!(end.kind, TokenKind::Comma | TokenKind::RParen)
                && self.out.list_items.len() < limits::SQL_LIST_ITEMS_MAX
            {
                kinds |= 1 << kind_code(kind);
                self.out.list_items.push(Arg { span: Span { start, end: token.span.end }, kind });
                if end.kind == TokenKind::RParen {
                    break end;
                }
                continue;
            }
            self.out.list_items.truncate(first);
            self.out.placeholder_count = placeholders;
            return Ok(false);
        };
        let count = offset(self.out.list_items.len() - first);
        let items = &self.out.list_items;
        let span = Span { start: items[first].span.start, end: items[items.len() - 1].span.end };
        if kinds & (1 << kind_code(ArgKind::Placeholder(0))) != 0 {
            self.out.flags |= LexFlags::HAS_PLACEHOLDER;
        }
        // Blanks and comments around the items are left out.
        self.flush(open.span.end as usize);
        self.copy_from = span.start as usize;
        self.arg(span, ArgKind::List { first: offset(first), count });
        self.out.normal.extend_from_slice(&kinds.to_le_bytes());
        self.copy_from = close.span.start as usize;
        self.tokens = ahead;
        self.consumed = Some(close);
        Ok(true)
    }

    /// A name: with a dot and another name in front of it, it is qualified.
    #[inline]
    fn qualified(&mut self, token: Token) {
        if self.older.kind.is_name() {
            self.out.flags |= LexFlags::HAS_QUALIFIED_NAME;
            let span = Span { start: self.older.span.start, end: token.span.start };
            self.mark(span, MarkKind::Qualifier);
        }
    }

    fn word(&mut self, token: Token) -> Result<Keyword, LexError> {
        if self.previous.kind == TokenKind::Dot {
            self.qualified(token);
            return Ok(Keyword::Other);
        }
        if let Some(blocks) = &mut self.blocks {
            blocks.word(token.span.of(self.text), self.previous.kind);
        }
        let found = self.first_keyword.take();
        let keyword = found.unwrap_or_else(|| keyword::find(token.span.of(self.text)));
        if keyword == Keyword::Other {
            return Ok(keyword);
        }
        if self.undecided_depth.is_some() || self.out.flags.contains(LexFlags::IS_PARENTHESIZED) {
            self.decide(token, keyword);
        }
        self.mode = self.mode.after(keyword, self.keyword, self.is_query);
        self.flag(token, keyword)?;
        Ok(keyword)
    }

    /// Behind `WITH` or parentheses: the first verb at its level is the statement's.
    fn decide(&mut self, token: Token, keyword: Keyword) {
        let kind = match keyword {
            Keyword::Select => StatementKind::Select,
            Keyword::Update => StatementKind::Update,
            Keyword::Delete => StatementKind::Delete,
            Keyword::Insert => StatementKind::Insert,
            Keyword::Replace => StatementKind::Replace,
            Keyword::Values => StatementKind::Values,
            Keyword::Table => StatementKind::Table,
            Keyword::With if self.undecided_depth.is_none() && self.out.verb.byte_count() == 1 => {
                // `(WITH …`, not `… WITH ROLLUP`.
                self.out.flags.remove(LexFlags::IS_PARENTHESIZED);
                self.out.flags |= LexFlags::HAS_WITH;
                self.undecided_depth = Some(self.out.modes.len());
                return;
            }
            _ => return,
        };
        let is_verb = match self.undecided_depth {
            // A body in parentheses is deeper than `WITH`, but follows the last `)` of the definitions directly.
            Some(depth) => self.out.modes.len() == depth || self.follows_definitions(depth),
            None => self.out.verb.byte_count() == 1,
        };
        if is_verb {
            self.undecided_depth = None;
            self.out.kind = if self.out.flags.contains(LexFlags::IS_PARENTHESIZED) && kind.is_dml() {
                StatementKind::Select
            } else {
                kind
            };
            self.out.verb = token.span;
            self.is_query = kind.is_query();
        }
    }

    /// `WITH a AS (…) (SELECT …`: two parentheses meet.
    fn follows_definitions(&self, depth: usize) -> bool {
        if self.out.modes.len() <= depth {
            return false;
        }
        let before = &self.text[..self.previous.span.end as usize];
        let outer = before.iter().rev().find(|byte| **byte != b'(' && !byte.is_ascii_whitespace());
        before.last() == Some(&b'(') && outer == Some(&b')')
    }

    #[inline]
    fn flag(&mut self, token: Token, keyword: Keyword) -> Result<(), LexError> {
        match keyword {
            Keyword::Select => {
                if token.span != self.out.verb {
                    self.out.flags |= LexFlags::HAS_SUBQUERY;
                }
            }
            Keyword::Union | Keyword::Except | Keyword::Intersect => {
                self.out.flags |= LexFlags::HAS_SET_OPERATION;
            }
            Keyword::Into if self.is_query => self.out.flags |= LexFlags::HAS_INTO,
            Keyword::Update | Keyword::Share if self.keyword == Keyword::For => {
                self.out.flags |= LexFlags::HAS_LOCKING;
            }
            Keyword::In if self.keyword == Keyword::Lock => self.out.flags |= LexFlags::HAS_LOCKING,
            Keyword::SqlCalcFoundRows => self.out.flags |= LexFlags::HAS_SQL_CALC_FOUND_ROWS,
            Keyword::Next => self.next_value()?,
            Keyword::CurrentUser | Keyword::CurrentRole => {
                let next = self.tokens.peek()?;
                if next.kind != TokenKind::LParen
                    && let Some(function) = session_function(keyword)
                {
                    self.out.flags |= LexFlags::HAS_SESSION_FUNCTION;
                    self.mark(token.span, MarkKind::SessionFunction(function));
                }
            }
            other => self.out.flags |= bare_function_flags(other),
        }
        Ok(())
    }

    /// `SELECT NEXT [n] VALUES FROM seq`, or MariaDB's `NEXT VALUE FOR seq`.
    fn next_value(&mut self) -> Result<(), LexError> {
        let mut ahead = self.tokens;
        let next = ahead.next_token()?;
        let after = ahead.next_token()?;
        let is = |token: Token, word: &str| token.is_word(self.text, word);
        if is(next, "VALUE") && is(after, "FOR") {
            self.out.flags |= LexFlags::HAS_SEQUENCE_FUNCTION;
        } else if self.keyword == Keyword::Select && (is(next, "VALUE") || is(after, "VALUES")) {
            self.out.flags |= LexFlags::HAS_NEXT_VALUES;
        }
        Ok(())
    }
}

/// Types that take a length: `CHAR(10)`, `DECIMAL(10, 2)`.
fn is_type_name(word: &[u8]) -> bool {
    const TYPES: [&str; 16] = [
        "BINARY",
        "BIT",
        "CHAR",
        "CHARACTER",
        "DATETIME",
        "DEC",
        "DECIMAL",
        "DOUBLE",
        "FLOAT",
        "NCHAR",
        "NUMERIC",
        "TIME",
        "VARBINARY",
        "VARCHAR",
        "FIXED",
        "YEAR",
    ];
    TYPES.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}
