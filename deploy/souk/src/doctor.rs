//! `cargo souk doctor`: what is here, and what would be done about what is not.

use crate::port::{self, Port};
use crate::{Result, machine, style};
use std::path::Path;
use stores::{Home, Server, Source, Stores, Tools};

/// The port of `up` when none is given.
const DEFAULT_PORT: u16 = 8080;

/// Prints one line for each thing that matters.
///
/// # Errors
/// When something is missing that `up` could not get by itself; the message has the ways out.
pub fn run(home: &Home) -> Result {
    let compilers = [("rustc", machine::rust()), ("cc", machine::c_compiler())];
    let complete = compilers.iter().all(|(_, found)| found.is_ok());
    for (name, found) in compilers {
        line(name, &found.unwrap_or_else(|complaint| style::red(&complaint)));
    }
    let stores = stores(home);
    line("port", &port_line(home));
    line("disk", &disk_line(home.workspace()));
    line("user", &user_line(home));
    line("shop", if home.state_file().is_file() { "up" } else { "not up" });
    stores?;
    if complete { Ok(()) } else { Err("the shop cannot be built before the above is there".into()) }
}

/// The lines of the three servers.
///
/// # Errors
/// When one is neither here nor can be fetched; the message has the ways out.
pub fn stores(home: &Home) -> Result {
    let tools = Tools::find(home);
    if stores::machine_hidden() {
        line(
            "hidden",
            &format!("{} is set: this machine's own stores do not count", stores::HIDE_VARIABLE),
        );
    }
    let missing = tools.missing(&Server::ALL);
    let plan = if missing.is_empty() { Ok(()) } else { stores::can_fetch(home) };
    for server in Server::ALL {
        line(&server.to_string(), &server_line(server, &tools, plan.is_ok(), home));
    }
    for rejected in &tools.rejected {
        line("", &style::dim(&format!("not used: {rejected}")));
    }
    plan.map_err(|why| stores::ways_out(&missing, &why.to_string()).into())
}

fn server_line(server: Server, tools: &Tools, fetchable: bool, home: &Home) -> String {
    match tools.get(server) {
        Some(program) => {
            let source = match program.source {
                Source::Machine => "this machine",
                Source::Fetched => "fetched",
                Source::Homebrew => "Homebrew",
                Source::Named => stores::NATS_VARIABLE,
            };
            format!("{:<8} {} ({source})", program.version, shorten(&program.path, home))
        }
        None if fetchable => {
            style::yellow("missing; up would fetch the distribution's package (cargo souk fetch)")
        }
        None => style::red("missing, and cannot be fetched"),
    }
}

fn line(name: &str, text: &str) {
    println!("{name:<12}{text}");
}

fn shorten(path: &Path, home: &Home) -> String {
    path.strip_prefix(home.workspace()).unwrap_or(path).display().to_string()
}

fn port_line(home: &Home) -> String {
    match port::look(DEFAULT_PORT) {
        Port::Free => format!("{DEFAULT_PORT} is free"),
        Port::Taken(owner) if home.state_file().is_file() => {
            format!("{DEFAULT_PORT} is used by {owner}")
        }
        Port::Taken(owner) => style::yellow(&format!(
            "{DEFAULT_PORT} is taken by {owner}; use: cargo souk up --port P"
        )),
    }
}

fn disk_line(folder: &Path) -> String {
    match machine::disk_free_mb(folder) {
        Some(free) if free < machine::DISK_MB => style::yellow(&format!(
            "{free} MB free; build and data take about {} MB",
            machine::DISK_MB
        )),
        Some(free) => format!("{} GB free", free / 1024),
        None => "df does not tell how much is free".to_owned(),
    }
}

fn user_line(home: &Home) -> String {
    match Stores::data_folder_of(&home.stores()) {
        Ok((data, None)) => {
            format!("the stores run as you; their data is in {}", shorten(&data, home))
        }
        Ok((data, Some(user))) => {
            let at = shorten(&data, home);
            format!("root: the stores run as {user}; their data is in {at}")
        }
        Err(error) => style::red(&error.to_string()),
    }
}
