//! The page: files that hold no secret, so they need no token. They are part of the program.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal => $file:literal, $kind:expr;)*) => {
        /// Path, content type, content.
        const FILES: &[(&str, &str, &str)] =
            &[$(($path, $kind, include_str!(concat!("../assets/", $file)))),*];
    };
}

files! {
    "/" => "index.html", HTML;
    "/console.css" => "console.css", CSS;
    "/icon.svg" => "icon.svg", SVG;
    "/console.js" => "console.js", SCRIPT;
    "/client.js" => "client.js", SCRIPT;
    "/dom.js" => "dom.js", SCRIPT;
    "/words.js" => "words.js", SCRIPT;
    "/charts.js" => "charts.js", SCRIPT;
    "/verdict.js" => "verdict.js", SCRIPT;
    "/shop.js" => "shop.js", SCRIPT;
    "/events.js" => "events.js", SCRIPT;
    "/orders.js" => "orders.js", SCRIPT;
    "/logs.js" => "logs.js", SCRIPT;
    "/traces.js" => "traces.js", SCRIPT;
}

/// A route for each file.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |routes, (path, kind, content)| {
        routes.route(path, get(move || async move { file(kind, content) }))
    })
}

fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files stay as short as the tree's tests want Rust's to be.
    const LINES_MAX: usize = 400;

    #[test]
    fn scripts_import_files_that_are_served_and_all_of_them_are_used() {
        let served: Vec<&str> = FILES.iter().map(|(path, ..)| *path).collect();
        let text: String = FILES.iter().map(|(.., content)| *content).collect();
        for (path, kind, content) in FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            for line in content.lines().filter(|line| line.contains(" from \"")) {
                let import = line.split(" from \"./").nth(1).and_then(|it| it.split('"').next());
                let target = format!("/{}", import.expect(line));
                assert!(served.contains(&&*target), "{path}: {line}");
            }
            assert!(
                text.contains(&format!("./{}\"", &path[1..])) || *path == "/console.js",
                "{path}, {kind}"
            );
        }
    }

    #[test]
    fn nothing_is_built_from_markup_and_nothing_is_inline() {
        for (path, kind, content) in FILES {
            for word in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("] {
                assert!(!content.contains(word), "{path}: {word}");
            }
            assert!(content.lines().count() <= LINES_MAX, "{path} is too long");
            if *kind == HTML {
                for word in [" style=", " onclick=", "<style", "javascript:", "<script>"] {
                    assert!(!content.contains(word), "{path}: {word}");
                }
            }
        }
    }
}
