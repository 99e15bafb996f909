use std::collections::HashSet;
use std::fs;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Own {
    sku: String,
    name: String,
    category: String,
}

impl Own {
    fn picture(&self) -> Picture {
        Picture::of(&self.name, &self.category, &self.sku)
    }
}

/// The shop's own products.
fn catalogue() -> Vec<Own> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/operator/catalogue.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn named(name: &str) -> Picture {
    Picture::of(name, "Imported", "85123A")
}

#[test]
fn every_own_product_has_a_drawing_of_what_it_is() {
    let products = catalogue();
    assert!(products.len() > 50, "{}", products.len());
    for product in products {
        let of_its_name = Words::of(&product.name).kind("");
        assert!(
            of_its_name.is_some_and(|it| it.name != "gift"),
            "{} {}",
            product.sku,
            product.name
        );
    }
}

#[test]
fn what_a_name_says_is_drawn() {
    for (name, kind, colour) in [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "holder", Some(0xf3ece0)),
        ("RED WOOLLY HOTTIE WHITE HEART.", "heart", Some(0xb83a34)),
        ("ALARM CLOCK BAKELIKE GREEN", "clock", Some(0x5c8a4f)),
        ("JUMBO BAG RED RETROSPOT", "bag", Some(0xb83a34)),
        ("SET OF 6 TEA TOWELS", "cloth", None),
        ("Olive wood spoon", "spoon", Some(0xa8744c)),
        ("Bottle vase, sea green", "vase", Some(0x4d9a8c)),
        ("Black tea from Rize, 250 g", "tea", Some(0x3d3836)),
        ("Lamp black ink, 30 ml", "ink", Some(0x3d3836)),
        ("PARTY BUNTING", "gift", None),
        ("", "gift", None),
        ("?? — ¿", "gift", None),
    ] {
        let picture = named(name);
        assert_eq!(picture.kind.name, kind, "{name}");
        if let Some(colour) = colour {
            assert_eq!(picture.colour, Colour(colour), "{name}");
        }
    }
}

#[test]
fn a_product_without_a_telling_name_is_drawn_by_its_category() {
    assert_eq!(Picture::of("Nameless", "Spices", "X").kind.name, "heap");
    assert_eq!(Picture::of("Nameless", "Elsewhere", "X").kind.name, "gift");
}

/// Browsers and edges have these names; another one for the same product is a new download.
#[test]
fn a_product_always_has_the_same_picture() {
    let picture = Picture::of("Blue mezze bowl", "Ceramics", "CER-BOWL-01");
    assert_eq!(picture.to_string(), "bowl-2f6db5-b6fc-2.svg");
    for product in catalogue() {
        let name = product.picture().to_string();
        assert_eq!(name, product.picture().to_string());
        assert_eq!(Picture::parse(&name).map(|it| it.to_string()), Some(name));
    }
}

#[test]
fn products_of_one_kind_look_different() {
    let products = catalogue();
    let names: HashSet<_> = products.iter().map(|it| it.picture().to_string()).collect();
    assert_eq!(names.len(), products.len());
}

#[test]
fn every_drawing_is_small_and_well_formed() {
    let names: HashSet<_> = all::ALL.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), all::ALL.len(), "two kinds have one name");
    for (kind, seed) in all::ALL.iter().flat_map(|kind| (0..256).map(move |seed| (kind, seed))) {
        let name = format!("{}-2f6db5-{seed:04x}-{V}.svg", kind.name);
        let svg = Picture::parse(&name).unwrap().svg();
        assert!(svg.len() < 1536, "{name}: {} bytes", svg.len());
        assert!(!svg.contains("<script") && !svg.contains("href"), "{name}");
        assert_eq!(open_at_the_end(&svg), Vec::<&str>::new(), "{name}: {svg}");
    }
}

/// Elements that are not closed; panics at a tag that closes another one, or at a quote that is not closed.
fn open_at_the_end(svg: &str) -> Vec<&str> {
    let mut open = Vec::new();
    for tag in svg.trim().split_inclusive('>') {
        let tag = tag.strip_prefix('<').and_then(|tag| tag.strip_suffix('>')).expect(tag);
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        assert!(!tag.contains(['<', '&', '\'']), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    open
}

#[test]
fn other_names_have_no_picture() {
    for name in [
        "",
        ".svg",
        "cup",
        "cup-2f6db5-a91c.svg",
        "cup-2f6db5-a91c-0.svg",
        "cup-2f6db5-a91c-1.svg",
        "cup-2f6db5-a91c-3.svg",
        "cup-2f6db5-a91c-02.svg",
        "cup-2f6db5-a91c-2.svg.svg",
        "cup-2f6db5-a91c-2-2.svg",
        "cup-2F6DB5-a91c-2.svg",
        "cup-2f6db5-A91C-2.svg",
        "cup-2f6db-a91c-2.svg",
        "cup-+f6db5-a91c-2.svg",
        "cup-2f6db5-a91cd-2.svg",
        "cup-2f6dbé-a91c-2.svg",
        "CUP-2f6db5-a91c-2.svg",
        "nothing-2f6db5-a91c-2.svg",
        "-2f6db5-a91c-2.svg",
        "../cup-2f6db5-a91c-2.svg",
        "cup-\"><script-a91c-2.svg",
    ] {
        assert!(Picture::parse(name).is_none(), "{name}");
    }
    assert!(Picture::parse("cup-2f6db5-a91c-2.svg").is_some());
}

#[tokio::test]
async fn a_picture_may_be_kept_for_ever_and_does_nothing_by_itself() {
    let answered = serve(Ok(Path("cup-2f6db5-a91c-2.svg".to_owned()))).await;
    let response = answered.ok().expect("it is served");
    for (name, value) in [
        ("content-type", "image/svg+xml"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("content-security-policy", "default-src 'none'; style-src 'none'"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let refused = serve(Ok(Path("cup.svg".to_owned()))).await.into_response();
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
}
