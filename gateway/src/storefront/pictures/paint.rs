//! From a kind, a colour and a seed to SVG.

use std::fmt::{self, Write as _};

use super::Picture;
use super::colour::Colour;
use super::kind::{Ink, Shape, Texture};

/// Path data in a square of 16, and the width of its lines: dots, stripes, zigzag, lozenges, waves, crosses, scales. A line of no length is a dot.
pub(super) const MOTIFS: [(&str, f32); 7] = [
    ("M4 4h0M12 12h0", 5.0),
    ("M4 0v16M12 0v16", 2.5),
    ("M0 5l4 5 4-5 4 5 4-5", 2.5),
    ("M8 3l4 5-4 5-4-5z", 2.5),
    ("M0 6q4-5 8 0t8 0M0 14q4-5 8 0t8 0", 2.5),
    ("M4 2v4M2 4h4M12 10v4M10 12h4", 2.5),
    ("M0 8a8 8 0 0 0 16 0M-8 0a8 8 0 0 0 16 0a8 8 0 0 0 16 0", 2.5),
];
const GRAIN: &str = "M2 3h0M7 1h0M12 4h0M5 8h0M10 10h0M15 8h0M3 13h0M8 15h0M13 14h0";

/// Behind the thing: a horseshoe arch, a round one, a pointed one, the moon.
const NICHES: [&str; 4] = [
    "M38 120V74c-14-30 12-62 42-62s56 32 42 62v46z",
    "M30 120V60a50 50 0 0 1 100 0v60z",
    "M32 120V66c0-32 34-38 48-58c14 20 48 26 48 58v54z",
    "M28 60a52 52 0 1 1 104 0a52 52 0 1 1-104 0",
];

const WOOD: Colour = Colour(0xa8744c);
const GOLD: Colour = Colour(0xd4a64a);
const DARK: Colour = Colour(0x43332a);
const PAPER: Colour = Colour(0xf8efdf);
const GLOW: Colour = Colour(0xffd070);

impl Picture {
    pub(super) fn svg(&self) -> String {
        let mut svg = String::with_capacity(1536);
        self.write(&mut svg).expect("a string can be written");
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let backdrop = self.colour.backdrop();
        let niche = NICHES[(self.seed >> 6) as usize % NICHES.len()];
        svg.push_str(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120">"#);
        write!(svg, r##"<path fill="#{backdrop}" d="M0 0h160v120H0z"/>"##)?;
        write!(svg, r##"<path fill="#{}" d="{niche}"/>"##, backdrop.mix(PAPER, 45))?;
        self.texture(svg)?;
        if self.kind.stands > 0 {
            let (shade, width) = (backdrop.mix(DARK, 22), self.kind.stands);
            write!(svg, r##"<ellipse cx="80" cy="101" rx="{width}" ry="5" fill="#{shade}"/>"##)?;
        }
        for shape in self.kind.shapes {
            self.shape(svg, shape)?;
        }
        svg.push_str("</svg>\n");
        Ok(())
    }

    /// The pattern that every [`Shape::Body`] is filled with, if this kind has one.
    fn texture(&self, svg: &mut String) -> fmt::Result {
        let ((lines, width), scale) = match self.kind.texture {
            Texture::Plain => return Ok(()),
            Texture::Grain => ((GRAIN, 2.5), 0.75),
            Texture::Motif => (
                MOTIFS[(self.seed & 0xf) as usize % MOTIFS.len()],
                [0.6, 0.75, 0.9, 1.1][(self.seed >> 4) as usize % 4],
            ),
        };
        let ink = self.colour.mix(self.ink(Ink::Pale), 65);
        write!(
            svg,
            r##"<pattern id="p" width="16" height="16" patternUnits="userSpaceOnUse" patternTransform="scale({scale})"><path d="{lines}" fill="none" stroke="#{ink}" stroke-width="{width}" stroke-linecap="round"/></pattern>"##
        )
    }

    fn shape(&self, svg: &mut String, shape: &Shape) -> fmt::Result {
        match *shape {
            Shape::Body(path) => {
                write!(svg, r##"<path fill="#{}" d="{path}"/>"##, self.colour)?;
                if self.kind.texture != Texture::Plain {
                    write!(svg, r#"<path fill="url(#p)" d="{path}"/>"#)?;
                }
                Ok(())
            }
            Shape::Fill(ink, path) => {
                write!(svg, r##"<path fill="#{}" d="{path}"/>"##, self.ink(ink))
            }
            Shape::Line(ink, width, path) => {
                self.line(svg, ink, width, "stroke-linecap=\"round\"", path)
            }
            Shape::Dashes(ink, width, path) => {
                self.line(svg, ink, width, "stroke-dasharray=\"3\"", path)
            }
            Shape::Oval(ink, [x, y, across, down]) => {
                let ink = self.ink(ink);
                write!(
                    svg,
                    r##"<ellipse cx="{x}" cy="{y}" rx="{across}" ry="{down}" fill="#{ink}"/>"##
                )
            }
        }
    }

    fn line(&self, svg: &mut String, ink: Ink, width: u8, style: &str, path: &str) -> fmt::Result {
        let ink = self.ink(ink);
        write!(
            svg,
            r##"<path fill="none" stroke="#{ink}" stroke-width="{width}" {style} d="{path}"/>"##
        )
    }

    fn ink(&self, ink: Ink) -> Colour {
        match ink {
            Ink::Main => self.colour,
            Ink::Deep => self.colour.deep(),
            Ink::Pale => self.colour.pale(),
            Ink::Wood => WOOD,
            Ink::Gold => GOLD,
            Ink::Dark => DARK,
            Ink::Paper => PAPER,
            Ink::Glow => GLOW,
        }
    }
}
