//! The processes of the stores. Each store is one, and NATS is several when it is a cluster.

use crate::Server;
use std::fmt;

/// One process of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Of what.
    pub server: Server,
    /// Counted from 0.
    pub number: u8,
}

impl Member {
    /// So many processes of a store.
    pub(crate) fn first(server: Server, count: u8) -> impl Iterator<Item = Member> + Clone {
        (0..count).map(move |number| Member { server, number })
    }

    /// The name of its folder and its files, and of a nats-server within its cluster: `nats` for the
    /// first, `nats-2` for the second.
    pub fn name(self) -> String {
        match self.number {
            0 => self.server.key().to_owned(),
            number => format!("{}-{}", self.server.key(), u16::from(number) + 1),
        }
    }

    /// The process that has this name, whether or not it runs.
    pub fn of_name(name: &str) -> Option<Member> {
        let (key, number) = match name.split_once('-') {
            None => (name, 0),
            Some((key, number)) => (key, number.parse::<u8>().ok()?.checked_sub(1)?),
        };
        let server = Server::ALL.into_iter().find(|server| server.key() == key)?;
        let member = Member { server, number };
        (member.name() == name).then_some(member)
    }
}

/// The only process, or the first.
impl From<Server> for Member {
    fn from(server: Server) -> Member {
        Member { server, number: 0 }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => self.server.fmt(f),
            number => write!(f, "{} {}", self.server, u16::from(number) + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_process_and_no_other_name_does() {
        for member in Member::first(Server::Nats, 3).chain([Server::Postgres.into()]) {
            assert_eq!(Member::of_name(&member.name()), Some(member));
        }
        let names: Vec<String> = Member::first(Server::Nats, 3).map(Member::name).collect();
        assert_eq!(names, ["nats", "nats-2", "nats-3"]);
        for name in ["nats-1", "nats-0", "nats-02", "nats-x", "nats-monitor", "mysql", ""] {
            assert_eq!(Member::of_name(name), None, "{name}");
        }
    }
}
