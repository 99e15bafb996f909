//! What the contexts know of each other: generated from `souk/**/*.proto`, no code of its own
//! but two tables that come from the same files (see `build.rs`).

#![allow(
    missing_docs,
    clippy::all,
    clippy::too_many_lines,
    reason = "generated; the comments are in the .proto files"
)]

pub mod batch {
    pub mod v1 {
        tonic::include_proto!("souk.batch.v1");
    }
}
pub mod money {
    pub mod v1 {
        tonic::include_proto!("souk.money.v1");
    }
}
pub mod product {
    pub mod v1 {
        tonic::include_proto!("souk.product.v1");
    }
}
pub mod user {
    pub mod v1 {
        tonic::include_proto!("souk.user.v1");
    }
}
pub mod cart {
    pub mod v1 {
        tonic::include_proto!("souk.cart.v1");
    }
}
pub mod order {
    pub mod v1 {
        tonic::include_proto!("souk.order.v1");
    }
}
pub mod payment {
    pub mod v1 {
        tonic::include_proto!("souk.payment.v1");
    }
}

/// Facts about the RPCs, for the call stack.
pub mod rpc {
    include!(concat!(env!("OUT_DIR"), "/rpc_table.rs"));

    /// Every `.proto` of the shop as an encoded `FileDescriptorSet`, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

    /// Whether the RPC at `path` (`/souk.cart.v1.CartService/GetCart`) may be sent again when
    /// its outcome is unknown: its `idempotency_level` says so.
    pub fn is_idempotent(path: &str) -> bool {
        REPEATABLE.binary_search(&path).is_ok()
    }
}

/// Facts about the events, for messaging.
pub mod event {
    /// A published event: a top-level message of some `events.proto`.
    pub trait Event: prost::Message + Default + Send + Sync + 'static {
        /// `souk.order.v1.OrderPlaced`: the CloudEvents type.
        const TYPE: &'static str;
        /// `order`: the context that publishes it.
        const CONTEXT: &'static str;
        /// `souk.order.v1.order.order_placed`: where it is published.
        const SUBJECT: &'static str;
        /// The id of the aggregate, which is the event's first field.
        fn aggregate_id(&self) -> &str;
    }

    include!(concat!(env!("OUT_DIR"), "/event_table.rs"));
}
