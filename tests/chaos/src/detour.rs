//! Leads every process to the others through the proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use operator::Detour;
use operator::plan::Task;

use crate::proxy::{Proxy, name};

/// For the options of a shop: what a process is told of others leads through `proxy`.
pub(crate) fn through(proxy: &Arc<Proxy>) -> Detour {
    let proxy = Arc::clone(proxy);
    Detour(Arc::new(move |task: &Task, setting: &str, value: String| match callee(setting) {
        Some(callee) => rerouted(&value, |to| proxy.through(&name(&task.name, &callee), to)),
        None => Ok(value),
    }))
}

/// Whom a setting leads to; none when it is about something else.
fn callee(setting: &str) -> Option<String> {
    if setting == "PSP_WEBHOOK_URL" {
        return Some("gateway".to_owned());
    }
    let rest = setting.strip_prefix("SOUK_")?;
    let whom = rest.strip_suffix("_URLS").or_else(|| rest.strip_suffix("_URL"))?;
    Some(match whom {
        "DATABASE" => "postgres".to_owned(),
        whom => whom.to_lowercase(),
    })
}

/// The same with every address replaced.
fn rerouted(
    value: &str,
    mut other: impl FnMut(SocketAddr) -> Result<SocketAddr>,
) -> Result<String> {
    let (mut whole, mut rest) = (String::new(), value);
    while let Some(at) = rest.find("127.0.0.1:") {
        whole.push_str(&rest[..at]);
        let address = &rest[at..];
        let port = &address["127.0.0.1:".len()..];
        let digits = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
        let end = address.len() - port.len() + digits;
        whole.push_str(&other(address[..end].parse()?)?.to_string());
        rest = &address[end..];
    }
    whole.push_str(rest);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_with_addresses_are_known_and_others_left_alone() {
        for (setting, whom) in [
            ("SOUK_ORDER_URLS", Some("order")),
            ("SOUK_DATABASE_URLS", Some("postgres")),
            ("SOUK_NATS_URL", Some("nats")),
            ("SOUK_PSP_URL", Some("psp")),
            ("PSP_WEBHOOK_URL", Some("gateway")),
            ("SOUK_LISTEN", None),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", None),
            ("PSP_LEDGER_DIR", None),
        ] {
            assert_eq!(callee(setting).as_deref(), whom, "{setting}");
        }
    }

    #[test]
    fn every_address_of_a_value_is_replaced_and_nothing_else() {
        let up = |value| rerouted(value, |to| Ok(SocketAddr::new(to.ip(), to.port() + 1))).unwrap();
        assert_eq!(up("127.0.0.1:10,127.0.0.1:20"), "127.0.0.1:11,127.0.0.1:21");
        let url =
            up("postgres://souk:127@127.0.0.1:5432/souk_order_0,postgres://x@127.0.0.1:5432/y");
        assert_eq!(
            url,
            "postgres://souk:127@127.0.0.1:5433/souk_order_0,postgres://x@127.0.0.1:5433/y"
        );
        assert_eq!(up("nothing"), "nothing");
    }
}
