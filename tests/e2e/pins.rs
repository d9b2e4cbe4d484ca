//! What a session leaves behind on its servers ends with it, however it ends: user locks, table locks, temporary tables,
//! accounts' statements at the chosen server; and procedures where a server is chosen.

use crate::client::{Client, Reply};
use crate::environment::Environment;
use crate::outage::until;
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("locks_and_tables_end_with_their_session", locks_and_tables_end_with_their_session),
    ("a_targeted_shard_is_one_server", a_targeted_shard_is_one_server),
    ("accounts_are_those_of_the_target", accounts_are_those_of_the_target),
];

const COM_RESET_CONNECTION: u8 = 0x1f;

/// How a session ends, or begins anew.
#[derive(Clone, Copy, Debug)]
enum End {
    ChangeUser,
    Disconnect,
    Kill,
    Reset,
}

fn login(environment: &Environment, target: &str) -> Result<Client, String> {
    Client::login(&environment.router_options().database(target)).map_err(|error| error.0)
}

fn locks_and_tables_end_with_their_session(environment: &mut Environment) -> Result<(), String> {
    environment.reset("u", false)?;
    let mut other = login(environment, "s2")?;
    let mut writer = login(environment, "u")?;
    writer.run("insert into points (id, x) values (1, 0)")?;
    for end in [End::Disconnect, End::Kill, End::Reset, End::ChangeUser] {
        let mut holder = login(environment, "u")?;
        expect(&mut holder, "select get_lock('pins', 0)", "1")?;
        holder.run("create temporary table scratch (id int primary key)")?;
        holder.run("insert into scratch values (5)")?;
        holder.run("lock tables points write, scratch write")?;
        expect(&mut other, "select is_free_lock('pins')", "0")?;
        match end {
            End::Disconnect => drop(holder),
            End::Kill => {
                let id = value(&mut holder, "select connection_id()")?;
                other.run(&format!("kill {id}"))?;
            }
            End::Reset => {
                accepted(&holder.simple(COM_RESET_CONNECTION, b"")?)?;
                anew(&mut holder)?;
            }
            End::ChangeUser => {
                let options = environment.router_options();
                accepted(&holder.change_user(&options.user, &options.password, "u")?)?;
                anew(&mut holder)?;
            }
        }
        // Would wait for the lock.
        writer.run("update points set x = x + 1 where id = 1")?;
        until(|| expect(&mut other, "select is_free_lock('pins')", "1"))
            .map_err(|error| format!("{end:?}: {error}"))?;
    }
    expect(&mut writer, "select x from points", "4")
}

fn accepted(reply: &Reply) -> Result<(), String> {
    match reply {
        Reply::Ok(_) => Ok(()),
        other => Err(format!("wanted OK, got {other:?}")),
    }
}

/// Nothing is left of what the session had.
fn anew(client: &mut Client) -> Result<(), String> {
    client.run("select count(*) from customer")?;
    match client.query("select * from scratch")?.pop() {
        Some(Reply::Err(error)) if error.errno == 1146 => {}
        other => return Err(format!("a temporary table is still there: {other:?}")),
    }
    expect(client, "select release_all_locks()", "0")
}

fn a_targeted_shard_is_one_server(environment: &mut Environment) -> Result<(), String> {
    environment.reset("s2", false)?;
    let mut all = login(environment, "s2")?;
    all.run("insert into points (id, x) values (1, 10), (2, 20), (3, 30), (4, 40)")?;
    let mut client = login(environment, "s2:-80")?;
    client.run("drop procedure if exists pins")?;
    client.run(
        "create procedure pins(in least int, inout total int, out text varchar(20)) begin \
         select id, x from points where x >= least order by id; select count(*) from points; \
         set total = total + 1; set text = 'it''s'; update points set x = x + 1 where id = 1; \
         select cast('x' as signed) as n; end",
    )?;
    client.run("set @total = 41")?;
    let replies = client.query("call pins(10, @total, @text)")?;
    let sets: Vec<Vec<Vec<Option<String>>>> = replies
        .iter()
        .filter_map(|reply| match reply {
            Reply::Rows(rows) => Some(rows.text_rows()),
            _ => None,
        })
        .collect();
    if replies.len() != 4 || sets.len() != 3 || sets[0].len() != 3 {
        return Err(format!("other results: {replies:?}"));
    }
    expect(&mut client, "show count(*) warnings", "1")?;
    expect(&mut client, "select concat(@total, ' ', @text)", "42 it's")?;
    client.run("begin")?;
    client.query("call pins(10, @total, @text)")?;
    client.run("rollback")?;
    expect(&mut all, "select x from points where id = 1", "11")?;
    let refused = all.query("call pins(10, @total, @text)")?.pop();
    if !matches!(&refused, Some(Reply::Err(error)) if error.to_string().contains("VT12001")) {
        return Err(format!("CALL without a shard: {refused:?}"));
    }
    client.run("drop procedure pins")?;
    client.run("create temporary table scratch as select id from points")?;
    expect(&mut client, "select count(*) from scratch", "3")?;
    client.run("lock tables points write")?;
    client.run("update points set x = 0 where id = 1")?;
    client.run("unlock tables")?;
    expect(&mut all, "select x from points where id = 1", "0")
}

fn accounts_are_those_of_the_target(environment: &mut Environment) -> Result<(), String> {
    let mut client = login(environment, "s2:-80")?;
    client.run("drop user if exists pins_test@localhost")?;
    client.run("create user pins_test@localhost identified by 'Some words, 1 and 2'")?;
    let granted = client.query("grant select on *.* to pins_test@localhost")?.pop();
    if matches!(&granted, Some(Reply::Err(error)) if error.to_string().contains("VT12001")) {
        return Err(format!("GRANT at a shard: {granted:?}"));
    }
    let known = "select count(*) from mysql.user where user = 'pins_test'";
    expect(&mut client, known, "1")?;
    expect(&mut login(environment, "s2:80-")?, known, "0")?;
    client.run("drop user pins_test@localhost")?;
    expect(&mut client, known, "0")
}

fn value(client: &mut Client, sql: &str) -> Result<String, String> {
    let rows = client.rows(sql)?;
    rows.first().and_then(|row| row[0].clone()).ok_or_else(|| format!("{sql}: {rows:?}"))
}

fn expect(client: &mut Client, sql: &str, wanted: &str) -> Result<(), String> {
    let found = value(client, sql)?;
    if found == wanted { Ok(()) } else { Err(format!("{sql}: {found} instead of {wanted}")) }
}
