//! Starting, sharing and stopping the three servers of one folder.

use crate::bus::bus_users;
use crate::options::Options;
use crate::place::{self, Place, certificate_of};
use crate::redis_users::redis_users;
use crate::server::{Managed, await_cluster, bring_up_all, end, end_all, join};
use crate::url::Url;
use crate::user::ServerUser;
use crate::{Error, Member, Psql, Result, Server, Tools, nats, network, ports, postgres, redis};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

/// A server that somebody runs already must take a connection in this time.
const EXTERNAL_MAX: Duration = Duration::from_millis(800);

/// Where the stores can be reached. The URLs hold passwords: not for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// `postgres://postgres:…@127.0.0.1:port/postgres`, a superuser. Where the servers speak TLS, the URLs say so, and
    /// all name the authority: `?sslrootcert=…`.
    pub postgres_url: String,
    /// `redis://:…@127.0.0.1:port`, or `rediss`.
    pub redis_url: String,
    /// The same for the user of each context and of the gateway, which may do in Redis what its process has to. A
    /// server of somebody else's knows one user, who is everybody's.
    pub redis_urls: BTreeMap<String, String>,
    /// `nats://souk:…@127.0.0.1:port`, or `tls`; of a cluster one for each server, separated by commas.
    pub nats_url: String,
    /// The same for the user of each context, as with Redis.
    pub bus_urls: BTreeMap<String, String>,
    /// `http://127.0.0.1:port` of the monitoring of each nats-server that runs here.
    pub nats_monitor_urls: Vec<String>,
    /// The folder of PostgreSQL's socket; only the servers' user (and root) can enter it.
    pub postgres_socket_dir: Option<PathBuf>,
    /// Redis's socket, for whoever is here and speaks no TLS.
    pub redis_socket: Option<PathBuf>,
    /// The processes that run here.
    pub pids: Vec<(Member, u32)>,
}

/// The stores of one folder, running.
///
/// Dropping this leaves them running; [`Stores::stop`] ends them. If the process that called
/// [`Stores::start`] is killed, the next start in the same folder finds its servers and ends them.
#[derive(Debug)]
pub struct Stores {
    place: Place,
    tools: Tools,
    options: Options,
    servers: Vec<Managed>,
    /// Kept open: see [`Place::own`].
    _owner: Option<File>,
}

impl Stores {
    /// Starts the servers in `dir` and waits until each answers. The caller owns them: what an earlier,
    /// killed owner left running in `dir` is ended first, and a second living owner is refused.
    ///
    /// # Errors
    /// [`Error::InUse`] when another live process owns `dir`; [`Error::Missing`] when a needed program is
    /// not in `tools`; [`Error::Failed`] with the end of the log when a server does not come up (those that
    /// did are stopped again).
    pub fn start(dir: &Path, tools: &Tools, options: &Options) -> Result<Stores> {
        check(tools, options)?;
        let place = Place::open(dir)?.with(options);
        let owner = place.own()?;
        let _lock = place.lock()?;
        end_all(&place)?;
        let started = bring_up_all(&place, tools, &options.members(), options.nats_servers);
        let clustered = started.and_then(|servers| {
            await_cluster(&place, &servers, options.nats_servers).map(|()| servers)
        });
        let servers = clustered.inspect_err(|_| {
            // The first error is the one to tell.
            let _ = end_all(&place);
        })?;
        Ok(Stores::of(place, tools, options, servers, Some(owner)))
    }

    /// Joins the servers that run in `dir`, and starts those that do not. Nobody owns them: they stay when
    /// this process ends, until [`Stores::stop_at`]. Processes that call this at once wait for each other.
    ///
    /// # Errors
    /// As [`Stores::start`], but never `InUse`.
    pub fn start_shared(dir: &Path, tools: &Tools, options: &Options) -> Result<Stores> {
        let place = Place::open(dir)?.with(options);
        let _lock = place.lock()?;
        let (joined, absent): (Vec<_>, Vec<_>) = options
            .members()
            .into_iter()
            .map(|member| (member, join(&place, member)))
            .partition(|(_, joined)| joined.is_some());
        let mut servers: Vec<Managed> =
            joined.into_iter().filter_map(|(_, joined)| joined).collect();
        let absent: Vec<Member> = absent.into_iter().map(|(member, _)| member).collect();
        if !absent.is_empty() {
            check(tools, options)?;
            absent.iter().try_for_each(|member| end(&place, *member).map(|_| ()))?;
            servers.extend(bring_up_all(&place, tools, &absent, options.nats_servers)?);
        }
        servers.sort_by_key(|managed| managed.member);
        Ok(Stores::of(place, tools, options, servers, None))
    }

    /// Joins the servers that run in `dir` if all of them run and answer; starts nothing.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn attach(dir: &Path, tools: &Tools, options: &Options) -> Result<Option<Stores>> {
        let Some(place) = Place::existing(dir)? else { return Ok(None) };
        let servers: Option<Vec<_>> =
            options.members().into_iter().map(|member| join(&place, member)).collect();
        Ok(servers.map(|servers| Stores::of(place, tools, options, servers, None)))
    }

    fn of(
        place: Place,
        tools: &Tools,
        options: &Options,
        servers: Vec<Managed>,
        owner: Option<File>,
    ) -> Stores {
        Stores { place, tools: tools.clone(), options: options.clone(), servers, _owner: owner }
    }

    /// Where they can be reached.
    ///
    /// # Errors
    /// When a password cannot be read.
    pub fn endpoints(&self) -> Result<Endpoints> {
        Ok(Endpoints {
            postgres_url: self.url(Server::Postgres)?,
            redis_url: self.url(Server::Redis)?,
            redis_urls: self.urls_of(Server::Redis, redis_users())?,
            nats_url: self.url(Server::Nats)?,
            bus_urls: self.urls_of(Server::Nats, bus_users())?,
            nats_monitor_urls: self
                .servers
                .iter()
                .filter_map(|managed| managed.monitor)
                .map(|port| format!("http://127.0.0.1:{port}"))
                .collect(),
            postgres_socket_dir: match self.managed(Server::Postgres.into()) {
                Some(_) => Some(self.place.socket_dir()?),
                None => None,
            },
            redis_socket: match self.managed(Server::Redis.into()) {
                Some(_) => Some(redis::socket(&self.place)?),
                None => None,
            },
            pids: self
                .servers
                .iter()
                .map(|managed| (managed.member, managed.running.pid))
                .collect(),
        })
    }

    fn managed(&self, member: Member) -> Option<&Managed> {
        self.servers.iter().find(|managed| managed.member == member)
    }

    fn port(&self, member: Member) -> u16 {
        self.managed(member).map_or_else(
            || ports::remembered(&self.place.port_file(&member.name())).unwrap_or_default(),
            |managed| managed.port,
        )
    }

    fn url(&self, server: Server) -> Result<String> {
        if let Some(url) = self.options.external(server) {
            return Ok(url.clone());
        }
        let user = match server {
            Server::Postgres => postgres::SUPERUSER,
            Server::Redis => "", // the default user
            Server::Nats => nats::USER,
        };
        Ok(self.url_as(server, user, &self.place.secret(server)?))
    }

    fn url_as(&self, server: Server, user: &str, secret: &str) -> String {
        let port = self.port(server.into());
        match server {
            Server::Postgres => {
                let mode = if self.certificates().is_some() { "sslmode=verify-full&" } else { "" };
                let tls = self.root(server, &format!("?{mode}sslrootcert="));
                format!("postgres://{user}:{secret}@127.0.0.1:{port}/postgres{tls}")
            }
            Server::Redis => {
                let scheme = if self.certificates().is_some() { "rediss" } else { "redis" };
                let root = self.root(server, "?sslrootcert=");
                format!("{scheme}://{user}:{secret}@127.0.0.1:{port}{root}")
            }
            Server::Nats => self.nats_url(user, secret),
        }
    }

    fn nats_url(&self, user: &str, secret: &str) -> String {
        let scheme = if self.certificates().is_some() { "tls" } else { "nats" };
        let root = self.root(Server::Nats, "?sslrootcert=");
        let port = |member| self.port(member);
        let url = |member| format!("{scheme}://{user}:{secret}@127.0.0.1:{}{root}", port(member));
        self.options.members_of(Server::Nats).map(url).collect::<Vec<_>>().join(",")
    }

    fn certificates(&self) -> Option<&Path> {
        self.options.certificates.as_deref()
    }

    /// Behind `name`, the authority that vouches for a server; nothing where none does.
    fn root(&self, server: Server, name: &str) -> String {
        let file = self.certificates().map(|certificates| certificate_of(certificates, server));
        file.map(|file| format!("{name}{}", file.join("ca.pem").display())).unwrap_or_default()
    }

    fn urls_of(
        &self,
        server: Server,
        users: impl Iterator<Item = &'static str>,
    ) -> Result<BTreeMap<String, String>> {
        let url = |user: &str| match self.options.external(server) {
            Some(url) => Ok((user.to_owned(), url.clone())),
            None => {
                let secret = self.place.user_secret(server, user)?;
                Ok((user.to_owned(), self.url_as(server, user, &secret)))
            }
        };
        users.map(url).collect()
    }

    /// The folder that holds the servers' data, and the user that they run as when it is not this one.
    pub fn data_folder(&self) -> (&Path, Option<&'static str>) {
        (&self.place.data, self.place.user.as_ref().map(|user| user.name))
    }

    /// Where the data of the stores in `dir` is or will be, and the user that the servers run as when it
    /// is not this one (as root it is `postgres` or `nobody`).
    ///
    /// # Errors
    /// When root has no such user on this machine.
    pub fn data_folder_of(dir: &Path) -> Result<(PathBuf, Option<&'static str>)> {
        let user = ServerUser::needed()?;
        Ok((place::data_folder(dir, user.as_ref()), user.map(|user| user.name)))
    }

    /// The log file of a server in `dir`, whether or not it exists.
    pub fn log_file(dir: &Path, server: Server) -> PathBuf {
        dir.join("logs").join(format!("{}.log", server.key()))
    }

    /// The stores that should run here and of which a process does not any more.
    pub fn dead(&mut self) -> Vec<Server> {
        let needed = self.options.needed();
        needed.into_iter().filter(|server| !self.dead_of(*server).is_empty()).collect()
    }

    fn dead_of(&mut self, server: Server) -> Vec<Member> {
        let members = self.options.members_of(server);
        members.filter(|member| !self.is_alive(*member)).collect()
    }

    fn is_alive(&mut self, member: Member) -> bool {
        let Some(managed) = self.servers.iter_mut().find(|managed| managed.member == member) else {
            return false;
        };
        // Reaps it if it ended. A killed process of several threads is a zombie before the last of them
        // has let go of the port, and would be started again on another, where nobody looks for it.
        match managed.child.as_mut().map(Child::try_wait) {
            Some(Ok(ended)) => ended.is_none(),
            Some(Err(_)) | None => managed.running.alive(),
        }
    }

    /// Ends one store, all of its processes, and leaves the others: an outage, on purpose.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop_server(&mut self, server: Server) -> Result<()> {
        let _lock = self.place.lock()?;
        let mut members = self.options.members_of(server);
        members.try_for_each(|member| end(&self.place, member).map(|_| ()))?;
        for mut managed in self.servers.extract_if(.., |managed| managed.member.server == server) {
            let _ = managed.child.as_mut().map(Child::wait);
        }
        Ok(())
    }

    /// Starts what does not run of a store, on its old ports and data. A cluster may need some seconds
    /// more to agree on who leads it: whoever uses it has to bear with that at any time.
    ///
    /// # Errors
    /// As [`Stores::start`].
    pub fn start_server(&mut self, server: Server) -> Result<()> {
        let dead = self.dead_of(server);
        if dead.is_empty() || self.options.external(server).is_some() {
            return Ok(());
        }
        let _lock = self.place.lock()?;
        dead.iter().try_for_each(|member| end(&self.place, *member).map(|_| ()))?;
        let started = bring_up_all(&self.place, &self.tools, &dead, self.options.nats_servers)?;
        self.servers.retain(|managed| !dead.contains(&managed.member));
        self.servers.extend(started);
        self.servers.sort_by_key(|managed| managed.member);
        Ok(())
    }

    /// Makes a database and its owner, who can log in and owns nothing else; returns the owner's URL.
    /// Doing it again changes nothing but the password. See [`Psql::create_database`].
    ///
    /// # Errors
    /// When there is no `psql`, or the server refuses.
    pub fn create_database(&self, name: &str, owner: &str, password: &str) -> Result<String> {
        let psql = Psql::of(&self.tools)
            .ok_or_else(|| Error::Missing("no psql on this machine".into()))?;
        psql.create_database(&self.url(Server::Postgres)?, name, owner, password)
    }

    /// Ends all servers and waits until they are gone: PostgreSQL with a checkpoint, so that nothing is
    /// left to recover.
    ///
    /// # Errors
    /// When one does not end, not even when killed.
    pub fn stop(mut self) -> Result<()> {
        let _lock = self.place.lock()?;
        let ended = end_all(&self.place);
        for managed in &mut self.servers {
            let _ = managed.child.as_mut().map(Child::wait);
        }
        ended.map(|_| ())
    }

    /// Ends whatever runs in `dir`, whoever started it; tells what that was.
    ///
    /// # Errors
    /// As [`Stores::stop`].
    pub fn stop_at(dir: &Path) -> Result<Vec<(Member, u32)>> {
        let Some(place) = Place::existing(dir)? else { return Ok(Vec::new()) };
        let _lock = place.lock()?;
        end_all(&place)
    }

    /// Ends what a killed owner left running in `dir`; nothing when the owner lives. A process that merely
    /// has the number of a former server is not touched. Not for folders of [`Stores::start_shared`], whose
    /// servers have no owner.
    ///
    /// # Errors
    /// As [`Stores::stop`].
    pub fn clean_orphans(dir: &Path) -> Result<Vec<(Member, u32)>> {
        let Some(place) = Place::existing(dir)? else { return Ok(Vec::new()) };
        match place.own() {
            Ok(_owner) => {
                let _lock = place.lock()?;
                end_all(&place)
            }
            Err(Error::InUse(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Ends whatever runs in `dir` and removes all of its data, passwords and logs.
    ///
    /// # Errors
    /// As [`Stores::stop`], and when something cannot be removed.
    pub fn wipe(dir: &Path) -> Result<()> {
        Stores::stop_at(dir)?;
        match Place::existing(dir)? {
            Some(place) => place.remove(),
            None => crate::fetch::remove_tree(dir), // what a removal that was cut off has left
        }
    }
}

fn check(tools: &Tools, options: &Options) -> Result<()> {
    let missing = tools.missing(&options.needed());
    if !missing.is_empty() {
        return Err(Error::Missing(crate::ways_out(&missing, "not found on this machine")));
    }
    let external =
        Server::ALL.into_iter().filter_map(|server| Some((server, options.external(server)?)));
    external.into_iter().try_for_each(|(server, url)| check_external(server, url))
}

fn check_external(server: Server, url: &str) -> Result<()> {
    // NATS clients take a list of servers.
    let address = Url::parse(url.split(',').next().unwrap_or(url))?.address();
    if network::connects(&address, EXTERNAL_MAX) {
        return Ok(());
    }
    Err(Error::Failed(format!("no {server} answers at {address} (--{}-url)", server.key())))
}
