//! One server of a folder: bringing it up, joining it, ending it.

use crate::error::Doing;
use crate::place::Place;
use crate::process::{self, Log, Running};
use crate::{Error, Program, Result, Server, Tools, nats, ports, postgres, redis};
use std::fs;
use std::process::Child;
use std::time::Duration;

/// After a crash PostgreSQL first reads its log again, at most `max_wal_size` of it.
const POSTGRES_READY_MAX: Duration = Duration::from_secs(120);
const READY_MAX: Duration = Duration::from_secs(20);
/// How often a server is started when its port is taken under its hands, or its predecessor's memory is in use.
const TRIES: u32 = 5;

/// One server that runs here.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) server: Server,
    pub(crate) running: Running,
    pub(crate) port: u16,
    /// For NATS.
    pub(crate) monitor: Option<u16>,
    /// Known to the process that started it, which must reap it.
    pub(crate) child: Option<Child>,
}

/// All at once: the slowest alone decides how long it takes.
pub(crate) fn bring_up_all(
    place: &Place,
    tools: &Tools,
    servers: &[Server],
) -> Result<Vec<Managed>> {
    let programs = servers.iter().map(|server| place.reachable(program(tools, *server)?));
    let programs = programs.collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let pairs = programs.iter().zip(servers);
        let threads: Vec<_> = pairs
            .map(|(program, server)| scope.spawn(|| bring_up(place, program, *server)))
            .collect();
        let panicked = |_| Err(Error::Failed("starting a store panicked".into()));
        let results: Vec<_> =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect();
        results.into_iter().collect()
    })
}

fn bring_up(place: &Place, program: &Program, server: Server) -> Result<Managed> {
    let mut tries = 1;
    loop {
        let log = Log::at(place.log_file(server));
        let port = ports::keep_or_choose(&place.port_file(server.key()))?;
        match launch(place, program, server, port, &log) {
            Err(_) if tries < TRIES && passes(&log) => tries += 1,
            result => return result,
        }
    }
}

/// Whether a server failed for a reason that goes away: its port was taken between our look and its own,
/// or the processes of a killed predecessor still let go of its memory.
fn passes(log: &Log) -> bool {
    let text = log.tail().to_lowercase();
    if text.contains("shared memory block") {
        std::thread::sleep(Duration::from_millis(500));
        return true;
    }
    text.contains("address already in use")
}

fn launch(
    place: &Place,
    program: &Program,
    server: Server,
    port: u16,
    log: &Log,
) -> Result<Managed> {
    let mut monitor = None;
    let command = match server {
        Server::Postgres => postgres::command(place, program, port)?,
        Server::Redis => redis::command(place, program, port)?,
        Server::Nats => {
            let chosen = ports::keep_or_choose(&place.port_file("nats-monitor"))?;
            monitor = Some(chosen);
            nats::command(place, program, port, chosen)?
        }
    };
    let mut child = process::spawn(command, log)?;
    let Some(running) = Running::of(child.id()) else {
        let _ = child.wait();
        return Err(log.blame(&format!("{server} ended at once")));
    };
    running.write(&place.pid_file(server))?;
    await_ready(place, server, port, &mut child, log)?;
    Ok(Managed { server, running, port, monitor, child: Some(child) })
}

fn await_ready(
    place: &Place,
    server: Server,
    port: u16,
    child: &mut Child,
    log: &Log,
) -> Result<()> {
    let patience = if server == Server::Postgres { POSTGRES_READY_MAX } else { READY_MAX };
    let mut ended = None;
    let pid = child.id();
    let answered = process::wait_until(patience, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some() || ready(place, server, pid, port)
    });
    match ended {
        Some(status) => Err(log.blame(&format!("{server} did not start ({status})"))),
        None if answered => Ok(()),
        None => {
            end(place, server)?;
            let _ = child.wait();
            Err(log.blame(&format!("{server} did not answer within {} s", patience.as_secs())))
        }
    }
}

fn ready(place: &Place, server: Server, pid: u32, port: u16) -> bool {
    match server {
        Server::Postgres => postgres::ready(place, pid, port),
        Server::Redis => redis::ready(place, port),
        Server::Nats => nats::ready(place, port),
    }
}

/// The server of this folder, if it runs and answers.
pub(crate) fn join(place: &Place, server: Server) -> Option<Managed> {
    let running = Running::read(&place.pid_file(server)).filter(Running::alive)?;
    let port = ports::remembered(&place.port_file(server.key()))?;
    let monitor = if server == Server::Nats {
        ports::remembered(&place.port_file("nats-monitor"))
    } else {
        None
    };
    let answers = ready(place, server, running.pid, port);
    answers.then_some(Managed { server, running, port, monitor, child: None })
}

/// In reverse order of starting; all are tried even when one fails.
pub(crate) fn end_all(place: &Place) -> Result<Vec<(Server, u32)>> {
    let results: Vec<_> = Server::ALL.into_iter().rev().map(|server| end(place, server)).collect();
    let ended: Result<Vec<_>> = results.into_iter().collect();
    Ok(ended?.into_iter().flatten().collect())
}

/// Ends one server, found by its pid file or, for PostgreSQL, by its data; tells what it was.
pub(crate) fn end(place: &Place, server: Server) -> Result<Option<(Server, u32)>> {
    let file = place.pid_file(server);
    let noted = Running::read(&file).filter(Running::alive);
    let found =
        noted.or_else(|| if server == Server::Postgres { postgres::running(place) } else { None });
    if let Some(running) = &found {
        running.end(&steps(server))?;
    }
    if file.exists() {
        fs::remove_file(&file).doing("remove", &file)?;
    }
    Ok(found.map(|running| (server, running.pid)))
}

/// How each is told to end. PostgreSQL: INT is a fast shutdown, QUIT one without a checkpoint.
fn steps(server: Server) -> Vec<(&'static str, Duration)> {
    let seconds = Duration::from_secs;
    match server {
        Server::Postgres => vec![("INT", seconds(30)), ("QUIT", seconds(5)), ("KILL", seconds(5))],
        Server::Redis | Server::Nats => vec![("TERM", seconds(10)), ("KILL", seconds(5))],
    }
}

fn program(tools: &Tools, server: Server) -> Result<&Program> {
    let missing = || Error::Missing(crate::ways_out(&[server], "not found on this machine"));
    tools.get(server).ok_or_else(missing)
}
