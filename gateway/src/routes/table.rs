//! A router that knows its paths, which axum's does not tell: a test asks for every one of them.

use axum::Router;
use axum::routing::MethodRouter;

use crate::app::App;

/// Routes, and their paths.
pub(crate) struct Table {
    pub(crate) router: Router<App>,
    pub(crate) paths: Vec<&'static str>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), paths: Vec::new() }
    }

    pub(crate) fn route(mut self, path: &'static str, methods: MethodRouter<App>) -> Self {
        self.paths.push(path);
        Self { router: self.router.route(path, methods), paths: self.paths }
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        Self { router: self.router.merge(other.router), paths: self.paths }
    }
}
