//! DDL made directly at the servers: the router follows it within seconds, and until then never believes what it
//! knows against them.

use std::time::{Duration, Instant};

use crate::client::{Client, Reply};
use crate::environment::Environment;
use crate::protocol::{Case, http_page};

pub const CASES: &[Case] = &[
    ("direct_ddl_is_followed", direct_ddl_is_followed),
    ("old_knowledge_gives_no_wrong_rows", old_knowledge_gives_no_wrong_rows),
    ("direct_views_are_followed", direct_views_are_followed),
    ("prepared_statements_see_new_columns", prepared_statements_see_new_columns),
    ("plans_outlive_the_ddl_of_other_tables", plans_outlive_the_ddl_of_other_tables),
];

/// What takes a moment is asked for again until then.
const PATIENCE: Duration = Duration::from_secs(30);

/// The keyspace of four shards; its VSchema lists no columns.
const KEYSPACE: &str = "s4";
const DATABASE: &str = "vt_s4";

/// The same statements at every server that has a shard of the keyspace.
fn at_servers(environment: &Environment, statements: &[&str]) -> Result<(), String> {
    for backend in &environment.backends {
        let mut client = Client::login(&backend.root().database(DATABASE)).map_err(|error| error.0)?;
        for statement in statements {
            client.run(statement).map_err(|error| error.0)?;
        }
    }
    Ok(())
}

fn session(environment: &Environment) -> Result<Client, String> {
    environment.reset(KEYSPACE, false)?;
    Ok(Client::login(&environment.router_options().database(KEYSPACE))?)
}

/// What a statement answers: its rows, or the error's number.
fn answer(client: &mut Client, sql: &str) -> Result<String, String> {
    Ok(match client.query(sql)?.pop() {
        Some(Reply::Ok(ok)) => format!("{} affected", ok.affected_rows),
        Some(Reply::Err(error)) => error.errno.to_string(),
        Some(Reply::Rows(set)) => {
            let cell = |cell: Option<String>| cell.unwrap_or_else(|| "null".to_owned());
            let row = |row: Vec<Option<String>>| row.into_iter().map(cell).collect::<Vec<_>>().join(",");
            set.text_rows().into_iter().map(row).collect::<Vec<_>>().join(";")
        }
        None => return Err(format!("{sql}: no reply")),
    })
}

/// Asks until the answer is the wanted one; every other must be one of `before`.
fn becomes(client: &mut Client, sql: &str, wanted: &str, before: &[&str]) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = answer(client, sql)?;
        if answer == wanted {
            return Ok(());
        }
        if !before.contains(&answer.as_str()) {
            return Err(format!("{sql}: {answer:?} instead of {wanted:?}"));
        }
        if Instant::now() > deadline {
            return Err(format!("{sql}: still {answer:?} instead of {wanted:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is(client: &mut Client, sql: &str, wanted: &str) -> Result<(), String> {
    becomes(client, sql, wanted, &[])
}

fn direct_ddl_is_followed(environment: &mut Environment) -> Result<(), String> {
    let mut client = session(environment)?;
    client.run("insert into a values (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z')")?;
    at_servers(environment, &["alter table a add column late int default 7"])?;
    let outcome = (|| {
        // Until the router knows of the new column the count of values is wrong.
        becomes(&mut client, "insert into a values (4, 4, 'w', 8)", "1 affected", &["1136"])?;
        is(&mut client, "select late, count(*) from a group by late order by late", "7,3;8,1")?;
        is(&mut client, "select * from a where id = 4", "4,4,w,8")
    })();
    at_servers(environment, &["alter table a drop column late"])?;
    outcome?;
    becomes(&mut client, "insert into a values (5, 5, 'v')", "1 affected", &["1136", "1054"])?;
    is(&mut client, "select * from a order by id", "1,1,x;2,2,y;3,3,z;4,4,w;5,5,v")
}

fn old_knowledge_gives_no_wrong_rows(environment: &mut Environment) -> Result<(), String> {
    let mut client = session(environment)?;
    client.run("insert into a values (1, 30, 'c'), (2, 4, 'b'), (3, 100, 'a'), (4, null, null)")?;
    let by_g = "select g from a order by g";
    is(&mut client, by_g, "null;4;30;100")?;
    // Numbers need no weights to be ordered by; strings do.
    at_servers(environment, &["alter table a modify column g varchar(10)"])?;
    let outcome = becomes(&mut client, by_g, "null;100;30;4", &["1105"]);
    // The same columns at other places: rows must still come to their shards.
    let moved = outcome.and_then(|()| {
        at_servers(
            environment,
            &["alter table a modify column g int", "alter table a modify column v varchar(20) first"],
        )?;
        becomes(&mut client, "insert into a values ('first', 9, 90)", "1 affected", &["1366", "1265"])?;
        is(&mut client, "select v, id, g from a where id = 9", "first,9,90")
    });
    at_servers(
        environment,
        &["alter table a modify column g int", "alter table a modify column v varchar(20) after g"],
    )?;
    moved?;
    becomes(&mut client, "insert into a values (10, 91, 'last')", "1 affected", &["1366", "1265"])?;
    is(&mut client, "select id, g, v from a where id = 10", "10,91,last")?;
    is(&mut client, "select count(*) from a where id in (1, 2, 3, 4, 9, 10)", "6")
}

fn direct_views_are_followed(environment: &mut Environment) -> Result<(), String> {
    let mut client = session(environment)?;
    client.run("insert into a values (1, 1, 'x'), (2, 1, 'y'), (3, 2, 'z')")?;
    is(&mut client, "select * from late_view", "1146")?;
    at_servers(environment, &["create view late_view as select id, v from a where g = 1"])?;
    becomes(&mut client, "select * from late_view order by id", "1,x;2,y", &["1146"])?;
    is(&mut client, "select v from late_view where id = 2", "y")?;
    at_servers(environment, &["drop view late_view"])?;
    is(&mut client, "select * from late_view order by id", "1146")
}

fn prepared_statements_see_new_columns(environment: &mut Environment) -> Result<(), String> {
    let mut client = session(environment)?;
    client.run("insert into a values (1, 1, 'x'), (2, 2, 'y')")?;
    let all = prepared(&mut client, "select * from a order by id")?;
    let count_columns = |client: &mut Client| -> Result<usize, String> {
        match client.execute(all, &[])?.pop() {
            Some(Reply::Rows(rows)) => Ok(rows.columns.len()),
            other => Err(format!("no rows but {other:?}")),
        }
    };
    let before = count_columns(&mut client)?;
    client.run("alter table a add column more int default 3 after id")?;
    let outcome = (|| {
        let after = count_columns(&mut client)?;
        if (before, after) != (3, 4) {
            return Err(format!("{before} columns, then {after}"));
        }
        let insert = prepared(&mut client, "insert into a values (3, 30, 300, 'three')")?;
        client.execute(insert, &[])?;
        is(&mut client, "select * from a where id = 3", "3,30,300,three")
    })();
    client.run("alter table a drop column more")?;
    outcome
}

fn plans_outlive_the_ddl_of_other_tables(environment: &mut Environment) -> Result<(), String> {
    let mut client = session(environment)?;
    let query = "select id, x from points where id = 12345";
    client.run(query)?;
    let misses = |environment: &Environment| metric(environment, "shardgate_plan_cache_misses_total");
    client.run("create table passing_by (id bigint primary key)")?;
    client.run("drop table passing_by")?;
    let before = misses(environment)?;
    client.run(query)?;
    let after = misses(environment)?;
    if after != before {
        return Err(format!("planned again: {before} misses, then {after}"));
    }
    Ok(())
}

fn prepared(client: &mut Client, sql: &str) -> Result<u32, String> {
    client.prepare(sql)?.map(|prepared| prepared.id).map_err(|error| format!("{sql}: {error}"))
}

/// A number of the router's `/metrics`.
fn metric(environment: &Environment, name: &str) -> Result<String, String> {
    let page = http_page(environment, "/metrics")?;
    let line = page.lines().find(|line| line.starts_with(name));
    line.map(str::to_owned).ok_or_else(|| format!("no {name} in /metrics"))
}
