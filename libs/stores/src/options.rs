//! Which stores are started here, and how.

use crate::{Member, Server};
use std::path::PathBuf;

/// Which servers somebody else runs already, and how many the others are.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database` of a superuser; PostgreSQL is then not started.
    pub postgres_url: Option<String>,
    /// `redis://[user:password@]host:port`; Redis is then not started, and everybody is that user.
    pub redis_url: Option<String>,
    /// `nats://[user:password@]host:port`, with JetStream; NATS is then not started.
    pub nats_url: Option<String>,
    /// nats-servers that are started here: one, or a cluster, which is three or five.
    pub nats_servers: u8,
    /// The servers that are started here speak TLS alone, with the certificates in this folder: `ca.pem`,
    /// `cert.pem` and `key.pem` in `postgres`, `redis` and `nats` each. Without it they speak none.
    pub certificates: Option<PathBuf>,
    /// PostgreSQL counts what each statement costs (`pg_stat_statements`), which it has to be started for.
    pub statements: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            postgres_url: None,
            redis_url: None,
            nats_url: None,
            nats_servers: 1,
            certificates: None,
            statements: false,
        }
    }
}

impl Options {
    /// The servers that are to be started here.
    pub fn needed(&self) -> Vec<Server> {
        Server::ALL.into_iter().filter(|server| self.external(*server).is_none()).collect()
    }

    /// The processes that are to be started here.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.needed().into_iter().flat_map(|server| self.members_of(server)).collect()
    }

    pub(crate) fn members_of(&self, server: Server) -> impl Iterator<Item = Member> + use<> {
        Member::first(server, if server == Server::Nats { self.nats_servers } else { 1 })
    }

    pub(crate) fn external(&self, server: Server) -> Option<&String> {
        match server {
            Server::Postgres => self.postgres_url.as_ref(),
            Server::Redis => self.redis_url.as_ref(),
            Server::Nats => self.nats_url.as_ref(),
        }
    }
}
