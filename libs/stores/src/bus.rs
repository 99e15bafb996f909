//! Who may do what on the bus. Each context has a user of its own there: it publishes under its own subjects, takes in
//! the streams that it reacts to, each by its own consumer, and hears nobody's answers but its own. Streams and consumers
//! are created, changed and deleted by the provisioner alone, whom contexts ask. nats-server checks it.

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

/// The process, and the user, that creates, changes and deletes streams and consumers.
pub const BUS_PROVISIONER: &str = "provisioner";

/// Everybody who has a user of his own: the contexts, and the provisioner.
pub fn bus_users() -> impl Iterator<Item = &'static str> {
    USERS.iter().map(|user| user.context).chain([BUS_PROVISIONER])
}

/// The contexts, each with those whose events it takes in.
pub fn bus_topology() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    USERS.iter().map(|user| (user.context, user.sources))
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
    let contexts = USERS.iter().map(|it| (it.context, it.publishes(), it.subscribes()));
    let provisioner = (BUS_PROVISIONER, provisioner_publishes(), provisioner_subscribes());
    for (user, publishes, subscribes) in contexts.chain([provisioner]) {
        text.push_str(&format!(
            "    {{ user: {user}, password: \"{}\", permissions: {{\n\
             \x20     publish: [{}]\n\
             \x20     subscribe: [{}]\n\
             \x20   }} }}\n",
            password(user)?,
            quoted(&publishes),
            quoted(&subscribes)
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
            format!("souk-provision.{context}.>"),
            format!("$JS.API.STREAM.INFO.{own}"),
            format!("$JS.API.STREAM.MSG.GET.{own}"),
        ];
        subjects.extend(self.core.iter().map(|&subject| subject.to_owned()));
        for source in self.sources {
            let (of, consumer) = (stream(source), format!("{context}-from-{source}"));
            subjects.push(format!("$JS.API.STREAM.INFO.{of}"));
            let verbs = ["INFO", "MSG.NEXT"];
            subjects.extend(verbs.map(|verb| format!("$JS.API.CONSUMER.{verb}.{of}.{consumer}")));
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

fn provisioner_publishes() -> Vec<String> {
    let of = |context: &str| {
        let stream = stream(context);
        let verbs = ["INFO", "CREATE", "UPDATE", "DELETE", "PURGE"];
        let streams = verbs.map(|verb| format!("$JS.API.STREAM.{verb}.{stream}"));
        let consumers = [
            format!("$JS.API.CONSUMER.LIST.{stream}"),
            format!("$JS.API.CONSUMER.INFO.{stream}.*"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
            format!("$JS.API.CONSUMER.DELETE.{stream}.*"),
        ];
        streams.into_iter().chain(consumers)
    };
    let others = ["_INBOX.>", "$JS.API.STREAM.NAMES"].map(str::to_owned);
    USERS.iter().flat_map(|user| of(user.context)).chain(others).collect()
}

fn provisioner_subscribes() -> Vec<String> {
    vec!["souk-provision.>".to_owned(), format!("_INBOX.{BUS_PROVISIONER}.>")]
}
