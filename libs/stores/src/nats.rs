//! NATS with JetStream, its monitoring port on loopback; one server, or several that are one cluster.

use crate::bus::{BUS_OPERATOR, bus_authorization, bus_users};
use crate::place::Place;
use crate::{Member, Program, Result, Server, ports, process};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The user that the servers of a cluster sign in as with each other, and operators with each.
pub(crate) const USER: &str = BUS_OPERATOR;

/// Made and removed again, to see whether a cluster takes streams.
const PROBE: &str = "SOUK_PROBE";

/// The command that runs a server in the foreground, for clients and for monitoring at these ports.
/// With several `routes` it is one of a cluster, whose servers meet there.
pub(crate) fn command(
    place: &Place,
    program: &Program,
    member: Member,
    (port, monitor): (u16, u16),
    routes: &[u16],
) -> Result<Command> {
    let folder = place.server_dir(&member.name())?;
    let config = folder.join("nats.conf");
    let password = place.secret(Server::Nats)?;
    let name = if routes.len() > 1 { member.name() } else { "souk".to_owned() };
    // The file limit is far above what the streams' own limits add up to: they are what is meant to bind.
    let text = format!(
        "host: 127.0.0.1\n\
         port: {port}\n\
         http: \"127.0.0.1:{monitor}\"\n\
         server_name: {name}\n\
         max_payload: 8388608\n\
         jetstream {{\n\
         \x20 store_dir: \"{}\"\n\
         \x20 max_memory_store: 268435456\n\
         \x20 max_file_store: 68719476736\n\
         }}\n\
         {}{}",
        folder.join("jetstream").display(),
        bus_authorization(&password, |context| user_secret(place, context))?,
        cluster(member, routes, &password)
    );
    place.server_file(&config, &text)?;
    let mut command = process::command(&program.path, &program.libraries, place.user.as_ref());
    command.arg("--config").arg(config);
    Ok(command)
}

/// The password of a context's user, made when it is first asked for.
pub(crate) fn user_secret(place: &Place, context: &str) -> Result<String> {
    place.secret_of(&format!("{}-{context}", Server::Nats.key()))
}

/// What one server is told of the others. It does not tell its clients: they know the addresses that
/// they were given, and whatever stands between (a proxy, say) stays there.
fn cluster(member: Member, routes: &[u16], password: &str) -> String {
    if routes.len() < 2 {
        return String::new();
    }
    let own = usize::from(member.number);
    let others = routes.iter().enumerate().filter(|(number, _)| *number != own);
    let others: String = others
        .map(|(_, port)| format!("    \"nats-route://{USER}:{password}@127.0.0.1:{port}\"\n"))
        .collect();
    format!(
        "cluster {{\n\
         \x20 name: souk\n\
         \x20 host: 127.0.0.1\n\
         \x20 port: {}\n\
         \x20 no_advertise: true\n\
         \x20 authorization {{\n\
         \x20   user: {USER}\n\
         \x20   password: \"{password}\"\n\
         \x20 }}\n\
         \x20 routes: [\n{others}\x20 ]\n\
         }}\n",
        routes.get(own).copied().unwrap_or_default()
    )
}

/// Where the servers of a cluster meet, `starting` being about to be started. A port that is taken is
/// chosen anew only as long as none of them runs: those that do know it.
pub(crate) fn routes(place: &Place, starting: &[Member], nats_servers: u8) -> Result<Vec<u16>> {
    if nats_servers == 1 {
        return Ok(Vec::new());
    }
    place.secret(Server::Nats)?; // before several at once would make them
    bus_users().try_for_each(|context| user_secret(place, context).map(drop))?;
    let all = Member::first(Server::Nats, nats_servers);
    let some_run = all.clone().any(|member| !starting.contains(&member));
    let port = |member: Member| {
        let file = place.port_file(&format!("{}-route", member.name()));
        match ports::remembered(&file) {
            Some(port) if some_run => Ok(port),
            _ => ports::keep_or_choose(&file),
        }
    };
    all.map(port).collect()
}

/// The file that remembers the monitoring port.
pub(crate) fn monitor_file(place: &Place, member: Member) -> PathBuf {
    place.port_file(&format!("{}-monitor", member.name()))
}

/// Whether our server answers: it greets, and takes the password.
pub(crate) fn ready(place: &Place, port: u16) -> bool {
    place.secret(Server::Nats).is_ok_and(|password| ping(port, &password).unwrap_or(false))
}

fn ping(port: u16, password: &str) -> io::Result<bool> {
    let (greeting, mut lines) = sign_in(port, password)?;
    write!(lines.get_mut(), "PING\r\n")?;
    // The server may ping us before it answers.
    let answer = lines.lines().map_while(io::Result::ok).find(|line| line != "PING");
    Ok(greeting.starts_with("INFO ")
        && greeting.contains("\"jetstream\":true")
        && answer.is_some_and(|line| line == "PONG"))
}

/// Whether a cluster has a leader and takes a stream that so many servers hold.
pub(crate) fn takes_streams(place: &Place, port: u16, replicas: u8) -> bool {
    let config = format!(
        r#"{{"name":"{PROBE}","subjects":["{PROBE}"],"num_replicas":{replicas},"storage":"memory","retention":"limits","discard":"old","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0}}"#
    );
    let asked = |password: String| {
        let made = request(port, &password, &format!("$JS.API.STREAM.CREATE.{PROBE}"), &config)?;
        let gone = request(port, &password, &format!("$JS.API.STREAM.DELETE.{PROBE}"), "")?;
        io::Result::Ok(made.contains("\"config\":") && gone.contains("\"success\":true"))
    };
    place.secret(Server::Nats).is_ok_and(|password| asked(password).unwrap_or(false))
}

/// One question, and the line that answers it.
fn request(port: u16, password: &str, subject: &str, body: &str) -> io::Result<String> {
    let (_, mut lines) = sign_in(port, password)?;
    let (inbox, bytes) = ("_INBOX.souk", body.len());
    write!(lines.get_mut(), "SUB {inbox} 1\r\nPUB {subject} {inbox} {bytes}\r\n{body}\r\n")?;
    let mut lines = lines.lines();
    while let Some(line) = lines.next().transpose()? {
        if line.starts_with("MSG ") {
            return lines.next().unwrap_or(Err(ErrorKind::UnexpectedEof.into()));
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

/// A connection that has signed in, after the server's greeting.
fn sign_in(port: u16, password: &str) -> io::Result<(String, BufReader<TcpStream>)> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut lines = BufReader::new(stream);
    let mut greeting = String::new();
    lines.read_line(&mut greeting)?;
    let login =
        format!(r#"{{"user":"{USER}","pass":"{password}","verbose":false,"pedantic":false}}"#);
    write!(lines.get_mut(), "CONNECT {login}\r\n")?;
    Ok((greeting, lines))
}
