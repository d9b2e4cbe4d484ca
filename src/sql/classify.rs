//! First words of a statement -> [`StatementKind`], for the kinds that are not recognised on the hot path.

use super::kind::{Ddl, DdlObject, DdlVerb, StatementKind};
use super::token::{LexError, Token, TokenKind, Tokenizer};

/// Words looked at; `CREATE OR REPLACE ALGORITHM = x DEFINER = a@b SQL SECURITY DEFINER VIEW` is the longest
/// preamble.
const WORDS_MAX: usize = 24;

/// Classifies the statement whose first token the tokenizer gives next.
pub(super) fn classify(mut tokens: Tokenizer<'_>) -> Result<StatementKind, LexError> {
    let text = tokens.text();
    let first = tokens.next_token()?;
    let second = tokens.peek()?;
    let is = |word: &str| second.is_word(text, word);
    let mut buffer = [0_u8; 16];
    let upper = upper_word(first, text, &mut buffer);
    use StatementKind as Kind;
    Ok(match upper {
        b"ALTER" => ddl(DdlVerb::Alter, tokens)?,
        b"ANALYZE" => analyze(second, text),
        b"BEGIN" if !is("NOT") => Kind::Begin,
        b"CALL" => Kind::Call,
        b"CACHE" | b"CHECK" | b"CHECKSUM" | b"OPTIMIZE" | b"REPAIR" => Kind::TableMaintenance,
        b"COMMIT" => Kind::Commit,
        b"CREATE" => ddl(DdlVerb::Create, tokens)?,
        b"DEALLOCATE" => Kind::Deallocate,
        b"DELETE" => Kind::Delete,
        b"DESC" | b"DESCRIBE" | b"EXPLAIN" => explain(tokens)?,
        b"DO" => Kind::Do,
        b"DROP" if is("PREPARE") => Kind::Deallocate,
        b"DROP" => ddl(DdlVerb::Drop, tokens)?,
        b"EXECUTE" if !is("IMMEDIATE") => Kind::Execute,
        b"FLUSH" => Kind::Flush,
        b"GRANT" | b"REVOKE" => Kind::Account,
        b"HANDLER" => Kind::Handler,
        b"HELP" => Kind::Help,
        b"IMPORT" | b"LOAD" => Kind::Load,
        b"INSERT" => Kind::Insert,
        b"KILL" => Kind::Kill,
        b"LOCK" if is("TABLE") || is("TABLES") => Kind::LockTables,
        b"PREPARE" => Kind::Prepare,
        b"RELEASE" => Kind::ReleaseSavepoint,
        b"RENAME" if is("USER") => Kind::Account,
        b"RENAME" => ddl(DdlVerb::Rename, tokens)?,
        b"REPLACE" => Kind::Replace,
        b"ROLLBACK" => rollback(tokens)?,
        b"SAVEPOINT" => Kind::Savepoint,
        b"SELECT" => Kind::Select,
        b"SET" if is("PASSWORD") => Kind::Account,
        b"SET" => Kind::Set,
        b"SHOW" => Kind::Show,
        b"START" if is("TRANSACTION") => Kind::StartTransaction,
        b"TABLE" => Kind::Table,
        b"TRUNCATE" => {
            Kind::Ddl(Ddl { verb: DdlVerb::Truncate, object: DdlObject::Table, is_temporary: false })
        }
        b"UNLOCK" if is("TABLE") || is("TABLES") => Kind::UnlockTables,
        b"UPDATE" => Kind::Update,
        b"USE" => Kind::Use,
        b"VALUES" => Kind::Values,
        b"VEXPLAIN" => Kind::Vexplain,
        b"XA" => Kind::Xa,
        _ => Kind::Other,
    })
}

/// The word in upper case; empty for other tokens and for words that begin no statement.
fn upper_word<'b>(token: Token, text: &[u8], buffer: &'b mut [u8; 16]) -> &'b [u8] {
    let word = token.span.of(text);
    if token.kind != TokenKind::Word || word.len() > buffer.len() {
        return &[];
    }
    let upper = &mut buffer[..word.len()];
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    upper
}

/// MariaDB's `ANALYZE SELECT …` runs and explains; `ANALYZE TABLE t` is maintenance.
fn analyze(second: Token, text: &[u8]) -> StatementKind {
    let explained = ["SELECT", "UPDATE", "DELETE", "INSERT", "REPLACE", "FORMAT", "WITH"];
    let is_explain =
        second.kind == TokenKind::LParen || explained.iter().any(|word| second.is_word(text, word));
    if is_explain { StatementKind::Explain } else { StatementKind::TableMaintenance }
}

/// `EXPLAIN` of a statement, or of a table: then it is `DESCRIBE`.
fn explain(mut tokens: Tokenizer<'_>) -> Result<StatementKind, LexError> {
    const STATEMENTS: [&str; 16] = [
        "SELECT",
        "UPDATE",
        "DELETE",
        "INSERT",
        "REPLACE",
        "WITH",
        "TABLE",
        "VALUES",
        "FORMAT",
        "EXTENDED",
        "PARTITIONS",
        "ANALYZE",
        "FOR",
        "INTO",
        "ALL",
        "SCHEMA",
    ];
    let text = tokens.text();
    let next = tokens.next_token()?;
    let after = tokens.peek()?;
    let is_statement = next.kind == TokenKind::LParen
        || (after.kind != TokenKind::End
            && after.kind != TokenKind::Dot
            && STATEMENTS.iter().any(|word| next.is_word(text, word)));
    Ok(if is_statement { StatementKind::Explain } else { StatementKind::Describe })
}

fn rollback(mut tokens: Tokenizer<'_>) -> Result<StatementKind, LexError> {
    let text = tokens.text();
    let mut token = tokens.next_token()?;
    if token.is_word(text, "WORK") {
        token = tokens.next_token()?;
    }
    Ok(if token.is_word(text, "TO") { StatementKind::RollbackTo } else { StatementKind::Rollback })
}

/// Looks for the word that names the kind of object, past options in front of it.
fn ddl(verb: DdlVerb, mut tokens: Tokenizer<'_>) -> Result<StatementKind, LexError> {
    let text = tokens.text();
    let mut is_temporary = false;
    let mut previous = TokenKind::End;
    for _ in 0..WORDS_MAX {
        let token = tokens.next_token()?;
        // `DEFINER = user@host`: a name, whatever word it is.
        let is_option_value = std::mem::replace(&mut previous, token.kind) == TokenKind::Eq;
        if matches!(token.kind, TokenKind::End | TokenKind::Semicolon | TokenKind::LParen) {
            break;
        }
        if token.kind != TokenKind::Word || is_option_value {
            continue;
        }
        if token.is_word(text, "TEMPORARY") {
            is_temporary = true;
            continue;
        }
        if token.is_word(text, "USER") || token.is_word(text, "ROLE") {
            return Ok(StatementKind::Account);
        }
        if let Some(object) = ddl_object(token.span.of(text)) {
            return Ok(StatementKind::Ddl(Ddl { verb, object, is_temporary }));
        }
    }
    Ok(StatementKind::Ddl(Ddl { verb, object: DdlObject::Other, is_temporary }))
}

fn ddl_object(word: &[u8]) -> Option<DdlObject> {
    const OBJECTS: [(&str, DdlObject); 22] = [
        ("DATABASE", DdlObject::Database),
        ("EVENT", DdlObject::Event),
        ("FUNCTION", DdlObject::Function),
        ("INDEX", DdlObject::Index),
        ("INSTANCE", DdlObject::Other),
        ("LOGFILE", DdlObject::Other),
        ("PACKAGE", DdlObject::Package),
        ("PROCEDURE", DdlObject::Procedure),
        ("RESOURCE", DdlObject::Other),
        ("SCHEMA", DdlObject::Database),
        ("SEQUENCE", DdlObject::Sequence),
        ("SERVER", DdlObject::Other),
        ("SPATIAL", DdlObject::Index),
        ("FULLTEXT", DdlObject::Index),
        ("UNIQUE", DdlObject::Index),
        ("TABLE", DdlObject::Table),
        ("TABLES", DdlObject::Table),
        ("TABLESPACE", DdlObject::Other),
        ("TRIGGER", DdlObject::Trigger),
        ("UNDO", DdlObject::Other),
        ("VIEW", DdlObject::View),
        ("VSCHEMA", DdlObject::VSchema),
    ];
    OBJECTS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(_, object)| *object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::options::LexOptions;

    fn check(text: &str, expected: StatementKind) {
        let options = LexOptions::default();
        assert_eq!(classify(Tokenizer::new(text.as_bytes(), 0, &options)), Ok(expected), "{text}");
    }

    fn check_ddl(text: &str, verb: DdlVerb, object: DdlObject, is_temporary: bool) {
        check(text, StatementKind::Ddl(Ddl { verb, object, is_temporary }));
    }

    #[test]
    fn first_words_tell_the_kind() {
        check("explain select 1", StatementKind::Explain);
        check("explain t", StatementKind::Describe);
        check("desc t c", StatementKind::Describe);
        check("DESCRIBE FORMAT=JSON UPDATE t SET a=1", StatementKind::Explain);
        check("analyze table t", StatementKind::TableMaintenance);
        check("analyze format=json select 1", StatementKind::Explain);
        check("rollback work to savepoint a", StatementKind::RollbackTo);
        check("rollback", StatementKind::Rollback);
        check("rollback and chain", StatementKind::Rollback);
        check("drop prepare s", StatementKind::Deallocate);
        check("set password = 'x'", StatementKind::Account);
        check("set names utf8mb4", StatementKind::Set);
        check("start transaction read only", StatementKind::StartTransaction);
        check("start slave", StatementKind::Other);
        check("lock tables t read", StatementKind::LockTables);
        check("lock instance for backup", StatementKind::Other);
        check("rename user a to b", StatementKind::Account);
        check("vexplain plan select 1", StatementKind::Vexplain);
        check("frobnicate", StatementKind::Other);
    }

    #[test]
    fn ddl_names_its_object() {
        check_ddl("create table t (a int)", DdlVerb::Create, DdlObject::Table, false);
        check_ddl(
            "CREATE OR REPLACE TEMPORARY TABLE IF NOT EXISTS t (a int)",
            DdlVerb::Create,
            DdlObject::Table,
            true,
        );
        check_ddl("create unique index i on t(a)", DdlVerb::Create, DdlObject::Index, false);
        check_ddl(
            "create algorithm=merge definer=`a`@`b` sql security invoker view v as select 1",
            DdlVerb::Create,
            DdlObject::View,
            false,
        );
        check_ddl("drop database if exists d", DdlVerb::Drop, DdlObject::Database, false);
        check_ddl("truncate t", DdlVerb::Truncate, DdlObject::Table, false);
        check_ddl("alter vschema add table t", DdlVerb::Alter, DdlObject::VSchema, false);
        check_ddl("rename table a to b", DdlVerb::Rename, DdlObject::Table, false);
        check("create user u", StatementKind::Account);
    }
}
