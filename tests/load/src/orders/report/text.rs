//! The report for a terminal.

use std::collections::BTreeMap;
use std::fmt;

use super::super::writes::{Statement, Writes};
use super::super::yardstick::CLIENTS;
use super::{Cost, Phase, Process, Report, TRACE_RATIO, Target};
use crate::report::Latency;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        setting(self, f)?;
        let [before, after] = self.durable_commits_per_second;
        let (full, half) = (&self.full_load, &self.half_load);
        writeln!(
            f,
            "\nyardstick   {before:.0} durable commits/s before, {after:.0} after (pgbench, {CLIENTS} clients, single rows)"
        )?;
        writeln!(
            f,
            "full load   {:.0} settled orders/s: {} in {:.1} s, {} under way; {:.4} of the yardstick",
            full.settled_per_second, full.settled, full.seconds, self.setting.under_way, self.ratio
        )?;
        writeln!(
            f,
            "half load   {} settled, {:.0}/s were sent",
            half.settled,
            half.offered_per_second.unwrap_or_default()
        )?;
        times("full load", full, f)?;
        times("half load", half, f)?;
        refusals("full load", full, f)?;
        refusals("half load", half, f)?;
        if let (Some(full), Some(half)) = (&full.cost, &half.cost) {
            costs(full, half, f)?;
        }
        by_name("members of a batch, mean", [&full.batches, &half.batches], 1, f)?;
        let in_use = [&full.connection_ms, &half.connection_ms];
        by_name("connection in use, ms per order", in_use, 3, f)?;
        if let (Some(full_writes), Some(half_writes)) = (&full.writes, &half.writes) {
            writes((full_writes, full.settled), (half_writes, half.settled), f)?;
        }
        writeln!(f, "\ntargets")?;
        self.targets.iter().try_for_each(|target| reached(target, f))?;
        write!(f, "\naudit\n{}", self.audit)
    }
}

fn setting(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let setting = &report.setting;
    let (machine, shop) = (&setting.environment, &setting.shop);
    let durable = &setting.durability;
    writeln!(
        f,
        "\n{}, {} cores, Linux {}, load {:.1} before; shop: {} profile, {} shard(s), {} processes",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.load_before,
        shop.profile,
        shop.shards,
        shop.processes.len()
    )?;
    writeln!(
        f,
        "PostgreSQL {}: fsync {}, synchronous_commit {}; mTLS between processes; {} % of traces sampled",
        durable.version,
        durable.fsync,
        durable.synchronous_commit,
        TRACE_RATIO * 100.0
    )?;
    writeln!(
        f,
        "{} carts with one piece each of 1 to {} of {} products (Zipf)",
        setting.carts, setting.lines, setting.products
    )
}

fn times(load: &str, phase: &Phase, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let columns = ["p50 ms", "p90", "p99", "p99.9", "max"].map(|name| format!("{name:>9}"));
    writeln!(f, "\n{load:<34}{}", columns.concat())?;
    for (name, latency) in [
        ("checkout answered", &phase.answered_ms),
        ("checkout to settled", &phase.settled_ms),
        ("placed to confirmed (records)", &phase.recorded_ms),
        ("publish lag", &phase.publish_lag_ms),
        ("sent late by this program", &phase.late_ms),
    ] {
        let Latency { p50, p90, p99, p999, max, .. } = latency;
        let all = [p50, p90, p99, p999, max].map(|ms| format!("{ms:>9.1}"));
        writeln!(f, "  {name:<32}{}", all.concat())?;
    }
    Ok(())
}

fn refusals(load: &str, phase: &Phase, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    phase
        .refused
        .iter()
        .try_for_each(|(code, count)| writeln!(f, "  {count:>8} × not accepted at {load}: {code}"))
}

fn costs(full: &Cost, half: &Cost, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let heading = "core-ms per settled order";
    writeln!(f, "\n{heading:<26}{:>10}{:>11}{:>11}", "full load", "half load", "memory MB")?;
    for (Process { name, core_ms_per_order, resident, .. }, other) in
        full.processes.iter().zip(&half.processes)
    {
        let resident =
            resident.map_or_else(|| "-".into(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
        writeln!(
            f,
            "  {name:<24}{core_ms_per_order:>10.3}{:>11.3}{resident:>11}",
            other.core_ms_per_order
        )?;
    }
    writeln!(
        f,
        "  {:<24}{:>10.3}{:>11.3}{:>11.1}",
        "shop and stores",
        full.core_ms_per_order,
        half.core_ms_per_order,
        full.shop_resident as f64 / 1e6
    )?;
    writeln!(
        f,
        "  {:<24}{:>10.3}{:>11.3}",
        "with provider and bench", full.all_core_ms_per_order, half.all_core_ms_per_order
    )?;
    let (pss, resident) = (full.shop_pss as f64 / 1e6, full.shop_resident as f64 / 1e6);
    writeln!(
        f,
        "  gateway and services: {resident:.1} MB resident, {pss:.1} MB proportional (PSS)"
    )?;
    writeln!(
        f,
        "  others did {:.0} % of the machine's work at full load, {:.0} % at half",
        full.others_percent, half.others_percent
    )
}

type Counted<'a> = (&'a Writes, u64);

fn by_name(
    heading: &str,
    [full, half]: [&BTreeMap<String, f64>; 2],
    decimals: usize,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    writeln!(f, "\n{heading:<32}{:>10}{:>11}", "full load", "half load")?;
    for (name, value) in full {
        let at_half = half.get(name).copied().unwrap_or_default();
        writeln!(f, "  {name:<30}{value:>10.decimals$}{at_half:>11.decimals$}")?;
    }
    Ok(())
}

fn writes(full: Counted<'_>, half: Counted<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let heading = "PostgreSQL, per settled order";
    writeln!(f, "\n{heading:<32}{:>10}{:>11}", "full load", "half load")?;
    let row = |f: &mut fmt::Formatter<'_>, name: &str, count: fn(&Writes) -> u64| {
        let each = |(writes, settled): Counted<'_>| count(writes) as f64 / settled.max(1) as f64;
        writeln!(f, "  {name:<30}{:>10.2}{:>11.2}", each(full), each(half))
    };
    row(f, "statements", |it| it.exchanges)?;
    row(f, "commits", |it| it.commits)?;
    row(f, "rows inserted", |it| it.inserted)?;
    row(f, "rows updated in place", |it| it.updated_in_place)?;
    row(f, "rows updated", |it| it.updated)?;
    row(f, "rows deleted", |it| it.deleted)?;
    row(f, "index entries", |it| it.index_entries)?;
    row(f, "bytes of its log", |it| it.log_bytes)?;
    let (dearest, settled) = (&full.0.dearest, full.1.max(1) as f64);
    writeln!(f, "\n{:<12}{:>10}  statement, at full load", "ms per order", "calls")?;
    for Statement { text, calls, ms } in dearest {
        writeln!(f, "  {:<10.4}{:>10.3}  {text}", ms / settled, *calls as f64 / settled)?;
    }
    Ok(())
}

fn reached(target: &Target, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Target { name, unit, measured, limit, at_least, reached } = target;
    let word = if *reached { "reached    " } else { "NOT REACHED" };
    let bound = if *at_least { "at least" } else { "at most" };
    writeln!(f, "  {name:<28}{word} {measured:>9.3}{unit}, {bound} {limit}{unit}")
}
