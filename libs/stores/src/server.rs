//! One server of a folder: bringing it up, joining it, ending it.

use crate::error::Doing;
use crate::place::Place;
use crate::process::{self, Log, Running};
use crate::{Error, Member, Program, Result, Server, Tools, nats, ports, postgres, redis};
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
    pub(crate) member: Member,
    pub(crate) running: Running,
    pub(crate) port: u16,
    /// For NATS.
    pub(crate) monitor: Option<u16>,
    /// Known to the process that started it, which must reap it.
    pub(crate) child: Option<Child>,
}

/// All at once: the slowest alone decides how long it takes. `nats_servers` are in NATS' cluster.
pub(crate) fn bring_up_all(
    place: &Place,
    tools: &Tools,
    members: &[Member],
    nats_servers: u8,
) -> Result<Vec<Managed>> {
    let programs = members.iter().map(|member| place.reachable(program(tools, member.server)?));
    let programs = programs.collect::<Result<Vec<_>>>()?;
    let routes = nats::routes(place, members, nats_servers)?;
    std::thread::scope(|scope| {
        let pairs = programs.iter().zip(members);
        let threads: Vec<_> = pairs
            .map(|(program, member)| scope.spawn(|| bring_up(place, program, *member, &routes)))
            .collect();
        let panicked = |_| Err(Error::Failed("starting a store panicked".into()));
        let results: Vec<_> =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect();
        results.into_iter().collect()
    })
}

fn bring_up(place: &Place, program: &Program, member: Member, routes: &[u16]) -> Result<Managed> {
    let mut tries = 1;
    loop {
        let log = Log::at(place.log_file(member));
        let port = ports::keep_or_choose(&place.port_file(&member.name()))?;
        match launch(place, program, member, port, routes, &log) {
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
    member: Member,
    port: u16,
    routes: &[u16],
    log: &Log,
) -> Result<Managed> {
    let mut monitor = None;
    let command = match member.server {
        Server::Postgres => postgres::command(place, program, port)?,
        Server::Redis => redis::command(place, program, port)?,
        Server::Nats => {
            let chosen = ports::keep_or_choose(&nats::monitor_file(place, member))?;
            monitor = Some(chosen);
            nats::command(place, program, member, (port, chosen), routes)?
        }
    };
    let mut child = process::spawn(command, log)?;
    let Some(running) = Running::of(child.id()) else {
        let _ = child.wait();
        return Err(log.blame(&format!("{member} ended at once")));
    };
    running.write(&place.pid_file(member))?;
    await_ready(place, member, port, &mut child, log)?;
    Ok(Managed { member, running, port, monitor, child: Some(child) })
}

fn await_ready(
    place: &Place,
    member: Member,
    port: u16,
    child: &mut Child,
    log: &Log,
) -> Result<()> {
    let server = member.server;
    let patience = if server == Server::Postgres { POSTGRES_READY_MAX } else { READY_MAX };
    let mut ended = None;
    let pid = child.id();
    let answered = process::wait_until(patience, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some() || ready(place, member, pid, port)
    });
    match ended {
        Some(status) => Err(log.blame(&format!("{member} did not start ({status})"))),
        None if answered => Ok(()),
        None => {
            end(place, member)?;
            let _ = child.wait();
            Err(log.blame(&format!("{member} did not answer within {} s", patience.as_secs())))
        }
    }
}

fn ready(place: &Place, member: Member, pid: u32, port: u16) -> bool {
    match member.server {
        Server::Postgres => postgres::ready(place, pid, port),
        Server::Redis => redis::ready(place),
        Server::Nats => nats::ready(place, member),
    }
}

/// Waits until NATS' servers are one cluster, which takes streams that all of them hold.
///
/// # Errors
/// When it does not come to that.
pub(crate) fn await_cluster(place: &Place, servers: &[Managed], nats_servers: u8) -> Result<()> {
    let Some(first) = servers.iter().find(|managed| managed.member.server == Server::Nats) else {
        return Ok(());
    };
    let log = Log::at(place.log_file(first.member));
    let one = || nats::is_led(place, first.member, nats_servers);
    if nats_servers == 1 || process::wait_until(READY_MAX, one) {
        return Ok(());
    }
    Err(log.blame(&format!("no cluster of NATS within {} s", READY_MAX.as_secs())))
}

/// The process of this folder, if it runs and answers.
pub(crate) fn join(place: &Place, member: Member) -> Option<Managed> {
    let running = Running::read(&place.pid_file(member)).filter(Running::alive)?;
    let port = ports::remembered(&place.port_file(&member.name()))?;
    let monitor = match member.server {
        Server::Nats => ports::remembered(&nats::monitor_file(place, member)),
        Server::Postgres | Server::Redis => None,
    };
    let answers = ready(place, member, running.pid, port);
    answers.then_some(Managed { member, running, port, monitor, child: None })
}

/// In reverse order of starting; all are tried even when one fails.
pub(crate) fn end_all(place: &Place) -> Result<Vec<(Member, u32)>> {
    let results: Vec<_> =
        place.members().into_iter().rev().map(|member| end(place, member)).collect();
    let ended: Result<Vec<_>> = results.into_iter().collect();
    Ok(ended?.into_iter().flatten().collect())
}

/// Ends one process, found by its pid file or, for PostgreSQL, by its data; tells what it was.
pub(crate) fn end(place: &Place, member: Member) -> Result<Option<(Member, u32)>> {
    let (file, server) = (place.pid_file(member), member.server);
    let noted = Running::read(&file).filter(Running::alive);
    let found =
        noted.or_else(|| if server == Server::Postgres { postgres::running(place) } else { None });
    if let Some(running) = &found {
        running.end(&steps(server))?;
    }
    if file.exists() {
        fs::remove_file(&file).doing("remove", &file)?;
    }
    Ok(found.map(|running| (member, running.pid)))
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
