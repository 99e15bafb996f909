//! Python's own gRPC packages before a service of ours: what they list, describe, call and read of an error.

use anyhow::{Context as _, Result, bail, ensure};
use operator::Shop;
use serde_json::{Value, json};
use souk::validators;
use stores::Home;

use crate::Skipped;
use crate::shopper::{Staff, text};

const VARIABLE: &str = "SOUK_TEST_GRPCIO";

pub async fn pythons_client_lists_describes_calls_and_reads_refusals(shop: &Shop) -> Result<()> {
    if std::env::var_os(VARIABLE).is_none() {
        bail!(Skipped("part of cargo souk test --all (SOUK_TEST_GRPCIO=1)"));
    }
    let home = Home::find()?;
    let product = Staff::new(shop).await?.product(1).await?;
    let address = shop.processes().into_iter().find(|it| it.task.name == "product");
    let address = address.context("no product")?.task.listen;
    let mut python = validators::grpcio(&home).context("grpcio was not fetched")?;
    python.arg(home.workspace().join("tests/e2e/grpcio/client.py")).arg(address.to_string());
    python.args([shop.certificates_of("operator"), shop.certificates_of("gateway")]).arg(&product);
    let output = python.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout)?;

    let service = "souk.product.v1.ProductService";
    ensure!(seen["services"] == json!(["grpc.health.v1.Health", service]), "{seen}");
    let methods = seen["methods"].as_array().context("methods")?;
    ensure!(methods.contains(&json!("GetProduct")), "{seen}");
    let found = &seen["found"]["answer"]["product"];
    ensure!(text(found, "productId") == product, "{seen}");
    let malformed = &seen["malformed"];
    ensure!(malformed["code"] == "INVALID_ARGUMENT", "{seen}");
    ensure!(
        malformed["details"]["ErrorInfo"] == json!({"reason": "invalid", "domain": "souk"}),
        "{seen}"
    );
    let field = &malformed["details"]["BadRequest"]["fieldViolations"][0]["field"];
    ensure!(field == "page_token", "{seen}");
    let refused = &seen["not_allowed"];
    ensure!(refused["code"] == "PERMISSION_DENIED", "{seen}");
    ensure!(refused["details"]["ErrorInfo"]["reason"] == "caller_not_allowed", "{seen}");
    Ok(())
}
