//! The configuration: `console --help` is its reference.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// The operator's page of a shop that `cargo souk up` runs.
#[derive(Clone, Debug, Parser)]
#[command(name = "console", version)]
pub struct Config {
    /// Address and port to listen on, on loopback; port 0 takes any free one.
    #[arg(long, env = "CONSOLE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = loopback)]
    pub listen: SocketAddr,

    /// Folder of the running shop, with its state.json.
    #[arg(long, env = "CONSOLE_RUN", value_name = "DIR")]
    pub run: PathBuf,

    /// File with the token that a browser has to show; white space around it does not count.
    #[arg(long, env = "CONSOLE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: PathBuf,

    /// What to log, in the syntax of tracing's EnvFilter.
    #[arg(long, env = "CONSOLE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Whoever can reach the console can break the shop.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|error| format!("{error}"))?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("an address on loopback is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_never_served() {
        let parse = |listen: &str| {
            let arguments = ["console", "--run", "r", "--token-file", "t", "--listen", listen];
            Config::try_parse_from(arguments)
        };
        assert!(parse("127.0.0.1:0").is_ok());
        assert!(parse("[::1]:8090").is_ok());
        for listen in ["0.0.0.0:8090", "[::]:0", "192.0.2.1:1", "8090"] {
            assert!(parse(listen).is_err(), "{listen}");
        }
    }
}
