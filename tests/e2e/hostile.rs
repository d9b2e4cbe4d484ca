//! Clients that break the protocol, flood, or leave at a bad moment. The process must serve on, without a panic and
//! without backend connections left behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{Client, Options, Param, Reply};
use crate::environment::{Environment, ROUTER_PASSWORD, ROUTER_USER};
use crate::protocol::Case;

pub const CASES: &[Case] = &[
    ("garbage_instead_of_a_handshake", garbage_instead_of_a_handshake),
    ("silent_connections", silent_connections),
    ("wrong_sequence_numbers", wrong_sequence_numbers),
    ("truncated_and_oversized_packets", truncated_and_oversized_packets),
    ("malformed_commands", malformed_commands),
    ("random_commands", random_commands),
    ("deep_and_long_statements", deep_and_long_statements),
    ("too_many_prepared_statements", too_many_prepared_statements),
    ("login_flood", login_flood),
    ("disconnects_in_mid_result", disconnects_in_mid_result),
    ("disconnects_in_transactions", disconnects_in_transactions),
    ("no_backend_connection_is_left_behind", no_backend_connection_is_left_behind),
    ("no_socket_is_left_open", no_socket_is_left_open),
];

/// Things that need a moment are asked for again until then.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(environment: &Environment) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(environment.router.address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn login(environment: &Environment, keyspace: &str) -> Result<Client, String> {
    Ok(Client::login(&environment.router_options().database(keyspace))?)
}

/// The router answers others, and has not panicked.
fn still_serves(environment: &Environment) -> Result<(), String> {
    let mut client = login(environment, "s2")?;
    client.run("select count(*) from points")?;
    match environment.router.log_text().lines().find(|line| line.contains("panicked")) {
        Some(line) => Err(format!("the router panicked: {line}")),
        None => Ok(()),
    }
}

/// Reads until the peer closes; a peer that keeps the connection open and silent fails.
fn until_closed(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(all),
            Ok(count) => all.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(all),
            Err(error) => return Err(format!("the connection stays open: {error}")),
        }
    }
}

fn garbage_instead_of_a_handshake(environment: &mut Environment) -> Result<(), String> {
    let mut long = vec![0xFF, 0xFF, 0xFF, 1];
    long.extend(vec![b'x'; 200_000]);
    let texts: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00\x00\x00\x01",
        b"\x01\x00\x00\x01\x00",
        b"\x05\x00\x00\x01\xff\xff\xff\xff\xff",
        b"\x20\x00\x00\x01\x0d\xa6\xff\x01\x00\x00\x00\x01\x2d0123456789012345678901234567890123",
        &[0xFF; 300],
        &[0x00; 300],
        &long,
    ];
    for text in texts {
        let mut stream = connect(environment)?;
        // The peer may close while this is being sent.
        let _ = stream.write_all(text);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        until_closed(&mut stream)?;
    }
    for length in [0, 1, 3, 4, 5, 20] {
        let mut stream = connect(environment)?;
        let _ = stream
            .write_all(&[0x40, 0, 0, 1, 0x0D, 0xA6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..length]);
    }
    still_serves(environment)
}

/// Connections that never say anything do not keep others out.
fn silent_connections(environment: &mut Environment) -> Result<(), String> {
    let silent = (0..300).map(|_| connect(environment)).collect::<Result<Vec<_>, _>>()?;
    still_serves(environment)?;
    drop(silent);
    still_serves(environment)
}

fn wrong_sequence_numbers(environment: &mut Environment) -> Result<(), String> {
    // In the handshake response.
    let mut stream = connect(environment)?;
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).map_err(|error| error.to_string())?;
    let _ = stream.write_all(b"\x21\x00\x00\x09\x85\xa2\x00\x00\x00\x00\x00\x40\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
    until_closed(&mut stream)?;
    // In a command: MySQL ignores or refuses it; the connection must not hang and not harm.
    for sequence in [1, 7, 255] {
        let mut client = login(environment, "u")?;
        let stream = client.io().stream();
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let _ = stream.write_all(&[9, 0, 0, sequence]);
        let _ = stream.write_all(b"\x03select 1");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        until_closed(stream)?;
    }
    // In the second part of a command over 16 MB.
    let mut client = login(environment, "u")?;
    let stream = client.io().stream();
    let mut first = vec![0xFF, 0xFF, 0xFF, 0, 0x03];
    first.resize(4 + 0xFF_FFFF, b' ');
    let _ = stream.write_all(&first);
    let _ = stream.write_all(&[8, 0, 0, 5]);
    let _ = stream.write_all(b"select 1");
    let _ = stream.shutdown(std::net::Shutdown::Write);
    until_closed(stream)?;
    still_serves(environment)
}

fn truncated_and_oversized_packets(environment: &mut Environment) -> Result<(), String> {
    for (header, body) in [
        (&[0xFF, 0xFF, 0x00, 0][..], &b"\x03select 1"[..]),
        (&[0x64, 0, 0, 0], b"\x16select * from points where id = ?"),
        (&[0x10, 0, 0], b""),
        (&[0x00], b""),
        (&[0xFF, 0xFF, 0xFF, 0], b"\x03select 'half a command"),
    ] {
        let mut client = login(environment, "s2")?;
        let stream = client.io().stream();
        stream.write_all(header).map_err(|error| error.to_string())?;
        stream.write_all(body).map_err(|error| error.to_string())?;
        drop(client);
    }
    // Half a command, kept open, while others work.
    let mut half = login(environment, "s2")?;
    half.io().stream().write_all(&[0x64, 0, 0, 0, 3, b's', b'e']).map_err(|error| error.to_string())?;
    still_serves(environment)?;
    // An endless command: parts of 16 MB without a last one.
    let mut endless = login(environment, "s2")?;
    let part = vec![b'x'; 0xFF_FFFF];
    for sequence in 0..12u8 {
        let stream = endless.io().stream();
        if stream.write_all(&[0xFF, 0xFF, 0xFF, sequence]).and_then(|()| stream.write_all(&part)).is_err() {
            break;
        }
    }
    drop(endless);
    still_serves(environment)
}

/// Commands whose content makes no sense: an error or the end of that connection.
fn malformed_commands(environment: &mut Environment) -> Result<(), String> {
    let mut client = login(environment, "s2")?;
    let statement = client
        .prepare("select * from points where id = ? and label = ?")?
        .map_err(|error| error.to_string())?;
    let id = statement.id.to_le_bytes();
    let with_id = |rest: &[u8]| [&id[..], rest].concat();
    let bodies: Vec<(u8, Vec<u8>)> = vec![
        (0x17, vec![]),
        (0x17, vec![1]),
        (0x17, id.to_vec()),
        (0x17, with_id(&[0, 1, 0, 0, 0])),
        (0x17, with_id(&[0, 1, 0, 0, 0, 0])),
        (0x17, with_id(&[0, 1, 0, 0, 0, 0, 1])),
        (0x17, with_id(&[0, 1, 0, 0, 0, 0, 1, 8, 0])),
        (0x17, with_id(&[0, 1, 0, 0, 0, 0, 1, 8, 0, 253, 0])),
        (0x17, with_id(&[0, 1, 0, 0, 0, 0, 1, 8, 0, 253, 0, 1, 2, 3])),
        (0x17, with_id(&[0, 1, 0, 0, 0, 0, 1, 8, 0, 253, 0, 1, 2, 3, 4, 5, 6, 7, 8, 200])),
        (
            0x17,
            with_id(&[
                0, 1, 0, 0, 0, 0, 1, 8, 0, 253, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xFE, 255, 255, 255, 255, 255,
                255, 255, 255,
            ]),
        ),
        (0x17, with_id(&[0, 1, 0, 0, 0, 0, 1, 99, 0, 12, 0, 255, 255, 255])),
        (0x17, with_id(&[9, 1, 0, 0, 0, 255, 1, 8, 0, 8, 0])),
        (0x18, vec![]),
        (0x18, with_id(&[])),
        (0x18, with_id(&[77, 0, 1, 2, 3])),
        (0x19, vec![1]),
        (0x1A, vec![1]),
        (0x1C, vec![1, 2]),
        (0x1B, vec![]),
        (0x11, vec![]),
        (0x11, b"user without an end".to_vec()),
        (0x04, b"table without an end".to_vec()),
        (0x03, vec![0xFF; 50]),
        (0x03, b"select '\xff\xfe unterminated".to_vec()),
        (0x03, b"select /* unterminated".to_vec()),
        (0x03, b"select `unterminated".to_vec()),
        (0x16, b"select ?, ?, ? from points where id in (?, ?) limit ?, ?".to_vec()),
        (0x16, vec![0; 10]),
        (0x02, vec![0xFF; 10]),
        (0x02, b"s2:nonsense@nothing|".to_vec()),
    ];
    for (command, body) in bodies {
        let mut client = login(environment, "s2")?;
        let prepared = client
            .prepare("select * from points where id = ? and label = ?")?
            .map_err(|error| error.to_string())?;
        let mut body = body;
        if command == 0x17 && body.len() >= 4 {
            body[..4].copy_from_slice(&prepared.id.to_le_bytes());
        }
        client.send(command, &body)?;
        // COM_STMT_SEND_LONG_DATA and COM_STMT_CLOSE have no answer; a ping tells whether the connection lives.
        let stream = client.io().stream();
        let _ = stream.write_all(&[1, 0, 0, 0, 0x0E]);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        until_closed(stream).map_err(|error| format!("command 0x{command:02X} {body:?}: {error}"))?;
    }
    still_serves(environment)
}

/// Random bytes as commands, from a fixed seed.
fn random_commands(environment: &mut Environment) -> Result<(), String> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut below = move |limit: usize| usize::try_from(random() % limit as u64).unwrap_or(0);
    let words = [
        "select ",
        "insert into points ",
        "values ",
        "(",
        ")",
        "'",
        "\"",
        "`",
        "?",
        ";",
        "id",
        " = ",
        "1",
        "0x",
        " in ",
        "/*",
        "*/",
        "--",
        "@",
        ":=",
        "limit ",
        "\0",
        "\u{ff}",
    ];
    for _ in 0..300 {
        let mut client = login(environment, "s2")?;
        let stream = client.io().stream();
        for _ in 0..5 {
            let command = if below(2) == 0 { 0x03 } else { u8::try_from(below(256)).unwrap_or(3) };
            let mut body = vec![command];
            for _ in 0..below(20) {
                if below(3) == 0 {
                    let length = below(9);
                    body.extend((0..length).map(|_| u8::try_from(below(256)).unwrap_or(0)));
                } else {
                    body.extend_from_slice(words[below(words.len())].as_bytes());
                }
            }
            let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
            let _ = stream.write_all(&[length[0], length[1], length[2], 0]);
            let _ = stream.write_all(&body);
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        until_closed(stream)?;
    }
    still_serves(environment)
}

fn deep_and_long_statements(environment: &mut Environment) -> Result<(), String> {
    for depth in [100, 10_000, 1_000_000] {
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("not ", "1", ""),
            ("-", "1", ""),
            ("(select ", "1", ")"),
            ("case when 1 then ", "1", " end"),
            ("abs(", "1", ")"),
        ] {
            let sql = format!(
                "select id from points where x = {}{middle}{}",
                open.repeat(depth),
                close.repeat(depth)
            );
            for keyspace in ["u", "s2"] {
                let mut client = login(environment, keyspace)?;
                // Whatever the answer is, there is one.
                client
                    .query(&sql)
                    .map_err(|error| format!("{keyspace}, depth {depth} of {open:?}: {error}"))?;
            }
        }
    }
    let mut client = login(environment, "s2")?;
    let list: Vec<_> = (0..200_000).map(|n| n.to_string()).collect();
    client.run(&format!("select count(*) from points where id in ({})", list.join(",")))?;
    client.run(&format!("select count(*) from points where {}", vec!["id = 1"; 2_000].join(" or ")))?;
    still_serves(environment)
}

fn too_many_prepared_statements(environment: &mut Environment) -> Result<(), String> {
    const ENOUGH: usize = 20_000;
    let mut client = login(environment, "s2")?;
    for number in 0..ENOUGH {
        if let Err(error) = client.prepare(format!("select {number} from points where id = ?"))? {
            if error.errno == 1461 {
                return still_serves(environment);
            }
            return Err(format!("statement {number}: {error}"));
        }
    }
    Err(format!("{ENOUGH} prepared statements of one session, and no limit"))
}

fn login_flood(environment: &mut Environment) -> Result<(), String> {
    let address = environment.router.address;
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            std::thread::spawn(move || {
                for number in 0..100 {
                    let options = Options::new(address, ROUTER_USER, &format!("wrong {thread} {number}"));
                    // Refused is what it should be; the router may also be too busy to say so.
                    if let Ok(Ok(_)) = Client::connect(&options) {
                        return Err("a wrong password is let in".to_owned());
                    }
                }
                Ok(())
            })
        })
        .collect();
    // Meanwhile the right password works.
    let options = Options::new(address, ROUTER_USER, ROUTER_PASSWORD);
    for _ in 0..20 {
        Client::login(&options)?.run("select 1")?;
    }
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked".to_owned())??;
    }
    still_serves(environment)
}

fn disconnects_in_mid_result(environment: &mut Environment) -> Result<(), String> {
    for keyspace in ["u", "s2"] {
        environment.reset(keyspace, false)?;
        let mut client = login(environment, keyspace)?;
        let rows: Vec<_> = (0..100).map(|id| format!("({id}, {id})")).collect();
        client.run(&format!("insert into points (id, x) values {}", rows.join(", ")))?;
    }
    let statements = [
        ("u", "select id, repeat('x', 100000) from points"),
        ("s2", "select id, repeat('x', 100000) from points"),
        ("s2", "select id, repeat('x', 100000) from points order by id"),
        ("s2", "select x, repeat('x', 10000000) from points where id = 1"),
    ];
    for number in 0..1_000 {
        let (keyspace, sql) = statements[number % statements.len()];
        let mut client = login(environment, keyspace)?;
        client.send(0x03, sql.as_bytes())?;
        if number % 3 > 0 {
            let mut chunk = vec![0; 1000];
            let _ = client.io().stream().read(&mut chunk);
        }
    }
    still_serves(environment)?;
    no_backend_connection_is_left_behind(environment)
}

fn disconnects_in_transactions(environment: &mut Environment) -> Result<(), String> {
    environment.reset("s2", false)?;
    login(environment, "s2")?
        .run("insert into points (id, x) values (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)")?;
    for _ in 0..50 {
        let mut client = login(environment, "s2")?;
        client.run("begin")?;
        client.run("update points set x = x + 1")?;
        let prepared = client
            .prepare("select * from points where id = ? for update")?
            .map_err(|error| error.to_string())?;
        client.execute(prepared.id, &[Param::Unsigned(4)])?;
        drop(client);
        // The locks are free again, soon enough for the next round's update.
    }
    let mut client = login(environment, "s2")?;
    client.run("update points set x = x + 1")?;
    match client.query("select sum(x) from points")?.pop() {
        Some(Reply::Rows(set)) if set.text_rows()[0][0].as_deref() == Some("6") => still_serves(environment),
        other => Err(format!("{other:?}")),
    }
}

/// After all that: no statement of the router runs on any backend, no transaction is open, and connections are few.
fn no_backend_connection_is_left_behind(environment: &mut Environment) -> Result<(), String> {
    const CONNECTIONS_MAX: usize = 400;
    let begin = Instant::now();
    for backend in &environment.backends {
        let mut root = Client::login(&backend.root())?;
        loop {
            let list =
                root.rows("select command from information_schema.processlist where user = 'vt_app'")?;
            let busy = list.iter().filter(|row| row[0].as_deref() != Some("Sleep")).count();
            let transactions = root.rows("select count(*) from information_schema.innodb_trx")?;
            if busy == 0 && list.len() <= CONNECTIONS_MAX && transactions[0][0].as_deref() == Some("0") {
                break;
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!(
                    "{} (process {:?}): {} connections, {busy} busy, {transactions:?} transactions",
                    backend.address,
                    backend.process_id(),
                    list.len()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// The clients of all these cases are gone, and so are the router's sockets to them.
fn no_socket_is_left_open(environment: &mut Environment) -> Result<(), String> {
    const OPEN_MAX: usize = 500;
    let folder = format!("/proc/{}/fd", environment.router.process_id().ok_or("the router has ended")?);
    let begin = Instant::now();
    loop {
        let open = std::fs::read_dir(&folder).map_err(|error| error.to_string())?.count();
        if open <= OPEN_MAX {
            println!("  {open} files and sockets are open");
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("{open} files and sockets are still open"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
