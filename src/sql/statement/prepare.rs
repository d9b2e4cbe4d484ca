//! `PREPARE`, `EXECUTE`, `DEALLOCATE PREPARE`, and where the parameters of a prepared text stand.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/sql-prepared-statements.html>

use super::cursor::Cursor;
use crate::error::Result;
use crate::sql::ident::name_of;
use crate::sql::options::LexOptions;
use crate::sql::token::{Span, Token, TokenKind, Tokenizer};

/// `PREPARE name FROM …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// In lower case.
    pub name: String,
    /// What is prepared.
    pub source: PrepareSource,
}

/// Where the text of a `PREPARE` is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrepareSource {
    /// A string, with its quotes.
    Literal(Span),
    /// The value of a user variable; its name in lower case.
    Variable(String),
}

/// `EXECUTE name USING @a, @b`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execute {
    /// In lower case.
    pub name: String,
    /// Names of the variables, in lower case.
    pub variables: Vec<String>,
}

/// Reads a `PREPARE`.
pub fn parse_prepare(text: &[u8], options: &LexOptions) -> Result<Prepare> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("prepare")?;
    let name = cursor.name()?.0.to_lowercase();
    cursor.expect("from")?;
    let source = if let Some(token) = cursor.accept_kind(TokenKind::String) {
        PrepareSource::Literal(token.span)
    } else {
        PrepareSource::Variable(variable(&mut cursor)?)
    };
    cursor.finish()?;
    Ok(Prepare { name, source })
}

/// Reads an `EXECUTE`.
pub fn parse_execute(text: &[u8], options: &LexOptions) -> Result<Execute> {
    let mut cursor = Cursor::new(text, options);
    cursor.expect("execute")?;
    let name = cursor.name()?.0.to_lowercase();
    let mut variables = Vec::new();
    if cursor.accept("using") {
        loop {
            variables.push(variable(&mut cursor)?);
            if cursor.accept_kind(TokenKind::Comma).is_none() {
                break;
            }
        }
    }
    cursor.finish()?;
    Ok(Execute { name, variables })
}

/// The name in `DEALLOCATE PREPARE name` or `DROP PREPARE name`, in lower case.
pub fn parse_deallocate(text: &[u8], options: &LexOptions) -> Result<String> {
    let mut cursor = Cursor::new(text, options);
    if !cursor.accept("deallocate") {
        cursor.expect("drop")?;
    }
    cursor.expect("prepare")?;
    let name = cursor.name()?.0.to_lowercase();
    cursor.finish()?;
    Ok(name)
}

fn variable(cursor: &mut Cursor<'_>) -> Result<String> {
    let before = *cursor;
    let token = cursor.accept_kind(TokenKind::UserVariable).ok_or_else(|| before.syntax_error())?;
    Ok(name_of(&token.span.of(cursor.text())[1..]).to_lowercase())
}

/// A `?` of a prepared text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The `?` itself.
    pub span: Span,
    /// What a literal in its place would mean.
    pub place: ParameterPlace,
}

/// What a literal in a parameter's place would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterPlace {
    /// All of a key of ORDER BY or GROUP BY: a number would be a position, the parameter is a constant.
    Key,
    /// A row count or an offset: only integers.
    Limit,
    /// Itself.
    Value,
}

/// A prepared text's parameters, and the names that literals in their place would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// In the order of the text.
    pub list: Vec<Parameter>,
    /// Select items with parameters and without alias: from their first to behind their last byte.
    pub unnamed_items: Vec<Span>,
}

/// Finds the parameters of a text.
pub fn parameters(text: &[u8], options: &LexOptions) -> Parameters {
    let mut scan = Scan { text, found: Parameters::default(), levels: vec![Level::default()] };
    let mut tokens = Tokenizer::new(text, 0, options);
    let mut previous = None;
    while let Ok(token) = tokens.next_token() {
        if token.kind == TokenKind::End {
            break;
        }
        let next = tokens.peek().ok();
        scan.token(token, previous, next);
        previous = Some(token);
    }
    while let Some(level) = scan.levels.pop() {
        scan.end_item(&level);
    }
    scan.found.unnamed_items.sort_by_key(|span| span.start);
    scan.found
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Clause {
    Items,
    Keys,
    Limit,
    #[default]
    Other,
}

/// What is known inside of one pair of parentheses.
#[derive(Clone, Debug, Default)]
struct Level {
    clause: Clause,
    /// Tokens of the select item that is being read.
    item: Vec<Token>,
    item_has_parameter: bool,
}

struct Scan<'a> {
    text: &'a [u8],
    found: Parameters,
    levels: Vec<Level>,
}

impl Scan<'_> {
    fn token(&mut self, token: Token, previous: Option<Token>, next: Option<Token>) {
        if token.kind == TokenKind::RParen && self.levels.len() > 1 {
            let inner = self.levels.pop().unwrap_or_default();
            self.end_item(&inner);
            self.level().item_has_parameter |= inner.item_has_parameter;
        }
        let clause = self.clause_at(token, previous, next);
        if let Some(clause) = clause {
            let level = std::mem::replace(self.level(), Level { clause, ..Level::default() });
            self.end_item(&level);
        } else if token.kind == TokenKind::Comma && self.level().clause == Clause::Items {
            let level = std::mem::replace(self.level(), Level { clause: Clause::Items, ..Level::default() });
            self.end_item(&level);
        } else {
            self.level().item.push(token);
        }
        match token.kind {
            TokenKind::LParen => self.levels.push(Level::default()),
            TokenKind::Placeholder => {
                let place = self.place(previous, next);
                // Of a sub-query too: it is part of the item's name.
                self.levels.iter_mut().for_each(|level| level.item_has_parameter = true);
                self.found.list.push(Parameter { span: token.span, place });
            }
            _ => {}
        }
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// The clause that begins behind this word.
    fn clause_at(&self, token: Token, previous: Option<Token>, next: Option<Token>) -> Option<Clause> {
        let is = |word: &str| token.is_word(self.text, word);
        let follows = |word: &str| previous.is_some_and(|previous| previous.is_word(self.text, word));
        if previous.is_some_and(|previous| previous.kind == TokenKind::Dot)
            || next.is_some_and(|next| next.kind == TokenKind::Dot)
        {
            return None;
        }
        match () {
            () if is("select") => Some(Clause::Items),
            () if is("by") && (follows("order") || follows("group")) => Some(Clause::Keys),
            () if is("limit") || is("offset") => Some(Clause::Limit),
            () if ["from", "where", "having", "order", "group", "into", "union", "except", "intersect"]
                .iter()
                .any(|word| is(word)) =>
            {
                Some(Clause::Other)
            }
            () => None,
        }
    }

    fn place(&mut self, previous: Option<Token>, next: Option<Token>) -> ParameterPlace {
        let begins =
            previous.is_some_and(|token| token.kind == TokenKind::Comma || token.is_word(self.text, "by"));
        let ends = next.is_none_or(|token| {
            matches!(token.kind, TokenKind::Comma | TokenKind::End | TokenKind::RParen | TokenKind::Semicolon)
                || ["asc", "desc", "limit", "having", "order", "with"]
                    .iter()
                    .any(|word| token.is_word(self.text, word))
        });
        match self.level().clause {
            Clause::Keys if begins && ends => ParameterPlace::Key,
            Clause::Limit => ParameterPlace::Limit,
            _ => ParameterPlace::Value,
        }
    }

    fn end_item(&mut self, level: &Level) {
        let (Some(first), Some(last)) = (level.item.first(), level.item.last()) else { return };
        if level.clause == Clause::Items && level.item_has_parameter && !self.has_alias(&level.item) {
            self.found.unnamed_items.push(Span { start: first.span.start, end: last.span.end });
        }
    }

    /// Does the item end with a name of its own?
    fn has_alias(&self, item: &[Token]) -> bool {
        let [.., before, last] = item else { return false };
        let is_one_of =
            |token: &Token, words: &[&str]| words.iter().any(|word| token.is_word(self.text, word));
        if is_one_of(before, &["as"]) {
            return true;
        }
        let is_name = last.kind.is_name() || last.kind == TokenKind::String;
        if !is_name || is_one_of(last, &["null", "true", "false", "unknown", "end"]) {
            return false;
        }
        match before.kind {
            TokenKind::Word => !is_one_of(before, &OPERATORS),
            TokenKind::QuotedIdentifier
            | TokenKind::RParen
            | TokenKind::Placeholder
            | TokenKind::Integer
            | TokenKind::Decimal
            | TokenKind::Float
            | TokenKind::String
            | TokenKind::UserVariable => true,
            _ => false,
        }
    }
}

/// Words that an operand follows.
const OPERATORS: [&str; 23] = [
    "all", "and", "between", "binary", "case", "collate", "distinct", "div", "else", "escape", "in",
    "interval", "is", "like", "mod", "not", "or", "regexp", "rlike", "sounds", "then", "when", "xor",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read() {
        let options = LexOptions::default();
        let prepare = parse_prepare(b"PREPARE `My S` FROM 'select 1'", &options).unwrap();
        assert_eq!(
            (prepare.name.as_str(), prepare.source),
            ("my s", PrepareSource::Literal(Span::new(20, 30)))
        );
        let prepare = parse_prepare(b"prepare s from @`V v`;", &options).unwrap();
        assert_eq!(prepare.source, PrepareSource::Variable("v v".into()));
        let execute = parse_execute(b"execute S using @a, @B", &options).unwrap();
        assert_eq!((execute.name.as_str(), execute.variables), ("s", vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(parse_execute(b"execute s", &options).unwrap().variables.len(), 0);
        assert_eq!(parse_deallocate(b"deallocate prepare S", &options).unwrap(), "s");
        assert_eq!(parse_deallocate(b"DROP PREPARE s", &options).unwrap(), "s");
        for text in ["prepare s", "prepare s from 5", "prepare s from 'a' x"] {
            assert_eq!(parse_prepare(text.as_bytes(), &options).unwrap_err().errno(), 1064, "{text}");
        }
        for text in ["execute", "execute s using", "execute s using 1", "execute s using @a @b"] {
            assert_eq!(parse_execute(text.as_bytes(), &options).unwrap_err().errno(), 1064, "{text}");
        }
    }

    #[test]
    fn parameters_know_their_place_and_items_their_name() {
        let check = |text: &str, places: &str, items: &[&str]| {
            let found = parameters(text.as_bytes(), &LexOptions::default());
            let letters: String = found
                .list
                .iter()
                .map(|parameter| match parameter.place {
                    ParameterPlace::Key => 'k',
                    ParameterPlace::Limit => 'l',
                    ParameterPlace::Value => 'v',
                })
                .collect();
            let names: Vec<_> = found
                .unnamed_items
                .iter()
                .map(|span| String::from_utf8_lossy(span.of(text.as_bytes())).into_owned())
                .collect();
            assert_eq!((letters.as_str(), names.as_slice()), (places, &*names_of(items)), "{text}");
        };
        fn names_of(items: &[&str]) -> Vec<String> {
            items.iter().map(|item| (*item).to_owned()).collect()
        }
        check("select a from t where b = ? and c in (?, ?) limit ? offset ?", "vvvll", &[]);
        check("select ?, a + ?, ? as x, ? y, a from t", "vvvv", &["?", "a + ?"]);
        check(
            "select concat(?, a), (select ? from u where v = ?) from t",
            "vvv",
            &["concat(?, a)", "(select ? from u where v = ?)", "?"],
        );
        check(
            "select case when ? then 1 end, ? is null from t",
            "vv",
            &["case when ? then 1 end", "? is null"],
        );
        check("select a from t order by ?, a + ?, ? desc limit ?, ?", "kvkll", &[]);
        check("select a from t group by ?", "k", &[]);
        check("insert into t values (?, ? + 1)", "vv", &[]);
        check("select '?' from t", "", &[]);
    }
}
