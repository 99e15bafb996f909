//! Who is signed in is signed in everywhere, whichever process dies, and so is who is signed out.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use http::Method;
use operator::api::{Api, Refusal};
use operator::layout::Layout;
use operator::secrets::random_hex;
use operator::{Options, Signal, running};
use serde_json::json;
use tokio::time::sleep;

use crate::say;

/// What the experiment asks.
pub const QUESTION: &str = "Somebody signs in through one of two gateways, at one of two processes of user. Is she signed in \
     at the other? And when both of the first are killed? When she signs out, how long is her token taken somewhere?";

/// A sign-in that was revoked is refused within this time, with Redis up.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// Calls go to copies at random: so many have met both, but for one time in a thousand.
const ASKED: usize = 11;
const POLL: Duration = Duration::from_millis(20);
/// What asks user, cart and order, each of which looks at tokens itself.
const PATHS: [&str; 3] = ["/v1/me", "/v1/cart", "/v1/orders"];

/// Two copies of what is asked.
pub fn copies(shop: &mut Options) {
    shop.replicas = "gateway=2,user=2,cart=2,order=2".parse().expect("services and numbers");
}

/// Follows one sign-in, in the shop of a folder.
///
/// # Errors
/// When it is not up, or something does not come true.
pub fn run(layout: &Layout) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(followed(layout))
}

async fn followed(layout: &Layout) -> Result<()> {
    let state = running::at(layout)?;
    let gateways: Vec<Api> = state
        .of("gateway")
        .map(|entry| Api::new(&format!("http://{}", entry.task.listen)))
        .collect();
    let [first, second] = &gateways[..] else { anyhow::bail!("{} gateways", gateways.len()) };
    let (email, password) = (format!("{}@example.com", &random_hex()[..12]), random_hex());
    let account = json!({ "email": email, "password": password, "name": "Amina Haddad" });
    first.post("/v1/users", None, &account).await?;
    let token = first.sign_in(&email, &password).await?;
    say("signed in through the first gateway");

    for gateway in [first, second] {
        everywhere(gateway, &token).await?;
    }
    say("signed in at the second gateway too, at user, cart and order");

    for service in ["gateway", "user"] {
        let process = state.of(service).next().and_then(|entry| entry.process.as_ref());
        process.with_context(|| format!("no {service}"))?.signal(Signal::KILL)?;
    }
    everywhere(second, &token).await.context("with one gateway and one user dead")?;
    say("still signed in, with the first gateway and the first user dead");

    second.call(Method::DELETE, "/v1/sessions", Some(&token), None, &[]).await?;
    let since = Instant::now();
    let each = PATHS.map(|path| taken_until(second, path, &token, since));
    for (path, taken) in PATHS.iter().zip(try_join_all(each).await?) {
        let seconds = taken.as_secs_f64();
        say(&format!("signed out: {path} took the token for {seconds:.1} s more"));
    }
    Ok(())
}

async fn everywhere(gateway: &Api, token: &str) -> Result<()> {
    for path in PATHS {
        for _ in 0..ASKED {
            ensure!(is_signed_in(gateway, path, token).await?, "{path} does not take the token");
        }
    }
    Ok(())
}

/// When some copy took the token last, counted from `since`.
async fn taken_until(gateway: &Api, path: &str, token: &str, since: Instant) -> Result<Duration> {
    let (mut taken, mut refusals) = (Duration::ZERO, 0);
    while refusals < ASKED {
        if is_signed_in(gateway, path, token).await? {
            (taken, refusals) = (since.elapsed(), 0);
            ensure!(
                taken < REFUSED_WITHIN,
                "{path} takes the token {taken:?} after she signed out"
            );
        } else {
            refusals += 1;
        }
        sleep(POLL).await;
    }
    Ok(taken)
}

async fn is_signed_in(gateway: &Api, path: &str, token: &str) -> Result<bool> {
    match gateway.get(path, Some(token)).await {
        Ok(_) => Ok(true),
        Err(error) => match error.downcast_ref::<Refusal>() {
            Some(refusal) if refusal.status == 401 => Ok(false),
            _ => Err(error.context(path.to_owned())),
        },
    }
}
