//! The shop behind the pages, and the browser in front of them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use e2e::shops;
use operator::api::Api;
use operator::secrets::STAFF_EMAIL;
use operator::{Options, Shop, catalogue};
use souk::browser::Browser;
use stores::{Home, Server, Stores};

/// A shop with two gateways, and what looks at it.
pub struct Front {
    shop: Shop,
    browser: Browser,
    staff_password: String,
    /// Where pictures of the pages are left.
    pictures: PathBuf,
    /// What the shop writes to.
    folder: PathBuf,
}

impl Front {
    pub async fn open() -> Result<Self> {
        let home = Home::find()?;
        let browser = Browser::provide(&home, &|line| eprintln!("{line}"));
        let browser = browser.map_err(|error| anyhow!("{error}"))?;
        let tools = stores::provide(&home, &Server::ALL, &|line| eprintln!("{line}"))?;
        let pictures = home.path().join("browser");
        let folder = pictures.join("shop");
        shops::clear(&folder)?;
        let mut options = Options::in_folder(&folder, tools)?;
        options.console = true;
        options.replicas = "gateway=2".parse().map_err(anyhow::Error::msg)?;
        let missing = "the services are not built: cargo build --workspace --bins";
        ensure!(options.programs.join("gateway").is_file(), missing);
        let shop = Shop::start(options).await.context("starting the shop")?;
        let staff_password = shop.staff_password()?;
        catalogue::fill(&Api::new(&shop.urls()[0]), &staff_password).await?;
        Ok(Self { shop, browser, staff_password, pictures, folder })
    }

    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Node.js, with all that the scripts need in its environment.
    pub fn node(&self) -> Command {
        let mut node = self.browser.node();
        node.env("SOUK_STATE", self.folder.join("run/state.json"));
        node.env("SOUK_STAFF_EMAIL", STAFF_EMAIL).env("SOUK_STAFF_PASSWORD", &self.staff_password);
        node.env(
            "SOUK_CONSOLE",
            self.shop.state().console_url(self.shop.layout()).unwrap_or_default(),
        );
        node.env("SOUK_PICTURES", &self.pictures);
        node
    }

    pub async fn close(self, failed: bool) -> Result<()> {
        if failed {
            println!("the logs are in {}", self.folder.join("run/logs").display());
            return self.shop.stop().await;
        }
        self.shop.stop().await?;
        Stores::wipe(&self.folder.join("stores"))?;
        Ok(std::fs::remove_dir_all(&self.folder)?)
    }
}
