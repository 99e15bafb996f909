//! The end of a process, by signals.

use std::net::TcpStream;
use std::time::Duration;

use crate::child::Idle;

#[test]
fn a_signal_ends_the_process_in_order() {
    for signal in ["TERM", "INT"] {
        let idle = Idle::ready("good", &[]);
        idle.signal(signal);
        let end = idle.end();
        assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{}", end.log);
        let messages = Idle::messages(&end.log);
        assert_eq!(messages, ["starting", "stopping", "work finished", "drained", "stopped"]);
    }
}

#[test]
fn unready_comes_before_the_end() {
    let idle = Idle::ready("good", &["--drain-wait", "1s"]);
    idle.signal("TERM");
    idle.answers("unready", |health| health.stderr == "idle: not ready: stopping: asked to stop\n");
    assert!(!idle.log().contains("work finished"), "it still serves: {}", idle.log());
    let end = idle.end();
    assert_eq!(end.code, Some(0));
    assert!(end.log.contains("work finished"), "{}", end.log);
}

#[test]
fn a_silent_connection_does_not_keep_the_process() {
    let idle = Idle::ready("good", &[]);
    let _silent: Vec<TcpStream> =
        (0..80).map(|_| TcpStream::connect(idle.admin).expect("it listens")).collect();
    idle.signal("TERM");
    let end = idle.end();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.took < Duration::from_secs(3), "{:?}", end.took);
}

#[test]
fn the_limit_holds_for_who_does_not_listen() {
    for behaviour in ["deaf", "stuck"] {
        let idle = Idle::ready(behaviour, &["--stop-limit", "500ms", "--worker-threads", "1"]);
        idle.signal("TERM");
        let end = idle.end();
        assert_eq!(end.code, Some(1), "{}", end.log);
        assert!(
            end.log.contains("not finished 500 ms after being asked to stop"),
            "{behaviour}: {}",
            end.log
        );
        assert!(end.took >= Duration::from_millis(300), "{behaviour}: {:?}", end.took);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let idle = Idle::ready("deaf", &["--drain-wait", "60s", "--stop-limit", "60s"]);
    idle.signal("TERM");
    idle.says("stopping");
    idle.signal("INT");
    let end = idle.end();
    assert_eq!(end.code, Some(1));
    assert!(end.log.contains("second signal (SIGINT)"), "{}", end.log);
}

#[test]
fn who_still_waits_for_a_dependency_stops_well() {
    let idle = Idle::start("waits", &["--drain-wait", "5s"]);
    idle.says("waiting for a dependency");
    idle.signal("TERM");
    let end = idle.end();
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{}", end.log);
    assert!(
        end.took < Duration::from_secs(2),
        "nothing is served, nothing to drain: {:?}",
        end.took
    );
    let waiting =
        Idle::messages(&end.log).iter().filter(|message| message.contains("waiting")).count();
    assert_eq!(waiting, 1, "one line per change of state: {}", end.log);
}
