//! An nginx with the shipped configuration, on ports and in a folder of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use operator::http::Client;
use stores::{Home, Packages};
use tempfile::TempDir;
use testkit::eventually;

/// A running edge; ended when dropped.
pub struct Edge {
    pub url: String,
    child: Child,
    folder: TempDir,
}

impl Edge {
    /// Starts it in front of these gateways, whom `authority` vouches for, and waits until it answers.
    pub async fn start(gateways: &[SocketAddr], authority: &Path) -> Result<Self> {
        let nginx = provide()?;
        // Where everybody may enter: as root, nginx hands its work to an unprivileged user.
        let folder = tempfile::Builder::new().permissions(open_to_all()).tempdir()?;
        let (public, probes) = (free_port()?, free_port()?);
        let config = configure(folder.path(), gateways, public, probes)?;
        fs::copy(authority, folder.path().join("ca.pem"))?;
        let checked = nginx.command("usr/sbin/nginx").arg("-t").arg("-c").arg(&config).output()?;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        ensure!(checked.status.success(), "nginx -t: {said}");
        ensure!(!said.contains("[warn]"), "nginx -t: {said}");
        let child = serve(&nginx, &config)?;
        let edge = Self { url: format!("http://{public}"), child, folder };
        let probe = Client::new(&format!("http://{probes}"));
        eventually("the edge answers", Duration::from_secs(10), async || {
            probe.get("/livez").await.ok().filter(|answer| answer.status == 200).map(drop)
        })
        .await;
        Ok(edge)
    }

    /// What it said on standard error.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("nginx.log"))?)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // QUIT waits for connections, TERM does not.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn provide() -> Result<Packages> {
    let home = Home::find()?;
    Ok(Packages::provide(&home, "nginx", &["nginx"], &|line| eprintln!("{line}"))?)
}

fn serve(nginx: &Packages, config: &Path) -> Result<Child> {
    // It says on standard error which gateways it lost: that is what the scenarios are about.
    let log = fs::File::create(config.with_extension("log"))?;
    let mut command = nginx.command("usr/sbin/nginx");
    command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().context("nginx")
}

/// The shipped file with other ports and another folder, and where the gateways are here.
fn configure(
    folder: &Path,
    gateways: &[SocketAddr],
    public: SocketAddr,
    probes: SocketAddr,
) -> Result<PathBuf> {
    let shipped = Home::find()?.workspace().join("deploy/edge/nginx.conf");
    let mut text = fs::read_to_string(shipped)?;
    for (there, here) in [
        ("listen 8080;", format!("listen {public};")),
        ("listen 8081;", format!("listen {probes};")),
        (" /tmp/", format!(" {}/", folder.display())),
        ("/run/souk/", format!("{}/", folder.display())),
    ] {
        ensure!(text.contains(there), "nginx.conf has no {there:?} any more");
        text = text.replace(there, &here);
    }
    // The options of deploy/edge/gateways.conf, but for those that need a newer nginx and DNS.
    let server = |address| format!("server {address} max_fails=1 fail_timeout=1s;\n");
    fs::write(folder.join("gateways.conf"), gateways.iter().map(server).collect::<String>())?;
    let config = folder.join("nginx.conf");
    fs::write(&config, text)?;
    Ok(config)
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn open_to_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}
