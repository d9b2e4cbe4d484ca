//! The AST as the other rooms see it: the parser crate's types, and what MySQL adds to reading them.

pub use sqlparser::ast::*;
pub use sqlparser::tokenizer::Location;
