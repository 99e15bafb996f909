//! Every RPC as everybody, and from every process.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use http::uri::PathAndQuery;
use operator::Shop;
use rpc::callers::TABLE;
use rpc::{Channel, Identity, Targets};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::{Access, Cast, EVERYBODY, Verdict, Who};
use crate::shopper::fresh;

/// A method, whom it is for, and the code for those when the request is empty but for the id of
/// the order or product.
type Row = (&'static str, Access, Code);

const RPCS: &[Row] = &[
    ("/souk.cart.v1.CartService/GetCart", Access::Guest, Code::Ok),
    ("/souk.cart.v1.CartService/PutItem", Access::Guest, Code::InvalidArgument),
    ("/souk.cart.v1.CartService/RemoveItem", Access::Guest, Code::InvalidArgument),
    ("/souk.cart.v1.CartService/ClearCart", Access::Guest, Code::Ok),
    ("/souk.cart.v1.CartService/MergeCart", Access::SignedIn, Code::InvalidArgument),
    ("/souk.cart.v1.CartService/BeginCheckout", Access::SignedIn, Code::InvalidArgument),
    // Each entry of a batch has a token of its own, and is refused by itself.
    ("/souk.cart.v1.CartService/BatchGetCarts", Access::Open, Code::Ok),
    ("/souk.cart.v1.CartService/BatchBeginCheckouts", Access::Open, Code::Ok),
    // Order asks these for itself, whoever's request made it.
    ("/souk.cart.v1.CartService/ResolveCheckout", Access::Open, Code::InvalidArgument),
    ("/souk.cart.v1.CartService/ListUnresolvedCheckouts", Access::Open, Code::InvalidArgument),
    ("/souk.order.v1.OrderService/PlaceOrder", Access::SignedIn, Code::InvalidArgument),
    ("/souk.order.v1.OrderService/GetOrder", Access::Owner, Code::Ok),
    ("/souk.order.v1.OrderService/ListOrders", Access::SignedIn, Code::Ok),
    ("/souk.order.v1.OrderService/CancelOrder", Access::Owner, Code::FailedPrecondition),
    ("/souk.order.v1.OrderService/ReturnItems", Access::SignedIn, Code::InvalidArgument),
    ("/souk.order.v1.OrderService/ListReturns", Access::Staff, Code::Ok),
    ("/souk.order.v1.OrderService/ReceiveReturn", Access::Staff, Code::InvalidArgument),
    ("/souk.order.v1.OrderService/RefuseReturn", Access::Staff, Code::NotFound),
    ("/souk.order.v1.OrderService/WatchOrder", Access::Owner, Code::Ok),
    ("/souk.payment.v1.PaymentService/AddPaymentMethod", Access::SignedIn, Code::InvalidArgument),
    ("/souk.payment.v1.PaymentService/ListPaymentMethods", Access::SignedIn, Code::Ok),
    ("/souk.payment.v1.PaymentService/GetPayment", Access::Owner, Code::Ok),
    ("/souk.payment.v1.PaymentService/ListRefunds", Access::Staff, Code::Ok),
    ("/souk.payment.v1.PaymentService/RetryRefund", Access::Staff, Code::NotFound),
    ("/souk.payment.v1.PaymentService/SettleRefund", Access::Staff, Code::NotFound),
    ("/souk.payment.v1.PaymentService/ReceiveWebhook", Access::Provider, Code::Ok),
    ("/souk.product.v1.ProductService/ListProducts", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/SearchProducts", Access::Open, Code::InvalidArgument),
    ("/souk.product.v1.ProductService/GetProduct", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/BatchGetProducts", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/ListPopularProducts", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/ListBestsellers", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/ListCategories", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/ListBoughtTogether", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/CountViews", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/ListProductChanges", Access::Open, Code::Ok),
    ("/souk.product.v1.ProductService/AddProduct", Access::Staff, Code::InvalidArgument),
    ("/souk.product.v1.ProductService/ReviseProduct", Access::Staff, Code::NotFound),
    ("/souk.product.v1.ProductService/ChangePrice", Access::Staff, Code::NotFound),
    ("/souk.product.v1.ProductService/RetireProduct", Access::Staff, Code::NotFound),
    ("/souk.product.v1.ProductService/ReceiveStock", Access::Staff, Code::NotFound),
    ("/souk.product.v1.ProductService/GetStock", Access::Staff, Code::Ok),
    ("/souk.product.v1.ProductService/ImportProducts", Access::Staff, Code::InvalidArgument),
    ("/souk.product.v1.ProductService/StartImport", Access::Staff, Code::InvalidArgument),
    ("/souk.product.v1.ProductService/GetImport", Access::Staff, Code::NotFound),
    ("/souk.product.v1.ProductService/CancelImport", Access::Staff, Code::NotFound),
    ("/souk.user.v1.UserService/Register", Access::Open, Code::InvalidArgument),
    ("/souk.user.v1.UserService/SignIn", Access::Open, Code::Unauthenticated),
    ("/souk.user.v1.UserService/RefreshSession", Access::Open, Code::Unauthenticated),
    ("/souk.user.v1.UserService/GetUser", Access::SignedIn, Code::Ok),
    ("/souk.user.v1.UserService/UpdateUser", Access::SignedIn, Code::InvalidArgument),
    ("/souk.user.v1.UserService/AddAddress", Access::SignedIn, Code::InvalidArgument),
    ("/souk.user.v1.UserService/GetAddress", Access::SignedIn, Code::NotFound),
    ("/souk.user.v1.UserService/BatchGetAddresses", Access::Open, Code::Ok), // as with carts
    ("/souk.user.v1.UserService/SignOut", Access::SignedIn, Code::Ok),
    ("/souk.user.v1.UserService/EraseUser", Access::SignedIn, Code::Ok),
];

/// As in `routes.rs`.
const REPEATED: &[(&str, Who)] = &[
    ("/souk.user.v1.UserService/SignOut", Who::SignedOut),
    ("/souk.user.v1.UserService/SignOut", Who::Erased),
    ("/souk.user.v1.UserService/EraseUser", Who::Erased),
];

/// Processes with a certificate.
const PROCESSES: [&str; 7] = ["gateway", "product", "user", "cart", "order", "payment", "operator"];

/// The complaints.
pub async fn ask(cast: &Cast<'_>) -> Result<Vec<String>> {
    let channels = Channels::new(cast.shop)?;
    let mut wrong = missing();
    for (path, access, good) in RPCS {
        let callers = rpc::callers::of(path);
        for process in PROCESSES.into_iter().filter(|process| !callers.contains(process)) {
            let refused = channels.call(cast, process, path, Who::Owner).await?;
            let reason = refused.as_ref().err().and_then(rpc::status::reason);
            if reason.as_deref() != Some("caller_not_allowed") {
                wrong.push(format!("{path} from {process}: {refused:?}, not caller_not_allowed"));
            }
        }
        let Some(caller) = callers.first().copied() else { continue };
        for who in EVERYBODY.into_iter().filter(|who| !ends(path, *who)) {
            let answer = channels.call(cast, caller, path, who).await?;
            let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
            let repeated = REPEATED.contains(&(*path, who));
            let expected = if repeated { *good } else { expected(*access, who, *good) };
            if code != expected {
                wrong.push(format!("{path} as {who:?}: {answer:?}, not {expected:?}"));
            }
        }
    }
    Ok(wrong)
}

/// Whether the call would end the account or the sign-in of somebody who is still needed: the routes do that.
fn ends(path: &str, who: Who) -> bool {
    let ends = path.ends_with("/EraseUser") || path.ends_with("/SignOut");
    ends && matches!(who, Who::Owner | Who::Other | Who::Staff)
}

fn expected(access: Access, who: Who, good: Code) -> Code {
    match access.verdict(who) {
        // A guest is known by the id of the cart.
        Verdict::Allowed if access == Access::Guest && who == Who::Nobody => Code::InvalidArgument,
        Verdict::Allowed => good,
        Verdict::Unauthenticated => Code::Unauthenticated,
        Verdict::Forbidden => Code::PermissionDenied,
        Verdict::NotFound => Code::NotFound,
    }
}

/// Methods without a row, and rows without a method. The table has those of the descriptors.
fn missing() -> Vec<String> {
    let ours = TABLE.iter().map(|(path, _)| *path).filter(|path| path.starts_with("/souk."));
    let (methods, rows): (BTreeSet<_>, BTreeSet<_>) =
        (ours.collect(), RPCS.iter().map(|(path, ..)| *path).collect());
    let no_row = methods.difference(&rows).map(|path| {
        format!("{path} has no row: add (\"{path}\", Access::…, Code::Ok) to RPCS in {}", file!())
    });
    let gone = rows.difference(&methods).map(|path| format!("no RPC {path}: take its row out"));
    no_row.chain(gone).collect()
}

/// From every process to every service.
struct Channels(BTreeMap<(&'static str, &'static str), Channel>);

impl Channels {
    fn new(shop: &Shop) -> Result<Self> {
        let mut channels = BTreeMap::new();
        for process in PROCESSES {
            let tls_dir = shop.certificates_of(process);
            let identity = Identity::load(&rpc::tls::Options { tls_dir })?;
            for service in ["product", "user", "cart", "order", "payment"] {
                let mut entries = shop.processes().into_iter();
                let entry = entries.find(|entry| entry.task.service == service);
                let targets = entry.context(service)?.task.listen.to_string();
                let targets: Targets = targets.parse()?;
                channels.insert((process, service), rpc::connect(service, &targets, &identity));
            }
        }
        Ok(Self(channels))
    }

    /// A message whose first field is the id is the same bytes as a `StringValue`; the answer is
    /// not looked at.
    async fn call(
        &self,
        cast: &Cast<'_>,
        process: &'static str,
        path: &'static str,
        who: Who,
    ) -> Result<Result<(), Status>> {
        let service = path.split('.').nth(1).context("a context")?;
        let (_, channel) =
            self.0.iter().find(|(key, _)| **key == (process, service)).context(path)?;
        let mut request = Request::new(id(cast, path));
        if let Some(token) = cast.tokens.of(who) {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        }
        Ok(read(channel.clone(), path, request).await)
    }
}

fn id(cast: &Cast<'_>, path: &str) -> String {
    match path.rsplit('/').next() {
        Some("GetOrder" | "CancelOrder" | "ReturnItems" | "WatchOrder" | "GetPayment") => {
            cast.order.clone()
        }
        Some("GetProduct" | "GetStock" | "ListBoughtTogether") => cast.product.clone(),
        Some("GetAddress") => fresh(), // nobody's
        _ => String::new(),
    }
}

async fn read(
    channel: Channel,
    path: &'static str,
    request: Request<String>,
) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let codec = ProstCodec::<String, ()>::default();
    let path = PathAndQuery::from_static(path);
    let mut answers = grpc.server_streaming(request, path, codec).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}
