//! Commands and packets that SQL scripts cannot express, on a plain server and through the router.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::client::{
    CLIENT_DEPRECATE_EOF, CLIENT_MULTI_STATEMENTS, Client, ClientError, Options, Param, Prepared, Reply,
    ServerError,
};
use crate::compare::{Comparison, summary};
use crate::environment::{Environment, ROUTER_PASSWORD, ROUTER_USER};
use crate::script::Order;

pub type Case = (&'static str, fn(&mut Environment) -> Result<(), String>);

pub const CASES: &[Case] = &[
    ("greeting", greeting),
    ("http_pages", http_pages),
    ("multi_statements", multi_statements),
    ("multi_statements_not_allowed", multi_statements_not_allowed),
    ("set_option", set_option),
    ("long_rows", long_rows),
    ("long_commands", long_commands),
    ("command_over_the_limit", command_over_the_limit),
    ("split_insert_over_16_mb", split_insert_over_16_mb),
    ("many_columns", many_columns),
    ("long_data", long_data),
    ("prepared_again_and_again", prepared_again_and_again),
    ("prepared_types_bound_once", prepared_types_bound_once),
    ("prepared_errors", prepared_errors),
    ("cursors", cursors),
    ("cursor_errors", cursor_errors),
    ("long_cursors", long_cursors),
    ("idle_clients", idle_clients),
    ("plans_in_json", plans_in_json),
    ("ping_statistics_init_db", ping_statistics_init_db),
    ("field_list", field_list),
    ("reset_connection", reset_connection),
    ("change_user", change_user),
    ("unknown_commands", unknown_commands),
    ("refused_logins", refused_logins),
    ("connect_attributes", connect_attributes),
    ("pipelined_commands", pipelined_commands),
    ("disconnect_rolls_back", disconnect_rolls_back),
    ("many_sessions", many_sessions),
];

/// Fields that differ where the router puts values of the session into the text.
const SESSION_VALUES: [&str; 5] = ["type", "flags", "length", "decimals", "charset"];

/// Servers describe a cursor's rows as columns of the temporary table that they keep them in.
const CURSOR_FIELDS: [&str; 5] = ["type", "flags", "length", "decimals", "org-name"];

/// Keyspaces that a case runs on: nothing to combine, and shards.
const BOTH: [&str; 2] = ["u", "s2"];

/// Runs the same on both sides and compares what came back.
fn same(
    environment: &Environment,
    capabilities: u32,
    run: impl Fn(&mut Client) -> Result<Vec<Reply>, ClientError>,
) -> Result<(), String> {
    same_but(environment, capabilities, &[], run)
}

/// As [`same`], but for some fields of columns.
fn same_but(
    environment: &Environment,
    capabilities: u32,
    ignored: &[&str],
    run: impl Fn(&mut Client) -> Result<Vec<Reply>, ClientError>,
) -> Result<(), String> {
    for keyspace in BOTH {
        environment.reset(keyspace, false)?;
        let mut plain = Client::login(&environment.plain_options().database(keyspace).with(capabilities))?;
        let mut router = Client::login(&environment.router_options().database(keyspace).with(capabilities))?;
        let plain = run(&mut plain).map_err(|error| format!("{keyspace}, plain server: {error}"))?;
        let router = run(&mut router).map_err(|error| format!("{keyspace}, router: {error}"))?;
        compare(keyspace, &plain, &router, ignored)?;
    }
    Ok(())
}

fn compare(keyspace: &str, plain: &[Reply], router: &[Reply], ignored: &[&str]) -> Result<(), String> {
    let comparison = Comparison {
        keyspace,
        order: &Order::Exact,
        has_order_by: true,
        may_use_temporary: false,
        ignored: &ignored.iter().map(|field| (*field).to_owned()).collect(),
    };
    let found = comparison.replies(plain, router);
    if found.is_empty() { Ok(()) } else { Err(format!("{keyspace}: {}", found.join("\n    "))) }
}

fn expect(condition: bool, what: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what.to_owned()) }
}

fn prepared(client: &mut Client, sql: &str) -> Result<Prepared, ClientError> {
    client.prepare(sql)?.map_err(|error| ClientError(format!("{sql}: {error}")))
}

fn integer(value: i64) -> Param {
    Param::Int { type_code: 8, value }
}

fn greeting(environment: &mut Environment) -> Result<(), String> {
    let mut first = Client::login(&environment.router_options())?;
    let second = Client::login(&environment.router_options())?;
    let (one, two) = (first.greeting().clone(), second.greeting().clone());
    expect(one.salt != two.salt && one.salt.len() == 20, "salts must be random")?;
    expect(!one.salt.contains(&0), "a salt must not contain NUL")?;
    expect(one.connection_id != two.connection_id, "connection ids must differ")?;
    expect(one.plugin == "caching_sha2_password", &format!("the default plugin is {}", one.plugin))?;
    // Clients parse the number at the start.
    let major = one.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    expect(major.is_some_and(|major| major >= 5), &format!("the version is {}", one.version))?;
    let row = first.rows("select connection_id(), version()")?;
    expect(
        row[0][0] == Some(one.connection_id.to_string()),
        &format!("{row:?} is not connection {}", one.connection_id),
    )
}

fn http_pages(environment: &mut Environment) -> Result<(), String> {
    for (path, wanted) in [("/healthz", "200"), ("/metrics", "200"), ("/", "200"), ("/nothing", "404")] {
        let answer = http_page(environment, path)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        expect(status == wanted, &format!("{path}: {}", answer.lines().next().unwrap_or_default()))?;
        if path == "/metrics" {
            expect(answer.contains("# TYPE "), "/metrics is not in Prometheus's form")?;
        }
    }
    Ok(())
}

/// A page of the router's HTTP side, with its head.
pub fn http_page(environment: &Environment, path: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(environment.router.http).map_err(|error| error.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| format!("{path}: {error}"))?;
    Ok(answer)
}

fn multi_statements(environment: &mut Environment) -> Result<(), String> {
    for eof in [0, CLIENT_DEPRECATE_EOF] {
        same(environment, CLIENT_MULTI_STATEMENTS | eof, |client| {
            let mut replies = Vec::new();
            for sql in [
                "select 1; select 2",
                "select 1; select 2;",
                "select 'a;b'; select \";\"; select 3 /* ; */; select 4 -- ;\n",
                "insert into points (id, x) values (1, 1), (2, 2); update points set x = 5 where id = 1; select * from points order by id",
                "select id from points order by id; select id from nowhere; select 3",
                "begin; update points set x = 6; rollback; select x from points order by id",
                "select 1;; select 2",
                ";",
                "",
                "  ",
            ] {
                replies.extend(client.query(sql)?);
            }
            Ok(replies)
        })?;
    }
    Ok(())
}

fn multi_statements_not_allowed(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let mut replies = client.query("select 1;")?;
        replies.extend(client.query("select 1; select 2")?);
        replies.extend(client.query("select 1; /* nothing more */")?);
        Ok(replies)
    })
}

fn set_option(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let mut replies = vec![client.simple(0x1B, &[0, 0])?];
        replies.extend(client.query("select 1; select 2")?);
        replies.push(client.simple(0x1B, &[1, 0])?);
        replies.extend(client.query("select 1; select 2")?);
        replies.push(client.simple(0x1B, &[7, 0])?);
        Ok(replies)
    })
}

/// Rows around and far over the 16 MB of one packet.
fn long_rows(environment: &mut Environment) -> Result<(), String> {
    same(environment, CLIENT_DEPRECATE_EOF, |client| {
        let mut replies = client.query("insert into points (id, x) values (1, 1), (2, 2), (3, 3)")?;
        // A payload of exactly 0xFFFFFF bytes needs an empty packet behind it; its neighbours do not.
        for length in [16_777_210, 16_777_211, 16_777_212, 34_000_000] {
            replies
                .extend(client.query(format!("select repeat('x', {length}), id from points where id = 1"))?);
        }
        replies.extend(client.query("select id, repeat('y', 17000000) as y from points order by id")?);
        let statement = prepared(client, "select repeat('x', ?) as x, id from points where id = ?")?;
        for length in [16_777_200, 20_000_000] {
            replies.extend(client.execute(statement.id, &[integer(length), integer(1)])?);
        }
        replies.extend(client.query("select 1")?);
        Ok(replies)
    })
}

fn long_commands(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let mut replies = Vec::new();
        for (id, length) in [(1, 100_000), (2, 16_777_215), (4, 17_000_000)] {
            let body = "b".repeat(length);
            replies.extend(client.query(format!("insert into large (id, body) values ({id}, '{body}')"))?);
        }
        // Commands whose payload, with the command byte, is around the limit of one packet.
        for total in [0xFF_FFFE, 0xFF_FFFF, 0x100_0000usize] {
            let head = "select length('";
            let tail = "') as n";
            let filler = "x".repeat(total - 1 - head.len() - tail.len());
            replies.extend(client.query(format!("{head}{filler}{tail}"))?);
        }
        replies.extend(client.query("select id, length(body), crc32(body) from large order by id")?);
        let statement = prepared(client, "insert into large (id, body) values (?, ?)")?;
        replies.extend(client.execute(statement.id, &[integer(6), Param::Bytes(vec![b'z'; 17_000_000])])?);
        replies.extend(client.query("select length(body), crc32(body) from large where id = 6")?);
        replies.extend(client.query("select body from large where id = 4")?);
        Ok(replies)
    })
}

/// More than the router takes: an error or the end of the connection, but no harm to others.
fn command_over_the_limit(environment: &mut Environment) -> Result<(), String> {
    let mut client = Client::login(&environment.router_options().database("u"))?;
    let sql = format!("select length('{}')", "x".repeat(70 << 20));
    match client.query(sql) {
        Ok(replies) => match replies.last() {
            Some(Reply::Err(error)) => {
                expect(error.errno == 1153, &format!("wanted error 1153, got {error}"))?
            }
            other => {
                return Err(format!("wanted error 1153, got {}", other.map_or_else(String::new, summary)));
            }
        },
        // The peer may close before it has read everything.
        Err(error) => expect(error.0.starts_with("connection"), &error.0)?,
    }
    let mut client = Client::login(&environment.router_options().database("u"))?;
    client.run("select 1").map_err(String::from)
}

fn split_insert_over_16_mb(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let note = "n".repeat(20_000);
        let rows: Vec<_> = (1..=1_000).map(|id| format!("({id}, '{note}')")).collect();
        let mut replies = client.query(format!("insert into large (id, note) values {}", rows.join(", ")))?;
        replies.extend(client.query("select count(*), sum(length(note)) from large")?);
        replies.extend(client.query("select id, note from large order by id")?);
        Ok(replies)
    })
}

fn many_columns(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let mut replies = client.query("insert into points (id, x) values (1, 1), (2, 2), (3, 3)")?;
        let list: Vec<_> = (0..1_000).map(|n| format!("x + {n} as a_rather_long_column_name_{n}")).collect();
        replies.extend(client.query(format!("select {} from points where id = 2", list.join(", ")))?);
        replies.extend(client.query(format!("select {} from points order by id", list.join(", ")))?);
        let statement = prepared(client, &format!("select {} from points where id = ?", list.join(", ")))?;
        replies.extend(client.execute(statement.id, &[integer(3)])?);
        replies.extend(client.query(format!("select x as `{}` from points where id = 1", "n".repeat(64)))?);
        Ok(replies)
    })
}

fn long_data(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let statement = prepared(client, "insert into large (id, body, note) values (?, ?, ?)")?;
        let mut replies = Vec::new();
        for id in 1..=3 {
            for piece in 0..4u8 {
                client.send_long_data(statement.id, 1, &vec![b'a' + piece; 1_000_000])?;
            }
            client.send_long_data(statement.id, 1, b"")?;
            let params = [integer(id), Param::Bytes(Vec::new()), Param::Bytes(b"short".to_vec())];
            replies.extend(client.execute_with_long_data(statement.id, &params, &[1])?);
        }
        // COM_STMT_RESET forgets what was sent.
        client.send_long_data(statement.id, 1, b"forgotten")?;
        replies.push(client.simple(0x1A, &statement.id.to_le_bytes())?);
        replies.extend(
            client.execute(statement.id, &[integer(4), Param::Bytes(b"kept".to_vec()), Param::Null])?,
        );
        replies.extend(client.query("select id, length(body), crc32(body), note from large order by id")?);
        Ok(replies)
    })
}

fn prepared_again_and_again(environment: &mut Environment) -> Result<(), String> {
    same(environment, CLIENT_DEPRECATE_EOF, |client| {
        let mut replies = client
            .query("insert into points (id, x, label) values (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')")?;
        let one = prepared(client, "select * from points where id = ?")?;
        let two = prepared(client, "select * from points where id = ?")?;
        let all = prepared(client, "select id, x from points order by id")?;
        for id in 0..5 {
            replies.extend(client.execute(one.id, &[integer(id)])?);
            replies.extend(client.execute(two.id, &[Param::Bytes(id.to_string().into_bytes())])?);
            replies.extend(client.execute(all.id, &[])?);
        }
        client.close(one.id)?;
        replies.extend(client.execute(two.id, &[integer(2)])?);
        replies.extend(client.execute(one.id, &[integer(2)])?);
        // Many statements of one session, more than a backend connection keeps.
        let mut statements = Vec::new();
        for number in 0..300 {
            statements
                .push(prepared(client, &format!("select x + {number} as sum from points where id = ?"))?);
        }
        for statement in statements.iter().chain(&statements) {
            replies.extend(client.execute(statement.id, &[integer(3)])?);
        }
        // The statement survives a change of its table.
        replies.extend(client.query("alter table points add column later int default 9")?);
        replies.extend(client.execute(two.id, &[integer(1)])?);
        replies.extend(client.query("alter table points drop column later")?);
        replies.extend(client.execute(two.id, &[integer(1)])?);
        Ok(replies)
    })
}

/// Drivers send parameter types with the first execution only.
fn prepared_types_bound_once(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let mut replies =
            client.query("insert into points (id, x) values (1, 10), (2, 20), (3, 30), (4, 40)")?;
        let statement = prepared(client, "select x from points where id = ?")?;
        replies.extend(client.execute(statement.id, &[integer(1)])?);
        for id in [2i64, 3, 4, 1] {
            let mut body = statement.id.to_le_bytes().to_vec();
            body.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0]);
            body.extend_from_slice(&id.to_le_bytes());
            client.send(0x17, &body)?;
            replies.extend(client.replies(true)?);
        }
        Ok(replies)
    })
}

fn prepared_errors(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let mut replies = Vec::new();
        for sql in [
            "selec 1",
            "select nope from points",
            "select * from nowhere",
            "select * from points where id = ? and",
            "",
        ] {
            replies.push(match client.prepare(sql)? {
                Ok(statement) => return Err(ClientError(format!("{sql}: prepared as {}", statement.id))),
                Err(error) => Reply::Err(error),
            });
        }
        replies.extend(client.execute(4_711, &[])?);
        replies.push(client.simple(0x1A, &4_711u32.to_le_bytes())?);
        client.close(4_711)?;
        let statement = prepared(client, "select 1 + ? as sum")?;
        replies.extend(client.execute(statement.id, &[integer(2)])?);
        Ok(replies)
    })
}

/// Rows of a cursor come in portions, whatever else happens in between.
fn cursors(environment: &mut Environment) -> Result<(), String> {
    for capabilities in [0, CLIENT_DEPRECATE_EOF] {
        same_but(environment, capabilities, &CURSOR_FIELDS, |client| {
            client.run("insert into points (id, x) values (1, 10), (2, 20), (3, 30), (4, 40), (5, 50)")?;
            let by_id = prepared(client, "select id, label from points where id > ? order by id")?;
            let grouped = prepared(client, "select x, count(*) from points group by x order by x desc")?;
            let one = prepared(client, "select 'two' as two")?;
            let changing = prepared(client, "update points set x = x + 1 where id = ?")?;
            let mut replies = client.open_cursor(by_id.id, &[integer(1)])?;
            replies.push(client.fetch(by_id.id, 2, &by_id.columns)?);
            replies.extend(client.open_cursor(grouped.id, &[])?);
            replies.push(client.fetch(grouped.id, 1, &grouped.columns)?);
            // Not a result: the reply comes at once.
            replies.extend(client.open_cursor(changing.id, &[integer(5)])?);
            replies.push(client.fetch(changing.id, 1, &[])?);
            client.run("begin")?;
            client.run("delete from points where id >= 4")?;
            replies.push(client.fetch(grouped.id, 100, &grouped.columns)?);
            replies.push(client.fetch(grouped.id, 1, &grouped.columns)?);
            client.run("commit")?;
            replies.push(client.fetch(by_id.id, 2, &by_id.columns)?);
            replies.push(client.fetch(by_id.id, 2, &by_id.columns)?);
            replies.extend(client.open_cursor(one.id, &[])?);
            replies.push(client.fetch(one.id, 0, &one.columns)?);
            replies.push(client.fetch(one.id, 7, &one.columns)?);
            // Another execution and a reset close a cursor, and so does the end of the statement. (MySQL's own answer to
            // an execution without cursor after one with it has an OK packet in place of EOF.)
            replies.extend(client.open_cursor(by_id.id, &[integer(0)])?);
            replies.extend(client.open_cursor(by_id.id, &[integer(2)])?);
            replies.push(client.fetch(by_id.id, 1, &by_id.columns)?);
            replies.push(client.simple(0x1A, &by_id.id.to_le_bytes())?);
            replies.push(client.fetch(by_id.id, 1, &by_id.columns)?);
            replies.extend(client.open_cursor(by_id.id, &[integer(0)])?);
            client.close(by_id.id)?;
            replies.push(client.fetch(4_711, 1, &by_id.columns)?);
            Ok(replies)
        })?;
    }
    Ok(())
}

/// An error in the middle of a result is the answer to the execution.
fn cursor_errors(environment: &mut Environment) -> Result<(), String> {
    same_but(environment, 0, &CURSOR_FIELDS, |client| {
        client.run("insert into points (id, x) values (1, 10), (2, 20), (3, 30)")?;
        let failing = prepared(
            client,
            "select (select id from points p where p.x >= points.x) from points where points.id > 0",
        )?;
        let mut replies = client.open_cursor(failing.id, &[])?;
        replies.push(client.fetch(failing.id, 1, &failing.columns)?);
        replies.extend(client.query("select count(*) from points")?);
        Ok(replies)
    })
}

/// Far more rows than memory keeps, and rows of several packets.
fn long_cursors(environment: &mut Environment) -> Result<(), String> {
    same_but(environment, CLIENT_DEPRECATE_EOF, &CURSOR_FIELDS, |client| {
        client.run("insert into points (id, x) values (1, 10), (2, 20), (3, 30), (4, 40)")?;
        let product = prepared(
            client,
            "select a.id, b.id, c.id, d.id, repeat('x', 500) from points a, points b, points c, points d
             order by 1, 2, 3, 4",
        )?;
        let mut replies = client.open_cursor(product.id, &[])?;
        for _ in 0..26 {
            replies.push(client.fetch(product.id, 10, &product.columns)?);
        }
        let long = prepared(client, "select id, repeat('y', 5000000 * id) from points order by id")?;
        replies.extend(client.open_cursor(long.id, &[])?);
        for _ in 0..5 {
            replies.push(client.fetch(long.id, 1, &long.columns)?);
        }
        Ok(replies)
    })
}

/// `VEXPLAIN PLAN` and `TRACE` give one cell of JSON, with the names that Vitess's plans have.
fn plans_in_json(environment: &mut Environment) -> Result<(), String> {
    environment.reset("s2", false)?;
    let mut client = Client::login(&environment.router_options().database("s2"))?;
    client.run("insert into points (id, x) values (1, 10), (2, 20), (3, 20), (4, 40), (5, 50)")?;
    let mut check = |statement: &str, expected: &[(&str, &str)]| {
        let rows = client.rows(statement)?;
        let text = rows[0][0].clone().unwrap_or_default();
        let plan: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
        for (path, value) in expected {
            let found = plan.pointer(path).map(|value| value.to_string().trim_matches('"').to_owned());
            expect(found.as_deref() == Some(*value), &format!("{path} of {statement} is {found:?}: {text}"))?;
        }
        Ok::<(), String>(())
    };
    check(
        "vexplain plan select label from points where id = 1",
        &[
            ("/OperatorType", "Route"),
            ("/Variant", "EqualUnique"),
            ("/Keyspace/Name", "s2"),
            ("/Keyspace/Sharded", "true"),
            ("/Query", "select label from points where id = 1"),
            ("/Vindex", "hash"),
        ],
    )?;
    check(
        "vexplain plan update points set x = 1",
        &[("/OperatorType", "Update"), ("/Variant", "Scatter"), ("/Keyspace/Name", "s2")],
    )?;
    check(
        "vexplain trace select x, count(*) from points group by x having count(*) > 1",
        &[
            ("/OperatorType", "Filter"),
            ("/AvgNumberOfRows", "1"),
            ("/Inputs/0/OperatorType", "Aggregate"),
            ("/Inputs/0/NoOfCalls", "1"),
            ("/Inputs/0/MedianNumberOfRows", "4"),
            ("/Inputs/0/Inputs/0/OperatorType", "Route"),
            ("/Inputs/0/Inputs/0/Variant", "Scatter"),
            ("/Inputs/0/Inputs/0/ShardsQueried", "2"),
        ],
    )
}

/// `wait_timeout` ends a session that waits for its client, and none that works.
fn idle_clients(environment: &mut Environment) -> Result<(), String> {
    let mut client = Client::login(&environment.router_options().database("u"))?;
    client.run("set wait_timeout = 3")?;
    client.run("select sleep(4)")?;
    client.io().begin();
    let last = client.io().read().map_err(|error| error.to_string())?;
    expect(
        last.starts_with(b"\xff\xbf\x0f#HY000The client was disconnected"),
        &format!("{last:?} is not 4031"),
    )?;
    expect(client.io().read().is_err(), "the connection is not closed")?;
    // Back to the beginning: the session does not idle out.
    let mut client = Client::login(&environment.router_options().database("u"))?;
    client.run("set wait_timeout = 1000")?;
    client.simple(0x1F, b"")?;
    let rows = client.rows("select @@wait_timeout")?;
    expect(rows[0][0].as_deref() == Some("28800"), &format!("wait_timeout is {rows:?}"))
}

fn ping_statistics_init_db(environment: &mut Environment) -> Result<(), String> {
    same_but(environment, 0, &SESSION_VALUES, |client| {
        let mut replies = vec![client.simple(0x0E, b"")?];
        let statistics = client.statistics()?;
        if !statistics.contains("Uptime") {
            return Err(ClientError(format!("COM_STATISTICS says {statistics:?}")));
        }
        replies.push(client.simple(0x02, b"s4")?);
        replies.extend(client.query("select database()")?);
        replies.push(client.simple(0x02, b"no_such_database")?);
        replies.extend(client.query("select database()")?);
        replies.push(client.simple(0x02, b"information_schema")?);
        replies.extend(client.query("select count(*) > 0 from schemata")?);
        Ok(replies)
    })
}

fn field_list(environment: &mut Environment) -> Result<(), String> {
    for keyspace in BOTH {
        let mut plain = Client::login(&environment.plain_options().database(keyspace))?;
        let mut router = Client::login(&environment.router_options().database(keyspace))?;
        for (table, wildcard) in [("points", ""), ("points", "l%"), ("kinds", "%"), ("nowhere", "")] {
            // MySQL may have removed the command; the router serves it anyway.
            let plain = match plain.field_list(table, wildcard)? {
                Err(ServerError { errno: 1047, .. }) => {
                    expect(
                        router.field_list(table, wildcard)?.is_ok() == (table != "nowhere"),
                        "COM_FIELD_LIST is not served",
                    )?;
                    continue;
                }
                answer => answer,
            };
            let comparison = Comparison {
                keyspace,
                order: &Order::Exact,
                has_order_by: true,
                may_use_temporary: false,
                ignored: &BTreeSet::new(),
            };
            let mut found = Vec::new();
            match (plain, router.field_list(table, wildcard)?) {
                (Ok(plain), Ok(router)) => comparison.columns(&mut found, &plain, &router),
                (Err(plain), Err(router)) => found = comparison.error(&plain, &router),
                (plain, router) => found.push(format!("plain {plain:?} router {router:?}")),
            }
            expect(found.is_empty(), &format!("{table} {wildcard}: {}", found.join("; ")))?;
        }
    }
    Ok(())
}

fn reset_connection(environment: &mut Environment) -> Result<(), String> {
    same_but(environment, 0, &SESSION_VALUES, |client| {
        let mut replies = client.query("insert into points (id, x) values (1, 1)")?;
        replies.extend(
            client.query("set @a = 5, autocommit = 0, sql_mode = 'ANSI', group_concat_max_len = 77")?,
        );
        replies.extend(client.query("update points set x = 2 where id = 1")?);
        let statement = prepared(client, "select 1")?;
        replies.push(client.simple(0x1F, b"")?);
        replies.extend(client.query("select @a, @@autocommit, @@group_concat_max_len")?);
        replies.extend(client.query("select @@sql_mode, database()")?);
        replies.extend(client.query("select x from points where id = 1")?);
        replies.extend(client.execute(statement.id, &[])?);
        Ok(replies)
    })
}

fn change_user(environment: &mut Environment) -> Result<(), String> {
    let mut client = Client::login(&environment.router_options().database("u"))?;
    client.run("set @a = 5")?;
    client.run("begin")?;
    match client.change_user(ROUTER_USER, ROUTER_PASSWORD, "s2")? {
        Reply::Ok(_) => {}
        other => return Err(format!("change to the same user: {}", summary(&other))),
    }
    let row = client.rows("select @a, database()")?;
    expect(
        row[0][0].is_none() && row[0][1].as_deref() == Some("s2"),
        &format!("after COM_CHANGE_USER: {row:?}"),
    )?;
    match client.change_user("user", "", "u")? {
        Reply::Ok(_) => {}
        other => return Err(format!("change to a user without password: {}", summary(&other))),
    }
    let row = client.rows("select user()")?;
    expect(
        row[0][0].as_deref().is_some_and(|user| user.starts_with("user@")),
        &format!("user() is {row:?}"),
    )?;
    match client.change_user(ROUTER_USER, "wrong", "u") {
        Ok(Reply::Err(error)) => expect(error.errno == 1045, &error.to_string()),
        Ok(other) => Err(format!("a wrong password: {}", summary(&other))),
        Err(error) => Err(error.0),
    }
}

fn unknown_commands(environment: &mut Environment) -> Result<(), String> {
    let mut client = Client::login(&environment.router_options().database("u"))?;
    for command in
        [0x00, 0x05, 0x06, 0x0B, 0x0F, 0x10, 0x12, 0x13, 0x14, 0x15, 0x1D, 0x1E, 0x20, 0x55, 0xFE, 0xFF]
    {
        match client.simple(command, b"anything")? {
            Reply::Err(error) if error.errno == 1047 && error.sqlstate == "08S01" => {}
            other => return Err(format!("command 0x{command:02X}: {}", summary(&other))),
        }
    }
    client.run("select 1").map_err(String::from)
}

fn refused_logins(environment: &mut Environment) -> Result<(), String> {
    let address = environment.router.address;
    let refused = |options: Options| -> Result<ServerError, String> {
        match Client::connect(&options)? {
            Ok(_) => Err(format!("{options:?} is let in")),
            Err(error) => Ok(error),
        }
    };
    for options in [
        Options::new(address, ROUTER_USER, "wrong"),
        Options::new(address, ROUTER_USER, ""),
        Options::new(address, "nobody", "x"),
        Options::new(address, "nobody", ""),
        Options::new(address, "", ""),
        Options::new(address, "user", "a password that it does not have"),
    ] {
        let using = if options.password.is_empty() { "NO" } else { "YES" };
        let error = refused(options.clone())?;
        expect(error.errno == 1045 && error.sqlstate == "28000", &format!("{options:?}: {error}"))?;
        let start = format!("Access denied for user '{}'@'", options.user);
        let end = format!("(using password: {using})");
        expect(error.message.starts_with(&start) && error.message.ends_with(&end), &error.message)?;
    }
    let error = refused(environment.router_options().database("no_such_keyspace"))?;
    expect(error.errno == 1049 && error.sqlstate == "42000", &error.to_string())?;
    for database in ["", "s2", "s2@primary", "s2:-80", "s2/-80@primary"] {
        Client::login(&environment.router_options().database(database))?.simple(0x0E, b"")?;
    }
    Ok(())
}

fn connect_attributes(environment: &mut Environment) -> Result<(), String> {
    let mut options = environment.router_options();
    options.attributes =
        vec![("_client_name".to_owned(), "e2e".to_owned()), ("long".to_owned(), "x".repeat(2_000))];
    Client::login(&options)?.run("select 1").map_err(String::from)
}

/// Commands sent before the answers of earlier ones were read.
fn pipelined_commands(environment: &mut Environment) -> Result<(), String> {
    same(environment, 0, |client| {
        let mut replies = client.query("insert into points (id, x) values (1, 10), (2, 20), (3, 30)")?;
        let statements = [
            "select x from points where id = 1",
            "select nope",
            "select count(*) from points",
            "select x from points where id = 3",
        ];
        for sql in statements {
            client.send(0x03, sql.as_bytes())?;
        }
        for _ in statements {
            // Each answer numbers its packets from 1.
            client.io().begin_answer();
            replies.extend(client.replies(false)?);
        }
        Ok(replies)
    })
}

fn disconnect_rolls_back(environment: &mut Environment) -> Result<(), String> {
    for keyspace in BOTH {
        environment.reset(keyspace, false)?;
        let options = environment.router_options().database(keyspace);
        let mut first = Client::login(&options)?;
        first.run("insert into points (id, x) values (1, 10), (2, 20), (3, 30), (4, 40)")?;
        first.run("begin")?;
        first.run("update points set x = 0")?;
        drop(first);
        // The rows are locked until the router has noticed; innodb_lock_wait_timeout is 5 s.
        let mut second = Client::login(&options)?;
        second.run("update points set x = x + 1")?;
        let rows = second.rows("select sum(x) from points")?;
        expect(rows[0][0].as_deref() == Some("104"), &format!("{keyspace}: {rows:?}"))?;
    }
    Ok(())
}

/// More sessions than backend connections, all at once, each with its own answers.
fn many_sessions(environment: &mut Environment) -> Result<(), String> {
    const SESSIONS: usize = 200;
    const STATEMENTS: usize = 20;
    environment.reset("s4", false)?;
    let options = environment.router_options().database("s4");
    let mut client = Client::login(&options)?;
    let rows: Vec<_> = (0..SESSIONS).map(|id| format!("({id}, {id})")).collect();
    client.run(&format!("insert into points (id, x) values {}", rows.join(", ")))?;
    let threads: Vec<_> = (0..SESSIONS)
        .map(|id| {
            let options = options.clone();
            std::thread::spawn(move || -> Result<(), String> {
                let mut client = Client::login(&options)?;
                client.run(&format!("set @mine = {id}"))?;
                for round in 0..STATEMENTS {
                    client.run("begin")?;
                    client.run(&format!("update points set x = x + 1 where id = {id}"))?;
                    client.run("commit")?;
                    let row = client.rows(&format!("select x, @mine from points where id = {id}"))?;
                    let wanted = (id + round + 1).to_string();
                    let mine = id.to_string();
                    if row[0] != [Some(wanted.clone()), Some(mine)] {
                        return Err(format!("session {id}, round {round}: {row:?} instead of {wanted}"));
                    }
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a session panicked".to_owned())??;
    }
    let total = client.rows("select count(*), sum(x) from points")?;
    let expected: usize = (0..SESSIONS).map(|id| id + STATEMENTS).sum();
    expect(total[0][1] == Some(expected.to_string()), &format!("{total:?} instead of {expected}"))
}
