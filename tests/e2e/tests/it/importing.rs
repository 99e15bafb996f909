//! A real catalogue: a month of a British gift shop (Chen, "Online Retail", UCI Machine Learning
//! Repository, 2015). The file is not part of this repository: the test looks for it beside the
//! checkout, or where `SOUK_ONLINE_RETAIL` says.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use operator::Shop;
use operator::api::Imported;
use operator::catalogue;
use operator::import::file;
use serde_json::Value;
use stores::Home;

use crate::Skipped;
use crate::shopper::{Shopper, Staff, text};

pub async fn a_catalogue_is_imported_once(shop: &Shop) -> Result<()> {
    let path = online_retail()?.ok_or(Skipped("no Online Retail file"))?;
    let staff = Staff::new(shop).await?;
    let first = import(&staff, &path).await?;
    ensure!(first.added > 2_000 && first.stock_received > 100_000, "{first:?}");
    let again = import(&staff, &path).await?;
    ensure!((again.added, again.revised, again.stock_received) == (0, 0, 0), "{again:?}");
    ensure!(again.unchanged == first.added, "{again:?}");

    let shopper = Shopper::new(shop).await?;
    let found = shopper.get("/v1/products?sku=85123A").await?;
    let order = shopper.order(&text(&found["products"][0], "product_id"), 6).await?;
    let order = shopper.reaches(&order, "confirmed").await?;
    ensure!(order["lines"][0]["name"] == "WHITE HANGING HEART T-LIGHT HOLDER", "{order}");
    let hearts: Value = shopper.get("/v1/search?q=hanging%20hearts").await?;
    ensure!(hearts["products"].as_array().is_some_and(|found| !found.is_empty()));
    Ok(())
}

async fn import(staff: &Staff, path: &std::path::Path) -> Result<Imported> {
    let read = file::read(path, |_, _| ())?;
    ensure!(read.report.rows == 42_481, "{} rows", read.report.rows);
    catalogue::upload(&staff.api, &staff.token, read.lines).await.context("uploading")
}

fn online_retail() -> Result<Option<PathBuf>> {
    let beside = Home::find()?.workspace().join("../shared/data/online-retail-2010-12.csv.gz");
    let path = std::env::var_os("SOUK_ONLINE_RETAIL").map_or(beside, PathBuf::from);
    Ok(path.is_file().then_some(path))
}
