use proto::product::v1 as product;
use proto::product::v1::product_service_server::ProductService;
use tonic::{Request, Status, Streaming};

use super::{Answer, Shop, ok};

/// The only import.
pub const IMPORT: &str = "01890000-0000-7000-8000-0000000000aa";

#[tonic::async_trait]
impl ProductService for Shop {
    async fn list_products(
        &self,
        request: Request<product::ListProductsRequest>,
    ) -> Answer<product::ListProductsResponse> {
        self.enter("ListProducts", request).await?;
        let products = self.state().products.clone();
        let level = self.state().level;
        ok(product::ListProductsResponse { products, next_page_token: "next".into(), level })
    }

    async fn search_products(
        &self,
        request: Request<product::SearchProductsRequest>,
    ) -> Answer<product::SearchProductsResponse> {
        self.enter("SearchProducts", request).await?;
        let products = self.state().products.clone();
        let level = self.state().level;
        ok(product::SearchProductsResponse { products, level })
    }

    async fn get_product(
        &self,
        request: Request<product::GetProductRequest>,
    ) -> Answer<product::GetProductResponse> {
        let request = self.enter("GetProduct", request).await?;
        let product = Some(self.product(&request.product_id)?);
        let level = self.state().level;
        ok(product::GetProductResponse { product, level })
    }

    async fn list_popular_products(
        &self,
        request: Request<product::ListPopularProductsRequest>,
    ) -> Answer<product::ListPopularProductsResponse> {
        self.enter("ListPopularProducts", request).await?;
        let products = self.state().products.clone().into_iter().rev().enumerate();
        let popular = |(number, product)| product::list_popular_products_response::Popular {
            product: Some(product),
            views: 9 - number as i64,
        };
        ok(product::ListPopularProductsResponse { products: products.map(popular).collect() })
    }

    async fn list_bestsellers(
        &self,
        request: Request<product::ListBestsellersRequest>,
    ) -> Answer<product::ListBestsellersResponse> {
        let category = self.enter("ListBestsellers", request).await?.category;
        let products = self.state().products.clone().into_iter().rev();
        let bestseller = |product| product::list_bestsellers_response::Bestseller {
            product: Some(product),
            pieces: category.len() as i64,
        };
        let products = products.map(bestseller).collect();
        ok(product::ListBestsellersResponse { products, as_of_unix_ms: 1_700_000_000_000 })
    }

    async fn list_categories(
        &self,
        request: Request<product::ListCategoriesRequest>,
    ) -> Answer<product::ListCategoriesResponse> {
        self.enter("ListCategories", request).await?;
        let one = |(name, products): (&str, _)| product::list_categories_response::Category {
            name: name.into(),
            products,
        };
        let categories = [("Gifts", 3), ("Kitchen", 7)].map(one).into();
        ok(product::ListCategoriesResponse { categories, as_of_unix_ms: 1_700_000_000_000 })
    }

    async fn list_bought_together(
        &self,
        request: Request<product::ListBoughtTogetherRequest>,
    ) -> Answer<product::ListBoughtTogetherResponse> {
        let id = self.enter("ListBoughtTogether", request).await?.product_id;
        self.product(&id)?;
        let mut products = self.state().products.clone();
        products.retain(|product| product.product_id != id);
        let companion = |product| product::list_bought_together_response::Companion {
            product: Some(product),
            orders: 5,
        };
        let products = products.into_iter().map(companion).collect();
        ok(product::ListBoughtTogetherResponse { products })
    }

    /// Nobody's request makes it: it is noted when it is refused only.
    async fn count_views(
        &self,
        request: Request<product::CountViewsRequest>,
    ) -> Answer<product::CountViewsResponse> {
        let refusal = self.state().refusals.get("CountViews").cloned();
        if let Some(refusal) = refusal {
            self.note("CountViews", &request);
            return Err(refusal);
        }
        let mut state = self.state();
        for views in request.into_inner().views {
            *state.views.entry(views.product_id).or_default() += views.count;
        }
        ok(product::CountViewsResponse {})
    }

    /// Nobody's request makes it, so it is not noted.
    async fn list_product_changes(
        &self,
        request: Request<product::ListProductChangesRequest>,
    ) -> Answer<product::ListProductChangesResponse> {
        let changes = self.state().changes.clone();
        let mut changes = changes.ok_or_else(|| Status::unimplemented("as the release before"))?;
        changes.everything |= request.get_ref().since_level == 0;
        ok(changes)
    }

    async fn batch_get_products(
        &self,
        request: Request<product::BatchGetProductsRequest>,
    ) -> Answer<product::BatchGetProductsResponse> {
        let ids = self.enter("BatchGetProducts", request).await?.product_ids;
        let products = ids.iter().filter_map(|id| self.product(id).ok()).collect();
        ok(product::BatchGetProductsResponse { products })
    }

    async fn add_product(
        &self,
        request: Request<product::AddProductRequest>,
    ) -> Answer<product::AddProductResponse> {
        self.enter("AddProduct", request).await?;
        ok(product::AddProductResponse { product: self.state().products.first().cloned() })
    }

    async fn revise_product(
        &self,
        request: Request<product::ReviseProductRequest>,
    ) -> Answer<product::ReviseProductResponse> {
        let request = self.enter("ReviseProduct", request).await?;
        ok(product::ReviseProductResponse { product: Some(self.product(&request.product_id)?) })
    }

    async fn change_price(
        &self,
        request: Request<product::ChangePriceRequest>,
    ) -> Answer<product::ChangePriceResponse> {
        let request = self.enter("ChangePrice", request).await?;
        ok(product::ChangePriceResponse { product: Some(self.product(&request.product_id)?) })
    }

    async fn retire_product(
        &self,
        request: Request<product::RetireProductRequest>,
    ) -> Answer<product::RetireProductResponse> {
        let request = self.enter("RetireProduct", request).await?;
        ok(product::RetireProductResponse { product: Some(self.product(&request.product_id)?) })
    }

    async fn receive_stock(
        &self,
        request: Request<product::ReceiveStockRequest>,
    ) -> Answer<product::ReceiveStockResponse> {
        let product_id = self.enter("ReceiveStock", request).await?.product_id;
        let stock = product::Stock { product_id, received: 9, on_hand: 8, reserved: 2, shipped: 1 };
        ok(product::ReceiveStockResponse { stock: Some(stock) })
    }

    async fn get_stock(
        &self,
        request: Request<product::GetStockRequest>,
    ) -> Answer<product::GetStockResponse> {
        let product_id = self.enter("GetStock", request).await?.product_id;
        let stock = product::Stock { product_id, received: 9, on_hand: 8, reserved: 2, shipped: 1 };
        ok(product::GetStockResponse { stock: Some(stock) })
    }

    async fn import_products(
        &self,
        request: Request<Streaming<product::ImportProductsRequest>>,
    ) -> Answer<product::ImportProductsResponse> {
        self.note("ImportProducts", &request);
        if let Some(refusal) = self.state().refusals.get("ImportProducts") {
            return Err(refusal.clone());
        }
        let mut lines = request.into_inner();
        loop {
            self.import_gate.acquire().await.expect("never closed").forget();
            match lines.message().await? {
                Some(line) => self.state().imported.push(line),
                None => break,
            }
        }
        let added = self.state().imported.len() as i64;
        ok(product::ImportProductsResponse { added, ..Default::default() })
    }

    /// As ImportProducts; there are three steps to its end.
    async fn start_import(
        &self,
        request: Request<Streaming<product::StartImportRequest>>,
    ) -> Answer<product::StartImportResponse> {
        self.note("StartImport", &request);
        if let Some(refusal) = self.state().refusals.get("StartImport") {
            return Err(refusal.clone());
        }
        let mut lines = request.into_inner();
        while let Some(message) = lines.message().await? {
            match message.part {
                Some(product::start_import_request::Part::Item(line)) => {
                    self.state().imported.push(line);
                }
                end => self.state().import_end = end,
            }
        }
        ok(product::StartImportResponse { import: Some(self.import(1)) })
    }

    async fn get_import(
        &self,
        request: Request<product::GetImportRequest>,
    ) -> Answer<product::GetImportResponse> {
        self.enter("GetImport", request).await?;
        let version = {
            let mut state = self.state();
            state.import_version = (state.import_version + 1).min(3);
            state.import_version
        };
        ok(product::GetImportResponse { import: Some(self.import(version)) })
    }

    async fn cancel_import(
        &self,
        request: Request<product::CancelImportRequest>,
    ) -> Answer<product::CancelImportResponse> {
        self.enter("CancelImport", request).await?;
        let mut import = self.import(2);
        import.set_state(product::import::State::Cancelled);
        ok(product::CancelImportResponse { import: Some(import) })
    }
}

impl Shop {
    /// Of two items, one of which each version after the first imports.
    fn import(&self, version: i64) -> product::Import {
        let done = if version == 3 {
            product::import::State::Done
        } else {
            product::import::State::Running
        };
        product::Import {
            import_id: IMPORT.to_owned(),
            source: "f00".to_owned(),
            state: done.into(),
            version,
            items: 2,
            items_imported: version - 1,
            added: version - 1,
            revised: 0,
            unchanged: 0,
            stock_received: 5 * (version - 1),
            failure: String::new(),
        }
    }
}
