//! Inbound RPC: parse, one call, render.

use futures_util::StreamExt as _;
use identity::Verifier;
use proto::product::v1::product_service_server::ProductService;
use proto::product::v1::{
    AddProductRequest, AddProductResponse, BatchGetProductsRequest, BatchGetProductsResponse,
    CancelImportRequest, CancelImportResponse, ChangePriceRequest, ChangePriceResponse,
    CountViewsRequest, CountViewsResponse, GetImportRequest, GetImportResponse, GetProductRequest,
    GetProductResponse, GetStockRequest, GetStockResponse, ImportProductsRequest,
    ImportProductsResponse, ListBestsellersRequest, ListBestsellersResponse,
    ListBoughtTogetherRequest, ListBoughtTogetherResponse, ListCategoriesRequest,
    ListCategoriesResponse, ListPopularProductsRequest, ListPopularProductsResponse,
    ListProductChangesRequest, ListProductChangesResponse, ListProductsRequest,
    ListProductsResponse, ReceiveStockRequest, ReceiveStockResponse, RetireProductRequest,
    RetireProductResponse, ReviseProductRequest, ReviseProductResponse, SearchProductsRequest,
    SearchProductsResponse, StartImportRequest, StartImportResponse,
};
use tonic::{Request, Response, Status, Streaming};

use crate::app::{App, ChangeFeed};
use crate::convert;

type Answer<T> = Result<Response<T>, Status>;

/// The service's RPCs.
pub(crate) struct Grpc {
    app: App,
    feed: ChangeFeed,
    verifier: Verifier,
}

impl Grpc {
    pub(crate) fn new(app: App, feed: ChangeFeed, verifier: Verifier) -> Self {
        Self { app, feed, verifier }
    }
}

#[tonic::async_trait]
impl ProductService for Grpc {
    async fn list_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Answer<ListProductsResponse> {
        let (filter, after, limit) = convert::page(request.into_inner())?;
        let level = self.feed.level();
        let page = self.app.list(filter, after, limit).await?;
        let next_page_token = convert::next_page_token(&page, limit);
        Ok(Response::new(ListProductsResponse {
            products: convert::products(page),
            next_page_token,
            level,
        }))
    }

    async fn search_products(
        &self,
        request: Request<SearchProductsRequest>,
    ) -> Answer<SearchProductsResponse> {
        let (query, limit) = convert::search(request.get_ref())?;
        let level = self.feed.level();
        let products = convert::products(self.app.search(query.to_owned(), limit).await?);
        Ok(Response::new(SearchProductsResponse { products, level }))
    }

    async fn get_product(&self, request: Request<GetProductRequest>) -> Answer<GetProductResponse> {
        let id = convert::product_id(&request.get_ref().product_id)?;
        let level = self.feed.level();
        let product = Some(convert::product(self.app.product(id).await?));
        Ok(Response::new(GetProductResponse { product, level }))
    }

    async fn batch_get_products(
        &self,
        request: Request<BatchGetProductsRequest>,
    ) -> Answer<BatchGetProductsResponse> {
        let BatchGetProductsRequest { product_ids, may_be_cached } = request.get_ref();
        let ids = convert::product_ids(product_ids)?;
        let products = convert::products(self.app.products(ids, *may_be_cached).await?);
        Ok(Response::new(BatchGetProductsResponse { products }))
    }

    async fn list_popular_products(
        &self,
        request: Request<ListPopularProductsRequest>,
    ) -> Answer<ListPopularProductsResponse> {
        let limit = convert::ranked(request.get_ref().page_size)?;
        let popular = self.app.popular(limit).await?;
        Ok(Response::new(convert::popular(popular)))
    }

    async fn list_bestsellers(
        &self,
        request: Request<ListBestsellersRequest>,
    ) -> Answer<ListBestsellersResponse> {
        let (category, limit) = convert::bestsellers_wanted(request.into_inner())?;
        Ok(Response::new(convert::bestsellers(self.app.bestsellers(category, limit).await?)))
    }

    async fn list_categories(
        &self,
        _: Request<ListCategoriesRequest>,
    ) -> Answer<ListCategoriesResponse> {
        Ok(Response::new(convert::categories(self.app.categories().await?)))
    }

    async fn list_bought_together(
        &self,
        request: Request<ListBoughtTogetherRequest>,
    ) -> Answer<ListBoughtTogetherResponse> {
        let id = convert::product_id(&request.get_ref().product_id)?;
        let limit = convert::ranked(request.get_ref().page_size)?;
        let ranked = self.app.bought_together(id, limit).await?;
        Ok(Response::new(convert::bought_together(ranked)))
    }

    async fn count_views(&self, request: Request<CountViewsRequest>) -> Answer<CountViewsResponse> {
        self.app.count_views(&convert::views(request.get_ref())?).await;
        Ok(Response::new(CountViewsResponse {}))
    }

    async fn list_product_changes(
        &self,
        request: Request<ListProductChangesRequest>,
    ) -> Answer<ListProductChangesResponse> {
        let since = self.feed.since(request.get_ref().since_level);
        let since = since.ok_or_else(|| Status::unavailable("what changes is not known"))?;
        Ok(Response::new(convert::changes(since)))
    }

    async fn add_product(&self, request: Request<AddProductRequest>) -> Answer<AddProductResponse> {
        self.verifier.staff(request.metadata())?;
        let offer = convert::offer(request.into_inner())?;
        let product = Some(convert::product(self.app.add(offer).await?));
        Ok(Response::new(AddProductResponse { product }))
    }

    async fn revise_product(
        &self,
        request: Request<ReviseProductRequest>,
    ) -> Answer<ReviseProductResponse> {
        self.verifier.staff(request.metadata())?;
        let (id, version, listing) = convert::revision(request.into_inner())?;
        let product = Some(convert::product(self.app.revise(id, version, listing).await?));
        Ok(Response::new(ReviseProductResponse { product }))
    }

    async fn change_price(
        &self,
        request: Request<ChangePriceRequest>,
    ) -> Answer<ChangePriceResponse> {
        self.verifier.staff(request.metadata())?;
        let (id, price) = convert::new_price(request.into_inner())?;
        let product = Some(convert::product(self.app.change_price(id, price).await?));
        Ok(Response::new(ChangePriceResponse { product }))
    }

    async fn retire_product(
        &self,
        request: Request<RetireProductRequest>,
    ) -> Answer<RetireProductResponse> {
        self.verifier.staff(request.metadata())?;
        let id = convert::product_id(&request.get_ref().product_id)?;
        let product = Some(convert::product(self.app.retire(id).await?));
        Ok(Response::new(RetireProductResponse { product }))
    }

    async fn receive_stock(
        &self,
        request: Request<ReceiveStockRequest>,
    ) -> Answer<ReceiveStockResponse> {
        self.verifier.staff(request.metadata())?;
        let receipt = convert::receipt(request.into_inner())?;
        let id = receipt.product;
        let stock = Some(convert::stock(id, self.app.receive_stock(receipt).await?));
        Ok(Response::new(ReceiveStockResponse { stock }))
    }

    async fn get_stock(&self, request: Request<GetStockRequest>) -> Answer<GetStockResponse> {
        self.verifier.staff(request.metadata())?;
        let id = convert::product_id(&request.get_ref().product_id)?;
        let stock = Some(convert::stock(id, self.app.stock(id).await?));
        Ok(Response::new(GetStockResponse { stock }))
    }

    async fn import_products(
        &self,
        request: Request<Streaming<ImportProductsRequest>>,
    ) -> Answer<ImportProductsResponse> {
        self.verifier.staff(request.metadata())?;
        let (mut import, mut stream) = (self.app.import(), request.into_inner());
        while let Some(request) = stream.message().await? {
            import.take(convert::item(import.place(), request)?).await?;
        }
        Ok(Response::new(convert::imported(import.finish().await?)))
    }

    async fn start_import(
        &self,
        request: Request<Streaming<StartImportRequest>>,
    ) -> Answer<StartImportResponse> {
        self.verifier.staff(request.metadata())?;
        let parts = request.into_inner().enumerate();
        let job = self.app.start_import(parts.map(|(at, part)| convert::part(at, part?)));
        Ok(Response::new(StartImportResponse { import: Some(convert::job(job.await?)) }))
    }

    async fn get_import(&self, request: Request<GetImportRequest>) -> Answer<GetImportResponse> {
        self.verifier.staff(request.metadata())?;
        let job = self.app.import_job(convert::import_id(&request.get_ref().import_id)?).await?;
        Ok(Response::new(GetImportResponse { import: Some(convert::job(job)) }))
    }

    async fn cancel_import(
        &self,
        request: Request<CancelImportRequest>,
    ) -> Answer<CancelImportResponse> {
        self.verifier.staff(request.metadata())?;
        let job = self.app.cancel_import(convert::import_id(&request.get_ref().import_id)?).await?;
        Ok(Response::new(CancelImportResponse { import: Some(convert::job(job)) }))
    }
}
