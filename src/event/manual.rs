//! Manual events: `{"paths": ["/a", "/b*", "#tag"]}`, with an optional `"distribution": "E…"`.
//! Without one, the request is for all configured distributions.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{Origin, Request, Unreadable};

/// Maximum number of paths in one event.
const MOST_PATHS: usize = 20_000;

/// Maximum number of paths in all manual events of a batch. Without this limit, 6 MB of short paths
/// would use up the function's memory.
pub(super) const MOST_PATHS_TOGETHER: usize = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manual {
    paths: Option<Paths>,
    distribution: Option<String>,
}

/// The first [`MOST_PATHS`] paths, and the number of all paths.
#[derive(Default)]
struct Paths {
    first: Vec<String>,
    count: usize,
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Paths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of paths")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Paths, A::Error> {
                let mut paths = Paths::default();
                while paths.first.len() < MOST_PATHS {
                    let Some(path) = list.next_element()? else { break };
                    paths.first.push(path);
                }
                paths.count = paths.first.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    paths.count += 1;
                }
                Ok(paths)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Parses the request, in a batch that already has `before` paths. An unknown field is an error: it
/// is probably a typo, and the sender can correct it.
pub(super) fn read(json: &[u8], before: usize, origin: Origin<'_>) -> Result<Request, Unreadable> {
    let manual: Manual =
        serde_json::from_slice(json).map_err(|error| Unreadable::json("a manual event", &error, json))?;
    let Paths { first, count } = manual.paths.unwrap_or_default();
    if count == 0 {
        return Err(Unreadable::Request("no paths: write {\"paths\": [\"/index.html\"]}".to_owned()));
    }
    if count > first.len() {
        return Err(Unreadable::Request(format!(
            "{count} paths: write at most {MOST_PATHS}, or wildcards such as \"/docs/*\""
        )));
    }
    if before + count > MOST_PATHS_TOGETHER {
        return Err(Unreadable::Request(format!(
            "more than {MOST_PATHS_TOGETHER} paths in one batch: send fewer at once, or wildcards"
        )));
    }
    Ok(Request {
        message: origin.message,
        paths: first,
        distribution: manual.distribution,
        identity: origin.id.into(),
    })
}
