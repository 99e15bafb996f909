//! The measured loop: takes each arrival when it is due, decides what it is, sends it, and counts what
//! comes back. One thread does all of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Uri};
use http_body_util::Full;
use kernel::OrderId;
use operator::api::Api;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::crowd::{Crowd, Customer};
use crate::measure::{Outcome, Recorder};
use crate::pace::Pace;
use crate::scenario::{Route, Scenario};
use crate::schedule::{Arrival, Phase};
use crate::seed::{self, Member};
use crate::wire::{Answer, Failure, Wire, checkout, request};
use crate::zipf::Zipf;

const ONE_PIECE: Bytes = Bytes::from_static(b"{\"quantity\":1}");
const SEARCHES: [&str; 4] = ["cups", "plain+tile", "colours", "lamp"];
/// Of the ten minutes for which an access token is good.
const TOKEN_MAX: Duration = Duration::from_secs(480);
const TOKEN_LOOK: Duration = Duration::from_secs(5);
/// The last answers are waited for; each has a limit of its own.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// An order that the shop said it has (202), and whose it is.
pub(crate) type Acknowledged = (OrderId, Customer);

/// What a run leaves behind.
pub(crate) struct Driven {
    pub(crate) recorder: Recorder,
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) members: Vec<Member>,
}

struct Driver {
    wire: Wire,
    random: RefCell<StdRng>,
    scenario: Scenario,
    zipf: Zipf,
    products: Vec<Product>,
    members: RefCell<Vec<Member>>,
    crowd: RefCell<Crowd>,
    recorder: RefCell<Recorder>,
    acknowledged: RefCell<Vec<Acknowledged>>,
    run: String,
    under_way: Cell<usize>,
}

/// The paths of one product, read once.
struct Product {
    page: Uri,
    in_cart: Uri,
}

/// Sends everything that is due, and comes back when the last answer is there.
pub(crate) async fn drive(
    wire: Wire,
    api: &Api,
    scenario: Scenario,
    phases: &[Phase],
    products: &[String],
    members: Vec<Member>,
    mut pace: Pace,
) -> Result<Driven> {
    let product = |id: &String| {
        let page = format!("/v1/products/{id}").parse()?;
        anyhow::Ok(Product { page, in_cart: format!("/v1/cart/items/{id}").parse()? })
    };
    let driver = Rc::new(Driver {
        wire,
        random: RefCell::new(StdRng::seed_from_u64(1)),
        zipf: Zipf::new(products.len(), scenario.zipf),
        scenario,
        products: products.iter().map(product).collect::<Result<_>>()?,
        crowd: RefCell::new(Crowd::new(members.len())),
        members: RefCell::new(members),
        recorder: RefCell::new(Recorder::new(phases)?),
        acknowledged: RefCell::default(),
        run: operator::secrets::random_hex(),
        under_way: Cell::new(0),
    });
    let refreshing = spawn_local(Rc::clone(&driver).keep_signed_in(api.clone()));
    while let Some(arrival) = pace.due.recv().await {
        Rc::clone(&driver).begin(arrival, pace.begin);
    }
    while driver.under_way.get() > 0 {
        sleep(DRAIN_POLL).await;
    }
    refreshing.abort();
    Ok(Driven {
        recorder: driver.recorder.borrow().clone(),
        acknowledged: driver.acknowledged.take(),
        members: driver.members.take(),
    })
}

impl Driver {
    fn begin(self: Rc<Self>, arrival: Arrival, begin: Instant) {
        let due = begin + arrival.due;
        let late = Instant::now().saturating_duration_since(due);
        self.recorder.borrow_mut().offered(arrival.phase, arrival.due, late);
        let route = self.scenario.weights.draw(&mut *self.random.borrow_mut());
        let Some((request, customer)) = self.prepare(route) else {
            return self.recorder.borrow_mut().starved(arrival.phase);
        };
        self.under_way.set(self.under_way.get() + 1);
        spawn_local(async move {
            let answer = self.wire.send(request).await;
            let answered = answer.as_ref().map_or_else(|_| Instant::now(), |answer| answer.at);
            let outcome = self.ended(route, customer, answer);
            let latency = answered.saturating_duration_since(due);
            let mut recorder = self.recorder.borrow_mut();
            if customer.is_some_and(|customer| self.members.borrow()[customer].loses_its_shard) {
                recorder.of_shard(arrival.phase, &outcome);
            }
            recorder.answered(arrival.phase, arrival.due, route, latency, outcome);
            self.under_way.set(self.under_way.get() - 1);
        });
    }

    /// The request, and the customer who sends it; none when nobody is free.
    fn prepare(&self, route: Route) -> Option<(Request<Full<Bytes>>, Option<Customer>)> {
        let product = || &self.products[self.zipf.draw(&mut *self.random.borrow_mut())];
        let get = |uri: Uri| request(Method::GET, uri, Bytes::new());
        Some(match route {
            Route::Home => (get(Uri::from_static("/v1/products?page_size=12")), None),
            Route::Browse => (get(product().page.clone()), None),
            Route::Search => {
                let words = SEARCHES[self.random.borrow_mut().random_range(0..SEARCHES.len())];
                let uri = format!("/v1/search?q={words}&page_size=12").parse().ok()?;
                (get(uri), None)
            }
            Route::Cart => {
                let anybody = self.random.borrow_mut().random_range(0..self.members.borrow().len());
                let mut request = get(Uri::from_static("/v1/cart"));
                self.sign(&mut request, anybody);
                (request, Some(anybody))
            }
            Route::Add => {
                let customer = self.crowd.borrow_mut().to_add()?;
                let mut request = request(Method::PUT, product().in_cart.clone(), ONE_PIECE);
                self.sign(&mut request, customer);
                (request, Some(customer))
            }
            Route::Checkout => {
                let customer = self.crowd.borrow_mut().to_checkout()?;
                (self.checkout(customer), Some(customer))
            }
        })
    }

    fn sign(&self, request: &mut Request<Full<Bytes>>, customer: Customer) {
        let authorization = self.members.borrow()[customer].authorization.clone();
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }

    fn checkout(&self, customer: Customer) -> Request<Full<Bytes>> {
        let card = &self.members.borrow()[customer].payment_method;
        let nonce: u64 = self.random.borrow_mut().random();
        let mut request = checkout(card, &format!("{}-{nonce:016x}", self.run));
        self.sign(&mut request, customer);
        request
    }

    /// Sends the customer back into the crowd, and keeps the order that there is now.
    fn ended(
        &self,
        route: Route,
        customer: Option<Customer>,
        answer: Result<Answer, Failure>,
    ) -> Outcome {
        let good = answer.as_ref().is_ok_and(|answer| answer.status.is_success());
        if let Some(customer) = customer {
            let mut crowd = self.crowd.borrow_mut();
            match route {
                Route::Cart => {}
                Route::Add if good => crowd.has_filled(customer),
                _ => crowd.has_emptied(customer),
            }
        }
        match answer {
            Ok(answer) if good => {
                self.acknowledged.borrow_mut().extend(answer.order().zip(customer));
                Outcome::Good
            }
            Ok(refusal) => Outcome::Bad(refusal.told()),
            Err(failure) => Outcome::Bad(failure.to_owned()),
        }
    }

    /// Renews tokens in the course of a long run, a few at a time.
    async fn keep_signed_in(self: Rc<Self>, api: Api) {
        loop {
            sleep(TOKEN_LOOK).await;
            let old: Vec<(Customer, String)> = {
                let members = self.members.borrow();
                let members = members.iter().enumerate();
                let old = members.filter(|(_, member)| member.signed_in.elapsed() > TOKEN_MAX);
                old.map(|(at, member)| (at, member.refresh_token.clone())).collect()
            };
            for (customer, token) in old {
                // One that fails shows as refused requests of its customer.
                if let Ok((authorization, refresh_token)) = seed::refresh(&api, &token).await {
                    let member = &mut self.members.borrow_mut()[customer];
                    member.authorization = authorization;
                    member.refresh_token = refresh_token;
                    member.signed_in = tokio::time::Instant::now();
                }
            }
        }
    }
}
