//! All five services in one: it keeps what it was asked, and answers as it was told.

mod product;
mod user;
mod cart;
mod order;
mod payment;

pub use product::IMPORT;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use proto::cart::v1::Cart;
use proto::money::v1::Money;
use proto::order::v1::Order;
use proto::payment::v1::PaymentMethod;
use proto::product::v1::{
    ImportProductsRequest, ListProductChangesResponse, Product, start_import_request,
};
use proto::user::v1::Address;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use order::Live;

/// One call, as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub rpc: &'static str,
    pub authorization: Option<String>,
    pub traceparent: Option<String>,
    pub tracestate: Option<String>,
    pub message: String,
}

#[derive(Default)]
pub struct State {
    pub products: Vec<Product>,
    /// Of what product answers.
    pub level: i64,
    /// How often each product was looked at, as it was reported.
    pub views: HashMap<String, u32>,
    /// What has changed; none: product cannot say.
    pub changes: Option<ListProductChangesResponse>,
    /// Whoever is signed in is staff.
    pub staff: bool,
    /// No refund waits for a decision.
    pub without_refunds: bool,
    pub cart: Cart,
    pub order: Order,
    /// Of everybody.
    pub addresses: Vec<Address>,
    pub payment_methods: Vec<PaymentMethod>,
    /// How long the access token of a sign-in is valid; none: ten minutes.
    pub signed_in_seconds: Option<u32>,
    /// What an RPC refuses with.
    pub refusals: HashMap<&'static str, Status>,
    pub imported: Vec<ImportProductsRequest>,
    pub import_end: Option<start_import_request::Part>,
    /// What GetImport answered last.
    pub import_version: i64,
    /// How the stream of the last import ended: `Some(true)` for a good end (see `spy`).
    pub import_ended_well: Option<bool>,
    /// The live streams, to send into.
    pub live: Vec<Live>,
}

pub struct Shop {
    state: Mutex<State>,
    seen: Mutex<Vec<Seen>>,
    /// Every unary call takes a permit and gives it back; none left means that nobody answers.
    pub gate: Semaphore,
    /// Every imported line takes a permit for good.
    pub import_gate: Semaphore,
}

impl Shop {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            seen: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            import_gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked with it")
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panicked with it").clone()
    }

    /// The last call of this RPC.
    pub fn last(&self, rpc: &str) -> Seen {
        let seen = self.seen();
        seen.into_iter().rfind(|seen| seen.rpc == rpc).unwrap_or_else(|| panic!("no {rpc}"))
    }

    /// From now on nobody answers.
    pub fn close(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Everybody answers, who was asked before as well.
    pub fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    /// How often this RPC was called.
    pub fn count(&self, rpc: &str) -> usize {
        self.seen().iter().filter(|seen| seen.rpc == rpc).count()
    }

    pub fn refuse(&self, rpc: &'static str, status: Status) {
        self.state().refusals.insert(rpc, status);
    }

    fn note<T: std::fmt::Debug>(&self, rpc: &'static str, request: &Request<T>) {
        let text = |name| request.metadata().get(name).map(|v| v.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().push(Seen {
            rpc,
            authorization: text("authorization"),
            traceparent: text("traceparent"),
            tracestate: text("tracestate"),
            message: format!("{:?}", request.get_ref()),
        });
    }

    /// The beginning of every unary call.
    async fn enter<T: std::fmt::Debug>(
        &self,
        rpc: &'static str,
        request: Request<T>,
    ) -> Result<T, Status> {
        self.note(rpc, &request);
        drop(self.gate.acquire().await);
        match self.state().refusals.get(rpc) {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(request.into_inner()),
        }
    }

    fn product(&self, id: &str) -> Result<Product, Status> {
        let found = self.state().products.iter().find(|p| p.product_id == id).cloned();
        let missing = || rpc::status::refusal(tonic::Code::NotFound, "product_not_found", "no");
        found.ok_or_else(missing)
    }
}

pub fn money(minor_units: i64) -> Option<Money> {
    Some(Money { currency: "GBP".into(), minor_units })
}

type Answer<T> = Result<Response<T>, Status>;

fn ok<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}
