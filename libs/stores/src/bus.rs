//! Who may do what on the bus. Each context has a user of its own there: it publishes under its own subjects, takes in
//! the streams that it reacts to, each by its own consumer, and hears nobody's answers but its own. nats-server checks it.
//!
//! What is missing: a user that may create its stream or its consumer also says how, and a server would deliver or
//! republish under any subject for it. `docs/guarantees.md` (P37) says so too.

/// A context, whose events it takes in, and what it uses beside streams.
struct User {
    context: &'static str,
    sources: &'static [&'static str],
    /// Subjects that it publishes and listens to: what may get lost.
    core: &'static [&'static str],
}

const USERS: [User; 5] = [
    User { context: "product", sources: &["order"], core: &[] },
    User { context: "user", sources: &[], core: &[] },
    User { context: "cart", sources: &["order", "user"], core: &[] },
    User {
        context: "order",
        sources: &["product", "payment", "user"],
        core: &["souk-live.order.*"],
    },
    User { context: "payment", sources: &["order"], core: &[] },
];

/// Whoever may do everything: operators, tests, and servers that are told nothing of contexts.
pub const BUS_OPERATOR: &str = "souk";

/// The contexts that have users of their own.
pub fn bus_users() -> impl Iterator<Item = &'static str> {
    USERS.iter().map(|user| user.context)
}

/// Whose events a context takes in; empty for one that is unknown.
pub fn bus_sources(context: &str) -> &'static [&'static str] {
    USERS.iter().find(|user| user.context == context).map_or(&[], |user| user.sources)
}

/// nats-server's `authorization`: the operator with this password, and each context with its own.
///
/// # Errors
/// When a password cannot be had.
pub fn bus_authorization<E>(
    operator: &str,
    mut password: impl FnMut(&str) -> Result<String, E>,
) -> Result<String, E> {
    let mut text = format!(
        "authorization {{\n  users: [\n    {{ user: {BUS_OPERATOR}, password: \"{operator}\" }}\n"
    );
    for user in &USERS {
        let (context, password) = (user.context, password(user.context)?);
        text.push_str(&format!(
            "    {{ user: {context}, password: \"{password}\", permissions: {{\n\
             \x20     publish: [{}]\n\
             \x20     subscribe: [{}]\n\
             \x20   }} }}\n",
            quoted(&user.publishes()),
            quoted(&user.subscribes())
        ));
    }
    text.push_str("  ]\n}\n");
    Ok(text)
}

fn quoted(subjects: &[String]) -> String {
    subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ")
}

fn stream(context: &str) -> String {
    format!("SOUK_{}", context.to_uppercase())
}

impl User {
    fn publishes(&self) -> Vec<String> {
        let (context, own) = (self.context, stream(self.context));
        let mut subjects = vec![
            format!("souk.{context}.v1.>"),
            format!("souk-poke.{context}.*"),
            format!("$JS.API.CONSUMER.DELETE.{own}.*"), // after a loss all begin anew
        ];
        subjects.extend(self.core.iter().map(|&subject| subject.to_owned()));
        let verbs = ["INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET"];
        subjects.extend(verbs.map(|verb| format!("$JS.API.STREAM.{verb}.{own}")));
        let verbs = ["LIST", "NAMES"];
        subjects.extend(verbs.map(|verb| format!("$JS.API.CONSUMER.{verb}.{own}")));
        for source in self.sources {
            let (of, consumer) = (stream(source), format!("{context}-from-{source}"));
            subjects.push(format!("$JS.API.STREAM.INFO.{of}"));
            let verbs = ["INFO", "DELETE", "MSG.NEXT"];
            subjects.extend(verbs.map(|verb| format!("$JS.API.CONSUMER.{verb}.{of}.{consumer}")));
            subjects.push(format!("$JS.API.CONSUMER.CREATE.{of}.{consumer}.>"));
            subjects.push(format!("$JS.ACK.{of}.{consumer}.>"));
            // The same with domain and account, which newer servers may put in (nats-server #7860).
            subjects.push(format!("$JS.ACK.*.*.{of}.{consumer}.>"));
        }
        subjects
    }

    fn subscribes(&self) -> Vec<String> {
        let own = [format!("_INBOX.{}.>", self.context), format!("souk-poke.{}.*", self.context)];
        own.into_iter().chain(self.core.iter().map(|&subject| subject.to_owned())).collect()
    }
}
