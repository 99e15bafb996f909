//! The command as a person calls it, in a workspace of its own where nothing was ever built.

mod images;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use images::{notes, noting};

/// A bad end must come before anybody starts to wait. The promise is a second; a busy machine gets two.
const AT_ONCE: Duration = Duration::from_secs(2);

fn workspace(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(path.join("deploy/souk")).expect("made");
    fs::write(path.join("Cargo.toml"), "[workspace]\n").expect("written");
    path
}

fn souk(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_souk"));
    command.args(arguments).current_dir(folder);
    for variable in ["SOUK_POSTGRES_URL", "SOUK_REDIS_URL", "SOUK_NATS_URL"] {
        command.env_remove(variable);
    }
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let started = Instant::now();
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    assert!(started.elapsed() < AT_ONCE, "it took {:?}", started.elapsed());
    let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A folder of programs that has only these.
fn programs(folder: &Path, names: &[&str]) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).expect("made");
    for name in names {
        let real = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(name));
        let real = real.iter().find(|path| path.exists()).expect("every system has it");
        std::os::unix::fs::symlink(real, bin.join(name)).expect("linked");
    }
    bin
}

#[test]
fn a_senseless_command_line_ends_with_64_and_one_line() {
    let folder = workspace("usage");
    for arguments in [
        &["dance"][..],
        &["up", "--port", "0"],
        &["order", "--quantity", "-1"],
        &["import", "gone.csv"],
        &["bench", "orders", "--under-way", "0"],
    ] {
        let (code, out, err) = run(&mut souk(&folder, arguments));
        assert_eq!(
            (code, out.as_str(), err.lines().count()),
            (Some(64), "", 1),
            "{arguments:?}: {err}"
        );
    }
    let (code, _, err) = run(&mut souk(&folder, &[]));
    assert_eq!(code, Some(64));
    assert!(err.contains("Usage: cargo souk <COMMAND>"), "{err}");
}

#[test]
fn every_verb_explains_itself() {
    let folder = workspace("help");
    let verbs = [
        "up", "down", "status", "logs", "order", "import", "load", "chaos", "bench", "lab", "test",
        "doctor", "fetch", "sqlx", "images",
    ];
    for verb in verbs {
        let (code, out, _) = run(&mut souk(&folder, &[verb, "--help"]));
        assert_eq!(code, Some(0));
        assert!(out.contains(&format!("Usage: cargo souk {verb}")), "{out}");
    }
}

#[test]
fn without_a_shop_nothing_is_built_to_say_so() {
    let folder = workspace("not-up");
    for arguments in [&["status"][..], &["order"], &["logs", "order"]] {
        let (code, out, err) = run(&mut souk(&folder, arguments));
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert_eq!(err, "error: the shop is not up; start it with: cargo souk up\n");
    }
    let (code, out, _) = run(&mut souk(&folder, &["down"]));
    assert_eq!((code, out.as_str()), (Some(0), "the shop is not up\n"));
    let (code, _, err) = run(&mut souk(Path::new("/"), &["status"]));
    assert_eq!((code, err.as_str()), (Some(1), "error: / is not inside the Souk repository\n"));
}

#[test]
fn up_builds_what_is_built_soonest_unless_told_to_release() {
    for (told, profile) in [(&[][..], "dev"), (&["--release"], "release")] {
        let folder = workspace(&format!("up-{profile}"));
        let cargo = noting(&folder, &[("cargo", "exit 1")]).join("cargo");
        let mut command = souk(&folder, &["up", "--port", &free_port()]);
        for server in ["--postgres-url=postgres", "--redis-url=redis", "--nats-url=nats"] {
            command.arg(format!("{server}://u:p@127.0.0.1:1/d"));
        }
        let (code, _, err) = run(command.args(told).env("CARGO", &cargo));
        assert_eq!(code, Some(1), "{err}");
        let [build] = &notes(&folder)[..] else { panic!("{:?}", notes(&folder)) };
        assert!(
            build.starts_with(&format!("cargo build --profile {profile} --workspace")),
            "{build}"
        );
        let built = |program: &str| build.contains(&format!(" --bin {program}"));
        assert!(["operator", "psp", "gateway", "payment"].into_iter().all(built), "{build}");
        assert!(!built("load") && !built("chaos"), "an order needs neither: {build}");
    }
}

#[test]
fn a_shop_that_was_built_quickly_is_not_measured() {
    let folder = workspace("measured");
    let running = folder.join(".souk/run");
    fs::create_dir_all(&running).expect("made");
    fs::write(running.join("state.json"), "{}").expect("written");
    fs::write(running.join("profile"), "dev").expect("written");
    let (code, out, err) = run(&mut souk(&folder, &["load", "--rate", "1"]));
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.contains("was built quickly") && err.contains("cargo souk up --release"), "{err}");
}

#[test]
fn a_taken_port_is_named_with_its_owner_before_anything_is_built() {
    let folder = workspace("taken");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let (code, out, err) = run(&mut souk(&folder, &["up", "--port", &port]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with(&format!("error: port {port} is taken by ")), "{err}");
    if cfg!(target_os = "linux") {
        assert!(err.contains(&format!("(pid {})", std::process::id())), "{err}");
    }
}

#[test]
fn without_a_compiler_up_says_so_at_once() {
    let folder = workspace("no-compiler");
    let bin = programs(&folder, &["sh", "id"]);
    let mut command = souk(&folder, &["up", "--port", &free_port()]);
    let (code, _, err) = run(command.env("PATH", &bin).env_remove("RUSTC"));
    assert_eq!(code, Some(1));
    assert!(err.contains("no rustc; 1.94 or newer is needed"), "{err}");
}

#[test]
fn without_programs_and_without_apt_the_ways_out_are_named_at_once() {
    let folder = workspace("no-apt");
    let bin = programs(&folder, &["sh", "id"]);
    let mut command = souk(&folder, &["fetch"]);
    let (code, _, err) = run(command.env("PATH", &bin).env("SOUK_HIDE_SYSTEM_TOOLS", "1"));
    assert_eq!(code, Some(1));
    for expected in [
        "missing: PostgreSQL, Redis, NATS (no apt-get",
        "--nats-url URL",
        "--system",
        "copy .souk/tools",
        "docker compose up",
    ] {
        assert!(err.contains(expected), "{expected}: {err}");
    }
}

#[test]
fn a_nats_server_that_cannot_be_run_is_not_replaced_by_another() {
    let folder = workspace("named");
    for verb in ["fetch", "doctor"] {
        let mut command = souk(&folder, &[verb]);
        let (code, _, err) = run(command.env("SOUK_NATS_SERVER", "/bin/false"));
        assert_eq!(code, Some(1), "{verb}: {err}");
        assert!(err.contains("SOUK_NATS_SERVER: /bin/false: cannot be run"), "{verb}: {err}");
    }
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port().to_string()
}
