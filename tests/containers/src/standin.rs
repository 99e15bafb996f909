//! Images that stand in for those of others, since no registry is asked for any: folders with the owners and modes of the
//! real ones (their Dockerfiles say which), and this machine's programs, which are mounted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use stores::{Home, Packages, Program, Tools};

use crate::compose::Service;
use crate::engine::Engine;
use crate::namespace::Place;

/// Where an image has the scripts that stand in for programs.
const SCRIPTS: &str = "stand-in";

/// An image of somebody else's.
struct StandIn {
    /// The service that runs it.
    service: &'static str,
    /// Folder, owner, mode.
    folders: &'static [(&'static str, u32, u32)],
    entrypoint: &'static str,
    /// Further lines of its Dockerfile.
    lines: &'static [&'static str],
}

const STAND_INS: [StandIn; 4] = [
    StandIn {
        service: "postgres",
        folders: &[
            ("docker-entrypoint-initdb.d", 0, 0o755),
            ("var/lib/postgresql/data", 999, 0o1777),
            ("var/run/postgresql", 999, 0o3777),
        ],
        entrypoint: include_str!("standin/postgres.sh"),
        lines: &["VOLUME /var/lib/postgresql/data", "STOPSIGNAL SIGINT"],
    },
    StandIn { service: "nats", folders: &[("etc/nats", 0, 0o755)], entrypoint: RUN, lines: &[] },
    StandIn {
        service: "redis",
        folders: &[("data", 999, 0o755)],
        entrypoint: RUN,
        lines: &["VOLUME /data", "WORKDIR /data"],
    },
    StandIn { service: "edge", folders: &[], entrypoint: RUN, lines: &["STOPSIGNAL SIGQUIT"] },
];

const RUN: &str = "#!/bin/sh\nexec \"$@\"\n";
/// Programs that the real images have under these names.
const OTHERS: [(&str, &str); 3] = [
    ("valkey-server", "#!/bin/sh\nexec redis-server \"$@\"\n"),
    ("valkey-cli", "#!/bin/sh\nexec redis-cli \"$@\"\n"),
    ("wget", include_str!("standin/wget.sh")),
];

/// What every image of a distribution has, and PostgreSQL wants to find itself in.
const PASSWD: &str =
    "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\nsouk:x:65532:65532::/:/bin/sh\n";

/// Makes the images that the services name. The options that their containers need beside those of the file.
pub(crate) fn make(
    home: &Home,
    place: &Place,
    engine: &Engine,
    services: &[Service],
) -> Result<BTreeMap<String, Vec<String>>> {
    let path = programs(home)?;
    let mut options = BTreeMap::new();
    for stand_in in &STAND_INS {
        let service = services.iter().find(|service| service.name == stand_in.service);
        let service = service.with_context(|| format!("no service {}", stand_in.service))?;
        let lines = stand_in.lines.iter().map(ToString::to_string);
        let lines: Vec<String> = path.iter().cloned().chain(lines).collect();
        build(place, engine, stand_in, service.image()?, &lines)?;
        let mounted = ["/usr".to_owned(), home.tools().display().to_string()];
        let mounted = mounted.into_iter().map(|path| format!("--volume={path}:{path}:ro"));
        options.insert(stand_in.service.to_owned(), mounted.collect());
    }
    Ok(options)
}

/// The image with this name: its file system, and the lines of a Dockerfile upon it.
fn build(
    place: &Place,
    engine: &Engine,
    stand_in: &StandIn,
    name: &str,
    lines: &[String],
) -> Result<()> {
    let root = root(place, stand_in)?;
    let archive = root.with_extension("tar");
    let mut tar = Command::new("tar");
    let packed = tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status()?;
    ensure!(packed.success(), "tar cannot pack {}", root.display());
    let base = format!("{SCRIPTS}-{}", stand_in.service);
    engine.docker(&["import", &archive.to_string_lossy(), &base])?;
    let context = root.with_extension("build");
    fs::create_dir_all(&context)?;
    let lines = lines.join("\n");
    let text = format!("FROM {base}\n{lines}\nENTRYPOINT [\"/{SCRIPTS}/entrypoint\"]\n");
    fs::write(context.join("Dockerfile"), text)?;
    engine.docker(&["build", "--quiet", "--tag", name, &context.to_string_lossy()]).map(drop)
}

/// The edge's program; fetched unless it is there.
pub(crate) fn nginx(home: &Home) -> Result<Packages> {
    Ok(Packages::provide(home, "nginx", &["nginx"], &|line| eprintln!("{line}"))?)
}

/// Where the machine's programs are, and their libraries.
fn programs(home: &Home) -> Result<[String; 2]> {
    let tools = Tools::find(home);
    let nginx = nginx(home)?;
    let stores = [&tools.postgres, &tools.redis, &tools.nats];
    let stores: Vec<&Program> = stores.into_iter().flatten().collect();
    ensure!(stores.len() == STAND_INS.len() - 1, "not all stores are here: {stores:?}");
    let mut folders = vec![PathBuf::from("/").join(SCRIPTS)];
    for program in &stores {
        let real = program.path.canonicalize()?;
        folders.extend(real.parent().map(Path::to_owned));
        folders.extend(program.path.parent().map(Path::to_owned));
    }
    folders.extend([nginx.root.join("usr/sbin"), "/usr/sbin".into(), "/usr/bin".into()]);
    let libraries = stores.iter().flat_map(|program| &program.libraries).chain(&nginx.libraries);
    let joined =
        |all: Vec<PathBuf>| anyhow::Ok(std::env::join_paths(all)?.to_string_lossy().into_owned());
    let libraries = joined(libraries.cloned().collect())?;
    Ok([format!("ENV PATH={}", joined(folders)?), format!("ENV LD_LIBRARY_PATH={libraries}")])
}

/// Its file system, with the owners as they are there.
fn root(place: &Place, stand_in: &StandIn) -> Result<PathBuf> {
    let root = place.folder.join("stand-ins").join(stand_in.service);
    for folder in ["usr", "etc", SCRIPTS] {
        fs::create_dir_all(root.join(folder))?;
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), root.join(link))?;
    }
    fs::write(root.join("etc/passwd"), PASSWD)?;
    for (name, text) in OTHERS.into_iter().chain([("entrypoint", stand_in.entrypoint)]) {
        let script = root.join(SCRIPTS).join(name);
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    for (folder, owner, mode) in stand_in.folders {
        let folder = root.join(folder);
        fs::create_dir_all(&folder)?;
        chown(&folder, Some(*owner), Some(*owner))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(*mode))?;
    }
    Ok(root)
}
