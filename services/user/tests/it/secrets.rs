//! What must be nowhere: in no log line and in no row that anybody could read.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::filter::LevelFilter;

use crate::shop::{PASSWORD, Shop};

/// Everything that is logged while this test binary runs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_nothing_personal_is_logged_or_stored_in_clear() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let shop = Shop::open().await;
    let email = "hidden.somebody@shop.example";
    let session = shop.somebody(email).await;
    shop.sign_in(email, "hidden wrong password").await.unwrap_err();
    shop.sign_in("hidden.nobody@shop.example", PASSWORD).await.unwrap_err();
    shop.register(email).await.unwrap_err();
    shop.add_address(&session, "Hiddentown").await.unwrap();
    let second = shop.refresh(&session.refresh_token).await.unwrap();
    shop.refresh(&session.refresh_token).await.unwrap_err();
    shop.erase(&second).await.unwrap_err(); // its sign-in was ended by that
    let last = shop.sign_in(email, PASSWORD).await.unwrap();
    shop.erase(&last).await.unwrap();

    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("a refresh token came twice"), "the log is the service's");
    let tokens = [&session.access_token, &session.refresh_token, &second.refresh_token];
    let secrets = ["hidden", "Hiddentown", PASSWORD].into_iter();
    for secret in secrets.chain(tokens.into_iter().map(String::as_str)) {
        let found = logged.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret} was logged");
    }

    let another = shop.somebody("ann@shop.example").await;
    let stored =
        shop.sql("select users::text from users; select refresh_tokens::text from refresh_tokens");
    assert!(stored.contains("$argon2id$"));
    assert!(!stored.contains(PASSWORD) && !stored.contains(&another.refresh_token));
    shop.running.stop().await;
}
