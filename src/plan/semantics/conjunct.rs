//! Conditions that must hold: equalities between columns of tables, and between columns and constants.

use std::ops::Range;

use super::walk::bare;
use super::{Analysis, Binding, Instance, KeyColumn, Resolved, Restriction, Scope};
use crate::plan::primitive::{Candidates, Keys, Lookup, RouteList, RouteValue, VindexRef};
use crate::plan::source::Placeholder;
use crate::sql::ast::{self, BinaryOperator, Expr, UnaryOperator};
use crate::value::Value;
use crate::vschema::{ColumnName, ColumnType};

/// `(a, b) IN ((1, 2), …)`: the columns on the left, as far as they decide shards, and the rows.
type TupleList = (Vec<Option<KeyColumn>>, Vec<Vec<RouteValue>>);

/// What a list of conditions joined by AND says about columns that decide shards.
#[derive(Debug, Default)]
pub(super) struct Facts {
    equal: Vec<(KeyColumn, KeyColumn)>,
    candidates: Vec<(KeyColumn, Candidates)>,
    tuples: Vec<TupleList>,
    /// Bounds and LIKE patterns.
    ranges: Vec<(KeyColumn, Keys)>,
    never: Vec<KeyColumn>,
    /// The conditions can never hold together.
    pub(super) is_false: bool,
}

/// The operands of AND, parentheses taken off.
pub(crate) fn conjuncts<'a>(expr: &'a Expr, out: &mut Vec<&'a Expr>) {
    match bare(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        other => out.push(other),
    }
}

impl Facts {
    /// Takes in one condition. What is not understood says nothing.
    pub(super) fn add(&mut self, expr: &Expr, scope: &Scope<'_>) {
        match bare(expr) {
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => self.add_equality(left, right, scope),
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => self.add_alternatives(expr, scope),
            Expr::InList { expr, list, negated: false } => self.add_list(expr, list, scope),
            Expr::BinaryOp { left, op, right } => self.add_bound(left, op, right, scope),
            Expr::Between { expr, negated: false, low, high } => {
                if let (Some(key), Some(low), Some(high)) =
                    (key_of(expr, scope), constant(low), constant(high))
                {
                    self.ranges.push((key, Keys::Range(Some(low), Some(high))));
                }
            }
            Expr::Like { negated: false, any: false, expr, pattern, escape_char: None } => {
                if let (Some(key), Some(pattern)) = (key_of(expr, scope), constant(pattern)) {
                    self.ranges.push((key, Keys::Prefix(pattern)));
                }
            }
            Expr::IsNull(expr) => {
                // Columns of a primary vindex are never NULL: such a row has no place.
                if let Some(key) = key_of(expr, scope) {
                    self.never.push(key);
                }
            }
            Expr::Value(value) => {
                self.is_false |= matches!(value.value, ast::Value::Boolean(false) | ast::Value::Null);
            }
            _ => {}
        }
    }

    /// Column `a` equals column `b`.
    pub(super) fn add_equal_columns(&mut self, a: KeyColumn, b: KeyColumn) {
        self.equal.push((a, b));
    }

    fn add_equality(&mut self, left: &Expr, right: &Expr, scope: &Scope<'_>) {
        let (left, right) = (bare(left), bare(right));
        if let (Expr::Tuple(left), Expr::Tuple(right)) = (left, right) {
            if left.len() == right.len() {
                left.iter().zip(right).for_each(|(left, right)| self.add_equality(left, right, scope));
            }
            return;
        }
        match (key_of(left, scope), key_of(right, scope)) {
            (Some(left), Some(right)) => self.equal.push((left, right)),
            (Some(key), None) => self.add_constant(key, right),
            (None, Some(key)) => self.add_constant(key, left),
            (None, None) => {}
        }
    }

    /// `id < 5`, `5 <= id`: bounds are included, as a wider range is harmless.
    fn add_bound(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, scope: &Scope<'_>) {
        let is_low = match op {
            BinaryOperator::Gt | BinaryOperator::GtEq => true,
            BinaryOperator::Lt | BinaryOperator::LtEq => false,
            _ => return,
        };
        let (key, value, is_low) = match (key_of(left, scope), key_of(right, scope)) {
            (Some(key), None) => (key, constant(right), is_low),
            (None, Some(key)) => (key, constant(left), !is_low),
            _ => return,
        };
        if let Some(value) = value {
            let keys = if is_low { Keys::Range(Some(value), None) } else { Keys::Range(None, Some(value)) };
            self.ranges.push((key, keys));
        }
    }

    fn add_constant(&mut self, key: KeyColumn, expr: &Expr) {
        match constant(expr) {
            Some(RouteValue::Literal(Value::Null)) => self.never.push(key),
            Some(value) => self.candidates.push((key, Candidates::One(value))),
            None => {}
        }
    }

    fn add_list(&mut self, expr: &Expr, list: &[Expr], scope: &Scope<'_>) {
        if let Expr::Tuple(columns) = bare(expr) {
            let keys: Vec<_> = columns.iter().map(|column| key_of(column, scope)).collect();
            let rows: Option<Vec<_>> = list.iter().map(|row| tuple(row, keys.len())).collect();
            if let Some(rows) = rows {
                self.tuples.push((keys, rows));
            }
        } else if let (Some(key), Some(list)) = (key_of(expr, scope), constant_list(list)) {
            self.candidates.push((key, Candidates::Many(list)));
        }
    }

    /// `id = 1 or id = 2 and …`: if each alternative binds the same column, it is a list.
    fn add_alternatives(&mut self, expr: &Expr, scope: &Scope<'_>) {
        let mut alternatives = Vec::new();
        disjuncts(expr, &mut alternatives);
        let each: Vec<Facts> = alternatives
            .iter()
            .map(|alternative| {
                let mut facts = Facts::default();
                let mut all = Vec::new();
                conjuncts(alternative, &mut all);
                all.iter().for_each(|conjunct| facts.add(conjunct, scope));
                facts
            })
            .collect();
        let Some(first) = each.first() else { return };
        for (key, _) in &first.candidates {
            let values: Option<Vec<Vec<RouteValue>>> =
                each.iter().map(|facts| facts.values_of(key)).collect();
            if let Some(values) = values {
                let list = RouteList::Values(values.into_iter().flatten().collect());
                self.candidates.push((key.clone(), Candidates::Many(list)));
            }
        }
    }

    fn values_of(&self, key: &KeyColumn) -> Option<Vec<RouteValue>> {
        let found = self.candidates.iter().find(|(known, _)| known == key);
        match found.map(|(_, candidates)| candidates)? {
            Candidates::One(value) => Some(vec![value.clone()]),
            Candidates::Many(RouteList::Values(values)) => Some(values.clone()),
            Candidates::Many(RouteList::Arg(_)) => None,
        }
    }

    /// Adds edges and bindings of the instances in `allowed`: those whose rows the conditions restrict.
    pub(super) fn apply(&self, allowed: &Range<usize>, analysis: &mut Analysis) {
        for (a, b) in &self.equal {
            if self.ties(a.instance, b.instance, analysis) {
                add_edge(a.instance, b.instance, allowed, analysis);
                add_edge(b.instance, a.instance, allowed, analysis);
            }
        }
        let mut found = Vec::new();
        for instance in allowed.clone() {
            found.extend(
                self.restrictions(instance, analysis).map(|restriction| Binding { instance, restriction }),
            );
        }
        analysis.bindings.extend(found);
    }

    /// Are all columns of a vindex that both tables have equal to each other?
    fn ties(&self, a: usize, b: usize, analysis: &Analysis) -> bool {
        let equated = |x: &str, y: &str| {
            let is = |key: &KeyColumn, instance, name: &str| {
                key.instance == instance && key.name.eq_ignore_ascii_case(name)
            };
            self.equal.iter().any(|(l, r)| is(l, a, x) && is(r, b, y) || is(l, b, y) && is(r, a, x))
        };
        analysis.instances[a].tying_vindexes().any(|va| {
            analysis.instances[b].tying_vindexes().any(|vb| {
                va.vindex.name() == vb.vindex.name()
                    && va.columns.len() == vb.columns.len()
                    && va.columns.iter().zip(&vb.columns).all(|(x, y)| equated(x, y))
            })
        })
    }

    fn restrictions(&self, instance: usize, analysis: &Analysis) -> impl Iterator<Item = Restriction> {
        let mut found = Vec::new();
        let is =
            |key: &KeyColumn, name: &str| key.instance == instance && key.name.eq_ignore_ascii_case(name);
        for vindex in analysis.instances[instance].routing_vindexes() {
            let of = |name: &str| {
                let found = self.candidates.iter().filter(|(key, _)| is(key, name));
                found.map(|(_, candidates)| candidates.clone()).collect::<Vec<_>>()
            };
            let is_text = vindex.columns.iter().all(|name| is_text(&analysis.instances[instance], name));
            let lookup = |keys| {
                Restriction::Lookup(Lookup { vindex: VindexRef(vindex.vindex.clone()), keys, is_text })
            };
            if let [column] = vindex.columns.as_slice() {
                found
                    .extend(of(column).into_iter().map(|candidates| lookup(Keys::Columns(vec![candidates]))));
            } else {
                let known =
                    vindex.columns.iter().map_while(|name| of(name).into_iter().next()).collect::<Vec<_>>();
                let enough = known.len() == vindex.columns.len() || vindex.vindex.traits().is_partial;
                if enough && !known.is_empty() {
                    found.push(lookup(Keys::Columns(known)));
                }
            }
            for (keys, rows) in &self.tuples {
                let position = |name: &ColumnName| {
                    keys.iter().position(|key| key.as_ref().is_some_and(|key| is(key, name)))
                };
                if let Some(positions) = vindex.columns.iter().map(position).collect::<Option<Vec<_>>>() {
                    let pick = |row: &Vec<RouteValue>| positions.iter().map(|at| row[*at].clone()).collect();
                    found.push(lookup(Keys::Tuples(rows.iter().map(pick).collect())));
                }
            }
        }
        found.extend(self.range_lookups(instance, analysis));
        found.extend(self.table_lookups(instance, analysis));
        let primary = analysis.instances[instance].table.column_vindexes.first();
        let is_primary =
            |key: &KeyColumn| primary.is_some_and(|v| v.columns.iter().any(|name| is(key, name)));
        // Behind an outer join NULL says that no row matched (`left join b … where b.id is null`).
        let is_nullable = analysis.instances[instance].is_nullable;
        if self.is_false || !is_nullable && self.never.iter().any(is_primary) {
            found.push(Restriction::Never);
        }
        found.into_iter()
    }
}

impl Facts {
    /// Ranges of values, where the column has the order of its vindex's ids.
    fn range_lookups(&self, instance: usize, analysis: &Analysis) -> Vec<Restriction> {
        let instance_of = &analysis.instances[instance];
        let mut found = Vec::new();
        for vindex in instance_of.routing_vindexes() {
            let ([column], traits) = (vindex.columns.as_slice(), vindex.vindex.traits()) else { continue };
            for (key, keys) in &self.ranges {
                let fits = match keys {
                    Keys::Prefix(_) => traits.is_prefixable && has_order_of_bytes(instance_of, column),
                    Keys::Range(..) if vindex.vindex.vindex_type() == "numeric" => {
                        is_integer(instance_of, column)
                    }
                    Keys::Range(..) => traits.is_sequential && is_varbinary(instance_of, column),
                    Keys::Columns(_) | Keys::Tuples(_) => false,
                };
                if fits && key.instance == instance && key.name.eq_ignore_ascii_case(column) {
                    let vindex = VindexRef(vindex.vindex.clone());
                    found.push(Restriction::Lookup(Lookup { vindex, keys: keys.clone(), is_text: false }));
                }
            }
        }
        found
    }

    /// What lookup tables can be asked: equalities of their first column.
    fn table_lookups(&self, instance: usize, analysis: &Analysis) -> Vec<Restriction> {
        let mut found = Vec::new();
        let is =
            |key: &KeyColumn, name: &str| key.instance == instance && key.name.eq_ignore_ascii_case(name);
        for vindex in analysis.instances[instance].lookup_vindexes() {
            let Some(name) = vindex.columns.first() else { continue };
            // Its table is asked with the same comparison.
            let (vindex, is_text) = (&vindex.vindex, false);
            let lookup =
                |keys| Restriction::Lookup(Lookup { vindex: VindexRef(vindex.clone()), keys, is_text });
            let of_column = self.candidates.iter().filter(|(key, _)| is(key, name));
            found.extend(of_column.map(|(_, candidates)| lookup(Keys::Columns(vec![candidates.clone()]))));
            for (keys, rows) in &self.tuples {
                let at = keys.iter().position(|key| key.as_ref().is_some_and(|key| is(key, name)));
                if let Some(at) = at {
                    let rows = rows.iter().map(|row| vec![row[at].clone()]).collect();
                    found.push(lookup(Keys::Tuples(rows)));
                }
            }
        }
        found
    }
}

fn type_of(instance: &Instance, name: &str) -> Option<(ColumnType, bool)> {
    let column = instance.table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))?;
    let is_bytewise = column.collation.as_deref().is_some_and(|collation| collation.ends_with("_bin"));
    Some((column.column_type, is_bytewise))
}

fn is_integer(instance: &Instance, name: &str) -> bool {
    type_of(instance, name).is_some_and(|(column_type, _)| column_type.is_integral())
}

fn is_text(instance: &Instance, name: &str) -> bool {
    type_of(instance, name).is_some_and(|(column_type, _)| {
        matches!(
            column_type,
            ColumnType::VarChar
                | ColumnType::Char
                | ColumnType::Text
                | ColumnType::VarBinary
                | ColumnType::Binary
                | ColumnType::Blob
        )
    })
}

/// BINARY is filled up with zeros, which the ids do not have.
fn is_varbinary(instance: &Instance, name: &str) -> bool {
    let is_it = |(column_type, _)| matches!(column_type, ColumnType::VarBinary | ColumnType::Blob);
    type_of(instance, name).is_some_and(is_it)
}

/// Other collations find more than what begins with the same bytes.
fn has_order_of_bytes(instance: &Instance, name: &str) -> bool {
    let is_text = |(column_type, is_bytewise)| {
        is_bytewise && matches!(column_type, ColumnType::VarChar | ColumnType::Char | ColumnType::Text)
    };
    is_varbinary(instance, name) || type_of(instance, name).is_some_and(is_text)
}

/// Do two columns belong to the same vindex, each alone?
pub(super) fn ties_alone(a: &KeyColumn, b: &KeyColumn, analysis: &Analysis) -> bool {
    let mut facts = Facts::default();
    facts.add_equal_columns(a.clone(), b.clone());
    facts.ties(a.instance, b.instance, analysis)
}

pub(super) fn add_edge(from: usize, to: usize, allowed: &Range<usize>, analysis: &mut Analysis) {
    if from != to && allowed.contains(&to) && !analysis.edges.contains(&(from, to)) {
        analysis.edges.push((from, to));
    }
}

/// The key column that an expression is.
pub(super) fn key_of(expr: &Expr, scope: &Scope<'_>) -> Option<KeyColumn> {
    let resolved = match bare(expr) {
        Expr::Identifier(name) => scope.resolve(std::slice::from_ref(name)),
        Expr::CompoundIdentifier(names) => scope.resolve(names),
        _ => return None,
    };
    match resolved {
        Resolved::Key(key) => Some(key),
        Resolved::Plain | Resolved::Unknown => None,
    }
}

/// The constant that an expression is, as far as routing can use it.
pub(crate) fn constant(expr: &Expr) -> Option<RouteValue> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(text) => match Placeholder::parse(text)? {
                Placeholder::Value(index) => Some(RouteValue::Arg(index)),
                Placeholder::List(_) => None,
            },
            ast::Value::Null => Some(RouteValue::Literal(Value::Null)),
            ast::Value::Number(digits, _) => number(digits).map(RouteValue::Literal),
            ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => {
                // Escapes may still be in it; plain text is all that is certain.
                let is_plain = text.bytes().all(|byte| byte != b'\\' && byte != b'\'' && byte != b'"');
                is_plain.then(|| RouteValue::Literal(Value::text(text)))
            }
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match constant(expr)? {
            RouteValue::Arg(index) => Some(RouteValue::NegatedArg(index)),
            RouteValue::Literal(Value::Int(number)) => {
                number.checked_neg().map(Value::Int).map(RouteValue::Literal)
            }
            _ => None,
        },
        _ => None,
    }
}

fn number(digits: &str) -> Option<Value> {
    if let Ok(number) = digits.parse::<i64>() {
        return Some(Value::Int(number));
    }
    if let Ok(number) = digits.parse::<u64>() {
        return Some(Value::UInt(number));
    }
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_decimal.then(|| Value::Decimal(digits.as_bytes().into()))
}

pub(super) fn constant_list(list: &[Expr]) -> Option<RouteList> {
    if let [Expr::Value(value)] = list
        && let ast::Value::Placeholder(text) = &value.value
        && let Some(Placeholder::List(index)) = Placeholder::parse(text)
    {
        return Some(RouteList::Arg(index));
    }
    list.iter().map(constant).collect::<Option<Vec<_>>>().map(RouteList::Values)
}

fn tuple(row: &Expr, width: usize) -> Option<Vec<RouteValue>> {
    match bare(row) {
        Expr::Tuple(items) if items.len() == width => items.iter().map(constant).collect(),
        _ => None,
    }
}

fn disjuncts<'a>(expr: &'a Expr, out: &mut Vec<&'a Expr>) {
    match bare(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            disjuncts(left, out);
            disjuncts(right, out);
        }
        other => out.push(other),
    }
}
