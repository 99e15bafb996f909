//! Each rule, broken once.

use super::*;

/// What is said of a migration that the release 0.1 did not have.
fn said(sql: &str) -> Complaints {
    expand(&Tree::of([
        ("tests/baseline/release", "0.1\n"),
        ("tests/baseline/migrations/cart/0001_a.sql", "drop table old;"),
        ("services/cart/migrations/0001_a.sql", "drop table old;"),
        ("services/cart/migrations/0002_b.sql", sql),
    ]))
}

#[test]
fn what_expands_is_welcome() {
    for good in [
        "create table a (b text not null check (b <> 'drop table c;')); alter table a add constraint c check (true);",
        "create table if not exists m.a (b text); create unique index a_once on m.a (b);",
        "create materialized view v as select b from a; create unique index v_once on v (b);",
        "alter table a add column b bigint, add column c text not null default '', add d int;",
        "alter table a add column b uuid constraint b_known check (c is null or b is not null);",
        "alter table a drop constraint c, add constraint c check (b in ('x', 'y'));",
        "alter table a drop constraint if exists c; alter table a add constraint c check (true);",
        "alter table a set (fillfactor = 70), alter column b set default 1;",
        "create index if not exists a_b on a (b); insert into a values (1); update a set b = 1;",
        "create or replace function f() returns void language plpgsql as $$ begin drop table a; end $$;",
        "-- drop table a;\nselect f();",
    ] {
        assert_eq!(said(good), Complaints::new(), "{good}");
    }
}

#[test]
fn what_contracts_waits_for_a_release() {
    for bad in [
        "drop table a;",
        "drop index a_b;",
        "drop function f();",
        "delete from a;",
        "truncate a;",
        "revoke select on a from b;",
        "alter table a drop column b;",
        "alter table a drop b;",
        "alter table a drop constraint c;",
        "alter table if exists only a drop column if exists b;",
        "alter table a add column c text, drop column b;",
        "alter table a alter column b set not null;",
        "alter table a alter b drop default;",
    ] {
        assert_eq!(said(bad).len(), 1, "{bad}");
        assert_eq!(said(&format!("-- contracts after: 0.1\n{bad}")), Complaints::new(), "{bad}");
        for wrong in ["0.2", "1.0", "the next", ""] {
            let early = format!("-- contracts after: {wrong}\n{bad}");
            assert_eq!(said(&early).len(), 1, "{early}");
        }
    }
}

#[test]
fn a_new_rule_needs_a_reason_why_older_binaries_keep_it() {
    for bad in [
        "alter table a add constraint c check (b > 0);",
        "alter table a add constraint c check (b > 0) not valid;",
        "create unique index c on a (b);",
        "alter table a alter column c drop not null;",
        "create trigger c after insert on a for each statement execute function f();",
    ] {
        assert_eq!(said(bad).len(), 1, "{bad}");
        let with = |line: &str| said(&format!("{line}\n{bad}")).len();
        assert_eq!(with("-- older binaries keep c: they never write b"), 0, "{bad}");
        assert_eq!(with("-- older binaries keep d: they never write b"), 1, "{bad}");
        assert_eq!(with("-- older binaries keep c:"), 1, "{bad}");
        assert_eq!(with("-- contracts after: 0.1"), 1, "{bad}");
    }
}

#[test]
fn what_no_release_survives_is_refused_whatever_is_said_about_it() {
    for bad in [
        "alter table a rename to b;",
        "alter table a rename column b to c;",
        "alter table a alter column b type bigint;",
        "alter table a alter b set data type bigint;",
        "alter table a add column b text not null;",
        "alter table a add column b text check (b is null or b <> '') not null;",
        "alter table a add check (b > 0);",
        "create index concurrently a_b on a (b);",
        "drop index concurrently a_b;",
        "do $$ begin end $$;",
        "alter table a disable trigger all;",
        "alter table a alter column b set storage plain;",
        "vacuum a;",
    ] {
        assert_eq!(said(bad).len(), 1, "{bad}");
        let excuses = "-- contracts after: 0.1\n-- older binaries keep b: they do\n";
        assert_eq!(said(&format!("{excuses}{bad}")).len(), 1, "{bad}");
    }
}

#[test]
fn what_databases_have_run_is_not_edited() {
    let recorded = ("tests/baseline/migrations/cart/0001_a.sql", "create table a ();");
    let at = |path, sql| are_unchanged(&Tree::of([recorded, (path, sql)])).len();
    assert_eq!(at("services/cart/migrations/0001_a.sql", recorded.1), 0);
    assert_eq!(at("libs/cart/migrations/0001_a.sql", recorded.1), 0);
    assert_eq!(at("services/cart/migrations/0001_a.sql", "create table a (b text);"), 1);
    assert_eq!(at("services/cart/migrations/0001_b.sql", recorded.1), 1);
}
