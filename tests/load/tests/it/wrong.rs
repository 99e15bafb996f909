use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

/// Its exit code and what it says on standard error.
fn load(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_load"))
        .args(arguments)
        .current_dir(std::env::temp_dir()) // where no shop is run
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn something_else_is_not_put_under_load() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _asked = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
        }
    });
    let (code, told) = load(&["--rate", "10", "--target", &url]);
    assert_eq!((code, told.lines().count()), (1, 1), "{told}");
    assert!(told.contains(&format!("{url} is not the shop")), "{told}");
}

#[test]
fn nobody_is_told_so() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, told) = load(&["--rate", "10", "--target", &format!("http://{unused}")]);
    assert_eq!((code, told.lines().count()), (1, 1), "{told}");
    assert!(told.contains("nothing answers at"), "{told}");
    let (code, told) = load(&["--rate", "10"]);
    assert_eq!((code, told.lines().count()), (1, 1), "{told}");
    assert!(told.contains("--target URL"), "{told}");
}

#[test]
fn a_file_with_a_mistake_is_refused_before_anything_is_sent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"weights":{"browse":1},"speed":2}"#).unwrap();
    let path = file.path().display().to_string();
    let (code, told) = load(&["--rate", "10", "--scenario-file", &path]);
    assert_eq!((code, told.lines().count()), (1, 1), "{told}");
    assert!(told.contains("speed") && told.contains(&path), "{told}");
}

#[test]
fn a_command_line_without_sense_is_a_usage_error() {
    for bad in [&["--rate", "0"][..], &[], &["--steps", "9..1"], &["--rate", "1", "--slo", "x"]] {
        let (code, told) = load(bad);
        assert_eq!(code, 64, "{told}");
    }
}
