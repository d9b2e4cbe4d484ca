//! SQL text: lexer, fingerprint, classification, parsing, rendering. The only room that names the parser crate.

mod charset;
mod classify;
mod create_table;
mod error;
mod keyword;
mod program;
mod reserved;

pub mod ast;
pub mod directive;
pub mod fuzzing;
pub mod ident;
pub mod insert;
pub mod kind;
pub mod lex;
pub mod literal;
pub mod normalize;
pub mod options;
pub mod parse;
pub mod render;
pub mod splice;
pub mod split;
pub mod statement;
pub mod template;
pub mod token;

pub use create_table::{TableColumn, TableDefinition};
pub use directive::Directives;
pub use error::syntax_error;
pub use insert::{InsertRows, InsertValue, InsertValueKind};
pub use kind::{Ddl, DdlObject, DdlVerb, StatementKind};
pub use lex::{Arg, ArgKind, LexFlags, Lexed, Mark, MarkKind, SessionFunction, lex};
pub use literal::{LiteralError, arg_value};
pub use normalize::normalized_text;
pub use options::{CommentVersion, LexOptions, Multibyte, SqlMode};
pub use parse::{ParseFailure, parse};
pub use reserved::is_clause_word;
pub use splice::{Edit, splice};
pub use split::split;
pub use template::{ArgSource, Piece, Template};
pub use token::{Span, Token, TokenKind, Tokenizer};
