//! The status page: any JSON as HTML tables. Pure text; everything that comes from outside is escaped.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

/// The whole page. `links` are paths and what they show.
pub fn render<'a>(
    health: &Result<(), String>,
    uptime: Duration,
    links: impl Iterator<Item = (&'a str, &'a str)>,
    status: Option<&Value>,
) -> String {
    let mut out = String::from(HEAD);
    let health = match health {
        Ok(()) => "ok",
        Err(reason) => reason,
    };
    let version = env!("CARGO_PKG_VERSION");
    // Writing to a String cannot fail, here and below.
    let _ = write!(out, "<h1>Shardgate {version}</h1><p>up {uptime:?}, health: ");
    escape(&mut out, health);
    out.push_str("</p><ul><li><a href=\"/metrics\">/metrics</a> for Prometheus</li>");
    for (path, about) in links {
        let _ = write!(out, "<li><a href=\"{path}\">{path}</a> ");
        escape(&mut out, about);
        out.push_str("</li>");
    }
    out.push_str("</ul>");
    if let Some(status) = status {
        value(&mut out, status, DEPTH_MAX);
    }
    out.push_str("</body></html>\n");
    out
}

const HEAD: &str = "<!DOCTYPE html><html><head><title>Shardgate</title><style>\
    body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}\
    td,th{border:1px solid #ccc;padding:2px 8px;text-align:left;vertical-align:top}\
    </style></head><body>";

/// Nesting of tables; deeper values are shown as JSON text.
const DEPTH_MAX: usize = 6;

fn value(out: &mut String, shown: &Value, depth: usize) {
    match shown {
        Value::Null => {}
        Value::String(text) => escape(out, text),
        Value::Object(fields) if depth > 0 => object(out, fields, depth - 1),
        Value::Array(items) if depth > 0 => array(out, items, depth - 1),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            escape(out, &shown.to_string());
        }
    }
}

fn object(out: &mut String, fields: &Map<String, Value>, depth: usize) {
    out.push_str("<table>");
    for (name, field) in fields {
        out.push_str("<tr><th>");
        escape(out, name);
        out.push_str("</th><td>");
        value(out, field, depth);
        out.push_str("</td></tr>");
    }
    out.push_str("</table>");
}

/// Objects become the rows of one table, under the first one's names; anything else a list.
fn array(out: &mut String, items: &[Value], depth: usize) {
    let Some(Value::Object(first)) = items.first() else {
        for item in items {
            value(out, item, depth);
            out.push_str("<br>");
        }
        return;
    };
    out.push_str("<table><tr>");
    for name in first.keys() {
        out.push_str("<th>");
        escape(out, name);
        out.push_str("</th>");
    }
    out.push_str("</tr>");
    for item in items {
        out.push_str("<tr>");
        for name in first.keys() {
            out.push_str("<td>");
            value(out, item.get(name).unwrap_or(&Value::Null), depth);
            out.push_str("</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(shown: Value, expected: &str) {
        let mut out = String::new();
        value(&mut out, &shown, DEPTH_MAX);
        assert_eq!(out, expected);
    }

    #[test]
    fn json_becomes_tables() {
        check(json!({ "a": 1 }), "<table><tr><th>a</th><td>1</td></tr></table>");
        check(json!([1, "<x>"]), "1<br>&lt;x&gt;<br>");
        check(
            json!([{ "a": 1, "b": null }, { "a": true }]),
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td></td></tr>\
             <tr><td>true</td><td></td></tr></table>",
        );
    }

    #[test]
    fn deep_nesting_is_cut() {
        let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
        let mut out = String::new();
        value(&mut out, &deep, DEPTH_MAX);
        assert_eq!(out.matches("<table>").count(), DEPTH_MAX);
    }
}
