//! What is woven, knotted or sewn.

use super::colour::Colour;
use super::kind::Ink::{Deep, Gold, Main, Pale, Paper, Wood};
use super::kind::Shape::{Body, Dashes, Fill, Line, Oval};
use super::kind::{Kind, Texture};

pub(super) static MITT: Kind = Kind {
    name: "mitt",
    colour: Some(Colour(0x4f5d63)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Line(Deep, 3, "M60 100q-12 14-16 2t14-10"),
        Body("M52 92V44q0-26 24-26t24 26v14q4-10 12-8t8 12q-1 12-20 24v6z"),
        Dashes(Pale, 2, "M58 84V44q0-20 18-20t18 20v40"),
        Fill(Deep, "M49 84h54v18H49z"),
        Line(Pale, 2, "M49 90h54M49 96h54"),
    ],
};

pub(super) static RUG: Kind = Kind {
    name: "rug",
    colour: None,
    texture: Texture::Motif,
    stands: 0,
    shapes: &[
        Dashes(Paper, 12, "M23 29v62M137 29v62"),
        Fill(Deep, "M28 28h104v64H28z"),
        Body("M34 34h92v52H34z"),
        Line(Pale, 2, "M37 37h86v46H37z"),
        Fill(Deep, "M56 42l16 18-16 18-16-18zm48 0l16 18-16 18-16-18z"),
        Fill(Pale, "M80 42l16 18-16 18-16-18z"),
        Fill(Main, "M80 51l8 9-8 9-8-9z"),
        Fill(Gold, "M56 52l7 8-7 8-7-8zm48 0l7 8-7 8-7-8z"),
    ],
};

pub(super) static CUSHION: Kind = Kind {
    name: "cushion",
    colour: None,
    texture: Texture::Motif,
    stands: 0,
    shapes: &[
        Fill(Gold, "M32 16l14 8-8 8zM128 16l-14 8 8 8zM32 104l14-8-8-8zM128 104l-14-8 8-8z"),
        Body("M38 22q42 8 84 0q-8 38 0 76q-42-8-84 0q8-38 0-76z"),
        Oval(Deep, [80, 60, 24, 24]),
        Fill(
            Pale,
            "M80 40q8 12 0 20q-8-8 0-20zM80 80q8-12 0-20q-8 8 0 20zM60 60q12-8 20 0q-8 8-20 0zM100 60q-12-8-20 0q8 8 20 0z",
        ),
        Oval(Gold, [80, 60, 5, 5]),
    ],
};

pub(super) static CLOTH: Kind = Kind {
    name: "cloth",
    colour: None,
    texture: Texture::Motif,
    stands: 50,
    shapes: &[
        Fill(Deep, "M40 80h84v21H40q-10 0-10-10.5t10-10.5z"),
        Fill(Pale, "M40 59h84v21H40q-10 0-10-10.5t10-10.5z"),
        Line(Main, 2, "M44 66h80M44 70h80"),
        Body("M42 34h82v25H42q-12 0-12-12.5t12-12.5z"),
        Line(Pale, 2, "M44 90h80"),
        Dashes(Paper, 6, "M127 36v64"),
    ],
};

pub(super) static SCARF: Kind = Kind {
    name: "scarf",
    colour: None,
    texture: Texture::Motif,
    stands: 0,
    shapes: &[
        Dashes(Deep, 10, "M84 83h28"),
        Fill(Deep, "M82 24h32v56H82z"),
        Line(Pale, 2, "M82 70h32M82 74h32"),
        Dashes(Main, 10, "M50 103h38"),
        Body("M48 20q0-4 6-4h52q8 0 8 8q-20 0-24 8v68H48z"),
        Line(Pale, 3, "M48 88h42M48 94h42"),
        Line(Wood, 5, "M24 18h24M114 20h22"),
    ],
};

pub(super) static APRON: Kind = Kind {
    name: "apron",
    colour: Some(Colour(0xa68a64)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Line(Deep, 4, "M64 28c-2-22 34-22 32 0M46 58q-16 4-20 22M114 58q16 4 20 22"),
        Body("M62 26h36v14q4 14 18 16v50H44V56q14-2 18-16z"),
        Fill(Deep, "M60 66h40v17q0 5-5 5H65q-5 0-5-5z"),
        Line(Pale, 2, "M80 68v20"),
        Dashes(Pale, 2, "M65 32h30M47 100h66"),
    ],
};

pub(super) static BAG: Kind = Kind {
    name: "bag",
    colour: None,
    texture: Texture::Motif,
    stands: 44,
    shapes: &[
        Line(Deep, 5, "M60 52V38q0-20 20-20t20 20v14"),
        Body("M44 44h72l8 57H36z"),
        Fill(Deep, "M44 44h72l1 7H43z"),
        Line(Pale, 5, "M62 47v14M98 47v14"),
    ],
};

pub(super) static HEART: Kind = Kind {
    name: "heart",
    colour: Some(Colour(0xc04242)),
    texture: Texture::Motif,
    stands: 0,
    shapes: &[
        Line(Wood, 2, "M80 44L74 12q6-8 12 0z"),
        Body("M80 104C44 80 36 66 36 54c0-24 34-28 44-8c10-20 44-16 44 8c0 12-8 26-44 50z"),
        Dashes(
            Pale,
            2,
            "M80 96C52 77 42 64 42 54c0-18 28-20 38 2c10-22 38-20 38-2c0 10-10 23-38 42z",
        ),
    ],
};
