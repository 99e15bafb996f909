//! The knee: the highest rate at which the shop still does what is expected of it.

use serde::Serialize;

/// Of what is asked for, so much has to be answered as it should be.
const KEPT_UP: f64 = 0.98;

/// One rate, and how the shop bore it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Requests a second that were sent.
    pub offered: f64,
    /// Requests a second that were answered as they should be.
    pub good: f64,
    /// Whether every service level was met.
    pub levels_met: bool,
}

/// What steps of growing rates tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Knee {
    /// Between the last rate that was borne and the first that was not.
    Between {
        /// Requests a second.
        borne: f64,
        /// Requests a second.
        not_borne: f64,
    },
    /// The first rate was too much already.
    Below(f64),
    /// All rates were borne.
    Above(f64),
}

impl Step {
    fn is_borne(&self) -> bool {
        self.levels_met && self.good >= KEPT_UP * self.offered
    }
}

/// Finds it. What happens after the first rate that was not borne says nothing: queues are full.
/// None without steps.
pub fn find(steps: &[Step]) -> Option<Knee> {
    let failed = steps.iter().position(|step| !step.is_borne());
    Some(match failed {
        Some(0) => Knee::Below(steps[0].offered),
        Some(at) => Knee::Between { borne: steps[at - 1].offered, not_borne: steps[at].offered },
        None => Knee::Above(steps.last()?.offered),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(offered: f64, good: f64, levels_met: bool) -> Step {
        Step { offered, good, levels_met }
    }

    #[test]
    fn the_knee_is_where_the_shop_stops_keeping_up() {
        let borne = [step(100.0, 100.0, true), step(200.0, 199.0, true)];
        assert_eq!(find(&borne), Some(Knee::Above(200.0)));
        let between = Some(Knee::Between { borne: 200.0, not_borne: 300.0 });
        let tired = [borne[0], borne[1], step(300.0, 280.0, true), step(400.0, 400.0, true)];
        assert_eq!(find(&tired), between, "too few good answers");
        let slow = [borne[0], borne[1], step(300.0, 300.0, false)];
        assert_eq!(find(&slow), between, "too slow");
        assert_eq!(find(&slow[2..]), Some(Knee::Below(300.0)));
        assert_eq!(find(&[]), None);
    }
}
