//! `cargo souk outbox` and `cargo souk dead-letters`: the services' own commands, one context after
//! the other.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use stores::Home;

use crate::secrets::Secrets;
use crate::shop::programs_beside_this;
use crate::{databases, running};

/// The whole verb. A context that refuses the command line ends it: the others would as well.
///
/// # Errors
/// When the shop is not up, or a service's program cannot be started.
pub fn run(home: &Home, verb: &str, arguments: &[String]) -> Result<ExitCode> {
    let (layout, state) = running::shop(home)?;
    let urls = databases::urls(&state, &Secrets::open_or_create(&layout)?)?;
    let programs = programs_beside_this()?;
    for (context, urls) in urls {
        let mut command = Command::new(programs.join(&context));
        command.arg(verb).args(arguments).env("SOUK_DATABASE_URLS", urls.join(","));
        let status = command.status().with_context(|| format!("cannot start {context}"))?;
        if !status.success() || asks_for_help(arguments) {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn asks_for_help(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| ["-h", "--help"].contains(&argument.as_str()))
}
