//! Parts of distributions for tests.

use super::{Behavior, Distribution, Origin, QueryStrings};

pub(super) fn origin(id: &str, domain: &str, path: &str) -> Origin {
    Origin { id: id.to_owned(), domain_name: domain.to_owned(), path: path.to_owned() }
}

/// Creates a behavior, the default one if `pattern` is `None`.
pub(super) fn behavior(pattern: Option<&str>, target: &str) -> Behavior {
    Behavior {
        pattern: pattern.map(str::to_owned),
        target: target.to_owned(),
        query_strings: QueryStrings::Known(false),
        edge_functions: Vec::new(),
        has_lambda: false,
    }
}

/// Creates a distribution with the root object `index.html`.
pub(super) fn distribution(origins: Vec<Origin>, behaviors: Vec<Behavior>) -> Distribution {
    Distribution {
        id: "E1".parse().expect("an id"),
        domain_name: "d1.cloudfront.net".to_owned(),
        aliases: Vec::new(),
        status: "Deployed".to_owned(),
        enabled: true,
        staging: false,
        multi_tenant: false,
        origins,
        origin_groups: Vec::new(),
        behaviors,
        error_pages: Vec::new(),
        default_root_object: "index.html".to_owned(),
        has_cache_tags: None,
        etag: None,
        modified: None,
    }
}
