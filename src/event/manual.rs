//! What a person sends by hand: `{"paths": ["/a", "/b*", "#tag"]}`, and
//! `"distribution": "E…"` where it is not for all that are configured.

use serde::Deserialize;

use super::{Origin, Request, Unreadable};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manual {
    paths: Option<Vec<String>>,
    distribution: Option<String>,
}

/// Reads the request. A field that is not known is an error, since a person is
/// there to be told.
pub(super) fn read(json: &[u8], origin: Origin<'_>) -> Result<Request, Unreadable> {
    let manual: Manual =
        serde_json::from_slice(json).map_err(|error| Unreadable::json("a manual event", &error, json))?;
    let paths = manual.paths.unwrap_or_default();
    if paths.is_empty() {
        return Err(Unreadable::Request("no paths: write {\"paths\": [\"/index.html\"]}".to_owned()));
    }
    Ok(Request {
        message: origin.message,
        paths,
        distribution: manual.distribution,
        identity: origin.id.into(),
    })
}
