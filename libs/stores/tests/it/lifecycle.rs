//! Start, stop, crash and start again.

use crate::folder::{Folder, programs};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use stores::{Endpoints, Error, Options, Psql, Server, Stores};

fn start(folder: &Folder) -> Stores {
    Stores::start(folder.path(), &programs(), &Options::default()).expect("the stores start")
}

fn sql(endpoints: &Endpoints, statements: &str) -> String {
    let psql = Psql::of(&programs()).expect("psql is beside the server");
    psql.run(&endpoints.postgres_url, statements).expect(statements)
}

fn pid_of(endpoints: &Endpoints, server: Server) -> u32 {
    endpoints.pids.iter().find(|(known, _)| known.server == server).expect("it runs").1
}

/// A process that has ended and was not waited for has no arguments any more.
fn runs(pid: u32) -> bool {
    let output = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output();
    let arguments = match output {
        Ok(output) => output.stdout,
        Err(_) => std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default(),
    };
    let text = String::from_utf8_lossy(&arguments).into_owned();
    !text.trim().is_empty() && !text.contains("<defunct>")
}

/// Sends commands to Redis after signing in; the last line of its answer.
fn redis(endpoints: &Endpoints, command: &str) -> String {
    let (password, address) =
        endpoints.redis_url.trim_start_matches("redis://:").split_once('@').expect("a password");
    let mut stream = TcpStream::connect(address).expect("Redis listens");
    write!(stream, "AUTH {password}\r\n{command}\r\nQUIT\r\n").expect("written");
    let lines: Vec<String> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    lines[lines.len() - 2].clone()
}

#[test]
fn a_restart_keeps_data_ports_and_passwords() {
    let folder = Folder::new("restart");
    let stores = start(&folder);
    let before = stores.endpoints().expect("endpoints");
    sql(&before, "create table kept (n int); insert into kept values (42);");
    assert_eq!(redis(&before, "SET a b"), "+OK");
    stores.stop().expect("they stop");
    assert!(before.pids.iter().all(|(_, pid)| !runs(*pid)), "a server outlived stop");

    let stores = start(&folder);
    let after = stores.endpoints().expect("endpoints");
    let urls =
        |all: &Endpoints| (all.postgres_url.clone(), all.redis_url.clone(), all.nats_url.clone());
    assert_eq!(urls(&after), urls(&before));
    assert_eq!(sql(&after, "select n from kept;"), "42");
    assert_eq!(redis(&after, "EXISTS a"), ":0", "Redis is a cache: it keeps nothing");
    stores.stop().expect("they stop");
}

#[test]
fn commits_are_durable_and_nobody_enters_without_a_password() {
    let folder = Folder::new("settings");
    let stores = start(&folder);
    let endpoints = stores.endpoints().expect("endpoints");
    let settings = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings \
        where name in ('fsync', 'synchronous_commit', 'listen_addresses', 'jit', 'max_connections');";
    let expected =
        "fsync=on jit=off listen_addresses=127.0.0.1 max_connections=300 synchronous_commit=on";
    assert_eq!(sql(&endpoints, settings), expected);

    let psql = Psql::of(&programs()).expect("psql");
    let (before, at) = endpoints.postgres_url.rsplit_once('@').expect("a login");
    let wrong = format!("{}x@{at}", before);
    let refused = psql.run(&wrong, "select 1;").expect_err("a wrong password");
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");

    for secret in ["secrets/postgres", "secrets/redis", "secrets/nats"] {
        assert_eq!(mode(&folder.path().join(secret)), 0o600, "{secret}");
    }
    let (data, _) = stores.data_folder();
    for config in ["redis/redis.conf", "nats/nats.conf", "postgres/souk.conf"] {
        assert_eq!(mode(&data.join(config)), 0o600, "{config}");
    }
    stores.stop().expect("they stop");
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it exists").permissions().mode() & 0o777
}

#[test]
fn an_owner_of_a_database_enters_its_own_only() {
    let folder = Folder::new("databases");
    let stores = start(&folder);
    let cart = stores.create_database("cart_0", "cart", "one's own").expect("made");
    let again = stores.create_database("cart_0", "cart", "one's own").expect("made twice");
    assert_eq!(cart, again);
    stores.create_database("order_0", "orders", "x").expect("made");

    let psql = Psql::of(&programs()).expect("psql");
    psql.run(&cart, "create table t (); drop table t;").expect("the owner may do anything in it");
    let foreign = cart.replace("/cart_0", "/order_0");
    let refused = psql.run(&foreign, "select 1;").expect_err("not its own");
    assert!(refused.to_string().contains("permission denied for database"), "{refused}");
    let refused = psql.run(&cart, "create role mallory;").expect_err("no right to make roles");
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    stores.stop().expect("they stop");
}

#[test]
fn what_a_killed_owner_left_is_ended_by_the_next() {
    let folder = Folder::new("orphans");
    let orphaned = start(&folder);
    let before = orphaned.endpoints().expect("endpoints");
    sql(&before, "create table kept (n int); insert into kept values (7);");
    let alive = Stores::clean_orphans(folder.path()).expect("looked");
    assert_eq!(alive, [], "the owner lives, so these are no orphans");
    let second = Stores::start(folder.path(), &programs(), &Options::default());
    assert!(matches!(second, Err(Error::InUse(_))), "{second:?}");

    // Dropping gives up the ownership and leaves the servers, as a kill -9 of the owner does.
    drop(orphaned);
    let stores = start(&folder);
    let after = stores.endpoints().expect("endpoints");
    assert_ne!(before.pids, after.pids);
    assert_eq!(sql(&after, "select n from kept;"), "7");

    drop(stores);
    let mut ended = Stores::clean_orphans(folder.path()).expect("ended");
    ended.sort();
    assert_eq!(ended, after.pids);
    assert!(after.pids.iter().all(|(_, pid)| !runs(*pid)));
}

#[test]
fn an_orphan_without_a_pid_file_is_found_by_its_data() {
    let folder = Folder::new("no-pid-file");
    let stores = start(&folder);
    let before = stores.endpoints().expect("endpoints");
    std::fs::remove_file(folder.path().join("pids/postgres")).expect("it was written");
    drop(stores);
    let stores = start(&folder);
    assert!(!runs(pid_of(&before, Server::Postgres)));
    stores.stop().expect("they stop");
}

#[test]
fn a_taken_port_is_chosen_again() {
    let folder = Folder::new("taken");
    let stores = start(&folder);
    let before = stores.endpoints().expect("endpoints");
    stores.stop().expect("they stop");
    let address = before.redis_url.rsplit_once('@').expect("a login").1;
    let squatter = TcpListener::bind(address).expect("Redis has let go of it");

    let stores = start(&folder);
    let after = stores.endpoints().expect("endpoints");
    assert_ne!(after.redis_url, before.redis_url);
    assert_eq!(after.postgres_url, before.postgres_url);
    assert_eq!(redis(&after, "PING"), "+PONG");
    drop(squatter);
    stores.stop().expect("they stop");
}

#[test]
fn a_server_that_was_killed_is_seen_and_started_again_in_its_place() {
    let folder = Folder::new("outage");
    let mut stores = start(&folder);
    let before = stores.endpoints().expect("endpoints");
    assert_eq!(stores.dead(), []);
    let postmaster = pid_of(&before, Server::Postgres);
    Command::new("sh").args(["-c", &format!("kill -9 {postmaster}")]).status().expect("sh runs");
    eventually(|| stores.dead() == [Server::Postgres]);
    stores.start_server(Server::Postgres).expect("it recovers");
    assert_eq!(sql(&stores.endpoints().expect("endpoints"), "select 1;"), "1");

    stores.stop_server(Server::Nats).expect("it stops");
    assert_eq!(stores.dead(), [Server::Nats]);
    stores.start_server(Server::Nats).expect("it starts");
    let after = stores.endpoints().expect("endpoints");
    assert_eq!((stores.dead(), after.nats_url), (vec![], before.nats_url));
    stores.stop().expect("they stop");
}

#[test]
fn three_nats_servers_are_one_cluster_of_which_each_is_started_again() {
    let folder = Folder::new("cluster");
    let options = Options { nats_servers: 3, ..Options::default() };
    let mut stores = Stores::start(folder.path(), &programs(), &options).expect("a cluster");
    let before = stores.endpoints().expect("endpoints");
    let servers: Vec<_> =
        before.pids.iter().filter(|(member, _)| member.server == Server::Nats).collect();
    let names: Vec<String> = servers.iter().map(|(member, _)| member.name()).collect();
    assert_eq!(names, ["nats", "nats-2", "nats-3"]);
    assert_eq!((before.nats_url.split(',').count(), before.nats_monitor_urls.len()), (3, 3));
    for url in before.nats_url.split(',') {
        let address = url.rsplit_once('@').expect("a login").1;
        let stream = TcpStream::connect(address).expect("it listens");
        let mut greeting = String::new();
        BufReader::new(stream).read_line(&mut greeting).expect("it greets");
        assert!(greeting.contains("\"cluster\":\"souk\""), "{greeting}");
        assert!(!greeting.contains("connect_urls"), "clients keep to what they know: {greeting}");
    }
    let (second, pid) = servers[1];
    Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().expect("sh runs");
    eventually(|| stores.dead() == [Server::Nats]);
    stores.start_server(Server::Nats).expect("it is back");
    let after = stores.endpoints().expect("endpoints");
    assert_eq!((stores.dead(), &after.nats_url), (vec![], &before.nats_url));
    let others = |all: &Endpoints| -> Vec<_> {
        all.pids.iter().filter(|(member, _)| member != second).copied().collect()
    };
    assert_eq!(others(&after), others(&before), "the others run on");

    // Whoever comes next ends all three, whatever it is to start itself.
    drop(stores);
    let ended = Stores::clean_orphans(folder.path()).expect("ended");
    assert_eq!(ended.len(), 5, "{ended:?}");
    assert!(after.pids.iter().all(|(_, pid)| !runs(*pid)));
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it never came true");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let folder = Folder::new("broken");
    let stores = start(&folder);
    let broken = stores.data_folder().0.join("postgres/global/pg_control");
    stores.stop().expect("they stop");
    std::fs::remove_file(broken).expect("every cluster has one");
    let error =
        Stores::start(folder.path(), &programs(), &Options::default()).expect_err("no cluster");
    let text = error.to_string();
    assert!(text.starts_with("PostgreSQL did not start"), "{text}");
    assert!(text.contains("pg_control"), "{text}");
    assert_eq!(
        Stores::stop_at(folder.path()).expect("looked"),
        [],
        "the others were stopped again"
    );
}

#[test]
fn what_a_removal_that_was_cut_off_has_left_is_removed() {
    let folder = Folder::new("half-removed");
    let left = folder.path().join("data/postgres/base");
    std::fs::create_dir_all(&left).expect("a folder");
    Stores::wipe(folder.path()).expect("it can be removed");
    assert!(!folder.path().exists());
}

#[test]
fn a_server_that_somebody_else_runs_is_used_and_not_started() {
    let folder = Folder::new("external");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("bound"));
    let options = Options { redis_url: Some(url.clone()), ..Options::default() };
    let stores = Stores::start(folder.path(), &programs(), &options).expect("the others start");
    let endpoints = stores.endpoints().expect("endpoints");
    assert_eq!(endpoints.redis_url, url);
    assert_eq!(endpoints.pids.len(), 2);
    stores.stop().expect("they stop");

    drop(listener);
    let error = Stores::start(folder.path(), &programs(), &options).expect_err("nobody listens");
    assert!(error.to_string().contains("no Redis answers at 127.0.0.1:"), "{error}");
}
