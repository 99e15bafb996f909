//! PostgreSQL: making a cluster, its settings, and whether it answers.

use crate::error::Doing;
use crate::place::{Certificate, Place};
use crate::process::{self, Running};
use crate::{Error, Program, Result, Server};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The superuser of the private cluster.
pub(crate) const SUPERUSER: &str = "postgres";

/// The command that runs the server in the foreground; makes the cluster first if there is none.
pub(crate) fn command(place: &Place, program: &Program, port: u16) -> Result<Command> {
    let data = place.data.join("postgres");
    if !data.join("PG_VERSION").is_file() {
        initialise(place, program, &data)?;
    }
    refuse_other_version(program, &data)?;
    forget_reused_pid(&data)?;
    let mut settings = settings(port, &place.socket_dir()?);
    if let Some(certificate) = place.certificate(Server::Postgres, &data)? {
        let hba = data.join("souk_hba.conf");
        place.server_file(&hba, ONLY_TLS)?;
        settings.push_str(&tls(&certificate, &hba));
    }
    if place.statements {
        settings.push_str("shared_preload_libraries = 'pg_stat_statements'\n");
    }
    place.server_file(&data.join("souk.conf"), &settings)?;
    let mut command = process::command(&program.path, &program.libraries, place.user.as_ref());
    command.arg("-D").arg(data);
    Ok(command)
}

/// In a folder beside the final one, renamed when complete: half a cluster is never taken for one.
fn initialise(place: &Place, program: &Program, data: &Path) -> Result<()> {
    let staging = place.data.join("postgres.new");
    crate::fetch::remove_tree(&staging)?;
    let secrets = place.server_dir("secrets")?;
    let password = secrets.join("initdb");
    place.server_file(&password, &place.secret(Server::Postgres)?)?;
    // English sorting is the indexes' business; C sorts by bytes and never changes with the system.
    let utf8 = if cfg!(target_os = "macos") { "UTF-8" } else { "C.UTF-8" };
    let made = initdb(place, program, &staging, &password, utf8)
        .or_else(|_| initdb(place, program, &staging, &password, "C"));
    fs::remove_file(&password).doing("remove", &password)?;
    made?;
    let main = staging.join("postgresql.conf");
    let mut text = fs::read_to_string(&main).doing("read", &main)?;
    text.push_str("\ninclude 'souk.conf'\n");
    place.server_file(&main, &text)?;
    fs::rename(&staging, data).doing("rename", &staging)
}

fn initdb(
    place: &Place,
    program: &Program,
    data: &Path,
    password: &Path,
    ctype: &str,
) -> Result<()> {
    crate::fetch::remove_tree(data)?;
    place.server_dir("postgres.new")?;
    let mut command =
        process::command(&program.sibling("initdb"), &program.libraries, place.user.as_ref());
    command.arg("-D").arg(data).arg("--pwfile").arg(password);
    command.args([
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--username",
        SUPERUSER,
    ]);
    command.arg(format!("--lc-ctype={ctype}"));
    let output = command.output().doing("run", &program.sibling("initdb"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed(format!("initdb failed: {complaint}")))
}

fn refuse_other_version(program: &Program, data: &Path) -> Result<()> {
    let file = data.join("PG_VERSION");
    let made_by = fs::read_to_string(&file).doing("read", &file)?;
    if program.version.starts_with(made_by.trim()) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{} was made by PostgreSQL {}, and {} is {}: use that version again, or `cargo souk down --wipe`",
        data.display(),
        made_by.trim(),
        program.path.display(),
        program.version
    )))
}

/// After a crash `postmaster.pid` stays. PostgreSQL sorts that out by itself, except when the number in
/// it belongs to another process by now, which in a small container happens easily.
fn forget_reused_pid(data: &Path) -> Result<()> {
    let file = data.join("postmaster.pid");
    match postmaster(data) {
        Some((pid, _)) if Running::of(pid).is_some() && !serves(pid, data) => {
            fs::remove_file(&file).doing("remove", &file)
        }
        _ => Ok(()),
    }
}

/// The server that runs on this cluster, even when our own pid file was never written.
pub(crate) fn running(place: &Place) -> Option<Running> {
    let data = place.data.join("postgres");
    let (pid, _) = postmaster(&data)?;
    Running::of(pid).filter(|_| serves(pid, &data))
}

fn serves(pid: u32, data: &Path) -> bool {
    process::arguments(pid).contains(&*data.to_string_lossy())
}

/// Number and status of `postmaster.pid`.
fn postmaster(data: &Path) -> Option<(u32, String)> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    Some((pid, lines.nth(6).unwrap_or_default().trim().to_owned()))
}

/// Whether this process says that it is ready, and answers in PostgreSQL's protocol.
pub(crate) fn ready(place: &Place, pid: u32, port: u16) -> bool {
    let says_so = postmaster(&place.data.join("postgres")) == Some((pid, "ready".to_owned()));
    says_so && answers(port).unwrap_or(false)
}

/// An SSLRequest is the one message that is answered before a login: by `S` or `N`.
fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(matches!(answer, [b'S' | b'N']))
}

/// Durability as shipped (fsync, synchronous commit); room for many small services; few checkpoints.
fn settings(port: u16, socket: &Path) -> String {
    format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = '{}'\n\
         unix_socket_permissions = 0700\n\
         max_connections = 300\n\
         shared_buffers = 256MB\n\
         fsync = on\n\
         synchronous_commit = on\n\
         full_page_writes = on\n\
         wal_compression = on\n\
         max_wal_size = 2GB\n\
         min_wal_size = 256MB\n\
         checkpoint_timeout = 15min\n\
         jit = off\n\
         password_encryption = 'scram-sha-256'\n\
         timezone = 'GMT'\n\
         log_timezone = 'GMT'\n\
         log_line_prefix = '%m [%p] %q%u@%d '\n\
         log_checkpoints = off\n\
         logging_collector = off\n",
        quoted(socket)
    )
}

/// By TCP nobody gets in without TLS; the socket is for the servers' user.
const ONLY_TLS: &str = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

fn tls(certificate: &Certificate, hba: &Path) -> String {
    format!(
        "ssl = on\n\
         ssl_min_protocol_version = 'TLSv1.3'\n\
         ssl_cert_file = '{}'\n\
         ssl_key_file = '{}'\n\
         hba_file = '{}'\n",
        quoted(&certificate.certificate),
        quoted(&certificate.key),
        quoted(hba)
    )
}

fn quoted(path: &Path) -> String {
    path.to_string_lossy().replace('\'', "''")
}
