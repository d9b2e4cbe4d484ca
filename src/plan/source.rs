//! The text of a statement beside its syntax tree: where things stand, and edits to them.
//!
//! Plans send the client's own text with as few changes as possible, so that names of columns, hints and
//! syntax that the parser does not keep survive. Knows tokens and places, nothing of SQL's meaning.

use std::borrow::Cow;
use std::ops::Range;

use super::primitive::{Piece, Query, Template};
use crate::error::{Error, Result};
use crate::sql::ast::{Ident, Location};
use crate::sql::ident::name_of;
use crate::sql::{ArgKind, LexOptions, Lexed, Token, TokenKind, Tokenizer, syntax_error};

/// A statement: its text, what the lexer found in it, and its tokens. Places in the syntax tree are byte offsets
/// of the same text (line 1, column = offset + 1).
pub struct Source<'a> {
    text: &'a [u8],
    lexed: &'a Lexed,
    tokens: Vec<Token>,
}

/// Changes to a [`Source`]'s text, by byte range.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    edits: Vec<(Range<usize>, Vec<Piece>)>,
}

/// An argument of the statement, by its index in [`Lexed::args`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `:lN` in the syntax tree, N counted from 1.
    List(u32),
    /// `:vN` in the syntax tree, N counted from 1.
    Value(u32),
}

impl Placeholder {
    /// Reads the name of a placeholder in the syntax tree.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(':')?;
        let digits = text.get(1..)?;
        let number: u32 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        match text.as_bytes()[0] {
            b'v' => number.checked_sub(1).map(Self::Value),
            b'l' => number.checked_sub(1).map(Self::List),
            _ => None,
        }
    }
}

impl<'a> Source<'a> {
    /// Cuts the statement that `lexed` describes into tokens.
    pub fn new(text: &'a [u8], lexed: &'a Lexed, options: &LexOptions) -> Result<Self> {
        let text = text.get(..lexed.span.end as usize).unwrap_or(text);
        let mut tokenizer = Tokenizer::new(text, lexed.span.start as usize, options);
        let mut tokens = Vec::with_capacity(text.len() / 4);
        loop {
            let token = tokenizer.next_token().map_err(|error| syntax_error(text, error.offset as usize))?;
            if matches!(token.kind, TokenKind::End | TokenKind::Semicolon) {
                break;
            }
            tokens.push(token);
        }
        Ok(Self { text, lexed, tokens })
    }

    /// With tokens that the caller has chosen: those of an INSERT around its rows.
    pub fn with_tokens(text: &'a [u8], lexed: &'a Lexed, tokens: Vec<Token>) -> Self {
        Self { text: text.get(..lexed.span.end as usize).unwrap_or(text), lexed, tokens }
    }

    /// Takes the parentheses around the whole statement away; gives the bytes that they cover.
    pub fn strip_parentheses(&mut self) -> Option<[Range<usize>; 2]> {
        let is = |index: usize, kind| self.tokens.get(index).is_some_and(|token: &Token| token.kind == kind);
        if !is(0, TokenKind::LParen) {
            return None;
        }
        let mut depth = 0_usize;
        let close = self.tokens.iter().position(|token| {
            match token.kind {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })?;
        let close = self.tokens.remove(close);
        let open = self.tokens.remove(0);
        Some([open.span.range(), close.span.range()])
    }

    /// What the lexer found.
    pub fn lexed(&self) -> &'a Lexed {
        self.lexed
    }

    /// The text, to the end of the statement.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// All tokens, without the end.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The bytes of the code, from its first to behind its last token.
    pub fn range(&self) -> Range<usize> {
        self.lexed.span.range()
    }

    /// A part of the text; bytes that are no UTF-8 are replaced.
    pub fn slice(&self, range: Range<usize>) -> Cow<'a, str> {
        String::from_utf8_lossy(self.text.get(range).unwrap_or_default())
    }

    /// The text of token `index`; empty behind the end.
    pub fn token_text(&self, index: usize) -> Cow<'a, str> {
        self.tokens.get(index).map_or(Cow::Borrowed(""), |token| self.slice(token.span.range()))
    }

    /// The name that token `index` is, without its quotes.
    pub fn name(&self, index: usize) -> String {
        let token = self.tokens.get(index);
        token.map_or_else(String::new, |token| name_of(token.span.of(self.text)).into_owned())
    }

    /// Is token `index` the keyword `word`, not part of a qualified name?
    pub fn is_keyword(&self, index: usize, word: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.is_word(self.text, word))
            && (index == 0 || self.tokens[index - 1].kind != TokenKind::Dot)
    }

    /// The index of the token that begins at a place of the syntax tree.
    pub fn token_at(&self, location: Location) -> Option<usize> {
        let start = u32::try_from(location.column).ok()?.checked_sub(1)?;
        let index = self.tokens.partition_point(|token| token.span.start < start);
        (self.tokens.get(index)?.span.start == start).then_some(index)
    }

    /// The bytes that an identifier covers, quotes included.
    pub fn ident_range(&self, ident: &Ident) -> Result<Range<usize>> {
        let index = self.token_at(ident.span.start);
        let range = index.map(|index| self.tokens[index].span.range());
        // A quote inside of quotes is doubled in the text; everything else is as it is in the tree.
        let is_same = |range: &Range<usize>| {
            self.slice(range.clone()).contains(&*ident.value) || ident.value.contains(['`', '"'])
        };
        range
            .filter(is_same)
            .ok_or_else(|| Error::bug(format!("no place known for the name {}", ident.value)))
    }

    /// The bytes that an argument covers.
    pub fn arg_range(&self, index: u32) -> Option<Range<usize>> {
        self.lexed.args.get(index as usize).map(|arg| arg.span.range())
    }

    /// The argument that covers exactly these bytes.
    pub fn arg_at(&self, range: &Range<usize>) -> Option<u32> {
        let args = &self.lexed.args;
        let index = args.partition_point(|arg| (arg.span.start as usize) < range.start);
        args.get(index).filter(|arg| arg.span.range() == *range).and_then(|_| u32::try_from(index).ok())
    }

    /// A part of the text as pieces, with `edits` applied.
    pub fn pieces(&self, range: Range<usize>, edits: &Edits) -> Template {
        let mut template = Template::default();
        let mut position = range.start;
        for (edit, with) in edits.ordered().into_iter().filter(|(edit, _)| range.contains_range(edit)) {
            self.push_plain(position..edit.start, &mut template);
            for piece in with {
                match piece {
                    Piece::Text(text) => template.push_text(text),
                    other => template.pieces.push(other.clone()),
                }
            }
            position = position.max(edit.end);
        }
        self.push_plain(position..range.end, &mut template);
        template
    }

    /// The whole text as a query; untouched text is sent as the client wrote it.
    pub fn query(&self, edits: &Edits) -> Query {
        if edits.edits.is_empty() {
            return Query::Original;
        }
        Query::Template(self.pieces(self.range(), edits))
    }

    /// Text without edits: only arguments are cut out.
    fn push_plain(&self, range: Range<usize>, template: &mut Template) {
        let args = &self.lexed.args;
        let first = args.partition_point(|arg| (arg.span.start as usize) < range.start);
        let mut position = range.start;
        for (index, arg) in (0_u32..).zip(args).skip(first) {
            if arg.span.end as usize > range.end {
                break;
            }
            template.push_text(&self.text[position..arg.span.start as usize]);
            template.pieces.push(match arg.kind {
                ArgKind::List { .. } => Piece::List(index),
                _ => Piece::Arg(index),
            });
            position = arg.span.end as usize;
        }
        if position < range.end {
            template.push_text(&self.text[position..range.end]);
        }
    }
}

trait ContainsRange {
    fn contains_range(&self, inner: &Range<usize>) -> bool;
}

impl ContainsRange for Range<usize> {
    fn contains_range(&self, inner: &Range<usize>) -> bool {
        self.start <= inner.start && inner.end <= self.end
    }
}

impl Edits {
    /// Replaces the bytes of `range`. The same edit twice is one edit.
    pub fn replace(&mut self, range: Range<usize>, with: Vec<Piece>) {
        let known = |(edit, _): &(Range<usize>, Vec<Piece>)| *edit == range && !range.is_empty();
        if !self.edits.iter().any(known) {
            self.edits.push((range, with));
        }
    }

    /// Takes the bytes of `range` away.
    pub fn remove(&mut self, range: Range<usize>) {
        self.replace(range, Vec::new());
    }

    /// Puts text in at `offset`, behind what was put there before.
    pub fn insert(&mut self, offset: usize, text: &str) {
        self.edits.push((offset..offset, vec![Piece::text(text)]));
    }

    /// Puts pieces in at `offset`.
    pub fn insert_pieces(&mut self, offset: usize, pieces: Vec<Piece>) {
        self.edits.push((offset..offset, pieces));
    }

    /// Makes the changes of another list too.
    pub fn extend(&mut self, other: Self) {
        self.edits.extend(other.edits);
    }

    /// The changes in order, for those that are made of text alone.
    pub fn texts(&self) -> impl Iterator<Item = (Range<usize>, Vec<u8>)> {
        self.ordered().into_iter().map(|(range, pieces)| {
            let texts = pieces.iter().filter_map(|piece| match piece {
                Piece::Text(text) => Some(&**text),
                _ => None,
            });
            (range.clone(), texts.collect::<Vec<_>>().concat())
        })
    }

    /// Is nothing changed?
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Is anything inside `range` changed?
    pub fn touches(&self, range: &Range<usize>) -> bool {
        self.edits.iter().any(|(edit, _)| range.contains_range(edit))
    }

    /// Is anything put in inside `range` (not only taken away)?
    pub fn adds_to(&self, range: &Range<usize>) -> bool {
        self.edits.iter().any(|(edit, with)| range.contains_range(edit) && !with.is_empty())
    }

    /// Drops the edits inside `range`, which is about to be replaced as a whole.
    pub fn forget(&mut self, range: &Range<usize>) {
        self.edits.retain(|(edit, _)| !range.contains_range(edit));
    }

    fn ordered(&self) -> Vec<&(Range<usize>, Vec<Piece>)> {
        let mut ordered: Vec<_> = self.edits.iter().collect();
        ordered.sort_by_key(|(range, _)| range.start);
        ordered
    }
}

/// A name in backquotes.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
