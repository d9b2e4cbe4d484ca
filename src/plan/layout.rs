//! Where the clauses of one SELECT stand in the text.
//!
//! Found by tokens alone, so that nothing is lost that the syntax tree does not keep; callers compare the
//! result with the syntax tree before they rely on it.

use std::ops::Range;

use super::source::Source;
use crate::sql::TokenKind;

/// The clauses of a SELECT as byte ranges of the source text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The select items, aliases included.
    pub(crate) items: Vec<Range<usize>>,
    pub(crate) from: Option<Clause>,
    pub(crate) group_by: Option<Clause>,
    pub(crate) having: Option<Clause>,
    pub(crate) order_by: Option<Clause>,
    pub(crate) limit: Option<Clause>,
    /// Behind WHERE (or FROM, or the list): where a GROUP BY may be put.
    pub(crate) group_place: usize,
    /// Where an ORDER BY may be put when there is none.
    pub(crate) order_place: usize,
    /// `INTO …`
    pub(crate) has_into: bool,
}

/// A clause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clause {
    /// With its keywords.
    pub(crate) range: Range<usize>,
    /// Its parts between commas, without the keywords.
    pub(crate) items: Vec<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    From,
    GroupBy,
    Having,
    Into,
    Items,
    Limit,
    Lock,
    OrderBy,
    Where,
    Window,
}

const MODIFIERS: [&str; 12] = [
    "all",
    "distinct",
    "distinctrow",
    "high_priority",
    "straight_join",
    "sql_small_result",
    "sql_big_result",
    "sql_buffer_result",
    "sql_no_cache",
    "sql_cache",
    "sql_calc_found_rows",
    "unique",
];

impl Layout {
    /// Reads the SELECT whose keyword is token `select`.
    pub(crate) fn of_select(source: &Source<'_>, select: usize) -> Option<Self> {
        if !source.is_keyword(select, "select") {
            return None;
        }
        let mut index = select + 1;
        let is_modifier = |index: usize| {
            MODIFIERS.iter().any(|word| source.is_keyword(index, word))
                || source.tokens().get(index).is_some_and(|token| token.kind == TokenKind::Hint)
        };
        while is_modifier(index) {
            index += 1;
        }
        let mut scan = Scan {
            source,
            layout: Self::default(),
            kind: Kind::Items,
            clause: Clause::default(),
            item: None,
        };
        scan.run(index);
        Some(scan.layout)
    }
}

struct Scan<'s, 'a> {
    source: &'s Source<'a>,
    layout: Layout,
    kind: Kind,
    clause: Clause,
    /// The part that is being read.
    item: Option<Range<usize>>,
}

impl Scan<'_, '_> {
    fn run(&mut self, mut index: usize) {
        let mut depth = 0_usize;
        while let Some(token) = self.source.tokens().get(index) {
            let range = token.span.range();
            match token.kind {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen if depth == 0 => break,
                TokenKind::RParen => depth -= 1,
                TokenKind::Comma if depth == 0 => {
                    self.end_item();
                    index += 1;
                    continue;
                }
                TokenKind::Word if depth == 0 => {
                    if ["union", "except", "intersect", "minus"]
                        .iter()
                        .any(|w| self.source.is_keyword(index, w))
                    {
                        break;
                    }
                    if let Some((kind, words)) = self.clause_at(index) {
                        self.end_clause();
                        self.kind = kind;
                        self.clause.range.start = range.start;
                        let last = &self.source.tokens()[index + words - 1];
                        self.clause.range.end = last.span.range().end;
                        index += words;
                        continue;
                    }
                }
                _ => {}
            }
            self.clause.range.end = range.end;
            match &mut self.item {
                Some(item) => item.end = range.end,
                None => self.item = Some(range),
            }
            index += 1;
        }
        self.end_clause();
    }

    /// The clause whose keywords stand at `index`, and their number.
    fn clause_at(&self, index: usize) -> Option<(Kind, usize)> {
        let is = |offset: usize, word: &str| self.source.is_keyword(index + offset, word);
        let by = |kind| is(1, "by").then_some((kind, 2));
        let hint = |back: usize| {
            index.checked_sub(back).is_some_and(|at| {
                self.source.is_keyword(at, "for")
                    && at.checked_sub(1).is_some_and(|at| {
                        self.source.is_keyword(at, "index") || self.source.is_keyword(at, "key")
                    })
            })
        };
        match self.source.token_text(index).to_ascii_lowercase().as_str() {
            _ if !self.source.is_keyword(index, &self.source.token_text(index)) => None,
            "from" => Some((Kind::From, 1)),
            "where" => Some((Kind::Where, 1)),
            // `use index for order by (i)` is no clause.
            "group" if !hint(1) => by(Kind::GroupBy),
            "order" if !hint(1) => by(Kind::OrderBy),
            "having" => Some((Kind::Having, 1)),
            "limit" => Some((Kind::Limit, 1)),
            "window" if is(2, "as") => Some((Kind::Window, 1)),
            "into" => Some((Kind::Into, 1)),
            "for" if is(1, "update") || is(1, "share") => Some((Kind::Lock, 2)),
            "lock" if is(1, "in") => Some((Kind::Lock, 2)),
            "procedure" => Some((Kind::Lock, 1)),
            _ => None,
        }
    }

    fn end_item(&mut self) {
        if let Some(item) = self.item.take() {
            self.clause.items.push(item);
        }
    }

    fn end_clause(&mut self) {
        self.end_item();
        let clause = std::mem::take(&mut self.clause);
        let end = clause.range.end;
        match self.kind {
            Kind::Items => {
                self.layout.items = clause.items;
                (self.layout.group_place, self.layout.order_place) = (end, end);
            }
            Kind::From => {
                self.layout.from = Some(clause);
                (self.layout.group_place, self.layout.order_place) = (end, end);
            }
            Kind::Where => (self.layout.group_place, self.layout.order_place) = (end, end),
            Kind::GroupBy => {
                self.layout.group_by = Some(clause);
                self.layout.order_place = end;
            }
            Kind::Having => {
                self.layout.having = Some(clause);
                self.layout.order_place = end;
            }
            Kind::Window => self.layout.order_place = end,
            Kind::OrderBy => self.layout.order_by = Some(clause),
            Kind::Limit => self.layout.limit = Some(clause),
            Kind::Into => self.layout.has_into = true,
            Kind::Lock => {}
        }
    }
}
