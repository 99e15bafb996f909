//! What a product's name says of its looks.
//!
//! A row matches when all its words are in the name. In [`KINDS`] the first row wins: a pair before a single word, a thing before what it
//! is made of or holds. In [`COLOURS`] the first word of the name wins, because English puts the colour before the thing.

use super::colour::Colour;
use super::kind::Kind;
use super::{house, pantry, table, textiles};

type Kinds = (&'static [&'static str], &'static Kind);

const KINDS: &[Kinds] = &[
    (&["tea", "towel"], &textiles::CLOTH),
    (&["tea", "glass"], &table::GLASSES),
    (&["coffee", "pot"], &table::CEZVE),
    (&["tea", "cup"], &table::CUP),
    (&["tea", "kettle"], &table::KETTLE),
    (&["t", "light"], &house::CANDLE_HOLDER),
    (&["candle", "holder"], &house::CANDLE_HOLDER),
    (&["coffee", "cup"], &table::CUP),
    (&["pepper", "mill"], &table::MILL),
    (&["oil", "lamp"], &house::OIL_LAMP),
    (&["paper", "lantern"], &house::PAPER_LANTERN),
    (&["cinnamon", "stick"], &pantry::STICKS),
    (&["turkish", "delight"], &pantry::SWEETS),
    (&["water", "bottle"], &textiles::CUSHION),
    (&["door", "mat"], &textiles::RUG),
    (&["hand", "warmer"], &textiles::MITT),
    (&["oven", "glove"], &textiles::MITT),
    (&["note", "book"], &house::NOTEBOOK),
    (&["ink"], &house::INK),
    (&["clock"], &house::CLOCK),
    (&["lantern"], &house::LANTERN),
    (&["candlestick"], &house::CANDLE_HOLDER),
    (&["candle"], &house::CANDLES),
    (&["lamp"], &house::LAMP),
    (&["light"], &house::LAMP),
    (&["backgammon"], &house::BACKGAMMON),
    (&["knocker"], &house::HAMSA),
    (&["hamsa"], &house::HAMSA),
    (&["notebook"], &house::NOTEBOOK),
    (&["journal"], &house::NOTEBOOK),
    (&["sketchbook"], &house::NOTEBOOK),
    (&["pen"], &house::PENS),
    (&["pencil"], &house::PENS),
    (&["cup"], &table::CUP),
    (&["mug"], &table::CUP),
    (&["teacup"], &table::CUP),
    (&["kettle"], &table::KETTLE),
    (&["teapot"], &table::KETTLE),
    (&["cezve"], &table::CEZVE),
    (&["ibrik"], &table::CEZVE),
    (&["bowl"], &table::BOWL),
    (&["plate"], &table::PLATE),
    (&["dish"], &table::PLATE),
    (&["saucer"], &table::PLATE),
    (&["vase"], &table::VASE),
    (&["bottle"], &table::VASE),
    (&["tagine"], &table::TAGINE),
    (&["tile"], &table::TILES),
    (&["tray"], &table::TRAY),
    (&["cakestand"], &table::TRAY),
    (&["mill"], &table::MILL),
    (&["grinder"], &table::MILL),
    (&["spoon"], &table::SPOON),
    (&["glass"], &table::GLASSES),
    (&["tumbler"], &table::GLASSES),
    (&["mitt"], &textiles::MITT),
    (&["glove"], &textiles::MITT),
    (&["rug"], &textiles::RUG),
    (&["kilim"], &textiles::RUG),
    (&["doormat"], &textiles::RUG),
    (&["carpet"], &textiles::RUG),
    (&["cushion"], &textiles::CUSHION),
    (&["pillow"], &textiles::CUSHION),
    (&["apron"], &textiles::APRON),
    (&["scarf"], &textiles::SCARF),
    (&["shawl"], &textiles::SCARF),
    (&["towel"], &textiles::CLOTH),
    (&["throw"], &textiles::CLOTH),
    (&["blanket"], &textiles::CLOTH),
    (&["tablecloth"], &textiles::CLOTH),
    (&["cloth"], &textiles::CLOTH),
    (&["napkin"], &textiles::CLOTH),
    (&["bag"], &textiles::BAG),
    (&["purse"], &textiles::BAG),
    (&["basket"], &textiles::BAG),
    (&["soap"], &pantry::SOAP),
    (&["honey"], &pantry::HONEY),
    (&["jam"], &pantry::HONEY),
    (&["date"], &pantry::DATES),
    (&["halva"], &pantry::SWEETS),
    (&["lokum"], &pantry::SWEETS),
    (&["sweet"], &pantry::SWEETS),
    (&["chocolate"], &pantry::SWEETS),
    (&["coffee"], &pantry::COFFEE),
    (&["mocha"], &pantry::COFFEE),
    (&["tea"], &pantry::TEA),
    (&["saffron", "thread"], &pantry::SPICE_JAR),
    (&["petal"], &pantry::SPICE_JAR),
    (&["pod"], &pantry::SPICE_JAR),
    (&["salt"], &pantry::SPICE_JAR),
    (&["seed"], &pantry::SPICE_JAR),
    (&["pepper"], &pantry::HEAP),
    (&["hanout"], &pantry::HEAP),
    (&["sumac"], &pantry::HEAP),
    (&["za", "atar"], &pantry::HEAP),
    (&["clay"], &pantry::CLAY_JAR),
    (&["jar"], &pantry::CLAY_JAR),
    (&["heart"], &textiles::HEART),
];

/// Of what has no word above.
const CATEGORIES: &[(&str, &Kind)] = &[
    ("bath", &pantry::SOAP),
    ("ceramics", &table::BOWL),
    ("lamps", &house::LANTERN),
    ("metalware", &table::TRAY),
    ("paper", &house::NOTEBOOK),
    ("spices", &pantry::HEAP),
    ("sweets", &pantry::SWEETS),
    ("tea and coffee", &pantry::TEA),
    ("textiles", &textiles::CLOTH),
];

/// Pairs before single words, as "sea green" is not any green.
const COLOURS: &[(&[&str], u32)] = &[
    (&["sea", "green"], 0x4d9a8c),
    (&["tea", "glass"], 0xa8482a),
    (&["kitchen", "towel"], 0xb5533c),
    (&["olive", "wood"], 0xa8744c),
    (&["goat", "hair"], 0x6b5a4c),
    (&["suzani", "embroidery"], 0xb8433f),
    (&["salad", "pomegranate"], 0xb23a48),
    (&["smoked", "salt"], 0xb9b4ad),
    (&["ras", "hanout"], 0xa86a2a),
    (&["za", "atar"], 0x7d8446),
    (&["star", "cross"], 0x2f8f8b),
    (&["amber"], 0xd08a2e),
    (&["apple"], 0xb5533c),
    (&["beeswax"], 0xdcb25e),
    (&["black"], 0x3d3836),
    (&["blue"], 0x2f6db5),
    (&["brass"], 0xc4943c),
    (&["brown"], 0x7f5539),
    (&["cardamom"], 0x8a9a5b),
    (&["cinnamon"], 0xa56235),
    (&["copper"], 0xb8733f),
    (&["cream"], 0xefe3c8),
    (&["cumin"], 0xa67c45),
    (&["gold"], 0xc9993f),
    (&["golden"], 0xc9993f),
    (&["green"], 0x5c8a4f),
    (&["grey"], 0x8b8b88),
    (&["ivory"], 0xf0e6d2),
    (&["lavender"], 0x8f7fb5),
    (&["lilac"], 0xa78bbd),
    (&["mint"], 0x5f9e72),
    (&["olive"], 0x84863f),
    (&["orange"], 0xd9762e),
    (&["pepper"], 0xb5342a),
    (&["pink"], 0xd98a9a),
    (&["pistachio"], 0x9fb069),
    (&["pomegranate"], 0xb23a48),
    (&["porcelain"], 0x3f6ea8),
    (&["purple"], 0x76528b),
    (&["red"], 0xb83a34),
    (&["rose"], 0xc9657b),
    (&["saffron"], 0xe09a1f),
    (&["sand"], 0xcdb28a),
    (&["silver"], 0xa9adb0),
    (&["speckled"], 0xcdbfa6),
    (&["steel"], 0x8d979e),
    (&["stoneware"], 0x8a7f72),
    (&["sumac"], 0x7c2b36),
    (&["turquoise"], 0x2f9a9a),
    (&["undyed"], 0xe6d9bf),
    (&["violet"], 0x76528b),
    (&["white"], 0xf3ece0),
    (&["wooden"], 0xa8744c),
    (&["yellow"], 0xe0b23a),
];

/// Numbers of [`super::paint::MOTIFS`].
const MOTIFS: &[(&str, u32)] = &[
    ("speckled", 0),
    ("retrospot", 0),
    ("polkadot", 0),
    ("spotty", 0),
    ("striped", 1),
    ("zigzag", 2),
    ("mosaic", 3),
    ("kilim", 3),
    ("printed", 5),
    ("marbled", 4),
    ("star", 5),
];

/// The words of a name, in lower case.
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(name: &str) -> Self {
        let words = name.split(|it: char| !it.is_alphanumeric());
        Self(words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect())
    }

    /// `None` for what no table knows.
    pub(super) fn kind(&self, category: &str) -> Option<&'static Kind> {
        let named = KINDS.iter().find(|(words, _)| self.contain(words)).map(|(_, kind)| *kind);
        let category = category.to_lowercase();
        let of_its_category = || CATEGORIES.iter().find(|(name, _)| *name == category);
        named.or_else(|| of_its_category().map(|(_, kind)| *kind))
    }

    pub(super) fn colour(&self) -> Option<Colour> {
        let pair = COLOURS.iter().find(|(words, _)| words.len() > 1 && self.contain(words));
        let first = || self.0.iter().find_map(|word| single(word));
        pair.map(|(_, rgb)| *rgb).or_else(first).map(Colour)
    }

    pub(super) fn motif(&self) -> Option<u32> {
        MOTIFS.iter().find(|(word, _)| self.contain(&[word])).map(|(_, number)| *number)
    }

    fn contain(&self, all: &[&str]) -> bool {
        all.iter().all(|wanted| self.0.iter().any(|word| is(word, wanted)))
    }
}

fn single(word: &str) -> Option<u32> {
    let row = COLOURS.iter().find(|row| matches!(row.0, [colour] if is(word, colour)));
    row.map(|(_, rgb)| *rgb)
}

/// Whether it is that word, or its plural.
fn is(word: &str, singular: &str) -> bool {
    word.strip_prefix(singular).is_some_and(|ending| matches!(ending, "" | "s" | "es"))
}
