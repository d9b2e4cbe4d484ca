//! AST -> MySQL text. Placeholders become the holes of a [`Template`].

use super::ast::{Expr, Query, Statement};
use super::template::{Template, hole};

/// The text of a statement.
pub fn statement(statement: &Statement) -> Template {
    from_display(&statement.to_string())
}

/// The text of a query.
pub fn query(query: &Query) -> Template {
    from_display(&query.to_string())
}

/// The text of an expression.
pub fn expression(expr: &Expr) -> Template {
    from_display(&expr.to_string())
}

fn from_display(text: &str) -> Template {
    let mut template = Template::new();
    let mut rest = text;
    while let Some(at) = rest.find(':') {
        template.push_text(&rest.as_bytes()[..at]);
        let name_end =
            rest[at + 1..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(rest.len(), |end| at + 1 + end);
        match hole(&rest[at..name_end]) {
            Some(piece) => template.push(piece),
            None => template.push_text(&rest.as_bytes()[at..name_end]),
        }
        rest = &rest[name_end..];
    }
    template.push_text(rest.as_bytes());
    template
}
