//! What a statement is, from its first words alone.
//!
//! Follows the chapters of <https://dev.mysql.com/doc/refman/9.0/en/sql-statements.html>; MariaDB's additions
//! are sorted in where they belong.

/// Kind of a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatementKind {
    /// `GRANT`, `REVOKE`, `SET PASSWORD`, `CREATE/ALTER/DROP/RENAME USER` and `ROLE`.
    Account,
    /// `BEGIN [WORK]`.
    Begin,
    /// `CALL`.
    Call,
    /// `COMMIT`.
    Commit,
    /// `DEALLOCATE PREPARE`, `DROP PREPARE`.
    Deallocate,
    /// Changes of the schema.
    Ddl(Ddl),
    /// `DELETE`, also behind `WITH`.
    Delete,
    /// `DESCRIBE table`, also written `DESC` or `EXPLAIN`.
    Describe,
    /// `DO`.
    Do,
    /// Nothing but blanks and comments.
    #[default]
    Empty,
    /// `EXECUTE`.
    Execute,
    /// `EXPLAIN`, `DESCRIBE`, `DESC` or MariaDB's `ANALYZE` of a statement.
    Explain,
    /// `FLUSH`.
    Flush,
    /// `HANDLER`.
    Handler,
    /// `HELP`.
    Help,
    /// `INSERT`.
    Insert,
    /// `KILL`.
    Kill,
    /// `LOAD DATA`, `LOAD XML`, `IMPORT TABLE`.
    Load,
    /// `LOCK TABLES`.
    LockTables,
    /// Anything that is none of the others: replication, plugins, backup, stored program statements.
    Other,
    /// `PREPARE`.
    Prepare,
    /// `RELEASE SAVEPOINT`.
    ReleaseSavepoint,
    /// `REPLACE`.
    Replace,
    /// `ROLLBACK`.
    Rollback,
    /// `ROLLBACK TO`.
    RollbackTo,
    /// `SAVEPOINT`.
    Savepoint,
    /// `SELECT`, also behind `WITH` or in parentheses.
    Select,
    /// `SET` of variables, names, transaction characteristics, role.
    Set,
    /// `SHOW`.
    Show,
    /// `START TRANSACTION`.
    StartTransaction,
    /// `TABLE t`, which is `SELECT * FROM t`.
    Table,
    /// `ANALYZE`, `CHECK`, `CHECKSUM`, `OPTIMIZE`, `REPAIR TABLE`, `CACHE INDEX`.
    TableMaintenance,
    /// `UNLOCK TABLES`.
    UnlockTables,
    /// `UPDATE`, also behind `WITH`.
    Update,
    /// `USE`.
    Use,
    /// `VALUES ROW(…)`.
    Values,
    /// `VEXPLAIN`: the router's own plan.
    Vexplain,
    /// `XA`.
    Xa,
}

impl StatementKind {
    /// Does it change rows (`INSERT`, `REPLACE`, `UPDATE`, `DELETE`)?
    pub fn is_dml(self) -> bool {
        matches!(self, Self::Delete | Self::Insert | Self::Replace | Self::Update)
    }

    /// Is it a query that gives rows (`SELECT`, `TABLE`, `VALUES`)?
    pub fn is_query(self) -> bool {
        matches!(self, Self::Select | Self::Table | Self::Values)
    }

    /// Are its literals taken out of the fingerprint? Only where a plan is built from an AST.
    pub(super) fn takes_args(self) -> bool {
        self.is_dml() || self.is_query()
    }

    /// Does it begin or end a transaction, or a part of one?
    pub fn is_transaction_control(self) -> bool {
        matches!(
            self,
            Self::Begin
                | Self::Commit
                | Self::ReleaseSavepoint
                | Self::Rollback
                | Self::RollbackTo
                | Self::Savepoint
                | Self::StartTransaction
        )
    }

    /// Does a server commit the open transaction before it runs the statement?
    /// <https://dev.mysql.com/doc/refman/9.0/en/implicit-commit.html>
    pub fn commits_implicitly(self) -> bool {
        match self {
            Self::Ddl(ddl) => !ddl.is_temporary,
            Self::Account
            | Self::Begin
            | Self::LockTables
            | Self::StartTransaction
            | Self::TableMaintenance => true,
            _ => false,
        }
    }
}

/// A change of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ddl {
    /// What is done.
    pub verb: DdlVerb,
    /// To what.
    pub object: DdlObject,
    /// `CREATE/DROP TEMPORARY …`: seen by one session only.
    pub is_temporary: bool,
}

/// First word of a [`Ddl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DdlVerb {
    /// `ALTER`.
    Alter,
    /// `CREATE`, with or without `OR REPLACE`.
    Create,
    /// `DROP`.
    Drop,
    /// `RENAME TABLE`.
    Rename,
    /// `TRUNCATE [TABLE]`.
    Truncate,
}

/// What a [`Ddl`] acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DdlObject {
    /// `DATABASE` or `SCHEMA`.
    Database,
    /// `EVENT`.
    Event,
    /// `FUNCTION`, stored or loadable.
    Function,
    /// `INDEX`.
    Index,
    /// Tablespaces, servers, instances, resource groups and the like: not part of a database.
    Other,
    /// `PACKAGE [BODY]` (MariaDB).
    Package,
    /// `PROCEDURE`.
    Procedure,
    /// `SEQUENCE` (MariaDB).
    Sequence,
    /// `TABLE`.
    Table,
    /// `TRIGGER`.
    Trigger,
    /// `VIEW`.
    View,
    /// `VSCHEMA`: the router's own (`ALTER VSCHEMA …`).
    VSchema,
}

impl DdlObject {
    /// May its definition be a stored program, with `;` inside?
    pub fn is_stored_program(self) -> bool {
        matches!(self, Self::Event | Self::Function | Self::Package | Self::Procedure | Self::Trigger)
    }
}
