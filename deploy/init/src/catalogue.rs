//! Something to sell: the catalogue that `cargo souk up` has too, brought through the API as staff
//! would.

use std::time::Duration;

use anyhow::{Context as _, Result};
use operator::api::{Api, Refusal};
use operator::catalogue;
use operator::http::Client;
use tokio::time::{Instant, sleep};

use crate::cli;

/// The shop may have begun to start just now.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(500);

/// Fills the shelves; says what there is.
///
/// # Errors
/// When the shop does not answer within two minutes, or refuses.
pub async fn fill(options: &cli::Catalogue) -> Result<String> {
    let file = &options.staff_password_file;
    let password =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let api = match options.shop.starts_with("https:") {
        true => Api::over(Client::trusting(&options.shop, &options.ca_file)?),
        false => Api::new(&options.shop),
    };
    let deadline = Instant::now() + PATIENCE;
    let (count, added) = loop {
        match catalogue::fill(&api, password.trim_end()).await {
            Ok(filled) => break filled,
            Err(error) if Instant::now() >= deadline || !may_pass(&error) => return Err(error),
            Err(_) => sleep(AGAIN).await,
        }
    };
    Ok(format!("{count} products are on the shelves of {}, {added} of them new", options.shop))
}

/// Whether it may be different in a moment: nobody answered, or somebody who cannot do it now.
fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_none_or(|refusal| refusal.status >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status| {
            let refusal = Refusal {
                status,
                code: "x".into(),
                detail: String::new(),
                trace_id: String::new(),
            };
            anyhow::Error::new(refusal).context("signing in as staff")
        };
        assert!(may_pass(&anyhow::anyhow!("no answer from http://edge:8080")));
        assert!(may_pass(&refused(503)));
        assert!(!may_pass(&refused(401)), "the password is wrong, and will be");
    }
}
