//! Light, paper, and what stands about a house.

use super::colour::Colour;
use super::kind::Ink::{Dark, Deep, Glow, Gold, Main, Pale, Paper, Wood};
use super::kind::Shape::{Body, Dashes, Fill, Line, Oval};
use super::kind::{Kind, Texture};

pub(super) static CANDLES: Kind = Kind {
    name: "candles",
    colour: Some(Colour(0xdcb25e)),
    texture: Texture::Plain,
    stands: 42,
    shapes: &[
        Line(Dark, 2, "M54 56v-8M80 42v-8M106 62v-8"),
        Body("M45 56h18v45H45zM71 42h18v59H71zM97 62h18v39H97z"),
        Fill(Deep, "M57 56h6v45h-6zM83 42h6v59h-6zM109 62h6v39h-6z"),
        Fill(
            Glow,
            "M54 30c9 12 6 20 0 20s-9-8 0-20zM80 16c9 12 6 20 0 20s-9-8 0-20zM106 36c9 12 6 20 0 20s-9-8 0-20z",
        ),
    ],
};

pub(super) static CANDLE_HOLDER: Kind = Kind {
    name: "holder",
    colour: None,
    texture: Texture::Motif,
    stands: 32,
    shapes: &[
        Body("M46 42h68l-8 59H54z"),
        Oval(Deep, [80, 42, 34, 7]),
        Fill(Paper, "M68 72h24v22H68z"),
        Fill(Glow, "M80 44c12 14 8 26 0 26s-12-12 0-26z"),
        Fill(Paper, "M80 56c5 6 4 11 0 11s-5-5 0-11z"),
        Line(Pale, 3, "M53 52l5 40"),
    ],
};

pub(super) static LANTERN: Kind = Kind {
    name: "lantern",
    colour: Some(Colour(0xb58033)),
    texture: Texture::Motif,
    stands: 32,
    shapes: &[
        Line(Deep, 3, "M73 14a7 7 0 1 1 14 0a7 7 0 1 1-14 0"),
        Fill(Deep, "M52 46c2-14 18-14 28-28c10 14 26 14 28 28z"),
        Body("M52 46h56l-6 46H58z"),
        Fill(Glow, "M68 84V66c0-8 7-9 12-15c5 6 12 7 12 15v18z"),
        Fill(Paper, "M80 66c6 7 4 12 0 12s-6-5 0-12z"),
        Fill(Deep, "M48 43h64v6H48zM56 89h48l4 12H52z"),
    ],
};

pub(super) static PAPER_LANTERN: Kind = Kind {
    name: "paperlantern",
    colour: Some(Colour(0xf3ece0)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Line(Dark, 2, "M80 0v24M80 94v14"),
        Body("M42 58a38 36 0 1 1 76 0a38 36 0 1 1-76 0"),
        Oval(Glow, [80, 60, 16, 18]),
        Line(Deep, 1, "M49 38h62M43 51h74M43 65h74M49 78h62"),
        Fill(Wood, "M66 20h28v6H66zM66 90h28v6H66zM78 108h4v8h-4z"),
    ],
};

pub(super) static LAMP: Kind = Kind {
    name: "lamp",
    colour: None,
    texture: Texture::Motif,
    stands: 30,
    shapes: &[
        Fill(Gold, "M76 70h8v20h-8zM54 101q2-13 26-13t26 13z"),
        Body("M46 44a34 30 0 1 1 68 0a34 30 0 1 1-68 0"),
        Line(Glow, 3, "M54 28q26 12 52 0M46 44q34 14 68 0M54 60q26 12 52 0"),
        Fill(Gold, "M66 70h28v6H66zM72 11h16v5H72z"),
        Oval(Dark, [80, 8, 4, 4]),
    ],
};

pub(super) static OIL_LAMP: Kind = Kind {
    name: "oillamp",
    colour: Some(Colour(0xb5653f)),
    texture: Texture::Plain,
    stands: 30,
    shapes: &[
        Line(Deep, 6, "M110 68q22-12 22 4t-26 14"),
        Fill(Deep, "M66 90h32l6 11H60z"),
        Body("M26 58h12q10 8 26 4q10-4 18-4q36 0 34 18q-4 18-36 18q-30 0-54-36z"),
        Fill(Deep, "M66 59q16-14 32 0z"),
        Oval(Deep, [82, 50, 4, 4]),
        Fill(Glow, "M31 32c12 14 7 24 0 24s-12-10 0-24z"),
        Dashes(Pale, 3, "M56 74h54"),
    ],
};

pub(super) static HAMSA: Kind = Kind {
    name: "hamsa",
    colour: Some(Colour(0xc4943c)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Line(Main, 13, "M66 64V36M80 64V26M94 64V36"),
        Line(Main, 11, "M62 84q-20-4-22-24M98 84q20-4 22-24"),
        Body("M59 56h42v26q-2 22-21 26q-19-4-21-26z"),
        Line(Deep, 2, "M73 54V36M87 54V36"),
        Fill(Paper, "M64 76q16-18 32 0q-16 18-32 0z"),
        Oval(Deep, [80, 76, 8, 8]),
        Oval(Paper, [80, 76, 3, 3]),
        Fill(Deep, "M80 92l4 4-4 4-4-4z"),
    ],
};

pub(super) static BACKGAMMON: Kind = Kind {
    name: "backgammon",
    colour: Some(Colour(0x7b4a2b)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Body("M24 24h112v74H24z"),
        Fill(Paper, "M30 30h47v62H30zM83 30h47v62H83z"),
        Fill(
            Main,
            "M31 30h9l-4.5 26zm18 0h9l-4.5 26zm18 0h9l-4.5 26zM84 30h9l-4.5 26zm18 0h9l-4.5 26zm18 0h9l-4.5 26z",
        ),
        Fill(Wood, "M40 92h9l-4.5-26zm18 0h9l-4.5-26zM93 92h9l-4.5-26zm18 0h9l-4.5-26z"),
        Oval(Dark, [45, 36, 5, 5]),
        Oval(Dark, [45, 47, 5, 5]),
        Oval(Gold, [107, 86, 5, 5]),
        Oval(Gold, [107, 75, 5, 5]),
        Oval(Gold, [54, 86, 5, 5]),
    ],
};

pub(super) static INK: Kind = Kind {
    name: "ink",
    colour: Some(Colour(0x2c3a5c)),
    texture: Texture::Plain,
    stands: 34,
    shapes: &[
        Fill(Deep, "M68 36h24v18H68z"),
        Fill(Wood, "M64 22h32v18H64z"),
        Body("M60 50h40q14 2 14 16v27q0 8-8 8H54q-8 0-8-8V66q0-14 14-16z"),
        Fill(Paper, "M60 62h40v30H60z"),
        Fill(Main, "M80 66c12 14 8 22 0 22s-12-8 0-22z"),
    ],
};

pub(super) static NOTEBOOK: Kind = Kind {
    name: "notebook",
    colour: None,
    texture: Texture::Motif,
    stands: 36,
    shapes: &[
        Fill(Deep, "M52 24h66v77H52z"),
        Fill(Paper, "M52 22h62v76H52z"),
        Body("M46 18h64v78H46z"),
        Fill(Deep, "M46 18h13v78H46z"),
        Fill(Paper, "M72 34h26v16H72z"),
        Line(Dark, 2, "M77 40h16M77 45h10"),
        Line(Gold, 3, "M103 18v78"),
    ],
};

pub(super) static PENS: Kind = Kind {
    name: "pens",
    colour: Some(Colour(0xb48a52)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Line(Deep, 8, "M58 32l30 74"),
        Fill(Dark, "M61 30l-7 3-7-17z"),
        Line(Pale, 8, "M102 32l-30 74"),
        Fill(Dark, "M99 30l7 3 7-17z"),
        Line(Main, 8, "M80 28v80"),
        Fill(Dark, "M76 28h8l-5-19z"),
        Fill(Paper, "M68 72h24v9H68z"),
        Line(Gold, 2, "M68 75h24M68 78h24"),
    ],
};

pub(super) static CLOCK: Kind = Kind {
    name: "clock",
    colour: None,
    texture: Texture::Plain,
    stands: 30,
    shapes: &[
        Line(Dark, 5, "M58 88l-8 12M102 88l8 12M80 28V18"),
        Line(Deep, 14, "M52 32l6-6M108 32l-6-6"),
        Body("M44 62a36 36 0 1 1 72 0a36 36 0 1 1-72 0"),
        Oval(Paper, [80, 62, 27, 27]),
        Line(Main, 3, "M80 39v5M80 80v5M57 62h5M98 62h5"),
        Line(Dark, 4, "M80 46v16l12 8"),
        Oval(Dark, [80, 62, 4, 4]),
    ],
};

/// Also for what has no drawing of its own.
pub(super) static GIFT: Kind = Kind {
    name: "gift",
    colour: None,
    texture: Texture::Motif,
    stands: 42,
    shapes: &[
        Body("M42 54h76v47H42z"),
        Fill(Deep, "M38 42h84v14H38z"),
        Fill(Pale, "M73 42h14v59H73z"),
        Line(Pale, 6, "M80 42c-8-22-32-20-26-8c3 7 14 8 26 8c12 0 23-1 26-8c6-12-18-14-26 8"),
    ],
};
