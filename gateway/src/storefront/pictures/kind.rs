//! What a drawing is made of: flat shapes, in a few inks.

use super::colour::Colour;

/// A thing that can be drawn, in any colour. They are all in [`super::all::ALL`].
pub(super) struct Kind {
    /// In the picture's file name: lower-case letters only.
    pub(super) name: &'static str,
    /// The colour that it has when its name says none; without one, it may have any.
    pub(super) colour: Option<Colour>,
    pub(super) texture: Texture,
    /// Half the width of its shadow on the ground, which is at y = 100; 0 for what is seen from above.
    pub(super) stands: u8,
    /// From back to front, on a canvas of 160 × 120.
    pub(super) shapes: &'static [Shape],
}

/// What is on the [`Shape::Body`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Texture {
    Plain,
    /// One of the motifs, which the seed chooses.
    Motif,
    /// A powder, or what is small and many.
    Grain,
}

/// The strings are path data (SVG 2, 9.3).
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// Filled with the colour, and the texture over it.
    Body(&'static str),
    Fill(Ink, &'static str),
    /// With the width of the line.
    Line(Ink, u8, &'static str),
    /// A line of dashes: a fringe, a seam.
    Dashes(Ink, u8, &'static str),
    /// Centre and radii.
    Oval(Ink, [u8; 4]),
}

/// The product's colour and what is derived from it, then what is the same in all drawings.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    Main,
    Deep,
    Pale,
    Wood,
    Gold,
    Dark,
    Paper,
    Glow,
}
