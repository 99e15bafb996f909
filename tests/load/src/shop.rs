//! The shop that is put under load: the one that `cargo souk up` runs here, of which everything is
//! known, or another one, of which only its front is seen.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use audit::Places;
use operator::api::Api;
use operator::http::empty;
use operator::layout::Layout;
use operator::running;
use operator::secrets::{STAFF_EMAIL, Secrets};
use operator::shop::profile_of_this;
use operator::state::State;
use serde::Deserialize;
use souk::cli::Load;

const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Who keeps the catalogue.
#[derive(Clone, Debug)]
pub(crate) struct Staff {
    pub(crate) email: String,
    pub(crate) password: String,
}

/// What is known of a shop that runs on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) state: State,
    pub(crate) places: Places,
}

/// A shop to be put under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its gateways, `host:port`.
    pub(crate) gateways: Vec<String>,
    /// None: nobody who could bring products and stock.
    pub(crate) staff: Option<Staff>,
    /// None: its processes and databases are out of reach.
    pub(crate) local: Option<Local>,
}

impl Target {
    /// Finds it, and makes sure that it is a shop.
    ///
    /// # Errors
    /// When it is not there, or is something else.
    pub(crate) async fn find(options: &Load, here: Option<&Layout>) -> Result<Self> {
        let target = match (&options.target, here) {
            (Some(url), here) => Self::named(options, url, here)?,
            (None, Some(here)) => Self::of(here, running::at(here)?)?,
            (None, None) => bail!("no shop is run from this folder; name one: --target URL"),
        };
        for gateway in &target.gateways {
            greet(gateway).await?;
        }
        Ok(target)
    }

    /// The URL of its first gateway.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.gateways.first().map_or("", String::as_str))
    }

    /// The shop of a folder.
    ///
    /// # Errors
    /// When it is of another profile than this generator, so that one would slow down the other's figures; when
    /// its secrets cannot be read.
    pub(crate) fn of(layout: &Layout, state: State) -> Result<Self> {
        let (shop, ours) = (&state.profile, profile_of_this());
        ensure!(
            shop == ours,
            "the shop that is up is of the {shop} profile, and what measures it of {ours}: \
             cargo souk down, then cargo souk up --release"
        );
        let gateways = state.of("gateway").map(|entry| entry.task.listen.to_string()).collect();
        let password = Secrets::at(layout).staff_password()?;
        let staff = Some(Staff { email: STAFF_EMAIL.to_owned(), password });
        let places = Places::of_running(layout, &state)?;
        Ok(Self { gateways, staff, local: Some(Local { state, places }) })
    }

    /// A URL may name the shop that runs here.
    fn named(options: &Load, url: &str, here: Option<&Layout>) -> Result<Self> {
        let place = url.trim_start_matches("http://");
        if let Some(layout) = here
            && let Ok(state) = running::at(layout)
            && state.of("gateway").any(|entry| is(place, &entry.task.listen.to_string()))
        {
            return Self::of(layout, state);
        }
        let staff = options.staff_password_file.as_ref().map(|file| {
            let password =
                std::fs::read_to_string(file).with_context(|| file.display().to_string());
            password.map(|password| Staff {
                email: STAFF_EMAIL.to_owned(),
                password: password.trim_end().to_owned(),
            })
        });
        let place = if place.contains(':') { place.to_owned() } else { format!("{place}:80") };
        Ok(Self { gateways: vec![place], staff: staff.transpose()?, local: None })
    }
}

fn is(place: &str, listen: &str) -> bool {
    place == listen || place.replace("localhost", "127.0.0.1") == listen
}

/// The shop says what it is at `/v1`.
async fn greet(gateway: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Index {
        name: String,
    }
    let api = Api::new(&format!("http://{gateway}"));
    let request = api.client().request(http::Method::GET, "/v1").body(empty())?;
    let answer = api.client().send(request, ANSWER_MAX).await;
    let Ok(answer) = answer else {
        bail!("nothing answers at http://{gateway}");
    };
    let index = answer.json::<Index>();
    ensure!(
        index.is_ok_and(|index| index.name == "souk"),
        "http://{gateway} is not the shop: GET /v1 does not say so"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_two_names() {
        assert!(is("localhost:8080", "127.0.0.1:8080") && is("127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(!is("shop:8080", "127.0.0.1:8080") && !is("localhost:8081", "127.0.0.1:8080"));
    }
}
