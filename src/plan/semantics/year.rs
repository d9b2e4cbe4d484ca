//! Arguments beside YEAR columns. MySQL reads a literal of two digits there as a year, and a parameter as the number that
//! it is: where parameters are put into a text as literals, these must be known.
//! <https://dev.mysql.com/doc/refman/9.0/en/two-digit-years.html>

use super::walk::{self, Part, bare};
use super::{Analyzer, Scope};
use crate::error::Result;
use crate::plan::source::Placeholder;
use crate::sql::ast::{Expr, Value};
use crate::vschema::ColumnType;

impl Analyzer<'_> {
    /// Notes the arguments that are direct parts of `expr` beside a column of the type YEAR.
    pub(super) fn note_years(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<()> {
        let mut operands = Operands::default();
        walk::parts(expr, &mut |part| {
            if let Part::Expr(part) = part {
                operands.add(part);
            }
            Ok(())
        })?;
        let is_year = |column: &&Expr| {
            let column_type = match column {
                Expr::Identifier(name) => scope.column_type(std::slice::from_ref(name)),
                Expr::CompoundIdentifier(names) => scope.column_type(names),
                _ => return false,
            };
            column_type == ColumnType::Year
        };
        if !operands.arguments.is_empty() && operands.columns.iter().any(is_year) {
            self.analysis.year_arguments.extend(operands.arguments);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Operands<'e> {
    columns: Vec<&'e Expr>,
    arguments: Vec<u32>,
}

impl<'e> Operands<'e> {
    fn add(&mut self, expr: &'e Expr) {
        match bare(expr) {
            Expr::Value(value) => {
                if let Value::Placeholder(text) = &value.value
                    && let Some(Placeholder::List(index) | Placeholder::Value(index)) =
                        Placeholder::parse(text)
                {
                    self.arguments.push(index);
                }
            }
            Expr::Tuple(items) => items.iter().for_each(|item| self.add(item)),
            column @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => self.columns.push(column),
            _ => {}
        }
    }
}
