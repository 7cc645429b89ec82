//! Reads and writes the XML of the protocol.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(super) const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InvalidationBatch {
    pub(super) paths: Paths,
    pub(super) caller_reference: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Paths {
    pub(super) quantity: usize,
    #[serde(default)]
    pub(super) items: Items,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Items {
    #[serde(default, rename = "Path")]
    pub(super) paths: Vec<String>,
}

/// An error answer.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn no_such_distribution() -> Self {
        Self::new(404, "NoSuchDistribution", "The specified distribution does not exist.")
    }

    pub(super) fn no_such_tenant() -> Self {
        Self::new(404, "EntityNotFound", "The specified distribution tenant does not exist.")
    }

    pub(super) fn unknown_operation() -> Self {
        Self::new(404, "UnknownOperationException", "No such operation here")
    }

    pub(super) fn body(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct ErrorResponse<'a> {
            #[serde(rename = "@xmlns")]
            namespace: &'static str,
            error: Fields<'a>,
            request_id: &'static str,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a> {
            r#type: &'static str,
            code: &'a str,
            message: &'a str,
        }
        let r#type = if self.status >= 500 { "Receiver" } else { "Sender" };
        xml(
            "ErrorResponse",
            &ErrorResponse {
                namespace: NAMESPACE,
                error: Fields { r#type, code: &self.code, message: &self.message },
                request_id: "00000000-0000-0000-0000-000000000000",
            },
        )
    }
}

/// The tenants that a call of ListDistributionTenants wants.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TenantsRequest {
    pub(super) association_filter: AssociationFilter,
    /// The last entry of the previous page.
    pub(super) marker: String,
    pub(super) max_items: Option<usize>,
}

/// The filter for tenants. A field is `None` if it does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AssociationFilter {
    pub(super) distribution_id: Option<String>,
    pub(super) connection_group_id: Option<String>,
}

/// Parses the body of a request, such as an invalidation batch.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    quick_xml::de::from_reader(body)
        .map_err(|why| Refusal::new(400, "MalformedInput", &format!("Unexpected XML: {why}")))
}

/// The id, time and status of an invalidation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary<'a> {
    pub(super) id: &'a str,
    pub(super) create_time: String,
    pub(super) status: &'static str,
}

/// Formats the answer to CreateInvalidation and GetInvalidation.
pub(super) fn invalidation(summary: Summary<'_>, batch: &InvalidationBatch) -> String {
    #[derive(Serialize)]
    struct Invalidation<'a> {
        #[serde(rename = "@xmlns")]
        namespace: &'static str,
        #[serde(flatten)]
        summary: Summary<'a>,
        #[serde(rename = "InvalidationBatch")]
        batch: &'a InvalidationBatch,
    }
    xml("Invalidation", &Invalidation { namespace: NAMESPACE, summary, batch })
}

/// Formats the answer to ListInvalidations.
pub(super) fn list(
    marker: &str,
    max_items: usize,
    summaries: Vec<Summary<'_>>,
    next: Option<&str>,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct InvalidationList<'a> {
        #[serde(rename = "@xmlns")]
        namespace: &'static str,
        marker: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_marker: Option<&'a str>,
        max_items: usize,
        is_truncated: bool,
        quantity: usize,
        items: Summaries<'a>,
    }
    #[derive(Serialize)]
    struct Summaries<'a> {
        #[serde(rename = "InvalidationSummary")]
        summaries: Vec<Summary<'a>>,
    }
    xml(
        "InvalidationList",
        &InvalidationList {
            namespace: NAMESPACE,
            marker,
            next_marker: next,
            max_items,
            is_truncated: next.is_some(),
            quantity: summaries.len(),
            items: Summaries { summaries },
        },
    )
}

fn xml<T: Serialize>(root: &str, value: &T) -> String {
    let body = quick_xml::se::to_string_with_root(root, value)
        .unwrap_or_else(|why| format!("<InternalError>{why}</InternalError>"));
    format!("<?xml version=\"1.0\"?>\n{body}")
}
