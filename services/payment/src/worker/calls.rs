//! One task becomes one or two calls to the provider, and their result becomes news for the payment.

use tokio::time::Instant;

use super::Task;
use crate::domain::payment::State;
use crate::domain::{News, refund};
use crate::peers::{Charge, Decision, Psp, PspError, Repayment};
use crate::store::{Open, Owed};

/// Executes a task. Returns the result, and whether the provider rejected the request as malformed.
pub(super) async fn carry_out(
    psp: &dyn Psp,
    task: &Task,
    sent_at: &mut Option<Instant>,
) -> (News, bool) {
    let decided = match task {
        Task::First(open) => capture_or_void(psp, open, true, sent_at).await,
        Task::Again(open) => capture_or_void(psp, open, false, sent_at).await,
        Task::Refund(owed) => give_back(psp, owed).await,
    };
    match decided {
        Ok(news) => (news, false),
        Err(error @ PspError::Unknown(_)) => {
            tracing::warn!(order_id = %task.order(), %error, "the provider will be asked again");
            (News::Unknown, false)
        }
        Err(error @ PspError::Refused { .. }) => {
            tracing::error!(order_id = %task.order(), %error, "the provider does not understand");
            (News::Unknown, true)
        }
    }
}

/// Captures the payment, unless it was cancelled or its pay-by has passed: then the key is made void, because an
/// earlier call may still be in flight. A retry first asks for the result of an earlier attempt (a payment status query), and
/// returns that.
async fn capture_or_void(
    psp: &dyn Psp,
    open: &Open,
    first: bool,
    sent_at: &mut Option<Instant>,
) -> Result<News, PspError> {
    let key = open.order.to_string();
    let card = match &open.card {
        Some(card) if open.state == State::Pending => card.clone(),
        _ => return psp.void(&key).await.map(news),
    };
    if !first && let Some(decision) = psp.ask(&key).await? {
        return Ok(news(decision));
    }
    let now = Instant::now();
    if open.pay_by.is_some_and(|pay_by| pay_by <= now) {
        return psp.void(&key).await.map(news_of_late);
    }
    *sent_at = Some(now);
    let charge = Charge { key, card, amount: open.amount };
    match psp.capture(&charge).await {
        Ok(decision) => Ok(news(decision)),
        // No answer is no decision: ask.
        Err(PspError::Unknown(error)) => match psp.ask(&charge.key).await {
            Ok(Some(decision)) => Ok(news(decision)),
            Ok(None) | Err(_) => Err(PspError::Unknown(error)),
        },
        Err(error) => Err(error),
    }
}

/// Refunds. A rejection with a code is the provider's decision. One without a code comes from a proxy on the way, and
/// is tried again.
async fn give_back(psp: &dyn Psp, owed: &Owed) -> Result<News, PspError> {
    let key = refund::key(owed.order, owed.refund);
    let repayment = Repayment { key, capture_id: owed.capture_id.clone(), amount: owed.amount };
    match psp.refund(&repayment).await {
        Ok(transfer_id) => Ok(News::Refunded(owed.refund, transfer_id)),
        Err(PspError::Refused { code, .. }) if !code.is_empty() => {
            tracing::error!(
                order_id = %owed.order, refund_id = repayment.key, code,
                "the provider refuses a refund: staff must decide"
            );
            Ok(News::RefundRefused(owed.refund, code))
        }
        Err(error) => Err(error),
    }
}

fn news(decision: Decision) -> News {
    match decision {
        Decision::Captured(id) => News::Captured(id),
        Decision::Declined(reason) => News::Declined(reason),
        Decision::Voided => News::Voided,
    }
}

/// The result of a void whose reason was that pay-by had passed.
fn news_of_late(decision: Decision) -> News {
    match news(decision) {
        News::Voided => News::Expired,
        news => news,
    }
}
