-- Accounts and everything personal in the shop: no other context stores a name, an e-mail or (but
-- for the address an order was sent to) an address. Erasing keeps the bare row, so that an id is
-- never somebody else's; the check makes a half-erased account impossible.

create table users (
    user_id       uuid        primary key,
    email         text        constraint users_email_unique unique, -- in lower case
    name          text,
    role          text        not null constraint users_role_known check (role in ('customer', 'staff')),
    password_hash text,       -- argon2id, as a PHC string with its own parameters
    registered_at timestamptz not null default now(),
    erased_at     timestamptz,
    constraint users_erased_wholly check (
        (erased_at is null and email is not null and name is not null and password_hash is not null)
        or (erased_at is not null and email is null and name is null and password_hash is null)),
    constraint users_email_normalised check (email = lower(email))
);

create table addresses (
    user_id    uuid   not null references users,
    address_id uuid   not null,
    position   bigint not null generated always as identity, -- the first one is the default
    recipient  text   not null,
    line1      text   not null,
    line2      text   not null,
    city       text   not null,
    postcode   text   not null,
    country    text   not null constraint addresses_country_code check (country ~ '^[A-Z]{2}$'),
    primary key (user_id, address_id)
);

-- One sign-in on one device: a chain of refresh tokens, each used once.
create table families (
    family_id  uuid        primary key,
    user_id    uuid        not null references users,
    started_at timestamptz not null default now(),
    expires_at timestamptz not null, -- with its newest token
    revoked_at timestamptz
);
create index families_of_user on families (user_id);

-- Used tokens stay as long as their family, so that a second use is recognised. Only hashes: a
-- copy of this table signs nobody in.
create table refresh_tokens (
    token_hash bytea       primary key constraint refresh_tokens_sha256 check (length(token_hash) = 32),
    family_id  uuid        not null references families on delete cascade,
    issued_at  timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index refresh_tokens_of_family on refresh_tokens (family_id);
