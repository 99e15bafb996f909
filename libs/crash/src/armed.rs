use std::process::{abort, exit};
use std::sync::LazyLock;

use crate::Point;

/// Where this process dies.
static AT: LazyLock<Option<Point>> = LazyLock::new(|| {
    let name = std::env::var("SOUK_CRASH_AT").ok()?;
    let point = Point::ALL.iter().find(|point| point.name() == name);
    if point.is_none() {
        eprintln!("SOUK_CRASH_AT: no crash point is called {name:?}");
        exit(64);
    }
    point.copied()
});

/// Ends the process here, if this is where it is to die. It says so first.
pub fn point(point: Point) {
    if *AT == Some(point) {
        eprintln!("crashed at {}", point.name());
        abort();
    }
}
