//! Everything that the catalogue can refuse.

use thiserror::Error;

/// A field that is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name in the request.
    pub field: &'static str,
    /// How it must be.
    pub must_be: &'static str,
}

/// A refusal, with a stable [`Rejection::code`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Rejection {
    /// Some fields are not as they must be.
    #[error("the product is not described correctly")]
    Invalid(Vec<Fault>),
    /// We sell for pounds.
    #[error("prices are in GBP")]
    CurrencyNotSupported,
    /// No such product.
    #[error("no such product")]
    ProductNotFound,
    /// Another product has this SKU.
    #[error("the SKU is taken")]
    SkuTaken,
    /// Somebody changed the product in between.
    #[error("the product has changed: it is at version {current}")]
    VersionConflict {
        /// Its version now.
        current: i64,
    },
    /// The receipt names another delivery: of another product, or of another quantity.
    #[error("this receipt was booked for another delivery")]
    ReceiptReused,
    /// A file without products.
    #[error("the file has no products")]
    ImportEmpty,
    /// The end of a file did not come, or not after as many products as it names.
    #[error("the file is not whole")]
    ImportCutOff,
    /// Another file with this source is being imported.
    #[error("another file of this source is being imported")]
    ImportRunning,
    /// So many imports are running or wait that another one is not taken.
    #[error("too many imports wait")]
    ImportsWaiting,
    /// No such import.
    #[error("no such import")]
    ImportNotFound,
    /// The import is done, or has failed.
    #[error("the import has ended")]
    ImportEnded,
}

impl Rejection {
    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::CurrencyNotSupported => "currency_not_supported",
            Self::ProductNotFound => "product_not_found",
            Self::SkuTaken => "sku_taken",
            Self::VersionConflict { .. } => "version_conflict",
            Self::ReceiptReused => "receipt_reused",
            Self::ImportEmpty => "import_empty",
            Self::ImportCutOff => "import_cut_off",
            Self::ImportRunning => "import_running",
            Self::ImportsWaiting => "imports_waiting",
            Self::ImportNotFound => "import_not_found",
            Self::ImportEnded => "import_ended",
        }
    }
}
