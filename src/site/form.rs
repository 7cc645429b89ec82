//! The forms of an object's path: the object itself, its directory, its page without `.html`.

use std::{borrow::Cow, fmt};

use serde::Serialize;

/// The settings of this deployment that give an object further paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forms {
    /// The name of the document that viewers get for a directory. Empty if there is none.
    pub index_document: String,
    /// Whether viewers also request a directory without its slash.
    pub bare_directories: bool,
    /// Whether viewers also request `.html` pages without the suffix.
    pub clean_urls: bool,
    /// Whether query strings are in the cache key, so that every path becomes the wildcard
    /// `/path*`. `None` to read it from the distribution's configuration.
    pub query_strings: Option<bool>,
}

impl Forms {
    /// Returns the further paths of the object with this path.
    pub(super) fn of<'k>(&self, object: &'k [u8]) -> impl Iterator<Item = (Cow<'k, [u8]>, Form)> + use<'k> {
        let index = self.index_document.as_bytes();
        let directory = object
            .strip_suffix(index)
            .filter(|directory| !index.is_empty() && (directory.is_empty() || directory.ends_with(b"/")));
        let bare = directory.filter(|_| self.bare_directories).and_then(|path| path.strip_suffix(b"/"));
        let page = object
            .strip_suffix(b".html")
            .filter(|page| self.clean_urls && !page.is_empty() && !page.ends_with(b"/"));
        let forms = [(directory, Form::Directory), (bare, Form::BareDirectory), (page, Form::CleanUrl)];
        forms.into_iter().filter_map(|(path, form)| Some((Cow::Borrowed(path?), form)))
    }
}

/// The relation of a path to the change or request that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The object's own path.
    Object,
    /// `/`, because the object is the default root object.
    Root,
    /// The directory whose index document the object is.
    Directory,
    /// The same directory without its slash.
    BareDirectory,
    /// The page without `.html`.
    CleanUrl,
    /// A wildcard for one of these paths with any query string.
    AnyQuery,
    /// `/*`, because CloudFront caches this error page under every path that failed.
    ErrorPage,
    /// A wildcard for a behavior's pattern, because only the behavior's edge function knows the
    /// object's paths.
    EdgeFunction,
    /// `/*`, because the event deleted objects without naming them.
    WholeBucket,
    /// A path from a manual event.
    #[serde(rename = "typed")]
    Request,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::Root => "default root object:",
            Self::Directory => "directory of",
            Self::BareDirectory => "directory without slash of",
            Self::CleanUrl => "page without .html of",
            Self::AnyQuery => "with any query string, of",
            Self::ErrorPage => "cached wherever an error showed",
            Self::EdgeFunction => "wherever an edge function serves",
            Self::WholeBucket => "objects that the event does not name, of",
            Self::Request => "typed",
        })
    }
}
