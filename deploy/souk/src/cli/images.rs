//! Options of `cargo souk images`.

use clap::Args;

/// Options of `images`.
#[derive(Debug, Args)]
pub struct Images {
    /// Push them there: a registry's host and perhaps a path, for example registry.example.com/acme
    #[arg(long, value_name = "REGISTRY", value_parser = registry)]
    pub push: Option<String>,
    /// Load them into this kind cluster
    #[arg(long, value_name = "CLUSTER")]
    pub kind: Option<String>,
    /// Build for these, for example linux/amd64,linux/arm64; such images can only be pushed
    #[arg(long, value_name = "PLATFORM,…", requires = "push", conflicts_with = "kind",
          value_parser = platforms)]
    pub platform: Option<String>,
}

/// A registry and perhaps a path in it, as it stands before an image's name. Docker takes the first
/// part for a host only when it looks like one; anything else would go to the public default.
///
/// # Errors
/// Says what is wrong with it.
fn registry(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err("an image's name has no scheme: leave out what stands before ://".into());
    }
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    if host != "localhost" && !host.contains(['.', ':']) {
        let way_out = "begin with a registry's host, for example registry.example.com/acme";
        return Err(format!("names no registry: {way_out}"));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let parts_plain = path.split('/').all(|part| !part.is_empty() && part.chars().all(plain));
    if host.starts_with([':', '.'])
        || !host.chars().all(|c| plain(c) || c == ':')
        || !(parts_plain || text == host)
    {
        return Err("not HOST[:PORT][/PATH] in lower case; the name and version are added".into());
    }
    Ok(text.to_owned())
}

/// `linux/amd64`, or several with commas.
///
/// # Errors
/// Says what is expected.
fn platforms(text: &str) -> Result<String, String> {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
    let platform = |text: &str| {
        let parts: Vec<&str> = text.split('/').collect();
        (2..=3).contains(&parts.len()) && parts[0] == "linux" && parts.into_iter().all(plain)
    };
    match text.split(',').all(platform) {
        true => Ok(text.to_owned()),
        false => Err("not linux/ARCHITECTURE, several with commas".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_told_from_a_name_that_would_go_elsewhere() {
        for good in
            ["registry.example.com/acme", "localhost:5000", "localhost", "10.0.0.1:5000/a/b"]
        {
            assert_eq!(registry(good).as_deref(), Ok(good));
        }
        for (bad, expected) in [
            ("acme", "names no registry"),
            ("acme/souk", "names no registry"),
            ("", "names no registry"),
            ("https://registry.example.com", "no scheme"),
            ("registry.example.com/Acme", "lower case"),
            ("registry.example.com/acme:1.0", "are added"),
            ("registry.example.com/", "are added"),
            ("registry.example.com/a b", "are added"),
            (":5000/a", "are added"),
        ] {
            let complaint = registry(bad).expect_err(bad);
            assert!(complaint.contains(expected), "{bad}: {complaint}");
        }
    }

    #[test]
    fn platforms_are_linux_and_something() {
        for good in ["linux/amd64", "linux/amd64,linux/arm64", "linux/arm/v7"] {
            assert!(platforms(good).is_ok(), "{good}");
        }
        for bad in ["", "arm64", "linux", "windows/amd64", "linux/amd64,", "linux/am d64"] {
            assert!(platforms(bad).is_err(), "{bad}");
        }
    }
}
