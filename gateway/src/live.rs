//! The versions of an order, as WatchOrder streams them. When its stream breaks (a copy of order has died), the call is
//! made again, to any copy, and resumes after the last version.

use std::time::Duration;

use kernel::OrderId;
use proto::order::v1::{Order, WatchOrderRequest, WatchOrderResponse};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};

use crate::app::App;
use crate::token::Token;

/// Timeout for the beginning of a call: a stream has no deadline of its own.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);
/// The longest pause before the first attempt to resume, and before any other. Pauses have full jitter, against a
/// thundering herd: a copy that dies loses all its streams at one moment.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);

type Replies = Streaming<WatchOrderResponse>;

/// The next item of an order's stream.
pub(crate) enum Next {
    /// It has this version.
    Version(Box<Order>),
    /// The upstream stream is down; the next call reconnects.
    Disconnected,
    /// The end: the order has ended, its reader lost access, or reconnecting failed for too long.
    End,
}

/// A stream of the versions of one order after the last one seen. It reconnects by itself.
pub(crate) struct OrderStream {
    call: Call,
    seen: i64,
    /// `None` while disconnected.
    replies: Option<Box<Replies>>,
}

struct Call {
    app: App,
    token: Token,
    order_id: String,
}

impl OrderStream {
    /// # Errors
    /// The refusal of the first call; [`is_end`] tells whether the order has ended.
    pub(crate) async fn begin(
        app: &App,
        token: Token,
        order: OrderId,
        seen: i64,
    ) -> Result<Self, Status> {
        let call = Call { app: app.clone(), token, order_id: order.to_string() };
        let replies = Some(Box::new(call.watch(seen).await?));
        Ok(Self { call, seen, replies })
    }

    /// Cancellation safe: a call that is dropped while it reconnects is repeated by the next.
    pub(crate) async fn next(&mut self) -> Next {
        if self.replies.is_none() {
            self.replies = self.call.resume(self.seen).await.map(Box::new);
        }
        let Some(replies) = &mut self.replies else { return Next::End };
        match replies.message().await {
            Ok(reply) => self.told(reply),
            Err(lost) => self.lost(&lost),
        }
    }

    fn told(&mut self, reply: Option<WatchOrderResponse>) -> Next {
        let Some(order) = reply.and_then(|reply| reply.order) else { return Next::End };
        self.seen = order.version;
        Next::Version(Box::new(order))
    }

    fn lost(&mut self, why: &Status) -> Next {
        tracing::debug!(code = ?why.code(), "a live stream was lost");
        if !may_pass(why) {
            return Next::End;
        }
        self.replies = None;
        Next::Disconnected
    }
}

impl Call {
    async fn watch(&self, after_version: i64) -> Result<Replies, Status> {
        let order_id = self.order_id.clone();
        let request = self.token.request(WatchOrderRequest { order_id, after_version });
        let begun = timeout(BEGIN_WITHIN, self.app.order().watch_order(request)).await;
        let late = |_| Status::deadline_exceeded("the stream did not begin in time");
        Ok(begun.map_err(late)??.into_inner())
    }

    /// `None` when that is refused, or took too long.
    async fn resume(&self, seen: i64) -> Option<Replies> {
        let attempts = async {
            let mut pause = PAUSE_FIRST;
            loop {
                sleep(pause.mul_f64(rand::random())).await;
                match self.watch(seen).await {
                    Ok(replies) => return Some(replies),
                    Err(refused) if !may_pass(&refused) => return None,
                    Err(_) => pause = (pause * 2).min(PAUSE_MAX),
                }
            }
        };
        timeout(self.app.resume_within(), attempts).await.ok().flatten()
    }
}

/// Whether WatchOrder refuses because the order has ended and its last version was seen.
pub(crate) fn is_end(refused: &Status) -> bool {
    rpc::status::reason(refused).as_deref() == Some("order_ended")
}

/// Whether the same call may be answered later, or by another copy.
fn may_pass(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Internal
        | Code::Unknown => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}
