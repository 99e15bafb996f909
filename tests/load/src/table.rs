//! Figures of several shops side by side, and one of them as a chart.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::prelude::*;

/// The longest bar, in characters.
const BAR: f64 = 40.0;
const WIDTH: u32 = 720;
const HEIGHT_OF_A_BAR: u32 = 44;
const HEIGHT_OF_THE_REST: u32 = 110;

/// A row for each figure, a column for each shop.
#[derive(Clone, Debug)]
pub struct Table {
    head: String,
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    decimals: usize,
    /// None: this shop has no such figure.
    figures: Vec<Option<f64>>,
}

impl Table {
    /// Without rows. `head` stands above the names of the rows.
    pub(crate) fn new(head: &str, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { head: head.to_owned(), columns, rows: Vec::new() }
    }

    /// One row more.
    pub(crate) fn add(
        &mut self,
        name: &str,
        decimals: usize,
        figures: impl IntoIterator<Item = Option<f64>>,
    ) {
        let figures = figures.into_iter().collect();
        self.rows.push(Row { name: name.to_owned(), decimals, figures });
    }

    fn row(&self, name: &str) -> Result<&Row> {
        self.rows.iter().find(|row| row.name == name).with_context(|| format!("no {name}"))
    }

    fn bars_of<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = (&'a str, Option<f64>)> {
        self.columns.iter().map(String::as_str).zip(row.figures.iter().copied())
    }

    /// A row as bars of text.
    ///
    /// # Errors
    /// When there is no such row.
    pub(crate) fn bars(&self, name: &str) -> Result<String> {
        let row = self.row(name)?;
        let most = largest(self.bars_of(row));
        let lines = self.bars_of(row).map(|(column, value)| match value {
            Some(value) => {
                let bar = "█".repeat((value / most * BAR).round() as usize);
                format!("  {column:<24}{bar} {value:.*}", row.decimals)
            }
            None => format!("  {column:<24}–"),
        });
        Ok(std::iter::once(name.trim().to_owned()).chain(lines).collect::<Vec<_>>().join("\n"))
    }

    /// A row as a chart in a file, in SVG.
    ///
    /// # Errors
    /// When there is no such row, or the file cannot be written.
    pub(crate) fn chart(&self, name: &str, title: &str, file: &Path) -> Result<()> {
        let mut bars: Vec<(&str, Option<f64>)> = self.bars_of(self.row(name)?).collect();
        bars.reverse(); // the axis goes upwards
        let most = largest(bars.iter().copied());
        let count = u32::try_from(bars.len())?;
        let size = (WIDTH, HEIGHT_OF_THE_REST + HEIGHT_OF_A_BAR * count);
        let area = SVGBackend::new(file, size).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .margin_right(32)
            .x_label_area_size(44)
            .y_label_area_size(150)
            .build_cartesian_2d(0.0..most * 1.05, (0..count.saturating_sub(1)).into_segmented())?;
        let column = |place: &SegmentValue<u32>| match place {
            SegmentValue::CenterOf(at) => bars.get(*at as usize).map_or("", |bar| bar.0).to_owned(),
            _ => String::new(),
        };
        let mesh = &mut chart.configure_mesh();
        mesh.disable_y_mesh().light_line_style(TRANSPARENT);
        mesh.x_desc(name.trim()).y_label_formatter(&column).draw()?;
        let values = (0..count).zip(&bars).filter_map(|(at, (_, value))| Some((at, (*value)?)));
        let series = Histogram::horizontal(&chart).style(BLUE.mix(0.6).filled()).margin(8);
        chart.draw_series(series.data(values))?;
        area.present().with_context(|| format!("cannot write {}", file.display()))
    }
}

fn largest<'a>(bars: impl Iterator<Item = (&'a str, Option<f64>)>) -> f64 {
    bars.filter_map(|(_, value)| value).fold(f64::MIN_POSITIVE, f64::max)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.columns.iter().map(|it| it.chars().count()).max().unwrap_or(0).max(10) + 2;
        let names = self.rows.iter().map(|row| row.name.chars().count());
        let first = names.chain([self.head.chars().count()]).max().unwrap_or(0) + 2;
        write!(f, "{:<first$}", self.head)?;
        self.columns.iter().try_for_each(|column| write!(f, "{column:>wide$}"))?;
        for Row { name, decimals, figures } in &self.rows {
            write!(f, "\n{name:<first$}")?;
            for figure in figures {
                let figure = figure.map_or_else(String::new, |it| format!("{it:.decimals$}"));
                write!(f, "{figure:>wide$}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("of a run", ["off", "on"]);
        table.add("p50, ms", 1, [Some(4.0), Some(2.0)]);
        table.add("hits", 0, [None, Some(7.0)]);
        table
    }

    #[test]
    fn figures_stand_below_their_shops() {
        let expected = "of a run           off          on
p50, ms            4.0         2.0
hits                             7";
        assert_eq!(table().to_string(), expected);
        let bars = table().bars("p50, ms").unwrap();
        assert_eq!(
            bars.lines().map(|line| line.matches('█').count()).collect::<Vec<_>>(),
            [0, 40, 20]
        );
        assert_eq!(
            table().bars("hits").unwrap().lines().nth(1).unwrap().trim_end(),
            "  off                     –"
        );
        assert!(table().bars("p51").is_err());
    }

    #[test]
    fn a_chart_names_what_it_shows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chart.svg");
        table().chart("hits", "One has none", &file).unwrap();
        table().chart("p50, ms", "How long it takes", &file).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        for part in ["How long it takes", "p50, ms", "off", "on"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
