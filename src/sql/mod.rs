//! SQL text: lexer, fingerprint, classification, parsing, rendering. The only room that names the parser crate.

mod charset;
mod classify;
mod error;
mod keyword;
mod program;

pub mod ast;
pub mod kind;
pub mod lex;
pub mod normalize;
pub mod options;
pub mod parse;
pub mod render;
pub mod template;
pub mod token;

pub use error::syntax_error;
pub use kind::{Ddl, DdlObject, DdlVerb, StatementKind};
pub use lex::{Arg, ArgKind, LexFlags, Lexed, Mark, MarkKind, SessionFunction, lex};
pub use normalize::normalized_text;
pub use options::{CommentVersion, LexOptions, Multibyte, SqlMode};
pub use parse::{ParseFailure, parse};
pub use template::{ArgSource, Piece, Template};
pub use token::{Span, Token, TokenKind, Tokenizer};
