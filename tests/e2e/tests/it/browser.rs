//! A browser at the storefront: it keeps cookies, and sends forms as a page of the shop does. A redirect is an answer like any other.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use form_urlencoded::Serializer;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, REFERER, SET_COOKIE};
use http::{Method, request};
use operator::Shop;
use operator::http::{Answer, Body, Client, empty, full};

use crate::shopper::{PASSWORD, SETTLED};

/// What a form of ours has beside its fields.
const OURS: [(&str, &str); 1] = [("sec-fetch-site", "same-origin")];

/// Without affinity: each request goes to another gateway than the one before. A clone is another browser with the same cookies.
#[derive(Clone)]
pub struct Browser {
    gateways: Vec<Client>,
    sent: usize,
    /// The path of the page that is shown.
    shown: String,
    pub cookies: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub html: String,
    pub answer: Answer,
}

impl Browser {
    /// Without cookies.
    pub fn new(shop: &Shop) -> Self {
        let gateways = shop.urls().iter().map(|url| Client::new(url)).collect();
        Self { gateways, sent: 0, shown: "/".to_owned(), cookies: BTreeMap::new() }
    }

    /// That of somebody with an account.
    pub async fn signed_in(shop: &Shop, email: &str) -> Result<Self> {
        let mut browser = Self::new(shop);
        browser.sign_in(email).await?.leads_to("/orders")?;
        Ok(browser)
    }

    pub async fn sign_in(&mut self, email: &str) -> Result<Page> {
        self.send("/sign-in", &[("email", email), ("password", PASSWORD), ("next", "/orders")])
            .await
    }

    /// This gateway, in the order of [`Shop::urls`], is sent nothing more.
    pub fn leave(&mut self, gateway: usize) {
        self.gateways.remove(gateway);
    }

    pub async fn get(&mut self, path: &str) -> Result<Page> {
        let page = self.ask(Method::GET, path, &[], empty()).await?;
        path.clone_into(&mut self.shown);
        Ok(page)
    }

    /// A form of the page that is shown.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Page> {
        self.send_as(path, fields, &OURS).await
    }

    /// A form that says with these headers where it comes from.
    pub async fn send_as(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Result<Page> {
        let form = Serializer::new(String::new()).extend_pairs(fields).finish();
        let form_type = (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
        self.ask(Method::POST, path, &[headers, &[form_type]].concat(), full(form)).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Page> {
        let gateway = &self.gateways[self.sent % self.gateways.len()];
        self.sent += 1;
        let mut request = gateway.request(method, path).header(ACCEPT, "text/html");
        request = request.header(REFERER, format!("{}{}", gateway.base(), self.shown));
        request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        let answer = gateway.send(self.with_cookies(request).body(body)?, SETTLED).await?;
        for line in answer.headers.get_all(SET_COOKIE) {
            keep(&mut self.cookies, line.to_str()?).context("a cookie")?;
        }
        let html = String::from_utf8(answer.body.to_vec())?;
        Ok(Page { status: answer.status, html, answer })
    }

    fn with_cookies(&self, request: request::Builder) -> request::Builder {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<_> = cookies.collect();
        if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) }
    }
}

/// `Max-Age=0` takes the cookie away.
fn keep(cookies: &mut BTreeMap<String, String>, set: &str) -> Option<()> {
    let (cookie, attributes) = set.split_once("; ")?;
    let (name, value) = cookie.split_once('=')?;
    if attributes.split("; ").any(|attribute| attribute == "Max-Age=0") {
        cookies.remove(name);
    } else {
        cookies.insert(name.to_owned(), value.to_owned());
    }
    Some(())
}

impl Page {
    /// The value of the first field with this name that has one.
    pub fn field(&self, name: &str) -> Result<&str> {
        let begin = format!(" name=\"{name}\" value=\"");
        let rest = self.html.split_once(&begin).with_context(|| format!("no {name}: {self}"))?.1;
        rest.split_once('"').map(|(value, _)| value).context("a value without an end")
    }

    /// Names and values, to be sent.
    pub fn fields<'a>(&'a self, names: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>> {
        names.iter().map(|name| Ok((*name, self.field(name)?))).collect()
    }

    pub fn leads_to(&self, path: &str) -> Result<()> {
        let location = self.answer.header("location");
        ensure!((self.status, location) == (303, Some(path)), "not to {path}: {self}");
        Ok(())
    }

    pub fn shows(&self, text: &str) -> Result<()> {
        self.is(200, text)
    }

    pub fn is(&self, status: u16, text: &str) -> Result<()> {
        ensure!(self.status == status && self.html.contains(text), "not {status} {text}: {self}");
        Ok(())
    }
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let location = self.answer.header("location").unwrap_or_default();
        write!(f, "{} {location}\n{}", self.status, self.html)
    }
}
