//! Redis: a cache and nothing more, so it writes nothing to disk.

use crate::error::Doing;
use crate::place::Place;
use crate::redis_users::redis_acl;
use crate::{Program, Result, Server, process};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const FOLDER: &str = "redis";
const CONFIG: &str = "redis.conf";

/// The command that runs the server in the foreground.
pub(crate) fn command(place: &Place, program: &Program, port: u16) -> Result<Command> {
    let folder = place.server_dir(FOLDER)?;
    let config = folder.join(CONFIG);
    let listen = match place.certificate(Server::Redis, &folder)? {
        None => format!("port {port}\n"),
        Some(certificate) => format!(
            "port 0\n\
             tls-port {port}\n\
             tls-auth-clients no\n\
             tls-ca-cert-file \"{}\"\n\
             tls-cert-file \"{}\"\n\
             tls-key-file \"{}\"\n",
            certificate.authority.display(),
            certificate.certificate.display(),
            certificate.key.display()
        ),
    };
    let text = format!(
        "bind 127.0.0.1\n\
         {listen}\
         unixsocket \"{}\"\n\
         unixsocketperm 700\n\
         protected-mode yes\n\
         requirepass {}\n\
         {}\
         daemonize no\n\
         logfile \"\"\n\
         dir \"{}\"\n\
         save \"\"\n\
         appendonly no\n\
         maxmemory 256mb\n\
         maxmemory-policy allkeys-lru\n",
        socket(place)?.display(),
        place.secret(Server::Redis)?,
        users(place)?,
        folder.display()
    );
    place.server_file(&config, &text)?;
    let mut command = process::command(&program.path, &program.libraries, place.user.as_ref());
    command.arg(config);
    Ok(command)
}

/// Its socket, which needs no TLS.
pub(crate) fn socket(place: &Place) -> Result<PathBuf> {
    Ok(place.socket_dir()?.join("redis"))
}

fn users(place: &Place) -> Result<String> {
    redis_acl(|user| place.user_secret(Server::Redis, user))
}

/// Whether our server answers: it knows the password, and was started with the users as they are now. One that an earlier
/// release left running was not.
pub(crate) fn ready(place: &Place) -> bool {
    let answers = || -> Result<bool> {
        let config = place.data.join(FOLDER).join(CONFIG);
        let started_with = fs::read_to_string(&config).doing("read", &config)?;
        let (socket, password) = (socket(place)?, place.secret(Server::Redis)?);
        Ok(started_with.contains(&users(place)?) && ping(&socket, &password).unwrap_or(false))
    };
    answers().unwrap_or(false)
}

fn ping(socket: &Path, password: &str) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "AUTH {password}\r\nPING\r\nQUIT\r\n")?;
    let lines = BufReader::new(stream).lines().take(2).collect::<std::io::Result<Vec<_>>>()?;
    Ok(lines == ["+OK", "+PONG"])
}
