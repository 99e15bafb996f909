use kernel::{OrderId, PaymentMethodId, Shard};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::checkout::Reason;
use super::*;

const INPUTS: [Input; 3] = [Input::Receive, Input::Refuse, Input::Refunded];
const PRICE: i64 = 250;
const THEN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn order(state: checkout::State, quantities: &[i64]) -> Order {
    let user = UserId::mint();
    let line = |&quantity: &i64| Line {
        product: ProductId::mint(),
        sku: String::new(),
        name: String::new(),
        quantity,
        unit_price: Money::gbp(PRICE),
        returned: 0,
        return_requested: 0,
    };
    Order {
        id: OrderId::mint_on(Shard(1)),
        user,
        cart: (user.into(), 1),
        state,
        payment_method: PaymentMethodId::mint(),
        total: Money::gbp(PRICE * quantities.iter().sum::<i64>()),
        refunded: Money::gbp(0),
        lines: quantities.iter().map(line).collect(),
        returns: Vec::new(),
        version: 3,
        placed_at: THEN,
        stock_held_at: None,
        ended_at: None,
    }
}

fn sold(quantities: &[i64]) -> (Order, ProductId) {
    let order = order(checkout::State::Confirmed, quantities);
    let first = order.lines[0].product;
    (order, first)
}

fn some(product: ProductId, quantity: i64) -> Pieces {
    pieces([(product, quantity)])
}

/// The rows after a request, as the store writes them.
fn write_request(order: &mut Order, request: Request) {
    for line in &mut order.lines {
        line.return_requested += request.pieces.get(&line.product).unwrap_or(&0);
    }
    order.returns.push(Return {
        id: request.id,
        state: State::Requested,
        requested: request.pieces,
        refund: request.refund,
        requested_at: THEN,
        decision: None,
        refunded_at: None,
    });
}

/// The rows after a decision.
fn write_decision(order: &mut Order, decided: Decided) {
    for line in &mut order.lines {
        line.return_requested -= decided.requested.get(&line.product).unwrap_or(&0);
        line.returned += decided.received.get(&line.product).unwrap_or(&0);
    }
    let Decided { received, reason, refund, state, .. } = decided;
    let found = order.returns.iter_mut().find(|found| found.id == decided.id).unwrap();
    (found.state, found.refund) = (state, refund);
    found.decision = Some(Decision { received, reason, by: order.user, at: THEN });
}

/// The rows after payment said that the money is back.
fn write_refund(order: &mut Order, id: ReturnId) {
    let Some(found) = order.returns.iter_mut().find(|found| found.id == id) else { return };
    if let Ok(Some(state)) = next(found.state, Input::Refunded) {
        (found.state, found.refunded_at) = (state, Some(THEN));
        order.refunded = order.refunded.plus(found.refund).unwrap();
    }
}

fn requested(order: &mut Order, pieces: Pieces) -> ReturnId {
    let id = ReturnId::mint();
    let request = request(order, id, pieces).unwrap().unwrap();
    write_request(order, request);
    id
}

#[test]
fn the_code_is_the_table_in_the_documentation() {
    let rows = include_str!("../returns.rs").lines().filter_map(|l| l.strip_prefix("//! |"));
    let cells = |row: &'static str| row.trim_end_matches('|').split('|').map(str::trim);
    let table: Vec<Vec<&str>> = rows.map(|row| cells(row).collect()).collect();
    let name = |value: &dyn std::fmt::Debug| format!("{value:?}");
    assert_eq!(table[0][1..], INPUTS.map(|input| name(&input)));
    assert_eq!(table.len(), 2 + State::ALL.len());
    for (row, state) in table[2..].iter().zip(State::ALL) {
        assert_eq!(row[0], name(&state).to_lowercase());
        for (cell, input) in row[1..].iter().zip(INPUTS) {
            let said = match next(state, input) {
                Err(_) => "conflict".to_owned(),
                Ok(None) => "ignored".to_owned(),
                Ok(Some(to)) => format!("→ {to:?}").to_lowercase(),
            };
            assert_eq!(*cell, said, "{state:?} and {input:?}");
        }
    }
}

#[test]
fn every_state_reads_back_as_it_was_stored() {
    for state in State::ALL {
        assert_eq!(State::parse(state.code(), state == State::Refunded), Some(state));
    }
    assert_eq!(State::parse("requested", true), None, "nothing is refunded before it is received");
}

#[test]
fn only_a_confirmed_order_takes_returns() {
    let cancelled = checkout::State::Cancelled(Reason::Customer);
    for state in [checkout::State::Placed, checkout::State::StockHeld, cancelled] {
        let order = order(state, &[2]);
        let refused = request(&order, ReturnId::mint(), some(order.lines[0].product, 1));
        assert_eq!(refused, Err(Rejection::OrderNotConfirmed));
    }
}

#[test]
fn nothing_and_strangers_and_too_many_are_refused_with_the_numbers() {
    let (mut order, cup) = sold(&[4]);
    requested(&mut order, some(cup, 1));
    let refuse = |pieces| request(&order, ReturnId::mint(), pieces).unwrap_err();
    assert_eq!(refuse(Pieces::new()), Rejection::NothingToReturn);
    assert_eq!(refuse(some(cup, 0)), Rejection::NothingToReturn);
    assert_eq!(refuse(some(ProductId::mint(), 1)).code(), "not_returnable");
    let left = Rejection::NotReturnable { product: cup, bought: 4, returned: 0, requested: 1 };
    for wrong in [-1, 4, i64::MAX] {
        assert_eq!(refuse(some(cup, wrong)), left);
    }
    assert_eq!(refuse(pieces([(cup, 2), (cup, 2)])), left, "added up");
}

#[test]
fn a_return_id_takes_one_request() {
    let (mut order, cup) = sold(&[3]);
    let id = requested(&mut order, some(cup, 2));
    assert_eq!(request(&order, id, pieces([(cup, 1), (cup, 1)])), Ok(None), "the same pieces");
    assert_eq!(request(&order, id, some(cup, 1)), Err(Rejection::KeyReused));
    order.state = checkout::State::Placed;
    assert_eq!(request(&order, id, some(cup, 2)), Ok(None), "known before any refusal");
}

#[test]
fn a_receipt_in_part_wants_a_reason_and_pays_for_its_part() {
    let (mut order, cup) = sold(&[3]);
    let id = requested(&mut order, some(cup, 3));
    let decide_ = |received, reason: &str| decide(&order, id, received, reason.to_owned());
    assert_eq!(decide_(some(cup, 2), ""), Err(Rejection::ReasonMissing));
    assert_eq!(decide_(Pieces::new(), ""), Err(Rejection::ReasonMissing));
    let more = Rejection::NotRequested { product: cup, requested: 3, received: 4 };
    assert_eq!(decide_(some(cup, 4), ""), Err(more));
    assert_eq!(decide_(some(ProductId::mint(), 1), "x").unwrap_err().code(), "not_requested");
    assert_eq!(decide_(some(cup, -1), "x").unwrap_err().code(), "not_requested");
    let decided = decide_(some(cup, 2), "one is broken").unwrap().unwrap();
    assert_eq!((decided.state, decided.refund), (State::Received, Money::gbp(2 * PRICE)));
    let nobody = decide(&order, ReturnId::mint(), some(cup, 1), String::new());
    assert_eq!(nobody, Err(Rejection::ReturnNotFound));
}

#[test]
fn a_decision_is_made_once() {
    let (mut order, cup) = sold(&[2]);
    let id = requested(&mut order, some(cup, 1));
    let all = decide(&order, id, some(cup, 1), String::new()).unwrap().unwrap();
    write_decision(&mut order, all);
    write_refund(&mut order, id);
    assert_eq!(decide(&order, id, some(cup, 1), String::new()), Ok(None));
    for other in [(some(cup, 1), "now with words"), (Pieces::new(), "it was broken")] {
        let refused = decide(&order, id, other.0, other.1.to_owned());
        assert_eq!(refused, Err(Rejection::ReturnReceived));
    }
    let id = requested(&mut order, some(cup, 1));
    let nothing = decide(&order, id, Pieces::new(), "worn".to_owned()).unwrap().unwrap();
    assert_eq!((nothing.state, nothing.refund), (State::Refused, Money::gbp(0)));
    write_decision(&mut order, nothing);
    assert_eq!(decide(&order, id, Pieces::new(), "worn".to_owned()), Ok(None));
    let refused = decide(&order, id, some(cup, 1), String::new());
    assert_eq!(refused, Err(Rejection::ReturnRefused));
    requested(&mut order, some(cup, 1)); // what was refused may be sent again
}

/// What somebody tries: which return, and what with it.
#[derive(Clone, Debug)]
enum Try {
    Request(usize, Vec<(usize, i64)>),
    Decide(usize, Vec<(usize, i64)>, &'static str),
    Refund(usize),
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let some = || vec((0..3usize, 0..5i64), 0..3);
    let reason = prop_oneof![Just(""), Just("broken")];
    let one = prop_oneof![
        (0..5usize, some()).prop_map(|(id, items)| Try::Request(id, items)),
        (0..5usize, some(), reason).prop_map(|(id, items, why)| Try::Decide(id, items, why)),
        (0..5usize).prop_map(Try::Refund),
    ];
    vec(one, 0..60)
}

proptest! {
    #[test]
    fn whatever_is_tried_in_any_order_no_more_comes_back_than_was_sold(tries in tries()) {
        let (mut order, _) = sold(&[4, 1, 7]);
        let ids: Vec<ReturnId> = (0..5).map(|_| ReturnId::mint()).collect();
        for one in tries {
            let items = |items: &[(usize, i64)]| {
                pieces(items.iter().map(|(line, n)| (order.lines[*line].product, *n)))
            };
            match one {
                Try::Request(id, some) => {
                    if let Ok(Some(new)) = request(&order, ids[id], items(&some)) {
                        write_request(&mut order, new);
                    }
                }
                Try::Decide(id, some, why) => {
                    if let Ok(Some(new)) = decide(&order, ids[id], items(&some), why.to_owned()) {
                        write_decision(&mut order, new);
                    }
                }
                Try::Refund(id) => write_refund(&mut order, ids[id]),
            }
            check(&order)?;
        }
    }
}

fn check(order: &Order) -> Result<(), TestCaseError> {
    for line in &order.lines {
        prop_assert!(line.returned >= 0 && line.return_requested >= 0);
        prop_assert!(line.returned + line.return_requested <= line.quantity);
    }
    for one in &order.returns {
        let received = one.decision.iter().flat_map(|made| &made.received);
        for (product, quantity) in received {
            prop_assert!(*quantity > 0 && one.requested[product] >= *quantity);
        }
        let seen = one.decision.as_ref().is_some_and(|made| !made.received.is_empty());
        prop_assert_eq!(matches!(one.state, State::Received | State::Refunded), seen);
    }
    let back: i64 = order.lines.iter().map(|line| line.returned).sum();
    let paid = order.returns.iter().filter(|one| one.state == State::Refunded);
    prop_assert_eq!(order.refunded.minor, paid.map(|one| one.refund.minor).sum::<i64>());
    prop_assert!(order.refunded.minor <= back * PRICE && back * PRICE <= order.total.minor);
    Ok(())
}
