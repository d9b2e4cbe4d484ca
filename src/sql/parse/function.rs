//! Function calls: argument lists with words inside, aggregates, windows.

use sqlparser::ast::{
    DataType, DuplicateTreatment, Expr, ExtractSyntax, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, JsonReturningClause,
    NamedWindowDefinition, NamedWindowExpr, NullTreatment, ObjectName, ObjectNamePart, SearchModifier,
    TrimWhereField, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::cursor::{Cursor, Parse};
use super::operator::strength;
use super::primary::{function, unit};
use crate::sql::token::TokenKind;

/// Words inside of an argument list that begin what is not an argument any more.
const RETURNING_STARTS: [&str; 4] = ["RETURNING", "NULL", "ERROR", "DEFAULT"];

impl Cursor<'_> {
    /// A call; its name was read, `(` comes next.
    #[inline(never)]
    pub(super) fn call(&mut self, name: ObjectName) -> Parse<Expr> {
        let special = match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] if ident.quote_style.is_none() => {
                ident.value.to_ascii_uppercase()
            }
            _ => String::new(),
        };
        match special.as_str() {
            "CHAR" => return self.char_call(name),
            "EXTRACT" => return self.extract(),
            "POSITION" => return self.position(name),
            "SUBSTRING" | "SUBSTR" | "MID" => return self.substring(name, special == "SUBSTR"),
            "TRIM" => return self.trim(name),
            "WEIGHT_STRING" => return self.weight_string(name),
            _ => {}
        }
        let list = self.parenthesized(|cursor| cursor.argument_list(&special))?;
        let mut call = function(name, FunctionArguments::List(list));
        self.behind_call(&mut call)?;
        Ok(Expr::Function(call))
    }

    fn argument_list(&mut self, name: &str) -> Parse<FunctionArgumentList> {
        let mut list =
            FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
        if self.at_kind(TokenKind::RParen) {
            return Ok(list);
        }
        if self.take("DISTINCT") || self.take("DISTINCTROW") {
            list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
        } else if self.take("ALL") {
            list.duplicate_treatment = Some(DuplicateTreatment::All);
        }
        list.args = self.list(Self::argument)?;
        if self.take_words(&["ORDER", "BY"]) {
            list.clauses.push(FunctionArgumentClause::OrderBy(self.list(Self::order_item)?));
        }
        if self.take("LIMIT") {
            list.clauses.push(FunctionArgumentClause::Limit(self.expression()?));
        }
        if self.take("SEPARATOR") {
            list.clauses.push(FunctionArgumentClause::Separator(self.value()?));
        }
        if name == "JSON_VALUE" && self.at_any(&RETURNING_STARTS) {
            let text = self.raw_words(&[])?;
            let data_type = DataType::Custom(ObjectName::from(Ident::new(text)), Vec::new());
            list.clauses.push(FunctionArgumentClause::JsonReturningClause(JsonReturningClause { data_type }));
        }
        Ok(list)
    }

    fn argument(&mut self) -> Parse<FunctionArg> {
        if self.at_kind(TokenKind::Star)
            && matches!(self.peek_at(1).kind, TokenKind::RParen | TokenKind::Comma)
        {
            self.next();
            return Ok(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
        }
        Ok(FunctionArg::Unnamed(FunctionArgExpr::Expr(self.expression()?)))
    }

    /// What may follow a call: `WITHIN GROUP`, treatment of nulls, `OVER`.
    fn behind_call(&mut self, call: &mut Function) -> Parse<()> {
        if self.take_words(&["WITHIN", "GROUP"]) {
            call.within_group = self.parenthesized(|cursor| {
                cursor.expect("ORDER")?;
                cursor.expect("BY")?;
                cursor.list(Self::order_item)
            })?;
        }
        // The default, and the only one that servers take.
        let _ = self.take_words(&["FROM", "FIRST"]);
        if self.take_words(&["RESPECT", "NULLS"]) {
            call.null_treatment = Some(NullTreatment::RespectNulls);
        } else if self.take_words(&["IGNORE", "NULLS"]) {
            call.null_treatment = Some(NullTreatment::IgnoreNulls);
        }
        if self.take("OVER") {
            call.over = Some(if self.at_kind(TokenKind::LParen) {
                WindowType::WindowSpec(self.parenthesized(Self::window)?)
            } else {
                WindowType::NamedWindow(self.name()?)
            });
        }
        Ok(())
    }

    /// `WINDOW a AS (…), b AS (…)`; the word was taken.
    pub(super) fn named_windows(&mut self) -> Parse<Vec<NamedWindowDefinition>> {
        self.list(|cursor| {
            let name = cursor.name()?;
            cursor.expect("AS")?;
            let window = cursor.parenthesized(Self::window)?;
            Ok(NamedWindowDefinition(name, NamedWindowExpr::WindowSpec(window)))
        })
    }

    fn window(&mut self) -> Parse<WindowSpec> {
        let is_name =
            self.peek().kind.is_name() && !self.at_any(&["PARTITION", "ORDER", "ROWS", "RANGE", "GROUPS"]);
        let window_name = if is_name { Some(self.name()?) } else { None };
        let partition_by =
            if self.take_words(&["PARTITION", "BY"]) { self.list(Self::expression)? } else { Vec::new() };
        let order_by =
            if self.take_words(&["ORDER", "BY"]) { self.list(Self::order_item)? } else { Vec::new() };
        let units = match self.peek().word() {
            "ROWS" => WindowFrameUnits::Rows,
            "RANGE" => WindowFrameUnits::Range,
            "GROUPS" => WindowFrameUnits::Groups,
            _ => return Ok(WindowSpec { window_name, partition_by, order_by, window_frame: None }),
        };
        self.next();
        let (start_bound, end_bound) = if self.take("BETWEEN") {
            let start = self.frame_bound()?;
            self.expect("AND")?;
            (start, Some(self.frame_bound()?))
        } else {
            (self.frame_bound()?, None)
        };
        let window_frame = Some(WindowFrame { units, start_bound, end_bound });
        Ok(WindowSpec { window_name, partition_by, order_by, window_frame })
    }

    fn frame_bound(&mut self) -> Parse<WindowFrameBound> {
        if self.take_words(&["CURRENT", "ROW"]) {
            return Ok(WindowFrameBound::CurrentRow);
        }
        let value = if self.take("UNBOUNDED") {
            None
        } else {
            // Above AND, which ends the first bound.
            Some(Box::new(self.expression_above(strength::AND)?))
        };
        if self.take("PRECEDING") {
            Ok(WindowFrameBound::Preceding(value))
        } else {
            self.expect("FOLLOWING")?;
            Ok(WindowFrameBound::Following(value))
        }
    }

    /// `CHAR(a, b USING charset)` is `CONVERT(CHAR(a, b) USING charset)`.
    fn char_call(&mut self, name: ObjectName) -> Parse<Expr> {
        let (args, charset) = self.parenthesized(|cursor| {
            let args = cursor.list(Self::expression)?;
            let charset = if cursor.take("USING") { Some(cursor.collation()?) } else { None };
            Ok((args, charset))
        })?;
        let call = Expr::Function(function(name, arguments(args)));
        Ok(match charset {
            None => call,
            Some(charset) => Expr::Convert {
                is_try: false,
                expr: Box::new(call),
                data_type: None,
                charset: Some(ObjectName::from(charset)),
                target_before_value: false,
                styles: Vec::new(),
            },
        })
    }

    fn extract(&mut self) -> Parse<Expr> {
        self.parenthesized(|cursor| {
            let Some(field) = unit(cursor.peek().word()) else { return cursor.fail("a unit of time") };
            cursor.next();
            cursor.expect("FROM")?;
            Ok(Expr::Extract { field, syntax: ExtractSyntax::From, expr: Box::new(cursor.expression()?) })
        })
    }

    fn position(&mut self, name: ObjectName) -> Parse<Expr> {
        self.parenthesized(|cursor| {
            // Above IN, which is part of the call.
            let expr = cursor.expression_above(strength::PREDICATE)?;
            if cursor.take("IN") {
                return Ok(Expr::Position { expr: Box::new(expr), r#in: Box::new(cursor.expression()?) });
            }
            let mut args = vec![expr];
            while cursor.take_kind(TokenKind::Comma) {
                args.push(cursor.expression()?);
            }
            Ok(Expr::Function(function(name, arguments(args))))
        })
    }

    fn substring(&mut self, name: ObjectName, shorthand: bool) -> Parse<Expr> {
        self.parenthesized(|cursor| {
            let expr = cursor.expression()?;
            if cursor.take("FROM") {
                let from = Some(Box::new(cursor.expression()?));
                let count = if cursor.take("FOR") { Some(Box::new(cursor.expression()?)) } else { None };
                return Ok(Expr::Substring {
                    expr: Box::new(expr),
                    substring_from: from,
                    substring_for: count,
                    special: false,
                    shorthand,
                });
            }
            let mut args = vec![expr];
            while cursor.take_kind(TokenKind::Comma) {
                args.push(cursor.expression()?);
            }
            Ok(Expr::Function(function(name, arguments(args))))
        })
    }

    fn trim(&mut self, name: ObjectName) -> Parse<Expr> {
        self.parenthesized(|cursor| {
            let trim_where = match cursor.peek().word() {
                "BOTH" => Some(TrimWhereField::Both),
                "LEADING" => Some(TrimWhereField::Leading),
                "TRAILING" => Some(TrimWhereField::Trailing),
                _ => None,
            };
            if trim_where.is_some() {
                cursor.next();
            }
            let what = if cursor.at("FROM") { None } else { Some(Box::new(cursor.expression()?)) };
            if cursor.take("FROM") {
                let expr = Box::new(cursor.expression()?);
                return Ok(Expr::Trim { trim_where, trim_what: what, expr, trim_characters: None });
            }
            match what {
                Some(expr) if trim_where.is_none() => {
                    Ok(Expr::Function(function(name, arguments(vec![*expr]))))
                }
                _ => cursor.fail("FROM"),
            }
        })
    }

    /// `WEIGHT_STRING(a AS CHAR(4))`.
    fn weight_string(&mut self, name: ObjectName) -> Parse<Expr> {
        self.parenthesized(|cursor| {
            let expr = cursor.expression()?;
            let expr = if cursor.take("AS") {
                let words = cursor.raw_words(&["LEVEL"])?;
                Expr::Named { expr: Box::new(expr), name: Ident::new(words) }
            } else {
                expr
            };
            Ok(Expr::Function(function(name, arguments(vec![expr]))))
        })
    }

    /// `MATCH (a, b) AGAINST ('x' IN BOOLEAN MODE)`.
    pub(super) fn match_against(&mut self) -> Parse<Expr> {
        self.next();
        let columns = if self.at_kind(TokenKind::LParen) {
            self.parenthesized(|cursor| cursor.list(Self::object_name))?
        } else {
            self.list(Self::object_name)?
        };
        self.expect("AGAINST")?;
        self.parenthesized(|cursor| {
            let match_value = cursor.value()?;
            let opt_search_modifier = if cursor.take_words(&["IN", "BOOLEAN", "MODE"]) {
                Some(SearchModifier::InBooleanMode)
            } else if cursor.take_words(&["IN", "NATURAL", "LANGUAGE", "MODE"]) {
                Some(if cursor.take_words(&["WITH", "QUERY", "EXPANSION"]) {
                    SearchModifier::InNaturalLanguageModeWithQueryExpansion
                } else {
                    SearchModifier::InNaturalLanguageMode
                })
            } else if cursor.take_words(&["WITH", "QUERY", "EXPANSION"]) {
                Some(SearchModifier::WithQueryExpansion)
            } else {
                None
            };
            Ok(Expr::MatchAgainst { columns, match_value, opt_search_modifier })
        })
    }
}

/// Plain arguments.
pub(super) fn arguments(args: Vec<Expr>) -> FunctionArguments {
    let args = args.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() })
}
