//! Optimizers' own bugs: a plain server that answers a query in two ways, depending on its optimizer_switch.
//!
//! MySQL 9.7 for example makes of EXISTS in a derived table on the inner side of an outer join a semi-join that keeps
//! rows which it should not. Only an answer that the plain server gives itself, with another plan, is let through.

use crate::client::{Client, Reply};
use crate::generated::answer;
use crate::servers::Engine;

/// Parts of optimizers without which they plan a query in a simpler way.
const SIMPLER: [&str; 4] = [
    "semijoin=off",
    "derived_merge=off",
    "materialization=off",
    "semijoin=off,derived_merge=off,materialization=off",
];

/// A setting with which the plain server's answer is one that `is_the_routers` knows.
pub fn setting_of(
    plain: &mut Client,
    engine: Engine,
    (sql, prepared): (&str, bool),
    is_the_routers: impl Fn(&[Reply]) -> bool,
) -> Result<Option<String>, String> {
    let own: &[&str] = match engine {
        Engine::MySql => &["derived_condition_pushdown=off", "subquery_to_derived=on"],
        Engine::MariaDb => &[
            "split_materialized=off",
            "condition_pushdown_for_derived=off,condition_pushdown_for_subquery=off",
        ],
    };
    for setting in SIMPLER.iter().chain(own) {
        plain.run(&format!("set optimizer_switch = '{setting}'"))?;
        let replies = answer(plain, sql, prepared);
        plain.run("set optimizer_switch = default")?;
        if is_the_routers(&replies.map_err(|error| error.0)?) {
            return Ok(Some((*setting).to_owned()));
        }
    }
    Ok(None)
}
