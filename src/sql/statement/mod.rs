//! Statements that are read from their tokens, without a syntax tree: `SET`, `SHOW`, `USE`, transaction control,
//! `KILL`. Their grammar is small, and servers accept forms of it that no general parser knows.

mod cursor;
mod kill;
mod load;
mod lock_tables;
mod prepare;
mod set;
mod show;
mod transaction;
mod variables;

pub use kill::{Kill, parse_kill};
pub use load::{FileFormat, LoadData, LoadField, is_local_load, parse_load};
pub use lock_tables::{LockTables, LockedTable, parse_lock_tables};
pub use prepare::{
    Execute, Parameter, ParameterPlace, Parameters, Prepare, PrepareSource, parameters, parse_deallocate,
    parse_execute, parse_prepare,
};
pub use set::{Assignment, Scope, TransactionCharacteristics, parse_set};
pub use show::{Filter, Show, ShowKind, parse_show};
pub use transaction::{End, Start, parse_end, parse_savepoint_name, parse_start, parse_use};
pub use variables::{IntoVariables, parse_into, user_variables};
