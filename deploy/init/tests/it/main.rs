//! The program, as a container runs it.

mod redis;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Exit code and what it said.
fn secrets(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_init"));
    let output = command.arg("secrets").arg("--dir").arg(dir).args(arguments).env_clear().output();
    let output = output.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

/// The files of each folder below `dir`.
fn files(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a folder").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    names(dir).into_iter().map(|name| (name.clone(), names(&dir.join(name)))).collect()
}

fn read(dir: &TempDir, file: &str) -> String {
    fs::read_to_string(dir.path().join(file)).expect(file)
}

#[test]
fn each_process_gets_what_it_needs_and_nothing_else() {
    let dir = TempDir::new().expect("a folder");
    let (code, said) = secrets(dir.path(), &["--shards", "2"]);
    assert_eq!(code, Some(0), "{said}");
    let mut found = files(dir.path());
    assert_eq!(found.remove("authority").expect("it keeps the originals"), ["certs", "secrets"]);
    let tls = ["ca.pem", "cert.pem", "key.pem"];
    let stores = ["database-urls", "nats-url", "redis-url", "token.pem"];
    let of = |parts: &[&[&str]]| {
        let mut names: Vec<String> = parts.concat().iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let context = of(&[&tls, &stores]);
    let expected = BTreeMap::from([
        ("gateway".to_owned(), of(&[&tls, &["redis-url"]])),
        ("product".to_owned(), context.clone()),
        ("cart".to_owned(), context.clone()),
        ("order".to_owned(), context),
        ("user".to_owned(), of(&[&tls, &stores, &["token-key.pem", "staff-password"]])),
        ("payment".to_owned(), of(&[&tls, &stores, &["webhook-secret"]])),
        ("provisioner".to_owned(), of(&[&tls, &["nats-url"]])),
        ("psp".to_owned(), of(&[&["ca.pem", "webhook-secret"]])),
        ("staff".to_owned(), of(&[&["ca.pem", "staff-password"]])),
        ("edge".to_owned(), of(&[&["ca.pem"]])),
        ("postgres".to_owned(), of(&[&tls, &["password", "databases.sql"]])),
        ("nats".to_owned(), of(&[&tls, &["authorization.conf"]])),
        ("redis".to_owned(), of(&[&tls, &["password", "redis.conf"]])),
    ]);
    assert_eq!(found, expected);
    for (folder, names) in found {
        for name in names {
            let meta = fs::metadata(dir.path().join(&folder).join(&name)).expect("there");
            assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{folder}/{name}");
        }
    }
}

#[test]
fn both_ends_of_a_connection_get_the_same_password() {
    let dir = TempDir::new().expect("a folder");
    secrets(
        dir.path(),
        &["--shards", "2", "--postgres", "db:1", "--nats", "bus:2", "--redis", "cache:3"],
    );
    let urls = read(&dir, "order/database-urls");
    let password = urls.split([':', '@']).nth(2).expect("a password").to_owned();
    let one = |shard| {
        let tls = "sslmode=verify-full&sslrootcert=/run/souk/ca.pem";
        format!("postgres://souk_order:{password}@db:1/souk_order_{shard}?{tls}")
    };
    assert_eq!(urls, format!("{},{}", one(0), one(1)));
    assert_eq!(password.len(), 48);
    let sql = read(&dir, "postgres/databases.sql");
    assert!(sql.contains(&format!("password '{password}'")), "{sql}");
    for database in ["souk_product", "souk_user", "souk_payment", "souk_cart_1", "souk_order_1"] {
        assert!(sql.contains(&format!("create database {database} owner")), "{database}");
    }
    let url = read(&dir, "cart/nats-url");
    let password = url
        .strip_prefix("tls://cart:")
        .and_then(|url| url.strip_suffix("@bus:2?sslrootcert=/run/souk/ca.pem"));
    let user = format!("user: cart, password: \"{}\"", password.expect("a password"));
    let rights = read(&dir, "nats/authorization.conf");
    assert!(
        rights.contains(&user) && rights.contains("$JS.ACK.SOUK_ORDER.cart-from-order.>"),
        "{rights}"
    );
    let url = read(&dir, "cart/redis-url");
    let password = url
        .strip_prefix("rediss://cart:")
        .and_then(|url| url.strip_suffix("@cache:3?sslrootcert=/run/souk/ca.pem"));
    let user = format!("user cart on >{} ", password.expect("a password"));
    let config = read(&dir, "redis/redis.conf");
    assert!(config.contains(&user), "{config}");
    assert!(
        config.contains(&format!("requirepass {}\n", read(&dir, "redis/password"))),
        "{config}"
    );
    assert_eq!(read(&dir, "psp/webhook-secret"), read(&dir, "payment/webhook-secret"));
    assert_eq!(read(&dir, "staff/staff-password"), read(&dir, "user/staff-password"));
}

#[test]
fn the_second_run_keeps_passwords_and_issues_certificates_anew() {
    let dir = TempDir::new().expect("a folder");
    secrets(dir.path(), &[]);
    let kept = [
        "order/database-urls",
        "order/redis-url",
        "redis/redis.conf",
        "user/token-key.pem",
        "postgres/password",
        "order/ca.pem",
    ];
    let before: Vec<_> = kept.iter().map(|file| read(&dir, file)).collect();
    let certificate = read(&dir, "order/cert.pem");
    assert_eq!(secrets(dir.path(), &[]).0, Some(0));
    let after: Vec<_> = kept.iter().map(|file| read(&dir, file)).collect();
    assert_eq!(before, after);
    assert_ne!(certificate, read(&dir, "order/cert.pem"));
}

#[test]
fn another_number_of_shards_is_refused() {
    let dir = TempDir::new().expect("a folder");
    secrets(dir.path(), &["--shards", "2"]);
    let (code, said) = secrets(dir.path(), &["--shards", "3"]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("keep SOUK_SHARDS=2"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let (code, said) = secrets(Path::new("/proc/souk"), &[]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("/proc/souk"), "{said}");
    let (code, said) = secrets(Path::new("/proc/souk"), &["--shards", "x"]);
    assert_eq!((code, said.lines().count()), (Some(64), 1), "{said}");
}
