//! Counts what a transaction of one shard says to its server: never more often than a client without router would.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::bank::{self, Bank, Router};
use crate::client::{Client, Param};

/// BEGIN, four statements, COMMIT.
const DIRECT: usize = 6;

/// What one connection has sent, write by write.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

pub fn are_those_of_one_server(bank: &Bank, dir: &Path) {
    let proxy = Proxy::start(bank.server(0).port());
    let topology = dir.join("topology-by-proxy.json");
    std::fs::write(&topology, bank.topology_with(0, proxy.address.port())).unwrap();
    for mode in ["multi", "twopc"] {
        let router = Router::start_with(bank, mode, None, bank::free_address(), &topology);
        let mut client = router.client();
        let on_shard =
            bank.server(0).client().run(Some("vt_bank"), "SELECT id FROM account LIMIT 1").unwrap();
        let account: i64 = on_shard.trim().parse().unwrap();
        // The first round opens connections and prepares statements.
        for round in 0..3 {
            text(&mut client, account);
            let count = proxy.count("balance + 11");
            println!("{}: {mode}: a transaction of four statements takes {count} round trips", bank.engine());
            assert!(count <= DIRECT, "{count} round trips in mode {mode}");
            prepared(&mut client, account);
            let count = proxy.count("balance = balance + ?");
            if round > 0 {
                println!("{}: {mode}, prepared: {count} round trips", bank.engine());
                assert!(count <= DIRECT, "{count} round trips in mode {mode}, prepared");
            }
        }
    }
}

fn text(client: &mut Client, account: i64) {
    client.run("begin").unwrap();
    for amount in [11, -11, 12, -12] {
        client.run(&format!("update account set balance = balance + {amount} where id = {account}")).unwrap();
    }
    client.run("commit").unwrap();
}

fn prepared(client: &mut Client, account: i64) {
    const TYPE_LONGLONG: u8 = 8;
    let integer = |value: i64| Param::Int { type_code: TYPE_LONGLONG, value };
    let statement = client.prepare("update account set balance = balance + ? where id = ?").unwrap().unwrap();
    client.run("begin").unwrap();
    for amount in [11, -11, 12, -12] {
        client.execute(statement.id, &[integer(amount), integer(account)]).unwrap();
    }
    client.run("commit").unwrap();
}

/// Passes bytes on to a server, and remembers what clients write.
struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Sent>>>,
}

impl Proxy {
    fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let all = connections.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                let sent = Sent::default();
                all.lock().unwrap().push(sent.clone());
                let (from_client, to_client) = (client.try_clone().unwrap(), client);
                let (from_server, to_server) = (server.try_clone().unwrap(), server);
                std::thread::spawn(move || copy(from_client, to_server, Some(&sent)));
                std::thread::spawn(move || copy(from_server, to_client, None));
            }
        });
        Self { address, connections }
    }

    /// Writes of the connection that has run the statement, from that to COMMIT; everything is forgotten then.
    fn count(&self, statement: &str) -> usize {
        // The last statement's write is on record before its reply is.
        let connections = self.connections.lock().unwrap();
        let mut count = 0;
        for sent in connections.iter() {
            let writes = std::mem::take(&mut *sent.lock().unwrap());
            let holds = |write: &Vec<u8>, what: &str| {
                write.windows(what.len()).any(|window| window == what.as_bytes())
            };
            // Prepared statements are known by their BEGIN, which leaves along with the first.
            let is_ours = writes.iter().any(|write| holds(write, statement))
                || (statement.contains('?') && writes.iter().any(|write| holds(write, "START TRANSACTION")));
            let first = writes.iter().position(|write| holds(write, "START TRANSACTION"));
            let last = writes.iter().position(|write| holds(write, "COMMIT"));
            if let (true, Some(first), Some(last)) = (is_ours, first, last) {
                count = last + 1 - first;
            }
        }
        assert!(count > 0, "the transaction did not come by");
        count
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, sent: Option<&Sent>) {
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(sent) = sent {
            sent.lock().unwrap().push(buffer[..count].to_vec());
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
