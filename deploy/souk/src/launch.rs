//! From the command line to the step that does the work.

use crate::build::{self, Profile};
use crate::cli::{Chaos, Cli, Fetch, Lab, Load, Sqlx, Test, Up, Verb};
use crate::port::{self, Port};
use crate::{Result, doctor, images, machine, style, suites};
use std::process::ExitCode;
use stores::{Home, Options, Stores};

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match Home::find().map_err(Into::into).and_then(|home| run(&home, &cli.verb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error}", style::red("error:"));
            ExitCode::FAILURE
        }
    }
}

fn run(home: &Home, verb: &Verb) -> Result {
    match verb {
        Verb::Up(options) => up(home, options),
        Verb::Down(options) => down(home, options.wipe),
        Verb::Status
        | Verb::Order(_)
        | Verb::Trace(_)
        | Verb::Import(_)
        | Verb::Outbox(_)
        | Verb::Fault(_)
        | Verb::DeadLetters(_) => with_the_running_shop(home),
        Verb::Logs(_) => logs(home),
        Verb::Load(options) => load(home, options),
        Verb::Chaos(options) => chaos(home, options),
        Verb::Bench(_) => in_a_shop_of_its_own(home, &["bench", "bare", "monolith"]),
        Verb::Lab(Lab { number: None }) => {
            println!("{}", Lab::list());
            Ok(())
        }
        Verb::Lab(_) => in_a_shop_of_its_own(home, &["lab"]),
        Verb::Test(Test { all }) => suites::run(home, *all),
        Verb::Doctor => doctor::run(home),
        Verb::Fetch(Fetch { all }) => fetch(home, *all),
        Verb::Sqlx(Sqlx { .. }) => sqlx(home),
        Verb::Images(options) => images::run(home, options),
    }
}

fn up(home: &Home, options: &Up) -> Result {
    if !home.state_file().is_file() {
        refuse_taken(options.port)?;
    }
    machine::check_for_build(home)?;
    machine::provide_stores(home, &Options::from(&options.stores), options.system)?;
    let profile = if options.release { Profile::Release } else { Profile::Dev };
    build::shop(home, profile)?;
    remember(home, profile)?;
    build::become_operator(profile)
}

fn refuse_taken(port: u16) -> Result {
    match port::look(port) {
        Port::Free => Ok(()),
        Port::Taken(owner) => {
            Err(format!("port {port} is taken by {owner}; choose another: cargo souk up --port P")
                .into())
        }
    }
}

fn down(home: &Home, wipe: bool) -> Result {
    if let Some(profile) = operator_of_the_shop(home)? {
        return build::become_operator(profile);
    }
    // An `up` that was killed before it wrote down anything leaves nothing but stores.
    if Stores::stop_at(&home.stores())?.is_empty() {
        println!("the shop is not up");
    } else {
        println!("stopped the stores");
    }
    if wipe {
        Stores::wipe(&home.stores())?;
        Stores::wipe(&home.test_stores())?;
        remove(&home.run())?;
        println!("removed all data");
    }
    Ok(())
}

fn remove(folder: &std::path::Path) -> Result {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// These are about a shop that runs; nobody should wait for a build to hear that there is none.
fn with_the_running_shop(home: &Home) -> Result {
    match operator_of_the_shop(home)? {
        Some(profile) => build::become_operator(profile),
        None => Err("the shop is not up; start it with: cargo souk up".into()),
    }
}

/// Logs outlive the shop: the reason why it is not up may be in one.
fn logs(home: &Home) -> Result {
    for profile in [Profile::Release, Profile::Dev] {
        if !home.state_file().is_file()
            && home.run().is_dir()
            && build::operator(profile)?.is_file()
        {
            return build::become_operator(profile);
        }
    }
    with_the_running_shop(home)
}

/// The generator is a program of its own: it shares nothing with the shop but the machine.
fn load(home: &Home, options: &Load) -> Result {
    let measurable = match profile_of_the_shop(home) {
        _ if options.target.is_some() => Ok(()),
        Some(Profile::Release) => Ok(()),
        Some(Profile::Dev) => Err("the shop that is up was built quickly, not to be measured: \
                                   cargo souk down, then cargo souk up --release"),
        None => Err("the shop is not up; start it with cargo souk up --release, or name one: \
                     --target URL"),
    };
    measurable?;
    measure(home, &["load"])
}

/// Becomes the first of these programs. What measures is of the profile of what is measured.
fn measure(home: &Home, programs: &[&str]) -> Result {
    build::programs(home, Profile::Release, programs)?;
    build::become_program(Profile::Release, programs[0], std::env::args_os().skip(2))
}

/// Built as the tests are: with what debug builds check beside.
fn chaos(home: &Home, options: &Chaos) -> Result {
    machine::check_for_build(home)?;
    if !options.dry_run {
        machine::provide_stores(home, &Options::default(), false)?;
    }
    build::everything(home)?;
    build::become_program(Profile::Dev, "chaos", std::env::args_os().skip(2))
}

/// In a shop of its own, whatever else is up: what is measured is this very tree.
fn in_a_shop_of_its_own(home: &Home, programs: &[&str]) -> Result {
    machine::check_for_build(home)?;
    machine::provide_stores(home, &Options::default(), false)?;
    build::shop(home, Profile::Release)?;
    measure(home, programs)
}

fn sqlx(home: &Home) -> Result {
    machine::check_for_build(home)?;
    machine::provide_stores(home, &Options::default(), false)?;
    build::programs(home, Profile::Dev, &["operator"])?;
    build::become_operator(Profile::Dev)
}

fn fetch(home: &Home, all: bool) -> Result {
    machine::provide_stores(home, &Options::default(), false)?;
    if all {
        suites::fetch_judges(home)?;
    }
    println!("all stores' programs are here:");
    doctor::stores(home)?;
    println!("for being offline fetch the crates too: cargo fetch --locked");
    Ok(())
}

/// The profile of the operator whose shop is up. Builds it again if it was cleaned away meanwhile: nobody
/// else can stop what it started.
fn operator_of_the_shop(home: &Home) -> Result<Option<Profile>> {
    let profile = profile_of_the_shop(home);
    if let Some(profile) = profile
        && !build::operator(profile)?.is_file()
    {
        build::programs(home, profile, &["operator"])?;
    }
    Ok(profile)
}

/// How the shop was built that is up, or was killed and wants to be taken down.
fn profile_of_the_shop(home: &Home) -> Option<Profile> {
    let noted = || std::fs::read_to_string(profile_file(home)).unwrap_or_default();
    let profile = || match noted() == Profile::Dev.name() {
        true => Profile::Dev,
        false => Profile::Release,
    };
    home.state_file().is_file().then(profile)
}

fn remember(home: &Home, profile: Profile) -> Result {
    std::fs::create_dir_all(home.run())?;
    Ok(std::fs::write(profile_file(home), profile.name())?)
}

fn profile_file(home: &Home) -> std::path::PathBuf {
    home.run().join("profile")
}
