//! NATS with JetStream, its monitoring port on loopback.

use crate::place::Place;
use crate::{Program, Result, Server, process};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// The user that our clients sign in as.
pub(crate) const USER: &str = "souk";

/// The command that runs the server in the foreground.
pub(crate) fn command(
    place: &Place,
    program: &Program,
    port: u16,
    monitor: u16,
) -> Result<Command> {
    let folder = place.server_dir("nats")?;
    let config = folder.join("nats.conf");
    // The file limit is far above what the streams' own limits add up to: they are what is meant to bind.
    let text = format!(
        "host: 127.0.0.1\n\
         port: {port}\n\
         http: \"127.0.0.1:{monitor}\"\n\
         server_name: souk\n\
         max_payload: 8388608\n\
         jetstream {{\n\
         \x20 store_dir: \"{}\"\n\
         \x20 max_memory_store: 268435456\n\
         \x20 max_file_store: 68719476736\n\
         }}\n\
         authorization {{\n\
         \x20 user: {USER}\n\
         \x20 password: \"{}\"\n\
         }}\n",
        folder.join("jetstream").display(),
        place.secret(Server::Nats)?
    );
    place.server_file(&config, &text)?;
    let mut command = process::command(&program.path, &program.libraries, place.user.as_ref());
    command.arg("--config").arg(config);
    Ok(command)
}

/// Whether our server answers: it greets, and takes the password.
pub(crate) fn ready(place: &Place, port: u16) -> bool {
    place.secret(Server::Nats).is_ok_and(|password| ping(port, &password).unwrap_or(false))
}

fn ping(port: u16, password: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let login =
        format!(r#"{{"user":"{USER}","pass":"{password}","verbose":false,"pedantic":false}}"#);
    write!(stream, "CONNECT {login}\r\nPING\r\n")?;
    let mut lines = BufReader::new(stream).lines();
    let greeting = lines.next().transpose()?.unwrap_or_default();
    // The server may ping us before it answers.
    let answer =
        lines.map_while(std::io::Result::ok).find(|line| line != "PING").unwrap_or_default();
    Ok(greeting.starts_with("INFO ") && greeting.contains("\"jetstream\":true") && answer == "PONG")
}
