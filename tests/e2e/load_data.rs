//! Files of clients that are large, wrong, cut off or not wanted. Scripts have what is in small ones.

use std::time::Duration;

use crate::client::{CLIENT_LOCAL_FILES, Client, Options, Reply, ServerError};
use crate::environment::Environment;
use crate::memory::{grown, resident_bytes};
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("clients_without_the_capability", clients_without_the_capability),
    ("switched_off", switched_off),
    ("large_files", large_files),
    ("errors_in_the_middle", errors_in_the_middle),
    ("kill_in_the_middle", kill_in_the_middle),
    ("a_client_that_leaves", a_client_that_leaves),
    ("one_packet", one_packet),
];

const KEYSPACES: [&str; 3] = ["u", "s2", "s4"];
const LOAD: &str = "load data local infile 'x' into table points";

fn login(options: Options, keyspace: &str) -> Result<Client, String> {
    Ok(Client::login(&options.database(keyspace).with(CLIENT_LOCAL_FILES))?)
}

fn error_of(client: &mut Client, sql: &str) -> Result<ServerError, String> {
    match client.query(sql)?.pop() {
        Some(Reply::Err(error)) => Ok(error),
        other => Err(format!("{sql}: wanted an error, got {other:?}")),
    }
}

fn expect_count(client: &mut Client, wanted: u64) -> Result<(), String> {
    let rows = client.rows("select count(*) from points")?;
    let found = rows[0][0].as_deref().unwrap_or_default();
    if found == wanted.to_string() { Ok(()) } else { Err(format!("{found} rows instead of {wanted}")) }
}

/// Sends the statement and reads the request for its file.
fn begin(client: &mut Client) -> Result<(), String> {
    client.send(0x03, LOAD.as_bytes())?;
    let request = client.io().read()?;
    match request.as_slice() {
        b"\xFBx" => Ok(()),
        other => Err(format!("wanted a request for the file, got {}", String::from_utf8_lossy(other))),
    }
}

/// Rows with these numbers, as one part of a file.
fn part(ids: std::ops::Range<u64>) -> Vec<u8> {
    ids.map(|id| format!("{id}\t{}\trow number {id}\n", id % 10)).collect::<String>().into_bytes()
}

fn end(client: &mut Client) -> Result<Reply, String> {
    client.io().write(b"").map_err(|error| error.to_string())?;
    client.replies(false)?.pop().ok_or_else(|| "no reply".to_owned())
}

fn clients_without_the_capability(environment: &mut Environment) -> Result<(), String> {
    for keyspace in KEYSPACES {
        let mut client = Client::login(&environment.router_options().database(keyspace))?;
        let error = error_of(&mut client, LOAD)?;
        if error.errno != 3948 || &error.sqlstate != "42000" {
            return Err(format!("{keyspace}: {error}"));
        }
        client.run("select 1")?;
    }
    Ok(())
}

fn switched_off(environment: &mut Environment) -> Result<(), String> {
    let switch = |value: u8| {
        let servers = environment.backends.iter().chain([&environment.plain]);
        servers
            .map(|server| {
                server.administrator()?.run(&format!("set global local_infile = {value}")).map_err(Into::into)
            })
            .collect::<Result<Vec<()>, String>>()
    };
    switch(0)?;
    let mut problems = Vec::new();
    for keyspace in KEYSPACES {
        let wanted = error_of(&mut login(environment.plain_options(), keyspace)?, LOAD)?;
        let mut client = login(environment.router_options(), keyspace)?;
        let found = error_of(&mut client, LOAD)?;
        if wanted != found {
            problems.push(format!("{keyspace}: plain {wanted}, router {found}"));
        }
        client.run("select 1")?;
    }
    switch(1)?;
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn large_files(environment: &mut Environment) -> Result<(), String> {
    const ROWS: u64 = 150_000;
    for keyspace in KEYSPACES {
        environment.reset(keyspace, false)?;
        let mut client = login(environment.router_options(), keyspace)?;
        let before = resident_bytes(environment)?;
        let mut peak = before;
        begin(&mut client)?;
        for start in (0..ROWS).step_by(1_000) {
            client.io().write(&part(start..start + 1_000)).map_err(|error| error.to_string())?;
            peak = peak.max(resident_bytes(environment)?);
        }
        let reply = end(&mut client)?;
        let Reply::Ok(ok) = &reply else { return Err(format!("{keyspace}: {reply:?}")) };
        let info = format!("Records: {ROWS}  Deleted: 0  Skipped: 0  Warnings: 0");
        if ok.affected_rows != ROWS || ok.info != info {
            return Err(format!("{keyspace}: {ok:?}"));
        }
        expect_count(&mut client, ROWS)?;
        let rows = client.rows("select sum(id), sum(x), count(distinct label) from points")?;
        let sum = ROWS * (ROWS - 1) / 2;
        let wanted = [sum.to_string(), (ROWS / 10 * 45).to_string(), ROWS.to_string()];
        if rows[0].iter().flatten().ne(&wanted) {
            return Err(format!("{keyspace}: {rows:?} instead of {wanted:?}"));
        }
        grown(&format!("a large file into {keyspace}"), before, peak)?;
    }
    Ok(())
}

fn errors_in_the_middle(environment: &mut Environment) -> Result<(), String> {
    for keyspace in ["s2", "s4"] {
        environment.reset(keyspace, false)?;
        let mut client = login(environment.router_options(), keyspace)?;
        for begin_first in [false, true] {
            if begin_first {
                client.run("begin")?;
                client.run("insert into points (id) values (1000001)")?;
            }
            begin(&mut client)?;
            let wrong = b"no number\t1\tx\n".to_vec();
            for bytes in [part(0..30_000), wrong, part(40_000..80_000)] {
                client.io().write(&bytes).map_err(|error| error.to_string())?;
            }
            match end(&mut client)? {
                Reply::Err(error)
                    if error.message.contains("VT12001") && error.message.contains("row 30001") => {}
                other => return Err(format!("{keyspace}: {other:?}")),
            }
            expect_count(&mut client, u64::from(begin_first))?;
            if begin_first {
                client.run("commit")?;
                expect_count(&mut client, 1)?;
            }
        }
    }
    Ok(())
}

fn kill_in_the_middle(environment: &mut Environment) -> Result<(), String> {
    for keyspace in KEYSPACES {
        environment.reset(keyspace, false)?;
        let mut client = login(environment.router_options(), keyspace)?;
        let id = client.rows("select connection_id()")?[0][0].clone().unwrap_or_default();
        begin(&mut client)?;
        client.io().write(&part(0..30_000)).map_err(|error| error.to_string())?;
        login(environment.router_options(), keyspace)?.run(&format!("kill query {id}"))?;
        std::thread::sleep(Duration::from_millis(100));
        client.io().write(&part(30_000..60_000)).map_err(|error| error.to_string())?;
        match end(&mut client)? {
            Reply::Err(error) if error.errno == 1317 => {}
            other => return Err(format!("{keyspace}: {other:?}")),
        }
        expect_count(&mut client, 0)?;
        client.run("insert into points (id) values (1)")?;
        expect_count(&mut client, 1)?;
    }
    Ok(())
}

fn a_client_that_leaves(environment: &mut Environment) -> Result<(), String> {
    for keyspace in KEYSPACES {
        environment.reset(keyspace, false)?;
        for rows in [0, 3, 25_000] {
            let mut client = login(environment.router_options(), keyspace)?;
            begin(&mut client)?;
            if rows > 0 {
                client.io().write(&part(0..rows)).map_err(|error| error.to_string())?;
            }
        }
        let mut client = login(environment.router_options(), keyspace)?;
        // Waits for the locks of what is still being taken back.
        client.run("insert into points (id) select 100000 + id from points where id >= 0")?;
        expect_count(&mut client, 0)?;
    }
    Ok(())
}

/// A file may come in one packet of many megabytes.
fn one_packet(environment: &mut Environment) -> Result<(), String> {
    for keyspace in KEYSPACES {
        environment.reset(keyspace, false)?;
        let mut client = login(environment.router_options(), keyspace)?;
        begin(&mut client)?;
        let mut file = part(0..1_000);
        file.extend_from_slice(b"5000\t1\t");
        file.extend(std::iter::repeat_n(b'x', 17 << 20));
        file.extend_from_slice(b"\n5001\t1\ta");
        client.io().write(&file).map_err(|error| error.to_string())?;
        match end(&mut client)? {
            Reply::Ok(ok) if ok.affected_rows == 1_002 && ok.warnings == 1 => {}
            other => return Err(format!("{keyspace}: {other:?}")),
        }
        let rows = client.rows("select length(label) from points where id = 5000")?;
        if rows != [[Some("40".to_owned())]] {
            return Err(format!("{keyspace}: {rows:?}"));
        }
    }
    Ok(())
}
