//! Plans as text: for golden files and `shardgate explain`.

use std::fmt::Write as _;

use super::Plan;
use super::primitive::{
    AssignedValue, Change, Finish, Gather, GatherInput, Insert, InsertRows, Join, JoinRows, JoinedColumn,
    Lookup, Piece, Primitive, Query, ReadFirst, Route, Routing, Several, SortKey, Template, Update,
};

/// The plan as an indented tree. `original` is the statement's own text, shown where it is sent untouched.
pub fn describe(plan: &Plan, original: &str) -> String {
    let mut out = Tree { text: String::new(), original };
    out.primitive(&plan.root, 0);
    out.text
}

/// One primitive of a plan, as [`describe`] shows it.
pub(super) fn describe_primitive(primitive: &Primitive, original: &str) -> String {
    let mut out = Tree { text: String::new(), original };
    out.primitive(primitive, 0);
    out.text
}

struct Tree<'a> {
    text: String,
    original: &'a str,
}

impl Tree<'_> {
    fn line(&mut self, depth: usize, line: &str) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn primitive(&mut self, primitive: &Primitive, depth: usize) {
        let (line, input) = match primitive {
            Primitive::Route(route) => return self.route(route, depth),
            Primitive::Gather(gather) => return self.gather(gather, depth),
            Primitive::Insert(insert) => return self.insert(insert, depth),
            Primitive::ReadFirst(first) => return self.read_first(first, depth),
            Primitive::Join(join) => return self.join(join, depth),
            Primitive::EachShard(leaf) => {
                self.line(depth, "EachShard");
                let text = self.query(&leaf.query);
                return self.line(depth + 1, &format!("query: {text}"));
            }
            Primitive::Aggregate(node) => {
                let mut line = String::from("Aggregate");
                if node.is_scalar {
                    line.push_str(" scalar");
                }
                push_keys(&mut line, " group=", &node.group);
                push_keys(&mut line, " distinct=", &node.distinct);
                for column in &node.columns {
                    let _ = write!(line, " {column}");
                }
                (line, &node.input)
            }
            Primitive::Distinct(node) if node.is_by_value => ("Distinct by value".into(), &node.input),
            Primitive::Distinct(node) => (with_keys("Distinct", &node.keys), &node.input),
            Primitive::Filter(node) => (format!("Filter {}", node.predicate), &node.input),
            Primitive::Limit(node) => {
                let mut line = String::from("Limit");
                if let Some(count) = &node.count {
                    let _ = write!(line, " {count}");
                }
                if let Some(offset) = &node.offset {
                    let _ = write!(line, " offset {offset}");
                }
                (line, &node.input)
            }
            Primitive::MergeSort(node) => (with_keys("MergeSort", &node.keys), &node.input),
            Primitive::Sort(node) => (with_keys("Sort", &node.keys), &node.input),
            Primitive::Truncate(node) => (format!("Truncate helpers={}", node.helpers), &node.input),
        };
        self.line(depth, &line);
        self.primitive(input, depth + 1);
    }

    fn route(&mut self, route: &Route, depth: usize) {
        let keyspace = route.keyspace.as_ref().map_or("", |keyspace| keyspace.as_str());
        let line = format!("Route {} {keyspace}", route.routing.name());
        let line = match routing_values(&route.routing) {
            Some(values) => format!("{} {values}", line.trim_end()),
            None => line,
        };
        self.line(depth, &line);
        let text = self.query(&route.query);
        self.line(depth + 1, &format!("query: {text}"));
        match &route.several {
            Several::Never => {}
            Several::Combine(tree) => self.primitive(tree, depth + 1),
            Several::Finish(finish) => self.finish(finish, depth + 1),
            Several::Gather(gather) => self.gather(gather, depth + 1),
            Several::ReadFirst(first) => self.read_first(first, depth + 1),
            Several::Unsupported(what) => self.line(depth + 1, &format!("several: unsupported: {what}")),
            Several::Write(query) => self.several_write(depth + 1, "several: added up", query, &route.query),
            Several::WriteReturning { query, is_same } => {
                let what = if *is_same { "several: the rows of one" } else { "several: the rows of all" };
                self.several_write(depth + 1, what, query, &route.query);
            }
            Several::WriteSame(query) => {
                self.several_write(depth + 1, "several: the same", query, &route.query)
            }
        }
    }

    fn read_first(&mut self, first: &ReadFirst, depth: usize) {
        self.line(depth, "ReadFirst");
        if let Some(whole) = &first.whole {
            self.line(depth + 1, "where the sharding key keeps its shard:");
            self.route(whole, depth + 2);
        }
        let with = template_text(&first.with);
        let values: String = first.values.iter().map(|value| format!(", {}", template_text(value))).collect();
        let text = format!("{with} select {{keys}}{values} from {} for update", template_text(&first.from));
        self.line(depth + 1, &format!("read: {}", one_line(text.trim())));
        for target in &first.targets {
            let table = &target.table.0;
            let name = format!("{}.{} as {}", table.keyspace, table.name, target.alias);
            match &target.change {
                Change::Delete { modifiers } => self.line(depth + 1, &format!("delete {modifiers}{name}")),
                Change::Update(update) => self.update(update, &name, depth + 1),
            }
        }
    }

    fn update(&mut self, update: &Update, name: &str, depth: usize) {
        let assignments: Vec<String> = update
            .assignments
            .iter()
            .map(|assigned| match &assigned.value {
                AssignedValue::Expression(text) => format!("{} = {}", assigned.column, template_text(text)),
                AssignedValue::Read(index) => format!("{} = {{value {}}}", assigned.column, index + 1),
            })
            .collect();
        let moves = if update.moves { " (rows may move)" } else { "" };
        let text = format!("update {}{name} set {}{moves}", update.modifiers, assignments.join(", "));
        self.line(depth, &one_line(&text));
    }

    fn several_write(&mut self, depth: usize, what: &str, query: &Query, whole: &Query) {
        self.line(depth, what);
        let (text, whole) = (self.query(query), self.query(whole));
        if text != whole {
            self.line(depth + 1, &format!("query: {text}"));
        }
    }

    fn insert(&mut self, insert: &Insert, depth: usize) {
        let mut line = format!("Insert {}", insert.keyspace);
        for vindex in &insert.vindexes {
            let columns: Vec<String> = vindex
                .columns
                .iter()
                .zip(&vindex.positions)
                .map(|(name, at)| match at {
                    Some(at) => format!("{name}={at}"),
                    None if insert
                        .generated
                        .as_ref()
                        .is_some_and(|g| g.column.eq_ignore_ascii_case(name)) =>
                    {
                        format!("{name}=generated")
                    }
                    None => format!("{name}=default"),
                })
                .collect();
            let _ = write!(line, " {}({})", vindex.vindex.name(), columns.join(", "));
        }
        for lookup in &insert.lookups {
            let name = lookup.vindex.vindex.name();
            let what = if lookup.is_owned { "keeps" } else { "checks" };
            let _ = write!(line, " {what} {name}({})", lookup.vindex.columns.join(", "));
        }
        if let Some(id) = &insert.pinned {
            let _ = write!(line, " pinned={id}");
        }
        if insert.is_copied {
            line.push_str(" to all shards");
        }
        if insert.is_ignore {
            line.push_str(" ignore");
        }
        if insert.replaces.is_some() {
            line.push_str(" replace");
        }
        self.line(depth, &line);
        if let Some(generated) = &insert.generated {
            let place = generated.position.map_or_else(|| "added".to_owned(), |at| at.to_string());
            let sequence = format!("{}.{}", generated.keyspace, generated.sequence);
            self.line(depth + 1, &format!("generated: {} at {place} from {sequence}", generated.column));
        }
        match &insert.rows {
            InsertRows::Set { query, .. } => {
                let text = template_text(query);
                self.line(depth + 1, &format!("query: {text}"));
            }
            InsertRows::Select { head, query, tail, behind_carried, .. } => {
                self.line(depth + 1, &format!("head: {}", String::from_utf8_lossy(head)));
                let text = one_line(&template_text(query));
                self.line(depth + 1, &format!("rows of: {text}"));
                let mut text = one_line(&template_text(tail));
                for (index, part) in behind_carried.iter().enumerate() {
                    text.push_str(&format!(":carried{index}{}", template_text(part)));
                }
                if !text.is_empty() {
                    self.line(depth + 1, &format!("tail: {text}"));
                }
            }
            InsertRows::Values { head: Some(head), .. } => {
                self.line(depth + 1, &format!("head: {}", String::from_utf8_lossy(head)));
            }
            InsertRows::Values { head: None, .. } => {}
        }
    }

    fn gather(&mut self, gather: &Gather, depth: usize) {
        self.line(depth, &format!("Gather {} because of {}", gather.host, gather.reason));
        for (index, input) in gather.inputs.iter().enumerate() {
            self.gather_input(index, input, depth + 1);
        }
        let text = one_line(&template_text(&gather.query));
        self.line(depth + 1, &format!("query: {text}"));
        match gather.joined.as_deref() {
            Some(Several::Combine(tree)) => {
                self.line(depth + 1, "joined:");
                self.primitive(tree, depth + 2);
            }
            Some(Several::Finish(finish)) => {
                self.line(depth + 1, "joined:");
                self.finish(finish, depth + 2);
            }
            _ => {}
        }
    }

    fn finish(&mut self, finish: &Finish, depth: usize) {
        self.line(depth, "Finish");
        self.line(depth + 1, &format!("query: {}", one_line(&template_text(&finish.query))));
        self.primitive(&finish.rows, depth + 1);
    }

    fn join(&mut self, join: &Join, depth: usize) {
        let column = |column: &JoinedColumn| match column {
            JoinedColumn::One { side, column, is_multiplied } => {
                format!("{}.{column}{}", side + 1, if *is_multiplied { " times" } else { "" })
            }
            JoinedColumn::Rest { side } => format!("{}.*", side + 1),
            JoinedColumn::Weight => "times".to_owned(),
        };
        let columns: Vec<String> = join.columns.iter().map(column).collect();
        let exists = join.exists.map(|side| format!(" where {} exists", side + 1));
        let kept = join.kept.as_ref().map(|kept| format!(" all rows of {}", kept.side + 1));
        let kept = kept.or(exists).unwrap_or_default();
        let merged = if join.merged.is_empty() {
            String::new()
        } else {
            format!(" without {}", join.merged.join(", "))
        };
        self.line(depth, &format!("Join{kept} ({}){merged}", columns.join(", ")));
        for (number, side) in (1..).zip(&join.sides) {
            let query = match &side.rows {
                JoinRows::Query(query) => query,
                JoinRows::Joined(first) => {
                    self.line(depth + 1, &format!("{number}: joined by {}", side.keys.join(", ")));
                    self.join(first, depth + 2);
                    continue;
                }
            };
            let mut line = format!("{number}: {} {}", query.routing.name(), query.keyspace);
            if let Some(values) = routing_values(&query.routing) {
                let _ = write!(line, " {values}");
            }
            if number == 2 && join.asks_by_values() {
                let vindex = &query.asked.1;
                let _ = write!(line, " in {}", query.asked_column);
                let by = vindex.as_ref().map_or(String::new(), |vindex| format!(" by {}", vindex.name()));
                line.push_str(&by);
            }
            self.line(depth + 1, &line);
            let tail = query.tail.as_ref().map_or(String::new(), template_text);
            let text = format!("{}{tail}", template_text(&query.head));
            self.line(depth + 2, &format!("query: {}", one_line(&text)));
        }
        if let Some(kept) = &join.kept {
            self.line(depth + 1, &format!("nulls: {}", one_line(&template_text(&kept.nulls))));
        }
    }

    fn gather_input(&mut self, index: usize, input: &GatherInput, depth: usize) {
        let mut line = format!("t{}: {} {}", index + 1, input.routing.name(), input.keyspace);
        if let Some(values) = routing_values(&input.routing) {
            let _ = write!(line, " {values}");
        }
        let _ = write!(line, " {}", input.table);
        if input.alias != input.table {
            let _ = write!(line, " as {}", input.alias);
        }
        line.push_str(&input.partitions);
        for (index, filter) in input.filters.iter().enumerate() {
            let word = if index == 0 { "where" } else { "and" };
            let _ = write!(line, " {word} {}", one_line(&template_text(&filter.text)));
        }
        for reducer in &input.reducers {
            let vindex =
                reducer.vindex.as_ref().map_or(String::new(), |vindex| format!(" by {}", vindex.name()));
            let _ = write!(
                line,
                " reduced {} = t{}.{}{vindex}",
                reducer.column,
                reducer.other + 1,
                reducer.other_column
            );
        }
        line.push_str(&input.lock);
        self.line(depth, &line);
    }

    fn query(&self, query: &Query) -> String {
        match query {
            Query::Original => one_line(self.original),
            Query::Template(template) => one_line(&template_text(template)),
        }
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

fn with_keys(name: &str, keys: &[SortKey]) -> String {
    let mut line = name.to_owned();
    push_keys(&mut line, " ", keys);
    line
}

fn push_keys(line: &mut String, before: &str, keys: &[SortKey]) {
    if !keys.is_empty() {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let _ = write!(line, "{before}({})", keys.join(", "));
    }
}

pub(super) fn routing_values(routing: &Routing) -> Option<String> {
    let list = |lookups: &[Lookup]| lookups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" & ");
    match routing {
        Routing::EqualUnique(lookup) | Routing::In(lookup) => Some(lookup.to_string()),
        Routing::Intersect(lookups) => Some(list(lookups)),
        Routing::SameShard(groups) | Routing::Union(groups) => {
            Some(groups.iter().map(|group| list(group)).collect::<Vec<_>>().join(" | "))
        }
        Routing::Pinned(id) => Some(id.to_string()),
        Routing::SystemSchema(values) if !values.is_empty() => {
            Some(values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" & "))
        }
        Routing::AnyShard
        | Routing::None
        | Routing::Scatter
        | Routing::SystemSchema(_)
        | Routing::Unsharded => None,
    }
}

/// A template with the names of its holes.
pub(super) fn template_text(template: &Template) -> String {
    let mut text = String::new();
    for piece in &template.pieces {
        let _ = match piece {
            Piece::Arg(index) => write!(text, ":v{}", index + 1),
            Piece::DatabaseName(value) => write!(text, "{{database of {value}}}"),
            Piece::DatabaseNames(index) => write!(text, "{{databases of :l{}}}", index + 1),
            Piece::DatabaseCases => write!(text, "{{when database then keyspace}}"),
            Piece::Gathered(index) => write!(text, "{{t{}}}", index + 1),
            Piece::List(index) => write!(text, ":l{}", index + 1),
            Piece::ListForShard(index) => write!(text, ":l{} of the shard", index + 1),
            Piece::RowsNeeded { count, offset } => {
                let zero = super::primitive::RouteValue::Literal(crate::value::Value::Int(0));
                if *offset == zero { write!(text, "{count}") } else { write!(text, "{{{count} + {offset}}}") }
            }
            Piece::Search { input, .. } => write!(text, "{{search in t{}}}", input + 1),
            Piece::Sequence => write!(text, "{{sequence}}"),
            Piece::Session(value) => write!(text, "{{{}}}", value.sql()),
            Piece::Text(part) => write!(text, "{}", String::from_utf8_lossy(part)),
            Piece::Weight { helper, .. } => write!(text, "{{weight h{helper}}}"),
        };
    }
    text
}
