//! `PREPARE`, `EXECUTE` and `DEALLOCATE PREPARE` as SQL.
//!
//! A server judges the text when it is prepared. An execution puts the variables' values into it as literals and runs
//! it like any other text, so it may go to any number of shards, and its result is in the text protocol.

use super::Executor;
use super::job::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::session::prepared_text::PreparedText;
use crate::sql::ident::quoted;
use crate::sql::splice::splice_all;
use crate::sql::statement::{
    ParameterPlace, PrepareSource, parameters, parse_deallocate, parse_execute, parse_prepare,
};
use crate::sql::{Lexed, Span, SqlMode, StatementKind, lex, literal};
use crate::value::Value;
use crate::wire::OkPacket;

impl Executor {
    /// `PREPARE name FROM …`
    pub(super) async fn prepare_text(&self, job: &mut Job<'_>) -> Result<()> {
        let options = job.session.settings.lex_options();
        let prepare = match parse_prepare(job.text, &options) {
            Ok(prepare) => prepare,
            Err(error) => return Err(self.server_error(job, error).await),
        };
        let text = match prepare.source {
            PrepareSource::Literal(span) => {
                let mut decoded = Vec::new();
                let decoded = literal::string(span.of(job.text), &options, &mut decoded);
                decoded.map_err(|_| Error::bug("a string that is none"))?.to_vec()
            }
            PrepareSource::Variable(name) => match job.session.user_variables.get(name.as_str()) {
                None | Some(Value::Null) => b"NULL".to_vec(),
                Some(value) => value.as_ref().to_bytes().into_owned(),
            },
        };
        // A statement of the same name is gone even if this one is refused.
        job.session.prepared_texts.remove(&prepare.name);
        self.judge(job, &text).await?;
        let statement = PreparedText {
            parameters: parameters(&text, &options),
            text: text.into(),
            target: job.session.target.clone(),
        };
        job.session.prepared_texts.insert(&prepare.name, statement)?;
        job.session.row_count = 0;
        job.send_ok_with(OkPacket { info: b"Statement prepared", ..OkPacket::default() });
        Ok(())
    }

    /// Asks a server whether the text can be prepared.
    async fn judge(&self, job: &mut Job<'_>, text: &[u8]) -> Result<()> {
        let mut lexed = Lexed::new();
        let outcome = lex(text, 0, &job.session.settings.lex_options(), &mut lexed);
        let mut inner = job.inner(text, &lexed);
        match outcome {
            Ok(()) => self.describe_statement(&mut inner).await.map(drop),
            Err(error) => Err(self.server_error(&mut inner, error).await),
        }
    }

    /// `EXECUTE name USING …`
    pub(super) async fn execute_text(&self, job: &mut Job<'_>) -> Result<()> {
        let execute = match parse_execute(job.text, &job.session.settings.lex_options()) {
            Ok(execute) => execute,
            Err(error) => return Err(self.server_error(job, error).await),
        };
        let statement = job.session.prepared_texts.get(&execute.name, "EXECUTE")?;
        if statement.parameters.list.len() != execute.variables.len() {
            return Err(Error::new(ErrorKind::WrongArguments, "Incorrect arguments to EXECUTE"));
        }
        let value = |name: &String| job.session.user_variables.get(name.as_str()).cloned();
        let values: Vec<Value> =
            execute.variables.iter().map(|name| value(name).unwrap_or_default()).collect();
        let options = job.session.settings.lex_options();
        let text = with_values(&statement, &values, options.mode.contains(SqlMode::NO_BACKSLASH_ESCAPES));
        let mut lexed = Lexed::new();
        lex(&text, 0, &options, &mut lexed)?;
        if lexed.kind != StatementKind::Use && statement.target != job.session.target {
            let target = std::mem::replace(&mut job.session.target, statement.target.clone());
            job.session.target_afterwards = Some(target);
        }
        let mut inner = Job {
            session: &mut *job.session,
            client: &mut *job.client,
            snapshot: job.snapshot.clone(),
            text: &text,
            lexed: &lexed,
            execution: None,
            more_results: job.more_results,
        };
        inner.note_directives();
        self.dispatch(&mut inner).await
    }

    /// `DEALLOCATE PREPARE name`
    pub(super) fn deallocate_text(&self, job: &mut Job<'_>) -> Result<()> {
        let name = parse_deallocate(job.text, &job.session.settings.lex_options())?;
        if !job.session.prepared_texts.remove(&name) {
            let text = format!("Unknown prepared statement handler ({name}) given to DEALLOCATE PREPARE");
            return Err(Error::new(ErrorKind::UnknownStatement, text));
        }
        job.send_ok();
        Ok(())
    }
}

/// The text with literals for its parameters. Items whose name they would change get an alias.
fn with_values(statement: &PreparedText, values: &[Value], no_backslash_escapes: bool) -> Vec<u8> {
    let mut edits: Vec<(Span, Vec<u8>)> = Vec::new();
    for (parameter, value) in statement.parameters.list.iter().zip(values) {
        let text = match parameter.place {
            // A constant, whatever its value.
            ParameterPlace::Key => b"(NULL)".to_vec(),
            ParameterPlace::Limit => row_count(value).to_string().into_bytes(),
            ParameterPlace::Value => {
                // `- -1` and not a comment.
                let mut text = vec![b' '];
                value.as_ref().render_literal(&mut text, no_backslash_escapes);
                text
            }
        };
        edits.push((parameter.span, text));
    }
    for item in &statement.parameters.unnamed_items {
        let name = String::from_utf8_lossy(item.of(&statement.text)).into_owned();
        let span = Span { start: item.end, end: item.end };
        edits.push((span, format!(" AS {}", quoted(&name)).into_bytes()));
    }
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let edits: Vec<(Span, &[u8])> = edits.iter().map(|(span, text)| (*span, text.as_slice())).collect();
    splice_all(&statement.text, &edits)
}

/// A value as a row count, converted as MySQL converts the parameters of LIMIT.
fn row_count(value: &Value) -> i128 {
    match value {
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Null => 0,
        other => {
            let text = other.as_ref().to_bytes();
            let digits: Vec<u8> =
                text.trim_ascii_start().iter().copied().take_while(u8::is_ascii_digit).collect();
            std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or_default()
        }
    }
}
