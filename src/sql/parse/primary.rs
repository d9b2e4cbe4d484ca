//! Primaries: literals, names, parentheses, `CASE`, `CAST` and other forms with words inside.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, DateTimeField, Expr, Function, FunctionArguments, Ident,
    Interval, ObjectName, TimezoneInfo, TypedString, Value, ValueWithSpan,
};

use super::cursor::{Cursor, Parse, ParseToken, ast_span};
use super::operator::strength;
use crate::sql::reserved::is_structural;
use crate::sql::token::{Span, TokenKind};

/// Functions whose names are structural words.
const STRUCTURAL_FUNCTIONS: [&str; 5] = ["INSERT", "LEFT", "MOD", "RIGHT", "VALUES"];

/// Functions that are called without parentheses.
const BARE_FUNCTIONS: [&str; 10] = [
    "CURRENT_DATE",
    "CURRENT_ROLE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
];

impl Cursor<'_> {
    /// An expression without operators around it.
    pub(super) fn primary(&mut self) -> Parse<Expr> {
        let token = *self.peek();
        match token.kind {
            TokenKind::LParen => self.parenthesis(),
            TokenKind::Word => self.word(token),
            TokenKind::QuotedIdentifier => self.name_or_call(),
            TokenKind::UserVariable => self.user_variable(token),
            TokenKind::SystemVariable => {
                self.next();
                Ok(Expr::Identifier(self.raw_ident(token.span)?))
            }
            TokenKind::CharsetString => {
                self.next();
                self.introduced(token)
            }
            TokenKind::LBrace => self.odbc(),
            _ => Ok(Expr::Value(self.value()?)),
        }
    }

    #[inline(never)]
    fn parenthesis(&mut self) -> Parse<Expr> {
        if self.is_query_ahead() {
            return Ok(Expr::Subquery(self.subquery()?));
        }
        let mut items = self.parenthesized(|cursor| cursor.list(Self::expression))?;
        match items.pop() {
            Some(only) if items.is_empty() => Ok(Expr::Nested(Box::new(only))),
            Some(last) => {
                items.push(last);
                Ok(Expr::Tuple(items))
            }
            None => self.fail("an expression"),
        }
    }

    #[inline(never)]
    fn word(&mut self, token: ParseToken) -> Parse<Expr> {
        let after = self.peek_at(1);
        let is_call = after.kind == TokenKind::LParen;
        let is_before_string = after.kind == TokenKind::String;
        let value = |value| Expr::Value(ValueWithSpan { value, span: ast_span(token.span) });
        match token.word() {
            _ if after.kind == TokenKind::Dot => self.name_or_call(),
            "NULL" => {
                self.next();
                Ok(value(Value::Null))
            }
            word @ ("TRUE" | "FALSE") => {
                let is_true = word == "TRUE";
                self.next();
                Ok(value(Value::Boolean(is_true)))
            }
            "CASE" => self.case(),
            "CAST" if is_call => self.cast(),
            "CONVERT" if is_call => self.convert(),
            "EXISTS" if is_call => {
                self.next();
                Ok(Expr::Exists { subquery: self.subquery()?, negated: false })
            }
            "INTERVAL" => self.interval(),
            "BINARY" => self.binary_operator(),
            "MATCH" => self.match_against(),
            "DATE" | "TIME" | "TIMESTAMP" if is_before_string => self.typed_string(),
            "DEFAULT" if !is_call => {
                self.next();
                Ok(Expr::Identifier(self.raw_ident(token.span)?))
            }
            "NEXT" if self.at_words(&["NEXT", "VALUE", "FOR"]) => self.next_value_for(),
            word if !is_call && BARE_FUNCTIONS.contains(&word) => {
                self.next();
                Ok(self.bare_function(token.span)?)
            }
            word if is_structural(word) && !(is_call && STRUCTURAL_FUNCTIONS.contains(&word)) => {
                self.fail("an expression")
            }
            _ => self.name_or_call(),
        }
    }

    /// `a`, `a.b`, `a.b.c`, `f(…)`, `a.f(…)`.
    #[inline(never)]
    fn name_or_call(&mut self) -> Parse<Expr> {
        let mut parts = vec![self.name()?];
        while self.at_kind(TokenKind::Dot) && self.peek_at(1).kind.is_name() {
            self.next();
            parts.push(self.name()?);
        }
        if self.at_kind(TokenKind::LParen) {
            return self.call(ObjectName::from(parts));
        }
        Ok(name_expression(parts))
    }

    fn bare_function(&self, span: Span) -> Parse<Expr> {
        Ok(Expr::Function(function(self.raw_ident(span)?.into(), FunctionArguments::None)))
    }

    /// `@x`, or `@x := expression`.
    #[inline(never)]
    fn user_variable(&mut self, token: ParseToken) -> Parse<Expr> {
        if token.is_arg() {
            return Ok(Expr::Value(self.value()?));
        }
        self.next();
        let variable = Expr::Identifier(self.raw_ident(token.span)?);
        if !self.take_kind(TokenKind::Assign) {
            return Ok(variable);
        }
        let right = Box::new(self.expression()?);
        Ok(Expr::BinaryOp { left: Box::new(variable), op: BinaryOperator::Assignment, right })
    }

    /// `_charset'…'`.
    #[inline(never)]
    fn introduced(&mut self, token: ParseToken) -> Parse<Expr> {
        if let Some(value) = self.value_of(&token)? {
            return Ok(Expr::Value(value));
        }
        let source = self.source(token.span)?;
        let name_end = source.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(source.len());
        let prefix = Ident::new(&source[..name_end]);
        let at = source[name_end..].find(['\'', '"', 'x', 'X', 'b', 'B', '0']).map(|at| name_end + at);
        let (Some(at), false) = (at, source.contains("/*")) else { return self.fail("a string") };
        let literal = &source[at..];
        let digits = || literal[2..].trim_end_matches('\'').to_owned();
        let value = match literal.as_bytes() {
            [b'x' | b'X', ..] | [b'0', b'x', ..] => Value::HexStringLiteral(digits()),
            [b'b' | b'B', ..] | [b'0', ..] => Value::SingleQuotedByteStringLiteral(digits()),
            _ => Value::SingleQuotedString(self.string(literal.as_bytes(), &token)?),
        };
        let value = Box::new(Expr::Value(ValueWithSpan { value, span: ast_span(token.span) }));
        Ok(Expr::Prefixed { prefix, value })
    }

    /// `{d '2024-01-01'}`, `{fn f()}`.
    #[inline(never)]
    fn odbc(&mut self) -> Parse<Expr> {
        self.next();
        let expr = match self.peek().word() {
            "D" | "T" | "TS" if self.peek_at(1).kind == TokenKind::String => self.typed_string()?,
            _ => {
                self.name()?;
                self.expression()?
            }
        };
        self.expect_kind(TokenKind::RBrace)?;
        Ok(expr)
    }

    #[inline(never)]
    fn typed_string(&mut self) -> Parse<Expr> {
        let data_type = match self.next().word() {
            "DATE" | "D" => DataType::Date,
            "TIME" | "T" => DataType::Time(None, TimezoneInfo::None),
            _ => DataType::Timestamp(None, TimezoneInfo::None),
        };
        let value = self.value()?;
        Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }))
    }

    #[inline(never)]
    fn case(&mut self) -> Parse<Expr> {
        let start = self.next();
        let operand = if self.at("WHEN") { None } else { Some(Box::new(self.expression()?)) };
        let mut conditions = Vec::new();
        while self.take("WHEN") {
            let condition = self.expression()?;
            self.expect("THEN")?;
            conditions.push(CaseWhen { condition, result: self.expression()? });
        }
        if conditions.is_empty() {
            return self.fail("WHEN");
        }
        let else_result = if self.take("ELSE") { Some(Box::new(self.expression()?)) } else { None };
        let end = self.expect("END")?;
        Ok(Expr::Case {
            case_token: attached(&start),
            end_token: attached(&end),
            operand,
            conditions,
            else_result,
        })
    }

    #[inline(never)]
    fn cast(&mut self) -> Parse<Expr> {
        self.next();
        self.parenthesized(|cursor| {
            let expr = cursor.expression()?;
            let expr = if cursor.take_words(&["AT", "TIME", "ZONE"]) {
                let _ = cursor.take("INTERVAL");
                let time_zone = Box::new(Expr::Value(cursor.value()?));
                Expr::AtTimeZone { timestamp: Box::new(expr), time_zone }
            } else {
                expr
            };
            cursor.expect("AS")?;
            let data_type = cursor.raw_type()?;
            Ok(Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, format: None })
        })
    }

    #[inline(never)]
    fn convert(&mut self) -> Parse<Expr> {
        self.next();
        self.parenthesized(|cursor| {
            let expr = Box::new(cursor.expression()?);
            let (data_type, charset) = if cursor.take("USING") {
                (None, Some(ObjectName::from(cursor.collation()?)))
            } else {
                cursor.expect_kind(TokenKind::Comma)?;
                (Some(cursor.raw_type()?), None)
            };
            Ok(Expr::Convert {
                is_try: false,
                expr,
                data_type,
                charset,
                target_before_value: false,
                styles: Vec::new(),
            })
        })
    }

    /// A type up to the parenthesis that ends its place, kept as text: `DECIMAL(10, 2)`, `CHAR(5) CHARSET utf8`.
    pub(super) fn raw_type(&mut self) -> Parse<DataType> {
        let text = self.raw_words(&[])?;
        if text.eq_ignore_ascii_case("BINARY") {
            // The operator of that name is the same cast.
            return Ok(DataType::Binary(None));
        }
        Ok(DataType::Custom(ObjectName::from(Ident::new(text)), Vec::new()))
    }

    /// Source words up to the end of the parenthesis, a comma or one of `stops`, blanks made equal.
    pub(super) fn raw_words(&mut self, stops: &[&str]) -> Parse<String> {
        let mut text = String::new();
        let mut glue = true;
        let mut depth = 0_usize;
        loop {
            let token = *self.peek();
            match token.kind {
                TokenKind::End => return self.fail("a closing parenthesis"),
                TokenKind::RParen | TokenKind::Comma if depth == 0 => break,
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth -= 1,
                _ if depth == 0 && stops.contains(&token.word()) => break,
                _ => {}
            }
            if !glue && !matches!(token.kind, TokenKind::LParen | TokenKind::RParen | TokenKind::Comma) {
                text.push(' ');
            }
            text.push_str(self.source(token.span)?);
            glue = token.kind == TokenKind::LParen;
            self.next();
        }
        if text.is_empty() { self.fail("a type") } else { Ok(text) }
    }

    /// `INTERVAL expr unit`, or the function `INTERVAL(a, b, …)`.
    #[inline(never)]
    fn interval(&mut self) -> Parse<Expr> {
        let is_function = self.peek_at(1).kind == TokenKind::LParen && {
            let after = self.peek_at(self.close_of(1) + 1);
            after.kind != TokenKind::Word || unit(after.word()).is_none()
        };
        if is_function && !self.query_ahead_at(1) {
            let mark = self.mark();
            let name = self.next();
            let call = self.call(ObjectName::from(self.raw_ident(name.span)?))?;
            let is_list = matches!(&call, Expr::Function(Function { args: FunctionArguments::List(list), .. }) if list.args.len() > 1);
            if is_list {
                return Ok(call);
            }
            // `INTERVAL (1) + 2 DAY`
            self.rewind(mark);
        }
        self.next();
        let value = Box::new(self.expression()?);
        let token = *self.peek();
        let Some(field) = unit(token.word()) else { return self.fail("a unit of time") };
        self.next();
        Ok(Expr::Interval(Interval {
            value,
            leading_field: Some(field),
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        }))
    }

    #[inline(never)]
    fn binary_operator(&mut self) -> Parse<Expr> {
        self.next();
        let expr = Box::new(self.expression_above(strength::BANG)?);
        Ok(Expr::Cast { kind: CastKind::Cast, expr, data_type: DataType::Binary(None), format: None })
    }

    /// MariaDB's `NEXT VALUE FOR sequence`, which is `NEXTVAL(sequence)`.
    #[inline(never)]
    fn next_value_for(&mut self) -> Parse<Expr> {
        let start = self.next();
        self.next();
        self.next();
        if !self.is_free_name(self.peek()) {
            return self.fail("the name of a sequence");
        }
        let mut parts = vec![self.name()?];
        while self.take_kind(TokenKind::Dot) {
            parts.push(self.name()?);
        }
        let sequence = name_expression(parts);
        let mut name = Ident::new("NEXTVAL");
        name.span = ast_span(start.span);
        Ok(Expr::Function(function(name.into(), super::function::arguments(vec![sequence]))))
    }
}

/// A name of one part or of several.
fn name_expression(mut parts: Vec<Ident>) -> Expr {
    match parts.pop() {
        Some(only) if parts.is_empty() => Expr::Identifier(only),
        last => {
            parts.extend(last);
            Expr::CompoundIdentifier(parts)
        }
    }
}

/// A call without anything special.
pub(super) fn function(name: ObjectName, args: FunctionArguments) -> Function {
    Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    }
}

/// A token as the AST keeps it for its place.
pub(super) fn attached(token: &ParseToken) -> AttachedToken {
    AttachedToken(sqlparser::tokenizer::TokenWithSpan {
        token: sqlparser::tokenizer::Token::make_keyword(token.word()),
        span: ast_span(token.span),
    })
}

/// A unit of `INTERVAL`, `EXTRACT`, `TIMESTAMPADD`; in upper case.
pub(super) fn unit(word: &str) -> Option<DateTimeField> {
    const COMBINED: [&str; 11] = [
        "DAY_HOUR",
        "DAY_MICROSECOND",
        "DAY_MINUTE",
        "DAY_SECOND",
        "HOUR_MICROSECOND",
        "HOUR_MINUTE",
        "HOUR_SECOND",
        "MINUTE_MICROSECOND",
        "MINUTE_SECOND",
        "SECOND_MICROSECOND",
        "YEAR_MONTH",
    ];
    let simple = word.strip_prefix("SQL_TSI_").unwrap_or(word);
    Some(match simple {
        "MICROSECOND" => DateTimeField::Microsecond,
        "SECOND" => DateTimeField::Second,
        "MINUTE" => DateTimeField::Minute,
        "HOUR" => DateTimeField::Hour,
        "DAY" => DateTimeField::Day,
        "WEEK" => DateTimeField::Week(None),
        "MONTH" => DateTimeField::Month,
        "QUARTER" => DateTimeField::Quarter,
        "YEAR" => DateTimeField::Year,
        _ if COMBINED.contains(&word) => DateTimeField::Custom(Ident::new(word)),
        _ => return None,
    })
}
