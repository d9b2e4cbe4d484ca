//! Statements that a server refuses: the router says so in the same words.

use super::generate::{Block, Generator};
use super::tables::Kind;

impl Generator<'_> {
    pub(super) fn broken(&mut self) -> String {
        let from = self.from(&[], 1);
        let alias = from.scope[0].alias.clone();
        let column = from.scope[0].columns[0].name.clone();
        let (sql, and) = (&from.sql, from.and());
        let inner = |generator: &mut Self, kinds: &[Kind]| {
            generator.select(&Block { kinds, outer: &[], common: &[], depth: 1 })
        };
        match self.random.below(22) {
            0 => format!("select {alias}.nope from {sql} where {and}true"),
            1 => format!("select {alias}.{column} from {sql} where {and}nope = 1"),
            2 => format!("select count(*) from {sql} group by {alias}.nope"),
            3 => format!("select {alias}.{column} from {sql} order by nope"),
            4 => format!("select nope.{column} from {sql}"),
            5 => format!("select nope.* from {sql}"),
            6 => "select a_id from b t1 join c t2 on t1.a_id = t2.a_id".to_owned(),
            7 => {
                let (one, two) = (inner(self, &[Kind::Integer]), inner(self, &[Kind::Integer, Kind::Text]));
                format!("{one} union {two}")
            }
            8 => {
                let select = inner(self, &[Kind::Integer, Kind::Integer]);
                format!("select {alias}.{column} from {sql} where {alias}.{column} in ({select})")
            }
            9 => {
                let select = inner(self, &[Kind::Integer, Kind::Integer]);
                format!("select ({select}) from {sql}")
            }
            10 => format!("select (select id from a), {alias}.{column} from {sql}"),
            11 => format!("select {alias}.{column} from {sql} where {and}count(*) > 1"),
            12 => "select 1 from a t join b t on true".to_owned(),
            13 => format!("select 1 from {sql} join no_table x on true"),
            14 if self.is_mysql() => format!("select {alias}.{column}, count(*) from {sql}"),
            15 if self.is_mysql() => "select v, count(*) from a group by g".to_owned(),
            16 => "select d.x from (select id x, g x from a) d".to_owned(),
            17 => "select no_function(id) from a".to_owned(),
            18 => "select id from a having g > 1 and nope = 2".to_owned(),
            19 => "select * from a where (id, g) = 1".to_owned(),
            20 => "select id from a order by 3".to_owned(),
            21 => "select sum(count(*)) from a group by g".to_owned(),
            _ => "select id from a union select a_id from b order by g".to_owned(),
        }
    }
}
