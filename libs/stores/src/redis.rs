//! Redis: a cache and nothing more, so it writes nothing to disk.

use crate::place::Place;
use crate::{Program, Result, Server, process};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// The command that runs the server in the foreground.
pub(crate) fn command(place: &Place, program: &Program, port: u16) -> Result<Command> {
    let folder = place.server_dir("redis")?;
    let config = folder.join("redis.conf");
    let text = format!(
        "bind 127.0.0.1\n\
         port {port}\n\
         protected-mode yes\n\
         requirepass {}\n\
         daemonize no\n\
         logfile \"\"\n\
         dir \"{}\"\n\
         save \"\"\n\
         appendonly no\n\
         maxmemory 256mb\n\
         maxmemory-policy allkeys-lru\n",
        place.secret(Server::Redis)?,
        folder.display()
    );
    place.server_file(&config, &text)?;
    let mut command = process::command(&program.path, &program.libraries, place.user.as_ref());
    command.arg(config);
    Ok(command)
}

/// Whether our server answers: it knows the password.
pub(crate) fn ready(place: &Place, port: u16) -> bool {
    place.secret(Server::Redis).is_ok_and(|password| ping(port, &password).unwrap_or(false))
}

fn ping(port: u16, password: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "AUTH {password}\r\nPING\r\nQUIT\r\n")?;
    let lines = BufReader::new(stream).lines().take(2).collect::<std::io::Result<Vec<_>>>()?;
    Ok(lines == ["+OK", "+PONG"])
}
