//! Stores that several processes use at once and nobody owns.

use crate::folder::{Folder, programs};
use stores::{Options, Server, Stores};

#[test]
fn many_that_start_at_once_share_one_set() {
    let folder = Folder::new("shared");
    let (path, tools) = (folder.path(), programs());
    let pids: Vec<_> = std::thread::scope(|scope| {
        let start = || {
            let stores = Stores::start_shared(path, &tools, &Options::default()).expect("shared");
            stores.endpoints().expect("endpoints").pids
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(pids[0].len(), 3);
    assert!(pids.iter().all(|one| *one == pids[0]), "{pids:?}");

    let mut ended = Stores::stop_at(path).expect("ended");
    ended.sort();
    assert_eq!(ended, pids[0]);
}

#[test]
fn a_second_one_joins_and_replaces_only_what_is_gone() {
    let folder = Folder::new("joined");
    let tools = programs();
    let share =
        || Stores::start_shared(folder.path(), &tools, &Options::default()).expect("shared");
    let first = share().endpoints().expect("endpoints");
    let joined = Stores::attach(folder.path(), &tools, &Options::default()).expect("looked");
    assert_eq!(joined.expect("all run").endpoints().expect("endpoints"), first);

    let mut stores = share();
    stores.stop_server(Server::Nats).expect("it stops");
    assert!(Stores::attach(folder.path(), &tools, &Options::default()).expect("looked").is_none());
    let second = share().endpoints().expect("endpoints");
    assert_eq!(second.pids[..2], first.pids[..2]);
    assert_ne!(second.pids[2], first.pids[2]);
    assert_eq!(second.nats_url, first.nats_url);
}

#[test]
fn a_folder_where_nothing_was_started_has_nothing_to_stop() {
    let folder = Folder::new("nothing");
    assert_eq!(Stores::stop_at(folder.path()).expect("looked"), []);
    assert_eq!(Stores::clean_orphans(folder.path()).expect("looked"), []);
    assert!(!folder.path().exists(), "looking makes no folder");
}
