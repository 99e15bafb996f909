//! Which process may call which method: the one table. Names are those in certificates. The server
//! checks each call against it, so a method without a row is refused to everybody.
//!
//! Whose data a call reaches is another question: the access token answers it, in the service
//! that owns the data.

/// A method's path, and the processes that may call it.
pub type Row = (&'static str, &'static [&'static str]);

/// The table. A row for each method of `proto/`, in its order, and for what every server has.
pub const TABLE: &[Row] = &[
    ("/souk.cart.v1.CartService/GetCart", &["gateway", "order"]),
    ("/souk.cart.v1.CartService/PutItem", &["gateway"]),
    ("/souk.cart.v1.CartService/RemoveItem", &["gateway"]),
    ("/souk.cart.v1.CartService/ClearCart", &["gateway"]),
    ("/souk.cart.v1.CartService/MergeCart", &["gateway"]),
    ("/souk.cart.v1.CartService/BeginCheckout", &["order"]),
    ("/souk.cart.v1.CartService/BatchGetCarts", &["order"]),
    ("/souk.cart.v1.CartService/BatchBeginCheckouts", &["order"]),
    ("/souk.cart.v1.CartService/ResolveCheckout", &["order"]),
    ("/souk.cart.v1.CartService/ListUnresolvedCheckouts", &["order"]),
    ("/souk.order.v1.OrderService/PlaceOrder", &["gateway"]),
    ("/souk.order.v1.OrderService/GetOrder", &["gateway"]),
    ("/souk.order.v1.OrderService/ListOrders", &["gateway"]),
    ("/souk.order.v1.OrderService/CancelOrder", &["gateway"]),
    ("/souk.order.v1.OrderService/ReturnItems", &["gateway"]),
    ("/souk.order.v1.OrderService/ListReturns", &["gateway"]),
    ("/souk.order.v1.OrderService/ReceiveReturn", &["gateway"]),
    ("/souk.order.v1.OrderService/RefuseReturn", &["gateway"]),
    ("/souk.order.v1.OrderService/WatchOrder", &["gateway"]),
    ("/souk.payment.v1.PaymentService/AddPaymentMethod", &["gateway"]),
    ("/souk.payment.v1.PaymentService/ListPaymentMethods", &["gateway"]),
    ("/souk.payment.v1.PaymentService/GetPayment", &["gateway"]),
    ("/souk.payment.v1.PaymentService/ReceiveWebhook", &["gateway"]),
    ("/souk.payment.v1.PaymentService/ListRefunds", &["gateway"]),
    ("/souk.payment.v1.PaymentService/RetryRefund", &["gateway"]),
    ("/souk.payment.v1.PaymentService/SettleRefund", &["gateway"]),
    ("/souk.product.v1.ProductService/ListProducts", &["gateway", "operator"]),
    ("/souk.product.v1.ProductService/SearchProducts", &["gateway", "operator"]),
    ("/souk.product.v1.ProductService/GetProduct", &["gateway", "operator"]),
    ("/souk.product.v1.ProductService/BatchGetProducts", &["gateway", "order", "operator"]),
    ("/souk.product.v1.ProductService/ListPopularProducts", &["gateway"]),
    ("/souk.product.v1.ProductService/ListBestsellers", &["gateway"]),
    ("/souk.product.v1.ProductService/ListCategories", &["gateway"]),
    ("/souk.product.v1.ProductService/ListBoughtTogether", &["gateway"]),
    ("/souk.product.v1.ProductService/CountViews", &["gateway"]),
    ("/souk.product.v1.ProductService/ListProductChanges", &["gateway"]),
    ("/souk.product.v1.ProductService/AddProduct", &["gateway"]),
    ("/souk.product.v1.ProductService/ReviseProduct", &["gateway"]),
    ("/souk.product.v1.ProductService/ChangePrice", &["gateway"]),
    ("/souk.product.v1.ProductService/RetireProduct", &["gateway"]),
    ("/souk.product.v1.ProductService/ReceiveStock", &["gateway"]),
    ("/souk.product.v1.ProductService/GetStock", &["gateway"]),
    ("/souk.product.v1.ProductService/ImportProducts", &["gateway"]),
    ("/souk.product.v1.ProductService/StartImport", &["gateway"]),
    ("/souk.product.v1.ProductService/GetImport", &["gateway"]),
    ("/souk.product.v1.ProductService/CancelImport", &["gateway"]),
    ("/souk.user.v1.UserService/Register", &["gateway"]),
    ("/souk.user.v1.UserService/SignIn", &["gateway"]),
    ("/souk.user.v1.UserService/RefreshSession", &["gateway"]),
    ("/souk.user.v1.UserService/SignOut", &["gateway"]),
    ("/souk.user.v1.UserService/GetUser", &["gateway"]),
    ("/souk.user.v1.UserService/UpdateUser", &["gateway"]),
    ("/souk.user.v1.UserService/AddAddress", &["gateway"]),
    ("/souk.user.v1.UserService/GetAddress", &["order"]),
    ("/souk.user.v1.UserService/BatchGetAddresses", &["order"]),
    ("/souk.user.v1.UserService/EraseUser", &["gateway"]),
    ("/grpc.health.v1.Health/Check", &["operator"]),
    ("/grpc.health.v1.Health/Watch", &["operator"]),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &["operator"]),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &["operator"]),
];

/// The processes that may call the method at `path`: nobody when it has no row.
pub fn of(path: &str) -> &'static [&'static str] {
    TABLE.iter().find(|(method, _)| *method == path).map_or(&[], |(_, callers)| callers)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::method;

    /// Every method that a server of the shop has.
    fn methods() -> BTreeSet<String> {
        let sets = method::STANDARD.into_iter().chain([proto::rpc::DESCRIPTORS]);
        method::kinds(sets).unwrap().into_keys().collect()
    }

    #[test]
    fn every_method_has_a_row() {
        let methods = methods();
        let rows: BTreeSet<String> = TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(rows.len(), TABLE.len(), "a method has two rows");
        let missing: Vec<_> = methods
            .difference(&rows)
            .map(|path| format!("(\"{path}\", &[\"gateway\"]),"))
            .collect();
        assert!(
            missing.is_empty(),
            "nobody may call these: add to {}\n{}",
            file!(),
            missing.join("\n")
        );
        let gone: Vec<_> = rows.difference(&methods).collect();
        assert!(gone.is_empty(), "not in proto/: take their rows out of {}\n{gone:#?}", file!());
    }
}
