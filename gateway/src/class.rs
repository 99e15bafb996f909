//! What kinds of requests there are, as far as limits and deadlines go.

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Looking at products: shed before everything else, for somebody who looks is not yet a
    /// customer who loses an order.
    Browse,
    /// The rest.
    Usual,
    /// A body without end, in.
    Import,
    /// An answer without end, out.
    Watch,
}

impl Class {
    /// By the route that matched.
    pub(crate) fn of(route: &str) -> Self {
        match route {
            "/"
            | "/products"
            | "/products/{id}"
            | "/search"
            | "/assets/{name}"
            | "/pictures/{name}"
            | "/v1/products"
            | "/v1/products/{id}"
            | "/v1/products/{id}/bought-together"
            | "/v1/search"
            | "/v1/popular"
            | "/v1/bestsellers"
            | "/v1/categories" => Self::Browse,
            "/staff/imports" | "/v1/staff/import" | "/v1/staff/imports" => Self::Import,
            "/orders/{id}/live"
            | "/staff/imports/{id}/live"
            | "/v1/orders/{id}/events"
            | "/v1/staff/imports/{id}/events" => Self::Watch,
            _ => Self::Usual,
        }
    }

    /// As a label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Browse => "browse",
            Self::Usual => "usual",
            Self::Import => "import",
            Self::Watch => "watch",
        }
    }
}
