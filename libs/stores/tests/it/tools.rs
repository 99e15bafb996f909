//! Where the programs come from.

use std::path::{Path, PathBuf};
use stores::{Home, Server, Source, Tools};

fn empty_workspace(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).expect("made");
    path
}

#[test]
fn without_the_machine_and_without_a_fetch_nothing_is_found() {
    let home = Home::of_workspace(&empty_workspace("no-tools"));
    let tools = Tools::find_in(&home, false);
    assert_eq!(tools.missing(&Server::ALL), Server::ALL);
}

#[test]
fn what_is_found_tells_its_version() {
    let tools = crate::folder::programs();
    for server in Server::ALL {
        let program = tools.get(server).expect("provided");
        assert!(program.version.starts_with(|first: char| first.is_ascii_digit()), "{program:?}");
        assert_eq!(program.source == Source::Fetched, !program.libraries.is_empty(), "{program:?}");
    }
}

#[test]
fn a_nats_server_that_is_named_is_the_only_one() {
    let home = Home::find().expect("tests run inside the workspace");
    let usual = crate::folder::programs().nats.expect("provided");
    let named = Tools::find_with(&home, true, Some(usual.path.clone()));
    let nats = named.nats.expect("it needs nothing but the C library");
    assert_eq!((nats.path, nats.source), (usual.path, Source::Named));
    let wrong = Tools::find_with(&home, true, Some("/bin/false".into()));
    assert_eq!(wrong.missing(&Server::ALL), [Server::Nats]);
    assert!(wrong.rejected[0].starts_with("/bin/false: cannot be run"), "{:?}", wrong.rejected);
}

#[test]
fn the_workspace_is_found_from_a_folder_inside() {
    let home = Home::find().expect("tests run inside the workspace");
    assert!(home.workspace().join("libs/stores").is_dir());
    assert!(home.tools().ends_with(".souk/tools"));
}
