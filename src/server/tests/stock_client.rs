//! The command-line clients of both engines, where they are installed.

use std::process::{Command, Output, Stdio};

use super::*;

/// Path of a client, and whether it is MySQL's.
fn clients() -> Vec<(PathBuf, bool)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let engines = std::env::var_os("SHARDGATE_ENGINES")
        .map_or_else(|| home.join(".cache/shardgate/engines"), PathBuf::from);
    let mut found = vec![];
    for (path, is_mysql) in
        [(PathBuf::from("/usr/bin/mariadb"), false), (engines.join("mysql/bin/mysql"), true)]
    {
        match path.exists() {
            true => found.push((path, is_mysql)),
            false => eprintln!("left out: no client at {}", path.display()),
        }
    }
    found
}

async fn run(server: &Fixture, client: &PathBuf, arguments: &[&str]) -> Output {
    let port = server.address.port().to_string();
    let mut process = Command::new(client);
    process.args(["--no-defaults", "-h127.0.0.1", "-P", &port, "-N", "-B"]).args(arguments);
    process.env_remove("MYSQL_PWD").stdin(Stdio::null());
    tokio::task::spawn_blocking(move || process.output()).await.unwrap().unwrap()
}

async fn check(server: &Fixture, client: &PathBuf, arguments: &[&str], expected: &str) {
    let output = run(server, client, arguments).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, expected, "{} {arguments:?}: {stderr}", client.display());
}

async fn check_error(server: &Fixture, client: &PathBuf, arguments: &[&str], part: &str) {
    let output = run(server, client, arguments).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(part), "{} {arguments:?}: {stderr}", client.display());
}

#[tokio::test]
async fn stock_clients_log_in_with_and_without_tls() {
    let server = Fixture::start().await;
    for (client, is_mysql) in clients() {
        // MariaDB's client checks certificates unless told not to; MySQL's takes TLS when it is offered.
        let plain = if is_mysql { "--ssl-mode=DISABLED" } else { "--skip-ssl" };
        let tls = if is_mysql { "--ssl-mode=REQUIRED" } else { "--ssl" };
        let tls = if is_mysql { vec![tls] } else { vec![tls, "--skip-ssl-verify-server-cert"] };
        for encryption in [vec![plain], tls] {
            for (user, password) in [("root", ""), ("ann", "secret"), ("ann", "old"), ("crypt", "secret")] {
                let credentials = [format!("-u{user}"), format!("-p{password}")];
                let mut arguments: Vec<&str> = credentials.iter().map(String::as_str).collect();
                arguments.extend(&encryption);
                if user == "crypt" && is_mysql {
                    arguments.push("--get-server-public-key");
                }
                if password.is_empty() {
                    arguments.remove(1);
                }
                arguments.extend(["-e", "select user"]);
                check(&server, &client, &arguments, &format!("{user}@127.0.0.1\n")).await;
            }
        }
        check(&server, &client, &["-uroot", plain, "-e", "rows 3"], "0\n1\n2\n").await;
        check(&server, &client, &["-uroot", plain, "commerce", "-e", "select database"], "commerce\n").await;
        let denied = "ERROR 1045 (28000): Access denied for user 'ann'@'127.0.0.1' (using password: YES)";
        check_error(&server, &client, &["-uann", "-pwrong", plain, "-e", "select 1"], denied).await;
        let unknown = "ERROR 1049 (42000): Unknown database 'nosuch'";
        check_error(&server, &client, &["-uroot", plain, "nosuch", "-e", "select 1"], unknown).await;
        check_error(&server, &client, &["-uroot", plain, "-e", "nonsense"], "ERROR 1064 (42000) at line 1")
            .await;
    }
}

#[tokio::test]
async fn stock_clients_use_native_passwords_where_they_have_the_plugin() {
    let server = Fixture::start().await;
    for (client, is_mysql) in clients() {
        let arguments = ["-unat", "-psecret", "-e", "select user"];
        if is_mysql {
            check_error(&server, &client, &arguments, "ERROR 2059").await;
        } else {
            check(&server, &client, &arguments, "nat@127.0.0.1\n").await;
        }
    }
}

#[tokio::test]
async fn stock_clients_understand_a_refusal() {
    let server = Fixture::start_with(|options| options.connections_max = 0).await;
    for (client, _) in clients() {
        check_error(&server, &client, &["-uroot", "-e", "select 1"], "Too many connections").await;
        let output = run(&server, &client, &["-uroot", "-e", "select 1"]).await;
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
}
