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
/// When something is missing that `up` could not get by itself.
pub fn run(home: &Home) -> Result {
    let compilers = [("rustc", machine::rust()), ("cc", machine::c_compiler())];
    let mut fine = true;
    for (name, found) in compilers {
        fine &= found.is_ok();
        line(name, &found.unwrap_or_else(|complaint| style::red(&complaint)));
    }
    fine &= stores(home);
    line("port", &port_line(home));
    line("disk", &disk_line(home.workspace()));
    line("user", &user_line(home));
    line("shop", if home.state_file().is_file() { "up" } else { "not up" });
    if fine {
        Ok(())
    } else {
        Err("something is missing that cargo souk cannot get by itself".into())
    }
}

/// The lines of the three servers; whether all are there or can be fetched.
pub fn stores(home: &Home) -> bool {
    let tools = Tools::find(home);
    let hidden = stores::machine_hidden();
    if hidden {
        line(
            "hidden",
            &format!("{} is set: this machine's own stores do not count", stores::HIDE_VARIABLE),
        );
    }
    let missing = tools.missing(&Server::ALL);
    let plan = if missing.is_empty() { Ok(()) } else { stores::can_fetch(home) };
    for server in Server::ALL {
        let text = match (tools.get(server), &plan) {
            (Some(program), _) => {
                let source = match program.source {
                    Source::Machine => "this machine",
                    Source::Fetched => "fetched",
                    Source::Homebrew => "Homebrew",
                };
                format!("{:<8} {} ({source})", program.version, shorten(&program.path, home))
            }
            (None, Ok(())) => style::yellow(
                "missing; up would fetch the distribution's package (cargo souk fetch)",
            ),
            (None, Err(why)) => style::red(&format!("missing, and cannot be fetched: {why}")),
        };
        line(&server.to_string(), &text);
    }
    for rejected in &tools.rejected {
        line("", &style::dim(&format!("not used: {rejected}")));
    }
    if plan.is_err() {
        println!("{}", stores::ways_out(&missing, "see above"));
    }
    plan.is_ok()
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
