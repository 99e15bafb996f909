//! The last five minutes, so that a page that is loaded again keeps its charts.

use std::collections::VecDeque;

use serde::Serialize;

use crate::verdict::Standing;

/// Five minutes in steps of 2 s.
const POINTS_MAX: usize = 150;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// Orders placed in a second; none while that is unknown.
    pub placed_per_second: Option<f64>,
    /// Orders settled in a second.
    pub settled_per_second: Option<f64>,
    /// Orders that are neither confirmed nor cancelled.
    pub under_way: Option<i64>,
    /// How the promises stood.
    pub verdict: Standing,
}

/// The points, oldest first.
#[derive(Debug, Default)]
pub struct Series {
    points: VecDeque<Point>,
}

impl Series {
    /// Adds one; the oldest goes.
    pub fn push(&mut self, point: Point) {
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// All of them.
    pub fn points(&self) -> Vec<Point> {
        self.points.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_are_kept() {
        let mut series = Series::default();
        for at_unix_ms in 0..200 {
            series.push(Point {
                at_unix_ms,
                placed_per_second: None,
                settled_per_second: None,
                under_way: None,
                verdict: Standing::Unknown,
            });
        }
        let points = series.points();
        assert_eq!((points.len(), points[0].at_unix_ms), (150, 50));
    }
}
