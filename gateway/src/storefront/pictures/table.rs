//! Ceramics, glass and metal for the table and the kitchen.

use super::colour::Colour;
use super::kind::Ink::{Dark, Deep, Gold, Main, Pale, Paper, Wood};
use super::kind::Shape::{Body, Dashes, Fill, Line, Oval};
use super::kind::{Kind, Texture};

pub(super) static CUP: Kind = Kind {
    name: "cup",
    colour: None,
    texture: Texture::Motif,
    stands: 46,
    shapes: &[
        Line(Deep, 6, "M102 54h9a11 11 0 0 1 0 24h-12"),
        Body("M46 46h60v20a30 30 0 0 1-60 0z"),
        Oval(Pale, [76, 46, 30, 7]),
        Oval(Dark, [76, 47, 25, 4]),
        Fill(Deep, "M34 94h84q-4 7-16 7H50q-12 0-16-7z"),
    ],
};

pub(super) static BOWL: Kind = Kind {
    name: "bowl",
    colour: None,
    texture: Texture::Motif,
    stands: 34,
    shapes: &[
        Fill(Deep, "M64 90h32l4 11H60z"),
        Body("M32 52h96c0 24-18 43-38 43H70c-20 0-38-19-38-43z"),
        Oval(Pale, [80, 52, 48, 10]),
        Oval(Deep, [80, 53, 43, 7]),
    ],
};

pub(super) static PLATE: Kind = Kind {
    name: "plate",
    colour: None,
    texture: Texture::Motif,
    stands: 0,
    shapes: &[
        Oval(Deep, [80, 62, 47, 47]),
        Body("M33 60a47 47 0 1 1 94 0a47 47 0 1 1-94 0"),
        Oval(Deep, [80, 61, 31, 31]),
        Oval(Pale, [80, 60, 30, 30]),
        Line(Main, 2, "M56 60a24 24 0 1 1 48 0a24 24 0 1 1-48 0"),
    ],
};

pub(super) static VASE: Kind = Kind {
    name: "vase",
    colour: None,
    texture: Texture::Motif,
    stands: 30,
    shapes: &[
        Body(
            "M72 22h16v20c0 10 24 16 24 36c0 14-10 23-20 23H68c-10 0-20-9-20-23c0-20 24-26 24-36z",
        ),
        Fill(Deep, "M70 18h20q3 0 3 4t-3 4H70q-3 0-3-4t3-4z"),
        Fill(Deep, "M71 40h18l2 5H69z"),
    ],
};

pub(super) static TAGINE: Kind = Kind {
    name: "tagine",
    colour: Some(Colour(0xb95a34)),
    texture: Texture::Motif,
    stands: 42,
    shapes: &[
        Fill(Deep, "M34 82h92q-3 19-18 19H52q-15 0-18-19z"),
        Body("M42 80c14-8 27-28 31-52h14c4 24 17 44 31 52z"),
        Fill(Pale, "M36 78h88q4 0 4 4t-4 4H36q-4 0-4-4t4-4z"),
        Oval(Deep, [80, 24, 8, 7]),
    ],
};

pub(super) static TILES: Kind = Kind {
    name: "tiles",
    colour: Some(Colour(0x2f8f8b)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Fill(Pale, "M24 22h112v76H24z"),
        Body(
            "M31 29h26v26H31zm13-5l18 18-18 18-18-18zm23 5h26v26H67zm13-5l18 18-18 18-18-18zm23 5h26v26h-26zm13-5l18 18-18 18-18-18z\
             M31 65h26v26H31zm13-5l18 18-18 18-18-18zm23 5h26v26H67zm13-5l18 18-18 18-18-18zm23 5h26v26h-26zm13-5l18 18-18 18-18-18z",
        ),
        Fill(
            Gold,
            "M44 34l8 8-8 8-8-8zm36 0l8 8-8 8-8-8zm36 0l8 8-8 8-8-8zM44 70l8 8-8 8-8-8zm36 0l8 8-8 8-8-8zm36 0l8 8-8 8-8-8z",
        ),
        Fill(Deep, "M62 53l7 7-7 7-7-7zm36 0l7 7-7 7-7-7z"),
    ],
};

pub(super) static GLASSES: Kind = Kind {
    name: "glasses",
    colour: Some(Colour(0xb85c2a)),
    texture: Texture::Plain,
    stands: 48,
    shapes: &[
        Fill(
            Pale,
            "M26 36h30c0 18-5 24-5 31c0 6 8 10 8 18q0 12-12 13h-12q-12-1-12-13c0-8 8-12 8-18c0-7-5-13-5-31z\
             M65 36h30c0 18-5 24-5 31c0 6 8 10 8 18q0 12-12 13h-12q-12-1-12-13c0-8 8-12 8-18c0-7-5-13-5-31z\
             M104 36h30c0 18-5 24-5 31c0 6 8 10 8 18q0 12-12 13h-12q-12-1-12-13c0-8 8-12 8-18c0-7-5-13-5-31z",
        ),
        Body(
            "M29 50h24c0 8-5 11-5 17c0 7 8 11 8 18q0 8-9 9h-12q-9-1-9-9c0-7 8-11 8-18c0-6-5-9-5-17z\
             M68 50h24c0 8-5 11-5 17c0 7 8 11 8 18q0 8-9 9h-12q-9-1-9-9c0-7 8-11 8-18c0-6-5-9-5-17z\
             M107 50h24c0 8-5 11-5 17c0 7 8 11 8 18q0 8-9 9h-12q-9-1-9-9c0-7 8-11 8-18c0-6-5-9-5-17z",
        ),
        Line(Gold, 4, "M26 36h30M65 36h30M104 36h30"),
        Fill(Paper, "M23 98h36l3 4H20zM62 98h36l3 4H59zM101 98h36l3 4H98z"),
    ],
};

pub(super) static KETTLE: Kind = Kind {
    name: "kettle",
    colour: Some(Colour(0x8d979e)),
    texture: Texture::Plain,
    stands: 42,
    shapes: &[
        Line(Dark, 6, "M108 72q22-2 20 22M100 38q20-4 18 20"),
        Line(Deep, 7, "M48 88L28 66M60 52L46 36"),
        Body("M46 68h68q8 14 4 32H42q-4-18 4-32z"),
        Fill(Deep, "M48 64h64v5H48z"),
        Body("M58 38h44q8 14 0 26H58q-8-12 0-26z"),
        Fill(Deep, "M58 38q22-18 44 0z"),
        Oval(Dark, [80, 26, 5, 5]),
        Line(Pale, 4, "M54 78q-3 8-1 14M64 44q-3 6-1 12"),
    ],
};

pub(super) static CEZVE: Kind = Kind {
    name: "cezve",
    colour: Some(Colour(0xb8733f)),
    texture: Texture::Motif,
    stands: 36,
    shapes: &[
        Line(Wood, 7, "M90 48L140 24"),
        Body("M50 46h40c0 12 14 24 14 38q0 17-14 17H50q-14 0-14-17c0-14 14-26 14-38z"),
        Fill(Deep, "M42 38h52l-4 10H50z"),
        Oval(Dark, [69, 39, 21, 3]),
    ],
};

pub(super) static TRAY: Kind = Kind {
    name: "tray",
    colour: Some(Colour(0xc4943c)),
    texture: Texture::Motif,
    stands: 0,
    shapes: &[
        Oval(Deep, [80, 62, 49, 49]),
        Oval(Pale, [80, 60, 49, 49]),
        Body("M36 60a44 44 0 1 1 88 0a44 44 0 1 1-88 0"),
        Dashes(Deep, 4, "M40 60a40 40 0 1 1 80 0a40 40 0 1 1-80 0"),
        Oval(Main, [80, 60, 27, 27]),
        Line(Deep, 2, "M53 60a27 27 0 1 1 54 0a27 27 0 1 1-54 0"),
        Fill(Pale, "M67 47h26v26H67zm13-5l18 18-18 18-18-18z"),
        Oval(Deep, [80, 60, 7, 7]),
    ],
};

pub(super) static MILL: Kind = Kind {
    name: "mill",
    colour: Some(Colour(0xc4943c)),
    texture: Texture::Motif,
    stands: 24,
    shapes: &[
        Line(Deep, 5, "M80 36V24h28"),
        Oval(Wood, [108, 18, 6, 8]),
        Fill(Deep, "M62 46q0-14 18-16q18 2 18 16z"),
        Body("M62 46h36v54H62z"),
        Fill(Pale, "M60 44h40v5H60zM60 68h40v4H60z"),
        Fill(Deep, "M58 95h44v6H58z"),
    ],
};

pub(super) static SPOON: Kind = Kind {
    name: "spoon",
    colour: Some(Colour(0xa8744c)),
    texture: Texture::Plain,
    stands: 0,
    shapes: &[
        Line(Main, 9, "M64 76L126 20"),
        Line(Pale, 2, "M76 64L124 20"),
        Body("M37 98a23 16 -43 1 1 34-31a23 16 -43 1 1-34 31z"),
        Fill(Deep, "M42 94a17 11 -43 1 1 25-23a17 11 -43 1 1-25 23z"),
    ],
};
