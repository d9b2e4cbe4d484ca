//! From rows of `information_schema` to tables and views. Tolerant: a value that is missing or odd says nothing.

use std::collections::HashMap;

use crate::backend::ControlResult;
use crate::schema::{
    Action, Column, ForeignKey, ForeignKeysOfTables, Generation, Key, KeyKind, KeyPart, Relation,
};

type Row = [Option<Vec<u8>>];

/// The relations that the rows describe. The columns of each of the three results are those that
/// [`super::read()`] asks for; rows of one table stand together.
pub(super) fn relations(
    columns: &ControlResult,
    keys: &ControlResult,
    views: &ControlResult,
) -> Vec<Relation> {
    let mut relations: Vec<Relation> = Vec::new();
    for row in &columns.rows {
        let Some(name) = text(row, 0) else { continue };
        let is_same = relations.last().is_some_and(|relation| relation.name == *name);
        if !is_same {
            relations.push(Relation::new(&name));
        }
        if let (Some(relation), Some(column)) = (relations.last_mut(), column(row)) {
            relation.columns.push(column);
        }
    }
    let index: HashMap<String, usize> =
        relations.iter().enumerate().map(|(index, relation)| (relation.name.to_string(), index)).collect();
    let find = |row: &Row| text(row, 0).and_then(|name| index.get(&name).copied());
    for row in &keys.rows {
        if let Some(at) = find(row) {
            add_key_part(&mut relations[at].keys, row);
        }
    }
    for relation in &mut relations {
        relation.keys.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    }
    for row in &views.rows {
        if let Some(at) = find(row) {
            relations[at].definition = Some(text(row, 1).unwrap_or_default().into());
        }
    }
    relations
}

/// The foreign keys that the rows describe, the columns of one behind each other.
pub(super) fn foreign_keys(rows: &ControlResult) -> ForeignKeysOfTables {
    let mut found: ForeignKeysOfTables = Vec::new();
    for row in &rows.rows {
        let words: Option<Vec<String>> = (0..8).map(|index| text(row, index)).collect();
        let Some(words) = words else { continue };
        let [table, name, column, parent, parent_column, on_delete, on_update, version] = words.as_slice()
        else {
            continue;
        };
        let is_last = found.last().is_some_and(|(of, key)| *of == **table && *key.name == **name);
        if !is_last {
            let key = ForeignKey {
                name: name.as_str().into(),
                columns: Vec::new(),
                parent: parent.as_str().into(),
                parent_columns: Vec::new(),
                on_delete: Action::of_word(on_delete),
                on_update: Action::of_word(on_update),
                is_mariadb: version.contains("MariaDB"),
                words: "".into(),
            };
            found.push((table.as_str().into(), key));
        }
        if let Some((_, key)) = found.last_mut() {
            key.columns.push(column.as_str().into());
            key.parent_columns.push(parent_column.as_str().into());
            key.spell_out();
        }
    }
    // Servers take them in this order, whatever order their collation has.
    found.sort_by(|(a, key_a), (b, key_b)| (a.as_str(), &key_a.name).cmp(&(b.as_str(), &key_b.name)));
    found
}

fn column(row: &Row) -> Option<Column> {
    let extra = text(row, 8).unwrap_or_default().to_ascii_uppercase();
    let mut column = Column::new(&text(row, 1)?, &text(row, 2)?, &text(row, 3)?);
    column.charset = text(row, 4).map(Into::into);
    column.collation = text(row, 5).map(Into::into);
    column.is_nullable = text(row, 6).is_none_or(|word| word != "NO");
    column.default = text(row, 7).map(Into::into);
    column.generation = if extra.contains("AUTO_INCREMENT") {
        Generation::AutoIncrement
    } else if extra.contains("VIRTUAL GENERATED") || extra.contains("STORED GENERATED") {
        Generation::Expression
    } else {
        Generation::None
    };
    column.is_invisible = extra.split([' ', ',']).any(|word| word == "INVISIBLE");
    column.size = number(row, 9).or_else(|| number(row, 10)).unwrap_or_default();
    column.scale = number(row, 11).or_else(|| number(row, 12)).unwrap_or_default();
    Some(column)
}

fn add_key_part(keys: &mut Vec<Key>, row: &Row) {
    let Some(name) = text(row, 1) else { return };
    let part =
        KeyPart { column: text(row, 3).map(|name| name.as_str().into()), is_prefix: text(row, 4).is_some() };
    if let Some(key) = keys.last_mut().filter(|key| *key.name == *name) {
        key.parts.push(part);
        return;
    }
    let kind = match (name.as_str(), number(row, 2)) {
        ("PRIMARY", _) => KeyKind::Primary,
        (_, Some(0)) => KeyKind::Unique,
        _ => KeyKind::Index,
    };
    keys.push(Key { name: name.into(), kind, parts: vec![part] });
}

fn text(row: &Row, index: usize) -> Option<String> {
    let bytes = row.get(index)?.as_deref()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Lengths of the longest types do not fit; they mean "as long as you like".
fn number(row: &Row, index: usize) -> Option<u32> {
    let number: u64 = text(row, index)?.parse().ok()?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vschema::ColumnType;

    fn result(rows: &[&str]) -> ControlResult {
        let cell = |text: &str| (text != "-").then(|| text.as_bytes().to_vec());
        let rows = rows.iter().map(|row| row.split('|').map(cell).collect()).collect();
        ControlResult { columns: Vec::new(), rows }
    }

    #[test]
    fn rows_of_both_engines_are_understood() {
        let columns = result(&[
            "t|id|bigint|bigint(20) unsigned|-|-|NO|-|auto_increment|-|20|0|-",
            "t|name|varchar|varchar(64)|latin1|latin1_bin|YES|NULL||64|-|-|-",
            "t|at|datetime|datetime(3)|-|-|YES|-|INVISIBLE|-|-|-|3",
            "t|double_id|bigint|bigint|-|-|YES|-|VIRTUAL GENERATED|-|19|0|-",
            "t|now|timestamp|timestamp|-|-|YES|CURRENT_TIMESTAMP|DEFAULT_GENERATED on update CURRENT_TIMESTAMP|-|-|-|0",
            "v|id|int|int|-|-|NO|0||-|10|0|-",
        ]);
        let keys =
            result(&["t|name|1|name|10", "t|PRIMARY|0|id|-", "t|u|0|-|-", "t|u|0|at|-", "gone|k|0|x|-"]);
        let views = result(&["v|select 1 AS `id`", "gone|select 1"]);
        let found = relations(&columns, &keys, &views);
        assert_eq!(found.len(), 2);
        let t = &found[0];
        let generations: Vec<_> = t.columns.iter().map(|column| column.generation).collect();
        use Generation::{AutoIncrement, Expression, None};
        assert_eq!(generations, [AutoIncrement, None, None, Expression, None]);
        assert_eq!((t.columns[0].column_type, t.columns[0].is_nullable), (ColumnType::UInt64, false));
        assert_eq!((t.columns[1].collation.as_deref(), t.columns[1].size), (Some("latin1_bin"), 64));
        assert_eq!((t.columns[2].is_invisible, t.columns[2].scale), (true, 3));
        let kinds: Vec<_> = t.keys.iter().map(|key| (key.kind, &*key.name)).collect();
        assert_eq!(kinds, [(KeyKind::Primary, "PRIMARY"), (KeyKind::Unique, "u"), (KeyKind::Index, "name")]);
        assert_eq!(t.primary_key().unwrap(), [&crate::vschema::ColumnName::from("id")]);
        assert_eq!((t.keys[1].parts.len(), t.keys[1].columns()), (2, Option::None));
        assert!(t.keys[2].parts[0].is_prefix);
        assert_eq!(found[1].definition.as_deref(), Some("select 1 AS `id`"));
        assert!(!t.is_view());
    }

    #[test]
    fn foreign_keys_have_their_columns_in_order() {
        let rows = result(&[
            "c|f|a|p|x|CASCADE|RESTRICT|10.11.6-MariaDB",
            "c|f|b|p|y|CASCADE|RESTRICT|10.11.6-MariaDB",
            "c|A|a|p|z|NO ACTION|SET NULL|10.11.6-MariaDB",
            "c|broken|a|-|z|NO ACTION|SET NULL|10.11.6-MariaDB",
        ]);
        let found = foreign_keys(&rows);
        let names: Vec<_> = found.iter().map(|(table, key)| (table.as_str(), &*key.name)).collect();
        assert_eq!(names, [("c", "A"), ("c", "f")]);
        let (_, key) = &found[1];
        assert_eq!((key.columns.len(), key.parent_columns[1].as_str()), (2, "y"));
        assert_eq!((key.on_delete, key.on_update), (Action::Cascade, Action::Restrict));
        assert!(found[0].1.words.ends_with("(`z`) ON DELETE NO ACTION ON UPDATE SET NULL"));
    }

    #[test]
    fn odd_rows_say_nothing() {
        let columns = result(&["t", "-|x|int|int", "t|a|int|int"]);
        let found = relations(&columns, &result(&["t", ""]), &result(&["t"]));
        assert_eq!((found.len(), found[0].columns.len()), (1, 1));
        assert_eq!(found[0].definition.as_deref(), Some(""));
    }
}
