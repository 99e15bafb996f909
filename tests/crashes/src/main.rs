//! The services with their crash points, for `tests/it`. It is the service by whose name it is called.

use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args().next().unwrap_or_default();
    match called.rsplit('/').next().unwrap_or_default() {
        "cart" => service::main_with("cart", cart::migrate, messaging::operate, cart::run),
        "order" => service::main_with("order", order::migrate, messaging::operate, order::run),
        "payment" => {
            service::main_with("payment", payment::migrate, messaging::operate, payment::run)
        }
        "product" => {
            service::main_with("product", product::migrate, messaging::operate, product::run)
        }
        "user" => service::main_with("user", user::migrate, messaging::operate, user::run),
        other => {
            eprintln!("{other}: call it by the name of a service, through a link");
            ExitCode::from(64)
        }
    }
}
