//! Comment directives: `/*vt+ NAME[=value] … */`, as in Vitess, but forgiving about blanks at the edges.

/// What a directive comment asks for. Unknown names are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `ALLOW_GATHER`, where it is given.
    pub allow_gather: Option<bool>,
    /// `ALLOW_HASH_JOIN`
    pub allow_hash_join: bool,
    /// `ALLOW_SCATTER`
    pub allow_scatter: bool,
    /// `EXECUTE_DML_QUERIES` of `VEXPLAIN`
    pub execute_dml_queries: bool,
    /// `IGNORE_MAX_MEMORY_ROWS`
    pub ignore_max_memory_rows: bool,
    /// `IGNORE_MAX_PAYLOAD_SIZE`
    pub ignore_max_payload_size: bool,
    /// `MULTI_SHARD_AUTOCOMMIT`: each shard commits for itself.
    pub multi_shard_autocommit: bool,
    /// `PLANNER=…`
    pub planner: Option<String>,
    /// `PRIORITY=0…100`, 100 the lowest: for throttlers behind the router, which itself treats all alike.
    pub priority: Option<u8>,
    /// A `PRIORITY` that is none.
    pub has_invalid_priority: bool,
    /// `QUERY_TIMEOUT_MS=n`; zero means none.
    pub query_timeout_ms: Option<u64>,
    /// `SCATTER_ERRORS_AS_WARNINGS`
    pub scatter_errors_as_warnings: bool,
    /// `SKIP_QUERY_PLAN_CACHE`
    pub skip_query_plan_cache: bool,
    /// `WORKLOAD_NAME=…`
    pub workload_name: Option<String>,
}

impl Directives {
    /// Reads the content of a directive comment (`Lexed::directive`).
    pub fn parse(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        let mut directives = Self::default();
        for (name, value) in settings(&text) {
            directives.set(&name, value);
        }
        directives
    }

    fn set(&mut self, name: &str, value: Option<String>) {
        let is_on = value.as_deref().is_none_or(is_true);
        match name {
            "ALLOW_GATHER" => self.allow_gather = Some(is_on),
            "ALLOW_HASH_JOIN" => self.allow_hash_join = is_on,
            "ALLOW_SCATTER" => self.allow_scatter = is_on,
            "EXECUTE_DML_QUERIES" => self.execute_dml_queries = is_on,
            "IGNORE_MAX_MEMORY_ROWS" => self.ignore_max_memory_rows = is_on,
            "IGNORE_MAX_PAYLOAD_SIZE" => self.ignore_max_payload_size = is_on,
            "MULTI_SHARD_AUTOCOMMIT" => self.multi_shard_autocommit = is_on,
            "PLANNER" => self.planner = value,
            "PRIORITY" => {
                self.priority = value.and_then(|text| text.parse().ok()).filter(|priority| *priority <= 100);
                self.has_invalid_priority = self.priority.is_none();
            }
            "QUERY_TIMEOUT_MS" => self.query_timeout_ms = value.and_then(|text| text.parse().ok()),
            "SCATTER_ERRORS_AS_WARNINGS" => self.scatter_errors_as_warnings = is_on,
            "SKIP_QUERY_PLAN_CACHE" => self.skip_query_plan_cache = is_on,
            "WORKLOAD_NAME" => self.workload_name = value,
            _ => {}
        }
    }
}

/// Go's `ParseBool`, which Vitess uses.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// `NAME`, `NAME=value`, `NAME = 'quoted value'`; names in upper case.
fn settings(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let name_end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let name = rest[..name_end].to_ascii_uppercase();
        rest = rest[name_end..].trim_start();
        let value = match rest.strip_prefix('=') {
            Some(after) => {
                let (value, behind) = value_of(after.trim_start());
                rest = behind;
                Some(value)
            }
            None => None,
        };
        if !name.is_empty() {
            found.push((name, value));
        }
        rest = rest.trim_start();
    }
    found
}

fn value_of(text: &str) -> (String, &str) {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))
        && let Some(end) = text[1..].find(quote)
    {
        return (text[1..=end].to_owned(), &text[end + 2..]);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let check = |text: &str, expected: Directives| {
            assert_eq!(Directives::parse(text.as_bytes()), expected, "{text}")
        };
        let none = Directives::default();
        check("", none.clone());
        check("=", none.clone());
        check(" UNKNOWN=1 ", none.clone());
        check("ALLOW_SCATTER", Directives { allow_scatter: true, ..none.clone() });
        check(" allow_scatter=0", none.clone());
        check(
            " QUERY_TIMEOUT_MS=100 PRIORITY=101",
            Directives { query_timeout_ms: Some(100), has_invalid_priority: true, ..none.clone() },
        );
        check(
            "WORKLOAD_NAME='a b' SKIP_QUERY_PLAN_CACHE = true",
            Directives { workload_name: Some("a b".into()), skip_query_plan_cache: true, ..none },
        );
    }
}
