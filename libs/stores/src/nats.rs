//! NATS with JetStream, its monitoring port on loopback; one server, or several that are one cluster.

use crate::bus::{BUS_OPERATOR, bus_authorization, bus_users};
use crate::place::{Certificate, Place};
use crate::{Member, Program, Result, Server, ports, process};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The user that the servers of a cluster sign in as with each other, and operators with each.
pub(crate) const USER: &str = BUS_OPERATOR;

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
         {}\
         jetstream {{\n\
         \x20 store_dir: \"{}\"\n\
         \x20 max_memory_store: 268435456\n\
         \x20 max_file_store: 68719476736\n\
         }}\n\
         {}{}",
        tls(place, &folder)?,
        folder.join("jetstream").display(),
        bus_authorization(&password, |context| place.user_secret(Server::Nats, context))?,
        cluster(member, routes, &password)
    );
    place.server_file(&config, &text)?;
    let mut command = process::command(&program.path, &program.libraries, place.user.as_ref());
    command.arg("--config").arg(config);
    Ok(command)
}

fn tls(place: &Place, folder: &Path) -> Result<String> {
    let certificate = place.certificate(Server::Nats, folder)?;
    let tls = certificate.map(|Certificate { certificate, key, .. }| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("tls {{\n  cert_file: \"{certificate}\"\n  key_file: \"{key}\"\n}}\n")
    });
    Ok(tls.unwrap_or_default())
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
    bus_users().try_for_each(|context| place.user_secret(Server::Nats, context).map(drop))?;
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

/// Whether our server answers, and JetStream is there: it says so at its monitoring port.
pub(crate) fn ready(place: &Place, member: Member) -> bool {
    let health = monitored(place, member, "/healthz?js-enabled-only=true");
    health.is_some_and(|health| health.contains("\"ok\""))
}

/// Whether a cluster of so many servers has a leader, and so takes streams.
pub(crate) fn is_led(place: &Place, member: Member, servers: u8) -> bool {
    let state = monitored(place, member, "/jsz").unwrap_or_default();
    let state: String = state.split_whitespace().collect();
    state.contains("\"leader\":\"") && state.contains(&format!("\"cluster_size\":{servers}"))
}

/// What a server says of itself; none when it does not answer.
fn monitored(place: &Place, member: Member, path: &str) -> Option<String> {
    let port = ports::remembered(&monitor_file(place, member))?;
    let get = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        io::Result::Ok(answer)
    };
    get().ok().filter(|answer| answer.split(' ').nth(1) == Some("200"))
}
