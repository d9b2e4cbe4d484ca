//! Plans as JSON in the form of Vitess's plans, for `VEXPLAIN PLAN` and `VEXPLAIN TRACE`: `OperatorType`, `Variant`,
//! `Keyspace`, `Query`, `Inputs`, …; operators that Vitess has not are named like those that it has.

use serde_json::{Map, Value, json};

use super::Plan;
use super::describe::{describe_primitive, one_line, routing_values, template_text};
use super::primitive::{Gather, Primitive, Query, Route, Routing, Several, SortKey};
use crate::sql::StatementKind;
use crate::topology::KeyspaceName;

/// How a plan's operators did when the statement ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rows that each operator of a combining tree gave, from its leaf up; empty if there was no such tree.
    pub row_counts: Vec<u64>,
    /// Rows that the client got, or that were changed.
    pub rows: u64,
    /// Queries that were sent.
    pub queries: usize,
    /// Shards that they were sent to.
    pub shards: usize,
}

/// The plan as JSON. `original` is the statement's own text, shown where it is sent untouched; `figures` are added.
pub fn describe_json(
    plan: &Plan,
    original: &str,
    is_sharded: &dyn Fn(&KeyspaceName) -> bool,
    figures: Option<&Figures>,
) -> Value {
    let operators = Operators { kind: plan.kind, original, is_sharded, figures };
    let node = match &plan.root {
        Primitive::Route(route) => operators.route(route),
        Primitive::Gather(gather) => operators.gather(gather),
        other => operators.described_whole(other),
    };
    Value::Object(node)
}

type Node = Map<String, Value>;

struct Operators<'a> {
    kind: StatementKind,
    original: &'a str,
    is_sharded: &'a dyn Fn(&KeyspaceName) -> bool,
    figures: Option<&'a Figures>,
}

impl Operators<'_> {
    fn route(&self, route: &Route) -> Node {
        match &route.several {
            Several::Combine(tree) => self.tree(tree, route, &[]).0,
            Several::Finish(finish) => {
                let (rows, _) = self.tree(&finish.rows, route, &[]);
                let mut node = operator("Finish", None);
                node.insert("Query".into(), one_line(&template_text(&finish.query)).into());
                self.measure_whole(&mut node);
                with_inputs(node, vec![rows])
            }
            Several::Gather(gather) => self.gather(gather),
            Several::ReadFirst(first) => self.described_whole(&Primitive::ReadFirst(first.clone())),
            _ => {
                let mut node = self.leaf(route, &route.query);
                self.measure_whole(&mut node);
                node
            }
        }
    }

    /// A combining tree; its leaf is the route itself. Also how many operators below and with it were measured.
    fn tree(&self, tree: &Primitive, route: &Route, merged_by: &[SortKey]) -> (Node, usize) {
        let (mut node, input) = match tree {
            Primitive::EachShard(each) => {
                let mut leaf = self.leaf(route, &each.query);
                if !merged_by.is_empty() {
                    leaf.insert("OrderBy".into(), keys(merged_by));
                }
                self.measure(&mut leaf, 0);
                if let Some(figures) = self.figures {
                    leaf.insert("ShardsQueried".into(), figures.shards.into());
                }
                return (leaf, 1);
            }
            Primitive::MergeSort(sort) => return self.tree(&sort.input, route, &sort.keys),
            Primitive::Aggregate(plan) => {
                let mut node = operator("Aggregate", Some(if plan.is_scalar { "Scalar" } else { "Ordered" }));
                let columns: Vec<String> = plan.columns.iter().map(ToString::to_string).collect();
                node.insert("Aggregates".into(), columns.join(", ").into());
                if !plan.group.is_empty() {
                    node.insert("GroupBy".into(), keys(&plan.group));
                }
                (node, &plan.input)
            }
            Primitive::Distinct(plan) => (operator("Distinct", None), &plan.input),
            Primitive::Filter(plan) => {
                let mut node = operator("Filter", None);
                node.insert("Predicate".into(), plan.predicate.to_string().into());
                (node, &plan.input)
            }
            Primitive::Limit(plan) => {
                let mut node = operator("Limit", None);
                let mut put = |name: &str, value: Option<String>| {
                    if let Some(value) = value {
                        node.insert(name.into(), value.into());
                    }
                };
                put("Count", plan.count.as_ref().map(ToString::to_string));
                put("Offset", plan.offset.as_ref().map(ToString::to_string));
                (node, &plan.input)
            }
            Primitive::Sort(plan) => {
                let mut node = operator("Sort", Some("Memory"));
                node.insert("OrderBy".into(), keys(&plan.keys));
                (node, &plan.input)
            }
            Primitive::Truncate(plan) => {
                let mut node = operator("SimpleProjection", None);
                node.insert("DroppedColumns".into(), plan.helpers.into());
                (node, &plan.input)
            }
            other => {
                let mut node = self.described(other);
                self.measure(&mut node, 0);
                return (node, 1);
            }
        };
        let (input, measured) = self.tree(input, route, merged_by);
        self.measure(&mut node, measured);
        (with_inputs(node, vec![input]), measured + 1)
    }

    fn leaf(&self, route: &Route, query: &Query) -> Node {
        let name = match self.kind {
            StatementKind::Delete => "Delete",
            StatementKind::Insert | StatementKind::Replace => "Insert",
            StatementKind::Update => "Update",
            kind if kind.is_query() => "Route",
            _ => "Send",
        };
        let mut node = operator(name, Some(variant(&route.routing)));
        if let Some(keyspace) = &route.keyspace {
            node.insert("Keyspace".into(), self.keyspace(keyspace));
        }
        let text = match query {
            Query::Original => one_line(self.original),
            Query::Template(template) => one_line(&template_text(template)),
        };
        node.insert("Query".into(), text.into());
        match &route.routing {
            Routing::EqualUnique(lookup) | Routing::In(lookup) => {
                let text = lookup.to_string();
                let name = lookup.vindex.name();
                let values = text.strip_prefix(name).unwrap_or(&text);
                let values =
                    values.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(values);
                node.insert("Values".into(), json!([values]));
                node.insert("Vindex".into(), name.into());
            }
            routing => {
                if let Some(values) = routing_values(routing) {
                    node.insert("Values".into(), json!([values]));
                }
            }
        }
        node
    }

    fn gather(&self, gather: &Gather) -> Node {
        let mut node = operator("Gather", None);
        node.insert("Keyspace".into(), self.keyspace(&gather.host));
        node.insert("Reason".into(), (*gather.reason).into());
        node.insert("Query".into(), one_line(&template_text(&gather.query)).into());
        self.measure_whole(&mut node);
        let inputs = gather.inputs.iter().enumerate().map(|(index, input)| {
            let mut node = operator("Route", Some(variant(&input.routing)));
            node.insert("InputName".into(), format!("t{}", index + 1).into());
            node.insert("Keyspace".into(), self.keyspace(&input.keyspace));
            node.insert("Table".into(), (*input.table).into());
            let filters: Vec<String> =
                input.filters.iter().map(|filter| one_line(&template_text(&filter.text))).collect();
            if !filters.is_empty() {
                node.insert("Predicate".into(), filters.join(" and ").into());
            }
            if let Some(values) = routing_values(&input.routing) {
                node.insert("Values".into(), json!([values]));
            }
            node
        });
        with_inputs(node, inputs.collect())
    }

    fn described_whole(&self, primitive: &Primitive) -> Node {
        let mut node = self.described(primitive);
        self.measure_whole(&mut node);
        node
    }

    /// What has no form in Vitess's plans, in the words of our own.
    fn described(&self, primitive: &Primitive) -> Node {
        let text = describe_primitive(primitive, self.original);
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
        let mut node = operator(name, None);
        let steps: Vec<&str> = Some(rest).filter(|rest| !rest.is_empty()).into_iter().chain(lines).collect();
        node.insert("Description".into(), steps.iter().map(|step| step.trim_end()).collect());
        node
    }

    fn keyspace(&self, name: &KeyspaceName) -> Value {
        json!({"Name": name.as_str(), "Sharded": (self.is_sharded)(name)})
    }

    /// Rows of the operator with this number, counted from the leaf.
    fn measure(&self, node: &mut Node, number: usize) {
        if let Some(rows) = self.figures.and_then(|figures| figures.row_counts.get(number)) {
            put_rows(node, *rows);
        }
    }

    /// Rows of an operator that is the whole plan.
    fn measure_whole(&self, node: &mut Node) {
        if let Some(figures) = self.figures {
            put_rows(node, figures.rows);
            node.insert("ShardsQueried".into(), figures.shards.into());
            node.insert("QueriesSent".into(), figures.queries.into());
        }
    }
}

/// A statement runs each operator once, so that average and median are what there was.
fn put_rows(node: &mut Node, rows: u64) {
    node.insert("NoOfCalls".into(), 1.into());
    node.insert("AvgNumberOfRows".into(), rows.into());
    node.insert("MedianNumberOfRows".into(), rows.into());
}

fn operator(name: &str, variant: Option<&str>) -> Node {
    let mut node = Node::new();
    node.insert("OperatorType".into(), name.into());
    if let Some(variant) = variant {
        node.insert("Variant".into(), variant.into());
    }
    node
}

fn with_inputs(mut node: Node, inputs: Vec<Node>) -> Node {
    node.insert("Inputs".into(), inputs.into_iter().map(Value::Object).collect());
    node
}

fn keys(keys: &[SortKey]) -> Value {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ").into()
}

/// Vitess's name of a routing.
fn variant(routing: &Routing) -> &'static str {
    match routing {
        Routing::AnyShard => "Reference",
        Routing::EqualUnique(lookup) if !lookup.is_one_value() => "Equal",
        Routing::EqualUnique(_) | Routing::Pinned(_) | Routing::SameShard(_) => "EqualUnique",
        Routing::In(_) | Routing::Union(_) => "IN",
        Routing::Intersect(_) => "MultiEqual",
        Routing::SystemSchema(_) => "DBA",
        other => other.name(),
    }
}
