//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

/// One-shot steps around the shop's containers.
#[derive(Debug, Parser)]
#[command(name = "init", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What is done.
    #[command(subcommand)]
    pub step: Step,
}

/// What is done, once.
#[derive(Debug, Subcommand)]
pub enum Step {
    /// Write certificates and passwords, a folder for each process; what is there stays, but for
    /// certificates, which are issued anew
    Secrets(Secrets),
    /// Put the shop's own catalogue on the shelves; doing it again changes nothing
    Catalogue(Catalogue),
}

/// Options of `secrets`.
#[derive(Clone, Debug, Args)]
pub struct Secrets {
    /// A folder (or mounted volume) in which each process has a folder of its name
    #[arg(long, value_name = "DIR", default_value = "/souk")]
    pub dir: PathBuf,
    /// How many databases hold the carts, and how many the orders
    #[arg(long, env = "SOUK_SHARDS", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=16))]
    pub shards: u16,
    /// Where processes will find PostgreSQL
    #[arg(long, value_name = "HOST:PORT", default_value = "postgres:5432")]
    pub postgres: Address,
    /// Where processes will find NATS
    #[arg(long, value_name = "HOST:PORT", default_value = "nats:4222")]
    pub nats: Address,
    /// Where processes will find Redis
    #[arg(long, value_name = "HOST:PORT", default_value = "redis:6379")]
    pub redis: Address,
}

/// Options of `catalogue`.
#[derive(Clone, Debug, Args)]
pub struct Catalogue {
    /// The shop's HTTP API, for example http://edge:8080 or https://gateway:8443
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub shop: String,
    /// File with the authority (PEM) of an https:// shop's certificate
    #[arg(long, value_name = "FILE", default_value = "/run/souk/ca.pem")]
    pub ca_file: PathBuf,
    /// File with the password of the staff account
    #[arg(long, value_name = "FILE", default_value = "/run/souk/staff-password")]
    pub staff_password_file: PathBuf,
}

/// A host with a port, as it stands in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let plain = !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
        let port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if plain && port { Ok(Self(text.to_owned())) } else { Err("not HOST:PORT".to_owned()) }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn http_url(text: &str) -> Result<String, String> {
    let (scheme, address) = text.split_once("://").unwrap_or_default();
    let address = address.trim_end_matches('/');
    let host = address.split(':').next().unwrap_or_default();
    if !["http", "https"].contains(&scheme)
        || host.is_empty()
        || address.contains(['/', '@', ' ', '?', '#'])
    {
        return Err("a URL such as http://edge:8080 is needed".to_owned());
    }
    Ok(format!("{scheme}://{address}"))
}

#[cfg(test)]
mod tests {
    use souk::cli::one_line;

    use super::*;

    #[test]
    fn the_definitions_agree_with_each_other() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn bad_input_is_refused_with_one_line_that_names_it() {
        for (arguments, expected) in [
            (&["secrets", "--shards", "0"][..], "'0' for '--shards <N>'"),
            (&["secrets", "--postgres", "db"], "'db' for '--postgres <HOST:PORT>'"),
            (&["secrets", "--nats", "nats://n:4222"], "'nats://n:4222' for '--nats <HOST:PORT>'"),
            (&["catalogue"], "--shop <URL>"),
            (&["catalogue", "--shop", "edge:8080"], "'edge:8080' for '--shop <URL>'"),
            (&["catalogue", "--shop", "ftp://edge"], "'ftp://edge' for '--shop <URL>'"),
            (&["catalogue", "--shop", "http://edge/v1"], "'http://edge/v1' for '--shop <URL>'"),
            (&["dance"], "'dance'"),
        ] {
            let all = ["init"].iter().chain(arguments);
            let line = one_line(&Cli::try_parse_from(all).expect_err("refused").to_string());
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
        for url in ["http://edge:8080", "https://gateway:8443"] {
            let cli = Cli::try_parse_from(["init", "catalogue", "--shop", &format!("{url}/")]);
            let Step::Catalogue(Catalogue { shop, .. }) = cli.expect("valid").step else {
                panic!()
            };
            assert_eq!(shop, url);
        }
    }
}
