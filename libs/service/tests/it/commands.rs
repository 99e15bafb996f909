//! The command line and the exit codes.

use crate::child::{Idle, command, run};

#[test]
fn help_is_the_reference_of_the_configuration_and_hides_values() {
    let mut help = command(&["--help"]);
    let output = help.env("SOUK_BEHAVIOUR", "secret").output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    for named in [
        "SOUK_LISTEN",
        "SOUK_ADMIN_LISTEN",
        "SOUK_DRAIN_WAIT",
        "SOUK_LOG",
        "SOUK_TRACE_RATIO",
        "migrate",
    ] {
        assert!(text.contains(named), "{named} is missing in:\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(run(&["--version"]).code, Some(0));
}

#[test]
fn what_is_used_wrongly_exits_64() {
    for wrong in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &[], // a required setting is missing
        &["migrate"],
        &["--behaviour", "good", "--listen", "here"],
        &["--behaviour", "good", "--drain-wait", "2"],
        &["--behaviour", "good", "--worker-threads", "0"],
        &["--behaviour", "good", "--log", "=,="],
        &["--behaviour", "misconfigured"],
    ] {
        let end = run(wrong);
        assert_eq!(end.code, Some(64), "{wrong:?}: {end:?}");
        assert!(!end.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_duration_that_cannot_be_read_is_refused_with_its_setting() {
    for (wrong, complaint) in [
        ("2", "time unit needed, for example 2sec or 2ms"),
        ("-1s", "expected number"),
        ("soon", "expected number"),
        ("2 fortnights", "unknown time unit \"fortnights\""),
        ("18446744073709551615h", "number is too large"),
    ] {
        let end = run(&["--behaviour", "good", &format!("--drain-wait={wrong}")]);
        assert_eq!(end.code, Some(64), "{wrong}: {end:?}");
        assert!(end.stderr.contains("--drain-wait"), "{wrong}: {}", end.stderr);
        assert!(end.stderr.contains(complaint), "{wrong}: {}", end.stderr);
    }
}

#[test]
fn what_goes_wrong_exits_1_with_one_line() {
    for (behaviour, line) in [
        ("fails", "idle: cannot store: disk full\n"),
        ("panics", "idle: panicked: index out of bounds\n"),
        ("ends", "idle: the service ended although nobody asked it to\n"),
        ("task-fails", "idle: background task relay: lost the database\n"),
        ("task-panics", "idle: background task relay: panicked: index out of bounds\n"),
        ("task-ends", "idle: background task relay: ended although nobody asked it to\n"),
    ] {
        let end = run(&["--behaviour", behaviour]);
        assert_eq!((end.code, end.stderr.as_str()), (Some(1), line), "{}", end.log);
    }
}

#[test]
fn a_panic_is_a_line_of_the_log() {
    let end = run(&["--behaviour", "task-panics"]);
    let messages = Idle::messages(&end.log);
    assert!(messages.contains(&"panicked: index out of bounds".to_owned()), "{}", end.log);
    assert!(end.log.contains("examples/idle.rs:"), "{}", end.log);
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let end = run(&["--behaviour", "good", "--listen", &address]);
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr.starts_with(&format!("idle: cannot listen on {address}: port taken: ")),
        "{}",
        end.stderr
    );
    assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
}

#[test]
fn a_secret_may_be_in_a_file() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, b"fails\n").expect("written");
    let with = |path: &std::path::Path| {
        let mut command = command(&["migrate"]);
        let output = command.env("SOUK_BEHAVIOUR_FILE", path).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    assert_eq!(with(file.path()), (Some(1), "idle: migration 2 failed\n".into()));
    let (code, complaint) = with("/no/such/file".as_ref());
    assert_eq!(code, Some(64), "{complaint}");
    assert!(complaint.contains("/no/such/file (SOUK_BEHAVIOUR_FILE)"), "{complaint}");
}

#[test]
fn migrate_runs_and_exits() {
    assert_eq!(run(&["--behaviour", "good", "migrate"]).code, Some(0));
    let end = run(&["--behaviour", "fails", "migrate"]);
    assert_eq!((end.code, end.stderr.as_str()), (Some(1), "idle: migration 2 failed\n"));
}

#[test]
fn healthcheck_needs_only_the_admin_port() {
    let idle = Idle::ready("good", &[]);
    let end = idle.healthcheck();
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));

    let mut by_environment = command(&["healthcheck"]);
    by_environment.env("SOUK_ADMIN_LISTEN", idle.admin.to_string()).env_remove("SOUK_TLS_DIR");
    assert_eq!(by_environment.output().expect("it runs").status.code(), Some(0));
}

#[test]
fn healthcheck_says_what_is_missing() {
    let idle = Idle::start("waits", &[]);
    idle.answers("answering", |health| health.stderr.contains("not ready"));
    let end = idle.healthcheck();
    assert_eq!((end.code, end.stderr.as_str()), (Some(1), "idle: not ready: started: starting\n"));

    let nobody = run(&["--admin-listen", "127.0.0.1:1", "healthcheck"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("no answer on the admin port 127.0.0.1:1"), "{}", nobody.stderr);
    assert!(run(&["healthcheck"]).stderr.contains("SOUK_ADMIN_LISTEN"));
}
