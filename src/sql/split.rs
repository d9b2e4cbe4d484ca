//! A text of several statements -> its statements.

use super::lex::{Lexed, lex};
use super::options::LexOptions;
use super::token::Span;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// The spans of all statements of `text`, without their `;`. Empty statements are left out.
pub fn split(text: &[u8], options: &LexOptions) -> Result<Vec<Span>> {
    let options = LexOptions { multi_statements: true, ..*options };
    let mut lexed = Lexed::new();
    let mut spans = Vec::new();
    let mut from = 0;
    loop {
        lex(text, from, &options, &mut lexed)?;
        if lexed.span.byte_count() > 0 {
            spans.push(lexed.span);
        }
        if spans.len() > limits::STATEMENTS_PER_PACKET_MAX {
            let message = format!("more than {} statements in one packet", limits::STATEMENTS_PER_PACKET_MAX);
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        match lexed.next {
            Some(next) => from = next as usize,
            None => return Ok(spans),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let spans = split(text.as_bytes(), &LexOptions::default()).unwrap();
        let parts: Vec<_> =
            spans.iter().map(|span| String::from_utf8_lossy(span.of(text.as_bytes()))).collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn statements_end_at_semicolons_of_code() {
        check("", &[]);
        check(" ; ;", &[]);
        check("select 1", &["select 1"]);
        check("select 1; ", &["select 1"]);
        check("select ';' /* ; */; select `;` -- ;\n ;; select 2", &["select ';'", "select `;`", "select 2"]);
    }

    #[test]
    fn stored_programs_stay_whole() {
        let program = "create procedure p() begin if a then select 1; end if; case x when 1 then select 2; end case; end";
        check(&format!("{program}; select 3"), &[program, "select 3"]);
        let trigger = "create trigger t before insert on a for each row set new.b = 1";
        check(&format!("{trigger}; select 3"), &[trigger, "select 3"]);
        check("drop procedure if exists p; select 1", &["drop procedure if exists p", "select 1"]);
        check("begin; select 1; end", &["begin", "select 1", "end"]);
        let block = "begin not atomic select 1; select 2; end";
        check(&format!("{block}; select 3"), &[block, "select 3"]);
    }

    #[test]
    fn too_many_statements_are_refused() {
        let text = "select 1;".repeat(limits::STATEMENTS_PER_PACKET_MAX);
        assert_eq!(
            split(text.as_bytes(), &LexOptions::default()).unwrap().len(),
            limits::STATEMENTS_PER_PACKET_MAX
        );
        let text = text + "select 1";
        assert!(split(text.as_bytes(), &LexOptions::default()).is_err());
    }
}
