//! Charts as inline SVG: lines over an axis, and bars. Nothing is loaded from anywhere.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 34.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#2da44e", "#cf222e", "#8250df"];

/// How the vertical axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// In powers of ten: for latencies, where 1 and 1,000 ms both matter.
    Log,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over one axis. `mark` is a place on it, with what to say there.
pub(super) fn lines(
    x_label: &str,
    y_label: &str,
    scale: Scale,
    series: &[Series],
    mark: Option<(f64, &str)>,
) -> String {
    let points = || series.iter().flat_map(|series| series.points.iter().copied());
    let Some(frame) = Frame::around(points(), scale) else { return String::new() };
    let mut svg = open(HEIGHT);
    for tick in frame.y_ticks() {
        let y = frame.y(tick);
        line(&mut svg, (LEFT, y), (WIDTH - RIGHT, y), "#d0d7de");
        text(&mut svg, (LEFT - 6.0, y + 4.0), "end", &number(tick));
    }
    for tick in ticks(frame.x_min, frame.x_max) {
        let x = frame.x(tick);
        line(&mut svg, (x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 4.0), "#57606a");
        text(&mut svg, (x, HEIGHT - BOTTOM + 16.0), "middle", &number(tick));
    }
    text(&mut svg, (WIDTH - RIGHT, HEIGHT - 4.0), "end", x_label);
    text(&mut svg, (LEFT, TOP - 10.0), "start", y_label);
    for (at, series) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let place = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", frame.x(*x), frame.y(*y));
        let path: Vec<String> = series.points.iter().map(place).collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="1.6"/>"#,
            path.join(" ")
        );
        let x = LEFT + 140.0 + 130.0 * at as f64;
        line(&mut svg, (x, TOP - 14.0), (x + 18.0, TOP - 14.0), colour);
        text(&mut svg, (x + 24.0, TOP - 10.0), "start", &series.name);
    }
    if let Some((at, what)) = mark {
        let x = frame.x(at);
        line(&mut svg, (x, TOP), (x, HEIGHT - BOTTOM), "#bf8700");
        text(&mut svg, (x - 6.0, TOP + 12.0), "end", what);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One bar below the other, each with what it says.
pub(super) fn bars(bars: &[(String, f64, String)]) -> String {
    const BAR: f64 = 22.0;
    let most = bars.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let mut svg = open(BAR * bars.len() as f64 + 8.0);
    let left = LEFT + 36.0;
    for (at, (name, value, told)) in bars.iter().enumerate() {
        let y = 4.0 + BAR * at as f64;
        let width = (WIDTH - left - 170.0) * value / most;
        let colour = COLOURS[0];
        let _ = writeln!(
            svg,
            r#"<rect x="{left}" y="{y:.1}" width="{width:.1}" height="{:.1}" fill="{colour}"/>"#,
            BAR - 6.0
        );
        text(&mut svg, (left - 6.0, y + 13.0), "end", name);
        text(&mut svg, (left + width + 6.0, y + 13.0), "start", told);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The part of the plane that is shown.
struct Frame {
    x_min: f64,
    x_max: f64,
    y_min: f64,
    y_max: f64,
    scale: Scale,
}

impl Frame {
    fn around(points: impl Iterator<Item = (f64, f64)>, scale: Scale) -> Option<Self> {
        let (mut x_min, mut x_max) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (x, y) in points.filter(|(x, y)| x.is_finite() && y.is_finite()) {
            (x_min, x_max) = (x_min.min(x), x_max.max(x));
            (low, high) = (low.min(y), high.max(y));
        }
        if x_min > x_max {
            return None;
        }
        let (y_min, y_max) = match scale {
            Scale::Linear => (0.0, if high > 0.0 { high * 1.05 } else { 1.0 }),
            Scale::Log => {
                let decade = |value: f64| value.max(0.01).log10();
                (10_f64.powf(decade(low).floor()), 10_f64.powf(decade(high * 1.01).ceil()))
            }
        };
        let x_max = if x_max > x_min { x_max } else { x_min + 1.0 };
        Some(Self { x_min, x_max, y_min, y_max, scale })
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (x - self.x_min) / (self.x_max - self.x_min)
    }

    fn y(&self, y: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (y - self.y_min) / (self.y_max - self.y_min),
            Scale::Log => {
                let decades = (self.y_max / self.y_min).log10().max(1.0);
                (y.max(self.y_min) / self.y_min).log10() / decades
            }
        };
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share.clamp(0.0, 1.0)
    }

    fn y_ticks(&self) -> Vec<f64> {
        if self.scale == Scale::Linear {
            return ticks(self.y_min, self.y_max);
        }
        let decades = (self.y_max / self.y_min).log10().round() as i32;
        (0..=decades).map(|power| self.y_min * 10_f64.powi(power)).collect()
    }
}

/// Round numbers between two ends, about five.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let rough = (to - from) / 5.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * decade);
    let step = step.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * decade);
    let first = (from / step).ceil() as i64;
    let last = (to / step).floor() as i64;
    (first..=last).map(|tick| tick as f64 * step).collect()
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn open(height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-size=\"11\">\n")
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"/>"#
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = super::html::escape(words);
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> Vec<Series> {
        vec![Series { name: "a & b".into(), points: points.to_vec() }]
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.0, 1_234.0), [0.0, 500.0, 1_000.0]);
        assert_eq!(ticks(500.0, 4_000.0).len(), 4);
    }

    #[test]
    fn points_are_drawn_within_the_frame_and_names_are_escaped() {
        for scale in [Scale::Linear, Scale::Log] {
            let svg = lines("s", "ms", scale, &series(&[(0.0, 0.5), (1.0, 900.0)]), None);
            assert!(svg.contains("a &amp; b") && svg.ends_with("</svg>\n"), "{svg}");
            let path = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next());
            for point in path.expect("a line").split(' ') {
                let (x, y) = point.split_once(',').expect("x,y");
                let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
                assert!((LEFT..=WIDTH).contains(&x) && (TOP..=HEIGHT).contains(&y), "{point}");
            }
        }
        let alone = lines("s", "ms", Scale::Linear, &series(&[(3.0, 0.0)]), Some((3.0, "here")));
        assert!(!alone.contains("NaN") && alone.contains("here"), "{alone}");
        assert_eq!(lines("s", "ms", Scale::Log, &[], None), "");
    }

    #[test]
    fn the_longest_bar_belongs_to_the_most() {
        let svg = bars(&[("few".into(), 1.0, "1".into()), ("many".into(), 4.0, "4".into())]);
        let widths: Vec<f64> = svg
            .split("width=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        assert!((widths[1] / widths[0] - 4.0).abs() < 0.01, "{widths:?}");
        assert_eq!(bars(&[("none".into(), 0.0, "0".into())]), "");
    }
}
