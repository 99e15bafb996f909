-- Sign-ins that were ended, for as long as access tokens of theirs may be out: what Redis has of them can be filled again
-- from here. Erasing an account deletes its families, and these stay. (Who signs out at a copy of the release before is
-- not here: their tokens are good until they expire, as they were.)
create table revocations (
    family_id  uuid        primary key,
    revoked_at timestamptz not null default now()
);
create index revocations_by_age on revocations (revoked_at);
