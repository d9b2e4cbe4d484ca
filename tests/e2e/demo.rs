//! The seed article's session: `shardgate demo` as its reader starts it, and the stock clients in front of it.
//!
//! Both stock clients talk to both engines. The text they print is compared; what differs from machine to machine
//! (host names, the next AUTO_INCREMENT value) is taken out first.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, Options};
use crate::servers::{self, Engine, free_port};

pub type Case = (&'static str, fn(&mut Demo) -> Result<(), String>);

/// In order: a later one finds what an earlier one left.
pub const CASES: &[Case] = &[
    ("tablets", tablets),
    ("commerce", commerce),
    ("customer", customer),
    ("orders", orders),
    ("second_start_keeps_the_data", second_start_keeps_the_data),
    ("stops_everything_after_a_crash_of_one_server", stops_everything_after_a_crash_of_one_server),
];

/// The first start may have to prepare a data directory.
const START_WAIT: Duration = Duration::from_secs(120);
const STOP_WAIT: Duration = Duration::from_secs(40);

/// A running `shardgate demo`, and the stock clients that are installed.
pub struct Demo {
    engine: Engine,
    folder: PathBuf,
    address: SocketAddr,
    child: Child,
    clients: Vec<PathBuf>,
}

impl Demo {
    pub fn start(engine: Engine, folder: &Path) -> Result<Self, String> {
        let clients =
            Engine::ALL.into_iter().filter_map(servers::installation).map(|found| found.client).collect();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let child = spawn(engine, folder, address)?;
        let mut demo = Self { engine, folder: folder.to_owned(), address, child, clients };
        demo.wait()?;
        Ok(demo)
    }

    fn wait(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let ready =
                Client::login(&self.options()).and_then(|mut client| client.rows("show vitess_tablets"));
            if ready.is_ok_and(|rows| {
                rows.len() == 6 && rows.iter().all(|row| row[4].as_deref() == Some("SERVING"))
            }) {
                println!(
                    "  demo on {} is ready after {:.1} s",
                    self.engine.as_str(),
                    begin.elapsed().as_secs_f32()
                );
                return Ok(());
            }
            let exited = !matches!(self.child.try_wait(), Ok(None));
            if exited || begin.elapsed() > START_WAIT {
                let log = std::fs::read_to_string(log_path(&self.folder)).unwrap_or_default();
                return Err(format!("`shardgate demo` is not ready: {log}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn options(&self) -> Options {
        Options::new(self.address, "user", "")
    }

    /// What each stock client prints for this input.
    fn check(&self, input: &str, expected: &str) -> Result<(), String> {
        for program in &self.clients {
            let mut child = Command::new(program)
                .args(["--no-defaults", "--table", "-h", "127.0.0.1", "-u", "user"])
                .arg(format!("-P{}", self.address.port()))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| format!("{}: {error}", program.display()))?;
            let mut stdin = child.stdin.take().ok_or("no stdin")?;
            stdin.write_all(input.as_bytes()).map_err(|error| error.to_string())?;
            drop(stdin);
            let output = child.wait_with_output().map_err(|error| error.to_string())?;
            let printed = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            let printed = without_next_id(&printed);
            if printed.trim_end() != expected.trim_end() {
                return Err(format!("{} printed\n{printed}\ninstead of\n{expected}", program.display()));
            }
        }
        Ok(())
    }

    /// Ctrl-C, and everything that was started is gone.
    fn interrupt(&mut self) -> Result<(), String> {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        status.map_err(|error| error.to_string())?;
        let begin = Instant::now();
        loop {
            let exited = self.child.try_wait().map_err(|error| error.to_string())?;
            let left = processes_of(&self.folder);
            if exited.is_some() && left.is_empty() {
                return Ok(());
            }
            if begin.elapsed() > STOP_WAIT {
                return Err(format!("after Ctrl-C: {exited:?}, processes {left:?}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.interrupt();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

fn spawn(engine: Engine, folder: &Path, address: SocketAddr) -> Result<Child, String> {
    let log = std::fs::File::create(log_path(folder)).map_err(|error| error.to_string())?;
    Command::new(env!("CARGO_BIN_EXE_shardgate"))
        .args(["demo", "--engine", engine.as_str(), "--dir"])
        .arg(folder)
        .arg(format!("--port={}", address.port()))
        .arg(format!("--http-port={}", free_port()))
        .arg(format!("--control-port={}", free_port()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("cannot start the demo: {error}"))
}

/// Ids of processes whose command line names the folder.
fn processes_of(folder: &Path) -> Vec<u32> {
    let needle = folder.display().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&needle)
        })
        .collect()
}

fn without_next_id(text: &str) -> String {
    let Some((head, tail)) = text.split_once(" AUTO_INCREMENT=") else { return text.to_owned() };
    head.to_owned() + tail.trim_start_matches(|digit: char| digit.is_ascii_digit())
}

/// The article: `echo "show vitess_tablets;" | mysql --table`.
fn tablets(demo: &mut Demo) -> Result<(), String> {
    demo.check(
        "show vitess_tablets;\n",
        "\
+-------+----------+-------+------------+---------+------------------+-----------+
| Cell  | Keyspace | Shard | TabletType | State   | Alias            | Hostname  |
+-------+----------+-------+------------+---------+------------------+-----------+
| zone1 | commerce | -     | MASTER     | SERVING | zone1-2469782763 | 127.0.0.1 |
| zone1 | commerce | -     | REPLICA    | SERVING | zone1-2548885007 | 127.0.0.1 |
| zone1 | customer | -80   | MASTER     | SERVING | zone1-0120139806 | 127.0.0.1 |
| zone1 | customer | -80   | REPLICA    | SERVING | zone1-2289928654 | 127.0.0.1 |
| zone1 | customer | 80-   | MASTER     | SERVING | zone1-0118374573 | 127.0.0.1 |
| zone1 | customer | 80-   | REPLICA    | SERVING | zone1-4277914223 | 127.0.0.1 |
+-------+----------+-------+------------+---------+------------------+-----------+
",
    )
}

/// The article: `use commerce`, `show tables`.
fn commerce(demo: &mut Demo) -> Result<(), String> {
    demo.check(
        "use commerce;\nshow tables;\nselect * from product order by sku;\n",
        "\
+--------------------+
| Tables_in_commerce |
+--------------------+
| customer_seq       |
| order_seq          |
| product            |
+--------------------+
+----------+-------------+-------+
| sku      | description | price |
+----------+-------------+-------+
| SKU-1001 | Monitor     |   100 |
| SKU-1002 | Keyboard    |    30 |
+----------+-------------+-------+
",
    )
}

/// The article: `show create table corder`, here in the keyspace that the table has moved to.
fn customer(demo: &mut Demo) -> Result<(), String> {
    let create = match demo.engine {
        Engine::MariaDb => {
            "CREATE TABLE `corder` (
  `order_id` bigint(20) NOT NULL AUTO_INCREMENT,
  `customer_id` bigint(20) DEFAULT NULL,
  `sku` varbinary(128) DEFAULT NULL,
  `price` bigint(20) DEFAULT NULL,
  PRIMARY KEY (`order_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"
        }
        Engine::MySql => {
            "CREATE TABLE `corder` (
  `order_id` bigint NOT NULL AUTO_INCREMENT,
  `customer_id` bigint DEFAULT NULL,
  `sku` varbinary(128) DEFAULT NULL,
  `price` bigint DEFAULT NULL,
  PRIMARY KEY (`order_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci"
        }
    };
    for program in &demo.clients {
        let output = Command::new(program)
            .args(["--no-defaults", "--batch", "--raw", "-h", "127.0.0.1", "-u", "user", "customer"])
            .arg(format!("-P{}", demo.address.port()))
            .args(["-e", "show tables; show create table corder;"])
            .output()
            .map_err(|error| error.to_string())?;
        let printed =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let expected =
            format!("Tables_in_customer\ncorder\ncustomer\nTable\tCreate Table\ncorder\t{create}\n");
        if without_next_id(&printed) != expected {
            return Err(format!("{} printed\n{printed}\ninstead of\n{expected}", program.display()));
        }
    }
    Ok(())
}

/// The example's rows, over both shards, read and written.
fn orders(demo: &mut Demo) -> Result<(), String> {
    demo.check(
        "use customer;\nselect * from customer order by customer_id;\nselect * from corder where customer_id = 1;\n\
         select sku, count(*), sum(price) from corder group by sku order by sku;\n",
        "\
+-------------+--------------------+
| customer_id | email              |
+-------------+--------------------+
|           1 | alice@domain.com   |
|           2 | bob@domain.com     |
|           3 | charlie@domain.com |
|           4 | dan@domain.com     |
|           5 | eve@domain.com     |
+-------------+--------------------+
+----------+-------------+----------+-------+
| order_id | customer_id | sku      | price |
+----------+-------------+----------+-------+
|        1 |           1 | SKU-1001 |   100 |
+----------+-------------+----------+-------+
+----------+----------+------------+
| sku      | count(*) | sum(price) |
+----------+----------+------------+
| SKU-1001 |        1 |        100 |
| SKU-1002 |        4 |        120 |
+----------+----------+------------+
",
    )?;
    let mut client = Client::login(&demo.options().database("customer"))?;
    client.run("insert into customer (email) values ('kept@domain.com')")?;
    let rows = client.rows("select count(*) from customer")?;
    if rows[0][0].as_deref() == Some("6") { Ok(()) } else { Err(format!("{rows:?} customers instead of 6")) }
}

fn second_start_keeps_the_data(demo: &mut Demo) -> Result<(), String> {
    demo.interrupt()?;
    demo.child = spawn(demo.engine, &demo.folder, demo.address)?;
    demo.wait()?;
    let mut client = Client::login(&demo.options().database("customer"))?;
    let rows = client.rows("select email from customer where email like 'kept%'")?;
    if rows.len() != 1 {
        return Err(format!("{rows:?}"));
    }
    // Replicas follow: the row is there within a moment.
    let begin = Instant::now();
    let mut replica = Client::login(&demo.options().database("customer@replica"))?;
    client.run("insert into customer (email) values ('replicated@domain.com')")?;
    while replica.rows("select count(*) from customer")?[0][0].as_deref() != Some("7") {
        if begin.elapsed() > STOP_WAIT {
            return Err("the replicas do not replicate".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn stops_everything_after_a_crash_of_one_server(demo: &mut Demo) -> Result<(), String> {
    let server = processes_of(&demo.folder)
        .into_iter()
        .find(|id| {
            let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            *id != demo.child.id()
                && (name.starts_with("mariadbd")
                    || name.starts_with("mysqld")
                    || name.starts_with("ld-linux"))
        })
        .ok_or("no server of the demo runs")?;
    Command::new("kill").args(["-KILL", &server.to_string()]).status().map_err(|error| error.to_string())?;
    demo.interrupt()
}
