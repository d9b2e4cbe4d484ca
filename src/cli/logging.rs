//! Where log lines go and what they look like.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Begins to log to standard error. Called once, before anything is logged.
pub(super) fn start(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = fmt::Subscriber::builder().with_max_level(level).with_writer(std::io::stderr);
    // An error means that logging was started before, which is all that is wanted.
    let _ = match config.format {
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().finish()),
        LogFormat::Text => tracing::subscriber::set_global_default(lines.with_target(false).finish()),
    };
}
