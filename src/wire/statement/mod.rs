//! Prepared statements: the reply to COM_STMT_PREPARE and the body of COM_STMT_EXECUTE.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase_ps.html>

mod execute;
mod long_data;
mod prepare_ok;

pub use execute::{Parameter, ParameterType, ParameterValue, Parameters, StmtExecute};
pub use long_data::LongData;
pub use prepare_ok::PrepareOk;
