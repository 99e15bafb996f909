-- The price before the last change, for a while: a customer who agreed to the old total is told which lines
-- moved. Null when the price has not changed, or changed its currency.

alter table products
    add column previous_price_minor bigint,
    add column price_changed_at timestamptz;
