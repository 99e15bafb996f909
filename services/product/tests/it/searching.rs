//! Searching and listing: what is found, in which order, and by which index.

use proto::product::v1::{RetireProductRequest, SearchProductsRequest};
use serde_json::Value;

use crate::shop::{Shop, offer};

impl Shop {
    async fn search(&self, query: &str, page_size: u32) -> Vec<String> {
        let request = SearchProductsRequest { query: query.to_owned(), page_size };
        let found = self.client.clone().search_products(request).await.unwrap().into_inner();
        found.products.into_iter().map(|product| product.name).collect()
    }

    /// The plan of the statement that the service itself sends, with these values.
    fn plan(&self, marker: &str, values: &[&str]) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let statement = |path| -> String {
            let described: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            described["query"].as_str().unwrap().to_owned()
        };
        let mut statements = files.map(statement).filter(|statement| statement.contains(marker));
        let mut sql = statements.next().expect("a statement");
        assert!(statements.next().is_none(), "one statement with {marker}");
        for (n, value) in values.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", n + 1), value);
        }
        self.sql(&format!("explain (analyze, timing off, format json) {sql}"))
    }
}

/// The most rows that a step of a plan gave to the next, entries of an index not among them.
fn most_rows(plan: &Value) -> f64 {
    let own = plan["Actual Rows"].as_f64().filter(|_| plan["Node Type"] != "Bitmap Index Scan");
    let steps = plan["Plans"].as_array().into_iter().flatten().map(most_rows);
    steps.chain(own).fold(0.0, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_found_in_all_their_forms_and_the_name_counts_most() {
    let shop = Shop::open().await;
    for (name, description, category) in [
        ("Tea cup", "Porcelain.", "Kitchen"),
        ("Saucer", "Goes with every cup.", "Kitchen"),
        ("Trophy", "Silver.", "Cups"),
        ("Red running shoes", "", "Sport"),
        ("Retired cup", "", "Kitchen"),
    ] {
        let (description, category) = (description.into(), category.into());
        let request =
            proto::product::v1::AddProductRequest { description, category, ..offer(name, 1) };
        let added = shop.try_add(request).await.unwrap();
        if name == "Retired cup" {
            let request = RetireProductRequest { product_id: added.product_id };
            shop.client.clone().retire_product(shop.staff(request)).await.unwrap();
        }
    }
    for query in ["cups", "CUP", "the cup's", "cups -shoe", "\"cup\""] {
        assert_eq!(shop.search(query, 0).await, ["Tea cup", "Trophy", "Saucer"], "{query}");
    }
    assert_eq!(shop.search("cups", 1).await, ["Tea cup"]);
    assert_eq!(shop.search("cup -tea", 0).await, ["Trophy", "Saucer"]);
    assert_eq!(shop.search("run shoe", 0).await, ["Red running shoes"]);
    assert_eq!(shop.search("tea or shoes", 0).await.len(), 2);
    for nothing in ["teapot", "the", "a and the", "!!", "'); drop table products; --"] {
        assert!(shop.search(nothing, 0).await.is_empty(), "{nothing}");
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one shop of that size serves all of it")]
async fn with_a_hundred_thousand_products_every_way_in_is_an_index() {
    let shop = Shop::open().await;
    shop.sql(
        "insert into products (product_id, sku, name, description, category, price_minor, currency)
         select gen_random_uuid(), 'S' || n, (array['Cup', 'Bowl', 'Spoon', 'Lamp'])[n % 4 + 1]
                 || ' number ' || n,
             'Model ' || md5(n::text) || case when n % 1000 = 0 then ' with gilded rims' else '' end,
             'Section ' || n % 50, 100 + n, 'GBP'
         from generate_series(1, 100000) n;
         insert into stock (product_id, received, on_hand)
         select product_id, 5, 5 from products;
         analyze products; analyze stock;",
    );
    let found = shop.search("gilded rim", 100).await;
    assert_eq!(found.len(), 100);
    assert_eq!(shop.search("lamps 4711", 0).await, ["Lamp number 4711"]);

    let plan = shop.plan("ts_rank_cd", &["'gilded rim'", "20"]);
    assert!(plan.contains("\"Bitmap Index Scan\"") && plan.contains("products_search"), "{plan}");
    assert_eq!(shop.search("number", 7).await.len(), 7);
    let plan: Value = serde_json::from_str(&shop.plan("ts_rank_cd", &["'number'", "7"])).unwrap();
    assert_eq!(most_rows(&plan[0]["Plan"]), 2_000.0, "of a hundred thousand that match: {plan}");
    let pages = [
        (
            "p.category = $1 and",
            &[
                "'Section 7'",
                "'Cup number 5'",
                "'01890000-0000-7000-8000-000000000000'::uuid",
                "20",
            ][..],
        ),
        (
            "null and (p.name",
            &["'Cup number 5'", "'01890000-0000-7000-8000-000000000000'::uuid", "20"][..],
        ),
    ];
    for ((marker, values), index) in
        pages.into_iter().zip(["products_by_category", "products_by_name"])
    {
        let plan = shop.plan(marker, values);
        let scans = plan.contains("\"Seq Scan\"") || plan.contains("\"Sort\"");
        assert!(plan.contains(index) && !scans, "{plan}");
    }
    let keys = [
        ("p.product_id = any($1)", "array['01890000-0000-7000-8000-000000000000']::uuid[]"),
        ("null and p.sku = $1", "'S77'"),
    ];
    for (marker, value) in keys {
        let plan = shop.plan(marker, &[value]);
        assert!(!plan.contains("\"Seq Scan\""), "{plan}");
    }
    shop.running.stop().await;
}
