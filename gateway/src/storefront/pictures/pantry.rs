//! What is eaten, drunk or washed with.

use super::colour::Colour;
use super::kind::Ink::{Dark, Deep, Gold, Main, Pale, Paper, Wood};
use super::kind::Shape::{Body, Dashes, Fill, Line, Oval};
use super::kind::{Kind, Texture};

pub(super) static HEAP: Kind = Kind {
    name: "heap",
    colour: Some(Colour(0xb86b2c)),
    texture: Texture::Grain,
    stands: 38,
    shapes: &[
        Body("M42 74c14-4 25-32 38-40c13 8 24 36 38 40z"),
        Fill(Wood, "M36 76h88c-2 16-14 25-26 25H62c-12 0-24-9-26-25z"),
        Fill(Dark, "M36 72h88q4 0 4 3t-4 3H36q-4 0-4-3t4-3z"),
    ],
};

pub(super) static SPICE_JAR: Kind = Kind {
    name: "spicejar",
    colour: Some(Colour(0xb86b2c)),
    texture: Texture::Grain,
    stands: 32,
    shapes: &[
        Fill(Paper, "M56 34h48v6q8 3 8 12v38q0 11-11 11H59q-11 0-11-11V52q0-9 8-12z"),
        Body("M53 58q27-9 54 0v31q0 7-7 7H60q-7 0-7-7z"),
        Fill(Wood, "M58 20h44l-2 17H60z"),
        Fill(Paper, "M64 68h32v18H64z"),
        Line(Main, 3, "M70 74h20M70 80h12"),
    ],
};

pub(super) static STICKS: Kind = Kind {
    name: "sticks",
    colour: Some(Colour(0xa56235)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Line(Deep, 13, "M34 52h92"),
        Line(Main, 13, "M40 38h84M36 66h86"),
        Line(Deep, 13, "M42 80h84"),
        Line(Pale, 2, "M40 36h84M36 64h86"),
        Line(Main, 2, "M34 51h92M42 79h84"),
        Fill(Paper, "M74 29h12v60H74z"),
        Line(Wood, 2, "M77 29v60M83 29v60"),
    ],
};

pub(super) static SWEETS: Kind = Kind {
    name: "sweets",
    colour: Some(Colour(0xc96f7b)),
    texture: Texture::Motif,
    stands: 48,
    shapes: &[
        Fill(Pale, "M42 42h22v22H42zm54-2h24v24H96zM70 24h22v22H70z"),
        Fill(Paper, "M68 42h24v24H68zM42 42h22v6H42zm54-2h24v6H96zM70 24h22v6H70z"),
        Body("M34 58h92l-4 42H38z"),
        Fill(Deep, "M32 54h96v8H32z"),
        Oval(Paper, [80, 81, 14, 12]),
        Fill(Gold, "M80 73l7 8-7 8-7-8z"),
    ],
};

pub(super) static HONEY: Kind = Kind {
    name: "honey",
    colour: Some(Colour(0xc8801e)),
    texture: Texture::Plain,
    stands: 36,
    shapes: &[
        Body("M54 40h52q10 6 10 16v32q0 13-13 13H57q-13 0-13-13V56q0-10 10-16z"),
        Line(Pale, 4, "M52 58v28"),
        Fill(Deep, "M52 24h56v16H52z"),
        Fill(Gold, "M50 36h60v5H50z"),
        Fill(Paper, "M60 56h46v32H60z"),
        Fill(Main, "M83 61l10 6v11l-10 6-10-6V67z"),
    ],
};

pub(super) static DATES: Kind = Kind {
    name: "dates",
    colour: Some(Colour(0x7a4328)),
    texture: Texture::Plain,
    stands: 46,
    shapes: &[
        Oval(Deep, [56, 72, 19, 11]),
        Oval(Deep, [104, 72, 19, 11]),
        Oval(Main, [80, 74, 20, 12]),
        Oval(Main, [68, 57, 18, 11]),
        Oval(Deep, [94, 55, 18, 11]),
        Oval(Main, [82, 41, 17, 10]),
        Line(Pale, 2, "M73 38q8-4 16-1M58 54q8-4 16-1M70 71q9-4 18-1"),
        Fill(Paper, "M28 78h104q-6 18-28 18H56q-22 0-28-18z"),
        Fill(Wood, "M28 78h104l-2 6H30zM62 96h36v5H62z"),
    ],
};

pub(super) static TEA: Kind = Kind {
    name: "tea",
    colour: Some(Colour(0x6d8a4a)),
    texture: Texture::Motif,
    stands: 36,
    shapes: &[
        Body("M50 34h60l5 67H45z"),
        Fill(Deep, "M48 22h64v14H48z"),
        Line(Pale, 2, "M52 29h56"),
        Oval(Paper, [80, 68, 22, 22]),
        Fill(Main, "M68 80c-4-18 8-26 25-26c1 18-7 28-21 25z"),
        Line(Paper, 2, "M66 84q8-12 20-22"),
    ],
};

pub(super) static COFFEE: Kind = Kind {
    name: "coffee",
    colour: Some(Colour(0x6b4632)),
    texture: Texture::Plain,
    stands: 36,
    shapes: &[
        Body("M52 28h56l8 14v59H44V42z"),
        Fill(Deep, "M44 42l8-14v73h-8zM116 42l-8-14v73h8z"),
        Fill(Gold, "M50 20h60v9H50z"),
        Fill(Paper, "M60 48h40v40H60z"),
        Fill(Dark, "M71 81a16 11 -50 1 1 19-25a16 11 -50 1 1-19 25z"),
        Line(Paper, 2, "M72 80q2-10 9-12t8-11"),
    ],
};

pub(super) static SOAP: Kind = Kind {
    name: "soap",
    colour: Some(Colour(0x9a9a5b)),
    texture: Texture::Plain,
    stands: 44,
    shapes: &[
        Fill(Pale, "M38 56l14-16h70l-14 16z"),
        Fill(Deep, "M108 56l14-16v44l-14 16z"),
        Body("M38 56h70v45H38z"),
        Line(Deep, 2, "M44 62h58v33H44z"),
        Fill(Deep, "M61 89c-4-13 5-20 24-21c0 14-9 22-21 20z"),
        Line(Main, 2, "M60 91q8-10 17-16"),
    ],
};

pub(super) static CLAY_JAR: Kind = Kind {
    name: "clayjar",
    colour: Some(Colour(0xb56b45)),
    texture: Texture::Motif,
    stands: 32,
    shapes: &[
        Line(Deep, 5, "M64 36q-24 0-22 24M96 36q24 0 22 24"),
        Body("M64 40h32q24 10 24 32q0 29-26 29H66q-26 0-26-29q0-22 24-32z"),
        Fill(Deep, "M62 26h36v6l-4 10H66l-4-10z"),
        Oval(Dark, [80, 27, 18, 4]),
        Dashes(Pale, 3, "M44 62h72"),
    ],
};
