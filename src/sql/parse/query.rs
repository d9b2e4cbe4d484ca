//! Queries: `WITH`, set operations, `ORDER BY`, `LIMIT`, locking, `VALUES`, `TABLE`.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/query-expression.html> in the MySQL manual's chapter on `SELECT`.

use sqlparser::ast::{
    Cte, Expr, Fetch, Ident, LimitClause, LockClause, LockType, NonBlock, Offset, OffsetRows, OrderBy,
    OrderByExpr, OrderByKind, OrderByOptions, OrderBySort, Parens, Query, SetExpr, SetOperator,
    SetQuantifier, Setting, Statement, Table, TableAlias, Values, With,
};

use super::cursor::{Cursor, Parse};
use super::primary::attached;
use crate::sql::token::TokenKind;

/// `INTERSECT` binds tighter than the others.
const SET_STRENGTH: u8 = 1;
const INTERSECT_STRENGTH: u8 = 2;

/// The setting of a query that is the `WAIT` of its locks.
const LOCK_WAIT: &str = "WAIT";

/// How long the locks of a query are waited for, where it says so: MariaDB's `FOR UPDATE WAIT 3`.
pub(crate) fn lock_wait(query: &Query) -> Option<&Expr> {
    query
        .settings
        .iter()
        .flatten()
        .find(|setting| setting.key.value == LOCK_WAIT)
        .map(|setting| &setting.value)
}

impl Cursor<'_> {
    /// A whole query, or `WITH … UPDATE/DELETE`.
    pub(super) fn query(&mut self) -> Parse<Query> {
        self.nested(|cursor| {
            let with = if cursor.at("WITH") { Some(cursor.with()?) } else { None };
            let body = match cursor.peek().word() {
                "UPDATE" if with.is_some() => SetExpr::Update(Statement::Update(cursor.update()?)),
                "DELETE" if with.is_some() => SetExpr::Delete(Statement::Delete(cursor.delete()?)),
                _ => return cursor.query_behind(with),
            };
            Ok(plain_query(with, body))
        })
    }

    fn query_behind(&mut self, with: Option<With>) -> Parse<Query> {
        let body = self.query_body(0)?;
        let mut query = plain_query(with, body);
        // `INTO` and locks may stand in either order; `LIMIT` may follow `INTO`.
        if self.take_words(&["ORDER", "BY"]) {
            let items = self.list(Self::order_item)?;
            query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(items), interpolate: None });
        }
        query.limit_clause = self.limit()?;
        query.fetch = self.fetch()?;
        loop {
            if self.at("INTO") {
                self.trailing_into(&mut query.body)?;
            } else if let Some(mut locks) = self.locks()? {
                query.locks.append(&mut locks);
                if query.settings.is_none() && self.take("WAIT") {
                    query.settings = Some(vec![self.wait()?]);
                }
            } else {
                return Ok(query);
            }
        }
    }

    fn trailing_into(&mut self, body: &mut SetExpr) -> Parse<()> {
        let mut last = body;
        while let SetExpr::SetOperation { right, .. } = last {
            last = right;
        }
        let SetExpr::Select(select) = last else { return self.fail("no INTO here") };
        if select.into.is_some() {
            return self.fail("one INTO only");
        }
        self.next();
        select.into = Some(self.targets_of_into()?);
        Ok(())
    }

    fn with(&mut self) -> Parse<With> {
        let with_token = attached(&self.next());
        let recursive = self.take("RECURSIVE");
        let cte_tables = self.list(|cursor| {
            let name = cursor.name()?;
            let columns = cursor.optional_columns()?;
            cursor.expect("AS")?;
            cursor.expect_kind(TokenKind::LParen)?;
            let query = Box::new(cursor.query()?);
            let close = cursor.expect_kind(TokenKind::RParen)?;
            let alias = TableAlias { explicit: false, name, columns, at: None };
            Ok(Cte { alias, query, from: None, materialized: None, closing_paren_token: attached(&close) })
        })?;
        Ok(With { with_token, recursive, cte_tables })
    }

    /// Set operations over query blocks, those binding tighter than `floor`.
    fn query_body(&mut self, floor: u8) -> Parse<SetExpr> {
        let mut left = self.query_block()?;
        loop {
            let (op, binding) = match self.peek().word() {
                "UNION" => (SetOperator::Union, SET_STRENGTH),
                "EXCEPT" => (SetOperator::Except, SET_STRENGTH),
                "INTERSECT" => (SetOperator::Intersect, INTERSECT_STRENGTH),
                _ => return Ok(left),
            };
            if binding <= floor {
                return Ok(left);
            }
            self.next();
            let set_quantifier = if self.take("ALL") {
                SetQuantifier::All
            } else if self.take("DISTINCT") {
                SetQuantifier::Distinct
            } else {
                SetQuantifier::None
            };
            let right = Box::new(self.query_body(binding)?);
            left = SetExpr::SetOperation { left: Box::new(left), op, set_quantifier, right };
            self.deepen(1)?;
        }
    }

    fn query_block(&mut self) -> Parse<SetExpr> {
        match self.peek().word() {
            "SELECT" => Ok(SetExpr::Select(Box::new(self.select()?))),
            "VALUES" => {
                self.next();
                Ok(SetExpr::Values(self.values()?))
            }
            "TABLE" => {
                self.next();
                self.table_query()
            }
            _ if self.at_kind(TokenKind::LParen) => Ok(SetExpr::Query(self.subquery()?)),
            _ => self.fail("SELECT, VALUES, TABLE or a parenthesis"),
        }
    }

    /// `TABLE a.b`.
    fn table_query(&mut self) -> Parse<SetExpr> {
        let first = self.name()?.value;
        let (schema_name, table_name) = if self.take_kind(TokenKind::Dot) {
            (Some(first), Some(self.name()?.value))
        } else {
            (None, Some(first))
        };
        Ok(SetExpr::Table(Box::new(Table { table_name, schema_name })))
    }

    /// The rows behind `VALUES`.
    pub(super) fn values(&mut self) -> Parse<Values> {
        let mut explicit_row = false;
        let rows = self.list(|cursor| {
            explicit_row |= cursor.take("ROW");
            let opening_token = attached(&cursor.expect_kind(TokenKind::LParen)?);
            let content =
                if cursor.at_kind(TokenKind::RParen) { Vec::new() } else { cursor.list(Self::expression)? };
            let closing_token = attached(&cursor.expect_kind(TokenKind::RParen)?);
            Ok(Parens { opening_token, content, closing_token })
        })?;
        Ok(Values { explicit_row, value_keyword: false, rows })
    }

    /// `expr [ASC | DESC]`.
    pub(super) fn order_item(&mut self) -> Parse<OrderByExpr> {
        let expr = self.expression()?;
        let sort = if self.take("ASC") {
            Some(OrderBySort::Asc)
        } else if self.take("DESC") {
            Some(OrderBySort::Desc)
        } else {
            None
        };
        Ok(OrderByExpr { expr, options: OrderByOptions { sort, nulls_first: None }, with_fill: None })
    }

    /// `LIMIT n`, `LIMIT m, n`, `LIMIT n OFFSET m`.
    fn limit(&mut self) -> Parse<Option<LimitClause>> {
        if self.at("OFFSET") && self.peek_at(2).word().starts_with("ROW") {
            self.next();
            let offset = Offset { value: self.limit_value()?, rows: OffsetRows::Rows };
            self.next();
            return Ok(Some(LimitClause::LimitOffset {
                limit: None,
                offset: Some(offset),
                limit_by: Vec::new(),
            }));
        }
        if !self.take("LIMIT") {
            return Ok(None);
        }
        let first = self.limit_value()?;
        if self.take_kind(TokenKind::Comma) {
            let limit = self.limit_value()?;
            return Ok(Some(LimitClause::OffsetCommaLimit { offset: first, limit }));
        }
        let offset = if self.take("OFFSET") {
            Some(Offset { value: self.limit_value()?, rows: OffsetRows::None })
        } else {
            None
        };
        Ok(Some(LimitClause::LimitOffset { limit: Some(first), offset, limit_by: Vec::new() }))
    }

    pub(super) fn limit_value(&mut self) -> Parse<Expr> {
        Ok(Expr::Value(self.value()?))
    }

    /// MariaDB's `FETCH FIRST n ROWS ONLY`.
    fn fetch(&mut self) -> Parse<Option<Fetch>> {
        if !self.take("FETCH") {
            return Ok(None);
        }
        if !self.take("FIRST") {
            self.expect("NEXT")?;
        }
        let quantity = if self.at_any(&["ROW", "ROWS"]) { None } else { Some(self.limit_value()?) };
        if !self.take("ROWS") {
            self.expect("ROW")?;
        }
        let with_ties = self.take_words(&["WITH", "TIES"]);
        if !with_ties {
            self.expect("ONLY")?;
        }
        Ok(Some(Fetch { with_ties, percent: false, quantity }))
    }

    /// One locking clause; of several tables behind `OF` each gets its own.
    fn locks(&mut self) -> Parse<Option<Vec<LockClause>>> {
        if self.take_words(&["LOCK", "IN", "SHARE", "MODE"]) {
            return Ok(Some(vec![LockClause {
                lock_type: LockType::Share,
                of: None,
                nonblock: self.nonblock()?,
            }]));
        }
        let lock_type = if self.take_words(&["FOR", "UPDATE"]) {
            LockType::Update
        } else if self.take_words(&["FOR", "SHARE"]) {
            LockType::Share
        } else {
            return Ok(None);
        };
        let tables = if self.take("OF") { self.list(Self::object_name)? } else { Vec::new() };
        let nonblock = self.nonblock()?;
        if tables.is_empty() {
            return Ok(Some(vec![LockClause { lock_type, of: None, nonblock }]));
        }
        Ok(Some(
            tables.into_iter().map(|table| LockClause { lock_type, of: Some(table), nonblock }).collect(),
        ))
    }

    /// The seconds behind MariaDB's `WAIT`, for which the tree has no other place.
    fn wait(&mut self) -> Parse<Setting> {
        if !self.at_kind(TokenKind::Integer) {
            return self.fail("a number of seconds");
        }
        Ok(Setting { key: Ident::new(LOCK_WAIT), value: self.limit_value()? })
    }

    fn nonblock(&mut self) -> Parse<Option<NonBlock>> {
        if self.take("NOWAIT") {
            return Ok(Some(NonBlock::Nowait));
        }
        Ok(self.take_words(&["SKIP", "LOCKED"]).then_some(NonBlock::SkipLocked))
    }
}

/// A query that is only its body.
pub(super) fn plain_query(with: Option<With>, body: SetExpr) -> Query {
    Query {
        with,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
