//! Who publishes and who listens, as the services' sources say it: `SOURCES` (or `source:`) in a
//! `lib.rs`, `wants` and the map of what is published in an `events.rs`. Read as text, since a
//! contract cannot depend on those who keep it; what does not fit together is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What one service has to do with events.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// `order`.
    pub context: String,
    /// The contexts whose streams it reads.
    pub sources: BTreeSet<String>,
    /// The events that it handles; what else is in those streams, it acknowledges unread.
    pub wants: BTreeSet<String>,
    /// The words of its `events.rs`, among them the names of what it publishes.
    pub words: BTreeSet<String>,
}

/// All services, by name.
pub fn read(root: &Path) -> Result<Vec<Service>, String> {
    let folder = root.join("services");
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut services = Vec::new();
    for entry in entries.flatten() {
        let source = |name: &str| fs::read_to_string(entry.path().join("src").join(name));
        if let (Ok(lib), Ok(events)) = (source("lib.rs"), source("events.rs")) {
            let context = entry.file_name().to_string_lossy().into_owned();
            services.push(Service::parse(context, &lib, &events));
        }
    }
    services.sort_by(|one, other| one.context.cmp(&other.context));
    Ok(services)
}

impl Service {
    /// What the two files say.
    pub fn parse(context: String, lib: &str, events: &str) -> Self {
        let [lib, events] = [lib, events].map(without_comments);
        let lists = lib.lines().filter(|line| {
            let line = line.trim_start();
            line.starts_with("const SOURCES") || line.contains("source: \"")
        });
        let sources = lists.flat_map(|line| {
            let from = line.find("source: \"").unwrap_or_default();
            line[from..].split('"').skip(1).step_by(2)
        });
        let wants = events.split("fn wants(").nth(1).map_or("", |rest| {
            rest.split("\n    }").next().unwrap_or_default() // the end of a method
        });
        let types = wants.split("::TYPE").map(last_word).filter(|word| !word.is_empty());
        let all = wants.matches("::TYPE").count();
        Self {
            context,
            sources: sources.map(str::to_owned).collect(),
            wants: types.take(all).collect(),
            words: events.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect(),
        }
    }
}

fn last_word(text: &str) -> String {
    text.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn both_ways_to_listen_are_read() {
    let one = "    let consumer = Consumer { context: \"product\", source: \"order\", handler };\n";
    let many = "/// From \"cart\".\nconst SOURCES: [&str; 2] = [\"order\", \"user\"];\n";
    let events = "impl Handler for Events {\n    fn wants(&self, kind: &str) -> bool {\n        \
                  [OrderPlaced::TYPE, // and not OrderLost::TYPE\n         UserErased::TYPE]\n    }\n\n    \
                  fn other() {\n        StockHeld::TYPE;\n    }\n}";
    let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    let service = Service::parse("product".into(), one, events);
    assert_eq!(names(&service.sources), "order");
    assert_eq!(names(&service.wants), "OrderPlaced UserErased");
    assert_eq!(names(&Service::parse("cart".into(), many, "").sources), "order user");
}
