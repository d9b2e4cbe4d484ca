//! Whether literals are arguments, clause by clause and parenthesis by parenthesis.

use super::super::keyword::Keyword;

/// What applies to the tokens of one parenthesis level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) struct Mode(u8);

impl Mode {
    /// Literals are arguments.
    pub(super) const ARGS: Self = Self(0);
    /// Literals stay in the fingerprint.
    const KEEP: u8 = 1;
    /// So do blanks: they are part of column names.
    const RAW: u8 = 2;
    /// An outer level decides: clauses do not change it.
    const FORCED: u8 = 4;
    /// In the list of `ORDER BY`, where only literals outside of calls mean positions.
    const ORDER: u8 = 8;

    /// For statements whose literals all stay.
    pub(super) const NO_ARGS: Self = Self(Self::KEEP | Self::FORCED);

    const ORDER_LIST: Self = Self(Self::KEEP | Self::ORDER);

    /// Do literals stay in the fingerprint?
    #[inline]
    pub(super) fn keeps_literals(self) -> bool {
        self.0 & Self::KEEP != 0
    }

    /// Do blanks stay in the fingerprint?
    #[inline]
    pub(super) fn keeps_blanks(self) -> bool {
        self.0 & Self::RAW != 0
    }

    /// For the inside of a parenthesis. `keeps` says that literals there must stay, as in `DECIMAL(10, 2)`,
    /// `is_call` that a word stands before it, as in `FIELD(a, 3, 1, 2)`.
    #[inline]
    pub(super) fn inner(self, keeps: bool, is_call: bool) -> Self {
        if self == Self::ORDER_LIST && is_call && !keeps {
            Self::ARGS
        } else if self.keeps_literals() {
            Self(self.0 | Self::FORCED)
        } else if keeps {
            Self::NO_ARGS
        } else {
            Self::ARGS
        }
    }

    /// Behind a keyword that begins a clause.
    #[inline]
    pub(super) fn after(self, keyword: Keyword, previous: Keyword, is_query: bool) -> Self {
        if self.0 & Self::FORCED != 0 {
            return self;
        }
        match keyword {
            Keyword::Select | Keyword::Returning => Self(Self::KEEP | Self::RAW),
            Keyword::By if previous == Keyword::Group => Self(Self::KEEP),
            Keyword::By if previous == Keyword::Order => Self::ORDER_LIST,
            Keyword::Window | Keyword::Procedure => Self(Self::KEEP),
            Keyword::Into if is_query => Self(Self::KEEP),
            Keyword::From
            | Keyword::Where
            | Keyword::Having
            | Keyword::Limit
            | Keyword::On
            | Keyword::Set
            | Keyword::Values
            | Keyword::Union
            | Keyword::Except
            | Keyword::Intersect
            | Keyword::Into => Self::ARGS,
            _ => self,
        }
    }
}
