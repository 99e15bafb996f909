//! Just enough of URLs to reach a server that somebody named.

use crate::{Error, Result, Server};

/// Whether this can be the URL of such a server.
///
/// # Errors
/// [`Error::Failed`] with the form that is expected; it does not repeat the URL, which may hold a password.
pub fn check_url(server: Server, url: &str) -> Result<()> {
    let (schemes, form): (&[&str], _) = match server {
        Server::Postgres => {
            (&["postgres", "postgresql"], "postgres://user:password@host:port/database")
        }
        Server::Redis => (&["redis", "rediss"], "redis://:password@host:port"),
        Server::Nats => (&["nats", "tls"], "nats://user:password@host:port"),
    };
    // NATS clients take a list of servers.
    let mut parsed = url.split(',').map(Url::parse);
    if parsed.all(|url| url.is_ok_and(|url| schemes.contains(&url.scheme.as_str()))) {
        return Ok(());
    }
    Err(Error::Failed(format!("the URL must look like {form}")))
}

/// The URL of the same server for another user, at another database.
///
/// # Errors
/// [`Error::Failed`] when it is no URL of a server.
pub fn url_as(url: &str, user: &str, password: &str, database: &str) -> Result<String> {
    Ok(Url::parse(url)?.with(user, password, database))
}

/// The parts of `scheme://user:password@host:port/path?query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    /// Percent-decoded.
    pub(crate) user: String,
    /// Percent-decoded.
    pub(crate) password: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Without the leading slash.
    pub(crate) path: String,
    /// Without the question mark.
    pub(crate) query: String,
}

impl Url {
    pub(crate) fn parse(url: &str) -> Result<Url> {
        // The URL itself is not repeated in the message: it may hold a password.
        split(url).ok_or_else(|| {
            Error::Failed(
                "a store's URL must look like scheme://user:password@host:port/name".into(),
            )
        })
    }

    /// `host:port`, to connect to.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The same server with another user, password and path.
    pub(crate) fn with(&self, user: &str, password: &str, path: &str) -> String {
        let (user, password) = (encode(user), encode(password));
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("{}://{user}:{password}@{}:{}/{path}{query}", self.scheme, self.host, self.port)
    }
}

fn split(url: &str) -> Option<Url> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "postgres" | "postgresql" => 5432,
        "redis" | "rediss" => 6379,
        "nats" | "tls" => 4222,
        _ => return None,
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (place, default),
    };
    let valid = !host.is_empty();
    valid.then(|| Url {
        scheme: scheme.to_owned(),
        user: decode(user),
        password: decode(password),
        host: host.to_owned(),
        port,
        path: path.to_owned(),
        query: query.to_owned(),
    })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one =
        |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart_and_together() {
        let url =
            Url::parse("postgres://me:p%40ss@db.example:6000/shop?sslmode=require").expect("valid");
        assert_eq!((url.user.as_str(), url.password.as_str()), ("me", "p@ss"));
        assert_eq!((url.address().as_str(), url.path.as_str()), ("db.example:6000", "shop"));
        let other = url.with("cart", "a/b", "cart_0");
        assert_eq!(other, "postgres://cart:a%2Fb@db.example:6000/cart_0?sslmode=require");
    }

    #[test]
    fn defaults_and_refusals() {
        assert_eq!(Url::parse("redis://cache").map(|url| url.port).ok(), Some(6379));
        assert_eq!(
            Url::parse("nats://[::1]").map(|url| url.address()).ok().as_deref(),
            Some("[::1]:4222")
        );
        for bad in ["", "cache:6379", "http://x", "redis://", "redis://h:port"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
