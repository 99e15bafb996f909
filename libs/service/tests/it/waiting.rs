//! Start order: a dependency that is not there yet.

use std::cell::Cell;
use std::time::Duration;

use service::{Shutdown, wait_for};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_dependency_that_comes_late_is_found_soon() {
    let comes = Instant::now() + Duration::from_secs(60);
    let tries = Cell::new(0);
    let attempt = || {
        tries.set(tries.get() + 1);
        async move {
            if Instant::now() >= comes {
                Ok("there")
            } else {
                Err(anyhow::anyhow!("connection refused"))
            }
        }
    };
    assert_eq!(
        wait_for("database", &Shutdown::new(), attempt).await.expect("not stopped"),
        "there"
    );
    assert!(comes.elapsed() <= Duration::from_secs(2), "{:?}", comes.elapsed());
    assert!(tries.get() < 60, "{} tries", tries.get());
}

#[tokio::test(start_paused = true)]
async fn one_that_swallows_everything_is_asked_again() {
    let comes = Instant::now() + Duration::from_secs(60);
    let attempt = || async move {
        if Instant::now() < comes {
            std::future::pending::<()>().await;
        }
        anyhow::Ok(())
    };
    wait_for("bus", &Shutdown::new(), attempt).await.expect("not stopped");
    assert!(comes.elapsed() <= Duration::from_secs(10), "{:?}", comes.elapsed());
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_the_wait() {
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await; // the fault itself, on a paused clock
        stop.drain();
    });
    let attempt = || async { Err::<(), _>(std::io::Error::other("refused")) };
    let interrupted = wait_for("database", &shutdown, attempt).await.expect_err("stopped");
    assert_eq!(interrupted.to_string(), "stopped while waiting for database");
}
