//! The SQL text that a primitive sends: the client's own, or pieces put together when it runs.

use super::{Candidates, Keys, RouteList, RouteValue, Routing};

/// What is sent to a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// The client's text, untouched.
    Original,
    /// Text made of pieces.
    Template(Template),
}

/// SQL text with holes, in order. Rendered with the arguments' own source text or their bound values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    /// The pieces, in the order of the text.
    pub pieces: Vec<Piece>,
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// The argument with this index, as it was written.
    Arg(u32),
    /// The database name of the keyspace that the value names (`table_schema = 'customer'`); a value that
    /// names no keyspace stays as it is.
    DatabaseName(RouteValue),
    /// The same for the items of the list argument with this index, with commas, without parentheses.
    DatabaseNames(u32),
    /// `WHEN 'database' THEN 'keyspace'` for each keyspace whose database has another name, and for at least one.
    DatabaseCases,
    /// The table with the rows of the gathered input with this index.
    Gathered(u32),
    /// The items of the list argument with this index, with commas, without parentheses.
    List(u32),
    /// Those items of the list argument with this index that belong to the shard; all of them where that is not known.
    ListForShard(u32),
    /// The sum of a row count and an offset, saturating: what each shard must deliver for a LIMIT.
    RowsNeeded {
        /// The LIMIT's row count.
        count: RouteValue,
        /// The LIMIT's offset.
        offset: RouteValue,
    },
    /// A full-text search in a gathered input. A temporary table has no index for it: it holds where the input is read
    /// as it is, or where its rows have been filtered by it.
    Search {
        /// The input.
        input: u32,
        /// The filter of the input that it is.
        filter: Option<u32>,
        /// Its text.
        text: Vec<Piece>,
    },
    /// The next value of the statement's sequence.
    Sequence,
    /// Something of the session that the router holds, as a literal.
    Session(SessionValue),
    /// SQL text.
    Text(Box<[u8]>),
    /// What orders an expression whose type is only known when its rows come: its weight string, or its number.
    Weight {
        /// The helper column that it is.
        helper: u32,
        /// The expression.
        text: Vec<Piece>,
        /// Taken as the minimum of its group.
        is_minimum: bool,
    },
}

/// What the router answers itself inside a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionValue {
    /// `CONNECTION_ID()`.
    ConnectionId,
    /// `CURRENT_USER()`.
    CurrentUser,
    /// `DATABASE()` and `SCHEMA()`: the keyspace, or NULL.
    Database,
    /// `FOUND_ROWS()`.
    FoundRows,
    /// `LAST_INSERT_ID()` without argument.
    LastInsertId,
    /// `ROW_COUNT()`.
    RowCount,
    /// `@@name` of a variable that the router holds; lower case, without scope.
    SystemVariable(Box<str>),
    /// `USER()`, `SESSION_USER()`, `SYSTEM_USER()`.
    User,
    /// `VERSION()`.
    Version,
    /// `@name`; lower case.
    UserVariable(Box<str>),
}

impl SessionValue {
    /// What it stands for in SQL, for plans that are printed.
    pub fn sql(&self) -> String {
        match self {
            Self::ConnectionId => "connection_id()".into(),
            Self::CurrentUser => "current_user()".into(),
            Self::Database => "database()".into(),
            Self::FoundRows => "found_rows()".into(),
            Self::LastInsertId => "last_insert_id()".into(),
            Self::RowCount => "row_count()".into(),
            Self::SystemVariable(name) => format!("@@{name}"),
            Self::User => "user()".into(),
            Self::Version => "version()".into(),
            Self::UserVariable(name) => format!("@{name}"),
        }
    }
}

impl Piece {
    /// SQL text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().into())
    }
}

impl Query {
    /// The query with the list that decides the shards cut down for each of them.
    #[must_use]
    pub fn narrowed(self, routing: &Routing) -> Self {
        let Routing::In(lookup) = routing else { return self };
        let Keys::Columns(columns) = &lookup.keys else { return self };
        let [Candidates::Many(RouteList::Arg(list))] = columns.as_slice() else { return self };
        let Self::Template(mut template) = self else { return self };
        for piece in &mut template.pieces {
            if *piece == Piece::List(*list) {
                *piece = Piece::ListForShard(*list);
            }
        }
        Self::Template(template)
    }
}

impl Template {
    /// Appends text, joining it with text before it.
    pub fn push_text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            *last = [last, text].concat().into();
        } else {
            self.pieces.push(Piece::Text(text.into()));
        }
    }

    /// Does the text depend on the shard it goes to?
    pub fn depends_on_shard(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::ListForShard(_)))
    }
}
