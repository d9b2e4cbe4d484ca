//! One client's state: target, variables, settings, prepared statements, warnings, transaction.
