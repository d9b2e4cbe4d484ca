//! Parameters of two digits that are compared with YEAR columns: as literals they would be years, as parameters they are
//! numbers (MySQL) or years too (MariaDB). So they stay parameters, of a query that one server evaluates.
//! <https://dev.mysql.com/doc/refman/9.0/en/two-digit-years.html>

use super::Executor;
use super::arguments::{Arguments, Placeholders};
use super::job::Job;
use super::planned::Placed;
use crate::engine::Arguments as _;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::plan::primitive::{Primitive, Route, Several};
use crate::sql::{Arg, ArgKind};
use crate::value::Value;

/// Years that mean themselves, however they are written.
const YEARS: std::ops::RangeInclusive<u64> = 1901..=2155;

/// Is one of these arguments a parameter that means something else as a literal?
pub(super) fn change(job: &Job<'_>, arguments: &[u32]) -> Result<bool> {
    if arguments.is_empty() || job.execution.is_none() {
        return Ok(false);
    }
    let values = Arguments::new(job, Placeholders::Inline);
    let is_parameter = |arg: &Arg| matches!(arg.kind, ArgKind::Placeholder(_));
    for index in arguments {
        match job.lexed.args.get(*index as usize) {
            Some(Arg { kind: ArgKind::List { first, count }, .. }) => {
                for (item, arg) in (0_u32..).zip(job.lexed.items(*first, *count)) {
                    if is_parameter(arg) && changes(&values.list_value(*index, item)?) {
                        return Ok(true);
                    }
                }
            }
            Some(arg) if is_parameter(arg) && changes(&values.value(*index)?) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

fn changes(value: &Value) -> bool {
    let year = match value {
        Value::Null => return false,
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::UInt(number) => Some(*number),
        Value::Text(text) => {
            std::str::from_utf8(text).ok().filter(|text| text.len() == 4).and_then(|t| t.parse().ok())
        }
        _ => None,
    };
    !year.is_some_and(|year| YEARS.contains(&year))
}

impl Executor {
    /// Runs a statement with such a parameter.
    pub(super) async fn with_years(&self, job: &mut Job<'_>, plan: &Plan) -> Result<()> {
        let refused =
            || Error::unsupported("a parameter of two digits beside a YEAR column, over several shards");
        let route: &Route = match &plan.root {
            Primitive::Route(route) => route,
            Primitive::Gather(gather) if !gather.repeats_arguments => {
                return self.gather_rows(job, gather).await;
            }
            _ => return Err(refused()),
        };
        let placed = match route.routing.asks_tables() {
            false => self.place(job, route, &[]),
            true => self.place_by_tables(job, route).await,
        };
        if let Ok(Placed::One(target)) = &placed {
            return self.at_one_shard(job, target, &route.query).await;
        }
        if !job.lexed.kind.is_query() {
            return Err(refused());
        }
        if let Several::Gather(gather) = &route.several
            && !gather.repeats_arguments
        {
            return self.gather_rows(job, gather).await;
        }
        let options = job.session.settings.lex_options();
        let planned = self.plan_with(job.session, &job.snapshot, &options, |ctx| {
            crate::plan::build_gathered(ctx, job.text, job.lexed)
        });
        match planned?.root {
            Primitive::Gather(gather) if !gather.repeats_arguments => self.gather_rows(job, &gather).await,
            _ => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_of_four_digits_are_the_same_as_literals() {
        let check = |value: Value, expected: bool| assert_eq!(changes(&value), expected, "{value:?}");
        check(Value::Null, false);
        check(Value::Int(1999), false);
        check(Value::UInt(2155), false);
        check(Value::text("2001"), false);
        check(Value::Int(99), true);
        check(Value::Int(-1), true);
        check(Value::Int(0), true);
        check(Value::text("70"), true);
        check(Value::text("2001 "), true);
        check(Value::Double(2001.0), true);
        check(Value::Int(2156), true);
    }
}
