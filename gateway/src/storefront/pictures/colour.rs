//! Colours, and what is derived from one.

use std::fmt;

/// 0xRRGGBB, in sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u32);

const SHADE: Colour = Colour(0x2b1a12);
const CREAM: Colour = Colour(0xfff4e2);
const SAND: Colour = Colour(0xf2e6d3);
const CLAY: Colour = Colour(0xc09a78);
const UMBER: Colour = Colour(0x8a5a3c);

impl Colour {
    /// Six lower-case hex digits, so that a colour has one spelling.
    pub(super) fn parse(digits: &str) -> Option<Self> {
        hex(digits, 6).map(Self)
    }

    pub(super) fn deep(self) -> Self {
        self.mix(SHADE, 32)
    }

    /// For what is on the colour; on what is nearly white it has to be darker instead.
    pub(super) fn pale(self) -> Self {
        if self.is_nearly_white() { self.mix(UMBER, 45) } else { self.mix(CREAM, 55) }
    }

    /// Behind the drawing: sand, or clay where the drawing itself is nearly white.
    pub(super) fn backdrop(self) -> Self {
        if self.is_nearly_white() { self.mix(CLAY, 65) } else { self.mix(SAND, 82) }
    }

    /// With `percent` of `other` in it.
    pub(super) fn mix(self, other: Self, percent: u32) -> Self {
        let part = |shift: u32| {
            let [this, that] = [self, other].map(|it| (it.0 >> shift) & 0xff);
            ((this * (100 - percent) + that * percent) / 100) << shift
        };
        Self(part(16) | part(8) | part(0))
    }

    /// By its luma (ITU-R BT.601), which is 255 at most.
    fn is_nearly_white(self) -> bool {
        let [red, green, blue] = [16, 8, 0].map(|shift| (self.0 >> shift) & 0xff);
        (299 * red + 587 * green + 114 * blue) / 1000 > 205
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

/// A number of exactly so many lower-case hex digits.
pub(super) fn hex(digits: &str, count: usize) -> Option<u32> {
    let lower = digits.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    (lower && digits.len() == count).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}
